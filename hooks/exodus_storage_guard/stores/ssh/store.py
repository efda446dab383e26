"""A folder of another machine as an archive: each object a plain file there, hashed there by its own sha256sum.

What is asked of that machine: sshd, a POSIX shell, and GNU's coreutils and find. Nothing of ours is installed there.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain

from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard.batches import batches
from exodus_storage_guard.errors import KeyRefused, ListingIncomplete, ObjectChanged, ObjectMissing, StoreFailed
from exodus_storage_guard.instants import datetime_of
from exodus_storage_guard.model import MOST_BYTES, Capacity, StoredObject, Total
from exodus_storage_guard.stores.contract import MOST_SMALL_BYTES, Chunks, Looks, Moved, Store, nobody
from exodus_storage_guard.stores.leftovers import TAKEN, Leftovers, left_before
from exodus_storage_guard.stores.names import (
    aside_token,
    identity,
    is_aside_folder,
    is_no_key,
    part_name,
    read_aside,
)
from exodus_storage_guard.stores.one_by_one import delete_one_by_one, present_one_by_one
from exodus_storage_guard.stores.ssh import scripts
from exodus_storage_guard.stores.ssh.door import SshDoor

_LONGEST_KEY_BYTES = 4000
_STAT_AT_ONCE = 200  # names fit into a pipe while nobody has read an answer yet
_UNSEEN = b"? "
_MOST_LINE_BYTES = 64 * 1024  # a name has no more than 4,000, and what is said of it few
_SHA256 = re.compile(rb"[0-9a-f]{64}")
# What `scripts.FORMAT` writes: size, last change of the content and of the inode in seconds, inode.
_DESCRIPTION = re.compile(
    rb"([0-9]{1,19}) ((-?[0-9]{1,20})(?:\.([0-9]{1,20}))?) (-?[0-9]{1,20}(?:\.[0-9]{1,20})?) ([0-9]{1,20})\n?"
)


class RemoteStore:
    """Keep objects in a folder of a machine that is reached with ssh."""

    def __init__(self, door: SshDoor) -> None:
        """Take the door to the folder."""
        self._door = door
        self._leftovers = Leftovers(self.name)

    @property
    def name(self) -> str:
        """Name the machine and the folder."""
        return self._door.name

    def listing(self) -> Iterator[StoredObject]:
        """Stream every file, as find(1) comes by it; what somebody who is gone was deleting is put back first."""
        self._end_deletions(left_before(datetime.now(UTC)))
        rest, unseen = b"", dict[str, str]()
        with self._door.session(scripts.LIST) as answer:
            for chunk in answer:
                *lines, rest = (rest + chunk).split(b"\0")
                self._refuse_garbled(len(rest) <= _MOST_LINE_BYTES, "find(1)")
                for line in lines:
                    if line.startswith(_UNSEEN):
                        unseen[os.fsdecode(line.removeprefix(_UNSEEN))] = "Permission denied"
                    else:
                        yield self._listed(line)
            self._refuse_garbled(not rest, "find(1)")
        if "/" in unseen:
            raise StoreFailed(f"{self.name}: the folder cannot be read by this user")
        if unseen:
            raise ListingIncomplete(self.name, unseen)

    def stat(self, key: str) -> StoredObject | None:
        """Describe a file."""
        try:
            return self._described(key, self._door.ask(scripts.STAT, self._named(key)))
        except ObjectMissing:
            return None

    def stat_all(self, keys: Sequence[str], moved: Moved = nobody) -> Looks:
        """Have the other side look at one after the other."""
        found, failed, named = dict[str, StoredObject](), dict[str, ExodusError](), list[bytes]()
        for key in keys:
            try:
                named.append(os.fsencode(self._named(key)) + b"\0")
            except KeyRefused as error:
                failed[key] = error
        for batch in batches(named, _STAT_AT_ONCE):
            for key, look in self._looks(self._door.ask(scripts.STAT_ALL, content=batch)):
                self._refuse_garbled(os.fsencode(key) + b"\0" in batch, "find(1)")
                if isinstance(look, StoredObject):
                    found[key] = look
                else:
                    failed[key] = look
            moved(0)
        return Looks(found, failed)

    def _looks(self, answer: bytes) -> Iterator[tuple[str, StoredObject | ExodusError]]:
        """Read what `scripts.STAT_ALL` says of those that are there, and of those that it could not look at."""
        lines = iter(self._ended_by_nul(answer))
        for line in lines:
            if line.startswith(_UNSEEN):
                exit_code, _, name = line.removeprefix(_UNSEEN).partition(b" ")
                self._refuse_garbled(exit_code.isdigit() and len(exit_code) <= len("255"), "find(1)")
                key = os.fsdecode(name)
                yield key, self._door.failure(int(exit_code), next(lines, b""), printable(key))
            else:
                one = self._listed(line)
                yield one.key, one

    def _ended_by_nul(self, answer: bytes) -> list[bytes]:
        *lines, rest = answer.split(b"\0")
        self._refuse_garbled(not rest, "find(1)")
        return lines

    def _refuse_garbled(self, is_right: bool, program: str) -> None:
        if not is_right:
            raise StoreFailed(f"{self.name}: what {program} over there writes is no answer to what it was asked")

    @contextmanager
    def open(self, key: str) -> Iterator[tuple[StoredObject, Chunks]]:
        """Describe a file and stream its bytes."""
        with self._door.session(scripts.READ, self._named(key)) as answer:
            head = b""
            while b"\n" not in head:
                chunk = next(answer, None)
                if chunk is None or len(head) > _MOST_LINE_BYTES:
                    raise StoreFailed(f"{self.name}: {printable(key)}: the connection was lost")
                head += chunk
            line, _, first = head.partition(b"\n")
            stored = self._described(key, line)
            yield stored, self._counted(stored, first, answer)

    def _counted(self, stored: StoredObject, first: bytes, answer: Chunks) -> Chunks:
        left = stored.bytes
        for chunk in chain([first], answer):
            left -= len(chunk)
            if left < 0:
                raise ObjectChanged(f"{self.name}: {printable(stored.key)} has more than its {stored.bytes} bytes")
            if chunk:
                yield chunk
        if left:
            raise StoreFailed(f"{self.name}: {printable(stored.key)} ends {left} bytes early")

    def put(self, wanted: StoredObject, chunks: Iterable[bytes]) -> StoredObject:
        """Write beside, wait for the disk, give it its name."""
        names = self._named(wanted.key), f"./{part_name()}", str(wanted.bytes)
        at = f"{wanted.last_modified.timestamp():.6f}"
        said = self._door.ask(scripts.PUT, *names, "", at, content=_exactly(wanted, chunks))
        stored = self._described(wanted.key, said)
        self._refuse_garbled(stored.bytes == wanted.bytes, "find(1)")
        return stored

    def take(self, source: Store, stored: StoredObject, new_key: str) -> StoredObject | None:
        """Leave it to `put`: a folder has no server that copies."""
        return None

    def sha256(self, key: str, moved: Moved = nobody) -> str:
        """Have a file hashed where it lies, by sha256sum(1)."""
        # A large file is hashed for minutes, without a word.
        found = self._door.ask(scripts.SHA256, self._named(key), patient=moved).split()
        if not found or not _SHA256.fullmatch(found[0]):
            raise StoreFailed(f"{self.name}: sha256sum gave no SHA-256 of {printable(key)}")
        return found[0].decode("ascii")

    def delete(self, stored: StoredObject) -> bool:
        """Delete a file once it was seen to be this one, over there, under a name that nobody else has."""
        modified, _, inode = stored.etag.split(" ") if stored.etag.count(" ") == 2 else ("", "", "")
        seen, to_go = f"{stored.bytes} {stored.etag}", identity(stored.bytes, modified, inode)
        try:
            said = self._door.ask(scripts.DELETE, self._named(stored.key), seen, to_go, aside_token())
        except ObjectMissing:
            return False
        self._refuse_garbled(said == b"gone\n", "the shell")
        return True

    def delete_all(self, batch: Sequence[StoredObject]) -> Mapping[str, ExodusError]:
        """Delete files one after the other."""
        return delete_one_by_one(self, batch)

    def present(self, keys: Sequence[str], moved: Moved = nobody) -> Collection[str]:
        """Look at one after the other."""
        return present_one_by_one(self, keys, moved)

    def move(self, key: str, new_key: str, moved: Moved = nobody) -> None:
        """Give a file its new name, then take the old one away from it."""
        self._door.ask(scripts.MOVE, self._named(key), self._named(new_key), aside_token())

    def read_small(self, key: str) -> bytes | None:
        """Give the bytes of a small file."""
        try:
            return self._door.ask(scripts.READ_SMALL, self._named(key), str(MOST_SMALL_BYTES))
        except ObjectMissing:
            return None

    def write_small(self, key: str, content: bytes) -> None:
        """Write beside, wait for the disk, rename over what is there."""
        names = self._named(key), f"./{part_name()}", str(len(content))
        self._door.ask(scripts.WRITE_SMALL, *names, content=[content])

    def discard_unfinished(self, before: datetime) -> int:
        """Remove files that were being written and that nobody writes to any more; put back what was being deleted."""
        ended = self._end_deletions(before)
        return ended + len(self._door.ask(scripts.DISCARD, _instant(before)))

    def _end_deletions(self, before: datetime) -> int:
        """Put back what was set aside by somebody who is gone; give how many there were."""
        left = self._ended_by_nul(self._door.ask(scripts.LEFT, _instant(before)))
        return sum(self._put_back(os.fsdecode(path)) for path in left)

    def _put_back(self, path: str) -> bool:
        *parts, last = path.split("/")
        ours = parts.pop() if parts and is_aside_folder(parts[-1]) else ""
        own_name = last if ours else read_aside(last)
        if not own_name:
            return False  # whatever others call so
        aside, folder = (f"./{ours}/{last}", f"./{ours}") if ours else (f"./{last}", "")
        try:
            self._door.ask(scripts.PUT_BACK, self._named("/".join((*parts, own_name))), aside, folder)
        except ObjectMissing:  # somebody else has ended it
            return False
        except ObjectChanged:
            self._leftovers.stays(path, TAKEN)
            return False
        except ExodusError as error:
            self._leftovers.stays(path, str(error))
            return False
        return True

    def abandon(self, key: str) -> None:
        """Do nothing: no name of a file that is being written tells of which key it is."""

    def unfinished(self, before: datetime) -> Total:
        """Tell nothing: it is an archive, where what is unfinished is discarded."""
        return Total()

    def capacity(self) -> Capacity | None:
        """Measure the filesystem the folder is on."""
        said = self._door.ask("stat -f -c '%S %b %a %d' .")
        try:
            size, total, free, files = map(int, said.split())
            used = (total - free) * size
            return Capacity("filesystem", total * size, used, free * size, datetime.now(UTC), files or None)
        except ValueError as error:
            raise StoreFailed(f"{self.name}: stat(1) over there does not say how full the disk is") from error

    def now(self) -> datetime | None:
        """Ask date(1) over there."""
        try:
            return datetime.fromtimestamp(int(self._door.ask("date +%s")), UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise StoreFailed(f"{self.name}: date(1) over there does not say what time it is") from error

    def _named(self, key: str) -> str:
        if len(os.fsencode(key)) > _LONGEST_KEY_BYTES or is_no_key(tuple(key.split("/"))):
            raise KeyRefused(f"{printable(key)!r} cannot be a key of {self.name}: it would not stay in that folder")
        return key

    def _listed(self, line: bytes) -> StoredObject:
        *numbers, name = line.split(b" ", 4)
        return self._described(os.fsdecode(name), b" ".join(numbers))

    def _described(self, key: str, line: bytes) -> StoredObject:
        found = _DESCRIPTION.fullmatch(line)
        if found is None or int(found[1]) > MOST_BYTES:
            raise StoreFailed(f"{self.name}: {printable(key)}: find(1) over there gave no description")
        size, modified, seconds, fraction, changed, inode = (one.decode("ascii") for one in found.groups(b""))
        at = datetime_of(int(seconds) * 1_000_000 + int(fraction[:6].ljust(6, "0")))
        return StoredObject(key, int(size), f"{modified} {changed} {inode}", at)


def _exactly(wanted: StoredObject, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pass bytes on; never more than wanted, and fewer are an error here as they are over there."""
    left = wanted.bytes
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise ObjectChanged(f"{printable(wanted.key)} has other than its {wanted.bytes} bytes")


def _instant(at: datetime) -> str:
    """Write an instant for find(1)."""
    return f"@{at.timestamp():.0f}"
