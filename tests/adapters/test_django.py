"""A Django platform whose uploads are guarded: what is stored, refused, read back, and said at start."""

import hashlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.files.storage import FileSystemStorage, default_storage, storages
from django.http import HttpResponse
from django.test import Client
from django.test.utils import override_settings
from django.utils.functional import empty

from exodus_storage_guard.adapters.django import gates
from exodus_storage_guard.adapters.django.lingering_close import linger
from exodus_storage_guard.admission.admissions import Direct
from exodus_storage_guard.model import Seen
from exodus_storage_guard.state.sqlite import SqliteCatalogue
from tests.adapters import django_platform
from tests.parts.guard import MIB, Guarded, apk_key

django_platform.configure()
PACKAGE = "exodus_storage_guard.adapters.django"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Guarded]:
    """Give a store of 10 MiB, guarded, that Django's storage writes to."""
    guarded = Guarded(tmp_path).write(capacity={"total_bytes": "10 MiB"}, admission={"emergency_reserve": 0})
    assert guarded("init").exit_code == 0
    with guarded_by(guarded):
        yield guarded


def guarded_by(guarded: Guarded, **more: Any) -> Any:
    inner = {"backend": "django.core.files.storage.FileSystemStorage", "options": {"location": str(guarded.store)}}
    usual = {"config": str(guarded.config), "suffixes": [".apk"], "accepting_seconds": 0, "storage": inner}
    default_storage._wrapped = empty
    storages._storages.clear()
    return override_settings(EXODUS_STORAGE_GUARD=usual | more)


@pytest.fixture
def client(platform: Guarded) -> Client:
    return Client(raise_request_exception=False)


def upload(client: Client, size: int = MIB, name: str = "some.apk", query: str = "") -> HttpResponse:
    file = io.BytesIO(b"x" * size)
    file.name = name
    found: HttpResponse = client.post(f"/upload{query}", {"key": f"{apk_key(9000)}-{name}", "apk": file})
    return found


def reservations(guarded: Guarded) -> int:
    return int(guarded("status", "--json").json["reservations"]["count"])


def test_an_upload_for_which_there_is_room_is_stored_and_its_reservation_committed(
    client: Client, platform: Guarded
) -> None:
    answer = upload(client)

    assert answer.status_code == 200
    assert platform.stored() == {answer.content.decode()}
    catalogue = platform.run().catalogue
    assert (len(catalogue.reservations()), catalogue.landed(Seen()).count) == (0, 1)
    entry = catalogue.get(answer.content.decode())  # known at once, under the key that the storage gave it
    assert entry is not None
    assert entry.bytes >= MIB


@pytest.mark.parametrize(("size", "said"), [(20 * MIB, "more than the whole store"), (0, "")])
def test_an_upload_for_which_there_is_no_room_is_stopped_before_any_of_it_is_stored(
    size: int, said: str, client: Client, platform: Guarded
) -> None:
    answer = upload(client, size=max(size, 1))

    assert answer.status_code == (507 if said else 200)
    assert bool(platform.stored()) is not bool(said)
    assert ("There is no room for this upload at the moment" in answer.content.decode()) is bool(said)
    assert "This field is required" not in answer.content.decode()


def test_an_upload_that_would_fit_once_a_sweep_is_done_is_told_when_to_come_back(
    client: Client, platform: Guarded
) -> None:
    platform.fill(9, oldest=400, newest=200)
    platform("sync")

    answer = upload(client, size=3 * MIB)

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 10
    assert "Please try again in about 1 min." in answer.content.decode()
    assert reservations(platform) == 0


class Sending:
    """A client that sends for so many seconds, as a request gives it."""

    def __init__(self, seconds: float) -> None:
        self.left, self.now = seconds, 1000.0

    def read(self, size: int) -> bytes:
        self.now += 0.5
        self.left -= 0.5
        if self.left < -5:
            raise OSError("it has hung up")
        return b"x" * size if self.left > 0 else b""

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(("sends", "read"), [(3.0, 3.0), (3600.0, 10.0), (-10.0, 0.5)])
def test_what_a_refused_client_still_sends_is_read_for_a_while_once_it_is_answered(sends: float, read: float) -> None:
    sending: Any = Sending(sends)
    answer = HttpResponse("no")
    linger(sending, answer, sending)
    before = sending.now

    answer.close()

    assert (before, sending.now) == (1000.0, 1000.0 + read)
    assert answer.closed


def test_a_view_that_fails_releases_what_was_reserved(client: Client, platform: Guarded) -> None:
    answer = upload(client, query="?fail")

    assert answer.status_code == 500
    catalogue = platform.run().catalogue
    assert (len(catalogue.reservations()), catalogue.landed(Seen()).count) == (0, 0)


def test_files_that_are_not_guarded_pass_however_full_the_store_is(client: Client, platform: Guarded) -> None:
    platform.put("full", size=10 * MIB)
    platform("sync")

    assert upload(client, name="picture.png", size=10).status_code == 200
    assert upload(client, size=10).status_code == 507


