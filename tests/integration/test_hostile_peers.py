"""A peer that keeps a client busy for ever: each handshake ends at its own limit all the same."""

import socket
import threading
import time
from collections.abc import Callable

import pytest

from exodus_certbot.model import KeyType
from exodus_certbot.tls.served import Question, ask_again
from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.hostile_peer import hostile_peer, send_byte_by_byte, send_messages_without_end
from tests.parts.ports import free_port

NAME = "exodus.example"
LIMIT_SECONDS = 0.5
Treat = Callable[[socket.socket, threading.Event], None]


@pytest.mark.parametrize("treat", [send_messages_without_end, send_byte_by_byte])
@pytest.mark.parametrize("key_type", [None, KeyType.ED25519], ids=["here", "in a process of its own"])
def test_a_handshake_ends_at_its_limit_whatever_is_sent(treat: Treat, key_type: KeyType | None) -> None:
    with hostile_peer(treat) as port:
        begun = time.monotonic()
        seen = ask_again(Question("127.0.0.1", port, NAME, False, key_type), 3, LIMIT_SECONDS)
        seconds = time.monotonic() - begun

    assert [one.failure for one in seen] == ["no answer within 0.5 s"]
    assert LIMIT_SECONDS <= seconds < LIMIT_SECONDS + 10


def test_a_check_ends_in_time_where_a_listener_sends_without_end(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))
    conf = exodus_certbot.conf
    with hostile_peer(send_messages_without_end) as port:
        more = f"listen 127.0.0.1:{port} ssl; listen 127.0.0.1:"
        conf.write_text(conf.read_text().replace("listen 127.0.0.1:", more))
        found = exodus_certbot("check", "--json", "--timeout", "2", timeout=60)

    verdicts = {row["port"]: row["verdict"] for row in found.json["listeners"]}
    assert verdicts.pop(port) == "unreachable"
    assert list(verdicts.values()) == ["ok"]
