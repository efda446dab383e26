"""The door to certificates on disk: certbot's lineages, and whatever files nginx is configured with."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from exodus_certbot.model import CertificateSource, Overall, Pair
from exodus_certbot.tls import x509
from exodus_common import seeing
from exodus_common.errors import ExodusError
from exodus_common.render import printable

_MOST_BYTES = 1024 * 1024
_MOST_LINKS = 40


class LineageUnusable(ExodusError):
    """Say that a path is not a lineage of the certbot we serve, or that its files do not hold together."""

    verdict: ClassVar[Overall] = Overall.CRITICAL


class CertificateFiles:
    """Read each file once per run, and know which of them belong to certbot, and which are `denied` to us."""

    def __init__(self, certbot_dir: Path) -> None:
        """Look for lineages in `certbot_dir`, certbot's `--config-dir`."""
        self._live = certbot_dir / "live"
        self._real_live = os.path.realpath(self._live)
        self._pairs: dict[CertificateSource, Pair] = {}
        self.denied: list[str] = []

    def pair(self, source: CertificateSource) -> Pair:
        """Read the leaf of a source; a file that cannot be read is told in the pair, not raised."""
        if source not in self._pairs:
            self._pairs[source] = self._read(source)
        return self._pairs[source]

    def _read(self, source: CertificateSource) -> Pair:
        lineage = None if source.computed else self.lineage_of(source.certificate)
        try:
            return Pair(source, x509.leaf_of_pem(read_bytes(source.certificate)), lineage)
        except ExodusError as error:
            problem = f"{printable(source.shown)} {error}"
            if isinstance(error.__cause__, PermissionError):
                self.denied.append(problem)
            return Pair(source, None, lineage, problem)

    def lineage_of(self, certificate: str) -> Path | None:
        """Name the lineage (`live/NAME`) whose file nginx reaches by a path, directly or through links of its own."""
        path = "" if "\0" in certificate else certificate  # nginx's file may hold what is no path
        for _ in range(_MOST_LINKS):
            folder, file = os.path.split(path)
            live, name = os.path.split(os.path.normpath(folder))
            if live == str(self._live) or os.path.realpath(live) == self._real_live:
                return self._live / name
            real_folder = os.path.realpath(folder)
            live, name = os.path.split(real_folder)
            if live == self._real_live:
                return self._live / name
            try:
                path = os.path.join(real_folder, os.readlink(os.path.join(real_folder, file)))  # noqa: PTH115, PTH118 - text, as in nginx
            except OSError:
                return None
        return None


def read_bytes(path: str | Path) -> bytes:
    """Read a small file, or what stands after `data:`; raise `LineageUnusable` with a phrase that follows its name."""
    if isinstance(path, str) and path.startswith("data:"):
        return path.removeprefix("data:").encode("utf-8", "surrogateescape")
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        hint = "; run as root" if error.errno == errno.EACCES else ""
        raise LineageUnusable(f"cannot be read: {error.strerror}{hint}") from error
    except ValueError as error:
        raise LineageUnusable(f"cannot be read: {error}") from error
    if len(content) > _MOST_BYTES:
        raise LineageUnusable(f"is larger than {_MOST_BYTES} bytes, which no certificate is")
    return content


def _without_waiting(path: str, flags: int) -> int:
    """Open what may be a pipe that nobody writes to."""
    return os.open(path, flags | os.O_NONBLOCK)


@dataclass(frozen=True, slots=True)
class Lineage:
    """Name a lineage by its folder `live/NAME` and tell which names its present certificate covers."""

    folder: Path
    names: tuple[str, ...]


def open_lineage(folder: Path, certbot_dir: Path) -> Lineage:
    """Check that a folder is a lineage of this certbot (`live/NAME` with readable files) and describe it.

    Raises `LineageUnusable` for a path elsewhere, a loop of links, or a lineage without its files.
    """
    shown, live = printable(str(folder)), certbot_dir / "live"
    plain = folder.absolute()
    real_live = os.path.realpath(live)
    # Both sides resolved: a lineage that is a link to elsewhere is not certbot's own work.
    if ".." in plain.parts or os.path.realpath(plain) != os.path.join(real_live, plain.name):  # noqa: PTH118 - text
        raise LineageUnusable(
            f"{shown} is not a lineage of {printable(str(certbot_dir))}: expected a folder in its live/; "
            "nothing was changed"
        )
    file = "privkey.pem"
    try:
        read_bytes(plain / file)
        file = "fullchain.pem"
        names = x509.leaf_of_pem(read_bytes(plain / file)).names
    except ExodusError as error:
        raise LineageUnusable(f"{shown}/{file} {error}; nothing was changed") from error
    return Lineage(live / plain.name, names)


def certbot_dir_of(folder: Path) -> Path | None:
    """Guess certbot's folder from a lineage's, as certbot lays it out; None where the layout is another one."""
    certbot_dir = folder.absolute().parent.parent
    is_certbots = folder.absolute().parent.name == "live" and seeing.is_file(
        certbot_dir / "renewal" / f"{folder.name}.conf"
    )
    return certbot_dir if is_certbots else None
