"""What is measured: when requests arrive and emails stand in Dataverse, how many round trips, whose CPU."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Self

import psutil
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.world import World

DELAY = 0.050
"""Seconds added to each vendor's answer."""


class Meter:
    """ASGI middleware that notes when requests came and when an answer said that an email is created or completed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.first: float | None = None
        self.created: list[float] = []
        self.completed: list[float] = []

    def clear(self) -> None:
        """Begin anew."""
        self.first = None
        self.created.clear()
        self.completed.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.first is None:
            self.first = time.perf_counter()
        body = b""

        async def hear() -> Message:
            nonlocal body
            message = await receive()
            body += message.get("body", b"")
            return message

        async def say(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start" and message["status"] < 300:
                self._note(scope, body)

        await self._app(scope, hear, say)

    def _note(self, scope: Scope, body: bytes) -> None:
        what = (scope["method"], scope["path"].rpartition("/")[2].partition("(")[0])
        if what == ("POST", "emails") or (what == ("POST", "$batch") and b"\r\nPOST /api" in body):
            self.created.append(time.perf_counter())
        if what == ("PATCH", "emails") or (what == ("POST", "$batch") and b"\r\nPATCH /api" in body):
            self.completed.append(time.perf_counter())


@dataclass(frozen=True, slots=True)
class Counts:
    """Counters at one moment, or how far they moved between two."""

    dataverse: int
    nylas: int
    connections: int

    @classmethod
    def of(cls, world: World) -> Self:
        """As they stand now."""
        servers = world.servers
        return cls(
            dataverse=servers["dataverse"].requests,
            nylas=servers["nylas"].requests,
            connections=servers["dataverse"].connections + servers["nylas"].connections,
        )

    def __sub__(self, other: Counts) -> Counts:
        return Counts(
            self.dataverse - other.dataverse, self.nylas - other.nylas, self.connections - other.connections
        )


def cpu_of(pid: int) -> float:
    """Seconds of CPU a process has used, its own children left out."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system
