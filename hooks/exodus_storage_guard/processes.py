"""The door to processes and their users: who is at work on something, and whether they still are."""

import os
import pwd
import socket
from contextlib import suppress
from pathlib import Path
from uuid import UUID

_MACHINE_ID = Path("/etc/machine-id")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_UNKNOWN_BOOT = "unknown"
BOOT_ID_VARIABLE = "EXODUS_BOOT_ID"
"""Tells the boot (%b of systemd.unit(5)) where a unit shows processes alone in /proc (ProcSubset=pid)."""


def this_process() -> str:
    """Name this very process: host, boot, process id and start (proc_pid_stat(5)); no later one is taken for it."""
    pid = os.getpid()
    return f"{_machine()} {_boot_id()} {pid} {_started(pid)}"


def process(pid: int) -> str | None:
    """Name a process of this machine as `this_process` does; None where it is gone, or not shown to us."""
    started = _started(pid) if pid > 0 else ""
    return f"{_machine()} {_boot_id()} {pid} {started}" if started else None


def is_of_this_machine(owner: str) -> bool:
    """Tell whether an owner runs, or ran, on this very machine."""
    return owner.split(" ")[0] == _machine()


def is_alive(owner: str) -> bool:
    """Tell whether an owner may still be at work; one on another machine may be, for all we know."""
    try:
        host, boot_id, pid, started = owner.split(" ")
    except ValueError:
        return False
    if host != _machine():
        return True
    if not _may_be_this_boot(boot_id) or not started or not pid.isdecimal():
        return False
    return _started(int(pid)) == started or _is_hidden(int(pid))


def user_name(uid: int) -> str:
    """Name a user to people."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _is_hidden(pid: int) -> bool:
    """Tell whether there is a process that /proc does not show us (hidepid, ProtectProc=): it may be the one."""
    if Path(f"/proc/{pid}").exists():
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return False


def _machine() -> str:
    """Name this machine: many are called localhost, or debian (machine-id(5))."""
    try:
        return f"{socket.gethostname()}/{_MACHINE_ID.read_text('ascii').strip()[:12]}"
    except (OSError, UnicodeDecodeError):
        return socket.gethostname()


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        with suppress(ValueError):
            return str(UUID(os.environ.get(BOOT_ID_VARIABLE, "")))
    return _UNKNOWN_BOOT


def _may_be_this_boot(boot_id: str) -> bool:
    """Tell whether it is this boot, for all we know: who cannot tell holds nobody for dead."""
    ours = _boot_id()
    return boot_id == ours or _UNKNOWN_BOOT in (boot_id, ours)


def _started(pid: int) -> str:
    """Give a process' start in clock ticks since boot; nothing where it is gone, or dead and not yet waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
