"""Finds the messages whose webhook never came, by listing what each mailbox received and subtracting the journal.

Nylas lists newest first, so a window proves nothing until its last page is on the queue; only then the watermark
moves. What is left of a window that was not finished stands with the mailbox, and the next sweep goes on there,
whoever sent it. One sweep of a mailbox runs at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from mailsync.connected import ALIASES_LIFE, Connected
from mailsync.errors import Scope, TransientError
from mailsync.measures import SWEEP, Measures
from mailsync.nylas.grants import Grant, Grants
from mailsync.nylas.reader import CursorError, Listed, Page, Reader
from mailsync.outcome import Kind
from mailsync.storage.envelope import GrantItem, MessageItem, SweepItem, is_backfills
from mailsync.storage.journal import KEPT_OPEN, Entry, Journal, Known
from mailsync.storage.mailboxes import DELETED, VALID, Lease, Mailbox, Mailboxes, Progress
from mailsync.telemetry import emit, traceparent
from mailsync.trouble import TIMER
from mailsync.windows import Window, end_of_page, narrowed, next_window
from mapping.message import folder_ids

LEASE = 420
"""Seconds a sweep may hold its mailbox: longer than its time budget, shorter than the function's ten minutes."""
BUDGET = 240.0
"""Seconds after which a sweep leaves the rest of its window to the next item."""
TURN = 60.0
"""Seconds after which a span that was asked for tries again, while another sweep holds its mailbox."""
WAITING_LIFE = 900
"""Seconds that a queued or deferred message is left alone before a sweep enqueues it again."""
RESTARTS = 3
"""How often a window whose page cursor fails is listed from its start before it counts as trouble."""
EWS_PAUSE = 3600
"""EWS lists by the day, so each window is a day or two long: it is swept hourly."""
WIDE_EVERY = 6 * 3600
WIDE_SPAN = 3 * 24 * 3600
"""Seconds: now and then a window reaches this far back, for mail that is dated days before it arrived."""
WAITING_LOOKED_BACK = 7 * 24 * 3600
"""Seconds: how far back a sweep looks for messages that still wait."""
EWS = "ews"

Send = Callable[..., None]


@dataclass(slots=True)
class _Listing:
    """A window that is being listed, newest first, and what is left of it."""

    window: Window
    left: Window
    is_own: bool
    """The mailbox's next one, which moves its watermark, and none that somebody asked for."""
    seen: int = 0
    missed: int = 0
    newest: int | None = None
    """The newest date that is listed."""
    newest_done: int | None = None
    """The newest one of a message whose outcome stands in the journal."""


def sweep_missed(*, grants: Grants, mailboxes: Mailboxes, send: Send, spread: int, sync_since: int, now: int) -> int:
    """Note every mailbox Nylas knows and enqueue one sweep for each valid one, spread over `spread` seconds.

    One that Nylas lists no more is enqueued as deleted, in case nobody was told, or messages still wait for it.
    """
    known = {mailbox.grant: mailbox for mailbox in mailboxes.all()}
    listed = {grant.id: grant for grant in grants.all()}
    due = []
    for grant in listed.values():
        before = known.get(grant.id)
        if before is None or _has_changed(grant, before):
            mailboxes.note_listed(_mailbox(grant), at=now if before is None or before.status != grant.status else None)
        if grant.status == VALID and grant.email and _is_due(grant, before, now):
            due.append(grant.id)
    for number, grant_id in enumerate(due):
        delay = number * min(2.0, spread / len(due))
        send(SweepItem(grant=grant_id, source=TIMER, first_seen=now), delay=delay)
    for mailbox in known.values():
        if mailbox.grant not in listed and (mailbox.status != DELETED or mailbox.waiting):
            send(GrantItem(grant=mailbox.grant, event="grant.deleted", source=TIMER, first_seen=now))
    emit("sweep_started", mailboxes=len(due), since=sync_since)
    return len(due)


