"""The sweep finds what no webhook told of: exactly that, before the watermark moves, and at next to no cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from mailsync.connected import ALIASES_LIFE, Connected
from mailsync.errors import GrantError, MailSyncError, TransientError
from mailsync.measures import Measures
from mailsync.nylas.grants import Grants
from mailsync.nylas.reader import CursorError
from mailsync.outcome import Kind
from mailsync.storage.account import StorageAccount
from mailsync.storage.envelope import GrantItem, MessageItem, SweepItem
from mailsync.storage.journal import WAITS_FOR_GRANT, Entry, Journal
from mailsync.storage.mailboxes import PARTITION, Mailbox, Mailboxes
from mailsync.storage.tables import Table
from mailsync.storage.tombstones import Tombstones
from mailsync.sweep import (
    BUDGET,
    EWS_PAUSE,
    LEASE,
    TURN,
    WAITING_LIFE,
    WIDE_EVERY,
    WIDE_SPAN,
    MailboxSweeper,
    sweep_missed,
)
from mailsync.windows import DAY, Window, cut
from sandbox.faults import Answer, Fault
from tests.mailsync.parts import (
    API_KEY,
    NOW,
    OWN_DOMAIN,
    PSEUDONYMS,
    Clock,
    NylasServed,
    Sent,
    mail,
    new_address,
    new_id,
)

OVERLAP = 900


class Watch:
    """A mailbox of ours with a sweeper on it, and everything that it sent."""

    def __init__(
        self,
        nylas: NylasServed,
        journal: Journal,
        mailboxes: Mailboxes,
        measures: Measures,
        clock: Clock,
        sent: Sent,
        account: StorageAccount,
    ) -> None:
        self.account = account
        self.nylas, self.journal, self.mailboxes, self.clock, self.sent = nylas, journal, mailboxes, clock, sent
        self.measures = measures
        self.since = NOW - 3600
        self.page_size = 40
        self.address = new_address()
        self.grant = ""

    def connect(self, provider: str = "google", **more: Any) -> str:
        self.grant = self.nylas.stand_in.connect(self.address, provider, **{"created_at": self.since - DAY, **more})
        return self.grant

    def sweeper(self) -> MailboxSweeper:
        reader = self.nylas.reader()
        connected = Connected(
            mailboxes=self.mailboxes, reader=reader, own_domains=frozenset({OWN_DOMAIN}), clock=self.clock
        )
        return MailboxSweeper(
            reader=reader,
            journal=self.journal,
            mailboxes=self.mailboxes,
            connected=connected,
            send=self.sent,
            sync_since=lambda: self.since,
            overlap=OVERLAP,
            page_size=self.page_size,
            measures=self.measures,
            clock=self.clock,
        )

    def sweep(self, item: SweepItem | None = None, **given: Any) -> None:
        given = {"source": "timer", "first_seen": NOW, **given}
        self.sweeper().sweep(item or SweepItem(grant=self.grant, **given))

    def lay(self, ago: int, folder: str = "inbox", **more: Any) -> str:
        """A mail that came so many seconds ago and that no webhook told of."""
        letter = mail("dora@fabrikam.example", self.address, date=int(self.clock()) - ago)
        return self.nylas.stand_in.deliver(self.grant, letter, folder, notify=False, **more)

    def note(self, message: str, kind: Kind, *, ago: int = 0, **more: Any) -> Entry:
        """A record of a message, made so many seconds ago."""
        now = int(self.clock())
        stored = self.nylas.stand_in._box(self.grant).messages[message]
        given = {"date": stored.date, "folders": tuple(stored.folders), "noted": now - ago, "first_seen": now - ago}
        entry = Entry(grant=self.grant, message=message, kind=kind, **{**given, **more})
        return self.journal.put(entry, self.journal.get(self.grant, message))

    def stand_at(self, watermark: int) -> None:
        """A mailbox connected long ago and swept until then, widely."""
        self.since = watermark - 30 * DAY
        self.address = new_address()
        self.connect()
        self.mailboxes.note_listed(Mailbox(grant=self.grant, email=self.address))
        lease = self.mailboxes.lease(self.grant, now=watermark, seconds=LEASE)
        assert lease is not None
        assert self.mailboxes.advance(lease, watermark=watermark, now=watermark, wide=True)

    def carry_on(self) -> None:
        """A sweep that spends its budget with each message it sends, and all that carry it on."""

        def slowly(_: object) -> None:
            self.clock.now += BUDGET + 1

        self.sent.then = slowly
        items = [SweepItem(grant=self.grant, source="timer", first_seen=NOW)]
        while items:
            self.sweep(items.pop())
            items = [one for one in self.sent.items if isinstance(one, SweepItem) and self.mailbox.left is not None]
            self.sent.items[:] = [one for one in self.sent.items if isinstance(one, MessageItem)]
        self.sent.then = None

    @property
    def found(self) -> list[str]:
        """The messages put on the queue, in this order."""
        return [item.message for item in self.sent.items if isinstance(item, MessageItem)]

    @property
    def mailbox(self) -> Mailbox:
        found = self.mailboxes.get(self.grant)
        assert found is not None
        return found

    def watermark(self) -> int | None:
        found = self.mailboxes.get(self.grant)
        return found.watermark if found is not None else None

    def asked(self, work: Callable[[], object]) -> dict[str, int]:
        """The requests to Nylas by kind."""
        before = self.nylas.stand_in.calls.copy()
        work()
        return dict(self.nylas.stand_in.calls - before)


@pytest.fixture
def watch(
    nylas: NylasServed,
    journal: Journal,
    mailboxes: Mailboxes,
    measures: Measures,
    clock: Clock,
    sent: Sent,
    account: StorageAccount,
) -> Watch:
    watch = Watch(nylas, journal, mailboxes, measures, clock, sent, account)
    watch.connect()
    return watch


# what it finds


def test_exactly_what_the_journal_lacks_is_put_on_the_queue(watch: Watch) -> None:
    known, missed = [watch.lay(ago) for ago in (50, 40)], [watch.lay(ago) for ago in (45, 30, 20)]
    for message in known:
        watch.note(message, Kind.WRITTEN)
    watch.sweep()
    assert watch.found == list(reversed(missed))
    assert watch.sent.items[0] == MessageItem(
        grant=watch.grant, message=missed[-1], source="sweep", first_seen=NOW, date=NOW - 20
    )
    assert (watch.mailbox.watermark, watch.mailbox.swept) == (NOW, NOW)


def test_each_is_on_the_queue_and_in_the_journal_before_the_watermark_moves(watch: Watch) -> None:
    message = watch.lay(10)
    seen: list[tuple[int | None, Kind]] = []

    def look(_: object) -> None:
        entry = watch.journal.get(watch.grant, message)
        assert entry is not None
        seen.append((watch.mailbox.watermark, entry.kind))

    watch.sent.then = look
    watch.sweep()
    assert seen == [(None, Kind.QUEUED)]
    assert watch.mailbox.watermark == NOW


def test_what_a_sweep_noted_and_could_not_send_is_sent_by_the_next(watch: Watch) -> None:
    """However soon that comes: once the watermark has moved, no window would hold it any more."""
    messages = [watch.lay(30), watch.lay(20), watch.lay(10)]

    def fail(item: object) -> None:
        if watch.found[-1] == messages[1]:
            watch.sent.items.pop()
            raise TransientError("storage", reason="storage_unavailable")

    watch.sent.then = fail
    with pytest.raises(TransientError):
        watch.sweep()
    assert watch.watermark() is None
    watch.sent.then = None
    watch.sweep()
    assert set(watch.found) == set(messages)
    assert watch.watermark() == NOW


def test_what_a_sweep_noted_before_it_died_is_sent_by_the_next(watch: Watch) -> None:
    watch.sweep()
    message = watch.lay(10)
    assert watch.mailboxes.lease(watch.grant, now=NOW, seconds=LEASE) is not None
    watch.note(message, Kind.QUEUED)
    watch.clock.now += LEASE
    watch.sweep()
    assert watch.found == [message]


STATES = [
    pytest.param(Kind.WRITTEN, 10**6, False, id="written"),
    pytest.param(Kind.ADOPTED, 10**6, False, id="adopted"),
    pytest.param(Kind.ALREADY_THERE, 10**6, False, id="already there"),
    pytest.param(Kind.REMOVED, 10**6, False, id="removed"),
    pytest.param(Kind.ERASED, 10**6, False, id="erased"),
    pytest.param(Kind.PUT_ASIDE, 10**6, False, id="put aside"),
    pytest.param(Kind.SKIPPED, 10**6, False, id="skipped and not moved"),
    pytest.param(Kind.QUEUED, WAITING_LIFE - 5, False, id="queued lately"),
    pytest.param(Kind.QUEUED, WAITING_LIFE + 5, True, id="queued long ago"),
    pytest.param(Kind.DEFERRED, WAITING_LIFE - 5, False, id="deferred lately"),
    pytest.param(Kind.DEFERRED, WAITING_LIFE + 5, True, id="deferred long ago"),
    pytest.param(Kind.GONE, 0, True, id="gone, and there again"),
]


@pytest.mark.parametrize(("kind", "ago", "again"), STATES)
def test_what_is_done_with_a_message_the_journal_knows(watch: Watch, kind: Kind, ago: int, again: bool) -> None:
    message = watch.lay(30)
    watch.note(message, kind, ago=ago)
    watch.sweep()
    assert watch.found == ([message] if again else [])


def test_one_deferred_until_later_is_left_alone_until_then(watch: Watch) -> None:
    message = watch.lay(30)
    watch.note(message, Kind.DEFERRED, ago=10 * WAITING_LIFE, until=NOW - WAITING_LIFE + 5)
    watch.sweep()
    assert watch.found == []
    watch.clock.now += 10
    watch.sweep()
    assert watch.found == [message]


@pytest.mark.parametrize("provider", ["google", "microsoft", "imap"])
def test_a_skipped_message_that_lies_elsewhere_now_is_decided_anew(watch: Watch, provider: str) -> None:
    watch.connect(provider)
    message = watch.lay(30, "junk")
    watch.note(message, Kind.SKIPPED, ago=60, reason="junk")
    watch.sweep()
    assert watch.found == []
    watch.nylas.stand_in.move(watch.grant, message, "inbox", notify=False)
    watch.sweep()
    assert watch.found == [message]
    entry = watch.journal.get(watch.grant, message)
    assert entry is not None
    assert (entry.kind, set(entry.folders or ())) == (
        Kind.QUEUED,
        set(watch.nylas.stand_in._box(watch.grant).messages[message].folders),
    )


@pytest.mark.parametrize(("shown", "found"), [(b', "folders": []', True), (b', "folders": null', False), (b"", False)])
def test_to_lie_nowhere_is_to_have_moved_and_not_to_be_told_where_is_not(
    watch: Watch, shown: bytes, found: bool
) -> None:
    """Gmail's archive is no label. What was skipped again is not enqueued with each sweep."""
    message = watch.lay(30, "junk")
    watch.note(message, Kind.SKIPPED, ago=60, reason="junk")
    page = b'{"data": [{"id": "%s", "date": %d%s}]}' % (message.encode(), NOW - 30, shown)
    watch.nylas.faults.add(Fault(Answer(200, {}, page), path="/messages"))
    watch.sweep()
    assert watch.found == ([message] if found else [])
    watch.note(message, Kind.SKIPPED, folders=() if found else None, reason="internal_only")
    watch.sweep()
    assert watch.found == ([message] if found else [])


