"""Decide whether `allow` and `deny` turn a client away: the first that fits does (ngx_stream_access_module.c)."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from exodus_certbot.nginx.config import Directive


@dataclass(frozen=True, slots=True)
class Rule:
    """Hold one `allow` or `deny`: `all`, `unix:`, or the network that it means."""

    is_denied: bool
    whom: str


def rules_of(block: Iterable[Directive]) -> tuple[Rule, ...]:
    """List the rules of one block in their order."""
    written = (directive for directive in block if directive.name in ("allow", "deny") and directive.args)
    return tuple(Rule(directive.name == "deny", directive.args[0]) for directive in written)


def denies(rules: Iterable[Rule], source: str) -> bool:
    """Tell whether the rules certainly turn away who comes from `source`, an address or `unix:`."""
    if not source:
        return False
    return next((rule.is_denied for rule in rules if _fits(rule.whom, source)), False)


def _fits(whom: str, source: str) -> bool:
    if whom == "all" or whom == source:
        return True
    try:
        # nginx only warns of low bits that mean nothing.
        return ipaddress.ip_address(source) in ipaddress.ip_network(whom, strict=False)
    except (ValueError, TypeError):
        return False
