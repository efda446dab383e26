"""See for oneself, without the code under test: which certificate is on the wire, and which is on disk."""

import socket
import ssl
from hashlib import sha256
from pathlib import Path

_END = "-----END CERTIFICATE-----\n"


def served_sha256(port: int, name: str, *, address: str = "127.0.0.1") -> str:
    """Make a TLS handshake for a name, and give the fingerprint of the certificate it showed."""
    trusting_anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting_anybody.check_hostname = False
    trusting_anybody.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((address, port), timeout=10) as connection,
        trusting_anybody.wrap_socket(connection, server_hostname=name) as tls,
    ):
        shown = tls.getpeercert(binary_form=True)
    assert shown is not None
    return sha256(shown).hexdigest()


def all_served_sha256(port: int, name: str, *, handshakes: int = 12) -> set[str]:
    """Make many handshakes: each worker of nginx's answers for itself, and one of them may be an old one."""
    return {served_sha256(port, name) for _ in range(handshakes)}


def disk_sha256(lineage: Path) -> str:
    """Give the fingerprint of the certificate that a lineage holds now."""
    leaf = (lineage / "fullchain.pem").read_text().partition(_END)[0] + _END
    return sha256(ssl.PEM_cert_to_DER_cert(leaf)).hexdigest()


def worker_pids(master: int) -> set[int]:
    """List a master's workers that are not on their way out; after a reload all are others."""
    processes = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return {pid for pid in processes if _parent(pid) == master and _accepts(pid)}


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def _accepts(pid: int) -> bool:
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"worker process" in title and b"shutting down" not in title
