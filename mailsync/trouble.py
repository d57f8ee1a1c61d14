"""What happens to an item whose work failed: back to its queue with a delay, or aside with its reason.

A handler raises only when the item can't be sent back either; the host then shows it again after host.json's
visibilityTimeout. So a dequeue count means a crash, and a delay never ends in the poison queue. The table of all
failures, who acts and what happens, is docs/failures.md.
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

from mailsync.alone import Alone
from mailsync.brake import PAUSE, Brake
from mailsync.errors import (
    FileTroubleError,
    GrantError,
    HeaderTroubleError,
    MailSyncError,
    MessageError,
    MessageGoneError,
    Scope,
    TransientError,
    UnreadableError,
)
from mailsync.measures import Measures
from mailsync.outcome import Kind, Outcome
from mailsync.retry import delay
from mailsync.storage.aside import Aside
from mailsync.storage.envelope import DeletedItem, GrantItem, Item, MessageItem, SweepItem, decode, is_backfills
from mailsync.storage.journal import WAITS_FOR_GRANT, Entry, Journal
from mailsync.storage.mailboxes import Mailboxes
from mailsync.telemetry import emit, mark, span

GONE_AFTER = 8
"""Times Nylas doesn't find a message, over about three minutes, before it counts as deleted."""
UNREADABLE_AFTER = 16
"""Times Nylas shows nothing of a message, over about an hour, before it is put aside."""
REVIVED_AFTER = 60.0
"""Seconds before an item that crashed the process gets its one more life."""
SECOND_CHANCES = 3
"""Attempts at a message that Dataverse refuses while the brake is on: then it is put aside after all."""
CANCELLED_FOR = 3600
"""Seconds that an item of a cancelled backfill is tried: then it is put aside, whatever ails it."""
TIMER = "timer"
SPANS: dict[type[Item], str] = {
    MessageItem: "write_email",
    DeletedItem: "record_deleted",
    SweepItem: "sweep_mailbox",
    GrantItem: "record_grant",
}
"""What the work of each kind of item is called in a trace."""

Works = Mapping[type[Item], Callable[[Any], object]]
"""What to do with each kind of item a queue carries."""

log = logging.getLogger("mailsync")


class Send(Protocol):
    """Puts an item on its queue, hidden for `delay` seconds."""

    def __call__(self, item: Item, *, delay: float = 0) -> None: ...


