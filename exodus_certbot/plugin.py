"""certbot's plugin `exodus-nginx`: `certbot renew` exits with 1 where nginx is not proven to serve what it renewed.

When it is imported it needs the standard library and certbot alone: certbot imports every plugin for every command, and
an ImportError here would stop them all. The order in which certbot calls it: docs/decisions/0008.
"""

import atexit
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certbot import errors, interfaces
from certbot.display import util as display
from certbot.plugins import common

if TYPE_CHECKING:
    from exodus_certbot.model import Report
    from exodus_certbot.settings import Settings

_log = logging.getLogger(__name__)
# certbot makes a new instance for each lineage: what one of them left to a later one is kept here.
_left_for_later: set[Path] = set()


class Installer(common.Plugin, interfaces.Installer, interfaces.RenewDeployer, interfaces.GenericUpdater):
    """Reload nginx after a renewal and prove what it serves; never edit its files."""

    description = "Have nginx serve what certbot renews, and prove it over TLS (changes no nginx file)"

    @classmethod
    def add_parser_arguments(cls, add: Callable[..., None]) -> None:
        """Add none: an option that a renewal file keeps outlives the plugin, and then stops renewals."""

    def prepare(self) -> None:
        """Never raise: certbot drops an installer that cannot be prepared, and erases it from the renewal file."""
        try:
            from exodus_certbot.certbot import handover

            handover.announce(self._certbot_dir, os.environ)
        except ImportError as error:
            _log.debug("exodus-nginx cannot work: %s", error)

    def more_info(self) -> str:
        """Tell a person what this is."""
        return (
            "Validates the renewed certificate and nginx's configuration, reloads nginx, and asks every listener for "
            "every name until the new certificate is served; certbot fails where it is not. It changes no nginx file. "
            "Settings: /etc/exodus-certbot.toml."
        )

    # --- certbot renew ---

    def renew_deploy(self, lineage: interfaces.RenewableCert, *args: Any, **kwargs: Any) -> None:
        """Have a renewed lineage served; raise where that is not proven. One reload serves all lineages of a run."""
        if not _left_for_later:
            atexit.register(self._finish)
        _left_for_later.add(_folder(lineage))
        self._deploy_after_the_last(lineage)

    def generic_updates(self, lineage: interfaces.RenewableCert, *args: Any, **kwargs: Any) -> None:
        """Repair what an earlier run missed: certbot calls this for every lineage at every `renew`, due or not."""
        self._deploy_after_the_last(lineage)

    def restart(self) -> None:
        """Have every lineage served after `certonly`, `run` and `install`; `renew` has called `renew_deploy`."""
        if self.config.verb == "renew" and not self.config.disable_renew_updates:
            return
        self._deploy(lambda installer: True)

    def _deploy_after_the_last(self, lineage: interfaces.RenewableCert) -> None:
        """Wait for the last of our lineages: `certbot renew` takes them in the order of their renewal files' paths."""
        if self.config.certname or not self._come_after(lineage.lineagename):
            self._deploy(lambda installer: installer == self.name)

    def _come_after(self, name: str) -> bool:
        with _speaking_certbot():
            from exodus_certbot.certbot import renewal_files

            here = str(Path(self.config.renewal_configs_dir) / f"{name}.conf")
            files = renewal_files.all_in(self._certbot_dir)
            return any(str(file.path) > here and file.installer == self.name for file in files)

    def _deploy(self, is_ours: Callable[[str | None], bool]) -> None:
        with _speaking_certbot():
            from exodus_certbot import deploy
            from exodus_certbot.certbot import renewal_files
            from exodus_common.clock import SystemClock

            named = (file for file in renewal_files.all_in(self._certbot_dir) if is_ours(file.installer))
            folders = {self._certbot_dir / "live" / file.name for file in named} | _left_for_later
            present = sorted(folder for folder in folders if (folder / "fullchain.pem").exists())
            renewed = bool(_left_for_later)
            _left_for_later.clear()
            if present:
                report = deploy.deploy(self._settings(), present, SystemClock(), os.environ)
                _tell(report, quiet=not renewed)

    def _finish(self) -> None:
        """Serve what was left to a lineage that never came: its own renewal failed, and so does certbot.

        In a process of its own: at its end Python starts no threads any more.
        """
        if _left_for_later:
            try:
                self._deploy_in_a_process()
            except errors.Error as error:
                _log.error("exodus-nginx: %s", error)

    def _deploy_in_a_process(self) -> None:
        with _speaking_certbot():
            from exodus_certbot.certbot import handover
            from exodus_common.process import run

            argv = [sys.executable, "-P", "-m", "exodus_certbot", "deploy", "--certbot-dir", str(self._certbot_dir)]
            argv += [word for folder in sorted(_left_for_later) for word in ("--lineage", str(folder))]
            own = {name: value for name, value in os.environ.items() if name != handover.VARIABLE}
            env = own | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            done = run(argv, timeout_seconds=2 * self._settings().timeout_seconds, env=env)
            said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
            _log.log(logging.ERROR if done.exit_code else logging.INFO, "exodus-nginx: %s", said)

    # --- certbot run, install ---

    def deploy_cert(self, domain: str, cert_path: str, key_path: str, chain_path: str, fullchain_path: str) -> None:
        """Check that nginx is configured with this lineage for this name; where not, say the lines to add."""
        with _speaking_certbot():
            from exodus_certbot import install
            from exodus_common.clock import SystemClock

            missing = install.missing_lines(self._settings(), domain, Path(fullchain_path), SystemClock())
        if missing:
            raise errors.PluginError(missing)

    def get_all_names(self) -> set[str]:
        """Give the host names nginx is configured with."""
        with _speaking_certbot():
            from exodus_certbot import install
            from exodus_common.clock import SystemClock

            return install.host_names(self._settings(), SystemClock())

    def config_test(self) -> None:
        """Have nginx test its configuration."""
        self.get_all_names()

    def supported_enhancements(self) -> list[str]:
        """Offer none."""
        return []

    def enhance(self, domain: str, enhancement: str, options: list[str] | str | None = None) -> None:
        """Refuse: an enhancement would be a change to nginx's files."""
        raise errors.PluginError(f"exodus-nginx changes no nginx file: set up {enhancement} for {domain} by hand")

    def save(self, title: str | None = None, temporary: bool = False) -> None:
        """Save nothing, since nothing is changed."""

    def rollback_checkpoints(self, rollback: int = 1) -> None:
        """Undo nothing: certbot's checkpoints are those of other plugins."""

    def recovery_routine(self) -> None:
        """Undo nothing."""

    @property
    def _certbot_dir(self) -> Path:
        return Path(self.config.config_dir)

    def _settings(self) -> "Settings":
        from dataclasses import replace

        from exodus_certbot import settings

        return replace(settings.load(None, os.environ), certbot_dir=self._certbot_dir)


