"""Decide whether what a process says of itself may be handed to a program that we run.

A title is whatever its process writes there, also one that somebody else began with root's rights (su(1)), and the
options of nginx can load code: by a directive of `-g`, or from a folder that is relative to `-p`.
"""

import os

from exodus_certbot.nginx import config, proc
from exodus_certbot.nginx.acting import Untried
from exodus_certbot.nginx.config import ConfigUnreadable
from exodus_certbot.nginx.running import Running

_ROOT = 0
_HARMLESS = {"daemon", "error_log", "master_process", "pid", "user", "worker_processes"}
_OF_ANOTHER_USER = Untried("it runs as another user, who says how", "run as root")
_NOT_KNOWN = Untried("nothing but its title says how it was started", "write its process id into its pid file")


def of(running: Running, pid_file: str | None) -> Untried | None:
    """Say why a master is not to be tried; what it runs as itself, with its own rights, is its own affair.

    `pid_file` is the file that names it, if one does: a file of root's is as good as the program that wrote it.
    """
    if not running.is_roots:
        return None if os.geteuid() in (_ROOT, running.status.uid) else _OF_ANOTHER_USER
    if proc.program(running.pid) is not None or _says_little(running):
        return None
    return None if pid_file is not None and _is_roots(pid_file) else _NOT_KNOWN


def _says_little(running: Running) -> bool:
    """Tell whether its options can load nothing that the configuration itself does not load."""
    try:
        said = config.parse(running.nginx.directives, file="-g")
    except ConfigUnreadable:
        return False
    return running.has_usual_prefix and all(directive.name in _HARMLESS for directive in said)


def _is_roots(path: str) -> bool:
    try:
        return os.stat(path).st_uid == _ROOT  # noqa: PTH116 - nginx's paths may hold bytes that are not UTF-8
    except OSError:
        return False
