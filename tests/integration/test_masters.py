"""Which nginx is meant, what may be asked of it, and that whoever only looks changes nothing."""

import hashlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from exodus_certbot import settings
from exodus_certbot.errors import NginxError
from exodus_certbot.nginx import proc, program, strangers
from exodus_common.clock import Deadline, SystemClock
from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.certbot import write_program
from tests.parts.command import ExodusCertbot, Ran, for_somebody_else
from tests.parts.configuration import server
from tests.parts.nginx import NGINX, RealNginx, running_nginx
from tests.parts.ports import free_port
from tests.parts.processes import running
from tests.parts.waiting import wait_until
from tests.parts.witness import all_served_sha256, disk_sha256

NAME = "exodus.example"
SOMEBODY = 12345
LOOKS = [("check",), ("doctor",), ("preflight",)]


def fingerprint(folder: Path) -> dict[Path, tuple[object, ...]]:
    """Give all that a change would change: owners, modes, times, links and contents."""
    found: dict[Path, tuple[object, ...]] = {}
    for file in (folder, *folder.rglob("*")):
        seen = file.lstat()
        content = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
        found[file] = (seen.st_uid, seen.st_gid, seen.st_mode, seen.st_mtime_ns, seen.st_ctime_ns, content)
    return found


def opened_to_all(folder: Path) -> None:
    """Let anybody come to a folder of a test's own."""
    for above in itertools.takewhile(lambda above: above != Path(tempfile.gettempdir()), (folder, *folder.parents)):
        above.chmod(0o755)


@contextmanager
def nginx_of_somebody(folder: Path, http: str, groups: str = "--clear-groups") -> Iterator[RealNginx]:
    """Run an nginx whose master is no root, in a folder of its user."""
    folder.mkdir(exist_ok=True)
    nginx = RealNginx(folder)
    nginx.write(http)
    for file in (folder, *folder.rglob("*")):
        os.chown(file, SOMEBODY, SOMEBODY)
    opened_to_all(folder)
    become = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", groups]
    subprocess.run([*become, NGINX, "-c", str(nginx.conf)], check=True, timeout=20)
    try:
        wait_until(lambda: nginx.pid_file.exists() and nginx.pid_file.read_text().strip())
        yield nginx
    finally:
        nginx.stop()


def readable(certbot_tree: CertbotTree) -> None:
    """Let anybody read what was issued, as a deploy hook does for a service that is no root."""
    for file in (certbot_tree.folder, *certbot_tree.folder.rglob("*")):
        file.chmod(0o755 if file.is_dir() else 0o644)


def posted(port: int, content: bytes) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", data=content)
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own nginx
        return int(answer.status)


def buffering(lineage: Path, plain: int, tls: int) -> str:
    """Configure a site that keeps what is posted in a file of its temporary folder."""
    return (
        server(f"127.0.0.1:{tls} ssl", NAME, lineage)
        + f"server {{ listen 127.0.0.1:{plain}; client_body_buffer_size 1k; client_max_body_size 10m;\n"
        + f"location / {{ proxy_pass http://127.0.0.1:{plain}/kept; }} location /kept {{ return 204; }} }}\n"
    )


@pytest.fixture
def theirs(certbot_tree: CertbotTree, tmp_path: Path) -> Iterator[tuple[RealNginx, int]]:
    """Give a site of somebody who is not root, and the port at which it takes uploads."""
    lineage, plain = certbot_tree.issue(NAME), free_port()
    readable(certbot_tree)
    with nginx_of_somebody(tmp_path / "nginx", buffering(lineage, plain, free_port())) as nginx:
        yield nginx.at_rest(), plain


@pytest.mark.parametrize("command", LOOKS, ids=lambda command: command[0])
def test_an_nginx_of_another_user_still_takes_uploads_after_a_look(
    command: tuple[str, ...], theirs: tuple[RealNginx, int], exodus_certbot: ExodusCertbot
) -> None:
    nginx, port = theirs
    assert posted(port, bytes(1_200_000)) == 204
    before = fingerprint(nginx.folder)

    looked = exodus_certbot(*command, "--json")

    assert looked.json["verdict"], looked.stderr
    assert fingerprint(nginx.folder) == before
    assert posted(port, bytes(1_200_000)) == 204


