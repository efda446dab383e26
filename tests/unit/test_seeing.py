"""What may not be seen, and what is no path, is not there: no text in a file of certbot's ends a run."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exodus_certbot.acme import challenge_file
from exodus_common import seeing
from exodus_common.errors import ExodusError

ROOT = Path(__file__).parents[2]
LOOKS = {"exists", "is_file", "is_dir", "is_symlink", "glob", "rglob"}

LONG = "/" + "x" * 300


def test_a_folder_that_is_no_path_takes_no_challenge() -> None:
    with (
        pytest.raises(ExodusError, match="cannot write a challenge"),
        challenge_file.placed(Path("/a\0b"), "x", "y", {0}),
    ):
        raise AssertionError("it was placed")


@pytest.mark.parametrize("path", ["/a\0b", LONG, "x" * 300, "/dev/null/x"])
def test_what_is_no_path_is_not_there(path: str) -> None:
    looks = (seeing.exists, seeing.is_file, seeing.is_folder, seeing.is_link)

    assert [look(path) for look in looks] == [False] * 4
    assert seeing.matches(Path(path), "*") == ()


def test_what_is_there_is_seen(tmp_path: Path) -> None:
    (tmp_path / "b.conf").touch()
    (tmp_path / "a.conf").symlink_to("b.conf")

    assert seeing.matches(tmp_path, "*.conf") == (tmp_path / "a.conf", tmp_path / "b.conf")
    assert [seeing.is_file(tmp_path / "a.conf"), seeing.is_link(tmp_path / "a.conf")] == [True, True]
    assert [seeing.is_folder(tmp_path), seeing.is_link(tmp_path), seeing.exists(tmp_path)] == [True, False, True]


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_what_is_in_a_folder_that_is_closed_is_not_there(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "renewal").mkdir(parents=True)
    (closed / "renewal/a.conf").touch()
    closed.chmod(0o700)
    ask = (
        "import os, sys; from pathlib import Path; from exodus_common import seeing; os.setuid(12345)\n"
        "folder = Path(sys.argv[1])\n"
        "print(seeing.exists(folder / 'renewal'), seeing.is_file(folder / 'renewal/a.conf'), "
        "seeing.is_folder(folder / 'renewal'), seeing.is_link(folder / 'x'), seeing.matches(folder / 'renewal', '*'))"
    )

    path = os.pathsep.join([str(ROOT), str(ROOT / "hooks")])
    answered = subprocess.run(
        [sys.executable, "-P", "-c", ask, str(closed)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )

    assert answered.stdout.split() == ["False", "False", "False", "False", "()"], answered.stderr


def looks_of_a_path(text: str) -> Iterator[str]:
    """Give the calls that ask a path itself; a constant of ours is no text of somebody's."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOOKS:
            asked = ast.unparse(node.func.value)
            if not asked.isupper() and asked not in ("_libc", "os.path", "seeing"):
                yield ast.unparse(node.func)


def test_nobody_asks_a_path_itself_whether_it_is_there() -> None:
    found = {
        str(file.relative_to(ROOT)): looks
        for file in sorted((ROOT / "exodus_certbot").rglob("*.py"))
        if (looks := list(looks_of_a_path(file.read_text())))
    }

    assert found == {}
    assert list(looks_of_a_path("Path(pid).exists() and folder.glob('*')")) == ["Path(pid).exists", "folder.glob"]
