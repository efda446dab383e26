"""Which key types a server's protocols and suites leave for clients, and when one of them need not be asked for."""

from datetime import UTC, datetime, timedelta

import pytest

from exodus_certbot import expect
from exodus_certbot.model import Certificate, CertificateSource, KeyType, Listener, Pair, Service, Suites
from exodus_certbot.tls import suites

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RSA, ECDSA, ALL = {KeyType.RSA}, {KeyType.ECDSA, KeyType.ED25519}, set(KeyType)


@pytest.mark.parametrize(
    ("configured", "shown"),
    [
        (Suites(), ALL),
        (Suites(ciphers="ECDHE-RSA-AES128-GCM-SHA256"), RSA),
        (Suites(("TLSv1.2",), "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305", are_usual=False), ECDSA),
        (Suites(("TLSv1.2",), "AES128-SHA", are_usual=False), RSA),
        (Suites(("TLSv1.2",), "HIGH:!aNULL:!aRSA", are_usual=False), ECDSA),
        (Suites(("TLSv1.2", "TLSv1.3"), "ECDHE-RSA-AES128-GCM-SHA256", are_usual=False), ALL),
        (Suites(("TLSv1.2",), "a-suite-of-another-library", are_usual=False), ALL),
    ],
)
def test_which_key_types_protocols_and_suites_can_show(configured: Suites, shown: set[KeyType]) -> None:
    assert suites.key_types(configured) == shown


def pair_of(kind: KeyType) -> Pair:
    source = CertificateSource(f"/live/{kind}/fullchain.pem", f"/live/{kind}/privkey.pem")
    return Pair(source, Certificate(kind, kind, (), NOW, NOW + timedelta(days=90)), None)


def test_a_key_type_is_configured_away_only_where_another_one_of_the_server_is_left() -> None:
    ecdsa, rsa = pair_of(KeyType.ECDSA), pair_of(KeyType.RSA)
    service = Service("n0", "n0", Listener("0.0.0.0", 443, "127.0.0.1"), (ecdsa.source, rsa.source))
    pairs = {ecdsa.source: ecdsa, rsa.source: rsa}

    def reasons(*left: KeyType) -> list[bool]:
        return [bool(one.unshowable) for one in expect.expectations([service], pairs, lambda _service: left)]

    assert reasons(KeyType.ECDSA) == [False, True]
    assert reasons(KeyType.ECDSA, KeyType.RSA) == reasons() == [False, False]
