"""The bytes of an OData `$batch`: several requests in one round trip (Microsoft's page on batch, read 2026-11).

Pure: requests in, a body out; a body in, answers out. Lines end in CRLF, which Dataverse insists on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from requests.structures import CaseInsensitiveDict

from mailsync.transport import Answer

CRLF = b"\r\n"
_STATUS_LINE = re.compile(rb"HTTP/\S* ([1-5]\d\d)(?: |$)")


@dataclass(frozen=True, slots=True)
class Request:
    """One request inside a batch; `path` starts at the server's root and is percent-encoded."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changeset:
    """Requests that succeed or fail together."""

    requests: tuple[Request, ...]


class MalformedBatchError(ValueError):
    """An answer to a batch is not the multipart it should be."""


def encode(parts: Sequence[Request | Changeset], *, boundary: str) -> bytes:
    """The body of a batch; its Content-Type is `multipart/mixed; boundary=<boundary>`."""
    lines: list[bytes] = []
    for number, part in enumerate(parts, 1):
        lines.append(b"--" + boundary.encode())
        if isinstance(part, Request):
            lines += _request(part, None)
        else:
            inner = f"changeset_{number}_{boundary}"
            lines += [f"Content-Type: multipart/mixed; boundary={inner}".encode(), b""]
            for content_id, request in enumerate(part.requests, 1):
                lines += [b"--" + inner.encode(), *_request(request, content_id)]
            lines += [f"--{inner}--".encode(), b""]
    lines += [f"--{boundary}--".encode(), b""]
    return CRLF.join(lines)


def _request(request: Request, content_id: int | None) -> list[bytes]:
    lines = [b"Content-Type: application/http", b"Content-Transfer-Encoding: binary"]
    if content_id is not None:
        lines.append(f"Content-ID: {content_id}".encode())
    lines += [b"", f"{request.method} {request.path} HTTP/1.1".encode()]
    lines += [f"{name}: {value}".encode() for name, value in request.headers.items()]
    if request.body is not None:
        lines.append(b"Content-Type: application/json; charset=utf-8; type=entry")
    return [*lines, b"", request.body or b""]


def decode(content_type: str, body: bytes) -> list[tuple[Answer, ...]]:
    """One entry for each part that was answered; that of a changeset holds the answers inside it.

    Raises MalformedBatchError.
    """
    return [_answers(headers, content) for headers, content in _parts(content_type, body)]


def _answers(headers: Mapping[str, str], content: bytes) -> tuple[Answer, ...]:
    """Of one part; a changeset holds no other."""
    kind = headers.get("Content-Type", "")
    if not kind.startswith("multipart/mixed"):
        return (_answer(content),)
    return tuple(_answer(inner) for _, inner in _parts(kind, content))


def _parts(content_type: str, body: bytes) -> list[tuple[Mapping[str, str], bytes]]:
    _, found, boundary = content_type.partition("boundary=")
    boundary = boundary.split(";")[0].strip().strip('"')
    if not found or not boundary:
        raise MalformedBatchError("no boundary in its Content-Type")
    pieces = (CRLF + body).split(CRLF + b"--" + boundary.encode())
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise MalformedBatchError("its closing boundary is missing")
    return [_split(piece.removeprefix(CRLF)) for piece in pieces[1:-1]]


def _answer(content: bytes) -> Answer:
    line, _, rest = content.partition(CRLF)
    found = _STATUS_LINE.match(line)
    if found is None:
        raise MalformedBatchError("a part does not begin with a status line")
    headers, body = _split(rest)
    return Answer(status=int(found[1]), headers=headers, body=body)


def _split(content: bytes) -> tuple[Mapping[str, str], bytes]:
    """Headers and what follows the empty line."""
    if content.startswith(CRLF):
        return CaseInsensitiveDict(), content.removeprefix(CRLF)
    head, _, body = content.partition(CRLF + CRLF)
    headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    for line in head.split(CRLF):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip()] = value.strip()
    return headers, body
