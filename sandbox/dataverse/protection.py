"""Service protection: how much one user may ask of one web server, over a sliding window.

Knows no HTTP: a refusal says how long to wait, and `answers` puts it into a header.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.dataverse.refusals import ODataError


@dataclass(frozen=True, slots=True)
class Protection:
    """Service protection limits of one user on one web server, over a sliding window of seconds."""

    requests: int = 6000
    execution_ms: float = 1_200_000
    concurrency: int = 52
    window: float = 300.0


@dataclass(slots=True)
class Place:
    """One request in the window: when it came and how many milliseconds it took."""

    came: float
    took: float = 0.0


class Gate:
    """Counts one user's requests against the limits."""

    def __init__(self, limits: Protection, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._seen: deque[Place] = deque()
        self._spent = 0.0
        self._open = 0

    def enter(self) -> Place:
        """A place in the window, or a refusal that says how long to wait."""
        now, limits = self._clock(), self._limits
        while self._seen and self._seen[0].came <= now - limits.window:
            self._spent -= self._seen.popleft().took
        # A refused request counts as well: who ignores Retry-After waits longer.
        place = Place(now)
        self._seen.append(place)
        window = f"over time window of {limits.window:g} seconds."
        if len(self._seen) > limits.requests:
            first = self._seen[len(self._seen) - limits.requests - 1]
            text = f"Number of requests exceeded the limit of {limits.requests} {window}"
            raise ODataError(429, "0x80072322", text, self._wait(first, now))
        if self._spent > limits.execution_ms:
            text = (
                "Combined execution time of incoming requests exceeded limit of "
                f"{limits.execution_ms:,.0f} milliseconds {window} Decrease number of concurrent requests or reduce "
                "the duration of requests and try again later."
            )
            raise ODataError(429, "0x80072321", text, self._wait(self._seen[0], now))
        if self._open >= limits.concurrency:
            text = f"Number of concurrent requests exceeded the limit of {limits.concurrency}."
            raise ODataError(429, "0x80072326", text, 1)
        self._open += 1
        return place

    def leave(self, place: Place) -> None:
        """The request is answered: its time counts in full."""
        now = self._clock()
        self._open -= 1
        if place.came > now - self._limits.window:
            place.took = (now - place.came) * 1000
            self._spent += place.took

    def left(self) -> tuple[int, float]:
        """Requests and seconds of execution that remain."""
        seconds = (self._limits.execution_ms - self._spent) / 1000
        return max(0, self._limits.requests - len(self._seen)), max(0.0, seconds)

    def _wait(self, place: Place, now: float) -> int:
        """Whole seconds until this place leaves the window."""
        return max(1, math.ceil(place.came + self._limits.window - now))
