"""Two hundred hostile clients beside twenty honest ones: a platform with sync workers behind the documented nginx."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.parts.bucketed import Bucketed
from tests.parts.example import UPLOAD, Example, running_example
from tests.parts.guard import MIB
from tests.parts.s3 import S3Server
from tests.parts.service import Reply, short_folder
from tests.parts.waiting import wait_until

HOSTILE, HONEST, ROOM = 200, 20, 30
BOUNDARY = "----of-a-stranger"
TRICKLE = b"twenty bytes, slowly"
OTHER_PAGE = "/analysis/submit/"


@dataclass(frozen=True)
class Stranger:
    """One of many who send whatever they like; `until` is set when it is over."""

    port: int
    number: int
    token: str
    cookie: str
    until: Event

    @property
    def address(self) -> str:
        """Give one of forty addresses."""
        return f"127.0.2.{1 + self.number % 40}"

    def head(self, length: int | None, **headers: str) -> bytes:
        lines = [f"POST {UPLOAD} HTTP/1.1", "Host: platform.example", f"Cookie: {self.cookie}"]
        lines += [
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
            "X-Upload-Bytes: 1",
            "X-Real-IP: 192.0.2.1",
        ]
        lines += [] if length is None else [f"Content-Length: {length}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def body(self, size: int, *, field: str = "apk", token: str | None = None) -> bytes:
        fields = f'form-data; name="csrfmiddlewaretoken"\r\n\r\n{token or self.token}\r\n--{BOUNDARY}\r\n'
        fields += f'Content-Disposition: form-data; name="{field}"; filename="{self.number}.apk"\r\n\r\n'
        said = f"--{BOUNDARY}\r\nContent-Disposition: {fields}"
        return said.encode() + b"x" * size + f"\r\n--{BOUNDARY}--\r\n".encode()

    async def send(self, *parts: bytes, slowly: bytes = b"", reset: bool = False, read: bool = True) -> bytes:
        """Send some parts, go on slowly until it is over where that is wanted, and take what is answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(self.address, 0))
        with suppress(OSError):
            for part in parts:
                writer.write(part)
                await writer.drain()
            while slowly and not self.until.is_set() and not reader.at_eof():
                writer.write(slowly)
                await writer.drain()
                await asyncio.sleep(1)
        if reset:
            writer.transport.abort()
            return b""
        answer = b""
        with suppress(OSError, TimeoutError):
            answer = await asyncio.wait_for(reader.read(200), 10) if read else b""
        writer.close()
        return answer


async def slow(one: Stranger) -> bytes:
    return await one.send(one.head(MIB), one.body(MIB)[:500], slowly=TRICKLE)


async def lying(one: Stranger) -> bytes:
    return await one.send(one.head(5 * MIB), one.body(MIB // 4), slowly=b"\0")


async def greedy(one: Stranger) -> bytes:
    return await one.send(one.head(80 * MIB), one.body(MIB // 4)[: MIB // 4], slowly=TRICKLE)


async def cut(one: Stranger) -> bytes:
    return await one.send(one.head(2 * MIB), one.body(2 * MIB)[:MIB], reset=True)


async def chunked(one: Stranger) -> bytes:
    content = one.body(MIB)
    return await one.send(
        one.head(None, Transfer_Encoding="chunked"), b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
    )


async def pipelined(one: Stranger) -> bytes:
    content = one.body(1000, field="another")
    return await one.send((one.head(len(content)) + content) * 5)


async def wrong_field(one: Stranger) -> bytes:
    content = one.body(MIB, field="another")
    return await one.send(one.head(len(content)), content)


async def replayed(one: Stranger) -> bytes:
    """Send a token of somebody else's, twice the same."""
    content = one.body(MIB, token="x" * len(one.token))
    await one.send(one.head(len(content)), content)
    return await one.send(one.head(len(content)), content)


KINDS: list[Callable[[Stranger], Awaitable[bytes]]] = [
    slow, lying, greedy, cut, chunked, pipelined, wrong_field, replayed
]  # fmt: skip


@contextmanager
def strangers(example: Example) -> Iterator[None]:
    """Have them at it for the time of a block."""
    over = Event()
    token, cookie = example.token(UPLOAD)
    all_of_them = [Stranger(example.port, number, token, cookie, over) for number in range(HOSTILE)]

    async def play() -> None:
        await asyncio.gather(*(KINDS[one.number % len(KINDS)](one) for one in all_of_them), return_exceptions=True)

    thread = Thread(target=lambda: asyncio.run(play()))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)


@contextmanager
def looking(example: Example, seconds: list[float]) -> Iterator[None]:
    """Look at another page meanwhile, again and again, and note how long that takes."""
    over = Event()

    def look() -> None:
        while not over.wait(0.1):
            began = time.perf_counter()
            assert example.get(OTHER_PAGE).status == 200
            seconds.append(time.perf_counter() - began)

    with ThreadPoolExecutor(1) as one:
        looks = one.submit(look)
        try:
            yield
        finally:
            over.set()
        looks.result()


@pytest.fixture
def guarded(tmp_path: Path, minio: S3Server) -> Bucketed:
    """Give an empty bucket with room for thirty uploads."""
    return Bucketed(tmp_path / "guard", server=minio, bucket=minio.bucket()).write()


def test_strangers_neither_fill_the_store_nor_hold_up_those_who_are_honest(guarded: Bucketed) -> None:
    room = ROOM * (MIB + MIB // 64)
    marks = {"low": room - 2, "high": room - 1, "flood": room}
    pages: list[float] = []

    with (
        short_folder() as sockets,
        running_example(
            guarded, "new", sockets, web_workers=2, web_threads=1, uploads_of_one=4,
            admission={"client_share": "50%"}, capacity={"total_bytes": 2 * room}, watermarks=marks,
        ) as example,
    ):  # fmt: skip
        with strangers(example), looking(example, pages), ThreadPoolExecutor(HONEST) as people:

            def upload(number: int) -> Reply:
                return example.upload(f"org.example.app{number}", os.urandom(MIB), sent_from=f"127.0.1.{1 + number}")

            answers = list(people.map(upload, range(HONEST)))
            wait_until(lambda: len(pages) >= 40)  # while those who are slow are still at it

        wait_until(lambda: example.reserved == 0, f"{guarded('reservations').stdout}")
        stored = [answer for answer in answers if answer.status == 302]
        refused = [answer for answer in answers if answer.status != 302]
        assert len(guarded.stored()) == len(stored), "a stranger has stored something"
        assert all(answer.status in (503, 507) and b"lease try again" in answer.content for answer in refused)
        assert len(stored) >= HONEST // 2
        assert sum(MIB for _ in guarded.stored()) <= room
        assert sorted(pages)[int(0.95 * len(pages))] < 1, f"{sorted(pages)[-5:]} of {len(pages)}"
        assert example.upload("org.example.last", os.urandom(MIB), sent_from="127.0.1.99").status == 302
