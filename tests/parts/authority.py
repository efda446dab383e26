"""A certificate authority of our own, and certbot's folder layout filled by it: lineages without waiting for a CA."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def new_key(kind: str = "ecdsa") -> Key:
    """Make a private key of one of the kinds that nginx serves."""
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key) -> bytes:
    """Encode a private key as certbot writes it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass
class Authority:
    """A root, and one intermediate that signs leaves: the shape of a public CA."""

    root_key: Key = field(default_factory=new_key)
    intermediate_key: Key = field(default_factory=new_key)
    pss: bool = False

    def __post_init__(self) -> None:
        """Sign the root with itself and the intermediate with the root."""
        self.root = self._sign("Test Root", self.root_key, "Test Root", self.root_key, authority=True)
        self.intermediate = self._sign(
            "Test Intermediate", self.intermediate_key, "Test Root", self.root_key, authority=True
        )

    @property
    def chain_pem(self) -> bytes:
        """Give what follows the leaf."""
        return self.intermediate.public_bytes(serialization.Encoding.PEM)

    @property
    def root_pem(self) -> bytes:
        """Give what clients have already, and servers do not send."""
        return self.root.public_bytes(serialization.Encoding.PEM)

    def chain_of_age(self, age: timedelta, lifetime: timedelta) -> bytes:
        """Give the same intermediate with other dates: one that has ended, or has not begun."""
        again = self._sign(
            "Test Intermediate", self.intermediate_key, "Test Root", self.root_key,
            authority=True, age=age, lifetime=lifetime,
        )  # fmt: skip
        return again.public_bytes(serialization.Encoding.PEM)

    def leaf_pem(
        self,
        key: Key,
        names: tuple[str, ...],
        *,
        lifetime: timedelta = timedelta(days=90),
        age: timedelta = timedelta(minutes=5),
    ) -> bytes:
        """Sign a leaf that began `age` ago and lives `lifetime` from then; a negative age begins in the future."""
        leaf = self._sign(names[0], key, "Test Intermediate", self.intermediate_key, names, lifetime=lifetime, age=age)
        return leaf.public_bytes(serialization.Encoding.PEM)

    def _sign(
        self,
        subject: str,
        key: Key,
        issuer: str,
        issuer_key: Key,
        names: tuple[str, ...] = (),
        *,
        authority: bool = False,
        lifetime: timedelta = timedelta(days=900),
        age: timedelta = timedelta(minutes=5),
    ) -> x509.Certificate:
        begin = datetime.now(UTC).replace(microsecond=0) - age
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + lifetime)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            # Python 3.13 and newer accept no certificate without these (VERIFY_X509_STRICT).
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        )
        if authority:  # as Python 3.13 with OpenSSL 3.5 wants one to say
            builder = builder.add_extension(_SIGNS_CERTIFICATES, critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        digest = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        padded = self.pss and isinstance(issuer_key, rsa.RSAPrivateKey)
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH) if padded else None
        return builder.sign(issuer_key, digest, rsa_padding=pss)


_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@dataclass
class CertbotTree:
    """certbot's configuration folder: `archive/NAME/fullchain3.pem`, and `live/NAME/fullchain.pem` linked to it."""

    folder: Path
    authority: Authority = field(default_factory=Authority)

    def issue(
        self,
        name: str,
        names: tuple[str, ...] = (),
        *,
        key_type: str = "ecdsa",
        lifetime: timedelta = timedelta(days=90),
        age: timedelta = timedelta(minutes=5),
    ) -> Path:
        """Write the next version of a lineage and point `live/` to it, as a renewal does; give `live/NAME`."""
        key = new_key(key_type)
        leaf = self.authority.leaf_pem(key, names or (name,), lifetime=lifetime, age=age)
        return self.write(name, leaf=leaf, chain=self.authority.chain_pem, key=key_pem(key))

    def write(self, name: str, *, leaf: bytes, chain: bytes, key: bytes) -> Path:
        """Write given files as the next version of a lineage."""
        archive, live = self.folder / "archive" / name, self.folder / "live" / name
        for folder in (archive, live, self.folder / "renewal"):
            folder.mkdir(parents=True, exist_ok=True)
        version = 1 + len(list(archive.glob("cert*.pem")))
        files = {"cert": leaf, "chain": chain, "fullchain": leaf + chain, "privkey": key}
        for kind, content in files.items():
            target = archive / f"{kind}{version}.pem"
            target.write_bytes(content)
            target.chmod(0o600 if kind == "privkey" else 0o644)
            link = live / f"{kind}.pem"
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(target, live))
        (self.folder / "renewal" / f"{name}.conf").write_text(f"cert = {live}/cert.pem\n")
        return live
