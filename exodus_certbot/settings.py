"""What an operator can set, in a file or as options; CONTRACT.md fixes the names."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from exodus_certbot.listener_pattern import ListenerPattern
from exodus_common import settings as common

DEFAULT_FILE = Path("/etc/exodus-certbot.toml")
VARIABLE = "EXODUS_CERTBOT_CONFIG"
DEFAULT_CERTBOT_DIR = Path("/etc/letsencrypt")
DEFAULT_STATE_DIR = Path("/var/lib/exodus-certbot")


@dataclass(frozen=True)
class Settings:
    """Hold the settings of the certificate half; None stands for the default that the field's user knows.

    `timeout_seconds` bounds a run after it has got its lock; `warn_days` replaces a third of a certificate's life;
    `except_listeners` are not asked.
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
        ip_address(address)
    except ValueError:
        raise ValueError("connect: allowed: an IPv4 or IPv6 address, without a port") from None


def _check_pattern(number: int, written: str) -> None:
    try:
        ListenerPattern.parse(written)
    except ValueError as error:
        raise ValueError(f"except_listeners[{number}]: {error}") from None


def load(option: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the settings file that `--config`, the environment or the default names."""
    return common.load(Settings, default_path=DEFAULT_FILE, option=option, variable=VARIABLE, environ=environ)


def state_dir(environ: Mapping[str, str]) -> Path:
    """Name the folder for locks; systemd gives it to a unit as STATE_DIRECTORY (systemd.exec(5))."""
    return Path(environ.get("STATE_DIRECTORY", "").split(os.pathsep)[0] or DEFAULT_STATE_DIR)
