"""Real users, tried by `setpriv`: the state is the guard's alone; a member of its group may ask, and nothing else."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.parts.command import ROOT, Ran
from tests.parts.guard import MIB, Guarded, apk_key
from tests.parts.service import Service, running_service
from tests.parts.waiting import wait_until

PYTHON = "/usr/bin/python3"  # which every user may run; our own interpreter may lie in a home
GUARD, MEMBER, OTHER = 54321, 54322, 54323
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")


def as_user(uid: int, *argv: str, groups: Sequence[int] = ()) -> list[str]:
    many = [f"--groups={','.join(map(str, groups))}"] if groups else ["--clear-groups"]
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", *many, *argv]


def member(*argv: str) -> list[str]:
    return as_user(MEMBER, *argv, groups=[GUARD])


@dataclass(frozen=True)
class Shared(Guarded):
    """A store in a folder that every user may enter, with a state that is a user's of its own."""

    def argv(self, *arguments: str) -> list[str]:
        return [PYTHON, "-P", "-m", "exodus_storage_guard", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"PYTHONPATH": str(self.folder / "hooks")}

    def as_user(self, argv: Sequence[str], timeout: float = 60) -> Ran:
        done = subprocess.run(
            argv, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False, cwd="/"
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def as_member(self, *arguments: str) -> Ran:
        return self.as_user(member(*self.argv(*arguments)))


@pytest.fixture
def shared() -> Iterator[Shared]:
    """Give a store, an archive and a state that are the guard's, who is another user than root."""
    folder = Path(tempfile.mkdtemp(prefix="exodus-"))
    folder.chmod(0o755)
    guarded = Shared(folder)
    # Our checkout may lie in a home, where nobody else may read.
    shutil.copytree(ROOT / "hooks", folder / "hooks", ignore=shutil.ignore_patterns("__pycache__"))
    guarded.write(admission={"emergency_reserve": 0, "socket": str(folder / "guard.sock")})
    for place in (guarded.store, guarded.archive, guarded.state.parent):
        os.chown(place, GUARD, GUARD)
    guarded.state.parent.chmod(0o700)
    try:
        yield guarded
    finally:
        shutil.rmtree(folder)


@contextmanager
def serving(shared: Shared) -> Iterator[Service]:
    """Run the service as root does whose group is the guard's: by our own interpreter, which root alone may run."""
    os.chown(shared.state.parent, 0, 0)
    for file in shared.state.parent.iterdir():
        os.chown(file, 0, 0)
    argv = ["setpriv", f"--regid={GUARD}", "--clear-groups", *Guarded(shared.folder).argv("serve")]
    with running_service(shared, shared.folder / "guard.sock", argv=argv) as service:
        yield service


def whose(folder: Path) -> set[tuple[int, int]]:
    return {(path.lstat().st_uid, path.lstat().st_mode & 0o7777) for path in folder.iterdir()}


# --- root becomes the guard ---


def test_root_makes_everything_as_the_user_whose_the_folder_is(shared: Shared) -> None:
    made = shared("init")
    shared.put(apk_key(1))
    os.chown(shared.store / apk_key(1), GUARD, GUARD)

    assert made.exit_code == 0, made.all_output
    assert shared("sweep").exit_code == 0
    assert whose(shared.state.parent) == {(GUARD, 0o600)}
    assert {uid for uid, _ in whose(shared.archive)} == {GUARD}


def test_root_has_no_right_of_roots_where_the_guard_has_none(shared: Shared) -> None:
    shared.archive.chmod(0o700)
    os.chown(shared.archive, OTHER, OTHER)

    refused = shared("init")

    assert refused.exit_code != 0
    assert "ermission denied" in refused.all_output, refused.all_output
    assert list(shared.archive.iterdir()) == []


def test_before_it_is_started_root_is_told_what_the_guard_cannot_read(shared: Shared, tmp_path: Path) -> None:
    secret = shared.folder / "token"
    secret.write_text("t")
    shared.write(
        admission={"emergency_reserve": 0, "socket": str(shared.folder / "guard.sock")},
        capacity={"source": "minio", "url": "http://127.0.0.1:1/", "token_file": str(secret), "total_bytes": None},
    )
    assert shared("config", "--check").exit_code == 0

    for closed in (shared.config, secret):
        closed.chmod(0o600)
        for command in (["config", "--check"], ["init"]):
            refused = shared(*command)
            assert refused.exit_code == 78
            assert f"{closed}: cannot be read by {GUARD}" in refused.all_output, refused.all_output
        os.chown(closed, 0, GUARD)  # as the message says, with the name of the group
        closed.chmod(0o640)
        assert shared("config", "--check").exit_code == 0
    secret.unlink()
    assert shared("config", "--check").exit_code == 78
    assert shared("config", "--show").exit_code == 0


def test_a_state_of_roots_own_stays_roots(shared: Shared) -> None:
    os.chown(shared.state.parent, 0, 0)

    assert shared("init").exit_code == 0
    assert whose(shared.state.parent) == {(0, 0o600)}


@pytest.mark.parametrize("name", ["state.db", "state.db-wal", "state.db.ballast", "state.db.new", ".listing-x"])
@pytest.mark.parametrize("leads", ["somewhere", "nowhere"])
def test_what_a_member_of_old_planted_leads_root_nowhere(shared: Shared, name: str, leads: str) -> None:
    """The layout before had a folder of mode 2770, in which uploaders wrote."""
    shared.state.parent.chmod(0o2770)
    target = shared.folder / "roots"
    if leads == "somewhere":
        target.write_text("a secret")
        target.chmod(0o600)
    made = subprocess.run(member("ln", "-s", str(target), str(shared.state.parent / name)), timeout=30, check=False)
    assert made.returncode == 0

    shared("init")

    assert target.exists() == (leads == "somewhere")
    if target.exists():
        assert (target.read_text(), target.stat().st_mode & 0o777, target.stat().st_uid) == ("a secret", 0o600, 0)


PLANTED = {
    "state.db.new": (["mkdir"], "is a folder"),
    "state.db.ballast": (["mkdir"], "is a folder"),
    "state.db-wal": (["ln", "-s", "/nowhere"], "is a link"),
    "state.db-shm": (["mkfifo"], "is no file"),
    "state.db-journal": (["mkdir"], "is a folder"),
    "state.db-wal ": (["touch"], f"belongs to the user {MEMBER}, and we may not write to it"),
}


@pytest.mark.parametrize("case", PLANTED)
def test_what_blocks_an_upgrade_is_named_with_what_to_do_and_then_it_works(shared: Shared, case: str) -> None:
    """The layout before had a folder of mode 2770, in which uploaders wrote."""
    assert shared("init").exit_code == 0
    shared.state.parent.chmod(0o2770)
    name, (how, what) = case.strip(), PLANTED[case]
    planted = shared.state.parent / name
    planted.unlink(missing_ok=True)
    subprocess.run(member(*how, str(planted)), timeout=30, check=True)

    tries = [shared("init", timeout=20), shared("init", timeout=20)]
    if not name.startswith("state.db."):  # those two are opened by `init` alone
        tries.append(shared("status", timeout=20))

    for ran in tries:
        assert ran.exit_code == 1
        assert f"{planted} {what}" in ran.stderr
        assert "look what it is, remove it, and run: exodus-storage-guard init" in ran.stderr
    if planted.is_dir():
        planted.rmdir()
    else:
        planted.unlink()
    assert shared("init").exit_code == 0
    assert shared("status").exit_code == 0


def test_a_plain_file_that_a_member_put_beside_the_catalogue_blocks_no_upgrade(shared: Shared) -> None:
    assert shared("init").exit_code == 0
    shared.state.parent.chmod(0o2770)
    for name in ("state.db-wal", "state.db.new"):
        subprocess.run(member("touch", str(shared.state.parent / name)), timeout=30, check=True)
    (shared.state.parent / "state.db-wal").chmod(0o660)  # as those were that uploaders made

    assert shared("init").exit_code == 0
    assert shared("status").exit_code == 0


def test_the_layout_of_before_is_brought_up_by_one_command_that_may_be_run_twice(shared: Shared) -> None:
    assert shared("init").exit_code == 0
    shared.put(apk_key(1))
    os.chown(shared.store / apk_key(1), GUARD, GUARD)
    assert shared("sync").exit_code == 0
    shared.state.parent.chmod(0o2770)
    for file in shared.state.parent.iterdir():
        file.chmod(0o660)
    before = shared.state.stat().st_ino
    refused = shared("status")

    first = shared("init")
    second = shared("init")

    assert "run: exodus-storage-guard init" in refused.stderr
    assert (first.exit_code, second.exit_code) == (0, 0), first.all_output
    assert shared.state.stat().st_ino != before, "whoever had it open has not what is used now"
    assert shared.state.parent.stat().st_mode & 0o7777 == 0o700
    assert whose(shared.state.parent) == {(GUARD, 0o600)}
    assert shared("status", "--json").json["objects"]["resident"]["count"] == 1


def test_a_folder_that_holds_what_is_others_is_not_taken_from_them(shared: Shared) -> None:
    shared.state.parent.chmod(0o2770)
    (shared.state.parent / "theirs").write_text("")

    refused = shared("init")

    assert (refused.exit_code, "theirs" in refused.stderr) == (1, True)
    assert shared.state.parent.stat().st_mode & 0o7777 == 0o2770


def test_root_fetches_and_reports_to_where_the_guard_may_not_write(shared: Shared, tmp_path: Path) -> None:
    key, roots = apk_key(1), tmp_path / "roots"
    roots.mkdir(mode=0o700)
    shared.put(key)
    os.chown(shared.store / key, GUARD, GUARD)
    assert shared("init").exit_code == 0

    fetched = shared("fetch", key, str(roots / "fetched"))
    told = shared("fetch", key, str(roots / "again"), "--json")
    page = shared("report", "--html", str(roots / "page.html"))
    (roots / "kept").write_text("before")
    unknown = shared("fetch", "unknown", str(roots / "kept"))

    assert (fetched.exit_code, told.exit_code, page.exit_code) == (0, 0, 0), fetched.all_output + page.all_output
    assert (roots / "fetched").read_bytes() == (shared.store / key).read_bytes()
    assert ((roots / "fetched").stat().st_uid, (roots / "fetched").stat().st_mode & 0o777) == (0, 0o600)
    assert told.json["verdict"] == "ok"
    assert page.stdout == f"OK: wrote {roots / 'page.html'}\n"
    assert "<svg" in (roots / "page.html").read_text()
    assert (unknown.exit_code, "unknown" in unknown.stderr, (roots / "kept").read_text()) == (1, True, "before")


@pytest.mark.parametrize("verb", ["fetch", "report"])
@pytest.mark.parametrize("plants", ["link", "folder", "pipe"])
def test_what_a_member_plants_where_root_writes_leads_root_nowhere(
    shared: Shared, tmp_path: Path, plants: str, verb: str
) -> None:
    key, roots, out = apk_key(1), tmp_path / "roots", shared.folder / "out"
    roots.mkdir(mode=0o700)
    (roots / "file").write_text("a secret")
    out.mkdir()
    os.chown(out, MEMBER, MEMBER)
    shared.put(key)
    os.chown(shared.store / key, GUARD, GUARD)
    assert shared("init").exit_code == 0
    planted = {"link": ["ln", "-s", str(roots / "file")], "folder": ["ln", "-s", str(roots)], "pipe": ["mkfifo"]}[
        plants
    ]
    subprocess.run(member(*planted, str(out / "planted")), timeout=30, check=True)
    target = str(out / "planted/file" if plants == "folder" else out / "planted")

    refused = shared(*(["fetch", key, target] if verb == "fetch" else ["report", "--html", target]), timeout=20)

    assert refused.exit_code == 1
    assert f"planted is a {'pipe' if plants == 'pipe' else 'link'} of the user {MEMBER}'s" in refused.stderr
    assert [(path.name, path.read_text()) for path in roots.iterdir()] == [("file", "a secret")]
    assert [path.name for path in out.iterdir()] == ["planted"]


def test_root_fetches_into_a_members_folder_what_nobody_planted(shared: Shared) -> None:
    key, out = apk_key(1), shared.folder / "out"
    out.mkdir()
    os.chown(out, MEMBER, MEMBER)
    shared.put(key)
    os.chown(shared.store / key, GUARD, GUARD)
    assert shared("init").exit_code == 0

    assert shared("fetch", key, str(out / "new.apk")).exit_code == 0
    assert (out / "new.apk").read_bytes() == (shared.store / key).read_bytes()
    assert ((out / "new.apk").stat().st_uid, (out / "new.apk").stat().st_mode & 0o777) == (0, 0o600)


def test_where_root_stood_may_be_gone(shared: Shared, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {gone} && rmdir {gone} && exec {' '.join(shared.argv('init'))}"

    made = subprocess.run(["sh", "-c", script], env=shared.environment, capture_output=True, timeout=60, check=False)

    assert (made.returncode, made.stderr) == (0, b"")


# --- a member asks, and does nothing else ---


def test_a_member_can_neither_see_nor_change_anything_of_the_state(shared: Shared) -> None:
    assert shared("init").exit_code == 0
    before = {path: path.read_bytes() for path in sorted(shared.state.parent.iterdir())}
    state, folder = str(shared.state), str(shared.state.parent)
    attempts = [
        *(["cat", state], ["ls", folder], ["touch", f"{folder}/new"], ["ln", "-s", "/etc/passwd", f"{folder}/link"]),
        *(["mv", state, f"{state}.away"], ["rm", state], ["chmod", "666", state], ["ln", state, f"{shared.folder}/x"]),
        *(["cp", "/etc/hostname", state], ["truncate", "--size=0", state], ["mv", folder, f"{shared.folder}/moved"]),
    ]

    codes = [subprocess.run(member(*one), capture_output=True, timeout=30, check=False).returncode for one in attempts]

    assert 0 not in codes
    assert {path: path.read_bytes() for path in sorted(shared.state.parent.iterdir())} == before


def test_what_is_the_guards_alone_a_member_is_told_to_have_done_by_it(shared: Shared) -> None:
    shared("init")
    for command in (["sweep"], ["init"], ["hold", "a"], ["release", "--all"], ["sync"], ["rebuild"], ["forget", "a"]):
        refused = shared.as_member(*command)
        assert refused.exit_code == 1
        assert f"the state is {GUARD}'s" in refused.stderr
        assert "sudo exodus-storage-guard" in refused.stderr


def test_a_member_asks_the_service_by_the_same_commands(shared: Shared) -> None:
    shared("init")
    with serving(shared):
        admitted = shared.as_member("admit", "--bytes", "10 MiB", "--key", "k")
        listed = shared.as_member("reservations", "--json").json
        status = shared.as_member("status", "--json").json
        shown = shared.as_member("status")
        checked = shared.as_member("check", "--format", "nagios")
        committed = shared.as_member("commit", admitted.stdout.strip())
        gone = shared.as_member("commit", "no-such-id")
        refused = shared.as_member("admit", "--bytes", "200 MiB", "--json")

    assert (admitted.exit_code, committed.exit_code, gone.exit_code) == (0, 0, 1), committed.all_output
    (one,) = listed
    assert one | {"created_at": 0, "expires_at": 0} == {
        "reservation": admitted.stdout.strip(),
        "bytes": 10 * MIB,
        "key": "k",
        "user": str(MEMBER),
        "process": None,
        "client": None,
        "created_at": 0,
        "expires_at": 0,
    }
    assert status["reservations"] == {"count": 1, "bytes": 10 * MIB}
    assert "10.0 MiB to 1 uploads" in shown.stdout
    assert (checked.exit_code, checked.stdout.startswith("OK")) == (0, True), checked.all_output
    assert (refused.exit_code, refused.json["refused"]) == (75, True)


def test_where_no_service_runs_a_member_is_told_so(shared: Shared) -> None:
    shared("init")

    refused = shared.as_member("admit", "--bytes", "1")

    assert (refused.exit_code, "does exodus-storage-guard serve run?" in refused.stderr) == (1, True)


def test_who_is_no_member_is_told_what_he_lacks(shared: Shared) -> None:
    shared("init")
    with serving(shared):
        refused = shared.as_user(as_user(OTHER, *shared.argv("admit", "--bytes", "1")))

    assert (refused.exit_code, "a member of its group" in refused.stderr) == (1, True)


def test_nobody_ends_a_reservation_but_its_user_the_guard_and_root(shared: Shared) -> None:
    shared("init")
    with serving(shared) as service:
        his = shared.as_user(as_user(OTHER, *shared.argv("admit", "--bytes", "1 MiB"), groups=[GUARD])).stdout.strip()
        refused = [shared.as_member("release", his), shared.as_member("commit", his)]
        still = service.reserved()
        own = shared.as_user(as_user(OTHER, *shared.argv("release", his), groups=[GUARD]))
        again = shared.as_member("admit", "--bytes", "1 MiB").stdout.strip()
        roots = service.ask("DELETE", f"/v1/reservations/{again}")

        assert [(one.exit_code, "another user's" in one.stderr) for one in refused] == [(1, True)] * 2
        assert (still, own.exit_code, roots.status, service.reserved()) == (1, 0, 204, 0)


HOLDING = """
import sys, time
from exodus_storage_guard import StorageGuard
held = StorageGuard.from_config().admit(1048576)
print(held.id, flush=True)
time.sleep(60)
"""


def test_a_reservation_ends_with_the_process_that_asked_the_service(shared: Shared) -> None:
    shared("init")
    with serving(shared) as service:
        argv = member(PYTHON, "-c", HOLDING)
        process = subprocess.Popen(argv, env=shared.environment, stdout=subprocess.PIPE, cwd="/")
        assert process.stdout is not None
        assert process.stdout.readline()
        (held,) = service.ask("GET", "/v1/reservations").json["reservations"]
        process.kill()
        process.communicate()

        assert (held["user"], held["process"]) == (str(MEMBER), process.pid)
        wait_until(lambda: service.reserved() == 0)


# --- and holds up nobody ---


def answered(shared: Shared, service: Service) -> float:
    """Have the platform's user be admitted; give how long that took."""
    begun_at = time.monotonic()
    assert service.reserve(bytes=10).status == 201
    return time.monotonic() - begun_at


ATTACK = """
import json, socket, sys, time
from contextlib import suppress
STATUS = b"GET /v1/status HTTP/1.1\\r\\n\\r\\n"
def connected():
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    return s
held = []
kind = sys.argv[2]
try:
    if kind == "idle":
        for _ in range(1100): held.append(connected())
    elif kind == "head":
        s = connected(); s.sendall(b"GET / HTTP/1.1\\r\\n"); held.append(s)
        for _ in range(300): s.sendall(b"x: " + b"y" * 1000000 + b"\\r\\n")
    elif kind == "body":
        s = connected(); held.append(s)
        s.sendall(b"POST /v1/reservations HTTP/1.1\\r\\ncontent-length: 100000000000\\r\\n\\r\\n")
        for _ in range(300): s.sendall(b"y" * 1000000)
    elif kind == "waiting":
        body = json.dumps({"bytes": 94 * 2**20, "wait_seconds": 600}).encode()
        for _ in range(100):
            s = connected(); held.append(s)
            s.sendall(b"POST /v1/reservations HTTP/1.1\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(body) + body)
    elif kind == "ahead":
        for _ in range(100):
            with connected() as s, suppress(OSError):
                s.sendall(STATUS * 1500); time.sleep(0.005)
    elif kind == "and away":
        end = time.monotonic() + 3
        while time.monotonic() < end:
            with suppress(OSError), connected() as s: s.sendall(STATUS)
    elif kind in ("trailers", "trailer"):
        s = connected(); held.append(s)
        s.sendall(b"POST /v1/reservations HTTP/1.1\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n0\\r\\nx: ")
        more = b"y" * 30000 + (b"\\r\\nx: " if kind == "trailers" else b"")
        if kind == "trailer": print("ready", flush=True)
        for _ in range(10000): s.sendall(more)
    elif kind == "readers":
        for _ in range(199):
            s = connected(); s.sendall(b"GET /v1/objects/large HTTP/1.1\\r\\n\\r\\n"); held.append(s)
        time.sleep(2)
except OSError as error:
    print(error)
print("ready", flush=True)
time.sleep(float(sys.argv[3]))
"""


HOLDING_UP = ["idle", "head", "body", "waiting", "ahead", "and away", "trailers", "trailer", "readers"]


@pytest.mark.parametrize("kind", HOLDING_UP)
@pytest.mark.parametrize("stays", [True, False], ids=["stays", "hangs up"])
def test_a_member_holds_up_nobody(shared: Shared, kind: str, stays: bool) -> None:
    shared.put("large", size=80 * MIB)
    shared.nobody_makes_room()
    os.chown(shared.store / "large", GUARD, GUARD)
    assert shared("init").exit_code == 0
    with serving(shared) as service:
        argv = member(PYTHON, "-c", ATTACK, str(service.socket), kind, "60" if stays else "0")
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd="/")
        assert process.stdout is not None
        while process.stdout.readline() not in (b"ready\n", b""):
            pass

        seconds = [answered(shared, service) for _ in range(5)]
        process.kill()
        process.communicate()

        assert max(seconds) < 1, seconds
        size = int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]) * 4096
        assert size < 300 * MIB
        assert {one["bytes"] for one in service.ask("GET", "/v1/reservations").json["reservations"]} == {10}


