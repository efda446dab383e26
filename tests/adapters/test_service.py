"""The service over a Unix socket: what the command does, for users and languages that are not ours."""

import asyncio
import hashlib
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from exodus_storage_guard import StorageGuard, settings
from exodus_storage_guard.adapters.service import answers, schema
from exodus_storage_guard.adapters.service.application import application
from exodus_storage_guard.adapters.service.service import GuardService, whole
from exodus_storage_guard.adapters.service.turns import Turns
from exodus_storage_guard.admission.admissions import Wanted
from exodus_storage_guard.admission.connections import Connections, UnixConnection
from exodus_storage_guard.admission.service_client import Service as Client
from exodus_storage_guard.errors import ObjectMissing, StateFailed, StoreFailed, UploadRefused
from tests.parts.clocks import SetClock
from tests.parts.command import ROOT
from tests.parts.guard import MIB, Guarded, apk_key
from tests.parts.service import Reply, Service, object_path, opened, running_service, short_folder
from tests.parts.waiting import wait_until

UNITS = ROOT / "packaging/systemd"
ODD_KEY = os.fsdecode(b"2019/an app \xff%2F+.apk")


@pytest.fixture
def at() -> Iterator[Path]:
    """Give a name for a socket."""
    with short_folder() as folder:
        yield folder / "service.sock"


@pytest.fixture
def guarded(tmp_path: Path, at: Path) -> Guarded:
    """Give an empty store of 100 MiB by budget, and settings that name the socket."""
    return written(Guarded(tmp_path), at)


@pytest.fixture
def service(guarded: Guarded, at: Path) -> Iterator[Service]:
    """Give a service over that empty store."""
    assert guarded("init").exit_code == 0
    with running_service(guarded, at) as service:
        yield service


@pytest.fixture
def archived(guarded: Guarded, at: Path) -> tuple[Guarded, str, bytes]:
    """Archive one object of three, and have room for another one; give its key and bytes."""
    written(
        guarded, at, capacity={"total_bytes": "16 MiB"}, select={"pattern": "."}, admission={"emergency_reserve": 0}
    )
    content = guarded.put(ODD_KEY, size=3 * MIB, days=400).read_bytes()
    for name in ("a", "b"):
        guarded.put(name, size=3 * MIB, days=300)
    guarded("init")
    assert guarded("sweep", "--need", "7 MiB").exit_code == 0
    assert guarded.stored() == {"a", "b"}
    return guarded, ODD_KEY, content


def written(guarded: Guarded, at: Path, **tables: dict[str, Any] | None) -> Guarded:
    admission = {"socket": str(at)} | (tables.pop("admission", None) or {})
    return guarded.write(admission=admission, **tables)


def filled(guarded: Guarded, *, oldest: float, newest: float) -> list[str]:
    """Fill the store up to the flood mark."""
    keys = guarded.fill(94, oldest=oldest, newest=newest)
    assert guarded("init").exit_code == 0
    return keys


def copy_of(guarded: Guarded, key: str) -> Path:
    """Name the file that an object's copy is."""
    manifests = guarded.archive.rglob("*.manifest.json")
    (found,) = [path for path in manifests if json.loads(path.read_text())["key"] == key]
    return found.with_name(found.name.removesuffix(".manifest.json"))


# --- the description ---


def test_what_is_described_is_exactly_what_is_served(shared: Service) -> None:
    description = shared.ask("GET", "/openapi.json").json
    described = {(method.upper(), path) for path, found in description["paths"].items() for method in found}

    assert described == {
        ("POST", "/v1/reservations"),
        ("GET", "/v1/reservations"),
        ("POST", "/v1/reservations/{id}/commit"),
        ("POST", "/v1/reservations/{id}/extend"),
        ("POST", "/v1/reservations/{id}/grow"),
        ("DELETE", "/v1/reservations/{id}"),
        ("GET", "/v1/accepting"),
        ("GET", "/v1/authorize"),
        ("GET", "/v1/status"),
        ("GET", "/v1/states/{key}"),
        ("GET", "/v1/objects/{key}"),
        ("GET", "/openapi.json"),
    }
    operations = [one for found in description["paths"].values() for one in found.values()]
    assert all(one["summary"] and len(one["responses"]) > 1 for one in operations)
    answers = [answer for one in operations for answer in one["responses"].values()]
    assert {name for answer in answers for name in answer} == {"description", "content"}


def test_a_field_that_is_not_described_is_not_taken(shared: Service) -> None:
    described = shared.ask("GET", "/openapi.json").json["paths"]["/v1/reservations"]["post"]["requestBody"]
    fields = described["content"]["application/json"]["schema"]["properties"]

    assert set(fields) == {"bytes", "key", "lease_seconds", "wait_seconds", "ends_with_process", "client"}
    refused = shared.ask("POST", "/v1/reservations", {"byte": 1})
    assert (refused.status, "byte" in refused.reason) == (400, True)


# --- reservations ---


