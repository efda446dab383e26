"""Decide which listeners the operator wants left alone, and which of the exceptions mean none."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from exodus_certbot.findings import Finding, warning
from exodus_certbot.listener_pattern import ListenerPattern
from exodus_certbot.model import Expectation


def excepting(written: Sequence[str], expectations: Iterable[Expectation]) -> tuple[Expectation, ...]:
    """Mark what `except_listeners` means: it is not asked, and says by which exception."""
    patterns = tuple(map(ListenerPattern.parse, written))
    return tuple(_marked(patterns, expectation) for expectation in expectations)


def _marked(patterns: Iterable[ListenerPattern], expectation: Expectation) -> Expectation:
    pattern = next((pattern for pattern in patterns if _means(pattern, expectation)), None)
    if pattern is None:
        return expectation
    reason = f'excepted by except_listeners = "{pattern.written}"'
    return replace(expectation, excepted=True, not_probed=reason)


def _means(pattern: ListenerPattern, expectation: Expectation) -> bool:
    """Compare the address as it is configured and as it is asked; a Unix socket has no port."""
    service, listener = expectation.service, expectation.service.listener
    addresses = (listener.address, listener.ask_address or listener.address)
    return pattern.fits_name(service.name) or any(pattern.fits_endpoint(each, listener.port) for each in addresses)


def findings_of(written: Sequence[str], expectations: Sequence[Expectation]) -> tuple[Finding, ...]:
    """Warn of each exception that means none of the listeners that are known: what it was for is asked, or is gone."""
    idle = (
        pattern
        for pattern in map(ListenerPattern.parse, written)
        if expectations and not any(_means(pattern, expectation) for expectation in expectations)
    )
    return tuple(
        warning(
            "except_listeners",
            f'"{pattern.written}" fits no address, port or name that nginx is configured with',
            "correct it in the settings file, or take it out; exodus-certbot check lists names and listeners",
        )
        for pattern in idle
    )
