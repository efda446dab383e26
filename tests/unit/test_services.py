"""From nginx's configuration to services, by tables and by drawn configurations: nothing is invisible."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exodus_certbot.model import Service
from exodus_certbot.nginx import variables
from exodus_certbot.nginx.config import parse
from exodus_certbot.nginx.listeners import discover
from exodus_certbot.nginx.servers import Machine

PLACES = {"live/a.example/f": ("a.example",), "live/b.example/f": ("other.example",), "live/broken.example/f": None}


def machine(**more: object) -> Machine:
    def matches(pattern: str) -> list[str]:
        fitting = re.compile(re.escape(pattern).replace(r"\*", "[^/]+"))
        return [f"/etc/nginx/{place}" for place in PLACES if fitting.fullmatch(f"/etc/nginx/{place}")]

    def names_in(path: str) -> tuple[str, ...] | None:
        return PLACES.get(path.removeprefix("/etc/nginx/"), ())

    return Machine("/etc/nginx", "host", lambda host: (host,), matches=matches, names_in=names_in, **more)  # type: ignore[arg-type]


def services(text: str) -> tuple[Service, ...]:
    return discover(parse(text, file="/etc/nginx/nginx.conf"), machine())


def rows(text: str) -> list[tuple[str, str | None, bool]]:
    """Give each service's name, what is asked for, and whether it is asked."""
    return [(one.name, one.sni, not one.not_probed) for one in services(text)]


@pytest.mark.parametrize(("flag", "speaks_tls"), [("ON", True), ("On", True), ("OFF", False), ("off", False)])
def test_the_flag_that_nginx_had_before_its_1_25_is_read_whatever_its_case(flag: str, speaks_tls: bool) -> None:
    one = f"listen 1; server_name a.example; ssl {flag}; ssl_certificate c; ssl_certificate_key k;"
    assert [not found.to_nobody for found in services(f"http {{ server {{ {one} }} }}")] == [speaks_tls]


NAMES = st.sampled_from(["a.example", ".a.example", "*.a.example", "_", "~^a", "b.*", '""'])
LISTENS = st.sampled_from(["1 ssl", "1", "2 ssl default_server", "[::1]:3 ssl", "4 quic", "unix:/s ssl", "5 udp"])
CERTIFICATES = st.sampled_from(["c1", "c2", "/abs/c3", "$unknown", "live/$ssl_server_name/f", "$server_name.pem"])


@st.composite
def servers(draw: st.DrawFn) -> str:
    listens = "".join(f"listen {one};" for one in draw(st.lists(LISTENS, max_size=2, unique=True)))
    names = "".join(f"server_name {one};" for one in draw(st.lists(NAMES, max_size=2)))
    own = "".join(
        f"ssl_certificate {one}; ssl_certificate_key {one};" for one in draw(st.lists(CERTIFICATES, max_size=2))
    )
    flags = draw(st.sampled_from(["", "ssl on;", "ssl_reject_handshake on;"]))
    return f"server {{ {listens} {names} {own} {flags} }}"


@settings(deadline=None)
@given(st.lists(servers(), max_size=4), st.lists(CERTIFICATES, max_size=1), st.sampled_from(["http", "stream"]))
def test_each_certificate_of_a_configuration_is_in_a_service(drawn: list[str], shared: list[str], context: str) -> None:
    above = "".join(f"ssl_certificate {one}; ssl_certificate_key {one};" for one in shared)
    text = f"{context} {{ {above} {' '.join(drawn)} }}"

    shown = {source.certificate for service in services(text) for source in service.sources}

    for written in re.findall(r"ssl_certificate (\S+);", text):
        pattern = re.escape(written).replace(r"\$ssl_server_name", ".+").replace(r"\$server_name", ".*")
        assert any(re.fullmatch(f"(/etc/nginx/)?{pattern}", one) for one in shown), text


@pytest.mark.parametrize("on", ["on", "ON", "oN"])
def test_a_flag_is_on_in_any_case(on: str) -> None:
    assert rows(f"http {{ server {{ listen 1; ssl {on}; server_name a.b; ssl_certificate c; }} }}") == [
        ("a.b", "a.b", True)
    ]


def test_a_word_that_nginx_drops_is_dropped_whole() -> None:
    text = "http { server { listen 1 ssl default_server; ssl_certificate c; server_name x.y; }"
    text += " server { listen 1 ssl; ssl_certificate d; server_name a.b .a.b; } }"
    assert rows(text) == [("x.y", "x.y", True), ("a.b", "a.b", True), ("*.a.b", "exodus-certbot-probe.a.b", False)]


def test_a_dropped_word_of_the_default_server_leads_to_it_all_the_same() -> None:
    text = "http { server { listen 1 ssl; ssl_certificate c; server_name a.b .a.b; } }"
    assert [asked for _, _, asked in rows(text)] == [True, True]


def test_a_path_with_the_name_is_asked_for_the_names_whose_certificates_are_there() -> None:
    paths = "ssl_certificate live/$ssl_server_name/f; ssl_certificate_key k;"
    assert rows(f"http {{ server {{ listen 1 ssl; server_name _; {paths} }} }}") == [
        ("_", None, False),
        ("a.example", "a.example", True),
        ("broken.example", "broken.example", True),
    ]


def test_a_name_that_another_server_has_is_not_asked_for_by_a_path() -> None:
    text = "http { server { listen 1 ssl; server_name _; ssl_certificate live/$ssl_server_name/f; }"
    text += " server { listen 1 ssl; server_name a.example; ssl_certificate c; } }"
    assert [one.sources[0].certificate for one in services(text) if one.sni == "a.example"] == ["/etc/nginx/c"]


def test_a_use_of_a_file_is_found_wherever_it_stands_with_its_key() -> None:
    text = "http { ssl_certificate_cache off; grpc_ssl_certificate c; grpc_ssl_certificate_key k;"
    text += " server { listen 1; location / { if ($a) {"
    text += " proxy_ssl_trusted_certificate /t; uwsgi_ssl_crl r; } proxy_ssl_certificate $late; } } }"
    found = {one.name: (one.sources[0].certificate, one.sources[0].key) for one in services(text)}
    assert found == {
        "grpc_ssl_certificate": ("/etc/nginx/c", "/etc/nginx/k"),
        "proxy_ssl_trusted_certificate": ("/t", ""),
        "uwsgi_ssl_crl": ("/etc/nginx/r", ""),
    }
    assert all(one.is_use and one.not_probed and not one.to_nobody for one in services(text))


MADE_OF = variables.made_of(
    parse(
        "map $ssl_server_name $by_name { default x; } map $by_name $deep { default x; } geo $one { default /c; }"
        "map $remote_addr $value { default $deep; } split_clients $remote_addr $half { 50% a; * b; }"
        "map $a $b { x $b; }",
        file="f",
    )
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/plain", False),
        ("/$ssl_server_name", True),
        ("${SSL_Server_Name}.crt", True),
        ("$server_name", False),
        ("$one", False),
        ("$half", False),
        ("$by_name", True),
        ("$deep", True),
        ("$value", True),
        ("$acme_certificate", False),
        ("$set_by_lua", True),
        ("$1", True),
        ("$b", True),
    ],
)
def test_whether_a_name_decides_which_file_is_meant(text: str, expected: bool) -> None:
    assert variables.depend_on_name(text, MADE_OF) is expected
