"""Decide whether anybody reloads nginx once certbot has renewed a lineage, and proves it."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from exodus_certbot.certbot.plan import Plan
from exodus_certbot.certbot.renewal_files import PLUGIN
from exodus_certbot.findings import Finding, critical, ok, warning
from exodus_common import seeing

_OUR_COMMAND = "exodus-certbot"
_SERVER = re.compile(r"nginx|openresty|angie|tengine")
_MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Hooks:
    """Say what is in certbot's folders of hooks, and what else runs certbot with hooks.

    `ours` call us, and certbot may execute those in `executable`; `reloading` say what reloads nginx for all lineages.
    """

    ours: tuple[Path, ...] = ()
    executable: tuple[Path, ...] = ()
    reloading: tuple[str, ...] = ()


def hooks_in(certbot_dir: Path, commands: Collection[str] = ()) -> Hooks:
    """Look into `renewal-hooks/deploy` and `post`; `commands` are those by which a timer or cron runs certbot."""
    found = {kind: seeing.matches(certbot_dir / "renewal-hooks" / kind, "*") for kind in ("deploy", "post")}
    ours = [path for path in found["deploy"] if _is_ours(path)]
    others = [path for kind in found.values() for path in kind if path not in ours and _is_executable(path)]
    reloading = [str(path) for path in others if _names_server(str(path))]
    reloading += [command for command in commands if _SERVER.search(command) or f"{_OUR_COMMAND} deploy" in command]
    return Hooks(tuple(ours), tuple(path for path in ours if _is_executable(path)), tuple(reloading))


def _is_executable(path: Path) -> bool:
    return seeing.is_file(path) and bool(path.stat().st_mode & 0o111)


def _is_ours(path: Path) -> bool:
    return seeing.is_file(path) and (path.name == _OUR_COMMAND or _OUR_COMMAND in _text(path))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def _names_server(command: str) -> bool:
    """Tell whether a hook has to do with nginx: by its own words, or by those of the script that it names."""
    script = Path((command.split() or [""])[0])
    return bool(
        _SERVER.search(command) or (script.is_absolute() and seeing.is_file(script) and _SERVER.search(_text(script)))
    )


def findings_of(plan: Plan, *, is_used: bool, adopted: Collection[str], hooks: Hooks, is_reconciled: bool) -> Finding:
    """Judge one lineage; `adopted` are the renewal files that once named our plugin, `is_reconciled` is our timer."""
    file = plan.file
    subject, adopt = f"lineage {file.name}", f"exodus-certbot adopt {file.name}"
    installer = plan.settings.get("installer") or file.installer
    if installer == PLUGIN:
        return ok(subject, f"certbot calls {PLUGIN} for it")
    if installer is None and str(file.path) in adopted:
        lost = f"certbot has dropped its installer {PLUGIN} (as it does with one that it cannot load)"
        return critical(subject, lost, f"see that certbot can load it (below), then: {adopt}")
    if not is_used:
        return ok(subject, "nginx does not use it")
    if hooks.executable or any(_OUR_COMMAND in command for command in (plan.deploy_hook, *hooks.reloading)):
        return _by_our_hook(plan, subject, adopt)
    reloading = _what_reloads(plan, installer, hooks)
    nobody = f"neither the plugin nor the hook ({reloading})" if reloading else "neither the plugin nor the hook"
    if reloading or is_reconciled:
        then = "nothing makes certbot fail where nginx is not proven to serve what was renewed"
        return warning(
            subject, f"{nobody}: {then if reloading else 'only the timer reloads nginx after a renewal'}", adopt
        )
    return critical(subject, f"{nobody}: nothing reloads nginx after a renewal, and the old certificate expires", adopt)


def _by_our_hook(plan: Plan, subject: str, adopt: str) -> Finding:
    pre_hook = plan.command("pre_hook")
    if "stop" in pre_hook and _SERVER.search(pre_hook):
        message = (
            f"its pre_hook ({pre_hook}) stops nginx, and the deploy hook is run before it is started: it must fail"
        )
        return warning(subject, message, adopt)
    return ok(subject, "the deploy hook is called for it; with the plugin certbot itself would fail where it fails")


def _what_reloads(plan: Plan, installer: str | None, hooks: Hooks) -> str:
    """Name the first of what has certbot reload nginx without a proof; empty where nothing does."""
    if installer and _SERVER.search(installer):
        return f"its installer is {installer}, which does not prove what is served"
    for kind, command in (("deploy hook", plan.deploy_hook), ("post_hook", plan.command("post_hook"))):
        if _names_server(command):
            return f"its {kind} is {command}: it reloads and proves nothing"
    return f"{hooks.reloading[0]}: it reloads and proves nothing" if hooks.reloading else ""


def of_hooks(hooks: Hooks) -> Iterator[Finding]:
    """Complain of hooks that certbot passes over without a word."""
    for path in hooks.ours:
        if path not in hooks.executable:
            yield critical(
                f"hook {path}", "it is not executable: certbot passes over it in silence", f"chmod +x {path}"
            )
