"""A folder of another machine as an archive: each object a plain file there, hashed there by its own sha256sum.

What is asked of that machine: sshd, a POSIX shell, and GNU's coreutils and find. Nothing of ours is installed there.
"""

import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import PurePosixPath

from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard.errors import KeyRefused, ObjectChanged, ObjectMissing, StoreFailed
from exodus_storage_guard.instants import datetime_of
from exodus_storage_guard.model import Capacity, StoredObject, Total
from exodus_storage_guard.stores.contract import Chunks, Moved, Store, nobody
from exodus_storage_guard.stores.one_by_one import delete_one_by_one, present_one_by_one
from exodus_storage_guard.stores.ssh.door import ANOTHER, MISSING, SshDoor

PART = ".exodus-part-"

_LONGEST_KEY_BYTES = 4000
_IS_FILE = f'[ -f "$a" ] && [ ! -L "$a" ] || exit {MISSING}; '
_FORMAT = "%s %T@ %C@ %i"
_STAT = f"""find "$a" -maxdepth 0 -type f -printf '{_FORMAT}\\n'"""
_SYNC = """sync -- "$d" 2>/dev/null || sync; """
# A link refuses where there is a file of that name already; some filesystems have none.
_GIVE_NAME = (
    f"""ln -- "$p" "$a" 2>/dev/null || {{ [ -e "$a" ] && exit {ANOTHER}; mv -- "$p" "$a"; }}; """ """rm -f -- "$p"; """
)
_WRITE = """d=${a%/*}; mkdir -p -- "$d"; umask 027; trap 'rm -f -- "$p"' EXIT
dd of="$p" bs=256k conv=fsync status=none; """
_PUT = (
    f'set -e; p=$b; n=$c; t=$e; [ ! -e "$a" ] || exit {ANOTHER}; '
    + _WRITE
    + f'[ "$(stat -c %s -- "$p")" = "$n" ] || exit {ANOTHER}; touch -d "@$t" -- "$p"; '
    + _GIVE_NAME
    + _SYNC
    + _STAT
)
_WRITE_SMALL = "set -e; p=$b; n=$c; " + _WRITE + '[ "$(stat -c %s -- "$p")" = "$n" ]; mv -f -- "$p" "$a"; ' + _SYNC
# dd drops what memory holds of the file first, where it can: what is hashed comes from the disk.
_SHA256 = _IS_FILE + """dd if="$a" iflag=nocache count=0 2>/dev/null; exec sha256sum < "$a" """
_DELETE = f'[ -e "$a" ] || exit 0; [ "$({_STAT})" = "$b" ] || exit {ANOTHER}; rm -- "$a" && echo gone'
_MOVE = _IS_FILE + 'set -e; d=${b%/*}; mkdir -p -- "$d"; mv -- "$a" "$b"; ' + _SYNC
_LIST = f"find . -type f ! -name '{PART}*' -printf '{_FORMAT} %P\\0'"
# By the change of the inode: a part may have its object's time of change already.
_DISCARD = f"find . -name '{PART}*' -type f ! -newerct \"$a\" -print -delete"


