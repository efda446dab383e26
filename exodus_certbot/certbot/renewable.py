"""Decide whether certbot's next renewal of a lineage can succeed at all."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from exodus_certbot.certbot.plan import Plan
from exodus_certbot.findings import Finding, critical, ok, warning

_PORT = "80"


@dataclass(frozen=True, slots=True)
class Machine:
    """Hold what renewals meet: TCP ports on which somebody listens, and the scripts of certbot's folders of hooks."""

    held_ports: Collection[int] = ()
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


def _port(plan: Plan, machine: Machine, subject: str) -> Iterator[Finding]:
    pre_hook, post_hook = (plan.settings.get(f"{kind}_hook", "") for kind in ("pre", "post"))
    port = plan.settings.get("http01_port", _PORT)
    is_standalone = plan.settings.get("authenticator") == "standalone"
    is_held = is_standalone and port.isdecimal() and int(port[:9]) in machine.held_ports
    before, after = pre_hook or _shown(machine.pre_scripts), post_hook or _shown(machine.post_scripts)
    if is_held and not before:
        yield critical(
            subject,
            f"authenticator standalone listens on port {port} itself, and somebody else does: no renewal can succeed",
            f"{_by_webroot(plan)}\n"
            f"or in {plan.file.path}, below [renewalparams]:\n"
            "pre_hook = systemctl stop nginx\npost_hook = systemctl start nginx",
        )
    elif is_held:
        yield ok(subject, f"uncertain until it is run: port {port} is held, and freed by its pre-hook ({before})")
    if "stop" in pre_hook and not after:
        message = f"its pre_hook ({pre_hook}) stops what no post_hook starts again"
        yield warning(subject, message, f"in {plan.file.path}, below [renewalparams]:\npost_hook = COMMAND")


def _shown(scripts: tuple[Path, ...]) -> str:
    return ", ".join(str(script) for script in scripts)


def _by_webroot(plan: Plan) -> str:
    """Give the command for another authenticator; certbot forgets an installer that is not named again."""
    installer = plan.settings.get("installer")
    same = f" --installer {installer}" if installer else ""
    return f"certbot certonly --cert-name {plan.file.name} --webroot --webroot-path DIR{same} --force-renewal"
