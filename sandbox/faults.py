"""Makes a stand-in fail as a script says: wrong answers, slow ones, none at all, lost ones.

Responsible for deciding which request a fault meets and for carrying it out in front of the stand-in. Limits
that a vendor really has (throttling by use, expired grants) belong to its stand-in.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.servers import ABORT


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer this instead of asking the stand-in."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait, then go on to the next fault that matches, or to the stand-in."""

    seconds: float


@dataclass(frozen=True, slots=True)
class DropBefore:
    """Cut the connection before the stand-in has seen the request."""


@dataclass(frozen=True, slots=True)
class DropAfter:
    """Let the stand-in do its work, then cut the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Never answer: until the client hangs up or the server stops."""


@dataclass(frozen=True, slots=True)
class HoldAfter:
    """Let the stand-in do its work, then never answer."""


@dataclass(frozen=True, slots=True)
class DropMidway:
    """Let so many bytes of the answer's body through, then end the connection; a shorter one comes whole."""

    after: int


@dataclass(frozen=True, slots=True)
class HoldMidway:
    """Let so many bytes of the answer's body through, then fall silent."""

    after: int


Act = Answer | Delay | DropBefore | DropAfter | DropMidway | Hold | HoldAfter | HoldMidway


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """One line of the script; what is left out matches everything."""

    act: Act
    method: str | None = None
    path: str = ""
    """Regular expression, searched for in the path with its query, as sent."""
    body: str | None = None
    """Regular expression, searched for in the request's body."""
    times: int | None = None
    """How often it strikes before it is spent."""
    skip: int = 0
    """How many matching requests pass first."""
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Hit:
    """A fault that struck, and the request it met."""

    fault: Fault
    method: str
    path: str


class Faults:
    """ASGI middleware that carries out the script in front of a stand-in, in the order it was written."""

    def __init__(self, app: ASGIApp, *, seed: int = 0) -> None:
        self.app = app
        self.hits: list[Hit] = []
        self._random = random.Random(seed)
        self._script: list[_Line] = []
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        """Put faults at the end of the script."""
        with self._lock:
            self._script = [*self._script, *(_Line(fault) for fault in faults)]

    def clear(self) -> None:
        """Let everything pass again; what is held stays held."""
        with self._lock:
            self._script = []

    def count(self, fault: Fault) -> int:
        """How often this fault struck."""
        with self._lock:
            return sum(hit.fault is fault for hit in self.hits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        script = self._script
        if not script or scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = _path(scope)
        near = [line for line in script if line.meets(scope["method"], path)]
        body: bytes | None = None
        if any(line.body is not None for line in near):
            body = await _read(receive)
            receive = _Replay(body, receive)
        for line in near:
            if line.meets_body(body) and self._strikes(line, scope["method"], path):
                if isinstance(line.fault.act, Delay):
                    await asyncio.sleep(line.fault.act.seconds)
                else:
                    await self._carry_out(line.fault.act, scope, receive, send)
                    return
        await self.app(scope, receive, send)

    def _strikes(self, line: _Line, method: str, path: str) -> bool:
        fault = line.fault
        with self._lock:
            if line.skipped < fault.skip:
                line.skipped += 1
                return False
            if fault.times is not None and line.struck >= fault.times:
                return False
            if fault.probability < 1.0 and self._random.random() >= fault.probability:
                return False
            line.struck += 1
            self.hits.append(Hit(fault, method, path))
        return True

    async def _carry_out(self, act: Act, scope: Scope, receive: Receive, send: Send) -> None:
        match act:
            case Answer():
                await _read(receive)
                await _answer(act, send)
            case DropBefore():
                await _cut(scope, receive)
            case DropAfter():
                await self.app(scope, receive, _swallow)
                await _cut(scope, receive)
            case Hold():
                await _gone(receive)
            case HoldAfter():
                await self.app(scope, receive, _swallow)
                await _gone(receive)
            case DropMidway(after):
                await self.app(scope, receive, _Beginning(after, send))
                scope["extensions"][ABORT]["close"]()
                await _gone(receive)
            case HoldMidway(after):
                await self.app(scope, receive, _Beginning(after, send))
                await _gone(receive)


class _Line:
    """A fault in the script, its expressions compiled, and how far it is spent."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.path = re.compile(fault.path)
        self.body = re.compile(fault.body.encode()) if fault.body is not None else None
        self.skipped = 0
        self.struck = 0

    def meets(self, method: str, path: str) -> bool:
        wanted = self.fault.method
        return (wanted is None or wanted.upper() == method) and self.path.search(path) is not None

    def meets_body(self, body: bytes | None) -> bool:
        return self.body is None or (body is not None and self.body.search(body) is not None)


class _Replay:
    """A `receive` that gives the body which was read already, then what really comes."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Beginning:
    """A `send` that lets so many bytes of a body through and takes the rest for nobody."""

    def __init__(self, left: int, send: Send) -> None:
        self._left = left
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            body = message.get("body", b"")[: self._left]
            self._left -= len(body)
            message = {"type": "http.response.body", "body": body, "more_body": True}
        await self._send(message)


def _path(scope: Scope) -> str:
    path: str = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
    query: str = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    return b"".join(parts)


async def _answer(answer: Answer, send: Send) -> None:
    named = {name.lower(): value for name, value in answer.headers.items()}
    headers = {"content-length": str(len(answer.body)), "content-type": "application/json", **named}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": answer.body})


async def _cut(scope: Scope, receive: Receive) -> None:
    scope["extensions"][ABORT]["abort"]()
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _swallow(_message: Message) -> None:
    """Take the stand-in's answer and give it to nobody."""
