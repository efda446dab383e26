"""Decide which clients a certificate with another kind of key would lose: what a server can show decides, as a set."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime

from exodus_certbot.decide import Judged
from exodus_certbot.faults import Fault, renew, some
from exodus_certbot.model import Certificate, KeyType, Pair, Suites

Allowed = Collection[tuple[str, KeyType]]
Usable = Mapping[Suites, Allowed | None]
"""Hold which key types can be shown with which versions of TLS; None where it is not known what a server allows."""


def faults(
    pair: Pair, stale: Iterable[Judged], certificate: Certificate, usable: Usable, now: datetime
) -> Iterator[Fault]:
    """Say what a reload would lose of the kinds of key that are shown where a pair's certificate is to be."""
    items = list(stale)
    yield from _lost_versions(pair, [item for item in items if not item.expectation.gone], certificate, usable)
    yield from _lost_kinds(pair, [item for item in items if item.expectation.gone], certificate, usable, now)


def _lost_versions(pair: Pair, items: Iterable[Judged], certificate: Certificate, usable: Usable) -> Iterator[Fault]:
    """Say with which versions of TLS the kind of key on disk could not be shown where the served one can."""
    lost: dict[tuple[KeyType, str, str], list[str]] = {}
    new = certificate.key_type
    for item in items:
        if item.served is None or item.served.key_type is new:
            continue
        suites, old = item.expectation.service.suites, item.served.key_type
        why, either = _why_lost(old, new, suites, usable.get(suites))
        if why:
            lost.setdefault((old, why, either), []).append(item.row.name)
    for (old, why, either), names in lost.items():
        what = (
            f"the certificate in {pair.source.shown} has an {new} key, and an {old} one is served: "
            f"{why.format(where=some(tuple(dict.fromkeys(names))))}"
        )
        yield Fault(pair, what, f"{renew(pair, f'--key-type {old} ')}, or {either}")


def _why_lost(old: KeyType, new: KeyType, suites: Suites, can: Allowed | None) -> tuple[str, str]:
    """Say why a kind of key may fail where another one is shown, and what ends that; else twice nothing."""
    limits = "ssl_conf_command" if suites.by_commands else "ssl_ciphers"
    if can is None:  # what would break every handshake is not tried out on clients
        why = f"whether {limits} of {{where}} leaves any handshake for {new} keys cannot be told here"
        return why, f"reload nginx by hand where {new} keys are meant and can be used"
    versions = tuple(v for v in suites.protocols if (v, old) in can and (v, new) not in can)
    if not versions:
        return "", ""
    why = f"{limits} of {{where}} leaves no suite for {new} keys with {' and '.join(versions)}"
    return why, f"have {limits} allow {new} keys"


def _lost_kinds(
    pair: Pair, items: Iterable[Judged], certificate: Certificate, usable: Usable, now: datetime
) -> Iterator[Fault]:
    """Say which kind of key a server with several certificates would show to nobody any more."""
    lost: dict[KeyType, list[str]] = {}
    for item in items:
        leaf = item.served
        if leaf and leaf.not_before <= now < leaf.not_after and not _is_configured_away(leaf.key_type, item, usable):
            lost.setdefault(leaf.key_type, []).append(item.row.name)
    for old, names in lost.items():
        where = some(tuple(dict.fromkeys(names)))
        what = (
            f"the certificate in {pair.source.shown} has an {certificate.key_type} key, and no file of {where} has an "
            f"{old} one any more: clients that need {old} are shown one now, and would be refused"
        )
        either = f"take one of the files out of the server of {where} and reload nginx by hand"
        yield Fault(pair, what, f"{renew(pair, f'--key-type {old} ')}, or {either}")


def _is_configured_away(key_type: KeyType, item: Judged, usable: Usable) -> bool:
    suites = item.expectation.service.suites
    can = usable.get(suites)
    return can is not None and not any((version, key_type) in can for version in suites.protocols)
