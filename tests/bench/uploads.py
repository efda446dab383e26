"""Measure what uploads pay for the guard: Django's upload handler, the accepting flag, and the service on one core.

Run as `make bench`, or `tests/bench/uploads.py --quick` for a tenth of everything; handler, flag and service name
parts. The service has the first of our cores for itself and its clients the last; what else runs on the machine takes
from both, so the service's processor time a request stands beside its rate. A reservation and its release are two
requests. The p99 of a quick run is hardly less than its slowest.
"""

import json
import multiprocessing
import os
import re
import select
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "hooks")]

from django.conf import settings as django_settings  # noqa: E402 - after the path is set
from django.core.handlers.base import BaseHandler  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart  # noqa: E402
from django.test.utils import override_settings  # noqa: E402
from django.urls import path  # noqa: E402

from exodus_storage_guard import settings  # noqa: E402
from exodus_storage_guard.adapters.django import gates  # noqa: E402
from exodus_storage_guard.adapters.room import HELD  # noqa: E402
from exodus_storage_guard.state.opening import opened  # noqa: E402
from tests.adapters import django_platform  # noqa: E402
from tests.bench.admissions import DOORS  # noqa: E402
from tests.bench.storage import at, objects, shown, timed  # noqa: E402
from tests.parts.guard import MIB, Guarded  # noqa: E402
from tests.parts.service import running_service  # noqa: E402

_SCALE = 10 if "--quick" in sys.argv else 1
_ROUNDS = 3
_OBJECTS = 1_000
_UPLOADS, _CALLS, _SECONDS = 500 // _SCALE, 100_000 // _SCALE, 3.0 / _SCALE
_RENEWED_SECONDS = 0.01  # so that it happens often while it is measured; a platform's usual is 2
_CORES = sorted(os.sched_getaffinity(0))
_SERVING, _ASKING = _CORES[0], _CORES[-1]
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
Figures = dict[str, list[float]]
SOURCES: dict[str, dict[str, Any]] = {
    "filesystem": {
        "capacity": {"source": "filesystem", "total_bytes": None},
        "watermarks": {"low": "97%", "high": "98%", "flood": "99%"},  # this disk is not ours
    },
    "budget": {},  # what is committed without its key counts until the next sync: here, to the end of the round
}


