"""The door to nginx's masters: which run on this machine, which of them is meant, and its workers."""

import os
import signal
from dataclasses import dataclass, replace

from exodus_certbot.errors import NginxNotRunning
from exodus_certbot.nginx import absent, command_line, distrust, proc
from exodus_certbot.nginx.acting import Untried
from exodus_certbot.nginx.pid_file import pid_file, pid_in_file
from exodus_certbot.nginx.proc import Process
from exodus_certbot.nginx.program import Nginx
from exodus_certbot.nginx.running import Running, masters, same_file
from exodus_common.clock import Deadline


@dataclass(frozen=True, slots=True)
class Master:
    """Hold a master that runs, and `nginx` as it runs it.

    `names_itself` tells that its pid file is right, `has_our_network` that who connects from here may reach it;
    `untried` says why nothing that it was started with may be tried.
    """

    process: Process
    nginx: Nginx
    names_itself: bool = True
    has_our_network: bool = True
    untried: Untried | None = None

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


def find_master(nginx: Nginx, deadline: Deadline) -> Master:
    """Find the master that runs with a configuration; never by starting, testing or signalling it.

    Raises `NginxUnclear` where it cannot be told, or is not to be reached from here, else `NginxNotRunning`; both say
    what runs in its place.
    """
    running = tuple(masters(nginx, deadline))
    here = [each for each in running if not each.is_apart]
    named = [each for each in here if _may_mean(each, nginx) and pid_in_file(_meant(each, nginx)) == each.pid]
    fitting = [each for each in here if same_file(each.nginx.conf, nginx.conf)]
    # Anybody can start one with this configuration, and give it a pid file: where root has, root's is meant.
    if any(each.is_roots for each in (*named, *fitting)):
        named, fitting = ([each for each in some if each.is_roots] for some in (named, fitting))
    # Each network namespace may have one; whoever looks in it looks after that one.
    meant = [each for each in named or fitting if proc.has_our_network(each.pid)] or named or fitting
    for old in here:
        if any(proc.parent(new.pid) == old.pid for new in meant):
            raise absent.upgrading(old.pid, meant[0].pid)
    if len(meant) != 1:
        raise absent.none_is_meant(nginx, running, [each.pid for each in meant], are_named=bool(named))
    return _found(meant[0], _meant(meant[0], nginx), is_named=bool(named))


def _found(one: Running, nginx: Nginx, *, is_named: bool) -> Master:
    untried = one.unknown_program or distrust.of(one, pid_file(nginx) if is_named else None)
    return Master(one.process, nginx, is_named, proc.has_our_network(one.pid), untried)


def _may_mean(running: Running, nginx: Nginx) -> bool:
    """Tell whether it may run with this configuration: it says so, or says nothing and its pid file decides."""
    return not running.says_conf or same_file(running.nginx.conf, nginx.conf)


def _meant(running: Running, nginx: Nginx) -> Nginx:
    """Give nginx as a master runs it, with the configuration's own name for its main file: includes go by that."""
    return running.nginx if running.says_conf else replace(running.nginx, conf=nginx.conf)


def workers(master: Process) -> Generation:
    """List the master's workers that accept connections, by asking /proc."""
    children = (proc.process(pid) for pid in proc.pids() if proc.parent(pid) == master.pid)
    return Generation(
        frozenset(child for child in children if child is not None and command_line.accepts(proc.title(child.pid)))
    )


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
