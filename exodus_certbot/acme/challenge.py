"""Decide what an answer to our own HTTP-01 challenge says about the CA's."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exodus_certbot.findings import Finding, critical, ok, warning
from exodus_certbot.nginx.http_listener import CA_PORT, HttpListener

FOLDER = ".well-known/acme-challenge"
_OK, _FORBIDDEN = 200, 403


@dataclass(frozen=True, slots=True)
class Target:
    """Pair a name with the webroot that certbot puts its challenges into."""

    name: str
    webroot: Path


@dataclass(frozen=True, slots=True)
class Answer:
    """Report one challenge: whether acme verified it, and otherwise what the web server answered.

    `status` is the HTTP status at `url`, after redirects; None where there was no answer, and `problem` says why.
    """

    verified: bool
    url: str
    status: int | None = None
    problem: str = ""


def judge(target: Target, listener: HttpListener, answer: Answer) -> Finding:
    """Say whether a CA would be content, and otherwise which lines it takes."""
    if answer.verified:
        return ok(target.name, f"a challenge in {target.webroot} was answered, and acme verified it")
    asked = f"{answer.url} (asked at {listener.shown})"
    if answer.status is None:
        return critical(target.name, f"{asked}: {answer.problem}", lines(target))
    if answer.status == _OK:
        return critical(target.name, f"{asked} is answered, but not from {target.webroot}/{FOLDER}", lines(target))
    if answer.status == _FORBIDDEN:
        return critical(target.name, f"{asked} gives 403: closed, or nginx's workers may not read it", _open(target))
    return critical(target.name, f"{asked} gives {answer.status}: not from {target.webroot}/{FOLDER}", lines(target))


def judge_port(target: Target, listener: HttpListener) -> Iterator[Finding]:
    """Warn of a listener that no CA asks by itself (RFC 8555, section 8.3)."""
    if listener.port != CA_PORT:
        yield warning(
            target.name,
            f"nginx answers on port {listener.port}, and CAs ask port {CA_PORT}",
            f"see that port {CA_PORT} is forwarded to {listener.port}, or: listen {CA_PORT};",
        )


def lines(target: Target, *more: str) -> str:
    """Give the lines of nginx's configuration with which a challenge is answered."""
    location = f"location ^~ /{FOLDER}/ {{ root {target.webroot}; }}"
    return "\n".join([f"in nginx's server for {target.name} on port {CA_PORT}:", *more, location])


def _open(target: Target) -> str:
    return f"let nginx's user read it: chmod o+rx {target.webroot}, and the folders above it; or\n{lines(target)}"
