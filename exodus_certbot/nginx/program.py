"""The door to the nginx program: what is built into it, and what it takes from the machine."""

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from exodus_certbot import settings
from exodus_certbot.errors import NginxError
from exodus_certbot.nginx import command_line, config, files, listening, proc
from exodus_certbot.nginx.config import Directive
from exodus_certbot.nginx.servers import Machine
from exodus_certbot.tls import addresses, quic, x509
from exodus_common.clock import Deadline
from exodus_common.errors import ExodusError
from exodus_common.process import Finished, run
from exodus_common.render import printable

_ERROR_LOG_OPTION_SINCE = (1, 19, 5)


@dataclass(frozen=True, slots=True)
class Nginx:
    """Name an nginx program, its main configuration file, and the folder that relative paths in it start from.

    `directives` are those of its command line (`-g`); what is built in is relative to the prefix. `is_chosen` tells
    that an operator named the program: then it is the one that judges.
    """

    binary: str
    conf: str
    prefix: str
    default_conf: str
    default_pid_file: str
    default_error_log: str
    version: tuple[int, ...] = ()
    directives: str = ""
    is_chosen: bool = False

    @property
    def knows_error_log_option(self) -> bool:
        """Tell whether it can be told where to log (`-e`, since 1.19.5)."""
        return self.version >= _ERROR_LOG_OPTION_SINCE

    @property
    def conf_prefix(self) -> str:
        """Give the folder that certificates and includes are relative to."""
        return str(Path(self.conf).parent)

    def full_path(self, path: str) -> str:
        """Resolve a path that is relative to nginx's prefix: pid files and logs are, certificates are not."""
        return path if path.startswith("/") else f"{self.prefix.rstrip('/')}/{path}"


def find_nginx(binary: str | None, conf: str | None, deadline: Deadline) -> Nginx:
    """Ask an nginx program where its files are (`nginx -V`); by default the one on PATH or in the system's folders."""
    path = settings.find_program(binary or "nginx")
    if path is None:
        raise NginxError(f"no nginx program at {binary or 'PATH'}: {_instead()}")
    found = built_in(path, run([path, "-V"], timeout_seconds=deadline.remaining_seconds()))
    if found is None:
        raise NginxError(f"{printable(path)} -V does not say that it is nginx: name another program with --nginx")
    main_file = str(Path(conf).absolute()) if conf else found.full_path(found.default_conf)
    try:
        files.file_bytes(main_file)
    except OSError as error:
        raise NginxError(
            f"{printable(main_file)} cannot be read: name nginx's main file with --nginx-conf, or run as root"
        ) from error
    return replace(found, conf=main_file, is_chosen=binary is not None)


def built_in(path: str, answer: Finished) -> Nginx | None:
    """Read what a program says of itself (`-V`); None where that is not what nginx says."""
    said = (answer.stderr + answer.stdout).decode("utf-8", "replace")
    if "configure arguments:" not in said:
        return None
    built = dict(re.findall(r"--([a-z-]+)=(\S+)", said))
    version = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", said)
    return Nginx(
        binary=path,
        conf="",
        prefix=built.get("prefix", "/usr/local/nginx"),
        default_conf=built.get("conf-path", "conf/nginx.conf"),
        default_pid_file=built.get("pid-path", "logs/nginx.pid"),
        default_error_log=built.get("error-log-path", "logs/error.log"),
        version=tuple(map(int, version.groups())) if version else (),
    )


def _instead() -> str:
    """Say what to do without a program; one that runs already, in a container, wants no second one beside it."""
    titles = {pid: command_line.of_master(proc.title(pid)) for pid in proc.pids()}
    for pid, line in titles.items():
        if line is not None and proc.status(pid).is_contained:
            return f"nginx's master {pid} runs in a container: run exodus-certbot in there"
        if line is not None:
            return (
                f"yet master {pid} runs: name its program with --nginx {printable(proc.program(pid) or line.program)}"
            )
    return "install nginx, or name it with --nginx"


def error_logs(nginx: Nginx, tree: Iterable[Directive]) -> tuple[str, ...]:
    """List the files to which the master itself logs: those of the main context, or the built-in one."""
    said = (*config.parse(nginx.directives, file="-g"), *tree)
    named = [directive.args[0] for directive in said if directive.name == "error_log" and directive.args]
    paths = named or [nginx.default_error_log]
    return tuple(nginx.full_path(path) for path in paths if not path.startswith(("stderr", "syslog:", "memory:")))


def machine_of(nginx: Nginx, connect: str | None) -> Machine:
    """Gather what nginx takes from the machine when it reads its configuration, and where we ask."""
    return Machine(
        nginx.conf_prefix,
        socket.gethostname().lower(),
        _resolve,
        connect,
        is_here=addresses.is_here,
        source_for=addresses.source_for,
        why_no_quic=cache(quic.why_not),  # each answer takes two processes
        matches=files.matches,
        names_in=_names_in,
        addresses=addresses.global_ipv6(),
        held=lambda: listening.by_place().keys(),
    )


def _names_in(path: str) -> tuple[str, ...] | None:
    try:
        return x509.leaf_of_pem(files.file_bytes(path)).names
    except (OSError, ExodusError):
        return None


def _resolve(host: str) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return (host,)
    return tuple(dict.fromkeys(str(ipaddress.ip_address(str(entry[4][0]).partition("%")[0])) for entry in found))
