"""What an operator sets: in a file that --config or the environment names, or as options, which count more."""

import sys
from pathlib import Path

import pytest

from exodus_certbot import settings
from exodus_certbot.cli import main as cli
from exodus_certbot.settings import Settings
from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot, Ran
from tests.parts.configuration import server
from tests.parts.ports import free_port
from tests.parts.processes import run
from tests.parts.witness import all_served_sha256, disk_sha256

NAME = "exodus.example"
VARIABLE = "EXODUS_CERTBOT_CONFIG"


def _without_options(exodus_certbot: ExodusCertbot, *words: str, **environment: str) -> Ran:
    """Run the command as it is typed: nothing but the settings file says where nginx and certbot have their files."""
    argv = [sys.executable, "-P", "-m", "exodus_certbot", *words]
    return run(argv, env=exodus_certbot.environment | environment)


def _settings(folder: Path, **values: object) -> Path:
    file = folder / "settings.toml"
    file.write_text("".join(f'{key} = "{value}"\n' for key, value in values.items()))
    return file


@pytest.mark.parametrize("named_by", ["environment", "option"])
def test_a_settings_file_says_where_nginx_and_certbot_have_their_files(
    named_by: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    nginx = start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    new = disk_sha256(certbot_tree.issue(NAME))
    file = str(_settings(tmp_path, nginx_conf=nginx.conf, certbot_dir=certbot_tree.folder))
    option, environment = (("--config", file), {}) if named_by == "option" else ((), {VARIABLE: file})

    found = _without_options(exodus_certbot, "check", "--json", *option, **environment)
    repaired = _without_options(exodus_certbot, "reconcile", *option, **environment)

    assert found.listed("lineage", "verdict") == [(str(lineage), "stale")]
    assert (found.exit_code, repaired.exit_code) == (1, 0)
    assert all_served_sha256(port, NAME) == {new}


def test_an_option_counts_more_than_the_settings_file(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    lineage = certbot_tree.issue(NAME)
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, lineage))
    file = str(_settings(tmp_path, nginx_conf=tmp_path / "none.conf", certbot_dir=tmp_path / "none"))

    by_file = _without_options(exodus_certbot, "check", "--json", "--config", file)
    options = ("--nginx-conf", str(nginx.conf), "--certbot-dir", str(certbot_tree.folder))
    by_option = _without_options(exodus_certbot, "check", "--json", "--config", file, *options)

    assert by_file.exit_code == 78
    assert (by_option.exit_code, by_option.listed("lineage", "verdict")) == (0, [(str(lineage), "ok")])


def test_the_option_config_counts_more_than_the_environment(exodus_certbot: ExodusCertbot, tmp_path: Path) -> None:
    file = _settings(tmp_path, nginx_conf=tmp_path / "none.conf")

    ran = _without_options(exodus_certbot, "check", "--config", str(file), **{VARIABLE: str(tmp_path / "missing.toml")})

    assert ran.exit_code == 78
    assert "none.conf" in ran.stderr
    assert "missing.toml" not in ran.all_output


PATHS = {"certbot_dir": "no folder", "nginx": "no program", "nginx_conf": "no file"}


@pytest.mark.parametrize("command", ["check", "reconcile", "preflight", "doctor", "adopt --all", "deploy --lineage /x"])
@pytest.mark.parametrize("key", PATHS)
def test_a_path_that_leads_nowhere_is_a_wrong_setting_wherever_it_is_said(
    key: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    file, option = _settings(tmp_path, **{key: gone}), f"--{key.replace('_', '-')}"

    by_file = cli.main([*command.split(), "--config", str(file)])
    of_file = capsys.readouterr().err
    by_option = cli.main([option, str(gone), *command.split(), "--config", "/dev/null"])
    of_option = capsys.readouterr().err

    assert (by_file, by_option) == (78, 78)
    assert of_file.startswith(f"exodus-certbot: {file}: {key}: found '{gone}', {PATHS[key]}; allowed: ")
    assert of_option.startswith(f"exodus-certbot: {option}: found '{gone}', {PATHS[key]}; allowed: ")


def test_a_path_of_another_kind_is_a_wrong_setting(tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.touch()
    folder.mkdir()
    wrong = Settings(certbot_dir=file, nginx=str(file), nginx_conf=str(folder))
    right = Settings(certbot_dir=folder, nginx="true", nginx_conf=str(file))

    assert [key for key, _ in settings.missing(wrong)] == list(PATHS)
    assert not list(settings.missing(right))
    assert not list(settings.missing(Settings()))


def test_a_webroot_that_is_not_there_is_wrong_usage(exodus_certbot: ExodusCertbot, tmp_path: Path) -> None:
    ran = exodus_certbot("preflight", "--webroot", str(tmp_path / "gone"), NAME)

    assert ran.exit_code == 2
    assert ran.stderr.startswith(f"exodus-certbot: --webroot: found '{tmp_path / 'gone'}', no folder; allowed: ")


def test_a_machine_without_certbot_is_no_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "DEFAULT_CERTBOT_DIR", tmp_path / "gone")
    monkeypatch.setenv(VARIABLE, "/dev/null")

    assert cli.main(["adopt", "--all"]) == 1
    assert capsys.readouterr().err.startswith(f"exodus-certbot: no certbot here: {tmp_path / 'gone'} does not exist; ")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('nginx_confg = "/etc/nginx/nginx.conf"', "nginx_confg"),
        ("timeout_seconds = '5'", "timeout_seconds"),
        ("timeout_seconds = 0", "timeout_seconds"),
        ("warn_days = -1", "warn_days"),
        ("nginx_conf = 5", "nginx_conf"),
        ("connect = 'localhost'", "connect"),
        ("[nginx]", "nginx"),
    ],
)
def test_settings_that_are_wrong_are_named_with_file_and_key(
    line: str, key: str, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"{line}\n")

    ran = _without_options(exodus_certbot, "check", **{VARIABLE: str(file)})

    assert ran.exit_code == 78
    assert len(ran.stderr.splitlines()) == 1
    assert str(file) in ran.stderr
    assert key in ran.stderr


@pytest.mark.parametrize("command", ["check", "reconcile", "deploy"])
@pytest.mark.parametrize("named_by", ["environment", "option"])
def test_a_settings_file_that_is_named_must_exist(
    named_by: str, command: str, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing.toml")
    option, environment = (("--config", missing), {}) if named_by == "option" else ((), {VARIABLE: missing})

    ran = _without_options(exodus_certbot, command, *option, **environment)

    assert ran.exit_code == 78
    assert missing in ran.stderr


@pytest.mark.parametrize("content", [b"nginx_conf = ", b"\xff\xfe", b"\x1b[31m"])
def test_a_file_that_is_no_settings_file_is_named_harmlessly(
    content: bytes, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(content)

    ran = _without_options(exodus_certbot, "check", "--config", str(file))

    assert ran.exit_code == 78
    assert str(file) in ran.stderr
    assert "\x1b" not in ran.stderr


def test_deploy_finds_the_certbot_folder_by_the_lineage_that_certbot_names(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    nginx = start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    new = disk_sha256(certbot_tree.issue(NAME))
    file = str(_settings(tmp_path, nginx_conf=nginx.conf))

    deployed = _without_options(exodus_certbot, "deploy", RENEWED_LINEAGE=str(lineage), **{VARIABLE: file})

    assert deployed.exit_code == 0, deployed.all_output
    assert all_served_sha256(port, NAME) == {new}
