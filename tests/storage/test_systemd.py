"""The sweep's unit, under its own user and sandbox, in a really booted systemd."""

from pathlib import Path

import pytest

from tests.parts.booted import debian
from tests.parts.guard import Guarded

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]
SCRIPT = """
export SYSTEMD_COLORS=0
run() { systemctl start "$1" 2>/dev/null; echo "$1 $?"; }
guard() { runuser -u exodus-storage-guard -- exodus-storage-guard "$@"; }
systemd-sysusers; systemctl daemon-reload
install -d -o exodus-storage-guard -g exodus-storage-guard /srv/archive
install -d -m 0700 -o exodus-storage-guard -g exodus-storage-guard /var/lib/exodus-storage-guard
chown -R exodus-storage-guard: /srv/store
exodus-storage-guard init
useradd --groups exodus-storage-guard uploader
systemctl start exodus-storage-guard-serve.socket
runuser -u uploader -- exodus-storage-guard admit --bytes 1 >/dev/null; echo "uploader $?"
run exodus-storage-guard.service
guard status --json | grep -A 2 '"archived"' | grep count
run exodus-storage-guard.service
rm /srv/archive/.exodus-storage-guard.json
run exodus-storage-guard.service
until journalctl --no-pager --output cat --identifier exodus-storage-guard --priority crit | grep .; do sleep 0.1; done
"""


def test_the_unit_sweeps_as_its_own_user_and_a_failure_is_told(tmp_path: Path) -> None:
    machine = debian(tmp_path / "machine")
    machine.install_units()
    Guarded(machine.path("/srv")).fill(9, size=1024 * 1024, oldest=400, newest=200)
    machine.path("/etc/exodus-storage-guard.toml").write_text(
        '[store]\nurl = "directory:///srv/store"\n[archive]\nurl = "directory:///srv/archive"\n'
        '[capacity]\nsource = "budget"\ntotal_bytes = "10 MiB"\n[admission]\nemergency_reserve = 0\n'
    )

    said = machine.boot(SCRIPT, timeout_seconds=120).splitlines()

    assert said == [
        "OK: ready; the store holds 9 objects, 9.0 MiB",
        "uploader 0",
        "exodus-storage-guard.service 0",
        '      "count": 2,',
        "exodus-storage-guard.service 0",
        "exodus-storage-guard.service 1",
        "exodus-storage-guard.service failed, and the store may fill up: "
        "journalctl --unit exodus-storage-guard.service",
    ]
