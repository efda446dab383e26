"""Find names that clients may ask for where the configuration does not say them: in files, and in certificates."""

import re
from collections.abc import Iterator

from exodus_certbot.nginx import variables
from exodus_certbot.nginx.servers import Machine, Server, full_path
from exodus_certbot.server_names import INVENTED_LABEL, is_covered, is_host_name

_MAGIC = re.compile(r"[*?\[\]\\]")


def of_path(server: Server, machine: Machine) -> list[str]:
    """List the names for which each file of a server exists, where `$ssl_server_name` alone says which file it is.

    A certificate that lacks the name means that no client is led to it; one that cannot be read is to be seen.
    """
    names: set[str] | None = None
    for source in server.sources:
        certificate, key = (variables.with_server_name(text, server.names) for text in (source.certificate, source.key))
        for text in (certificate, key):
            if "$" in text:
                found = set(_names_of(text, machine))
                names = found if names is None else names & found
        names = {name for name in names or () if _is_for(certificate, name, machine)}
    return sorted(names or ())


def _names_of(text: str, machine: Machine) -> Iterator[str]:
    """List the names that a path has in place of the variable, of all files that fit."""
    pieces = variables.pieces_around_name(text)
    if pieces is None:
        return
    first = pieces[0] or f"{machine.conf_prefix.rstrip('/')}/"
    literal = [re.escape(piece) for piece in (first, *pieces[1:])]
    path = re.compile(literal[0] + "([^/]+)" + r"\1".join(literal[1:]), re.DOTALL)
    for file in machine.matches("*".join(_MAGIC.sub(r"\\\g<0>", piece) for piece in (first, *pieces[1:]))):
        found = path.fullmatch(file)
        if found and is_host_name(found[1]) and "." in found[1]:
            yield found[1]


def _is_for(certificate: str, name: str, machine: Machine) -> bool:
    names = machine.names_in(full_path(variables.with_name(certificate, name), machine))
    return names is None or is_covered(name, names)


def of_certificate(server: Server, machine: Machine) -> Iterator[str]:
    """Give the names that a server's certificates are for; for a wildcard one that it stands for."""
    for source in server.sources:
        if not source.computed:
            for name in machine.names_in(source.certificate) or ():
                concrete = INVENTED_LABEL + name[1:] if name.startswith("*.") else name
                if is_host_name(concrete.lower()):
                    yield concrete.lower()
