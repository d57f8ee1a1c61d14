"""What a person with the admin key may ask of a deployed app: addresses, a mail's story, a replay, a sweep, the doctor.

JSON in and out. Nothing is changed by a GET, the key is taken from the header alone (what stands in a URL ends in logs
and histories), and a body counts only as `application/json`: no form of another site's can send that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from mailsync.dashboard.answers import JSON, Answer, as_json, lowered, packed, status_facts
from mailsync.dashboard.status import StatusReader
from mailsync.errors import ArgumentError, ConfigurationError, MailSyncError, MessageError, TransientError
from mailsync.explained import as_facts
from mailsync.storage.aside import Aside, Kept
from mailsync.storage.mailboxes import Mailbox
from mailsync.windows import WHEN, moment, moment_named

if TYPE_CHECKING:
    from mailsync.explain import Explainer
    from mailsync.replay import Replayer

LARGEST_BODY = 16_384
LONGEST = 1_000
"""Characters of anything that is named in a request."""
CONFLICTS = frozenset({"already_replayed", "ambiguous_mailbox", "mailbox_not_valid", "never_swept", "before_the_start"})


class RequestError(ArgumentError):
    """The request itself can't be used; the message says how it should be."""

    def __init__(self, message: str, code: int = 400, **headers: str) -> None:
        super().__init__(message, reason="bad_request")
        self.code = code
        self.headers = headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request."""

    method: str
    what: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


class Manage:
    """Answers the manage endpoints; the parts are made when they are needed, for each may miss a setting."""

    def __init__(
        self,
        *,
        status: Callable[[], StatusReader],
        mailbox: Callable[[str], Mailbox],
        explainer: Callable[[], Explainer],
        aside: Callable[[], Aside],
        replayer: Callable[[], Replayer],
        doctor: Callable[[], Mapping[str, Any]],
        clock: Callable[[], float],
    ) -> None:
        self._status = status
        self._mailbox = mailbox
        self._explainer = explainer
        self._aside = aside
        self._replayer = replayer
        self._doctor = doctor
        self._clock = clock
        self._ways: dict[str, dict[str, Callable[[Asked], Answer]]] = {
            "status": {"GET": self._show},
            "explain": {"GET": self._explain, "POST": self._explain},
            "replay": {"POST": self._replay},
            "sweep": {"POST": self._sweep},
            "doctor": {"GET": self._examine},
        }

    def answer(self, asked: Asked) -> Answer:
        """The answer to one request; never raises what is foreseen."""
        asked = replace(asked, headers=lowered(asked.headers))
        try:
            if "code" in asked.params:
                raise RequestError("give the key in the header x-functions-key; what stands in a URL ends in logs")
            ways = self._ways.get(asked.what.lower())
            if ways is None:
                raise RequestError(f"there is no such thing; there are {', '.join(self._ways)}", 404)
            way = ways.get(asked.method)
            if way is None:
                raise RequestError(f"use {' or '.join(ways)}", 405, Allow=", ".join(ways))
            return way(asked)
        except MailSyncError as error:
            return _refusal(error)

    def _show(self, asked: Asked) -> Answer:
        reader = self._status()
        told = {**status_facts(reader.read()), "addresses": dict(reader.addresses())}
        return packed(as_json(told), asked.headers)

    def _explain(self, asked: Asked) -> Answer:
        """A Message-ID can be posted too, so that it stands in no log of URLs."""
        given = _body(asked) if asked.method == "POST" else asked.params
        named, message = _text(given, "mailbox"), _text(given, "message")
        told = self._explainer().explain(self._mailbox(named).grant, message)
        return as_json(as_facts(told, addresses=True))

    def _replay(self, asked: Asked) -> Answer:
        given = _body(asked)
        grant, key = _text(given, "grant"), _text(given, "key")
        kept = self._aside().get(grant, key)
        if kept is None:
            raise ArgumentError("nothing that was put aside has this key; look at the page anew", reason="not_aside")
        if kept.replayed is not None and given.get("again") is not True:
            raise ArgumentError(
                f"it was replayed at {moment(kept.replayed)} and was not put aside again; say again: true to repeat it",
                reason="already_replayed",
            )
        self._replayer().replay(kept)
        self._status().forget()
        return as_json({"replayed": _named(kept)})

    def _sweep(self, asked: Asked) -> Answer:
        given, now = _body(asked), int(self._clock())
        mailbox = self._mailbox(_text(given, "mailbox"))
        since = _moment(_text(given, "since"), now)
        until = min(now, _moment(_text(given, "until"), now)) if "until" in given else now
        if since >= until:
            raise RequestError("`since` is not before `until`, or not before now")
        windows = self._replayer().sweep(mailbox, since=since, until=until)
        self._status().forget()
        return as_json(
            {
                "grant": mailbox.grant,
                "since": moment(windows[0].after + 1),
                "until": moment(windows[-1].before - 1),
                "sweeps": len(windows),
            }
        )

    def _examine(self, asked: Asked) -> Answer:  # noqa: ARG002  # every way has the same shape
        return as_json(self._doctor())


def _body(asked: Asked) -> Mapping[str, Any]:
    """What a POST carries."""
    if asked.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise RequestError(f"send the body as {JSON}", 415)
    if len(asked.body) > LARGEST_BODY:
        raise RequestError(f"the body is larger than {LARGEST_BODY} bytes", 413)
    try:
        given = msgspec.json.decode(asked.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise RequestError("the body is not JSON") from None
    if not isinstance(given, dict):
        raise RequestError("the body is not a JSON object")
    return given


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value.strip():
        raise RequestError(f"`{name}` is missing; it is a text")
    if len(value) > LONGEST:
        raise RequestError(f"`{name}` is longer than {LONGEST} characters")
    return value.strip()


def _moment(text: str, now: int) -> int:
    """Unix seconds of a date, a moment or an age, as the commands take them."""
    try:
        return moment_named(text, now=now)
    except ValueError:
        raise RequestError(f"a moment is {WHEN}") from None


def _named(kept: Kept) -> dict[str, str]:
    return {"grant": kept.grant, "key": kept.row, "reason": kept.reason}


def _refusal(error: MailSyncError) -> Answer:
    """What could not be done, why, and by whose fault: the asker's (4xx), or ours for now (503)."""
    headers: dict[str, str] = {}
    if isinstance(error, RequestError):
        code, headers = error.code, error.headers
    elif error.reason in CONFLICTS:
        code = 409
    elif isinstance(error, ArgumentError):
        code = 404
    elif isinstance(error, MessageError):
        code = 422
    else:
        code = 503
        wait = error.retry_after if isinstance(error, TransientError) and error.retry_after else 30
        headers = {} if isinstance(error, ConfigurationError) else {"Retry-After": str(max(1, round(wait)))}
    said = {"reason": error.reason, "advice": str(error), "evidence": str(error.evidence)}
    return as_json({"error": said}, code, **headers)
