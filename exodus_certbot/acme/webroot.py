"""Look at a webroot: who else may write there, and whether it is still there after a reboot."""

import os
import pwd
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from exodus_certbot import settings
from exodus_certbot.acme.challenge import FOLDER
from exodus_certbot.findings import Finding, warning
from exodus_common import seeing

# file-hierarchy(7): emptied at boot, or by systemd-tmpfiles after some days.
_SHORT_LIVED = ("/tmp", "/var/tmp", "/run", "/var/run", "/dev/shm")  # noqa: S108 - compared with, never written to
_MEMORY = ("tmpfs", "ramfs")
_MOUNTS = Path("/proc/self/mounts")
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")


def mounts() -> str:
    """Read which filesystems are mounted where (proc_pid_mounts(5))."""
    return _MOUNTS.read_text("utf-8", "surrogateescape")


def findings_of(webroot: Path, mounts: str) -> Iterator[Finding]:
    """Say what is wrong with a webroot; `mounts` is what `mounts()` gives."""
    subject = f"webroot {webroot}"
    if not settings.is_folder(webroot):
        message = "there is no such folder; certbot makes it at the next renewal"
        yield warning(subject, message, f"mkdir -p {webroot}, or name the right one in the renewal file")
        return
    real = Path(os.path.realpath(webroot))
    if _is_short_lived(real, mounts):
        yield warning(
            subject,
            "a reboot deletes it, and systemd-tmpfiles may do so before",
            "move it to a place that lasts, such as /var/www/letsencrypt: in nginx.conf and in the renewal file",
        )
    place = webroot.absolute() / FOLDER
    ours = [Path(os.path.realpath(part)) for part in (place, place.parent, webroot)]
    for part in _on_the_way(place):
        told = _owned_by_another(subject, part) or _writable(subject, part, may_be_sticky=part not in ours)
        if told:
            yield told
            return


def _on_the_way(place: Path) -> Iterator[Path]:
    """Give the links and the folders that decide where a path leads, from its end on."""
    seen = dict[Path, None]()
    for part in (place, *place.parents):
        if seeing.is_folder(part):
            real = Path(os.path.realpath(part))
            seen |= dict.fromkeys((real, *real.parents))
        if seeing.is_link(part):
            holder = Path(os.path.realpath(part.parent))
            seen |= dict.fromkeys((holder / part.name, holder, *holder.parents))
    return iter(seen)


def _owned_by_another(subject: str, part: Path) -> Finding | None:
    owner = part.lstat().st_uid
    if owner in (0, os.geteuid()):
        return None
    message = (
        f"{part} is {_name(owner)}'s, who may answer the CA's challenges in your name; "
        "and certbot, run by root, follows whatever link is put there"
    )
    return warning(
        subject, message, f"move the webroot below folders that are root's, or: chown --no-dereference root {part}"
    )


def _writable(subject: str, folder: Path, *, may_be_sticky: bool) -> Finding | None:
    by_whom = "" if seeing.is_link(folder) else _writable_by(folder, may_be_sticky=may_be_sticky)
    if not by_whom:
        return None
    return warning(
        subject,
        f"{by_whom} may write to {folder}, and so answer the CA's challenges in your name",
        f"move the webroot below folders that only root can write to, or: chmod go-w {folder}",
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _is_short_lived(folder: Path, mounts: str) -> bool:
    return any(folder.is_relative_to(place) for place in _SHORT_LIVED) or _filesystem(folder, mounts) in _MEMORY


def _filesystem(folder: Path, mounts: str) -> str:
    """Give the type of the filesystem a folder is on: that of the longest mount point above it."""
    table = [line.split(" ") for line in mounts.splitlines() if line.count(" ") >= 2]
    above = [(len(place), kind) for _, place, kind, *_ in table if folder.is_relative_to(_unescaped(place))]
    return max(above, default=(0, ""))[1]


def _unescaped(place: str) -> str:
    """Read the kernel's octal numbers for blanks and the like, each of them a byte."""
    plain = _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), os.fsencode(place))
    return os.fsdecode(plain)


def _writable_by(folder: Path, *, may_be_sticky: bool) -> str:
    """Name who else may put files there; a sticky folder lets nobody replace what is there."""
    mode = folder.stat().st_mode
    if may_be_sticky and mode & stat.S_ISVTX:
        return ""
    if mode & stat.S_IWOTH:
        return "every user"
    return "the group" if mode & stat.S_IWGRP and folder.stat().st_gid != 0 else ""
