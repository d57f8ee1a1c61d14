"""What a person puts back on the queues: what was put aside, what nobody accounts for, what somebody removed.

Everything becomes the same items on the same queues as a webhook's; nothing is written from here. The journal says
`queued` before an item is sent, so that a crash in between is found like any other lost item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec

from mailsync.connected import Connected
from mailsync.errors import MailSyncError, MessageGoneError
from mailsync.listings import Patience
from mailsync.outcome import Kind
from mailsync.proof import Counted
from mailsync.storage.aside import Aside, Kept
from mailsync.storage.envelope import MessageItem, SweepItem, decode, is_backfills
from mailsync.storage.journal import Entry, Journal
from mailsync.storage.mailboxes import VALID, Mailbox
from mailsync.storage.threads import Sightings
from mailsync.windows import Window, cut, moment
from mapping.addresses import normalise
from mapping.identity import identity_of

PORTION = 50
"""Messages that are noted together and then sent."""
SPACING = 10.0
"""Seconds between the windows of one mailbox: one sweep of a mailbox runs at a time."""
SOURCE = "command"

Send = Callable[..., None]


class CannotReplayError(MailSyncError):
    """This can't be put back on a queue; the message says what to do instead."""


class Replayer:
    """Puts things on the queues for a person."""

    def __init__(
        self,
        *,
        aside: Aside,
        journal: Journal,
        sightings: Sightings,
        connected: Callable[[], Connected],
        send: Send,
        patience: Patience,
        sync_since: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._aside = aside
        self._journal = journal
        self._sightings = sightings
        self._connected = connected
        self._send = send
        self._patience = patience
        self._sync_since = sync_since
        self._clock = clock

    def replay(self, kept: Kept) -> None:
        """Put an item back on its queue, as if it had just come; raises MessageError if what was kept is none.

        It is marked only after it was sent: a crash in between leaves it waiting, and a second one ends at the journal.
        """
        item = msgspec.structs.replace(decode(kept.envelope), attempt=0, misses=0, revived=False, not_before=None)
        if isinstance(item, MessageItem):
            item = msgspec.structs.replace(item, header_misses=0, file_misses=0)
            if (successor := self._connected().successor(item.grant)) is not None:
                item = msgspec.structs.replace(item, grant=successor)
            self._note_queued(item)
        self._send(item)
        self._aside.note_replayed(kept, now=self._now())

    def repair(self, missing: Iterable[Counted]) -> int:
        """Enqueue messages that nobody accounts for, oldest first; returns how many."""
        return self._enqueue(
            [self._item(one, first_seen=one.first_seen or self._now()) for one in _oldest_first(missing)]
        )

    def recreate(self, removed: Iterable[Counted]) -> tuple[int, int]:
        """Bring back emails that were removed from Dataverse; returns how many, and how many their mailbox lost too.

        What we remember of them is forgotten first. They count as seen now, so that a colleague's copy again lets
        the sender's own go first.
        """
        back = lost = 0
        for one in _oldest_first(removed):
            try:
                self._forget(one)
            except MessageGoneError:
                lost += 1
            else:
                back += self._enqueue([self._item(one, first_seen=self._now())])
        return back, lost

    def sweep(self, mailbox: Mailbox, *, since: int, until: int) -> Sequence[Window]:
        """Enqueue sweeps of a span of a mailbox, a window of a day each; the live watermark stays where it is."""
        floor = self._connected().swept_from(mailbox, since=self._sync_since(), overlap=0)
        _check_sweepable(mailbox, until=until, floor=floor)
        windows = tuple(cut(max(since, floor), until))
        for number, window in enumerate(windows):
            item = SweepItem(
                grant=mailbox.grant,
                source=SOURCE,
                first_seen=self._now(),
                after=window.after,
                before=window.before,
            )
            self._send(item, delay=number * SPACING)
        return windows

    def _forget(self, removed: Counted) -> None:
        """Forget that this email stood in Dataverse; raises MessageGoneError when the mailbox has it no more."""
        if not removed.is_listed:
            raise MessageGoneError("Nylas no longer lists it", reason="not_listed")
        message = self._patience(partial(self._connected().message, removed.grant, removed.message))
        mailbox = self._connected().mailbox(removed.grant)
        stood = removed.activityid or ""
        # one that was adopted, or that carries the Message-ID of another mail, stood under another id than its own
        for identity in {str(identity_of(message, normalise(mailbox.email) or "").activityid), stood}:
            self._sightings.forget(identity, stands=stood)
        self._journal.forget(removed.grant, removed.message)

    def _enqueue(self, items: Sequence[MessageItem]) -> int:
        for start in range(0, len(items), PORTION):
            some = items[start : start + PORTION]
            self._journal.note_queued([_queued(item, self._now()) for item in some])
            for item in some:
                self._send(item)
        return len(items)

    def _note_queued(self, item: MessageItem) -> None:
        self._journal.put(_queued(item, self._now()), self._journal.get(item.grant, item.message))

    def _item(self, counted: Counted, *, first_seen: int) -> MessageItem:
        return MessageItem(
            grant=counted.grant,
            message=counted.message,
            source=counted.source if is_backfills(counted.source) else SOURCE,
            first_seen=first_seen,
            date=counted.date,
        )

    def _now(self) -> int:
        return int(self._clock())


def _queued(item: MessageItem, now: int) -> Entry:
    return Entry(
        grant=item.grant,
        message=item.message,
        kind=Kind.QUEUED,
        noted=now,
        first_seen=item.first_seen,
        date=item.date,
        folders=item.folders,
        source=item.source,
        notification=item.notification,
    )


def _check_sweepable(mailbox: Mailbox, *, until: int, floor: int) -> None:
    if mailbox.status != VALID:
        raise CannotReplayError(
            f"the mailbox can't be read, its grant is {mailbox.status or 'unknown'}; it is swept from where it was "
            "once its owner has signed in again",
            reason="mailbox_not_valid",
        )
    if mailbox.watermark is None:
        raise CannotReplayError(
            "the mailbox was never swept; the timer's first sweep begins where it was connected, wait for it",
            reason="never_swept",
        )
    if until <= floor:
        raise CannotReplayError(
            f"no mail before {moment(floor)} is swept: see SYNC_SINCE, and when the mailbox was connected",
            reason="before_the_start",
        )


def _oldest_first(messages: Iterable[Counted]) -> list[Counted]:
    """A mail before its replies."""
    return sorted(messages, key=lambda one: one.date or 0)
