"""What an operator can set, in a file or as options; CONTRACT.md fixes the names."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from exodus_certbot.listener_pattern import ListenerPattern
from exodus_common import settings as common

DEFAULT_FILE = Path("/etc/exodus-certbot.toml")
VARIABLE = "EXODUS_CERTBOT_CONFIG"
DEFAULT_CERTBOT_DIR = Path("/etc/letsencrypt")
DEFAULT_STATE_DIR = Path("/var/lib/exodus-certbot")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Settings:
    """Hold the settings of the certificate half; None stands for the default that the field's user knows.

    `timeout_seconds` bounds a run after it has got its lock; `warn_days` replaces every other rule of age;
    `except_listeners` are not asked.

    nginx: the nginx program; without it the one on PATH. Example: "/usr/sbin/nginx"
    nginx_conf: nginx's main configuration file; without it its built-in one. Example: "/etc/nginx/nginx.conf"
    certbot_dir: certbot's folder; without it /etc/letsencrypt. Example: "/etc/letsencrypt"
    connect: an address, without a port, that is asked in place of the listen addresses. Example: "127.0.0.1"
    timeout_seconds: when a run ends after it has got its lock; at most 3600.
    warn_days: how many days a certificate has left when `check` warns; without it where renewal is overdue, and 21
        where nobody is known to renew it. Example: 14
    except_listeners: listeners that are not asked: an address and port as configured or asked, or a name; * is
        allowed. Example: ["192.0.2.10:443", "*.internal.example"]
    """

    nginx: str | None = None
    nginx_conf: str | None = None
    certbot_dir: Path | None = None
    connect: str | None = None
    timeout_seconds: float = 60.0
    warn_days: float | None = None
    except_listeners: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not 0 < self.timeout_seconds <= 3600:
            raise ValueError("timeout_seconds: allowed: more than 0, at most 3600")
        if self.warn_days is not None and not 0 <= self.warn_days <= 3650:
            raise ValueError("warn_days: allowed: 0 to 3650")
        if self.connect is not None:
            _check_address(self.connect)
        for number, written in enumerate(self.except_listeners):
            _check_pattern(number, written)


def _check_address(address: str) -> None:
    try:
        found = ip_address(address)
    except ValueError:
        raise ValueError("connect: allowed: an IPv4 or IPv6 address, without a port") from None
    if isinstance(found, IPv6Address) and found.scope_id and not found.is_link_local:
        raise ValueError("connect: allowed: %DEVICE behind a link-local address alone (fe80::1%eth0)")


def _check_pattern(number: int, written: str) -> None:
    try:
        ListenerPattern.parse(written)
    except ValueError as error:
        raise ValueError(f"except_listeners[{number}]: {error}") from None


def load(option: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the settings file that `--config`, the environment or the default names."""
    return source(option, environ).build(Settings)


def source(option: Path | None, environ: Mapping[str, str]) -> common.Source:
    """Find the settings file that `load` reads, and read it."""
    return common.found(default_path=DEFAULT_FILE, option=option, variable=VARIABLE, environ=environ)


def missing(chosen: Settings) -> Iterator[tuple[str, str]]:
    """Give each key that names what is not there, with what was found and what is allowed; look at the disk for it.

    A default that is not there is no wrong setting: this machine may have no certbot, or no nginx.
    """
    if chosen.certbot_dir is not None and not is_folder(chosen.certbot_dir):
        yield (
            "certbot_dir",
            f"found {str(chosen.certbot_dir)!r}, no folder; allowed: certbot's folder",
        )
    if chosen.nginx is not None and not find_program(chosen.nginx):
        yield "nginx", f"found {chosen.nginx!r}, no program; allowed: nginx's path, or its name on PATH"
    if chosen.nginx_conf is not None and not _is(os.path.isfile, chosen.nginx_conf):
        yield "nginx_conf", f"found {chosen.nginx_conf!r}, no file; allowed: nginx's main configuration file"


def find_program(name: str) -> str | None:
    """Find a program by its path, on PATH, or in the system's folders: from cron PATH may lack the latter."""
    return shutil.which(name) or shutil.which(name, path=SYSTEM_PATH)


def is_folder(path: Path) -> bool:
    """Tell whether a path leads to a folder, or to where this user may not look."""
    return _is(os.path.isdir, path)


def _is(kind: Callable[[str], bool], path: str | Path) -> bool:
    """Tell whether a path is of a kind; what this user may not see is told by whoever opens it."""
    try:
        Path(path).stat()
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return kind(str(path))


def state_dir(environ: Mapping[str, str]) -> Path:
    """Name the folder for locks; systemd gives it to a unit as STATE_DIRECTORY (systemd.exec(5))."""
    return Path(environ.get("STATE_DIRECTORY", "").split(os.pathsep)[0] or DEFAULT_STATE_DIR)
