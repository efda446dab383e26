"""The door to SQLite (WAL): connections, one a thread and process, and its errors in our words."""

import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from exodus_common.durable import sync_folder
from exodus_common.errors import TryLater
from exodus_common.terminal import printable
from exodus_storage_guard.batches import batches
from exodus_storage_guard.errors import NotInitialised, StateFailed
from exodus_storage_guard.state import folder
from exodus_storage_guard.state.database import FIRST, SCHEMA_VERSION, Session, Values, Writing, scripts
from exodus_storage_guard.state.rows import Row

T = TypeVar("T")
BUSY_SECONDS = 30.0
"""How long whoever has no hurry waits for others."""
_SIDES = ("-wal", "-shm")  # which SQLite keeps beside a database
_OPENED = (*_SIDES, "-journal")  # and whatever it would open or follow there
_NEW, _BALLAST = ".new", ".ballast"
_BALLAST_BYTES = 4 * 1024 * 1024
_BATCH = 5_000
_LOG_PAGES = 8_000
_RECORDED = "key BLOB, created_at INTEGER, sha256 TEXT"
_LISTED = "key BLOB, bytes INTEGER, etag TEXT, modified_at INTEGER"
_ANEW = "move it away, and have it made anew from the archive and the store: exodus-storage-guard rebuild"
_REMEDIES = {"readonly": "its user must be able to write it", "not a database": _ANEW, "malformed": _ANEW}
_LEFT_OVER_SECONDS = 86400
_NO_ROOM_BYTES = 1024 * 1024


class _Connection(sqlite3.Connection):
    """Is closed with the thread that opened it; Python 3.13 warns of one that is not."""

    def __del__(self) -> None:
        """Close it."""
        self.close()


