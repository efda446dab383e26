"""The door to nginx's own judgement of its configuration, asked so that it can change nothing.

`nginx -t` makes what it misses and gives it to the user it believes in: pid file, logs, temporary folders
(ngx_init_cycle in ngx_cycle.c). Only before that, while it reads, does it judge; so it is asked as a user who may read
everything and write nothing, and stops at the pid file of the master that runs.
"""

import os
import re
import shutil

from exodus_certbot.errors import NginxConfigInvalid, NginxError
from exodus_certbot.nginx.master import Master, pid_file
from exodus_certbot.nginx.program import Nginx
from exodus_common import seeing
from exodus_common.clock import Deadline
from exodus_common.process import CommandTimedOut, run
from exodus_common.render import printable

_NOBODY = 65534
_READER = ("--reuid", str(_NOBODY), "--regid", str(_NOBODY), "--clear-groups", "--no-new-privs")
_READS_ALL = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
_IS_READ = b"syntax is ok"
_EMERGENCY = re.compile(r"\[emerg\] (?:\d+#\d+: )?(.+)")
_QUOTED = re.compile(r'"([^"]*)"')
# Directives and variables, addresses, hosts, paths, punctuation.
_HARMLESS = re.compile(
    r"\$?[a-z][a-z0-9_]*|[0-9a-f.:*\[\]-]+|[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?|(?:unix:)?/.*|[{};]?"
)
_MOST_MESSAGE_LINES = 5


def try_configuration(master: Master, deadline: Deadline) -> bool:
    """Have nginx read its configuration as this master would; give False where it could not be asked.

    What a reload may fail at later, a port that is taken, only the master itself finds. Raises `NginxConfigInvalid`
    with nginx's own message. The answer may hold secrets and never leaves this function.
    """
    reader = _reader(pid_file(master.nginx))
    if reader is None:
        return False
    try:
        answer = run([*reader, *_command(master.nginx)], timeout_seconds=deadline.remaining_seconds())
    except CommandTimedOut as error:
        program = printable(master.nginx.binary)
        raise NginxError(
            f"killed {program} -t: it had not ended; run it by hand, or allow more with --timeout"
        ) from error
    if answer.exit_code == 0 or _IS_READ in answer.stderr:
        return True
    if answer.stderr.startswith(b"setpriv: "):
        return False
    raise _rejection(master.nginx, _message(answer.stderr))


def _reader(pid: str) -> tuple[str, ...] | None:
    """Say how to become somebody who cannot open the pid file for writing; None where nobody like that can be had."""
    if os.geteuid() != 0:
        return () if seeing.exists(pid) and not os.access(pid, os.W_OK) else None
    setpriv = shutil.which("setpriv")
    try:
        status = os.stat(pid)  # noqa: PTH116 - nginx's paths may hold bytes that are not UTF-8
    except OSError:
        return None
    is_writable = status.st_mode & 0o002 or status.st_uid == _NOBODY or status.st_gid == _NOBODY
    return None if is_writable or setpriv is None else (setpriv, *_READER, *_READS_ALL)


def _command(nginx: Nginx) -> list[str]:
    options = ["-t", *(("-e", "stderr") if nginx.knows_error_log_option else ()), "-p", nginx.prefix, "-c", nginx.conf]
    return [nginx.binary, *options, *(("-g", nginx.directives) if nginx.directives else ())]


def _rejection(nginx: Nginx, message: str) -> NginxError:
    if os.geteuid() != 0 and "Permission denied" in message:
        return NginxError(f"nginx may not read all it needs when this user asks it: {message}; run as root")
    return NginxConfigInvalid(
        f"nginx rejects {printable(nginx.conf)}: {message}; mend it, then run: exodus-certbot reconcile"
    )


def _message(stderr: bytes) -> str:
    """Give nginx's own words, without the time and process that it adds where it logs to standard error."""
    text = stderr.decode("utf-8", "surrogateescape").strip()
    emergencies = dict.fromkeys(match[1] for match in _EMERGENCY.finditer(text))
    said = list(emergencies) or text.splitlines()
    return " / ".join(printable(_QUOTED.sub(_without_secret, line)) for line in said[-_MOST_MESSAGE_LINES:])


def _without_secret(quoted: re.Match[str]) -> str:
    """Hide a word that nginx quotes from the broken line, unless it is plainly none to hide; the line is named."""
    return quoted[0] if _HARMLESS.fullmatch(quoted[1]) else '"(not shown)"'