def test_an_nginx_of_another_user_is_reloaded_and_still_takes_uploads(
    theirs: tuple[RealNginx, int], certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot
) -> None:
    nginx, port = theirs
    certbot_tree.issue(NAME)
    readable(certbot_tree)

    deployed = exodus_certbot("reconcile", "--json")

    assert (deployed.exit_code, deployed.json["reloaded"]) == (0, True)
    assert posted(port, bytes(1_200_000)) == 204
    assert (nginx.folder / "tmp").stat().st_uid == SOMEBODY


@pytest.mark.parametrize("command", LOOKS, ids=lambda command: command[0])
def test_who_looks_makes_no_folder_and_no_log_that_nginx_misses(
    command: tuple[str, ...], certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME))).at_rest()
    shutil.rmtree(nginx.folder / "tmp")
    nginx.error_log.unlink()
    before = fingerprint(nginx.folder)

    assert exodus_certbot(*command, "--json").json["verdict"]

    assert fingerprint(nginx.folder) == before


def test_who_looks_makes_no_pid_file_for_an_nginx_that_lost_its_own(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME))).at_rest()
    with without_pid_file(nginx):
        before = fingerprint(nginx.folder)
        found = exodus_certbot("check", "--json")
        assert fingerprint(nginx.folder) == before

    assert (found.exit_code, found.listed("verdict")) == (0, [("ok",)])


@contextmanager
def without_pid_file(nginx: RealNginx) -> Iterator[None]:
    pid = nginx.pid_file.read_text()
    nginx.pid_file.unlink()
    try:
        yield
    finally:
        nginx.pid_file.write_text(pid)


def test_a_master_whose_pid_file_is_lost_is_reloaded_all_the_same(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))
    certbot_tree.issue(NAME)
    with without_pid_file(nginx):
        repaired = exodus_certbot("reconcile", "--json")

    assert (repaired.exit_code, repaired.json["reloaded"]) == (0, True)


@pytest.mark.parametrize(
    "options",
    [
        ["-g", "daemon on; master_process on;"],
        ["-p", "{folder}", "-c", "nginx.conf"],
        ["-p", "{folder}/", "-c", "nginx.conf", "-g", "pid other.pid;"],
        ["-c", "nginx.conf", "-p", "nginx"],
    ],
    ids=["as Debian does", "prefix", "directives", "relative"],
)
def test_a_master_is_known_by_what_it_was_started_with(
    options: list[str], certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    nginx = RealNginx(tmp_path / "nginx")
    nginx.folder.mkdir(exist_ok=True)
    nginx.write(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    is_elsewhere = any("pid" in word for word in options)
    pid_file = nginx.folder / ("other.pid" if is_elsewhere else "nginx.pid")
    text = nginx.conf.read_text().replace(f"pid {nginx.pid_file};", "" if is_elsewhere else "pid nginx.pid;")
    nginx.conf.write_text(text)
    argv = [NGINX, *(word.format(folder=nginx.folder) for word in options)]
    if "-c" not in options:
        argv += ["-c", str(nginx.conf), "-p", str(nginx.folder)]
    certbot_tree.issue(NAME)
    subprocess.run(argv, cwd=tmp_path, check=True, timeout=20)
    try:
        wait_until(lambda: pid_file.exists() and pid_file.read_text().strip())
        certbot_tree.issue(NAME)
        repaired = exodus_certbot("reconcile", "--json")
        assert (repaired.exit_code, repaired.json["reloaded"]) == (0, True), repaired.stdout
        assert all_served_sha256(port, NAME) == {disk_sha256(lineage)}
    finally:
        if is_elsewhere:
            pid_file.rename(nginx.pid_file)
        nginx.stop()


def test_a_master_with_another_configuration_is_named_and_left_in_peace(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))
    other = tmp_path / "other.conf"
    other.write_text(nginx.conf.read_text().replace(str(nginx.pid_file), str(tmp_path / "other.pid")))
    certbot_tree.issue(NAME)

    ran = replace(exodus_certbot, conf=other)("reconcile", "--json")

    assert (ran.exit_code, ran.json["verdict"], ran.json["reloaded"]) == (1, "critical", False)
    assert re.search(r"yet master \d+ runs with .*: if that is meant, name it with --nginx-conf", ran.json["reason"])
    assert nginx.reloads == 0


def test_a_program_that_is_being_replaced_is_left_to_whoever_replaces_it(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    nginx = start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage)).at_rest()
    old, old_file = nginx.pid, nginx.folder / "nginx.pid.oldbin"
    os.kill(old, signal.SIGUSR2)
    wait_until(lambda: old_file.exists() and nginx.pid_file.exists() and nginx.pid_file.read_text().strip())
    certbot_tree.issue(NAME)
    try:
        ran = exodus_certbot("reconcile", "--json")
        assert (ran.exit_code, ran.json["verdict"], ran.json["reloaded"]) == (1, "critical", False)
        assert f"kill -QUIT {old}" in ran.json["reason"]
    finally:
        os.kill(old, signal.SIGQUIT)
    wait_until(lambda: not old_file.exists())

    repaired = exodus_certbot("reconcile", "--json")

    assert (repaired.exit_code, repaired.json["reloaded"]) == (0, True)
    assert all_served_sha256(port, NAME) == {disk_sha256(lineage)}


