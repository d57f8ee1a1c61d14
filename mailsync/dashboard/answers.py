"""What goes back over HTTP: the page or its JSON, an answer to a probe, an error that says what to do."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mailsync.dashboard.facts import Status
from mailsync.dashboard.page import HEADERS, page_of

JSON, HTML, TEXT = "application/json", "text/html; charset=utf-8", "text/plain; charset=utf-8"
KEPT_BY_NOBODY = {"Cache-Control": "no-store", "Vary": "Accept, Accept-Encoding", "X-Content-Type-Options": "nosniff"}
WORTH_PACKING = 1_400
"""Bytes above which an answer is packed for who takes it so: one packet carries as much."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    kind: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, Any]:
        """What a Functions response is made of."""
        told = {**self.headers, "Content-Type": self.kind}
        return {"body": self.body, "status_code": self.status, "mimetype": self.kind, "headers": told}


def shown(status: Status, *, params: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
    """The page, or what it shows as JSON for who asks for that."""
    headers = lowered(headers)
    if wants_json(params, headers):
        return packed(as_json(status_facts(status)), headers)
    page = Answer(200, page_of(status).encode(), HTML, {**KEPT_BY_NOBODY, **HEADERS})
    return packed(page, headers)


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers by lower-case names."""
    return {name.lower(): value for name, value in headers.items()}


def wants_json(params: Mapping[str, str], headers: Mapping[str, str]) -> bool:
    """Whether somebody asks for JSON, by the query or by what they accept."""
    if "format" in params:
        return params["format"].lower() == "json"
    accepted = headers.get("accept", "").lower()
    return JSON in accepted and "text/html" not in accepted


def status_facts(status: Status) -> dict[str, Any]:
    """What the page shows, for a machine. Moments are unix seconds."""
    told: dict[str, Any] = msgspec.to_builtins(status.facts)
    return {"made": told.pop("made"), "verdict": msgspec.to_builtins(status.verdict), **told}


def as_json(said: Mapping[str, Any], code: int = 200, **headers: str) -> Answer:
    """An answer for a machine."""
    return Answer(code, json.dumps(said, ensure_ascii=False).encode(), JSON, {**KEPT_BY_NOBODY, **headers})


def packed(answer: Answer, headers: Mapping[str, str]) -> Answer:
    """An answer as small as who asks can take it: five hundred mailboxes are a page of a megabyte."""
    takes = {one.partition(";")[0].strip() for one in headers.get("accept-encoding", "").lower().split(",")}
    if "gzip" not in takes or len(answer.body) < WORTH_PACKING:
        return answer
    body = gzip.compress(answer.body, compresslevel=5, mtime=0)
    return Answer(answer.status, body, answer.kind, {**answer.headers, "Content-Encoding": "gzip"})


def probed(*, is_well: bool) -> Answer:
    """An answer to a probe, which says nothing more to anybody."""
    if is_well:
        return Answer(200, b"ok", TEXT, KEPT_BY_NOBODY)
    return Answer(503, b"unavailable", TEXT, {**KEPT_BY_NOBODY, "Retry-After": "30"})
