"""The door to nginx's own judgement of its configuration, asked so that it can change nothing.

`nginx -t` makes what it misses and gives it to the user it believes in: pid file, logs, temporary folders
(ngx_init_cycle in ngx_cycle.c). With `-s` beside it, it stops before: it has read and judged all, takes itself for one
that is only to send a signal, and ends as a test before it sends any (main in nginx.c).
"""

import os
import re

from exodus_certbot.errors import NginxConfigInvalid, NginxError
from exodus_certbot.findings import Finding, ok, warning
from exodus_certbot.nginx import acting, proc
from exodus_certbot.nginx.acting import Untried
from exodus_certbot.nginx.master import Master
from exodus_certbot.nginx.proc import Status
from exodus_certbot.nginx.program import Nginx
from exodus_common.clock import Deadline
from exodus_common.process import CommandTimedOut
from exodus_common.render import printable

_READS_ONLY = ("-t", "-s", "reopen")
_LOGS_NOWHERE = ("-e", "stderr")
_ROOT = 0
_EMERGENCY = re.compile(r"\[emerg\] (?:\d+#\d+: )?(.+)")
_QUOTED = re.compile(r'"([^"]*)"')
# Directives and variables, addresses, hosts, paths, punctuation.
_HARMLESS = re.compile(
    r"\$?[a-z][a-z0-9_]*|[0-9a-f.:*\[\]-]+|[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?|(?:unix:)?/.*|[{};]?"
)
_MOST_MESSAGE_LINES = 5


def try_configuration(master: Master, deadline: Deadline) -> Untried | None:
    """Have nginx read its configuration as this master would; say why where it could not be asked.

    What a reload may fail at later, a port that is taken, only the master itself finds. Raises `NginxConfigInvalid`
    with nginx's own message. The answer may hold secrets and never leaves this function.
    """
    nginx, status = master.nginx, proc.status(master.pid)
    if master.untried is not None:
        return master.untried
    if status.uid != _ROOT and not nginx.knows_error_log_option:
        return Untried(f"{printable(nginx.binary)} has no option -e and would open a log", "take nginx 1.19.5 or newer")
    try:
        answer = acting.run_as(status, _command(nginx), deadline)
    except acting.CannotAct as why:
        return Untried(str(why), acting.REMEDY)
    except CommandTimedOut as error:
        program = printable(nginx.binary)
        raise NginxError(
            f"killed {program} -t: it had not ended; run it by hand, or allow more with --timeout"
        ) from error
    if answer.exit_code == 0:
        return None
    raise _rejection(nginx, status, _message(answer.stderr))


def _command(nginx: Nginx) -> list[str]:
    log = _LOGS_NOWHERE if nginx.knows_error_log_option else ()
    directives = ("-g", nginx.directives) if nginx.directives else ()
    return [nginx.binary, *_READS_ONLY, *log, "-p", nginx.prefix, "-c", nginx.conf, *directives]


def _rejection(nginx: Nginx, status: Status, message: str) -> NginxError:
    is_denied = "Permission denied" in message
    if is_denied and os.geteuid() not in (_ROOT, status.uid):
        return NginxError(f"nginx may not read all it needs when this user asks it: {message}; run as root")
    whose = f" (its master runs as uid {status.uid})" if is_denied and status.uid != _ROOT else ""
    return NginxConfigInvalid(
        f"nginx rejects {printable(nginx.conf)}: {message}{whose}; mend it, then run: exodus-certbot reconcile"
    )


def finding_of(nginx: Nginx, untried: Untried | None) -> Finding:
    """Say that nginx runs, and what it says of its configuration."""
    if untried is None:
        return ok("nginx", f"runs, and accepts {nginx.conf}")
    message = f"runs with {nginx.conf}; it was not asked whether it accepts that, since {untried.why}"
    return warning("nginx", message, untried.remedy)


def _message(stderr: bytes) -> str:
    """Give nginx's own words, without the time and process that it adds where it logs to standard error."""
    text = stderr.decode("utf-8", "surrogateescape").strip()
    emergencies = dict.fromkeys(match[1] for match in _EMERGENCY.finditer(text))
    said = list(emergencies) or text.splitlines()
    return " / ".join(printable(_QUOTED.sub(_without_secret, line)) for line in said[-_MOST_MESSAGE_LINES:])


def _without_secret(quoted: re.Match[str]) -> str:
    """Hide a word that nginx quotes from the broken line, unless it is plainly none to hide; the line is named."""
    return quoted[0] if _HARMLESS.fullmatch(quoted[1]) else '"(not shown)"'
