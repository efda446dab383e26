"""Look who else answers where our nginx does: how many, for a proof to meet them, and who, for a person to end them."""

from collections.abc import Iterable, Sequence

from exodus_certbot import decide
from exodus_certbot.inventory import Inventory
from exodus_certbot.model import Expectation
from exodus_certbot.nginx import strangers
from exodus_certbot.tls import prove


def crowds(inventory: Inventory) -> prove.Crowds:
    """Find out where somebody else is dealt connections: there it takes more questions to meet them for certain."""
    return strangers.crowds(inventory.master.process, _places(inventory.expected)) if inventory.master else {}


def named(inventory: Inventory, judged: Sequence[decide.Judged]) -> tuple[str, ...]:
    """Name who else accepts connections where something wrong is served: our nginx cannot mend what another serves."""
    if inventory.master is None:
        return ()
    return strangers.named(inventory.master.pid, _places(item.expectation for item in decide.wrong(judged)))


def _places(expectations: Iterable[Expectation]) -> tuple[strangers.Place, ...]:
    places = (one.service.listener.place for one in expectations)
    return tuple(dict.fromkeys(place for place in places if place is not None))
