"""The example platform, run as an operator runs one: gunicorn behind nginx, a Celery worker, our service, a MinIO."""

import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.parts.bucketed import Bucketed
from tests.parts.command import ROOT
from tests.parts.nginx import running_nginx
from tests.parts.ports import free_port
from tests.parts.processes import run, running, wait_until_answers
from tests.parts.s3 import ACCESS_KEY, SECRET_KEY
from tests.parts.service import Reply, running_service
from tests.parts.workers import running_worker

_NGINX = """
server {
    listen 127.0.0.1:PORT;
    client_max_body_size 1g;
    location / {
        proxy_pass http://127.0.0.1:BEHIND;
        proxy_set_header Host $http_host;
        proxy_http_version 1.1;
        proxy_request_buffering off;  # the platform hears of an upload before its body is here
    }
}
"""
_AS_US = "" if os.geteuid() else "user root;"  # else its workers could not spool into our folder
_GUARDS_GROUP, _PLATFORM = 54321, 54322
# It may look everywhere, since the interpreter may lie in a home of somebody else's, and write nowhere but in its own.
_LOOKING = "--inh-caps=+dac_read_search --ambient-caps=+dac_read_search"
_AS_PLATFORM = (
    f"setpriv --reuid={_PLATFORM} --regid={_PLATFORM} --groups={_GUARDS_GROUP} {_LOOKING}".split()
    if os.geteuid() == 0
    else []
)
_FOR_THE_GROUP = f"setpriv --regid={_GUARDS_GROUP} --clear-groups".split() if os.geteuid() == 0 else []
_BOUNDARY = "----of-a-test"


