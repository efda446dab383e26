"""What one call of the command works with."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from exodus_common.clock import SystemClock
from exodus_common.output import say
from exodus_storage_guard import settings
from exodus_storage_guard.admission.reservations import AdmissionControl
from exodus_storage_guard.admission.sweeper import sweeper_for
from exodus_storage_guard.cli import output
from exodus_storage_guard.model import Verdict
from exodus_storage_guard.state import opening as state
from exodus_storage_guard.tiering.run import Run

_LEAST_BUSY_SECONDS, _MOST_BUSY_SECONDS = 1.0, 30.0


@dataclass(frozen=True)
class Context:
    """Hold what one call of the command works with."""

    arguments: argparse.Namespace
    settings: settings.Settings

    @property
    def run(self) -> Run:
        """Open the doors to the store and the archive."""
        return Run.begin(self.settings, SystemClock())

    @property
    def control(self) -> AdmissionControl:
        """Open the door to the state alone."""
        sweeper = sweeper_for(self.settings, self.config)
        catalogue = state.opened(self.settings.state, self._busy_seconds)
        return AdmissionControl(self.settings, catalogue, SystemClock(), sweeper)

    @property
    def _busy_seconds(self) -> float | None:
        """Give how long `admit` waits for a catalogue that others write; all else has no hurry."""
        wait_seconds: float | None = getattr(self.arguments, "wait", None)
        return wait_seconds if wait_seconds is None else min(max(wait_seconds, _LEAST_BUSY_SECONDS), _MOST_BUSY_SECONDS)

    @property
    def config(self) -> Path | None:
        """Name the settings file, where it is not the usual one."""
        found = self.arguments.config or os.environ.get(settings.VARIABLE)
        return Path(found) if found else None

    def told(self, text: str, verdict: Verdict = Verdict.OK) -> int:
        """Print an outcome; give its exit code."""
        if not (self.arguments.quiet and verdict is Verdict.OK):
            say(text)
        return output.exit_code(verdict)
