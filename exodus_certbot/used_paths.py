"""Decide whether the certificates that nginx is configured with are those that certbot renews."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from exodus_certbot.findings import Finding, critical, warning
from exodus_certbot.model import CertificateSource, Pair


def findings_of(
    pairs: Iterable[Pair], renewed: Collection[str], versions: Mapping[str, Path], lineage_of_key: Mapping[str, str]
) -> Iterator[Finding]:
    """Judge what stands after `ssl_certificate` and `ssl_certificate_key`.

    `renewed` are the names of the lineages that certbot renews, `versions` maps the SHA-256 of every certificate it
    keeps to its lineage's folder, and `lineage_of_key` a key file to the name of its lineage.
    """
    for pair in pairs:
        if pair.certificate is None:
            if not pair.source.computed:
                yield critical(pair.source.shown, pair.problem, "mend the path, or the file's permissions")
        elif pair.lineage is None:
            yield _not_certbots(pair, versions.get(pair.certificate.sha256))
        elif pair.lineage.name not in renewed:
            yield critical(
                pair.source.shown,
                f"certbot does not renew it: there is no renewal/{pair.lineage.name}.conf that can be read",
                f"have it issued again: certbot certonly --cert-name {pair.lineage.name}",
            )
        elif _has_other_key(pair.source, lineage_of_key, pair.lineage.name):
            yield critical(
                pair.source.key,
                f"it is not the key file of lineage {pair.lineage.name}: after a renewal it does not fit",
                f"ssl_certificate_key {pair.lineage / 'privkey.pem'};",
            )


def _not_certbots(pair: Pair, lineage: Path | None) -> Finding:
    if lineage:
        return critical(
            pair.source.shown,
            f"one version, or a copy, of the certificate of lineage {lineage.name}: no renewal reaches it",
            f"ssl_certificate {lineage}/fullchain.pem;\nssl_certificate_key {lineage}/privkey.pem;",
        )
    assert pair.certificate is not None
    end = pair.certificate.not_after.date().isoformat()
    message = f"nginx uses it, it is not certbot's, and it ends on {end}: nobody renews it that we know of"
    return warning(pair.source.shown, message, "see who renews it; check watches it as well")


def _has_other_key(source: CertificateSource, lineage_of_key: Mapping[str, str], lineage: str) -> bool:
    is_file = Path(source.key).is_absolute() and "$" not in source.key
    return is_file and lineage_of_key.get(source.key) != lineage
