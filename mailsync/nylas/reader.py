"""Reads mail and mailboxes from Nylas v3 over a pooled connection; answers become typed values or our errors.

Not through Nylas' SDK: it opens a connection for each call, loses the status of errors that aren't JSON and
drops the folder attributes and aliases we need (measured on 6.18.0, 2026-11). `grants.py` uses it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from email.policy import compat32
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import msgspec

from mailsync.errors import (
    GrantError,
    MailSyncError,
    MessageError,
    MessageGoneError,
    Scope,
    TransientError,
    UnreadableError,
)
from mailsync.gates import Gate
from mailsync.nylas.answers import evidence_of, failure_of
from mailsync.nylas.notification import LONGEST_ID
from mailsync.nylas.wire import read
from mailsync.telemetry import emit
from mailsync.transport import Answer, Transport
from mapping.message import Header, Message

WHOLE_HEADER = frozenset({"google", "microsoft"})
"""The providers of which `include_headers` brings the whole header; of others only what Nylas makes (Nylas' page on
headers and MIME, read 2026-11)."""
LONGEST_HEADER = 2 * 1024 * 1024
"""Bytes of a raw message in which the end of its header is looked for."""
LONGEST_REFUSAL = 64 * 1024
FOLDERS_PAGE = 200
UNITS_OF_GET, UNITS_OF_LIST = 20, 5
"""What Gmail counts against a user's quota of 6,000 units a minute, for projects made since 2026-05 (Nylas' and
Google's quota pages, read 2026-11); a page costs a listing and each of its messages."""
PATIENCE = 60.0
"""Seconds that a listing, or a file of a message, stands still for a mailbox's pace: back on the queue it would begin
anew each time."""
LIVE_PATIENCE = 25.0
"""Seconds that the read of a live message stands there, so that listings and a backfill of its mailbox let it go first:
what a page of forty takes two instances to make up for."""
MOST_IN_LINE = 2
"""So many stand there, and a live message too would rather go back to the queue: other mailboxes' mail waits behind."""

T = TypeVar("T")
_UNDECODABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


class Folder(msgspec.Struct, frozen=True):
    """A folder or label; attributes such as `\\Sent` tell what it is, its name is localised."""

    id: str
    name: str | None = None
    attributes: tuple[str | None, ...] | None = None


Id = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID)]


class Listed(msgspec.Struct, frozen=True):
    """The little of a listed message that a sweep uses."""

    id: Id
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


class _Named(msgspec.Struct, frozen=True):
    id: Id


class _One(msgspec.Struct, frozen=True):
    data: msgspec.Raw


class _Many(msgspec.Struct, frozen=True):
    data: msgspec.Raw = msgspec.Raw(b"null")
    next_cursor: str | None = None


class CursorError(TransientError):
    """A page cursor is no longer accepted: the window must be listed from its start."""


