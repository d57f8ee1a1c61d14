"""Whether the app could take mail in just now, for probes: cheap, bounded in time, and telling nobody more."""

from __future__ import annotations

import threading
from collections.abc import Callable

from mailsync.errors import MailSyncError

REMEMBERED = 5.0
"""Seconds that one answer serves all: however many ask, storage is asked no more often."""


class Health:
    """Remembers whether a call to storage went well."""

    def __init__(self, call: Callable[[], None], *, clock: Callable[[], float]) -> None:
        self._call = call
        self._clock = clock
        self._lock = threading.Lock()
        self._answer: tuple[float, bool] | None = None

    def answers(self) -> bool:
        """Whether storage answers and the settings for it are good."""
        with self._lock:
            if self._answer is None or self._clock() - self._answer[0] >= REMEMBERED:
                self._answer = (self._clock(), self._asked())
            return self._answer[1]

    def _asked(self) -> bool:
        try:
            self._call()
        except MailSyncError:
            return False
        return True
