"""The story of `adopt`: have certbot call our plugin for a lineage, and with `undo` whatever it called before.

It writes the one line that `certbot reconfigure --installer exodus-nginx` writes; certbot 2.1.0 has no such command.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exodus_certbot.certbot import adopted, lock, program, renewal_files
from exodus_certbot.certbot.renewal_files import PLUGIN, RenewalFile, installer_line
from exodus_common import seeing
from exodus_common.durable import write_atomically
from exodus_common.errors import ExodusError, UsageError
from exodus_common.render import printable

# What `--all` may replace: whoever has another installer for a lineage has it for a reason.
_REPLACEABLE = (None, "nginx", PLUGIN)
_OUR_LINE = f"installer = {PLUGIN}\n"


@dataclass(frozen=True, slots=True)
class Change:
    """Report one lineage: its installer before and after, and what a person should know."""

    lineage: str
    before: str | None
    after: str | None
    message: str


def adopt(
    certbot_dir: Path, state_dir: Path, names: Sequence[str], environ: Mapping[str, str], *, undo: bool
) -> tuple[Change, ...]:
    """Write our plugin into the renewal files of these lineages, of all without `names`; with `undo` take it out.

    Nothing is written where any of the names is unknown, any file unfit, or the certbot on PATH cannot load the plugin.
    Raises TryLater while a certbot runs.
    """
    if not undo:
        _refuse_what_certbot_would_drop(environ)
    with lock.held(certbot_dir):
        files = _chosen(certbot_dir, names)
        memory = adopted.recalled(state_dir)
        plans = [_undone(file, memory) if undo else _adopted(file, named=bool(names)) for file in files]
        changing = [file for file, plan in zip(files, plans, strict=True) if plan.before != plan.after]
        old = {file.path: _read(file.path) for file in changing}
        lines = {path: memory.get(str(path)) if undo else _OUR_LINE for path in old}
        new = {path: _edited(path, text, lines[path]) for path, text in old.items()}
        if not undo:
            # Before the files: a crash between the two must not lose what they say now.
            adopted.remember(state_dir, memory | {str(path): installer_line(text) for path, text in old.items()})
        for path, text in new.items():
            _write(path, text)
        if undo:
            adopted.remember(state_dir, {path: line for path, line in memory.items() if Path(path) not in old})
    return tuple(plans)


def _refuse_what_certbot_would_drop(environ: Mapping[str, str]) -> None:
    """Raise where certbot would renew without the plugin and erase it from the file; what cannot be asked may be so."""
    certbot = program.find_certbot(environ)
    why_not = program.why_not_loadable(certbot.python, environ) if certbot and certbot.python else ""
    if certbot and why_not:
        raise ExodusError(
            f"{printable(certbot.path)} ({printable(certbot.python or '')}) cannot load the plugin {PLUGIN}: "
            f"{printable(why_not)}; nothing was changed, since certbot would drop it at the next renewal; "
            "install exodus-certbot for that Python (docs/install.md: the plugin), or use the deploy hook"
        )


def _chosen(certbot_dir: Path, names: Sequence[str]) -> tuple[RenewalFile, ...]:
    """Find the renewal files by lineage name, or by the lineage's folder."""
    if not names:
        return renewal_files.all_in(certbot_dir)
    wanted = dict.fromkeys(Path(name).name for name in names)
    return tuple(_existing(certbot_dir, name) for name in wanted)


def _existing(certbot_dir: Path, name: str) -> RenewalFile:
    path = certbot_dir / "renewal" / f"{name}.conf"
    if not name or not seeing.is_file(path):
        known = ", ".join(file.name for file in renewal_files.all_in(certbot_dir)) or "none"
        raise UsageError(
            f"there is no lineage {printable(name)!r} in {printable(str(certbot_dir))} (there: {printable(known)}); "
            "nothing was changed"
        )
    return renewal_files.read(path)


def _adopted(file: RenewalFile, *, named: bool) -> Change:
    before = file.installer
    if before == PLUGIN:
        return Change(file.name, before, PLUGIN, f"has the installer {PLUGIN} already")
    if not named and before not in _REPLACEABLE:
        return Change(file.name, before, before, f"left alone: its installer is {before}; name it to replace that")
    instead = f" in place of {before}" if before else ""
    return Change(file.name, before, PLUGIN, f"certbot calls {PLUGIN}{instead} from now on")


def _undone(file: RenewalFile, memory: Mapping[str, str | None]) -> Change:
    before = file.installer
    if before != PLUGIN:
        return Change(file.name, before, before, f"left alone: its installer is {before or 'none'}, not {PLUGIN}")
    line = memory.get(str(file.path))
    after = renewal_files.parse(file.path, f"[renewalparams]\n{line or ''}").installer
    return Change(file.name, before, after, f"certbot calls {after} again" if after else "certbot calls no installer")


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise ExodusError(f"{printable(str(path))}: {error}; nothing was changed") from error


def _edited(path: Path, text: str, line: str | None) -> str:
    try:
        return renewal_files.with_installer_line(text, line)
    except ValueError as error:
        raise ExodusError(f"{printable(str(path))}: {error}; nothing was changed") from error


def _write(path: Path, text: str) -> None:
    try:
        status = path.stat()
        write_atomically(path, text.encode(), mode=status.st_mode & 0o7777)
        if os.geteuid() == 0:
            os.chown(path, status.st_uid, status.st_gid)
    except OSError as error:
        raise ExodusError(f"cannot write {printable(str(path))}: {error.strerror}; run it again as root") from error
