"""An option of all commands means the same before and after the command, of each of our programs."""

import argparse
from collections.abc import Callable

import pytest

from exodus_certbot.cli import main as certificates
from exodus_certbot.cli import options as of_certificates
from exodus_common import __version__
from exodus_storage_guard.cli import main as storage
from exodus_storage_guard.cli import options as of_storage

PARSERS: dict[str, argparse.ArgumentParser] = {
    "exodus-certbot": of_certificates.parser(),
    "exodus-storage-guard": of_storage.parser(),
}
MAINS: dict[str, Callable[[list[str]], int]] = {
    "exodus-certbot": certificates.main,
    "exodus-storage-guard": storage.main,
}
VALUES = {"--timeout": ("5", "6")}


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(commands.choices)


def options_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Give every option by its longest word, less those that end the program."""
    found = (action for action in parser._actions if action.option_strings)
    return {max(action.option_strings, key=len): action for action in found if action.dest not in ("help", "version")}


IN_COMMON = [
    (program, command, option)
    for program, parser in PARSERS.items()
    for command in commands_of(parser)
    for option in options_of(parser)
]


def words(option: str, action: argparse.Action, value: int = 0) -> list[str]:
    return [option] if action.nargs == 0 else [option, VALUES.get(option, ("/first", "/second"))[value]]


def what_it_requires(parser: argparse.ArgumentParser) -> list[str]:
    """Give the shortest command line that a command takes."""
    needed = list[str]()
    for action in parser._actions:
        if action.required and action.option_strings:
            needed += [action.option_strings[-1], "1"]
        elif not action.option_strings and action.nargs in (None, "+"):
            needed.append("1")
    for group in parser._mutually_exclusive_groups:
        if group.required and not needed:
            first = group._group_actions[0]
            needed.append("1" if not first.option_strings else first.option_strings[0])
    return needed


@pytest.mark.parametrize(("program", "command", "option"), IN_COMMON)
def test_an_option_means_the_same_before_and_after_the_command(program: str, command: str, option: str) -> None:
    parser = PARSERS[program]
    action, line = options_of(parser)[option], [command, *what_it_requires(commands_of(parser)[command])]
    given, other = words(option, action), words(option, action, 1)

    before, after = parser.parse_args([*given, *line]), parser.parse_args([*line, *given])

    assert before == after
    assert before != parser.parse_args(line)
    assert parser.parse_args([*other, *line, *given]) == after  # the later one counts


@pytest.mark.parametrize("program", PARSERS)
def test_every_command_has_every_option_of_its_program(program: str) -> None:
    parser = PARSERS[program]

    for name, command in commands_of(parser).items():
        assert set(options_of(parser)) <= set(options_of(command)), name


@pytest.mark.parametrize("program", PARSERS)
def test_options_of_the_program_and_of_a_command_are_all_heard(program: str) -> None:
    parsed = PARSERS[program].parse_args(["--config", "/a", "-q", "check", "--format", "nagios", "-v"])

    assert (str(parsed.config), parsed.quiet, parsed.verbose, parsed.format) == ("/a", True, True, "nagios")


@pytest.mark.parametrize("program", MAINS)
@pytest.mark.parametrize("line", [["--version"], ["check", "--version"]], ids=" ".join)
def test_each_program_says_its_version(program: str, line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        MAINS[program](line)

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{program} {__version__}\n"


@pytest.mark.parametrize("program", MAINS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_settings_file_that_is_not_there_is_told_by_the_program_wherever_it_is_named(
    program: str, after: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    option = ["--config", "/nonexistent/settings.toml"]

    exit_code = MAINS[program](["check", *option] if after else [*option, "check"])

    complaint = capsys.readouterr().err
    assert exit_code == 78
    assert complaint.startswith(f"{program}: /nonexistent/settings.toml: does not exist")