def test_a_waiting_admission_ends_when_its_client_is_gone(shared: Shared) -> None:
    shared.put(apk_key(1), size=80 * MIB)
    shared.nobody_makes_room()
    shared("init")
    with serving(shared) as service:
        body = json.dumps({"bytes": 94 * MIB, "wait_seconds": 600}).encode()
        head = f"POST /v1/reservations HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        with ExitStack() as clients:
            for _ in range(110):  # of which some may be refused, while one of our own questions below waits
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.connect(str(service.socket))
                client.sendall(head + body)
            wait_until(lambda: "too many uploads wait" in service.reserve(bytes=94 * MIB, wait_seconds=0.1).reason)

        wait_until(lambda: "too many" not in service.reserve(bytes=94 * MIB, wait_seconds=0.1).reason)


def test_what_may_be_asked_for_is_bounded_by_the_settings(shared: Shared) -> None:
    shared.write(
        capacity={"total_bytes": "10 GiB"},
        admission={"socket": str(shared.folder / "guard.sock"), "most_lease_seconds": 4000, "most_bytes": "3 GiB"},
    )
    shared("init")
    with serving(shared):
        asked = [
            shared.as_member("admit", "--bytes", "1", "--lease", "4000"),
            shared.as_member("admit", "--bytes", "1", "--lease", "4001"),
            shared.as_member("admit", "--bytes", "3 GiB"),
            shared.as_member("admit", "--bytes", str(3 * 1024 * MIB + 1)),
        ]

    assert [one.exit_code for one in asked] == [0, 2, 0, 75]
    assert "admission.most_lease_seconds" in asked[1].stderr
    assert "admission.most_bytes" in asked[3].stderr


def test_of_one_user_so_many_reservations_hold_at_once_and_of_another_as_many(shared: Shared) -> None:
    shared.write(admission={"socket": str(shared.folder / "guard.sock"), "most_reservations": 2})
    shared("init")
    with serving(shared) as service:
        his = [shared.as_member("admit", "--bytes", "0", "--json") for _ in range(3)]
        others = [service.reserve(bytes=0).status for _ in range(3)]
        shared.as_member("release", his[0].json["reservation"])
        again = shared.as_member("admit", "--bytes", "0")

    assert ([one.exit_code for one in his], others, again.exit_code) == ([0, 0, 75], [201, 201, 503], 0)
    assert "admission.most_reservations" in his[2].json["reason"]


def test_the_guard_ends_what_is_promised(shared: Shared) -> None:
    shared("init")
    with serving(shared) as service:
        for size in ("1", "2", "3"):
            assert shared.as_member("admit", "--bytes", size).exit_code == 0
        direct = replace(shared)
        young = direct("release", "--older-than", "3600")
        every = direct("release", "--all", "--json")

        assert ("0 reservations" in young.stdout, every.json["reason"]) == (True, "3 reservations released")
        assert service.reserved() == 0