def main() -> None:
    """Print every figure, or those of the parts that are named."""
    wanted = [part for part in PARTS if part in sys.argv[1:]] or list(PARTS)
    print(f"uploads, median of {_ROUNDS} rounds and spread; load of the machine: {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory(prefix="exodus-bench-", dir="/var/tmp") as folder:
        for part in wanted:
            PARTS[part](Path(folder) / part)


def catalogued(folder: Path, **tables: dict[str, Any]) -> Guarded:
    """Give a guard with objects in its catalogue and room for all that comes."""
    guarded = Guarded(folder).write(**{"capacity": {"total_bytes": "1000 TiB"}, **tables})
    catalogue = opened(settings.load(guarded.config, {}).state)
    catalogue.create()
    catalogue.apply_listing(objects(_OBJECTS), datetime.now(UTC))
    return guarded


def line(what: str, figures: Figures) -> None:
    print(f"  {what:27}" + "   ".join(f"{name} {shown(values)}" for name, values in figures.items()), flush=True)


# --- Django ---


def parsed(request: HttpRequest) -> HttpResponse:
    """Take an upload, and say that it is stored: what a platform does with it costs the same without the guard."""
    size = request.FILES["apk"].size
    room = HELD.get()
    if room is not None:
        room.note(f"{time.monotonic_ns()}.apk", size)
    return HttpResponse(f"{size} {'reserved' if room else 'not reserved'}")


urlpatterns = [path("upload", parsed, name="upload")]


@dataclass(frozen=True)
class Django:
    """Django with some settings, and the same 1 MiB for each request."""

    wanted: dict[str, Any]
    handler: BaseHandler = field(default_factory=BaseHandler)
    body: bytes = b""
    is_guarded: bool = True

    @classmethod
    def begun(cls, file: Any, *, guarded: bool) -> "Django":
        """Load the middleware; where nothing is guarded, all of the guard's is left out."""
        wanted = {name: getattr(django_settings, name) for name in ("MIDDLEWARE", "FILE_UPLOAD_HANDLERS")}
        if not guarded:
            wanted = {name: [one for one in all_ if "exodus" not in one] for name, all_ in wanted.items()}
        found = cls(wanted, body=encode_multipart(BOUNDARY, {"apk": file}), is_guarded=guarded)
        with override_settings(**wanted):
            found.handler.load_middleware()
        return found

    def upload(self) -> float:
        """Give the milliseconds from a request that is there to its answer that is closed."""
        with override_settings(**self.wanted):
            request = RequestFactory().generic("POST", "/upload", self.body, MULTIPART_CONTENT)
            request._dont_enforce_csrf_checks = True
            begin = time.perf_counter()
            response = self.handler.get_response(request)
            response.close()
            milliseconds = 1000 * (time.perf_counter() - begin)
        said = f"{MIB} {'reserved' if self.is_guarded else 'not reserved'}"
        assert (response.status_code, response.content.decode()) == (200, said), response.content
        return milliseconds


@contextmanager
def platform(guarded: Guarded, **more: Any) -> Iterator[None]:
    """Have Django's settings name a guard."""
    if not django_settings.configured:
        django_platform.configure()
    guard = {"config": str(guarded.config), "views": ["upload"], **more}
    with override_settings(EXODUS_STORAGE_GUARD=guard, ROOT_URLCONF=__name__):
        yield


def handler(folder: Path) -> None:
    print(f"Django, an upload of 1 MiB that is admitted, parsed and answered, milliseconds ({_UPLOADS} a round):")
    for source, tables in SOURCES.items():
        for name, door in DOORS.items():
            print(f"  capacity.source = {source}, decided {name}")
            _uploads(folder / f"{source}-{name[:2]}", tables, door)


def _uploads(folder: Path, tables: dict[str, Any], door: Callable[[Guarded], AbstractContextManager[None]]) -> None:
    found: dict[str, Figures] = {name: {"median": [], "p99": []} for name in ("without", "with", "more")}
    by_turn: Figures = {"the first tenth": [], "the last": []}
    for number in range(_ROUNDS):
        place = folder / str(number)
        admission = {"socket": str(place / "guard.sock"), "emergency_reserve": 0}
        guarded = catalogued(place, **tables, admission=admission)
        with door(guarded), platform(guarded, suffixes=[".apk"]):
            plain, ours = _interleaved()
        for name, turns in zip(by_turn, (ours[: _UPLOADS // 10], ours[-_UPLOADS // 10 :]), strict=True):
            by_turn[name].append(statistics.median(turns))
        _note(found, sorted(plain), sorted(ours))
    line("without the guard", found["without"])
    line("with it", found["with"])
    line("more (aim: p99 under 5)", found["more"])
    line("with it, median by turn", by_turn)


def _note(found: dict[str, Figures], plain: list[float], ours: list[float]) -> None:
    for name, percent in (("median", 50), ("p99", 99)):
        without, with_it = at(plain, percent), at(ours, percent)
        for what, value in (("without", without), ("with", with_it), ("more", with_it - without)):
            found[what][name].append(value)


def _interleaved() -> tuple[list[float], list[float]]:
    with tempfile.NamedTemporaryFile(suffix=".apk") as file:
        file.write(os.urandom(MIB))
        both = []
        for guarded in (False, True):
            file.seek(0)
            both.append(Django.begun(file, guarded=guarded))
    plain, ours = both
    for _ in range(5):
        plain.upload(), ours.upload()
    pairs = [(plain.upload(), ours.upload()) for _ in range(_UPLOADS)]
    return [first for first, _ in pairs], [second for _, second in pairs]


def flag(folder: Path) -> None:
    figures: Figures = {"median": [], "p99": [], "slowest": []}
    with platform(catalogued(folder), accepting_seconds=_RENEWED_SECONDS):
        assert gates.accepting()
        for _ in range(_ROUNDS):
            calls = sorted(1e6 * timed(gates.accepting) for _ in range(_CALLS))
            for name, value in zip(figures, (at(calls, 50), at(calls, 99), calls[-1]), strict=True):
                figures[name].append(value)
    print(f"the accepting flag, microseconds a call ({_CALLS:,} a round), renewed every {_RENEWED_SECONDS:g} s:")
    line("a call (aim: under 100)", figures)


# --- the service ---


@dataclass
class Talk:
    """A connection that is kept: a request, its answer, the next request; `following` makes it of the last answer."""

    socket: socket.socket
    following: Callable[[bytes], bytes]
    came: bytes = b""
    sent_at: float = 0.0

    def ask(self, answer: bytes = b"") -> None:
        self.sent_at = time.perf_counter()
        self.socket.sendall(self.following(answer))

    def hear(self) -> float | None:
        """Take what has come; give the milliseconds that an answer took once it is whole, and ask again."""
        came = self.socket.recv(65536)
        assert came, "the service hung up"
        self.came += came
        head, ended, body = self.came.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not ended or len(body) < (int(length[1]) if length else 0):
            return None
        assert head.startswith((b"HTTP/1.1 204", b"HTTP/1.1 201")), self.came
        took, self.came = 1000 * (time.perf_counter() - self.sent_at), b""
        self.ask(body)
        return took


def request(what: str, *headers: str, body: str = "") -> bytes:
    lines = [f"{what} HTTP/1.1", "Host: localhost", *headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", body]).encode()


_RESERVE = request("POST /v1/reservations", body=json.dumps({"bytes": MIB}))


def reserve_or_release(answer: bytes) -> bytes:
    """Release what was reserved, and reserve again."""
    return request(f"DELETE /v1/reservations/{json.loads(answer)['reservation']}") if answer else _RESERVE


def always(wanted: bytes) -> Callable[[bytes], bytes]:
    return lambda answer: wanted


ASKED: dict[str, Callable[[bytes], bytes]] = {
    "GET accepting": always(request("GET /v1/accepting")),
    "GET authorize": always(request("GET /v1/authorize", f"X-Upload-Bytes: {MIB}")),
    "reserve, release": reserve_or_release,
}


def service(folder: Path) -> None:
    socket_path = folder / "service.sock"
    guarded = catalogued(folder, admission={"socket": str(socket_path)})
    argv = ["taskset", "--cpu-list", str(_SERVING), *guarded.argv("serve")]
    print(f"the service on core {_SERVING}, its client on core {_ASKING}, milliseconds (aim: 2000 GETs a second):")
    with running_service(guarded, socket_path, argv=argv) as running, _client_process() as client:
        for many in (1, 8):
            for what in ASKED:
                asked(client, running.process.pid, (socket_path, many, what, 0.2))
                rounds = [
                    asked(client, running.process.pid, (socket_path, many, what, _SECONDS)) for _ in range(_ROUNDS)
                ]
                figures = {name: [one[name] for one in rounds] for name in rounds[0]}
                line(f"{what}, by {many}", {name: figures.pop(name) for name in ("a second", "median", "p99")})
                line("", figures)


def _client_process() -> Pool:
    return multiprocessing.get_context("fork").Pool(1, os.sched_setaffinity, (0, {_ASKING}))


def asked(client: Pool, pid: int, arguments: tuple[Path, int, str, float]) -> dict[str, float]:
    """Have the client ask for some time; say how that went, and what it cost the service and the client."""
    before = cpu_seconds(pid)
    times, wall, own = client.apply(ask_all, arguments)
    used = cpu_seconds(pid) - before
    times.sort()
    return {
        "a second": len(times) / wall,
        "median": at(times, 50),
        "p99": at(times, 99),
        "CPU of the service, a request": 1000 * used / len(times),
        "of the client": 1000 * own / len(times),
        "the service's share of its core": used / wall,
    }


def cpu_seconds(pid: int) -> float:
    """Give what a process has used of the processors, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask_all(socket_path: Path, many: int, what: str, seconds: float) -> tuple[list[float], float, float]:
    """Ask on so many connections at once; give each answer's milliseconds, and the seconds and CPU seconds of all."""
    poll, talks, times = select.poll(), dict[int, Talk](), list[float]()
    for _ in range(many):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(socket_path))
        talks[connection.fileno()] = Talk(connection, ASKED[what])
        poll.register(connection, select.POLLIN)
    begin, cpu = time.perf_counter(), time.process_time()
    for talk in talks.values():
        talk.ask()
    while time.perf_counter() - begin < seconds:
        for descriptor, _ in poll.poll(10_000):
            took = talks[descriptor].hear()
            if took is not None:
                times.append(took)
    return times, time.perf_counter() - begin, time.process_time() - cpu


PARTS: dict[str, Callable[[Path], None]] = {"handler": handler, "flag": flag, "service": service}

if __name__ == "__main__":
    main()
