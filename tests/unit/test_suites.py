"""Which kind of key a server could show with which version of TLS: OpenSSL reads the cipher string."""

import pytest

from exodus_certbot.model import KeyType, Suites
from exodus_certbot.nginx.config import parse
from exodus_certbot.nginx.listeners import discover
from exodus_certbot.nginx.servers import Machine
from exodus_certbot.tls import signatures
from exodus_certbot.tls.suites import key_types, usable


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


@pytest.mark.parametrize(
    ("commands", "protocols", "ciphers"),
    [
        ("ssl_conf_command CipherString AES128-SHA;", ("TLSv1.2", "TLSv1.3"), "AES128-SHA"),
        ("ssl_conf_command cipherstring A; ssl_conf_command CipherString B;", ("TLSv1.2", "TLSv1.3"), "B"),
        ("ssl_conf_command MaxProtocol TLSv1.2;", ("TLSv1.2",), "ALL"),
        ("ssl_conf_command MinProtocol TLSv1.3;", ("TLSv1.3",), "ALL"),
        ("ssl_conf_command MinProtocol None;", ("TLSv1.2", "TLSv1.3"), "ALL"),
        ("ssl_conf_command Protocol -TLSv1.3;", ("TLSv1.2",), "ALL"),
        ("ssl_conf_command Protocol '-ALL, tlsv1.1, +TLSv1.2';", ("TLSv1.1", "TLSv1.2"), "ALL"),
        ("ssl_conf_command Options PrioritizeChaCha;", ("TLSv1.2", "TLSv1.3"), "ALL"),
        ("ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;", ("TLSv1.2", "TLSv1.3"), "ALL"),
    ],
)
def test_ssl_conf_command_outdoes_what_nginx_says_itself(
    commands: str, protocols: tuple[str, ...], ciphers: str
) -> None:
    text = f"http {{ ssl_ciphers ALL; {PAIR} server {{ listen 443 ssl; server_name a; {commands} }} }}"

    found = suites_of(text)["a"]

    assert (found.protocols, found.ciphers, found.is_clear) == (protocols, ciphers, True)


@pytest.mark.parametrize(
    "command", ["MinProtocol TLSv1.9", "Protocol TLSv1.9", "Certificate other.pem", "Ciphersuites ''", "New x"]
)
def test_a_command_that_is_not_known_here_leaves_it_open_what_can_be_shown(command: str) -> None:
    found = suites_of(f"http {{ {PAIR} server {{ listen 443 ssl; server_name a; ssl_conf_command {command}; }} }}")["a"]

    assert (found.is_clear, usable(found)) == (False, None)
    assert key_types(found) == set(KeyType)


RSA, ECDSA, ED25519 = (frozenset([kind]) for kind in KeyType)
ALL, NONE = frozenset(KeyType), frozenset[KeyType]()


@pytest.mark.parametrize(
    ("algorithms", "in_1_2", "in_1_3"),
    [
        ("", ALL, ALL),
        ("RSA-PSS+SHA256:RSA+SHA256", RSA, RSA),
        ("RSA+SHA256:rsa_pkcs1_sha512", RSA, NONE),
        ("rsa_pss_rsae_sha256:PSS+SHA384", RSA, RSA),
        ("ECDSA+SHA256:ECDSA+SHA384", ECDSA, ECDSA),
        ("ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ed25519", ECDSA | ED25519, ECDSA | ED25519),
        ("ECDSA+SHA256:RSA+SHA256", ECDSA | RSA, None),
        ("mldsa65:RSA+SHA256", None, None),
    ],
)
def test_which_kinds_of_key_can_sign(
    algorithms: str, in_1_2: frozenset[KeyType] | None, in_1_3: frozenset[KeyType] | None
) -> None:
    assert signatures.kinds(algorithms, "TLSv1.2") == in_1_2
    assert signatures.kinds(algorithms, "TLSv1.3") == in_1_3
    assert signatures.kinds(algorithms, "TLSv1.1") == ALL


def test_signature_algorithms_limit_the_kinds_of_key_as_suites_do() -> None:
    found = usable(Suites(signatures="RSA-PSS+SHA256:RSA+SHA256"))

    assert found is not None
    assert {(version, kind) for version, kind in found if version in ("TLSv1.2", "TLSv1.3")} == {
        ("TLSv1.2", KeyType.RSA),
        ("TLSv1.3", KeyType.RSA),
    }
    assert key_types(Suites(("TLSv1.2",), signatures="ECDSA+SHA256", are_usual=False)) == ECDSA


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
