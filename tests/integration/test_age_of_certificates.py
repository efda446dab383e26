"""How long what is served is still valid, of certbot's certificates and of those that are not certbot's."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree, key_pem, new_key
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.ports import free_port
from tests.parts.witness import disk_sha256

NAME = "exodus.example"
LIFETIME = timedelta(days=90)


def _bought(tree: CertbotTree, folder: Path, *, left: timedelta = LIFETIME, lifetime: timedelta = LIFETIME) -> Path:
    """Write a certificate that is not certbot's; give its folder, whose files are named as a lineage's are."""
    folder.mkdir(exist_ok=True)
    key = new_key()
    leaf = tree.authority.leaf_pem(key, (NAME,), lifetime=lifetime, age=lifetime - left)
    (folder / "fullchain.pem").write_bytes(leaf + tree.authority.chain_pem)
    (folder / "privkey.pem").write_bytes(key_pem(key))
    return folder


def test_a_certificate_that_is_not_certbots_is_asked_for_and_has_no_lineage(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    bought = _bought(certbot_tree, tmp_path / "bought")
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, bought))

    found = exodus_certbot("check", "--json")

    assert found.exit_code == 0
    disk = disk_sha256(bought)
    assert found.listed("verdict", "lineage", "served_sha256", "expected_sha256") == [("ok", None, disk, disk)]


def test_a_certificate_that_is_not_certbots_is_repaired_like_any_other(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    bought = _bought(certbot_tree, tmp_path / "bought")
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, bought))
    _bought(certbot_tree, tmp_path / "bought")

    found = exodus_certbot("check", "--json")
    repaired = exodus_certbot("reconcile", "--json")

    assert (found.exit_code, found.listed("verdict", "lineage")) == (1, [("stale", None)])
    assert (repaired.exit_code, repaired.listed("verdict")) == (0, [("ok",)])


@pytest.mark.parametrize("certbots", [True, False], ids=["certbot's", "not certbot's"])
@pytest.mark.parametrize(
    ("left", "verdict", "overall", "exit_code", "for_nagios"),
    [
        (timedelta(days=22), "ok", "ok", 0, 0),
        (timedelta(days=20), "expiring", "warning", 0, 1),
        (timedelta(days=1), "expiring", "warning", 0, 1),
        (timedelta(minutes=-1), "expired", "critical", 1, 2),
    ],
    ids=lambda value: str(value),
)
def test_what_is_left_decides(
    certbots: bool,
    left: timedelta,
    verdict: str,
    overall: str,
    exit_code: int,
    for_nagios: int,
    certbot_tree: CertbotTree,
    start_nginx: StartNginx,
    exodus_certbot: ExodusCertbot,
    tmp_path: Path,
) -> None:
    if certbots:
        files = certbot_tree.issue(NAME, lifetime=LIFETIME, age=LIFETIME - left)
    else:
        files = _bought(certbot_tree, tmp_path / "bought", left=left)
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, files))

    found = exodus_certbot("check", "--json")
    monitored = exodus_certbot("check", "--format", "nagios")

    assert found.listed("verdict", "lineage") == [(verdict, str(files) if certbots else None)]
    assert (found.json["verdict"], found.exit_code, monitored.exit_code) == (overall, exit_code, for_nagios)


@pytest.mark.parametrize(("left_hours", "verdict"), [(49, "expiring"), (60, "ok")])
def test_a_certificate_of_a_week_is_expiring_in_its_last_third(
    left_hours: int, verdict: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lifetime, left = timedelta(days=7), timedelta(hours=left_hours)
    lineage = certbot_tree.issue(NAME, lifetime=lifetime, age=lifetime - left)
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, lineage))

    assert exodus_certbot("check", "--json").listed("verdict") == [(verdict,)]


@pytest.mark.parametrize(
    ("warn_days", "verdict"), [("40", "ok"), ("0", "ok"), ("50.5", "expiring"), ("60", "expiring")]
)
def test_the_operator_may_choose_when_to_be_warned(
    warn_days: str,
    verdict: str,
    certbot_tree: CertbotTree,
    start_nginx: StartNginx,
    exodus_certbot: ExodusCertbot,
    tmp_path: Path,
) -> None:
    lineage = certbot_tree.issue(NAME, age=timedelta(days=40))
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, lineage))
    (tmp_path / "settings.toml").write_text(f"warn_days = {warn_days}\n")

    found = exodus_certbot("check", "--json", "--config", str(tmp_path / "settings.toml"))

    assert (found.exit_code, found.listed("verdict")) == (0, [(verdict,)])


def test_an_expired_certificate_that_was_renewed_is_stale_and_gets_repaired(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue(NAME, age=timedelta(days=91))
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, lineage))
    certbot_tree.issue(NAME)

    found = exodus_certbot("check", "--json")
    repaired = exodus_certbot("reconcile", "--json")

    assert (found.exit_code, found.listed("verdict")) == (1, [("stale",)])
    assert (repaired.exit_code, repaired.listed("verdict")) == (0, [("ok",)])


def test_an_expired_certificate_that_nobody_renewed_is_no_reason_to_reload(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue(NAME, age=timedelta(days=91))
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, lineage))

    ran = exodus_certbot("reconcile", "--json")

    assert (ran.exit_code, ran.json["reloaded"], ran.listed("verdict")) == (1, False, [("expired",)])
