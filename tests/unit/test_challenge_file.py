"""A challenge is put into a webroot whoever else may write there, and nothing else is touched for it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from exodus_certbot.acme.challenge_file import LinkOfOthers, placed
from exodus_common.errors import ExodusError

OURS = frozenset({0, os.geteuid()})
NOBODY = frozenset[int]()  # as if whoever runs the test were somebody else than who runs the command
FOLDER = ".well-known/acme-challenge"


def everything_in(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    found = {str(path): path.lstat() for path in (folder, *folder.rglob("*"))}
    return {path: (of.st_mode, of.st_ino, of.st_size, of.st_mtime_ns) for path, of in found.items()}


@pytest.fixture
def webroot(tmp_path: Path) -> Path:
    folder = tmp_path / "webroot"
    folder.mkdir()
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    (folder / "acme-challenge").mkdir(parents=True)
    (folder / "acme-challenge/secret").write_text("secret")
    (folder / "acme-challenge/secret").chmod(0o600)
    return folder


def test_a_challenge_and_its_folders_can_be_read_by_all_and_go_again(webroot: Path) -> None:
    before = os.umask(0o077)
    try:
        with placed(webroot / FOLDER, "token", "content", OURS):
            file = webroot / FOLDER / "token"
            modes = [path.stat().st_mode & 0o777 for path in (file, file.parent, file.parent.parent)]
            read = file.read_text()
    finally:
        mask_after = os.umask(before)

    assert (read, modes, mask_after) == ("content", [0o644, 0o755, 0o755], 0o077)
    assert list(webroot.iterdir()) == []


def test_folders_that_were_there_stay_as_they_were(webroot: Path) -> None:
    (webroot / FOLDER).mkdir(parents=True)
    (webroot / ".well-known").chmod(0o711)
    (webroot / FOLDER / "other").write_text("other's")
    before = everything_in(webroot)

    with placed(webroot / FOLDER, "token", "content", OURS):
        pass

    after = everything_in(webroot)
    assert {path: found[:3] for path, found in after.items()} == {path: found[:3] for path, found in before.items()}


def test_a_folder_that_somebody_else_uses_meanwhile_stays(webroot: Path) -> None:
    with placed(webroot / FOLDER, "token", "content", OURS):
        (webroot / FOLDER / "theirs").touch()

    assert [path.name for path in (webroot / FOLDER).iterdir()] == ["theirs"]


@pytest.mark.parametrize("link", [".well-known", FOLDER])
def test_a_link_of_others_is_not_followed(link: str, webroot: Path, elsewhere: Path) -> None:
    (webroot / link).parent.mkdir(exist_ok=True)
    (webroot / link).symlink_to(elsewhere / ("acme-challenge" if link == FOLDER else ""))
    before = everything_in(elsewhere)

    with pytest.raises(LinkOfOthers, match=f"{webroot / link} is a link that others"):
        placed(webroot / FOLDER, "token", "content", NOBODY).__enter__()

    assert everything_in(elsewhere) == before
    assert (webroot / link).is_symlink()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757])
def test_a_link_where_everybody_may_change_it_is_not_followed(mode: int, webroot: Path, elsewhere: Path) -> None:
    (webroot / ".well-known").symlink_to(elsewhere)
    webroot.chmod(mode)

    with pytest.raises(LinkOfOthers):
        placed(webroot / FOLDER, "token", "content", OURS).__enter__()


@pytest.mark.parametrize("relative", [False, True])
def test_a_link_that_only_we_can_change_is_followed_as_certbot_and_nginx_do(
    relative: bool, webroot: Path, elsewhere: Path
) -> None:
    (webroot / ".well-known").symlink_to("../elsewhere" if relative else elsewhere)

    with placed(webroot / FOLDER, "token", "content", OURS):
        assert (elsewhere / "acme-challenge/token").read_text() == "content"

    assert [path.name for path in (elsewhere / "acme-challenge").iterdir()] == ["secret"]


def test_a_circle_of_links_ends(webroot: Path) -> None:
    (webroot / ".well-known").symlink_to(webroot / ".well-known")

    with pytest.raises(ExodusError):
        placed(webroot / FOLDER, "token", "content", OURS).__enter__()


def test_a_file_of_that_name_is_neither_written_nor_removed(webroot: Path, elsewhere: Path) -> None:
    (webroot / FOLDER).mkdir(parents=True)
    (webroot / FOLDER / "token").symlink_to(elsewhere / "acme-challenge/secret")

    with pytest.raises(ExodusError, match="File exists"):
        placed(webroot / FOLDER, "token", "content", OURS).__enter__()

    assert (webroot / FOLDER / "token").is_symlink()
    assert (elsewhere / "acme-challenge/secret").read_text() == "secret"


def test_a_file_where_a_folder_should_be_is_said(webroot: Path) -> None:
    (webroot / ".well-known").touch()

    with pytest.raises(ExodusError, match="Not a directory"):
        placed(webroot / FOLDER, "token", "content", OURS).__enter__()


def test_an_error_of_what_is_done_meanwhile_is_not_called_one_of_the_webroot(webroot: Path) -> None:
    with pytest.raises(ConnectionError), placed(webroot / FOLDER, "token", "content", OURS):
        raise ConnectionError

    assert list(webroot.iterdir()) == []


CALLS = ("open", "mkdir", "stat", "readlink", "unlink", "rmdir")


@contextmanager
def swapped_before_call(moment: int, place: Path, target: Path) -> Iterator[list[str]]:
    """Put a link to the target in a folder's place just before one of the calls that go to the disk; give the calls."""
    made: list[str] = []

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            made.append(name)
            if len(made) == moment:
                if place.exists():
                    place.rename(place.with_name("aside"))
                place.symlink_to(target)
            return real(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patched:
        for name in CALLS:
            patched.setattr(f"exodus_certbot.acme.challenge_file.os.{name}", counted(name, getattr(os, name)))
        yield made


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("swapped", [".well-known", FOLDER])
def test_who_puts_a_link_in_a_folders_place_has_us_touch_nothing_elsewhere_at_any_moment(
    swapped: str, is_there: bool, tmp_path: Path, elsewhere: Path
) -> None:
    target, outcomes = elsewhere if swapped != FOLDER else elsewhere / "acme-challenge", set[str]()
    before, calls = everything_in(elsewhere), list[str]()
    for moment in range(1, 100):
        webroot = tmp_path / f"webroot{moment}"
        (webroot / FOLDER if is_there else webroot / ".well-known").mkdir(parents=True)
        try:
            with (
                swapped_before_call(moment, webroot / swapped, target) as calls,
                placed(webroot / FOLDER, "secret", "content", NOBODY),
            ):
                outcomes.add("placed")
        except ExodusError as error:
            outcomes.add(type(error).__name__)
        if len(calls) < moment:
            break
    else:
        pytest.fail("there is no end of calls")

    assert everything_in(elsewhere) == before
    assert outcomes >= {"placed", "LinkOfOthers"}