class Reader:
    """Nylas' API for one application."""

    def __init__(
        self, transport: Transport, *, api_uri: str, api_key: str, gate: Gate, gate_of: Callable[[str], Gate]
    ) -> None:
        self._transport = transport
        self._gate = gate
        self._gate_of = gate_of
        self._grants = f"{api_uri}/v3/grants"
        self._headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}

    def message(self, grant: str, message: str, *, with_header: bool = False, live: bool = False) -> Message:
        """One message with its Message-ID, In-Reply-To and References headers, or all of them; one request.

        Raises MessageGoneError on 404, UnreadableError on an answer that holds no message at all. An answer without
        the list of headers is trouble, not a message without a Message-ID: taken so, the same mail would get a second
        identity. Where all of them were asked for and there is none, these three can still be asked for. `live` mail
        goes first where a mailbox has a pace.
        """
        url = self._message_url(grant, message)
        fields = "include_headers" if with_header else "include_basic_headers"
        patience = LIVE_PATIENCE if live and self._gate_of(grant).in_line < MOST_IN_LINE else 0.0
        answer = self._get(grant, url, {"fields": fields}, units=UNITS_OF_GET, patience=patience)
        shown = _decoded(answer.body, _One, answer).data
        try:
            got: Message = msgspec.json.decode(shown, type=Message)
        except _UNDECODABLE as error:
            if _is_empty(shown):
                raise UnreadableError(
                    "Nylas answered 200 without the message", reason="nylas_empty", evidence=evidence_of(answer)
                ) from error
            # msgspec names the path and the type it met, never the value
            raise MessageError(
                f"the message is not in the documented shape: {error}",
                reason="message_shape",
                evidence=evidence_of(answer),
            ) from error
        if got.headers is None and not with_header:
            raise TransientError(
                "Nylas answered without the message's headers; its identity can't be told",
                reason="nylas_without_headers",
                evidence=evidence_of(answer),
            )
        return got

    def header(self, grant: str, message: str, *, live: bool = False) -> tuple[Header, ...] | None:
        """The whole header of a message, from the beginning of its raw form; one request, broken off behind it.

        None where it can't be had: Nylas refuses its raw form, or the grant may not read it. Raises MessageGoneError
        where there is none, or none yet.
        """
        params = {"fields": "raw_mime"}
        try:
            with self._streamed(grant, self._message_url(grant, message), params, live=live) as pieces:
                return _header_in(pieces)
        except MessageError:
            return None
        except GrantError as error:
            if error.reason == "grant_lacks_scope":
                return None
            raise

    @contextmanager
    def file(self, grant: str, message: str, attachment: str, *, live: bool = False) -> Iterator[Iterator[bytes]]:
        """The bytes of one file of a message, piece by piece; one request.

        Raises MessageGoneError where the mailbox has it no more, and while it is read TransientError when it breaks
        off.
        """
        url = f"{self._grants}/{quote(grant, safe='')}/attachments/{quote(attachment, safe='')}/download"
        with self._streamed(grant, url, {"message_id": message}, live=live) as pieces:
            yield pieces

    def page(
        self, grant: str, *, after: int, before: int, limit: int, cursor: str | None, folder: str | None = None
    ) -> Page:
        """One page of the messages between two moments (unix seconds), of one folder or all, newest first; one request.

        A message in another shape than documented counts by its id alone; one without an id is told in the log, for
        nobody can ask for it. Raises CursorError when Nylas refuses a cursor it gave out.
        """
        params = {
            "limit": str(limit),
            "received_after": str(after),
            "received_before": str(before),
            "select": "id,grant_id,date,folders",
        }
        if folder is not None:
            params["in"] = folder
        if cursor is not None:
            params["page_token"] = cursor
        try:
            answer = self._get(
                grant,
                f"{self._grants}/{quote(grant, safe='')}/messages",
                params,
                units=UNITS_OF_LIST + limit * UNITS_OF_GET,
                patience=PATIENCE,
                yields=True,
            )
        except (MessageError, MessageGoneError) as error:
            if cursor is None:
                raise
            raise CursorError(
                "Nylas refuses a page cursor it gave out",
                reason="nylas_cursor",
                scope=Scope.MAILBOX,
                evidence=error.evidence,
            ) from error
        many = _decoded(answer.body, _Many, answer)
        listed = tuple(map(_listed, _decoded(many.data, tuple[msgspec.Raw, ...] | None, answer) or ()))
        if None in listed:
            emit("messages_without_id", grant=grant, count=listed.count(None))
        return Page(messages=tuple(one for one in listed if one is not None), cursor=many.next_cursor or None)

    def correspondence(
        self, grant: str, addresses: Sequence[str], *, limit: int, cursor: str | None
    ) -> tuple[tuple[Message, ...], str | None]:
        """One page of the messages of whatever age that name one of these addresses, and where the next one begins.

        At most 25 addresses. With what tells a message's identity and nothing else of it; one in another shape than
        documented counts by its id alone.
        """
        params = {
            "limit": str(limit),
            "any_email": ",".join(addresses),
            "fields": "include_basic_headers",
            "select": "id,grant_id,date,subject,from,to,cc,bcc,headers",
            **({"page_token": cursor} if cursor is not None else {}),
        }
        url = f"{self._grants}/{quote(grant, safe='')}/messages"
        units = UNITS_OF_LIST + limit * UNITS_OF_GET
        answer = self._get(grant, url, params, units=units, patience=PATIENCE, yields=True)
        many = _decoded(answer.body, _Many, answer)
        shown = _decoded(many.data, tuple[msgspec.Raw, ...] | None, answer) or ()
        found = (_readable(one, Message) or _bare(one) for one in shown)
        return tuple(one for one in found if one is not None), many.next_cursor or None

    def folders(self, grant: str) -> Mapping[str, Folder]:
        """Each folder of a mailbox, by id and, where no id is so spelled, by name.

        A folder in another shape than documented is left out: no mail waits for it.
        """
        found: dict[str, Folder] = {}
        names: dict[str, Folder] = {}
        cursor: str | None = None
        while True:
            params = {"limit": str(FOLDERS_PAGE), **({"page_token": cursor} if cursor else {})}
            answer = self._get(grant, f"{self._grants}/{quote(grant, safe='')}/folders", params, units=UNITS_OF_LIST)
            many = _decoded(answer.body, _Many, answer)
            for shown in _decoded(many.data, tuple[msgspec.Raw, ...] | None, answer) or ():
                folder = _readable(shown, Folder)
                if folder is None:
                    continue
                found[folder.id] = folder
                names[folder.name or folder.id] = folder
            cursor = many.next_cursor
            if not cursor:
                return {**names, **found}

    def grant(self, grant: str) -> GrantDetails:
        """One grant with its aliases (Google and Microsoft 365 tell them; others have none); one request."""
        answer = self._get(grant, f"{self._grants}/{quote(grant, safe='')}", {"expose_aliases": "true"}, units=0)
        details: GrantDetails = _decoded(_decoded(answer.body, _One, answer).data, GrantDetails, answer)
        return details

    def _message_url(self, grant: str, message: str) -> str:
        return f"{self._grants}/{quote(grant, safe='')}/messages/{quote(message, safe='')}"

    @contextmanager
    def _streamed(self, grant: str, url: str, params: Mapping[str, str], *, live: bool) -> Iterator[Iterator[bytes]]:
        """The body of an answer of 200, inside both gates for as long as it is read.

        What fails while its reader does something else is nobody's fault here, and closes no gate of ours.
        """
        elsewhere: MailSyncError | None = None
        with (
            self._gate_of(grant).passing(UNITS_OF_GET, patience=PATIENCE, yields=not live),
            self._gate.passing(),
            self._transport.stream("GET", url, headers=self._headers, params=params) as answer,
        ):
            if answer.status != 200:
                raise failure_of(answer.whole(LONGEST_REFUSAL))
            pieces = _Watched(answer.pieces)
            try:
                yield iter(pieces)
            except MailSyncError as error:
                if error is pieces.failure:
                    raise
                elsewhere = error
        if elsewhere is not None:
            raise elsewhere

    def _get(
        self,
        grant: str,
        url: str,
        params: Mapping[str, str],
        *,
        units: float,
        patience: float = 0.0,
        yields: bool = False,
    ) -> Answer:
        with self._gate_of(grant).passing(units, patience=patience, yields=yields), self._gate.passing():
            answer = self._transport.send("GET", url, headers=self._headers, params=params)
            if answer.status != 200:
                raise failure_of(answer)
            return answer


