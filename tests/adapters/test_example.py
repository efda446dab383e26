"""A whole platform, driven over HTTP: Django and Celery, gunicorn behind nginx, MinIO, our service.

It runs in two environments of its own: one as Exodus was in 2024 (Django 4.2, minio 6.0.2), one of the newest of all.
"""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By

from tests.parts.browser import browser
from tests.parts.bucketed import Bucketed
from tests.parts.example import SUBMIT, UPLOAD, Example, running_example
from tests.parts.guard import MIB, apk_key
from tests.parts.s3 import S3Server
from tests.parts.service import Reply, short_folder
from tests.parts.waiting import wait_until

each_time = pytest.mark.parametrize("kind", ["old", "new"])
both = pytest.mark.parametrize("kind", [pytest.param("old", marks=pytest.mark.full), "new"])
newest = pytest.mark.parametrize("kind", ["new"])


@pytest.fixture
def guarded(tmp_path: Path, minio: S3Server) -> Bucketed:
    """Give an empty bucket, and settings for a guard over it."""
    return Bucketed(tmp_path / "guard", server=minio, bucket=minio.bucket()).write()


@pytest.fixture
def sockets() -> Iterator[Path]:
    """Give a folder in which a socket has a name that fits."""
    with short_folder() as folder:
        yield folder


def fill(guarded: Bucketed, count: int, size: int = MIB) -> dict[str, str]:
    """Store what is old enough to be archived; give it all."""
    for number in range(count):
        guarded.put(apk_key(number), size=size, days=400 - number)
    return guarded.contents()


def bytes_of(guarded: Bucketed, key: str) -> int | None:
    """Give the size of an object as the catalogue has it."""
    entry = guarded.run().catalogue.get(key)
    return entry.bytes if entry else None


def everything(guarded: Bucketed) -> dict[str, str]:
    return guarded.contents() | guarded.archived()


def ended(example: Example, answer: Reply) -> dict[str, Any]:
    """Wait until a submission is over, as its page does; give what it says."""
    found: dict[str, Any] = {}
    assert answer.status == 302, answer

    def is_over() -> bool:
        found.update(example.get(f"{answer.headers['Location']}json/").json)
        return bool(found["processed"])

    wait_until(is_over, f"the page would ask for ever: {found}")
    return found


@each_time
def test_what_is_sent_and_what_is_fetched_from_a_shop_is_stored_and_given_back(
    kind: str, guarded: Bucketed, sockets: Path
) -> None:
    sent = os.urandom(3 * MIB)
    with running_example(guarded, kind, sockets) as example, example.worker():
        analysed = ended(example, example.upload("org.example.sent", sent))
        fetched = ended(example, example.submit("org.example.fetched", 2 * MIB))
        given = example.get(f"/api/apk/{analysed['report_id']}/")

        assert given.content == sent
        assert [analysed["in_error"], fetched["in_error"]] == [False, False]
        assert sorted(one.rpartition("_")[2] for one in example.apks()) == ["org.example.fetched.apk", "upload.apk"]
        assert {one for one in guarded.stored() if one.endswith(".apk")} == set(example.apks())
        wait_until(lambda: {bytes_of(guarded, one) for one in example.apks()} == {3 * MIB, 2 * MIB})
        assert example.reserved == 0


