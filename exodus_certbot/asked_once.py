"""Decide which QUIC listeners are asked: each question takes a process of its own, so one for each certificate."""

from collections.abc import Iterable
from dataclasses import replace

from exodus_certbot.model import Expectation

# A process takes about 15 ms of a processor: this many take 3 s, out of the 60 that a run may take.
MOST_QUESTIONS = 200
_Key = tuple[object, ...]


def asked_once(expectations: Iterable[Expectation]) -> tuple[Expectation, ...]:
    """Leave one question for each (address, port, certificate, key type) of QUIC; the others say who is asked.

    Nothing is lost by it: a server shows over QUIC what it shows over TLS, where every name is asked for.
    """
    asked: dict[_Key, str] = {}
    return tuple(_thinned(expectation, asked) for expectation in expectations)


def _thinned(expectation: Expectation, asked: dict[_Key, str]) -> Expectation:
    if not expectation.service.listener.quic or expectation.not_probed:
        return expectation
    key, name = _key(expectation), expectation.service.name or '""'
    if key in asked:
        return replace(expectation, not_probed=f"asked for {asked[key]}, which has the same certificate here")
    if len(asked) == MOST_QUESTIONS:
        reason = f"only {MOST_QUESTIONS} certificates are asked for in one run; see the TLS listener of the same server"
        return replace(expectation, not_probed=reason)
    asked[key] = name
    return expectation


def _key(expectation: Expectation) -> _Key:
    """Tell apart what may show another certificate; where none can be named each name may."""
    pair = expectation.pair
    which = expectation.service.sni if pair is None else pair.source
    return (*expectation.group, which, expectation.force_key_type)
