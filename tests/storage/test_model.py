"""The whole guard against a model of a store: whatever is done in whatever order, nothing is lost."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from exodus_common.errors import ExodusError
from exodus_storage_guard.admission import asking, reservations
from exodus_storage_guard.admission.control import NOBODY, AdmissionControl
from exodus_storage_guard.errors import StoreFailed, UploadRefused
from exodus_storage_guard.model import IN_STORE, Need, ObjectState, Verdict
from exodus_storage_guard.tiering import initialise, rebuild, recall, sweep, sync, verify
from tests.parts.guard import Guarded, apk_key, sha256_of

SIZE = 1000
TOTAL = 10 * SIZE
AGES = st.sampled_from([400, 300, 200, 179, 1])


class GuardedStore(RuleBasedStateMachine):
    """Ten objects fit; some are old, some young, some are no APKs."""

    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="exodus-model-"))
        self.guarded = Guarded(self.folder).write(
            capacity={"total_bytes": TOTAL},
            admission={"emergency_reserve": 0},
            watermarks={"low": "50%", "high": "60%", "flood": "90%"},
            sweep={"premigrate": "20%", "parallel": 2},
        )
        self.run = self.guarded.run()
        self.desk = AdmissionControl(self.run.settings, self.run.catalogue, self.run.clock, NOBODY)
        initialise.initialise(self.run)
        self.number = 0
        self.expected: dict[str, str] = {}
        self.young: set[str] = set()
        self.held: set[str] = set()

    def teardown(self) -> None:
        self.run.catalogue.database.close()  # type: ignore[attr-defined]
        shutil.rmtree(self.folder)

    @initialize(target=keys, ages=st.lists(AGES, min_size=6, max_size=9))
    def fill(self, ages: list[int]) -> Any:
        return multiple(*(self._upload(days, is_apk=True) for days in ages))

    @rule(target=keys, days=AGES, is_apk=st.sampled_from([True, True, True, False]))
    def upload(self, days: int, is_apk: bool) -> str:
        return self._upload(days, is_apk=is_apk)

    def _upload(self, days: int, *, is_apk: bool) -> str:
        self.number += 1
        key = apk_key(self.number) if is_apk else f"{self.number}.clist"
        with suppress(UploadRefused):
            wanted = asking.request(self.desk, SIZE, key)
            reservations.admit(self.desk, wanted)
            path = self.guarded.put(key, size=SIZE, days=days)
            reservations.commit(self.desk, wanted.id, key)
            self.expected[key] = sha256_of(path)
            if days < 180 or not is_apk:
                self.young.add(key)
        return key

    @rule(key=consumes(keys))
    def others_delete(self, key: str) -> None:
        if key in self.guarded.stored() and key not in self.guarded.archived():
            (self.guarded.store / key).unlink()
            for known in (self.expected.pop, self.young.discard, self.held.discard):
                known(key)

    @rule(key=keys)
    def others_change(self, key: str) -> None:
        if key in self.guarded.stored() and key not in self.guarded.archived():
            path = self.guarded.put(key, content=f"changed {self.number} {key}".encode(), days=300)
            self.expected[key] = sha256_of(path)
            self.young.discard(key)
            if key.endswith(".clist"):
                self.young.add(key)

    @rule()
    def synchronise(self) -> None:
        sync.sync(self.run, emptied=True)

    @rule(need=st.none() | st.integers(1, 6))
    def make_room(self, need: int | None) -> None:
        wanted = None if need is None else Need(need * SIZE)
        try:
            told: Any = sweep.sweep(
                self.run, wanted, premigrated_only=False, start_at_high=False, progress=lambda done, aim: None
            )
        except StoreFailed:  # others deleted so many, and no listing has told
            oldest = {entry.key for entry in islice(self.run.catalogue.candidates(), 5)}
            assert not oldest & self.guarded.stored()
            return
        assert told.freed_bytes >= told.need_bytes or told.verdict is Verdict.CRITICAL
        if told.verdict is Verdict.CRITICAL:
            assert "only" in told.reason

    @rule(key=keys)
    def restore(self, key: str) -> None:
        with suppress(ExodusError):
            recall.restore(self.run, self.desk, key)
            self.held.add(key)

    @rule(key=keys, held=st.booleans())
    def hold(self, key: str, held: bool) -> None:
        if self.run.catalogue.hold([key], self.run.clock.now(), held=held):
            (self.held.add if held and key in self.guarded.stored() else self.held.discard)(key)

    @rule()
    def verify_all(self) -> None:
        assert all(one.verdict is Verdict.OK for one in verify.verify(self.run, None))

    @precondition(lambda self: self.number > 3)
    @rule()
    def lose_the_catalogue(self) -> None:
        self.run.catalogue.database.close()  # type: ignore[attr-defined]
        for path in self.guarded.state.parent.iterdir():
            path.unlink()
        rebuild.rebuild(self.run)
        self.held.clear()

    @invariant()
    def nothing_is_lost(self) -> None:
        stored = {key: sha256_of(self.guarded.store / key) for key in self.guarded.stored()}
        assert self.guarded.archived() | stored == self.expected

    @invariant()
    def nothing_young_or_unselected_has_left(self) -> None:
        assert self.young <= self.guarded.stored()

    @invariant()
    def nothing_held_has_left(self) -> None:
        assert self.held <= self.guarded.stored()

    @invariant()
    def nothing_is_left_half_done(self) -> None:
        totals = self.run.catalogue.totals()
        assert not {ObjectState.COPYING, ObjectState.RELEASING, ObjectState.RECALLING} & set(totals)

    @invariant()
    def the_store_is_never_overfull(self) -> None:
        assert sum(path.stat().st_size for path in self.guarded.store.iterdir()) <= TOTAL * 0.9

    @invariant()
    def what_is_archived_and_gone_from_the_store_is_known(self) -> None:
        for key in set(self.guarded.archived()) - self.guarded.stored():
            entry = self.run.catalogue.get(key)
            assert entry is not None
            assert entry.state is ObjectState.ARCHIVED or entry.state in IN_STORE  # not yet looked at by a sync


@pytest.fixture(autouse=True)
def _no_leftovers() -> Iterator[None]:
    before = set(Path(tempfile.gettempdir()).glob("exodus-model-*"))
    yield
    assert set(Path(tempfile.gettempdir()).glob("exodus-model-*")) <= before


GuardedStore.TestCase.settings = settings(
    max_examples=80, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestGuardedStore = GuardedStore.TestCase
