"""The multipart/mixed form of $batch: requests read out of a body, answers written into one.

Runs nothing itself: what the requests do, and that a change set is one transaction, is `batch`'s business."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from uuid import uuid4

from sandbox.dataverse.answers import Answer
from sandbox.dataverse.refusals import PAYLOAD, ODataError, invalid

_REQUEST_CAP = 1000
_URL_CAP = 65_536
_METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE"})
_BOUNDARY = re.compile(r'boundary="?([^";,\s]+)"?')
_PHRASE = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Operation:
    """One HTTP request inside a batch."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Requests that succeed or fail as one."""

    operations: tuple[Operation, ...]


def parse(body: bytes, content_type: str) -> list[Operation | ChangeSet]:
    """The requests and change sets of a batch, in order."""
    entries: list[Operation | ChangeSet] = []
    total = 0
    for headers, rest in _parts(body, _boundary(content_type, "the batch")):
        if headers.get("content-type", "").startswith("multipart/mixed"):
            change_set = _change_set(headers["content-type"], rest)
            entries.append(change_set)
            total += len(change_set.operations)
        else:
            entries.append(_operation(headers, rest))
            total += 1
    if total > _REQUEST_CAP:
        raise invalid(f"The batch has {total} requests; the maximum is {_REQUEST_CAP}.")
    return entries


def _boundary(content_type: str, where: str) -> bytes:
    found = _BOUNDARY.search(content_type)
    if not content_type.startswith("multipart/mixed") or not found:
        raise _malformed(f"the Content-Type of {where} must be multipart/mixed with a boundary.")
    return found[1].encode()


def _parts(body: bytes, boundary: bytes) -> list[tuple[dict[str, str], bytes]]:
    """The parts between the boundaries: their headers, and what follows the blank line."""
    if b"\r\n" not in body:
        # learn.microsoft.com, execute-batch-operations: other line ends "might cause deserialization errors".
        raise ODataError(400, PAYLOAD, "System.ArgumentException: Stream was not readable.")
    opening, *pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if opening.strip() or not pieces:
        raise _malformed("it does not begin with its boundary.")
    *parts, closing = pieces
    if not closing.startswith(b"--"):
        raise _malformed("the closing boundary is missing.")
    if not parts:
        raise _malformed("it holds no request.")
    return [_head(part) for part in parts]


def _head(part: bytes) -> tuple[dict[str, str], bytes]:
    if not part.startswith(b"\r\n"):
        raise _malformed("a boundary must stand on a line of its own.")
    head, blank, rest = part[2:].partition(b"\r\n\r\n")
    if not blank:
        raise _malformed("the headers of a part must end with an empty line (CRLF).")
    return _headers(head.split(b"\r\n")), rest


def _headers(lines: Sequence[bytes]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or b"\n" in line:
            raise _malformed(f"'{line[:80].decode(errors='replace')}' is not a header (lines end with CRLF).")
        headers[name.strip().lower().decode("latin-1")] = value.strip().decode("latin-1")
    return headers


def _change_set(content_type: str, rest: bytes) -> ChangeSet:
    operations = []
    seen: set[str] = set()
    for headers, inner in _parts(rest, _boundary(content_type, "a change set")):
        if headers.get("content-type", "").startswith("multipart/mixed"):
            raise _malformed("a change set cannot hold another one.")
        operation = _operation(headers, inner)
        if operation.method == "GET":
            raise _malformed("a change set cannot hold a GET request.")
        if operation.content_id is not None and operation.content_id in seen:
            raise _malformed(f"the Content-ID '{operation.content_id}' stands twice.")
        seen.add(operation.content_id or "")
        operations.append(operation)
    return ChangeSet(tuple(operations))


def _operation(headers: Mapping[str, str], rest: bytes) -> Operation:
    if not headers.get("content-type", "").startswith("application/http"):
        raise _malformed("a part must have Content-Type: application/http.")
    if headers.get("content-transfer-encoding", "").lower() != "binary":
        raise _malformed("a part must have Content-Transfer-Encoding: binary.")
    # A request without a body may end at the boundary that follows its empty line.
    head, blank, body = rest.partition(b"\r\n\r\n")
    if not blank:
        if not head.endswith(b"\r\n"):
            raise _malformed("the headers of a request must end with an empty line (CRLF).")
        head = head[:-2]
    line, *lines = head.split(b"\r\n")
    method, url = _request_line(line)
    if method == "POST" and url.partition("?")[0].endswith("$batch"):
        raise _malformed("a batch cannot hold another one.")
    return Operation(method, url, _headers(lines), body, headers.get("content-id"))


def _request_line(line: bytes) -> tuple[str, str]:
    text = line.decode("utf-8", errors="replace")
    method, _, rest = text.partition(" ")
    url, _, version = rest.rpartition(" ")
    if method not in _METHODS or version != "HTTP/1.1" or not url or "\n" in url:
        raise _malformed(f"'{text[:80]}' is not a request line.")
    if len(url) > _URL_CAP:
        raise _malformed(f"a URL is longer than {_URL_CAP} characters.")
    return method, url


def render(entries: Sequence[Answer | tuple[Answer, ...]]) -> tuple[str, bytes]:
    """The Content-Type and the body of the answer to a batch."""
    return _multipart("batchresponse", [_part(e) if isinstance(e, Answer) else _change_set_part(e) for e in entries])


def _change_set_part(answers: Sequence[Answer]) -> bytes:
    content_type, body = _multipart("changesetresponse", [_part(answer) for answer in answers])
    return f"Content-Type: {content_type}\r\n\r\n".encode() + body


def _multipart(name: str, parts: Sequence[bytes]) -> tuple[str, bytes]:
    boundary = f"{name}_{uuid4()}"
    opening = f"--{boundary}\r\n".encode()
    pieces = [piece for part in parts for piece in (opening, part)]
    return f"multipart/mixed; boundary={boundary}", b"".join([*pieces, f"--{boundary}--\r\n".encode()])


def _part(part: Answer) -> bytes:
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if part.content_id is not None:
        lines.append(f"Content-ID: {part.content_id}")
    lines += ["", f"HTTP/1.1 {part.status} {_PHRASE[part.status]}"]
    lines += [f"{name}: {value}" for name, value in part.headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + part.body + b"\r\n"


def _malformed(reason: str) -> ODataError:
    return ODataError(400, PAYLOAD, f"The batch request is not valid: {reason}")
