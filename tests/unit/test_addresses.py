"""Whether an address is this machine's now: asked in a network of the test's own, such as a standby has."""

import os
import subprocess
import sys

import pytest

from exodus_certbot.tls import addresses
from tests.parts.command import ROOT

NETWORK = """
set -e
ip link set lo up
ip link add d0 type veth peer name d1
ip link set d0 up
ip link set d1 up
ip addr add 192.0.2.10/24 dev d0
ip addr add 192.0.2.11/24 dev d0
ip -6 addr add 2001:db8::10/64 dev d0 nodad
ip -6 addr add 2001:db8::11/64 dev d0 nodad
ip route add local 198.51.100.0/24 dev lo
ip -6 route add local 2001:db8:1::/64 dev lo
ip route add default via 192.0.2.1
ip -6 route add default via 2001:db8::1
echo $1 >/proc/sys/net/ipv4/ip_nonlocal_bind
echo $1 >/proc/sys/net/ipv6/ip_nonlocal_bind
exec "$2" -c 'import sys
from exodus_certbot.tls.addresses import is_here
print(*(address for address in sys.argv[1:] if is_here(address)))' $HERE $ELSEWHERE
"""
HERE = "127.0.0.1 127.0.0.77 192.0.2.10 192.0.2.11 198.51.100.4 ::1 2001:db8::10 2001:db8::11 2001:db8:1::4"
ELSEWHERE = "192.0.2.99 203.0.113.9 2001:db8::99 2001:db8:5::1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network")
@pytest.mark.parametrize("nonlocal_bind", ["0", "1"])
def test_an_address_is_here_or_not_whatever_may_be_bound(nonlocal_bind: str) -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'hooks'}", "HERE": HERE, "ELSEWHERE": ELSEWHERE}
    script = ["bash", "-c", NETWORK, "network", nonlocal_bind, sys.executable]

    done = subprocess.run(
        ["unshare", "--net", *script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout.strip() == HERE, done.stderr


def test_loopback_is_here_and_speaks_from_itself() -> None:
    assert addresses.is_here("127.0.0.1")
    assert addresses.is_here("127.1.2.3")
    assert addresses.source_for("127.0.0.1") == "127.0.0.1"
    assert addresses.source_for("::1") in ("::1", "")
