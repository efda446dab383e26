"""The Debian packages, built by packaging/debs, in really booted Debians that have nothing else of ours."""

import fcntl
import hashlib
import os
import platform
import shutil
import sqlite3
import subprocess
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from exodus_common import __version__
from exodus_storage_guard.state.sqlite import SqliteCatalogue
from tests.contracts.test_schema import of_version
from tests.parts.booted import Debian, debian, why_none_boots
from tests.parts.command import ROOT

OURS = platform.freedesktop_os_release()["VERSION_CODENAME"]
# `make test` tries those of the Debian that it runs on; the other one, and what takes longer, is for `make test-all`.
SUITES = [pytest.param(suite, marks=() if suite == OURS else pytest.mark.full) for suite in ("bookworm", "trixie")]
# As an operator's machine has it before; what ours need apt finds.
FRESH = ("systemd", "systemd-sysv", "dbus", "man-db")
EARLIER = "0.0.1"
LIFE, FAR = ROOT / "tests/packages/life.sh", ROOT / "tests/packages/far.sh"
SCRIPTS = ROOT / "packaging/debian/tests"
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(why_none_boots()), reason=why_none_boots()),
]


def packages(suite: str, *names: str) -> list[Path]:
    """Give the packages as the tree makes them now; whoever comes first builds them."""
    (ROOT / "build/deb").mkdir(parents=True, exist_ok=True)
    with (ROOT / "build/deb" / f"{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built, made_of = ROOT / "build/deb" / suite, ROOT / "build/deb" / f"{suite}.made-of"
        tree = _tree()
        if not (made_of.exists() and made_of.read_text() == tree):
            subprocess.run([ROOT / "packaging/debs", suite], check=True, timeout=900)
            made_of.write_text(tree)
    return [next(built.glob(f"{name}_{__version__}_*.deb")) for name in names]


def _tree() -> str:
    """Name what packages are made of: what git knows, as it is in the tree."""
    argv = ["git", "ls-files", "-z", "--", ".", ":!tests"]  # no part of a package
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout
    digest = hashlib.sha256()
    for name in listed.rstrip(b"\0").split(b"\0"):
        file = ROOT / os.fsdecode(name)
        digest.update(name + (file.read_bytes() if file.is_file() else b""))
    return digest.hexdigest()


@pytest.fixture(params=SUITES)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Debian, str]:
    return debian(tmp_path / "machine", request.param, FRESH), request.param


def said_by(machine: Debian, name: str) -> str:
    """Boot, and run one of the scripts that autopkgtest runs; tell what it said, and whether it came to its end."""
    script = f"if bash -x /root/{name}; then echo IT WORKS; fi\n"
    machine.path(f"/root/{name}").write_text((SCRIPTS / name).read_text())
    return machine.boot(script, timeout_seconds=200, with_project=False)


def test_the_certificate_half_works_as_it_is_installed(machine: tuple[Debian, str]) -> None:
    fresh, suite = machine
    fresh.install(*packages(suite, "exodus-common", "exodus-certbot"), "nginx", "openssl")

    said = said_by(fresh, "certificates")

    assert "IT WORKS" in said, said


@pytest.mark.full
def test_the_distributions_certbot_issues_and_renews_and_the_proof_is_its_units(machine: tuple[Debian, str]) -> None:
    fresh, suite = machine
    fresh.install(*packages(suite, "exodus-common", "exodus-certbot"), "nginx", "openssl")
    shutil.copy(ROOT / ".go/bin/pebble", fresh.path("/usr/local/bin/pebble"))

    said = said_by(fresh, "renewal")

    assert "IT WORKS" in said, said


def test_the_guard_works_with_one_short_settings_file(machine: tuple[Debian, str]) -> None:
    fresh, suite = machine
    fresh.install(*packages(suite, "exodus-common", "exodus-storage-guard"))

    said = said_by(fresh, "storage")

    assert "IT WORKS" in said, said


def older(package: Path, folder: Path) -> Path:
    """Make of a package one of an earlier version, with the same content."""
    raw = folder / package.stem
    subprocess.run(["dpkg-deb", "--raw-extract", package, raw], check=True, timeout=60)
    for name in ("control", "preinst"):
        script = raw / "DEBIAN" / name
        if script.exists():
            script.write_text(script.read_text().replace(__version__, EARLIER))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", raw, folder], check=True, timeout=60)
    shutil.rmtree(raw)
    return next(folder.glob(f"{package.name.split('_')[0]}_{EARLIER}_*.deb"))


@pytest.mark.full
def test_the_guard_sweeps_from_minio_to_a_machine_behind_ssh_by_its_timer(machine: tuple[Debian, str]) -> None:
    fresh, suite = machine
    fresh.install(*packages(suite, "exodus-common", "exodus-storage-guard"), "openssh-server", "openssh-client")
    for name in ("minio", "mc"):
        shutil.copy(ROOT / ".go/bin" / name, fresh.path(f"/usr/local/bin/{name}"))
    fresh.path("/root/far").write_text(FAR.read_text())

    said = fresh.boot("if bash -x /root/far; then echo IT WORKS; fi\n", timeout_seconds=200, with_project=False)

    assert "IT WORKS" in said, said


@pytest.mark.full
def test_from_installation_to_purge_nothing_of_the_operators_is_lost_and_nothing_of_ours_left(
    machine: tuple[Debian, str], tmp_path: Path
) -> None:
    fresh, suite = machine
    new = packages(suite, "exodus-common", "exodus-certbot", "exodus-storage-guard")
    (tmp_path / "old").mkdir()
    old = [older(package, tmp_path / "old") for package in new]
    fresh.install(*old, "nginx", "openssl")
    for name, ones in (("old", old), ("new", new)):
        for file in ones:
            shutil.copy(file, fresh.path(f"/root/{name}/{file.name}"))
    file = fresh.path("/root/old.db")
    with closing(sqlite3.connect(file)) as connection:
        of_version(("sqlite", partial(SqliteCatalogue, file), connection.executescript), 2)
    fresh.path("/root/life").write_text(LIFE.read_text().replace("VERSION\n", f"{__version__}\n"))

    said = fresh.boot("if bash -x /root/life; then echo IT WORKS; fi\n", timeout_seconds=300, with_project=False)

    assert "IT WORKS" in said, said


@pytest.mark.full
@pytest.mark.parametrize("suite", SUITES)
def test_two_builds_are_the_same(suite: str, tmp_path: Path) -> None:
    ours = packages(suite, "exodus-common", "exodus-certbot", "exodus-storage-guard")
    once = {file.name: file.read_bytes() for file in ours}

    subprocess.run([ROOT / "packaging/debs", suite], env=os.environ | {"DEBS": str(tmp_path)}, check=True, timeout=600)

    assert {file.name: file.read_bytes() for file in (tmp_path / suite).glob("*.deb")} == once
