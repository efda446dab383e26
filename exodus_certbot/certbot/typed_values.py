"""Decide whether certbot accepts those values of a renewal file that are no text (its renewal.py, `_restore_int`)."""

from collections.abc import Mapping
from dataclasses import dataclass

_NUMBERS = ("rsa_key_size", "http01_port")
_SWITCHES = ("must_staple", "allow_subset_of_names", "reuse_key", "autorenew")
_NOT_GIVEN = "None"


@dataclass(frozen=True, slots=True)
class Fault:
    """Name the setting that certbot does not accept, and say why in its words."""

    option: str
    value: str
    message: str


def fault(params: Mapping[str, str]) -> Fault | None:
    """Find the first value for which certbot passes over the whole lineage."""
    for option in _SWITCHES:
        if params.get(option, "true").lower() not in ("true", "false"):
            message = f"Expected True or False for {option} but found {params[option]}"
            return Fault(option, params[option], message)
    for option in _NUMBERS:
        if option in params and not _is_number(option, params[option]):
            return Fault(option, params[option], f"Expected a numeric value for {option}")
    return None


def _is_number(option: str, value: str) -> bool:
    if option == "http01_port" and value == _NOT_GIVEN:
        return True
    try:
        int(value)
    except ValueError:
        return False
    return True


def given(params: Mapping[str, str]) -> dict[str, str]:
    """Leave out what a file says to have no value."""
    return {option: value for option, value in params.items() if value != _NOT_GIVEN}