def test_what_is_reserved_is_promised_and_what_is_released_is_free_again(service: Service) -> None:
    first = service.reserve(bytes=60 * MIB)
    refused = service.reserve(bytes=60 * MIB)
    released = service.ask("DELETE", f"/v1/reservations/{first.json['reservation']}")
    second = service.reserve(bytes=60 * MIB)

    assert (first.status, refused.status, released.status, second.status) == (201, 507, 204, 201)
    assert set(first.json) == {"reservation", "bytes", "expires_at", "freed_bytes"}
    assert (first.json["bytes"], first.json["freed_bytes"]) == (60 * MIB, 0)


def test_what_is_committed_is_known_by_its_key(guarded: Guarded, service: Service) -> None:
    reservation = service.reserve(bytes=MIB, key=apk_key(1)).json["reservation"]
    guarded.put(apk_key(2), days=0)

    committed = service.ask("POST", f"/v1/reservations/{reservation}/commit", {"key": apk_key(2)})
    again = service.ask("POST", f"/v1/reservations/{reservation}/commit")
    unknown = service.ask("POST", "/v1/reservations/no-such-id/commit")

    assert (committed.status, again.status, unknown.status) == (204, 204, 404)
    assert guarded.states() == {"resident": 1}
    assert service.ask("GET", object_path(apk_key(2))).status == 200


def test_an_upload_of_unknown_size_is_estimated_and_a_lease_ends_by_itself(service: Service) -> None:
    estimated = service.ask("POST", "/v1/reservations", {"lease_seconds": 0.3})
    refused = service.reserve(bytes=60 * MIB)
    time.sleep(0.4)

    assert (estimated.status, estimated.json["bytes"], refused.status) == (201, 64 * MIB, 507)
    assert service.reserve(bytes=60 * MIB).status == 201


def test_where_a_sweep_can_help_one_is_told_when_to_come_back_or_waits(guarded: Guarded, at: Path) -> None:
    filled(guarded, oldest=400, newest=200)
    with running_service(guarded, at) as service:
        refused = service.reserve(bytes=10 * MIB)
        waited = service.reserve(bytes=10 * MIB, wait_seconds=30)

    assert refused.status == 503
    assert refused.json["retry_after_seconds"] == int(refused.headers["retry-after"]) > 0
    assert "a sweep is making room" in refused.reason
    assert (waited.status, len(guarded.archived())) == (201, 9)


def test_where_no_sweep_can_help_nobody_is_told_to_come_back(guarded: Guarded, at: Path) -> None:
    filled(guarded, oldest=100, newest=1)
    with running_service(guarded, at) as service:
        refused, never = service.reserve(bytes=10 * MIB, wait_seconds=30), service.reserve(bytes=200 * MIB)

    assert (refused.status, never.status) == (507, 507)
    assert refused.json == {"refused": True, "reason": refused.reason, "retry_after_seconds": None, "why": "full"}
    assert "nothing old enough" in refused.reason
    assert "retry-after" not in refused.headers


def test_fifty_clients_at_once_get_what_there_is_and_no_more(service: Service) -> None:
    together = threading.Barrier(50)

    def reserve(number: int) -> int:
        together.wait()
        return service.reserve(bytes=9 * MIB).status

    with ThreadPoolExecutor(50) as clients:
        answered = list(clients.map(reserve, range(50)))

    assert (answered.count(201), answered.count(507)) == (10, 40)
    assert service.reserved() == 10


def test_without_a_catalogue_everything_says_so_and_with_one_all_is_well(guarded: Guarded, at: Path) -> None:
    with running_service(guarded, at) as service:
        asked = [
            ("GET", "/v1/status"),
            ("POST", "/v1/reservations"),
            ("GET", "/v1/objects/a"),
        ]
        before = [service.ask(*one) for one in asked]
        guarded("init")
        after = [service.ask(*one).status for one in asked]

    assert [(one.status, "run: exodus-storage-guard init" in one.reason) for one in before] == [(500, True)] * 3
    assert after == [200, 201, 404]


def test_the_status_is_the_commands(guarded: Guarded, service: Service) -> None:
    service.reserve(bytes=MIB)
    told = service.ask("GET", "/v1/status").json

    assert told | {"capacity": None} == guarded("status", "--json").json | {"capacity": None}


# --- what is no request ---


