"""The door to HTTP-01 (RFC 8555, section 8.3): answer a challenge of our own through nginx, and have acme verify it."""

import os
from collections.abc import Callable
from typing import Any

from acme import challenges
from cryptography.hazmat.primitives.asymmetric import rsa
from josepy.jwk import JWKRSA

from exodus_certbot.acme import challenge_file, fetching, redirects
from exodus_certbot.acme.challenge import FOLDER, Answer, Target
from exodus_certbot.acme.redirects import Url
from exodus_certbot.acme.routing import Route
from exodus_common.clock import Deadline


def ask(target: Target, route: Route, deadline: Deadline) -> Answer:
    """Put a challenge into a webroot, ask for it as a CA would, take it away again.

    Raises `ExodusError` where the webroot cannot be written to, `LinkOfOthers` where that could be led elsewhere.
    """
    challenge, key = challenges.HTTP01(token=os.urandom(32)), _new_key()
    _, content = challenge.response_and_validation(key)
    token, trusted_uids = challenge.encode("token"), {0, os.geteuid()}

    def is_right(body: bytes) -> bool:
        response = challenges.HTTP01Response(key_authorization=body.decode("latin-1").rstrip())
        return len(body) < fetching.MOST_BODY_BYTES and bool(response.verify(challenge, key.public_key()))

    with challenge_file.placed(target.webroot / FOLDER, token, content, trusted_uids):
        return _answer(redirects.first(target.name, f"/{FOLDER}/{token}"), is_right, route, deadline)


def _new_key() -> Any:
    return JWKRSA(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))


def _answer(url: Url, is_right: Callable[[bytes], bool], route: Route, deadline: Deadline) -> Answer:
    """Follow what a CA follows, to an answer or to what keeps it from one."""
    asked: list[Url] = []
    while True:
        if url in asked or len(asked) > redirects.MOST_REDIRECTS:
            problem = f"a redirect loop: {len(asked)} redirects, and CAs follow {redirects.MOST_REDIRECTS}"
            return Answer(False, url.text, problem=problem)
        asked.append(url)
        try:
            found = _fetched(url, route, deadline)
            if not redirects.is_redirect(found.status, found.location):
                return Answer(found.status == 200 and is_right(found.body), url.text, found.status)
            url = redirects.followed(url, found.location)
        except (fetching.Unanswered, ValueError) as problem:
            return Answer(False, url.text, problem=str(problem))


def _fetched(url: Url, route: Route, deadline: Deadline) -> fetching.Fetched:
    where = route(url.host, url.port)
    if where is None:
        raise fetching.Unanswered(f"{url.host} does not resolve")
    return fetching.fetch(url, *where, deadline)
