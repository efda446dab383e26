"""`doctor` knows what certbot is going to do, and what it names is gone once its remedy was done."""

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.integration.test_doctor import LINEAGE, NAME, found, with_certbot, write_renewal
from tests.parts.authority import CertbotTree
from tests.parts.certbot import SYSTEM_PATH
from tests.parts.command import ExodusCertbot, Ran
from tests.parts.configuration import server
from tests.parts.nginx import RealNginx
from tests.parts.ports import free_port, held_port
from tests.parts.site import Site

ADOPTED = "installer = exodus-nginx\n"


@pytest.fixture
def nginx(certbot_tree: CertbotTree, start_nginx: StartNginx) -> RealNginx:
    """Serve one lineage of the plugin."""
    lineage = certbot_tree.issue(NAME)
    write_renewal(certbot_tree, more=ADOPTED)
    return start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, lineage))


@pytest.fixture
def doctor(nginx: RealNginx, exodus_certbot: ExodusCertbot) -> "Doctor":
    """Give what asks doctor of the lineage."""
    return Doctor(exodus_certbot)


class Doctor:
    """Ask doctor, of what is not right with the lineage."""

    def __init__(self, command: ExodusCertbot) -> None:
        self.command = command

    def ran(self, version: str = "newest", **more: str) -> Ran:
        return self.command("doctor", "--json", env=with_certbot(version) | more)

    def ill(self, version: str = "newest", subject: str = LINEAGE, **more: str) -> list[tuple[str, str, str]]:
        return [each for each in found(self.ran(version, **more), subject) if each[0] != "ok"]


def do(remedy: str) -> None:
    subprocess.run(["sh", "-ec", remedy], check=True, timeout=20)


# --- what makes certbot pass over a lineage ---


def plain_files(tree: CertbotTree) -> None:
    for link in (tree.folder / "live" / NAME).glob("*.pem"):
        content = link.read_bytes()
        link.unlink()
        link.write_bytes(content)


def plain_files_and_no_archive(tree: CertbotTree) -> None:
    plain_files(tree)
    shutil.rmtree(tree.folder / "archive" / NAME)


def dangling_link(tree: CertbotTree) -> None:
    link = tree.folder / "live" / NAME / "chain.pem"
    link.unlink()
    link.symlink_to("../../archive/elsewhere/chain1.pem")


@pytest.mark.parametrize("version", ["2.1.0", "newest"])
@pytest.mark.parametrize("spoil", [plain_files, plain_files_and_no_archive, dangling_link])
def test_links_that_certbot_does_not_accept_are_mended_by_the_remedy(
    spoil: object, version: str, doctor: Doctor, certbot_tree: CertbotTree
) -> None:
    assert callable(spoil)
    spoil(certbot_tree)

    ((severity, message, remedy),) = doctor.ill(version)
    do(remedy)

    assert severity == "critical"
    assert message.startswith("certbot passes over it: ")
    assert "symlink" in message
    assert doctor.ill(version) == []


def test_where_certbot_cannot_be_asked_its_renewal_files_are_read(
    doctor: Doctor, certbot_tree: CertbotTree, tmp_path: Path
) -> None:
    no_python = tmp_path / "bin/certbot"
    no_python.parent.mkdir()
    no_python.write_text("#!/bin/sh\n")
    no_python.chmod(0o755)
    plain_files(certbot_tree)

    ((severity, message, _),) = doctor.ill(PATH=f"{no_python.parent}:/usr/sbin:/usr/bin:/bin")

    assert (severity, "to be a symlink" in message) == ("critical", True)


def test_lines_that_are_missing_are_named(doctor: Doctor, certbot_tree: CertbotTree) -> None:
    file = certbot_tree.folder / f"renewal/{NAME}.conf"
    whole = file.read_text()
    file.write_text(whole.replace("chain = ", "# = ", 1))

    ((severity, message, remedy),) = doctor.ill()
    file.write_text("\n".join(remedy.splitlines()[1:]) + "\n" + file.read_text())

    assert (severity, message) == ("critical", "certbot passes over it: it lacks the line of chain")
    assert doctor.ill() == []


