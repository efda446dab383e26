"""The stories of recalling: `restore` into the store, `fetch` to a file, `forget` for good."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exodus_common.durable import replacing
from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard.admission import reservations
from exodus_storage_guard.admission.reservations import AdmissionControl
from exodus_storage_guard.errors import ObjectMissing, StoreFailed
from exodus_storage_guard.model import IN_STORE, Entry, ObjectState, StoredObject, Verdict
from exodus_storage_guard.state.contract import Change
from exodus_storage_guard.stores.contract import Chunks
from exodus_storage_guard.tiering.archive import Manifest, verified
from exodus_storage_guard.tiering.replay import replay
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.transitions import Event

_RETURNABLE = (ObjectState.ARCHIVED,)


@dataclass(frozen=True, slots=True)
class Recalled:
    """Report one object; its fields are those of CONTRACT.md."""

    key: str
    bytes: int
    sha256: str | None
    verdict: Verdict
    reason: str


def each(keys: list[str], work: Callable[[str], Recalled]) -> tuple[Recalled, ...]:
    """Do the same for every key: what fails for one is told, and the others are done."""
    return tuple(_tried(key, work) for key in keys)


def _tried(key: str, work: Callable[[str], Recalled]) -> Recalled:
    try:
        return work(key)
    except ExodusError as error:
        return Recalled(key, 0, None, Verdict.CRITICAL, str(error))


def restore(run: Run, control: AdmissionControl, key: str) -> Recalled:
    """Put an archived object back, the very same bytes and metadata, under a hold; its copy stays in the archive."""
    entry = _known(run, key)
    if entry.state in (ObjectState.RELEASING, ObjectState.RECALLING):
        replay(run)
        entry = _known(run, key)
    if entry.state in IN_STORE:
        run.catalogue.hold([key], run.clock.now(), held=True)
        return _told(entry, "is in the store already; held from now on")
    if entry.state not in _RETURNABLE:
        raise ObjectMissing(f"{printable(key)} is {entry.state}: {entry.note or 'there is no copy of it'}")
    wanted = reservations.request(control, entry.bytes, key, owner=run.owner)
    reservations.admit(control, wanted)
    try:
        with run.heartbeat():
            return _put_back(run, entry)
    finally:
        reservations.release(control, wanted.id)


def _put_back(run: Run, entry: Entry) -> Recalled:
    archive = run.archive_of(entry)
    claimed = run.catalogue.change([Change(entry, Event.RECALL_BEGUN, "asked for", owner=run.owner)], run.clock.now())
    if not claimed:
        raise StoreFailed(f"{printable(entry.key)} was taken by another run; try again")
    assert entry.copy is not None
    try:
        with _proven_chunks(run, entry) as chunks:
            stored = run.store.put(_as_it_was(archive.manifest(entry.copy), entry), chunks)
    except ExodusError as error:
        run.catalogue.change([Change(claimed[0], Event.RECALL_FAILED, str(error))], run.clock.now())
        raise
    done = Change(claimed[0], Event.RECALLED, "restored, and held", stored=stored, hold=True)
    run.catalogue.change([done], run.clock.now())
    return _told(entry, "restored, and held")


def _as_it_was(manifest: Manifest | None, entry: Entry) -> StoredObject:
    """Take times from the catalogue, which has them to the microsecond, and what only the manifest has from there."""
    kind, metadata = (manifest.content_type, manifest.metadata) if manifest else ("", {})
    stored = entry.stored
    return StoredObject(stored.key, stored.bytes, stored.etag, stored.last_modified, kind, metadata)


@contextmanager
def _proven_chunks(run: Run, entry: Entry) -> Iterator[Chunks]:
    """Stream an object from wherever it is; from the archive only as what was proven there."""
    if entry.state in IN_STORE and entry.state is not ObjectState.RECALLING:
        with run.store.open(entry.key) as (_, chunks):
            yield chunks
        return
    if entry.copy is None or entry.sha256 is None:
        raise ObjectMissing(f"{printable(entry.key)} is {entry.state}: there is no copy of it")
    archive = run.archive_of(entry)
    with archive.open(entry.copy) as (_, chunks):
        yield verified(chunks, entry.sha256, f"the copy of {printable(entry.key)} in {archive.name}")


def fetch(run: Run, key: str, target: str) -> Recalled:
    """Write an object, archived or not, to a file that is whole or not there; `-` is standard output."""
    entry = _known(run, key)
    with _proven_chunks(run, entry) as chunks:
        if target == "-":
            for chunk in chunks:
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        else:
            _write(Path(target), chunks)
    return _told(entry, "fetched")


def read(run: Run, key: str) -> tuple[int, Chunks]:
    """Give the size of an object that is known and its bytes, archived or not; the store is not refilled.

    What is wrong with them comes with the first or, where they are not what was proven, before the last.
    """
    entry = _known(run, key)
    return entry.bytes, _streamed(run, entry)


def _streamed(run: Run, entry: Entry) -> Chunks:
    with _proven_chunks(run, entry) as chunks:
        yield from chunks


def _write(target: Path, chunks: Chunks) -> None:
    try:
        with replacing(target, mode=0o600) as file:
            for chunk in chunks:
                file.write(chunk)
    except OSError as error:
        raise StoreFailed(f"cannot write {printable(str(target))}: {error.strerror}") from error


def forget(run: Run, key: str) -> Recalled:
    """Remove an archived object for good; what was done stays in the history."""
    entry = _known(run, key)
    if entry.state in IN_STORE:
        raise StoreFailed(f"{printable(key)} is in the store: delete it there first; what is archived of it goes then")
    if entry.state not in (ObjectState.ARCHIVED, ObjectState.LOST):
        raise ObjectMissing(f"{printable(key)} is {entry.state}: nothing of it is archived")
    if entry.copy is not None:
        run.archive_of(entry).remove(entry.copy)
    run.catalogue.change([Change(entry, Event.FORGOTTEN, "by hand")], run.clock.now())
    return _told(entry, "forgotten")


def _known(run: Run, key: str) -> Entry:
    entry = run.catalogue.get(key)
    if entry is None:
        raise ObjectMissing(f"{printable(key)} is not known here; exodus-storage-guard sync looks for what is new")
    return entry


def _told(entry: Entry, reason: str) -> Recalled:
    return Recalled(entry.key, entry.bytes, entry.sha256, Verdict.OK, reason)