class MailboxSweeper:
    """Works through one mailbox's window."""

    def __init__(
        self,
        *,
        reader: Reader,
        journal: Journal,
        mailboxes: Mailboxes,
        connected: Connected,
        send: Send,
        sync_since: Callable[[], int],
        overlap: int,
        page_size: int,
        measures: Measures,
        clock: Callable[[], float],
    ) -> None:
        self._reader = reader
        self._journal = journal
        self._mailboxes = mailboxes
        self._connected = connected
        self._send = send
        self._sync_since = sync_since
        self._overlap = overlap
        self._page_size = page_size
        self._measures = measures
        self._clock = clock

    def record(self, item: GrantItem) -> None:
        """Note that a grant expired or was deleted.

        The mailbox of an expired one is swept again once it is back. What waited for a sign-in that can't come any more
        goes through the queue to the table `aside`.
        """
        if item.source == TIMER and not self._connected.is_gone(item.grant):
            return  # missing from one listing alone
        expired = item.event == "grant.expired"
        at = item.at or item.first_seen
        status = "invalid" if expired else DELETED
        self._mailboxes.note_status(item.grant, status, expired=at if expired else None, at=at)
        emit("grant_recorded", grant=item.grant, what=item.event)
        mailbox = None if expired else self._mailboxes.get(item.grant)
        if mailbox is not None:
            self._enqueue_waiting(mailbox, item.event)

    def sweep(self, item: SweepItem) -> None:
        """List one window of a mailbox, enqueue what the journal doesn't know, then move the watermark."""
        now = int(self._clock())
        if self._needs_details(item, now):
            self._connected.refreshed(item.grant)
            emit("grant_recorded", grant=item.grant, what="connected")
        lease = self._mailboxes.lease(item.grant, now=now, seconds=LEASE)
        if lease is None:
            if item.after is not None:
                raise TransientError(
                    "another sweep of this mailbox is at work; the span that was asked for comes after it",
                    reason="mailbox_swept",
                    scope=Scope.MAILBOX,
                    retry_after=TURN,
                )
            emit("sweep_dropped", grant=item.grant, source=item.source)
            return
        listing: _Listing | None = None
        try:
            if self._enqueue_waiting(lease.mailbox, "renewed"):
                emit("grant_recorded", grant=item.grant, what="renewed", at=now)
            floor = self._connected.swept_from(lease.mailbox, since=self._sync_since(), overlap=self._overlap)
            if floor > now:
                self._end(lease, listing)
                return
            listing = self._begun(item, lease.mailbox, floor, now)
            is_done = self._list(item.grant, listing, floor, again=lease.after_unfinished)
        except BaseException:
            self._end(lease, listing, failed=True)
            raise
        if not is_done:
            self._end(lease, listing)
            self._send(_continued(item, listing, now))
        elif self._concluded(lease, listing):
            window = listing.window
            emit(
                "sweep_window_done",
                grant=item.grant,
                after=window.after,
                before=window.before,
                seen=listing.seen,
                missed=listing.missed,
            )
            if listing.is_own and window.proves < now - self._overlap:
                self._send(SweepItem(grant=item.grant, source=item.source, first_seen=now))
        else:
            emit("sweep_dropped", grant=item.grant, source=item.source)

    def _end(self, lease: Lease, listing: _Listing | None, *, failed: bool = False) -> bool:
        """End a lease and keep what is left of the mailbox's own window."""
        left = listing.left if listing is not None and listing.is_own else lease.mailbox.left
        return self._mailboxes.release(lease, unfinished=failed or lease.after_unfinished, left=left)

    def _concluded(self, lease: Lease, listing: _Listing) -> bool:
        """End a lease whose window is done; False when it was lost meanwhile."""
        if not listing.is_own:
            return self._end(lease, listing)
        window, now = listing.window, int(self._clock())
        waits = self._journal.waiting_since(lease.mailbox.grant, now - WAITING_LOOKED_BACK)
        progress = Progress(
            newest_listed=listing.newest,
            newest_done=listing.newest_done,
            lag=max(0, now - waits) if waits is not None else 0,
        )
        return self._mailboxes.advance(lease, watermark=window.proves, now=now, wide=window.is_wide, progress=progress)

    def _needs_details(self, item: SweepItem, now: int) -> bool:
        """A mailbox not heard of before, one just connected anew, or one whose aliases are old."""
        known = self._mailboxes.get(item.grant)
        if known is None or known.aliases_read is None or item.source.startswith("grant."):
            return True
        return now - known.aliases_read > ALIASES_LIFE

    def _enqueue_waiting(self, mailbox: Mailbox, source: str) -> bool:
        """Messages that left the queue while the grant was expired go back on it; False when none did."""
        if not mailbox.waiting:
            return False
        for entry in self._journal.waiting_for_grant(mailbox.grant):
            self._send(
                MessageItem(
                    grant=entry.grant,
                    message=entry.message,
                    source=entry.source if is_backfills(entry.source) else source,
                    first_seen=entry.first_seen,
                    date=entry.date,
                    folders=entry.folders,
                    notification=entry.notification,
                )
            )
        self._mailboxes.note_returned(mailbox)
        return True

    def _begun(self, item: SweepItem, mailbox: Mailbox, floor: int, now: int) -> _Listing:
        """The window that somebody asked for, what was left of the mailbox's own, or its next."""
        if item.after is not None and item.before is not None:
            asked = Window(after=item.after, before=item.before, proves=0)
            return _Listing(asked, left=asked, is_own=False)
        own = mailbox.left or self._next(mailbox, floor, now)
        return _Listing(own, left=own, is_own=True)

    def _next(self, mailbox: Mailbox, floor: int, now: int) -> Window:
        window = next_window(
            mailbox.watermark if mailbox.watermark is not None else floor,
            now=now,
            overlap=self._overlap,
            floor=floor - 1,  # received_after may exclude its own second
            whole_days=mailbox.provider == EWS,
        )
        if now - (mailbox.swept_wide or floor) < WIDE_EVERY:
            return window
        return replace(window, after=max(floor - 1, min(window.after, window.proves - WIDE_SPAN)), is_wide=True)

    def _list(self, grant: str, listing: _Listing, floor: int, *, again: bool) -> bool:
        """Enqueue what the window holds and the journal doesn't know; False when the time budget was spent before.

        `again`: the sweep before this one may have died between noting messages as queued and queueing them.
        """
        deadline = self._clock() + BUDGET  # by the clock of the lease, which must outlast it
        for restart in range(RESTARTS + 1):
            window, cursor = listing.left, None
            try:
                while True:
                    page = self._page(grant, window, cursor)
                    self._enqueue_missed(grant, page, floor, listing, again=again)
                    cursor = page.cursor
                    if cursor is None:
                        return True
                    listing.left = self._left(listing.left, page)
                    if self._clock() > deadline and listing.left.before < listing.window.before:
                        return False
            except CursorError:
                if restart == RESTARTS:
                    raise
        raise AssertionError("unreachable")  # the last restart returns or raises

    def _page(self, grant: str, window: Window, cursor: str | None) -> Page:
        return self._reader.page(grant, after=window.after, before=window.before, limit=self._page_size, cursor=cursor)

    def _left(self, window: Window, page: Page) -> Window:
        dates = [int(listed.date) for listed in page.messages if listed.date is not None]
        return narrowed(window, oldest_listed=end_of_page(dates)) if dates else window

    def _enqueue_missed(self, grant: str, page: Page, floor: int, listing: _Listing, *, again: bool) -> None:
        listed = list({one.id: one for one in page.messages if one.date is None or one.date >= floor}.values())
        known = self._journal.of_listed(grant, {one.id: date_of(one) for one in listed})
        now = int(self._clock())
        missed = [one for one in listed if is_missed(one, known.get(one.id), now, again=again)]
        listing.seen += len(listed)
        listing.missed += len(missed)
        listing.newest = _newest(listed, listing.newest)
        done = [one for one in listed if _is_done(one, known.get(one.id), now, again=again)]
        listing.newest_done = _newest(done, listing.newest_done)
        if not missed:
            return
        items = [
            MessageItem(
                grant=grant,
                message=one.id,
                source=_source(known.get(one.id)),
                first_seen=now,
                date=date_of(one),
                traceparent=traceparent(),
            )
            for one in missed
        ]
        entries = [queued(item, one) for item, one in zip(items, missed, strict=True)]
        note_queued(self._journal, entries, known)
        for item in items:
            self._send(item)
        self._measures.found(grant, len(missed))


