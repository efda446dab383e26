"""A task that works for a row has it say how it goes, however it was sent and whatever ends it: real workers."""

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from exodus_storage_guard import words
from tests.parts.command import ROOT
from tests.parts.guard import MIB, Guarded
from tests.parts.processes import end_of
from tests.parts.waiting import holds_in_time
from tests.parts.workers import running_worker

OLD, NEW = (str(ROOT / ".platforms" / name / "bin/python") for name in ("old", "new"))
SECONDS = 60
both = pytest.mark.parametrize(
    "python", [pytest.param(OLD, marks=pytest.mark.full, id="old"), pytest.param(NEW, id="new")]
)
each_time = pytest.mark.parametrize("python", [pytest.param(OLD, id="old"), pytest.param(NEW, id="new")])


@dataclass(frozen=True)
class Rows:
    """A platform with its store, and what its rows say."""

    guarded: Guarded
    python: str

    @property
    def environment(self) -> dict[str, str]:
        paths = f"{ROOT}:{ROOT / 'hooks'}:{ROOT / 'tests/adapters'}"
        here = {"PYTHONPATH": paths, "PLATFORM_FOLDER": str(self.guarded.folder), "C_FORCE_ROOT": "1"}
        return self.guarded.environment | here

    def __call__(self, code: str) -> str:
        """Run some lines in a process of the platform that is no worker."""
        argv = [self.python, "-P", "-c", f"from submission_platform import *\n{code}"]
        done = subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def said(self, name: str) -> tuple[bool, str]:
        """Give what a row says: whether it is over, and a sentence."""
        with closing(sqlite3.connect(self.guarded.folder / "rows.db", timeout=SECONDS)) as rows:
            over, sentence = rows.execute(
                "SELECT is_staff, last_name FROM auth_user WHERE username = ?", (name,)
            ).fetchone()
        return bool(over), sentence

    def say_in_time(self, name: str, said: tuple[bool, str]) -> None:
        in_time = holds_in_time(lambda: self.said(name) == said, SECONDS)
        assert in_time, f"it says {self.said(name)}:\n{end_of(self.guarded.folder / 'worker.log', 40)}"


@pytest.fixture
def rows(python: str, tmp_path: Path) -> Rows:
    """Give a platform whose store is full of what is old; nobody makes room."""
    guarded = Guarded(tmp_path).write(admission={"emergency_reserve": 0})
    guarded.nobody_makes_room()
    guarded.fill(9, size=10 * MIB, oldest=400, newest=200)
    assert guarded("init").exit_code == 0
    found = Rows(guarded, python)
    found("from django.core.management import call_command; call_command('migrate', verbosity=0)")
    return found


@pytest.fixture
def worker(rows: Rows) -> Iterator[None]:
    log = rows.guarded.folder / "worker.log"
    with running_worker(rows.python, "submission_platform", env=rows.environment, log=log):
        yield


@both
@pytest.mark.parametrize("task", ["analyse", "analyse_bound"])
def test_a_row_is_found_by_place_and_by_name(task: str, rows: Rows) -> None:
    rows.guarded.write(capacity={"total_bytes": "10 GiB"})
    code = f"""
one = row("one")
print({task}.apply((one.pk,), {{"told": "by place"}}).result)
print({task}.apply((), {{"told": "by name", "params": one.pk}}).result)
"""
    assert rows(code).splitlines() == ["by place", "by name"]
    assert rows.said("one") == (False, "")


@both
def test_a_row_sent_by_name_says_why_it_ended(rows: Rows) -> None:
    rows("analyse.apply((), {'told': 'never', 'params': row('refused').pk})")
    rows.guarded.write(capacity={"total_bytes": "10 GiB"})
    rows("analyse.apply((), {'told': 'fail', 'params': row('failed').pk})")

    assert rows.said("refused") == (True, "There was no room for this. Please try again later.")
    assert rows.said("failed") == (True, words.failed())


@each_time
@pytest.mark.usefixtures("worker")
def test_what_waits_and_is_revoked_ends_and_says_so(rows: Rows) -> None:
    task_id = rows("print(analyse.delay(row('revoked').pk).id)")
    rows("analyse.delay(row('waiting').pk)")
    for name in ("revoked", "waiting"):
        rows.say_in_time(name, (False, words.waiting()))

    rows(f"app.control.revoke({task_id!r})")

    rows.say_in_time("revoked", (True, words.failed()))
    assert rows.said("waiting") == (False, words.waiting())


@both
@pytest.mark.usefixtures("worker")
def test_what_comes_too_late_to_be_begun_ends_and_says_so(rows: Rows) -> None:
    rows("analyse.apply_async((), {'params': row('late').pk}, expires=-1)")

    rows.say_in_time("late", (True, words.failed()))