class RemoteStore:
    """Keep objects in a folder of a machine that is reached with ssh."""

    def __init__(self, door: SshDoor) -> None:
        """Take the door to the folder."""
        self._door = door

    @property
    def name(self) -> str:
        """Name the machine and the folder."""
        return self._door.name

    def listing(self) -> Iterator[StoredObject]:
        """Stream every file, as find(1) comes by it."""
        rest = b""
        with self._door.session(_LIST) as answer:
            for chunk in answer:
                *lines, rest = (rest + chunk).split(b"\0")
                yield from map(_listed, lines)

    def stat(self, key: str) -> StoredObject | None:
        """Describe a file."""
        try:
            return _described(key, self._door.ask(_IS_FILE + _STAT, self._named(key)))
        except ObjectMissing:
            return None

    @contextmanager
    def open(self, key: str) -> Iterator[tuple[StoredObject, Chunks]]:
        """Describe a file and stream its bytes."""
        with self._door.session(f'{_IS_FILE}{_STAT} && exec cat -- "$a"', self._named(key)) as answer:
            head = b""
            while b"\n" not in head:
                chunk = next(answer, None)
                if chunk is None:
                    raise StoreFailed(f"{self.name}: {printable(key)}: the connection was lost")
                head += chunk
            line, _, first = head.partition(b"\n")
            stored = _described(key, line)
            yield stored, self._counted(stored, first, answer)

    def _counted(self, stored: StoredObject, first: bytes, answer: Chunks) -> Chunks:
        left = stored.bytes - len(first)
        if first:
            yield first
        for chunk in answer:
            left -= len(chunk)
            yield chunk
        if left:
            raise StoreFailed(f"{self.name}: {printable(stored.key)} ends {left} bytes early")

    def put(self, wanted: StoredObject, chunks: Iterable[bytes]) -> StoredObject:
        """Write beside, wait for the disk, give it its name."""
        named, part = self._named(wanted.key), self._part(wanted.key)
        at = f"{wanted.last_modified.timestamp():.6f}"
        exactly = _exactly(wanted, chunks)
        return _described(wanted.key, self._door.ask(_PUT, named, part, str(wanted.bytes), "", at, content=exactly))

    def take(self, source: Store, stored: StoredObject, new_key: str) -> StoredObject | None:
        """Leave it to `put`: a folder has no server that copies."""
        return None

    def sha256(self, key: str, moved: Moved = nobody) -> str:
        """Have a file hashed where it lies, by sha256sum(1)."""
        # A large file is hashed for minutes, without a word.
        found = self._door.ask(_SHA256, self._named(key), patient=moved).split()
        if not found or len(found[0]) != 64:
            raise StoreFailed(f"{self.name}: sha256sum gave no SHA-256 of {printable(key)}")
        return found[0].decode("ascii")

    def delete(self, stored: StoredObject) -> bool:
        """Delete a file once it was seen to be this one, over there."""
        present = self.stat(stored.key)
        if present is None:
            return False
        if not present.is_same_content(stored):
            raise ObjectChanged(f"{self.name}: {printable(stored.key)} is not the object that was looked at before")
        return self._door.ask(_DELETE, self._named(stored.key), f"{stored.bytes} {stored.etag}").strip() == b"gone"

    def delete_all(self, batch: Sequence[StoredObject]) -> Mapping[str, ExodusError]:
        """Delete files one after the other."""
        return delete_one_by_one(self, batch)

    def present(self, keys: Sequence[str], moved: Moved = nobody) -> Collection[str]:
        """Look at one after the other."""
        return present_one_by_one(self, keys, moved)

    def move(self, key: str, new_key: str, moved: Moved = nobody) -> None:
        """Rename a file."""
        self._door.ask(_MOVE, self._named(key), self._named(new_key))

    def read_small(self, key: str) -> bytes | None:
        """Give the bytes of a small file."""
        try:
            return self._door.ask(f'{_IS_FILE}exec cat -- "$a"', self._named(key))
        except ObjectMissing:
            return None

    def write_small(self, key: str, content: bytes) -> None:
        """Write beside, wait for the disk, rename over what is there."""
        self._door.ask(_WRITE_SMALL, self._named(key), self._part(key), str(len(content)), content=[content])

    def discard_unfinished(self, before: datetime) -> int:
        """Remove files that were being written and that nobody has written to since."""
        return self._door.ask(_DISCARD, f"@{before.timestamp():.0f}").count(b"\n")

    def unfinished(self, before: datetime) -> Total:
        """Tell nothing: it is an archive, where what is unfinished is discarded."""
        return Total()

    def capacity(self) -> Capacity | None:
        """Measure the filesystem the folder is on."""
        size, total, free, files = map(int, self._door.ask("stat -f -c '%S %b %a %d' .").split())
        used = (total - free) * size
        return Capacity("filesystem", total * size, used, free * size, datetime.now(UTC), files or None)

    def now(self) -> datetime | None:
        """Ask date(1) over there."""
        try:
            return datetime.fromtimestamp(int(self._door.ask("date +%s")), UTC)
        except (ValueError, OverflowError, OSError):
            return None

    def _named(self, key: str) -> str:
        parts = key.split("/")
        fits = "\0" not in key and len(os.fsencode(key)) <= _LONGEST_KEY_BYTES
        if not fits or any(part in ("", ".", "..") for part in parts) or parts[-1].startswith(PART):
            raise KeyRefused(f"{printable(key)!r} cannot be a key of {self.name}: it would not stay in that folder")
        return f"./{key}"

    def _part(self, key: str) -> str:
        return str(PurePosixPath(f"./{key}").with_name(PART + secrets.token_hex(8)))


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


def _described(key: str, line: bytes) -> StoredObject:
    """Read what `_FORMAT` writes: size, last change of the content and of the inode in seconds, inode."""
    size, modified, changed, inode = line.decode("ascii").split()
    seconds, _, fraction = modified.partition(".")
    at = datetime_of(int(seconds) * 1_000_000 + int(fraction[:6].ljust(6, "0")))
    return StoredObject(key, int(size), f"{modified} {changed} {inode}", at)


def _listed(line: bytes) -> StoredObject:
    *numbers, name = line.split(b" ", 4)
    return _described(os.fsdecode(name), b" ".join(numbers))
