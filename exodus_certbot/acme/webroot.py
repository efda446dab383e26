"""Look at a webroot: who else may write there, and whether it is still there after a reboot."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from exodus_certbot.acme.challenge import FOLDER
from exodus_certbot.findings import Finding, warning

# file-hierarchy(7): emptied at boot, or by systemd-tmpfiles after some days.
_SHORT_LIVED = ("/tmp", "/var/tmp", "/run", "/var/run", "/dev/shm")  # noqa: S108 - compared with, never written to
_MEMORY = ("tmpfs", "ramfs")
_MOUNTS = Path("/proc/self/mounts")


def mounts() -> str:
    """Read which filesystems are mounted where (proc_pid_mounts(5))."""
    return _MOUNTS.read_text("utf-8", "surrogateescape")


def findings_of(webroot: Path, mounts: str) -> Iterator[Finding]:
    """Say what is wrong with a webroot; `mounts` is what `mounts()` gives."""
    subject = f"webroot {webroot}"
    if not webroot.is_dir():
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
    within = [place for place in (real / FOLDER, (real / FOLDER).parent) if place.is_dir()]
    for folder in (*within, real, *real.parents):
        by_whom = _writable_by(folder, may_be_sticky=folder in real.parents)
        if by_whom:
            yield warning(
                subject,
                f"{by_whom} may write to {folder}, and so answer the CA's challenges in your name",
                f"move the webroot below folders that only root can write to, or: chmod go-w {folder}",
            )
            return


def _is_short_lived(folder: Path, mounts: str) -> bool:
    return any(folder.is_relative_to(place) for place in _SHORT_LIVED) or _filesystem(folder, mounts) in _MEMORY


def _filesystem(folder: Path, mounts: str) -> str:
    """Give the type of the filesystem a folder is on: that of the longest mount point above it."""
    table = [line.split(" ") for line in mounts.splitlines() if line.count(" ") >= 2]
    above = [(len(place), kind) for _, place, kind, *_ in table if folder.is_relative_to(_unescaped(place))]
    return max(above, default=(0, ""))[1]


def _unescaped(place: str) -> str:
    return place.encode().decode("unicode_escape") if "\\" in place else place


def _writable_by(folder: Path, *, may_be_sticky: bool) -> str:
    """Name who else may put files there; a sticky folder above the webroot lets nobody replace what is in it."""
    mode = folder.stat().st_mode
    if may_be_sticky and mode & stat.S_ISVTX:
        return ""
    if mode & stat.S_IWOTH:
        return "every user"
    return "the group" if mode & stat.S_IWGRP and folder.stat().st_gid != 0 else ""