def test_a_message_without_a_date_is_enqueued_once(watch: Watch) -> None:
    """It has no place in a window of time, but it has a record."""
    message = watch.lay(30, overrides={"date": None})
    watch.sweep()
    assert watch.found == [message]
    watch.note(message, Kind.WRITTEN, date=None)
    watch.sweep()
    assert watch.found == [message]


def test_a_page_that_names_a_message_twice_enqueues_it_once(watch: Watch) -> None:
    body = b'{"data": [{"id": "a", "date": %d}, {"id": "a", "date": %d}]}' % (NOW - 5, NOW - 5)
    watch.nylas.faults.add(Fault(Answer(200, {}, body), path="/messages"))
    watch.sweep()
    assert watch.found == ["a"]
    assert watch.mailbox.watermark == NOW


def test_a_listed_message_in_an_odd_shape_stops_no_sweep(watch: Watch) -> None:
    body = b'{"data": [{"id": "a", "date": %d}, {"id": "odd", "date": "soon", "folders": 1}, {"id": 7}]}' % (NOW - 5)
    watch.nylas.faults.add(Fault(Answer(200, {}, body), path="/messages"))
    watch.sweep()
    assert watch.found == ["a", "odd"]
    assert watch.mailbox.watermark == NOW


@pytest.mark.parametrize("inclusive", [True, False], ids=["ends inclusive", "ends exclusive"])
@pytest.mark.parametrize("repeats", [True, False], ids=["pages repeat a message", "pages don't"])
@pytest.mark.parametrize("has_body", [True, False], ids=["with bodies", "without"])
def test_however_nylas_does_what_it_leaves_open(watch: Watch, inclusive: bool, repeats: bool, has_body: bool) -> None:
    behaviour = watch.nylas.stand_in.behaviour
    behaviour.received_inclusive, behaviour.repeat_across_pages = inclusive, repeats
    behaviour.list_has_body, behaviour.last_cursor_absent = has_body, has_body
    watch.page_size = 3
    missed = [watch.lay(100 - number) for number in range(8)]
    watch.sweep()
    assert watch.found == list(reversed(missed))


