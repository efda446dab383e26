"""Find out what should be served and what is: the half of every story that changes nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from exodus_certbot import decide
from exodus_certbot.ages import Renewal
from exodus_certbot.asked_once import asked_once
from exodus_certbot.certbot import on_disk
from exodus_certbot.certbot.lineage import CertificateFiles
from exodus_certbot.errors import NginxApart, NginxConfigInvalid, NginxError, NginxNotRunning, NginxUnclear
from exodus_certbot.exceptions import excepting
from exodus_certbot.expect import expectations
from exodus_certbot.model import CertificateSource, Expectation, Observation
from exodus_certbot.nginx import files, master, reachable, trial
from exodus_certbot.nginx import program as nginx
from exodus_certbot.nginx.acting import Untried
from exodus_certbot.nginx.config import ConfigUnreadable
from exodus_certbot.nginx.files import OnDisk
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

    `is_known` tells that the configuration could be read, so that what is not in it is not served; `untried` why nginx
    could not be asked whether it accepts it.
    """

    nginx: Nginx
    master: Master | None
    error_logs: tuple[str, ...]
    expected: tuple[Expectation, ...]
    problem: NginxError | None
    is_known: bool
    untried: Untried | None = None


def take_inventory(run: Run, program: Nginx) -> Inventory:
    """Find out what nginx is configured to serve and which certificates are on disk for it; change nothing."""
    running, problem, untried = _master(program, run)
    program = program if running is None else running.nginx
    found, is_known = _configuration(program, problem)
    services = discover(found.tree, nginx.machine_of(program, run.settings.connect))
    if running is not None:
        services = tuple(reachable.from_its_folder(service, running) for service in services)
    certificates = CertificateFiles(run.certbot_dir)
    pairs = {source: certificates.pair(source) for service in services for source in service.sources}
    if running is not None:
        problem = reachable.why_unseen(running, _paths(found, pairs)) or problem or _denied(certificates)
    now = run.clock.now()
    every = expectations(
        services,
        pairs,
        lambda service: suites.key_types(service.suites),
        cache(lambda pair: on_disk.earlier_key_types(pair, now)),
    )
    expected = asked_once(excepting(run.settings.except_listeners, every))
    logs = nginx.error_logs(program, found.tree)
    if isinstance(problem, NginxApart):
        running, expected = None, tuple(_unasked(one) for one in expected)
    return Inventory(program, running, logs, expected, problem, is_known and _is_sound(problem), untried)


def _master(program: Nginx, run: Run) -> tuple[Master | None, NginxError | None, Untried | None]:
    """Find the master, and have nginx judge its configuration; what is served can be shown all the same."""
    running = None
    try:
        running = master.find_master(program, run.deadline)
        untried = trial.try_configuration(running, run.deadline)
    except (NginxNotRunning, NginxUnclear, NginxConfigInvalid) as problem:
        return running, problem, None
    return running, reachable.why_unasked(running, run.settings.connect), untried


def _configuration(program: Nginx, problem: NginxError | None) -> tuple[OnDisk, bool]:
    """Read the files; what we cannot read is our own failure, unless nginx cannot either."""
    try:
        found = files.read(program.conf)
    except ConfigUnreadable:
        if problem is None:
            raise
        return OnDisk((), (), ()), False
    if found.problems and problem is None:
        raise found.problems[0]
    return found, True


def _paths(found: OnDisk, sources: Iterable[CertificateSource]) -> Iterator[str]:
    """List the files that nginx reads for what it serves."""
    yield from found.paths
    for source in sources:
        yield from (path for path in (source.certificate, source.key) if path.startswith("/") and "$" not in path)


def _denied(certificates: CertificateFiles) -> NginxError | None:
    """Call nothing right that could be compared with nothing, where another user could."""
    return NginxError(certificates.denied[0]) if certificates.denied else None


def _unasked(expectation: Expectation) -> Expectation:
    """Have nobody asked in place of an nginx that is not to be reached from here."""
    return replace(expectation, not_probed=expectation.not_probed or "this nginx is apart from us: nobody was asked")


def _is_sound(problem: NginxError | None) -> bool:
    """Tell whether what is read is what nginx would serve: it rejects the whole of what it rejects."""
    return not isinstance(problem, NginxConfigInvalid | NginxApart)