class _Watched:
    """Pieces of a body, and what went wrong while they were read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.failure: MailSyncError | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._pieces
        except MailSyncError as error:
            self.failure = error
            raise


def _header_in(pieces: Iterator[bytes]) -> tuple[Header, ...] | None:
    """The header lines at the beginning of a raw message, which stands as base64url in a JSON answer.

    Raises TransientError for what is no answer of Nylas: nobody may take a proxy's page for mail without a header.
    """
    text, header, found, mark = b"", b"", b"", b'"raw_mime":'
    for piece in pieces:
        text += piece
        _, found, rest = text.replace(b'"raw_mime" :', mark).partition(mark)
        encoded = rest.lstrip()[1:].partition(b'"')[0] if found else b""
        header, ended = _split_header(_decoded_beginning(encoded))
        if ended:
            return _headers_of(header)
        if len(text) > LONGEST_HEADER:
            if text.lstrip().startswith(b"{"):
                return None
            break
    if not found:
        _decoded(text, _One, Answer(200, {}, text))
    return _headers_of(header) if header else None


def _decoded_beginning(encoded: bytes) -> bytes:
    """The bytes of a base64url text that may end anywhere, padded or not; none of what is no such text."""
    whole = encoded.rstrip(b"=")
    whole = whole[: len(whole) - (len(whole) % 4 == 1)]
    try:
        return base64.urlsafe_b64decode(whole + b"=" * (-len(whole) % 4))
    except binascii.Error:
        return b""


def _split_header(raw: bytes) -> tuple[bytes, bool]:
    for end in (b"\r\n\r\n", b"\n\n"):
        header, found, _ = raw.partition(end)
        if found:
            return header, True
    return raw, False


def _headers_of(raw: bytes) -> tuple[Header, ...]:
    parsed = BytesHeaderParser(policy=compat32).parsebytes(raw + b"\n\n")
    return tuple(Header(name, str(value)) for name, value in parsed.raw_items())


def _listed(shown: msgspec.Raw) -> Listed | None:
    listed = _readable(shown, Listed)
    if listed is None and (named := _readable(shown, _Named)) is not None:
        return Listed(named.id)
    return listed


def _bare(shown: msgspec.Raw) -> Message | None:
    named = _readable(shown, _Named)
    return Message(id=named.id) if named is not None else None


def _readable(shown: msgspec.Raw, shape: type[T]) -> T | None:
    with suppress(*_UNDECODABLE):
        return msgspec.json.decode(shown, type=shape)
    return None


def _is_empty(shown: msgspec.Raw) -> bool:
    with suppress(*_UNDECODABLE):
        return not msgspec.json.decode(shown)
    return False


def _decoded(body: Any, shape: Any, answer: Answer) -> Any:
    try:
        return read(msgspec.json.Decoder(shape).decode, body)
    except _UNDECODABLE as error:
        raise TransientError(
            f"Nylas answered 200 with something else than it documents ({type(error).__name__})",
            reason="nylas_shape",
            scope=Scope.MAILBOX,
            evidence=evidence_of(answer),
        ) from error