def test_what_is_saved_by_another_way_than_an_upload_is_reserved_by_the_storage(
    client: Client, platform: Guarded
) -> None:
    key = apk_key(1)
    stored = client.get(f"/save/{key}?bytes=1000")
    refused = client.get(f"/save/{apk_key(2)}?bytes={20 * MIB}")

    assert (stored.status_code, refused.status_code) == (200, 507)
    assert "more than the whole store" in refused.content.decode()
    assert platform.stored() == {key}
    entry = platform.run().catalogue.get(key)
    assert entry is not None
    assert entry.bytes == 1000


class LosesTheState(FileSystemStorage):
    """A storage during whose saving the guard's state goes away."""

    def save(self, *arguments: Any, **more: Any) -> Any:
        state = Path(self.location).parent / "state"
        state.rename(state.with_name("lost"))
        deciding = gates.gate().guard._admissions
        assert isinstance(deciding, Direct)
        catalogue = deciding.control.catalogue
        assert isinstance(catalogue, SqliteCatalogue)
        catalogue.database.close()
        return super().save(*arguments, **more)


def test_what_is_stored_while_the_guard_breaks_stays_stored_and_the_operator_is_told(
    client: Client, platform: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    storage = {"backend": f"{__name__}.LosesTheState", "options": {"location": str(platform.store)}}
    with guarded_by(platform, storage=storage):
        stored = client.get(f"/save/{apk_key(1)}?bytes=1000")

    assert stored.status_code == 200
    assert platform.stored() == {apk_key(1)}
    assert "the storage guard is broken" in caplog.text


def test_an_archived_apk_is_read_through_the_archive_and_the_store_is_not_refilled(
    client: Client, platform: Guarded
) -> None:
    keys = platform.fill(9, oldest=400, newest=200)
    before = platform.contents()
    platform("sync")
    assert platform("sweep").exit_code == 0
    assert keys[0] not in platform.stored()

    archived, resident = (client.get(f"/read/{key}") for key in (keys[0], keys[8]))

    for key, answer in ((keys[0], archived), (keys[8], resident)):
        content = b"".join(answer.streaming_content)
        assert hashlib.sha256(content).hexdigest() == before[key]
    assert keys[0] not in platform.stored()
    assert default_storage.exists(keys[0]), "nobody else gets its name"


def test_a_file_that_is_nowhere_is_missing_as_ever(client: Client, platform: Guarded) -> None:
    with pytest.raises(FileNotFoundError):
        default_storage.open("nowhere.apk")
    assert not default_storage.exists("nowhere.apk")


@pytest.mark.parametrize(("when_broken", "status"), [("refuse", 503), ("accept", 200)])
def test_a_guard_that_is_broken_refuses_or_accepts_as_was_chosen(
    when_broken: str, status: int, client: Client, platform: Guarded
) -> None:
    with guarded_by(platform, config="/nowhere/at-all.toml", when_broken=when_broken):
        answer = upload(client)

        assert answer.status_code == status
        assert gates.accepting() is (when_broken == "accept")
    assert bool(platform.stored()) is (status == 200)


def test_the_page_says_when_no_submission_is_accepted(client: Client, platform: Guarded) -> None:
    platform.write(capacity={"total_bytes": "200 MiB"}, admission={"emergency_reserve": 0})
    accepting = client.get("/upload").content.decode()
    os.truncate(platform.put("full", size=0), 200 * MIB)
    platform("sync")
    full = client.get("/upload").content.decode()

    assert "No submissions now." in full
    assert "No submissions now." not in accepting


def test_the_accepting_flag_is_cheap(platform: Guarded) -> None:
    with guarded_by(platform, accepting_seconds=60):
        gates.accepting()
        begin = time.perf_counter()
        for _ in range(1000):
            gates.accepting()
        seconds = (time.perf_counter() - begin) / 1000

    assert seconds < 0.0001


def found(name: str) -> list[str]:
    return [one.id for one in run_checks() if one.id and one.id.startswith("exodus_storage_guard") and name in str(one)]


def test_nothing_is_found_wrong_where_nothing_is(platform: Guarded) -> None:
    assert found("") == []


@pytest.mark.parametrize(
    ("changed", "id_"),
    [
        ({"EXODUS_STORAGE_GUARD": {"config": "/nowhere.toml"}}, "E001"),
        ({"EXODUS_STORAGE_GUARD": {"unknown": 1}}, "E001"),
        ({"EXODUS_STORAGE_GUARD": {"when_broken": "maybe"}}, "E001"),
        ({"EXODUS_STORAGE_GUARD": {"suffixes": ".apk"}}, "E001"),
        ({"FILE_UPLOAD_HANDLERS": ["x.Y", f"{PACKAGE}.uploads.GuardUploadHandler"]}, "E003"),
        ({"MIDDLEWARE": []}, "E004"),
    ],
)
def test_what_is_wrong_is_found_at_start(changed: dict[str, Any], id_: str, platform: Guarded) -> None:
    with override_settings(**changed):
        assert f"exodus_storage_guard.{id_}" in found("")


def test_a_state_that_cannot_be_read_is_a_warning_at_start(platform: Guarded) -> None:
    platform.lose_catalogue()

    assert found("there is no catalogue") == ["exodus_storage_guard.W002"]


def test_a_backend_that_is_none_is_found_at_start(platform: Guarded) -> None:
    with guarded_by(platform, storage={"backend": "no.such.Storage"}):
        assert found("No module named 'no'") == ["exodus_storage_guard.E005"]
