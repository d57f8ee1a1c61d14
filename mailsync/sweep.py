"""Finds the messages whose webhook never came, by listing what each mailbox received and subtracting the journal.

Nylas lists newest first, so a window proves nothing until its last page is on the queue; only then the watermark
moves. One item is one window; one sweep of a mailbox runs at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mailsync.connected import ALIASES_LIFE, Connected
from mailsync.nylas.grants import Grant, Grants
from mailsync.nylas.reader import CursorError, Listed, Page, Reader
from mailsync.outcome import Kind
from mailsync.storage.envelope import GrantItem, Item, MessageItem, SweepItem
from mailsync.storage.journal import Entry, Journal, Known, hash_of
from mailsync.storage.mailboxes import VALID, Lease, Mailbox, Mailboxes
from mailsync.telemetry import emit
from mailsync.windows import Window, first_window_start, narrowed, next_window

LEASE = 420
"""Seconds a sweep may hold its mailbox: longer than its time budget, shorter than the function's ten minutes."""
BUDGET = 240.0
"""Seconds after which a sweep leaves the rest of its window to the next item."""
WAITING_LIFE = 900
"""Seconds that a queued or deferred message is left alone before a sweep enqueues it again."""
RESTARTS = 3
"""How often a window whose page cursor fails is listed from its start before it counts as trouble."""
EWS_PAUSE = 3600
"""EWS lists by the day, so each window is a day or two long: it is swept hourly."""
WIDE_EVERY = 6 * 3600
WIDE_SPAN = 3 * 24 * 3600
"""Seconds: now and then a window reaches this far back, for mail that is dated days before it arrived."""
EWS = "ews"

Send = Callable[..., None]