# what it costs


def test_when_all_is_known_one_request_for_each_page_is_all_it_costs(watch: Watch) -> None:
    """And none to Dataverse: a sweeper has no way to it."""
    known = [
        Entry(grant=watch.grant, message=watch.lay(ago), kind=Kind.WRITTEN, noted=NOW, first_seen=NOW, date=NOW - ago)
        for ago in range(85, 0, -1)
    ]
    watch.journal.note_queued(known)
    watch.sweep()
    for page_size, pages in ((40, 3), (200, 1)):
        watch.page_size = page_size
        assert watch.asked(watch.sweep) == {"GET messages": pages}
    assert watch.found == []


def test_an_empty_window_is_one_request(watch: Watch) -> None:
    watch.sweep()
    assert watch.asked(watch.sweep) == {"GET messages": 1}


# where it begins


def test_a_mailboxs_first_window_starts_at_its_connection(watch: Watch) -> None:
    watch.address = new_address()
    watch.connect(created_at=NOW - 600)
    for ago in (602, 601, 600, 599):
        watch.lay(ago)
    newer = [stored["id"] for stored in watch.nylas.stand_in.messages(watch.grant)][:2]
    watch.sweep()
    assert watch.found == newer


def test_or_at_the_installations_start_when_that_is_later(watch: Watch) -> None:
    before, at, after = watch.lay(3601), watch.lay(3600), watch.lay(3599)
    watch.sweep()
    assert watch.found == [after, at]
    assert before not in watch.found


def test_a_message_older_than_the_floor_is_left_whatever_a_listing_shows(watch: Watch) -> None:
    """EWS lists whole days."""
    watch.address = new_address()
    watch.connect("ews", created_at=NOW - 600)
    watch.lay(7200)
    inside = watch.lay(300)
    watch.sweep()
    assert watch.found == [inside]


def test_a_sync_since_in_the_future_costs_no_mail_once_it_is_mended(watch: Watch) -> None:
    """2062 written for 2026: nothing is swept, and nothing is taken for proven."""
    watch.since = NOW + 10 * DAY
    earlier = watch.lay(1800)
    watch.sweep()
    assert watch.found == []
    watch.since = NOW - 3600
    watch.clock.now += 3600
    message = watch.lay(3500)
    watch.sweep()
    assert watch.found == [message, earlier]


def test_windows_overlap_and_then_go_on_from_the_watermark(watch: Watch) -> None:
    watch.sweep()
    watch.clock.now += 300
    late = watch.lay(300 + OVERLAP - 5)
    watch.sweep()
    assert watch.found == [late]
    assert watch.mailbox.watermark == NOW + 300


def test_now_and_then_a_window_reaches_days_back(watch: Watch) -> None:
    """Mail can be dated days before it arrives."""
    watch.stand_at(NOW)
    old, older = watch.lay(WIDE_SPAN - DAY), watch.lay(WIDE_SPAN + DAY)
    watch.clock.now = NOW + WIDE_EVERY - 1
    watch.sweep()
    assert watch.found == []
    watch.clock.now = NOW + WIDE_EVERY
    watch.sweep()
    assert watch.found == [old]
    assert older not in watch.found
    assert watch.mailbox.swept_wide == NOW + WIDE_EVERY


def test_it_reaches_back_from_what_was_proven_however_long_ago_that_is(watch: Watch) -> None:
    """While a grant is expired, mail comes in that is dated before its expiry, and no webhook tells of it."""
    watch.stand_at(NOW)
    watch.clock.now = NOW + 10 * DAY
    late = watch.lay(11 * DAY)
    watch.sweep()
    assert watch.found == [late]


