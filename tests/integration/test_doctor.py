"""`doctor` says, before the night of the renewal, why it could go wrong, and is silent where it could not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.certbot import HOOK, SYSTEM_PATH, certbot_without_plugin, certbots
from tests.parts.command import ROOT, ExodusCertbot, Ran
from tests.parts.configuration import server
from tests.parts.nginx import RealNginx
from tests.parts.ports import free_port

NAME = "exodus.example"
LINEAGE = f"lineage {NAME}"
KINDS = ("cert", "privkey", "chain", "fullchain")


def found(ran: Ran, subject: str) -> list[tuple[str, str, str]]:
    return [
        (one["severity"], one["message"], one["remedy"]) for one in ran.json["findings"] if one["subject"] == subject
    ]


def write_renewal(tree: CertbotTree, name: str = NAME, *, authenticator: str = "manual", more: str = "") -> Path:
    file = tree.folder / f"renewal/{name}.conf"
    file.parent.mkdir(parents=True, exist_ok=True)
    head = "".join(f"{kind} = {tree.folder}/live/{name}/{kind}.pem\n" for kind in KINDS)
    if authenticator == "manual":
        more = f"manual_auth_hook = /bin/true\n{more}"
    file.write_text(f"{head}[renewalparams]\nauthenticator = {authenticator}\n{more}")
    return file


@pytest.fixture
def nginx(certbot_tree: CertbotTree, start_nginx: StartNginx) -> RealNginx:
    """Serve one lineage, for which certbot has a renewal file without installer."""
    lineage = certbot_tree.issue(NAME)
    write_renewal(certbot_tree)
    return start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, lineage))


def with_certbot(version: str = "newest") -> dict[str, str]:
    return {"PATH": f"{Path(certbots()[version]).parent}:{SYSTEM_PATH}"}


# --- installer and hook ---


def test_a_lineage_that_nobody_reloads_nginx_for_is_critical_and_adopt_is_the_remedy(
    nginx: RealNginx, exodus_certbot: ExodusCertbot
) -> None:
    ill = exodus_certbot("doctor", "--json", env=with_certbot())
    (finding,) = found(ill, LINEAGE)
    adopted = exodus_certbot(*finding[2].split()[1:])
    well = exodus_certbot("doctor", "--json", env=with_certbot())

    assert (ill.exit_code, ill.json["verdict"], finding[0]) == (1, "critical", "critical")
    assert "neither the plugin nor the hook: nothing reloads nginx after a renewal" in finding[1]
    assert finding[2] == f"exodus-certbot adopt {NAME}"
    assert adopted.exit_code == 0, adopted.all_output
    assert found(well, LINEAGE) == [("ok", "certbot calls exodus-nginx for it", "")]
    assert well.exit_code == 0, well.stdout


def test_the_hook_is_enough_and_one_that_certbot_passes_over_is_told(
    nginx: RealNginx, exodus_certbot: ExodusCertbot
) -> None:
    hooks = exodus_certbot.certbot_dir / "renewal-hooks/deploy"
    hooks.mkdir(parents=True)
    hook = Path(shutil.copy(HOOK, hooks))
    hook.chmod(0o755)
    well = exodus_certbot("doctor", "--json", env=with_certbot())
    hook.chmod(0o644)
    ill = exodus_certbot("doctor", "--json", env=with_certbot())

    assert found(well, LINEAGE)[0][0] == "ok"
    assert well.exit_code == 0, well.stdout
    assert found(ill, LINEAGE)[0][0] == "critical"
    ((severity, message, remedy),) = found(ill, f"hook {hook}")
    assert (severity, remedy) == ("critical", f"chmod +x {hook}")
    assert "certbot passes over it in silence" in message


def test_a_hook_of_the_lineages_own_that_calls_us_counts(
    nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    program = tmp_path / "exodus-certbot"
    write_renewal(certbot_tree, more=f"renew_hook = {program} deploy\n")
    not_there = exodus_certbot("doctor", "--json", env=with_certbot())
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    there = exodus_certbot("doctor", "--json", env=with_certbot())

    assert [one[0] for one in found(not_there, LINEAGE)] == ["critical", "warning"]
    assert [one[0] for one in found(there, LINEAGE)] == ["ok"]


def test_certbots_own_nginx_installer_is_told_for_what_it_is(
    nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot
) -> None:
    write_renewal(certbot_tree, more="installer = nginx\n")

    ran = exodus_certbot("doctor", "--json", env=with_certbot())

    assert "its installer is nginx, which does not prove what is served" in found(ran, LINEAGE)[0][1]


def test_an_installer_that_certbot_dropped_is_noticed(
    nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot
) -> None:
    exodus_certbot("adopt", NAME)
    write_renewal(certbot_tree)  # what certbot leaves after a renewal for which it could not load the plugin
    dropped = exodus_certbot("doctor", "--json", env=with_certbot())
    exodus_certbot("adopt", NAME)
    exodus_certbot("adopt", "--undo", NAME)
    undone = exodus_certbot("doctor", "--json", env=with_certbot())

    assert "certbot has dropped its installer exodus-nginx" in found(dropped, LINEAGE)[0][1]
    assert "dropped" not in undone.stdout


def test_a_lineage_that_nginx_does_not_use_needs_nobody(
    nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot
) -> None:
    certbot_tree.issue("mail.example")
    write_renewal(certbot_tree, "mail.example")

    ran = exodus_certbot("doctor", "--json", env=with_certbot())

    assert found(ran, "lineage mail.example") == [("ok", "nginx does not use it", "")]


# --- the plugin, and the certbot on PATH ---


@pytest.mark.parametrize("version", certbots())
def test_every_certbot_loads_the_plugin(version: str, nginx: RealNginx, exodus_certbot: ExodusCertbot) -> None:
    ran = exodus_certbot("doctor", "--json", env=with_certbot(version))

    assert found(ran, "certbot") == [("ok", f"{certbots()[version]} loads the plugin exodus-nginx", "")]


def test_a_certbot_whose_python_has_no_plugin_is_critical_only_where_a_lineage_names_it(
    nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    script, python = certbot_without_plugin(tmp_path / "bin")
    on_path = {"PATH": f"{script.parent}:{SYSTEM_PATH}"}

    before = exodus_certbot("doctor", "--json", env=on_path)
    write_renewal(certbot_tree, more="installer = exodus-nginx\n")
    after = exodus_certbot("doctor", "--json", env=on_path)

    for ran, severity in ((before, "warning"), (after, "critical")):
        ((told, message, remedy),) = found(ran, "certbot")
        assert told == severity
        assert f"{script} ({python}) cannot load the plugin exodus-nginx: it is not installed there" in message
        assert "adopt --undo --all" in remedy


def test_a_plugin_that_would_fail_once_it_has_work_is_found(
    nginx: RealNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    """A virtual environment with our distribution and without `cryptography`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True, timeout=60)
    (packages,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    (packages / "ours.pth").write_text(f"{ROOT}\n{ROOT / 'hooks'}\n")
    (packages / "certbot").symlink_to(Path(_folder_of("certbot")))
    script = tmp_path / "venv/bin/certbot"
    script.write_text(f"#!{tmp_path / 'venv/bin/python'}\n")
    script.chmod(0o755)

    ran = exodus_certbot("doctor", "--json", env={"PATH": f"{script.parent}:{SYSTEM_PATH}"})

    assert "No module named" in found(ran, "certbot")[0][1]


def _folder_of(package: str) -> str:
    argv = [sys.executable, "-c", f"import {package}; print({package}.__path__[0])"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_a_certbot_that_is_no_python_program_is_said_to_be_unknown(
    nginx: RealNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    script = tmp_path / "bin/certbot"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)

    ran = exodus_certbot("doctor", "--json", env={"PATH": f"{script.parent}:{SYSTEM_PATH}"})

    ((severity, message, remedy),) = found(ran, "certbot")
    assert severity == "warning"
    assert "is no Python program" in message
    assert "certbot plugins" in remedy


# --- what nginx is configured with ---


def serve(nginx: RealNginx, tree: CertbotTree, certificate: Path, key: Path) -> None:
    tls = f"listen 127.0.0.1:{free_port()} ssl;\nssl_certificate {certificate};\nssl_certificate_key {key};"
    nginx.stop()
    nginx.write(f"server {{\n{tls}\nserver_name {NAME};\n}}\n")
    nginx.start()


def test_a_path_into_the_archive_is_a_version_that_no_renewal_reaches(
    nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot
) -> None:
    archive, live = (certbot_tree.folder / folder / NAME for folder in ("archive", "live"))
    serve(nginx, certbot_tree, archive / "fullchain1.pem", archive / "privkey1.pem")

    ran = exodus_certbot("doctor", "--json", env=with_certbot())

    ((severity, message, remedy),) = found(ran, str(archive / "fullchain1.pem"))
    assert severity == "critical"
    assert f"one version, or a copy, of the certificate of lineage {NAME}: no renewal reaches it" in message
    assert remedy == f"ssl_certificate {live}/fullchain.pem;\nssl_certificate_key {live}/privkey.pem;"


def test_a_copy_of_a_lineage_is_recognised_and_the_lineage_itself_is_not_complained_of(
    nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    live = certbot_tree.folder / "live" / NAME
    well = exodus_certbot("doctor", "--json", env=with_certbot())
    copy = Path(shutil.copytree(live, tmp_path / "copy"))
    serve(nginx, certbot_tree, copy / "fullchain.pem", copy / "privkey.pem")
    ill = exodus_certbot("doctor", "--json", env=with_certbot())

    assert "ssl_certificate" not in well.stdout
    assert found(ill, str(copy / "fullchain.pem"))[0][0] == "critical"


def test_a_key_that_is_a_copy_stops_fitting_at_the_next_renewal(
    nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    live = certbot_tree.folder / "live" / NAME
    key = Path(shutil.copy(live / "privkey.pem", tmp_path))
    serve(nginx, certbot_tree, live / "fullchain.pem", key)

    ran = exodus_certbot("doctor", "--json", env=with_certbot())

    assert found(ran, str(key)) == [
        (
            "critical",
            f"it is not the key file of lineage {NAME}: after a renewal it does not fit",
            f"ssl_certificate_key {live}/privkey.pem;",
        )
    ]


def test_a_certificate_that_nobody_renews_is_a_warning(
    nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    bought = CertbotTree(tmp_path / "bought").issue(NAME)
    serve(nginx, certbot_tree, bought / "fullchain.pem", bought / "privkey.pem")

    ran = exodus_certbot("doctor", "--json", env=with_certbot())

    ((severity, message, _),) = found(ran, str(bought / "fullchain.pem"))
    assert (severity, "nobody renews it that we know of" in message) == ("warning", True)


# --- nginx, webroots, timers ---


def test_an_nginx_that_is_broken_or_stopped_is_told_and_the_rest_is_looked_at_all_the_same(
    nginx: RealNginx, exodus_certbot: ExodusCertbot
) -> None:
    good = nginx.conf.read_text()
    nginx.conf.write_text(good + "servre { }")
    broken = exodus_certbot("doctor", "--json", env=with_certbot())
    nginx.conf.write_text(good)
    nginx.stop()
    stopped = exodus_certbot("doctor", "--json", env=with_certbot())

    assert "servre" in found(broken, "nginx")[0][1]
    assert "not running" in found(stopped, "nginx")[0][1]
    assert found(broken, LINEAGE) == found(stopped, LINEAGE) != []


def test_the_webroot_of_2019_is_warned_of_twice_and_one_that_is_safe_is_not(
    nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    webroot = tmp_path / "webroot"
    webroot.mkdir()
    webroot.chmod(0o777)
    write_renewal(certbot_tree, authenticator="webroot", more=f"[[webroot_map]]\n{NAME} = {webroot}\n")
    ill = exodus_certbot("doctor", "--json", env=with_certbot())
    write_renewal(certbot_tree, authenticator="webroot", more="webroot_path = /usr/share,\n")
    well = exodus_certbot("doctor", "--json", env=with_certbot())

    told = [message for _, message, _ in found(ill, f"webroot {webroot}")]
    assert [message.split(",")[0] for message in told] == [
        "a reboot deletes it",
        f"every user may write to {webroot}",
    ]
    assert found(well, "webroot /usr/share") == []


def test_without_systemd_timers_are_said_to_be_unknown(
    nginx: RealNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    """The tests' own machine may have systemd: a PATH without systemctl has not."""
    links = tmp_path / "bin"
    links.mkdir()
    for program in ("nginx", "certbot"):
        target = shutil.which(program, path=f"{Path(certbots()['newest']).parent}:{SYSTEM_PATH}")
        (links / program).symlink_to(str(target))

    ran = exodus_certbot("doctor", "--json", env={"PATH": str(links)})

    ((severity, message, remedy),) = found(ran, "timers")
    assert severity == "warning"
    assert "cannot be known" in message
    assert "exodus-certbot reconcile" in remedy


def test_people_read_the_worst_last_and_quiet_is_quiet_when_all_is_well(
    nginx: RealNginx, exodus_certbot: ExodusCertbot
) -> None:
    ill = exodus_certbot("doctor", env=with_certbot())
    exodus_certbot("adopt", NAME)
    quiet = exodus_certbot("doctor", "--quiet", env=with_certbot())

    lines = ill.stdout.splitlines()
    assert lines[0].startswith("OK: ")
    assert lines[-3].startswith(f"CRITICAL: {LINEAGE}: neither the plugin nor the hook")
    assert lines[-2] == f"    exodus-certbot adopt {NAME}"
    assert lines[-1].startswith("CRITICAL: 1 critical")
    assert (quiet.exit_code, quiet.stdout) == (0, "")


def test_a_command_that_cannot_begin_says_so_as_a_finding(exodus_certbot: ExodusCertbot, tmp_path: Path) -> None:
    broken = tmp_path / "broken-nginx"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)

    ran = exodus_certbot("doctor", "--json", "--nginx", str(broken))

    assert ran.exit_code == 1
    ((severity, message, _),) = found(ran, "exodus-certbot")
    assert severity == "critical"
    assert str(broken) in message


def test_it_changes_nothing(nginx: RealNginx, exodus_certbot: ExodusCertbot) -> None:
    workers = nginx.reloads
    before = {path: path.stat().st_mtime_ns for path in exodus_certbot.certbot_dir.rglob("*")}

    exodus_certbot("doctor", env=with_certbot())

    assert {path: path.stat().st_mtime_ns for path in exodus_certbot.certbot_dir.rglob("*")} == before
    assert nginx.reloads == workers
