"""Shortens the records of messages that are older than somebody wants them kept: that a message was handled is never
forgotten, only which one it was. What was put aside is taken away that much later than it was replayed.

A few thousand records are looked at in one run, and the next goes on from there. Nothing else waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mailsync.storage.aside import Aside, Kept
from mailsync.storage.journal import KEPT_OPEN, Entry, Journal
from mailsync.storage.pseudonyms import Pseudonyms
from mailsync.storage.threads import SightingRow, Sightings
from mailsync.storage.tombstones import LIFE, Tombstones
from mailsync.storage.walks import START, Walk, Walks
from mailsync.telemetry import emit

T = TypeVar("T")
DAY = 86_400
PORTION = 1000
"""Rows that one storage call reads."""
MOST = 5000
"""Rows of a table that one run looks at."""
BUDGET = 120.0
"""Seconds after which a run leaves the rest to the next one."""
REST = 6 * 3600
"""Seconds between the end of a walk and the next one."""
AHEAD = DAY
"""Seconds by which the bound is published before records up to it are due: then it moves once or twice a day."""

Portion = Callable[[tuple[str, str], int], tuple[list[T], tuple[str, str] | None]]


class Retention:
    """Walks through the journal, the sightings and what was put aside."""

    def __init__(
        self,
        *,
        journal: Journal,
        sightings: Sightings,
        aside: Aside,
        tombstones: Tombstones,
        walks: Walks,
        clock: Callable[[], float],
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._sightings = sightings
        self._aside = aside
        self._tombstones = tombstones
        self._walks = walks
        self._clock = clock
        self._stopwatch = stopwatch

    def shorten(self, *, keep: int) -> None:
        """Shorten what was last noted longer ago than `keep` seconds, and is of no younger date; forget what was
        replayed longer ago.

        Raises ConfigurationError without the key that hashes are made with.
        """
        pseudonyms = self._tombstones.claim()
        before = self._allowed(int(self._clock()) - keep)
        if before <= 0:
            return
        records = self._walk("journal", self._journal.walk, lambda rows: self._records(rows, before, pseudonyms))
        seen = self._walk("sightings", self._sightings.walk, lambda rows: self._seen(rows, before, pseudonyms))
        replayed = self._walk("aside", self._aside.walk, lambda rows: self._replayed(rows, before))
        if records or seen or replayed:
            emit("journal_shortened", records=records, sightings=seen, aside=replayed, before=before)

    def _allowed(self, due: int) -> int:
        """Up to when records may be shortened now: no further than every process knows that some were.

        A process that doesn't would not look for them under their hashes.
        """
        published = self._tombstones.bound
        if published is None or published[0] < due + AHEAD // 2:
            self._tombstones.move_bound(due + AHEAD)
        if published is None:
            return 0
        bound, since = published
        return min(bound, due) if since + 2 * LIFE <= self._clock() else 0

    def _walk(self, name: str, portion: Portion[T], work: Callable[[list[T]], int]) -> int:
        """Do the work on some portions of a table; returns how many rows were shortened or forgotten."""
        walk, now = self._walks.get(name), self._clock()
        if walk.at == START and walk.ended is not None and now - walk.ended < REST:
            return 0
        done = looked_at = 0
        deadline = self._stopwatch() + BUDGET
        while looked_at < MOST and self._stopwatch() < deadline:
            rows, place = portion(walk.at, PORTION)
            done += work(rows)
            looked_at += len(rows)
            walk = Walk(place, walk.ended) if place is not None else Walk(START, int(now))
            self._walks.note(name, walk)
            if place is None:
                break
        return done

    def _records(self, entries: list[Entry], before: int, pseudonyms: Pseudonyms) -> int:
        due = [
            entry
            for entry in entries
            if not entry.pseudonym and entry.kind not in KEPT_OPEN and max(entry.noted, entry.date or 0) < before
        ]
        return self._journal.shorten(due, pseudonyms)

    def _seen(self, rows: list[SightingRow], before: int, pseudonyms: Pseudonyms) -> int:
        due = (row for row in rows if row.sighting.grant and row.noted < before)
        return sum(self._sightings.shorten(row, pseudonyms) for row in due)

    def _replayed(self, rows: list[Kept], before: int) -> int:
        return sum(self._aside.forget(row) for row in rows if row.replayed is not None and row.replayed < before)
