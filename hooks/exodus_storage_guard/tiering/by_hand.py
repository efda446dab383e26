"""Adopt the plain files of an archive that was made by hand, with rsync or mc: each is hashed, and described."""

from collections.abc import Sequence

from exodus_common.terminal import printable
from exodus_storage_guard.errors import ObjectMissing, StoreFailed
from exodus_storage_guard.model import Entry, ObjectState, ProvenCopy, StoredObject
from exodus_storage_guard.tiering.archive import Archive
from exodus_storage_guard.tiering.copy_names import key_of
from exodus_storage_guard.tiering.manifests import Manifest
from exodus_storage_guard.tiering.run import Run


def described(run: Run, archive: Archive, file: StoredObject) -> Manifest | None:
    """Describe a file that has no manifest, as old as it says; None for what no APK is called, or is gone by now.

    It has no ETag then: nobody has seen it in the store. Raises `StoreFailed` where another copy of its key is known or
    being made, for the file may be half of one; what is as it was proven is described as it was.
    """
    key = key_of(file.key)
    if key is None or not run.selection().pattern.search(key):
        return None
    try:
        sha256 = archive.sha256(file.key)
    except ObjectMissing:
        return None
    entry = run.catalogue.get(key)
    if entry is not None and entry.state is ObjectState.COPYING:
        raise StoreFailed(
            f"{printable(file.key)}: it has no manifest, and {printable(key)} is being copied at this moment; it is "
            "not taken. Run this again once no sweep runs"
        )
    known = _known(run, key, entry)
    proven = next((one for one in known if (one.name, one.sha256) == (file.key, sha256)), None)
    if known and proven is None:
        raise StoreFailed(
            f"{printable(file.key)}: it has no manifest, and is not the copy of {printable(key)} that is known, "
            f"{printable(known[0].name)}; it is not taken. Look at it, and move it out of the archive"
        )
    stored = file if proven is None else proven.stored
    at = stored.last_modified if proven is None else proven.archived_at
    found = Manifest(key, file.bytes, sha256, stored.etag, "", {}, stored.last_modified, at, run.store.name)
    archive.describe(file.key, found)
    return found


def _known(run: Run, key: str, entry: Entry | None) -> Sequence[ProvenCopy]:
    """Give the copies that are known of a key, and the one that is lost."""
    known = [*run.catalogue.copies_of(key)]
    if entry is not None and entry.state is ObjectState.LOST and entry.copy is not None and entry.sha256 is not None:
        known.append(ProvenCopy(entry.copy, entry.stored, entry.sha256, entry.since))
    return known
