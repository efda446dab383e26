"""What an honest S3 server answers: as MinIO, Garage and versitygw do, as far as the guard asks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from urllib.parse import quote_plus
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.simulation.s3.world import BEGINNING, Held, World

Query = Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """One request as the server reads it."""

    method: str
    bucket: str
    key: str
    query: Query
    headers: Mapping[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """Name what is asked, as S3 does in short."""
        if self.key:
            if "uploadId" in self.query or "uploads" in self.query:
                return {"GET": "parts", "PUT": "part", "POST": "upload", "DELETE": "abort"}[self.method]
            return "copy" if "x-amz-copy-source" in self.headers else self.method.lower()
        known = ("uploads", "versions", "location", "delete")
        return next((name for name in known if name in self.query), "list")


@dataclass(frozen=True)
class Answer:
    """One answer; a length that differs from the body's is a lie."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def failed(status: int, code: str, message: str = "made up") -> Answer:
    return _xml(f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>", status)


def answer(world: World, request: Request) -> Answer:
    """Do what is asked, and say so."""
    with world.lock:
        return _ANSWERS[request.operation](world, request)


def _xml(text: str, status: int = 200) -> Answer:
    content = '<?xml version="1.0" encoding="UTF-8"?>' + text
    return Answer(status, content.encode(errors="replace"), {"Content-Type": "application/xml"})


def _key(world: World, request: Request, key: str) -> str:
    """Write a key as this server does: for a URL, or as XML, where what it cannot carry becomes U+FFFD."""
    if world.habits.encodes and request.query.get("encoding-type") == "url":
        return quote_plus(key, safe="/")
    carried = "".join(one if one in "\t\n\r" or " " <= one < "\ufffe" or one > "\uffff" else "\ufffd" for one in key)
    return escape(carried, {"\r": "&#xD;", "\n": "&#xA;", "\t": "&#x9;"})


def _encoding(world: World, request: Request) -> str:
    return "<EncodingType>url</EncodingType>" if world.habits.encodes and "encoding-type" in request.query else ""


def _contents(held: Held) -> str:
    at = held.modified_at.strftime("%Y-%m-%dT%H:%M:%S.678Z")
    return f"<LastModified>{at}</LastModified><ETag>&quot;{held.etag}&quot;</ETag><Size>{len(held.content)}</Size>"


def page(world: World, request: Request, after: str, token: str | None = None) -> Answer:
    """List what comes after a key; `token` replaces the one that would name the next page."""
    keys = world.keys(request.query.get("prefix", ""), after)
    shown = keys[: world.habits.page]
    rows = [
        f"<Contents><Key>{_key(world, request, key)}</Key>{_contents(world.objects[key][0])}</Contents>"
        for key in shown
    ]
    following = token if token is not None else shown[-1].encode().hex() if len(keys) > len(shown) else None
    goes_on = f"<NextContinuationToken>{following}</NextContinuationToken>" if following is not None else ""
    cut = str(following is not None).lower()
    head = f"<IsTruncated>{cut}</IsTruncated>{goes_on}{_encoding(world, request)}"
    return _xml(f"<ListBucketResult>{head}{''.join(rows)}</ListBucketResult>")


def after_of(query: Query) -> str:
    """Say after which key a listing goes on."""
    token = query.get("continuation-token")
    return bytes.fromhex(token).decode() if token else query.get("start-after", "")


def _list(world: World, request: Request) -> Answer:
    return page(world, request, after_of(request.query))


def versions(world: World, request: Request, markers: str = "") -> Answer:
    """List versions, of one key a page where pages are small; `markers` says, in XML, that more come."""
    keys = world.keys(request.query.get("prefix", ""), request.query.get("key-marker", ""))
    shown = keys[: world.habits.page]
    rows = [
        f"<Version><Key>{_key(world, request, key)}</Key><VersionId>v{one.generation}</VersionId>{_contents(one)}"
        "<IsLatest>true</IsLatest></Version>"
        for key in shown
        for one in world.objects[key]
    ]
    if not markers and len(keys) > len(shown):
        markers = f"<NextKeyMarker>{_key(world, request, shown[-1])}</NextKeyMarker>"
    cut = f"<IsTruncated>{str(bool(markers)).lower()}</IsTruncated>{markers}{_encoding(world, request)}"
    return _xml(f"<ListVersionsResult>{cut}{''.join(rows)}</ListVersionsResult>")


def uploads(world: World, request: Request, markers: str = "") -> Answer:
    """List unfinished uploads; `markers` says, in XML, that more come."""
    marker = request.query.get("key-marker", ""), request.query.get("upload-id-marker", "")
    found = sorted((key, upload) for upload, (key, _) in world.uploads.items() if (key, upload) > marker)
    shown = found[: world.habits.page]
    at = BEGINNING.strftime("%Y-%m-%dT%H:%M:%S.678Z")
    rows = [
        f"<Upload><Key>{_key(world, request, key)}</Key><UploadId>{upload}</UploadId>"
        f"<Initiated>{at}</Initiated></Upload>"
        for key, upload in shown
    ]
    if not markers and len(found) > len(shown):
        key, upload = shown[-1]
        markers = f"<NextKeyMarker>{_key(world, request, key)}</NextKeyMarker>"
        markers += f"<NextUploadIdMarker>{upload}</NextUploadIdMarker>"
    cut = f"<IsTruncated>{str(bool(markers)).lower()}</IsTruncated>{markers}{_encoding(world, request)}"
    return _xml(f"<ListMultipartUploadsResult>{cut}{''.join(rows)}</ListMultipartUploadsResult>")


def parts(world: World, request: Request, marker: str = "") -> Answer:
    """List the parts of an upload; `marker` is where they go on."""
    if request.query["uploadId"] not in world.uploads:
        return failed(404, "NoSuchUpload")
    _, found = world.uploads[request.query["uploadId"]]
    after = int(request.query.get("part-number-marker") or 0)
    numbers = sorted(number for number in found if number > after)
    shown = numbers[: world.habits.page]
    rows = [
        f"<Part><PartNumber>{number}</PartNumber><ETag>e</ETag><Size>{len(found[number])}</Size></Part>"
        for number in shown
    ]
    marker = marker or (str(shown[-1]) if len(numbers) > len(shown) else "")
    goes_on = f"<IsTruncated>{str(bool(marker)).lower()}</IsTruncated>"
    goes_on += f"<NextPartNumberMarker>{marker}</NextPartNumberMarker>" if marker else ""
    return _xml(f"<ListPartsResult>{goes_on}{''.join(rows)}</ListPartsResult>")


def _look(world: World, request: Request) -> Answer:
    held = world.newest(request.key)
    if held is None:
        return failed(404, "NoSuchKey") if request.method == "GET" else Answer(404)
    world.looked_at |= {(request.key, held.generation)}
    headers = {"Last-Modified": format_datetime(held.modified_at, usegmt=True), "ETag": f'"{held.etag}"'}
    headers |= {"x-amz-version-id": f"v{held.generation}"} if world.habits.versions else {}
    return Answer(200, held.content, headers | dict(held.headers))


def _put(world: World, request: Request) -> Answer:
    if _is_there(world, request):
        return failed(412, "PreconditionFailed")
    held = world.put(request.key, request.body, _kept(request))
    return Answer(200, b"", {"ETag": f'"{held.etag}"'})


def _is_there(world: World, request: Request) -> bool:
    return bool("if-none-match" in request.headers and world.habits.knows_if_none_match and world.newest(request.key))


def _kept(request: Request) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name.startswith("x-amz-meta-")}


