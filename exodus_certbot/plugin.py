"""certbot's plugin `exodus-nginx`: `certbot renew` exits with 1 where nginx is not proven to serve what it renewed.

When it is imported it needs the standard library and certbot alone: certbot imports every plugin for every command, and
an ImportError here would stop them all. The order in which certbot calls it: docs/decisions/0008.
"""

import atexit
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certbot import errors, interfaces
from certbot.display import util as display
from certbot.plugins import common

if TYPE_CHECKING:
    from exodus_certbot.certbot.renew_run import IsOurs
    from exodus_certbot.model import Report
    from exodus_certbot.settings import Settings

_log = logging.getLogger(__name__)


@dataclass
class _Left:
    """Hold what is left to do before the process ends: certbot makes a new instance for each lineage."""

    renewed: set[Path] = field(default_factory=set)
    is_unproven: bool = False
    has_failed: bool = False


_left = _Left()


@atexit.register
def _end_with_1() -> None:
    """Let the process fail where its very last look failed: certbot's own exit code was decided before.

    Registered when certbot imports its plugins, and so called after all that certbot registers to clean up.
    """
    if _left.has_failed:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(1)


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
        if self.config.verb == "renew" and not self.config.dry_run and not self.config.disable_renew_updates:
            self._look_before_the_end()

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
        _left.renewed.add(_folder(lineage))
        self._deploy_after_the_last(lineage)

    def generic_updates(self, lineage: interfaces.RenewableCert, *args: Any, **kwargs: Any) -> None:
        """Repair what an earlier run missed: certbot calls this for every lineage at every `renew`, due or not."""
        self._deploy_after_the_last(lineage)

    def restart(self) -> None:
        """Have every lineage served after `certonly`, `run` and `install`; `renew` has called `renew_deploy`."""
        if self.config.verb != "renew":
            self._deploy(_everyones)
        elif self.config.disable_renew_updates:
            self._look_before_the_end()
            self._deploy_within_hooks(_everyones)

    def _deploy_after_the_last(self, lineage: interfaces.RenewableCert) -> None:
        """Wait for the last of our lineages; should certbot never reach it, the end of the process is waited for."""
        self._look_before_the_end()
        with _speaking_certbot():
            from exodus_certbot.certbot import renew_run

            is_last = self.config.certname or not renew_run.comes_after(
                self._certbot_dir, lineage.lineagename, self._is_ours
            )
        if is_last:
            self._deploy_within_hooks(self._is_ours)

    def _deploy_within_hooks(self, is_ours: "IsOurs") -> None:
        """Have them served; where a post-hook may yet start nginx, a failure is none before the end of the process."""
        with _speaking_certbot():
            from exodus_certbot.certbot import renew_run

            hooks = (self.config.pre_hook, self.config.post_hook)
            may_stop_nginx = renew_run.may_stop_nginx(self._certbot_dir, *hooks)
        _left.is_unproven = may_stop_nginx
        try:
            self._deploy(is_ours)
        except errors.PluginError as error:
            if not may_stop_nginx:
                raise
            _log.info("exodus-nginx: asked again after certbot's post-hooks, for now: %s", error)
        else:
            _left.is_unproven = may_stop_nginx and bool(_left.renewed)
        if not _left.is_unproven:
            _left.renewed.clear()

    def _deploy(self, is_ours: "IsOurs") -> None:
        with _speaking_certbot():
            from exodus_certbot import deploy
            from exodus_certbot.certbot import renew_run
            from exodus_common.clock import SystemClock

            folders, problems = renew_run.lineages(self._certbot_dir, _left.renewed, is_ours)
            if folders:
                report = deploy.deploy(self._settings(), folders, SystemClock(), os.environ)
                _tell(report, quiet=not _left.renewed)
        if problems:
            raise errors.PluginError(_ascii("\n".join(problems)))

    # --- the end of certbot's process ---

    def _look_before_the_end(self) -> None:
        """See to it that the process does not end without a look, whatever becomes of the other lineages."""
        if not _left.is_unproven:
            atexit.unregister(_finish)
            atexit.register(_finish, self)
        _left.is_unproven = True

    def _finish(self) -> None:
        """Do what is left: for a lineage that certbot never reached, or now that its post-hooks have been run."""
        try:
            self._deploy_in_a_process()
        except errors.Error as error:
            _left.has_failed = True
            _log.error("exodus-nginx: %s", error)

    def _deploy_in_a_process(self) -> None:
        """Deploy in a process of its own: at its end Python starts no threads any more."""
        with _speaking_certbot():
            from exodus_certbot.certbot import own_process, renew_run

            is_ours = _everyones if self.config.disable_renew_updates else self._is_ours
            folders, problems = renew_run.lineages(self._certbot_dir, _left.renewed, is_ours)
            if folders:
                seconds = 2 * self._settings().timeout_seconds
                exit_code, said = own_process.deploy(self._certbot_dir, folders, seconds, os.environ)
                if exit_code:
                    raise errors.PluginError(_unproven(_ascii(said)))
                _log.info("exodus-nginx: %s", _ascii(said))
        if problems:
            raise errors.PluginError(_ascii("\n".join(problems)))

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

    def _is_ours(self, installer: str | None) -> bool:
        return installer == self.name

    @property
    def _certbot_dir(self) -> Path:
        return Path(self.config.config_dir)

    def _settings(self) -> "Settings":
        from dataclasses import replace

        from exodus_certbot import settings

        return replace(settings.load(None, os.environ), certbot_dir=self._certbot_dir)


def _folder(lineage: interfaces.RenewableCert) -> Path:
    return Path(lineage.fullchain_path).parent


def _everyones(_installer: str | None) -> bool:
    return True


def _finish(installer: Installer) -> None:
    if _left.is_unproven:
        installer._finish()


def _tell(report: "Report", *, quiet: bool) -> None:
    """Raise what makes certbot exit with 1, or say what was done."""
    from exodus_certbot.cli import report as output
    from exodus_certbot.model import Overall

    text = _ascii(output.show(report, "text", every_row=False))
    if report.verdict not in (Overall.OK, Overall.WARNING):
        raise errors.PluginError(_unproven(text))
    if report.reloaded or not quiet:
        display.notify(f"exodus-nginx: {text}")


def _unproven(text: str) -> str:
    return (
        f"nginx is not proven to serve the certificate that certbot has saved.\n{text}\n"
        "Mend what is named above; then `exodus-certbot reconcile`, or the next `certbot renew`, finishes the work "
        "without asking for another certificate."
    )


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("ascii")


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
        raise errors.PluginError(_ascii(str(error))) from error


def _incomplete(error: ImportError) -> str:
    return (
        f"exodus-nginx is not completely installed ({error}): nginx was not reloaded; "
        "apt install --reinstall exodus-certbot python3-cryptography, or pip install 'exodus-certbot[certbot]'"
    )
