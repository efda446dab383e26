"""The story of `doctor`: find out, while there is time, why a renewal could go wrong in the night."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from exodus_certbot import exceptions, used_paths
from exodus_certbot.acme import ari, webroot
from exodus_certbot.acme.renewal_window import is_overdue
from exodus_certbot.certbot import adopted, installers, lineage, renewal_files, timers
from exodus_certbot.certbot import program as certbot_program
from exodus_certbot.certbot.renewal_files import PLUGIN, RenewalFile
from exodus_certbot.findings import Finding, critical, ok, warning
from exodus_certbot.inventory import Inventory, Run, take_inventory
from exodus_certbot.model import Pair
from exodus_certbot.settings import Settings, state_dir
from exodus_certbot.tls import x509
from exodus_common.clock import Clock
from exodus_common.errors import ExodusError


def doctor(settings: Settings, clock: Clock, environ: Mapping[str, str]) -> tuple[Finding, ...]:
    """Look at nginx, at certbot's lineages and program, at timers, hooks and webroots, and say what is wrong."""
    run = Run.begin(settings, clock)
    files = renewal_files.all_in(run.certbot_dir)
    units = timers.units()
    inventory = take_inventory(run, run.find_nginx())
    return (
        *_nginx(inventory),
        *exceptions.findings_of(settings.except_listeners, inventory.expected),
        *_lineages(run, inventory, files, state_dir(environ), is_reconciled=timers.is_on(units, timers.OURS)),
        *used_paths.findings_of(
            _pairs(inventory),
            {file.name for file in files},
            _versions(run.certbot_dir),
            _keys(run.certbot_dir, inventory),
        ),
        *_webroots(files),
        *_overdue(run, files, state_dir(environ)),
        *_plugin(files, environ),
        *timers.findings_of(units),
    )


def _nginx(inventory: Inventory) -> Iterator[Finding]:
    if inventory.problem is None:
        yield ok("nginx", f"runs, and accepts {inventory.nginx.conf}")
    else:
        yield critical("nginx", str(inventory.problem), "mend that first: until then no renewed certificate is served")


def _lineages(
    run: Run, inventory: Inventory, files: Sequence[RenewalFile], state: Path, *, is_reconciled: bool
) -> Iterator[Finding]:
    used = {pair.lineage.name for pair in _pairs(inventory) if pair.lineage is not None}
    hooks, ours = installers.hooks_in(run.certbot_dir), adopted.files(state)
    for file in files:
        yield installers.findings_of(
            file, is_used=file.name in used, adopted=ours, hooks=hooks, is_reconciled=is_reconciled
        )
    yield from installers.of_hooks(hooks)


def _pairs(inventory: Inventory) -> tuple[Pair, ...]:
    return tuple(dict.fromkeys(item.pair for item in inventory.expected if item.pair is not None))


def _versions(certbot_dir: Path) -> dict[str, Path]:
    """Map the SHA-256 of every certificate that certbot keeps to its lineage's folder."""
    found = {}
    for path in sorted((certbot_dir / "archive").glob("*/cert*.pem")):
        try:
            found[x509.leaf_of_pem(lineage.read_bytes(path)).sha256] = certbot_dir / "live" / path.parent.name
        except ExodusError:
            continue  # what nginx uses of it is looked at by itself
    return found


def _keys(certbot_dir: Path, inventory: Inventory) -> dict[str, str]:
    """Map every key file that nginx uses to the name of the lineage it is of."""
    files = lineage.CertificateFiles(certbot_dir)
    of = {pair.source.key: files.lineage_of(pair.source.key) for pair in _pairs(inventory)}
    return {key: folder.name for key, folder in of.items() if folder is not None}


def _webroots(files: Sequence[RenewalFile]) -> Iterator[Finding]:
    mounts = webroot.mounts()
    for place in dict.fromkeys(place for file in files for place in file.all_webroots):
        yield from webroot.findings_of(place, mounts)


def _overdue(run: Run, files: Sequence[RenewalFile], state: Path) -> Iterator[Finding]:
    """Compare the CAs' own renewal windows with the clock."""
    now = run.clock.now()
    of = {file.name: file for file in files}
    for window in ari.RenewalInformation(state / ari.MEMORY, run.clock, run.deadline).windows(files):
        if window.end is None:
            yield warning(f"lineage {window.lineage}", window.problem, "certbot renew --dry-run")
            continue
        not_after = x509.leaf_of_pem(lineage.read_bytes(of[window.lineage].live / "cert.pem")).not_after
        if is_overdue(window, not_after, now):
            message = f"overdue: its CA wanted it renewed before {window.end:%Y-%m-%d %H:%M} UTC"
            yield critical(f"lineage {window.lineage}", message, f"certbot renew --cert-name {window.lineage}")


def _plugin(files: Sequence[RenewalFile], environ: Mapping[str, str]) -> Iterator[Finding]:
    """Ask the Python of the certbot on PATH for our plugin: only lineages that name it make its absence critical."""
    severity = critical if any(file.installer == PLUGIN for file in files) else warning
    found = certbot_program.find_certbot(environ)
    if found is None:
        yield severity("certbot", "there is none on PATH", "install it, or put the one there is on PATH")
    elif found.python is None:
        message = f"{found.path} is no Python program: whether it can load {PLUGIN} cannot be asked"
        yield warning("certbot", message, "see whether `certbot plugins` lists it")
    else:
        why_not = certbot_program.why_not_loadable(found.python, environ)
        if why_not:
            message = f"{found.path} ({found.python}) cannot load the plugin {PLUGIN}: {why_not}"
            yield severity(
                "certbot", message, "install it where certbot is (README: the plugin), or adopt --undo --all"
            )
        else:
            yield ok("certbot", f"{found.path} loads the plugin {PLUGIN}")
