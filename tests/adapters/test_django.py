"""A Django platform whose uploads are guarded: what is stored, refused, read back, and said at start."""

import asyncio
import hashlib
import io
import os
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, default_storage, storages
from django.core.files.uploadhandler import StopUpload
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.test.utils import override_settings
from django.utils.asyncio import async_unsafe
from django.utils.functional import SimpleLazyObject, empty

from exodus_storage_guard.adapters.django import clients, gates, lingering_close, uploads
from exodus_storage_guard.adapters.django.closed import Closed
from exodus_storage_guard.adapters.django.lingering_close import linger
from exodus_storage_guard.adapters.django.requests import begin, refusal_of
from exodus_storage_guard.adapters.room import HELD
from exodus_storage_guard.admission.admissions import Direct
from exodus_storage_guard.admission.guard import UploadReservation
from exodus_storage_guard.errors import UploadRefused, Why
from exodus_storage_guard.model import Seen
from exodus_storage_guard.state.sqlite import SqliteCatalogue
from tests.adapters import django_platform
from tests.parts.clocks import SetClock
from tests.parts.guard import MIB, Guarded, apk_key
from tests.parts.waiting import wait_until

django_platform.configure()
PACKAGE = "exodus_storage_guard.adapters.django"
GUARDED, DISK = f"{PACKAGE}.storage.GuardedStorage", "django.core.files.storage.FileSystemStorage"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Guarded]:
    """Give a store of 10 MiB, guarded, that Django's storage writes to."""
    HELD.set(None)  # of a request that an earlier test left unfinished
    guarded = Guarded(tmp_path).write(capacity={"total_bytes": "10 MiB"}, admission={"emergency_reserve": 0})
    assert guarded("init").exit_code == 0
    with guarded_by(guarded):
        yield guarded


def guarded_by(guarded: Guarded, **more: Any) -> Any:
    inner = {"backend": "django.core.files.storage.FileSystemStorage", "options": {"location": str(guarded.store)}}
    usual = {"config": str(guarded.config), "suffixes": [".apk"], "accepting_seconds": 0, "storage": inner}
    usual |= {"views": ["upload"]}
    default_storage._wrapped = empty
    storages._storages.clear()
    return override_settings(EXODUS_STORAGE_GUARD=usual | more)


def landed(guarded: Guarded) -> tuple[int, int]:
    """Count what is reserved, and the bytes that were committed."""
    catalogue = guarded.run().catalogue
    return len(catalogue.reservations()), catalogue.landed(Seen()).bytes


@pytest.fixture
def client(platform: Guarded) -> Client:
    return Client(raise_request_exception=False)


def upload(
    client: Client, size: int = MIB, name: str = "some.apk", query: str = "", where: str = "upload", field: str = "apk"
) -> HttpResponse:
    file = io.BytesIO(b"x" * size)
    file.name = name
    found: HttpResponse = client.post(f"/{where}{query}", {"key": f"{apk_key(9000)}-{name}", field: file})
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
    assert entry.bytes == MIB


def test_what_a_form_did_not_want_is_released_though_it_came(client: Client, platform: Guarded) -> None:
    answer = upload(client, field="another")

    assert (answer.status_code, "This field is required" in answer.content.decode()) == (200, True)
    assert (platform.stored(), landed(platform)) == (set(), (0, 0))


def test_what_was_stored_is_counted_though_the_view_fails_then(client: Client, platform: Guarded) -> None:
    answer = upload(client, query="?fail-later")

    assert answer.status_code == 500
    assert (len(platform.stored()), landed(platform)) == (1, (0, MIB))


def test_what_was_stored_and_removed_again_is_not_counted(client: Client, platform: Guarded) -> None:
    answer = upload(client, query="?undo")

    assert answer.status_code == 200
    assert (platform.stored(), landed(platform)) == (set(), (0, 0))


def test_each_of_several_files_is_counted_with_its_size(client: Client, platform: Guarded) -> None:
    assert upload(client, query="?second").status_code == 200

    sizes = [(key, entry.bytes) for key in platform.stored() if (entry := platform.run().catalogue.get(key))]
    assert (len(sizes), {size for _, size in sizes}, landed(platform)[0]) == (2, {MIB}, 0)


