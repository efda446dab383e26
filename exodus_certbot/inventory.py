"""Find out what should be served and what is: the half of every story that changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from exodus_certbot import decide
from exodus_certbot.ages import Renewal
from exodus_certbot.asked_once import asked_once
from exodus_certbot.certbot import on_disk
from exodus_certbot.certbot.lineage import CertificateFiles
from exodus_certbot.errors import NginxConfigInvalid, NginxError, NginxNotRunning, NginxUnclear
from exodus_certbot.exceptions import excepting
from exodus_certbot.expect import expectations
from exodus_certbot.model import Expectation, Observation
from exodus_certbot.nginx import files, master, trial
from exodus_certbot.nginx import program as nginx
from exodus_certbot.nginx.config import ConfigUnreadable, Directive
from exodus_certbot.nginx.listeners import discover
from exodus_certbot.nginx.master import Master
from exodus_certbot.nginx.program import Nginx
from exodus_certbot.settings import DEFAULT_CERTBOT_DIR, Settings
from exodus_certbot.tls import served, suites
from exodus_common.clock import Clock, Deadline


@dataclass(frozen=True, slots=True)
class Run:
    """Hold what one run has to work with; its deadline is for everything it does.

    `renewals` map the lineages that certbot renews to the rule by which it does.
    """

    settings: Settings
    clock: Clock
    deadline: Deadline
    renewals: Mapping[Path, Renewal] = field(default_factory=dict)

    @classmethod
    def begin(cls, settings: Settings, clock: Clock) -> "Run":
        """Start the time that `timeout_seconds` allows."""
        return cls(settings, clock, Deadline.after(settings.timeout_seconds, clock))

    @property
    def certbot_dir(self) -> Path:
        """Give certbot's configuration folder."""
        return self.settings.certbot_dir or DEFAULT_CERTBOT_DIR

    def find_nginx(self) -> Nginx:
        """Find the nginx that the settings mean."""
        return nginx.find_nginx(self.settings.nginx, self.settings.nginx_conf, self.deadline)

    def ask(self, expectation: Expectation, times: int, timeout_seconds: float) -> Sequence[Observation]:
        """Make the handshakes that show what is served where something is expected, none after one that fails."""
        return served.ask_again(served.Question.of(expectation), times, timeout_seconds)

    def judge(
        self, scope: Sequence[Expectation], observations: Mapping[Expectation, Observation]
    ) -> list[decide.Judged]:
        """Judge everything in scope at one and the same moment."""
        now, warn_days = self.clock.now(), self.settings.warn_days
        every = (decide.judge(item, observations.get(item), now, warn_days, self.renewal_of(item)) for item in scope)
        return [item for item in every if not item.is_over]

    def renewal_of(self, expectation: Expectation) -> Renewal | None:
        """Give the rule by which certbot renews what is expected."""
        lineage = expectation.pair.lineage if expectation.pair else None
        return self.renewals.get(lineage) if lineage else None


@dataclass(frozen=True, slots=True)
class Inventory:
    """Hold what nginx is configured to serve, and `problem` where it could not load that configuration now.

    `is_known` tells that the configuration could be read, so that what is not in it is not served.
    """

    nginx: Nginx
    master: Master | None
    error_logs: tuple[str, ...]
    expected: tuple[Expectation, ...]
    problem: NginxError | None
    is_known: bool


def take_inventory(run: Run, program: Nginx) -> Inventory:
    """Find out what nginx is configured to serve and which certificates are on disk for it; change nothing."""
    running, problem = _master(program, run.deadline)
    program = program if running is None else running.nginx
    tree, is_known = _configuration(program, problem)
    services = discover(tree, nginx.machine_of(program, run.settings.connect))
    certificates = CertificateFiles(run.certbot_dir)
    pairs = {source: certificates.pair(source) for service in services for source in service.sources}
    now = run.clock.now()
    every = expectations(
        services,
        pairs,
        lambda service: suites.key_types(service.suites),
        cache(lambda pair: on_disk.earlier_key_types(pair, now)),
    )
    expected = asked_once(excepting(run.settings.except_listeners, every))
    logs = nginx.error_logs(program, tree)
    return Inventory(program, running, logs, expected, problem, is_known and _is_sound(problem))


def _master(program: Nginx, deadline: Deadline) -> tuple[Master | None, NginxError | None]:
    """Find the master, and have nginx judge its configuration; what is served can be shown all the same."""
    running = None
    try:
        running = master.find_master(program)
        trial.try_configuration(running, deadline)
    except (NginxNotRunning, NginxUnclear, NginxConfigInvalid) as problem:
        return running, problem
    return running, None


def _configuration(program: Nginx, problem: NginxError | None) -> tuple[tuple[Directive, ...], bool]:
    """Read the files; what we cannot read is our own failure, unless nginx cannot either."""
    try:
        found = files.read(program.conf)
    except ConfigUnreadable:
        if problem is None:
            raise
        return (), False
    if found.problems and problem is None:
        raise found.problems[0]
    return found.tree, True


def _is_sound(problem: NginxError | None) -> bool:
    """Tell whether what is read is what nginx would serve: it rejects the whole of what it rejects."""
    return not isinstance(problem, NginxConfigInvalid)