class Handling:
    """Runs the work of one queue item and deals with its failure."""

    def __init__(
        self,
        *,
        send: Send,
        aside: Aside,
        journal: Journal,
        mailboxes: Mailboxes,
        measures: Measures,
        was_cancelled: Callable[[str], bool],
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        self._send = send
        self._aside = aside
        self._journal = journal
        self._mailboxes = mailboxes
        self._measures = measures
        self._was_cancelled = was_cancelled
        self._clock = clock
        self._random = random
        self._alone = Alone()
        self._brake = Brake(clock=clock)
        self._brake_of_old_mail = Brake(clock=clock)

    def handle(self, text: str | bytes, works: Works) -> None:
        """Do the work of a queue's text; raises only when nothing could be done about a failure."""
        try:
            item = decode(text)
            work = works.get(type(item))
            if work is None:
                raise MessageError(f"a {type(item).__name__} is on the wrong queue", reason="wrong_queue")
        except MessageError as error:
            self._put_text_aside(text, error)
            return
        if item.not_before is not None and item.not_before > self._now():
            self._send(item, delay=item.not_before - self._now())
            return
        with (
            span(SPANS[type(item)], {**_told(item), "attempt": item.attempt}, parent=item.traceparent),
            self._alone.alone() if item.revived else self._alone.together(),
        ):
            self._run(item, work)

    def stopped_for(self) -> float:
        """Seconds for which nothing is written, since too many live messages were put aside; 0.0 as a rule."""
        return self._brake.wait()

    def collect(self, text: str | bytes) -> None:
        """Take an item out of a poison queue: one more life, alone and later, then the table `aside`."""
        try:
            item = decode(text)
        except MessageError as error:
            self._put_text_aside(text, error)
            return
        if not item.revived:
            self._send(msgspec.structs.replace(item, revived=True), delay=REVIVED_AFTER)
            emit("item_revived", **_told(item))
            return
        self.put_aside(
            item,
            MessageError(
                "the function did not survive this item (killed, timed out or out of memory), not even alone; see the "
                "logs of that time, then replay it",
                reason="poison",
            ),
        )

    def put_aside(self, item: Item, error: MailSyncError) -> None:
        """Keep an item where a person will find it, with the reason."""
        if isinstance(item, (MessageItem, DeletedItem)) and self._was_erased(item):
            emit("message_erased", **_told(item), reason=error.reason)
            return
        self._aside.put(item, error, now=self._now())
        self._note(item, Kind.PUT_ASIDE, error)
        self._count(item, Kind.PUT_ASIDE, error)
        emit("item_put_aside", **_told(item), reason=error.reason, evidence=error.evidence, advice=error)

    def _run(self, item: Item, work: Callable[[Any], object]) -> None:
        try:
            self._check_brake(item)
            done = work(item)
            if isinstance(item, MessageItem) and not (isinstance(done, Outcome) and done.was_known):
                self._brake_of(item).note(refused=False)
        except (MessageGoneError, UnreadableError) as error:
            self._missed(item, error)
        except MessageError as error:
            self._refused(item, error)
        except GrantError as error:
            self._wait_for_grant(item, error)
        except (FileTroubleError, HeaderTroubleError) as error:
            self._wait_for_part(item, error)
        except MailSyncError as error:
            self._defer(item, error)
        except Exception as error:  # noqa: BLE001  # a fault of ours must not cost the message
            self._defer(item, unexpected(error))

    def _brake_of(self, item: Item) -> Brake:
        """What a backfill brings says nothing of live mail: a plug-in may refuse all that is old, and nothing new."""
        return self._brake_of_old_mail if is_backfills(item.source) else self._brake

    def _check_brake(self, item: Item) -> None:
        wait = self._brake_of(item).wait()
        if wait > 0 and isinstance(item, MessageItem):
            raise TransientError(
                "writing is stopped: too many messages were put aside",
                reason="writing_stopped",
                scope=Scope.ORGANISATION,
                retry_after=wait,
            )

    def _refused(self, item: Item, error: MessageError) -> None:
        # a listing is no message; and that a mailbox was disconnected no other one may notice
        is_message = isinstance(item, MessageItem) and error.scope is Scope.MESSAGE
        if is_message and self._brake_of(item).note(refused=True):
            told = {"source": item.source, "reason": error.reason, "evidence": error.evidence}
            emit("writing_stopped", **told, seconds=round(PAUSE))
            if item.attempt < SECOND_CHANCES:
                self._defer(item, error)
                return
        self.put_aside(item, error)

    def _put_text_aside(self, text: str | bytes, error: MessageError) -> None:
        told = text if isinstance(text, str) else text.decode("utf-8", "replace")
        self._aside.put_unreadable(told, error, now=self._now())
        emit("item_put_aside", reason=error.reason, advice=error)

    def _missed(self, item: Item, error: MessageGoneError | UnreadableError) -> None:
        """Nylas has nothing to show, or not yet; how often that was is counted apart from all other trouble."""
        misses = item.misses + 1
        if misses < (GONE_AFTER if isinstance(error, MessageGoneError) else UNREADABLE_AFTER):
            again = msgspec.structs.replace(item, misses=misses)
            self._defer(again, error, wait=delay(item.misses, retry_after=None, random=self._random))
        elif isinstance(error, UnreadableError):
            self._refused(item, error)
        else:
            self._note(item, Kind.GONE, error)
            self._count(item, Kind.GONE, error)
            emit("message_gone", **_told(item), attempts=item.attempt + 1)

    def _wait_for_part(self, item: Item, error: FileTroubleError | HeaderTroubleError) -> None:
        """A file or the header of a message is not to be had; how often that was is counted apart, and then it goes
        without."""
        if not isinstance(item, MessageItem):
            self._defer(item, error)
            return
        counter = "file_misses" if isinstance(error, FileTroubleError) else "header_misses"
        misses: int = getattr(item, counter)
        wait = delay(misses, retry_after=error.retry_after, random=self._random)
        self._defer(msgspec.structs.replace(item, **{counter: misses + 1}), error, wait=wait)

    def _wait_for_grant(self, item: Item, error: GrantError) -> None:
        """The mailbox's owner must sign in: until then the message waits in the journal and is on no queue."""
        if isinstance(item, MessageItem):
            self._note(item, Kind.DEFERRED, error, reason=WAITS_FOR_GRANT)
            self._mailboxes.note_waiting(item.grant)
        self._count(item, Kind.DEFERRED, error)
        emit("item_deferred", **_told(item), reason=error.reason, evidence=error.evidence, advice=error)

    def _defer(self, item: Item, error: MailSyncError, *, wait: float | None = None) -> None:
        if isinstance(item, SweepItem) and item.source == TIMER:
            # the watermark has not moved, and the next timer sends another
            self._count(item, Kind.DEFERRED, error)
            emit("item_deferred", **_told(item), reason=error.reason, evidence=error.evidence, advice=error)
            return
        if self._is_given_up(item):
            self.put_aside(item, error)
            return
        if wait is None:
            wait = delay(item.attempt, retry_after=error.retry_after, random=self._random)
        self._send(msgspec.structs.replace(item, attempt=item.attempt + 1), delay=wait)
        with suppress(MailSyncError):
            self._note(item, Kind.DEFERRED, error, until=self._now() + int(wait))
        self._count(item, Kind.DEFERRED, error)
        emit(
            "item_deferred",
            **_told(item),
            reason=error.reason,
            attempt=item.attempt + 1,
            wait_s=round(wait),
            evidence=error.evidence,
            advice=error,
        )

    def _is_given_up(self, item: Item) -> bool:
        """Whether an item is of a backfill that somebody cancelled, and has been tried for long."""
        if not is_backfills(item.source) or not isinstance(item, MessageItem):
            return False
        return self._now() - item.first_seen >= CANCELLED_FOR and self._was_cancelled(item.source)

    def _note(
        self, item: Item, kind: Kind, error: MailSyncError, *, until: int | None = None, reason: str | None = None
    ) -> None:
        if not isinstance(item, MessageItem):
            return
        entry = Entry(
            grant=item.grant,
            message=item.message,
            kind=kind,
            noted=self._now(),
            first_seen=item.first_seen,
            reason=reason or error.reason,
            date=item.date,
            folders=item.folders,
            source=item.source,
            notification=item.notification,
            until=until,
            attempt=item.attempt + 1,
            detail=str(error.evidence),
        )
        self._journal.put(entry, self._journal.get(item.grant, item.message, date=item.date))

    def _was_erased(self, item: MessageItem | DeletedItem) -> bool:
        known = self._journal.get(item.grant, item.message, date=item.date if isinstance(item, MessageItem) else None)
        return known is not None and known.kind is Kind.ERASED

    def _count(self, item: Item, kind: Kind, error: MailSyncError) -> None:
        """Count what became of a message; of a sweep or a grant only its own span tells."""
        if isinstance(item, (MessageItem, DeletedItem)):
            self._measures.outcome(item, kind, error.reason)
        else:
            mark(outcome=kind.value, reason=error.reason)

    def _now(self) -> int:
        return int(self._clock())


def _told(item: Item) -> dict[str, object]:
    message = item.message if isinstance(item, (MessageItem, DeletedItem)) else None
    return {"grant": item.grant, "message": message, "source": item.source}


def unexpected(error: Exception) -> TransientError:
    """A failure nobody foresaw. Its text could quote mail, so only its type and place are logged."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    place = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-6:]))
    log.error("event=unexpected_failure type=%s at=%s", type(error).__name__, place)
    return TransientError(
        f"an unforeseen {type(error).__name__}; please report it with the line event=unexpected_failure",
        reason="unexpected",
    )