def is_missed(listed: Listed, entry: Known | None, now: int, *, again: bool) -> bool:
    """Whether a listed message is to be enqueued: unknown, waiting for too long, or skipped and moved since.

    Of a record that was shortened nobody knows where the message lay: a move is told by its webhook alone.
    """
    if entry is None or entry.kind is Kind.GONE:
        return True
    if entry.kind is Kind.SKIPPED:
        folders = folder_ids(listed.folders)
        return not entry.is_shortened and folders is not None and set(folders) != set(entry.folders or ())
    if entry.kind is Kind.QUEUED and again:
        return True
    if entry.kind in {Kind.QUEUED, Kind.WRITING, Kind.DEFERRED}:
        return max(entry.noted, entry.until or 0) + WAITING_LIFE < now
    return False


def _is_done(listed: Listed, entry: Known | None, now: int, *, again: bool) -> bool:
    """Whether what became of a listed message stands in the journal, and nothing calls for another look at it."""
    if entry is None or entry.kind in {Kind.QUEUED, Kind.WRITING, Kind.DEFERRED}:
        return False
    return not is_missed(listed, entry, now, again=again)


def _newest(listed: Sequence[Listed], before: int | None) -> int | None:
    dates = [int(one.date) for one in listed if one.date is not None]
    return max([*dates, *([before] if before is not None else [])], default=None)


