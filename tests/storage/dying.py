"""Run one story with doors that kill this process before or after something is done.

Called by test_crashes.py: dying.py STORY POINT before|after.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from exodus_common.clock import SystemClock
from exodus_storage_guard import admission, recall, settings, sweep
from exodus_storage_guard.admission import Desk
from exodus_storage_guard.archive import Archive
from exodus_storage_guard.model import Entry
from exodus_storage_guard.run import Run
from exodus_storage_guard.state.contract import Change
from exodus_storage_guard.state.opening import opened
from exodus_storage_guard.state.sql import SqlCatalogue
from exodus_storage_guard.stores.directory import DirectoryStore
from exodus_storage_guard.sync import sync

STORY, POINT, WHEN = sys.argv[1:4]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_catalogue(found: SqlCatalogue) -> SqlCatalogue:
    class DyingCatalogue(SqlCatalogue):
        def change(self, changes: Iterable[Change], at: datetime) -> list[Entry]:
            asked = list(changes)
            hit = any(change.event.value == POINT for change in asked)
            if hit and WHEN == "before":
                die()
            made = super().change(asked, at)
            if hit and WHEN == "after":
                die()
            return made

    return DyingCatalogue(found._database)


class DyingStore(DirectoryStore):
    role = ""


def dying(name: str) -> Callable[..., Any]:
    def method(self: DyingStore, *arguments: object, **options: object) -> object:
        hit = f"{self.role}.{name}" == POINT
        if hit and WHEN == "before":
            die()
        result = getattr(DirectoryStore, name)(self, *arguments, **options)
        if hit and WHEN == "after":
            die()
        return result

    return method


for each in ("put", "delete", "write_small", "move", "sha256"):
    setattr(DyingStore, each, dying(each))


def main() -> None:
    found = settings.load(None, os.environ)
    store = DyingStore(found.store.location.path)
    store.role = "store"
    archive = None
    if found.archive:
        archived = DyingStore(found.archive.location.path)
        archived.role = "archive"
        archive = Archive(archived)
    catalogue = dying_catalogue(cast(SqlCatalogue, opened(found.state)))
    run = replace(Run.begin(found, SystemClock()), catalogue=catalogue, store=store, archive=archive)
    if STORY == "sweep":
        sync(run)
        sweep.sweep(run, None, premigrated_only=False, start_at_high=False, progress=lambda done, aim: None)
        return
    key = Path(os.environ["KEY_FILE"]).read_text()
    if STORY == "restore":
        recall.restore(run, Desk(found, catalogue, run.clock, admission.NOBODY), key)
    else:
        recall.forget(run, key)


main()