def test_a_file_without_authenticator_or_in_another_encoding_is_critical(
    doctor: Doctor, certbot_tree: CertbotTree
) -> None:
    file = certbot_tree.folder / f"renewal/{NAME}.conf"
    whole = file.read_text()
    file.write_text(whole.replace("authenticator", "# authenticator"))
    ((severity, message, _),) = doctor.ill()
    file.write_bytes(whole.encode() + b"# caf\xe9\n")
    ((also, unread, _),) = doctor.ill()

    assert (severity, message) == ("critical", "certbot passes over it: it names no authenticator")
    assert (also, "it is not UTF-8" in unread) == ("critical", True)


def test_settings_that_certbot_rejects_are_told_in_its_words(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "letsencrypt-of-person").mkdir()
    (tmp_path / "letsencrypt-of-person/letsencrypt").mkdir()
    (tmp_path / "letsencrypt-of-person/letsencrypt/cli.ini").write_text("no-such-option = 1\n")

    told = doctor.ill(subject="certbot", XDG_CONFIG_HOME=str(tmp_path / "letsencrypt-of-person"))

    assert [severity for severity, message, _ in told if "rejects its own settings" in message] == ["critical"]
    assert doctor.ill(subject="certbot") == []


# --- authenticators ---


def test_standalone_on_a_port_that_is_held_succeeds_only_with_hooks(doctor: Doctor, certbot_tree: CertbotTree) -> None:
    with held_port() as holder:
        holder.listen()
        number = holder.getsockname()[1]
        port = f"http01_port = {number}\n"
        write_renewal(certbot_tree, authenticator="standalone", more=ADOPTED + port)
        ((severity, message, remedy),) = doctor.ill()
        hooks = "".join(f"{line}\n" for line in remedy.splitlines() if "_hook = " in line)
        write_renewal(certbot_tree, authenticator="standalone", more=ADOPTED + port + hooks)
        mended = doctor.ran()

    assert (severity, f"listens on port {number} itself" in message) == ("critical", True)
    assert [one[0] for one in found(mended, LINEAGE)] == ["ok", "ok"]
    assert "uncertain until it is run" in found(mended, LINEAGE)[1][1]


def test_standalone_on_a_free_port_is_fine(doctor: Doctor, certbot_tree: CertbotTree) -> None:
    write_renewal(certbot_tree, authenticator="standalone", more=f"{ADOPTED}http01_port = {free_port()}\n")

    assert doctor.ill() == []


def test_manual_without_an_auth_hook_waits_for_a_person(doctor: Doctor, certbot_tree: CertbotTree) -> None:
    file = certbot_tree.folder / f"renewal/{NAME}.conf"
    assert doctor.ill() == []
    file.write_text(file.read_text().replace("manual_auth_hook", "# manual_auth_hook"))

    ((severity, message, remedy),) = doctor.ill()

    assert (severity, "fails where there is none" in message) == ("critical", True)
    assert f"certbot certonly --cert-name {NAME} --webroot" in remedy


def test_an_authenticator_that_certbot_does_not_have_is_critical(doctor: Doctor, certbot_tree: CertbotTree) -> None:
    write_renewal(certbot_tree, authenticator="dns-nowhere", more=ADOPTED)

    ((severity, message, _),) = doctor.ill()

    assert (severity, "no authenticator dns-nowhere" in message) == ("critical", True)


def test_an_account_that_is_gone_and_a_renewal_that_is_switched_off_are_told(
    doctor: Doctor, certbot_tree: CertbotTree
) -> None:
    more = f"{ADOPTED}account = 0123\nserver = https://ca.example/dir\nautorenew = False\n"
    file = write_renewal(certbot_tree, more=more)

    def told() -> list[tuple[str, str]]:
        """Give all but what the CA, which is not there, does not answer: in whose words depends on the network."""
        ill = [each for each in doctor.ill() if "autho" not in each[1] and not each[1].startswith("the CA at")]
        return [(severity, message.split(":")[0]) for severity, message, _ in ill]

    ill = told()
    account = certbot_tree.folder / "accounts/ca.example/dir/4567"
    account.mkdir(parents=True)
    file.write_text("".join(line for line in file.open() if not line.startswith(("account", "autorenew"))))

    assert ill == [("warning", "autorenew is false"), ("critical", "its account 0123 at https")]
    assert told() == []


