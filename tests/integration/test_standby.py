"""A standby, as keepalived makes one: nginx listens on an address that another machine has at the moment."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server, workers_as_myself
from tests.parts.nginx import NGINX, RealNginx

SCRIPT = """
set -e
ip link set lo up
ip link add d0 type veth peer name d1
ip link set d0 up
ip link set d1 up
ip addr add 192.0.2.1/24 dev d0
echo 1 >/proc/sys/net/ipv4/ip_nonlocal_bind
"$BINARY" -c "$CONF"
said() { "$@" | tail -n 1; }
said "$@"
ip addr add 192.0.2.10/24 dev d0
said "$@"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network")
def test_an_address_is_asked_once_it_is_on_this_machine_and_not_before(
    tmp_path: Path, certbot_tree: CertbotTree, exodus_certbot: ExodusCertbot
) -> None:
    nginx = RealNginx(tmp_path / "nginx")
    nginx.folder.mkdir(exist_ok=True)
    lineage = certbot_tree.issue("a.example")
    nginx.write(server("192.0.2.1:443 ssl, 192.0.2.10:443 ssl", "a.example", lineage), main=workers_as_myself())
    own = {"BINARY": NGINX, "CONF": str(nginx.conf)}

    try:
        done = subprocess.run(
            ["unshare", "--net", "bash", "-c", SCRIPT, "standby", *exodus_certbot.argv("check")],
            env=exodus_certbot.environment | own,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        nginx.stop()

    said = [line.partition(";")[0] for line in done.stdout.splitlines()]  # nginx began just after it was issued
    assert said == ["OK: 1 ok, 1 not-probed", "OK: 2 ok"], done.stderr
