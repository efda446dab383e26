"""The stories of recalling: `restore` into the store, `fetch` to a file, `forget` for good."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from exodus_common.durable import cannot_write, writing_to
from exodus_common.errors import ExodusError
from exodus_common.output import pass_on
from exodus_common.stopping import Stopped, go_on
from exodus_common.terminal import printable
from exodus_storage_guard.admission import asking, reservations
from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.errors import ObjectMissing, StoreFailed
from exodus_storage_guard.model import IN_STORE, Entry, ObjectState, StoredObject, Verdict
from exodus_storage_guard.state.contract import REBUILDING, Change
from exodus_storage_guard.stores.contract import Chunks
from exodus_storage_guard.tiering import forgetting
from exodus_storage_guard.tiering.archive import verified
from exodus_storage_guard.tiering.manifests import ManifestUnreadable
from exodus_storage_guard.tiering.replay import replay
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.transitions import Event

_NO_COPY = "there is no copy of it"
_RETURNABLE = (ObjectState.ARCHIVED,)


@dataclass(frozen=True, slots=True)
class Recalled:
    """Report one object; its fields are those of CONTRACT.md."""

    key: str
    bytes: int
    sha256: str | None
    verdict: Verdict
    reason: str


def each(keys: list[str], work: Callable[[str], Recalled]) -> Iterator[Recalled]:
    """Do the same for every key: what fails for one is told, and the others are done, unless Stopped is raised."""
    for key in keys:
        go_on()
        yield _tried(key, work)


def _tried(key: str, work: Callable[[str], Recalled]) -> Recalled:
    try:
        return work(key)
    except Stopped:
        raise
    except ExodusError as error:
        return Recalled(key, 0, None, Verdict.CRITICAL, str(error))


def restore(run: Run, control: AdmissionControl, key: str) -> Recalled:
    """Put an archived object back, the very same bytes and metadata, under a hold; its copy stays in the archive."""
    entry = _known(run, key)
    if entry.state in (ObjectState.RELEASING, ObjectState.RECALLING):
        replay(run)
        entry = _known(run, key)
    if entry.state is ObjectState.LOST:
        entry = looked_for_again(run, entry)
    if entry.state in IN_STORE:
        if run.store.stat(key) is None:
            raise ObjectMissing(
                f"{printable(key)} is known as {entry.state}, and is not in {run.store.name} any more: run "
                "exodus-storage-guard sync, and then restore it"
            )
        run.catalogue.hold([key], run.clock.now(), held=True)
        return _told(entry, "is in the store already; held from now on")
    if entry.state not in _RETURNABLE:
        raise ObjectMissing(f"{printable(key)} is {entry.state}: {entry.note or _NO_COPY}{_older(run, entry)}")
    asker = asking.Asker(os.geteuid(), run.owner)
    wanted = asking.request(control, entry.bytes, key, asker=asker)
    reservations.admit(control, wanted)
    try:
        with run.heartbeat():
            return _put_back(run, entry)
    finally:
        reservations.count_until_measured(control, wanted)  # what a failure says was not done may have been done


def looked_for_again(run: Run, entry: Entry) -> Entry:
    """Read a lost copy once more: what is right again is archived, as `verify` and `fetch` have it."""
    try:
        with _proven_chunks(run, entry) as chunks:
            for _ in chunks:
                pass
    except (ObjectMissing, StoreFailed):
        return entry
    found = Change(entry, Event.COPY_FOUND, "its copy is right again")
    return next(iter(run.catalogue.change([found], run.clock.now())), entry)


def _older(run: Run, entry: Entry) -> str:
    """Name what the archive has of an object whose newest copy is lost."""
    names = [printable(one.name) for one in run.catalogue.copies_of(entry.key) if one.name != entry.copy]
    return f"; older ones in {run.proving_archive.name}: {', '.join(names)}" if names else ""


def _put_back(run: Run, entry: Entry) -> Recalled:
    run.archive_of(entry)
    claimed = run.catalogue.change([Change(entry, Event.RECALL_BEGUN, "asked for", owner=run.owner)], run.clock.now())
    if not claimed:
        raise StoreFailed(f"{printable(entry.key)} was taken by another run; try again")
    assert entry.copy is not None
    try:
        with _proven_chunks(run, entry) as chunks:
            wanted, missing = _as_it_was(run, entry)
            stored = _as_listed(run, run.store.put(wanted, chunks))
    except ExodusError as error:
        run.catalogue.change([Change(claimed[0], Event.RECALL_FAILED, str(error))], run.clock.now())
        raise
    done = Change(claimed[0], Event.RECALLED, "restored, and held", stored=stored, hold=True)
    run.catalogue.change([done], run.clock.now())
    return _told(entry, f"restored, and held{missing}")


def _as_it_was(run: Run, entry: Entry) -> tuple[StoredObject, str]:
    """Give the object, and what is missing of it: the catalogue has its times, only the manifest the rest."""
    assert entry.copy is not None
    try:
        manifest = run.proving_archive.manifest(entry.copy)
        problem = "it has no manifest" if manifest is None else "its manifest is of another key"
    except ManifestUnreadable as error:
        manifest, problem = None, str(error)
    if manifest is None or manifest.key != entry.key:
        return entry.stored, f"; its content type and metadata are not known: {problem}"
    return replace(entry.stored, content_type=manifest.content_type, metadata=manifest.metadata), ""


def _as_listed(run: Run, stored: StoredObject) -> StoredObject:
    """Take the store's own time, so that a listing does not take what we have put for somebody else's upload."""
    found = run.store.stat(stored.key)
    return found if found is not None and found.is_same_content(stored) else stored


@contextmanager
def _proven_chunks(run: Run, entry: Entry) -> Iterator[Chunks]:
    """Stream an object from wherever it is; from the archive only as what was proven there."""
    if entry.state in IN_STORE:
        with ExitStack() as opened:
            try:
                _, chunks = opened.enter_context(run.store.open(entry.key))
            except ObjectMissing:
                if entry.copy is None:
                    raise
            else:
                yield chunks
                return
    if entry.copy is None or entry.sha256 is None:
        raise ObjectMissing(f"{printable(entry.key)} is {entry.state}: {_NO_COPY}{_older(run, entry)}")
    archive = run.archive_of(entry)
    with archive.open(entry.copy) as (_, chunks):
        yield verified(chunks, entry.sha256, f"the copy of {printable(entry.key)} in {archive.name}")


def fetch(run: Run, key: str, target: str) -> Recalled:
    """Write an object, archived or not, to a file that is whole or not there; `-` is standard output."""
    entry = _known(run, key)
    with _proven_chunks(run, entry) as chunks:
        if target == "-":
            pass_on(chunks)
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
        with writing_to(target, mode=0o600) as file:
            for chunk in chunks:
                file.write(chunk)
    except OSError as error:
        raise StoreFailed(cannot_write(target, error)) from error


def forget(run: Run, key: str) -> Recalled:
    """Remove every copy of an object for good; what was done stays in the history.

    It is known as forgotten before anything is removed: what is uploaded again from then on is another object. Raises
    `StoreFailed`, and removes nothing, where it was changed since it was read.
    """
    entry = _known(run, key)
    if entry.state in IN_STORE:
        raise StoreFailed(
            f"{printable(key)} is in the store: delete it there, run exodus-storage-guard sync, and then forget it"
        )
    if entry.state is ObjectState.RECALLING:
        raise StoreFailed(f"{printable(key)} is being restored: try again once it is in the store, or archived again")
    copies = forgetting.copies_of(run, entry)
    if entry.state is ObjectState.GONE and not copies.names:
        if _was_forgotten(run, key):
            return _told(entry, f"is forgotten already{copies.left}")
        raise ObjectMissing(f"{printable(key)} is {entry.state}: nothing of it is archived{copies.left}")
    forgetting.remove(run, forgetting.forgotten(run, entry), copies.names)
    return _told(entry, f"forgotten{copies.left}")


def _was_forgotten(run: Run, key: str) -> bool:
    """Tell whether that was the last that was done: a run may have ended before it said so."""
    last = deque(run.catalogue.history(key), maxlen=1)
    return bool(last) and last[0].event == Event.FORGOTTEN


def _known(run: Run, key: str) -> Entry:
    entry = run.catalogue.get(key)
    if entry is None and run.catalogue.settled().get(REBUILDING):
        raise ObjectMissing(
            f"{printable(key)} is not known here, and a rebuild has not come to its end; run it again, and it goes on: "
            "exodus-storage-guard rebuild"
        )
    if entry is None:
        raise ObjectMissing(f"{printable(key)} is not known here; exodus-storage-guard sync looks for what is new")
    return entry


def _told(entry: Entry, reason: str) -> Recalled:
    return Recalled(entry.key, entry.bytes, entry.sha256, Verdict.OK, reason)
