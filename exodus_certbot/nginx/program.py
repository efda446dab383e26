"""The door to the nginx program: its version, its configuration, its test."""

import ipaddress
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from exodus_certbot.errors import NginxConfigInvalid, NginxError
from exodus_certbot.nginx import config, files
from exodus_certbot.nginx.config import Directive
from exodus_certbot.nginx.servers import Machine
from exodus_certbot.tls import x509
from exodus_common.clock import Deadline
from exodus_common.errors import ExodusError
from exodus_common.process import run
from exodus_common.render import printable

_SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_EMERGENCY = re.compile(r"\[emerg\] (?:\d+#\d+: )?(.+)")
_QUOTED = re.compile(r'"([^"]*)"')
# Directives and variables, addresses, hosts, paths, punctuation.
_HARMLESS = re.compile(
    r"\$?[a-z][a-z0-9_]*|[0-9a-f.:*\[\]-]+|[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?|(?:unix:)?/.*|[{};]?"
)
_MOST_MESSAGE_LINES = 5
_NOT_USABLE = 0x08 | 0x40  # IFA_F_DADFAILED, IFA_F_TENTATIVE: rtnetlink(7)


@dataclass(frozen=True, slots=True)
class Nginx:
    """Name an nginx program, its main configuration file, and the folder that relative paths in it start from."""

    binary: str
    conf: str
    prefix: str
    default_pid_file: str
    default_error_log: str

    @property
    def conf_prefix(self) -> str:
        """Give the folder that certificates and includes are relative to."""
        return str(Path(self.conf).parent)

    def full_path(self, path: str) -> str:
        """Resolve a path that is relative to nginx's prefix: pid files and logs are, certificates are not."""
        return path if path.startswith("/") else f"{self.prefix.rstrip('/')}/{path}"


def find_nginx(binary: str | None, conf: str | None, deadline: Deadline) -> Nginx:
    """Ask an nginx program where its files are (`nginx -V`); by default the one on PATH or in the system's folders."""
    path = shutil.which(binary or "nginx") or shutil.which(binary or "nginx", path=_SBIN)
    if path is None:
        raise NginxError(f"no nginx program at {binary or 'PATH'}: install nginx, or name it with --nginx")
    answer = run([path, "-V"], timeout_seconds=deadline.remaining_seconds())
    built = dict(re.findall(r"--([a-z-]+)=(\S+)", (answer.stderr + answer.stdout).decode("utf-8", "replace")))
    prefix = built.get("prefix", "/usr/local/nginx")

    def place(option: str, otherwise: str) -> str:
        return str(Path(prefix, built.get(option, otherwise)))

    main_file = str(Path(conf).absolute()) if conf else place("conf-path", "conf/nginx.conf")
    if _file_bytes(main_file) is None:
        raise NginxError(
            f"{printable(main_file)} cannot be read: name nginx's main file with --nginx-conf, or run as root"
        )
    return Nginx(
        binary=path,
        conf=main_file,
        prefix=prefix,
        default_pid_file=place("pid-path", "logs/nginx.pid"),
        default_error_log=built.get("error-log-path", "logs/error.log"),
    )


def tested_configuration(nginx: Nginx, deadline: Deadline) -> tuple[Directive, ...]:
    """Have nginx test its configuration and print it (`nginx -T`), and give it as one tree.

    Call it only while nginx runs: as root it would leave an empty pid file and logs of root's behind. The text may
    hold secrets and never leaves this function. Raises `NginxConfigInvalid` with nginx's own message.
    """
    answer = run([nginx.binary, "-T", "-q", "-c", nginx.conf], timeout_seconds=deadline.remaining_seconds())
    if answer.exit_code != 0:
        raise _rejection(nginx, _message(answer.stderr))
    return config.flatten(nginx.conf, config.split_dump(answer.stdout, _file_bytes))


def _rejection(nginx: Nginx, message: str) -> NginxError:
    if os.geteuid() != 0 and "Permission denied" in message:
        return NginxError(f"nginx may not read all it needs when this user asks it: {message}; run as root")
    return NginxConfigInvalid(
        f"nginx rejects {printable(nginx.conf)}: {message}; mend it, then run: exodus-certbot reconcile"
    )


def configuration_on_disk(nginx: Nginx) -> tuple[Directive, ...]:
    """Read the configuration without nginx's help, for an nginx that does not run."""
    return files.read(nginx.conf).tree


def main_directives(nginx: Nginx) -> Iterator[Directive]:
    """Read the directives of the main context from the files themselves, and nothing of the blocks' includes."""
    return files.main_directives(nginx.conf)


def _file_bytes(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None


def _message(stderr: bytes) -> str:
    """Give nginx's own words, without the time and process that it adds where it logs to standard error."""
    text = stderr.decode("utf-8", "surrogateescape").strip()
    emergencies = dict.fromkeys(match[1] for match in _EMERGENCY.finditer(text))
    said = list(emergencies) or text.splitlines()
    return " / ".join(printable(_QUOTED.sub(_without_secret, line)) for line in said[-_MOST_MESSAGE_LINES:])


def _without_secret(quoted: re.Match[str]) -> str:
    """Hide a word that nginx quotes from the broken line, unless it is plainly none to hide; the line is named."""
    return quoted[0] if _HARMLESS.fullmatch(quoted[1]) else '"(not shown)"'


def error_logs(nginx: Nginx, tree: Iterable[Directive]) -> tuple[str, ...]:
    """List the files to which the master itself logs: those of the main context, or the built-in one."""
    named = [directive.args[0] for directive in tree if directive.name == "error_log" and directive.args]
    paths = named or [nginx.default_error_log]
    return tuple(nginx.full_path(path) for path in paths if not path.startswith(("stderr", "syslog:", "memory:")))


def machine_of(nginx: Nginx, connect: str | None) -> Machine:
    """Gather what nginx takes from the machine when it reads its configuration, and where we ask."""
    return Machine(
        nginx.conf_prefix,
        socket.gethostname().lower(),
        _resolve,
        connect,
        matches=files.matches,
        names_in=_names_in,
        addresses=_ipv6_addresses(),
    )


def _names_in(path: str) -> tuple[str, ...] | None:
    try:
        return x509.leaf_of_pem(files.file_bytes(path)).names
    except (OSError, ExodusError):
        return None


def _ipv6_addresses() -> tuple[str, ...]:
    """List the IPv6 addresses of global scope (proc(5): /proc/net/if_inet6)."""
    try:
        lines = files.file_bytes("/proc/net/if_inet6").decode("ascii").splitlines()
    except OSError:
        return ()
    fields = (line.split() for line in lines if len(line.split()) == 6)
    return tuple(
        str(ipaddress.ip_address(bytes.fromhex(field[0])))
        for field in fields
        if field[3] == "00" and not int(field[4], 16) & _NOT_USABLE
    )


def _resolve(host: str) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return (host,)
    return tuple(dict.fromkeys(str(ipaddress.ip_address(str(entry[4][0]).partition("%")[0])) for entry in found))