def test_a_window_that_is_carried_on_is_noted_for_what_it_was_begun_as(watch: Watch) -> None:
    """Begun before a wide one was due, it is none when it ends later."""
    watch.stand_at(NOW)
    watch.page_size = 1
    watch.clock.now = NOW + WIDE_EVERY - 1
    for hours in range(1, 5):
        watch.lay(hours * 3600)
    dated_days_ago = watch.lay(WIDE_SPAN - DAY)
    watch.carry_on()
    assert dated_days_ago not in watch.found
    assert watch.mailbox.swept_wide == NOW
    watch.carry_on()
    assert dated_days_ago in watch.found
    assert (watch.mailbox.swept_wide or 0) > NOW + WIDE_EVERY


def test_a_span_that_a_person_asked_for_leaves_the_mailboxs_own_sweep_where_it_was(watch: Watch) -> None:
    watch.stand_at(NOW)
    watch.clock.now = NOW + WIDE_EVERY
    message, noted = watch.lay(2 * DAY), watch.lay(30)
    watch.note(noted, Kind.QUEUED)
    assert watch.mailboxes.lease(watch.grant, now=int(watch.clock()), seconds=LEASE) is not None
    watch.clock.now += LEASE  # the mailbox's own sweep died before it had sent what it had noted
    (window,) = cut(NOW - 2 * DAY, NOW - DAY)
    watch.sweep(source="command", after=window.after, before=window.before)
    assert (watch.mailbox.watermark, watch.mailbox.swept, watch.mailbox.swept_wide) == (NOW, NOW, NOW)
    assert [type(item) for item in watch.sent.items] == [MessageItem]
    assert watch.found == [message]
    watch.sweep()
    assert noted in watch.found


# how far a mailbox is


def test_a_mailbox_whose_messages_all_came_to_an_end_is_as_new_as_its_newest(watch: Watch) -> None:
    watch.note(watch.lay(60), Kind.WRITTEN)
    watch.note(watch.lay(30), Kind.SKIPPED)
    watch.sweep()
    mailbox = watch.mailbox
    assert (mailbox.newest_listed, mailbox.newest_done, mailbox.lag) == (NOW - 30, NOW - 30, 0)
    assert mailbox.settled_until == NOW


@pytest.mark.parametrize("kind", [None, Kind.QUEUED, Kind.DEFERRED], ids=["missed", "queued", "deferred"])
def test_one_on_its_way_keeps_what_is_done_behind_what_is_listed(watch: Watch, kind: Kind | None) -> None:
    watch.note(watch.lay(60), Kind.WRITTEN)
    waits = watch.lay(30)
    if kind is not None:
        watch.note(waits, kind, ago=25)
    watch.sweep()
    mailbox = watch.mailbox
    assert (mailbox.newest_listed, mailbox.newest_done) == (NOW - 30, NOW - 60)
    assert mailbox.lag == (25 if kind is not None else 0), "one that was missed waits from now"


def test_a_message_that_has_waited_for_days_is_not_overlooked_though_the_window_is_of_minutes(watch: Watch) -> None:
    watch.stand_at(NOW - 300)
    watch.note(watch.lay(3 * DAY), Kind.DEFERRED, ago=2 * DAY, until=NOW + 60)
    watch.sweep()
    mailbox = watch.mailbox
    assert (mailbox.newest_listed, mailbox.lag) == (None, 2 * DAY)
    assert mailbox.settled_until == NOW - 2 * DAY


def test_a_span_that_somebody_asked_for_says_nothing_of_how_far_a_mailbox_is(watch: Watch) -> None:
    watch.lay(60)
    watch.sweep(after=NOW - 3000, before=NOW)
    assert (watch.mailbox.newest_listed, watch.mailbox.lag, watch.mailbox.settled_until) == (None, None, None)


# a cursor that fails


def test_a_cursor_that_fails_lists_the_window_from_its_start(watch: Watch) -> None:
    watch.page_size = 2
    missed = [watch.lay(100 - number) for number in range(5)]
    refused = Fault(Answer(400, body=b'{"error": {"type": "invalid_request_error"}}'), path="page_token", times=2)
    watch.nylas.faults.add(refused)
    watch.sweep()
    assert watch.found == list(reversed(missed))
    assert watch.mailbox.watermark == NOW


def test_one_that_always_fails_is_trouble_and_proves_nothing(watch: Watch) -> None:
    watch.page_size = 1
    for ago in (20, 10):
        watch.lay(ago)
    watch.nylas.faults.add(Fault(Answer(400), path="page_token"))
    with pytest.raises(CursorError):
        watch.sweep()
    assert watch.mailbox.watermark is None
    watch.nylas.faults.clear()
    watch.sweep()
    assert watch.mailbox.watermark == NOW


def test_a_window_that_fails_half_way_proves_nothing(watch: Watch) -> None:
    watch.page_size = 1
    missed = [watch.lay(20), watch.lay(10)]
    watch.nylas.faults.add(Fault(Answer(503), path="page_token"))
    with pytest.raises(TransientError):
        watch.sweep()
    assert watch.mailbox.watermark is None
    watch.nylas.faults.clear()
    watch.sweep()
    assert set(watch.found) == set(missed)
    assert watch.watermark() == NOW


