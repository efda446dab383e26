"""`adopt` has certbot call our plugin, and `adopt --undo` leaves no trace of it."""

import fcntl
import os
from pathlib import Path

import pytest

from tests.parts.certbot import SYSTEM_PATH, certbot_without_plugin
from tests.parts.command import ExodusCertbot
from tests.parts.site import NAME, Site

LINES = """\
# renew_before_expiry = 30 days
version = 2.1.0
cert = {live}/cert.pem

# Options used in the renewal process
[renewalparams]
account = 0123
{installer}authenticator = webroot
server = https://ca.example/dir   # ours
[[webroot_map]]
installer.example = /srv/www
"""


def write_renewal_file(certbot_dir: Path, name: str, installer: str = "") -> Path:
    file = certbot_dir / f"renewal/{name}.conf"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(LINES.format(live=certbot_dir / "live" / name, installer=installer))
    return file


@pytest.fixture
def certbot_dir(exodus_certbot: ExodusCertbot) -> Path:
    return exodus_certbot.certbot_dir


def test_a_renewal_reloads_nginx_once_its_lineage_is_adopted(site: Site, exodus_certbot: ExodusCertbot) -> None:
    adopted = exodus_certbot("adopt", NAME)

    assert (adopted.exit_code, adopted.stdout) == (0, f"{NAME}: certbot calls exodus-nginx from now on\n")
    renewed = site.certbot.renew()
    assert renewed.exit_code == 0, renewed.all_output
    assert site.served() == {site.on_disk()}


def test_certbot_renews_without_a_trace_of_us_after_undo(site: Site, exodus_certbot: ExodusCertbot) -> None:
    before = site.certbot.renewal_file(NAME).read_bytes()
    exodus_certbot("adopt", NAME)

    undone = exodus_certbot("adopt", "--undo", "--all")

    assert undone.exit_code == 0
    assert site.certbot.renewal_file(NAME).read_bytes() == before
    renewed = site.certbot.hiding("exodus_certbot").renew()
    assert renewed.exit_code == 0, renewed.all_output
    assert "exodus" not in renewed.all_output.replace(NAME, "").replace(str(site.certbot.folder), "")


@pytest.mark.parametrize("installer", ["", "installer = nginx\n", "installer = None\n", '"installer" = apache\n'])
def test_undo_gives_back_the_very_same_bytes(installer: str, certbot_dir: Path, exodus_certbot: ExodusCertbot) -> None:
    file = write_renewal_file(certbot_dir, "a.example", installer)
    file.chmod(0o640)
    before = file.read_bytes()

    assert exodus_certbot("adopt", "a.example").exit_code == 0
    assert b"installer = exodus-nginx\n" in file.read_bytes()
    assert b"apache" not in file.read_bytes()
    assert exodus_certbot("adopt", "a.example", "--undo").exit_code == 0

    assert file.read_bytes() == before
    assert file.stat().st_mode & 0o7777 == 0o640


def test_adopting_twice_changes_nothing_and_is_undone_once(certbot_dir: Path, exodus_certbot: ExodusCertbot) -> None:
    file = write_renewal_file(certbot_dir, "a.example", "installer = nginx\n")
    before = file.read_bytes()
    exodus_certbot("adopt", "a.example")
    once = file.read_bytes()

    twice = exodus_certbot("adopt", str(certbot_dir / "live/a.example"))

    assert (twice.exit_code, file.read_bytes()) == (0, once)
    assert "already" in twice.stdout
    exodus_certbot("adopt", "--undo", "a.example")
    assert file.read_bytes() == before


