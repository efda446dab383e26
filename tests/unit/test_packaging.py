"""What the Debian packages are made of, as far as it can be seen without building them (`make deb-test` does)."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from exodus_common import __version__
from exodus_common.settings import build
from tests.parts.command import ROOT
from tests.parts.scripts import loaded

PACKAGING = ROOT / "packaging"
DEBIAN = PACKAGING / "debian"
COMMANDS = ("exodus-certbot", "exodus-storage-guard")


@pytest.fixture(scope="module")
def manuals() -> ModuleType:
    return loaded("packaging/manuals")


def test_the_changelog_begins_with_the_version_that_there_is() -> None:
    assert (DEBIAN / "changelog").read_text().startswith(f"exodus-certbot ({__version__}) ")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_settings_is_valid_as_it_stands(name: str, manuals: ModuleType) -> None:
    text = "\n".join(manuals.example(name))

    assert build(manuals.SETTINGS[name], tomllib.loads(text), file=Path("example"))


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_commented_out_in_the_example_are_the_defaults(name: str, manuals: ModuleType) -> None:
    lines = list(manuals.example(name))
    cls: Any = manuals.SETTINGS[name]
    usual = build(cls, tomllib.loads("\n".join(lines)), file=Path("example"))
    defaults = [one.key for table in manuals.tables(cls) for one in table.settings if one.default is not None]

    with_them = [line[1:] if line[1:].split(" = ")[0] in defaults and "://" not in line else line for line in lines]

    assert build(cls, tomllib.loads("\n".join(with_them)), file=Path("example")) == usual


@pytest.mark.parametrize("name", COMMANDS)
def test_every_setting_is_in_the_manual_and_roff_finds_nothing_wrong_with_it(name: str, manuals: ModuleType) -> None:
    page = manuals.of_settings(name)
    shown = subprocess.run(
        ["man", "--warnings", "--local-file", "-"], input=page, capture_output=True, text=True, check=True
    )

    words = set(re.findall(r"[a-z_]+", shown.stdout))
    assert {one.key for table in manuals.tables(manuals.SETTINGS[name]) for one in table.settings} <= words
    assert shown.stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_manual_says_how_large_a_number_may_be(name: str, manuals: ModuleType) -> None:
    settings = [one for table in manuals.tables(manuals.SETTINGS[name]) for one in table.settings]

    numbers = [one for one in settings if "number" in one.allowed and "string" not in one.allowed]
    assert numbers
    assert [one.key for one in numbers if not re.search(r"\d", one.text)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_manual_names_its_files_and_its_environment(name: str, manuals: ModuleType) -> None:
    page = manuals.of_command(name, manuals.COMMANDS[name])
    shown = subprocess.run(["man", "--local-file", "-"], input=page, capture_output=True, text=True, check=True).stdout

    assert re.search(rf"FILES\n +/etc/{name}\.toml", shown)
    assert re.search(r"ENVIRONMENT\n +EXODUS_[A-Z_]+_CONFIG", shown)
    assert "tls" not in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_the_completion_for_fish_knows_every_command_and_option(name: str, manuals: ModuleType) -> None:
    parser = manuals.COMMANDS[name]
    (commands,) = (action for action in parser._actions if hasattr(action, "choices") and action.dest == "command")

    text = manuals.fish(parser)

    for command, of_command in commands.choices.items():
        assert f" -a {command} " in text
        for action in of_command._actions:
            for word in (word for word in action.option_strings if word.startswith("--")):
                assert re.search(rf"subcommand_from {command}' .*-l {word[2:]} ", text), (command, word)


def test_completions_find_files_and_folders_where_a_command_takes_them(manuals: ModuleType) -> None:
    parser = manuals.COMMANDS["exodus-certbot"]
    manuals.complete_files(parser)

    bash, fish = manuals.shtab.complete(parser, "bash"), manuals.fish(parser)

    assert "_shtab_exodus_certbot_check___config_COMPGEN=_shtab_compgen_files" in bash
    assert "_shtab_exodus_certbot_check___certbot_dir_COMPGEN=_shtab_compgen_dirs" in bash
    assert "check___connect_COMPGEN" not in bash
    assert re.search(r"subcommand_from check' -l config -r -F ", fish)
    assert re.search(r"subcommand_from check' -l connect -x ", fish)
    assert re.search(r"not __fish_seen_subcommand_from [a-z -]+' -l config -r -F ", fish)


def test_manuals_are_the_same_whatever_terminal_they_are_written_at(tmp_path: Path) -> None:
    written = []
    for columns in ("40", "200"):
        folder = tmp_path / columns
        argv = [sys.executable, str(PACKAGING / "manuals"), str(folder)]
        subprocess.run(argv, env=os.environ | {"COLUMNS": columns}, check=True, timeout=60)
        written.append({file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()})

    assert written[0] == written[1]


def test_every_wheel_has_a_hash_for_each_architecture() -> None:
    text = (PACKAGING / "debian-wheels.txt").read_text()
    _, *wanted = re.split(r"^(?=\w)", text, flags=re.MULTILINE)

    assert [part.count("--hash=sha256:") for part in wanted] == [1, 2, 1]  # not pure: one for amd64, one for arm64
    assert all(re.match(r"[a-z0-9]+==[0-9.]+ \\\n", part) for part in wanted)


def test_what_the_service_requires_the_package_depends_on() -> None:
    control = (DEBIAN / "control").read_text()
    guard = control[control.index("Package: exodus-storage-guard") :]

    for name in ("starlette", "uvicorn", "httptools", "jsonschema", "yaml", "argon2", "certifi"):
        assert f"\n python3-{name},\n" in guard
