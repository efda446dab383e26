"""The story of `rebuild`: make a lost catalogue anew, from the archive's manifests and the store."""

from collections import Counter

from exodus_common.terminal import printable
from exodus_storage_guard.model import Entry, ObjectState, StoredObject
from exodus_storage_guard.tiering.archive import Manifest
from exodus_storage_guard.tiering.copy_names import MANIFEST, OURS, key_of
from exodus_storage_guard.tiering.initialise import Initialised, mark
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.tiering.sync import sync


def rebuild(run: Run) -> Initialised:
    """Make a lost catalogue from the store and the archive's manifests; what is known already stays as it is."""
    run.catalogue.create()
    mark(run)
    listed = sync(run).listed
    counted, problems = Counter[str](), list[str]()
    for stored in run.proving_archive.store.listing():
        if stored.key.startswith(OURS):
            continue
        problem = _look_at_manifest(run, stored.key) if stored.key.endswith(MANIFEST) else _take(run, stored, counted)
        if problem:
            problems.append(problem)
    return Initialised(listed, counted["known"], tuple(problems), counted["adopted"])


def _look_at_manifest(run: Run, name: str) -> str | None:
    copy = name.removesuffix(MANIFEST)
    return None if run.proving_archive.store.stat(copy) else f"{printable(copy)}: its manifest is there, and it is not"


def _take(run: Run, copy: StoredObject, counted: Counter[str]) -> str | None:
    """Take a copy by its manifest; a plain file that somebody put there by hand is hashed, and given one."""
    archive, name = run.proving_archive, copy.key
    manifest = archive.manifest(name)
    if manifest is None:
        manifest = _adopted(run, copy)
        if manifest is None:
            return None
        counted["adopted"] += 1
    elif copy.bytes != manifest.bytes:
        return f"{printable(name)}: it has other than the {manifest.bytes} bytes of its manifest"
    entry = Entry(manifest.stored, ObjectState.ARCHIVED, manifest.archived_at, manifest.sha256, name)
    counted["known"] += run.catalogue.adopt(entry, "known from its manifest")
    return None


def _adopted(run: Run, copy: StoredObject) -> Manifest | None:
    """Describe a file of a hand-made archive; None for what no APK is called."""
    key = key_of(copy.key)
    if key is None or not run.selection().pattern.search(key):
        return None
    archive = run.proving_archive
    sha256, now = archive.sha256(copy.key), run.clock.now()
    found = Manifest(key, copy.bytes, sha256, "", "", {}, copy.last_modified, now, run.store.name)
    archive.describe(copy.key, found)
    return found
