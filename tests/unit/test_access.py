"""Whether allow and deny turn us away: the first rule that fits decides, as in nginx."""

import pytest

from exodus_certbot.nginx.access import Rule, denies, rules_of
from exodus_certbot.nginx.config import parse


@pytest.mark.parametrize(
    ("written", "source", "is_denied"),
    [
        ("", "127.0.0.1", False),
        ("deny all;", "127.0.0.1", True),
        ("deny all;", "::1", True),
        ("deny all;", "unix:", True),
        ("allow 192.0.2.0/24; deny all;", "127.0.0.1", True),
        ("allow 192.0.2.0/24; deny all;", "192.0.2.77", False),
        ("allow 192.0.2.5/24; deny all;", "192.0.2.77", False),
        ("allow 127.0.0.1; deny all;", "127.0.0.1", False),
        ("deny all; allow 127.0.0.1;", "127.0.0.1", True),
        ("deny 192.0.2.0/24;", "127.0.0.1", False),
        ("deny 2001:db8::/32;", "2001:db8::1", True),
        ("deny 2001:db8::/32;", "192.0.2.1", False),
        ("deny unix:;", "unix:", True),
        ("deny unix:;", "127.0.0.1", False),
        ("deny nonsense;", "127.0.0.1", False),
        ("deny all;", "", False),
    ],
)
def test_the_first_rule_that_fits_decides(written: str, source: str, is_denied: bool) -> None:
    assert denies(rules_of(parse(written, file="a")), source) is is_denied


def test_rules_keep_their_order() -> None:
    assert rules_of(parse("allow 127.0.0.1; listen 1; deny all;", file="a")) == (
        Rule(False, "127.0.0.1"),
        Rule(True, "all"),
    )