def test_after_trouble_the_next_sweep_goes_on_where_it_was(watch: Watch) -> None:
    """Else a mailbox with more pages than trouble lets through would never be proven."""
    watch.since = NOW - DAY
    watch.address = new_address()
    watch.connect()
    watch.page_size = 2
    missed = [watch.lay(8000 - 2000 * number) for number in range(4)]
    for done in (2, 3):
        trouble = Fault(Answer(503), path="page_token")
        watch.nylas.faults.add(trouble)
        with pytest.raises(TransientError):
            watch.sweep()
        watch.nylas.faults.clear()
        assert list(dict.fromkeys(watch.found)) == list(reversed(missed))[:done]
        assert watch.watermark() is None
    watch.sweep()
    assert list(dict.fromkeys(watch.found)) == list(reversed(missed))
    assert (watch.mailbox.left, watch.watermark()) == (None, NOW)


@pytest.mark.parametrize("dies", [False, True])
def test_a_window_somebody_asked_for_changes_nothing_of_the_mailboxs_own(watch: Watch, dies: bool) -> None:
    """Its watermark, what is left of its own window, and that a sweep died in it."""
    watch.sweep()
    lease = watch.mailboxes.lease(watch.grant, now=NOW, seconds=LEASE)
    assert lease is not None
    watch.mailboxes.release(lease, unfinished=True, left=Window(NOW - 900, NOW - 500, NOW))
    before = watch.mailbox
    message = watch.lay(2000)
    if dies:
        watch.nylas.faults.add(Fault(Answer(503), path="messages"))
    with suppress(TransientError):
        watch.sweep(after=NOW - 2500, before=NOW - 1500)
    assert watch.found == ([] if dies else [message])
    assert watch.mailbox == before
    again = watch.mailboxes.lease(watch.grant, now=NOW, seconds=LEASE)
    assert again is not None
    assert again.after_unfinished


@pytest.mark.parametrize("is_wide", [False, True])
def test_what_is_left_of_a_wide_window_is_wide_and_nothing_else(watch: Watch, is_wide: bool) -> None:
    watch.sweep()
    watch.clock.now += WIDE_EVERY + 1
    now = int(watch.clock())
    lease = watch.mailboxes.lease(watch.grant, now=now, seconds=LEASE)
    assert lease is not None
    watch.mailboxes.release(lease, unfinished=False, left=Window(NOW - 900, now, now, is_wide=is_wide))
    watch.sweep()
    assert watch.mailbox.swept_wide == (now if is_wide else None)


# one sweep of a mailbox at a time


def test_of_two_sweeps_at_once_one_drops(watch: Watch) -> None:
    watch.lay(10)
    costs: list[dict[str, int]] = []
    watch.sent.then = lambda _: costs.append(watch.asked(watch.sweep))
    watch.sweep()
    assert costs == [{}]
    assert len(watch.found) == 1
    assert watch.mailbox.watermark == NOW


def test_a_span_that_a_person_asked_for_waits_for_its_turn(watch: Watch) -> None:
    """Nobody else would sweep it."""
    watch.sweep()
    assert watch.mailboxes.lease(watch.grant, now=NOW, seconds=LEASE) is not None
    (window,) = cut(NOW - 1000, NOW)
    with pytest.raises(TransientError) as error:
        watch.sweep(source="command", after=window.after, before=window.before)
    assert (error.value.reason, error.value.retry_after) == ("mailbox_swept", TURN)


def test_a_sweep_that_died_keeps_its_mailbox_for_minutes_only(watch: Watch) -> None:
    watch.sweep()
    watch.mailboxes.lease(watch.grant, now=NOW, seconds=LEASE)
    message = watch.lay(10)
    watch.sweep()
    assert watch.found == []
    watch.clock.now += LEASE
    watch.sweep()
    assert watch.found == [message]


def test_a_sweep_that_lost_its_mailbox_moves_no_watermark(watch: Watch) -> None:
    """It took so long that another began meanwhile."""
    watch.lay(10)

    def another(_: object) -> None:
        watch.sent.then = None
        watch.clock.now += LEASE
        taken = watch.mailboxes.lease(watch.grant, now=int(watch.clock()), seconds=LEASE)
        assert taken is not None

    watch.sent.then = another
    watch.sweep()
    assert watch.mailbox.watermark is None


# long windows


def test_a_budget_that_is_spent_leaves_the_rest_to_the_next_item(watch: Watch) -> None:
    """Newest first: the watermark moves only when the oldest page is done."""
    watch.since = NOW - DAY
    watch.address = new_address()
    watch.connect()
    watch.page_size = 2
    missed = [watch.lay(8000 - 1000 * number) for number in range(8)]

    def slowly(_: object) -> None:
        watch.clock.now += BUDGET / 2 + 1

    watch.sent.then = slowly
    items = [SweepItem(grant=watch.grant, source="timer", first_seen=NOW)]
    rounds = 0
    while items:
        assert watch.watermark() is None
        rounds += 1
        watch.sweep(items.pop())
        items = [one for one in watch.sent.items if isinstance(one, SweepItem)]
        watch.sent.items[:] = [one for one in watch.sent.items if isinstance(one, MessageItem)]
        left = watch.mailbox.left
        assert (left is not None and left.proves == NOW and left.before < NOW) if items else left is None
    assert rounds > 2
    assert watch.found == list(reversed(missed))
    assert watch.watermark() == NOW


def test_a_mail_that_is_dated_long_before_its_place_hides_none_when_a_listing_breaks_off(watch: Watch) -> None:
    """The rest of the window is listed by the next sweep."""
    watch.since = NOW - DAY
    watch.address = new_address()
    watch.connect()
    watch.page_size = 5
    missed = [watch.lay(10 + 10 * number) for number in range(20)]
    stray = watch.nylas.stand_in._box(watch.grant).messages[missed[2]]
    stray.overrides = {"date": stray.date - 3000}
    trouble = Fault(Answer(429, {}, b'{"error":{"type":"rate_limit_error"}}'), path="/messages", skip=1, times=1)
    watch.nylas.faults.add(trouble)
    with pytest.raises(TransientError):
        watch.sweep()
    watch.clock.now += 600
    watch.sweep()
    assert set(watch.found) == set(missed)