@dataclass
class Example:
    """A platform that runs; `kind` names the environment of its Python packages."""

    guarded: Bucketed
    kind: str
    port: int = field(default_factory=free_port)
    gunicorn: "subprocess.Popen[bytes]" = field(init=False)

    @property
    def folder(self) -> Path:
        return self.guarded.folder

    @property
    def gunicorn_log(self) -> Path:
        return self.folder / "gunicorn.log"

    @property
    def worker_log(self) -> Path:
        return self.folder / "worker.log"

    @property
    def python(self) -> str:
        """Give the interpreter of the platform's own environment, run as the platform's user."""
        interpreter = ROOT / ".platforms" / self.kind / "bin/python"
        program = self.folder / "platform-python"
        if not program.exists():
            program.write_text(f'#!/bin/sh\nexec {" ".join(_AS_PLATFORM)} {interpreter} "$@"\n')
            program.chmod(0o755)
        return str(program)

    @property
    def environment(self) -> dict[str, str]:
        paths = {"PYTHONPATH": f"{ROOT / 'tests/example'}:{ROOT}", "EXAMPLE_FOLDER": str(self.folder)}
        told = {"DJANGO_SETTINGS_MODULE": "submissions.settings", "C_FORCE_ROOT": "1", "HOME": str(self.folder)}
        return self.guarded.environment | paths | told

    def manage(self, *arguments: str) -> None:
        done = run([self.python, "-m", "django", *arguments], env=self.environment)
        assert done.exit_code == 0, done.all_output

    @contextmanager
    def web(self, workers: int = 2) -> Iterator[None]:
        """Run gunicorn, as many threads of it as the largest test has uploads."""
        behind = free_port()
        argv = [self.python, "-m", "gunicorn", "--workers", str(workers), "--threads", "32", "--timeout", "60"]
        argv += ["--bind", f"127.0.0.1:{behind}", "submissions.wsgi"]
        configuration = _NGINX.replace("PORT", str(self.port)).replace("BEHIND", str(behind))
        with (
            running(argv, env=self.environment, log=self.gunicorn_log) as process,
            running_nginx(self.folder / "nginx", configuration, main=_AS_US),
        ):
            wait_until_answers(process, self._open, self.gunicorn_log)
            self.gunicorn = process
            yield

    def web_workers(self) -> list[int]:
        """Give the process ids of gunicorn's workers."""
        pid = self.gunicorn.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def worker(self) -> AbstractContextManager[None]:
        """Run a Celery worker for the time of a block."""
        return running_worker(self.python, "submissions.tasks", env=self.environment, log=self.worker_log)

    # --- a person's browser ---

    def _open(self) -> None:
        """Ask for a page that does not ask the guard: over a full store the question has a sweep started."""
        if self.get("/report/0/").status != HTTPStatus.NOT_FOUND:
            raise ConnectionRefusedError

    def get(self, path: str) -> Reply:
        with closing(self._connected()) as connection:
            connection.request("GET", path)
            return Reply.to(connection)

    def submit(self, handle: str, size: int) -> Reply:
        """Have an app fetched from the shop."""
        token, cookie = self._token()
        body = f"csrfmiddlewaretoken={token}&handle={handle}&bytes={size}"
        kind = "application/x-www-form-urlencoded"
        with closing(self._connected()) as connection:
            connection.request("POST", "/submit/", body, {"Cookie": cookie, "Content-Type": kind})
            return Reply.to(connection)

    def upload(self, handle: str, content: bytes) -> Reply:
        """Send an APK, all of it."""
        with self.uploading(handle, len(content)) as sending:
            sending.send(content)
            return sending.answer()

    @contextmanager
    def uploading(self, handle: str, size: int) -> Iterator["Upload"]:
        """Begin to send an APK: its headers, and no byte of the file yet."""
        token, cookie = self._token()
        fields = {"csrfmiddlewaretoken": token, "handle": handle}
        before = "".join(
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        before += f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="apk"; filename="{handle}.apk"\r\n\r\n'
        after = f"\r\n--{_BOUNDARY}--\r\n"
        with closing(self._connected()) as connection:
            connection.putrequest("POST", "/")
            connection.putheader("Cookie", cookie)
            connection.putheader("Content-Type", f"multipart/form-data; boundary={_BOUNDARY}")
            connection.putheader("Content-Length", str(len(before) + size + len(after)))
            connection.endheaders(before.encode())
            yield Upload(connection, size, after.encode())

    def _token(self) -> tuple[str, str]:
        page = self.get("/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.content.decode())
        cookie = page.headers["Set-Cookie"].split(";")[0]
        assert token is not None, page
        return token[1], cookie

    def _connected(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=60)

    # --- what is there ---

    def apks(self) -> list[str]:
        """Name what the platform says it has stored."""
        with closing(sqlite3.connect(self.folder / "platform.db")) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM apk ORDER BY created_at")]

    @property
    def reserved(self) -> int:
        """Count the reservations there are."""
        return int(self.guarded("status", "--json").json["reservations"]["count"])


@dataclass
class Upload:
    """An upload under way."""

    connection: HTTPConnection
    size: int
    after: bytes
    sent: int = 0

    def send(self, content: bytes) -> None:
        """Send some of the file, and what follows it with its last byte; stop where nobody takes it any more."""
        self.sent += len(content)
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(content + (self.after if self.sent == self.size else b""))

    def answer(self) -> Reply:
        return Reply.to(self.connection)


@contextmanager
def running_example(
    guarded: Bucketed, kind: str, sockets: Path, *, web_workers: int = 2, service: bool = True, **tables: Any
) -> Iterator[Example]:
    """Set a platform up over a bucket, and run its pages and our service for the time of a block."""
    admission = {"emergency_reserve": 0, "socket": str(sockets / "guard.sock")} | tables.pop("admission", {})
    guarded.write(admission=admission, **tables)
    assert guarded("init").exit_code == 0
    operator = {"endpoint": guarded.server.endpoint.removeprefix("http://"), "bucket": guarded.bucket}
    operator |= {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    (guarded.folder / "example.json").write_text(json.dumps(operator))
    example = Example(guarded, kind)
    if _AS_PLATFORM:
        for place in (guarded.folder, *guarded.folder.glob("platform.db*")):
            os.chown(place, _PLATFORM, _PLATFORM)
    example.manage("migrate", "--run-syncdb", "--verbosity", "0")
    argv = [*_FOR_THE_GROUP, *guarded.argv("serve")]
    with (
        running_service(guarded, sockets / "guard.sock", argv=argv) if service else nullcontext(),
        example.web(web_workers),
    ):
        yield example