def _folder(lineage: interfaces.RenewableCert) -> Path:
    return Path(lineage.fullchain_path).parent


def _tell(report: "Report", *, quiet: bool) -> None:
    """Raise what makes certbot exit with 1, or say what was done."""
    from exodus_certbot.cli import report as output
    from exodus_certbot.model import Overall

    text = output.show(report, "text", every_row=False).encode("ascii", "backslashreplace").decode("ascii")
    if report.verdict not in (Overall.OK, Overall.WARNING):
        raise errors.PluginError(
            f"nginx is not proven to serve the certificate that certbot has saved.\n{text}\n"
            "Mend what is named above; then `exodus-certbot reconcile`, or the next `certbot renew`, finishes the work "
            "without asking for another certificate."
        )
    if report.reloaded or not quiet:
        display.notify(f"exodus-nginx: {text}")


@contextmanager
def _speaking_certbot() -> Iterator[None]:
    """Turn our errors into the ones that certbot reports."""
    try:
        from exodus_common.errors import ExodusError
    except ImportError as error:
        raise errors.PluginError(_incomplete(error)) from error
    try:
        yield
    except ImportError as error:
        raise errors.PluginError(_incomplete(error)) from error
    except ExodusError as error:
        raise errors.PluginError(str(error).encode("ascii", "backslashreplace").decode("ascii")) from error


def _incomplete(error: ImportError) -> str:
    return (
        f"exodus-nginx is not completely installed ({error}): nginx was not reloaded; "
        "apt install --reinstall exodus-certbot python3-cryptography, or pip install 'exodus-certbot[certbot]'"
    )
