"""Write down what an upload wants, and who asks for it."""

import math
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import overload

from exodus_common.errors import UsageError
from exodus_storage_guard import processes
from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.model import MOST_BYTES, ObjectState, Reservation, Total

_LONGEST_KEY_BYTES = 1024
_SMALLEST_ESTIMATE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Asker:
    """Say who asks: the user whose reservation it is, and the process that it ends with; None: by its lease alone."""

    uid: int
    process: str | None = None

    @classmethod
    def myself(cls, *, ends_with_process: bool) -> "Asker":
        """Give this very process, and its user."""
        return cls(os.geteuid(), processes.this_process() if ends_with_process else None)


def request(
    control: AdmissionControl,
    size_bytes: int | None,
    key: str | None,
    *,
    lease_seconds: float | None = None,
    asker: Asker | None = None,
    client: str | None = None,
) -> Reservation:
    """Write down what an upload wants; one of unknown size is estimated from what the store holds.

    `client` is named for an upload that anybody can send: all of his together may have a share of the room.

    Raises `UsageError` for a longer lease than the settings allow, and for a longer key than any store has.
    """
    admission = control.settings.admission
    size_bytes = countable(size_bytes)
    if size_bytes is None:
        size_bytes = min(_estimate(control.catalogue.totals()), admission.most_upload_bytes)
    seconds = lease_seconds or admission.lease_seconds
    refuse_longer_lease(control, seconds)
    refuse_longer_key(key)
    now, asker = control.clock.now(), asker or Asker.myself(ends_with_process=False)
    ends_at, charged = now + timedelta(seconds=seconds), charged_for(control, size_bytes)
    return Reservation(
        uuid.uuid4().hex, size_bytes, charged, now, ends_at, key, asker.process, uid=asker.uid, client=client
    )


@overload
def countable(size_bytes: int) -> int: ...
@overload
def countable(size_bytes: int | None) -> int | None: ...
def countable(size_bytes: int | None) -> int | None:
    """Give a size that anybody may have declared as one that can be calculated with: what is more is refused as well.

    `admission.most_bytes` is never more than that.
    """
    return None if size_bytes is None else min(size_bytes, MOST_BYTES)


def is_key(name: str) -> bool:
    """Tell whether a name, which whoever uploads may have chosen, can be that of an object in a store."""
    try:
        return 0 < len(os.fsencode(name)) <= _LONGEST_KEY_BYTES and "\0" not in name
    except UnicodeEncodeError:
        return False


def refuse_longer_lease(control: AdmissionControl, lease_seconds: float) -> None:
    """Raise `UsageError` for a longer lease than the settings allow."""
    longest = control.settings.admission.longest_lease_seconds
    if lease_seconds > longest:
        raise UsageError(
            f"a lease of {lease_seconds:g} s: allowed: at most {longest:g} s (admission.most_lease_seconds)"
        )


def refuse_longer_key(key: str | None) -> None:
    """Raise `UsageError` for a key that no store has."""
    found = 0 if key is None else len(os.fsencode(key))
    if found > _LONGEST_KEY_BYTES:
        raise UsageError(f"key: found one of {found} bytes; allowed: at most {_LONGEST_KEY_BYTES}, as S3 has it")


def charged_for(control: AdmissionControl, size_bytes: int) -> int:
    """Say what an upload takes on its way."""
    return math.ceil(size_bytes * control.settings.admission.size_factor)


def _estimate(totals: Mapping[ObjectState, Total]) -> int:
    """Take twice the mean of what is catalogued: most are smaller, and the reservation can grow."""
    everything = sum(totals.values(), Total())
    return max(_SMALLEST_ESTIMATE_BYTES, 2 * everything.bytes // max(1, everything.count))
