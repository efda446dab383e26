"""Instants as whole microseconds since 1970, which neither a file's time nor a row can lose anything of."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def instant(at: datetime) -> int:
    """Give an aware instant in whole microseconds."""
    return (at - _EPOCH) // _MICROSECOND


def datetime_of(value: int) -> datetime:
    """Read an instant."""
    return _EPOCH + timedelta(microseconds=value)
