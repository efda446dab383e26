"""The apt repository that packaging/apt-repository makes, read by apt itself; the packages in it are small ones."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.parts.command import ROOT

SUITES = ("bookworm", "trixie")
MAKER = "Operator <operator@apt.example>"
_CONTROL = "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: {}\nDescription: built for {}\n"


@pytest.fixture(scope="module")
def keys() -> Iterator[dict[str, str]]:
    """Give the environment of an operator whose gpg has a key; its path is short, for gpg-agent's socket is in it."""
    with TemporaryDirectory(prefix="gpg-") as home:
        environment = {**os.environ, "GNUPGHOME": home, "LC_ALL": "C.UTF-8"}
        make_key(environment, MAKER)
        yield environment
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=True)


def make_key(environment: dict[str, str], user: str) -> None:
    argv = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", user, "ed25519", "sign", "never"]
    subprocess.run(argv, env=environment, check=True, timeout=60)


@dataclass(frozen=True)
class Checkout:
    """As much of a checkout as makes a repository: the command, and what it finds as built."""

    place: Path
    environment: dict[str, str]

    def build(self, suite: str, name: str, version: str, architecture: str = "all", *, maker: str = MAKER) -> Path:
        tree, folder = self.place / "tree", self.place / "build/deb" / suite
        shutil.rmtree(tree, ignore_errors=True)
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(_CONTROL.format(name, version, architecture, maker, suite))
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}_{version}_{architecture}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, file], check=True, capture_output=True)
        return file

    def built(self, version: str) -> None:
        """Leave behind what `make deb` does: the packages of one version, and no others."""
        shutil.rmtree(self.place / "build/deb", ignore_errors=True)
        for suite in SUITES:
            self.build(suite, "exodus-common", version)
            self.build(suite, "exodus-storage-guard", version, "amd64")

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        argv = [str(self.place / "packaging/apt-repository"), *arguments]
        return subprocess.run(
            argv,
            env=self.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )

    def publish(self, key: str = MAKER) -> str:
        done = self.run(key)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def repository(self) -> Path:
        return self.place / "build/apt"

    def files(self) -> dict[str, tuple[int, bytes]]:
        found = (one for one in self.repository.rglob("*") if one.is_file())
        return {str(one.relative_to(self.repository)): (one.stat().st_mtime_ns, one.read_bytes()) for one in found}


@pytest.fixture
def checkout(tmp_path: Path, keys: dict[str, str]) -> Checkout:
    (tmp_path / "checkout/packaging").mkdir(parents=True)
    shutil.copy(ROOT / "packaging/apt-repository", tmp_path / "checkout/packaging")
    return Checkout(tmp_path / "checkout", keys)


@dataclass(frozen=True)
class Machine:
    """An apt with folders of its own, which knows one source, and installs nothing."""

    place: Path

    def configure(self, entry: str) -> "Machine":
        for folder in ("state/lists/partial", "cache/archives/partial", "etc/sources.list.d", "nothing", "log"):
            (self.place / folder).mkdir(parents=True, exist_ok=True)
        (self.place / "state/status").touch()
        (self.place / "etc/sources.list.d/exodus-certbot.sources").write_text(entry)
        settings = {
            "Dir::Etc": f"{self.place}/etc",
            "Dir::Etc::trustedparts": f"{self.place}/nothing",
            "Dir::Etc::trusted": "/dev/null",
            "Dir::State": f"{self.place}/state",
            "Dir::State::status": f"{self.place}/state/status",
            "Dir::Cache": f"{self.place}/cache",
            "Dir::Log": f"{self.place}/log",
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "root",  # another user could not read a test's folder
            "APT::Update::Error-Mode": "any",
        }
        (self.place / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
        return self

    def apt_get(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "APT_CONFIG": str(self.place / "apt.conf"), "LC_ALL": "C.UTF-8"}
        argv = ["apt-get", *arguments]
        done = subprocess.run(
            argv, env=environment, cwd=self.place, capture_output=True, text=True, timeout=60, check=False
        )
        print(done.stdout, done.stderr)
        return done

    def update(self) -> "subprocess.CompletedProcess[str]":
        return self.apt_get("update")

    def download(self, package: str) -> "subprocess.CompletedProcess[str]":
        return self.apt_get("download", package)


def machine(checkout: Checkout, said: str, suite: str = "bookworm", *, key: Path | None = None) -> Machine:
    """Configure a machine with the entry that was printed, except for where the key has been put, and the suite."""
    entry = said[said.index("Types: ") :]
    key = key or checkout.repository / "exodus-certbot.asc"
    entry = entry.replace("/etc/apt/keyrings/exodus-certbot.asc", str(key)).replace("bookworm", suite)
    return Machine(checkout.place / f"machine-{suite}").configure(entry)


@pytest.mark.parametrize("suite", SUITES)
def test_apt_takes_the_packages_of_its_suite(checkout: Checkout, suite: str) -> None:
    checkout.built("1.0.0")
    here = machine(checkout, checkout.publish(), suite)

    assert here.update().returncode == 0
    for name in ("exodus-common_1.0.0_all", "exodus-storage-guard_1.0.0_amd64"):
        assert here.download(name.split("_", maxsplit=1)[0]).returncode == 0
        assert (here.place / f"{name}.deb").read_bytes() == (
            checkout.place / f"build/deb/{suite}/{name}.deb"
        ).read_bytes()


def test_apt_refuses_what_another_key_has_signed(checkout: Checkout, tmp_path: Path) -> None:
    checkout.built("1.0.0")
    said, other = checkout.publish(), tmp_path / "other.asc"
    with TemporaryDirectory(prefix="gpg-") as home:
        environment = {**checkout.environment, "GNUPGHOME": home}
        make_key(environment, MAKER)
        subprocess.run(["gpg", "--armor", "--output", other, "--export"], env=environment, check=True)
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=True)
    here = machine(checkout, said, key=other)

    done = here.update()

    assert done.returncode != 0
    assert "is not signed" in done.stderr
    assert here.download("exodus-common").returncode != 0


