"""A verdict is true: what an upload would meet, what a sweep met, and what is not where it was."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from exodus_storage_guard.tiering.archive import MARK
from tests.parts.guard import Guarded, apk_key, swept
from tests.parts.marks import on_sqlite
from tests.parts.mounts import mounted


def told(guarded: Guarded) -> tuple[str, str]:
    """Give what check says."""
    found = guarded("check", "--json").json
    return found["verdict"], found["reason"]


def young(guarded: Guarded, count: int) -> None:
    """Fill a store with what nobody may sweep."""
    guarded.fill(count, oldest=20, newest=1)
    guarded("init")


# --- what an upload would meet ---


@pytest.mark.parametrize(("count", "verdict"), [(80, "ok"), (90, "warning"), (94, "critical"), (96, "critical")])
def test_a_store_of_young_objects_is_judged_by_what_an_upload_of_usual_size_meets(
    count: int, verdict: str, guarded: Guarded
) -> None:
    young(guarded, count)

    found, reason = told(guarded)

    assert found == verdict, reason
    assert "a sweep is due" not in reason
    assert ("an upload of usual size (2.0 MiB) is refused" in reason) == (verdict == "critical")
    if verdict != "ok":
        assert "no sweep can help: exodus-storage-guard plan says why" in reason


@pytest.mark.parametrize(("count", "verdict"), [(90, "warning"), (94, "critical")])
def test_a_sweep_is_due_only_where_one_can_help(count: int, verdict: str, guarded: Guarded) -> None:
    guarded.fill(count, oldest=400, newest=200)
    guarded("init")

    found, reason = told(guarded)

    assert found == verdict
    assert "a sweep is due" in reason
    assert "no sweep can help" not in reason
    guarded("sweep")
    assert told(guarded)[0] == "ok"


def test_what_is_premigrated_makes_way_for_an_upload_and_is_no_refusal(guarded: Guarded) -> None:
    guarded.write(sweep={"premigrate": "20%"}, watermarks={"low": "93%", "high": "94%", "flood": "95%"})
    guarded.fill(94, oldest=400, newest=200)
    guarded("init")
    guarded("sweep")

    verdict, reason = told(guarded)

    assert guarded.states()["premigrated"] >= 19
    assert "is refused" not in reason
    assert verdict != "critical"
    assert guarded("admit", "--bytes", "2 MiB").exit_code == 0


def test_a_store_without_free_inodes_refuses_uploads_and_check_says_so(guarded: Guarded) -> None:
    guarded.write(capacity={"source": "filesystem", "total_bytes": None}, admission={"emergency_reserve": 0})
    with mounted(f"mount -t tmpfs -o nr_inodes=1100 tmpfs {guarded.store}") as own:
        assert guarded.inside(own, "init").exit_code == 0
        own.sh(f"cd {guarded.store}; for i in $(seq 200); do : > $i; done")
        checked = guarded.inside(own, "check")

    assert checked.exit_code == 1
    assert "free inodes" in checked.stdout


# --- check, plan, the timer's sweep and admissions say the same ---

MEGABYTES = 1024 * 1024
SITUATIONS: dict[str, tuple[dict[str, dict[str, Any]], int, int, str]] = {
    "a reserve below all marks": ({"admission": {"emergency_reserve": "40 MiB"}}, 60, 1, ""),
    "marks above the store": ({"watermarks": {"low": "1 GiB", "high": "2 GiB", "flood": "3 GiB"}}, 99, 1, ""),
    "uploads that are large": ({"admission": {"emergency_reserve": 0}}, 14, 6, ""),
    "what is reserved": ({}, 80, 1, "14 MiB"),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_where_check_says_that_a_sweep_is_due_the_timers_makes_room(name: str, guarded: Guarded) -> None:
    tables, count, size, reserved = SITUATIONS[name]
    guarded.write(**tables)
    guarded.fill(count, size=size * MEGABYTES, oldest=400, newest=200)
    guarded("init")
    guarded.nobody_makes_room()
    if reserved:
        assert guarded("admit", "--bytes", reserved).exit_code == 0
    verdict, reason = told(guarded)
    plan = guarded("plan", "--json").json

    swept_by_timer = guarded("sweep", "--start-at-high", "--json").json

    assert (verdict, "a sweep is due" in reason) == ("critical", True), reason
    assert plan["verdict"] == "ok"
    assert plan["freed_bytes"] == swept_by_timer["freed_bytes"] > 0
    verdict, reason = told(guarded)
    assert verdict != "critical", reason
    assert "a sweep is due" not in reason
    assert guarded("sweep", "--start-at-high", "--json").json["freed_bytes"] == 0
    assert guarded("admit", "--bytes", f"{2 * size} MiB").exit_code == 0


@pytest.mark.parametrize("name", SITUATIONS)
def test_where_check_says_that_no_sweep_can_help_plan_and_the_timers_say_why(name: str, guarded: Guarded) -> None:
    tables, count, size, reserved = SITUATIONS[name]
    guarded.write(**tables)
    guarded.fill(count, size=size * MEGABYTES, oldest=20, newest=1)
    guarded("init")
    guarded.nobody_makes_room()
    if reserved:
        assert guarded("admit", "--bytes", reserved).exit_code == 0

    verdict, reason = told(guarded)
    plan, timers = guarded("plan"), guarded("sweep", "--start-at-high")
    refused = guarded("admit", "--bytes", f"{2 * size} MiB")

    assert (verdict, "no sweep can help" in reason) == ("critical", True), reason
    for ran in (plan, timers):
        assert ran.exit_code == 1
        assert "younger than the minimum age" in ran.stdout
    assert "no sweep can help: see exodus-storage-guard plan" in refused.stderr


def test_below_the_high_mark_with_room_for_an_upload_the_timers_sweep_frees_nothing(guarded: Guarded) -> None:
    guarded.fill(84, oldest=400, newest=200)
    guarded("init")

    assert "a sweep is due" not in told(guarded)[1]
    assert guarded("sweep", "--start-at-high", "--json").json["freed_bytes"] == 0
    assert len(guarded.stored()) == 84


def test_what_is_being_uploaded_again_is_nothing_that_a_sweep_could_free(guarded: Guarded) -> None:
    keys = guarded.fill(93, oldest=400, newest=1)[:50]
    guarded.write(admission={"emergency_reserve": 0}, select={"pattern": "|".join(keys[:2])})
    guarded("init")
    for key in keys[:2]:
        assert guarded("admit", "--bytes", "1", "--key", key).exit_code == 0

    assert "no sweep can help" in told(guarded)[1]
    plan = guarded("plan")
    assert plan.exit_code == 1
    assert "being uploaded" in plan.stdout


@pytest.mark.parametrize(
    ("tables", "set_what"),
    [
        ({"watermarks": {"low": "1 GiB", "high": "2 GiB", "flood": "3 GiB"}}, "99.0 MiB may be used at all"),
        ({"admission": {"emergency_reserve": "40 MiB"}}, "watermarks.high is 85.0 MiB, and 60.0 MiB may be used"),
    ],
)
def test_marks_above_what_may_be_used_are_told_by_init_and_check_with_what_to_set(
    tables: dict[str, dict[str, str]], set_what: str, guarded: Guarded
) -> None:
    made = guarded.write(**tables)("init")

    assert made.exit_code == 0
    verdict, reason = told(guarded)
    assert verdict == "warning"
    for text in (made.stdout, reason):
        assert set_what in text
        assert "set a lower watermarks.high and watermarks.low, or a smaller reserve" in text
    guarded.write(**tables | {"watermarks": {"low": "40%", "high": "50%"}})
    assert "watermarks" not in guarded("init").stdout
    assert told(guarded)[0] == "ok"


def test_the_marks_that_status_shows_are_those_that_decide(guarded: Guarded) -> None:
    guarded.write(admission={"emergency_reserve": "40 MiB"})
    guarded("init")

    shown = guarded("status", "--json").json["watermarks"]

    assert (shown["high_bytes"], shown["flood_bytes"]) == (60 * MEGABYTES, 60 * MEGABYTES)
    assert shown["low_bytes"] == 60 * MEGABYTES * 75 // 85


# --- what a setting refuses ---


def test_a_bound_below_what_uploads_have_is_critical_and_init_says_what_to_set(guarded: Guarded) -> None:
    guarded.write(admission={"most_bytes": "100 KiB"})
    guarded.fill(20)

    made = guarded("init")
    refused = guarded("admit", "--bytes", "1 MiB")

    verdict, reason = told(guarded)
    assert verdict == "critical"
    for text in (made.stdout, reason):
        assert "an upload of usual size (1.0 MiB, the mean of what is catalogued) is refused" in text
        assert "one upload may have 100 KiB (admission.most_bytes)" in text
    assert "no sweep can help" in refused.stderr
    assert "exodus-storage-guard plan" not in refused.stderr
    guarded.write(admission={"most_bytes": "1 MiB"})
    assert "most_bytes" not in guarded("init").stdout
    assert told(guarded)[0] == "ok"
    assert guarded("admit", "--bytes", "1 MiB").exit_code == 0


# --- what can never be ---

NEVER = "nothing can ever be admitted"


@pytest.mark.parametrize("reserve", ["1 GiB", "100 MiB"])
def test_settings_under_which_nothing_is_ever_admitted_are_refused_and_critical(reserve: str, guarded: Guarded) -> None:
    guarded("init")
    guarded.write(admission={"emergency_reserve": reserve})

    refused = guarded("init")
    verdict, reason = told(guarded)

    assert refused.exit_code == 78
    assert NEVER in refused.stderr
    assert "admission.emergency_reserve" in refused.stderr
    assert verdict == "critical"
    assert NEVER in reason
    guarded.write(admission={"emergency_reserve": "98 MiB"})
    assert guarded("init").exit_code == 0
    assert guarded("admit", "--bytes", "1 MiB").exit_code == 0


def test_a_pattern_that_selects_nothing_is_told_by_init_and_check(guarded: Guarded) -> None:
    guarded.write(select={"pattern": r"^[a-z]{61}_.+\.apk$"})
    guarded.fill(3)
    made = guarded("init")

    assert made.exit_code == 0
    assert "select.pattern selects none of the 3 objects" in made.stdout
    assert told(guarded)[0] == "warning"
    assert "select.pattern selects none of the 3 objects" in told(guarded)[1]
    guarded.write()
    guarded("init")
    assert told(guarded)[0] == "ok"


def test_an_empty_store_is_none_whose_pattern_selects_nothing(guarded: Guarded) -> None:
    assert "select.pattern" not in guarded("init").stdout
    assert told(guarded)[0] == "ok"


# --- what a sweep met ---


def full(guarded: Guarded, count: int = 90) -> None:
    guarded.fill(count, oldest=400, newest=200)
    guarded("init")


def test_an_archive_that_is_away_is_critical_until_a_sweep_finds_it_again(guarded: Guarded) -> None:
    full(guarded)
    guarded.archive.rename(guarded.folder / "away")
    guarded.archive.mkdir()

    assert guarded("sweep").exit_code == 1
    verdict, reason = told(guarded)

    assert verdict == "critical"
    assert "the last sweep failed" in reason
    assert "is its disk mounted?" in reason
    assert "a sweep is due" not in reason
    guarded.archive.rmdir()
    (guarded.folder / "away").rename(guarded.archive)
    assert guarded("sweep").exit_code == 0
    assert told(guarded)[0] == "ok"


@pytest.mark.parametrize("what", ["size=3m", "nr_inodes=8"])
def test_an_archive_that_is_full_or_out_of_inodes_is_critical_until_it_has_room(what: str, guarded: Guarded) -> None:
    guarded.fill(90, oldest=400, newest=200)
    with mounted(f"mount -t tmpfs -o {what} tmpfs {guarded.archive}") as own:
        assert guarded.inside(own, "init").exit_code == 0
        failed = guarded.inside(own, "sweep")
        checked = guarded.inside(own, "check")
        own.sh(f"mount -o remount,size=300m,nr_inodes=900 {guarded.archive}")
        mended = guarded.inside(own, "sweep")
        again = guarded.inside(own, "check")

    assert failed.exit_code == 1
    assert "No space left on device" in failed.stdout
    assert ("out of inodes" in failed.stdout) == (what == "nr_inodes=8")
    assert "not needed: enough is freed" not in failed.stdout
    assert checked.exit_code == 1
    assert "the archive is full" in checked.stdout
    assert "a sweep is due" not in checked.stdout
    assert mended.exit_code == 0, mended.all_output
    assert (again.exit_code, "the archive is full" in again.stdout) == (0, False)


def test_rows_of_a_sweep_that_went_wrong_are_told_from_those_that_went_well(guarded: Guarded) -> None:
    guarded.fill(90, oldest=400, newest=200)
    with mounted(f"mount -t tmpfs -o size=3m tmpfs {guarded.archive}") as own:
        guarded.inside(own, "init")
        lines = guarded.inside(own, "sweep").stdout.splitlines()

    rows = [line for line in lines if " 1.0 MiB " in line and ".apk" in line]
    wrong = [line for line in rows if line.startswith("WARNING")]
    assert wrong
    assert all("No space left on device" in line for line in wrong)
    assert all(line.startswith("OK") for line in rows[len(wrong) :])
    assert "not reached" in "\n".join(lines)


def test_a_sweep_in_which_all_objects_failed_is_critical(guarded: Guarded) -> None:
    full(guarded, 9)
    guarded.write(capacity={"total_bytes": "10 MiB"}, admission={"emergency_reserve": 0})
    for path in guarded.store.iterdir():
        path.write_bytes(b"another content" * 10)
    for path in guarded.archive.glob("*"):
        assert path.name == MARK

    report = swept(guarded.run())

    assert report.freed_bytes == 0
    assert told(guarded)[0] == "critical"


def test_a_sweep_that_failed_on_its_settings_is_told_by_check_as_well(guarded: Guarded) -> None:
    full(guarded)
    key = guarded.folder / "archive-key"
    guarded.write(archive={"url": "s3://old", "endpoint": "http://127.0.0.1:1", "access_key_file": str(key)})

    assert guarded("sweep").exit_code == 78
    verdict, reason = told(guarded)

    assert verdict == "critical"
    assert str(key) in reason


def test_a_need_that_was_too_much_is_no_failure_of_later_sweeps(guarded: Guarded) -> None:
    guarded.fill(20)
    guarded("init")

    assert guarded("sweep", "--need", "99 MiB").exit_code == 1
    assert told(guarded)[0] == "ok"


def test_a_look_takes_no_failure_back(guarded: Guarded) -> None:
    guarded.fill(90, oldest=400, newest=200)
    with mounted(f"mount -t tmpfs -o size=3m tmpfs {guarded.archive}") as own:
        guarded.inside(own, "init")
        guarded.inside(own, "sweep")
        guarded.inside(own, "sweep", "--need", "0", "--premigrated-only")
        checked = guarded.inside(own, "check")

    assert "the archive is full" in checked.stdout


# --- failures of ours ---


@pytest.mark.parametrize("need", [[], ["--need", "25 MiB"]], ids=["no room is needed", "room is needed"])
def test_what_failed_is_tried_again_at_once_when_that_is_asked(need: list[str], guarded: Guarded) -> None:
    guarded.write(select={"pattern": "apk$"})
    keys = [f"closed/{number}.apk" for number in range(3)]
    for number, key in enumerate(keys):
        guarded.put(key, days=500 - number)
    guarded.fill(81, oldest=400, newest=200)
    guarded("init")
    (guarded.store / "closed").chmod(0)
    guarded.powerless("sweep", "--need", "15 MiB")
    assert guarded.states()["failed"] == 3
    assert "exodus-storage-guard sweep --retry" in told(guarded)[1]
    (guarded.store / "closed").chmod(0o755)

    guarded("sweep")
    before = guarded.states().get("failed")
    tried = guarded("sweep", "--retry", *need)

    assert before == 3
    assert tried.exit_code == 0, tried.all_output
    assert "failed" not in guarded.states()
    assert set(keys) <= set(guarded.archived())
    assert not need or not set(keys) & guarded.stored()
    assert ("3 that had failed are copied and proven now" in tried.stdout) == (not need)
    assert told(guarded)[0] == "ok"


def test_what_fails_again_when_it_is_tried_again_is_told(guarded: Guarded) -> None:
    keys = guarded.fill(80, oldest=400, newest=200)
    guarded("init")
    (guarded.store / keys[0]).chmod(0)
    guarded.powerless("sweep", "--need", "17 MiB")

    tried = guarded.powerless("sweep", "--retry")

    assert guarded.states()["failed"] == 1
    assert "1 objects could not be moved" in tried.stdout
    assert "Permission denied" in tried.stdout


def test_an_archive_that_may_not_be_written_to_is_no_failure_of_its_objects(guarded: Guarded) -> None:
    full(guarded)
    guarded.archive.chmod(0o500)
    failed = guarded.powerless("sweep")
    states, verdict = guarded.states(), told(guarded)
    guarded.archive.chmod(0o700)

    assert failed.exit_code == 1
    assert "Permission denied" in failed.all_output
    assert "failed" not in states
    assert verdict[0] == "critical"
    assert "Permission denied" in verdict[1]
    assert guarded("sweep").exit_code == 0
    assert told(guarded)[0] == "ok"


# --- what is not where it was ---


@pytest.mark.parametrize("source", ["filesystem", "budget"])
def test_a_store_whose_disk_is_not_mounted_is_critical_and_admits_nothing(source: str, guarded: Guarded) -> None:
    if source == "filesystem":
        guarded.write(capacity={"source": "filesystem", "total_bytes": None})
    elsewhere = f"mount -t tmpfs tmpfs {guarded.archive}"
    with mounted(f"{elsewhere}; mount -t tmpfs -o size=100m tmpfs {guarded.store}") as own:
        own.sh(f": > {guarded.store}/{apk_key(1)}")
        made = guarded.inside(own, "init")
        fine = guarded.inside(own, "check")
        admitted = guarded.inside(own, "admit", "--bytes", "1 MiB")
        own.sh(f"umount {guarded.store}")
        checked = guarded.inside(own, "check")
        refused = guarded.inside(own, "admit", "--bytes", "1 MiB")
        tries = {verb: guarded.inside(own, verb) for verb in ("sync", "sweep", "init")}
        own.sh(f"mount -t tmpfs -o size=100m tmpfs {guarded.store}; : > {guarded.store}/{apk_key(1)}")
        swept_again = guarded.inside(own, "sweep")
        again = guarded.inside(own, "check")

    assert (made.exit_code, fine.exit_code, admitted.exit_code) == (0, 0, 0), made.all_output + fine.all_output
    assert (checked.exit_code, refused.exit_code) == (1, 75)
    assert f"{guarded.store} is not mounted" in checked.stdout
    for verb, ran in tries.items():
        assert ran.exit_code == 1, (verb, ran.all_output)
        assert "is not mounted" in ran.stderr
    assert (swept_again.exit_code, again.exit_code) == (0, 0), swept_again.all_output + again.all_output


def test_a_store_that_has_moved_to_another_disk_is_said_to_have(guarded: Guarded) -> None:
    with mounted(f"mount -t tmpfs tmpfs {guarded.store}") as own:
        own.sh(f": > {guarded.store}/1")
        guarded.inside(own, "init")
        own.sh(f"umount {guarded.store}; : > {guarded.store}/1")
        refused = guarded.inside(own, "init")
        taken = guarded.inside(own, "init", "--new-store")
        checked = guarded.inside(own, "check")

    assert refused.exit_code == 1
    assert "init --new-store" in refused.stderr
    assert taken.exit_code == 0, taken.all_output
    assert checked.exit_code == 0


def test_a_folder_on_a_disk_that_is_always_there_is_never_said_to_be_away(guarded: Guarded) -> None:
    guarded.put("1")
    guarded("init")
    with mounted(f"mount --bind {guarded.store} {guarded.store}") as own:  # as a sandbox of systemd's has it
        inside = guarded.inside(own, "check")

    assert inside.exit_code == 0
    assert guarded("check").exit_code == 0


def test_a_disk_that_cannot_be_measured_is_told_of_in_the_systems_own_words(guarded: Guarded) -> None:
    measured = {"path": str(guarded.folder / "home/storage"), "max_age_seconds": 0.001}
    guarded.write(capacity={"source": "filesystem", "total_bytes": None, **measured})
    (guarded.folder / "home/storage").mkdir(parents=True)
    with mounted(f"mount -t tmpfs tmpfs {guarded.archive}") as own:
        assert guarded.inside(own, "init").exit_code == 0
    (guarded.folder / "home").chmod(0)
    found = guarded.powerless("check", "--json").json
    verdict, reason = found["verdict"], found["reason"]
    (guarded.folder / "home").chmod(0o700)

    assert verdict == "critical"
    assert "Permission denied" in reason
    assert "is its disk mounted?" not in reason


@pytest.mark.parametrize("source", ["filesystem", "budget"])
@pytest.mark.parametrize(("what", "word"), [("closed", "Permission denied"), ("gone", "No such file or directory")])
def test_a_store_that_cannot_be_entered_or_is_gone_is_critical_and_admits_nothing(
    what: str, word: str, source: str, guarded: Guarded
) -> None:
    if source == "filesystem":
        guarded.write(capacity={"source": "filesystem", "total_bytes": None}, archive=None, select={"action": "prune"})
    guarded.put(apk_key(1))
    assert guarded("init").exit_code == 0
    assert guarded.powerless("check").exit_code == 0

    if what == "closed":
        guarded.store.chmod(0)
    else:
        guarded.store.rename(guarded.folder / "away")
    checked, refused = guarded.powerless("check"), guarded.powerless("admit", "--bytes", "1")
    swept_away = guarded.powerless("sweep")
    if what == "closed":
        guarded.store.chmod(0o755)
    else:
        (guarded.folder / "away").rename(guarded.store)

    assert (checked.exit_code, refused.exit_code, swept_away.exit_code) == (1, 75, 1)
    for text in (checked.stdout, refused.stderr, swept_away.stderr):
        assert f"the store cannot be reached ({guarded.store}): {word}" in text
    assert ("is its disk mounted?" in checked.stdout) == (what == "gone")
    assert guarded.powerless("admit", "--bytes", "1").exit_code == 0
    guarded("sweep")
    assert guarded.powerless("check").exit_code == 0


@pytest.mark.parametrize("closed", [True, False])
def test_an_archive_that_cannot_be_reached_is_critical_and_uploads_that_fit_come_in(
    closed: bool, guarded: Guarded
) -> None:
    full(guarded, 80)
    guarded.nobody_makes_room()

    if closed:
        guarded.archive.chmod(0)
    else:
        guarded.archive.rename(guarded.folder / "away")
    checked, admitted = guarded.powerless("check"), guarded.powerless("admit", "--bytes", "1 MiB")
    refused = guarded.powerless("admit", "--bytes", "20 MiB")
    if closed:
        guarded.archive.chmod(0o755)
    else:
        (guarded.folder / "away").rename(guarded.archive)

    assert (checked.exit_code, admitted.exit_code, refused.exit_code) == (1, 0, 75)
    assert f"the archive cannot be reached ({guarded.archive})" in checked.stdout
    assert "the archive is away: exodus-storage-guard check says why" in refused.stderr
    assert "a sweep is making room" in guarded("admit", "--bytes", "20 MiB").stderr
    assert told(guarded)[0] == "ok"


def test_an_archive_whose_disk_is_not_mounted_is_critical_before_any_sweep_and_no_sweep_is_due(
    guarded: Guarded,
) -> None:
    guarded.fill(90, oldest=400, newest=200)
    with mounted(f"mount -t tmpfs -o size=300m tmpfs {guarded.archive}") as own:
        guarded.inside(own, "init")
        due = guarded.inside(own, "check")
        own.sh(f"umount {guarded.archive}")
        checked = guarded.inside(own, "check")

    assert "a sweep is due" in due.stdout
    assert checked.exit_code == 1
    assert f"{guarded.archive} is not mounted" in checked.stdout
    assert "a sweep is due" not in checked.stdout


# --- a lost catalogue ---


@on_sqlite
def test_a_lost_catalogue_is_answered_with_rebuild_where_the_archive_knows_objects(guarded: Guarded) -> None:
    full(guarded, 97)
    guarded("sweep")
    archived = guarded.states()["archived"]
    shutil.rmtree(guarded.state.parent)

    made = guarded("init")
    verdict, reason = told(guarded)

    assert made.exit_code == 0
    assert f"the archive holds {archived} objects that are not known here" in made.stdout
    assert "exodus-storage-guard rebuild" in made.stdout
    assert verdict == "warning"
    assert "exodus-storage-guard rebuild" in reason
    assert guarded("rebuild").exit_code == 0
    assert told(guarded)[0] == "ok"
    assert guarded.states()["archived"] == archived
    assert "rebuild" not in guarded("init").stdout


def test_an_archive_that_knows_nothing_needs_no_rebuild(guarded: Guarded, tmp_path: Path) -> None:
    guarded.fill(1)
    guarded("init")
    guarded.lose_catalogue()

    assert "rebuild" not in guarded("init").stdout
    assert told(guarded)[0] == "ok"