def sweep_missed(*, grants: Grants, mailboxes: Mailboxes, send: Send, spread: int, sync_since: int, now: int) -> int:
    """Note every mailbox Nylas knows and enqueue one sweep for each valid one, spread over `spread` seconds."""
    known = {mailbox.grant: mailbox for mailbox in mailboxes.all()}
    due = []
    for grant in grants.all():
        before = known.get(grant.id)
        if before is None or _has_changed(grant, before):
            mailboxes.note_listed(_mailbox(grant))
        if grant.status == VALID and grant.email and _is_due(grant, before, now):
            due.append(grant.id)
    for number, grant_id in enumerate(due):
        delay = number * min(2.0, spread / len(due))
        send(SweepItem(grant=grant_id, source="timer", first_seen=now), delay=delay)
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
        self._clock = clock

    def record(self, item: GrantItem) -> None:
        """Note that a grant expired or was deleted; its mailbox is swept again once it is back."""
        expired = item.event == "grant.expired"
        self._mailboxes.note_status(
            item.grant, "invalid" if expired else "deleted", expired=(item.at or item.first_seen) if expired else None
        )
        emit("grant_recorded", grant=item.grant, what=item.event)

    def sweep(self, item: SweepItem) -> None:
        """List one window of a mailbox, enqueue what the journal doesn't know, then move the watermark."""
        now = int(self._clock())
        if self._needs_details(item, now):
            self._connected.refreshed(item.grant)
            emit("grant_recorded", grant=item.grant, what="connected")
        lease = self._mailboxes.lease(item.grant, now=now, seconds=LEASE)
        if lease is None:
            emit("sweep_dropped", grant=item.grant, source=item.source)
            return
        try:
            self._work_through(item, lease, now)
        except BaseException:
            self._mailboxes.release(lease, unfinished=True)
            raise

    def _needs_details(self, item: SweepItem, now: int) -> bool:
        """A mailbox not heard of before, one just connected anew, or one whose aliases are old."""
        known = self._mailboxes.get(item.grant)
        if known is None or known.aliases_read is None or item.source.startswith("grant."):
            return True
        return now - known.aliases_read > ALIASES_LIFE

    def _work_through(self, item: SweepItem, lease: Lease, now: int) -> None:
        mailbox = lease.mailbox
        self._enqueue_waiting(mailbox, now)
        floor = self._floor(mailbox)
        if floor > now:
            self._mailboxes.release(lease, unfinished=lease.after_unfinished)
            return
        wide = now - (mailbox.swept_wide or floor) >= WIDE_EVERY
        window = self._window(item, mailbox, floor, now, wide=wide)
        found, rest = self._listed(item, window, floor, again=lease.after_unfinished)
        if rest is not None:
            self._mailboxes.release(lease, unfinished=lease.after_unfinished)
            self._send(_continued(item, rest, now))
            return
        if not self._mailboxes.advance(lease, watermark=window.proves, now=int(self._clock()), wide=wide):
            emit("sweep_dropped", grant=item.grant, source=item.source)
            return
        emit("sweep_window_done", grant=item.grant, after=window.after, before=window.before, **found)
        if window.proves < now - self._overlap:
            self._send(SweepItem(grant=item.grant, source=item.source, first_seen=now))

    def _floor(self, mailbox: Mailbox) -> int:
        """Before this moment nothing is swept: the mailbox's connection, or where it was proven under an earlier grant,
        and never before the start of this installation."""
        proven = mailbox.watermark if mailbox.watermark is not None else self._connected.last_proven(mailbox)
        connected = mailbox.connected or 0
        since = self._sync_since()
        return first_window_start(connected=connected if proven is None else min(connected, proven), since=since)

    def _enqueue_waiting(self, mailbox: Mailbox, now: int) -> None:
        """Messages that left the queue while the grant was expired go back on it."""
        if not mailbox.waiting:
            return
        for entry in self._journal.waiting_for_grant(mailbox.grant):
            self._send(
                MessageItem(
                    grant=entry.grant,
                    message=entry.message,
                    source="renewed",
                    first_seen=entry.first_seen,
                    date=entry.date,
                    folders=entry.folders,
                    notification=entry.notification,
                )
            )
        self._mailboxes.note_returned(mailbox)
        emit("grant_recorded", grant=mailbox.grant, what="renewed", at=now)

    def _window(self, item: SweepItem, mailbox: Mailbox, floor: int, now: int, *, wide: bool) -> Window:
        if item.after is not None and item.before is not None and item.proves is not None:
            return Window(after=item.after, before=item.before, proves=item.proves)
        watermark = mailbox.watermark if mailbox.watermark is not None else floor
        window = next_window(
            watermark,
            now=now,
            overlap=self._overlap,
            floor=floor - 1,  # received_after may exclude its own second
            whole_days=mailbox.provider == EWS,
        )
        return replace(window, after=max(floor - 1, min(window.after, now - WIDE_SPAN))) if wide else window

    def _listed(
        self, item: SweepItem, window: Window, floor: int, *, again: bool
    ) -> tuple[dict[str, int], Window | None]:
        """Counts of what the window held, and what is left of it when the time budget was spent.

        `again`: the sweep before this one may have died between noting messages as queued and queueing them.
        """
        deadline = self._clock() + BUDGET
        counts = {"seen": 0, "missed": 0}
        for restart in range(RESTARTS + 1):
            cursor: str | None = None
            try:
                while True:
                    page = self._page(item.grant, window, cursor)
                    self._enqueue_missed(item, page, floor, counts, again=again)
                    cursor = page.cursor
                    if cursor is None:
                        return counts, None
                    if self._clock() > deadline and (rest := self._rest(window, page)) is not None:
                        return counts, rest
            except CursorError:
                if restart == RESTARTS:
                    raise
        raise AssertionError("unreachable")  # the last restart returns or raises

    def _known(self, grant: str, listed: Sequence[Listed]) -> Mapping[str, Known]:
        """What the journal says of listed messages: one range query, and one look for each that has no date."""
        dates = [int(one.date) for one in listed if one.date is not None]
        known = dict(self._journal.between(grant, min(dates), max(dates))) if dates else {}
        for one in listed:
            entry = self._journal.get(grant, one.id) if one.date is None else None
            if entry is not None:
                known[hash_of(one.id)] = Known(entry.kind, entry.noted, entry.until, entry.folders)
        return known

    def _page(self, grant: str, window: Window, cursor: str | None) -> Page:
        return self._reader.page(grant, after=window.after, before=window.before, limit=self._page_size, cursor=cursor)

    def _rest(self, window: Window, page: Page) -> Window | None:
        dates = [int(listed.date) for listed in page.messages if listed.date is not None]
        rest = narrowed(window, oldest_listed=min(dates), overlap=self._overlap) if dates else window
        return rest if rest.before < window.before else None

    def _enqueue_missed(self, item: SweepItem, page: Page, floor: int, counts: dict[str, int], *, again: bool) -> None:
        listed = list({one.id: one for one in page.messages if one.date is None or one.date >= floor}.values())
        known = self._known(item.grant, listed)
        now = int(self._clock())
        missed = [one for one in listed if _is_missed(one, known, now, again=again)]
        counts["seen"] += len(listed)
        counts["missed"] += len(missed)
        if not missed:
            return
        self._journal.note_queued([_queued(item.grant, one, now) for one in missed])
        for one in missed:
            self._send(_message_item(item.grant, one, now))


def _is_missed(listed: Listed, known: Mapping[str, Known], now: int, *, again: bool) -> bool:
    """Whether a listed message is to be enqueued: unknown, waiting for too long, or skipped and moved since."""
    entry = known.get(hash_of(listed.id))
    if entry is None or entry.kind is Kind.GONE:
        return True
    if entry.kind is Kind.SKIPPED:
        return set(_folders(listed)) != set(entry.folders)
    if entry.kind is Kind.QUEUED and again:
        return True
    if entry.kind in {Kind.QUEUED, Kind.WRITING, Kind.DEFERRED}:
        return max(entry.noted, entry.until or 0) + WAITING_LIFE < now
    return False


def _queued(grant: str, listed: Listed, now: int) -> Entry:
    return Entry(
        grant=grant,
        message=listed.id,
        kind=Kind.QUEUED,
        noted=now,
        first_seen=now,
        date=int(listed.date) if listed.date is not None else None,
        folders=_folders(listed),
        source="sweep",
    )


def _message_item(grant: str, listed: Listed, now: int) -> Item:
    date = int(listed.date) if listed.date is not None else None
    return MessageItem(grant=grant, message=listed.id, source="sweep", first_seen=now, date=date)


def _folders(listed: Listed) -> tuple[str, ...]:
    return tuple(folder for folder in listed.folders or () if folder)


def _continued(item: SweepItem, rest: Window, now: int) -> SweepItem:
    return SweepItem(
        grant=item.grant,
        source=item.source,
        first_seen=now,
        after=rest.after,
        before=rest.before,
        proves=rest.proves,
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
