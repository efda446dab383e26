"""The catalogue in PostgreSQL: for uploads and sweeps on several machines."""

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import make_conninfo

from exodus_common.errors import TryLater
from exodus_common.terminal import printable
from exodus_storage_guard.errors import NotInitialised, StateFailed
from exodus_storage_guard.state.database import FIRST, SCHEMA_VERSION, Session, Values, Writing, scripts
from exodus_storage_guard.state.rows import Row
from exodus_storage_guard.state.sql import SqlCatalogue

T = TypeVar("T")
_SCHEMA = "exodus_storage_guard"
_LOCKS = 0x65786F64  # the first of the two numbers of our advisory locks; the second says which
_CREATING = 3
_CONNECT_SECONDS = 10
_NAMED = re.compile(r":([a-z_]+)")
_OPTIONS = f"-c search_path={_SCHEMA} -c statement_timeout=600s -c lock_timeout=60s"
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
_RECORDED = "key BYTEA, created_at BIGINT, sha256 TEXT"
_LISTED = "key BYTEA, bytes BIGINT, etag TEXT, modified_at BIGINT"


class PostgresqlCatalogue(SqlCatalogue):
    """Keep the catalogue in a schema of its own of a PostgreSQL database."""

    def __init__(self, url: str, password: str | None = None) -> None:
        """Name the database; `create` makes the schema."""
        self.database = PostgresqlDatabase(url, password)
        super().__init__(self.database)


