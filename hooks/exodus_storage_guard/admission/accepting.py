"""Tell beforehand whether an upload would be admitted; behind a closed door nobody asks for room, so this does."""

from dataclasses import dataclass, field

from exodus_storage_guard.admission import reservations
from exodus_storage_guard.admission.reservations import AdmissionControl
from exodus_storage_guard.model import Need

_ASKED_EVERY_SECONDS = 60.0


@dataclass
class AcceptingFlag:
    """Answer for an admission control; threads may share it, and may then ask for a sweep once each."""

    control: AdmissionControl
    _asked_at: float | None = field(default=None, init=False)

    def is_accepting(self, size_bytes: int | None) -> bool:
        """Tell whether an upload of this size, or of a usual one, would be admitted now; nothing is reserved.

        Where it would not be, a sweep is started, at most once a minute.
        """
        if reservations.is_accepting(self.control, size_bytes):
            return True
        now = self.control.clock.monotonic()
        if self._asked_at is None or now - self._asked_at >= _ASKED_EVERY_SECONDS:
            self._asked_at = now
            wanted = reservations.request(self.control, size_bytes, None)
            self.control.sweeper.start_sweep(Need(wanted.charged_bytes))
        return False
