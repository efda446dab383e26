"""Two thousand server blocks: nginx needs seconds to reload, and says "done" long before."""

from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.ports import free_port
from tests.parts.witness import disk_sha256, served_sha256

COUNT = 2000


@pytest.fixture
def lineages(certbot_tree: CertbotTree) -> list[Path]:
    return [certbot_tree.issue(f"n{number}.example") for number in range(COUNT)]


@pytest.mark.full
def test_every_one_of_two_thousand_servers_has_the_new_certificate_when_the_verdict_is_ok(
    certbot_tree: CertbotTree, lineages: list[Path], start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    port = free_port()
    start_nginx("".join(server(f"127.0.0.1:{port} ssl", lineage.name, lineage) for lineage in lineages))
    for lineage in lineages:
        certbot_tree.issue(lineage.name)

    hurried = exodus_certbot("reconcile", "--json", "--timeout", "0.5")
    repaired = exodus_certbot("reconcile", "--json")
    seen = {lineage.name for lineage in lineages if served_sha256(port, lineage.name) == disk_sha256(lineage)}
    again = exodus_certbot("reconcile", "--json")

    # Half a second is enough to see some that are stale, or not even for nginx to print its configuration.
    assert hurried.json["verdict"] in ("critical", "unknown")
    assert (hurried.exit_code, hurried.json["reloaded"]) == (1, False)
    assert (repaired.exit_code, repaired.json["reason"]) == (
        0,
        f"reloaded nginx ({COUNT} stale before); asked again: {COUNT} ok",
    )
    assert len(seen) == COUNT
    assert (again.exit_code, again.json["reloaded"]) == (0, False)
