"""A real certbot in a folder of its own, with our deploy hook where an operator puts it."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.parts.command import ROOT, Ran
from tests.parts.pebble import RealPebble
from tests.parts.processes import run

HOOK = ROOT / "hooks/renewal-hooks/deploy/exodus-certbot"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OF_OTHERS = ("RENEWED_", "FAILED_", "EXODUS_", "PYTHON", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")


def newest_certbot() -> str:
    """Name the certbot that is installed beside the Python that runs."""
    return str(Path(sys.executable).parent / "certbot")


@dataclass(frozen=True)
class RealCertbot:
    """A certbot that renews from Pebble through a webroot; `environment` is what its hooks see besides."""

    folder: Path
    pebble: RealPebble
    webroot: Path
    certbot: str = field(default_factory=newest_certbot)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def config_dir(self) -> Path:
        """Name what is /etc/letsencrypt elsewhere."""
        return self.folder / "letsencrypt"

    @property
    def hooks_dir(self) -> Path:
        """Name the folder of deploy hooks."""
        return self.config_dir / "renewal-hooks/deploy"

    def live(self, name: str) -> Path:
        """Name the folder of a lineage."""
        return self.config_dir / "live" / name

    def argv(self, *arguments: str) -> list[str]:
        """Give a whole command line."""
        folders = ["--config-dir", str(self.config_dir)]
        folders += ["--work-dir", str(self.folder / "certbot-work"), "--logs-dir", str(self.folder / "certbot-logs")]
        return [self.certbot, *arguments, *folders, "--non-interactive", "--server", self.pebble.directory_url]

    def env(self) -> dict[str, str]:
        """Give the environment certbot runs in: that of a clean machine, which trusts this Pebble."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OF_OTHERS)}
        own = {"PATH": SYSTEM_PATH, "REQUESTS_CA_BUNDLE": str(self.pebble.ca_bundle), "PYTHONUNBUFFERED": "1"}
        return {**inherited, **own, **self.environment}

    def issue(self, name: str, *names: str) -> Path:
        """Get a first certificate, for `name` and further names; give its lineage."""
        domains = [part for domain in (name, *names) for part in ("--domain", domain)]
        self.webroot.mkdir(parents=True, exist_ok=True)
        account = ["--agree-tos", "--register-unsafely-without-email"]
        how = ["certonly", "--webroot", "--webroot-path", str(self.webroot), "--cert-name", name]
        ran = run(self.argv(*how, *account, *domains), env=self.env())
        assert ran.exit_code == 0, f"{ran.all_output}\n{self.pebble.last_words()}"
        return self.live(name)

    def renew(self, *, force: bool = True, quiet: bool = False) -> Ran:
        """Renew every lineage, as the timer does; by default those that are not due, too."""
        options = ["--force-renewal"] * force + ["--quiet"] * quiet
        return run(self.argv("renew", "--no-random-sleep-on-renew", *options), env=self.env())

    def install_hook(self) -> Path:
        """Put our deploy hook where an operator puts it."""
        self.hooks_dir.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(HOOK, self.hooks_dir))

    def copy_to(self, folder: Path) -> None:
        """Copy all lineages and the account to another folder, as if they had been issued there."""
        target = folder / self.config_dir.name
        shutil.copytree(self.config_dir, target, symlinks=True)
        for settings in (target / "renewal").glob("*.conf"):
            settings.write_text(settings.read_text().replace(str(self.folder), str(folder)))


def write_program(path: Path, *argv: str, **environment: str) -> None:
    """Write a small program that runs a command, with whatever arguments it is given itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    variables = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    path.write_text(f'#!/bin/sh\n{variables}exec {shlex.join(argv)} "$@"\n')
    path.chmod(0o755)
