"""The door to certbot's renewal files: which lineage has which installer, authenticator, webroot and hook.

The format is configobj's, as certbot writes it (certbot/_internal/storage.py, `write_renewal_config`). Only lines are
read and only one line is ever written, so that whatever else a person put there stays, byte for byte.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exodus_common import seeing
from exodus_common.errors import ExodusError
from exodus_common.render import printable

PLUGIN = "exodus-nginx"
_SECTION = re.compile(r"\s*(\[+)\s*(.*?)\s*\]+\s*(?:#.*)?")
_SETTING = re.compile(r"""\s*("[^"]*"|'[^']*'|[^=#\s][^=]*?)\s*=\s*("[^"]*"|'[^']*'|[^#]*?)\s*(?:\#.*)?""")
_INSTALLER = re.compile(r"""\s*(["']?)installer\1\s*=""")


class RenewalFileUnreadable(ExodusError):
    """Say which of certbot's renewal files cannot be read or written, and why."""


@dataclass(frozen=True, slots=True)
class RenewalFile:
    """Hold what one lineage's renewal file says.

    `params` are its `[renewalparams]`, `webroots` its `webroot_map`, `head` is what stands above them: paths, version.
    """

    path: Path
    params: Mapping[str, str] = field(default_factory=dict)
    webroots: Mapping[str, str] = field(default_factory=dict)
    head: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name the lineage."""
        return self.path.name.removesuffix(".conf")

    @property
    def installer(self) -> str | None:
        """Name the plugin that certbot calls after a renewal."""
        installer = self.params.get("installer", "None")
        return None if installer == "None" else installer

    @property
    def authenticator(self) -> str:
        """Name the plugin that answers the CA's challenges."""
        return self.params.get("authenticator", "an authenticator that is not named")

    @property
    def live(self) -> Path:
        """Name the lineage's folder: that of `cert`, as certbot has it (storage.py); a file may have been renamed."""
        cert, live = Path(self.head.get("cert", "")), self.path.parent.parent / "live"
        if not cert.is_absolute():
            return live / self.name
        # Spelled as we spell it, so that folders can be compared: certbot may reach its own through a link.
        return live / cert.parent.name if _is_same(cert.parent.parent, live) else cert.parent

    @property
    def all_webroots(self) -> tuple[Path, ...]:
        """Name the folders into which certbot puts its challenges for this lineage; none for other authenticators."""
        if self.authenticator != "webroot":
            return ()
        listed = [place.strip() for place in self.params.get("webroot_path", "").split(",")]
        return tuple(dict.fromkeys(Path(place) for place in (*self.webroots.values(), *listed) if place))


def _is_same(folder: Path, other: Path) -> bool:
    try:
        return folder.resolve() == other.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, or no path at all
        return False


def read(path: Path) -> RenewalFile:
    """Read one renewal file."""
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise RenewalFileUnreadable(f"{printable(str(path))}: {reason}") from error
    return parse(path, text)


def parse(path: Path, text: str) -> RenewalFile:
    """Read the text of a renewal file; what is no setting is passed over, as it is none of ours."""
    section, found = "", dict[str, dict[str, str]]()
    for line in text.splitlines():
        heading, setting = _SECTION.fullmatch(line), _SETTING.fullmatch(line)
        if heading:
            section = heading[2]
        elif setting:
            found.setdefault(section, {})[_unquoted(setting[1])] = _unquoted(setting[2])
    return RenewalFile(path, found.get("renewalparams", {}), found.get("webroot_map", {}), found.get("", {}))


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'" else word


def paths_in(certbot_dir: Path) -> tuple[Path, ...]:
    """List the renewal files in the order in which `certbot renew` takes them; none where we may not look."""
    return seeing.matches(certbot_dir / "renewal", "*.conf")


def all_in(certbot_dir: Path) -> tuple[RenewalFile, ...]:
    """Read every renewal file that can be read, in the order in which `certbot renew` takes them."""
    found = []
    for path in paths_in(certbot_dir):
        try:
            found.append(read(path))
        except RenewalFileUnreadable:
            continue  # certbot itself says so, and fails
    return tuple(found)


def installer_line(text: str) -> str | None:
    """Give the very line that names the installer, None where none does."""
    lines = text.splitlines(keepends=True)
    return next((lines[at] for at in range(*_extent_of_params(lines)) if _INSTALLER.match(lines[at])), None)


def with_installer_line(text: str, line: str | None) -> str:
    """Give a renewal file's text with this line for its installer, or with none; nothing else in it changes.

    Raises `ValueError` where there is no `[renewalparams]` section: certbot does not renew such a lineage.
    """
    lines = text.splitlines(keepends=True)
    first, last = _extent_of_params(lines)
    present = [at for at in range(first, last) if _INSTALLER.match(lines[at])]
    place = present[0] if present else first
    kept = [each for at, each in enumerate(lines) if at not in present]
    return "".join(kept[:place] + ([] if line is None else [line]) + kept[place:])


def _extent_of_params(lines: list[str]) -> tuple[int, int]:
    """Give the lines of `[renewalparams]` itself: from after its heading to the next one, of a section within, too."""
    headings = [(at, found[2]) for at, line in enumerate(lines) if (found := _SECTION.fullmatch(line.strip()))]
    begin = next((at for at, name in headings if name == "renewalparams"), None)
    if begin is None:
        raise ValueError("it has no [renewalparams] section")
    return begin + 1, next((at for at, _ in headings if at > begin), len(lines))
