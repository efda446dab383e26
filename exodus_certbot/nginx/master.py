"""The door to nginx's masters: which run on this machine, which of them is meant, and its workers."""

import os
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from exodus_certbot.errors import NginxError, NginxNotRunning, NginxUnclear
from exodus_certbot.nginx import command_line, config, files, proc
from exodus_certbot.nginx.command_line import CommandLine
from exodus_certbot.nginx.config import ConfigUnreadable
from exodus_certbot.nginx.proc import Process
from exodus_certbot.nginx.program import Nginx
from exodus_common.render import printable

_ROOT = 0
_WORKER = re.compile(rb"[\w.+-]+: worker process.*", re.DOTALL)
_SHUTTING_DOWN = b"is shutting down"
_PID_DIRECTIVE = re.compile(rb"(?:^|[\s;}])pid\s+[\"']?([^\s\"';]+)[\"']?\s*;")


@dataclass(frozen=True, slots=True)
class Master:
    """Hold a master that runs, and `nginx` as it runs it; `names_itself` tells that its pid file is right."""

    process: Process
    nginx: Nginx
    names_itself: bool = True

    @property
    def pid(self) -> int:
        """Give its process id."""
        return self.process.pid


@dataclass(frozen=True, slots=True)
class Generation:
    """Hold the workers of a master at one moment that accept connections."""

    accepting: frozenset[Process]

    def replaced(self, earlier: "Generation") -> bool:
        """Tell whether new workers accept and none of an earlier generation does any more."""
        return bool(self.accepting - earlier.accepting) and not (self.accepting & earlier.accepting)


@dataclass(frozen=True, slots=True)
class _Running:
    """Hold a process that calls itself an nginx master, and what may be known of it by anybody."""

    process: Process
    line: CommandLine
    uid: int | None
    is_elsewhere: bool

    @property
    def pid(self) -> int:
        return self.process.pid


def find_master(nginx: Nginx) -> Master:
    """Find the master that runs with a configuration; never by starting, testing or signalling anything.

    Raises `NginxUnclear` where it cannot be told, or is not to be reached from here, else `NginxNotRunning`; both say
    what runs in its place.
    """
    running = tuple(_running())
    here = [each for each in running if not each.is_elsewhere]
    named = [each for each in here if _may_mean(each, nginx) and _pid_in_file(_as_run(nginx, each)) == each.pid]
    meant = named or _trusted([each for each in here if _same_file(_conf_of(each, nginx), nginx.conf)])
    for old in here:
        if any(proc.parent(new.pid) == old.pid for new in meant):
            raise _upgrading(old.pid, meant[0].pid)
    if len(meant) != 1:
        raise _none_is_meant(nginx, running, [each.pid for each in meant])
    return Master(meant[0].process, _as_run(nginx, meant[0]), names_itself=bool(named))


def _running() -> Iterator[_Running]:
    """List what calls itself an nginx master."""
    for pid in proc.pids():
        line = command_line.of_master(proc.title(pid))
        process = proc.process(pid) if line is not None else None
        if line is not None and process is not None:
            status = proc.status(pid)
            is_elsewhere = status.is_contained or proc.root(pid) not in (None, "/")
            yield _Running(process, line, status.uid, is_elsewhere)


def _trusted(running: Sequence[_Running]) -> Sequence[_Running]:
    """Leave out what anybody could have started, where root has started one."""
    return [each for each in running if each.uid == _ROOT] or running


def _may_mean(running: _Running, nginx: Nginx) -> bool:
    """Tell whether it may run with this configuration: it says so, or says nothing and its pid file decides."""
    return running.line.conf is None or _same_file(_conf_of(running, nginx), nginx.conf)


def _conf_of(running: _Running, nginx: Nginx) -> str:
    """Give the main file that a master was started with, relative to its prefix or built in."""
    return _as_run(nginx, running).full_path(running.line.conf or nginx.default_conf)


def _as_run(nginx: Nginx, running: _Running) -> Nginx:
    """Give nginx with the options of a master's command line; what is relative there is so to where it was started."""
    prefix = running.line.prefix or nginx.prefix
    if not prefix.startswith("/"):
        prefix = f"{proc.folder(running.pid) or ''}/{prefix}"
    return replace(nginx, prefix=prefix, directives=running.line.directives or "")


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)  # noqa: PTH121 - nginx's paths may hold bytes that are not UTF-8
    except OSError:
        return one == other


def _pid_in_file(nginx: Nginx) -> int:
    try:
        return int(Path(pid_file(nginx)).read_bytes().strip() or b"0")
    except (OSError, ValueError):
        return 0


def pid_file(nginx: Nginx) -> str:
    """Give the file for the master's process id; a configuration that is broken elsewhere must not hide the master."""
    try:
        said = (*config.parse(nginx.directives, file="-g"), *files.main_directives(nginx.conf))
        named = [directive.args[0] for directive in said if directive.name == "pid" and directive.args]
    except ConfigUnreadable:
        named = [os.fsdecode(found) for found in _PID_DIRECTIVE.findall(proc.bytes_of(Path(nginx.conf)))]
    return nginx.full_path(named[0] if named else nginx.default_pid_file)


def _upgrading(old: int, new: int) -> NginxUnclear:
    return NginxUnclear(
        f"nginx's program is being replaced: masters {old} (the old one) and {new} both serve; finish it "
        f"(kill -QUIT {old}) or take it back (kill -HUP {old}; kill -QUIT {new}), then run: exodus-certbot reconcile"
    )


def _none_is_meant(nginx: Nginx, running: Sequence[_Running], several: Sequence[int]) -> NginxError:
    """Say what runs in its place; what already runs may be in the way of starting it."""
    conf, file = printable(nginx.conf), printable(pid_file(nginx))
    if several:
        masters = " and ".join(map(str, several))
        return NginxUnclear(f"masters {masters} run with {conf}, {file} names neither: write the right one into it")
    away = [each for each in running if each.is_elsewhere and _conf_of(each, nginx) == nginx.conf]
    others = [each for each in running if each.line.conf and not each.is_elsewhere]
    if away:
        return NginxUnclear(
            f"nginx does not run with {conf} here, yet its master {away[0].pid} does in a container or a root of its "
            "own, with other files than we see: run exodus-certbot in there; nothing was changed"
        )
    why = f"nginx is not running with {conf}: its pid file {file} names no nginx master"
    return NginxNotRunning(f"{why}; {_what_next(nginx, running, others)}; nothing was changed")


def _what_next(nginx: Nginx, running: Sequence[_Running], others: Sequence[_Running]) -> str:
    masters = {each.pid for each in running}
    for pid in proc.pids():
        if _WORKER.fullmatch(proc.title(pid)) and proc.parent(pid) not in masters:
            return f"yet worker {pid} of a master that died still runs and holds its ports: end it, then start nginx"
    if others:
        conf = printable(_conf_of(others[0], nginx))
        return f"yet master {others[0].pid} runs with {conf}: if that is meant, name it with --nginx-conf"
    return "start it, for example: systemctl start nginx"


def workers(master: Process) -> Generation:
    """List the master's workers that accept connections, by asking /proc."""
    children = (proc.process(pid) for pid in proc.pids() if proc.parent(pid) == master.pid)
    return Generation(frozenset(child for child in children if child is not None and _accepts(child.pid)))


def _accepts(pid: int) -> bool:
    title = proc.title(pid)
    return bool(_WORKER.fullmatch(title)) and _SHUTTING_DOWN not in title


def is_alive(process: Process) -> bool:
    """Tell whether this very process still runs."""
    return proc.process(process.pid) == process


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
