"""Stops writing when too large a share of messages is put aside.

That is the mark of a wrong setting or deployment, not of so many bad messages: the queue backs up, where it is safe,
instead of being emptied into a table for people to read.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

OUTCOMES = 50
"""The last outcomes that are looked at."""
LEAST = 10
"""No fewer put aside among them stop anything."""
SHARE = 0.5
PAUSE = 300.0
"""Seconds that nothing is written; then a new count begins."""


class Brake:
    """Counts the outcomes of one process."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: deque[bool] = deque(maxlen=OUTCOMES)
        self._until = 0.0

    def wait(self) -> float:
        """Seconds until writing goes on; 0.0 when it is not stopped."""
        return max(0.0, self._until - self._clock())

    def note(self, *, refused: bool) -> bool:
        """Count an outcome; True when it is the one that stops writing."""
        with self._lock:
            self._refused.append(refused)
            count = sum(self._refused)
            if not refused or count < LEAST or count < SHARE * len(self._refused):
                return False
            self._refused.clear()
            self._until = self._clock() + PAUSE
            return True