def test_a_sweep_that_died_is_made_up_for_though_the_budget_is_spent_in_between(watch: Watch) -> None:
    watch.since = NOW - DAY
    watch.address = new_address()
    watch.connect()
    watch.sweep()
    watch.page_size = 1
    watch.clock.now += DAY / 2
    noted = [watch.lay(5000 - 1000 * number) for number in range(4)]
    for message in noted:
        watch.note(message, Kind.QUEUED)
    assert watch.mailboxes.lease(watch.grant, now=int(watch.clock()), seconds=LEASE) is not None
    watch.clock.now += LEASE

    def slowly(_: object) -> None:
        watch.clock.now += BUDGET + 1

    watch.sent.then = slowly
    items = [SweepItem(grant=watch.grant, source="timer", first_seen=NOW)]
    while items:
        watch.sweep(items.pop())
        items = [one for one in watch.sent.items if isinstance(one, SweepItem)]
        watch.sent.items[:] = [one for one in watch.sent.items if isinstance(one, MessageItem)]
        watch.clock.now -= BUDGET  # the journal's notes stay young
    assert set(watch.found) == set(noted)


def test_a_long_gap_is_worked_through_a_day_at_a_time(watch: Watch) -> None:
    watch.since = NOW - 4 * DAY
    watch.address = new_address()
    watch.connect()
    missed = [watch.lay(ago) for ago in (4 * DAY, 3 * DAY + 5, 3 * DAY, 2 * DAY, DAY, 60)]
    items = [SweepItem(grant=watch.grant, source="timer", first_seen=NOW)]
    marks = []
    while items:
        watch.sweep(items.pop())
        marks.append(watch.mailbox.watermark)
        items = [one for one in watch.sent.items if isinstance(one, SweepItem)]
        watch.sent.items[:] = [one for one in watch.sent.items if isinstance(one, MessageItem)]
    assert marks == [NOW - 3 * DAY, NOW - 2 * DAY, NOW - DAY, NOW]
    assert sorted(watch.found) == sorted(missed)


# grants


@pytest.mark.parametrize(("event", "status"), [("grant.expired", "invalid"), ("grant.deleted", "deleted")])
def test_the_end_of_a_grant_is_recorded(watch: Watch, event: str, status: str) -> None:
    watch.sweep()
    watch.sweeper().record(
        GrantItem(grant=watch.grant, event=event, source=event, first_seen=NOW + 5, at=NOW + 3 if status else None)
    )
    assert (watch.mailbox.status, watch.mailbox.watermark) == (status, NOW)
    assert watch.mailbox.expired == (NOW + 3 if status == "invalid" else None)


def test_a_mailbox_that_signed_in_anew_is_swept_from_where_it_stood(watch: Watch) -> None:
    watch.sweep()
    watch.nylas.stand_in.expire(watch.grant)
    watch.clock.now += 2 * DAY - 60
    with pytest.raises(GrantError):
        watch.sweep()
    assert watch.mailbox.watermark == NOW
    message = watch.lay(DAY)
    watch.nylas.stand_in.reauthenticate(watch.grant)
    watch.sweep(source="grant.updated")
    watch.sweep(watch.sent.items[-1])
    assert watch.found == [message]


def test_what_waited_for_its_grant_goes_back_on_the_queue(watch: Watch) -> None:
    message = watch.lay(10 * DAY)
    watch.note(message, Kind.DEFERRED, reason=WAITS_FOR_GRANT, ago=9 * DAY, notification="n", source="message.created")
    watch.sweep()
    watch.mailboxes.note_waiting(watch.grant)
    watch.sweep(source="grant.updated")
    (item,) = watch.sent.items
    assert (item.message, item.source, item.notification, item.attempt) == (message, "renewed", "n", 0)
    assert not watch.mailbox.waiting


def test_thousands_that_waited_go_back_each_once(watch: Watch) -> None:
    """However many pages of the table they are."""
    waiting = [
        Entry(
            grant=watch.grant,
            message=f"waits{number}",
            kind=Kind.DEFERRED,
            reason=WAITS_FOR_GRANT,
            noted=NOW,
            first_seen=NOW,
            date=NOW - number,
        )
        for number in range(2500)
    ]
    watch.journal.note_queued(waiting)
    watch.mailboxes.note_waiting(watch.grant)
    watch.sweep(source="grant.updated")
    back = [one.message for one in watch.sent.items if isinstance(one, MessageItem)]
    assert sorted(back) == sorted(one.message for one in waiting)
    assert not watch.mailbox.waiting


def test_and_is_not_forgotten_when_the_queue_fails_meanwhile(watch: Watch) -> None:
    """Its date lies before any window: nobody else will find it."""
    messages = [watch.lay(10 * DAY + number) for number in range(3)]
    for message in messages:
        watch.note(message, Kind.DEFERRED, reason=WAITS_FOR_GRANT, ago=9 * DAY)
    watch.sweep()
    watch.mailboxes.note_waiting(watch.grant)

    def fail_once(_: object) -> None:
        watch.sent.then = None
        watch.sent.items.pop()
        raise TransientError("storage", reason="storage_unavailable")

    watch.sent.then = fail_once
    with pytest.raises(TransientError):
        watch.sweep(source="grant.updated")
    watch.sweep(source="grant.updated")
    assert sorted(watch.found) == sorted(messages)


