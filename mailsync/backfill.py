"""Brings mail of a span that somebody chose, however old, behind all other mail.

One item is one page: it lists the page, subtracts the journal, enqueues the rest and hands the next page to the next
item. While the queue of messages is not shallow an item goes back and waits, so live mail never waits for more than
what a few pages hold. Items that were sent back for hours, for a missing privilege say, are on that queue too, and
nobody can tell how many of its hidden items they are: while nothing on it can be taken, a page of ten passes every five
minutes, so that such items slow a backfill down and never end it, and an outage doesn't fill the queue.

A page is done again where a process died in it, and what the journal knows is left alone: nothing is lost and nothing
doubled. The sweep of the mailbox, its watermark and its lease are not touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from mailsync.connected import Connected
from mailsync.dataverse.privileges import BYPASS
from mailsync.errors import ArgumentError, GrantError, MailSyncError, MessageError, MessageGoneError
from mailsync.nylas.reader import CursorError, Listed, Page
from mailsync.outcome import Kind
from mailsync.storage.backfills import Backfill, Backfills, State, new_id
from mailsync.storage.envelope import MessageItem, SweepItem, is_backfills
from mailsync.storage.journal import KEPT_OPEN, WAITS_FOR_GRANT, Journal, Known
from mailsync.storage.mailboxes import DELETED, VALID, Mailbox, Mailboxes
from mailsync.sweep import date_of, is_missed, note_queued, queued
from mailsync.telemetry import emit, traceparent
from mailsync.trouble import Send
from mailsync.windows import DISORDER, Window, narrowed

SHALLOW = 50
"""Items on the queue of messages, hidden ones too, from which on a backfill adds none."""
BACK = 2.0
"""Seconds after which a page that waits for a shallow queue looks again."""
HESITATION = 10
"""Seconds for which an item of the turn before waits to see whether that worker handed on before it died."""
STUCK = 300
"""Seconds for which a page waits for a shallow queue where nothing on it can be taken."""
SMALL_PAGE = 10
"""Messages of the page that passes then."""
SEEN = 60
"""Seconds after which a page that waits is noted as not lost."""
STALLED = 1200
"""Seconds without a step after which a turn counts as lost and another begins: longer than any delay of ours."""
LIVE = 900
"""Seconds: mail as young as this is its webhook's to bring, and answered by what the organisation automated."""
RATE_SPAN = 300
"""Seconds by whose outcomes the rate is told."""
ASKED, GRANT, DISCONNECTED = "asked", "grant", "mailbox_disconnected"
"""Why a backfill is paused: somebody asked, its mailbox's owner must sign in; and why it fails for good."""
WAITING = frozenset((Kind.QUEUED, Kind.WRITING))


class BackfillError(ArgumentError):
    """This can't be done to a backfill; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a backfill is, by the journal."""

    backfill: Backfill
    counts: Mapping[tuple[Kind, str], int]
    made: int
    per_second: float
    """Messages that came to an end, over the last minutes."""
    seconds_left: float | None
    """About how long it takes yet; None where nobody can tell."""
    behind: int
    """Items on the queue of messages now, others' too."""

    def count(self, *kinds: Kind) -> int:
        """How many messages are of these kinds now."""
        return sum(number for (kind, _), number in self.counts.items() if kind in kinds)

    def reasons(self, kind: Kind) -> dict[str, int]:
        """Why messages are of a kind, the most frequent reason first."""
        found = {reason: number for (of, reason), number in self.counts.items() if of is kind}
        return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))

    @property
    def is_over(self) -> bool:
        """Whether everything it enqueued has come to an end too; a cancelled one waits for no sign-in."""
        waiting = self.count(*WAITING, Kind.DEFERRED)
        if self.backfill.state is State.CANCELLED:
            waiting -= self.counts.get((Kind.DEFERRED, WAITS_FOR_GRANT), 0)
        return self.backfill.is_over and not waiting


