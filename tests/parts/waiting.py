"""Ask until something holds; nothing is waited for that does not happen."""

import time
from collections.abc import Callable

_SECONDS = 30.0
_ASK_AGAIN_SECONDS = 0.02


def holds_in_time(holds: Callable[[], object], seconds: float = _SECONDS) -> bool:
    """Tell whether something holds before time is over."""
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(_ASK_AGAIN_SECONDS)
    return bool(held)


def wait_until(holds: Callable[[], object], otherwise: str = "it did not happen in time") -> None:
    """Wait until something holds; fail where it does not."""
    assert holds_in_time(holds), otherwise
