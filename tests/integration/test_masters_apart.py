"""A master whose files or listeners are not those that we see: named, never judged by another's, and never reloaded."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exodus_certbot.nginx.mounts import unlike
from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ROOT, ExodusCertbot, Ran
from tests.parts.configuration import server
from tests.parts.mounts import OWN, PRIVATE, ROOT_IS_A_MOUNT
from tests.parts.nginx import NGINX, RealNginx, running_nginx
from tests.parts.ports import free_port
from tests.parts.waiting import wait_until
from tests.parts.witness import all_served_sha256, disk_sha256

NAME = "exodus.example"
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'hooks'}"}
# What our unit leaves of root, who may trace nobody with that.
OF_OUR_UNIT = ["setpriv", "--bounding-set", "-all,+dac_read_search,+setuid,+setgid,+kill", "--inh-caps", "-all"]
in_a_root_that_is_a_mount = pytest.mark.skipif(
    not ROOT_IS_A_MOUNT, reason="in a chroot(2) every master in another mount namespace is unknown, and never reloaded"
)
COMMANDS = [("check",), ("reconcile",), ("deploy", "--lineage", "{lineage}")]


@contextmanager
def nginx_apart(folder: Path, http: str, namespace: str, first: str = ":") -> Iterator[RealNginx]:
    """Run an nginx in a namespace of its own, where something is done first."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    nginx = RealNginx(folder)
    nginx.write(http)
    begin = OWN if namespace == "--mount" else ["unshare", namespace]
    start = f"{PRIVATE if namespace == '--mount' else ':'}\n{first} && exec {NGINX} -c {nginx.conf}"
    subprocess.run([*begin, "sh", "-c", start], check=True, timeout=20)
    try:
        wait_until(lambda: nginx.pid_file.exists() and nginx.pid_file.read_text().strip())
        yield nginx.at_rest()
    finally:
        nginx.stop()