class PostgresqlDatabase:
    """Give each thread its connection: one survives neither a fork nor the use by two threads."""

    def __init__(self, url: str, password: str | None = None) -> None:
        """Name the database; nobody is asked before something is."""
        self._url, self._password = url, password
        self._local = threading.local()

    @property
    def now(self) -> str:
        """Give the SQL for this very moment in microseconds."""
        return "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"

    def create(self) -> None:
        """Make the schema and its tables where there are none."""
        with self._translated():
            connection = self._connected()
            with self._creating(connection):
                if connection.execute("SELECT to_regclass('schema_version')").fetchone() == (None,):
                    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}")
                    self._bring_up(connection, 0)
                else:
                    self._bring_up(connection, _version(connection))

    def _fit(self, connection: "psycopg.Connection[Row]") -> None:
        """See that the tables are those this program knows; older ones are brought up, newer ones refused."""
        if _version(connection) != SCHEMA_VERSION:
            with self._creating(connection):
                self._bring_up(connection, _version(connection))

    @contextmanager
    def _creating(self, connection: "psycopg.Connection[Row]") -> Iterator[None]:
        """Have a transaction in which nobody else makes or changes tables."""
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_LOCKS, _CREATING))
            yield

    def _bring_up(self, connection: "psycopg.Connection[Row]", version: int) -> None:
        """Make the tables, or make those of an older program what this one knows."""
        try:
            for script in scripts("postgresql", version):
                connection.execute(script.encode())
        except ValueError as error:
            raise StateFailed(f"the catalogue {self._shown}: {error}") from None
        connection.execute("DELETE FROM schema_version")
        connection.execute("INSERT INTO schema_version VALUES (%s)", (SCHEMA_VERSION,))

    def read(self, sql: str, values: Values = (), /) -> list[Row]:
        """Give all rows of a short question; one that a lost connection swallowed is asked again."""
        with self._translated():
            connection = self._get()
            try:
                return _Session(connection).execute(sql, values).fetchall()
            except psycopg.OperationalError:
                if not connection.broken or connection.info.transaction_status != psycopg.pq.TransactionStatus.UNKNOWN:
                    raise
            return _Session(self._get()).execute(sql, values).fetchall()

    def write(self, work: Callable[[Session], T], what: Writing = Writing.OBJECTS, /) -> T:
        """Do some work in one transaction, writers of its kind one after the other."""
        with self._translated(), self._begun(what) as connection:
            return work(_Session(connection))

    @contextmanager
    def _begun(self, what: Writing) -> Iterator["psycopg.Connection[Row]"]:
        """Begin anew where the connection was lost before; one that is lost later ends the work."""
        lasts = "on" if what is Writing.OBJECTS else "off"
        begin = f"BEGIN; SET LOCAL synchronous_commit = {lasts}; SELECT pg_advisory_xact_lock({_LOCKS}, {what.value})"
        connection = self._get()
        try:
            connection.execute(begin.encode())
        except psycopg.OperationalError:
            if not connection.broken:
                raise
            connection = self._get()
            connection.execute(begin.encode())
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK")
            raise

    @contextmanager
    def beside(self) -> Iterator[Session]:
        """Have temporary tables, which nobody else sees."""
        with self._translated():
            connection = self._get()
            tables = {
                "heard": _LISTED,
                "listed": f"{_LISTED}, PRIMARY KEY (key)",
                "recorded": _RECORDED,
                "differ": "key BYTEA PRIMARY KEY",
            }
            for name, columns in tables.items():
                connection.execute(f"CREATE TEMPORARY TABLE {name} ({columns})".encode())
            try:
                yield _Session(connection)
            finally:
                with suppress(psycopg.Error):
                    connection.execute("DROP TABLE heard, listed, recorded, differ")

    def write_records(self, session: Session, rows: Iterable[Row]) -> None:
        """Write rows down as they come."""
        connection = self._get()
        with connection.cursor().copy("COPY recorded FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["bytea", "int8", "text"])
            for row in rows:
                copy.write_row(row)
        connection.execute("""DELETE FROM recorded AS one USING recorded AS other WHERE one.key = other.key
            AND (one.created_at, one.ctid) > (other.created_at, other.ctid)""")
        connection.execute("CREATE INDEX ON recorded (key)")
        connection.execute("ANALYZE recorded")

    def write_listing(self, session: Session, rows: Iterable[Row]) -> None:
        """Write rows down as they come, then in the order of keys."""
        connection = self._get()
        with connection.cursor().copy("COPY heard FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["bytea", "int8", "text", "int8"])
            for row in rows:
                copy.write_row(row)
        connection.execute("INSERT INTO listed SELECT DISTINCT ON (key) * FROM heard ORDER BY key")
        connection.execute("TRUNCATE heard")
        connection.execute("ANALYZE listed")

    def close(self) -> None:
        """Close this thread's connection."""
        connection: psycopg.Connection[Row] | None = self._local.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def _get(self) -> "psycopg.Connection[Row]":
        """Give this thread's connection, to a catalogue that this program knows."""
        connection = self._connected()
        if not self._local.fits:
            self._fit(connection)
            self._local.fits = True
        return connection

    def _connected(self) -> "psycopg.Connection[Row]":
        mine: psycopg.Connection[Row] | None = self._local.__dict__.get("connection")
        if mine is None or mine.closed or self._local.pid != os.getpid():
            password = {} if self._password is None else {"password": self._password}
            whole = make_conninfo(
                self._url, connect_timeout=_CONNECT_SECONDS, application_name=_SCHEMA, **_KEEPALIVE, **password
            )
            mine = psycopg.connect(whole, autocommit=True, options=_OPTIONS)
            self._local.connection, self._local.pid, self._local.fits = mine, os.getpid(), False
        return mine

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn PostgreSQL's errors into ours; none of them repeats the password."""
        try:
            yield
        except psycopg.errors.UndefinedTable as error:
            raise NotInitialised(f"there is no catalogue in {self._shown}; {FIRST}") from error
        except psycopg.OperationalError as error:
            raise TryLater(f"the catalogue {self._shown} cannot be reached or is busy: {_said(error)}") from error
        except psycopg.Error as error:
            raise StateFailed(f"the catalogue {self._shown}: {_said(error)}") from error

    @property
    def _shown(self) -> str:
        parts = urlsplit(self._url)
        where = parts.netloc.rpartition("@")[2]
        return printable(f"postgresql://{where}{parts.path}")


class _Session:
    """Put the placeholders as psycopg wants them."""

    def __init__(self, connection: "psycopg.Connection[Row]") -> None:
        self._connection = connection

    def execute(self, sql: str, values: Values = (), /) -> "psycopg.Cursor[Row]":
        """Run one statement."""
        put = sql.replace("?", "%s") if isinstance(values, tuple) else _NAMED.sub(r"%(\1)s", sql)
        known: Any = values
        return self._connection.execute(put.encode(), known or None)


def _version(connection: "psycopg.Connection[Row]") -> int:
    found = connection.execute("SELECT version FROM schema_version").fetchone()
    return found[0] if found else 0


def _said(error: psycopg.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(" ".join(lines)[:300])