class SqliteDatabase:
    """Give each thread its connection: a durable one, and one whose last commits a power cut may take back.

    SQLite's connections survive neither a fork nor the use by two threads.
    """

    def __init__(self, file: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        """Name the file, and how long others are waited for; nothing is opened before it is needed."""
        self.file, self._busy_seconds = file, busy_seconds
        self._local = threading.local()

    @property
    def ballast(self) -> Path:
        """Name the file that is given up when the disk is full, so that the catalogue can still be written."""
        return self.file.with_name(self.file.name + _BALLAST)

    def _beside(self, *ends: str) -> list[Path]:
        return [self.file.with_name(self.file.name + end) for end in ends]

    def get(self, *, durable: bool = True) -> sqlite3.Connection:
        """Give this thread's connection; raise `NotInitialised` where there is no catalogue."""
        mine: dict[tuple[int, bool], tuple[tuple[int, int], sqlite3.Connection]]
        mine = self._local.__dict__.setdefault("mine", {})
        which, there = (os.getpid(), durable), self._which_file()
        if which in mine and mine[which][0] != there:  # it was moved away, or made anew: what we have open is no more
            mine.pop(which)[1].close()
        if which not in mine:
            self._refuse_others()
            mine[which] = there, self._fit(self._open(durable=durable))
        return mine[which][1]

    def _fit(self, opened: sqlite3.Connection) -> sqlite3.Connection:
        """See that the tables are those this program knows; older ones are brought up, newer ones refused."""
        with self.translated():
            version = _version(opened)
            if version == 0:
                opened.close()
                raise NotInitialised(f"the catalogue {self._shown} is empty; {FIRST}")
            if version != SCHEMA_VERSION:
                self._bring_up(opened)
        return opened

    def _which_file(self) -> tuple[int, int]:
        try:
            found = self.file.lstat()
        except FileNotFoundError:
            raise NotInitialised(f"there is no catalogue {self._shown}; {FIRST}") from None
        except OSError as error:
            raise StateFailed(f"cannot open the catalogue {self._shown}: {error.strerror}") from error
        return found.st_dev, found.st_ino

    def _refuse_others(self) -> None:
        try:
            folder.refuse_others(self.file, [file.name for file in self._beside(*_OPENED)])
        except OSError as error:
            raise StateFailed(f"cannot open the catalogue {self._shown}: {error.strerror}") from error

    def close(self) -> None:
        """Close this thread's connections."""
        for _, connection in self._local.__dict__.pop("mine", {}).values():
            connection.close()

    def create(self) -> None:
        """Make the catalogue, for its owner alone, where there is none; one that others could write is made anew."""
        try:
            folder.make_private(self.file.parent, [self.file.name])
            folder.refuse_planted(self._beside(*_OPENED))
            folder.refuse_folders(self._beside(_NEW, _BALLAST))
            self._make_file()
        except OSError as error:
            raise StateFailed(f"cannot make the catalogue {self._shown}: {error.strerror}") from error
        with self.translated(), closing(self._open(durable=True)) as made:
            self._bring_up(made)
        self.load_ballast()

    def _make_file(self) -> None:
        """Make the file; one of a time when others could write here, who may have it open, is replaced by a copy."""
        self._remove_ballast_of_others()
        try:
            folder.make_file(self.file)
        except FileExistsError:
            if not folder.is_private(self.file):
                self._make_anew()

    def _remove_ballast_of_others(self) -> None:
        """Remove what is ours by its name alone, and was open to others: it is made anew."""
        with suppress(FileNotFoundError, StateFailed):
            if folder.is_private(self.ballast):
                return
        self.ballast.unlink(missing_ok=True)

    def _make_anew(self) -> None:
        (new,) = self._beside(_NEW)
        new.unlink(missing_ok=True)
        folder.make_file(new)
        with self.translated():
            with closing(sqlite3.connect(self.file, timeout=self._busy_seconds, isolation_level=None)) as old:
                old.execute("VACUUM INTO ?", (str(new),))
            # With the last connection SQLite removes them: somebody else has it open, and would go on writing to it.
            if any(side.exists() for side in self._beside(*_SIDES)):
                raise TryLater(f"the catalogue {self._shown} is open elsewhere: stop who uses it, and run init again")
        _sync(new)
        new.replace(self.file)
        sync_folder(self.file.parent)

    def _bring_up(self, made: sqlite3.Connection) -> None:
        """Make the tables, or make those of an older program what this one knows, in one transaction."""
        with self.transaction(made) as connection:
            version = _version(connection)
            try:
                for script in scripts("sqlite", version):
                    for statement in _statements(script):
                        connection.execute(statement)
            except ValueError as error:
                raise StateFailed(f"the catalogue {self._shown}: {error}") from None
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def load_ballast(self) -> None:
        """Write the ballast anew, where there is room for it."""
        with suppress(OSError):
            with suppress(FileNotFoundError):
                if self.ballast.lstat().st_size == _BALLAST_BYTES:
                    return
                self.ballast.unlink()
            folder.make_file(self.ballast)
            with self.ballast.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, _BALLAST_BYTES)

    @property
    def now(self) -> str:
        """Give the SQL for this very moment in microseconds."""
        return "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"

    def write(self, work: Callable[[Session], T], what: Writing = Writing.OBJECTS, /) -> T:
        """Do some work in one transaction."""
        durable = what is Writing.OBJECTS

        def transacted() -> T:
            with self.transaction(self.get(durable=durable)) as connection:
                return work(connection)

        return self.guarded(transacted)

    def read(self, sql: str, values: Values = (), /) -> list[Row]:
        """Give all rows of a short question."""
        return self.guarded(lambda: self.get(durable=False).execute(sql, values).fetchall())

    @contextmanager
    def beside(self) -> Iterator[Session]:
        """Attach a file that is gone when its last user is, beside the catalogue, whose disk is the one with room."""
        connection = self.get()
        self._remove_left_over()
        with tempfile.TemporaryDirectory(dir=self.file.parent, prefix=folder.LISTING) as place, self.translated():
            connection.execute("ATTACH DATABASE ? AS beside", (str(Path(place) / "listing.db"),))
            try:
                for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16000"):
                    connection.execute(f"PRAGMA beside.{pragma}")
                connection.execute(f"CREATE TABLE beside.heard ({_LISTED})")
                connection.execute(f"CREATE TABLE beside.listed ({_LISTED}, PRIMARY KEY (key)) WITHOUT ROWID")
                connection.execute(f"CREATE TABLE beside.recorded ({_RECORDED}, PRIMARY KEY (key)) WITHOUT ROWID")
                connection.execute("CREATE TABLE beside.differ (key BLOB PRIMARY KEY) WITHOUT ROWID")
                yield connection
            finally:
                connection.execute("DETACH DATABASE beside")

    def _remove_left_over(self) -> None:
        """Remove what runs left that were killed: no listing takes a day."""
        for place in self.file.parent.glob(f"{folder.LISTING}*"):
            with suppress(OSError):
                if time.time() - place.lstat().st_mtime > _LEFT_OVER_SECONDS and place.is_dir():
                    shutil.rmtree(place)

    def write_records(self, session: Session, rows: Iterable[Row]) -> None:
        """Write rows down as they come."""
        connection = self.get()
        insert = "INSERT INTO recorded VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET created_at = "
        insert += "min(created_at, excluded.created_at)"
        for batch in batches(rows, _BATCH):
            connection.execute("BEGIN")
            connection.executemany(insert, batch)
            connection.execute("COMMIT")

    def write_listing(self, session: Session, rows: Iterable[Row]) -> None:
        """Write rows down as they come, then in the order of keys."""
        connection = self.get()
        for batch in batches(rows, _BATCH):
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO heard VALUES (?, ?, ?, ?)", batch)
            connection.execute("COMMIT")
        connection.execute("INSERT OR REPLACE INTO listed SELECT * FROM heard ORDER BY key")
        connection.execute("DROP TABLE heard")

    def guarded(self, work: Callable[[], T]) -> T:
        """Do some work with SQLite's errors in our words; on a full disk make some room and do it again."""
        try:
            with self.translated():
                return work()
        except StateFailed as failure:
            if not (self._is_full(failure.__cause__) and (self._empty_log() or self._drop_ballast())):
                raise
        with self.translated():
            return work()

    def _is_full(self, error: BaseException | None) -> bool:
        """Tell a full disk, which SQLite calls an I/O error where it cannot make its shared memory larger."""
        if not isinstance(error, sqlite3.Error):
            return False
        return "full" in str(error) or ("disk I/O" in str(error) and _free_bytes(self.file.parent) < _NO_ROOM_BYTES)

    def _empty_log(self) -> bool:
        """Have what the log holds written where it belongs: the next commits need no larger one. False where it cannot.

        https://www.sqlite.org/pragma.html#pragma_wal_checkpoint
        """
        try:
            is_busy, pages, written = self.get().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except (sqlite3.Error, StateFailed):
            return False
        return not is_busy and pages == written > 0

    def _drop_ballast(self) -> bool:
        try:
            self.ballast.unlink()
        except OSError:
            return False
        return True

    @contextmanager
    def transaction(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        """Take the write lock at once: who reads first and writes later may find that somebody else was faster."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _open(self, *, durable: bool) -> sqlite3.Connection:
        with self.translated():
            connection = sqlite3.connect(
                self.file,
                timeout=self._busy_seconds,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=64,
                factory=_Connection,
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            # What makes room in the log is slow, and whoever writes just then waits for it: not every hundredth upload.
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            return connection

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except sqlite3.Error as error:
            if "locked" in str(error) or "busy" in str(error):
                raise TryLater(f"the catalogue {self._shown} stays locked by another process: {error}") from error
            hint = "free some space on its disk" if self._is_full(error) else ""
            hint = next((remedy for word, remedy in _REMEDIES.items() if word in str(error)), hint)
            raise StateFailed(f"the catalogue {self._shown}: {error}{hint and f'; {hint}'}") from error

    @property
    def _shown(self) -> str:
        return printable(str(self.file))


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _free_bytes(place: Path) -> int:
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _statements(script: str) -> Iterator[str]:
    """Split a script where SQLite says that a statement is complete."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
