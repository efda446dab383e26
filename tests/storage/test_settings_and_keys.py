"""Settings that cannot work are refused by file and key; keys that would lead elsewhere are refused or handled."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.parts.guard import MIB, Guarded, sha256_of


def without_table(guarded: Guarded, name: str) -> None:
    guarded.write(**{name: None})


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"store": None}, "key store: found nothing; required: a table"),
        ({"store": {"url": "/srv/apks"}}, "store: url: allowed: directory:// and the path of a folder"),
        ({"store": {"url": "directory:///"}}, "allowed: directory:// and the path of a folder"),
        ({"store": {"url": "directory:///srv/../etc"}}, "allowed: directory:// and the path of a folder"),
        ({"store": {"bucket": "x"}}, "store.bucket: found an unknown key"),
        ({"archive": None}, "archive: found nothing; required: a table"),
        ({"select": {"action": "prune"}}, "archive: allowed: nothing"),
        ({"select": {"action": "delete"}}, 'allowed: one of "archive", "prune"'),
        ({"select": {"pattern": "("}}, "is no regular expression"),
        ({"select": {"pattern": ""}}, "pattern: found nothing"),
        ({"select": {"minimum_age_days": -1}}, "minimum_age_days: allowed"),
        ({"watermarks": {"low": "90%"}}, "allowed: low < high <= flood"),
        ({"watermarks": {"flood": "101%"}}, "flood: found '101%'"),
        ({"capacity": {"source": "budget", "total_bytes": None}}, "total_bytes: found nothing"),
        ({"capacity": {"source": "filesystem"}}, "total_bytes: allowed with"),
        ({"capacity": {"max_age_seconds": 0}}, "max_age_seconds: allowed: more than 0"),
        ({"capacity": {"max_age_seconds": 86401}}, "max_age_seconds: allowed: more than 0, at most 86400 (a day)"),
        ({"admission": {"most_reservations": 0}}, "most_reservations: allowed: 1 to 10000"),
        ({"admission": {"size_factor": 0.5}}, "size_factor: allowed: 1 to 10"),
        ({"admission": {"emergency_reserve": "1 GiBi"}}, "emergency_reserve: found '1 GiBi'"),
        ({"admission": {"socket": "relative"}}, "socket: allowed: an absolute path"),
        ({"admission": {"most_bytes": 0}}, "most_bytes: allowed: more than 0"),
        ({"admission": {"most_lease_seconds": 0}}, "most_lease_seconds: allowed"),
        ({"admission": {"make_room": "command"}}, "make_room"),
        ({"sweep": {"parallel": 0}}, "parallel: allowed: 1 to 64"),
        ({"state": {"url": "sqlite:///relative.db"}}, "allowed: sqlite:////an/absolute/file.db"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_done(
    tables: dict[str, Any], told: str, guarded: Guarded
) -> None:
    guarded.write(**tables)

    for command in (("init",), ("admit", "--bytes", "1"), ("sweep",)):
        ran = guarded(*command)
        assert ran.exit_code == 78, ran.all_output
        assert told in ran.stderr
        assert str(guarded.config) in ran.stderr
        assert len(ran.stderr.splitlines()) == 1
    assert list(guarded.state.parent.iterdir()) == []


@pytest.mark.parametrize("place", ["store", "store/archive", "."])
def test_a_store_and_an_archive_that_lie_in_each_other_are_refused(place: str, guarded: Guarded) -> None:
    guarded.write(archive={"url": f"directory://{guarded.folder / place}"})

    assert "places apart from each other" in guarded("init").stderr


def test_a_link_does_not_hide_that_they_do(guarded: Guarded) -> None:
    (guarded.store / "inside").mkdir()
    (guarded.folder / "link").symlink_to(guarded.store / "inside")
    guarded.write(archive={"url": f"directory://{guarded.folder / 'link'}"})

    assert guarded("init").exit_code == 78


def test_marks_that_only_the_measured_size_contradicts_are_refused_once_it_is_known(guarded: Guarded) -> None:
    guarded.write(watermarks={"low": "75%", "high": "10 MiB"})

    ran = guarded("init")

    assert ran.exit_code == 78
    assert "low < high" in ran.stderr


def test_before_init_every_command_says_so(guarded: Guarded) -> None:
    for command in (("status",), ("admit", "--bytes", "1"), ("plan",), ("sweep",), ("history",)):
        ran = guarded(*command)
        assert (ran.exit_code, "exodus-storage-guard init" in ran.stderr) == (1, True), ran.all_output


def test_init_may_be_run_again(guarded: Guarded) -> None:
    guarded.fill(3)
    first, mark = guarded("init"), (guarded.archive / ".exodus-storage-guard.json").read_bytes()
    second = guarded("init")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert (guarded.archive / ".exodus-storage-guard.json").read_bytes() == mark
    assert guarded.states() == {"resident": 3}


# --- keys ---

ODD = [
    "-rf",
    "--config",
    "line\nfeed",
    "space and ünïcödé.apk",
    "per%20cent",
    "deep/er/key.apk",
    "x" * 255,
    "\udcff.apk",
]


def test_odd_keys_are_archived_and_restored_like_any_other(guarded: Guarded) -> None:
    guarded.write(
        select={"pattern": ".", "minimum_age_days": 0},
        capacity={"total_bytes": "9 MiB"},
        admission={"emergency_reserve": 0},
        watermarks={"low": "1%", "high": "2%", "flood": "95%"},
    )
    for key in ODD:
        guarded.put(key, size=MIB, days=3)
    before = {key: sha256_of(guarded.store / key) for key in guarded.stored()}
    guarded("init")

    swept = guarded("sweep", "--json")
    assert swept.exit_code == 0, swept.all_output
    assert guarded.stored() == set()
    assert guarded.archived() == before
    listed = guarded.folder / "list"
    listed.write_bytes(b"\n".join(os.fsencode(key) for key in ODD if "\n" not in key))
    restored = guarded("restore", "--from-list", str(listed), "--json")
    one_by_one = guarded("restore", "--", "line\nfeed")

    assert restored.exit_code == 0, restored.all_output
    assert one_by_one.exit_code == 0, one_by_one.all_output
    assert {key: sha256_of(guarded.store / key) for key in guarded.stored()} == before


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/../../outside", "", "x" * 1024])
@pytest.mark.parametrize("command", ["restore", "fetch", "forget", "hold"])
def test_a_key_that_leads_elsewhere_is_not_followed(command: str, key: str, guarded: Guarded, tmp_path: Path) -> None:
    (guarded.folder / "outside").write_text("secret")
    guarded("init")
    arguments = {"fetch": [key, str(tmp_path / "target")], "forget": [key, "--yes"]}.get(command, [key])

    ran = guarded(command, *arguments)

    assert ran.exit_code in (1, 2)
    assert "Traceback" not in ran.all_output
    assert not (tmp_path / "target").exists()
    assert (guarded.folder / "outside").read_text() == "secret"


def test_what_a_store_shows_cannot_lead_a_terminal_astray(guarded: Guarded) -> None:
    guarded.put("\x1b[2Jevil.apk", size=1)
    guarded.write(select={"pattern": "."}, capacity={"total_bytes": 1}, admission={"emergency_reserve": 0})
    guarded("init")

    assert "\x1b" not in guarded("plan").all_output
    assert "\x1b" not in guarded("sweep", "--verbose").all_output


def test_a_catalogue_that_cannot_be_reached_is_another_thing_than_none(guarded: Guarded) -> None:
    (guarded.folder / "file").write_text("")
    guarded.write(state={"url": f"sqlite:///{guarded.folder}/file/state.db"})
    unreachable = guarded("status")
    guarded.write(state={"url": f"sqlite:///{guarded.folder}/nothing/state.db"})
    none = guarded("status")

    assert "cannot open the catalogue" in unreachable.stderr
    assert "Not a directory" in unreachable.stderr
    assert "there is no catalogue" in none.stderr
    assert "init" in none.stderr