@pytest.mark.parametrize("log", ["stderr", "memory:1m", "/dev/null", "syslog:server=127.0.0.1"])
def test_a_rejected_reload_is_told_at_once_wherever_nginx_logs(
    log: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port, busy = certbot_tree.issue(NAME), free_port(), free_port()
    nginx = start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    text = nginx.conf.read_text().replace(f"error_log {nginx.error_log} notice;", f"error_log {log};")
    text = text.replace(f"listen 127.0.0.1:{port} ssl;", f"listen 127.0.0.1:{port} ssl; listen 192.0.2.1:{busy};")
    nginx.conf.write_text(text)
    old = all_served_sha256(port, NAME)
    certbot_tree.issue(NAME)
    begun = time.monotonic()

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--timeout", "60", "--json")

    assert time.monotonic() - begun < 20
    assert (deployed.exit_code, deployed.json["reloaded"]) == (1, False)
    assert "nginx rejected the reload and keeps the old configuration" in deployed.json["reason"]
    assert all_served_sha256(port, NAME) == old


def test_another_master_behind_the_same_port_is_named(
    certbot_tree: CertbotTree, start_nginx: StartNginx, tmp_path: Path
) -> None:
    port = free_port()
    http = server(f"127.0.0.1:{port} ssl reuseport", NAME, certbot_tree.issue(NAME))
    nginx = start_nginx(http)
    alone = strangers.named(nginx.pid, [("127.0.0.1", port)])
    with running_nginx(tmp_path / "other", http) as other:
        (beside,) = strangers.named(nginx.pid, [("127.0.0.1", port)])
        who = f"process {other.pid} (nginx: master process {NGINX})"

    assert alone == ()
    assert beside.startswith(f"{who} accepts connections at 127.0.0.1:{port} too")


@contextmanager
def nginx_in_a_container(folder: Path, http: str) -> Iterator[int]:
    """Run an nginx in a process namespace of its own, as a container does; give its master as we see it."""
    folder.mkdir(exist_ok=True)
    nginx = RealNginx(folder)
    nginx.write(http)
    argv = ["unshare", "--pid", "--fork", "--kill-child", NGINX, "-c", str(nginx.conf), "-g", "daemon off;"]
    with running(argv, env=os.environ, log=folder / "container.log") as container:
        children = Path(f"/proc/{container.pid}/task/{container.pid}/children")
        wait_until(lambda: nginx.pid_file.exists() and nginx.pid_file.read_text().strip())
        master = int(children.read_text())
        yield master
        os.kill(master, signal.SIGTERM)  # unshare itself takes no notice of signals
        container.wait(timeout=20)


@pytest.mark.parametrize("command", ["check", "reconcile"])
def test_an_nginx_in_a_container_is_named_and_left_in_peace(
    command: str, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    http = server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME))
    with nginx_in_a_container(tmp_path / "nginx", http) as master:
        certbot_tree.issue(NAME)
        ran = exodus_certbot(command, "--json")

    assert (ran.exit_code, ran.json["reloaded"]) == (1, False)
    assert f"its master {master} does in a container" in ran.json["reason"]
    assert "start it" not in ran.json["reason"]


