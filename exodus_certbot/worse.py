"""Decide what must not be loaded: whatever would be worse for clients than what is served now."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from exodus_certbot import lost_keys
from exodus_certbot.chain import Chain
from exodus_certbot.decide import Judged
from exodus_certbot.faults import Fault, renew, some
from exodus_certbot.model import Certificate, Pair, Verdict
from exodus_certbot.server_names import is_covered

_MINUTE = "%Y-%m-%d %H:%M UTC"


@dataclass(frozen=True, slots=True)
class Compared:
    """Hold what a reload would load from one pair of files, beside what is served in its place now.

    `key_fault` and `lacks` are phrases, empty where nothing is wrong. None is what could not be found out: `on_disk`,
    the chain in the file, where it cannot be judged; `sent`, the one that is served now, where nobody showed it.
    """

    pair: Pair
    items: tuple[Judged, ...]
    key_fault: str = ""
    lacks: str = ""
    on_disk: Chain | None = None
    sent: Chain | None = None

    @property
    def stale(self) -> tuple[Judged, ...]:
        """Select where a reload would replace the leaf."""
        return tuple(item for item in self.items if item.row.verdict is Verdict.STALE)

    @property
    def served(self) -> tuple[Certificate, ...]:
        """List the leaves that are served now."""
        return tuple(item.served for item in self.items if item.served is not None)


def is_suspect(on_disk: Chain | None, lacks: str, now: datetime) -> bool:
    """Tell whether a chain is such that it matters what is sent now."""
    return bool(lacks or (on_disk and (on_disk.disorder or on_disk.first_invalid(now) is not None)))


def faults(compared: Iterable[Compared], usable: lost_keys.Usable, now: datetime) -> tuple[Fault, ...]:
    """List the reasons not to load what is on disk."""
    return tuple(fault for one in compared for fault in _faults_of(one, usable, now))


def _faults_of(one: Compared, usable: lost_keys.Usable, now: datetime) -> Iterator[Fault]:
    if one.stale and one.key_fault:
        yield Fault(one.pair, one.key_fault, renew(one.pair), is_loadable=False)
    if one.stale and one.pair.certificate is not None:
        yield from _lost_validity(one, one.pair.certificate, now)
        yield from _lost_names(one, one.pair.certificate, now)
        yield from lost_keys.faults(one.pair, one.stale, one.pair.certificate, usable, now)
    yield from _worse_chain(one, now)
    if one.lacks and _is_shorter(one) and not _has_ended(one, now):
        yield Fault(one.pair, f"{one.pair.source.shown} {one.lacks}", renew(one.pair))


def _lost_validity(one: Compared, certificate: Certificate, now: datetime) -> Iterator[Fault]:
    """Say why clients would refuse the certificate on disk that now accept a served one."""
    if not _is_any_valid(one.served, now):
        return
    subject = f"the certificate in {one.pair.source.shown}"
    if certificate.not_after <= now:
        yield Fault(one.pair, f"{subject} expired on {certificate.not_after:{_MINUTE}}", renew(one.pair))
    if certificate.not_before > now:
        what = f"{subject} is not valid before {certificate.not_before:{_MINUTE}}"
        yield Fault(one.pair, what, "see whether the clock is right, and wait until then")


def _has_ended(one: Compared, now: datetime) -> bool:
    """Tell whether clients refuse all that is served, so that nothing of it can be lost."""
    return bool(one.served) and not _is_any_valid(one.served, now)


def _is_any_valid(leaves: Iterable[Certificate], now: datetime) -> bool:
    return any(leaf.not_before <= now < leaf.not_after for leaf in leaves)


def _lost_names(one: Compared, certificate: Certificate, now: datetime) -> Iterator[Fault]:
    """Name what a served certificate that clients accept covers, and the one on disk does not."""
    names = [
        item.row.name
        for item in one.stale
        if item.served is not None
        and _is_any_valid([item.served], now)
        and is_covered(item.row.name, item.served.names)
        and not is_covered(item.row.name, certificate.names)
    ]
    if not names:
        return
    lost = tuple(dict.fromkeys(names))
    what = f"the certificate in {one.pair.source.shown} does not cover {some(lost)}, which nginx serves with it"
    either = f"take {some(lost)} out of server_name"
    if one.pair.lineage is not None:
        wanted = ",".join((*certificate.names, *lost))
        either = f"certbot certonly --cert-name {one.pair.lineage.name} -d '{wanted}', or {either}"
    yield Fault(one.pair, what, either)


def _worse_chain(one: Compared, now: datetime) -> Iterator[Fault]:
    """Compare the chain on disk with the one that is sent; where that is not known, with a good one."""
    new, sent, shown = one.on_disk, one.sent, one.pair.source.shown
    if new is None or not one.served or _has_ended(one, now):
        return
    if new.disorder and (sent is None or new.order > sent.order):
        yield Fault(one.pair, f"the chain in {shown} {new.disorder}", renew(one.pair))
    far = new.first_invalid(now)
    if not far:
        return
    as_far = sent.first_invalid(now) if sent is not None else None
    if as_far is None or far < as_far:
        link = new.links[far]
        when = f"expired on {link.not_after:{_MINUTE}}"
        if link.not_after > now:
            when = f"is not valid before {link.not_before:{_MINUTE}}"
        what = f"the chain in {shown} has an intermediate certificate ({link.subject}) that {when}"
        yield Fault(one.pair, what, renew(one.pair))


def _is_shorter(one: Compared) -> bool:
    """Tell whether less would be sent than now; where nothing is served, and never was, nothing can be lost."""
    if one.sent is None or one.on_disk is None:
        return bool(one.served)
    return len(one.on_disk.links) < len(one.sent.links)
