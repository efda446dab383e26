"""The example platform with the changes of docs/exodus.md, run as an operator runs one.

Gunicorn behind nginx, a Celery worker, our service, a MinIO.
"""

import json
import os
import re
import shutil
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
SETTINGS = "exodus.settings.production"
SUBMIT, UPLOAD = "/analysis/submit/", "/analysis/upload/"


@dataclass
class Example:
    """A platform that runs; `kind` names the environment of its Python packages."""

    guarded: Bucketed
    kind: str
    socket: Path
    uploads_of_one: int = 300
    port: int = field(default_factory=free_port)
    behind: int = field(default_factory=free_port)
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
        places = (self.folder / "platform/exodus", ROOT, ROOT / "hooks")
        paths = {"PYTHONPATH": ":".join(map(str, places)), "EXAMPLE_FOLDER": str(self.folder)}
        told = {"DJANGO_SETTINGS_MODULE": SETTINGS, "C_FORCE_ROOT": "1", "HOME": str(self.folder)}
        return self.guarded.environment | paths | told

    def manage(self, *arguments: str) -> str:
        done = run([self.python, "-m", "django", *arguments], env=self.environment)
        assert done.exit_code == 0, done.all_output
        return done.stdout

    @contextmanager
    def web(self, workers: int = 2, threads: int = 32) -> Iterator[None]:
        """Run gunicorn: as many threads of it as the largest test has uploads, or sync workers, which have one each."""
        argv = [self.python, "-m", "gunicorn", "--workers", str(workers), "--threads", str(threads), "--timeout", "60"]
        argv += ["--bind", f"127.0.0.1:{self.behind}", "exodus.wsgi"]
        configuration = self._documented()
        with (
            running(argv, env=self.environment, log=self.gunicorn_log) as process,
            running_nginx(self.folder / "nginx", configuration, main=_AS_US),
        ):
            wait_until_answers(process, self._open, self.gunicorn_log)
            self.gunicorn = process
            yield

    def _documented(self) -> str:
        """Give the nginx of docs/integration.md before this platform; a test has many uploads from one address."""
        text = (ROOT / "docs/integration.md").read_text().split("```nginx\n")[1].split("```")[0]
        of_ours = {
            "/run/exodus-storage-guard/service.sock": str(self.socket),
            "127.0.0.1:8080": f"127.0.0.1:{self.port}",
            "127.0.0.1:8000": f"127.0.0.1:{self.behind}",
            "location /upload {": f"location {documented_location()} {{",
            "limit_conn uploads 4;": f"limit_conn uploads {self.uploads_of_one};",
        }
        for theirs, ours in of_ours.items():
            assert text.count(theirs) == 1, theirs
            text = text.replace(theirs, ours)
        return text

    def web_workers(self) -> list[int]:
        """Give the process ids of gunicorn's workers."""
        pid = self.gunicorn.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def worker(self) -> AbstractContextManager[None]:
        """Run a Celery worker for the time of a block."""
        return running_worker(self.python, "exodus.core.celery", env=self.environment, log=self.worker_log)

    # --- a person's browser ---

    def _open(self) -> None:
        """Ask for a page that does not ask the guard: over a full store the question has a sweep started."""
        if self.get("/analysis/0/json/").status != HTTPStatus.NOT_FOUND:
            raise ConnectionRefusedError

    def get(self, path: str) -> Reply:
        with closing(self._connected()) as connection:
            connection.request("GET", path)
            return Reply.to(connection)

    def submit(self, handle: str, size: int) -> Reply:
        """Have an app fetched from the shop, which has one of that size."""
        (self.folder / "shop" / handle).write_text(str(size))
        token, cookie = self.token(SUBMIT)
        body = f"csrfmiddlewaretoken={token}&handle={handle}&source=google"
        kind = "application/x-www-form-urlencoded"
        with closing(self._connected()) as connection:
            connection.request("POST", SUBMIT, body, {"Cookie": cookie, "Content-Type": kind})
            return Reply.to(connection)

    def upload(self, handle: str, content: bytes, language: str = "en", sent_from: str = "127.0.0.1") -> Reply:
        """Send an APK, all of it."""
        with self.uploading(handle, len(content), language, sent_from=sent_from) as sending:
            sending.send(content)
            return sending.answer()

    @contextmanager
    def uploading(
        self, handle: str, size: int, language: str = "en", *, past_nginx: bool = False, sent_from: str = "127.0.0.1"
    ) -> Iterator["Upload"]:
        """Begin to send an APK: its headers, and no byte of the file yet."""
        token, cookie = self.token(UPLOAD)
        fields = {"csrfmiddlewaretoken": token}
        before = "".join(
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        before += f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="apk"; filename="{handle}.apk"\r\n\r\n'
        after = f"\r\n--{_BOUNDARY}--\r\n"
        with closing(self._connected(self.behind if past_nginx else self.port, sent_from)) as connection:
            connection.putrequest("POST", UPLOAD)
            connection.putheader("Cookie", cookie)
            connection.putheader("Accept-Language", language)
            connection.putheader("Content-Type", f"multipart/form-data; boundary={_BOUNDARY}")
            connection.putheader("Content-Length", str(len(before) + size + len(after)))
            connection.endheaders(before.encode())
            yield Upload(connection, size, after.encode())

    def token(self, path: str) -> tuple[str, str]:
        """Give what a form of that page has to send, and the cookie it goes with."""
        page = self.get(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.content.decode())
        cookie = page.headers["Set-Cookie"].split(";")[0]
        assert token is not None, page
        return token[1], cookie

    def _connected(self, port: int | None = None, sent_from: str = "127.0.0.1") -> HTTPConnection:
        return HTTPConnection("127.0.0.1", port or self.port, timeout=60, source_address=(sent_from, 0))

    # --- what is there ---

    def apks(self) -> list[str]:
        """Name what the platform says it has analysed."""
        return self._column("SELECT apk_file FROM reports_report ORDER BY id")

    def uploaded(self) -> list[str]:
        """Name what the form has stored, and no worker has taken yet."""
        return self._column("SELECT apk FROM analysis_query_analysisrequest WHERE apk <> '' ORDER BY id")

    def _column(self, query: str) -> list[str]:
        with closing(sqlite3.connect(self.folder / "platform.db", timeout=60)) as connection:
            return [value for (value,) in connection.execute(query)]

    @property
    def reserved(self) -> int:
        """Count the reservations there are."""
        return int(self.guarded("status", "--json").json["reservations"]["count"])


def documented_location() -> str:
    """Give the path that docs/exodus.md has nginx ask for."""
    (found,) = re.findall(r"`location (\S+)` in place of `location /upload`", (ROOT / "docs/exodus.md").read_text())
    return str(found)


def changed_platform(folder: Path, *, uploads: bool = True) -> int:
    """Make a copy of the example with the changes of docs/exodus.md; give how many lines were added or changed.

    Without `uploads` it is the official instance, which has no form for files.
    """
    shutil.copytree(ROOT / "tests/example", folder)
    section = (ROOT / "docs/exodus.md").read_text().split("\n## The lines in the platform\n")[1].split("\n## ")[0]
    official, forms = section.split("\n### Where files are uploaded\n")
    return sum(_changed(folder, one) for one in ((official, forms) if uploads else (official,)))


def _changed(folder: Path, section: str) -> int:
    settings, diff = (section.split(f"```{language}\n")[1].split("```")[0] for language in ("python", "diff"))
    with (folder / "exodus/exodus/settings/production.py").open("a") as file:
        file.write(settings)
    subprocess.run(
        ["git", "apply", "--unidiff-zero", "-p1", "-"], input=diff.encode(), cwd=folder, check=True, timeout=60
    )
    added = [line for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++")]
    return len(added) + len([line for line in settings.splitlines() if line.strip()])


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
    guarded: Bucketed,
    kind: str,
    sockets: Path,
    *,
    web_workers: int = 2,
    web_threads: int = 32,
    uploads_of_one: int = 300,
    service: bool = True,
    **tables: Any,
) -> Iterator[Example]:
    """Set a platform up over a bucket, and run its pages and our service for the time of a block."""
    usual = {"emergency_reserve": 0, "socket": str(sockets / "guard.sock"), "client_share": "100%"}
    admission = usual | tables.pop("admission", {})
    guarded.write(admission=admission, **tables)
    assert guarded("init").exit_code == 0
    operator = {"endpoint": guarded.server.endpoint.removeprefix("http://"), "bucket": guarded.bucket}
    operator |= {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    (guarded.folder / "example.json").write_text(json.dumps(operator))
    example = Example(guarded, kind, sockets / "guard.sock", uploads_of_one)
    changed_platform(guarded.folder / "platform")
    (guarded.folder / "shop").mkdir()
    if _AS_PLATFORM:
        for place in (guarded.folder, *guarded.folder.glob("platform.db*")):
            os.chown(place, _PLATFORM, _PLATFORM)
    example.manage("migrate", "--run-syncdb", "--verbosity", "0")
    argv = [*_FOR_THE_GROUP, *guarded.argv("serve")]
    with (
        running_service(guarded, sockets / "guard.sock", argv=argv) if service else nullcontext(),
        example.web(web_workers, web_threads),
    ):
        yield example
