"""`doctor` and `preflight` say of a renewal file's settings what certbot itself says, and each remedy helps."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.integration.test_doctor import LINEAGE, NAME, found, with_certbot, write_renewal
from tests.integration.test_doctor_on_renewals import ADOPTED
from tests.parts.authority import CertbotTree
from tests.parts.certbot import SYSTEM_PATH, RealCertbot, certbots
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.nginx import RealNginx, running_nginx
from tests.parts.pebble import running_pebble
from tests.parts.ports import free_port
from tests.parts.site import Site

VERSIONS = [pytest.param(version, marks=[pytest.mark.full] * (version == "4.0.0")) for version in certbots()]
Ill = list[tuple[str, str, str]]


@pytest.fixture
def nginx(certbot_tree: CertbotTree, start_nginx: StartNginx) -> RealNginx:
    """Serve one lineage of the plugin."""
    lineage = certbot_tree.issue(NAME)
    write_renewal(certbot_tree, more=ADOPTED)
    return start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, lineage))


def ill(command: ExodusCertbot, verb: str, **env: str) -> Ill:
    """Give what a verb complains of, but for a CA that is not there."""
    told = found(command(verb, "--json", env=with_certbot() | env), LINEAGE)
    return [each for each in told if each[0] != "ok" and not each[1].startswith("the CA at")]


def renewed(tree: CertbotTree, version: str, tmp_path: Path, **env: str) -> str:
    """Have a certbot renew, from a CA that is not there; give all that it says."""
    folders = ("--config-dir", tree.folder, "--work-dir", tmp_path / "work", "--logs-dir", tmp_path / "logs")
    argv = [certbots()[version], "renew", "--non-interactive", "--force-renewal", "--no-random-sleep-on-renew"]
    ran = subprocess.run(
        [*argv, "--server", "https://127.0.0.1:1/dir", *map(str, folders)],
        env={"PATH": SYSTEM_PATH, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1, ran.stdout
    return " ".join((ran.stdout + ran.stderr).split())


# --- values that certbot does not accept ---


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rsa_key_size = abc", "Expected a numeric value for rsa_key_size"),
        ("http01_port = 8o80", "Expected a numeric value for http01_port"),
        ("http01_port = ", "Expected a numeric value for http01_port"),
        ("autorenew = maybe", "Expected True or False for autorenew but found maybe"),
        ("must_staple = x", "Expected True or False for must_staple but found x"),
    ],
)
def test_a_value_that_certbot_does_not_accept_is_told_by_both_and_its_remedy_helps(
    line: str, words: str, nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    file = write_renewal(certbot_tree, authenticator="standalone", more=f"{ADOPTED}{line}\n")
    no_python = tmp_path / "bin/certbot"
    no_python.parent.mkdir()
    no_python.write_text("#!/bin/sh\n")
    no_python.chmod(0o755)
    said = renewed(certbot_tree, "newest", tmp_path)
    told = [
        *ill(exodus_certbot, "doctor"),
        *ill(exodus_certbot, "preflight"),
        *ill(exodus_certbot, "doctor", PATH=f"{no_python.parent}:{SYSTEM_PATH}"),
    ]
    (remedy,) = {each[2] for each in told}
    file.write_text(file.read_text().replace(f"{line}\n", f"http01_port = {free_port()}\n"))
    mended = ill(exodus_certbot, "doctor") + ill(exodus_certbot, "preflight")

    assert words in said
    assert [each[0] for each in told] == ["critical"] * 3
    assert all("certbot passes over it: " in each[1] and words in each[1] for each in told)
    assert remedy == f"in {file}, mend or take out the line `{line.strip()}{' ' * line.endswith(' ')}`"
    assert mended == []


# --- hooks whose programs are not there ---


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("option", ["manual_auth_hook", "manual_cleanup_hook"])
def test_a_hook_of_manual_that_is_not_there_is_told_as_certbot_does(
    option: str,
    version: str,
    nginx: RealNginx,
    certbot_tree: CertbotTree,
    exodus_certbot: ExodusCertbot,
    tmp_path: Path,
) -> None:
    hook = tmp_path / "hook"
    file = write_renewal(certbot_tree, more=f"{ADOPTED}manual_cleanup_hook = /bin/true\n")
    good = file.read_text()
    file.write_text(good.replace(f"{option} = /bin/true", f"{option} = {hook} --all"))
    path = with_certbot(version)["PATH"]
    said = renewed(certbot_tree, version, tmp_path)
    told = ill(exodus_certbot, "doctor", PATH=path) + ill(exodus_certbot, "preflight", PATH=path)
    hook.write_text("#!/bin/sh\n")
    ((_, closed, _),) = ill(exodus_certbot, "doctor", PATH=path)
    hook.chmod(0o755)
    mended = ill(exodus_certbot, "doctor", PATH=path) + ill(exodus_certbot, "preflight", PATH=path)

    words = f"Unable to find {option.removesuffix('_hook').replace('_', '-')}-hook command {hook} in the PATH"
    assert words in said
    assert [each[:2] for each in told] == [("critical", f"{words}: no renewal can succeed")] * 2
    assert "exists, but is not executable" in closed
    assert mended == []


def test_without_certbots_own_look_a_cleanup_hook_may_be_missing_and_an_auth_hook_may_not(
    nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    (tmp_path / "letsencrypt-config/letsencrypt").mkdir(parents=True)
    (tmp_path / "letsencrypt-config/letsencrypt/cli.ini").write_text("disable-hook-validation = true\n")
    config = str(tmp_path / "letsencrypt-config")
    file = write_renewal(certbot_tree, more=f"{ADOPTED}manual_cleanup_hook = /no/cleanup\n")
    cleanup = ill(exodus_certbot, "doctor", XDG_CONFIG_HOME=config)
    file.write_text(file.read_text().replace("/bin/true", "/no/auth"))
    auth = ill(exodus_certbot, "doctor", XDG_CONFIG_HOME=config)

    assert cleanup == []
    assert [(severity, "/no/auth" in message) for severity, message, _ in auth] == [("critical", True)]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_hook_of_cli_ini_that_is_not_there_keeps_certbot_from_renewing_anything(
    version: str, nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    ini = tmp_path / "config/letsencrypt/cli.ini"
    ini.parent.mkdir(parents=True)
    ini.write_text("pre-hook = /no/such/pre\n")
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "PATH": with_certbot(version)["PATH"]}
    said = renewed(certbot_tree, version, tmp_path, XDG_CONFIG_HOME=env["XDG_CONFIG_HOME"])
    told = found(exodus_certbot("doctor", "--json", env=env), "certbot")
    ini.unlink()
    mended = found(exodus_certbot("doctor", "--json", env=env), "certbot")

    words = "Unable to find pre-hook command /no/such/pre in the PATH"
    assert words in said
    assert [each[0] for each in told if words in each[1] and "renews nothing" in each[1]] == ["critical"]
    assert not [each for each in mended if "renews nothing" in each[1]]


@pytest.mark.parametrize("option", ["pre_hook", "post_hook", "renew_hook"])
def test_any_other_hook_that_is_not_there_is_a_warning_and_counts_for_nothing(
    option: str, nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    hook = tmp_path / "stop-exodus-certbot"
    write_renewal(certbot_tree, more=f"{ADOPTED}{option} = {hook} now\n")
    ((severity, message, _),) = ill(exodus_certbot, "doctor")
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    mended = [each for each in ill(exodus_certbot, "doctor") if "goes on" in each[1]]

    assert (severity, message) == (
        "warning",
        f"its {option}: {hook} is not there; certbot says so, and goes on as if it had run",
    )
    assert mended == []


@pytest.mark.parametrize("option", ["pre_hook", "post_hook", "renew_hook"])
def test_certbot_does_go_on(option: str, site: Site) -> None:
    file, heading = site.certbot.renewal_file(NAME), "[renewalparams]\n"
    file.write_text(file.read_text().replace(heading, f"{heading}{option} = /no/such/program now\n"))

    ran = site.certbot.renew()

    assert (ran.exit_code, "reported error code 127" in ran.all_output) == (0, True), ran.all_output


def test_a_pre_hook_that_is_not_there_frees_no_port_and_a_deploy_hook_reloads_nothing(
    nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot
) -> None:
    with listening("127.0.0.1") as port:
        more = f"http01_port = {port}\npre_hook = /no/such/pre\nrenew_hook = /no/such/exodus-certbot deploy\n"
        write_renewal(certbot_tree, authenticator="standalone", more=more)
        told = ill(exodus_certbot, "doctor")

    assert {message.split(":")[0] for severity, message, _ in told if severity == "critical"} == {
        "neither the plugin nor the hook",
        f"authenticator standalone listens on port {port} itself, and somebody else does",
    }


@pytest.mark.parametrize("command", ["cd /srv && ./stop", "A=1 /no/such", "'/no such/x'", "if true; then :; fi"])
def test_what_only_a_shell_understands_is_left_to_it(
    command: str, nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot
) -> None:
    write_renewal(certbot_tree, more=f'{ADOPTED}renew_hook = "{command}"\n')

    assert ill(exodus_certbot, "doctor") == []


# --- standalone on an address of its own ---


@contextmanager
def listening(address: str, port: int = 0) -> Iterator[int]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port or free_port()), family=family) as holder:
        yield holder.getsockname()[1]


@pytest.mark.parametrize(
    ("holder", "own", "is_ill"),
    [
        ("127.0.0.2", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("::1", "127.0.0.1", False),
        ("127.0.0.1", "::1", False),
        ("127.0.0.2", "", True),
    ],
)
def test_standalone_can_listen_on_an_address_that_nobody_holds(
    holder: str,
    own: str,
    is_ill: bool,
    nginx: RealNginx,
    certbot_tree: CertbotTree,
    exodus_certbot: ExodusCertbot,
) -> None:
    with listening(holder) as port:
        more = f"{ADOPTED}http01_port = {port}\n" + (f"http01_address = {own}\n" if own else "")
        write_renewal(certbot_tree, authenticator="standalone", more=more)
        told = ill(exodus_certbot, "doctor") + ill(exodus_certbot, "preflight")

    place = f"{own}:{port}" if own else f"port {port}"
    message = f"authenticator standalone listens on {place} itself, and somebody else does: no renewal can succeed"
    assert [each[:2] for each in told] == [("critical", message)] * 2 * is_ill


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("http01_address = 192.0.2.1\n", "it cannot: Cannot assign requested address"),
        ("http01_port = 99999\n", "there is no port 99999"),
    ],
)
def test_standalone_where_this_machine_cannot_listen_is_critical(
    more: str, why: str, nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot
) -> None:
    port = "" if "port" in more else f"http01_port = {free_port()}\n"
    write_renewal(certbot_tree, authenticator="standalone", more=f"{ADOPTED}{more}{port}")

    ((severity, message, remedy),) = ill(exodus_certbot, "doctor")

    assert (severity, why in message, "pre_hook" in remedy) == ("critical", True, False)


def test_certbot_renews_beside_an_nginx_on_another_address_and_doctor_agrees(
    tmp_path: Path, exodus_certbot: ExodusCertbot
) -> None:
    port = free_port()
    own = ["--standalone", "--http-01-address", "127.0.0.1", "--http-01-port", str(port)]
    with running_pebble(tmp_path / "pebble", port) as pebble:
        certbot = RealCertbot(tmp_path, pebble, tmp_path / "webroot")
        account = ["--agree-tos", "--register-unsafely-without-email"]
        issued = certbot.run("certonly", *own, *account, "--cert-name", NAME, "--domain", NAME)
        http = f"server {{ listen 127.0.0.2:{port}; return 204; }}"
        http += server(f"127.0.0.1:{free_port()} ssl", NAME, certbot.live(NAME))
        with running_nginx(tmp_path / "nginx", http):
            again = certbot.renew()
            env = {**certbot.env(), "PATH": with_certbot()["PATH"]}
            told = [found(exodus_certbot(verb, "--json", env=env), LINEAGE) for verb in ("doctor", "preflight")]

    assert (issued.exit_code, again.exit_code) == (0, 0), issued.all_output + again.all_output
    assert "standalone" not in str(told)
