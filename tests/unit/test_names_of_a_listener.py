"""Which server has a name: a real nginx is asked about many drawn sets of `server_name`, and knows best."""

import random
import re
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from exodus_certbot.nginx.expressions import fits
from exodus_certbot.nginx.names import Names
from tests.parts.nginx import running_nginx

SEED, LISTENERS = 2019, 60
LABELS = ("a", "b", "www")
HOSTS = [
    *LABELS,
    *(f"{one}.{two}" for one in LABELS for two in LABELS),
    *(f"{one}.{two}.{three}" for one in LABELS for two in LABELS for three in LABELS),
    "x.a.b.www",
    "a.a.a.a",
]
EXPRESSIONS = ("~^a", "~^(www\\.)?b$", "~^(?<sub>[ab]+)\\.www", "~^W", "~x")


def drawn_words(dice: random.Random) -> list[str]:
    """Draw what stands after one `server_name`; conflicts are wanted."""
    words = []
    for _ in range(dice.randint(0, 4)):
        name = ".".join(dice.choice(LABELS) for _ in range(dice.randint(1, 2)))
        words.append(dice.choice((name, name, f".{name}", f".{name}", f"*.{name}", f"{name}.*", name.upper())))
    return [*words, *(word for word in EXPRESSIONS if dice.random() < 0.1)]


def answers(path: Path, hosts: Sequence[str]) -> list[int]:
    """Ask one listener for all hosts in one connection; each server answers with its number."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(20)
        asking.connect(str(path))
        close = ["", "Connection: close\r\n"]
        asking.sendall(
            b"".join(f"GET / HTTP/1.1\r\nHost: {host}\r\n{close[host is hosts[-1]]}\r\n".encode() for host in hosts)
        )
        said = b"".join(iter(lambda: asking.recv(65536), b""))
    return [int(number) for number in re.findall(rb"\r\n\r\n(\d+)", said)]


def test_a_name_leads_to_the_server_that_nginx_gives_it_to(tmp_path: Path) -> None:
    dice = random.Random(SEED)  # noqa: S311 - drawn input, no secret
    drawn = [[drawn_words(dice) for _ in range(dice.randint(1, 4))] for _ in range(LISTENERS)]
    defaults = [dice.randrange(len(servers)) for servers in drawn]
    quoted = [[" ".join(f'"{word}"' for word in words) for words in servers] for servers in drawn]
    http = "".join(
        f"server {{ listen unix:{tmp_path}/{number}.sock{' default_server' * (at == defaults[number])};"
        f"{f'server_name {words};' * bool(words)} return 200 {at}; }}\n"
        for number, servers in enumerate(quoted)
        for at, words in enumerate(servers)
    )

    with running_nginx(tmp_path / "nginx", http + "keepalive_requests 10000;", workers=1):
        for number, servers in enumerate(drawn):
            names = Names.of((words or [""] for words in servers), defaults[number], fits)
            assert [names.owner(host) for host in HOSTS] == answers(tmp_path / f"{number}.sock", HOSTS), servers


@pytest.mark.parametrize(
    ("expression", "name", "expected"),
    [
        ("^b", "b.example", True),
        ("^b", "a.example", False),
        ("^(?<sub>.+)\\.example$", "a.example", True),
        ("^[[:alpha:]]+$", "abc", True),
        ("^WWW", "www.example", True),
        ("(", "a", None),
        ("^(a+)+$", "a" * 60 + "!", None),
    ],
)
def test_an_expression_fits_as_nginx_reads_it(expression: str, name: str, expected: bool | None) -> None:
    assert fits(expression, name) is expected


def test_where_an_expression_cannot_be_asked_nothing_is_claimed_behind_it() -> None:
    names = Names.of([["a.example"], ["~^b"]], 0, lambda expression, name: None)

    assert (names.owner("a.example"), names.owner("b.example")) == (0, None)
