"""The deploy hook in a real renewal: certbot gets a certificate from Pebble, and calls our hook."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.certbot import SYSTEM_PATH, RealCertbot, write_program
from tests.parts.command import ROOT, ExodusCertbot
from tests.parts.configuration import challenge_server, server, workers_as_myself
from tests.parts.nginx import NGINX, RealNginx, running_nginx
from tests.parts.pebble import running_pebble
from tests.parts.ports import free_port
from tests.parts.witness import all_served_sha256, disk_sha256, served_sha256

NAME = "exodus.example"


@dataclass(frozen=True)
class Issued:
    """What tests start from: certbot's folder with one lineage in it, and the port on which its CA validates."""

    certbot: RealCertbot
    http_port: int


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issued]:
    """Issue one certificate, through an nginx that is gone when the tests start their own."""
    folder, http_port = tmp_path_factory.mktemp("issued"), free_port()
    with running_pebble(folder / "pebble", http_port) as pebble:
        certbot = RealCertbot(folder, pebble, folder / "webroot")
        with running_nginx(folder / "nginx", challenge_server(http_port, certbot.webroot), main=workers_as_myself()):
            certbot.issue(NAME)
        yield Issued(certbot, http_port)


@dataclass(frozen=True)
class Site:
    """An nginx that serves HTTP to the CA and TLS to everybody, and the certbot that renews for it."""

    certbot: RealCertbot
    nginx: RealNginx
    http_port: int
    tls_port: int

    def configuration(self, names: Sequence[str] = (NAME,), *, more: str = "") -> str:
        listen = f"127.0.0.1:{self.tls_port} ssl"
        tls = "".join(server(listen, name, self.certbot.live(name)) for name in names)
        return challenge_server(self.http_port, self.certbot.webroot) + tls + more

    def write(self, names: Sequence[str] = (NAME,), *, more: str = "") -> None:
        self.nginx.write(self.configuration(names, more=more), main=workers_as_myself())

    def served(self, name: str = NAME) -> set[str]:
        return all_served_sha256(self.tls_port, name)

    def on_disk(self, name: str = NAME) -> str:
        return disk_sha256(self.certbot.live(name))


@pytest.fixture
def site(issued: Issued, tmp_path: Path, start_nginx: StartNginx, exodus_certbot: ExodusCertbot) -> Site:
    """Serve a copy of the lineage; `exodus-certbot` is on certbot's PATH, and the hook is not installed."""
    issued.certbot.copy_to(tmp_path)
    certbot = replace(
        issued.certbot,
        folder=tmp_path,
        webroot=tmp_path / "webroot",
        environment=_hook_environment(tmp_path, exodus_certbot),
    )
    site = Site(certbot, RealNginx(tmp_path / "nginx"), issued.http_port, free_port())
    started = start_nginx(site.configuration(), main=workers_as_myself())
    return replace(site, nginx=started)


def _hook_environment(folder: Path, command: ExodusCertbot) -> dict[str, str]:
    """Install `exodus-certbot` in a folder on PATH, with the settings it needs for an nginx in an odd place."""
    argv = command.argv()[:3]
    write_program(folder / "bin/exodus-certbot", *argv, PYTHONPATH=f"{ROOT}:{ROOT / 'hooks'}")
    settings = folder / "exodus-certbot.toml"
    settings.write_text(f"nginx = {json.dumps(NGINX)}\nnginx_conf = {json.dumps(str(command.conf))}\n")
    return {
        "PATH": f"{folder / 'bin'}:{SYSTEM_PATH}",
        "EXODUS_CERTBOT_CONFIG": str(settings),
        "STATE_DIRECTORY": str(command.state_dir),
    }


def test_the_new_certificate_is_served_when_certbot_returns(site: Site) -> None:
    before = site.on_disk()
    site.certbot.install_hook()

    renewed = site.certbot.renew()

    assert renewed.exit_code == 0, renewed.all_output
    assert site.on_disk() != before
    assert site.served() == {site.on_disk()}
    assert "Hook 'deploy-hook' ran with output:" in renewed.stdout
    assert "OK: reloaded nginx" in renewed.stdout
    assert "error" not in renewed.all_output


def test_without_the_hook_certbot_succeeds_and_the_old_certificate_is_served(
    site: Site, exodus_certbot: ExodusCertbot
) -> None:
    before = site.on_disk()

    renewed = site.certbot.renew()

    assert renewed.exit_code == 0, renewed.all_output
    assert "all renewals succeeded" in renewed.stdout
    assert site.served() == {before} != {site.on_disk()}
    (row,) = exodus_certbot("check", "--json").json["listeners"]
    assert (row["verdict"], row["served_sha256"], row["expected_sha256"]) == ("stale", before, site.on_disk())


