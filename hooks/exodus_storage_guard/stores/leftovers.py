"""What deletions that were killed have left in a folder: when nobody is at work on it, and whom to tell of it."""

import logging
from datetime import datetime, timedelta

from exodus_common.terminal import printable

AT_WORK = timedelta(minutes=1)
TAKEN = "another file has its name by now; compare the two, then remove this one or give it a name of its own"
"""Says why what was set aside is not put back, and what to do."""
_log = logging.getLogger(__name__)


class Leftovers:
    """Tell an operator what nobody can put back by himself, each once."""

    def __init__(self, store: str) -> None:
        """Name the store."""
        self._store = store
        self._told = set[str]()

    def stays(self, path: str, why: str) -> None:
        """Tell what a deletion that was killed had set aside, and that stays there."""
        told = f"{self._store}: {printable(path)} was set aside by a deletion that was killed, and stays there: {why}"
        if told not in self._told:
            self._told.add(told)
            _log.warning("%s", told)


def left_before(now: datetime) -> datetime:
    """Say since when nobody is at work: who set something aside a moment ago is about to delete it."""
    return now - AT_WORK
