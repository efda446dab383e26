"""Who gets the connections to an address: the kernel takes the most specific socket."""

import pytest

from exodus_certbot.nginx import listening

FOUND = {
    ("127.0.0.1", 443): {1, 2},
    ("0.0.0.0", 443): {3},
    ("::", 443): {4},
    ("::", 8443): {5},
    ("::1", 8443): {6},
}


@pytest.mark.parametrize(
    ("address", "port", "inodes"),
    [
        ("127.0.0.1", 443, {1, 2}),
        ("127.0.0.2", 443, {3}),
        ("::1", 443, {4}),
        ("127.0.0.1", 8443, {5}),
        ("::1", 8443, {6}),
        ("127.0.0.1", 80, set()),
    ],
)
def test_connections_go_to_the_most_specific_sockets(address: str, port: int, inodes: set[int]) -> None:
    assert listening.takers(FOUND, address, port) == inodes
