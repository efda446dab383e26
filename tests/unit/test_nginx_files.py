"""Reading nginx's files without nginx: what an include means is compared with what `nginx -T` says of the same tree."""

import locale
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from exodus_certbot.nginx import files
from exodus_certbot.nginx.config import ConfigUnreadable, Directive
from tests.parts.nginx import NGINX

SEED, CASES = 2026, 150
MAIN = "pid FOLDER/pid; error_log stderr; events {}\n"
NAMES = ("a.conf", "b.conf", "B.conf", "aa.conf", ".hidden.conf", "c", "[x].conf", "a b.conf", "\u00e9.conf", "#d.conf")
PIECES = (
    "*",
    "?",
    "??",
    "*.conf",
    "[^.#]*",
    "[!a]*",
    "[a-b]*",
    "[[:alpha:]]*",
    ".*.conf",
    "a*",
    "\\[x]*",
    "[[]x*",
    "[]x]*",
)
FOLDERS = ("inc", "ind.d", "in.e", ".in")
BETWEEN = ("in*", "i?c", "inc", "./inc", "inc/../inc", "in[!.]*", "*", ".i*", "none")


def drawn_case(dice: random.Random, folder: Path) -> str:
    """Make folders with some files and give a pattern for it."""
    for inner in FOLDERS:
        (folder / inner).mkdir(parents=True)
        for name in dice.sample(NAMES, dice.randint(0, 5)):
            (folder / inner / name).write_text("# nothing\n")
    return folder.name + "/" + dice.choice(BETWEEN) + dice.choice(("/", "//")) + dice.choice(PIECES)


def quoted(pattern: str) -> str:
    return '"' + pattern.replace("\\", "\\\\") + '"'


def opened_by_nginx(main: Path) -> list[str]:
    done = subprocess.run([NGINX, "-T", "-q", "-c", str(main)], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    marks = [line for line in done.stdout.decode().splitlines() if line.startswith("# configuration file ")]
    return [mark.removeprefix("# configuration file ").removesuffix(":") for mark in marks]


@pytest.mark.parametrize("characters", ["C", "C.UTF-8"])
def test_an_include_means_the_files_that_nginx_opens_in_its_order(tmp_path: Path, characters: str) -> None:
    dice, before = random.Random(SEED), locale.setlocale(locale.LC_ALL)  # noqa: S311 - drawn input, no secret
    patterns = [drawn_case(dice, tmp_path / str(number)) for number in range(CASES)]
    main = tmp_path / "nginx.conf"
    main.write_text(MAIN.replace("FOLDER", str(tmp_path)) + "".join(f"include {quoted(one)};\n" for one in patterns))

    try:
        locale.setlocale(locale.LC_ALL, characters)
        found = [path for one in patterns for path in files.matches(f"{tmp_path}/{one}")]
    finally:
        locale.setlocale(locale.LC_ALL, before)

    assert list(dict.fromkeys([str(main), *found])) == opened_by_nginx(main)
    assert len(found) > CASES / 2
    assert files.read(str(main)).problems == ()


def names(tree: tuple[Directive, ...]) -> list[str]:
    return [name for one in tree for name in (one.name, *names(one.block or ()))]


def written(folder: Path, **texts: str) -> str:
    for name, text in texts.items():
        (folder / f"{name}.conf").write_text(text)
    return str(folder / "main.conf")


def test_includes_in_blocks_are_read_relative_to_the_main_file(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c/one.conf").write_text("server { include c/./two.x; }")
    (tmp_path / "c/two.x").write_text("listen 1;")
    main = written(tmp_path, main='http { "include" "c//*.conf"; } geo $a { include none; }')

    assert names(files.read(main).tree) == ["http", "server", "listen", "geo", "include"]
    assert files.read(main).problems == ()


def _make_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (lambda path: path.unlink(), "a file that is included cannot be read: No such file"),
        (lambda path: (path.unlink(), path.mkdir()), "a file that is included cannot be read: Is a directory"),
        (lambda path: path.write_text("a {"), 'unexpected end of file, "}" missing'),
        (_make_a_pipe, ""),
    ],
    ids=["missing", "a folder", "broken", "a pipe"],
)
def test_an_included_file_that_nginx_would_refuse_is_told_and_hides_no_other(
    broken: Callable[[Path], object], problem: str, tmp_path: Path
) -> None:
    main = written(tmp_path, main="a; include bad.conf; b; include good.conf;", bad="x;", good="c;")
    broken(tmp_path / "bad.conf")

    read = files.read(main)

    assert names(read.tree) == ["a", "b", "c"]
    assert [problem in str(one) for one in read.problems] == [True] * bool(problem)


def test_a_pattern_that_nothing_fits_is_no_problem_to_nginx_and_none_to_us(tmp_path: Path) -> None:
    assert files.read(written(tmp_path, main="a; include none/*.conf; include n*.conf;")).problems == ()


def test_a_main_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigUnreadable, match="cannot be read: No such file"):
        files.read(str(tmp_path / "none.conf"))


def test_directives_of_the_main_context_are_read_in_order_and_no_include_of_a_block(tmp_path: Path) -> None:
    main = written(
        tmp_path, main="a 1; include [b]*.conf; http { include none; } d 4;", b1="b 2;", b2="include b1.conf; c 3;"
    )

    assert [one.name for one in files.main_directives(main)] == ["a", "b", "c", "d"]
