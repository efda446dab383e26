"""Join services to the certificates on disk: what must be served, for each key type of each name at each listener."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from exodus_certbot.model import CertificateSource, Expectation, KeyType, Pair, Service

Pairs = Mapping[CertificateSource, Pair]
Showable = Callable[[Service], Collection[KeyType]]
"""Give the key types that a service's protocols and suites can show to any client."""


def _every_type(_service: Service) -> Collection[KeyType]:
    return tuple(KeyType)


def expectations(
    services: Iterable[Service], pairs: Pairs, showable: Showable = _every_type
) -> tuple[Expectation, ...]:
    """Say what each service must show; `pairs` holds every source that has a file of its own."""
    return tuple(expectation for service in services for expectation in _of(service, pairs, showable))


def _of(service: Service, pairs: Pairs, showable: Showable) -> Iterator[Expectation]:
    computed = [source for source in service.sources if source.computed]
    if computed or not service.sources:
        yield Expectation(service, None, not_probed=service.not_probed)
        return
    all_pairs = [pairs[source] for source in service.sources]
    # OpenSSL has one slot for each key type: the last certificate of a type is the one that is served.
    last = {pair.certificate.key_type: pair for pair in all_pairs if pair.certificate}
    for pair in all_pairs:
        if service.is_use and pair.lineage is None:
            continue  # who renews what is shown to no client is not ours to know
        replaced = pair.certificate is not None and last[pair.certificate.key_type] is not pair
        reason = "a later ssl_certificate of the same key type replaces it" if replaced else ""
        force = pair.certificate.key_type if pair.certificate and len(last) > 1 else None
        unshowable = _unshowable(force, showable(service), last) if force else ""
        yield Expectation(service, pair, force, service.not_probed or reason, unshowable, replaced=replaced)


def _unshowable(key_type: KeyType, showable: Collection[KeyType], others: Iterable[KeyType]) -> str:
    """Say why nobody can be shown a key type where another one of the same server is shown instead, or nothing."""
    if key_type in showable or not any(other in showable for other in others):
        return ""
    return f"ssl_protocols, ssl_ciphers and ssl_conf_command leave no handshake with a key of type {key_type}"


def key_type_of(expectation: Expectation) -> KeyType | None:
    """Give the key type that is expected, where one is."""
    pair = expectation.pair
    return pair.certificate.key_type if pair is not None and pair.certificate is not None else None
