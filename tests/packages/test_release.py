"""`make release` in a repository of its own; what it calls to build is played, for building takes minutes."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts.command import ROOT

DEBS = """#!/bin/sh
set -e
[ ! -e fails ] || { echo 'no space left' >&2; exit 1; }
for suite; do
  mkdir -p "build/deb/$suite"
  git describe --exact-match >"build/deb/$suite/exodus-common_1.1.0_all.deb"
  echo "$suite" >>"build/deb/$suite/exodus-common_1.1.0_all.deb"
done
"""
# `python -m build`: it has to be given the tree that is tagged, and no more.
BUILD = """
import pathlib, sys
_, _, outdir, tree = sys.argv
assert not (pathlib.Path(tree) / "ignored").exists()
assert '"1.1.0"' in (pathlib.Path(tree) / "hooks/exodus_common/__init__.py").read_text()
for name in ("exodus_certbot-1.1.0.tar.gz", "exodus_certbot-1.1.0-py3-none-any.whl"):
    (pathlib.Path(outdir) / name).write_text(name)
"""
CHANGES = "# Changelog\n\n## [Unreleased]\n\n- What is new.\n\n## [1.0.0] - 2026-12-01\n\n- All.\n"
DEBIAN = """exodus-certbot (1.0.0) unstable; urgency=medium

  * All.

 -- A <a@b.example>  Tue, 01 Dec 2026 10:00:00 +0000
"""


@dataclass(frozen=True)
class Repository:
    """A repository with all that a release touches."""

    place: Path
    environment: dict[str, str]

    def write(self, name: str, text: str) -> Path:
        file = self.place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def git(self, *arguments: str) -> str:
        argv = ["git", *arguments]
        done = subprocess.run(argv, cwd=self.place, env=self.environment, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "One more")

    def release(self, version: str = "1.1.0") -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, str(self.place / "packaging/release"), version]
        return subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=60, check=False)

    @property
    def state(self) -> tuple[str, str, str, str]:
        """Give all of git's that a release changes."""
        return (
            self.git("rev-parse", "HEAD"),
            self.git("tag"),
            self.git("status", "--porcelain"),
            self.git("stash", "list"),
        )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    play = tmp_path / "play"
    people = {f"GIT_{role}_{what}": "a@b.example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    settings = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "PYTHONPATH": str(play)}
    one = Repository(tmp_path / "repository", {**os.environ, **people, **settings, "PYTHONDONTWRITEBYTECODE": "1"})
    one.write("packaging/debian/changelog", DEBIAN)
    one.write("packaging/debs", DEBS).chmod(0o755)
    one.write("hooks/exodus_common/__init__.py", '"""A library."""\n\n__version__ = "1.0.0"\n')
    one.write("CHANGELOG.md", CHANGES)
    one.write(".gitignore", "/build/\n/ignored\n/fails\n")
    one.write("ignored", "")
    shutil.copy(ROOT / "packaging/release", one.place / "packaging/release")
    one.write("../play/build.py", BUILD)
    if os.geteuid() != 0:  # nothing that is played here needs it
        one.write("../play/sudo", '#!/bin/sh\nexec "$@"\n').chmod(0o755)
        one.environment["PATH"] = f"{play}:{os.environ['PATH']}"
    one.git("init", "--quiet", "--initial-branch", "main")
    one.commit()
    one.git("tag", "--annotate", "--message", "Release 1.0.0", "v1.0.0")
    return one


def test_a_release_is_one_commit_a_tag_and_what_was_built_of_it(repository: Repository) -> None:
    before = repository.git("rev-parse", "HEAD")

    done = repository.release()

    assert done.returncode == 0, done.stderr
    assert repository.git("log", "--format=%s", f"{before}..") == "Release 1.1.0"
    assert repository.git("cat-file", "-t", "v1.1.0") == "tag"
    assert repository.git("rev-parse", "v1.1.0^{commit}") == repository.git("rev-parse", "HEAD")
    assert set(repository.git("diff", "--name-only", before).splitlines()) == {
        "CHANGELOG.md",
        "hooks/exodus_common/__init__.py",
        "packaging/debian/changelog",
    }
    assert repository.git("status", "--porcelain") == ""
    assert (repository.place / "packaging/debian/changelog").read_text().startswith("exodus-certbot (1.1.0) ")


def test_packages_of_one_name_are_kept_apart_and_each_file_has_its_sum(repository: Repository) -> None:
    repository.write("build/deb/trixie/exodus-common_1.0.0_all.deb", "of an earlier version")
    assert repository.release().returncode == 0

    results = repository.place / "build/release/1.1.0"
    assert {str(one.relative_to(results)) for one in results.rglob("*") if one.is_file()} == {
        "SHA256SUMS",
        "bookworm/exodus-common_1.1.0_all.deb",
        "exodus_certbot-1.1.0-py3-none-any.whl",
        "exodus_certbot-1.1.0.tar.gz",
        "trixie/exodus-common_1.1.0_all.deb",
    }
    for suite in ("bookworm", "trixie"):
        assert (results / suite / "exodus-common_1.1.0_all.deb").read_text() == f"v1.1.0\n{suite}\n"
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=results, capture_output=True, check=True
    )
    assert checked.stdout.count(b": OK\n") == 4


