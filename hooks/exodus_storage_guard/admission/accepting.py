"""Tell beforehand whether an upload would be admitted; behind a closed door nobody asks for room, so this does."""

from dataclasses import dataclass, field

from exodus_storage_guard.admission import admit as admission
from exodus_storage_guard.admission.admit import Desk
from exodus_storage_guard.model import Need

_ASKED_EVERY_SECONDS = 60.0


@dataclass
class Doorkeeper:
    """Answer for a desk; threads may share it, and may then ask for a sweep once each."""

    desk: Desk
    _asked_at: float | None = field(default=None, init=False)

    def is_accepting(self, size_bytes: int | None) -> bool:
        """Tell whether an upload of this size, or of a usual one, would be admitted now; nothing is reserved.

        Where it would not be, a sweep is started, at most once a minute.
        """
        if admission.is_accepting(self.desk, size_bytes):
            return True
        now = self.desk.clock.monotonic()
        if self._asked_at is None or now - self._asked_at >= _ASKED_EVERY_SECONDS:
            self._asked_at = now
            wanted = admission.request(self.desk, size_bytes, None)
            self.desk.room.start_sweep(Need(wanted.charged_bytes))
        return False
