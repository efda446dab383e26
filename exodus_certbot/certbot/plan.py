"""What certbot is going to do with one lineage."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exodus_certbot.certbot.renewal_files import RenewalFile


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold how certbot renews a lineage, or the `problem` for which it passes over it, and its `remedy` where known.

    `settings` are what its renewal file, cli.ini and certbot's defaults give together; `known` tells whether certbot
    has its authenticator, `has_account` whether its account is there: True where that could not be asked. `faults` map
    the options of hooks whose programs are not there to what is wrong with them.
    """

    file: RenewalFile
    problem: str = ""
    remedy: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    known: bool = True
    has_account: bool = True
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def deploy_hook(self) -> str:
        """Give the command that certbot runs after a renewal; empty where its program is not there."""
        return self.command("deploy_hook") or self.command("renew_hook")

    def command(self, option: str) -> str:
        """Give the command of a hook; empty where there is none, or its program is not there."""
        return "" if option in self.faults else self.settings.get(option, "")
