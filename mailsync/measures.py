"""The one place where an outcome is counted: in the table of counts, in the metrics, and in the span it belongs to.

It makes no storage call while an email is written; what it holds is written some seconds later, and at the latest by
the sweep's timer or when the process ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from mailsync.errors import MailSyncError
from mailsync.later import Later
from mailsync.outcome import Kind
from mailsync.storage.counts import Counts
from mailsync.storage.envelope import DeletedItem, MessageItem
from mailsync.storage.mailboxes import Mailboxes
from mailsync.storage.tables import ConflictError
from mailsync.telemetry import mark, measure

STANDS = frozenset({Kind.WRITTEN, Kind.ALREADY_THERE, Kind.ADOPTED})
"""The outcomes after which the email stands in Dataverse."""
ENDS = STANDS | {Kind.REMOVED, Kind.ERASED, Kind.SKIPPED, Kind.PUT_ASIDE, Kind.GONE}
"""The outcomes after which nobody waits any more, so that it says something how long it took."""
NEW, SWEEP = "message.created", "sweep"
"""Sources of new mail, whose age at the end says how far behind we are; that of a changed or old one does not."""
NOTED_AFTER = 15.0
"""Seconds from the first email written to the note of it in its mailbox's row, and in all others' since."""


class Measures:
    """Counts what became of messages."""

    def __init__(
        self, *, counts: Counts, mailboxes: Mailboxes, clock: Callable[[], float], after: float = NOTED_AFTER
    ) -> None:
        self._counts = counts
        self._mailboxes = mailboxes
        self._clock = clock
        self._after = after
        self._written: dict[str, int] = {}
        self._lock = threading.Lock()
        self._later = Later(self._note_written)

    def outcome(
        self, item: MessageItem | DeletedItem, kind: Kind, reason: str, *, date: float | None = None
    ) -> float | None:
        """Count what an attempt at an item came to; returns the seconds since its notification, if one led to it.

        `date` is the provider's date of the message, where that is known better than by its item.
        """
        now = self._clock()
        if date is None and isinstance(item, MessageItem):
            date = item.date
        from_notification = now - item.heard if item.source.startswith("message.") else None
        from_date = now - date if date is not None and item.source in {NEW, SWEEP} else None
        is_end = kind in ENDS
        self._counts.note(
            grant=item.grant,
            kind=kind.value,
            reason=reason,
            at=int(now),
            from_date=from_date if is_end else None,
            from_notification=from_notification if is_end else None,
        )
        measure("mailsync.outcomes", 1, kind=kind.value, reason=reason)
        mark(outcome=kind.value, reason=reason)
        if kind in STANDS:
            self._stands(item, kind, from_date, from_notification)
        return from_notification

    def found(self, grant: str, missed: int) -> None:
        """Count messages that a sweep enqueued, since no webhook had told of them or nothing had become of them."""
        if missed:
            now = int(self._clock())
            self._counts.note(grant=grant, kind=Kind.QUEUED.value, reason=SWEEP, at=now, times=missed)

    def flush(self) -> None:
        """Write what is held here; what can't be written now goes with the next."""
        self._counts.flush()
        self._note_written()

    def _stands(
        self, item: MessageItem | DeletedItem, kind: Kind, from_date: float | None, from_notification: float | None
    ) -> None:
        if from_notification is not None:
            measure("mailsync.end_to_end", max(0.0, from_notification), kind=kind.value)
        if from_date is not None:
            measure("mailsync.from_date", max(0.0, from_date), kind=kind.value)
        with self._lock:
            self._written[item.grant] = int(self._clock())
        self._later.ask(self._after)

    def _note_written(self) -> None:
        with self._lock:
            written, self._written = self._written, {}
        try:
            self._mailboxes.note_written(written)
        except (MailSyncError, ConflictError):
            with self._lock:
                self._written = written | self._written
