"""Starlette's middleware: an upload has room before its body is read, and what was stored is committed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import SimpleUser, UnauthenticatedUser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Message

from exodus_storage_guard.adapters.starlette import GuardMiddleware
from tests.parts.guard import MIB, Guarded

ROOM_MIB = 10


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    guarded = Guarded(tmp_path).write(
        capacity={"total_bytes": f"{ROOM_MIB} MiB"}, admission={"emergency_reserve": 0, "client_share": "100%"}
    )
    guarded.nobody_makes_room()
    assert guarded("init").exit_code == 0
    return guarded


async def upload(request: Request) -> Response:
    """Take a body; its name says what is done with it."""
    size = sum([len(chunk) async for chunk in request.stream()])
    if "grows" in request.headers:
        request.state.room.take(int(request.headers["grows"]))
    if "stored" in request.headers:
        request.state.room.note(request.headers["stored"], size)
    if "fails" in request.headers:
        raise RuntimeError("it fails after it has stored")
    return PlainTextResponse(str(size))


def application(guarded: Guarded, **more: Any) -> Starlette:
    app = Starlette(routes=[Route(path, upload, methods=["GET", "POST"]) for path in ("/upload", "/elsewhere")])
    app.add_middleware(GuardMiddleware, paths={"/upload"}, config=guarded.config, **more)
    return app


class Client:
    """Send a request as a server passes one on, piece by piece, and note what was asked for and answered."""

    def __init__(self, app: Starlette, path: str, headers: dict[str, str], pieces: list[bytes], method: str = "POST"):
        self.app, self.pieces, self.asked, self.sent = app, pieces, 0, list[Message]()
        said = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self.scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "headers": said}
        self.scope |= {"query_string": b"", "client": ("192.0.2.1", 1), "http_version": "1.1", "root_path": ""}

    async def receive(self) -> Message:
        self.asked += 1
        if not self.pieces:
            return {"type": "http.disconnect"}
        piece = self.pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self.pieces)}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def answer(self) -> tuple[int, str]:
        asyncio.run(self.app(self.scope, self.receive, self.send))
        body = b"".join(one.get("body", b"") for one in self.sent)
        return self.sent[0]["status"], body.decode()

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}


def sending(guarded: Guarded, size: int, path: str = "/upload", **headers: str) -> Client:
    said = {"Content-Length": str(size), **headers}
    return Client(application(guarded), path, said, [b"x" * (size // 2), b"x" * (size - size // 2)])


def counted(guarded: Guarded) -> tuple[int, dict[str, int]]:
    catalogue = guarded.run().catalogue
    known = {entry.key: entry.bytes for entry in map(catalogue.get, ("one.apk",)) if entry is not None}
    return len(catalogue.reservations()), known


def test_what_was_stored_is_committed_with_its_size(guarded: Guarded) -> None:
    assert sending(guarded, MIB, Stored="one.apk").answer() == (200, str(MIB))
    assert counted(guarded) == (0, {"one.apk": MIB})


def test_what_nobody_says_was_stored_is_released(guarded: Guarded) -> None:
    assert sending(guarded, MIB).answer()[0] == 200
    assert counted(guarded) == (0, {})


def test_what_was_stored_is_committed_though_the_rest_fails(guarded: Guarded) -> None:
    with pytest.raises(RuntimeError):
        sending(guarded, MIB, Stored="one.apk", Fails="yes").answer()

    assert counted(guarded) == (0, {"one.apk": MIB})


def test_what_has_no_room_is_refused_and_none_of_its_body_is_read(guarded: Guarded) -> None:
    guarded("admit", "--bytes", "9 MiB")
    refused = sending(guarded, 2 * MIB, Accept_Language="fr")
    refused.scope["headers"].append((b"accept-language", b"fr"))

    status, said = refused.answer()

    assert (status, said) == (
        507,
        "Il n’y a pas de place pour de nouveaux fichiers en ce moment. Veuillez réessayer un autre jour.",  # noqa: RUF001 - French
    )
    assert refused.asked == 0


def test_what_declares_no_length_is_refused_and_a_page_is_not(guarded: Guarded) -> None:
    undeclared = Client(application(guarded), "/upload", {}, [b"x"])
    page = Client(application(guarded), "/upload", {}, [b""], "GET")

    assert (undeclared.answer()[0], page.answer()[0]) == (411, 200)


@pytest.mark.parametrize("declared", ["9" * 5000, "0" * 5000 + str(20 * MIB), str(2**64)])
def test_a_length_is_read_however_it_is_written(guarded: Guarded, declared: str) -> None:
    asked = Client(application(guarded), "/upload", {"Content-Length": declared}, [b"x"])

    assert asked.answer() == (507, "This is larger than what can be accepted here.")
    assert asked.asked == 0


def test_other_paths_pass_however_full_it_is(guarded: Guarded) -> None:
    guarded("admit", "--bytes", "9 MiB")

    assert sending(guarded, 2 * MIB, "/elsewhere").answer() == (200, str(2 * MIB))


def test_one_that_lost_its_room_while_it_was_idle_ends(guarded: Guarded) -> None:
    app = application(guarded, idle_seconds=0.2)
    idle = Client(app, "/upload", {"Content-Length": str(8 * MIB)}, [b"x", b"y"])

    async def receive() -> Message:
        await asyncio.sleep(0.5 if idle.asked else 0)  # as a client that brings nothing; its lease is over by then
        return await Client.receive(idle)

    idle.receive = receive  # type: ignore[method-assign]

    with pytest.raises(ClientDisconnect):
        idle.answer()
    assert counted(guarded) == (0, {})


@pytest.mark.parametrize(
    ("who", "client"),
    [
        ({"client": ("2001:db8:1:2:3::4", 1)}, "2001:db8:1:2::/64"),  # one subscriber has 2^64 of them
        ({"client": ("::ffff:192.0.2.1", 1)}, "192.0.2.1"),
        ({"client": ("192.0.2.1", 1), "user": UnauthenticatedUser()}, "192.0.2.1"),
        ({"client": None}, "anybody"),  # at a Unix socket
        ({"client": ("", 0)}, "anybody"),
        ({"client": ("192.0.2.1", 1), "user": SimpleUser("somebody")}, None),
    ],
)
def test_who_is_not_logged_in_is_known_by_what_one_subscriber_has(
    guarded: Guarded, who: dict[str, Any], client: str | None
) -> None:
    asks = sending(guarded, MIB)
    asks.scope |= who
    seen = list[str | None]()

    async def receive() -> Message:
        seen.append(guarded.run().catalogue.reservations()[0].client)
        return await Client.receive(asks)

    asks.receive = receive  # type: ignore[method-assign]
    assert asks.answer()[0] == 200

    assert seen == [client, client]


def test_where_a_broken_guards_uploads_are_accepted_a_view_that_says_what_it_stored_works_as_ever(
    guarded: Guarded,
) -> None:
    written = guarded.config.read_text()
    guarded.config.unlink()
    app = application(guarded, when_broken="accept")
    sent = Client(app, "/upload", {"Content-Length": "3", "Stored": "one.apk", "Grows": str(20 * MIB)}, [b"xyz"])

    assert sent.answer() == (200, "3")
    guarded.config.write_text(written)
    assert counted(guarded) == (0, {})


@pytest.mark.parametrize(
    ("path", "root", "paths"),
    [
        ("/api/upload", "/api", {"/upload"}),  # uvicorn --root-path, and what is mounted
        ("/upload", "/api", {"/upload"}),  # so older servers pass it on
        ("/upload", "", {"/elsewhere", "/upload"}),
        ("/apps/17/file", "", {"/apps/{id:int}/file"}),
        ("/api/apps/17/file", "/api", {"/apps/{id:int}/file"}),
    ],
)
def test_a_path_is_known_as_its_route_knows_it(guarded: Guarded, path: str, root: str, paths: set[str]) -> None:
    routes = [Route(one, upload, methods=["POST"]) for one in (*paths, "/apps")]
    app = Starlette(routes=routes)
    app.add_middleware(GuardMiddleware, paths=paths, config=guarded.config)
    asked = Client(app, path, {"Content-Length": str(20 * MIB)}, [b"x"])
    other = Client(app, f"{root}/apps", {"Content-Length": str(20 * MIB)}, [b"x"])
    for one in (asked, other):
        one.scope["root_path"] = root

    not_routed = 404  # Starlette before 0.33 knows no root in a path
    assert asked.answer()[0] in (507, not_routed)
    assert asked.asked == 0
    assert other.answer()[0] in (200, not_routed)


def test_behind_a_mount_it_is_the_mounted_applications_path(guarded: Guarded) -> None:
    mounted = Mount("/api", app=application(guarded))
    refused = Client(Starlette(routes=[mounted]), "/api/upload", {"Content-Length": str(20 * MIB)}, [b"x"])

    assert (refused.answer()[0], refused.asked) == (507, 0)
