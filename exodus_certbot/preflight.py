"""The story of `preflight`: before a renewal, find out whether nginx would answer the CA's HTTP-01 challenge."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

from exodus_certbot import renewals
from exodus_certbot.acme import challenge, http01, resolver, routing, webroot
from exodus_certbot.acme.challenge import Target
from exodus_certbot.acme.challenge_file import LinkOfOthers
from exodus_certbot.certbot import lineage, plans, renewal_files
from exodus_certbot.certbot import program as certbot_program
from exodus_certbot.certbot.renewal_files import RenewalFile
from exodus_certbot.errors import NginxError
from exodus_certbot.findings import Finding, critical, ok, warning
from exodus_certbot.inventory import Run
from exodus_certbot.nginx import files, master, reachable, trial
from exodus_certbot.nginx import program as nginx
from exodus_certbot.nginx.config import ConfigUnreadable, Directive
from exodus_certbot.nginx.http_listener import CA_PORT, HttpListener, listener_for, secure_port
from exodus_certbot.nginx.servers import Machine
from exodus_certbot.settings import Settings, is_folder
from exodus_certbot.tls import x509
from exodus_common.clock import Clock, Deadline
from exodus_common.errors import ExodusError

_LONGEST_ANSWER_SECONDS = 10.0  # with all redirects, however slowly it comes


def preflight(
    settings: Settings, clock: Clock, names: Sequence[str], folder: Path | None, environ: Mapping[str, str]
) -> tuple[Finding, ...]:
    """Answer a challenge of our own for each name, or for every name that certbot renews through a webroot.

    `folder` takes the place of the webroots that certbot knows.
    """
    run = Run.begin(settings, clock)
    if not names and not is_folder(run.certbot_dir):
        message = f"no certbot here: {run.certbot_dir} does not exist"
        return (warning("certbot", message, "name its folder with --certbot-dir, or names and --webroot"),)
    targets, findings = _targets(renewal_files.all_in(run.certbot_dir), names, folder)
    if folder is None:  # else somebody tries what certbot is not yet told
        findings += _prospects(run, {name.lower() for name in names}, environ)
    for place in dict.fromkeys(target.webroot for target in targets):
        findings += webroot.findings_of(place, webroot.mounts())
    program = run.find_nginx()
    try:
        running = master.find_master(program, run.deadline)
        untried = trial.try_configuration(running, run.deadline)
        found = files.read(running.nginx.conf)
        apart = reachable.why_unasked(running, settings.connect) or reachable.why_unseen(running, found.paths)
        if apart is not None:
            raise apart
    except (NginxError, ConfigUnreadable) as problem:
        return (*findings, critical("nginx", str(problem), "mend that first: the renewal would fail as well"))
    findings.append(trial.finding_of(running.nginx, untried))
    machine = nginx.machine_of(running.nginx, settings.connect)
    for target in targets:
        findings += _findings_of(run, found.tree, machine, target)
    return tuple(findings)


def _prospects(run: Run, names: Set[str], environ: Mapping[str, str]) -> Iterator[Finding]:
    """Judge what certbot does before it asks for a challenge, as `doctor` does."""
    made = plans.made(run.certbot_dir, certbot_program.python_of_certbot(environ), environ)
    chosen = [plan for plan in made.plans if not names or names & set(_names(plan.file))]
    yield from renewals.prospects(run, replace(made, plans=tuple(chosen)))


def _findings_of(run: Run, tree: Iterable[Directive], machine: Machine, target: Target) -> Iterator[Finding]:
    if target.name.startswith("*."):
        proof = "HTTP-01 cannot prove a wildcard (RFC 8555, section 7.1.3)"
        yield critical(target.name, proof, "use a DNS authenticator")
        return
    yield from _dns(target.name, told_where=run.settings.connect is not None)
    listener = listener_for(target.name, tree, machine)
    if listener is None:
        message = "nginx has no server that speaks plain HTTP"
        yield critical(target.name, message, challenge.lines(target, f"listen {CA_PORT};"))
    else:
        yield from challenge.judge_port(target, listener)
        yield _asked(run, target, listener, secure_port(tree, machine))


def _asked(run: Run, target: Target, listener: HttpListener, tls_port: int) -> Finding:
    seconds, connect = min(run.deadline.remaining_seconds(), _LONGEST_ANSWER_SECONDS), run.settings.connect
    listener = routing.of_the_address(target.name, listener, connect)
    route = routing.route_of(target.name, listener, tls_port, connect)
    try:
        return challenge.judge(target, listener, http01.ask(target, route, Deadline.after(seconds, run.clock)))
    except LinkOfOthers as problem:
        remedy = f"make folders of root's in its place, and: chown root {target.webroot}"
        return critical(target.name, f"not asked, since root would write where others like: {problem}", remedy)


def _dns(name: str, *, told_where: bool) -> Iterator[Finding]:
    """Look where a name leads; somebody who said where to ask (`--connect`) knows better than our resolver."""
    addresses = resolver.addresses_of(name)
    if addresses is None:
        yield warning(
            name, "this machine's resolver does not answer", "mend /etc/resolv.conf: certbot needs it as well"
        )
    elif not addresses:
        severity = warning if told_where else critical
        yield severity(name, "does not resolve: the CA cannot find it", "add an A or AAAA record, or drop the name")
    elif not told_where and not any(resolver.is_ours(address) for address in addresses):
        yield warning(
            name,
            f"resolves to {', '.join(addresses)}, none of which is an address of this machine",
            "the CA asks there: see that it ends here (NAT, load balancer), or mend the DNS",
        )


def _targets(
    files: Sequence[RenewalFile], names: Sequence[str], folder: Path | None
) -> tuple[list[Target], list[Finding]]:
    """Say whom to ask for, and name what HTTP-01 through a webroot has no part in."""
    known = {target.name: target for file in files for target in _renewed(file)}
    if not names:
        others = [file for file in files if file.authenticator != "webroot"]
        passed_over = [ok(file.name, f"renewed by {file.authenticator}: no webroot to look at") for file in others]
        return [Target(target.name, folder or target.webroot) for target in known.values()], passed_over
    asked = [routing.written(name) for name in names]
    lost = [name for name in asked if not folder and name not in known]
    findings = [critical(name, "no webroot is known for it", "name one with --webroot DIR") for name in lost]
    return [Target(name, folder or known[name].webroot) for name in asked if name not in lost], findings


def _renewed(file: RenewalFile) -> Iterator[Target]:
    """Give the names of a lineage with their webroots, as certbot keeps them."""
    if file.authenticator != "webroot":
        return
    common = file.params.get("webroot_path", "").split(",")[0].strip()
    for name in _names(file):
        place = file.webroots.get(name, common)
        if place:
            yield Target(name, Path(place))


def _names(file: RenewalFile) -> tuple[str, ...]:
    try:
        return x509.leaf_of_pem(lineage.read_bytes(file.live / "cert.pem")).names
    except ExodusError:
        return tuple(file.webroots)