# --- who reloads ---


def hook_script(tree: CertbotTree, kind: str, text: str) -> Path:
    script = tree.folder / f"renewal-hooks/{kind}/20-servers"
    script.parent.mkdir(parents=True)
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)
    return script


@pytest.mark.parametrize(
    "more",
    [
        "renew_hook = systemctl reload nginx\n",
        "deploy_hook = service nginx reload\n",
        "post_hook = nginx -s reload\n",
        "installer = nginx\n",
    ],
)
def test_who_reloads_and_proves_nothing_is_a_warning(more: str, doctor: Doctor, certbot_tree: CertbotTree) -> None:
    write_renewal(certbot_tree, more=more)

    ((severity, message, remedy),) = doctor.ill()
    doctor.command(*remedy.split()[1:], env=with_certbot())

    assert (severity, remedy) == ("warning", f"exodus-certbot adopt {NAME}")
    assert "prove" in message
    assert doctor.ill() == []


@pytest.mark.parametrize("kind", ["deploy", "post"])
def test_so_is_a_script_that_does(kind: str, doctor: Doctor, certbot_tree: CertbotTree) -> None:
    write_renewal(certbot_tree)
    script = hook_script(certbot_tree, kind, "systemctl reload nginx")
    ((severity, message, _),) = doctor.ill()
    script.chmod(0o644)
    ((passed_over, _, _),) = doctor.ill()

    assert (severity, str(script) in message) == ("warning", True)
    assert passed_over == "critical"


def test_so_is_what_cli_ini_says(doctor: Doctor, certbot_tree: CertbotTree, tmp_path: Path) -> None:
    write_renewal(certbot_tree)
    ini = tmp_path / "config/letsencrypt/cli.ini"
    ini.parent.mkdir(parents=True)
    ini.write_text("deploy-hook = systemctl reload nginx\n")

    assert [one[0] for one in doctor.ill(XDG_CONFIG_HOME=str(tmp_path / "config"))] == ["warning"]
    assert [one[0] for one in doctor.ill()] == ["critical"]


def test_a_hook_that_has_nothing_to_do_with_nginx_reloads_nothing(doctor: Doctor, certbot_tree: CertbotTree) -> None:
    write_renewal(certbot_tree, more="renew_hook = systemctl reload postfix\n")
    hook_script(certbot_tree, "deploy", "systemctl reload dovecot")

    assert [one[0] for one in doctor.ill()] == ["critical"]


# --- age, without a CA to be asked ---


def test_a_lineage_that_expired_or_that_certbot_should_have_renewed_is_critical_whoever_reloads(
    doctor: Doctor, certbot_tree: CertbotTree
) -> None:
    def told(left_days: float) -> list[str]:
        certbot_tree.issue(NAME, age=timedelta(days=90 - left_days))
        write_renewal(certbot_tree, more=ADOPTED)
        return [message.split(" ")[0] for severity, message, _ in doctor.ill() if severity == "critical"]

    assert told(30) == []
    assert told(27) == ["overdue:"]
    assert told(-3) == ["expired"]


# --- a lineage that nginx uses and certbot does not renew ---