def test_what_waited_for_a_grant_that_was_deleted_goes_back_on_the_queue_to_be_put_aside(watch: Watch) -> None:
    """No sign-in will come for it."""
    message = watch.lay(60)
    watch.note(message, Kind.DEFERRED, reason=WAITS_FOR_GRANT)
    watch.sweep()
    watch.mailboxes.note_waiting(watch.grant)
    deleted = GrantItem(grant=watch.grant, event="grant.deleted", source="grant.deleted", first_seen=NOW)
    watch.sweeper().record(deleted)
    assert (watch.found, watch.mailbox.status, watch.mailbox.waiting) == ([message], "deleted", "")


def test_a_grant_is_deleted_for_the_timer_only_when_nylas_says_so_of_that_grant_too(watch: Watch) -> None:
    """A listing that was read while it changed may lack one that is there."""
    watch.sweep()
    item = GrantItem(grant=watch.grant, event="grant.deleted", source="timer", first_seen=NOW)
    watch.sweeper().record(item)
    assert watch.mailbox.status == "valid"
    watch.nylas.stand_in.disconnect(watch.grant)
    watch.sweeper().record(item)
    assert watch.mailbox.status == "deleted"


@pytest.mark.parametrize("days", [0.5, 3], ids=["hours later", "days later"])
def test_a_mailbox_under_a_new_grant_goes_on_where_it_was(watch: Watch, days: float) -> None:
    watch.sweep()
    watch.nylas.stand_in.disconnect(watch.grant)
    watch.clock.now += days * DAY
    watch.connect(created_at=int(watch.clock()))
    meanwhile = [watch.lay(int(share * days * DAY)) for share in (0.99, 0.5, 0.01)]
    items: list[SweepItem] = [SweepItem(grant=watch.grant, source="grant.created", first_seen=NOW)]
    while items:
        watch.sweep(items.pop())
        items = [one for one in watch.sent.items if isinstance(one, SweepItem)]
        watch.sent.items[:] = [one for one in watch.sent.items if isinstance(one, MessageItem)]
    assert sorted(watch.found) == sorted(meanwhile)


def test_a_mailbox_under_a_new_grant_is_swept_with_the_same_overlap(watch: Watch) -> None:
    """Mail may be listed later than its date says."""
    watch.clock.now += 3600
    watch.sweep()
    watch.nylas.stand_in.disconnect(watch.grant)
    watch.connect(created_at=int(watch.clock()))
    overlapping = watch.lay(OVERLAP - 10)
    watch.lay(OVERLAP + 10)
    watch.sweep(source="grant.created")
    assert watch.found == [overlapping]


def test_a_mailbox_not_heard_of_is_asked_for_once_with_its_aliases(watch: Watch) -> None:
    watch.address = new_address()
    watch.connect("microsoft", aliases=["Other@contoso.example"])
    assert watch.asked(watch.sweep) == {"GET grants/id": 1, "GET messages": 1}
    assert (watch.mailbox.email, watch.mailbox.aliases) == (watch.address, ("other@contoso.example",))
    assert watch.asked(watch.sweep) == {"GET messages": 1}
    assert watch.asked(lambda: watch.sweep(source="grant.updated")) == {"GET grants/id": 1, "GET messages": 1}
    watch.clock.now += ALIASES_LIFE + 1
    assert watch.asked(watch.sweep)["GET grants/id"] == 1


def test_a_grant_that_is_gone_is_told_as_gone(watch: Watch) -> None:
    watch.nylas.stand_in.disconnect(watch.grant)
    with pytest.raises(MailSyncError) as error:
        watch.sweep(source="grant.created")
    assert error.value.evidence.status == 404


# the timer


@pytest.fixture
def nobody_yet(account: StorageAccount, mailboxes: Mailboxes) -> Iterator[None]:
    """No mailbox is known from another test, nor to a later one."""
    _forget_all(account, mailboxes)
    yield
    _forget_all(account, mailboxes)


def _forget_all(account: StorageAccount, mailboxes: Mailboxes) -> None:
    rows = [("delete", {"PartitionKey": PARTITION, "RowKey": one.grant}) for one in mailboxes.all()]
    for start in range(0, len(rows), 100):
        Table(account, "mailboxes").change(rows[start : start + 100])


def missed(nylas: NylasServed, mailboxes: Mailboxes, sent: Sent, *, spread: int = 240, now: int = NOW) -> int:
    grants = Grants(api_uri=nylas.server.url, api_key=API_KEY)
    return sweep_missed(grants=grants, mailboxes=mailboxes, send=sent, spread=spread, sync_since=0, now=now)


@pytest.mark.usefixtures("nobody_yet")
def test_the_timer_sends_one_sweep_for_each_valid_mailbox(nylas: NylasServed, mailboxes: Mailboxes, sent: Sent) -> None:
    valid = [nylas.stand_in.connect(new_address(), provider, created_at=NOW) for provider in ("google", "imap", "ews")]
    expired = nylas.stand_in.connect(new_address(), "google")
    nylas.stand_in.expire(expired)
    assert missed(nylas, mailboxes, sent) == 3
    assert sent.items == [SweepItem(grant=grant, source="timer", first_seen=NOW) for grant in valid]
    assert nylas.server.requests == 1
    statuses = {mailbox.grant: mailbox.status for mailbox in mailboxes.all()}
    assert [statuses[grant] for grant in (*valid, expired)] == ["valid", "valid", "valid", "invalid"]


@pytest.mark.usefixtures("nobody_yet")
@pytest.mark.parametrize(
    ("spread", "delays"), [(240, [0, 2, 4, 6]), (4, [0, 1, 2, 3]), (0, [0, 0, 0, 0])], ids=["widely", "closely", "not"]
)
def test_they_are_spread(
    nylas: NylasServed, mailboxes: Mailboxes, sent: Sent, spread: int, delays: list[float]
) -> None:
    for _ in range(4):
        nylas.stand_in.connect(new_address(), "google")
    missed(nylas, mailboxes, sent, spread=spread)
    assert sent.delays == delays


