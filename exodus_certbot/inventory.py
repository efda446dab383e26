"""Find out what should be served and what is: the half of every story that changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exodus_certbot import decide
from exodus_certbot.asked_once import asked_once
from exodus_certbot.certbot.lineage import CertificateFiles
from exodus_certbot.errors import NginxConfigInvalid, NginxError, NginxNotRunning
from exodus_certbot.exceptions import excepting
from exodus_certbot.expect import expectations
from exodus_certbot.model import Expectation, Observation
from exodus_certbot.nginx import master
from exodus_certbot.nginx import program as nginx
from exodus_certbot.nginx.config import ConfigUnreadable, Directive
from exodus_certbot.nginx.listeners import discover
from exodus_certbot.nginx.master import Process
from exodus_certbot.nginx.program import Nginx
from exodus_certbot.settings import DEFAULT_CERTBOT_DIR, Settings
from exodus_certbot.tls import served
from exodus_common.clock import Clock, Deadline


@dataclass(frozen=True, slots=True)
class Run:
    """Hold what one run has to work with; its deadline is for everything it does."""

    settings: Settings
    clock: Clock
    deadline: Deadline

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

    def ask(self, expectation: Expectation, timeout_seconds: float) -> Observation:
        """Make the handshake that shows what is served where something is expected."""
        return served.ask(served.Question.of(expectation), timeout_seconds)

    def judge(
        self, scope: Sequence[Expectation], observations: Mapping[Expectation, Observation]
    ) -> list[decide.Judged]:
        """Judge everything in scope at one and the same moment."""
        now = self.clock.now()
        return [decide.judge(item, observations.get(item), now, self.settings.warn_days) for item in scope]


@dataclass(frozen=True, slots=True)
class Inventory:
    """Hold what nginx is configured to serve, and `problem` where it could not load that configuration now.

    `is_known` tells that the configuration could be read, so that what is not in it is not served.
    """

    nginx: Nginx
    master: Process | None
    error_logs: tuple[str, ...]
    expected: tuple[Expectation, ...]
    problem: NginxError | None
    is_known: bool


def take_inventory(run: Run, program: Nginx) -> Inventory:
    """Find out what nginx is configured to serve and which certificates are on disk for it."""
    running, tree, problem = _configuration(program, run.deadline)
    is_known = problem is None or (isinstance(problem, NginxNotRunning) and bool(tree))
    services = discover(tree, nginx.machine_of(program, run.settings.connect))
    files = CertificateFiles(run.certbot_dir)
    pairs = {source: files.pair(source) for service in services for source in service.sources}
    expected = asked_once(excepting(run.settings.except_listeners, expectations(services, pairs)))
    return Inventory(program, running, nginx.error_logs(program, tree), expected, problem, is_known)


def _configuration(
    program: Nginx, deadline: Deadline
) -> tuple[Process | None, tuple[Directive, ...], NginxError | None]:
    """Ask nginx; where it cannot answer, read the files, so that what is served can still be shown."""
    running = None
    try:
        running = master.find_master(program)
        return running, nginx.tested_configuration(program, deadline), None
    except (NginxNotRunning, NginxConfigInvalid) as problem:
        try:
            return running, nginx.configuration_on_disk(program), problem
        except ConfigUnreadable:
            return running, (), problem
