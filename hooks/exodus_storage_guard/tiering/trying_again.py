"""Try what had failed at once, where somebody says that it is mended."""

from collections.abc import Collection
from datetime import datetime

from exodus_common.stopping import go_on
from exodus_storage_guard import policy
from exodus_storage_guard.batches import batches
from exodus_storage_guard.model import ObjectState
from exodus_storage_guard.policy import Selection
from exodus_storage_guard.tiering.moving import Moved, Mover

_BATCH = 1_000
_AGAIN = ObjectState.FAILED, ObjectState.QUARANTINED


def try_again(mover: Mover, selection: Selection, now: datetime, tried: Collection[str]) -> tuple[int, list[Moved]]:
    """Prove what had failed and was not tried yet, for no room is needed of it; count it, and give what fails again."""
    proven, failed = 0, list[Moved]()
    if mover.prover is None:
        return proven, failed
    had_failed = mover.run.catalogue.in_state(*_AGAIN)
    left = (one for one in had_failed if one.key not in tried and policy.why_kept(one, selection, now) is None)
    for batch in batches(left, _BATCH):
        if mover.stopped:
            break
        right, wrong = mover.prove(batch, "tried again, as was asked", releases=False)
        proven, failed = proven + len(right), failed + wrong
        go_on()
    return proven, failed
