"""The deploy hook in a real renewal: certbot gets a certificate from Pebble, and calls our hook."""

import shutil
from dataclasses import replace

import pytest

from tests.parts.certbot import SYSTEM_PATH
from tests.parts.command import ExodusCertbot
from tests.parts.site import NAME, Site
from tests.parts.witness import served_sha256


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
    site.serve(names)
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
