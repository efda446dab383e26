"""Whoever looks, and whatever another user of the machine has put there: an answer, and no traceback."""

import itertools
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.integration.test_doctor import LINEAGE, NAME, found, with_certbot, write_renewal
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot, Ran, for_somebody_else
from tests.parts.configuration import server
from tests.parts.nginx import RealNginx
from tests.parts.ports import free_port
from tests.parts.processes import running
from tests.parts.waiting import wait_until

SOMEBODY = 12345
LOOKS = [("check",), ("doctor",), ("preflight",), ("preflight", NAME, "--webroot", "/srv")]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


@pytest.fixture
def nginx(certbot_tree: CertbotTree, start_nginx: StartNginx, tmp_path: Path) -> RealNginx:
    """Serve one lineage, with a configuration that everybody may read."""
    lineage = certbot_tree.issue(NAME)
    write_renewal(certbot_tree)
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, lineage))
    opened = itertools.takewhile(lambda above: above != Path(tempfile.gettempdir()), nginx.conf.parents)
    for folder in (*opened, certbot_tree.folder):
        folder.chmod(0o755)
    for file in (certbot_tree.folder, *certbot_tree.folder.rglob("*"), nginx.conf):
        file.chmod(0o755 if file.is_dir() else 0o644)
    return nginx


def by_somebody(command: ExodusCertbot, *arguments: str) -> Ran:
    become = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups"]
    done = subprocess.run(
        [*become, *command.argv(*arguments, "--json")],
        env=for_somebody_else(command.environment) | with_certbot(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in ran.all_output, ran.all_output
    return ran


@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_a_pid_file_in_a_folder_that_is_closed_ends_no_look(
    look: tuple[str, ...], nginx: RealNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "nginx.pid").write_text(nginx.pid_file.read_text())
    text = nginx.conf.read_text()
    nginx.conf.write_text(text.replace(str(nginx.pid_file), str(closed / "nginx.pid")))

    ran = by_somebody(exodus_certbot, *look)
    nginx.conf.write_text(text)

    assert ran.json["verdict"] in ("ok", "warning", "critical", "unknown")


@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
@pytest.mark.parametrize("closed", ["live", "archive", "renewal", "renewal-hooks", "accounts", "."])
def test_folders_of_certbots_that_are_closed_end_no_look(
    closed: str, look: tuple[str, ...], nginx: RealNginx, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot
) -> None:
    write_renewal(certbot_tree, more="account = 0123\nserver = https://127.0.0.1:1/dir\n")
    (certbot_tree.folder / "renewal-hooks/deploy").mkdir(parents=True)
    (certbot_tree.folder / "accounts/127.0.0.1:1/dir/0123").mkdir(parents=True)
    (certbot_tree.folder / closed).chmod(0o700)

    ran = by_somebody(exodus_certbot, *look)

    assert ran.json["verdict"] in ("ok", "warning", "critical", "unknown")
    if look == ("doctor",) and closed == "accounts":
        assert "its account" not in str(found(ran, LINEAGE))  # which root can see


@pytest.mark.parametrize("title", ["nginx -c /etc/x", "nginx -p /etc", "nginx -g"])
def test_a_process_of_somebody_that_calls_itself_a_master_and_is_none_changes_no_answer(
    title: str, nginx: RealNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    """The words of a command line are divided by null bytes, which nginx's title never has."""
    become = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups"]
    decoy = [*become, "bash", "-c", 'exec -a "$0" sleep 600', f"nginx: master process {title}"]
    before = exodus_certbot("check", "--json")
    with running(decoy, env=dict(os.environ), log=tmp_path / "decoy.log") as process:
        wait_until(lambda: Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(b"nginx: master"))
        beside = exodus_certbot("check", "--json")

    assert (before.exit_code, beside.exit_code) == (0, 0), beside.all_output
