"""The door to HTTP-01 (RFC 8555, section 8.3): answer a challenge of our own through nginx, and have acme verify it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
from acme import challenges
from cryptography.hazmat.primitives.asymmetric import rsa
from josepy.jwk import JWKRSA

from exodus_certbot.acme.challenge import FOLDER, Answer, Target
from exodus_certbot.nginx.http_listener import HttpListener
from exodus_common.errors import ExodusError

_MOST_REDIRECTS = 10  # Let's Encrypt follows as many
_MOST_CHARACTERS = 200


def ask(target: Target, listener: HttpListener, timeout_seconds: float) -> Answer:
    """Put a challenge into a webroot, ask for it as a CA would, take it away again.

    The name is asked for at the listener's address whatever the DNS says; `timeout_seconds` is for each request.
    Raises `ExodusError` where the webroot cannot be written to.
    """
    challenge, key = challenges.HTTP01(token=os.urandom(32)), _new_key()
    response, content = challenge.response_and_validation(key)
    url = challenge.uri(target.name if listener.port == response.PORT else f"{target.name}:{listener.port}")
    seconds = max(1, round(timeout_seconds))
    with _file(target.webroot / FOLDER, challenge.encode("token"), content), _answered_at(listener.ask_address):
        if response.simple_verify(challenge, target.name, key.public_key(), port=listener.port, timeout=seconds):
            return Answer(True, url)
        return _diagnose(url, seconds)


def _new_key() -> Any:
    return JWKRSA(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))


def _diagnose(url: str, timeout_seconds: float) -> Answer:
    """Ask once more, to see what acme only calls a failure."""
    with requests.Session() as session:
        session.max_redirects = _MOST_REDIRECTS
        try:
            # Not verified, as a CA does not after a redirect: there may be no good certificate yet.
            found = session.get(url, verify=False, timeout=timeout_seconds, stream=True)
        except requests.exceptions.RequestException as error:
            at = error.request.url if error.request is not None else None
            return Answer(False, str(at or url), problem=_phrase(error, timeout_seconds))
        return Answer(False, found.url, status=found.status_code)


def _phrase(error: requests.exceptions.RequestException, timeout_seconds: float) -> str:
    """Say in words what a person can do something about."""
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return f"a redirect loop: more than {_MOST_REDIRECTS} redirects"
    if isinstance(error, requests.exceptions.Timeout):
        return f"no answer within {timeout_seconds:g} s"
    if "Connection refused" in str(error):
        return "nobody answers there"
    return str(error)[:_MOST_CHARACTERS]


@contextmanager
def _file(folder: Path, name: str, content: str) -> Iterator[None]:
    """Have a file for the time of a block; folders that were made for it, as certbot makes them, go as well."""
    made = []
    try:
        for place in (*reversed(folder.parents), folder):
            if not place.is_dir():
                place.mkdir(mode=0o755)
                made.append(place)
        (folder / name).write_text(content)
        (folder / name).chmod(0o644)
        yield
    except OSError as error:
        raise ExodusError(f"cannot write a challenge into {folder}: {error.strerror}; run as root") from error
    finally:
        with suppress(OSError):
            (folder / name).unlink()
        for place in reversed(made):
            with suppress(OSError):
                place.rmdir()


@contextmanager
def _answered_at(address: str) -> Iterator[None]:
    """Have every name resolve to one address, past any proxy: acme asks by name only, and the DNS is another question.

    Nobody else resolves anything meanwhile: the command has one thread.
    """
    real, proxies = socket.getaddrinfo, os.environ.get("NO_PROXY")

    def resolve(host: object, *arguments: Any, **options: Any) -> Any:
        return real(address, *arguments, **options)

    socket.getaddrinfo = resolve
    os.environ["NO_PROXY"] = "*"
    try:
        yield
    finally:
        socket.getaddrinfo = real
        del os.environ["NO_PROXY"]
        if proxies is not None:
            os.environ["NO_PROXY"] = proxies
