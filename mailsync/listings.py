"""All that Nylas lists of a mailbox between two moments, for somebody who waits for the answer.

Where the app would send an item back to its queue, a command waits as long as a vendor asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import TypeVar

from mailsync.errors import TransientError
from mailsync.nylas.reader import CursorError, Listed, Reader
from mailsync.retry import delay
from mailsync.windows import Window, cut

T = TypeVar("T")

TRIES = 8
LONGEST_PAUSE = 60.0
"""Seconds; a person would rather be told than wait longer for one answer."""
RESTARTS = 3
"""How often a window whose page cursor fails is listed from its start."""


class OutOfTimeError(Exception):
    """The time that somebody gave for all of it is over; what was begun proves nothing."""


class Patience:
    """Makes a call again where trouble passes."""

    def __init__(
        self,
        *,
        pause: Callable[[float], None],
        random: Random,
        tries: int = TRIES,
        longest: float = LONGEST_PAUSE,
        check_time: Callable[[], None] = lambda: None,
    ) -> None:
        self._pause = pause
        self._random = random
        self._tries = tries
        self._longest = longest
        self._check_time = check_time

    def __call__(self, call: Callable[[], T]) -> T:
        """What the call answers; raises its last TransientError, and everything else at once.

        `check_time` is asked before each call, and may raise OutOfTimeError.
        """
        for attempt in range(self._tries - 1):
            self._check_time()
            try:
                return call()
            except CursorError:
                raise
            except TransientError as error:
                wait = delay(attempt, retry_after=error.retry_after, random=self._random)
                self._pause(min(wait, self._longest))
        self._check_time()
        return call()


class Listings:
    """Lists mailboxes window by window."""

    def __init__(self, *, reader: Reader, page_size: int, patience: Patience) -> None:
        self._reader = reader
        self._page_size = page_size
        self._patience = patience

    def between(self, grant: str, since: int, until: int, folder: str | None = None) -> dict[str, Listed]:
        """The messages received between two moments, both included, by their ids; of one folder or all."""
        found: dict[str, Listed] = {}
        for window in cut(since, until) if since <= until else ():
            for one in self._window(grant, window, folder):
                if one.date is None or since <= one.date <= until:
                    found[one.id] = one
        return found

    def _window(self, grant: str, window: Window, folder: str | None) -> list[Listed]:
        for _ in range(RESTARTS):
            try:
                return list(self._pages(grant, window, folder))
            except CursorError:
                continue
        return list(self._pages(grant, window, folder))

    def _pages(self, grant: str, window: Window, folder: str | None) -> Iterator[Listed]:
        cursor: str | None = None
        while True:
            page = self._patience(
                partial(
                    self._reader.page,
                    grant,
                    after=window.after,
                    before=window.before,
                    limit=self._page_size,
                    cursor=cursor,
                    folder=folder,
                )
            )
            yield from page.messages
            cursor = page.cursor
            if cursor is None:
                return
