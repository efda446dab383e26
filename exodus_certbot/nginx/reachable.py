"""Say why who asks or reads from here does not get what an nginx master has, and how to run us where it is."""

from collections.abc import Iterable
from dataclasses import replace

from exodus_certbot.errors import NginxApart
from exodus_certbot.model import Service
from exodus_certbot.nginx import mounts, proc
from exodus_certbot.nginx.master import Master
from exodus_certbot.nginx.running import entering
from exodus_common.render import printable


def why_unasked(master: Master, connect: str | None) -> NginxApart | None:
    """Say why who asks from here, asks another nginx, or nobody; None where this one answers."""
    if master.has_our_network or connect is not None:
        return None
    return NginxApart(
        f"the listeners of nginx's master {master.pid} are in a network namespace of its own, where nobody can be "
        f"asked from here: run {entering(master.pid)}, or name an address of it with --connect; "
        "nothing was changed"
    )


def why_unseen(master: Master, paths: Iterable[str]) -> NginxApart | None:
    """Say which files a master sees otherwise than we do; None where there are none."""
    found = mounts.unlike(master.pid, paths)
    if not found:
        return None
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return NginxApart(
        f"nginx's master {master.pid} is in a mount namespace of its own, where {printable(found[0])}{more} is not the "
        f"file that we see: run {entering(master.pid, its_mounts=True)}; nothing was changed"
    )


def from_its_folder(service: Service, master: Master) -> Service:
    """Ask at a socket with a relative path where nginx made it: in the folder that its master was started in."""
    listener = service.listener
    path = listener.address.removeprefix("unix:")
    if listener.port is not None or path.startswith("/") or listener.ask_address != listener.address:
        return service
    folder = proc.folder(master.pid)
    if folder is None:
        why = "its path is relative to where nginx was started, which is not to be seen by this user"
        return replace(service, not_probed=service.not_probed or why)
    return replace(service, listener=replace(listener, ask_address=f"unix:{folder.rstrip('/')}/{path}"))
