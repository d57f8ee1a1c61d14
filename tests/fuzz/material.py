"""What nobody sensible sends: broken bytes, JSON of the wrong shape, texts made to break out of where they are put.

Each piece is made from a seed by `random`, which is many times as fast as drawing its parts one by one. How many a test
tries: a few hundred in the suite, always the same ones; with FUZZ_EXAMPLES set, so many new ones.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from mailsync.transport import Transport
from sandbox.servers import Server

T = TypeVar("T")
E = TypeVar("E", bound=Exception)
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))


def tries(ordinary: int) -> settings:
    """So many examples in the suite, or as many as FUZZ_EXAMPLES says."""
    return settings(
        max_examples=EXAMPLES or ordinary,
        derandomize=not EXAMPLES,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


def seeded(make: Callable[[Random], T]) -> st.SearchStrategy[T]:
    """What is made of one seed after the other."""
    return st.integers(0, 2**64 - 1).map(lambda seed: make(Random(seed)))


# texts

BREAKERS = (
    "'", "''", '"', "\\", "\\'", "%27", "%2527", "' or '1'='1", "') or (statecode eq 0", "'&$top=0", "#", "?", "&$filter=true",
    "\r\n", "\r\n\r\nDELETE /api/data/v9.2/emails HTTP/1.1", "--batch_", "\x00", "\u2028", "\ufeff", "\u02bc", "\uff07", "\u2019",
    "+", "%", "%00", "/", "../", "..", ";", ",", "]", ")", "(", "[", "{", "$", "@", "=", " ", "\t", "<", ">", "😀", "é", "日本",
)  # fmt: skip
"""Texts that mean something to JSON, OData, URLs, MIME or HTTP, and look-alikes of the quote."""
SURROGATES = ("\ud800", "\udfff", "\ud83d", "\udc00\ud800")
LONG = ("x" * 400, "é" * 900, "😀" * 300, "'" * 500, "%" * 300, "日" * 320)


def text(random: Random, *, whole: bool = False) -> str:
    """A text of such parts; `whole`: one that can be told in UTF-8."""
    parts = []
    for _ in range(random.choice((0, 1, 1, 2, 3, 6))):
        kind = random.random()
        if kind < 0.5:
            parts.append(random.choice(BREAKERS))
        elif kind < 0.85:
            parts.append(
                "".join(chr(random.choice((random.randrange(128), random.randrange(0xD800)))) for _ in range(3))
            )
        elif kind < 0.95 or whole:
            parts.append(random.choice(("Ann", "a@b.example", "0", "true", "INBOX")))
        else:
            parts.append(random.choice(SURROGATES))
    if random.random() < 0.03:
        parts.append(random.choice(LONG))
    return "".join(parts)


texts = seeded(text)
whole_texts = seeded(lambda random: text(random, whole=True))
"""Without lone surrogates: the mapping lets none pass, and percent-encoding has no word for them."""


# JSON

NUMBERS = (0, 1, -1, 2**31, 2**53 + 1, 2**63, 2**64, 10**18, 10**400, -(10**400), 1e308, -0.0, 0.5, 1_790_000_000)


def value(random: Random, depth: int = 3) -> Any:
    """Any JSON value, but for what is not a number."""
    kind = random.random()
    if kind < 0.3 or (depth == 0 and kind >= 0.7):
        return text(random)
    if kind < 0.5:
        return random.choice(NUMBERS)
    if kind < 0.7:
        return random.choice((None, True, False))
    inner = range(random.randrange(4))
    if kind < 0.85:
        return [value(random, depth - 1) for _ in inner]
    return {text(random): value(random, depth - 1) for _ in inner}


def mutant(random: Random, good: Any) -> Any:
    """A good JSON value with a few places wrong: another value, none, or none at all."""
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        where = random.choice(list(_places(good)))
        good = _changed(good, where, ... if random.random() < 0.25 else value(random))
    return good


def _places(good: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = good.items() if isinstance(good, dict) else enumerate(good) if isinstance(good, list) else ()
    for key, one in inner:
        yield from _places(one, (*path, key))


def _changed(good: Any, path: tuple[Any, ...], change: Any) -> Any:
    if not path:
        return None if change is ... else change
    key, *rest = path
    copy = dict(good) if isinstance(good, dict) else list(good)
    if not rest and change is ...:
        del copy[key]
    else:
        copy[key] = _changed(copy[key], tuple(rest), change)
    return copy


def spelled(random: Random, good: Any) -> bytes:
    """A JSON value in bytes: escaped, or as it is, with broken UTF-8 where its text is broken."""
    if random.random() < 0.5:
        return json.dumps(good).encode()
    return json.dumps(good, ensure_ascii=False).encode("utf-8", "surrogatepass")


# bytes


def damaged(random: Random, good: bytes) -> bytes:
    """Bytes cut short, with some of them changed, or with something between them."""
    at = random.randrange(len(good) + 1)
    more = random.choice(
        (b"\x00", b"\xff", b"\xed\xa0\x80", b"\r\n", b'"', b"{", b"[" * 3000, b"\\ud800", random.randbytes(4))
    )
    return random.choice(
        (
            good[:at],
            good[:at] + more + good[at + len(more) :],
            good[:at] + more + good[at:],
            good + good[at:],
            good[at:],
        )
    )


def json_bytes(random: Random, good: Sequence[Any]) -> bytes:
    """One of these values as it is, changed, or damaged; or any other, or no JSON at all."""
    kind = random.random()
    if kind < 0.05:
        return random.choice(
            (b"", b"null", b'"Bad Gateway"', b"<html>502 quota</html>", b"[" * 50_000, random.randbytes(30))
        )
    if kind < 0.1:
        return spelled(random, value(random))
    body = spelled(random, mutant(random, random.choice(good)))
    return damaged(random, body) if kind < 0.35 else body


# what comes of it


def come_of(call: Callable[[], T], *errors: type[E]) -> T | E:
    """What a call returns, or the one of these errors that it raises; any other gets through."""
    try:
        return call()
    except errors as error:
        return error


@contextmanager
def log() -> Iterator[list[str]]:
    """The lines that the product writes to its log meanwhile, at any level."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, handler = logging.getLogger("mailsync"), Keep()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