def test_where_nginx_runs_in_a_container_none_is_to_be_installed_beside_it(
    certbot_tree: CertbotTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(settings, "SYSTEM_PATH", str(tmp_path))
    titles = {4711: b"nginx: master process nginx -g daemon off;"}
    monkeypatch.setattr(proc, "pids", lambda: list(titles))
    monkeypatch.setattr(proc, "title", titles.get)
    statuses = {4711: proc.Status(b"Name:\tnginx\nNSpid:\t4711\t1\n")}
    monkeypatch.setattr(proc, "status", statuses.get)
    deadline = Deadline.after(10, SystemClock())

    with pytest.raises(NginxError, match="nginx's master 4711 runs in a container: run exodus-certbot in there"):
        program.find_nginx(None, None, deadline)
    statuses[4711] = proc.Status(b"Name:\tnginx\nNSpid:\t4711\n")
    with pytest.raises(NginxError, match="yet master 4711 runs: name its program with --nginx nginx"):
        program.find_nginx(None, None, deadline)
    titles.clear()
    with pytest.raises(NginxError, match="install nginx, or name it with --nginx"):
        program.find_nginx(None, None, deadline)


@contextmanager
def started(nginx: RealNginx, *argv: str, pid_file: Path | None = None) -> Iterator[int]:
    """Run an nginx with a command line of its own; give its master."""
    file = pid_file or nginx.pid_file
    nginx.folder.chmod(0o755)
    subprocess.run(argv, check=True, timeout=20)
    wait_until(lambda: file.exists() and file.read_text().strip())
    master = int(file.read_text())
    try:
        yield master
    finally:
        os.kill(master, signal.SIGTERM)
        wait_until(lambda: proc.process(master) is None)


@pytest.fixture
def written(certbot_tree: CertbotTree, tmp_path: Path) -> tuple[RealNginx, Path, int]:
    """Write the configuration of a site that nobody has started yet."""
    lineage, port = certbot_tree.issue(NAME), free_port()
    nginx = RealNginx(tmp_path / "nginx")
    nginx.folder.mkdir(exist_ok=True)
    nginx.write(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    return nginx, lineage, port


# nginx on PATH, which is not the one that runs: it lacks a module that the running one has.
LACKS_A_MODULE = (
    'case "$*" in *-t*) echo "nginx: [emerg] unknown directive \\"my_module\\"" >&2; exit 1;; esac; exec "$0" "$@"'
)


def test_the_program_that_runs_judges_and_not_another_one_on_path(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    write_program(tmp_path / "bin/nginx", "sh", "-c", LACKS_A_MODULE, NGINX)
    on_path = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    certbot_tree.issue(NAME)

    repaired = exodus_certbot("reconcile", "--json", env=on_path)
    named = exodus_certbot("check", "--json", "--nginx", str(tmp_path / "bin/nginx"))

    assert (repaired.exit_code, repaired.json["reloaded"]) == (0, True), repaired.stdout
    assert 'unknown directive "my_module"' in named.json["reason"]  # who names a program means it


def test_a_program_that_was_replaced_since_it_started_is_not_asked_and_reloads_all_the_same(
    written: tuple[RealNginx, Path, int], certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    nginx, lineage, port = written
    program = tmp_path / "nginx-of-mine"
    shutil.copy(NGINX, program)
    with started(nginx, str(program), "-c", str(nginx.conf)):
        program.unlink()
        found = exodus_certbot("doctor", "--json").json["findings"]
        certbot_tree.issue(NAME)
        repaired = exodus_certbot("reconcile", "--json")
        assert (repaired.exit_code, repaired.json["reloaded"]) == (0, True), repaired.stdout
        assert all_served_sha256(port, NAME) == {disk_sha256(lineage)}

    (finding,) = [one for one in found if one["subject"] == "nginx"]
    assert finding["severity"] == "warning"
    assert f"its program, {program} (deleted), is not what is in that place now" in finding["message"]


@pytest.mark.parametrize("command", ["check", "reconcile", "doctor"])
def test_what_the_masters_own_user_may_not_read_is_known_before_a_reload(
    command: str, theirs: tuple[RealNginx, int], certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot
) -> None:
    nginx, _ = theirs
    certbot_tree.issue(NAME)  # its key is root's alone
    before = fingerprint(nginx.folder)

    found = exodus_certbot(command, "--json")

    assert (found.exit_code, found.json["verdict"]) == (1, "critical")
    assert "Permission denied" in found.stdout
    assert f"its master runs as uid {SOMEBODY}" in found.stdout
    assert (nginx.reloads, fingerprint(nginx.folder)) == (0, before)


def test_what_the_masters_own_groups_may_read_is_accepted(
    certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    lineage, group = certbot_tree.issue(NAME), 4242
    readable(certbot_tree)
    key = (lineage / "privkey.pem").resolve()
    os.chown(key, 0, group)
    key.chmod(0o640)
    with nginx_of_somebody(
        tmp_path / "nginx", server(f"127.0.0.1:{free_port()} ssl", NAME, lineage), f"--groups=4343,{group}"
    ):
        accepted = exodus_certbot("check", "--json")
        os.chown(key, 0, 0)
        rejected = exodus_certbot("check", "--json")

    assert (accepted.exit_code, accepted.json["reason"]) == (0, "1 ok")
    assert (rejected.exit_code, rejected.json["verdict"]) == (1, "critical")


@pytest.mark.parametrize("variables", [[], ["A=bbbb"]], ids=["no room at all", "too little room"])
def test_a_master_whose_title_was_cut_short_is_known_by_its_pid_file(
    variables: list[str], written: tuple[RealNginx, Path, int], certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot
) -> None:
    nginx, _, _ = written
    with started(nginx, "env", "--ignore-environment", *variables, NGINX, "-c", str(nginx.conf)) as master:
        wait_until(lambda: str(nginx.conf).encode() not in proc.title(master))
        certbot_tree.issue(NAME)
        repaired = exodus_certbot("reconcile", "--json")

    assert (repaired.exit_code, repaired.json["reloaded"]) == (0, True), repaired.stdout


def test_the_files_are_those_beside_the_name_that_the_master_has_for_its_configuration(
    written: tuple[RealNginx, Path, int], certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    nginx, lineage, port = written
    files = {"site.pem": "fullchain.pem", "site.key": "privkey.pem"}
    nginx.conf.write_text(
        nginx.conf.read_text()
        .replace(str(lineage / "fullchain.pem"), "site.pem")
        .replace(str(lineage / "privkey.pem"), "site.key")
    )
    linked = tmp_path / "run/nginx.conf"
    linked.parent.mkdir()
    linked.symlink_to(nginx.conf)
    for name, file in files.items():
        (linked.parent / name).symlink_to(lineage / file)
        shutil.copy(lineage / file, nginx.folder / name)  # left over beside the real file
    with started(nginx, NGINX, "-c", str(linked)):
        certbot_tree.issue(NAME)
        deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")
        for name in files:
            (nginx.folder / name).unlink()
        looked = exodus_certbot("check", "--json")

        assert (deployed.exit_code, deployed.json["reloaded"]) == (0, True), deployed.stdout
        assert (looked.exit_code, looked.json["verdict"]) == (0, "ok"), looked.stdout
        assert all_served_sha256(port, NAME) == {disk_sha256(lineage)}


def test_a_broken_configuration_is_found_where_the_pid_file_is_lost(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))
    nginx.conf.write_text(nginx.conf.read_text() + "broken;\n")
    with without_pid_file(nginx):
        looks = [exodus_certbot(command, "--json") for command in ("check", "doctor", "preflight")]

    assert [look.json["verdict"] for look in looks] == ["critical"] * 3
    assert all("broken" in look.stdout for look in looks)


def test_nobody_says_accepted_of_a_configuration_that_could_not_be_tried(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))
    tried = without_right(exodus_certbot, "", "check", "doctor", "preflight")
    nginx.conf.write_text(nginx.conf.read_text() + "broken;\n")
    # What a container has by default.
    untried = without_right(exodus_certbot, "-dac_read_search", "check", "doctor", "preflight")

    assert "not asked" not in tried[0].json["reason"]
    assert [f"runs, and accepts {nginx.conf}" in look.stdout for look in tried] == [False, True, True]
    assert "nginx was not asked whether it accepts its configuration" in untried[0].json["reason"]
    for look in untried[1:]:
        (finding,) = [one for one in look.json["findings"] if one["subject"] == "nginx"]
        assert finding["severity"] == "warning"
        assert "it was not asked whether it accepts that" in finding["message"]


def without_right(command: ExodusCertbot, rights: str, *arguments: str) -> list[Ran]:
    """Run our commands as root without some rights."""
    become = ["setpriv", "--bounding-set", rights] if rights else []
    return [ran_as(become, command, argument, "--json") for argument in arguments]


def ran_as(become: list[str], command: ExodusCertbot, *arguments: str) -> Ran:
    argv = [*become, *command.argv(*arguments)]
    environment = for_somebody_else(command.environment)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


# What our unit leaves of root.
WITHOUT_TRACING = ["setpriv", "--bounding-set", "-all,+dac_read_search,+setuid,+setgid,+kill", "--inh-caps", "-all"]
AS_SOMEBODY = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups"]


@pytest.mark.parametrize("is_lost", [False, True], ids=["with its pid file", "without its pid file"])
def test_who_may_not_read_the_certificates_calls_nothing_right(
    is_lost: bool,
    certbot_tree: CertbotTree,
    start_nginx: StartNginx,
    exodus_certbot: ExodusCertbot,
    tmp_path: Path,
) -> None:
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))
    opened_to_all(nginx.folder)
    for folder in ("live", "archive"):
        (certbot_tree.folder / folder).chmod(0o700)
    certbot_tree.issue(NAME)
    if is_lost:
        with without_pid_file(nginx):
            found = ran_as(AS_SOMEBODY, exodus_certbot, "check", "--format", "nagios")
    else:
        found = ran_as(AS_SOMEBODY, exodus_certbot, "check", "--format", "nagios")

    assert (found.exit_code, found.stdout[:7]) == (3, "UNKNOWN"), found.all_output
    assert "run as root" in found.stdout


@pytest.mark.parametrize("command", LOOKS, ids=lambda command: command[0])
def test_who_may_not_enter_the_folder_of_the_pid_file_is_told_in_a_sentence(
    command: tuple[str, ...], written: tuple[RealNginx, Path, int], exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    nginx, _, _ = written
    closed = tmp_path / "closed/nginx.pid"
    closed.parent.mkdir(mode=0o700)
    nginx.conf.write_text(nginx.conf.read_text().replace(str(nginx.pid_file), str(closed)))
    opened_to_all(nginx.folder)
    with started(nginx, NGINX, "-c", str(nginx.conf), pid_file=closed):
        found = ran_as(AS_SOMEBODY, exodus_certbot, *command)

    assert found.exit_code in (0, 1)
    assert "Traceback" not in found.all_output


def test_an_nginx_without_a_master_is_named_and_not_to_be_started(
    written: tuple[RealNginx, Path, int], exodus_certbot: ExodusCertbot
) -> None:
    nginx, _, _ = written
    nginx.conf.write_text("master_process off;\n" + nginx.conf.read_text())
    with started(nginx, NGINX, "-c", str(nginx.conf)) as alone:
        found = exodus_certbot("check", "--json")

    assert (found.exit_code, found.json["verdict"]) == (1, "unknown")
    assert f"as process {alone} alone (master_process off)" in found.json["reason"]
    assert "start nginx" not in found.json["reason"]


def test_two_masters_with_pid_files_of_their_own_are_named_and_none_is_reloaded(
    written: tuple[RealNginx, Path, int], certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    nginx, _, port = written
    text = nginx.conf.read_text().replace(f"pid {nginx.pid_file};", "")
    nginx.conf.write_text(text.replace(f"127.0.0.1:{port} ssl;", f"127.0.0.1:{port} ssl reuseport;"))
    one, other = tmp_path / "one.pid", tmp_path / "other.pid"
    with (
        started(nginx, NGINX, "-c", str(nginx.conf), "-g", f"pid {one};", pid_file=one) as first,
        started(nginx, NGINX, "-c", str(nginx.conf), "-g", f"pid {other};", pid_file=other) as second,
    ):
        certbot_tree.issue(NAME)
        found = exodus_certbot("reconcile", "--json", "--timeout", "5")

        both = " and ".join(map(str, sorted((first, second))))
        assert f"masters {both} run with {nginx.conf}, each with a pid file of its own" in found.json["reason"]
        assert (found.json["reloaded"], nginx.reloads) == (False, 0)


@contextmanager
def titled(title: str, folder: Path) -> Iterator[int]:
    """Run a program of somebody that calls itself an nginx master, and never answers."""
    waiting, program = folder / "waiting", folder / "sleeper"
    os.mkfifo(waiting)
    os.chown(waiting, SOMEBODY, SOMEBODY)
    shutil.copy(shutil.which("cat") or "cat", program)
    opened_to_all(folder)
    argv = [*AS_SOMEBODY, "bash", "-c", 'exec 0<>"$1"; exec -a "$0" "$2"', title, str(waiting), str(program)]
    with running(argv, env=os.environ, log=folder / "somebody.log") as somebody:
        wait_until(lambda: proc.title(somebody.pid) == title.encode())
        yield somebody.pid


@pytest.mark.parametrize("is_pipe", [False, True], ids=["with a pid file", "with a pid file that never ends"])
def test_a_title_of_somebody_else_takes_no_place_beside_the_master_of_root(
    is_pipe: bool,
    certbot_tree: CertbotTree,
    start_nginx: StartNginx,
    exodus_certbot: ExodusCertbot,
    tmp_path: Path,
) -> None:
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))
    certbot_tree.issue(NAME)
    named = tmp_path / "somebody.pid"
    with titled(f"nginx: master process nginx -c {nginx.conf} -g pid {named};", tmp_path) as somebody:
        if is_pipe:
            os.mkfifo(named)
        else:
            named.write_text(str(somebody))
        repaired = exodus_certbot("reconcile", "--json")

    assert (repaired.exit_code, repaired.json["reloaded"]) == (0, True), repaired.stdout


@pytest.mark.parametrize("become", [[], WITHOUT_TRACING], ids=["may see where", "may not see where"])
def test_a_socket_with_a_relative_path_is_asked_where_the_master_was_started(
    become: list[str], certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    nginx = RealNginx(tmp_path / "nginx")
    nginx.write(server("unix:beside.sock ssl", NAME, certbot_tree.issue(NAME)))
    with started(nginx, "env", "--chdir", str(nginx.folder), NGINX, "-c", str(nginx.conf)):
        found = ran_as(become, exodus_certbot, "check", "--json")

    assert (found.exit_code, found.listed("verdict")) == (0, [("not-probed" if become else "ok",)]), found.stdout
