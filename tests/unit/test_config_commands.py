"""`config` of both commands: whether the settings are right, and which are in force."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from exodus_certbot.cli.main import main as exodus_certbot
from exodus_storage_guard.cli.main import main as exodus_storage_guard

Main = Callable[[list[str]], int]
GUARD = '[store]\nurl = "directory:///srv/apks"\n[archive]\nurl = "directory:///mnt/backup"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


@pytest.mark.parametrize(
    ("main", "text", "line"),
    [
        (exodus_certbot, "warn_days = 14", "warn_days = 14  # {file}"),
        (exodus_certbot, "warn_days = 14", "timeout_seconds = 60  # default"),
        (exodus_storage_guard, GUARD, 'url = "directory:///srv/apks"  # {file}'),
        (exodus_storage_guard, GUARD, "parallel = 4  # default"),
    ],
)
def test_what_is_in_force_is_shown_with_where_it_comes_from(
    main: Main, text: str, line: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text)

    assert main(["config", "--show", "--config", str(file)]) == 0
    assert line.format(file=file) in capsys.readouterr().out.splitlines()


def test_an_option_is_shown_as_one(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("timeout_seconds = 5")

    assert exodus_certbot(["--timeout", "7", "config", "--show", "--config", str(file)]) == 0
    assert "timeout_seconds = 7  # command line" in capsys.readouterr().out


@pytest.mark.parametrize(("main", "text"), [(exodus_certbot, ""), (exodus_storage_guard, GUARD)])
def test_settings_that_are_right_are_said_to_be_so(
    main: Main, text: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text)

    assert main(["config", "--check", "--config", str(file)]) == 0
    assert capsys.readouterr().out == f"OK: {file} is right\n"
    assert main(["config", "--check", "--config", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"verdict": "ok", "reason": f"{file} is right"}
    assert main(["config", "--check", "--config", str(file), "--quiet"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("main", [exodus_certbot, exodus_storage_guard])
@pytest.mark.parametrize("which", ["--check", "--show"])
def test_settings_that_are_wrong_are_named(
    main: Main, which: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("colour = 1")

    assert main(["config", which, "--config", str(file)]) == 78
    assert f"{file}: key colour: found an unknown key" in capsys.readouterr().err


def test_a_path_that_leads_nowhere_is_wrong(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(f'nginx_conf = "{file.parent}/nowhere"')

    assert exodus_certbot(["config", "--check", "--config", str(file)]) == 78
    assert "nginx_conf" in capsys.readouterr().err


@pytest.mark.parametrize("main", [exodus_certbot, exodus_storage_guard])
def test_one_has_to_say_what_is_wanted(main: Main) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["config"])

    assert ended.value.code == 2
