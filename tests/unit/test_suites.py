"""Which kind of key a server could show with which version of TLS: OpenSSL reads the cipher string."""

import pytest

from exodus_certbot.model import KeyType, Suites
from exodus_certbot.nginx.config import parse
from exodus_certbot.nginx.listeners import discover
from exodus_certbot.nginx.servers import Machine
from exodus_certbot.tls.suites import usable


def shown(ciphers: str, version: str = "TLSv1.2", *, has_dhparam: bool = False) -> set[KeyType]:
    found = usable(Suites(ciphers=ciphers, has_dhparam=has_dhparam))
    assert found is not None
    return {kind for one, kind in found if one == version}


@pytest.mark.parametrize(
    ("ciphers", "kinds"),
    [
        ("HIGH:!aNULL:!MD5", set(KeyType)),
        ("ECDHE-RSA-AES128-GCM-SHA256", {KeyType.RSA}),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", {KeyType.ECDSA, KeyType.ED25519}),
        ("AES128-SHA", {KeyType.RSA}),
        ("ALL:!aRSA", {KeyType.ECDSA, KeyType.ED25519}),
    ],
)
def test_a_suite_of_tls_1_2_is_for_one_kind_of_key(ciphers: str, kinds: set[KeyType]) -> None:
    assert shown(ciphers) == kinds
    assert shown(ciphers, "TLSv1.3") == set(KeyType)


def test_a_suite_of_tls_1_2_is_for_no_older_version() -> None:
    assert shown("ECDHE-RSA-AES128-GCM-SHA256", "TLSv1") == set()
    assert shown("ECDHE-RSA-AES128-SHA", "TLSv1") == {KeyType.RSA}


def test_a_suite_with_dhe_counts_where_nginx_has_parameters_for_it() -> None:
    assert shown("DHE-RSA-AES128-GCM-SHA256") == set()
    assert shown("DHE-RSA-AES128-GCM-SHA256", has_dhparam=True) == {KeyType.RSA}


@pytest.mark.parametrize("ciphers", ["NO-SUCH-SUITE", "\0", "PROFILE=NOWHERE"])
def test_what_openssl_does_not_understand_cannot_be_judged(ciphers: str) -> None:
    assert usable(Suites(ciphers=ciphers)) is None


def suites_of(configuration: str) -> dict[str, Suites]:
    machine = Machine("/etc/nginx", "host.example", lambda name: ())
    return {service.name: service.suites for service in discover(parse(configuration, file="nginx.conf"), machine)}


PAIR = "ssl_certificate a.pem; ssl_certificate_key a.key;"


def test_a_server_inherits_what_it_does_not_say_itself_and_nginx_has_defaults() -> None:
    found = suites_of(
        f"""http {{
            ssl_ciphers AES128-SHA; {PAIR}
            server {{ listen 443 ssl; server_name plain.example; }}
            server {{ listen 443 ssl; server_name own.example; ssl_ciphers ALL; ssl_dhparam dh.pem; }}
        }}
        stream {{ server {{ listen 8443 ssl; server_name default.example; {PAIR} }} }}"""
    )

    assert found["plain.example"] == Suites(ciphers="AES128-SHA")
    assert found["own.example"] == Suites(ciphers="ALL", has_dhparam=True)
    assert found["default.example"] == Suites()


def test_a_version_of_tls_counts_where_the_server_and_the_default_server_allow_it() -> None:
    found = suites_of(
        f"""http {{
            {PAIR}
            server {{ listen 443 ssl; server_name first.example; ssl_protocols TLSv1.1 tlsv1.2; }}
            server {{ listen 443 ssl; server_name other.example; ssl_protocols TLSv1.2 TLSv1.3; }}
        }}"""
    )

    assert found["first.example"].protocols == ("TLSv1.1", "TLSv1.2")
    assert found["other.example"].protocols == ("TLSv1.2",)
