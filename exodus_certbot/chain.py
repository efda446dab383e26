"""Values and rules for what follows a leaf: in which order, and valid from when to when."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class Order(IntEnum):
    """Rank the order of a chain: clients of old refuse a mixed one, and hardly any can complete a broken one."""

    IN_ORDER = 0
    MIXED = 1
    BROKEN = 2


@dataclass(frozen=True, slots=True)
class Link:
    """Describe one certificate of a chain; clients take no notice of a `self_issued` one, for they have their own."""

    subject: str
    not_before: datetime
    not_after: datetime
    self_issued: bool = False

    def is_valid(self, now: datetime) -> bool:
        """Tell whether clients that look at its dates accept it."""
        return self.self_issued or self.not_before <= now < self.not_after


@dataclass(frozen=True, slots=True)
class Chain:
    """Describe what a server sends, the leaf first; `disorder` says what RFC 5246 (section 7.4.2) has otherwise."""

    links: tuple[Link, ...]
    order: Order = Order.IN_ORDER
    disorder: str = ""

    def first_invalid(self, now: datetime) -> int | None:
        """Say how far from the leaf the first certificate is that clients refuse for its dates."""
        return next((far for far, link in enumerate(self.links) if not link.is_valid(now)), None)
