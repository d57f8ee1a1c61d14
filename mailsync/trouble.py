"""What happens to an item whose work failed: back to its queue with a delay, or aside with its reason.

A handler raises only when the item can't be sent back either; the host then shows it again after host.json's
visibilityTimeout. So a dequeue count means a crash, and a delay never ends in the poison queue.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from typing import Any, Protocol

import msgspec

from mailsync.errors import MailSyncError, MessageError, MessageGoneError, TransientError
from mailsync.outcome import Kind
from mailsync.retry import delay
from mailsync.storage.aside import Aside
from mailsync.storage.envelope import Item, MessageItem, SweepItem, decode
from mailsync.storage.journal import Entry, Journal
from mailsync.telemetry import emit

GONE_AFTER = 8
"""Attempts at a message Nylas doesn't find, about three minutes, before it counts as deleted."""
TIMER = "timer"

Works = Mapping[type[Item], Callable[[Any], object]]
"""What to do with each kind of item a queue carries."""

log = logging.getLogger("mailsync")


class Send(Protocol):
    """Puts an item on its queue, hidden for `delay` seconds."""

    def __call__(self, item: Item, *, delay: float = 0) -> None: ...


class Handling:
    """Runs the work of one queue item and deals with its failure."""

    def __init__(
        self, *, send: Send, aside: Aside, journal: Journal, clock: Callable[[], float], random: Random
    ) -> None:
        self._send = send
        self._aside = aside
        self._journal = journal
        self._clock = clock
        self._random = random

    def handle(self, text: str | bytes, works: Works) -> None:
        """Do the work of a queue's text; raises only when nothing could be done about a failure."""
        try:
            item = decode(text)
            work = works.get(type(item))
            if work is None:
                raise MessageError(f"a {type(item).__name__} is on the wrong queue", reason="wrong_queue")
        except MessageError as error:
            told = text if isinstance(text, str) else text.decode("utf-8", "replace")
            self._aside.put_unreadable(told, error, now=self._now())
            emit("item_put_aside", reason=error.reason, advice=error)
            return
        if item.not_before is not None and item.not_before > self._now():
            self._send(item, delay=item.not_before - self._now())
            return
        try:
            work(item)
        except MessageError as error:
            self.put_aside(item, error)
        except MessageGoneError as error:
            self._gone_or_not_yet(item, error)
        except MailSyncError as error:
            self._defer(item, error)
        except Exception as error:  # noqa: BLE001  # a fault of ours must not cost the message
            self._defer(item, _unexpected(error))

    def put_aside(self, item: Item, error: MailSyncError) -> None:
        """Keep an item where a person will find it, with the reason."""
        self._aside.put(item, error, now=self._now())
        self._note(item, Kind.PUT_ASIDE, error)
        emit("item_put_aside", **_told(item), reason=error.reason, evidence=error.evidence, advice=error)

    def _gone_or_not_yet(self, item: Item, error: MessageGoneError) -> None:
        if item.attempt + 1 < GONE_AFTER:
            self._defer(item, error)
            return
        self._note(item, Kind.GONE, error)
        emit("message_gone", **_told(item), attempts=item.attempt + 1)

    def _defer(self, item: Item, error: MailSyncError) -> None:
        if isinstance(item, SweepItem) and item.source == TIMER:
            # the watermark has not moved, and the next timer sends another
            emit("item_deferred", **_told(item), reason=error.reason, evidence=error.evidence, advice=error)
            return
        wait = delay(item.attempt, retry_after=error.retry_after, random=self._random)
        self._send(msgspec.structs.replace(item, attempt=item.attempt + 1), delay=wait)
        with suppress(MailSyncError):
            self._note(item, Kind.DEFERRED, error, until=self._now() + int(wait))
        emit(
            "item_deferred",
            **_told(item),
            reason=error.reason,
            attempt=item.attempt + 1,
            wait_s=round(wait),
            evidence=error.evidence,
            advice=error,
        )

    def _note(self, item: Item, kind: Kind, error: MailSyncError, *, until: int | None = None) -> None:
        if not isinstance(item, MessageItem):
            return
        entry = Entry(
            grant=item.grant,
            message=item.message,
            kind=kind,
            noted=self._now(),
            first_seen=item.first_seen,
            reason=error.reason,
            date=item.date,
            folders=item.folders,
            source=item.source,
            notification=item.notification,
            until=until,
            attempt=item.attempt + 1,
            detail=str(error.evidence),
        )
        self._journal.put(entry, self._journal.get(item.grant, item.message))

    def _now(self) -> int:
        return int(self._clock())


def _told(item: Item) -> dict[str, object]:
    message = item.message if isinstance(item, MessageItem) else None
    return {"grant": item.grant, "message": message, "source": item.source}


def _unexpected(error: Exception) -> TransientError:
    """A failure nobody foresaw. Its text could quote mail, so only its type and place are logged."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    place = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-6:]))
    log.error("event=unexpected_failure type=%s at=%s", type(error).__name__, place)
    return TransientError(
        f"an unforeseen {type(error).__name__}; please report it with the line event=unexpected_failure",
        reason="unexpected",
    )
