"""Run one story with doors that kill this process before or after something is done.

Called by test_crashes.py: dying.py STORY POINT before|after.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from exodus_common.clock import SystemClock
from exodus_storage_guard import settings
from exodus_storage_guard.admission.control import NOBODY, AdmissionControl
from exodus_storage_guard.model import Entry
from exodus_storage_guard.state.contract import Catalogue, Change
from exodus_storage_guard.stores.contract import Store
from exodus_storage_guard.stores.ssh import scripts
from exodus_storage_guard.tiering import recall, sweep
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.tiering.sync import sync
from tests.parts.doors import replace_methods

STORY, POINT, WHEN = sys.argv[1:4]
SET_ASIDE = "set-aside"
EFFECTS = ("put", "take", "delete", "delete_all", "present", "write_small", "move", "sha256")


def die_if(when: str, *, hit: bool) -> None:
    if hit and when == WHEN:
        os.kill(os.getpid(), signal.SIGKILL)


def make_store_deadly(store: Store, role: str) -> None:
    if f"{role}.{SET_ASIDE}" == POINT:
        replace_methods(store, delete=dying_between(type(store).delete))
        return
    replace_methods(store, **{name: dying(getattr(type(store), name), f"{role}.{name}") for name in EFFECTS})


def dying(usual: Callable[..., object], point: str) -> Callable[..., object]:
    def method(self: Store, *arguments: object, **options: object) -> object:
        die_if("before", hit=point == POINT)
        result = usual(self, *arguments, **options)
        die_if("after", hit=point == POINT)
        return result

    return method


def dying_between(usual: Callable[..., object]) -> Callable[..., object]:
    """Die before or after what was set aside is removed, here and over there."""
    killing = ('if [ "$(printf', 'kill -9 $$; if [ "$(printf') if WHEN == "before" else ("O=gone", "kill -9 $$")
    unlink = os.unlink

    def dying_unlink(path: str, **options: int) -> None:
        die_if("before", hit=True)
        unlink(path, **options)
        die_if("after", hit=True)

    def delete(self: Store, *arguments: object) -> object:
        os.unlink = dying_unlink  # type: ignore[assignment] # it is only called so
        scripts.DELETE = scripts.DELETE.replace(*killing)
        try:
            return usual(self, *arguments)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)  # as what ran over there was

    return delete


def make_catalogue_deadly(catalogue: Catalogue) -> None:
    usual: Callable[..., list[Entry]] = type(catalogue).change

    def change(self: Catalogue, changes: Iterable[Change], at: datetime) -> list[Entry]:
        asked = list(changes)
        hit = any(one.event.value == POINT for one in asked)
        die_if("before", hit=hit)
        made = usual(self, asked, at)
        die_if("after", hit=hit)
        return made

    replace_methods(catalogue, change=change)


def main() -> None:
    found = settings.load(None, os.environ)
    run = Run.begin(found, SystemClock())
    make_catalogue_deadly(run.catalogue)
    make_store_deadly(run.store, "store")
    if run.archive is not None:
        make_store_deadly(run.archive.store, "archive")
    if STORY == "sweep":
        sync(run)
        sweep.sweep(run, None, premigrated_only=False, start_at_high=False, progress=lambda done, aim: None)
        return
    key = Path(os.environ["KEY_FILE"]).read_text()
    if STORY == "restore":
        recall.restore(run, AdmissionControl(found, run.catalogue, run.clock, NOBODY), key)
    else:
        recall.forget(run, key)


main()
