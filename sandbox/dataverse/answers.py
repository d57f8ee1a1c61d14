"""Answers, to one request or to a part of a batch: JSON, or a refusal in OData's shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import msgspec

from sandbox.dataverse.refusals import ODataError

VERSION = ("OData-Version", "4.0")
_JSON = ("Content-Type", "application/json; odata.metadata=minimal")


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one request; the Content-ID is that of its request in a change set."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    content_id: str | None = None


def json_answer(content: Mapping[str, object], *headers: tuple[str, str], status: int = 200) -> Answer:
    """An object as JSON."""
    return Answer(status, (_JSON, VERSION, *headers), msgspec.json.encode(content))


def failure(error: ODataError, content_id: str | None = None) -> Answer:
    """A refusal."""
    body = msgspec.json.encode({"error": {"code": error.code, "message": error.message}})
    headers = [("REQ_ID", str(uuid4())), _JSON, VERSION]
    if error.status == 401:
        headers.append(("WWW-Authenticate", "Bearer"))
    if error.retry_after is not None:
        headers.append(("Retry-After", str(error.retry_after)))
    return Answer(error.status, headers, body, content_id)
