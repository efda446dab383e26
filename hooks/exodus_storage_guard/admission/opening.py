"""Open the way to whoever decides: this process itself where it owns the state, else the service."""

from pathlib import Path

from exodus_common.clock import SystemClock
from exodus_storage_guard import privileges
from exodus_storage_guard.admission.admissions import Admissions, Direct
from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.admission.sweeper import Command
from exodus_storage_guard.settings import Settings
from exodus_storage_guard.state import opening as state


def opened(settings: Settings, config: Path | None, busy_seconds: float | None = None) -> Admissions:
    """Give whoever decides; `config` is the settings file where it is not the usual one. Nothing is asked yet."""
    if privileges.opens_state(settings.state, settings.admission.socket):
        return Direct(control(settings, config, busy_seconds))
    # Who owns the state starts faster without it.
    from exodus_storage_guard.admission.service_client import Service

    return Service(settings.admission.socket)


def control(settings: Settings, config: Path | None, busy_seconds: float | None = None) -> AdmissionControl:
    """Open the state itself."""
    catalogue = state.opened(settings.state, busy_seconds)
    return AdmissionControl(settings, catalogue, SystemClock(), Command(config))
