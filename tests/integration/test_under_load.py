"""A hundred renewals of a site that is in use: nobody is turned away, and after an OK nobody is shown the old one."""

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import certificate_lines, workers_as_myself
from tests.parts.ports import free_port
from tests.parts.witness import all_served_sha256, disk_sha256

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]
NAME = "exodus.example"
RENEWALS, CLIENTS, DOWNLOADS = 100, 3, 2
FILE_BYTES = 24 * 1024 * 1024


@dataclass
class Visitors:
    """Clients that go on until they are told to stop, what went well for them and what did not."""

    port: int
    handshakes: int = 0
    downloads: int = 0
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def connect_again_and_again(self) -> None:
        """Make a new connection each time, and nothing of an earlier session is used again."""
        while not self.stop.is_set():
            plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
            with plain, trusting_anybody().wrap_socket(plain, server_hostname=NAME):
                self.handshakes += 1

    def download_slowly(self) -> None:
        """Take a file that lasts over several reloads, whole."""
        while not self.stop.is_set():
            asking = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=trusting_anybody())
            asking.request("GET", "/large", headers={"Host": NAME})
            assert len(asking.getresponse().read()) == FILE_BYTES
            self.downloads += 1

    def in_their_own_words(self, work: Callable[[], None]) -> None:
        """Keep what goes wrong, once for each client."""
        try:
            work()
        except (OSError, AssertionError, http.client.HTTPException) as error:
            self.failures.append(repr(error))


def trusting_anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@contextmanager
def visited(port: int) -> Iterator[Visitors]:
    """Have clients come and go for the time of a block."""
    visitors = Visitors(port)
    works = [visitors.connect_again_and_again] * CLIENTS + [visitors.download_slowly] * DOWNLOADS
    threads = [threading.Thread(target=visitors.in_their_own_words, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield visitors
    finally:
        visitors.stop.set()
        for thread in threads:
            thread.join()


def test_nobody_is_turned_away_by_a_hundred_renewals_nor_shown_the_old_one_after_an_ok(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    files = f"listen 127.0.0.1:{port} ssl; server_name {NAME}; root {certbot_tree.folder}; limit_rate 4m;"
    nginx = start_nginx(f"server {{ {files} {certificate_lines(lineage)} }}", main=workers_as_myself())
    (certbot_tree.folder / "large").write_bytes(bytes(FILE_BYTES))

    with visited(port) as visitors:
        for number in range(RENEWALS):
            new = disk_sha256(certbot_tree.issue(NAME))
            deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")
            assert (deployed.json["verdict"], deployed.json["reloaded"]) == ("ok", True), (number, deployed.stdout)
            assert all_served_sha256(port, NAME) == {new}

    assert visitors.failures == []
    assert nginx.reloads == RENEWALS
    assert visitors.handshakes > RENEWALS * 10
    assert visitors.downloads >= DOWNLOADS