def _source(entry: Known | None) -> str:
    """What a backfill brought stays a backfill's."""
    return entry.source if entry is not None and is_backfills(entry.source) and entry.kind in KEPT_OPEN else SWEEP


def date_of(listed: Listed) -> int | None:
    """The unix second a listed message is dated."""
    return int(listed.date) if listed.date is not None else None


def note_queued(journal: Journal, entries: Sequence[Entry], known: Mapping[str, Known]) -> None:
    """Note messages as queued before their items are sent, in the place of what is known of them."""
    shortened = [entry for entry in entries if entry.message in known and known[entry.message].is_shortened]
    journal.note_queued([entry for entry in entries if entry not in shortened])
    for entry in shortened:
        journal.put(entry, journal.recall(entry.grant, entry.message))


def queued(item: MessageItem, listed: Listed) -> Entry:
    """The record of a listed message whose item is about to be sent."""
    return Entry(
        grant=item.grant,
        message=item.message,
        kind=Kind.QUEUED,
        noted=item.first_seen,
        first_seen=item.first_seen,
        date=item.date,
        folders=folder_ids(listed.folders),
        source=item.source,
    )


def _continued(item: SweepItem, listing: _Listing, now: int) -> SweepItem:
    """The item that goes on; what is left of the mailbox's own window stands with the mailbox."""
    left = None if listing.is_own else listing.left
    return SweepItem(
        grant=item.grant,
        source=item.source,
        first_seen=now,
        after=left.after if left else None,
        before=left.before if left else None,
    )


def _mailbox(grant: Grant) -> Mailbox:
    return Mailbox(
        grant=grant.id, email=grant.email, provider=grant.provider, status=grant.status, connected=grant.connected
    )


def _has_changed(grant: Grant, before: Mailbox) -> bool:
    return (grant.email, grant.provider, grant.status, grant.connected) != (
        before.email,
        before.provider,
        before.status,
        before.connected,
    )


def _is_due(grant: Grant, before: Mailbox | None, now: int) -> bool:
    """EWS mailboxes rest for an hour between sweeps; all others are due each time."""
    if grant.provider != EWS or before is None or before.swept is None:
        return True
    return now - before.swept >= EWS_PAUSE
