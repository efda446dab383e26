"""What to ask for, given what stands after `server_name`; where to ask, given what stands after `listen`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_certbot.nginx.listen import Listen, ask_address, parse_listen
from exodus_certbot.server_names import INVENTED_LABEL, Probe, is_covered, probes_for


def asked(written: str, *, is_default: bool = False) -> list[tuple[str, str | None]]:
    return [(probe.pattern, probe.sni) for probe in probes_for(written, is_default=is_default) if not probe.not_probed]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("www.example.org", [("www.example.org", "www.example.org")]),
        ("WWW.Example.ORG", [("www.example.org", "www.example.org")]),
        ("*.example.org", [("*.example.org", f"{INVENTED_LABEL}.example.org")]),
        ("www.*", [("www.*", f"www.{INVENTED_LABEL}")]),
        (".example.org", [("example.org", "example.org"), ("*.example.org", f"{INVENTED_LABEL}.example.org")]),
        ("localhost", [("localhost", "localhost")]),
    ],
)
def test_a_name_is_asked_for_as_a_client_would(written: str, expected: list[tuple[str, str | None]]) -> None:
    assert asked(written) == expected


@pytest.mark.parametrize("written", ["_", "", "192.0.2.1", "[2001:db8::1]", "caf\xe9.example", "a" * 64 + ".example"])
def test_what_no_handshake_can_ask_for_is_reached_as_the_default_server_only(written: str) -> None:
    assert asked(written, is_default=True) == [(written, None)]
    (probe,) = probes_for(written, is_default=False)
    assert "no handshake can ask for it" in probe.not_probed


@pytest.mark.parametrize("is_default", [True, False])
def test_a_regular_expression_is_never_asked_for(is_default: bool) -> None:
    (probe,) = probes_for("~^(www\\.)?example\\.org$", is_default=is_default)
    assert probe == Probe("~^(www\\.)?example\\.org$", None, probe.not_probed)
    assert "regular expression" in probe.not_probed


@given(st.text(max_size=300), st.booleans())
def test_every_word_gives_a_probe_or_a_reason_and_no_sni_that_tls_refuses(written: str, is_default: bool) -> None:
    probes = list(probes_for(written, is_default=is_default))
    assert probes
    for probe in probes:
        if probe.sni is not None:
            assert not probe.not_probed
            assert len(probe.sni.encode("idna")) <= 253


@pytest.mark.parametrize(
    ("pattern", "names", "covered"),
    [
        ("example.org", ("example.org",), True),
        ("example.org", ("EXAMPLE.org",), True),
        ("example.org", ("www.example.org",), False),
        ("www.example.org", ("*.example.org",), True),
        ("a.b.example.org", ("*.example.org",), False),
        ("example.org", ("*.example.org",), False),
        ("*.example.org", ("*.example.org",), True),
        ("*.example.org", ("www.example.org",), False),
        ("192.0.2.1", ("192.0.2.1",), True),
        ("192.0.2.1", ("192.0.2.2",), False),
        ("[2001:DB8::0:1]", ("2001:db8::1",), True),
        ("_", ("example.org",), True),
        ("", ("example.org",), True),
        ("~^www", ("example.org",), True),
        ("www.*", ("example.org",), True),
    ],
)
def test_a_certificate_covers_what_a_client_would_accept(pattern: str, names: tuple[str, ...], covered: bool) -> None:
    assert is_covered(pattern, names) is covered


def listens(*arguments: str) -> list[tuple[str, int | None]]:
    resolved = {"localhost": ("127.0.0.1", "::1")}
    return [
        (one.address, one.port) for one in parse_listen(arguments, 80, lambda host: resolved.get(host, ("192.0.2.9",)))
    ]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("443", [("0.0.0.0", 443)]),
        ("*:443", [("0.0.0.0", 443)]),
        ("192.0.2.1", [("192.0.2.1", 80)]),
        ("192.0.2.1:8443", [("192.0.2.1", 8443)]),
        ("[::]:443", [("::", 443)]),
        ("[::1]", [("::1", 80)]),
        ("[2001:DB8:0::1]:443", [("2001:db8::1", 443)]),
        ("localhost:443", [("127.0.0.1", 443), ("::1", 443)]),
        ("elsewhere", [("192.0.2.9", 80)]),
        ("8000-8002", [("0.0.0.0", 8000), ("0.0.0.0", 8001), ("0.0.0.0", 8002)]),
        ("[::1]:9-10", [("::1", 9), ("::1", 10)]),
        ("unix:/run/nginx.sock", [("unix:/run/nginx.sock", None)]),
        ("UNIX:/run/nginx.sock", [("unix:/run/nginx.sock", None)]),
    ],
)
def test_every_form_of_listen_is_understood(where: str, expected: list[tuple[str, int | None]]) -> None:
    assert listens(where, "ssl") == expected


@pytest.mark.parametrize("port", ["²", "8o80", "9" * 5000, "", "-", "80-²"])
def test_what_nginx_takes_for_no_port_is_read_all_the_same(port: str) -> None:
    assert len(listens(f"127.0.0.1:{port}")) <= 1


def test_listen_without_arguments_is_the_default_port_everywhere() -> None:
    assert listens() == [("0.0.0.0", 80)]


@pytest.mark.parametrize(
    ("flag", "field"),
    [
        ("ssl", "tls"),
        ("quic", "quic"),
        ("udp", "udp"),
        ("proxy_protocol", "proxy_protocol"),
        ("default_server", "default_server"),
        ("default", "default_server"),
    ],
)
def test_a_flag_sets_its_field_and_no_other(flag: str, field: str) -> None:
    (found,) = parse_listen(("443", flag, "backlog=1", "http2"), 80, lambda host: ())
    assert found == Listen("0.0.0.0", 443, **{field: True})


def test_a_wildcard_is_asked_where_no_specific_listener_answers() -> None:
    assert ask_address("0.0.0.0", 443, frozenset()) == "127.0.0.1"
    assert ask_address("0.0.0.0", 443, frozenset({("127.0.0.1", 443), ("127.0.0.2", 443)})) == "127.0.0.3"
    assert ask_address("0.0.0.0", 443, frozenset({("127.0.0.1", 8443)})) == "127.0.0.1"


def test_an_ipv6_wildcard_has_but_one_loopback_address() -> None:
    assert ask_address("::", 443, frozenset()) == "::1"
    assert ask_address("::", 443, frozenset({("::1", 443)})) is None


def test_an_ipv6_wildcard_is_asked_at_another_address_of_the_machine_or_by_ipv4_where_it_takes_that() -> None:
    taken = frozenset({("::1", 443), ("127.0.0.1", 443)})
    assert ask_address("::", 443, taken, others=("2001:db8::1",)) == "2001:db8::1"
    assert ask_address("::", 443, taken | {("2001:db8::1", 443)}, others=("2001:db8::1",)) is None
    assert ask_address("::", 443, taken, also_ipv4=True) == "127.0.0.2"
    assert ask_address("::", 443, frozenset(), also_ipv4=True) == "::1"


@pytest.mark.parametrize(("flags", "expected"), [((), None), (("ipv6only=on",), True), (("ipv6only=off",), False)])
def test_whether_an_ipv6_socket_takes_ipv4_is_read(flags: tuple[str, ...], expected: bool | None) -> None:
    (found,) = parse_listen(("[::]:443", *flags), 80, lambda host: ())
    assert found.ipv6only is expected


def test_the_words_after_listen_are_read_in_their_own_case_as_nginx_does() -> None:
    (found,) = parse_listen(("443", "SSL", "Default_Server"), 80, lambda host: ())
    assert found == Listen("0.0.0.0", 443)


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "unix:/run/nginx.sock"])
def test_a_specific_address_is_asked_itself(address: str) -> None:
    assert ask_address(address, 443, frozenset({("127.0.0.1", 443)})) == address
