"""Tell whether nginx is configured with a lineage, and for a person who has to do it, the exact lines."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from exodus_certbot.inventory import Inventory, Run, take_inventory
from exodus_certbot.model import Expectation
from exodus_certbot.nginx import files
from exodus_certbot.nginx import program as nginx
from exodus_certbot.nginx.config import Directive
from exodus_certbot.nginx.servers import servers_of
from exodus_certbot.server_names import is_address, is_covered
from exodus_certbot.settings import Settings
from exodus_common.clock import Clock
from exodus_common.render import printable


def missing_lines(settings: Settings, domain: str, fullchain: Path, clock: Clock) -> str:
    """Say which lines to add where so that nginx serves a domain with a lineage; nothing where it does.

    Raises `NginxError` where nginx's configuration cannot be known.
    """
    run = Run.begin(settings, clock)
    inventory = take_inventory(run, run.find_nginx())
    if inventory.problem is not None:
        raise inventory.problem
    of_domain = _answering(inventory.expected, domain)
    if any(item.pair is None or item.pair.lineage == fullchain.parent for item in of_domain):
        return ""
    return _advice(inventory, domain, fullchain, of_domain)


def _answering(expected: Iterable[Expectation], domain: str) -> list[Expectation]:
    """Select what answers for a domain: servers that name it, else wildcards, else what may by default."""
    asked = [item for item in expected if is_covered(item.service.name, (domain,))]
    wildcards = [item for item in expected if is_covered(domain, (item.service.name,))]
    named = [item for item in asked if item.service.name == domain]
    return named or wildcards or asked


def _advice(inventory: Inventory, domain: str, fullchain: Path, of_domain: list[Expectation]) -> str:
    tree = files.read(inventory.nginx.conf).tree
    places = [f"{block.file}:{block.line}" for block in _server_blocks(tree) if _names(block, domain)]
    where = f"the server block at {' and '.join(places)}" if places else f"a server block with `server_name {domain};`"
    lines = [f"ssl_certificate {fullchain};", f"ssl_certificate_key {fullchain.parent / 'privkey.pem'};"]
    others = dict.fromkeys(item.pair.source.shown for item in of_domain if item.pair)
    instead = f" (in place of ssl_certificate {', '.join(others)})" if others else ""
    if not of_domain:
        lines.insert(0, "listen 443 ssl;")
    return (
        printable(
            f"nginx does not serve {domain} with this certificate, and exodus-nginx changes no nginx file. "
            f"Add to {where}{instead}:"
        )
        + "".join(f"\n    {printable(line)}" for line in lines)
        + "\nthen run: exodus-certbot reconcile"
    )


def host_names(settings: Settings, clock: Clock) -> set[str]:
    """Give the host names that nginx is configured with, over TLS or not."""
    run = Run.begin(settings, clock)
    program = run.find_nginx()
    tree = files.read(program.conf).tree
    machine = nginx.machine_of(program, None)
    blocks = [block for block in tree if block.name == "http" and block.block is not None]
    names = {
        name.removeprefix(".") for block in blocks for server in servers_of(block, machine) for name in server.names
    }
    return {name for name in names if "." in name and not set(name) & set("~*$/ ") and not is_address(name)}


def _server_blocks(tree: Iterable[Directive]) -> Iterator[Directive]:
    for directive in tree:
        if directive.name == "server" and directive.block is not None:
            yield directive
        else:
            yield from _server_blocks(directive.block or ())


def _names(server: Directive, domain: str) -> bool:
    return any(domain in item.args for item in server.block or () if item.name == "server_name")
