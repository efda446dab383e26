"""What one call of the command works with."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from exodus_common.clock import SystemClock
from exodus_common.output import say
from exodus_storage_guard import privileges, processes, settings
from exodus_storage_guard.admission import opening
from exodus_storage_guard.admission.admissions import Admissions, Direct
from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.cli import output
from exodus_storage_guard.errors import NotTheGuard
from exodus_storage_guard.model import Verdict
from exodus_storage_guard.tiering.run import Run

if TYPE_CHECKING:
    from exodus_storage_guard.admission.service_client import Service  # who owns the state starts faster without it

_LEAST_BUSY_SECONDS, _MOST_BUSY_SECONDS = 1.0, 30.0


@dataclass(frozen=True)
class Context:
    """Hold what one call of the command works with."""

    arguments: argparse.Namespace
    settings: settings.Settings

    @property
    def run(self) -> Run:
        """Open the doors to the store and the archive; raise `NotTheGuard` where the state is another user's."""
        self.refuse_others()
        return Run.begin(self.settings, SystemClock())

    @property
    def control(self) -> AdmissionControl:
        """Open the door to the state alone; raise `NotTheGuard` where it is another user's."""
        self.refuse_others()
        return opening.control(self.settings, self.config, self._busy_seconds)

    @property
    def admissions(self) -> Admissions:
        """Open the way to whoever decides on uploads."""
        return opening.opened(self.settings, self.config, self._busy_seconds)

    @property
    def service(self) -> "Service | None":
        """Give the service, where it is to be asked; None where we are the state's owner."""
        found = self.admissions
        return None if isinstance(found, Direct) else cast("Service", found)

    def refuse_others(self) -> None:
        """Raise `NotTheGuard` where the state is another user's."""
        owner = privileges.owner(self.settings.state, self.settings.admission.socket)
        if owner is not None and owner != os.geteuid():
            command = self.arguments.command
            raise NotTheGuard(
                f"the state is {processes.user_name(owner)}'s, and {command} is for that user and root: "
                f"sudo exodus-storage-guard {command} ..."
            )

    @property
    def _busy_seconds(self) -> float | None:
        """Give how long `admit` waits for a catalogue that others write; all else has no hurry."""
        wait_seconds: float | None = getattr(self.arguments, "wait", None)
        return wait_seconds if wait_seconds is None else min(max(wait_seconds, _LEAST_BUSY_SECONDS), _MOST_BUSY_SECONDS)

    @property
    def config(self) -> Path | None:
        """Name the settings file, where it is not the usual one."""
        return settings.named(self.arguments.config, os.environ)

    def told(self, text: str, verdict: Verdict = Verdict.OK) -> int:
        """Print an outcome; give its exit code."""
        if not (self.arguments.quiet and verdict is Verdict.OK):
            say(text)
        return output.exit_code(verdict)
