"""Talks to the Dataverse Web API v9.2: one authorised round trip at a time."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Protocol

from mailsync.dataverse import batch
from mailsync.dataverse.answers import failure_of
from mailsync.errors import Scope, TransientError
from mailsync.gates import Gate
from mailsync.transport import Answer, Transport

VERSION_PATH = "/api/data/v9.2/"
MOST_REQUESTS = 1_000_000
SCARCE_TIME = 300.0
"""Seconds of execution time left in the window, below which we ask for less at once."""
SCARCE_REQUESTS = 1500
"""Requests left in it, likewise."""

BYPASS: Mapping[str, str] = {
    "MSCRM.BypassBusinessLogicExecution": "CustomSync,CustomAsync",
    "MSCRM.SuppressCallbackRegistrationExpanderJob": "true",
}
"""What keeps an organisation's own plug-ins and workflows, and its Power Automate flows, from answering a write.

The first needs the privilege prvBypassCustomBusinessLogic, the second none (Microsoft's pages on bypassing custom
business logic and flows, read 2026-11); the older MSCRM.BypassCustomPluginExecution would leave asynchronous logic on.
"""
_bypasses: ContextVar[bool] = ContextVar("bypasses", default=False)


class TokenSource(Protocol):
    """Where bearer tokens come from."""

    def current(self) -> str:
        """A token to use now."""

    def refused(self, token: str) -> None:
        """The service answered 401 to this token."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an answer says of Dataverse's limits, and how many requests at once follow from that."""

    requests_left: int | None
    seconds_left: float | None
    hint: int | None
    at_once: int


class WebApi:
    """One Dataverse environment."""

    def __init__(
        self,
        transport: Transport,
        *,
        url: str,
        tokens: TokenSource,
        gate: Gate,
        most_at_once: int,
        told: Callable[[Limits], None] = lambda _: None,
    ) -> None:
        self._transport = transport
        self._gate = gate
        self._most_at_once = most_at_once
        self.root = url
        """Where the environment is, without a slash at its end."""
        self._tokens = tokens
        self._told = told

    def check(self) -> None:
        """Raise TransientError while no request would be made."""
        self._gate.check()

    @contextmanager
    def bypassing(self) -> Iterator[None]:
        """Within it, whatever this thread writes goes past what the organisation automated."""
        before = _bypasses.set(True)
        try:
            yield
        finally:
            _bypasses.reset(before)

    def send(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request; `path` continues `/api/data/v9.2/`. A 401 is tried once more with a new token."""
        given = {
            "Accept": "application/json",
            "OData-MaxVersion": "4.0",
            "OData-Version": "4.0",
            # Microsoft's advice on composing requests, read 2026-11: no browser or proxy may answer from a cache
            **({"If-None-Match": "null"} if method == "GET" else {}),
            **({"Content-Type": "application/json; charset=utf-8"} if body is not None else {}),
            **_bypass(method, path),
            **(headers or {}),
        }
        answer = self._once(method, path, body, given)
        if answer.status == 401:
            answer = self._once(method, path, body, given)
        return answer

    def _once(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        token = self._tokens.current()
        headers["Authorization"] = f"Bearer {token}"
        with self._gate.passing():
            answer = self._transport.send(method, f"{self.root}{VERSION_PATH}{path}", headers=headers, body=body)
            limits = limits_of(answer.headers, most=self._most_at_once)
            self._gate.limit = limits.at_once
            self._told(limits)
            if answer.status in {429, 502, 503, 504}:
                raise failure_of(answer)
        if answer.status == 401:
            self._tokens.refused(token)
        return answer

    def batch(self, parts: Sequence[batch.Request | batch.Changeset]) -> list[tuple[Answer, ...]]:
        """Several requests in one round trip, each answered for itself; raises when the batch as such failed."""
        boundary = f"batch_{uuid.uuid4().hex}"
        answer = self.send(
            "POST",
            "$batch",
            body=batch.encode([_bypassed(part) for part in parts], boundary=boundary),
            headers={
                "Content-Type": f"multipart/mixed; boundary={boundary}",
                "Prefer": "odata.continue-on-error",
            },
        )
        kind = answer.headers.get("Content-Type", "")
        if not kind.startswith("multipart/mixed"):
            raise failure_of(answer)
        try:
            answers = batch.decode(kind, answer.body)
        except batch.MalformedBatchError as error:
            raise _broken(str(error)) from error
        if len(answers) != len(parts):
            raise _broken(f"it holds {len(answers)} answers to {len(parts)} requests")
        if any(
            len(inside) != 1 for part, inside in zip(parts, answers, strict=True) if isinstance(part, batch.Request)
        ):
            raise _broken("it answers a request as if it were a changeset")
        return answers


def _bypass(method: str, path: str) -> Mapping[str, str]:
    """A batch asks for it in each of its requests that writes: Microsoft says of no header that they inherit it."""
    return BYPASS if _bypasses.get() and method != "GET" and path != "$batch" else {}


def _bypassed(part: batch.Request | batch.Changeset) -> batch.Request | batch.Changeset:
    if isinstance(part, batch.Changeset):
        return batch.Changeset(tuple(map(_with_bypass, part.requests)))
    return _with_bypass(part)


def _with_bypass(asked: batch.Request) -> batch.Request:
    more = _bypass(asked.method, asked.path)
    return replace(asked, headers={**more, **asked.headers}) if more else asked


def limits_of(headers: Mapping[str, str], *, most: int) -> Limits:
    """What is left of Dataverse's limits, and how many requests at once it recommends now, never more than `most`.

    `x-ms-dop-hint` is its recommendation (Microsoft's page on parallel requests, read 2026-11). Of the 1,200 seconds
    of execution time and 6,000 requests it grants in five minutes, what is left below a quarter slows us down before it
    runs out.
    """
    hint = _number(headers.get("x-ms-dop-hint"))
    limit = float(most if hint is None or hint < 1 else min(most, hint))
    seconds = _number(headers.get("x-ms-ratelimit-time-remaining-xrm-requests"))
    requests = _told(_number(headers.get("x-ms-ratelimit-burst-remaining-xrm-requests")))
    share = min(
        1.0,
        1.0 if seconds is None else seconds / SCARCE_TIME,
        1.0 if requests is None else requests / SCARCE_REQUESTS,
    )
    return Limits(
        requests_left=requests,
        seconds_left=seconds,
        hint=_told(hint),
        at_once=max(1, int(limit * share)),
    )


def _told(number: float | None) -> int | None:
    """A number of requests as it is passed on; one that can be none is left out."""
    return int(number) if number is not None and 0 <= number < MOST_REQUESTS else None


def _number(text: str | None) -> float | None:
    try:
        number = float((text or "").replace(",", ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def request(
    method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> batch.Request:
    """A request for a batch; `path` continues `/api/data/v9.2/`."""
    return batch.Request(method=method, path=VERSION_PATH + path, body=body, headers=headers or {})


def _broken(why: str) -> TransientError:
    return TransientError(
        f"Dataverse's answer to a batch can't be read: {why}",
        reason="dataverse_batch_unreadable",
        scope=Scope.ORGANISATION,
    )
