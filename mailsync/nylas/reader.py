"""Reads mail and mailboxes from Nylas v3 over a pooled connection; answers become typed values or our errors.

Not through Nylas' SDK: it opens a connection for each call, loses the status of errors that aren't JSON and
drops the folder attributes and aliases we need (measured on 6.18.0, 2026-11). `grants.py` uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from mailsync.errors import MessageError, Scope, TransientError
from mailsync.nylas.answers import evidence_of, failure_of
from mailsync.transport import Answer, Transport
from mapping.message import Message

FOLDERS_PAGE = 200


class Folder(msgspec.Struct, frozen=True):
    """A folder or label; attributes such as `\\Sent` tell what it is, its name is localised."""

    id: str
    name: str | None = None
    attributes: tuple[str | None, ...] | None = None


class Listed(msgspec.Struct, frozen=True):
    """The little of a listed message that a sweep uses."""

    id: str
    date: int | float | None = None
    folders: tuple[str | None, ...] | None = None


class GrantDetails(msgspec.Struct, frozen=True):
    """One grant with the addresses it answers to."""

    id: str
    email: str | None = None
    provider: str | None = None
    grant_status: str | None = None
    created_at: int | None = None
    email_aliases: tuple[str | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, newest first; `cursor` is None on the last one."""

    messages: tuple[Listed, ...]
    cursor: str | None


class _One(msgspec.Struct, frozen=True):
    data: msgspec.Raw


class _Many(msgspec.Struct, frozen=True):
    data: msgspec.Raw = msgspec.Raw(b"null")
    next_cursor: str | None = None


class CursorError(TransientError):
    """A page cursor is no longer accepted: the window must be listed from its start."""


class Reader:
    """Nylas' API for one application."""

    def __init__(self, transport: Transport, *, api_uri: str, api_key: str) -> None:
        self._transport = transport
        self._grants = f"{api_uri}/v3/grants"
        self._headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}

    def message(self, grant: str, message: str) -> Message:
        """One message with its Message-ID, In-Reply-To and References headers; one request.

        Raises MessageGoneError on 404. An answer without the list of headers is trouble, not a message without
        a Message-ID: taken so, the same mail would get a second identity.
        """
        url = f"{self._grants}/{quote(grant, safe='')}/messages/{quote(message, safe='')}"
        answer = self._get(url, {"fields": "include_basic_headers"})
        try:
            got: Message = msgspec.json.decode(_decoded(answer.body, _One, answer).data, type=Message)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            # msgspec names the path and the type it met, never the value
            raise MessageError(
                f"the message is not in the documented shape: {error}",
                reason="message_shape",
                evidence=evidence_of(answer),
            ) from error
        if got.headers is None:
            raise TransientError(
                "Nylas answered without the message's headers; its identity can't be told",
                reason="nylas_without_headers",
                evidence=evidence_of(answer),
            )
        return got

    def page(self, grant: str, *, after: int, before: int, limit: int, cursor: str | None) -> Page:
        """One page of the messages between two moments (unix seconds), newest first; one request.

        Raises CursorError when Nylas refuses a cursor it gave out.
        """
        params = {
            "limit": str(limit),
            "received_after": str(after),
            "received_before": str(before),
            "select": "id,grant_id,date,folders",
        }
        if cursor is not None:
            params["page_token"] = cursor
        answer = self._transport.send(
            "GET", f"{self._grants}/{quote(grant, safe='')}/messages", headers=self._headers, params=params
        )
        if cursor is not None and 400 <= answer.status < 500 and answer.status not in {401, 403, 408, 429}:
            raise CursorError(
                "Nylas refuses a page cursor it gave out",
                reason="nylas_cursor",
                scope=Scope.MAILBOX,
                evidence=evidence_of(answer),
            )
        if answer.status != 200:
            raise failure_of(answer)
        many = _decoded(answer.body, _Many, answer)
        listed = _decoded(many.data, tuple[Listed, ...] | None, answer) or ()
        return Page(messages=listed, cursor=many.next_cursor or None)

    def folders(self, grant: str) -> Mapping[str, frozenset[str]]:
        """The attributes of each folder of a mailbox, by id and, where no id is so spelled, by name."""
        found: dict[str, frozenset[str]] = {}
        names: dict[str, frozenset[str]] = {}
        cursor: str | None = None
        while True:
            params = {"limit": str(FOLDERS_PAGE), **({"page_token": cursor} if cursor else {})}
            answer = self._get(f"{self._grants}/{quote(grant, safe='')}/folders", params)
            many = _decoded(answer.body, _Many, answer)
            for folder in _decoded(many.data, tuple[Folder, ...] | None, answer) or ():
                attributes = frozenset(a.lower() for a in folder.attributes or () if a)
                found[folder.id] = attributes
                names[folder.name or folder.id] = attributes
            cursor = many.next_cursor
            if not cursor:
                return {**names, **found}

    def grant(self, grant: str) -> GrantDetails:
        """One grant with its aliases (Google and Microsoft 365 tell them; others have none); one request."""
        answer = self._get(f"{self._grants}/{quote(grant, safe='')}", {"expose_aliases": "true"})
        details: GrantDetails = _decoded(_decoded(answer.body, _One, answer).data, GrantDetails, answer)
        return details

    def _get(self, url: str, params: Mapping[str, str]) -> Answer:
        answer = self._transport.send("GET", url, headers=self._headers, params=params)
        if answer.status != 200:
            raise failure_of(answer)
        return answer


def _decoded(body: Any, shape: Any, answer: Answer) -> Any:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise TransientError(
            f"Nylas answered 200 with something else than it documents ({type(error).__name__})",
            reason="nylas_shape",
            scope=Scope.MAILBOX,
            evidence=evidence_of(answer),
        ) from error
