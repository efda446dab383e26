"""The door to the nginx masters that run on this machine: what each is, and what it was started with."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from exodus_certbot.nginx import acting, command_line, mounts, proc, program
from exodus_certbot.nginx.acting import Untried
from exodus_certbot.nginx.command_line import CommandLine
from exodus_certbot.nginx.proc import Process, Status
from exodus_certbot.nginx.program import Nginx
from exodus_common.clock import Deadline
from exodus_common.process import CommandTimedOut
from exodus_common.render import printable

_ROOT = 0
_MOST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """Hold a process that calls itself an nginx master, and `nginx` as it runs it.

    `says_conf` tells that its title says which main file it has; `is_contained` that it has a root or
    process ids of its own, `is_unlike` that what we see at its main file's path is another file. `unknown_program` says
    why its program cannot be asked anything, `has_usual_prefix` that its title names no other.
    """

    process: Process
    status: Status
    nginx: Nginx
    says_conf: bool
    is_contained: bool = False
    is_unlike: bool = False
    unknown_program: Untried | None = None
    has_usual_prefix: bool = True

    @property
    def pid(self) -> int:
        """Give its process id."""
        return self.process.pid

    @property
    def is_roots(self) -> bool:
        """Tell whether it has root's rights."""
        return self.status.uid == _ROOT

    @property
    def is_apart(self) -> bool:
        """Tell whether its files are not those that we see."""
        return self.is_contained or self.is_unlike


def masters(nginx: Nginx, deadline: Deadline) -> Iterator[Running]:
    """List what calls itself an nginx master; `nginx` is the program where it is not to be seen."""
    found = []
    for pid in proc.pids():
        line = command_line.of_master(proc.title(pid))
        process = proc.process(pid) if line is not None else None
        if line is not None and process is not None:
            found.append((process, line, proc.status(pid)))
    has_roots = any(status.uid == _ROOT for _, _, status in found)
    for process, line, status in found:
        # Beside root's, nobody else's program is asked: it could keep us waiting.
        is_asked = status.uid == _ROOT or not has_roots
        yield _running(nginx, process, line, status, deadline if is_asked else None)


def _running(nginx: Nginx, process: Process, line: CommandLine, status: Status, deadline: Deadline | None) -> Running:
    pid = process.pid
    is_contained = status.is_contained or proc.root(pid) not in (None, "/")
    # What is in there has its own files: nothing of it is run out here.
    built, why_unknown = (nginx, None) if is_contained else _program(nginx, pid, line, status, deadline)
    as_run = _as_run(built, pid, line)
    # A title has only the room that the arguments and the environment had: it may have been cut short.
    says_conf = line.conf is not None and os.path.isfile(as_run.conf)  # noqa: PTH113 - text, as in nginx
    is_unlike = not is_contained and bool(mounts.unlike(pid, [as_run.conf]))
    return Running(process, status, as_run, says_conf, is_contained, is_unlike, why_unknown, line.prefix is None)


def _program(
    nginx: Nginx, pid: int, line: CommandLine, status: Status, deadline: Deadline | None
) -> tuple[Nginx, Untried | None]:
    """Give nginx as the program that a process runs, or say why that cannot be asked."""
    path = proc.program(pid)
    if nginx.is_chosen or (path is not None and same_file(f"/proc/{pid}/exe", nginx.binary)):
        return nginx, None
    if path is None:
        is_other = line.program.startswith("/") and not same_file(line.program, nginx.binary)
        return nginx, _not_to_be_seen(line.program) if is_other else None
    if not same_file(f"/proc/{pid}/exe", path):
        why = f"its program, {printable(path)}, is not what is in that place now"
        return nginx, Untried(why, "have it run the new one, for example: systemctl restart nginx")
    if deadline is None:
        return nginx, _not_to_be_seen(path)
    try:
        built = program.built_in(path, acting.run_as(status, [path, "-V"], deadline, most_seconds=_MOST_SECONDS))
    except (acting.CannotAct, CommandTimedOut) as why:
        return nginx, Untried(str(why), acting.REMEDY)
    return (built, None) if built else (nginx, _not_to_be_seen(path))


def _not_to_be_seen(path: str) -> Untried:
    return Untried(f"its program, {printable(path)}, is not to be seen as one from here", "name it with --nginx")


def _as_run(nginx: Nginx, pid: int, line: CommandLine) -> Nginx:
    """Give nginx with the options of a master's command line; what is relative there is so to where it was started."""
    prefix = line.prefix or nginx.prefix
    if not prefix.startswith("/"):
        prefix = f"{proc.folder(pid) or ''}/{prefix}"
    found = replace(nginx, prefix=prefix, directives=line.directives or "")
    return replace(found, conf=found.full_path(line.conf or nginx.default_conf))


def entering(pid: int, *, its_mounts: bool = False) -> str:
    """Say how to run us in the namespaces that a process does not share with us."""
    options = ("--mount" if its_mounts else "", "" if proc.has_our_network(pid) else "--net")
    return " ".join(("nsenter --target", str(pid), *filter(None, options), "exodus-certbot reconcile"))


def same_file(one: str, other: str) -> bool:
    """Tell whether two paths lead to one file."""
    try:
        return os.path.samefile(one, other)  # noqa: PTH121 - nginx's paths may hold bytes that are not UTF-8
    except OSError:
        return one == other