# a vendor

STATUSES = (200, 200, 200, 200, 204, 301, 304, 400, 401, 403, 404, 408, 412, 413, 423, 429, 500, 502, 503, 504)
WAITS = (
    "0",
    "1",
    "30",
    "-1",
    "1e9",
    "nan",
    "inf",
    "-inf",
    "1_0",
    "soon",
    "",
    "Wed, 21 Oct 2026 07:28:00 GMT",
    "9" * 400,
)
KINDS = (
    "application/json",
    "text/html",
    "application/json; odata.metadata=minimal",
    "",
    "multipart/mixed",
    "x/y; boundary=",
)
ENCODINGS = ("gzip", "deflate", "br", "identity", "x")
WORDS = ("", "0f6d2c1a-9b7e", "a b", "x" * 200, "<script>", "Ann <ann@contoso.example>")
_HEADERS = {
    "Retry-After": WAITS,
    "Content-Encoding": ENCODINGS,
    "x-ms-service-request-id": WORDS,
    "REQ_ID": WORDS,
    "x-ms-dop-hint": WAITS,
    "x-ms-ratelimit-time-remaining-xrm-requests": WAITS,
}


def status(random: Random) -> int:
    """Of an answer: mostly one that means something."""
    return random.choice(STATUSES) if random.random() < 0.9 else random.randrange(200, 600)


def headers(random: Random) -> dict[str, str]:
    """Of an answer, each lying as it likes; only what HTTP allows in them."""
    found = {name: random.choice(values) for name, values in _HEADERS.items() if random.random() < 0.15}
    return {"Content-Type": random.choice(KINDS), **found}


class Vendor:
    """A server that gives one answer to everything it is asked, and the line to it."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.server = Server(self._app)

    def says(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """From now on."""
        self.status, self.headers, self.body = status, headers, body

    @property
    def line(self) -> Transport:
        """A transport to it."""
        return Transport("vendor", base_url=self.server.url)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body", False):
            pass
        body = b"" if self.status in {204, 304} else self.body
        given = {"content-length": str(len(body)), **self.headers}
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
