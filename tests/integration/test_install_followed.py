"""docs/install.md without packages, followed command by command on a Debian that has nothing of ours, in its order.

What stands in for the world outside, and nothing else: a proxy that leads to Debian's and Python's packages; an nginx
that serves a lineage which nobody renews (no command of the pages asks a CA); a disk of memory for the store.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.parts.authority import CertbotTree
from tests.parts.booted import Debian, debian
from tests.parts.command import ROOT
from tests.parts.configuration import server
from tests.parts.documented import page, placeholders, section, typed
from tests.parts.internet import PORT, RELAY, way_out

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]
NAMED = {"NAME": "exodus.example", "UPLOADER": "uploader"}
KINDS = ("cert", "privkey", "chain", "fullchain")
RENEWED_BY = "[renewalparams]\nauthenticator = manual\nmanual_auth_hook = /bin/true\n"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
SURROUNDINGS = f"""
unset PYTHONPATH PYTHONDONTWRITEBYTECODE
export SYSTEMD_COLORS=0 HOME=/root https_proxy=http://127.0.0.1:{PORT}
python3 /opt/relay & relay=$!
until (: >/dev/tcp/127.0.0.1/{PORT}) 2>/dev/null; do sleep 0.1; done
echo 'APT::Get::Assume-Yes "true"; Acquire::http::Proxy "http://127.0.0.1:{PORT}"; Acquire::http::Pipeline-Depth "0";
      APT::Install-Recommends "false"; APT::Sandbox::User "root";' > /etc/apt/apt.conf.d/99test
apt-get update >/dev/null || echo "no packages"
useradd uploader; mkdir -p /srv/apks /mnt/backup/apks /var/lib/prometheus/node-exporter
mount -t tmpfs -o size=8g,mode=2775,uid=$(id -u uploader),gid=$(id -g uploader) tmpfs /srv/apks
cd /root/exodus-certbot
follow() {{
  bash -e "/opt/followed/$1" >/opt/printed 2>&1; code=$?
  echo "$1: $code"; [ $code = 0 ] || tail -n 25 /opt/printed | sed 's/^/  | /'
}}
"""
THEN = """
echo then
echo "the command: $(readlink /usr/local/bin/exodus-certbot)"
certbot plugins 2>/dev/null | grep -o '^\\* exodus-nginx'
grep installer /etc/letsencrypt/renewal/exodus.example.conf
exodus-certbot doctor | grep -e exodus-nginx -e timer: -e CRITICAL
grep -c '^exodus_certbot_served_match.* 1$' /var/lib/prometheus/node-exporter/exodus_certbot.prom
runuser -u uploader -- exodus-storage-guard admit --bytes '1 MiB' --key a.apk >/dev/null; echo "admitted: $?"
runuser -u uploader -- touch /srv/apks/a.apk; echo "stored: $?"
systemctl start exodus-certbot.service exodus-storage-guard.service; echo "units: $?"
systemctl is-active exodus-certbot.timer exodus-storage-guard.timer exodus-storage-guard-serve.socket
systemctl list-units --failed --plain --no-legend 'exodus-*' 'certbot*' 'nginx*'
kill $relay
"""


def blocks() -> list[str]:
    """Give what the pages have one type who has no packages, in their order, and write into files before."""
    install = page("docs/install.md")
    written = [one for one in typed(section(install, "The storage guard"), NAMED) if one.startswith("cat > ")]
    monitored = typed(section(page("docs/daily-use.md"), "Be told"), NAMED)
    return [*written, *typed(section(install, "From a checkout"), NAMED), *monitored]


def prepared(machine: Debian) -> None:
    """Put there what an operator has: the checkout, a site, its lineage."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, machine.path(f"/root/exodus-certbot/{name}"))
    CertbotTree(machine.path("/etc/letsencrypt")).issue("exodus.example")
    files = "".join(f"{kind} = /etc/letsencrypt/live/exodus.example/{kind}.pem\n" for kind in KINDS)
    machine.path("/etc/letsencrypt/renewal/exodus.example.conf").write_text(f"{files}{RENEWED_BY}")
    site = server("443 ssl, [::]:443 ssl", "exodus.example", Path("/etc/letsencrypt/live/exodus.example"))
    machine.path("/etc/nginx/sites-enabled/exodus").write_text(site)
    machine.path("/opt/relay").write_text(RELAY)
    for number, block in enumerate(blocks(), start=1):
        machine.path(f"/opt/followed/{number}").write_text(block)
    # Where the Internet is behind somebody's own authority, it is for the machine as well.
    shutil.copy(CERTIFICATES, machine.path(f"{CERTIFICATES}"))


def test_the_pages_have_the_commands_that_are_followed() -> None:
    assert len(blocks()) >= 7
    assert placeholders(blocks()) == []


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_every_command_for_a_checkout_works_in_its_order(suite: str, tmp_path: Path) -> None:
    machine = debian(tmp_path, suite)
    prepared(machine)
    numbers = range(1, len(blocks()) + 1)
    environment = f"export PIP_CERT={CERTIFICATES} PIP_DEFAULT_TIMEOUT=180\n"
    followed = "".join(f"follow {number}\n" for number in numbers)

    with way_out(machine.outside / "internet"):
        said = machine.boot(SURROUNDINGS + environment + followed + THEN, timeout_seconds=1800).splitlines()

    then = said.index("then")
    assert said[:then] == [f"{number}: 0" for number in numbers]
    assert said[then + 1 :] == [
        "the command: /opt/exodus-certbot/bin/exodus-certbot",
        "* exodus-nginx",
        "installer = exodus-nginx",
        "OK: lineage exodus.example: certbot calls exodus-nginx for it",
        "OK: certbot: /usr/bin/certbot loads the plugin exodus-nginx",
        "OK: certbot.timer: is on",
        "OK: exodus-certbot.timer: is on",
        "2",
        "admitted: 0",
        "stored: 0",
        "units: 0",
        "active",
        "active",
        "active",
    ]
