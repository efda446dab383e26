"""The story of this package: make nginx serve what is on disk, and prove it. `check` is its first half."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from exodus_certbot import company, comparing, decide, kept, reach, renewals
from exodus_certbot.certbot import lineage
from exodus_certbot.errors import NginxError, ReloadFailed, TimeUp
from exodus_certbot.inventory import Inventory, Run, take_inventory
from exodus_certbot.model import Expectation, Overall, Report
from exodus_certbot.nginx import loaded, master, reload
from exodus_certbot.nginx.program import Nginx
from exodus_certbot.server_names import is_covered
from exodus_certbot.settings import Settings, state_dir
from exodus_certbot.tls import prove
from exodus_certbot.weighing import Weighed
from exodus_common import lock
from exodus_common.clock import Clock
from exodus_common.render import printable

_log = logging.getLogger(__name__)


def check(settings: Settings, clock: Clock, environ: Mapping[str, str]) -> Report:
    """Compare what every listener serves with what is on disk; change nothing."""
    run = Run.begin(settings, clock)
    inventory = take_inventory(run, run.find_nginx())
    seen = prove.observe(inventory.expected, run.ask, run.deadline, crowds=company.crowds(inventory))
    run, windows = renewals.asked(run, inventory.expected, environ)
    judged = run.judge(inventory.expected, seen.observations)
    report = _report(inventory, judged, inventory.problem or _too_little_seen(run, seen))
    if unread := _count_unread(inventory, judged):
        late = f"{unread} that nobody can be asked for changed since nginx read it; run: exodus-certbot reconcile"
        report = replace(report, reason=f"{report.reason}; {late}")
    if inventory.untried is not None:
        report = replace(report, reason=f"{report.reason}; {inventory.untried}")
    return replace(report, renewals=windows)


def reconcile(settings: Settings, clock: Clock, environ: Mapping[str, str]) -> Report:
    """Reload nginx where any listener serves another certificate than the one on disk, and prove the repair."""
    program = Run.begin(settings, clock).find_nginx()
    with _one_at_a_time(program, settings, clock, environ):
        run = Run.begin(settings, clock)
        inventory = take_inventory(run, program)
        run = renewals.remembered(run, inventory.expected, environ)
        return _bring_in_line(run, inventory, inventory.expected, decide.needs_reload)


def deploy(settings: Settings, lineages: Sequence[Path], clock: Clock, environ: Mapping[str, str]) -> Report:
    """Have nginx serve lineages that were just renewed, and prove it; one that nginx does not use is no fault."""
    settings = replace(settings, certbot_dir=settings.certbot_dir or lineage.certbot_dir_of(lineages[0]))
    first = Run.begin(settings, clock)
    ours = [lineage.open_lineage(folder, first.certbot_dir) for folder in lineages]
    program = first.find_nginx()
    with _one_at_a_time(program, settings, clock, environ):
        run = Run.begin(settings, clock)
        inventory = take_inventory(run, program)
        scope = [expectation for expectation in inventory.expected if _concerns(expectation, ours)]
        if not scope and inventory.is_known:
            names = ", ".join(printable(str(one.folder)) for one in ours)
            return Report(Overall.OK, f"nginx does not use {names}: nothing to do", reloaded=False, listeners=())
        run = renewals.remembered(run, inventory.expected, environ)
        report = _bring_in_line(run, inventory, scope, decide.needs_deployment)
        served = {row.lineage for row in report.listeners if row.served_sha256 is not None}
        return _warned(report, reach.nobody_gets(scope, [one.folder for one in ours if one.folder not in served]))


def _warned(report: Report, warnings: Sequence[str]) -> Report:
    if not warnings:
        return report
    verdict = decide.worst((report.verdict, Overall.WARNING))
    return replace(report, verdict=verdict, reason="; ".join((report.reason, *warnings)))


def _bring_in_line(
    run: Run, inventory: Inventory, scope: Sequence[Expectation], why: Callable[[Sequence[decide.Judged], int], str]
) -> Report:
    """Validate, reload, prove: do nothing where all is right, and change nothing where anything would get worse."""
    before = prove.observe(inventory.expected, run.ask, run.deadline, crowds=company.crowds(inventory))
    everything = run.judge(inventory.expected, before.observations)
    wanted = set(scope)
    judged = [item for item in everything if item.expectation in wanted]
    _log.info("asked for %d names at listeners: %s", len(judged), decide.summary([item.row for item in judged]))
    reason = why(judged, _count_unread(inventory, judged))
    # A reload loads every certificate there is, not only those in scope.
    weighed = comparing.weighed(run, everything, judged) if reason else Weighed()
    problem = inventory.problem or (_time_up(run) if reason else _too_little_seen(run, before))
    if not reason or weighed.against or problem or inventory.master is None:
        return _said_unproven(_report(inventory, judged, problem, weighed.against), judged)
    _log.info("reloading nginx (master %d): %s", inventory.master.pid, reason)
    try:
        reload.reload(inventory.master, inventory.error_logs, run.deadline)
    except ReloadFailed as failure:
        late = prove.observe(scope, run.ask, run.deadline).or_earlier(before.observations)
        return _report(inventory, run.judge(scope, late.observations), failure)
    _log.info("new workers run; asking until all is right at once")
    seen = prove.prove(scope, run.ask, run.deadline, before.observations, company.crowds(inventory))
    after = run.judge(scope, seen.observations)
    proven = _said_unproven(_report(inventory, after, _too_little_seen(run, seen)), after)
    told = "; ".join(filter(None, (proven.reason, kept.explained(judged, after, inventory.nginx.version))))
    said = f"reloaded nginx ({reason} before); asked again: {told}"
    return _said_in_spite(replace(proven, reloaded=True, reason=said), weighed)


def _count_unread(inventory: Inventory, judged: Sequence[decide.Judged]) -> int:
    """Count what nobody can be asked for and nginx has not read since it was changed."""
    sources = {item.expectation.pair.source for item in judged if item.expectation.pair and reach.is_unseen(item)}
    if inventory.master is None or not sources:
        return 0
    began_at = loaded.began_at(master.workers(inventory.master.process))
    return sum(began_at is not None and loaded.changed_at((one.certificate, one.key)) > began_at for one in sources)


def _said_unproven(report: Report, judged: Sequence[decide.Judged]) -> Report:
    return replace(report, reason="; ".join(filter(None, (report.reason, reach.unproven(judged)))))


def _said_in_spite(report: Report, weighed: Weighed) -> Report:
    """Have a person see to what was loaded though it is worse."""
    if not weighed.in_spite_of:
        return report
    return replace(report, verdict=Overall.CRITICAL, reason=f"{report.reason}; {weighed.in_spite_of}")


def _time_up(run: Run) -> TimeUp | None:
    """Begin no reload that could not be watched to its end."""
    if not run.deadline.is_past():
        return None
    seconds = run.settings.timeout_seconds
    return TimeUp(f"{seconds:g} s were not enough to ask all listeners; nothing was changed; allow more with --timeout")


def _too_little_seen(run: Run, seen: prove.Seen) -> TimeUp | None:
    """Call nothing right that was not asked often enough."""
    if not seen.lacks_time:
        return None
    seconds = run.settings.timeout_seconds
    return TimeUp(f"{seconds:g} s were not enough to see all answers right at once; allow more with --timeout")


def _report(
    inventory: Inventory, judged: Sequence[decide.Judged], problem: NginxError | None, faults: Sequence[str] = ()
) -> Report:
    rows = tuple(item.row for item in judged)
    verdict, reasons = decide.overall(rows), []
    if problem is not None:
        verdict = decide.worst((verdict, problem.verdict))
        reasons.append(str(problem))
    if faults:
        verdict = Overall.CRITICAL
        reasons.append("nginx was not reloaded and keeps what it serves, since " + "; ".join(faults))
    said = "; ".join((*(reasons or [decide.summary(rows)]), *company.named(inventory, judged)))
    return Report(verdict, said, reloaded=False, listeners=rows)


def _concerns(expectation: Expectation, ours: Sequence[lineage.Lineage]) -> bool:
    """Tell whether a lineage stands behind an expectation, or may stand behind a variable there."""
    if expectation.pair is not None:
        return any(expectation.pair.lineage == one.folder for one in ours)
    sni = expectation.service.sni
    if sni is None:
        return not expectation.not_probed and any(source.computed for source in expectation.service.sources)
    return any(is_covered(sni, one.names) for one in ours)


def _one_at_a_time(
    program: Nginx, settings: Settings, clock: Clock, environ: Mapping[str, str]
) -> AbstractContextManager[None]:
    """Let one run at a time reload one nginx; another waits, and then finds that nothing is left to do."""
    which = sha256(os.path.realpath(program.conf).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    path = state_dir(environ) / f"nginx-{which}.lock"
    return lock.held(path, wait_seconds=settings.timeout_seconds, clock=clock)
