"""Run the service: uvicorn, on the socket that systemd hands over, or on one of its own."""

import errno
import fcntl
import gc
import os
import resource
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from inspect import signature
from pathlib import Path
from typing import Any

from exodus_common.errors import ExodusError, SettingsInvalid
from exodus_common.terminal import printable
from exodus_storage_guard.adapters.service.service import GuardService

_FIRST_HANDED_OVER = 3  # sd_listen_fds(3)
_FOR_THE_GROUP = 0o660
_PROBE_SECONDS = 5.0
_SECONDS_TO_END = 10


def serve(service: GuardService, environ: Mapping[str, str]) -> None:
    """Serve until told to end; raise `SettingsInvalid` where a package is missing, `ExodusError` for the socket."""
    try:
        import uvicorn

        from exodus_storage_guard.adapters.service.application import application
        from exodus_storage_guard.adapters.service.peers import PeerProtocol
    except ImportError as error:
        raise SettingsInvalid(f"serve needs the packages of exodus-certbot[storage]: {error}") from error
    listener = handed_over(environ) or own(service.settings.admission.socket)
    _allow_many_connections()
    said: dict[str, Any] = {"access_log": False, "log_level": "warning", "server_header": False, "date_header": False}
    if "timeout_graceful_shutdown" in signature(uvicorn.Config).parameters:  # Debian 12's 0.17 has none
        said["timeout_graceful_shutdown"] = _SECONDS_TO_END
    said |= {"lifespan": "off", "ws": "none", "proxy_headers": False, "http": PeerProtocol}
    config = uvicorn.Config(application(service), **said)
    gc.collect()
    gc.freeze()  # all that is there for good: to look through it now and then would hold up a request for 13 ms
    uvicorn.Server(config).run(sockets=[listener])


def _allow_many_connections() -> None:
    """Take all descriptors that we may have: each user has a bound of his own, and there may be several."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # a unit that is shut in has its LimitNOFILE= already
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def handed_over(environ: Mapping[str, str]) -> socket.socket | None:
    """Take the socket that systemd opened; None where it did not start us."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    if environ.get("LISTEN_FDS") != "1":
        raise ExodusError(f"systemd hands over {environ.get('LISTEN_FDS')} sockets; allowed: one, of one ListenStream=")
    try:
        listener = socket.socket(fileno=_FIRST_HANDED_OVER)
    except OSError as error:
        raise ExodusError(f"what systemd hands over is no socket: {error.strerror}") from error
    listener.set_inheritable(False)
    return listener


def own(path: Path) -> socket.socket:
    """Make a socket for our user and group; one that a service left which is gone is removed."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _alone_in(path.parent):
            _remove_left_over(path)
            _bind(listener, path)
            listener.listen(socket.SOMAXCONN)
    except OSError as error:
        listener.close()
        hint = "; does another service run there?" if error.errno == errno.EADDRINUSE else ""
        raise ExodusError(f"cannot listen at {printable(str(path))}: {error.strerror or error}{hint}") from error
    return listener


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let one service after the other look and bind: two would remove each other's new socket as one left over."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _bind(listener: socket.socket, path: Path) -> None:
    mask = os.umask(0o777 & ~_FOR_THE_GROUP)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)


def _remove_left_over(path: Path) -> None:
    """Remove a socket that nobody listens at any more, and nothing else."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_PROBE_SECONDS)
            try:
                probe.connect(str(path))
            except BlockingIOError:  # somebody listens, and has much to do
                return
            except ConnectionRefusedError:
                path.unlink()
