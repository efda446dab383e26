"""The examples of docs/integration.md, run as they stand there: nginx before the service, the command, curl."""

import hashlib
import http.client
import json
import os
import random
import shlex
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from exodus_storage_guard.words import for_reader
from tests.parts.certbot import write_program
from tests.parts.command import ROOT, Ran
from tests.parts.configuration import workers_as_myself
from tests.parts.guard import MIB, Guarded, apk_key
from tests.parts.nginx import running_nginx
from tests.parts.ports import free_port
from tests.parts.processes import run
from tests.parts.service import Reply, Service, running_service, short_folder
from tests.parts.waiting import wait_until

SOCKET = "/run/exodus-storage-guard/service.sock"
CONTENT = random.Random(0).randbytes(3 * MIB)  # noqa: S311 - no secret
SOME = CONTENT[:4096]


def example(section: str, language: str) -> str:
    """Take a section's only example in that language out of the document."""
    text = (ROOT / "docs/integration.md").read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    (found,) = [block.split("\n```")[0] for block in text.split(f"```{language}\n")[1:]]
    return found


def asking(text: str, socket: Path) -> str:
    """Have an example ask a socket of the test's own."""
    assert text.count(SOCKET) == 1
    return text.replace(SOCKET, str(socket))


# --- nginx ---


class Platform(ThreadingHTTPServer):
    """Take uploads, and answer what their path says, /upload/403, or else 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.took: list[tuple[str, str]] = []


class _Asked(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"] or 0))
        assert isinstance(self.server, Platform)
        self.server.took.append((self.command, hashlib.sha256(content).hexdigest()))
        said = b"the platform was here"
        self.send_response(int(self.path.removeprefix("/upload").strip("/") or 200))
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    do_GET = do_HEAD = do_PUT = do_POST  # noqa: N815 - http.server's names

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def running_platform() -> Iterator[Platform]:
    with Platform() as platform:
        thread = threading.Thread(target=platform.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield platform
        finally:
            platform.shutdown()
            thread.join()


@dataclass(frozen=True)
class Door:
    """A platform behind an nginx that is set up as the document says."""

    platform: Platform
    port: int = field(default_factory=free_port)

    @contextmanager
    def open(self, folder: Path, socket: Path) -> Iterator["Door"]:
        text = asking(example("nginx", "nginx"), socket)
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{self.platform.server_port}")
        with running_nginx(
            folder, text.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}"), main=workers_as_myself(), workers=1
        ):
            yield self

    def send(self, content: bytes = b"", method: str = "POST", path: str = "/upload", **headers: str | int) -> Reply:
        """Send a request and this much of its body, which may be less than its headers tell; take the answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.putrequest(method, path)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), str(value))
            connection.endheaders(content)
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.headers), answer.read())

    def upload(self, path: str = "/upload") -> Reply:
        return self.send(CONTENT, path=path, Content_Length=len(CONTENT))

    def begin(self, size: int, **headers: str) -> Reply:
        """Declare an upload of that size, send the first of it, and wait for an answer."""
        return self.send(SOME, Content_Length=size, **headers)

    @property
    def took(self) -> list[tuple[str, str]]:
        """Tell what came to the platform: methods, and the SHA-256 of bodies."""
        return self.platform.took


