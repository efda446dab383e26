"""The door to running a program with the rights of an nginx master, less what it could change with them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from exodus_certbot.nginx.proc import Status
from exodus_common.clock import Deadline
from exodus_common.errors import ExodusError
from exodus_common.process import CommandMissing, Finished, run
from exodus_common.render import printable

_ROOT = 0
_NOBODY = 65534
_READS_ALL = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
_FAILED = b"setpriv: "
REMEDY = "give who asks CAP_SETUID, CAP_SETGID and CAP_DAC_READ_SEARCH, and install setpriv (util-linux)"


@dataclass(frozen=True, slots=True)
class Untried:
    """Say why nginx was not asked to judge its configuration, and what to do about it."""

    why: str
    remedy: str

    def __str__(self) -> str:
        return f"nginx was not asked whether it accepts its configuration, since {self.why}; {self.remedy}"


class CannotAct(ExodusError):
    """Say that nothing can be run with the rights of a master."""


def run_as(status: Status, argv: Sequence[str], deadline: Deadline, *, most_seconds: float = inf) -> Finished:
    """Run a program that may read what a process of this status may; root's as nobody, who may write nothing.

    Who is not root runs it as himself. Raises `CannotAct`.
    """
    try:
        done = run([*_become(status), *argv], timeout_seconds=min(deadline.remaining_seconds(), most_seconds))
    except CommandMissing as missing:
        raise CannotAct(str(missing)) from missing
    if done.exit_code != 0 and done.stderr.startswith(_FAILED):
        raise CannotAct(printable(done.stderr.decode("utf-8", "replace").strip()))
    return done


def _become(status: Status) -> tuple[str, ...]:
    if os.geteuid() != _ROOT:
        return ()
    is_root = status.uid in (None, _ROOT)
    user, group = (_NOBODY, _NOBODY) if is_root else (status.uid, status.gid)
    groups = () if is_root else status.groups
    others = ("--groups", ",".join(map(str, groups))) if groups else ("--clear-groups",)
    rights = _READS_ALL if is_root or status.reads_all else ()
    return ("setpriv", "--reuid", str(user), "--regid", str(group), *others, "--no-new-privs", *rights)
