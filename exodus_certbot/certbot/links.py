"""Look at the four links of a lineage as certbot does, which passes over it where one is broken (its storage.py)."""

import os
import re
from pathlib import Path

from exodus_certbot.certbot.renewal_files import RenewalFile
from exodus_common import seeing

_KINDS = ("cert", "privkey", "chain", "fullchain")


def can_be_seen(file: RenewalFile) -> bool:
    """Tell whether we may look: where we may not, certbot, which is root, still may."""
    folder = next((place for place in (file.live, *file.live.parents) if seeing.exists(place)), Path("/"))
    return os.access(folder, os.R_OK | os.X_OK)


def fault(file: RenewalFile) -> str:
    """Say what is wrong with them; empty where nothing is."""
    for kind in _KINDS:
        if kind not in file.head:
            return f"it lacks the line of {kind}"
        link = Path(file.head[kind])
        if not seeing.is_link(link):
            return f"expected {link} to be a symlink"
        if not seeing.exists(link):
            return f"target {link.readlink()} of symlink {link} does not exist"
    return ""


def remedy(file: RenewalFile) -> str:
    """Give the commands, or the lines, that mend them; empty where certbot's archive has nothing to mend them with."""
    missing = [kind for kind in _KINDS if kind not in file.head]
    if missing:
        lines = "\n".join(f"{kind} = {file.live}/{kind}.pem" for kind in missing)
        return f"in {file.path}, above [renewalparams]:\n{lines}"
    archive = _archive(file)
    version = _newest_version(archive)
    if version is None and all(seeing.is_file(file.head[kind]) for kind in _KINDS):
        moves = [f"mv {file.head[kind]} {archive}/{kind}1.pem" for kind in _KINDS]
        return "\n".join([f"mkdir -p {archive}", *moves, *_linking(file, archive, 1)])
    return "" if version is None else "\n".join(_linking(file, archive, version))


def _linking(file: RenewalFile, archive: Path, version: int) -> list[str]:
    return [f"ln -sfn {archive}/{kind}{version}.pem {file.head[kind]}" for kind in _KINDS]


def _archive(file: RenewalFile) -> Path:
    return Path(file.head.get("archive_dir") or file.live.parent.parent / "archive" / file.live.name)


def _newest_version(archive: Path) -> int | None:
    """Give the newest version of which certbot keeps all four files."""
    versions = [
        {
            int(found[1])
            for path in seeing.matches(archive, "*.pem")
            if (found := re.fullmatch(rf"{kind}(\d+)\.pem", path.name))
        }
        for kind in _KINDS
    ]
    return max(set.intersection(*versions), default=None)