class Backfiller:
    """Works through backfills, page by page."""

    def __init__(
        self,
        *,
        backfills: Backfills,
        connected: Callable[[], Connected],
        journal: Journal,
        mailboxes: Mailboxes,
        send: Send,
        depth: Callable[[], int],
        shown: Callable[[], int],
        may_bypass: Callable[[], bool | None],
        page_size: int,
        clock: Callable[[], float],
    ) -> None:
        self._backfills = backfills
        self._connected = connected
        self._journal = journal
        self._mailboxes = mailboxes
        self._send = send
        self._depth = depth
        self._shown = shown
        self._may_bypass = may_bypass
        self._page_size = page_size
        self._clock = clock

    # what the app does

    def turn(self, item: SweepItem) -> None:
        """Enqueue one page of a backfill and hand on to the next turn; an item of another turn ends here."""
        everything = self._backfills.all()
        backfill = next((one for one in everything if one.id == item.backfill), None)
        if backfill is None or not backfill.is_at(item.turn):
            if backfill is not None and backfill.is_at(item.turn + 1):
                self._look_again(backfill, item)
            else:
                emit("sweep_dropped", grant=item.grant, source=item.source)
            return
        is_deep = self._depth() >= SHALLOW
        if is_deep and not self._is_stuck(item):
            self._wait(backfill, item)
            return
        running = sum(one.state is State.RUNNING for one in everything)
        limit = max(1, self._page_size // running)
        try:
            page = self._page(backfill, limit=min(limit, SMALL_PAGE) if is_deep else limit)
        except CursorError:
            # Nylas has forgotten where it was: what is left is listed from its start
            self._go_on(backfill, lambda stands: replace(stands, listing=stands.left, cursor=""))
        except GrantError as error:
            self._end(backfill, State.PAUSED, GRANT, error)
        except (MessageError, MessageGoneError) as error:
            self._end(backfill, State.FAILED, error.reason, error)
        else:
            self._bring(backfill, page)

    def look_after(self) -> None:
        """Let go on what a lost item left standing, or what waited for its owner to sign in."""
        now = int(self._clock())
        for backfill in self._backfills.all():
            if backfill.state is State.RUNNING and now - backfill.moved > STALLED:
                self._go_on(backfill, lambda stands: stands)
            elif backfill.state is State.PAUSED and backfill.reason == GRANT:
                mailbox = self._mailboxes.get(backfill.grant)
                if mailbox is not None and mailbox.status == VALID:
                    self._set(backfill.id, State.RUNNING, "", {State.PAUSED})
                elif mailbox is not None and mailbox.status == DELETED:
                    self._set(backfill.id, State.FAILED, DISCONNECTED, {State.PAUSED})

    def _is_stuck(self, item: SweepItem) -> bool:
        """Whether a page has waited for long, and what it waits for is hidden."""
        return int(self._clock()) - item.first_seen >= STUCK and not self._shown()

    def _wait(self, backfill: Backfill, item: SweepItem) -> None:
        """Look again soon; now and then say that this turn is not lost."""
        now = int(self._clock())
        if now - backfill.moved >= SEEN:
            self._backfills.change(
                backfill.id, lambda stands: replace(stands, moved=now) if stands.is_at(item.turn) else None
            )
        self._send(item, delay=BACK)

    def _look_again(self, backfill: Backfill, item: SweepItem) -> None:
        """An item of the turn before: a copy, or its worker died after its step and before it handed on."""
        # where the queue is deep the turn's own item waits, and how long it has been still tells nothing
        still = 0 if self._depth() >= SHALLOW else int(self._clock()) - backfill.moved
        if still < HESITATION:
            self._send(item, delay=HESITATION - still)
        else:
            self._go_on(backfill, lambda stands: stands)

    def _page(self, backfill: Backfill, *, limit: int) -> Page:
        return self._connected().page(
            backfill.grant,
            backfill.listing,
            limit=limit,
            cursor=backfill.cursor or None,
            folder=backfill.folder or None,
        )

    def _bring(self, backfill: Backfill, page: Page) -> None:
        listed = _within(backfill, page.messages)
        known = self._journal.of_listed(backfill.grant, {one.id: date_of(one) for one in listed})
        begun = self._backfills.change(
            backfill.id, lambda stands: replace(stands, is_begun=True) if stands.is_at(backfill.turn) else None
        )
        if begun is None:
            return
        now = int(self._clock())
        missed = [
            one
            for one in listed
            if is_missed(one, known.get(one.id), now, again=_may_be_unsent(backfill, known.get(one.id)))
        ]
        # the oldest first: a mail before those that answer it
        items = [_item(backfill, one, known.get(one.id), now) for one in reversed(missed)]
        note_queued(
            self._journal, [queued(item, one) for item, one in zip(items, reversed(missed), strict=True)], known
        )
        for item in items:
            self._send(item)
        self._go_on(begun, lambda stands: _after(stands, page, listed, known))

    def _go_on(self, backfill: Backfill, step: Callable[[Backfill], Backfill]) -> None:
        """Take a step, if it is still the turn for it, and hand on to the next turn."""
        now = int(self._clock())

        def taken(stands: Backfill) -> Backfill | None:
            if not stands.is_at(backfill.turn):
                return None
            after = step(stands)
            ended = now if after.state is State.DONE else None
            return replace(after, turn=stands.turn + 1, moved=now, ended=ended)

        after = self._backfills.change(backfill.id, taken)
        if after is None:
            return
        if after.state is State.DONE:
            self._tell(after, "done")
        elif after.state is State.RUNNING:
            self._tell(after, "page")
            self._send(_next(after, now))

    def _end(self, backfill: Backfill, state: State, reason: str, error: MailSyncError) -> None:
        """Stop for a reason that no later try mends by itself."""
        now = int(self._clock())

        def stopped(stands: Backfill) -> Backfill | None:
            if not stands.is_at(backfill.turn):
                return None
            ended = now if state is State.FAILED else None
            return replace(stands, state=state, reason=reason, ended=ended, listing=stands.left, cursor="")

        after = self._backfills.change(backfill.id, stopped)
        if after is not None:
            self._tell(after, state.value, reason=reason, evidence=error.evidence, advice=error)

    # what a person does

    def start(self, mailbox: Mailbox, *, since: int, until: int, folder: str = "", bypass: bool) -> Backfill:
        """Begin to bring the mail a mailbox received between two moments, both included."""
        if mailbox.status != VALID:
            raise BackfillError(
                f"the mailbox can't be read, its grant is {mailbox.status or 'unknown'}; its owner must sign in first",
                reason="mailbox_not_valid",
            )
        for other in self._backfills.all():
            if (
                other.grant == mailbox.grant
                and not other.is_over
                and other.folder in {folder, ""}
                and (other.since <= until and since <= other.until)
            ):
                raise BackfillError(
                    f"backfill {other.id} of this mailbox is {other.state} and covers some of that span; let it end, "
                    "or cancel it",
                    reason="backfill_overlaps",
                )
        now = int(self._clock())
        until = min(until, now - LIVE)
        if since > until:
            raise BackfillError(
                "mail of the last quarter of an hour is its webhooks' to bring; begin earlier", reason="too_young"
            )
        if bypass and self._may_bypass() is False:
            raise BackfillError(
                "this mail is to go past the organisation's automation, and the role of this identity lacks "
                f"{BYPASS}; `dataverse setup --with-bypass` gives it",
                reason="bypass_refused",
            )
        span = Window(after=since - 1, before=until + 1, proves=0)
        backfill = Backfill(
            id=new_id(bypass=bypass),
            grant=mailbox.grant,
            since=since,
            until=until,
            folder=folder,
            left=span,
            listing=span,
            made=now,
            moved=now,
        )
        self._backfills.make(backfill)
        self._tell(backfill, "started")
        self._send(_next(backfill, now))
        return backfill

    def pause(self, backfill_id: str) -> Backfill:
        """Let it rest until somebody resumes it."""
        return self._asked(backfill_id, State.PAUSED, ASKED, {State.RUNNING, State.PAUSED})

    def resume(self, backfill_id: str) -> Backfill:
        """Let it go on where it was."""
        return self._asked(backfill_id, State.RUNNING, "", {State.PAUSED, State.FAILED})

    def cancel(self, backfill_id: str) -> Backfill:
        """Let it end here; what is on the queue already is still written."""
        return self._asked(backfill_id, State.CANCELLED, ASKED, {State.RUNNING, State.PAUSED, State.FAILED})

    def named(self, text: str) -> Backfill:
        """The backfill whose id begins so; raises BackfillError."""
        found = [one for one in self._backfills.all() if one.id.startswith(text.lower())]
        exact = [one for one in found if one.id == text.lower()]
        if len(exact or found) == 1:
            return (exact or found)[0]
        several = ", ".join(one.id for one in found)
        raise BackfillError(
            f"several backfills begin so: {several}"
            if found
            else "there is no such backfill; `backfill list` shows all",
            reason="unknown_backfill",
        )

    def all(self) -> tuple[Backfill, ...]:
        """Every backfill there was, the newest first."""
        return self._backfills.all()

    def progress(self, backfill: Backfill) -> Progress:
        """How far a backfill is, counted from the journal: true after whatever restart."""
        now = int(self._clock())
        counts: Counter[tuple[Kind, str]] = Counter()
        lately = 0
        span = max(1, min(RATE_SPAN, now - backfill.made))
        for told in self._journal.of_source(backfill.grant, backfill.since, backfill.until, backfill.source):
            counts[told.kind, told.reason] += 1
            lately += told.kind not in WAITING and told.kind is not Kind.DEFERRED and told.noted >= now - span
        rate = lately / span
        return Progress(
            backfill=backfill,
            counts=counts,
            made=now,
            per_second=rate,
            seconds_left=_left(backfill, counts, rate),
            behind=self._depth(),
        )

    def _asked(self, backfill_id: str, state: State, reason: str, before: set[State]) -> Backfill:
        after = self._set(backfill_id, state, reason, before)
        if after is None:
            stands = self.named(backfill_id)
            raise BackfillError(f"the backfill is {stands.state} already", reason="backfill_state")
        return after

    def _set(self, backfill_id: str, state: State, reason: str, before: set[State]) -> Backfill | None:
        """Bring a backfill into another state; a new turn ends every item that is on its way."""
        now = int(self._clock())

        def changed(stands: Backfill) -> Backfill | None:
            if stands.state not in before:
                return None
            ended = now if state in {State.CANCELLED, State.FAILED} else None
            stands = replace(stands, state=state, reason=reason, turn=stands.turn + 1, moved=now, ended=ended)
            return replace(stands, listing=stands.left, cursor="") if stands.is_over else stands

        after = self._backfills.change(backfill_id, changed)
        if after is not None:
            self._tell(after, state.value, reason=reason)
            if state is State.RUNNING:
                self._send(_next(after, now))
        return after

    def _tell(self, backfill: Backfill, what: str, **more: object) -> None:
        told = {"found": backfill.found or None, "enqueued": backfill.enqueued or None, **more}
        emit("backfill_moved", grant=backfill.grant, backfill=backfill.id, what=what, **told)


def _within(backfill: Backfill, messages: Iterable[Listed]) -> list[Listed]:
    """The messages of a page that are of its span, each once: EWS lists whole days."""
    once = {one.id: one for one in messages}.values()
    return [one for one in once if one.date is None or backfill.since <= int(one.date) <= backfill.until]


def _may_be_unsent(backfill: Backfill, known: Known | None) -> bool:
    """Whether whoever noted a message as queued may have died before sending it: at this page, at one that was longer
    than it is now, or at one listed by a cursor Nylas has forgotten. The copy of one that was sent ends at the journal.
    """
    return backfill.is_begun or (known is not None and known.source == backfill.source)


def _item(backfill: Backfill, listed: Listed, known: Known | None, now: int) -> MessageItem:
    """One message to bring; live mail that is on its way stays live mail, and automation answers it."""
    source = backfill.source
    if known is not None and known.kind in KEPT_OPEN and not is_backfills(known.source):
        source = known.source
    return MessageItem(
        grant=backfill.grant,
        message=listed.id,
        source=source,
        first_seen=now,
        date=date_of(listed),
        traceparent=traceparent(),
    )


def _next(backfill: Backfill, now: int) -> SweepItem:
    return SweepItem(
        grant=backfill.grant, source=backfill.source, first_seen=now, backfill=backfill.id, turn=backfill.turn
    )


def _after(stands: Backfill, page: Page, listed: list[Listed], known: Mapping[str, Known]) -> Backfill:
    """The backfill once this page is on the queue."""
    new = [one for one in listed if _is_new(stands, one, known.get(one.id))]
    others = [one for one in new if one.id in known and known[one.id].source != stands.source]
    dates = [int(one.date) for one in page.messages if one.date is not None]
    return replace(
        stands,
        state=State.DONE if page.cursor is None else stands.state,
        left=narrowed(stands.left, oldest_listed=min(dates)) if dates else stands.left,
        cursor=page.cursor or "",
        is_begun=False,
        found=stands.found + len(new),
        known=stands.known + len(others),
    )


def _is_new(stands: Backfill, listed: Listed, known: Known | None) -> bool:
    """Whether a listed message was on no page before: of those that lie beside the last one, some were.

    With a cursor a page may begin with what the page before ended with, without one it begins a minute earlier.
    """
    if listed.date is None or stands.left.before > stands.until:
        return True
    is_older = int(listed.date) < stands.left.before - DISORDER
    return is_older or (bool(stands.cursor) and (known is None or known.source != stands.source))


def _left(backfill: Backfill, counts: Mapping[tuple[Kind, str], int], rate: float) -> float | None:
    """Seconds, as if mail were spread evenly over the span."""
    open_ones = sum(number for (kind, _), number in counts.items() if kind in WAITING or kind is Kind.DEFERRED)
    unlisted = 0.0
    if not backfill.is_over:
        whole = backfill.until + 1 - (backfill.since - 1)
        share = (backfill.left.before - backfill.left.after) / whole
        if share >= 1 or not backfill.found:
            return None
        unlisted = backfill.enqueued * share / (1 - share)
    if not open_ones + unlisted:
        return 0.0
    return (open_ones + unlisted) / rate if rate else None
