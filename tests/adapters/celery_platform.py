"""A platform's Celery app as a worker imports it; its environment says where its folder is, and how it is set up."""

import json
import os
import signal
from pathlib import Path

from celery import Celery
from celery.exceptions import Ignore, Reject

from exodus_storage_guard import UploadRefused
from exodus_storage_guard.adapters.celery import GuardedTask
from exodus_storage_guard.adapters.room import HELD
from tests.parts.messages import configuration

FOLDER = Path(os.environ.get("PLATFORM_FOLDER", "."))
SERIALIZER = os.environ.get("PLATFORM_SERIALIZER", "json")


app = Celery("celery_platform", set_as_current=False)
app.conf.update(configuration(FOLDER, SERIALIZER))


class Upload(GuardedTask):
    """A task that stores a file under a key; both are its arguments."""

    abstract = True
    max_retries = int(os.environ.get("PLATFORM_MAX_RETRIES", "3"))
    when_broken = os.environ.get("PLATFORM_WHEN_BROKEN") or None  # type: ignore[assignment]

    def upload_bytes(self, key: str, size: int) -> int | None:
        return size

    def upload_key(self, key: str, size: int) -> str | None:
        return key

    def on_refused(self, refusal: UploadRefused, key: str, size: int) -> None:
        note("refused", key=key, reason=refusal.reason, retry_after_seconds=refusal.retry_after_seconds)

    def on_waiting(self, refusal: UploadRefused, key: str, size: int) -> None:
        note("waiting", key=key, why=refusal.why)

    def runs(self, key: str) -> None:
        """Note that the body runs, with what is reserved for it."""
        reservation = self.reservation
        note("ran", key=key, reservation=reservation.id or None, pid=os.getpid())


class UploadOfUnknownSize(Upload):
    """The same, where nobody knows beforehand how much comes."""

    abstract = True

    def upload_bytes(self, key: str, size: int) -> int | None:
        return None


def note(what: str, **fields: object) -> None:
    """Write a line down for the test to read."""
    with (FOLDER / what).open("a") as file:
        file.write(json.dumps(fields) + "\n")


def write(self: Upload, key: str, size: int) -> str:
    """Store what was uploaded, and say so."""
    (FOLDER / "store" / key).write_bytes(b"\0" * size)
    self.stored(key, size)
    return key


@app.task(base=Upload, bind=True)
def store(self: Upload, key: str, size: int) -> str:
    self.runs(key)
    return write(self, key, size)


@app.task(base=UploadOfUnknownSize, bind=True)
def grow(self: Upload, key: str, size: int) -> str:
    self.runs(key)
    assert self.reservation is not None
    self.reservation.grow(size)
    return write(self, key, size)


@app.task(base=UploadOfUnknownSize, bind=True)
def fetch(self: Upload, key: str, size: int) -> str:
    """Store as a platform does whose storage says what it stores."""
    self.runs(key)
    room = HELD.get()
    assert room is not None
    room.take(size)
    write(self, key, size)
    if key.startswith("undone"):
        (FOLDER / "store" / key).unlink()
        room.forget(key)
    if key.startswith("failing"):
        raise RuntimeError("it fails after it has stored")
    return key


@app.task(base=Upload, bind=True)
def find_nothing(self: Upload, key: str, size: int) -> int:
    """End as a task does whose file cannot be had: it says so, stores nothing and returns."""
    self.runs(key)
    return -2


class GoneBefore(Upload):
    """A task whose row is gone, which it looks for before it starts."""

    abstract = True

    def before_start(self, task_id: str, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        super().before_start(task_id, args, kwargs)
        note("begun", key=args[0])
        raise Ignore


@app.task(base=GoneBefore, bind=True)
def be_gone(self: Upload, key: str, size: int) -> str:
    self.runs(key)
    return write(self, key, size)


@app.task(base=Upload, bind=True)
def break_off(self: Upload, key: str, size: int) -> None:
    self.runs(key)
    raise RuntimeError("the upload broke off")


@app.task(base=Upload, bind=True)
def ignore(self: Upload, key: str, size: int) -> None:
    self.runs(key)
    raise Ignore


@app.task(base=Upload, bind=True)
def reject(self: Upload, key: str, size: int) -> None:
    self.runs(key)
    raise Reject("a message of nobody", requeue=False)


@app.task(base=Upload, bind=True)
def retry_once(self: Upload, key: str, size: int) -> str:
    self.runs(key)
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    return write(self, key, size)


@app.task(base=Upload, bind=True)
def hang(self: Upload, key: str, size: int) -> None:
    self.runs(key)
    signal.pause()


@app.task(base=Upload, bind=True, soft_time_limit=1)
def take_too_long(self: Upload, key: str, size: int) -> None:
    self.runs(key)
    signal.pause()


@app.task(base=Upload, bind=True)
def store_another_inside(self: Upload, key: str, size: int) -> str:
    """Call another guarded task, and this very one, like functions."""
    self.runs(key)
    if not key.startswith("inner-"):
        store(f"other-{key}", size)
        self(f"inner-{key}", size)
        self.runs(key)
    return write(self, key, size)
