"""Decide whether anybody reloads nginx once certbot has renewed a lineage."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from exodus_certbot.certbot.renewal_files import PLUGIN, RenewalFile
from exodus_certbot.findings import Finding, critical, ok, warning

_HOOK_PARAMS = ("renew_hook", "deploy_hook")
_OUR_COMMAND = "exodus-certbot"


@dataclass(frozen=True, slots=True)
class Hooks:
    """Say what is in certbot's folder of deploy hooks: those that call us, and which of them certbot may execute."""

    ours: tuple[Path, ...] = ()
    executable: tuple[Path, ...] = ()


def hooks_in(certbot_dir: Path) -> Hooks:
    """Look into `renewal-hooks/deploy`, whose executable files certbot runs after each renewal."""
    found = [path for path in sorted((certbot_dir / "renewal-hooks/deploy").glob("*")) if _is_ours(path)]
    return Hooks(tuple(found), tuple(path for path in found if path.stat().st_mode & 0o111))


def _is_ours(path: Path) -> bool:
    try:
        return path.is_file() and (path.name == _OUR_COMMAND or _OUR_COMMAND.encode() in path.read_bytes())
    except OSError:
        return False


def findings_of(
    file: RenewalFile, *, is_used: bool, adopted: Collection[str], hooks: Hooks, is_reconciled: bool
) -> Finding:
    """Judge one lineage; `adopted` are the renewal files that once named our plugin, `is_reconciled` is our timer."""
    subject, adopt = f"lineage {file.name}", f"exodus-certbot adopt {file.name}"
    if file.installer == PLUGIN:
        return ok(subject, f"certbot calls {PLUGIN} for it")
    if file.installer is None and str(file.path) in adopted:
        lost = f"certbot has dropped its installer {PLUGIN} (as it does with one that it cannot load)"
        return critical(subject, lost, f"see that certbot can load it (below), then: {adopt}")
    if not is_used:
        return ok(subject, "nginx does not use it")
    if hooks.executable or any(_OUR_COMMAND in file.params.get(param, "") for param in _HOOK_PARAMS):
        return ok(subject, "the deploy hook is called for it; with the plugin certbot itself would fail where it fails")
    nobody = "neither the plugin nor the hook"
    if file.installer:
        nobody += f" (its installer is {file.installer}, which does not prove what is served)"
    if is_reconciled:
        return warning(subject, f"{nobody}: only the timer reloads nginx after a renewal", adopt)
    return critical(subject, f"{nobody}: nothing reloads nginx after a renewal, and the old certificate expires", adopt)


def of_hooks(hooks: Hooks) -> Iterator[Finding]:
    """Complain of hooks that certbot passes over without a word."""
    for path in hooks.ours:
        if path not in hooks.executable:
            yield critical(
                f"hook {path}", "it is not executable: certbot passes over it in silence", f"chmod +x {path}"
            )
