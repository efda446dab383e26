"""Instants as whole microseconds since 1970, which neither a file's time nor a row can lose anything of."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# A day within what datetime holds, so that an instant can be told in every time zone.
_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def instant(at: datetime) -> int:
    """Give an aware instant in whole microseconds."""
    return (at - _EPOCH) // _MICROSECOND


def aware(text: str) -> datetime:
    """Read ISO 8601; raise `ValueError` where it says no zone: nothing can be compared with such a time."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("it has no zone")
    return at


def datetime_of(value: int) -> datetime:
    """Read an instant; one before the year 1 or after the year 9999, as a file's time may be, is the nearest there."""
    return _EPOCH + timedelta(microseconds=max(_FIRST_INSTANT, min(value, _LAST_INSTANT)))


_FIRST_INSTANT, _LAST_INSTANT = instant(_FIRST), instant(_LAST)