def test_check_after_a_renewal_is_ok_and_names_the_lineage(site: Site, exodus_certbot: ExodusCertbot) -> None:
    site.certbot.install_hook()
    assert site.certbot.renew().exit_code == 0

    checked = exodus_certbot("check", "--json")

    assert checked.exit_code == 0
    (row,) = checked.json["listeners"]
    assert (row["name"], row["verdict"], row["lineage"]) == (NAME, "ok", str(site.certbot.live(NAME)))
    assert row["served_sha256"] == row["expected_sha256"] == site.on_disk() == served_sha256(site.tls_port, NAME)


def test_a_broken_configuration_keeps_the_old_certificate_until_it_is_mended(
    site: Site, exodus_certbot: ExodusCertbot
) -> None:
    before = site.on_disk()
    site.certbot.install_hook()
    site.write(more="no_such_directive on;")

    renewed = site.certbot.renew()

    assert renewed.exit_code == 0, "certbot calls a failing deploy hook a warning"
    assert site.served() == {before} != {site.on_disk()}
    assert "deploy-hook' reported error code 1" in renewed.all_output
    said = " ".join(renewed.all_output.split())
    assert f"CRITICAL: nginx rejects {site.nginx.conf}" in said
    assert 'unknown directive "no_such_directive"' in said
    assert "mend it, then run: exodus-certbot reconcile" in said

    asked = site.certbot.pebble.requests
    site.write()
    repaired = exodus_certbot("reconcile", "--json")

    assert (repaired.exit_code, repaired.json["reloaded"]) == (0, True)
    assert site.served() == {site.on_disk()}
    assert site.certbot.pebble.requests == asked


def test_a_configuration_with_bytes_that_are_no_text_does_not_make_certbot_give_up_the_lineage(site: Site) -> None:
    site.certbot.install_hook()
    site.write()
    with site.nginx.conf.open("ab") as conf:
        conf.write(b"caf\xe9_\x1b[31m on;\n")

    renewed = site.certbot.renew()

    assert renewed.exit_code == 0, renewed.all_output
    assert "all renewals succeeded" in renewed.stdout
    assert 'unknown directive "(not shown)"' in renewed.all_output
    assert renewed.all_output.isascii()
    assert "\x1b" not in renewed.all_output


def test_under_quiet_a_failing_hook_is_found_by_check_only(site: Site, exodus_certbot: ExodusCertbot) -> None:
    site.certbot.install_hook()
    site.write(more="no_such_directive on;")

    renewed = site.certbot.renew(quiet=True)

    assert (renewed.exit_code, renewed.all_output) == (0, "")
    checked = exodus_certbot("check", "--json")
    assert (checked.exit_code, checked.json["verdict"]) == (1, "critical")
    assert [row["verdict"] for row in checked.json["listeners"]] == ["stale"]


@pytest.mark.skipif(
    shutil.which("exodus-certbot", path=SYSTEM_PATH) is not None, reason="exodus-certbot is installed on this machine"
)
def test_the_hook_says_that_exodus_certbot_is_not_on_its_path(site: Site) -> None:
    before = site.on_disk()
    site.certbot.install_hook()
    certbot = replace(site.certbot, environment=dict(site.certbot.environment) | {"PATH": "/usr/bin:/bin"})

    renewed = certbot.renew()

    said = " ".join(renewed.all_output.split())
    assert "exodus-certbot is not on PATH (/usr/bin:/bin:" in said
    assert "nginx was not reloaded; install it or link it there" in said
    assert site.served() == {before} != {site.on_disk()}


def test_a_hook_that_is_not_executable_is_not_run_by_certbot(site: Site) -> None:
    before = site.on_disk()
    site.certbot.install_hook().chmod(0o644)

    renewed = site.certbot.renew()

    assert renewed.exit_code == 0
    assert "deploy-hook" not in renewed.all_output
    assert site.served() == {before} != {site.on_disk()}


def test_one_run_deploys_every_lineage(site: Site, exodus_certbot: ExodusCertbot) -> None:
    names = (NAME, "reports.example")
    site.certbot.issue("reports.example")
    site.nginx.stop()
    site.write(names)
    site.nginx.start()
    before = {name: site.on_disk(name) for name in names}
    site.certbot.install_hook()

    renewed = site.certbot.renew()

    assert renewed.exit_code == 0, renewed.all_output
    assert renewed.stdout.count("OK: reloaded nginx") == len(names)
    for name in names:
        assert site.on_disk(name) != before[name]
        assert site.served(name) == {site.on_disk(name)}
    checked = exodus_certbot("check", "--json").json
    assert {row["lineage"] for row in checked["listeners"]} == {str(site.certbot.live(name)) for name in names}
    assert checked["verdict"] == "ok"
