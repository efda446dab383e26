"""A real PostgreSQL of the test's own: a cluster in a folder, on a loopback port."""

import os
import pwd
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.parts.ports import free_port
from tests.parts.processes import running, wait_until_answers

_PASSWORD = "exodus-postgresql-0123456789"  # noqa: S105 - of a cluster that lives as long as the tests


@dataclass(frozen=True)
class Postgresql:
    """A cluster with one superuser, who needs a password."""

    port: int
    folder: Path
    password: str = _PASSWORD

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://exodus:{self.password}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """Make a database that is nobody else's; give its URL."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def argv(self, *, durable: bool) -> list[str]:
        program = _program("postgres")
        options = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": ""}
        options |= {"fsync": "on" if durable else "off", "max_connections": "200"}
        return _as_postgres([program, "-D", str(self.folder / "data"), *(f"--{k}={v}" for k, v in options.items())])


def make_cluster(folder: Path) -> Postgresql:
    """Make a cluster; PostgreSQL refuses to be run by root, so then its folder is the user postgres'."""
    folder.mkdir(parents=True, exist_ok=True)
    password = folder / "password"
    password.write_text(_PASSWORD)
    if os.geteuid() == 0:
        for place in (folder, password):
            shutil.chown(place, "postgres", "postgres")
        for above in folder.parents:  # pytest keeps its folders to their owner
            if above.stat().st_uid == 0 and above != Path("/"):
                above.chmod(above.stat().st_mode | 0o011)
    argv = [_program("initdb"), "-D", str(folder / "data"), "-U", "exodus", "-A", "scram-sha-256", "-E", "UTF8"]
    argv += ["--no-sync", f"--pwfile={password}"]
    done = subprocess.run(_as_postgres(argv), capture_output=True, text=True, check=False, timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr
    return Postgresql(free_port(), folder)


@contextmanager
def running_postgresql(cluster: Postgresql, *, durable: bool = False) -> Iterator[Postgresql]:
    """Run a cluster for the time of a block; it may be run again. Only a `durable` one waits for the disk."""
    log = cluster.folder.parent / f"{cluster.folder.name}.log"
    with running(
        cluster.argv(durable=durable), env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, log=log
    ) as process:
        wait_until_answers(process, lambda: _asked(cluster), log)
        try:
            yield cluster
        finally:
            process.send_signal(signal.SIGINT)  # ends its clients' sessions; SIGTERM waits for them


def _asked(cluster: Postgresql) -> None:
    try:
        psycopg.connect(cluster.url(), connect_timeout=2).close()
    except psycopg.OperationalError as error:
        raise OSError(str(error)) from error


def _program(name: str) -> str:
    """Name a program of the newest PostgreSQL there is: Debian keeps them out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    assert found, f"there is no {name} of PostgreSQL: packaging/provision installs it"
    return str(found[-1])


def _as_postgres(argv: Sequence[str]) -> list[str]:
    if os.geteuid() != 0:
        return list(argv)
    user = pwd.getpwnam("postgres")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--", *argv]
