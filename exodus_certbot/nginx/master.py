"""The door to nginx's processes: its master, the systemd unit that owns it, its workers."""

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from exodus_certbot.errors import NginxNotRunning
from exodus_certbot.nginx.config import ConfigUnreadable
from exodus_certbot.nginx.program import Nginx, main_directives
from exodus_common.render import printable

_PROC = Path("/proc")
_MASTER_TITLE = b"nginx: master process"
_WORKER_TITLE = b"nginx: worker process"
_SHUTTING_DOWN = b"is shutting down"
_PID_DIRECTIVE = re.compile(rb"(?:^|[\s;}])pid\s+[\"']?([^\s\"';]+)[\"']?\s*;")


@dataclass(frozen=True, slots=True)
class Process:
    """Name one process for good: the kernel gives a process id again, but not with the same start time."""

    pid: int
    started_ticks: int


@dataclass(frozen=True, slots=True)
class Generation:
    """Hold the workers of a master at one moment that accept connections."""

    accepting: frozenset[Process]

    def replaced(self, earlier: "Generation") -> bool:
        """Tell whether new workers accept and none of an earlier generation does any more."""
        return bool(self.accepting - earlier.accepting) and not (self.accepting & earlier.accepting)


def find_master(nginx: Nginx) -> Process:
    """Find the running master by its pid file; never by starting, testing or signalling anything.

    Raises `NginxNotRunning`, which names a stray master where one runs without that pid file.
    """
    pid_file = _pid_file(nginx)
    try:
        pid = int(Path(pid_file).read_bytes().strip() or b"0")
    except (OSError, ValueError):
        pid = 0
    master = _process(pid)
    if master is not None and _title(pid).startswith(_MASTER_TITLE):
        return master
    raise NginxNotRunning(
        f"nginx is not running with {printable(nginx.conf)}: its pid file {printable(pid_file)} names no nginx master; "
        f"{_what_next(nginx)}; nothing was changed"
    )


def _pid_file(nginx: Nginx) -> str:
    """Read the `pid` directive; a configuration that is broken elsewhere must not hide the master."""
    try:
        named = [directive.args[0] for directive in main_directives(nginx) if directive.name == "pid"]
    except ConfigUnreadable:
        named = [os.fsdecode(found) for found in _PID_DIRECTIVE.findall(_bytes_of(Path(nginx.conf)))]
    return nginx.full_path(named[0]) if named else nginx.default_pid_file


def _what_next(nginx: Nginx) -> str:
    """Say what to do for nginx to run; what already runs may be in the way of starting it."""
    titles = {pid: _title(pid) for pid in _pids()}
    for pid, title in titles.items():
        if title.startswith(_MASTER_TITLE) and os.fsencode(nginx.conf) in title:
            return f"yet master {pid} runs with it and lost its pid file: write {pid} into that file"
        if title.startswith(_WORKER_TITLE) and not titles.get(_parent(pid), b"").startswith(_MASTER_TITLE):
            return f"yet worker {pid} of a master that died still runs and holds its ports: end it, then start nginx"
    return "start it, for example: systemctl start nginx"


def workers(master: Process) -> Generation:
    """List the master's workers that accept connections, by asking /proc."""
    children = (_process(pid) for pid in _pids() if _parent(pid) == master.pid)
    return Generation(frozenset(child for child in children if child is not None and _accepts(child.pid)))


def _accepts(pid: int) -> bool:
    title = _title(pid)
    return title.startswith(_WORKER_TITLE) and _SHUTTING_DOWN not in title


def is_alive(process: Process) -> bool:
    """Tell whether this very process still runs."""
    return _process(process.pid) == process


def signal_reload(master: Process) -> None:
    """Tell the master itself to reload (SIGHUP), and no other process that may have got its id meanwhile."""
    try:
        descriptor = os.pidfd_open(master.pid)
    except ProcessLookupError as error:
        raise NginxNotRunning(f"nginx master {master.pid} ended before it could be told to reload") from error
    try:
        if not is_alive(master):
            raise NginxNotRunning(f"nginx master {master.pid} ended before it could be told to reload")
        signal.pidfd_send_signal(descriptor, signal.SIGHUP)
    finally:
        os.close(descriptor)


def cgroup_unit(master: Process) -> str | None:
    """Name the systemd service whose control group the master is in, if any."""
    try:
        lines = (_PROC / str(master.pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    paths = [line.split(":", 2)[2] for line in lines if line.startswith("0::") or ":name=systemd:" in line]
    names = [path.rsplit("/", 1)[-1] for path in paths]
    return next((name for name in names if name.endswith(".service")), None)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208 - names only


def _title(pid: int) -> bytes:
    return _bytes_of(_PROC / str(pid) / "cmdline").rstrip(b"\0 ")


def _stat(pid: int) -> list[bytes]:
    """Split /proc/PID/stat after the command's name, which may itself hold blanks and parentheses (proc(5))."""
    return _bytes_of(_PROC / str(pid) / "stat").rpartition(b")")[2].split()


def _bytes_of(path: Path) -> bytes:
    """Read a file that may go away at any moment; empty where there is none."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _process(pid: int) -> Process | None:
    fields = _stat(pid) if pid > 0 else []
    return Process(pid, int(fields[19])) if fields and fields[0] != b"Z" else None
