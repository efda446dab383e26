"""Read by which rule certbot renews each lineage: its renewal file's own words, and the version that goes by them."""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from importlib import metadata
from pathlib import Path

from exodus_certbot.ages import Renewal
from exodus_certbot.certbot.renewal_files import RenewalFile
from exodus_certbot.model import RenewalWindow

_NUMBER = re.compile(r"\d{1,9}")
_SPAN = re.compile(r"(\d{1,9})(?!\d)\s*([a-z]*)[\s,]*")
# As good as any longer time: whatever is renewed so long before its end is renewed at each run.
_MOST_HOURS = 100 * 8760
# certbot reads it with parsedatetime; an integer alone is a number of days (its storage.py, `add_time_interval`).
_HOURS = {"": 24, "day": 24, "d": 24, "week": 168, "w": 168, "month": 720, "year": 8760, "y": 8760, "hour": 1, "h": 1}


def of_lineages(
    files: Iterable[RenewalFile], windows: Iterable[RenewalWindow], installed: tuple[int, ...]
) -> dict[Path, Renewal]:
    """Map each lineage's folder to its rule; what certbot does not renew is left out.

    `installed` is the version of the certbot at hand, empty where that is not to be seen.
    """
    window_of = {window.lineage: window for window in windows}
    return {file.live: _rule(file, window_of, installed) for file in files if is_renewed(file)}


def is_renewed(file: RenewalFile) -> bool:
    """Tell whether certbot takes a lineage's renewal upon itself (its renewal.py, `reconstitute`; storage.py)."""
    return "authenticator" in file.params and file.params.get("autorenew", "True").lower() != "false"


def _rule(file: RenewalFile, windows: Mapping[str, RenewalWindow], installed: tuple[int, ...]) -> Renewal:
    written = parsed_version(file.head.get("version", ""))
    # A file keeps the version that wrote it until the next renewal, which the installed one does.
    return Renewal(windows.get(file.name), interval(file.head.get("renew_before_expiry", "")), max(written, installed))


def interval(text: str) -> timedelta | None:
    """Read certbot's `renew_before_expiry` (`30 days`, `1 week 2 days`); None where it is not there, or not clear."""
    words = text.strip().lower()
    spans = [(int(number), unit if unit in _HOURS else unit.removesuffix("s")) for number, unit in _SPAN.findall(words)]
    if not spans or _SPAN.sub("", words) or any(unit not in _HOURS for _, unit in spans):
        return None
    return timedelta(hours=min(_MOST_HOURS, sum(number * _HOURS[unit] for number, unit in spans)))


def parsed_version(text: str) -> tuple[int, ...]:
    """Read the leading numbers of a version."""
    return tuple(int(number) for number in _NUMBER.findall(text.split("+")[0])[:3])


def installed_version() -> tuple[int, ...]:
    """Give the version of the certbot that our own Python has; empty where it has none."""
    try:
        return parsed_version(metadata.version("certbot"))
    except metadata.PackageNotFoundError:
        return ()
