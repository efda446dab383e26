"""The lies of a simulated S3 server, each as servers, proxies and networks have been seen to tell it."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tests.simulation.s3.answers import Answer, Request, after_of, answer, failed, page, parts, uploads, versions
from tests.simulation.s3.world import World


class Reset(Exception):
    """The connection is reset, and nobody is answered."""


Lie = Callable[[World, Request, random.Random], Answer]


@dataclass(frozen=True)
class Manners:
    """How often a server lies, and of which lies; None: of any."""

    chance: float = 0
    only: str | None = None


def told(world: World, manners: Manners, request: Request) -> Answer:
    """Answer, truly or not, on the seed's word."""
    chance = world.chance(f"{request.method} {request.key} {sorted(request.query.items())}")
    if world.requests > world.most:
        return failed(500, "InternalError", "asked too often")
    known = {**_ANY, **_OF.get(_operation(request), {})}
    usable = [name for name in known if manners.only in (None, name)]
    if not usable or chance.random() >= manners.chance:
        return answer(world, request)
    return known[chance.choice(usable)](world, request, chance)


def names() -> Sequence[str]:
    """Name every lie."""
    return sorted({*_ANY, *(name for some in _OF.values() for name in some)})


def _operation(request: Request) -> str:
    return "delete-many" if request.operation == "delete" and not request.key else request.operation


# --- of any answer ---


def _slow_down(world: World, request: Request, chance: random.Random) -> Answer:
    return failed(503, "SlowDown")


def _reset(world: World, request: Request, chance: random.Random) -> Answer:
    raise Reset


def _late(world: World, request: Request, chance: random.Random) -> Answer:
    """Do it, and answer when nobody listens any more."""
    answer(world, request)
    raise Reset


def _torn(world: World, request: Request, chance: random.Random) -> Answer:
    """Send fewer bytes than were announced."""
    true = answer(world, request)
    announced = true.headers | {"Content-Length": str(len(true.body) + 1), "Connection": "close"}
    return replace(true, headers=announced) if true.status == 200 else true


def _cut(world: World, request: Request, chance: random.Random) -> Answer:
    true = answer(world, request)
    return replace(true, body=true.body[: len(true.body) // 2])


def _empty(world: World, request: Request, chance: random.Random) -> Answer:
    return replace(answer(world, request), status=200, body=b"")


def _nothing_but_200(world: World, request: Request, chance: random.Random) -> Answer:
    return Answer()


def _page_of_a_proxy(world: World, request: Request, chance: random.Random) -> Answer:
    return Answer(chance.choice([200, 404, 409, 502]), b"<html>\xff</html>", {"Content-Type": "text/html"})


def _error_in_200(world: World, request: Request, chance: random.Random) -> Answer:
    return replace(failed(200, "InternalError"), status=200)


def _bare_status(world: World, request: Request, chance: random.Random) -> Answer:
    return Answer(chance.choice([204, 206, 301, 304, 400, 403, 405, 409, 500, 501]))


# --- of listings ---


def _again(world: World, request: Request, chance: random.Random) -> Answer:
    """Give the page, and as the next one's token that of this one."""
    return page(world, request, after_of(request.query), request.query.get("continuation-token", "20"))


def _other_token_same_page(world: World, request: Request, chance: random.Random) -> Answer:
    return page(world, request, "", f"{chance.randrange(256):02x}")


def _blank(world: World, request: Request, chance: random.Random) -> Answer:
    """Give an empty page that goes on: once in a while right, for ever a loop."""
    token = f"{chance.randrange(0x20, 0x7F):02x}"
    return page(world, replace(request, query={**request.query, "prefix": "\0none"}), "", token)


def _any_prefix(world: World, request: Request, chance: random.Random) -> Answer:
    return page(world, replace(request, query={**request.query, "prefix": ""}), after_of(request.query))


def _no_listing(world: World, request: Request, chance: random.Random) -> Answer:
    true = answer(world, request)
    field = chance.choice([b"Key", b"Size", b"ETag", b"LastModified", b"IsTruncated", b"Contents"])
    return replace(true, body=true.body.replace(b"<" + field + b">", b"<" + field + b">x"))


def _same_markers(world: World, request: Request, chance: random.Random) -> Answer:
    """Say that more come, after the same one again, or after two that take turns."""
    key = chance.choice("ab")
    markers = f"<NextKeyMarker>{key}</NextKeyMarker>"
    if request.operation == "uploads":
        return uploads(world, request, f"{markers}<NextUploadIdMarker>{key}</NextUploadIdMarker>")
    if request.operation == "versions":
        return versions(world, request, f"{markers}<NextVersionIdMarker>v</NextVersionIdMarker>")
    return parts(world, request, chance.choice("01"))


# --- of single objects ---


def _header(name: str, *values: str) -> Lie:
    """Have a header say one of these, or be left out where there are none."""

    def lie(world: World, request: Request, chance: random.Random) -> Answer:
        true = answer(world, request)
        if true.status != 200:
            return true
        kept = {key: value for key, value in true.headers.items() if key != name}
        return replace(true, headers=kept | {name: chance.choice(values) if values else "\0"})

    return lie


def _put_nowhere(world: World, request: Request, chance: random.Random) -> Answer:
    return Answer(200, b"", {"ETag": '"0cc175b9c0f1b6a831c399e269772661"'})


def _put_half(world: World, request: Request, chance: random.Random) -> Answer:
    return answer(world, replace(request, body=request.body[: len(request.body) // 2]))


def _deleted_nothing(world: World, request: Request, chance: random.Random) -> Answer:
    return replace(failed(200, "x"), body=b"<DeleteResult></DeleteResult>")


def _refused_somebody(world: World, request: Request, chance: random.Random) -> Answer:
    """Delete nothing, and name other keys than were asked for, or none."""
    key = chance.choice(["", "<Key>another</Key>", "<Key></Key>"])
    body = f"<DeleteResult><Error><Code>AccessDenied</Code>{key}</Error></DeleteResult>"
    return replace(failed(200, "x"), body=body.encode())


_ANY: Mapping[str, Lie] = {
    "slow down": _slow_down,
    "reset": _reset,
    "late": _late,
    "torn": _torn,
    "cut": _cut,
    "empty": _empty,
    "nothing but 200": _nothing_but_200,
    "page of a proxy": _page_of_a_proxy,
    "error in 200": _error_in_200,
    "bare status": _bare_status,
}
_OF_AN_OBJECT: Mapping[str, Lie] = {
    "no date": _header("Last-Modified"),
    "odd date": _header("Last-Modified", "yesterday", "", "Fri, 31 Feb 2026 25:00:00 GMT", "2026-01-02T03:04:05Z"),
    "no length": _header("Content-Length"),
    "odd length": _header("Content-Length", "-1", "x", "٣"),
    "no etag": _header("ETag"),
    "empty etag": _header("ETag", '""', ""),
}
_OF: Mapping[str, Mapping[str, Lie]] = {
    "list": {
        "again": _again,
        "other token, same page": _other_token_same_page,
        "blank": _blank,
        "any prefix": _any_prefix,
        "no listing": _no_listing,
    },
    "uploads": {"same markers": _same_markers, "no listing": _no_listing},
    "versions": {"same markers": _same_markers, "no listing": _no_listing},
    "parts": {"same markers": _same_markers},
    "head": _OF_AN_OBJECT,
    "get": _OF_AN_OBJECT,
    "put": {"put nowhere": _put_nowhere, "put half": _put_half, "no etag": _header("ETag")},
    "delete-many": {"deleted nothing": _deleted_nothing, "refused somebody": _refused_somebody},
}
