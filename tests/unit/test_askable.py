"""Where a listener is asked, how, and why not: read from nginx's configuration, with a machine of the test's own."""

from dataclasses import replace

import pytest

from exodus_certbot.model import Service
from exodus_certbot.nginx.config import parse
from exodus_certbot.nginx.listeners import discover
from exodus_certbot.nginx.servers import Machine

PAIR = "ssl_certificate a.pem; ssl_certificate_key a.key;"
MACHINE = Machine("/etc/nginx", "host", lambda host: (host,))


def discovered(text: str, machine: Machine = MACHINE) -> list[Service]:
    return list(discover(parse(text, file="nginx.conf"), machine))


def found(text: str, machine: Machine = MACHINE) -> Service:
    (service,) = discovered(text, machine)
    return service


@pytest.mark.parametrize(
    ("server", "protocol"),
    [
        ("listen 2525; protocol smtp; starttls on;", "smtp"),
        ("listen 2525; protocol imap; starttls only;", "imap"),
        ("listen 2525; protocol pop3; starttls ON;", "pop3"),
        ("listen 25; starttls on;", "smtp"),
        ("listen 465; starttls on;", "smtp"),
        ("listen 587; starttls on;", "smtp"),
        ("listen 143; starttls on;", "imap"),
        ("listen 110; starttls on;", "pop3"),
        ("listen 143; protocol smtp; starttls on;", "smtp"),
    ],
)
def test_starttls_is_spoken_in_the_protocol_that_the_server_or_its_port_names(server: str, protocol: str) -> None:
    service = found(f"mail {{ server {{ {server} {PAIR} }} }}")

    assert (service.listener.starttls, service.not_probed) == (protocol, "")


def test_starttls_is_inherited_and_a_listener_with_tls_of_its_own_needs_none() -> None:
    both = discovered(f"mail {{ starttls on; {PAIR} server {{ listen 143; listen 993 ssl; }} }}")

    assert [(service.listener.port, service.listener.starttls) for service in both] == [(143, "imap"), (993, "")]


def test_an_address_that_another_program_has_is_not_asked_in_place_of_the_wildcard() -> None:
    web = f"http {{ server {{ listen 443 ssl; server_name a; {PAIR} }} }}"
    others = [("127.0.0.1", 443), ("127.0.0.2", 8443), ("0.0.0.0", 443)]

    assert found(web).listener.ask_address == "127.0.0.1"
    assert found(web, replace(MACHINE, held=lambda: others)).listener.ask_address == "127.0.0.2"
    assert (
        found(web.replace("443", "127.0.0.1:443"), replace(MACHINE, held=lambda: others)).listener.ask_address
        == "127.0.0.1"
    )


def test_a_mail_server_that_never_speaks_tls_shows_its_certificate_to_nobody() -> None:
    plain = discovered(f"mail {{ {PAIR} server {{ listen 143; starttls off; }} server {{ listen 110; }} }}")
    assert [(service.to_nobody, bool(service.not_probed)) for service in plain] == [(True, True)]


def test_an_address_that_is_elsewhere_now_is_not_asked_unless_another_is_named() -> None:
    web = f"http {{ server {{ listen 192.0.2.10:443 ssl; server_name a; {PAIR} }} }}"
    standby = replace(MACHINE, is_here=lambda address: address.startswith("127."))

    assert "192.0.2.10 is no address of this machine now" in found(web, standby).not_probed
    assert found(web).not_probed == ""
    assert found(web, replace(standby, connect="192.0.2.77")).not_probed == ""
    assert found(web.replace("192.0.2.10:443", "443"), standby).not_probed == ""
    assert found(web.replace("192.0.2.10:443", "unix:/run/a"), standby).not_probed == ""


def test_the_rules_are_compared_with_the_address_that_one_asks_from() -> None:
    stream = f"stream {{ server {{ listen 443 ssl; allow 192.0.2.0/24; deny all; {PAIR} }} }}"

    def asking_from(source: str) -> str:
        return found(stream, replace(MACHINE, source_for=lambda _: source)).not_probed

    assert "allow and deny" in asking_from("127.0.0.1")
    assert asking_from("192.0.2.4") == ""
    assert asking_from("") == ""


def test_a_listener_over_quic_is_asked_where_no_more_specific_one_over_quic_is() -> None:
    http = f"http {{ server {{ listen 443 quic; listen 127.0.0.1:443 ssl; listen 127.0.0.2:443 quic; {PAIR} }} }}"

    asked = {(one.listener.address, one.listener.quic): one.listener.ask_address for one in discovered(http)}

    assert asked == {
        ("0.0.0.0", True): "127.0.0.1",
        ("127.0.0.1", False): "127.0.0.1",
        ("127.0.0.2", True): "127.0.0.2",
    }


def test_where_quic_cannot_be_asked_the_rest_can() -> None:
    http = f"http {{ server {{ listen 443 quic; listen 443 ssl; {PAIR} }} }}"
    without = replace(MACHINE, why_no_quic=lambda: "too old")

    assert [service.not_probed for service in discovered(http, without)] == ["too old", ""]
    assert [service.not_probed for service in discovered(http)] == ["", ""]
