"""Servers that many tests share: started when the first asks, ended after the last."""

import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.parts.postgresql import Postgresql, make_cluster, running_postgresql
from tests.parts.s3 import S3Server, running_minio, running_versitygw
from tests.parts.sshd import Sshd, running_sshd

# Under nohup, or in a shell's background, every program that a test starts would ignore them as well.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Give a MinIO; each test makes a bucket of its own."""
    with running_minio(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Give a versitygw over a folder; each test makes a bucket of its own."""
    with running_versitygw(tmp_path_factory.mktemp("versitygw")) as server:
        yield server


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Give an sshd that lets the settings' key in."""
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgresql]:
    """Give a PostgreSQL; each test makes a database of its own."""
    # Not in pytest's folder, which another pytest that begins closes to everybody but root.
    with (
        TemporaryDirectory(prefix="exodus-postgresql-") as folder,
        running_postgresql(make_cluster(Path(folder) / "cluster")) as cluster,
    ):
        yield cluster
