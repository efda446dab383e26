"""Make the running nginx take up its configuration, and know whether it did."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from exodus_certbot.errors import ReloadFailed
from exodus_certbot.nginx import master as processes
from exodus_certbot.nginx import proc
from exodus_certbot.nginx.master import Generation, Master
from exodus_common.clock import Deadline
from exodus_common.process import run
from exodus_common.render import printable

_SYSTEMD_RUNS = Path("/run/systemd/system")
_EMERGENCY = re.compile(rb"\[emerg\] (\d+)#\d+: (.*)")
# The master tries a busy address five times; only "still could not bind()" is its last word.
_NOT_FINAL = re.compile(rb"bind\(\) to .* failed \(98")
_LONGEST_PAUSE_SECONDS = 0.04
# A signal is for an instant neither pending nor obeyed yet; its sender may be a command that systemd starts.
_IDLE_IN_A_ROW = 5
_MOST_LOG_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class LogMark:
    """Remember where an error log ended, to read later only what is new."""

    path: str
    inode: int
    size_bytes: int

    @classmethod
    def at_end(cls, path: str) -> "LogMark":
        """Mark the present end of a log, which need not exist yet."""
        try:
            status = os.stat(path)  # noqa: PTH116 - nginx's paths may hold bytes that are not UTF-8
        except OSError:
            return cls(path, 0, 0)
        return cls(path, status.st_ino, status.st_size)

    def new_bytes(self) -> bytes:
        """Read what was written since, from the start where the log was rotated or truncated."""
        try:
            with open(self.path, "rb") as log:  # noqa: PTH123 - nginx's paths may hold bytes that are not UTF-8
                status = os.fstat(log.fileno())
                same = status.st_ino == self.inode and status.st_size >= self.size_bytes
                log.seek(max(self.size_bytes if same else 0, status.st_size - _MOST_LOG_BYTES))
                return log.read(_MOST_LOG_BYTES)
        except OSError:
            return b""


def reload(master: Master, error_logs: Iterable[str], deadline: Deadline) -> None:
    """Reload nginx and return when its new workers accept and its old ones do not any more.

    Uses the systemd unit where it owns this master, else the master's own signal; never starts or restarts nginx.
    Raises `ReloadFailed` with the new lines of nginx's error log when it keeps the old configuration.
    """
    before = _workers_to_be_replaced(master, deadline)
    marks = [LogMark.at_end(path) for path in error_logs]
    unit = owning_unit(master, deadline)
    if unit is None:
        processes.signal_reload(master.process)
    else:
        _reload_unit(unit, deadline)
    _wait_for_new_workers(master, before, marks, deadline)


def _workers_to_be_replaced(master: Master, deadline: Deadline) -> Generation:
    """List the present workers; an nginx that has just started may not have any yet."""
    for _ in deadline.poll(most_seconds=_LONGEST_PAUSE_SECONDS):
        present = processes.workers(master.process)
        if present.accepting:
            return present
    raise ReloadFailed(f"nginx master {master.pid} has no workers; nothing was changed; see its error log")


def owning_unit(master: Master, deadline: Deadline) -> str | None:
    """Name the active systemd unit whose main process is this master and which knows how to reload it.

    None where the pid file does not name the master: that is what a unit's own reload goes by.
    """
    unit = proc.unit(master.pid) if master.names_itself else None
    if unit is None or not _SYSTEMD_RUNS.is_dir():
        return None
    show = ["systemctl", "show", "--property=MainPID,ActiveState,CanReload", "--", unit]
    answer = run(show, timeout_seconds=deadline.remaining_seconds()).stdout.decode("utf-8", "replace").split()
    owns = {f"MainPID={master.pid}", "ActiveState=active", "CanReload=yes"} <= set(answer)
    return unit if owns else None


def _reload_unit(unit: str, deadline: Deadline) -> None:
    answer = run(["systemctl", "reload", "--", unit], timeout_seconds=deadline.remaining_seconds())
    if answer.exit_code != 0:
        said = printable(answer.stderr.decode("utf-8", "replace").strip())
        raise ReloadFailed(f"systemctl reload {unit} failed: {said}; see: journalctl -u {unit}")


def _wait_for_new_workers(master: Master, before: Generation, marks: list[LogMark], deadline: Deadline) -> None:
    idle_in_a_row = 0
    for _ in deadline.poll(most_seconds=_LONGEST_PAUSE_SECONDS):
        is_idle, present = proc.status(master.pid).awaits_signals, processes.workers(master.process)
        if present.replaced(before):
            return
        last_words = final_emergencies(master, marks)
        if last_words:
            raise _rejected(f": {' / '.join(last_words)}")
        if not processes.is_alive(master.process):
            raise ReloadFailed(f"nginx master {master.pid} ended during the reload; see its error log")
        idle_in_a_row = idle_in_a_row + 1 if is_idle and not present.accepting - before.accepting else 0
        if idle_in_a_row > _IDLE_IN_A_ROW:
            raise _rejected(f", and says why in {_where_it_logs(master, marks)}")
    raise ReloadFailed(
        f"nginx did not change its workers in time after the reload; see {_where_it_logs(master, marks)}"
    )


def _rejected(why: str) -> ReloadFailed:
    return ReloadFailed(
        f"nginx rejected the reload and keeps the old configuration{why}; mend it, then run: exodus-certbot reconcile"
    )


def _where_it_logs(master: Master, marks: list[LogMark]) -> str:
    """Say where a person finds the master's words; a standard error that systemd has is its journal."""
    logs = ", ".join(printable(mark.path) for mark in marks)
    unit = proc.unit(master.pid)
    return logs or (f"journalctl -u {unit}" if unit else "its standard error: it has no error log that is a file")


def final_emergencies(master: Master, marks: list[LogMark]) -> tuple[str, ...]:
    """Give the new [emerg] lines with which this master gave up; those of other nginx processes are not its."""
    found = (
        match[2]
        for mark in marks
        for match in _EMERGENCY.finditer(mark.new_bytes())
        if int(match[1]) == master.pid and not _NOT_FINAL.search(match[2])
    )
    return tuple(dict.fromkeys(printable(line.decode("utf-8", "surrogateescape")) for line in found))