def test_a_lineage_without_a_renewal_file_is_replaced_by_the_one_that_has_its_names(
    nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot
) -> None:
    used = certbot_tree.folder / "live" / NAME
    (certbot_tree.folder / f"renewal/{NAME}.conf").unlink()
    alone = found(exodus_certbot("doctor", "--json", env=with_certbot()), f"{used}/fullchain.pem")
    certbot_tree.issue(f"{NAME}-0001", (NAME,))
    write_renewal(certbot_tree, f"{NAME}-0001", more=ADOPTED)
    ((severity, message, remedy),) = found(
        exodus_certbot("doctor", "--json", env=with_certbot()), f"{used}/fullchain.pem"
    )
    nginx.stop()
    nginx.write(f"server {{ listen 127.0.0.1:{free_port()} ssl;\nserver_name {NAME};\n{remedy}\n}}")
    nginx.start()
    mended = exodus_certbot("doctor", "--json", env=with_certbot())

    assert (severity, "certbot does not renew it" in message) == ("critical", True)
    assert remedy == "".join(
        (f"ssl_certificate {used}-0001/fullchain.pem;\n", f"ssl_certificate_key {used}-0001/privkey.pem;")
    )
    assert alone[0][2].startswith(f"certbot certonly --cert-name {NAME}-0001 --domain {NAME}\n")
    assert mended.json["verdict"] != "critical", mended.stdout


def test_preflight_knows_it_too(nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot) -> None:
    well = exodus_certbot("preflight", "--json")
    plain_files(certbot_tree)
    ill = exodus_certbot("preflight", "--json")

    assert well.exit_code == 0, well.stdout
    assert (ill.exit_code, found(ill, LINEAGE)[0][0]) == (1, "critical")


# --- remedies that ask the CA ---


def ills_of(site: Site, command: ExodusCertbot, subject: str = LINEAGE) -> list[tuple[str, str, str]]:
    env = {**site.certbot.env(), "PATH": f"{Path(site.certbot.certbot).parent}:{SYSTEM_PATH}"}
    return [each for each in found(command("doctor", "--json", env=env), subject) if each[0] == "critical"]


def run_certbot(site: Site, remedy: str, *options: str) -> None:
    """Do what a remedy says, with what only the operator knows."""
    words = remedy[remedy.index("certbot ") :].splitlines()[0].replace("DIR", str(site.certbot.webroot)).split()
    site.certbot.webroot.mkdir(exist_ok=True)
    ran = site.certbot.run(*words[1:], *options)
    assert ran.exit_code == 0, ran.all_output


def test_another_authenticator_takes_the_place_of_manual(site: Site, exodus_certbot: ExodusCertbot) -> None:
    site.certbot.use_plugin(NAME)
    file = site.certbot.renewal_file(NAME)
    file.write_text(file.read_text().replace("authenticator = webroot", "authenticator = manual"))

    ((_, message, remedy),) = ills_of(site, exodus_certbot)
    run_certbot(site, remedy)

    assert "authenticator manual" in message
    assert ills_of(site, exodus_certbot) == []


def test_an_account_is_made_anew(site: Site, exodus_certbot: ExodusCertbot) -> None:
    site.certbot.use_plugin(NAME)
    shutil.rmtree(site.certbot.config_dir / "accounts")

    ((_, message, remedy),) = ills_of(site, exodus_certbot)
    run_certbot(site, remedy, "--agree-tos", "--register-unsafely-without-email")
    file = site.certbot.renewal_file(NAME)
    file.write_text("".join(line for line in file.open() if not line.startswith("account = ")))

    assert "its account" in message
    assert ills_of(site, exodus_certbot) == []
    assert site.certbot.renew().exit_code == 0


def test_a_lineage_that_is_not_renewed_is_issued_under_a_name_that_is_free(
    site: Site, exodus_certbot: ExodusCertbot
) -> None:
    site.certbot.renewal_file(NAME).unlink()
    subject = f"{site.certbot.live(NAME)}/fullchain.pem"

    ((_, _, remedy),) = ills_of(site, exodus_certbot, subject)
    run_certbot(site, remedy, "--webroot", "--webroot-path", str(site.certbot.webroot))
    lines = "\n".join(line for line in remedy.splitlines() if line.startswith("ssl_certificate"))
    site.nginx.write(f"server {{ listen 127.0.0.1:{site.tls_port} ssl;\nserver_name {NAME};\n{lines}\n}}")

    assert ills_of(site, exodus_certbot, subject) == []