def test_what_another_wants_between_the_savings_of_a_request_has_not_its_room(
    client: Client, platform: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = UploadReservation.commit
    refused: list[UploadRefused] = []

    def beside(one: UploadReservation, *args: Any, **more: Any) -> bool:
        if not refused:
            with pytest.raises(UploadRefused) as found:
                gates.gate().guard.admit(7 * MIB)
            refused.append(found.value)
        done = commit(one, *args, **more)
        with pytest.raises(UploadRefused):
            gates.gate().guard.admit(7 * MIB)
        return done

    monkeypatch.setattr(UploadReservation, "commit", beside)

    assert upload(client, 2 * MIB, query="?second").status_code == 200
    known = [entry.bytes for key in platform.stored() if (entry := platform.run().catalogue.get(key))]
    assert (known, reservations(platform)) == ([2 * MIB] * 2, 0)


# --- a view that works for long ---


def ended_and_taken(platform: Guarded, by_another: int) -> Any:
    """Give what ends a request's reservation, and has another take so much of the room."""

    def ended() -> None:
        catalogue = platform.run().catalogue
        catalogue.end_reservations([one.id for one in catalogue.reservations()])
        gates.gate().guard.admit(by_another)

    return ended


def test_what_has_lost_its_room_when_it_is_saved_is_refused_before_it_is_stored(
    client: Client, platform: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(django_platform, "while_it_works", ended_and_taken(platform, 9 * MIB))

    answer = upload(client)

    assert (answer.status_code, platform.stored()) == (507, set())
    assert "There is no room for new files" in answer.content.decode()


@pytest.mark.parametrize("query", ["", "?second"])
def test_what_has_lost_its_room_is_stored_where_there_is_some_yet_and_counted(
    query: str, client: Client, platform: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(django_platform, "while_it_works", ended_and_taken(platform, MIB))

    assert upload(client, query=query).status_code == 200
    known = [entry.bytes for key in platform.stored() if (entry := platform.run().catalogue.get(key))]
    assert (known, reservations(platform)) == ([MIB] * (2 if query else 1), 1)


class EndsReservations(FileSystemStorage):
    """A storage during whose saving the reservation ends."""

    def save(self, *arguments: Any, **more: Any) -> Any:
        catalogue = gates.gate().guard._admissions.control.catalogue  # type: ignore[attr-defined]  # it is Direct
        catalogue.end_reservations([one.id for one in catalogue.reservations()])
        return super().save(*arguments, **more)


def test_what_loses_its_room_while_it_is_saved_is_counted(client: Client, platform: Guarded) -> None:
    storage = {"backend": f"{__name__}.EndsReservations", "options": {"location": str(platform.store)}}
    with guarded_by(platform, storage=storage):
        assert upload(client).status_code == 200

    assert {entry.bytes for key in platform.stored() if (entry := platform.run().catalogue.get(key))} == {MIB}


@pytest.mark.parametrize("size", [1000, MIB])
def test_an_upload_that_is_there_has_the_usual_lease_however_small_it_is(size: int, platform: Guarded) -> None:
    handler = begun(size)
    handler.receive_data_chunk(b"x", 0)
    handler.upload_complete()

    (storing,) = platform.run().catalogue.reservations()
    assert storing.expires_at - storing.created_at > timedelta(minutes=50)


# --- ASGI ---


def test_under_asgi_what_is_stored_is_counted_and_what_has_no_room_refused(platform: Guarded) -> None:
    async def sent(size: int) -> HttpResponse:
        file = io.BytesIO(b"x" * size)
        file.name = "some.apk"
        answer: HttpResponse = await AsyncClient().post("/upload", {"key": apk_key(1), "apk": file})
        return answer

    stored, refused = (asyncio.run(sent(size)) for size in (MIB, 20 * MIB))

    assert (stored.status_code, refused.status_code) == (200, 507)
    assert "This is larger than what can be accepted here." in refused.content.decode()
    assert (platform.stored(), landed(platform)) == ({apk_key(1)}, (0, MIB))


def test_under_asgi_requests_at_once_do_not_take_each_others_room(platform: Guarded) -> None:
    async def all_of_them() -> list[int]:
        def sent(number: int) -> Any:
            file = io.BytesIO(b"x" * MIB)
            file.name = "some.apk"
            return AsyncClient().post("/upload", {"key": apk_key(number), "apk": file})

        return [one.status_code for one in await asyncio.gather(*map(sent, range(5)))]

    assert asyncio.run(all_of_them()) == [200] * 5
    assert {entry.bytes for key in platform.stored() if (entry := platform.run().catalogue.get(key))} == {MIB}
    assert len(platform.stored()) == 5
    assert reservations(platform) == 0


def known_by_the_database(get_response: Any) -> Any:
    """Give requests a user as Django does: who asks for more than him asks the database."""

    def answer(request: Any) -> Any:
        request.user = SimpleLazyObject(async_unsafe(lambda: SimpleNamespace(is_authenticated=True)))
        return get_response(request)

    return answer


def test_an_async_view_takes_the_upload_of_a_user_whom_the_database_knows(
    platform: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    middleware = [f"{PACKAGE}.middleware.GuardMiddleware", f"{__name__}.known_by_the_database"]
    file = io.BytesIO(b"x" * MIB)
    file.name = "some.apk"
    with guarded_by(platform, views=["program"]), override_settings(MIDDLEWARE=middleware):
        admit, clients_of = gates.gate().guard.admit, []

        def noted(*args: Any, **more: Any) -> Any:
            clients_of.append(more["client"])
            return admit(*args, **more)

        monkeypatch.setattr(gates.gate().guard, "admit", noted)
        answer = asyncio.run(AsyncClient().post("/program", {"apk": file}))

    assert (answer.status_code, clients_of) == (200, [None])
    assert (platform.stored(), landed(platform)) == ({"from-a-program.apk"}, (0, MIB))


# --- within others, and without the middleware ---


def test_what_holds_a_reservation_has_it_yet_after_a_request_that_is_made_within(
    client: Client, platform: Guarded
) -> None:
    room = gates.gate().admit(MIB)
    with gates.gate().holding(room):
        assert upload(client).status_code == 200
        assert HELD.get() is room


def test_a_view_without_the_middleware_leaves_nothing_reserved_and_what_it_saves_is_counted(platform: Guarded) -> None:
    file = io.BytesIO(b"x" * MIB)
    file.name = "some.apk"
    request = RequestFactory().post("/upload", {"key": apk_key(1), "apk": file})

    assert django_platform.upload(request).status_code == 200
    default_storage.save("after.apk", ContentFile(b"x" * 1000))

    known = {entry.bytes for key in platform.stored() if (entry := platform.run().catalogue.get(key))}
    assert (known, reservations(platform)) == ({MIB, 1000}, 0)


# --- strangers ---


def test_files_for_a_view_that_was_not_named_reserve_nothing(
    client: Client, platform: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates.gate().guard, "admit", refuse_to_be_asked)

    assert upload(client, where="elsewhere").content == b"1"
    assert upload(client, where="nowhere").status_code == 404


def refuse_to_be_asked(*asked: Any, **more: Any) -> None:
    raise AssertionError("nobody asked for an upload")


def test_a_request_that_declares_more_than_one_may_bring_is_refused(client: Client, platform: Guarded) -> None:
    with guarded_by(platform, most_bytes="2 MiB"):
        assert upload(client, MIB).status_code == 200
        too_large = upload(client, 2 * MIB)

    assert (too_large.status_code, "larger than what can be accepted" in too_large.content.decode()) == (507, True)


@pytest.mark.parametrize(
    ("header", "sent", "client_of"),
    [
        (None, {"REMOTE_ADDR": "192.0.2.7"}, "192.0.2.7"),
        (None, {"REMOTE_ADDR": "192.0.2.7", "HTTP_X_REAL_IP": "198.51.100.1"}, "192.0.2.7"),
        ("X-Real-IP", {"REMOTE_ADDR": "192.0.2.7", "HTTP_X_REAL_IP": "198.51.100.1"}, "198.51.100.1"),
        ("X-Forwarded-For", {"HTTP_X_FORWARDED_FOR": "made-up, 198.51.100.1"}, "198.51.100.1"),
        ("X-Real-IP", {"REMOTE_ADDR": "192.0.2.7"}, "anybody"),
        (None, {"REMOTE_ADDR": ""}, "anybody"),
        (None, {"REMOTE_ADDR": "2001:db8:1:2:3::4"}, "2001:db8:1:2::/64"),
        (None, {"REMOTE_ADDR": "::ffff:192.0.2.7"}, "192.0.2.7"),
    ],
)
def test_whoever_is_not_logged_in_is_named_by_his_address(
    header: str | None, sent: dict[str, str], client_of: str, platform: Guarded
) -> None:
    request = RequestFactory(**sent).get("/upload")

    assert clients.client_of(request, header) == client_of


def test_whoever_is_logged_in_has_no_share(platform: Guarded) -> None:
    request = RequestFactory().get("/upload")
    request.user = SimpleNamespace(is_authenticated=True)

    assert clients.client_of(request, None) is None


def test_one_client_may_have_a_share_of_the_room_and_another_beside_him(platform: Guarded) -> None:
    guard = gates.gate().guard
    with guard.admit(2 * MIB, client="one"), guard.admit(2 * MIB, client="one"):
        with pytest.raises(UploadRefused, match="client_share") as too_much:
            guard.admit(2 * MIB, client="one")
        guard.admit(2 * MIB, client="another").release()
        guard.admit(2 * MIB).release()  # of nobody that has a share

    assert (too_much.value.why, too_much.value.retry_after_seconds) == (Why.TOO_MUCH_AT_ONCE, 60)


def test_what_is_more_than_a_share_of_the_room_that_is_left_has_room_made_for_it(platform: Guarded) -> None:
    platform.fill(6, oldest=400, newest=200)
    platform("sync")
    guard = gates.gate().guard

    with pytest.raises(UploadRefused, match="client_share") as refused:
        guard.admit(2 * MIB, client="one")
    assert platform("sweep", "--need", "4 MiB").exit_code == 0

    guard.admit(2 * MIB, client="one").release()
    assert refused.value.retry_after_seconds is not None


def begun(size: int) -> uploads.GuardUploadHandler:
    """Begin an upload that declares so much: its file is named, and none of it is there yet."""
    request = RequestFactory().post("/upload")
    begin(request)
    handler = uploads.GuardUploadHandler(request)
    handler.handle_raw_input(None, {}, size)
    handler.new_file("apk", "some.apk", "", None)
    return handler


def test_an_upload_that_goes_on_keeps_its_room_and_one_that_brings_nothing_loses_it(
    platform: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SetClock()
    monkeypatch.setattr(uploads, "_clock", clock)
    with guarded_by(platform, idle_seconds=1):
        handler = begun(3 * MIB)
        (first,) = platform.run().catalogue.reservations()
        clock.seconds += 0.5
        handler.receive_data_chunk(b"x", 0)
        (extended,) = platform.run().catalogue.reservations()
        wait_until(lambda: reservations(platform) == 0)
        clock.seconds += 5
        handler.receive_data_chunk(b"x", 1)
        (again,) = [one for one in platform.run().catalogue.reservations() if one.id != first.id]
        handler.upload_complete()
        (storing,) = [one for one in platform.run().catalogue.reservations() if one.id != first.id]

    assert (extended.id, extended.expires_at > first.expires_at) == (first.id, True)
    assert (storing.id, storing.expires_at - again.expires_at > timedelta(minutes=50)) == (again.id, True)


def test_an_upload_that_was_idle_is_stopped_where_its_room_is_somebody_elses_now(
    platform: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SetClock()
    monkeypatch.setattr(uploads, "_clock", clock)
    with guarded_by(platform, idle_seconds=1):
        handler = begun(3 * MIB)
        wait_until(lambda: reservations(platform) == 0)
        gates.gate().guard.admit(8 * MIB)
        clock.seconds += 5
        with pytest.raises(StopUpload):
            handler.receive_data_chunk(b"x", 1)

    assert refusal_of(handler.request) is not None


# --- what it says ---


@pytest.mark.parametrize(("size", "status"), [(MIB, 200), (20 * MIB, 507)])
def test_a_view_that_takes_its_file_for_granted_is_no_error_where_that_was_refused(
    size: int, status: int, client: Client, platform: Guarded
) -> None:
    answer = upload(client, size, query="?naked")

    assert answer.status_code == status
    assert (answer.content.decode() == "This is larger than what can be accepted here.") is (status == 507)


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (20 * MIB, 507)])
def test_a_form_whose_token_comes_after_its_file_is_told_why_that_is_refused(
    size: int, status: int, platform: Guarded
) -> None:
    client, token = Client(enforce_csrf_checks=True), "a" * 32
    client.cookies["csrftoken"] = token
    file = io.BytesIO(b"x" * size)
    file.name = "some.apk"

    answer = client.post("/upload", {"apk": file, "key": apk_key(1), "csrfmiddlewaretoken": token})
    forged = client.post("/upload", {"key": apk_key(1)})

    assert (answer.status_code, forged.status_code) == (status, 403)
    assert ("larger than what can be accepted" in answer.content.decode()) is (status == 507)


@pytest.mark.parametrize(("size", "said"), [(20 * MIB, "larger than what can be accepted"), (0, "")])
def test_an_upload_for_which_there_is_no_room_is_stopped_before_any_of_it_is_stored(
    size: int, said: str, client: Client, platform: Guarded
) -> None:
    answer = upload(client, size=max(size, 1))

    assert answer.status_code == (507 if said else 200)
    assert bool(platform.stored()) is not bool(said)
    assert (not said) or said in answer.content.decode()
    assert "This field is required" not in answer.content.decode()


def test_an_upload_that_would_fit_once_a_sweep_is_done_is_told_when_to_come_back(
    client: Client, platform: Guarded
) -> None:
    platform.fill(9, oldest=400, newest=200)
    platform("sync")

    answer = upload(client, size=3 * MIB)

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 10
    assert "Please try again in about 1 minute." in answer.content.decode()
    assert reservations(platform) == 0


class Sending:
    """A client that sends for so many seconds, as a request gives it."""

    def __init__(self, seconds: float) -> None:
        self.left, self.now = seconds, 1000.0
        self.META = {"gunicorn.socket": SimpleNamespace(settimeout=self.waits)}
        self.waited = 0.0

    def waits(self, seconds: float) -> None:
        self.waited = seconds

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
    assert answer.headers["Content-Length"] == "2", "a proxy that sends no more has to know where it ends"
    assert 0 < sending.waited <= 2, "a client that is silent holds a worker no longer"


def test_a_client_that_sends_a_byte_now_and_then_is_parted_from_though_a_read_waits_for_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lingering_close, "_MOST_SECONDS", 0.2)
    ours, theirs = socket.socketpair()
    reading = ours.makefile("rb")
    sending: Any = SimpleNamespace(META={"gunicorn.socket": ours}, read=reading.read)
    answer = HttpResponse("no")
    linger(sending, answer)
    theirs.sendall(b"x")

    answer.close()  # its read waits for as many bytes as it wants, and would for two seconds

    with theirs, ours, reading:
        assert theirs.recv(1) == b""


def test_under_asgi_nothing_is_left_to_be_read_of_a_refused_upload(platform: Guarded) -> None:
    content = b'--B\r\nContent-Disposition: form-data; name="apk"; filename="a.apk"\r\n\r\n' + b"x" * (20 * MIB)
    headers = {b"content-type": b"multipart/form-data; boundary=B", b"content-length": str(len(content)).encode()}
    scope = {"type": "http", "method": "POST", "path": "/upload", "query_string": b"", "headers": list(headers.items())}
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def answered() -> None:
        coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        await coming.put({"type": "http.request", "body": content, "more_body": False})
        await ASGIHandler()({"client": ("192.0.2.7", 1), "server": ("test", 80), **scope}, coming.get, send)

    with override_settings(MIDDLEWARE=[f"{PACKAGE}.middleware.GuardMiddleware"]):
        asyncio.run(answered())

    assert sent[0]["status"] == 507
    assert b"larger than what can be accepted" in b"".join(one.get("body", b"") for one in sent)


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
    assert refused.content.decode() == "This is larger than what can be accepted here."
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


class Overwrites(FileSystemStorage):
    """A storage that keeps one file of a name, as many platforms have one."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        self.delete(name)
        return name


def test_a_storage_that_overwrites_does_so_where_there_is_room_and_nothing_that_is_archived(platform: Guarded) -> None:
    archived = platform.fill(9, oldest=400, newest=200)[0]
    platform("sync")
    assert platform("sweep").exit_code == 0
    storage = {"backend": f"{__name__}.Overwrites", "options": {"location": str(platform.store)}}
    with guarded_by(platform, storage=storage):
        saved = [default_storage.save("report.apk", ContentFile(content)) for content in (b"1", b"2")]
        with pytest.raises(UploadRefused):
            default_storage.save("report.apk", ContentFile(b"x" * 20 * MIB))
        beside = default_storage.save(archived, ContentFile(b"3"))

        assert (saved, default_storage.open("report.apk").read()) == (["report.apk"] * 2, b"2")
        assert (beside != archived, default_storage.open(beside).read()) == (True, b"3")


class Piped(File):
    """A file that has no size, as what comes from a pipe."""

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield b"x" * 1000


def test_what_has_no_size_is_stored_within_an_estimate_and_counted_with_what_it_had(platform: Guarded) -> None:
    platform.write(capacity={"total_bytes": "200 MiB"}, admission={"emergency_reserve": 0})
    with guarded_by(platform):
        saved = default_storage.save("piped.apk", Piped(SimpleNamespace(closed=False), "piped.apk"))
        entry = platform.run().catalogue.get(saved)

    assert entry is not None
    assert (entry.bytes, reservations(platform)) == (1000, 0)


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
    assert bool(Closed()), "a platform's own switch is on as well"


def test_a_platforms_own_switch_is_what_it_was_set_to_while_there_is_room(platform: Guarded) -> None:
    platform.write(capacity={"total_bytes": "200 MiB"}, admission={"emergency_reserve": 0})
    with guarded_by(platform):
        assert (bool(Closed()), bool(Closed(otherwise=True))) == (False, True)


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
        ({"EXODUS_STORAGE_GUARD": {"views": []}}, "E006"),
        ({"EXODUS_STORAGE_GUARD": {"views": ["no-such"]}}, "E007"),
        ({"EXODUS_STORAGE_GUARD": {"views": "upload"}}, "E001"),
        ({"EXODUS_STORAGE_GUARD": {"most_bytes": "much"}}, "E001"),
        ({"EXODUS_STORAGE_GUARD": {"idle_seconds": 0}}, "E001"),
        ({"EXODUS_STORAGE_GUARD": {"accepting_seconds": "2"}}, "E001"),
        ({"EXODUS_STORAGE_GUARD": {"most_bytes": 0}}, "E001"),
        ({"EXODUS_STORAGE_GUARD": {"config": 5}}, "E001"),
        ({"EXODUS_STORAGE_GUARD": {"client_header": 5}}, "E001"),
        ({"EXODUS_STORAGE_GUARD": {"client_header": ""}}, "E001"),
        ({"EXODUS_STORAGE_GUARD": {"suffixes": [""]}}, "E001"),
        ({"EXODUS_STORAGE_GUARD": {"storage": "x"}}, "E001"),
        ({"EXODUS_STORAGE_GUARD": {"storage": {"option": {}}}}, "E001"),
        ({"EXODUS_STORAGE_GUARD": {"storage": {"options": "x"}}}, "E001"),
        ({"EXODUS_STORAGE_GUARD": "x"}, "E001"),
        ({"EXODUS_STORAGE_GUARD": {"views": ["upload"]}}, "E005"),
        ({"STORAGES": {"default": {"BACKEND": GUARDED, "OPTIONS": {"backend": DISK, "options": {"no": 1}}}}}, "E005"),
        ({"STORAGES": {"default": {"BACKEND": "django.core.files.storage.FileSystemStorage"}}}, "W003"),
    ],
)
def test_what_is_wrong_is_found_at_start(changed: dict[str, Any], id_: str, platform: Guarded) -> None:
    with override_settings(**changed):
        assert f"exodus_storage_guard.{id_}" in found("")


def test_a_state_that_cannot_be_read_is_a_warning_at_start(platform: Guarded) -> None:
    platform.lose_catalogue()

    assert found("there is no catalogue") == ["exodus_storage_guard.W002"]


@pytest.mark.parametrize("wrong", [{"view": ["upload"]}, {"most_bytes": "lots"}, {"config": 5}, {"storage": "x"}])
def test_with_wrong_settings_a_page_is_as_ever_and_a_file_is_refused(
    wrong: dict[str, Any], client: Client, platform: Guarded
) -> None:
    with guarded_by(platform, **wrong):
        page, flag, form = client.get("/elsewhere"), client.get("/upload"), client.post("/elsewhere", {"key": "x"})
        refused = upload(client)

    assert [one.status_code for one in (page, flag, form, refused)] == [200, 200, 200, 503]
    assert "No submissions now." in flag.content.decode()
    assert "for a technical reason" in refused.content.decode()


@pytest.mark.parametrize("wrong", [{"view": []}, {"storage": {"secret_key": 1, "options": {"secret_key": "hunter2"}}}])
def test_what_is_wrong_is_said_without_what_is_secret(wrong: dict[str, Any], platform: Guarded) -> None:
    secret = {"storage": {"options": {"secret_key": "hunter2"}, "backend": DISK}}
    with override_settings(EXODUS_STORAGE_GUARD=secret | wrong):
        said = " ".join(map(str, run_checks()))
    with guarded_by(platform, storage=secret["storage"]):
        said += " ".join(map(str, run_checks()))

    assert ("E001" in said, "E005" in said, "hunter2" in said) == (True, True, False)


def test_a_backend_that_is_none_is_found_at_start(platform: Guarded) -> None:
    with guarded_by(platform, storage={"backend": "no.such.Storage"}):
        assert found("No module named 'no'") == ["exodus_storage_guard.E005"]
