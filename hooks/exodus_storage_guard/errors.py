"""Errors of the storage half: each class knows its exit code."""

from collections.abc import Mapping
from enum import StrEnum

from exodus_common.errors import ExodusError, TryLater, UsageError
from exodus_common.terminal import printable

_NAMED = 3


class Why(StrEnum):
    """Say of which kind a refusal is: whoever uploads is told that, and not the operators' reason."""

    MAKING_ROOM = "making-room"
    NO_ROOM = "no-room"  # as yet: nothing is at work, and something will be
    FULL = "full"  # and nothing that is at work can change that
    TOO_LARGE = "too-large"
    TOO_MUCH_AT_ONCE = "too-much-at-once"
    BUSY = "busy"
    NOT_KNOWN = "not-known"  # the guard, or what it has to know, is away


class UploadRefused(TryLater):
    """Say that there is no room for an upload; `retry_after_seconds` is None where no sweep can help.

    `reason` is for operators; `exodus_storage_guard.words` has what is said to whoever uploads.
    """

    def __init__(self, reason: str, retry_after_seconds: int | None = None, why: Why = Why.NOT_KNOWN) -> None:
        """Keep what operators read, when to come back, and of which kind it is."""
        super().__init__(reason, retry_after_seconds, why)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
        self.why = why

    @property
    def http_status(self) -> int:
        """Give 503 where it is worth coming back, else 507 (RFC 4918)."""
        return 507 if self.retry_after_seconds is None else 503

    def __str__(self) -> str:
        """Give the reason; the arguments are kept apart, so that Celery can send a refusal from process to process."""
        return self.reason


class StoreFailed(ExodusError):
    """Say that a store or an archive did not do what it was asked; the message names it.

    `lacks_right` where it did not since its user may not: who asks for a right to be given needs to know.
    """

    lacks_right = False

    @classmethod
    def for_lack_of_a_right(cls, message: str) -> "StoreFailed":
        """Make one for what the user may not."""
        error = cls(message)
        error.lacks_right = True
        return error


class ListingIncomplete(StoreFailed):
    """Say that a listing has everything but what is below some places, which could not be looked at.

    `unseen` is what the keys begin with that may be missing.
    """

    def __init__(self, store: str, unseen: Mapping[str, str]) -> None:
        """Name the store, and each of those places with the reason."""
        named = "; ".join(f"{printable(place)}: {why}" for place, why in list(unseen.items())[:_NAMED])
        more = f"; and {len(unseen) - _NAMED} more" if len(unseen) > _NAMED else ""
        super().__init__(f"{store}: not all of it can be looked at ({named}{more}); is it readable for this user?")
        self.unseen = tuple(unseen)


class StoreFull(StoreFailed):
    """Say that a store or an archive has no space left."""


class ObjectMissing(StoreFailed):
    """Say that there is no object of this key."""


class ObjectChanged(StoreFailed):
    """Say that an object is not the one that was looked at before."""


class NotFreeable(StoreFailed):
    """Say that deleting an object would not give its space back, or is forbidden: older versions, a lock, a hold."""


class KeyRefused(UsageError):
    """Say that a key cannot be one of this store's."""


class NotYours(ExodusError):
    """Say that a reservation is another user's, who alone may end it, beside the guard and root."""


class NotTheGuard(ExodusError):
    """Say that something is for the guard's own user, and root."""


class StateFailed(ExodusError):
    """Say that the catalogue cannot be read or written."""


class RecordsFailed(ExodusError):
    """Say that what the platform recorded cannot be read, or makes no sense."""


class NotInitialised(ExodusError):
    """Say that `init` has not been run, or that the archive is not the one it marked."""