def test_nothing_is_published_and_the_commands_that_would_are_told(repository: Repository, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "origin"], check=True)
    repository.git("remote", "add", "origin", str(tmp_path / "origin"))

    said = repository.release().stdout

    assert repository.git("ls-remote", "origin") == ""
    (push,) = [line.strip() for line in said.splitlines() if line.startswith("  git push ")]
    repository.git(*push.split()[1:])
    assert {line.split()[1] for line in repository.git("ls-remote", "origin").splitlines()} >= {
        "refs/heads/main",
        "refs/tags/v1.1.0",
    }


def refused(repository: Repository, version: str = "1.1.0") -> str:
    before = repository.state
    done = repository.release(version)
    assert done.returncode == 1
    assert repository.state == before
    assert not (repository.place / "build").exists()
    assert done.stderr.startswith("packaging/release: FAILED: ")
    assert "\npackaging/release: next: " in done.stderr
    return done.stderr


def test_what_is_no_release_is_refused_before_anything_is_changed(repository: Repository) -> None:
    assert "make release VERSION=X.Y.Z" in refused(repository, "")
    assert "1.0.0 is not newer than 1.0.0" in refused(repository, "1.0.0")
    assert "0.9.0 is not newer than 1.0.0" in refused(repository, "0.9.0")


@pytest.mark.parametrize("name", ["CHANGELOG.md", "exodus_certbot/new.py"])
def test_a_tree_that_is_not_as_it_is_committed_is_refused(repository: Repository, name: str) -> None:
    repository.write(name, "changed")

    assert "git stash" in refused(repository)


def test_another_branch_is_refused(repository: Repository) -> None:
    repository.git("switch", "--quiet", "--create", "other")
    assert "git switch main" in refused(repository)

    repository.git("switch", "--quiet", "--detach")
    assert "git switch main" in refused(repository)


def test_a_second_release_of_the_same_changes_is_refused(repository: Repository) -> None:
    assert repository.release().returncode == 0
    shutil.rmtree(repository.place / "build")

    assert "nothing under [Unreleased]" in refused(repository, "1.2.0")


def steps_back(repository: Repository, said: str) -> None:
    """Do what was told to be done."""
    told = said.split("packaging/release: next: ")[1].split(";")[0]
    subprocess.run(["sh", "-ec", told], cwd=repository.place, env=repository.environment, check=True)


def test_where_building_fails_it_tells_how_commit_and_tag_are_taken_back(repository: Repository) -> None:
    before = repository.state
    repository.write("fails", "")

    done = repository.release()

    assert done.returncode == 1
    assert "packaging/debs" in done.stderr
    assert repository.git("tag", "--list", "v1.1.0") == "v1.1.0"
    steps_back(repository, done.stderr)
    assert repository.state == before
    (repository.place / "fails").unlink()
    assert repository.release().returncode == 0


def test_where_a_suite_has_no_packages_of_the_version_it_fails(repository: Repository) -> None:
    repository.write("packaging/debs", "#!/bin/sh\n")
    repository.commit()

    said = repository.release().stderr

    assert "no packages of 1.1.0 in build/deb/bookworm" in said
    assert "git tag --delete v1.1.0 && git reset --keep " in said


def test_where_the_commit_fails_it_tells_how_the_files_are_taken_back(repository: Repository) -> None:
    before = repository.state
    hook = repository.write(".git/hooks/pre-commit", "#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)

    done = repository.release()

    assert done.returncode == 1
    assert repository.state != before
    steps_back(repository, done.stderr)
    assert repository.state == before