def test_apt_refuses_a_list_that_was_changed_after_signing(checkout: Checkout) -> None:
    checkout.built("1.0.0")
    here = machine(checkout, checkout.publish())
    for file in checkout.repository.glob("dists/bookworm/main/binary-all/Packages*"):
        file.write_bytes(file.read_bytes().replace(b"1.0.0", b"1.0.1") + b"\n")

    done = here.update()

    assert done.returncode != 0
    assert "unexpected size" in done.stderr or "Hash Sum mismatch" in done.stderr


def test_apt_refuses_a_package_that_was_changed_after_signing(checkout: Checkout) -> None:
    checkout.built("1.0.0")
    here = machine(checkout, checkout.publish())
    assert here.update().returncode == 0
    file = checkout.repository / "pool/bookworm/exodus-common_1.0.0_all.deb"
    file.write_bytes(file.read_bytes()[:-1] + b"x")

    assert here.download("exodus-common").returncode != 0
    assert here.download("exodus-storage-guard").returncode == 0


def test_each_version_that_was_there_stays_and_the_newest_is_taken(checkout: Checkout) -> None:
    for version in ("1.0.0", "1.1.0"):
        checkout.built(version)
        checkout.publish()
    here = machine(checkout, checkout.publish())

    assert here.update().returncode == 0
    assert here.download("exodus-common").returncode == 0
    assert sorted(one.name for one in here.place.glob("*.deb")) == ["exodus-common_1.1.0_all.deb"]
    assert here.download("exodus-common=1.0.0").returncode == 0


def test_run_twice_it_changes_nothing(checkout: Checkout) -> None:
    checkout.built("1.0.0")
    checkout.publish()
    before = checkout.files()

    said = checkout.publish()

    assert checkout.files() == before
    assert said.count("nothing new for") == len(SUITES)


@pytest.mark.parametrize("lost", ["InRelease", "Release.gpg", "main/binary-all/Packages.gz"])
def test_what_was_lost_is_made_again(checkout: Checkout, lost: str) -> None:
    checkout.built("1.0.0")
    said = checkout.publish()
    (checkout.repository / "dists/bookworm" / lost).unlink()

    checkout.publish()

    assert (checkout.repository / "dists/bookworm" / lost).exists()
    assert machine(checkout, said).update().returncode == 0


def test_signed_with_another_key_it_says_that_machines_need_it(checkout: Checkout) -> None:
    checkout.built("1.0.0")
    checkout.publish()
    make_key(checkout.environment, "next@apt.example")

    said = checkout.publish("next@apt.example")

    assert "machines that have the old one need the new one" in said
    assert machine(checkout, said).update().returncode == 0


def refused(checkout: Checkout, *arguments: str) -> str:
    before = checkout.files()
    done = checkout.run(*arguments)
    assert done.returncode == 1
    assert checkout.files() == before
    failed, what_next = done.stderr.splitlines()[-2:]
    assert failed.startswith("packaging/apt-repository: FAILED: ")
    return f"{failed}\n{what_next.removeprefix('packaging/apt-repository: next: ')}"


def test_without_a_key_it_says_what_to_do(checkout: Checkout) -> None:
    checkout.built("1.0.0")

    assert refused(checkout, "").splitlines()[1].startswith("make apt-repository KEY=FINGERPRINT")
    assert "has no secret key nobody@" in refused(checkout, "nobody@apt.example")


def test_a_name_of_two_keys_is_refused_and_both_fingerprints_are_named(checkout: Checkout) -> None:
    checkout.built("1.0.0")
    for user in ("a@twins.example", "b@twins.example"):
        make_key(checkout.environment, user)

    said = refused(checkout, "twins.example")

    assert "more than one key" in said
    one, other = said.split()[-2:]
    assert len(one) == len(other) == 40
    assert checkout.run(one).returncode == 0


def test_a_key_that_has_expired_is_refused(checkout: Checkout) -> None:
    checkout.built("1.0.0")
    argv = ["gpg", "--batch", "--quiet", "--passphrase", "", "--faked-system-time", "20200101T000000"]
    argv += ["--quick-generate-key", "old@apt.example", "ed25519", "sign", "1d"]
    subprocess.run(argv, env=checkout.environment, check=True)

    assert "has expired" in refused(checkout, "old@apt.example")


def test_without_packages_it_says_what_builds_them(checkout: Checkout) -> None:
    assert refused(checkout, MAKER).endswith("make deb SUITES=bookworm")

    checkout.build("bookworm", "exodus-common", "1.0.0")

    assert refused(checkout, MAKER).endswith("make deb SUITES=trixie")
    assert checkout.run(MAKER, "bookworm").returncode == 0


def test_a_version_that_is_there_is_not_replaced_by_another_content(checkout: Checkout) -> None:
    checkout.built("1.0.0")
    checkout.publish()
    checkout.build("trixie", "exodus-common", "1.0.0", maker="Somebody else <other@apt.example>")

    assert "with another content" in refused(checkout, MAKER)


def test_a_package_that_is_no_longer_what_was_signed_is_not_signed_again(checkout: Checkout) -> None:
    checkout.built("1.0.0")
    checkout.publish()
    checkout.built("1.1.0")
    old = checkout.repository / "pool/bookworm/exodus-common_1.0.0_all.deb"
    old.write_bytes(old.read_bytes()[:-1])

    said = refused(checkout, MAKER)

    assert "is no longer what was signed" in said
    old.unlink()
    assert checkout.run(MAKER).returncode == 0
