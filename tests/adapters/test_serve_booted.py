"""The service's units as an operator installs them, in a really booted systemd: asked, admitting, stopped, killed."""

import shutil
from pathlib import Path

import pytest

from tests.parts.booted import debian
from tests.parts.guard import MIB, Guarded

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]
SETTINGS = """
[store]
url = "directory:///srv/apks"
[archive]
url = "directory:///mnt/backup/apks"
[admission]
emergency_reserve = 0
"""
ASK = """
import http.client, socket, sys
connection = http.client.HTTPConnection("guard", timeout=60)
connection.sock = socket.socket(socket.AF_UNIX)
try:
    connection.sock.connect("/run/exodus-storage-guard/service.sock")
except OSError as error:
    sys.exit(print(error.strerror))
connection.request("GET", "/v1/status")
print(connection.getresponse().status)
"""
UPLOAD = """
import hashlib, pathlib
from exodus_storage_guard import StorageGuard

class Summed:
    def __init__(self): self.sum = hashlib.sha256()
    def write(self, chunk): self.sum.update(chunk)

def fetched(guard, key):
    summed = Summed()
    guard.fetch(key, summed)
    return summed.sum.hexdigest()

guard = StorageGuard.from_config()
with guard.admit(3 * 1024 * 1024, wait_seconds=60) as reservation:
    print("python is admitted, for which was freed:", reservation.freed_bytes >= 2 * 1024 * 1024)
before = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in pathlib.Path("/srv/before").iterdir()}
print("the service gives what was stored, the very same:", {key: fetched(guard, key) for key in before} == before)
"""
OPERATOR = """
export SYSTEMD_COLORS=0
service=exodus-storage-guard-serve.service socket=exodus-storage-guard-serve.socket
by() { runuser --user "$@"; }
ask() { by "$1" -- python3 /opt/ask; }
pid() { systemctl show --property MainPID --value $service; }
state() { echo "$1: socket $(systemctl is-active $socket), service $(systemctl is-active $service)"; }
ending() {
  journalctl --sync
  echo "failed: $(systemctl list-units --failed --plain --no-legend)"
  echo "the service said: $(journalctl --no-pager --output cat --unit $service --identifier exodus-storage-guard)"
}

systemd-sysusers; systemctl daemon-reload
install -d -m 0700 -o exodus-storage-guard -g exodus-storage-guard /var/lib/exodus-storage-guard
mount -t tmpfs -o size=10m tmpfs /srv/apks
cp -a /srv/before/. /srv/apks
chmod 0700 /srv/apks /mnt/backup/apks; chown -R exodus-storage-guard: /srv/apks /mnt/backup/apks
exodus-storage-guard init >/dev/null
useradd uploader; useradd stranger
usermod --append --groups exodus-storage-guard uploader
systemctl enable --quiet --now exodus-storage-guard-serve.socket
"""


def test_the_first_who_may_ask_starts_the_service_under_its_own_user(tmp_path: Path) -> None:
    said = operated(
        tmp_path,
        """
state "nobody asked"
echo "of its user run: $(find /proc -maxdepth 1 -user exodus-storage-guard | wc -l)"
echo "socket: $(stat --format '%U %G %a' /run/exodus-storage-guard/service.sock)"
echo "stranger: $(ask stranger)"
state "a stranger asked"
echo "uploader: $(ask uploader)"
state "a member asked"
echo "runs as: $(stat --format '%U %G' /proc/$(pid))"
echo "stranger: $(ask stranger)"
ending
""",
    )

    assert said == [
        "nobody asked: socket active, service inactive",
        "of its user run: 0",
        "socket: exodus-storage-guard exodus-storage-guard 660",
        "stranger: Permission denied",
        "a stranger asked: socket active, service inactive",
        "uploader: 200",
        "a member asked: socket active, service active",
        "runs as: exodus-storage-guard exodus-storage-guard",
        "stranger: Permission denied",
        "failed: ",
        "the service said: ",
    ]


def test_a_member_without_rights_on_store_and_archive_is_admitted_once_the_service_made_room(tmp_path: Path) -> None:
    said = operated(
        tmp_path,
        """
for folder in /srv/apks /mnt/backup/apks; do by uploader -- ls $folder >/dev/null 2>&1; echo "$folder: $?"; done
echo "stored: $(ls /srv/apks | wc -l)"
id=$(by uploader -- exodus-storage-guard admit --bytes '1 MiB' --wait 60); echo "the command is admitted: $?"
echo "stored: $(ls /srv/apks | wc -l)"
by uploader -- exodus-storage-guard release $id >/dev/null; echo "released: $?"
by uploader -- python3 /opt/upload
echo "stored: $(ls /srv/apks | wc -l)"
echo "copies are of: $(find /mnt/backup/apks -name '*.apk' -printf '%u %g\\n' | sort -u)"
ending
""",
    )

    assert said == [
        "/srv/apks: 2",
        "/mnt/backup/apks: 2",
        "stored: 9",
        "the command is admitted: 0",
        "stored: 8",
        "released: 0",
        "python is admitted, for which was freed: True",
        "the service gives what was stored, the very same: True",
        "stored: 6",
        "copies are of: exodus-storage-guard exodus-storage-guard",
        "failed: ",
        "the service said: ",
    ]


def test_a_service_that_was_stopped_or_killed_answers_the_next_who_asks(tmp_path: Path) -> None:
    said = operated(
        tmp_path,
        """
next() { echo "$1: $(ask uploader), by another process: $([ "$(pid)" != "$last" ] && echo yes)"; last=$(pid); }
next started
systemctl stop $service 2>/dev/null; state stopped; next stopped
systemctl restart $service; next restarted
kill -KILL $last; while kill -0 $last 2>/dev/null; do sleep 0.1; done; next killed
systemctl stop $socket; state "without a socket"; echo "uploader: $(ask uploader)"
systemctl start $socket; next "the socket is back"
ending
""",
    )

    assert said == [
        "started: 200, by another process: yes",
        "stopped: socket active, service inactive",
        "stopped: 200, by another process: yes",
        "restarted: 200, by another process: yes",
        "killed: 200, by another process: yes",
        "without a socket: socket inactive, service inactive",
        "uploader: Connection refused",
        "the socket is back: 200, by another process: yes",
        "failed: ",
        "the service said: ",
    ]


def operated(folder: Path, script: str) -> list[str]:
    """Boot a machine whose store of 10 MiB is filled to 90 %; give what the operator's script printed there."""
    machine = debian(folder / "machine")
    machine.install_units()
    before = Guarded(folder)
    before.fill(9, size=MIB, oldest=400, newest=200)
    shutil.copytree(before.store, machine.path("/srv/before"))
    for inside in ("/srv/apks", "/mnt/backup/apks"):
        machine.path(inside).mkdir()
    for inside, text in (("/etc/exodus-storage-guard.toml", SETTINGS), ("/opt/ask", ASK), ("/opt/upload", UPLOAD)):
        machine.path(inside).write_text(text)
    return machine.boot(OPERATOR + script, timeout_seconds=150).splitlines()