NO_REQUESTS: list[object] = [
    *(b"{", b"\xff", b"[1]", b"[" * 60_000, b'{"bytes": 1e999}', b'{"bytes": NaN}'),
    *({"bytes": size} for size in ("10", True, -1, 1.5, 2**53 + 1, [1])),
    *({"bytes": 1, "key": key} for key in (1, "", "\ud800", "a\0")),
    *({"bytes": 1, "lease_seconds": 1e18}, {"bytes": 1, "wait_seconds": 601}, {"size": 10}),
    *({"bytes": 1, name: float(odd)} for name in ("lease_seconds", "wait_seconds") for odd in ("nan", "inf")),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a service that tests share which change nothing."""
    with short_folder() as folder:
        guarded = written(Guarded(tmp_path_factory.mktemp("shared")), folder / "service.sock")
        guarded("init")
        with running_service(guarded, folder / "service.sock") as service:
            yield service


@pytest.mark.parametrize("body", NO_REQUESTS, ids=lambda body: str(body)[:30])
def test_a_body_that_says_something_else_reserves_nothing(shared: Service, body: object) -> None:
    refused = shared.ask("POST", "/v1/reservations", body)

    assert (refused.status, bool(refused.reason)) == (400, True)
    assert shared.reserved() == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", {"bytes": None}, {"bytes": 0}, {"bytes": 1.0}, {"bytes": 1, "key": "\udcff", "wait_seconds": 0.5}],
)
def test_a_body_that_says_what_is_allowed_reserves(shared: Service, body: object) -> None:
    answer = shared.ask("POST", "/v1/reservations", body)

    assert (answer.status, shared.reserved()) == (201, 1)
    assert shared.ask("DELETE", f"/v1/reservations/{answer.json['reservation']}").status == 204


@pytest.mark.parametrize(("size", "status"), [(64 * 1024, 201), (64 * 1024 + 1, 400), (20 * MIB, 400)])
def test_a_body_beyond_64_kib_is_none(service: Service, size: int, status: int) -> None:
    answer = service.ask("POST", "/v1/reservations", b'{"bytes": 1' + b" " * (size - 12) + b"}")

    assert answer.status == status
    assert status == 201 or "too large" in answer.reason


@pytest.mark.parametrize("path", ["/v1", "/v1/reservations/", "/v2/status", "/v1%2Fobjects/x", "/v1%2Fstates/a/b"])
def test_an_unknown_path_says_where_the_known_ones_are(shared: Service, path: str) -> None:
    answer = shared.ask("GET" if "%2F" in path else "DELETE", path)

    assert (answer.status, "/openapi.json" in answer.reason) == (404, True)


def test_a_wrong_method_is_told_the_right_ones(shared: Service) -> None:
    wrong, right = shared.ask("PUT", "/v1/status?x=1"), shared.ask("GET", "/v1/status?x=1")

    assert (wrong.status, set(wrong.headers["allow"].split(", ")), right.status) == (405, {"GET", "HEAD"}, 200)


@pytest.mark.parametrize("odd", ["%00", "%ff", "a" * 65, "a.b"])
def test_what_is_no_id_is_no_reservation(shared: Service, odd: str) -> None:
    assert shared.ask("DELETE", f"/v1/reservations/{odd}").status == 404
    assert shared.ask("POST", f"/v1/reservations/{odd}/commit").status == 404


# --- what is asked before a body is taken ---


def test_accepting_says_whether_an_upload_of_a_usual_size_would_fit(service: Service) -> None:
    assert service.ask("GET", "/v1/accepting").status == 204
    reservation = service.reserve(bytes=90 * MIB).json["reservation"]

    wait_until(lambda: service.ask("GET", "/v1/accepting").status == 503)
    assert int(service.ask("GET", "/v1/accepting").headers["retry-after"]) > 0
    service.ask("DELETE", f"/v1/reservations/{reservation}")
    wait_until(lambda: service.ask("GET", "/v1/accepting").status == 204)


@pytest.mark.parametrize(("when_broken", "statuses"), [("refuse", [503, 403]), ("accept", [204, 204])])
def test_while_the_state_is_away_uploads_are_let_pass_or_not_as_was_chosen(
    when_broken: str, statuses: list[int], guarded: Guarded, at: Path
) -> None:
    written(guarded, at, admission={"when_broken": when_broken})
    guarded("init")
    guarded.lose_catalogue()

    with running_service(guarded, at) as service:
        found = [service.ask("GET", f"/v1/{what}").status for what in ("accepting", "authorize")]

    assert found == statuses


def test_authorize_lets_those_pass_that_fit(service: Service) -> None:
    service.reserve(bytes=80 * MIB)

    def authorize(size: str) -> int:
        return service.ask("GET", "/v1/authorize", X_Upload_Bytes=size).status

    assert [authorize(size) for size in ("0", str(MIB), str(15 * MIB))] == [204, 204, 204]
    assert [authorize(size) for size in (str(15 * MIB + 1), "9" * 5000, "")] == [403, 403, 403]
    assert [authorize(size) for size in ("-1", "1.5", "ten", "\xb2")] == [400, 400, 400, 400]
    assert service.ask("GET", "/v1/authorize").status == 403
    assert int(service.ask("GET", "/v1/authorize").headers["retry-after"]) > 0
    assert service.reserved() == 1


# --- objects ---


def test_an_archived_object_is_given_whole_and_the_store_is_not_refilled(
    archived: tuple[Guarded, str, bytes], at: Path
) -> None:
    guarded, key, content = archived
    with running_service(guarded, at) as service:
        for safe in ("", "/"):
            answer = service.ask("GET", object_path(key, safe=safe))
            assert (answer.status, answer.headers["content-length"]) == (200, str(len(content)))
            assert hashlib.sha256(answer.content).digest() == hashlib.sha256(content).digest()
        stored = service.ask("GET", object_path("a"))
        unknown = [
            service.ask("GET", path).status for path in (object_path(key + "x"), "/v1/objects/%00", object_path(".."))
        ]

    assert stored.content == (guarded.store / "a").read_bytes()
    assert unknown == [404, 404, 404]
    assert guarded.stored() == {"a", "b"}
    assert guarded.states() == {"resident": 2, "archived": 1}


@pytest.mark.parametrize("at_byte", [100, 2 * MIB + 100, 3 * MIB - 1])
def test_a_copy_that_has_rotted_is_cut_short_and_never_whole(
    archived: tuple[Guarded, str, bytes], at: Path, at_byte: int
) -> None:
    guarded, key, content = archived
    with copy_of(guarded, key).open("r+b") as file:
        file.seek(at_byte)
        file.write(bytes([content[at_byte] ^ 1]))
    with running_service(guarded, at) as service:
        with pytest.raises(http.client.IncompleteRead) as cut:
            service.ask("GET", object_path(key))
        assert len(cut.value.partial) < len(content)
        assert service.ask("GET", object_path("a")).status == 200
        assert "differs from what was proven" in service.said()
        assert "Traceback" not in service.said()


def test_a_small_copy_that_has_rotted_is_an_error_from_the_start(guarded: Guarded, at: Path) -> None:
    keys = guarded.fill(94, oldest=400, newest=200, size=MIB)
    guarded("init")
    guarded("sweep")
    (guarded.archive / keys[0]).write_bytes(b"x" * MIB)
    with running_service(guarded, at) as service:
        wrong, right = (service.ask("GET", object_path(key)) for key in keys[:2])

    assert (wrong.status, right.status) == (500, 200)
    assert "differs from what was proven" in wrong.reason


@pytest.mark.parametrize("now", [2 * MIB, 4 * MIB, 9 * MIB])
def test_an_object_that_others_replaced_is_not_cut_to_the_size_it_had(
    service: Service, guarded: Guarded, now: int
) -> None:
    guarded.put("a", size=3 * MIB)
    guarded("sync")
    before = service.ask("GET", object_path("a"))
    guarded.put("a", size=now)

    with pytest.raises(http.client.IncompleteRead):
        service.ask("GET", object_path("a"))
    assert "exodus-storage-guard sync" in service.said()
    guarded("sync")
    assert (len(before.content), len(service.ask("GET", object_path("a")).content)) == (3 * MIB, now)


def _passed(chunks: list[bytes], size: int) -> tuple[bytes, bool]:
    passed = b""
    try:
        for chunk in whole(iter(chunks), size, "it"):
            passed += chunk
    except StoreFailed:
        return passed, False
    return passed, True


@pytest.mark.parametrize("chunks", [[], [b"abc"], [b"ab", b"c"], [b"a", b"b", b"c", b"d"], [b"ab", b"cdef"]], ids=str)
def test_less_than_all_passes_where_it_is_not_all(chunks: list[bytes]) -> None:
    content = b"".join(chunks)

    assert _passed(chunks, len(content)) == (content, True)
    for size in {*range(8)} - {len(content)}:
        passed, is_whole = _passed(chunks, size)
        assert not is_whole
        assert len(passed) < max(size, 1)


def test_a_guard_fetches_by_the_service(archived: tuple[Guarded, str, bytes], at: Path) -> None:
    guarded, key, content = archived
    target, none = BytesIO(), BytesIO()
    with running_service(guarded, at):
        guard = StorageGuard(Client(at))
        guard.fetch(key, target)
        with pytest.raises(ObjectMissing):
            guard.fetch("unknown", none)
        copy_of(guarded, key).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(StoreFailed, match="early"):
            guard.fetch(key, none)
        with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(StoreFailed, match="No space left"):
            guard.fetch("a", full)
    with pytest.raises(StoreFailed, match="does exodus-storage-guard serve run"):
        guard.fetch(key, none)

    assert target.getvalue() == content
    assert len(none.getvalue()) < len(content)


# --- what is said of a key that is known ---


def _commit(service: Service, key: str, size: int) -> int:
    """Say that so much was uploaded."""
    return _committed(service, service.reserve(bytes=size, key=key).json["reservation"])


def _committed(service: Service, reservation: str) -> int:
    return service.ask("POST", f"/v1/reservations/{reservation}/commit", {}).status


@pytest.mark.parametrize("said", [0, 1, 3 * MIB], ids=["nothing", "a byte", "as much as it has"])
def test_who_says_that_a_known_object_was_uploaded_again_and_did_not_changes_nothing_of_it(
    archived: tuple[Guarded, str, bytes], at: Path, said: int
) -> None:
    guarded, key, content = archived
    before = [guarded("history", "--json").json, guarded.states(), guarded("plan", "--need", "9 MiB", "--json").json]
    with running_service(guarded, at) as service:
        used = service.ask("GET", "/v1/status").json["capacity"]["used_bytes"]
        assert [_commit(service, one, said if one == key else 0) for one in (key, "a", "b")] == [204] * 3

        assert service.ask("GET", object_path(key)).content == content
        assert service.ask("GET", object_path("a")).status == 200
        assert service.ask("GET", "/v1/status").json["capacity"]["used_bytes"] == used
        assert service.reserved() == 0

    after = [guarded("history", "--json").json, guarded.states(), guarded("plan", "--need", "9 MiB", "--json").json]
    assert after == before
    restored = guarded("restore", key)
    assert (restored.exit_code, (guarded.store / key).read_bytes() == content) == (0, True), restored.all_output


@pytest.mark.parametrize("which", ["archived", "in the store"])
def test_what_was_uploaded_again_under_a_known_key_is_as_the_store_has_it(
    archived: tuple[Guarded, str, bytes], at: Path, which: str
) -> None:
    guarded, key = archived[0], archived[1] if which == "archived" else "a"
    guarded.put(key, content=b"another one", days=0)
    with running_service(guarded, at) as service:
        assert _commit(service, key, 5) == 204

        assert service.ask("GET", object_path(key)).content == b"another one"
        assert service.ask("GET", object_path(key).replace("objects", "states")).json == {"state": "resident"}
    assert guarded("history", key, "--json").json[-1]["reason"] == "uploaded again"
    assert guarded("plan", "--need", "9 MiB", "--json").json["kept"]


@pytest.mark.parametrize(("stored", "counted"), [(3000, {"count": 1, "bytes": 3000}), (None, {"count": 0, "bytes": 0})])
def test_an_upload_that_is_larger_than_was_reserved_is_as_large_as_the_store_has_it(
    guarded: Guarded, service: Service, stored: int | None, counted: dict[str, int]
) -> None:
    reservation = service.reserve(bytes=1000).json["reservation"]
    if stored is not None:
        guarded.put("a", size=stored)

    committed = service.ask("POST", f"/v1/reservations/{reservation}/commit", {"key": "a", "bytes": 2**53})

    found = service.ask("GET", "/v1/status").json
    assert (committed.status, found["objects"].get("resident"), found["reservations"]["count"]) == (204, counted, 0)
    assert service.reserve(bytes=90 * MIB).status == 201


def test_where_the_store_cannot_be_looked_at_nothing_is_written_down_of_a_known_key(
    archived: tuple[Guarded, str, bytes], at: Path
) -> None:
    guarded, key, content = archived
    with running_service(guarded, at) as service:
        known, new = (service.reserve(bytes=0, key=name).json["reservation"] for name in (key, "new"))
        guarded.store.rename(guarded.folder / "away")
        guarded.store.symlink_to(guarded.store)  # too many levels of links
        assert _committed(service, known) == 503
        assert _committed(service, new) == 204
        (left,) = service.ask("GET", "/v1/reservations").json["reservations"]
        assert (left["reservation"], service.ask("GET", object_path(key)).content == content) == (known, True)


# --- clients that go away ---


def _begin(at: Path, path: str) -> UnixConnection:
    connection = UnixConnection(at)
    connection.request("GET", path)
    assert len(connection.getresponse().read(1000)) == 1000
    return connection


def test_a_client_that_goes_away_leaves_no_file_open_and_no_thread_at_work(service: Service, guarded: Guarded) -> None:
    with guarded.put("large", content=b"").open("wb") as file:
        file.truncate(64 * 1024 * MIB)
    guarded("sync")
    clients = [_begin(service.socket, object_path("large")) for _ in range(32)]
    too_many = service.ask("GET", object_path("large"))
    assert (too_many.status, "too many objects" in too_many.reason, "retry-after" in too_many.headers) == (
        503,
        True,
        True,
    )
    assert len(service.opened(guarded.store)) == 32
    for client in clients:
        client.close()

    wait_until(lambda: service.opened(guarded.store) == [])
    guarded.put("small", content=b"here")
    guarded("sync")
    assert service.ask("GET", object_path("small")).content == b"here"
    assert "Traceback" not in service.said()


def _cut(at: Path, path: str, body: bytes) -> None:
    """Send a request of which a part of the body may be missing, and go away once a whole one is answered."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(at))
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n".encode() + body)
        if len(body) == 12:
            assert client.recv(10) == b"HTTP/1.1 2"
    time.sleep(0.5)


@pytest.mark.parametrize(("body", "count"), [(b"", 0), (b'{"bytes"', 0), (b'{"bytes": 1}', 1)])
def test_a_client_that_goes_away_before_it_has_asked_reserves_nothing(
    service: Service, body: bytes, count: int
) -> None:
    _cut(service.socket, "/v1/reservations", body)

    assert service.reserved() == count


@pytest.mark.parametrize(("body", "known"), [(b"", {}), (b'{"key": "b"}', {"resident": 1})])
def test_a_client_that_goes_away_before_it_has_asked_commits_nothing(
    service: Service, guarded: Guarded, body: bytes, known: dict[str, int]
) -> None:
    reservation = service.reserve(bytes=1, key="a").json["reservation"]
    _cut(service.socket, f"/v1/reservations/{reservation}/commit", body)

    assert guarded.states() == known


@pytest.mark.parametrize(("stays", "count"), [(True, 1), (False, 0)])
def test_a_client_that_does_not_wait_for_its_reservation_keeps_none(
    guarded: Guarded, at: Path, stays: bool, count: int
) -> None:
    begun, done = guarded.folder / "begun", guarded.folder / "done"
    guarded.command(f'#!/bin/sh\ntouch {begun}\nsleep 1\n{" ".join(guarded.argv())} "$@"\ntouch {done}\n')
    premigrated(guarded, at)
    with running_service(guarded, at) as service:
        client = UnixConnection(at)
        client.request("POST", "/v1/reservations", json.dumps({"bytes": 10 * MIB}))
        wait_until(begun.exists)
        if stays:
            assert client.getresponse().status == 201
        client.close()
        wait_until(done.exists)
        time.sleep(0.5)

        assert service.reserved() == count


def in_this_process(
    guarded: Guarded, received: list[dict[str, Any]], sent: list[dict[str, Any]], path: str, method: str = "GET"
) -> None:
    """Have a request answered whose client sends and takes so much, and then hangs without an end."""

    async def receive() -> dict[str, Any]:
        return received.pop(0) if received else await asyncio.sleep(60, {})

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(dict(message))
        if message.get("more_body"):
            await asyncio.sleep(60)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "headers": [],
        "query_string": b"",
    }
    scope |= {"client": ("0", os.getpid()), "root_path": "", "http_version": "1.1", "scheme": "http"}
    served = application(GuardService(settings.load(guarded.config, {}), guarded.config))

    async def connected() -> None:
        await served(scope | {"gone": asyncio.get_running_loop().create_future()}, receive, send)

    asyncio.run(connected())


