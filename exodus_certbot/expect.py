"""Join services to the certificates on disk: what must be served, for each key type of each name at each listener."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from exodus_certbot.model import CertificateSource, Expectation, KeyType, Pair, Service

Pairs = Mapping[CertificateSource, Pair]
Showable = Callable[[Service], Collection[KeyType]]
"""Give the key types that a service's protocols and suites can show to any client."""
Earlier = Callable[[Pair], Collection[KeyType]]
"""Give the key types of a lineage's earlier versions that clients still accept."""


def _every_type(_service: Service) -> Collection[KeyType]:
    return tuple(KeyType)


def _none_earlier(_pair: Pair) -> Collection[KeyType]:
    return ()


def expectations(
    services: Iterable[Service], pairs: Pairs, showable: Showable = _every_type, earlier: Earlier = _none_earlier
) -> tuple[Expectation, ...]:
    """Say what each service must show; `pairs` holds every source that has a file of its own."""
    found: list[Expectation] = []
    asked: set[tuple[object, ...]] = set()
    for service in services:
        gone = _gone(service, pairs, earlier)
        found += _of(service, pairs, showable, gone)
        # One name is asked for all of its server: each refusal takes a process.
        server = (service.listener, service.sources)
        if gone and not service.not_probed and server not in asked:
            asked.add(server)
            found += (Expectation(service, pair, key_type, gone=True) for key_type, pair in gone.items())
    return tuple(found)


def _gone(service: Service, pairs: Pairs, earlier: Earlier) -> dict[KeyType, Pair]:
    """Find the key types that a server with several certificates may still show, and none of its files has any more."""
    if len(service.sources) < 2 or service.listener.quic or service.is_use or service.opened_late:
        return {}
    all_pairs = [pairs[source] for source in service.sources]
    present = {pair.certificate.key_type for pair in all_pairs if pair.certificate}
    return {key_type: pair for pair in all_pairs for key_type in earlier(pair) if key_type not in present}


def _of(service: Service, pairs: Pairs, showable: Showable, gone: Collection[KeyType]) -> Iterator[Expectation]:
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
        force = pair.certificate.key_type if pair.certificate and len({*last, *gone}) > 1 else None
        unshowable = _unshowable(force, showable(service), last) if force else ""
        yield Expectation(service, pair, force, service.not_probed or reason, unshowable, replaced=replaced)


def _unshowable(key_type: KeyType, showable: Collection[KeyType], others: Iterable[KeyType]) -> str:
    """Say why nobody can be shown a key type where another one of the same server is shown instead, or nothing."""
    if key_type in showable or not any(other in showable for other in others):
        return ""
    return f"ssl_protocols, ssl_ciphers and ssl_conf_command leave no handshake with a key of type {key_type}"


def key_type_of(expectation: Expectation) -> KeyType | None:
    """Give the key type that is expected, or asked for since it is no longer, where there is one."""
    if expectation.gone:
        return expectation.force_key_type
    return expectation.certificate.key_type if expectation.certificate else None
