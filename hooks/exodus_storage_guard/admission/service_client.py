"""The door to the service, which decides for whoever does not own the state, and reads what he may not."""

import http.client
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from exodus_common.errors import ExodusError, TryLater, UsageError
from exodus_common.terminal import printable
from exodus_storage_guard.admission.admissions import Reserved, Wanted
from exodus_storage_guard.admission.connections import Connections, UnixConnection
from exodus_storage_guard.admission.silence import Silence
from exodus_storage_guard.errors import NotYours, ObjectMissing, StateFailed, StoreFailed, UploadRefused, Why
from exodus_storage_guard.sizes import shown

_LOOK_SECONDS = 1.0  # a page waits for it
_ADMISSION_SECONDS = 25.0  # beside what is waited for room: the service gives no more than 20 to what it does for it
_SECONDS = 90.0  # the store may have to be looked at, or an object to be sought in the archive
_DOUBTED_AFTER_SECONDS = 2.0
_MOST_UPLOAD_BYTES = 2**53  # the last whole number that every language's JSON has
_CHUNK_BYTES = 1024 * 1024
_MOST_ANSWER_BYTES = 64 * 1024 * 1024  # several users' reservations, as many as each may have
_Begun = tuple[UnixConnection, http.client.HTTPResponse]
_NO_CONTENT, _BAD, _FORBIDDEN, _NOT_FOUND, _LATER, _NEVER = 204, 400, 403, 404, 503, 507