def inside(master: int, namespaces: str, command: ExodusCertbot, *arguments: str) -> Ran:
    """Do what the message says: run our command where the master is."""
    argv = ["nsenter", "--target", str(master), *namespaces.split(), *command.argv(*arguments)]
    done = subprocess.run(argv, env=command.environment, capture_output=True, text=True, timeout=60, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def assert_unknown_and_left_in_peace(ran: Ran, nginx: RealNginx, said: str) -> None:
    assert (ran.exit_code, ran.json["verdict"], ran.json["reloaded"]) == (1, "unknown", False), ran.stdout
    assert said in ran.json["reason"]
    assert {verdict for (verdict,) in ran.listed("verdict")} <= {"not-probed"}
    assert nginx.reloads == 0


@pytest.mark.parametrize("has_neighbour", [False, True], ids=["nobody in its place", "another nginx in its place"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_nobody_is_asked_in_place_of_an_nginx_in_another_network_namespace(
    command: tuple[str, ...],
    has_neighbour: bool,
    certbot_tree: CertbotTree,
    exodus_certbot: ExodusCertbot,
    tmp_path: Path,
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    http = server(f"127.0.0.1:{port} ssl", NAME, lineage)
    with nginx_apart(tmp_path / "nginx", http, "--net", "ip link set lo up") as nginx:
        certbot_tree.issue(NAME)
        words = [word.format(lineage=lineage) for word in command]
        if has_neighbour:
            with running_nginx(tmp_path / "neighbour", http):
                ran = exodus_certbot(*words, "--json")
        else:
            ran = exodus_certbot(*words, "--json")

        assert_unknown_and_left_in_peace(ran, nginx, "in a network namespace of its own")
        assert f"run nsenter --target {nginx.pid} --net exodus-certbot reconcile" in ran.json["reason"]
        repaired = inside(nginx.pid, "--net", exodus_certbot, "reconcile", "--json")
        assert (repaired.exit_code, nginx.reloads) == (0, 1), repaired.stdout
        assert inside(nginx.pid, "--net", exodus_certbot, "check").exit_code == 0


def leading_to(nginx: RealNginx) -> str:
    """Join our network to a master's, and give the address at which it is there."""
    name = f"x{nginx.pid}"
    ours = (
        f"ip link add {name} type veth peer name {name}b netns {nginx.pid} && "
        f"ip address add 198.51.100.1/30 dev {name} && ip link set {name} up"
    )
    theirs = f"ip address add 198.51.100.2/30 dev {name}b && ip link set {name}b up"
    subprocess.run(["sh", "-c", ours], check=True, timeout=20)
    subprocess.run(["nsenter", "--target", str(nginx.pid), "--net", "sh", "-c", theirs], check=True, timeout=20)
    return "198.51.100.2"


def test_an_nginx_in_another_network_namespace_is_asked_at_an_address_that_leads_there(
    certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    http = server(f"{free_port()} ssl", NAME, certbot_tree.issue(NAME))
    with nginx_apart(tmp_path / "nginx", http, "--net", "ip link set lo up") as nginx:
        certbot_tree.issue(NAME)
        repaired = exodus_certbot("reconcile", "--json", "--connect", leading_to(nginx))

        assert (repaired.exit_code, repaired.json["reloaded"], nginx.reloads) == (0, True, 1), repaired.stdout
        assert repaired.listed("verdict") == [("ok",)]


def test_of_one_configuration_in_two_network_namespaces_each_is_looked_after_where_it_is(
    certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    nginx = RealNginx(tmp_path / "nginx")
    nginx.write(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))
    nginx.conf.write_text(nginx.conf.read_text().replace(f"pid {nginx.pid_file};", ""))
    apart = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    with with_pid_file(nginx, tmp_path / "here.pid"), with_pid_file(nginx, tmp_path / "there.pid", *apart) as there:
        certbot_tree.issue(NAME)
        one = exodus_certbot("reconcile", "--json")
        other = inside(there, "--net", exodus_certbot, "reconcile", "--json")

    assert [(ran.exit_code, ran.json["reloaded"]) for ran in (one, other)] == [(0, True)] * 2, one.stdout + other.stdout
    assert nginx.reloads == 2


@contextmanager
def with_pid_file(nginx: RealNginx, pid_file: Path, *begin: str) -> Iterator[int]:
    """Run one more master of a configuration."""
    subprocess.run([*begin, NGINX, "-c", str(nginx.conf), "-g", f"pid {pid_file};"], check=True, timeout=20)
    try:
        wait_until(lambda: pid_file.exists() and pid_file.read_text().strip())
        master = int(pid_file.read_text())
        yield master
    finally:
        os.kill(master, signal.SIGTERM)
        wait_until(lambda: not pid_file.exists())


@in_a_root_that_is_a_mount
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_an_nginx_with_other_certificates_in_the_same_place_is_never_reloaded(
    command: tuple[str, ...], certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    lineage = certbot_tree.issue(NAME)
    shutil.copytree(certbot_tree.folder, tmp_path / "theirs", symlinks=True)
    http = server(f"127.0.0.1:{free_port()} ssl", NAME, lineage)
    over = f"mount --bind {tmp_path}/theirs {certbot_tree.folder}"
    with nginx_apart(tmp_path / "nginx", http, "--mount", over) as nginx:
        certbot_tree.issue(NAME)
        ran = exodus_certbot(*(word.format(lineage=lineage) for word in command), "--json")

        assert_unknown_and_left_in_peace(
            ran, nginx, f"where {lineage}/fullchain.pem and 1 more is not the file that we see"
        )
        assert f"run nsenter --target {nginx.pid} --mount exodus-certbot reconcile" in ran.json["reason"]
        assert inside(nginx.pid, "--mount", exodus_certbot, "check").exit_code == 0


@in_a_root_that_is_a_mount
def test_an_nginx_with_another_configuration_in_the_same_place_is_named(
    certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    http = server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME))
    conf, theirs = tmp_path / "nginx/nginx.conf", tmp_path / "theirs"
    over = f"cp {conf} {theirs} && mount --bind {theirs} {conf}"
    with nginx_apart(tmp_path / "nginx", http, "--mount", over) as nginx:
        ran = exodus_certbot("reconcile", "--json")

        assert_unknown_and_left_in_peace(ran, nginx, f"its master {nginx.pid} does in a mount namespace of its own")


@in_a_root_that_is_a_mount
def test_an_nginx_with_the_same_files_in_a_mount_namespace_of_its_own_is_reloaded(
    certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    http = server(f"127.0.0.1:{port} ssl", NAME, lineage)
    # As ProtectSystem= and PrivateTmp= of a unit do.
    over = f"mount --bind {certbot_tree.folder} {certbot_tree.folder} && mount -t tmpfs none /mnt"
    with nginx_apart(tmp_path / "nginx", http, "--mount", over):
        certbot_tree.issue(NAME)
        repaired = exodus_certbot("reconcile", "--json")
        assert (repaired.exit_code, repaired.json["reloaded"]) == (0, True), repaired.stdout
        assert all_served_sha256(port, NAME) == {disk_sha256(lineage)}


@in_a_root_that_is_a_mount
def test_who_has_no_right_to_trace_sees_the_namespaces_of_a_master_as_well(
    certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    lineage = certbot_tree.issue(NAME)
    shutil.copytree(certbot_tree.folder, tmp_path / "theirs", symlinks=True)
    http = server(f"127.0.0.1:{free_port()} ssl", NAME, lineage)
    over = f"mount --bind {tmp_path}/theirs {certbot_tree.folder}"
    for namespace, first, said in (
        ("--net", "ip link set lo up", "in a network namespace of its own"),
        ("--mount", over, "in a mount namespace of its own"),
    ):
        with nginx_apart(tmp_path / "nginx", http, namespace, first) as nginx:
            argv = [*OF_OUR_UNIT, *exodus_certbot.argv("check", "--json")]
            done = subprocess.run(argv, env=exodus_certbot.environment, capture_output=True, timeout=60, check=False)
            assert_unknown_and_left_in_peace(Ran(done.returncode, done.stdout.decode(), ""), nginx, said)
        nginx.error_log.unlink()


def test_a_stale_site_is_repaired_from_the_mounts_and_rights_of_our_unit(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    certbot_tree.issue(NAME)
    # ProcSubset=pid, ProtectSystem=strict, PrivateDevices=yes
    mounts = "mount -t proc -o subset=pid proc /proc; mount --bind /etc /etc; mount -o remount,bind,ro /etc; "
    mounts += "mount -t tmpfs none /dev/shm"
    sandbox = [*OWN, "sh", "-ec", f'{PRIVATE}\n{mounts}; exec "$@"', "sh", *OF_OUR_UNIT, "--no-new-privs"]
    argv = [*sandbox, *exodus_certbot.argv("reconcile", "--json")]

    done = subprocess.run(argv, env=exodus_certbot.environment, capture_output=True, text=True, timeout=60, check=False)

    repaired = Ran(done.returncode, done.stdout, done.stderr)
    assert (repaired.exit_code, repaired.json["reloaded"]) == (0, True), repaired.all_output
    assert all_served_sha256(port, NAME) == {disk_sha256(lineage)}


def test_a_process_in_our_own_namespaces_sees_what_we_see(start_nginx: StartNginx) -> None:
    nginx = start_nginx("")

    assert unlike(nginx.pid, [str(nginx.conf), "/etc/passwd", "/nowhere/at/all"]) == ()
    assert unlike(os.getpid(), [str(nginx.conf)]) == ()


def test_sockets_and_addresses_are_seen_where_a_unit_sees_processes_alone() -> None:
    look = "from exodus_certbot.nginx import listening; from exodus_certbot.tls import addresses; "
    look += "print([port for _, port, _ in listening.sockets()], addresses.global_ipv6())"
    begin = "mount -t proc -o subset=pid proc /proc && ip link set lo up && ip address add 2001:db8::1/64 dev lo nodad"
    listen = "import socket; all = socket.create_server(('127.0.0.1', 8443)); "
    sandbox = [*OWN, "--net", "sh", "-c", f'{PRIVATE}\n{begin} && exec "$0" -P -c "$1"', sys.executable]

    seen = subprocess.run(
        [*sandbox, listen + look], env=ENVIRONMENT, capture_output=True, text=True, timeout=20, check=True
    )

    assert seen.stdout == "[8443] ('2001:db8::1',)\n"
