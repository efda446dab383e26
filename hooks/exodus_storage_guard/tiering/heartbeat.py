"""Let others know that a run is at work: one that is silent for long has died, wherever it ran."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from exodus_common.errors import ExodusError
from exodus_storage_guard.state.contract import Catalogue

_log = logging.getLogger(__name__)
_EVERY_SECONDS = 20.0
DEAD_AFTER_SECONDS = 120.0


@contextmanager
def heartbeat(catalogue: Catalogue, owner: str) -> Iterator[None]:
    """Write down that a run is at work, before it claims anything and again and again until the block ends."""
    over = threading.Event()
    _beat(catalogue, owner)
    threading.Thread(target=_beats, args=(catalogue, owner, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _beats(catalogue: Catalogue, owner: str, over: threading.Event) -> None:
    while not over.wait(_EVERY_SECONDS):
        _beat(catalogue, owner)


def _beat(catalogue: Catalogue, owner: str) -> None:
    """Beat once; one that is missed is no harm: what others take over of ours then fails to be written by us."""
    try:
        catalogue.beat(owner)
    except ExodusError as error:
        _log.info("no sign of life was written: %s", error)