BUSY = b"Too many files are being received at the moment.\n"
WHOLE = ("POST", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    """Give a store of 100 MiB that stays empty: whoever reserves there releases."""
    return Guarded(tmp_path_factory.mktemp("documented"))


@pytest.fixture(scope="module")
def shared(empty: Guarded) -> Iterator[Service]:
    """Give a service over that store."""
    with short_folder() as sockets, running_guard(empty, sockets) as service:
        yield service


@pytest.fixture(scope="module")
def running() -> Iterator[Platform]:
    with running_platform() as platform:
        yield platform


@pytest.fixture(scope="module")
def opened(running: Platform, shared: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with Door(running).open(tmp_path_factory.mktemp("nginx"), shared.socket) as door:
        yield door


@pytest.fixture
def platform(running: Platform) -> Platform:
    """Give a platform that nothing has come to yet."""
    running.took.clear()
    return running


@pytest.fixture
def door(opened: Door, platform: Platform) -> Door:
    """Give the document's nginx before that service."""
    return opened


@contextmanager
def running_guard(guarded: Guarded, sockets: Path, **tables: dict[str, Any]) -> Iterator[Service]:
    admission = {"socket": str(sockets / "service.sock")} | (tables.pop("admission", None) or {})
    guarded.write(admission=admission, **tables)
    assert guarded("init").exit_code == 0
    with running_service(guarded, sockets / "service.sock") as service:
        yield service


@contextmanager
def only_5_mib_left(service: Service) -> Iterator[None]:
    """Promise all other room to somebody else."""
    reservation = service.reserve(bytes=90 * MIB).json["reservation"]
    try:
        yield
    finally:
        service.ask("DELETE", f"/v1/reservations/{reservation}")


NO_ROOM = "There is no room for new files at the moment. Please try again in about 1 minute."


def refused(answer: Reply, why: str = NO_ROOM) -> bool:
    """Tell whether it was said in words that a browser shows, and when to come back."""
    assert answer.content.decode() == f"{why}\n"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    return answer.status == 503


def test_an_upload_with_room_reaches_the_platform_whole(door: Door, shared: Service) -> None:
    assert door.upload().status == 200
    with only_5_mib_left(shared):
        assert door.upload().status == 200

    assert door.took == [WHOLE, WHOLE]


def test_an_upload_without_room_is_refused_before_its_body_and_never_reaches_the_platform(
    door: Door, shared: Service
) -> None:
    with only_5_mib_left(shared):
        assert refused(door.begin(5 * MIB + 1))
        assert refused(door.begin(5 * MIB + 1, Expect="100-continue"))

    assert door.took == []


def test_an_upload_that_is_larger_than_the_store_is_refused_before_its_body_too(door: Door) -> None:
    answer = door.begin(200 * MIB)

    assert (answer.status, "Retry-After" in answer.headers) == (507, False)
    assert answer.content == b"This is larger than what can be accepted here.\n"
    assert door.took == []


@pytest.mark.parametrize(
    ("asked_for", "said"),
    [
        (
            "fr-FR,fr;q=0.9,en;q=0.5",
            "Il n’y a pas de place pour de nouveaux fichiers en ce moment. Veuillez réessayer dans",  # noqa: RUF001 - French
        ),
        ("de", "Im Moment ist kein Platz für neue Dateien."),
        ("xx, en;q=0.1", "There is no room"),
        ("", "There is no room"),
        ("../../etc", "There is no room"),
        ("fr;q=0, de;q=much", "There is no room"),
    ],
)
def test_a_visitor_is_told_in_the_language_that_his_browser_asks_for(
    asked_for: str, said: str, door: Door, shared: Service
) -> None:
    with only_5_mib_left(shared):
        answer = door.begin(5 * MIB + 1, Accept_Language=asked_for)

    assert answer.content.decode().startswith(said)


def test_an_uploader_that_tells_the_service_another_size_is_not_believed(door: Door, shared: Service) -> None:
    with only_5_mib_left(shared):
        assert refused(door.begin(5 * MIB + 1, X_Upload_Bytes="1"))
    assert door.send(CONTENT, Content_Length=len(CONTENT), X_Upload_Bytes=200 * MIB).status == 200

    assert door.took == [WHOLE]


BY_NGINX = {
    411: ("It is not said how large this is.", "Il n’est pas dit quelle est la taille", "Es ist nicht gesagt"),  # noqa: RUF001 - French
    413: ("This is larger than what", "C’est trop volumineux", "Das ist zu groß"),  # noqa: RUF001 - French
}


@pytest.mark.parametrize("status", list(BY_NGINX))
def test_what_nginx_itself_refuses_is_told_in_the_same_way(status: int, door: Door) -> None:
    for language, said in zip(("en", "fr-FR,fr;q=0.9,en;q=0.5", "de"), BY_NGINX[status], strict=True):
        if status == 411:
            answer = door.send(in_chunks(SOME), Transfer_Encoding="chunked", Accept_Language=language)
        else:
            answer = door.send(SOME, Content_Length=3 * 1024 * MIB, Accept_Language=language)

        assert (answer.status, answer.headers["Content-Type"]) == (status, "text/plain; charset=utf-8")
        assert answer.content.decode().startswith(said)
        assert answer.content.count(b"\n") == 1
    assert door.took == []


def test_nginx_has_the_very_sentences_of_the_catalogue() -> None:
    recipe = example("nginx", "nginx")
    for language in ("en", "fr", "de"):
        words = for_reader(language)
        for said in (
            "New files cannot be accepted at the moment, for a technical reason.",
            "This is larger than what can be accepted here.",
            "Too many files are being received at the moment.",
        ):
            assert f'"{words.gettext(said)}";' in recipe


def in_chunks(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)


def test_an_upload_that_declares_no_length_is_refused_and_never_reaches_the_platform(door: Door) -> None:
    chunked = [door.send(in_chunks(SOME), method, Transfer_Encoding="chunked") for method in ("POST", "GET", "PUT")]
    undeclared = door.send(b"", "POST")

    assert {answer.status for answer in (*chunked, undeclared)} == {411}
    assert door.took == []


@pytest.mark.parametrize(
    ("method", "size", "status"),
    [("GET", None, 200), ("HEAD", None, 200), ("POST", 0, 200), ("GET", 6 * MIB, 503), ("PUT", 6 * MIB, 503)],
)
def test_without_room_the_page_with_the_form_is_given_and_no_body_passes_by_whichever_method(
    method: str, size: int | None, status: int, door: Door, shared: Service
) -> None:
    with only_5_mib_left(shared):
        declared: dict[str, Any] = {} if size is None else {"Content_Length": size}
        assert door.send(SOME if size else b"", method, **declared).status == status

    assert [one for one, _ in door.took] == ([method] if status == 200 else [])


def test_one_address_sends_four_uploads_at_once_and_no_more(door: Door) -> None:
    with ExitStack() as sending:
        for _ in range(4):
            connection = sending.enter_context(closing(http.client.HTTPConnection("127.0.0.1", door.port, timeout=20)))
            connection.putrequest("POST", "/upload")
            connection.putheader("Content-Length", str(MIB))
            connection.endheaders(SOME)
        wait_until(lambda: (refused := door.begin(MIB)).status == 429 and refused.content == BUSY)

    wait_until(lambda: door.upload().status == 200, "they are gone")


@pytest.mark.parametrize("status", [403, 411, 413, 429, 500, 503])
def test_what_the_platform_refuses_by_itself_is_told_in_its_own_words(status: int, door: Door) -> None:
    answer = door.upload(f"/upload/{status}")

    assert (answer.status, answer.content) == (status, b"the platform was here")
    assert "Retry-After" not in answer.headers


def test_nobody_asks_for_room_from_outside(door: Door) -> None:
    assert door.send(method="GET", path="/room").status == 404


def test_while_the_service_is_away_uploads_are_refused_and_told_so(
    platform: Platform, tmp_path: Path, shared: Service
) -> None:
    unknown = "New files cannot be accepted at the moment, for a technical reason."
    with Door(platform).open(tmp_path / "away", tmp_path / "none.sock") as door:
        assert refused(door.begin(len(CONTENT)), unknown)
        assert door.send(method="GET").status == 200
    with Door(platform).open(tmp_path / "there", shared.socket) as door:
        assert door.upload().status == 200

    assert platform.took == [("GET", hashlib.sha256().hexdigest()), WHOLE]


def test_whoever_comes_back_finds_the_room_that_was_made_meanwhile(platform: Platform, tmp_path: Path) -> None:
    guarded = Guarded(tmp_path / "guard").write()
    keys = guarded.fill(4, size=2 * MIB, oldest=400, newest=300)
    capacity, admission = {"total_bytes": "10 MiB"}, {"emergency_reserve": 0}
    with (
        short_folder() as sockets,
        running_guard(guarded, sockets, capacity=capacity, admission=admission) as service,
        Door(platform).open(tmp_path / "nginx", service.socket) as door,
    ):
        assert refused(door.begin(len(CONTENT)))
        wait_until(lambda: door.upload().status == 200)

    assert platform.took == [WHOLE]
    assert guarded.archived().keys() | guarded.stored() == set(keys)


# --- the command ---


def run_command(guarded: Guarded, size: str, *, storing: str = "true") -> Ran:
    """Run the example with sh, on whose PATH the command is; `storing` is how the platform stores an APK."""
    programs = guarded.folder / "bin"
    write_program(programs / "exodus-storage-guard", *guarded.argv())
    write_program(programs / "store_the_apk", "sh", "-c", storing)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "size": size, "key": apk_key(0)}
    return run(["sh", "-c", example("The command", "sh")], env=guarded.environment | environment)


def test_the_command_reserves_while_an_apk_is_stored_and_commits_it(tmp_path: Path) -> None:
    guarded, seen = Guarded(tmp_path / "guard").write(), tmp_path / "seen"
    assert guarded("init").exit_code == 0

    done = run_command(guarded, str(3 * MIB), storing=f"exodus-storage-guard status --json > {seen}")

    assert (done.exit_code, done.stdout) == (0, "OK: committed\n")
    during, after = json.loads(seen.read_text()), guarded("status", "--json").json
    assert [one["reservations"]["count"] for one in (during, after)] == [1, 0]
    assert [one["objects"]["resident"]["count"] for one in (during, after)] == [0, 1]


def test_the_command_releases_what_it_reserved_for_an_apk_that_was_not_stored(empty: Guarded, shared: Service) -> None:
    assert run_command(empty, str(3 * MIB), storing="false").stdout == "OK: released\n"

    assert shared.reserved() == 0


@pytest.mark.parametrize(
    ("size", "said"), [(f"{5 * MIB + 1}", "come back later\n"), ("much", "")], ids=["no room", "no size"]
)
def test_without_room_the_command_has_an_uploader_come_back_and_nothing_is_stored(
    size: str, said: str, empty: Guarded, shared: Service, tmp_path: Path
) -> None:
    with only_5_mib_left(shared):
        done = run_command(empty, size, storing=f"touch {tmp_path}/stored")

    assert (done.stdout, done.stderr != "") == (said, True)
    assert (shared.reserved(), list(tmp_path.iterdir())) == (0, [])


# --- the service ---


def by_curl(argv: list[str], service: Service) -> Any:
    return run(argv, env=os.environ).json


def by_hand(argv: list[str], service: Service) -> Any:
    """Ask what curl would."""
    curl, option, socket, url, data, fields = argv
    assert (curl, option, Path(socket), data) == ("curl", "--unix-socket", service.socket, "-d")
    form = "application/x-www-form-urlencoded"
    return service.ask("POST", urlsplit(url).path, fields.encode(), Content_Type=form).json


@pytest.mark.parametrize("ask", [by_hand, *([by_curl] if shutil.which("curl") else [])])
def test_the_service_reserves_for_whoever_asks_it_with_curl_or_refuses(
    ask: Callable[[list[str], Service], Any], shared: Service
) -> None:
    enable, line = example("The service", "sh").splitlines()
    assert enable.startswith("systemctl ")
    argv = shlex.split(asking(line, shared.socket))

    given = ask(argv, shared)
    assert (given["bytes"], shared.reserved()) == (45_000_000, 1)
    assert shared.ask("DELETE", f"/v1/reservations/{given['reservation']}").status == 204
    with only_5_mib_left(shared):
        assert ask(argv, shared)["refused"] is True
    assert shared.reserved() == 0