@pytest.mark.usefixtures("nobody_yet")
def test_a_mailbox_is_noted_when_it_changed_and_its_watermark_stays(
    nylas: NylasServed, mailboxes: Mailboxes, sent: Sent
) -> None:
    grant = nylas.stand_in.connect(new_address(), "google", created_at=NOW)
    missed(nylas, mailboxes, sent)
    lease = mailboxes.lease(grant, now=NOW, seconds=9)
    assert lease is not None
    mailboxes.advance(lease, watermark=NOW, now=NOW)
    nylas.stand_in.expire(grant)
    missed(nylas, mailboxes, sent)
    found = mailboxes.get(grant)
    assert found is not None
    assert (found.status, found.watermark) == ("invalid", NOW)


@pytest.mark.usefixtures("nobody_yet")
def test_ews_is_due_hourly(nylas: NylasServed, mailboxes: Mailboxes, sent: Sent) -> None:
    grant = nylas.stand_in.connect(new_address(), "ews", created_at=NOW)
    assert missed(nylas, mailboxes, sent) == 1
    lease = mailboxes.lease(grant, now=NOW, seconds=9)
    assert lease is not None
    mailboxes.advance(lease, watermark=NOW, now=NOW)
    assert missed(nylas, mailboxes, sent, now=NOW + EWS_PAUSE - 1) == 0
    assert missed(nylas, mailboxes, sent, now=NOW + EWS_PAUSE) == 1


@pytest.mark.usefixtures("nobody_yet")
def test_nobody_is_connected(nylas: NylasServed, mailboxes: Mailboxes, sent: Sent) -> None:
    assert missed(nylas, mailboxes, sent) == 0
    assert sent.items == []


@pytest.mark.usefixtures("nobody_yet")
def test_a_grant_that_is_listed_no_more_is_enqueued_as_deleted_until_it_is_recorded_so(
    nylas: NylasServed, mailboxes: Mailboxes, sent: Sent
) -> None:
    """And once more while messages wait for it: one may have been left to wait just as the end was recorded."""
    grant = nylas.stand_in.connect(new_address(), "google")
    missed(nylas, mailboxes, sent)
    nylas.stand_in.disconnect(grant)
    sent.items.clear()
    deleted = GrantItem(grant=grant, event="grant.deleted", source="timer", first_seen=NOW)
    assert missed(nylas, mailboxes, sent) == 0
    assert sent.items == [deleted]
    mailboxes.note_status(grant, "deleted", expired=None)
    missed(nylas, mailboxes, sent)
    assert sent.items == [deleted]
    mailboxes.note_waiting(grant)
    missed(nylas, mailboxes, sent)
    assert sent.items == [deleted, deleted]


@pytest.mark.usefixtures("nobody_yet")
def test_two_hundred_and_one_mailboxes_are_two_requests(nylas: NylasServed, mailboxes: Mailboxes, sent: Sent) -> None:
    run = new_id()
    grants = [nylas.stand_in.connect(f"{number}.{run}@contoso.example", "google") for number in range(201)]
    for grant in grants:
        nylas.stand_in.expire(grant)
    nylas.stand_in.reauthenticate(grants[0])
    nylas.stand_in.reauthenticate(grants[-1])
    assert missed(nylas, mailboxes, sent) == 2
    assert [item.grant for item in sent.items] == [grants[0], grants[-1]]
    assert nylas.server.requests == 2


# what a backfill brought, and what was shortened


def test_what_a_backfill_left_waiting_is_enqueued_as_the_backfills_own(watch: Watch) -> None:
    """So that nothing of the organisation's own answers it, where that was asked."""
    mine, other = watch.lay(600), watch.lay(500)
    watch.note(mine, Kind.QUEUED, ago=WAITING_LIFE + 1, source="backfill:0123abcd-bypass")
    watch.note(other, Kind.SKIPPED, folders=("elsewhere",), source="backfill:0123abcd-bypass")
    watch.sweep()
    sources = {item.message: item.source for item in watch.sent.items if isinstance(item, MessageItem)}
    assert sources == {mine: "backfill:0123abcd-bypass", other: "sweep"}


@pytest.mark.parametrize("kind", [Kind.WRITTEN, Kind.SKIPPED, Kind.REMOVED], ids=str)
def test_a_shortened_record_is_known_though_nobody_knows_where_its_message_lay(watch: Watch, kind: Kind) -> None:
    watch.journal = Journal(watch.account, Tombstones(watch.account, PSEUDONYMS, clock=watch.clock))
    entry = watch.note(watch.lay(600), kind)
    assert watch.journal.shorten([entry], PSEUDONYMS) == 1
    watch.sweep()
    assert watch.found == []


def test_what_is_back_though_its_shortened_record_calls_it_gone_has_one_record_again(watch: Watch) -> None:
    watch.journal = Journal(watch.account, Tombstones(watch.account, PSEUDONYMS, clock=watch.clock))
    message = watch.lay(600)
    watch.journal.shorten([watch.note(message, Kind.GONE)], PSEUDONYMS)
    watch.sweep()
    assert watch.found == [message]
    entries = list(watch.journal.entries(watch.grant, 0, NOW))
    assert [(one.kind, one.message) for one in entries] == [(Kind.QUEUED, message)]


def test_what_was_erased_is_not_found_again(watch: Watch) -> None:
    watch.journal = Journal(watch.account, Tombstones(watch.account, PSEUDONYMS, clock=watch.clock))
    entry = watch.note(watch.lay(600), Kind.WRITTEN)
    watch.journal.bury(entry, entry)
    watch.sweep()
    assert watch.found == []
