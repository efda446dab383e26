"""A real certbot in a folder of its own, with our deploy hook where an operator puts it."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.parts.command import ROOT, Ran
from tests.parts.pebble import RealPebble
from tests.parts.processes import run

HOOK = ROOT / "hooks/renewal-hooks/deploy/exodus-certbot"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OF_OTHERS = ("RENEWED_", "FAILED_", "EXODUS_", "PYTHON", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")

_HIDE = """
import builtins
real_import = builtins.__import__

def hiding_import(name, globals=None, locals=None, fromlist=(), level=0):
    wanted = [name, *(f"{{name}}.{{part}}" for part in fromlist or ())]
    ours = str((globals or {{}}).get("__name__", "")).startswith("exodus_")
    if ours and any(each == "{module}" or each.startswith("{module}.") for each in wanted):
        raise ModuleNotFoundError("No module named '{module}'")
    return real_import(name, globals, locals, fromlist, level)

builtins.__import__ = hiding_import
"""


def newest_certbot() -> str:
    """Name the certbot that is installed beside the Python that runs."""
    return str(Path(sys.executable).parent / "certbot")


def certbots() -> dict[str, str]:
    """Name every certbot that packaging/provision installs, by its version."""
    older = {place.parent.parent.name: str(place) for place in sorted((ROOT / ".certbots").glob("*/bin/certbot"))}
    assert len(older) == len(list((ROOT / "packaging/certbots").glob("*.txt"))), "run packaging/provision"
    return older | {"newest": newest_certbot()}


def certbot_without_plugin(folder: Path) -> tuple[Path, str]:
    """Make a certbot whose Python has no plugin of ours; give it, and that Python."""
    argv = [sys.executable, "-c", "import sys; print(sys._base_executable)"]
    python = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    folder.mkdir()
    script = folder / "certbot"
    script.write_text(f"#!{python}\nimport certbot\n")
    script.chmod(0o755)
    return script, python


def pythons() -> dict[str, str]:
    """Name the Python of every certbot, which has that certbot's own acme and josepy."""
    return {version: str(Path(program).with_name("python")) for version, program in certbots().items()}


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

    def run(self, *arguments: str, timeout_seconds: float = 100) -> Ran:
        """Run one command to its end."""
        return run(self.argv(*arguments), env=self.env(), timeout_seconds=timeout_seconds)

    def issue(self, name: str, *names: str, options: Sequence[str] = ()) -> Path:
        """Get a first certificate, for `name` and further names; give its lineage."""
        domains = [part for domain in (name, *names) for part in ("--domain", domain)]
        self.webroot.mkdir(parents=True, exist_ok=True)
        account = ["--agree-tos", "--register-unsafely-without-email"]
        how = ["certonly", "--webroot", "--webroot-path", str(self.webroot), "--cert-name", name]
        ran = self.run(*how, *account, *domains, *options)
        assert ran.exit_code == 0, f"{ran.all_output}\n{self.pebble.last_words()}"
        return self.live(name)

    def renew(self, *options: str, force: bool = True, quiet: bool = False, timeout_seconds: float = 100) -> Ran:
        """Renew every lineage, as the timer does; by default those that are not due, too."""
        forced = ["--force-renewal"] * force + ["--quiet"] * quiet
        return self.run("renew", "--no-random-sleep-on-renew", *forced, *options, timeout_seconds=timeout_seconds)

    def renewal_file(self, name: str) -> Path:
        """Name the file in which certbot keeps how a lineage is renewed."""
        return self.config_dir / "renewal" / f"{name}.conf"

    def use_plugin(self, *names: str) -> None:
        """Write our plugin into the renewal files, as `certbot reconfigure` does."""
        for name in names:
            file = self.renewal_file(name)
            file.write_text(
                file.read_text().replace("[renewalparams]\n", "[renewalparams]\ninstaller = exodus-nginx\n")
            )

    def install_hook(self) -> Path:
        """Put our deploy hook where an operator puts it."""
        self.hooks_dir.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(HOOK, self.hooks_dir))

    @property
    def version(self) -> tuple[int, ...]:
        """Give certbot's version."""
        printed = self.run("--version")
        return tuple(int(part) for part in (printed.stdout + printed.stderr).split()[-1].split("."))

    def hiding(self, module: str) -> "RealCertbot":
        """Make a module look as if it were not installed, to our own modules only."""
        folder = self.folder / f"hiding-{module}"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(_HIDE.format(module=module))
        return replace(self, environment=dict(self.environment) | {"PYTHONPATH": str(folder)})

    def clone_lineage(self, name: str, clone: str) -> None:
        """Make another lineage with the same certificate, as if it had been issued under that name."""
        for folder in ("archive", "live"):
            shutil.copytree(self.config_dir / folder / name, self.config_dir / folder / clone, symlinks=True)
        for link in self.live(clone).glob("*.pem"):
            target = link.readlink()
            link.unlink()
            link.symlink_to(Path(str(target).replace(f"archive/{name}", f"archive/{clone}")))
        text = self.renewal_file(name).read_text()
        for folder in ("archive", "live"):
            text = text.replace(f"/{folder}/{name}", f"/{folder}/{clone}")
        self.renewal_file(clone).write_text(text)

    def copy_to(self, folder: Path) -> None:
        """Copy all lineages and the account to another folder, as if they had been issued there."""
        target = folder / self.config_dir.name
        shutil.copytree(self.config_dir, target, symlinks=True, dirs_exist_ok=True)
        for settings in (target / "renewal").glob("*.conf"):
            settings.write_text(settings.read_text().replace(str(self.folder), str(folder)))


def write_program(path: Path, *argv: str, **environment: str) -> None:
    """Write a small program that runs a command, with whatever arguments it is given itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    variables = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    path.write_text(f'#!/bin/sh\n{variables}exec {shlex.join(argv)} "$@"\n')
    path.chmod(0o755)
