"""The README's first steps and those of docs/install.md, typed as they stand there, where there are the packages."""

from pathlib import Path

import pytest

from tests.packages.test_debs import FRESH, SUITES, packages
from tests.parts.authority import CertbotTree
from tests.parts.booted import Debian, debian
from tests.parts.configuration import server
from tests.parts.documented import page, placeholders, section, typed

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]
NAMED = {"NAME": "exodus.example", "UPLOADER": "uploader"}
RENEWED_BY = "[renewalparams]\nauthenticator = manual\nmanual_auth_hook = /bin/true\n"
# Neither asks the Internet: what apt is to install is there.
BEFORE = """
useradd uploader; mkdir -p /srv/apks /mnt/backup/apks
mount -t tmpfs -o size=8g,mode=2775,uid=$(id -u uploader),gid=$(id -g uploader) tmpfs /srv/apks
follow() {
  bash -e "/opt/followed/$1" >/opt/printed 2>&1; echo "$1: $?"
  tr '\\r' '\\n' < /opt/printed | tail -n 25 | sed 's/^/  | /'
}
"""
THEN = """
grep installer /etc/letsencrypt/renewal/exodus.example.conf
runuser -u uploader -- exodus-storage-guard admit --bytes '1 MiB' --key a.apk >/dev/null; echo "admitted: $?"
systemctl start exodus-certbot.service exodus-storage-guard.service; echo "units: $?"
systemctl list-units --failed --plain --no-legend 'exodus-*' 'certbot*' 'nginx*'
"""
AFTERWARDS = """
grep installer /etc/letsencrypt/renewal/exodus.example.conf || echo "no installer"
command -v exodus-certbot || echo "no command"
"""


def steps(name: str) -> list[str]:
    """Give what a page has one type who has the packages."""
    text = page(name)
    if name == "README.md":
        return typed(text, NAMED)
    titles = ("With apt", "Certificates", "The storage guard")
    return [one for title in titles for one in typed(section(text, title), NAMED)]


def prepared(machine: Debian, suite: str, scripts: list[str]) -> None:
    """Put there what an operator has: the packages at hand, a site, its lineage."""
    machine.install(*packages(suite, "exodus-common", "exodus-certbot", "exodus-storage-guard"), "nginx", "openssl")
    CertbotTree(machine.path("/etc/letsencrypt")).issue("exodus.example")
    kinds = ("cert", "privkey", "chain", "fullchain")
    files = "".join(f"{kind} = /etc/letsencrypt/live/exodus.example/{kind}.pem\n" for kind in kinds)
    renewal = machine.path("/etc/letsencrypt/renewal/exodus.example.conf")
    renewal.write_text(f"{files}{RENEWED_BY}")
    site = server("443 ssl, [::]:443 ssl", "exodus.example", Path("/etc/letsencrypt/live/exodus.example"))
    machine.path("/etc/nginx/sites-enabled/exodus").write_text(site)
    machine.path("/etc/apt/apt.conf.d/99test").write_text('APT::Get::Assume-Yes "true";\n')  # nobody is there to say so
    for number, script in enumerate(scripts, start=1):
        machine.path(f"/opt/followed/{number}").write_text(script)


@pytest.mark.parametrize("name", ["README.md", "docs/install.md"])
def test_a_page_has_the_steps_that_are_followed(name: str) -> None:
    assert len(steps(name)) >= 3
    assert placeholders(steps(name)) == []


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("name", ["README.md", "docs/install.md"])
def test_the_first_steps_of_a_page_work_in_their_order(name: str, suite: str, tmp_path: Path) -> None:
    machine, remove = debian(tmp_path, suite, FRESH), typed(section(page("docs/install.md"), "Remove it"), NAMED)
    scripts = [*steps(name), *remove]
    prepared(machine, suite, scripts)
    followed = [f"follow {number}\n" for number in range(1, len(scripts) + 1)]
    first_steps, last_steps = "".join(followed[: -len(remove)]), "".join(followed[-len(remove) :])
    work = f"{BEFORE}{first_steps}echo then\n{THEN}{last_steps}{AFTERWARDS}"

    said = machine.boot(work, timeout_seconds=300)

    lines = [line for line in said.splitlines() if not line.startswith("  | ")]
    first = [f"{number}: 0" for number in range(1, len(scripts) - len(remove) + 1)]
    last = [f"{number}: 0" for number in range(len(scripts) - len(remove) + 1, len(scripts) + 1)]
    there = ["then", "installer = exodus-nginx", "admitted: 0", "units: 0"]
    assert [*first, *there, *last, "no installer", "no command"] == lines, said