def _copy(world: World, request: Request) -> Answer:
    _, _, key = request.headers["x-amz-copy-source"].lstrip("/").partition("/")
    held = world.newest(key)
    if held is None:
        return failed(404, "NoSuchKey")
    new = world.put(request.key, held.content, held.headers)
    at = new.modified_at.strftime("%Y-%m-%dT%H:%M:%S.678Z")
    return _xml(f"<CopyObjectResult><ETag>{new.etag}</ETag><LastModified>{at}</LastModified></CopyObjectResult>")


def _delete(world: World, request: Request) -> Answer:
    world.delete(request.key, request.query.get("versionId"))
    return Answer(204)


def _delete_many(world: World, request: Request) -> Answer:
    """Read the request as every XML parser does: a carriage return is a line feed, U+0001 is an error."""
    try:
        found = ElementTree.fromstring(request.body)  # noqa: S314 - it comes from our own client
    except ElementTree.ParseError:
        return failed(400, "MalformedXML", "The XML you provided was not well-formed")
    for one in found.findall("{*}Object"):
        world.delete(one.findtext("{*}Key") or "", one.findtext("{*}VersionId"))
    return _xml("<DeleteResult></DeleteResult>")


def _part(world: World, request: Request) -> Answer:
    world.uploads[request.query["uploadId"]][1][int(request.query["partNumber"])] = request.body
    return Answer(200, b"", {"ETag": '"part"'})


def _upload(world: World, request: Request) -> Answer:
    if "uploads" in request.query:
        name = f"upload-{len(world.uploads)}"
        world.uploads[name] = request.key, {}
        return _xml(f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>")
    if _is_there(world, request):
        return failed(412, "PreconditionFailed")
    _, found = world.uploads.pop(request.query["uploadId"])
    held = world.put(request.key, b"".join(found[number] for number in sorted(found)))
    return _xml(f"<CompleteMultipartUploadResult><ETag>{held.etag}</ETag></CompleteMultipartUploadResult>")


def _abort(world: World, request: Request) -> Answer:
    known = world.uploads.pop(request.query["uploadId"], None)
    return Answer(204) if known else failed(404, "NoSuchUpload")


def _location(world: World, request: Request) -> Answer:
    return _xml("<LocationConstraint></LocationConstraint>")


_ANSWERS: Mapping[str, Callable[[World, Request], Answer]] = {
    "list": _list,
    "versions": versions,
    "uploads": uploads,
    "parts": parts,
    "location": _location,
    "delete": lambda world, request: (_delete if request.key else _delete_many)(world, request),
    "head": _look,
    "get": _look,
    "put": _put,
    "copy": _copy,
    "part": _part,
    "upload": _upload,
    "abort": _abort,
}
