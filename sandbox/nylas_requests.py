"""How a request to the stand-in for Nylas is read, and how it is answered or refused.

Responsible for paths, keys, typed parameters, the shape of answers and errors, and for sending what is long piece by
piece, until the client has had enough. What an answer says is the business of `nylas`.
"""

from __future__ import annotations

import asyncio
import gzip
import secrets
import uuid
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

import msgspec
from starlette.types import Message, Receive, Scope, Send

from sandbox.mail import pieces
from sandbox.mailboxes import LongText


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake
    """An error in the shape of Nylas."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        provider_error: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.error: dict[str, object] = {"type": kind, "message": message}
        if provider_error is not None:
            self.error["provider_error"] = provider_error


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send: an object, or the bytes of a file as they are."""

    shown: dict[str, Any] | bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, receive: Receive, send: Send, *, zipped: bool) -> None:
        """Send it: a file, and what has long texts in it, piece by piece and only as long as somebody listens."""
        if isinstance(self.shown, bytes):
            told = {"content-type": "application/octet-stream", "content-length": str(len(self.shown))}
            await self._stream(receive, send, told, pieces(self.shown), zipped=zipped and len(self.shown) > 200)
            return
        told = {"content-type": "application/json"}
        mark, texts = secrets.token_hex(16), list[LongText]()
        body = _encoded({"request_id": str(uuid.uuid4()), **self.shown}, mark, texts)
        if texts:
            await self._stream(receive, send, told, _filled(body, mark, texts), zipped=zipped)
            return
        if zipped and len(body) > 200:
            body = gzip.compress(body, 1, mtime=0)
            told["content-encoding"] = "gzip"
        await send(self._start({**told, "content-length": str(len(body))}))
        await send({"type": "http.response.body", "body": body})

    async def _stream(
        self, receive: Receive, send: Send, told: dict[str, str], body: Iterator[bytes], *, zipped: bool
    ) -> None:
        if zipped:
            told = {"content-type": told["content-type"], "content-encoding": "gzip"}
            body = _zipped(body)
        await send(self._start(told))
        gone = asyncio.create_task(_hung_up(receive))
        try:
            for piece in body:
                await asyncio.sleep(0)  # others are served meanwhile, and a client that left is noticed
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()

    def _start(self, told: Mapping[str, str]) -> Message:
        headers = [(name.encode(), value.encode()) for name, value in {**self.headers, **told}.items()]
        return {"type": "http.response.start", "status": self.status, "headers": headers}


@dataclass(frozen=True, slots=True)
class Call:
    """A request, its path cut at the slashes before anything in it is decoded."""

    method: str
    path: tuple[str, ...]
    query_string: str
    authorization: str
    takes_gzip: bool
    body: bytes

    @classmethod
    async def read(cls, scope: Scope, receive: Receive) -> Self:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        headers = dict(scope["headers"])
        return cls(
            method=scope["method"],
            path=tuple(unquote(part) for part in scope["raw_path"].decode("ascii").split("/")[1:]),
            query_string=scope["query_string"].decode("ascii"),
            authorization=headers.get(b"authorization", b"").decode("latin-1"),
            takes_gzip=b"gzip" in headers.get(b"accept-encoding", b""),
            body=body,
        )

    def query(self, *known: str) -> Query:
        """The query; a parameter that is not known here, or that comes twice, is refused."""
        pairs = parse_qsl(self.query_string, keep_blank_values=True)
        values = dict(pairs)
        if unknown := values.keys() - set(known):
            raise invalid(f"unknown query parameter: {', '.join(sorted(unknown))}")
        if len(values) < len(pairs):
            raise invalid("a query parameter was given more than once")
        return Query(values)

    def json(self) -> dict[str, Any]:
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise invalid("error parsing request body") from error


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of a request, each read as what it must be."""

    values: dict[str, str]

    def text(self, name: str) -> str | None:
        return self.values.get(name)

    def number(self, name: str, default: int | None = None) -> int | None:
        written = self.values.get(name)
        if written is None:
            return default
        if not (written.isascii() and written.isdigit()):
            raise invalid(f"{name} must be a whole number")
        return int(written)

    def limit(self, default: int, most: int, *, clamp: bool) -> int:
        limit = self.number("limit", default) or 0
        if limit < 1 or (limit > most and not clamp):
            raise invalid(f"limit must be from 1 to {most}")
        return min(limit, most)

    def flag(self, name: str) -> bool | None:
        written = self.one_of(name, ("true", "false", "True", "False"))
        return None if written is None else written.lower() == "true"

    def one_of(self, name: str, allowed: Collection[str]) -> str | None:
        written = self.values.get(name)
        if written is not None and written not in allowed:
            raise invalid(f"{name} must be one of {', '.join(allowed)}")
        return written

    def addresses(self, name: str, most: int | None = None) -> set[str] | None:
        written = self.values.get(name)
        if written is None:
            return None
        addresses = {part.strip().lower() for part in written.split(",")}
        if most is not None and len(addresses) > most:
            raise invalid(f"{name} takes at most {most} addresses")
        return addresses

    def select(self, shown: dict[str, Any], known: Collection[str] | None) -> dict[str, Any]:
        """Only the fields asked for, if any were."""
        written = self.values.get("select")
        if written is None:
            return shown
        wanted = written.split(",")
        if known is not None and (unknown := set(wanted) - set(known)):
            raise invalid(f"unknown fields in select: {', '.join(sorted(unknown))}")
        return {name: value for name, value in shown.items() if name in wanted}

    def bound(self) -> str:
        """What a page token is bound to: everything but the page and its size."""
        return repr(sorted((k, v) for k, v in self.values.items() if k not in ("page_token", "limit")))


def invalid(message: str) -> Refusal:
    return Refusal(400, "invalid_request_error", message)


def not_found(message: str) -> Refusal:
    return Refusal(404, "not_found_error", message)


def _encoded(shown: dict[str, Any], mark: str, texts: list[LongText]) -> bytes:
    """The object as JSON; a mark stands in the place of each long text, which is put into the list."""

    def leave_out(value: object) -> str:
        if not isinstance(value, LongText):
            raise TypeError(f"not for JSON: {type(value).__name__}")
        texts.append(value)
        return mark

    return msgspec.json.encode(shown, enc_hook=leave_out)


def _filled(body: bytes, mark: str, texts: list[LongText]) -> Iterator[bytes]:
    begun, *rest = body.split(mark.encode())
    yield begun
    for text, after in zip(texts, rest, strict=True):
        yield from text.letters
        yield after


def _zipped(body: Iterator[bytes]) -> Iterator[bytes]:
    zipper = zlib.compressobj(1, wbits=31)
    for piece in body:
        if some := zipper.compress(piece):
            yield some
    yield zipper.flush()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
