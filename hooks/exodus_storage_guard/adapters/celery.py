"""Celery: tasks that store an upload ask for room before they start (Celery 5.2 and newer).

A platform derives a task of its own:

    class Analysis(GuardedTask):
        def upload_bytes(self, request_id):
            return UploadRequest.objects.get(pk=request_id).apk.size

        def on_refused(self, refusal, request_id):
            UploadRequest.objects.filter(pk=request_id).update(in_error=True, description=words.given_up(refusal))

    @app.task(base=Analysis, bind=True)
    def analyse(self, request_id):
        ...  # store it
        self.stored(key, size_bytes)  # where no storage of the guard's does
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from celery import Task

from exodus_storage_guard.adapters.gate import Gate, WhenBroken
from exodus_storage_guard.adapters.room import HELD, Room
from exodus_storage_guard.admission import unguarded
from exodus_storage_guard.admission.guard import UploadReservation
from exodus_storage_guard.errors import UploadRefused

_KNOWN_BYTES = "exodus_known_bytes"
_gates: dict[tuple[Path | None, WhenBroken | None], Gate] = {}


class GuardedTask(Task):
    """Run a task within a reservation: what it stored is committed, with its size, whatever ends it; the rest released.

    A storage of the guard's says what it stores (`exodus_storage_guard.adapters.minio`, Django's `GuardedStorage`). A
    body that stores by any other means says so itself, by `self.stored`.

    Where there is no room the body is not run, or ends where it grows. While the guard says when to come back, the task
    is tried again then, `max_retries` times, with the size that it was found to need; `on_waiting` is called each time.
    After that, and where no sweep can help, it fails with `UploadRefused`, and `on_refused` is called. A worker that is
    killed needs no help: its reservations end with it.

    Called like a function it is guarded as well, and raises `UploadRefused` at once, to the caller alone.
    """

    abstract = True
    throws: tuple[type[Exception], ...] = (UploadRefused,)  # no error of the platform's: logged without a traceback
    guard_config: Path | None = None
    when_broken: WhenBroken | None = None

    def upload_bytes(self, *args: Any, **kwargs: Any) -> int | None:
        """Say how large the upload is; None has it estimated, and `self.reservation.grow` correct that."""
        return None

    def upload_key(self, *args: Any, **kwargs: Any) -> str | None:
        """Say under which key it will be stored, where that is known: no sweep touches it meanwhile."""
        return None

    def on_waiting(self, refusal: UploadRefused, *args: Any, **kwargs: Any) -> None:
        """Let the platform tell whoever uploads that this is tried again; called each time."""

    def on_refused(self, refusal: UploadRefused, *args: Any, **kwargs: Any) -> None:
        """Let the platform tell whoever uploads; called once, when the task is given up."""

    @property
    def reservation(self) -> UploadReservation:
        """Give the reservation of the run at hand; where a broken guard's uploads are accepted it counts nothing."""
        room = HELD.get()
        return unguarded.reservation() if room is None else room.reservation

    def stored(self, key: str, size_bytes: int) -> None:
        """Say what was stored, where no storage of the guard's does: that is committed."""
        room = HELD.get()
        if room is not None:
            room.note(key, size_bytes)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body within a reservation.

        Not asked for in `before_start`: where that of a platform raised after ours nobody would be there to release it.
        """
        room = self._admitted(args, kwargs)
        try:
            with self._gate().holding(room):
                # A worker has made the request at hand already; Celery's own __call__ would put an empty one over it.
                return super().__call__(*args, **kwargs) if self.request.called_directly else self.run(*args, **kwargs)
        except UploadRefused as refusal:
            self._try_again(refusal, room, args, kwargs)
            raise

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Hand a refusal to `on_refused`."""
        super().on_failure(exc, task_id, args, kwargs, einfo)
        if isinstance(exc, UploadRefused):
            self.on_refused(exc, *args, **kwargs)

    def _admitted(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Room | None:
        known = self.request.get(_KNOWN_BYTES)
        try:
            size = self.upload_bytes(*args, **kwargs) if known is None else known
            return self._gate().admit(size, self.upload_key(*args, **kwargs))
        except UploadRefused as refusal:
            self._try_again(refusal, None, args, kwargs)
            raise

    def _try_again(
        self, refusal: UploadRefused, room: Room | None, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        """Have the task tried again where that is worth it: this raises what Celery takes for that."""
        if refusal.retry_after_seconds is None or self.request.called_directly:
            return
        known = self.request.get(_KNOWN_BYTES) if room is None else room.reservation.asked_bytes
        if self.max_retries is None or self.request.retries < self.max_retries:
            self.on_waiting(refusal, *args, **kwargs)
        told = {} if known is None else {"headers": {**(self.request.headers or {}), _KNOWN_BYTES: known}}
        raise self.retry(exc=refusal, countdown=refusal.retry_after_seconds, **told) from refusal

    def _gate(self) -> Gate:
        return _gates.setdefault((self.guard_config, self.when_broken), Gate(self.guard_config, self.when_broken))