def test_all_takes_nginx_and_none_and_leaves_another_installer_alone(
    certbot_dir: Path, exodus_certbot: ExodusCertbot
) -> None:
    for name, installer in (("a", ""), ("b", "installer = nginx\n"), ("c", "installer = apache\n")):
        write_renewal_file(certbot_dir, name, installer)

    found = exodus_certbot("adopt", "--all", "--json").json

    assert [(each["lineage"], each["before"], each["after"]) for each in found["lineages"]] == [
        ("a", None, "exodus-nginx"),
        ("b", "nginx", "exodus-nginx"),
        ("c", "apache", "apache"),
    ]
    assert exodus_certbot("adopt", "c", "--json").json["lineages"][0]["after"] == "exodus-nginx"


def test_undo_leaves_an_installer_that_is_not_ours_alone(certbot_dir: Path, exodus_certbot: ExodusCertbot) -> None:
    file = write_renewal_file(certbot_dir, "a.example", "installer = apache\n")
    before = file.read_bytes()

    undone = exodus_certbot("adopt", "--undo", "a.example")

    assert (undone.exit_code, file.read_bytes()) == (0, before)
    assert "left alone" in undone.stdout


def test_an_unknown_lineage_is_named_and_nothing_is_changed(certbot_dir: Path, exodus_certbot: ExodusCertbot) -> None:
    file = write_renewal_file(certbot_dir, "a.example")
    before = file.read_bytes()

    refused = exodus_certbot("adopt", "a.example", "b.example")

    assert (refused.exit_code, file.read_bytes()) == (2, before)
    assert "no lineage 'b.example'" in refused.stderr
    assert "there: a.example" in refused.stderr


def test_a_file_without_its_section_is_refused_and_no_other_is_changed(
    certbot_dir: Path, exodus_certbot: ExodusCertbot
) -> None:
    sound = write_renewal_file(certbot_dir, "a.example")
    before = sound.read_bytes()
    (certbot_dir / "renewal/b.example.conf").write_text("cert = x\n")

    refused = exodus_certbot("adopt", "--all")

    assert (refused.exit_code, sound.read_bytes()) == (1, before)
    assert "b.example.conf: it has no [renewalparams] section" in refused.stderr


def test_waits_for_nobody_while_a_certbot_is_at_work(certbot_dir: Path, exodus_certbot: ExodusCertbot) -> None:
    file = write_renewal_file(certbot_dir, "a.example")
    before = file.read_bytes()
    with (certbot_dir / ".certbot.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        refused = exodus_certbot("adopt", "a.example")

    assert (refused.exit_code, file.read_bytes()) == (75, before)
    assert "a certbot is at work" in refused.stderr
    assert exodus_certbot("adopt", "a.example").exit_code == 0
    assert not (certbot_dir / ".certbot.lock").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_the_owner_of_the_file_stays(certbot_dir: Path, exodus_certbot: ExodusCertbot) -> None:
    file = write_renewal_file(certbot_dir, "a.example")
    os.chown(file, 12345, 12345)

    assert exodus_certbot("adopt", "a.example").exit_code == 0

    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 12345)


@pytest.mark.parametrize("arguments", [(), ("a.example", "--all")])
def test_names_and_all_exclude_each_other(arguments: tuple[str, ...], exodus_certbot: ExodusCertbot) -> None:
    refused = exodus_certbot("adopt", *arguments)
    assert refused.exit_code == 2
    assert "--all" in refused.stderr


def test_is_refused_while_the_certbot_on_path_cannot_load_the_plugin_and_undo_is_not(
    certbot_dir: Path, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    file = write_renewal_file(certbot_dir, "a.example")
    before = file.read_bytes()
    script, python = certbot_without_plugin(tmp_path / "bin")
    without = {"PATH": f"{script.parent}:{SYSTEM_PATH}"}

    refused = exodus_certbot("adopt", "a.example", env=without)
    unchanged = file.read_bytes()
    exodus_certbot("adopt", "a.example")
    undone = exodus_certbot("adopt", "--undo", "a.example", env=without)

    assert (refused.exit_code, unchanged) == (1, before)
    assert f"{script} ({python}) cannot load the plugin exodus-nginx" in refused.stderr
    assert (undone.exit_code, file.read_bytes()) == (0, before)
