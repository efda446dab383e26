"""Decide whether the certificates that nginx is configured with are those that certbot renews."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from exodus_certbot.findings import Finding, critical, warning
from exodus_certbot.model import Certificate, CertificateSource, Pair
from exodus_certbot.server_names import is_covered


def findings_of(
    pairs: Iterable[Pair],
    renewed: Mapping[Path, Sequence[str]],
    versions: Mapping[str, Path],
    lineage_of_key: Mapping[str, str],
    free_name: Callable[[str], str],
) -> Iterator[Finding]:
    """Judge what stands after `ssl_certificate` and `ssl_certificate_key`.

    `renewed` maps the folders of the lineages that certbot renews to their names, `versions` the SHA-256 of every
    certificate it keeps to its lineage's folder, `lineage_of_key` a key file to the name of its lineage; `free_name`
    gives a name like another one that certbot has no lineage of.
    """
    for pair in pairs:
        if pair.certificate is None:
            if not pair.source.computed:
                yield critical(pair.source.shown, pair.problem, "mend the path, or the file's permissions")
        elif pair.lineage is None:
            yield _not_certbots(pair, versions.get(pair.certificate.sha256))
        elif pair.lineage not in renewed:
            yield critical(
                pair.source.shown,
                f"certbot does not renew it: it has no renewal file for {pair.lineage}",
                _instead(pair.lineage, pair.certificate, renewed, free_name),
            )
        elif _has_other_key(pair.source, lineage_of_key, pair.lineage.name):
            yield critical(
                pair.source.key,
                f"it is not the key file of lineage {pair.lineage.name}: after a renewal it does not fit",
                f"ssl_certificate_key {pair.lineage / 'privkey.pem'};",
            )


def _instead(
    lineage: Path, used: Certificate, renewed: Mapping[Path, Sequence[str]], free_name: Callable[[str], str]
) -> str:
    """Name a lineage that is renewed and has its names, else how to get one: its own name stays taken by its files."""
    fit = [folder for folder, names in renewed.items() if all(is_covered(name, tuple(names)) for name in used.names)]
    if fit:
        return _lines(min(fit, key=lambda folder: (not folder.name.startswith(lineage.name), folder.name)))
    name = free_name(lineage.name)
    domains = " ".join(f"--domain {each}" for each in used.names)
    return f"certbot certonly --cert-name {name} {domains}\nthen in nginx:\n{_lines(lineage.parent / name)}"


def _lines(lineage: Path) -> str:
    return f"ssl_certificate {lineage}/fullchain.pem;\nssl_certificate_key {lineage}/privkey.pem;"


def _not_certbots(pair: Pair, lineage: Path | None) -> Finding:
    if lineage:
        return critical(
            pair.source.shown,
            f"one version, or a copy, of the certificate of lineage {lineage.name}: no renewal reaches it",
            _lines(lineage),
        )
    assert pair.certificate is not None
    end = pair.certificate.not_after.date().isoformat()
    message = f"nginx uses it, it is not certbot's, and it ends on {end}: nobody renews it that we know of"
    return warning(pair.source.shown, message, "see who renews it; check watches it as well")


def _has_other_key(source: CertificateSource, lineage_of_key: Mapping[str, str], lineage: str) -> bool:
    is_file = Path(source.key).is_absolute() and "$" not in source.key
    return is_file and lineage_of_key.get(source.key) != lineage
