"""Say why nginx may serve after a reload what it served before, though other certificates are on disk."""

from collections.abc import Iterable

from exodus_certbot.decide import Judged, stale
from exodus_certbot.model import CertificateSource

# Since then it keeps what it has read (ngx_ssl_cache_fetch, `ssl_object_cache_inheritable` in its newest manual).
_SINCE = (1, 27, 4)


def unchanged(before: Iterable[Judged], after: Iterable[Judged]) -> tuple[CertificateSource, ...]:
    """Select the files in whose place the very same certificate is served before and after a reload."""
    served = {item.expectation: item.row.served_sha256 for item in stale(before)}
    same = [item.expectation.pair for item in stale(after) if served.get(item.expectation) == item.row.served_sha256]
    sources = (pair.source for pair in same if pair is not None)
    return tuple(dict.fromkeys(source for source in sources if not source.opened_late))


def explained(before: Iterable[Judged], after: Iterable[Judged], version: tuple[int, ...]) -> str:
    """Say what such an nginx does with files that were rewritten in place, and what to do, or nothing.

    `version` is empty where it is not known.
    """
    sources = unchanged(before, after)
    files = [path for one in sources for path in (one.certificate, one.key) if path.startswith("/")]
    if not files or (version and version < _SINCE):
        return ""
    return (
        "nginx 1.27.4 and newer keep over a reload what they have read from a file whose inode and time (in whole "
        f"seconds) are the same: where it was rewritten in place, touch {' '.join(dict.fromkeys(files))}; then: "
        "exodus-certbot reconcile"
    )
