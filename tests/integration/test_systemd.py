"""nginx as a unit of a really booted systemd, with Debian's own Python and cryptography."""

from pathlib import Path

import pytest

from tests.parts.authority import CertbotTree
from tests.parts.booted import debian
from tests.parts.configuration import server

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]
SCRIPT = """
command="python3 -m exodus_certbot.cli"
main_pid() { systemctl show --property=MainPID --value nginx; }
before=$(main_pid)
rm -rf /etc/letsencrypt; cp -a /renewed /etc/letsencrypt
$command check --format nagios | cut -d' ' -f1; echo "check ${PIPESTATUS[0]}"
$command reconcile; echo "reconcile $?"
$command reconcile; echo "again $?"
[ "$before" = "$(main_pid)" ] && echo "the same master"
journalctl --unit nginx --no-pager | grep -c 'Reloaded nginx'
systemctl stop nginx
$command deploy --lineage /etc/letsencrypt/live/exodus.example --quiet >/dev/null; echo "stopped $?"
systemctl is-active nginx
ls /run/nginx.pid
"""


def test_reloads_the_unit_that_owns_the_master_once_and_never_starts_it(tmp_path: Path) -> None:
    machine = debian(tmp_path)
    lineage = "/etc/letsencrypt/live/exodus.example"
    CertbotTree(machine.path("/etc/letsencrypt")).issue("exodus.example")
    CertbotTree(machine.path("/renewed")).issue("exodus.example")
    machine.path("/etc/nginx/sites-enabled/exodus").write_text(
        server("443 ssl, [::]:443 ssl", "exodus.example", Path(lineage))
    )

    said = machine.boot(SCRIPT).splitlines()

    assert said == [
        "CRITICAL",
        "check 2",
        "OK: reloaded nginx (2 stale before); asked again: 2 ok",
        "reconcile 0",
        "OK: 2 ok",
        "again 0",
        "the same master",
        "1",
        "stopped 1",
        "inactive",
        "ls: cannot access '/run/nginx.pid': No such file or directory",
    ]
