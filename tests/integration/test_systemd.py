"""nginx as a unit of a really booted systemd, with Debian's own Python and cryptography."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.parts.authority import CertbotTree
from tests.parts.booted import debian
from tests.parts.command import ROOT
from tests.parts.configuration import server

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]
SCRIPT = """
command="python3 -P -m exodus_certbot"
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


UNITS = """
export SYSTEMD_COLORS=0
run() { systemctl start "$1"; echo "$1 $?"; }
said() { journalctl --no-pager --output cat --identifier exodus-certbot --priority crit; }
served() { exodus-certbot check --json | grep -c '"verdict": "ok"'; }
systemctl daemon-reload
rm -rf /etc/letsencrypt; cp -a /renewed /etc/letsencrypt
echo "served before $(served)"
run exodus-certbot.service
echo "served after $(served)"
journalctl --unit nginx --no-pager | grep -c 'Reloaded nginx'
run exodus-certbot.service
journalctl --unit nginx --no-pager | grep -c 'Reloaded nginx'

echo 'servre { }' > /etc/nginx/conf.d/broken.conf
run exodus-certbot.service 2>/dev/null
until said | grep -q .; do sleep 0.1; done
said
rm /etc/nginx/conf.d/broken.conf
run exodus-certbot.service

systemctl enable --quiet --now exodus-certbot.timer certbot.timer
exodus-certbot doctor | grep timer:
systemctl show --value --property=NextElapseUSecRealtime exodus-certbot.timer | grep -c UTC
systemctl disable --quiet --now exodus-certbot.timer
exodus-certbot doctor | grep -A 1 exodus-certbot.timer:

rm -rf /etc/letsencrypt; cp -a /renewed_again /etc/letsencrypt; rm /etc/letsencrypt/renewal/*
echo "served before certbot.service $(served)"
run certbot.service
until [ "$(served)" = 3 ]; do sleep 0.1; done
echo "served after certbot.service $(served)"

rm -rf /etc/letsencrypt; cp -a /renewed /etc/letsencrypt
printf '[Service]\\nExecStart=\\nExecStart=false\\n' > /etc/systemd/system/certbot.service.d/fails.conf
systemctl daemon-reload
run certbot.service 2>/dev/null
until [ "$(served)" = 3 ]; do sleep 0.1; done
echo "served after it failed $(served)"
until said | grep -q ^certbot; do sleep 0.1; done
said | grep ^certbot
journalctl --sync
journalctl --no-pager --output cat | grep 'trigger source'
"""


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_the_units_repair_really_under_their_sandbox_and_tell_of_a_failure(suite: str, tmp_path: Path) -> None:
    machine = debian(tmp_path, suite)
    machine.install_units()
    lineage = "/etc/letsencrypt/live/exodus.example"
    for folder in ("/etc/letsencrypt", "/renewed", "/renewed_again"):
        CertbotTree(machine.path(folder)).issue("exodus.example")
    machine.path("/etc/nginx/sites-enabled/exodus").write_text(
        server("443 ssl, [::]:443 ssl", "exodus.example", Path(lineage))
    )

    said = machine.boot(UNITS, timeout_seconds=300).splitlines()

    assert said == [
        "served before 0",
        "exodus-certbot.service 0",
        "served after 3",
        "1",
        "exodus-certbot.service 0",
        "1",
        "exodus-certbot.service 1",
        "exodus-certbot.service failed, and the certificates that are served may grow old: "
        "journalctl --unit exodus-certbot.service",
        "exodus-certbot.service 0",
        "OK: certbot.timer: is on",
        "OK: exodus-certbot.timer: is on",
        "1",
        "WARNING: exodus-certbot.timer: is off: a reload that is missed stays missed",
        "    systemctl enable --now exodus-certbot.timer",
        "served before certbot.service 0",
        "certbot.service 0",
        "served after certbot.service 3",
        "certbot.service 1",
        "served after it failed 3",
        "certbot.service failed, and the certificates that are served may grow old: journalctl --unit certbot.service",
    ]


SCORES = [
    ("exodus-certbot.service", 2.8),
    ("exodus-certbot-failed@.service", 1.6),
    ("exodus-storage-guard.service", 1.6),
    ("exodus-storage-guard-failed@.service", 1.6),
    ("exodus-storage-guard-serve.service", 1.6),
]


@pytest.mark.parametrize(("unit", "most"), SCORES)
def test_the_sandbox_scores_as_promised(unit: str, most: float) -> None:
    argv = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(ROOT / "packaging/systemd" / unit)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)

    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert exposure, done.stdout + done.stderr
    assert float(exposure[1]) <= most
