"""The story of `doctor`: find out, while there is time, why a renewal could go wrong in the night."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from exodus_certbot import ages, exceptions, renewals, used_paths
from exodus_certbot.acme import webroot
from exodus_certbot.ages import Renewal
from exodus_certbot.certbot import adopted, installers, lineage, plans, rules, timers
from exodus_certbot.certbot import program as certbot_program
from exodus_certbot.certbot.installers import Hooks
from exodus_certbot.certbot.plan import Plan
from exodus_certbot.certbot.renewal_files import PLUGIN, RenewalFile
from exodus_certbot.findings import Finding, critical, ok, warning
from exodus_certbot.inventory import Inventory, Run, take_inventory
from exodus_certbot.model import Certificate, Pair
from exodus_certbot.nginx import trial
from exodus_certbot.settings import Settings, state_dir
from exodus_certbot.tls import x509
from exodus_common import seeing
from exodus_common.clock import Clock
from exodus_common.errors import ExodusError


def doctor(settings: Settings, clock: Clock, environ: Mapping[str, str]) -> tuple[Finding, ...]:
    """Look at nginx, at certbot's lineages and program, at timers, hooks and webroots, and say what is wrong."""
    run = Run.begin(settings, clock)
    made = plans.made(run.certbot_dir, certbot_program.python_of_certbot(environ), environ)
    files = [plan.file for plan in made.plans]
    units = timers.units()
    hooks = installers.hooks_in(run.certbot_dir, timers.commands(units))
    inventory = take_inventory(run, run.find_nginx())
    return (
        *_nginx(inventory),
        *exceptions.findings_of(settings.except_listeners, inventory.expected),
        *_lineages(inventory, made.plans, hooks, state_dir(environ), is_reconciled=timers.is_on(units, timers.OURS)),
        *renewals.prospects(run, made),
        *_used_paths(run, inventory, files),
        *_webroots(files),
        *_overdue(run, files, environ),
        *_plugin(files, environ),
        *timers.findings_of(units),
    )


def _nginx(inventory: Inventory) -> Iterator[Finding]:
    if inventory.problem is None:
        yield trial.finding_of(inventory.nginx, inventory.untried)
    else:
        yield critical("nginx", str(inventory.problem), "mend that first: until then no renewed certificate is served")


def _lineages(
    inventory: Inventory, made: Sequence[Plan], hooks: Hooks, state: Path, *, is_reconciled: bool
) -> Iterator[Finding]:
    used, ours = {pair.lineage for pair in _pairs(inventory)}, adopted.files(state)
    for plan in made:
        if plan.problem:
            continue  # certbot calls nobody for it, and what it passes over is told below
        yield installers.findings_of(
            plan, is_used=plan.file.live in used, adopted=ours, hooks=hooks, is_reconciled=is_reconciled
        )
    yield from installers.of_hooks(hooks)


def _used_paths(run: Run, inventory: Inventory, files: Sequence[RenewalFile]) -> Iterator[Finding]:
    names = {file.live: leaf.names if (leaf := _leaf(file)) else () for file in files}

    def free_name(name: str) -> str:
        """Count on as certbot does, until nothing of it is there."""
        taken = {path.name.removesuffix(".conf") for path in seeing.matches(run.certbot_dir, "[alr]*/*")}
        return next(each for number in range(1, 10000) if (each := f"{name}-{number:04}") not in taken)

    yield from used_paths.findings_of(
        _pairs(inventory), names, _versions(run.certbot_dir), _keys(run.certbot_dir, inventory), free_name
    )


def _leaf(file: RenewalFile) -> Certificate | None:
    try:
        return x509.leaf_of_pem(lineage.read_bytes(file.live / "cert.pem"))
    except ExodusError:
        return None


def _pairs(inventory: Inventory) -> tuple[Pair, ...]:
    return tuple(dict.fromkeys(item.pair for item in inventory.expected if item.pair is not None))


def _versions(certbot_dir: Path) -> dict[str, Path]:
    """Map the SHA-256 of every certificate that certbot keeps to its lineage's folder."""
    found = {}
    for path in seeing.matches(certbot_dir / "archive", "*/cert*.pem"):
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


def _overdue(run: Run, files: Sequence[RenewalFile], environ: Mapping[str, str]) -> Iterator[Finding]:
    """Compare the CAs' own renewal windows, and certbot's rule where there is none, with the clock."""
    now, windows = run.clock.now(), renewals.information(run, environ).windows(files)
    for window in windows:
        if window.end is None:
            yield warning(f"lineage {window.lineage}", window.problem, "certbot renew --dry-run")
    rule_of = rules.of_lineages(files, windows, rules.installed_version())
    for file in files:
        leaf, rule = _leaf(file), rule_of.get(file.live)
        late = [] if leaf is None else _lateness(leaf, rule, now)
        if late:
            yield critical(f"lineage {file.name}", "; ".join(late), f"certbot renew --cert-name {file.name}")


def _lateness(leaf: Certificate, rule: Renewal | None, now: datetime) -> list[str]:
    late = [f"expired on {leaf.not_after:%Y-%m-%d %H:%M} UTC"] if leaf.not_after <= now else []
    if rule and now > ages.overdue_at(leaf, rule):
        whose = "its CA wanted it renewed" if rule.window_end else "certbot was to renew it"
        late.append(f"overdue: {whose} before {ages.due_at(leaf, rule):%Y-%m-%d %H:%M} UTC")
    return late


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
                "certbot", message, "install it where certbot is (docs/install.md: the plugin), or adopt --undo --all"
            )
        else:
            yield ok("certbot", f"{found.path} loads the plugin {PLUGIN}")
