"""Decide whether certbot's next renewal of a lineage can succeed at all."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from exodus_certbot.certbot.plan import Plan
from exodus_certbot.findings import Finding, critical, ok, warning

HELD = "somebody else does"
_PORT = 80


@dataclass(frozen=True, slots=True)
class Machine:
    """Hold what renewals meet: the scripts of certbot's folders of hooks, and who listens.

    `why_not_listen` says why nobody else can at an address and port; `HELD` where somebody does.
    """

    why_not_listen: Callable[[str, int], str] = lambda address, port: ""
    pre_scripts: tuple[Path, ...] = ()
    post_scripts: tuple[Path, ...] = ()


def findings_of(plan: Plan, machine: Machine) -> Iterator[Finding]:
    """Say what keeps certbot from renewing a lineage, or leaves it uncertain."""
    subject = f"lineage {plan.file.name}"
    if plan.problem:
        see = f"mend {plan.file.path}; see: certbot renew --cert-name {plan.file.name} --dry-run"
        yield critical(subject, f"certbot passes over it: {plan.problem}", plan.remedy or see)
        return
    yield from _settings(plan, subject)
    yield from _authenticator(plan, subject)
    yield from _hooks(plan, subject)
    yield from _port(plan, machine, subject)


def _settings(plan: Plan, subject: str) -> Iterator[Finding]:
    if plan.settings.get("autorenew", "True").lower() == "false":
        yield warning(subject, "autorenew is false: certbot never renews it", f"take that line out of {plan.file.path}")
    if not plan.has_account:
        account, server = plan.settings.get("account", ""), plan.file.params.get("server", "URL")
        yield critical(
            subject,
            f"its account {account} at {server} is not there: certbot cannot ask for a certificate",
            f"where there is no other one: certbot register --server {server}\n"
            f"then take the line `account = {account}` out of {plan.file.path}",
        )


def _authenticator(plan: Plan, subject: str) -> Iterator[Finding]:
    authenticator = plan.settings.get("authenticator", "")
    another = _by_webroot(plan)
    if not plan.known:
        message = f"this certbot has no authenticator {authenticator}: no renewal can succeed"
        yield critical(subject, message, f"install certbot's plugin {authenticator}, or take another: {another}")
    if authenticator == "manual" and not plan.settings.get("manual_auth_hook"):
        message = "authenticator manual without an auth hook: certbot waits for a person, and fails where there is none"
        yield critical(subject, message, f"{another}\nor the same with --manual --manual-auth-hook COMMAND")


def _hooks(plan: Plan, subject: str) -> Iterator[Finding]:
    for option, fault in plan.faults.items():
        # certbot 5.3 and newer has one name for both.
        written = "renew_hook" if option == "deploy_hook" and "renew_hook" in plan.file.params else option
        where = plan.file.path if written in plan.file.params else "cli.ini"
        mend = f"put it there and make it executable, or mend {written} in {where}"
        if option.startswith("manual_"):
            yield critical(subject, f"{fault}: no renewal can succeed", f"{mend}\nor: {_by_webroot(plan)}")
        else:
            yield warning(subject, f"its {written}: {fault}; certbot says so, and goes on as if it had run", mend)


def _port(plan: Plan, machine: Machine, subject: str) -> Iterator[Finding]:
    before, after = _command(plan, "pre_hook", machine.pre_scripts), _command(plan, "post_hook", machine.post_scripts)
    address, port = plan.settings.get("http01_address", ""), _number(plan.settings.get("http01_port", ""))
    is_standalone = plan.settings.get("authenticator") == "standalone"
    why_not = machine.why_not_listen(address, port) if is_standalone else ""
    place = f"{address}:{port}" if address else f"port {port}"
    if why_not == HELD and before:
        yield ok(subject, f"uncertain until it is run: {place} is held, and freed by its pre-hook ({before})")
    elif why_not:
        message = f"authenticator standalone listens on {place} itself, and {why_not}: no renewal can succeed"
        yield critical(subject, message, _instead(plan, is_held=why_not == HELD))
    pre_hook = plan.settings.get("pre_hook", "")
    if "stop" in plan.command("pre_hook") and not after:
        message = f"its pre_hook ({pre_hook}) stops what no post_hook starts again"
        yield warning(subject, message, f"in {plan.file.path}, below [renewalparams]:\npost_hook = COMMAND")


def _instead(plan: Plan, *, is_held: bool) -> str:
    lines = (
        "pre_hook = systemctl stop nginx\npost_hook = systemctl start nginx"
        if is_held
        else "http01_port = 80\nand no http01_address"
    )
    return f"{_by_webroot(plan)}\nor in {plan.file.path}, below [renewalparams]:\n{lines}"


def _number(port: str) -> int:
    """Read certbot's port; a file that says otherwise is none that certbot accepts."""
    try:
        return int(port)
    except ValueError:
        return _PORT


def _command(plan: Plan, option: str, scripts: tuple[Path, ...]) -> str:
    return plan.command(option) or _shown(scripts)


def _shown(scripts: tuple[Path, ...]) -> str:
    return ", ".join(str(script) for script in scripts)


def _by_webroot(plan: Plan) -> str:
    """Give the command for another authenticator; certbot forgets an installer that is not named again."""
    installer = plan.settings.get("installer")
    same = f" --installer {installer}" if installer else ""
    return f"certbot certonly --cert-name {plan.file.name} --webroot --webroot-path DIR{same} --force-renewal"