@dataclass(frozen=True)
class Service:
    """Ask the service that listens on a Unix socket; threads may share it, and it outlives a fork.

    One that is there and does not answer (it was stopped, its disk hangs) holds up who only looks for a second, and who
    asks for room for a few, or for as long as it still answers others. For some seconds after that nobody waits.
    """

    socket: Path
    _looks: Silence = field(default_factory=Silence, repr=False, compare=False)
    _all: Silence = field(default_factory=Silence, repr=False, compare=False)
    _connections: Connections = field(default_factory=Connections, init=False, repr=False, compare=False)

    def admit(self, wanted: Wanted) -> Reserved:
        """Have room reserved."""
        fields = {
            "bytes": _sayable(wanted.size_bytes),
            "key": wanted.key,
            "wait_seconds": wanted.wait_seconds,
            "lease_seconds": wanted.lease_seconds,
            "client": wanted.client,
            "ends_with_process": wanted.bound or None,
        }
        return self._reserved("/v1/reservations", _said_of(fields), _ADMISSION_SECONDS + wanted.wait_seconds)

    def extend(self, reservation_id: str, lease_seconds: float | None) -> bool:
        """Have a reservation end later."""
        fields = _said_of({"lease_seconds": lease_seconds})
        return self._found("POST", f"{_path(reservation_id)}/extend", fields, _ADMISSION_SECONDS)

    def grow(self, reservation_id: str, size_bytes: int) -> Reserved:
        """Have more reserved."""
        return self._reserved(f"{_path(reservation_id)}/grow", {"bytes": _sayable(size_bytes)}, _ADMISSION_SECONDS)

    def _reserved(self, path: str, fields: Mapping[str, object], seconds: float) -> Reserved:
        with self._unless_silent(self._all):
            found = self._asked("POST", path, fields, seconds=seconds)
        try:
            ends_at = datetime.fromisoformat(found["expires_at"])
            return Reserved(str(found["reservation"]), int(found["bytes"]), ends_at, int(found["freed_bytes"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StateFailed(f"{self._where} answers what is no reservation: {found}") from error

    def commit(self, reservation_id: str, key: str | None, size_bytes: int | None, *, is_part: bool = False) -> bool:
        """Say that an upload is stored."""
        said = {"key": key, "bytes": size_bytes, "is_part": is_part or None}
        return self._found("POST", f"{_path(reservation_id)}/commit", _said_of(said))

    def release(self, reservation_id: str) -> bool:
        """Say that an upload did not happen."""
        return self._found("DELETE", _path(reservation_id), {}, _ADMISSION_SECONDS)

    def _found(self, method: str, path: str, fields: Mapping[str, object], seconds: float = _SECONDS) -> bool:
        try:
            self._asked(method, path, fields, seconds=seconds)
        except ObjectMissing:
            return False
        return True

    def is_accepting(self, size_bytes: int | None) -> bool:
        """Ask what nginx asks, of which nothing is reserved."""
        size = {} if size_bytes is None else {"bytes": min(size_bytes, _MOST_UPLOAD_BYTES)}
        path = f"/v1/accepting?{urlencode(size)}"
        with self._unless_silent(self._looks), self._answered("GET", path, seconds=_LOOK_SECONDS) as answer:
            answer.read(_MOST_ANSWER_BYTES)
        if answer.status not in (_NO_CONTENT, _LATER):
            raise StateFailed(f"{self._where} answers HTTP {answer.status}")
        return answer.status == _NO_CONTENT

    def is_archived(self, key: str) -> bool:
        """Ask for the state that an object is in."""
        path = f"/v1/states/{_name(key)}"
        try:
            with self._unless_silent(self._looks):
                return bool(self._asked("GET", path, {}, seconds=_LOOK_SECONDS)["state"] == "archived")
        except ObjectMissing:
            return False

    def fetch(self, key: str, target: BinaryIO) -> None:
        """Write an object to a file; what is cut short is not taken for the whole."""
        try:
            self._fetch(key, target)
        except StateFailed as error:
            raise StoreFailed(str(error)) from error

    def _fetch(self, key: str, target: BinaryIO) -> None:
        with self._answered("GET", f"/v1/objects/{_name(key)}") as answer:
            if answer.status == _NOT_FOUND:
                raise ObjectMissing(f"there is no {printable(key)}, neither in the store nor in the archive")
            if answer.status != http.client.OK:
                raise StoreFailed(f"{self._where}: {printable(key)}: {_said(answer)}")
            while chunk := answer.read(_CHUNK_BYTES):
                _write(target, chunk, key)
            if answer.length:
                raise StoreFailed(f"{self._where}: {printable(key)} ends {answer.length} bytes early")

    def status(self) -> Mapping[str, Any]:
        """Give the fields of the status."""
        return self._asked("GET", "/v1/status", {})

    def reservations(self) -> Any:
        """Give what is promised to whom."""
        return self._asked("GET", "/v1/reservations", {})["reservations"]

    def _asked(
        self, method: str, path: str, fields: Mapping[str, object], *, seconds: float = _SECONDS
    ) -> Mapping[str, Any]:
        """Ask, and give the fields of the answer; raise what the service raised, `StateFailed` where it is away."""
        body = json.dumps(fields).encode() if fields else None
        with self._answered(method, path, body, seconds) as answer:
            content = answer.read(_MOST_ANSWER_BYTES)
            if answer.status == _NO_CONTENT:
                return {}
            try:
                found = json.loads(content)
            except (ValueError, RecursionError) as error:
                raise StateFailed(f"{self._where} answers HTTP {answer.status}, and no JSON") from error
        if not isinstance(found, dict):
            raise StateFailed(f"{self._where} answers what is none: HTTP {answer.status}")
        if answer.status >= _BAD:
            raise self._error(answer.status, found)
        return found

    def _error(self, status: int, found: Mapping[str, Any]) -> ExodusError:
        reason = printable(str(found.get("reason", f"HTTP {status}"))[:1000])
        later = found.get("retry_after_seconds")
        if found.get("refused"):
            return UploadRefused(reason, later if isinstance(later, int) else None, _why(found.get("why")))
        kinds = {_BAD: UsageError, _FORBIDDEN: NotYours, _NOT_FOUND: ObjectMissing, _LATER: TryLater}
        return kinds.get(status, StateFailed)(reason)

    @contextmanager
    def _answered(
        self, method: str, path: str, body: bytes | None = None, seconds: float = _SECONDS
    ) -> Iterator[http.client.HTTPResponse]:
        try:
            connection, answer = self._begun(method, path, body, seconds)
            try:
                yield answer
            finally:
                self._connections.done(connection, is_read=answer.isclosed())
        except PermissionError as error:
            raise StateFailed(f"{self._where}: {error.strerror}: is our user a member of its group?") from error
        except (BlockingIOError, TimeoutError) as error:
            raise Unanswered(f"{self._where} has much to do: it did not answer within {seconds:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            what = str(error) or type(error).__name__
            raise StateFailed(f"{self._where}: {what}; does exodus-storage-guard serve run?") from error

    def _begun(self, method: str, path: str, body: bytes | None, seconds: float) -> _Begun:
        """Ask, and wait until an answer begins; what was kept may have ended at this very moment."""
        kept = self._connections.kept(seconds)
        if kept is not None:
            with suppress(ConnectionError):
                return self._begun_on(kept, method, path, body, seconds)
        return self._begun_on(UnixConnection(self.socket, seconds), method, path, body, seconds)

    def _begun_on(
        self, connection: UnixConnection, method: str, path: str, body: bytes | None, seconds: float
    ) -> _Begun:
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            self._wait_for_answer(connection, seconds)
            return connection, connection.getresponse()
        except BaseException:
            connection.close()
            raise

    def _wait_for_answer(self, connection: UnixConnection, seconds: float) -> None:
        """Wait until an answer begins; raise `Unanswered` where it does not, or nobody else is answered either."""
        ends_at = time.monotonic() + seconds
        while not connection.is_answered(min(_DOUBTED_AFTER_SECONDS, ends_at - time.monotonic())):
            if time.monotonic() >= ends_at:
                raise TimeoutError
            if not self._is_alive():
                self._all.begin()
                raise Unanswered(f"{self._where} is there, and answers nobody")

    def _is_alive(self) -> bool:
        """Tell whether the service answers what takes it no work."""
        connection = UnixConnection(self.socket, _LOOK_SECONDS)
        try:
            connection.request("HEAD", "/")
            return connection.is_answered(_LOOK_SECONDS)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @contextmanager
    def _unless_silent(self, of: Silence) -> Iterator[None]:
        """Ask, and remember where there is no answer; raise `StateFailed` at once where there was none a moment ago."""
        if of.is_kept() or self._all.is_kept():
            raise StateFailed(f"{self._where} did not answer a moment ago")
        try:
            yield
        except Unanswered:
            of.begin()
            raise
        of.end()

    @property
    def _where(self) -> str:
        return f"the service at {printable(str(self.socket))}"


class Unanswered(StateFailed):
    """Say that the service is there, and did not answer."""


def _said_of(fields: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _sayable(size_bytes: int | None) -> int | None:
    """Refuse what no JSON can say, and no store has room for: whoever uploads may have declared it."""
    if size_bytes is not None and size_bytes > _MOST_UPLOAD_BYTES:
        more = f"{shown(size_bytes)} are more than the {shown(_MOST_UPLOAD_BYTES)} that can be asked for"
        raise UploadRefused(more, None, Why.TOO_LARGE)
    return size_bytes


def _why(said: object) -> Why:
    """Read of which kind a refusal is; a service of another version may have kinds of its own."""
    try:
        return Why(str(said))
    except ValueError:
        return Why.NOT_KNOWN


def _path(reservation_id: str) -> str:
    return f"/v1/reservations/{_name(reservation_id)}"


def _name(key: str) -> str:
    return quote(os.fsencode(key), safe="")


def _write(target: BinaryIO, chunk: bytes, key: str) -> None:
    try:
        target.write(chunk)
    except OSError as error:
        raise StoreFailed(f"cannot write what is fetched of {printable(key)}: {error.strerror}") from error


def _said(answer: http.client.HTTPResponse) -> str:
    return printable(f"HTTP {answer.status}: {answer.read(500).decode('utf-8', 'replace')}")
