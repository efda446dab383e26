"""When a CA wants a certificate renewed, and when that is overdue (RFC 9773)."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from exodus_certbot.acme import renewal_window
from exodus_certbot.model import RenewalWindow

END = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
START_TEXT, END_TEXT = "2026-02-27T00:00:00Z", "2026-03-01T00:00:00Z"


def certificate(serial: int, authority: bytes | None) -> x509.Certificate:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(serial).not_valid_before(END).not_valid_after(END + HOUR)
    if authority is not None:
        builder = builder.add_extension(x509.AuthorityKeyIdentifier(authority, None, None), critical=False)
    return builder.sign(key, hashes.SHA256())


def test_the_identifier_is_the_one_of_the_rfcs_example() -> None:
    """RFC 9773, section 4.1 and appendix A: a serial number whose first bit is set."""
    authority = bytes.fromhex("69885B6B87464041E1B37B847BA0AE2CDE01C8D4")

    assert renewal_window.certificate_id(certificate(0x87654321, authority)) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"


def test_a_serial_number_without_its_first_bit_has_no_zero_byte_before_it() -> None:
    assert renewal_window.certificate_id(certificate(0x7F, b"\x01")) == "AQ.fw"


def test_a_certificate_that_does_not_say_who_signed_it_has_no_identifier() -> None:
    with pytest.raises(ValueError, match="authority key identifier"):
        renewal_window.certificate_id(certificate(1, None))


def test_an_answer_is_read_as_the_rfc_has_it() -> None:
    window = renewal_window.parse("a", {"suggestedWindow": {"start": START_TEXT, "end": END_TEXT}, "more": 1})

    assert window == RenewalWindow("a", END - timedelta(days=2), END)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"suggestedWindow": []},
        {"suggestedWindow": {"start": START_TEXT}},
        {"suggestedWindow": {"start": "soon", "end": END_TEXT}},
        {"suggestedWindow": {"start": "2026-02-27T00:00:00", "end": "2026-03-01T00:00:00"}},
        {"suggestedWindow": {"start": END_TEXT, "end": START_TEXT}},
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(answer: object) -> None:
    with pytest.raises(ValueError, match=r"suggestedWindow|isoformat"):
        renewal_window.parse("a", answer)
