"""A folder as a store: each object a plain file, its key the path below the folder.

Links are never followed, neither in the last part of a path nor in one before; what is no plain file is no object.
What is being written or deleted has a name of ours (`stores/names.py`), which is no object's.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard.errors import (
    KeyRefused,
    ListingIncomplete,
    ObjectChanged,
    ObjectMissing,
    StoreFailed,
    StoreFull,
)
from exodus_storage_guard.instants import datetime_of, instant
from exodus_storage_guard.model import Capacity, StoredObject, Total
from exodus_storage_guard.stores.contract import MOST_SMALL_BYTES, Chunks, Looks, Moved, Store, nobody
from exodus_storage_guard.stores.directory.files import described, give_name, own, own_folder, touched_at, write_all
from exodus_storage_guard.stores.directory.filesystem import measure, obstacle
from exodus_storage_guard.stores.directory.removal import end_removal, is_untouched, left_in, remove
from exodus_storage_guard.stores.directory.walking import Found, walk
from exodus_storage_guard.stores.leftovers import Leftovers, left_before
from exodus_storage_guard.stores.names import is_no_key, is_ours, is_part, part_name
from exodus_storage_guard.stores.one_by_one import delete_one_by_one, present_one_by_one, stat_one_by_one

_CHUNK_BYTES = 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class DirectoryStore:
    """Keep objects in a folder of a local or mounted filesystem."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it has to be there once anything is asked of it."""
        self._folder = folder
        self._leftovers = Leftovers(self.name)

    @property
    def name(self) -> str:
        """Name the folder."""
        return printable(str(self._folder))

    def listing(self) -> Iterator[StoredObject]:
        """Stream every file, folder by folder; what somebody who is gone was deleting is put back first."""
        unseen, at_work_since = dict[str, str](), left_before(datetime.now(UTC))
        with self._translated("/"):
            for found in walk(self._folder_of, unseen, partial(self._end_deletions, before=at_work_since)):
                if stat.S_ISREG(found.status.st_mode) and not is_ours(found.name):
                    yield described(found.key, found.status)
        if unseen:
            raise ListingIncomplete(self.name, unseen)

    def stat(self, key: str) -> StoredObject | None:
        """Describe a file."""
        try:
            with self._translated(key), self._folder_of(key) as (folder, file):
                status = os.stat(file, dir_fd=folder, follow_symlinks=False)
        except ObjectMissing:
            return None
        return described(key, status) if stat.S_ISREG(status.st_mode) else None

    def stat_all(self, keys: Sequence[str], moved: Moved = nobody) -> Looks:
        """Look at one after the other, once the folder is seen to be there."""
        with self._translated("/"), self._folder_of("any"):
            pass
        return stat_one_by_one(self, keys, moved)

    @contextmanager
    def open(self, key: str) -> Iterator[tuple[StoredObject, Chunks]]:
        """Describe a file and stream its bytes."""
        with self._translated(key):
            descriptor = self._opened(key)
        try:
            stored = described(key, os.fstat(descriptor))
            yield stored, self._chunks(descriptor, stored)
        finally:
            os.close(descriptor)

    def _opened(self, key: str) -> int:
        with self._folder_of(key) as (folder, file):
            descriptor = os.open(file, _READ, dir_fd=folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ObjectMissing(f"{self.name}: {printable(key)} is no plain file")
        return descriptor

    def _chunks(self, descriptor: int, stored: StoredObject) -> Chunks:
        left = stored.bytes
        while left > 0:
            with self._translated(stored.key):
                chunk = os.read(descriptor, min(_CHUNK_BYTES, left))
            if not chunk:
                raise ObjectChanged(f"{self.name}: {printable(stored.key)} ends {left} bytes early")
            left -= len(chunk)
            yield chunk
        if not described(stored.key, os.fstat(descriptor)).is_same_content(stored):
            raise ObjectChanged(f"{self.name}: {printable(stored.key)} was changed by others while it was read")

    def put(self, wanted: StoredObject, chunks: Iterable[bytes]) -> StoredObject:
        """Write beside, wait for the disk, give it its name."""
        with self._translated(wanted.key), self._folder_of(wanted.key, make=True) as (folder, file):
            part = part_name()
            descriptor = os.open(part, _WRITE, 0o600, dir_fd=folder)
            try:
                try:
                    self._fill(descriptor, folder, wanted, chunks)
                    give_name(folder, part, file)
                finally:
                    with suppress(OSError):
                        os.unlink(part, dir_fd=folder)
                os.fsync(folder)
                # By now others may have given its name to another file.
                return described(wanted.key, os.fstat(descriptor))
            finally:
                os.close(descriptor)

    def _fill(self, descriptor: int, folder: int, wanted: StoredObject, chunks: Iterable[bytes]) -> None:
        own(descriptor, folder, wanted.metadata)
        for chunk in chunks:
            write_all(descriptor, chunk)
        if os.fstat(descriptor).st_size != wanted.bytes:
            raise ObjectChanged(f"{printable(wanted.key)} has other than its {wanted.bytes} bytes")
        at = instant(wanted.last_modified) * 1000
        os.utime(descriptor, ns=(at, at))
        os.fsync(descriptor)

    def take(self, source: Store, stored: StoredObject, new_key: str) -> StoredObject | None:
        """Leave it to `put`: a folder has no server that copies."""
        return None

    def sha256(self, key: str, moved: Moved = nobody) -> str:
        """Read a file back from the disk: what the page cache holds of it is dropped first.

        The bytes alone are the proof: on some filesystems a file's times are late.
        """
        digest = hashlib.sha256()
        with self._translated(key):
            descriptor = self._opened(key)
        try:
            with suppress(OSError):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            with self._translated(key):
                while chunk := os.read(descriptor, _CHUNK_BYTES):
                    digest.update(chunk)
                    moved(len(chunk))
        finally:
            with suppress(OSError):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # nor is it wanted there now
            os.close(descriptor)
        return digest.hexdigest()

    def delete(self, stored: StoredObject) -> bool:
        """Delete a file once it was seen to be this one, under a name that nobody else has; folders above it stay."""
        try:
            with self._translated(stored.key), self._folder_of(stored.key) as (folder, file):
                present = os.stat(file, dir_fd=folder, follow_symlinks=False)
                if not stat.S_ISREG(present.st_mode):
                    return False
                is_it = described(stored.key, present).is_same_content(stored) and remove(folder, file, present)
        except ObjectMissing:
            return False
        if not is_it:
            raise ObjectChanged(f"{self.name}: {printable(stored.key)} is not the object that was looked at before")
        return True

    def delete_all(self, batch: Sequence[StoredObject]) -> Mapping[str, ExodusError]:
        """Delete files one after the other."""
        return delete_one_by_one(self, batch)

    def present(self, keys: Sequence[str], moved: Moved = nobody) -> Collection[str]:
        """Look at one after the other."""
        return present_one_by_one(self, keys, moved)

    def move(self, key: str, new_key: str, moved: Moved = nobody) -> None:
        """Give a file its new name, then take the old one away from it."""
        with (
            self._translated(key),
            self._folder_of(key) as (folder, file),
            self._folder_of(new_key, make=True) as (new_folder, new_file),
        ):
            try:
                give_name(folder, file, new_file, new_folder)
            except FileExistsError as error:
                raise ObjectChanged(f"{self.name}: there is another {printable(new_key)} already") from error
            os.fsync(new_folder)
            with suppress(FileNotFoundError):  # where there are no links it was renamed
                remove(folder, file, os.stat(new_file, dir_fd=new_folder, follow_symlinks=False))
            os.fsync(folder)

    def read_small(self, key: str) -> bytes | None:
        """Give the bytes of a small file."""
        with self._translated(key):
            try:
                descriptor = self._opened(key)
            except (FileNotFoundError, ObjectMissing):
                return None
            with os.fdopen(descriptor, "rb") as file:
                return file.read(MOST_SMALL_BYTES)

    def write_small(self, key: str, content: bytes) -> None:
        """Write beside, wait for the disk, rename over what is there."""
        with self._translated(key), self._folder_of(key, make=True) as (folder, file):
            part = part_name()
            try:
                descriptor = os.open(part, _WRITE, 0o600, dir_fd=folder)
                try:
                    own(descriptor, folder, {})
                    write_all(descriptor, content)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                os.rename(part, file, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(part, dir_fd=folder)
                raise
            os.fsync(folder)

    def discard_unfinished(self, before: datetime) -> int:
        """Remove files that were being written and that nobody writes to any more; put back what was being deleted."""
        return sum(self._ended(found) for found in self._unfinished(before))

    def _ended(self, found: Found) -> bool:
        if not is_part(found.name):
            return self._end_deletion(found.folder, found.below, found.name)
        with suppress(OSError):
            os.unlink(found.name, dir_fd=found.folder)
            return True
        return False

    def abandon(self, key: str) -> None:
        """Do nothing: no name of a file that is being written tells of which key it is."""

    def unfinished(self, before: datetime) -> Total:
        """Add up files that were being written or deleted and that nobody has touched since."""
        return sum((Total(1, found.status.st_size) for found in self._unfinished(before)), Total())

    def _unfinished(self, before: datetime) -> Iterator[Found]:
        with self._translated("/"):
            for found in walk(self._folder_of, {}):
                if found.is_ours and is_untouched(found.status, before):
                    yield found

    def _end_deletions(self, folder: int, below: str, before: datetime) -> None:
        """End what somebody who is gone was deleting, before a folder is listed: what is put back is an object again.

        What cannot be ended is no object, and there yet for the next time.
        """
        for aside in left_in(folder, before):
            self._end_deletion(folder, below, aside)

    def _end_deletion(self, folder: int, below: str, aside: str) -> bool:
        try:
            end_removal(folder, aside)
        except FileNotFoundError:  # somebody else has ended it
            return False
        except OSError as error:
            self._leftovers.stays(f"{below}{aside}", error.strerror or str(error))
            return False
        return True

    def capacity(self) -> Capacity | None:
        """Measure the filesystem the folder is on."""
        try:
            return measure(self._folder, datetime.now(UTC))
        except ValueError as error:  # of a filesystem that makes it up
            raise StoreFailed(f"{self.name}: {error}") from error

    def now(self) -> datetime | None:
        """Write a file, which its filesystem gives the time; where there is no room for one, touch the folder."""
        part = part_name()
        with self._translated("/"), self._folder_of("any") as (folder, _):
            try:
                descriptor = os.open(part, _WRITE, 0o600, dir_fd=folder)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    return touched_at(folder)
                raise  # not writable, or broken: what time it is there is not known, and nothing is old enough then
            try:
                return datetime_of(os.fstat(descriptor).st_mtime_ns // 1000)
            finally:
                os.close(descriptor)
                with suppress(OSError):
                    os.unlink(part, dir_fd=folder)

    def _parts(self, key: str) -> tuple[str, ...]:
        parts = tuple(key.split("/"))
        if is_no_key(parts):
            raise KeyRefused(f"{printable(key)!r} cannot be a key of {self.name}: it would not stay in that folder")
        return parts

    @contextmanager
    def _folder_of(self, key: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """Open the folder that a key's file is in, link by link, and name the file."""
        *above, file = self._parts(key)
        descriptor = os.open(self._folder, _FOLDER & ~os.O_NOFOLLOW)
        try:
            for part in above:
                below = self._entered(descriptor, part, make=make)
                os.close(descriptor)
                descriptor = below
            yield descriptor, file
        finally:
            os.close(descriptor)

    def _entered(self, folder: int, part: str, *, make: bool) -> int:
        if make:
            with suppress(FileExistsError):
                os.mkdir(part, 0o750, dir_fd=folder)
                own_folder(part, folder)
                os.fsync(folder)
        return os.open(part, _FOLDER, dir_fd=folder)

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if not self._folder.is_dir():
                raise StoreFailed(f"there is no folder {self.name}; is its disk mounted?") from error
            raise ObjectMissing(f"{self.name}: there is no {printable(key)}") from error
        except FileExistsError as error:
            raise ObjectChanged(f"{self.name}: there is another {printable(key)} already") from error
        except OSError as error:
            raise self._failure(key, error) from error

    def _failure(self, key: str, error: OSError) -> Exception:
        where = f"{self.name}: {printable(key)}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StoreFull(f"{where}: {error.strerror}")
        if error.errno == errno.ENAMETOOLONG:
            return KeyRefused(f"{where}: the name is too long for this filesystem")
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            return KeyRefused(f"{where}: a link or a file is in the way, and links are not followed")
        if isinstance(error, PermissionError) and not os.access(self._folder, os.X_OK, effective_ids=True):
            return StoreFailed.for_lack_of_a_right(
                f"the folder {self.name} cannot be looked into: {printable(obstacle(self._folder))}"
            )
        if error.errno in (errno.EACCES, errno.EPERM):
            return StoreFailed.for_lack_of_a_right(f"{where}: {error.strerror}")
        return StoreFailed(f"{where}: {error.strerror or error}")