def test_a_client_that_hangs_is_not_waited_for(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = guarded.put("large", size=4 * MIB)
    guarded("init")
    for module in (answers, schema):
        monkeypatch.setattr(module, "_STALLED_SECONDS", 0.2)
    sending, taking = list[dict[str, Any]](), list[dict[str, Any]]()

    in_this_process(
        guarded, [{"type": "http.request", "body": b"{", "more_body": True}], sending, "/v1/reservations", "POST"
    )
    in_this_process(guarded, [{"type": "http.request"}], taking, "/v1/objects/large")

    assert (sending[0]["status"], b"did not come within" in sending[1]["body"]) == (400, True)
    assert [message.get("status", message.get("more_body")) for message in taking] == [200, True]
    assert "the client took nothing" in caplog.text
    assert str(path) not in opened(os.getpid())


# --- whom room is made by ---


def premigrated(guarded: Guarded, at: Path) -> list[str]:
    """Fill the store; the oldest twenty of its objects are proven in the archive already."""
    ahead = {"premigrate": "20%"}
    written(guarded, at, sweep=ahead, watermarks={"low": "97%", "high": "98%", "flood": "99%"})
    keys = filled(guarded, oldest=400, newest=200)
    guarded("sweep")
    written(guarded, at)
    assert guarded.states()["premigrated"] == 20
    return keys


def test_a_guard_has_its_room_made_by_the_service(guarded: Guarded, at: Path) -> None:
    keys = premigrated(guarded, at)
    with running_service(guarded, at), StorageGuard(Client(at)).admit(10 * MIB) as reservation:
        assert reservation.freed_bytes == 9 * MIB

    assert guarded.stored() == set(keys[9:])


def test_a_guard_whose_service_does_not_run_is_broken_and_says_why(at: Path) -> None:
    with pytest.raises(StateFailed, match=r"does exodus-storage-guard serve run\?"):
        StorageGuard(Client(at)).admit(10 * MIB)


# --- connections that are kept ---


def _sockets() -> int:
    return sum(name.startswith("socket:") for name in opened(os.getpid()))


def test_what_is_asked_soon_after_is_asked_on_the_same_connection(service: Service) -> None:
    before, guard = _sockets(), StorageGuard(Client(service.socket))
    for _ in range(5):
        guard.admit(1).release()

    assert _sockets() == before + 1
    del guard
    assert _sockets() == before


def test_each_of_those_who_ask_at_once_has_a_connection_and_a_few_are_kept(service: Service) -> None:
    before, guard = _sockets(), StorageGuard(Client(service.socket))
    with ThreadPoolExecutor(12) as pool:
        admitted = list(pool.map(lambda _: guard.admit(1), range(60)))

    assert len({one.id for one in admitted}) == service.reserved() == 60
    assert _sockets() <= before + 4


def test_a_service_that_was_started_anew_is_asked_at_once(guarded: Guarded, at: Path) -> None:
    guarded("init")
    guard = StorageGuard(Client(at))
    for _ in range(2):
        with running_service(guarded, at):
            guard.admit(1).release()
            assert guard.is_accepting()


def test_what_ends_while_it_is_asked_is_asked_anew(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    guard, asked = StorageGuard(Client(service.socket)), UnixConnection.request

    def ends(self: UnixConnection, *arguments: Any, **more: Any) -> None:
        monkeypatch.setattr(UnixConnection, "request", asked)
        self.sock.shutdown(socket.SHUT_RDWR)
        asked(self, *arguments, **more)

    guard.admit(1).release()
    monkeypatch.setattr(UnixConnection, "request", ends)
    guard.admit(1)

    assert service.reserved() == 1


def test_a_connection_that_was_silent_for_long_is_not_asked_on(service: Service) -> None:
    clock = SetClock()
    connections = Connections(clock)
    for waited, is_kept in ((4.0, True), (6.0, False)):
        connection = UnixConnection(service.socket)
        connection.request("GET", "/v1/accepting")
        connection.getresponse().read()
        connections.done(connection, is_read=True)
        clock.seconds += waited
        assert (connections.kept(1.0) is connection, connection.sock is not None) == (is_kept, is_kept)
        connection.close()


def test_a_request_is_sent_in_one_piece(at: Path) -> None:
    connection = UnixConnection(at)
    connection.sock, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with other_end:
        connection.request("POST", "/v1/reservations", b'{"bytes": 1}')
        assert other_end.recv(65536).endswith(b'\r\n\r\n{"bytes": 1}')
        connection.close()


def test_a_child_asks_on_a_connection_of_its_own(service: Service) -> None:
    client = Client(service.socket)
    client.admit(Wanted(1, bound=True))
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            client.admit(Wanted(2, bound=True))
            time.sleep(60)
        os._exit(1)
    try:
        wait_until(lambda: service.reserved() == 2)
        promised = service.ask("GET", "/v1/reservations").json["reservations"]
        assert {one["bytes"]: one["process"] for one in promised} == {1: os.getpid(), 2: child}
        client.admit(Wanted(3))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_growing_uploads_that_wait_for_room_hold_up_no_other_of_their_user(guarded: Guarded, at: Path) -> None:
    begun, go_on = guarded.folder / "begun", guarded.folder / "go-on"
    premigrated(guarded, at)
    guarded.command(f"#!/bin/sh\ntouch {begun}\nwhile [ ! -e {go_on} ]; do sleep 0.1; done\n")
    with running_service(guarded, at) as service:
        reserved = [service.reserve(bytes=0).json["reservation"] for _ in range(3)]
        begun_at = time.monotonic()
        growing = [_growing(service, reservation, size=10 * MIB) for reservation in reserved]
        wait_until(begun.exists)
        others = [service.reserve(bytes=1).status, service.ask("GET", "/v1/status").status]
        seconds = time.monotonic() - begun_at
        go_on.touch()

        assert others == [201, 200]
        assert seconds < 30, "what makes room is given a minute"
        assert [Reply.to(one).status for one in growing] == [503] * 3


def _growing(service: Service, reservation: str, *, size: int) -> UnixConnection:
    """Ask for more for an upload, and do not wait for the answer."""
    connection = UnixConnection(service.socket)
    connection.request("POST", f"/v1/reservations/{reservation}/grow", json.dumps({"bytes": size}))
    return connection


# --- many at once ---


def test_a_client_that_finds_many_before_it_waits_for_its_turn(at: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as before:
        listener.bind(str(at))
        listener.listen(0)
        before.enter_context(socket.socket(socket.AF_UNIX)).connect(str(at))
        refused = pytest.raises(StateFailed, match=r"has much to do: it did not answer within 0\.2 s")
        with refused, Client(at)._answered("GET", "/v1/status", seconds=0.2):
            pass
        answering = threading.Timer(0.5, _answer_the_second, [listener])
        answering.start()

        assert not Client(at).release("unknown")
        answering.join()


def _answer_the_second(listener: socket.socket) -> None:
    listener.accept()[0].close()
    with listener.accept()[0] as connection:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")


def test_one_question_may_be_asked_ahead_of_an_answer_for_as_long_as_it_takes_and_no_more(
    guarded: Guarded, at: Path
) -> None:
    ask = b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"
    wait = json.dumps({"bytes": 90 * MIB, "wait_seconds": 11}).encode()
    waiting = b"POST /v1/reservations HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(wait), wait)

    guarded.put(apk_key(1), size=80 * MIB)
    guarded.nobody_makes_room()
    guarded("init")

    with running_service(guarded, at) as service:
        two = _sent_at_once(service, ask + waiting)
        three = _sent_at_once(service, ask * 3)

    assert (two.count(b"HTTP/1.1 200"), two.count(b"HTTP/1.1 503"), three) == (1, 1, b"")


def _sent_at_once(service: Service, asked: bytes) -> bytes:
    """Give all that is answered until two answers came, or the connection ends."""
    answered = b""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(service.socket))
        client.sendall(asked)
        with suppress(ConnectionResetError):
            while answered.count(b"HTTP/1.1") < 2 and (more := client.recv(65536)):
                answered += more
    return answered


def test_questions_whose_client_has_gone_are_not_worked_on() -> None:
    asyncio.run(_asked_and_away())


async def _asked_and_away() -> None:
    turns, done, gate = Turns(), list[str](), threading.Event()
    loop = asyncio.get_running_loop()
    stays, goes = loop.create_future(), loop.create_future()
    working = [asyncio.ensure_future(turns.ask(1, gate.wait, stays)) for _ in range(2)]
    asked = [asyncio.ensure_future(turns.ask(1, partial(done.append, name), goes)) for name in "abc"]
    last = asyncio.ensure_future(turns.ask(1, partial(done.append, "last"), stays))
    await asyncio.sleep(0)
    goes.set_result(None)
    found = await asyncio.gather(*asked, return_exceptions=True)  # while those before them are still at work
    gate.set()
    await asyncio.gather(*working, last)

    assert [type(one) for one in found] == [UploadRefused] * 3
    assert done == ["last"]
    assert await turns.ask(1, lambda: "again", stays) == "again"


# --- the socket ---


def test_the_socket_is_its_users_and_its_groups_alone(service: Service, at: Path) -> None:
    found = at.lstat()

    assert (stat.S_ISSOCK(found.st_mode), stat.S_IMODE(found.st_mode)) == (True, 0o660)


def test_a_second_service_at_the_same_socket_is_refused(service: Service, guarded: Guarded) -> None:
    second = guarded("serve")

    assert second.exit_code == 1
    assert "does another service run there?" in second.stderr
    assert service.ask("GET", "/v1/status").status == 200


def test_the_socket_of_a_killed_service_is_taken_over(guarded: Guarded, at: Path) -> None:
    guarded("init")
    with running_service(guarded, at) as killed:
        killed.process.kill()
        killed.process.wait()
    assert stat.S_ISSOCK(at.lstat().st_mode)

    with running_service(guarded, at) as service:
        assert service.ask("GET", "/v1/status").status == 200


def test_of_several_that_take_over_at_once_one_serves_and_the_others_end(guarded: Guarded, at: Path) -> None:
    guarded("init")
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(at))
    with ExitStack() as running:
        started = [guarded.start("serve") for _ in range(4)]
        for process in started:
            running.callback(process.communicate)
            running.callback(process.kill)
        wait_until(lambda: sum(process.poll() is None for process in started) == 1)
        ended = [process.returncode for process in started if process.poll() is not None]
        (serving,) = [process for process in started if process.poll() is None]
        assert ended == [1, 1, 1]
        wait_until(lambda: Service(at, serving, guarded.folder / "none").ask("GET", "/v1/status").status == 200)


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_not_removed(guarded: Guarded, at: Path, kind: str) -> None:
    guarded("init")
    make: dict[str, Callable[[], None]] = {
        "file": at.touch,
        "folder": at.mkdir,
        "link": lambda: at.symlink_to("nowhere"),
    }
    make[kind]()
    before = at.lstat()

    assert guarded("serve").exit_code == 1
    assert (at.lstat().st_ino, at.lstat().st_mode) == (before.st_ino, before.st_mode)


def test_a_socket_in_no_folder_is_told_as_such(guarded: Guarded, at: Path) -> None:
    written(guarded, at.parent / "none/service.sock")
    said = guarded("serve")

    assert (said.exit_code, "No such file or directory" in said.stderr) == (1, True)
    assert "another service" not in said.stderr


HAND_OVER = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid() + int(sys.argv[2])), "LISTEN_FDS": sys.argv[3]}
os.execv(sys.executable, [sys.executable, "-P", "-m", "exodus_storage_guard", "serve"])
"""


def hand_over(at: Path, *, other: int = 0, count: int = 1) -> list[str]:
    return [sys.executable, "-c", HAND_OVER, str(at), str(other), str(count)]


def test_a_socket_that_systemd_opened_is_served(guarded: Guarded, at: Path) -> None:
    guarded("init")
    opened = at.with_name("opened.sock")
    with running_service(guarded, opened, argv=hand_over(opened)) as service:
        assert service.ask("GET", "/v1/status").status == 200
        assert not at.exists()


def test_a_socket_that_was_handed_to_another_process_is_not_served(guarded: Guarded, at: Path) -> None:
    guarded("init")
    opened = at.with_name("opened.sock")
    with running_service(guarded, at, argv=hand_over(opened, other=1)) as service:
        assert service.ask("GET", "/v1/status").status == 200


def test_of_two_sockets_from_systemd_none_is_served(guarded: Guarded, at: Path) -> None:
    done = subprocess.run(
        hand_over(at, count=2), env=guarded.environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, "hands over 2 sockets" in done.stderr) == (1, True)


# --- the units ---


@pytest.mark.full  # which installs systemd where there is none
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for unit in UNITS.glob("exodus-storage-guard*"):
        text = unit.read_text().replace("ExecStart=exodus-storage-guard", "ExecStart=/bin/true")
        (tmp_path / unit.name).write_text(text)
    units = [str(tmp_path / f"exodus-storage-guard-serve.{kind}") for kind in ("socket", "service")]
    done = subprocess.run(
        ["systemd-analyze", "--man=no", "verify", *units], capture_output=True, text=True, timeout=30, check=False
    )

    assert [line for line in done.stderr.splitlines() if "exodus" in line] == []
    assert done.returncode == 0


def test_the_socket_unit_listens_where_clients_ask_by_default() -> None:
    lines = (UNITS / "exodus-storage-guard-serve.socket").read_text().splitlines()

    assert f"ListenStream={settings.AdmissionSettings().socket}" in lines
    assert "SocketMode=0660" in lines
