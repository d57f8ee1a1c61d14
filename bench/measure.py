"""What is measured: when requests arrive and emails stand in Dataverse, how many round trips, whose CPU."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Self

import psutil
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.host import HostProcess
from sandbox.world import World

DELAY = 0.050
"""Seconds added to each vendor's answer."""
PATIENCE = 120.0
"""Seconds until something that should have happened counts as never happening."""


class Meter:
    """ASGI middleware that notes the first request, and each answer that says an email is created or completed."""

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
        heard: list[bytes] = []

        async def hear() -> Message:
            message = await receive()
            heard.append(message.get("body", b""))
            return message

        async def say(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start" and message["status"] < 300:
                self._note(scope["method"], scope["path"], heard)

        await self._app(scope, hear, say)

    def _note(self, method: str, path: str, heard: list[bytes]) -> None:
        what = path.rpartition("/")[2].partition("(")[0]
        body = b"".join(heard) if what == "$batch" else b""
        if (method, what) == ("POST", "emails") or b"\r\nPOST /api/data/v9.2/emails" in body:
            self.created.append(time.perf_counter())
        if (method, what) == ("PATCH", "emails") or b"\r\nPATCH /api/data/v9.2/emails" in body:
            self.completed.append(time.perf_counter())


def metered(world: World) -> dict[str, Meter]:
    """Put a meter before the stand-ins for Nylas and Dataverse."""
    meters = {name: Meter(world.faults[name].app) for name in ("nylas", "dataverse")}
    for name, meter in meters.items():
        world.faults[name].app = meter
    return meters


@dataclass(frozen=True, slots=True)
class Trips:
    """Round trips and new TCP connections, as the stand-ins' servers count them."""

    dataverse: int
    nylas: int
    connections: int

    @classmethod
    def of(cls, world: World) -> Self:
        """So far."""
        servers = world.servers
        return cls(
            dataverse=servers["dataverse"].requests,
            nylas=servers["nylas"].requests,
            connections=servers["dataverse"].connections + servers["nylas"].connections,
        )

    def since(self, before: Trips) -> Trips:
        """What was added since then."""
        return Trips(
            self.dataverse - before.dataverse, self.nylas - before.nylas, self.connections - before.connections
        )


def cpu_of(pid: int) -> float:
    """Seconds of CPU a process has used."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def settle(world: World, host: HostProcess, function: str, more: int, succeeded: int) -> None:
    """Return once a function has succeeded so many times more than before, and nothing runs."""

    def done() -> bool:
        known = host.functions()
        return known[function]["succeeded"] >= succeeded + more and not any(one["running"] for one in known.values())

    world.wait(f"{more} runs of {function}", done, PATIENCE)
