"""A site as operators have it: an nginx that serves HTTP to the CA and TLS to everybody, and the certbot for it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.parts.certbot import SYSTEM_PATH, RealCertbot, write_program
from tests.parts.command import ROOT, ExodusCertbot
from tests.parts.configuration import challenge_server, server, workers_as_myself
from tests.parts.nginx import NGINX, RealNginx, running_nginx
from tests.parts.pebble import running_pebble
from tests.parts.ports import free_port
from tests.parts.witness import all_served_sha256, disk_sha256

NAME = "exodus.example"


@dataclass(frozen=True)
class Issued:
    """What tests start from: certbot's folder with one lineage in it, and the port on which its CA validates."""

    certbot: RealCertbot
    http_port: int


@contextmanager
def issued_with(
    certbot_program: str, folder: Path, *, newest_pebble: bool = False, lifetime_days: int = 90
) -> Iterator[Issued]:
    """Issue one certificate, through an nginx that is gone when the tests start their own."""
    http_port = free_port()
    with running_pebble(folder / "pebble", http_port, newest=newest_pebble, lifetime_days=lifetime_days) as pebble:
        certbot = RealCertbot(folder, pebble, folder / "webroot", certbot_program)
        with running_nginx(folder / "nginx", challenge_server(http_port, certbot.webroot), main=workers_as_myself()):
            certbot.issue(NAME)
        yield Issued(certbot, http_port)


@dataclass(frozen=True)
class Site:
    """An nginx, and the certbot that renews for it."""

    certbot: RealCertbot
    nginx: RealNginx
    http_port: int
    tls_port: int

    @classmethod
    def copied_from(cls, issued: Issued, folder: Path, command: ExodusCertbot) -> "Site":
        """Take a copy of what was issued; `exodus-certbot` is on certbot's PATH, and the hook is not installed."""
        issued.certbot.copy_to(folder)
        environment = _environment(folder, command)
        certbot = replace(issued.certbot, folder=folder, webroot=folder / "webroot", environment=environment)
        return cls(certbot, RealNginx(folder / "nginx"), issued.http_port, free_port())

    def configuration(self, names: Sequence[str] = (NAME,), *, more: str = "") -> str:
        """Give the `http` block: the CA's server, and a TLS server for each name."""
        listen = f"127.0.0.1:{self.tls_port} ssl"
        tls = "".join(server(listen, name, self.certbot.live(name)) for name in names)
        return challenge_server(self.http_port, self.certbot.webroot) + tls + more

    def write(self, names: Sequence[str] = (NAME,), *, more: str = "") -> None:
        """Write that configuration and leave nginx alone."""
        self.nginx.write(self.configuration(names, more=more), main=workers_as_myself())

    def serve(self, names: Sequence[str]) -> None:
        """Have nginx serve these names, with the certificates that are on disk now."""
        self.nginx.stop()
        self.write(names)
        self.nginx.start()

    def served(self, name: str = NAME) -> set[str]:
        """Tell what is served for a name, asked several times."""
        return all_served_sha256(self.tls_port, name)

    def on_disk(self, name: str = NAME) -> str:
        """Tell what is in a lineage."""
        return disk_sha256(self.certbot.live(name))


def _environment(folder: Path, command: ExodusCertbot) -> dict[str, str]:
    """Install `exodus-certbot` in a folder on PATH, with the settings it needs for an nginx in an odd place."""
    write_program(folder / "bin/exodus-certbot", *command.program, PYTHONPATH=f"{ROOT}:{ROOT / 'hooks'}")
    settings = folder / "exodus-certbot.toml"
    settings.write_text(f"nginx = {json.dumps(NGINX)}\nnginx_conf = {json.dumps(str(command.conf))}\n")
    return {
        "PATH": f"{folder / 'bin'}:{SYSTEM_PATH}",
        "EXODUS_CERTBOT_CONFIG": str(settings),
        "STATE_DIRECTORY": str(command.state_dir),
    }
