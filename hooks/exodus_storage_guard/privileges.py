"""The door to who we run as: whose a state is, and how root becomes that user before anything of it is opened."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard.state.settings import DEFAULT_FOLDER, StateSettings

USER = "exodus-storage-guard"
_ROOT = 0


def owner(place: StateSettings, socket: Path) -> int | None:
    """Give the user whose the state is: its folder's owner; of a database elsewhere the service's user, at its socket.

    None where there is neither yet.
    """
    if not place.is_postgresql:
        return _owner_of(place.file.parent)
    found = _owner_of(socket)
    return _owner_of(DEFAULT_FOLDER) if found is None else found


def opens_state(place: StateSettings, socket: Path) -> bool:
    """Tell whether this process runs as the owner of the state, and opens it; anybody else asks the service."""
    found = owner(place, socket)
    return found is None or found == os.geteuid()


def will_change(place: StateSettings, socket: Path) -> bool:
    """Tell whether we are root, and `become_owner` makes us somebody else."""
    return os.geteuid() == _ROOT and bool(owner(place, socket))


def become_owner(place: StateSettings, socket: Path, *, makes: bool) -> None:
    """Run by root, become the owner of the state for good; where there is no state yet, and `makes`, the guard's user.

    So nothing that was put in root's way is opened with root's rights. Raises `ExodusError` where it cannot be done.
    """
    if os.geteuid() != _ROOT:
        return
    found = owner(place, socket)
    if found is None and makes:
        found = _make_folder(DEFAULT_FOLDER if place.is_postgresql else place.file.parent)
    if found:
        _become(found)


@contextmanager
def with_the_guards_eyes(place: StateSettings, socket: Path) -> Iterator[str]:
    """Run by root, see for the time of a block what the guard will see; give whom it runs as, "" where that is us."""
    uid = _whom_it_runs_as(place, socket) if os.geteuid() == _ROOT else _ROOT
    if uid == _ROOT:
        yield ""
        return
    user, groups, group = _user(uid), os.getgroups(), os.getegid()
    os.initgroups(user.pw_name, user.pw_gid)
    os.setegid(user.pw_gid)
    os.seteuid(uid)
    try:
        yield user.pw_name
    finally:
        os.seteuid(_ROOT)
        os.setegid(group)
        os.setgroups(groups)


def _whom_it_runs_as(place: StateSettings, socket: Path) -> int:
    found = owner(place, socket)
    if found is None:
        with suppress(KeyError):  # nobody was made for it: it will run as root does
            return pwd.getpwnam(USER).pw_uid
    return found or _ROOT


def _owner_of(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ExodusError(f"cannot see whose {printable(str(path))} is: {error.strerror}") from error


def _make_folder(folder: Path) -> int | None:
    """Make the folder of the state for the guard's user, where there is one: root's folders are not his to write."""
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        return None
    try:
        folder.mkdir(mode=0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchown(descriptor, user.pw_uid, user.pw_gid)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ExodusError(f"cannot make {printable(str(folder))} for {USER}: {error.strerror}") from error
    return user.pw_uid


def _become(uid: int) -> None:
    user = _user(uid)
    os.initgroups(user.pw_name, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(uid, uid, uid)
    os.environ["HOME"] = user.pw_dir
    if not os.access(".", os.X_OK):  # where root stood
        os.chdir("/")


def _user(uid: int) -> pwd.struct_passwd:
    """Give a user; one whom nobody knows has a group of his own number, and no home."""
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return pwd.struct_passwd((str(uid), "x", uid, uid, "", "/", ""))