@each_time
def test_an_upload_without_room_is_refused_before_its_body_is_sent(kind: str, guarded: Bucketed, sockets: Path) -> None:
    with (
        running_example(guarded, kind, sockets) as example,
        example.uploading("org.example.large", 300 * MIB) as sending,
    ):
        sending.send(bytes(MIB // 4))
        answer = sending.answer()

        assert answer.status == 507
        assert "Retry-After" not in answer.headers
        assert b"This is larger than what can be accepted here." in answer.content
        assert b"This field is required" not in answer.content
        assert example.reserved == 0
        assert guarded.stored() == set()


@both
def test_uploads_go_on_once_room_was_made_for_them(kind: str, guarded: Bucketed, sockets: Path) -> None:
    before = fill(guarded, 9, 10 * MIB)
    with running_example(guarded, kind, sockets) as example:
        refused = example.upload("org.example.first", bytes(12 * MIB))
        wait_until(lambda: example.upload("org.example.again", bytes(12 * MIB)).status == 302, "no room was made")
        wait_until(lambda: guarded("sweep").exit_code == 0, "the sweep that made room goes on")

        assert refused.status == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert b"Please try again in about" in refused.content
        assert set(example.uploaded()) == everything(guarded).keys() - before.keys()
        assert before.items() <= everything(guarded).items()
        assert guarded.archived()


@each_time
def test_of_fifty_uploads_at_once_exactly_as_many_as_fit_are_stored(
    kind: str, guarded: Bucketed, sockets: Path
) -> None:
    # Nobody sweeps below high: a listing in the middle of an upload would count it twice, and one more were refused.
    room = {"low": 9 * MIB, "high": 10 * MIB + MIB // 4, "flood": 10 * MIB + MIB // 2}
    with running_example(guarded, kind, sockets, capacity={"total_bytes": 12 * MIB}, watermarks=room) as example:
        with ThreadPoolExecutor(50) as people:
            sent = [people.submit(example.upload, f"org.example.app{one}", os.urandom(MIB)) for one in range(50)]
            answers = [one.result() for one in sent]
        refused = [one for one in answers if one.status != 302]

        assert len(answers) - len(refused) == 10
        assert {one.status for one in refused} <= {503, 507}
        assert all(b"There is no room for new files at the moment" in one.content for one in refused)
        assert set(example.uploaded()) == guarded.stored()
        assert len(guarded.stored()) == 10
        guarded("sync")
        assert example.reserved == 0


@both
def test_a_web_worker_killed_in_the_middle_of_an_upload_gives_its_room_back(
    kind: str, guarded: Bucketed, sockets: Path
) -> None:
    with running_example(guarded, kind, sockets, web_workers=1) as example:
        with example.uploading("org.example.lost", 60 * MIB, past_nginx=True) as sending:
            sending.send(bytes(MIB))
            wait_until(lambda: example.reserved == 1, "nothing was reserved")
            refused = example.upload("org.example.other", bytes(50 * MIB))
            (worker,) = example.web_workers()
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: example.reserved == 0, "a worker that is gone keeps its reservation")
        wait_until(lambda: example.web_workers() not in ([], [worker]), "gunicorn starts no other worker")

        assert refused.status in (503, 507)
        assert example.upload("org.example.other", bytes(50 * MIB)).status == 302
        assert len(guarded.stored()) == 1


@both
def test_a_celery_worker_killed_in_the_middle_gives_its_room_back(kind: str, guarded: Bucketed, sockets: Path) -> None:
    with running_example(guarded, kind, sockets) as example, example.worker():
        example.submit("org.example.stuck", MIB)
        pid = guarded.folder / "stuck"
        wait_until(lambda: pid.exists() and pid.read_text(), "no task began")
        during = example.reserved
        os.kill(int(pid.read_text()), signal.SIGKILL)
        wait_until(lambda: example.reserved == 0, "a worker that is gone keeps its reservation")

        assert during == 1
        after = ended(example, example.submit("org.example.fetched", MIB))
        assert not after["in_error"]


@both
def test_a_submission_for_which_there_is_no_room_ends_and_says_why(kind: str, guarded: Bucketed, sockets: Path) -> None:
    with running_example(guarded, kind, sockets) as example, example.worker():
        found = ended(example, example.submit("org.example.larger.than.it.seemed", 120 * MIB))

        assert (found["in_error"], found["description"]) == (True, "This is larger than what can be accepted here.")
        assert guarded.stored() == set()
        wait_until(lambda: example.reserved == 0)


@both
def test_a_submission_that_turns_out_larger_waits_while_room_is_made_and_says_so(
    kind: str, guarded: Bucketed, sockets: Path
) -> None:
    guarded.nobody_makes_room()
    before = fill(guarded, 3, 8 * MIB)
    waiting = "There is no room at the moment. This will be tried again by itself; you need not do anything."
    with running_example(guarded, kind, sockets) as example, example.worker():
        answer = example.submit("org.example.large", 80 * MIB)
        page = f"{answer.headers['Location']}json/"
        wait_until(lambda: example.get(page).json["description"] == waiting, "it does not say that it waits")
        while_it_waits = example.reserved
        assert guarded("sweep", "--need", "80 MiB").exit_code == 0
        found = ended(example, answer)

        assert (found["in_error"], while_it_waits) == (False, 0)
        wait_until(lambda: {bytes_of(guarded, one) for one in example.apks()} == {80 * MIB})
        assert before.items() <= everything(guarded).items()


@both
def test_a_submission_that_fails_for_another_reason_ends_too_and_leaves_nothing_behind(
    kind: str, guarded: Bucketed, sockets: Path
) -> None:
    with running_example(guarded, kind, sockets) as example, example.worker():
        answer = example.submit("org.example.none", -1)
        found = ended(example, answer)

        assert (found["in_error"], found["description"]) == (
            True,
            "Something went wrong on our side. Please try again later.",
        )
        wait_until(lambda: example.reserved == 0)
        assert guarded.stored() == set()


@both
def test_nothing_new_is_submitted_while_there_is_no_room(kind: str, guarded: Bucketed, sockets: Path) -> None:
    fill(guarded, 9, 10 * MIB)
    guarded.nobody_makes_room()
    with running_example(guarded, kind, sockets) as example:
        wait_until(lambda: b'id="banner"' in example.get(SUBMIT).content, "the banner does not come")
        refused = example.submit("org.example.fetched", MIB)

        assert refused.status == 503


@both
def test_what_was_archived_is_read_by_all_who_read_and_the_store_is_not_refilled(
    kind: str, guarded: Bucketed, sockets: Path
) -> None:
    with running_example(guarded, kind, sockets, select={"minimum_age_days": 0}) as example, example.worker():
        handles = [f"org.example.app{number}" for number in range(3)]
        reports = [ended(example, example.submit(handle, 2 * MIB))["report_id"] for handle in handles]
        before = {key: sum_ for key, sum_ in guarded.contents().items() if key.endswith(".apk")}
        guarded.recorded(before, days=400)
        guarded("sync")
        assert guarded("sweep", "--need", "92 MiB").exit_code == 0
        archived = guarded.archived()
        assert set(archived) & set(before), "nothing was archived"

        given = [example.get(f"/api/apk/{report}/") for report in reports]
        again = [example.manage(f"refreshapk{what}") for what in ("signature", "certificates")]
        example.manage("refreshstaticanalysis")

        assert {one.sha256 for one in given} == set(before.values())
        assert all(f"{key} {sum_}" in text for text in again for key, sum_ in before.items())
        assert not {one for one in guarded.stored() if one in archived}
        assert example.get("/api/apk/999/").status == 404


@newest
@pytest.mark.parametrize(
    ("language", "too_large", "later"),
    [
        ("en", "This is larger than what can be accepted here.", "Please try again in about 1 minute."),
        ("fr", "C’est trop volumineux pour être accepté ici.", "Veuillez réessayer dans environ 1 minute."),  # noqa: RUF001 - French
    ],
)
def test_a_person_sees_the_refusal_in_a_browser(
    language: str, too_large: str, later: str, kind: str, guarded: Bucketed, sockets: Path, tmp_path: Path
) -> None:
    apk = tmp_path / "org.example.large.apk"
    with (
        running_example(guarded, kind, sockets) as example,
        example.worker(),
        browser(tmp_path / "profile", language) as person,
    ):

        def sent(size: int) -> str:
            apk.write_bytes(bytes(size))
            person.get(f"http://127.0.0.1:{example.port}{UPLOAD}")
            person.find_element(By.NAME, "apk").send_keys(str(apk))
            person.find_element(By.TAG_NAME, "button").click()
            wait_until(lambda: person.find_elements(By.NAME, "apk") == [], f"it shows {person.page_source}")
            return str(person.find_element(By.TAG_NAME, "body").text)

        assert sent(120 * MIB) == too_large
        promised = guarded("admit", "--bytes", "90 MiB").stdout.strip()
        refused = sent(10 * MIB)
        assert guarded("release", promised).exit_code == 0
        assert later in refused
        assert guarded.stored() == set()
        sent(MIB)
        wait_until(lambda: example.apks(), "it is not analysed")
        wait_until(lambda: "Static analysis complete" in person.page_source, f"it shows {person.page_source}")


@newest
def test_a_platform_whose_service_is_away_refuses_and_says_why(kind: str, guarded: Bucketed, sockets: Path) -> None:
    with running_example(guarded, kind, sockets, service=False) as example:
        refused = example.upload("org.example.fits", bytes(10 * MIB))

        assert refused.status == 503
        assert "for a technical reason" in refused.content.decode()
        with example.uploading("org.example.fits", MIB, past_nginx=True) as sending:
            sending.send(bytes(MIB))
            past = sending.answer()
        assert past.status == 503
        assert "does exodus-storage-guard serve run?" in example.gunicorn_log.read_text()
