"""A backfill brings each message of its span once, page by page, behind live mail, whoever dies or pauses meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from mailsync.backfill import (
    BACK,
    GRANT,
    HESITATION,
    SEEN,
    SHALLOW,
    SMALL_PAGE,
    STALLED,
    STUCK,
    Backfiller,
    BackfillError,
)
from mailsync.connected import Connected
from mailsync.errors import TransientError
from mailsync.outcome import Kind
from mailsync.settings import StorageSettings
from mailsync.storage.account import StorageAccount
from mailsync.storage.backfills import Backfill, Backfills, State
from mailsync.storage.envelope import MessageItem, SweepItem, bypasses, is_backfills
from mailsync.storage.journal import WAITS_FOR_GRANT, Entry, Journal, hash_of
from mailsync.storage.mailboxes import DELETED, VALID, Mailbox, Mailboxes
from mailsync.storage.tombstones import Tombstones
from sandbox.azurite import Azurite
from sandbox.faults import Answer, Fault
from tests.mailsync.parts import NOW, OWN_DOMAIN, PSEUDONYMS, Clock, NylasServed, Sent, mail, new_address, new_id

DAY = 86_400
SINCE, UNTIL = NOW - 400 * DAY, NOW - 100 * DAY


@dataclass
class Archive:
    """A mailbox with old mail that nobody swept, and what brings it."""

    nylas: NylasServed
    account: StorageAccount
    clock: Clock
    sent: Sent
    page_size: int = 10
    deep: int = 0
    shown: int = 0
    may_bypass: bool | None = True
    grant: str = ""
    address: str = ""
    provider: str = "microsoft"
    sources: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.journal = Journal(self.account, Tombstones(self.account, PSEUDONYMS, clock=self.clock))
        self.mailboxes = Mailboxes(self.account)
        self.backfills = Backfills(self.account)
        self.connect()

    def connect(self) -> Mailbox:
        self.address = new_address()
        self.grant = self.nylas.stand_in.connect(self.address, self.provider, created_at=NOW - DAY)
        self.mailboxes.note_listed(self.mailbox)
        return self.mailbox

    @property
    def mailbox(self) -> Mailbox:
        return Mailbox(grant=self.grant, email=self.address, provider=self.provider, status=VALID, connected=NOW - DAY)

    def lay(self, *ages: float, folder: str = "inbox") -> list[str]:
        """Mail that came so many days ago."""
        letters = [mail("dora@fabrikam.example", self.address, date=int(NOW - age * DAY)) for age in ages]
        return [self.nylas.stand_in.deliver(self.grant, letter, folder, notify=False) for letter in letters]

    @property
    def backfiller(self) -> Backfiller:
        """Another process each time."""
        reader = self.nylas.reader()
        own = frozenset({OWN_DOMAIN})
        return Backfiller(
            backfills=self.backfills,
            connected=lambda: Connected(mailboxes=self.mailboxes, reader=reader, own_domains=own, clock=self.clock),
            journal=self.journal,
            mailboxes=self.mailboxes,
            send=self.sent,
            depth=lambda: self.deep,
            shown=lambda: self.shown,
            may_bypass=lambda: self.may_bypass,
            page_size=self.page_size,
            clock=self.clock,
        )

    def start(self, **given: Any) -> Backfill:
        return self.backfiller.start(self.mailbox, **{"since": SINCE, "until": UNTIL, "bypass": False, **given})

    def stands(self, backfill: Backfill) -> Backfill:
        found = self.backfills.get(backfill.id)
        assert found is not None
        return found

    def next(self) -> SweepItem:
        """The page that is due, taken off its queue."""
        due = [item for item in self.sent.items if isinstance(item, SweepItem)]
        assert len(due) == 1, due
        self.sent.items.remove(due[0])
        return due[0]

    def work(self, *, pages: int = 100) -> None:
        """Do pages until there is none, or so many."""
        while pages and (due := [item for item in self.sent.items if isinstance(item, SweepItem)]):
            self.sent.items.remove(due[0])
            self.backfiller.turn(due[0])
            pages -= 1

    @property
    def brought(self) -> list[str]:
        """The messages put on the queue, in this order."""
        return [item.message for item in self.sent.items if isinstance(item, MessageItem)]


@pytest.fixture
def archive(azurite: Azurite, nylas: NylasServed, clock: Clock, sent: Sent) -> Any:
    """Tables that nobody else writes to."""
    account = StorageAccount(StorageSettings(azurite.connection_strings[18]), None)
    yield Archive(nylas, account, clock, sent)
    for name in ("backfills", "journal", "mailboxes"):
        account.table(name).delete_table()


# what it brings


def test_it_brings_the_mail_of_its_span_from_before_the_mailbox_was_connected(archive: Archive) -> None:
    archive.lay(401, 99)
    wanted = archive.lay(399, 300, 101)
    backfill = archive.start()
    archive.work()
    assert sorted(archive.brought) == sorted(wanted)
    done = archive.stands(backfill)
    assert (done.state, done.found, done.known, done.ended) == (State.DONE, 3, 0, NOW)


def test_both_ends_of_the_span_are_in_it(archive: Archive) -> None:
    wanted = archive.lay(400, 100)
    archive.start()
    archive.work()
    assert sorted(archive.brought) == sorted(wanted)


@pytest.mark.parametrize("page_size", [1, 3, 10, 200])
@pytest.mark.parametrize("provider", ["google", "microsoft", "imap", "ews"])
def test_each_message_is_brought_once_whatever_the_size_of_a_page(
    archive: Archive, provider: str, page_size: int
) -> None:
    archive.provider, archive.page_size = provider, page_size
    archive.connect()
    wanted = archive.lay(*(100 + number * 0.01 for number in range(12)), *[200] * 9)
    backfill = archive.start()
    archive.work()
    assert sorted(archive.brought) == sorted(wanted)
    assert archive.stands(backfill).found == len(wanted)


def test_a_page_brings_a_mail_before_those_that_answer_it(archive: Archive) -> None:
    wanted = archive.lay(300, 200, 150)
    archive.start()
    archive.work()
    assert archive.brought == wanted


def test_a_mail_is_a_backfills_and_says_whether_automation_answers(archive: Archive) -> None:
    archive.lay(200)
    backfill = archive.start(bypass=True)
    archive.work()
    (item,) = (one for one in archive.sent.items if isinstance(one, MessageItem))
    assert item.source == backfill.source
    assert is_backfills(item.source)
    assert bypasses(item.source)
    assert not bypasses(archive.start(bypass=False, since=NOW - 50 * DAY, until=NOW).source)
    record = archive.journal.get(archive.grant, item.message)
    assert record is not None
    assert (record.kind, record.source, record.date) == (Kind.QUEUED, backfill.source, NOW - 200 * DAY)


def test_live_mail_that_waits_for_long_stays_live_mail(archive: Archive) -> None:
    """So that automation answers it; the backfill counts it among what was known."""
    (message,) = archive.lay(200)
    given = {"noted": NOW - DAY, "first_seen": NOW - DAY, "date": NOW - 200 * DAY, "source": "message.created"}
    archive.journal.put(Entry(grant=archive.grant, message=message, kind=Kind.QUEUED, **given), None)
    backfill = archive.start(bypass=True)
    archive.work()
    (item,) = (one for one in archive.sent.items if isinstance(one, MessageItem))
    assert item.source == "message.created"
    record = archive.journal.get(archive.grant, message)
    assert record is not None
    assert (record.source, record.noted) == ("message.created", NOW)
    assert archive.stands(backfill).enqueued == 0


def test_one_folder_is_brought_alone(archive: Archive) -> None:
    archive.lay(200)
    wanted = archive.lay(201, folder="archive")
    folder = archive.nylas.stand_in.folder_id(archive.grant, "archive")
    archive.start(folder=folder)
    archive.work()
    assert archive.brought == wanted


def test_what_the_journal_knows_is_left_alone_and_counted(archive: Archive) -> None:
    kinds = (Kind.WRITTEN, Kind.ADOPTED, Kind.REMOVED, Kind.PUT_ASIDE, Kind.DEFERRED)
    for number, kind in enumerate(kinds):
        (message,) = archive.lay(200 + number)
        at = int(NOW - (200 + number) * DAY)
        given = {"noted": NOW, "first_seen": at, "date": at}
        archive.journal.put(Entry(grant=archive.grant, message=message, kind=kind, **given), None)
    wanted = archive.lay(250)
    backfill = archive.start()
    archive.work()
    assert archive.brought == wanted
    done = archive.stands(backfill)
    assert (done.found, done.known, done.enqueued) == (len(kinds) + 1, len(kinds), 1)


def test_so_is_what_was_shortened_or_erased(archive: Archive) -> None:
    old, gone = archive.lay(200, 201)
    entry = Entry(grant=archive.grant, message=old, kind=Kind.WRITTEN, noted=NOW, first_seen=NOW, date=NOW - 200 * DAY)
    archive.journal.shorten([archive.journal.put(entry, None)], PSEUDONYMS)
    erased = Entry(grant=archive.grant, message=gone, kind=Kind.ERASED, noted=NOW, first_seen=NOW, date=NOW - 201 * DAY)
    archive.journal.bury(erased, None)
    archive.start()
    archive.work()
    assert archive.brought == []


def test_the_sweep_of_the_mailbox_is_left_where_it_was(archive: Archive) -> None:
    lease = archive.mailboxes.lease(archive.grant, now=NOW, seconds=60)
    assert lease is not None
    before = archive.mailboxes.get(archive.grant)
    archive.lay(200, 300)
    archive.start()
    archive.work()
    assert archive.mailboxes.get(archive.grant) == before
    assert archive.mailboxes.advance(lease, watermark=NOW, now=NOW), "whoever swept it meanwhile still may"


# behind live mail


@pytest.mark.parametrize("deep", [SHALLOW, SHALLOW + 1000])
def test_while_the_queue_is_not_shallow_it_waits(archive: Archive, deep: int) -> None:
    archive.lay(200)
    archive.start()
    archive.deep = deep
    item = archive.next()
    archive.backfiller.turn(item)
    assert archive.sent.items == [item]
    assert archive.sent.delays[-1] == BACK
    archive.deep = SHALLOW - 1
    archive.work()
    assert len(archive.brought) == 1


def test_items_that_are_hidden_for_long_slow_it_down_and_do_not_end_it(archive: Archive) -> None:
    """Live mail that could be taken goes first all the same."""
    archive.page_size = 40
    archive.lay(*(150 + number for number in range(30)))
    archive.start()
    archive.deep, archive.shown = SHALLOW + 1000, 1
    archive.clock.now += STUCK
    archive.work(pages=1)
    assert archive.brought == []
    archive.shown = 0
    for number in (1, 2):
        archive.work(pages=1)
        assert len(archive.brought) == number * SMALL_PAGE
        archive.clock.now += STUCK - 1
        archive.work(pages=1)
        assert len(archive.brought) == number * SMALL_PAGE
        archive.clock.now += 1
    archive.deep = 0
    archive.work()
    assert len(archive.brought) == 30


def test_one_that_waits_for_long_is_not_lost(archive: Archive) -> None:
    """The timer begins no second turn beside it."""
    archive.lay(200)
    backfill = archive.start()
    archive.deep = archive.shown = SHALLOW
    for _ in range(2 * STALLED // SEEN):
        archive.clock.now += SEEN
        archive.work(pages=1)
        archive.backfiller.look_after()
        assert archive.stands(backfill).turn == 1
    assert len(archive.sent.items) == 1


def test_a_copy_of_the_turn_before_begins_no_other_while_its_own_item_waits(archive: Archive) -> None:
    archive.lay(*(150 + number for number in range(30)))
    backfill = archive.start()
    copy = archive.next()
    archive.backfiller.turn(copy)
    archive.deep = archive.shown = SHALLOW
    archive.clock.now += SEEN - 1
    archive.backfiller.turn(copy)
    assert archive.stands(backfill).turn == 2
    assert archive.sent.items[-1] == copy
    assert archive.sent.delays[-1] == HESITATION


def test_several_share_what_one_would_bring_at_a_time(archive: Archive) -> None:
    archive.lay(*(150 + number for number in range(10)))
    archive.start(since=NOW - 50 * DAY, until=NOW)
    archive.start(since=NOW - 99 * DAY, until=NOW - 60 * DAY)
    archive.sent.clear()
    archive.start()
    archive.work(pages=1)
    assert len(archive.brought) == archive.page_size // 3


def test_one_page_is_one_listing_and_costs_no_other_request(archive: Archive) -> None:
    archive.lay(*(150 + number for number in range(30)))
    archive.start()
    before = archive.nylas.stand_in.calls.copy()
    archive.work(pages=2)
    assert dict(archive.nylas.stand_in.calls - before) == {"GET messages": 2}


# two items, and items that get lost


def test_of_two_items_of_one_turn_one_moves_it_on(archive: Archive) -> None:
    archive.lay(*(150 + number for number in range(30)))
    backfill = archive.start()
    item = archive.next()
    archive.backfiller.turn(item)
    further = archive.next()
    archive.backfiller.turn(item)
    assert len(archive.brought) == 10
    assert archive.stands(backfill).turn == 2
    assert archive.next() == item, "it looks again whether the turn is handed on"
    archive.backfiller.turn(further)
    later = archive.next()
    archive.backfiller.turn(item)
    assert archive.brought[20:] == []
    archive.backfiller.turn(later)
    archive.work()
    assert len(set(archive.brought)) == len(archive.brought) == 30


def test_a_worker_that_died_before_it_handed_on_is_found_out_by_its_own_item(archive: Archive) -> None:
    wanted = archive.lay(*(150 + number for number in range(25)))
    archive.start()
    item = archive.next()
    archive.backfiller.turn(item)
    archive.next()  # lost with the process
    archive.clock.now += HESITATION
    archive.backfiller.turn(item)
    archive.work()
    assert sorted(archive.brought) == sorted(wanted)


def test_another_worker_at_the_same_page_doubles_nothing_but_items(archive: Archive) -> None:
    """They meet when one has just listed; the journal ends the copies."""
    archive.lay(*(150 + number for number in range(15)))
    backfill = archive.start()
    item, met = archive.next(), []

    def meet(one: object) -> None:
        if not met:
            met.append(one)
            archive.backfiller.turn(item)

    archive.sent.then = meet
    archive.backfiller.turn(item)
    archive.sent.then = None
    archive.work()
    assert len(set(archive.brought)) == 15
    done = archive.stands(backfill)
    assert (done.state, done.found, done.enqueued) == (State.DONE, 15, 15)


def test_what_was_noted_and_not_sent_by_a_worker_that_died_is_sent(archive: Archive) -> None:
    archive.lay(*(150 + number for number in range(15)))
    backfill = archive.start()
    item = archive.next()

    def die(_: object) -> None:
        if len(archive.brought) == 4:
            raise KeyboardInterrupt

    archive.sent.then = die
    with pytest.raises(KeyboardInterrupt):
        archive.backfiller.turn(item)
    archive.sent.then = None
    archive.backfiller.turn(item)
    archive.work()
    assert len(set(archive.brought)) == 15
    done = archive.stands(backfill)
    assert (done.state, done.found, done.enqueued) == (State.DONE, 15, 15)


def die_in_a_page(archive: Archive, after: int) -> SweepItem:
    """Its worker noted a whole page as queued and died after so many of its messages; the item is shown again."""
    item, there = archive.next(), len(archive.brought)

    def die(_: object) -> None:
        if len(archive.brought) == there + after:
            raise KeyboardInterrupt

    archive.sent.then = die
    with pytest.raises(KeyboardInterrupt):
        archive.backfiller.turn(item)
    archive.sent.then = None
    return item


def test_nor_is_any_lost_where_the_page_is_shorter_the_next_time(archive: Archive) -> None:
    """Another backfill has begun meanwhile."""
    wanted = archive.lay(*(150 + number for number in range(15)))
    backfill = archive.start()
    item = die_in_a_page(archive, after=2)
    archive.start(since=NOW - 50 * DAY, until=NOW)
    archive.sent.items = [one for one in archive.sent.items if isinstance(one, MessageItem)]
    archive.backfiller.turn(item)
    archive.work()
    assert set(archive.brought) == set(wanted)
    assert archive.stands(backfill).found == 15


def test_nor_where_nylas_has_forgotten_the_pages_cursor(archive: Archive) -> None:
    """It is listed from where the page before ended, and a little of that again."""
    wanted = archive.lay(*(150 + number * 0.0001 for number in range(25)))
    archive.start()
    archive.work(pages=1)
    item = die_in_a_page(archive, after=2)
    archive.nylas.stand_in.forget_cursors()
    archive.backfiller.turn(item)
    archive.work()
    assert set(archive.brought) == set(wanted)


@pytest.mark.parametrize("how", ["lost", "lost in its page"])
def test_a_turn_whose_item_is_lost_is_taken_up_by_the_timer(archive: Archive, how: str) -> None:
    archive.lay(*(150 + number for number in range(15)))
    archive.start()
    lost = archive.next()
    if how == "lost in its page":
        archive.sent.then = lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            archive.backfiller.turn(lost)
        archive.sent.then = None
    archive.backfiller.look_after()
    assert not [one for one in archive.sent.items if isinstance(one, SweepItem)], "too early to say"
    archive.clock.now += STALLED + 1
    archive.backfiller.look_after()
    archive.backfiller.turn(lost)
    archive.work()
    assert len(set(archive.brought)) == 15


def test_a_cursor_that_nylas_forgets_costs_a_page_and_no_message(archive: Archive) -> None:
    wanted = archive.lay(*(150 + number * 0.0001 for number in range(25)), *(200 + number for number in range(10)))
    backfill = archive.start()
    archive.work(pages=2)
    archive.nylas.stand_in.forget_cursors()
    archive.work()
    assert set(archive.brought) == set(wanted), "a little of it twice, which ends at the journal"
    done = archive.stands(backfill)
    assert (done.state, done.found, done.known) == (State.DONE, 35, 0)


def test_trouble_is_the_items_own_and_loses_nothing(archive: Archive) -> None:
    wanted = archive.lay(*(150 + number for number in range(15)))
    archive.start()
    archive.nylas.faults.add(Fault(Answer(503), path="/messages", times=1))
    item = archive.next()
    with pytest.raises(TransientError):
        archive.backfiller.turn(item)
    archive.backfiller.turn(item)
    archive.work()
    assert sorted(archive.brought) == sorted(wanted)


# mailboxes that can't be read


def test_an_expired_grant_pauses_it_until_its_owner_has_signed_in(archive: Archive) -> None:
    wanted = archive.lay(*(150 + number for number in range(15)))
    backfill = archive.start()
    archive.work(pages=1)
    archive.nylas.stand_in.expire(archive.grant)
    archive.work()
    paused = archive.stands(backfill)
    assert (paused.state, paused.reason) == (State.PAUSED, GRANT)
    archive.backfiller.look_after()
    assert archive.stands(backfill).state is State.PAUSED
    archive.nylas.stand_in.reauthenticate(archive.grant)
    archive.mailboxes.note_status(archive.grant, VALID, expired=None)
    archive.backfiller.look_after()
    archive.work()
    assert set(archive.brought) == set(wanted), "a little of it twice, which ends at the journal"
    assert archive.stands(backfill).state is State.DONE


@pytest.mark.parametrize("when", ["running", "paused"])
def test_a_deleted_grant_fails_it(archive: Archive, when: str) -> None:
    archive.lay(200)
    backfill = archive.start()
    if when == "paused":
        archive.nylas.stand_in.expire(archive.grant)
        archive.work()
        archive.mailboxes.note_status(archive.grant, DELETED, expired=None)
        archive.backfiller.look_after()
    else:
        archive.nylas.stand_in.disconnect(archive.grant)
        archive.work()
    failed = archive.stands(backfill)
    assert (failed.state, failed.reason, failed.ended) == (State.FAILED, "mailbox_disconnected", NOW)


def test_a_folder_that_is_gone_fails_it_with_nylas_answer(archive: Archive) -> None:
    archive.lay(200)
    backfill = archive.start(folder="no-such-folder")
    archive.work()
    failed = archive.stands(backfill)
    assert (failed.state, failed.reason) == (State.FAILED, "nylas_refused")


# paused, resumed, cancelled


def test_a_paused_one_rests_and_goes_on_where_it_was(archive: Archive) -> None:
    wanted = archive.lay(*(150 + number for number in range(25)))
    backfill = archive.start()
    archive.work(pages=1)
    assert archive.backfiller.pause(backfill.id).state is State.PAUSED
    archive.work()
    assert len(archive.brought) == 10
    archive.clock.now += STALLED + 1
    archive.backfiller.look_after()
    assert archive.stands(backfill).state is State.PAUSED, "nobody asked for more"
    assert archive.backfiller.resume(backfill.id).state is State.RUNNING
    archive.work()
    assert sorted(archive.brought) == sorted(wanted)
    assert archive.stands(backfill).found == 25


def test_one_that_is_paused_in_the_middle_of_a_page_brings_that_page_once(archive: Archive) -> None:
    wanted = archive.lay(*(150 + number for number in range(15)))
    backfill = archive.start()
    archive.sent.then = lambda one: archive.backfiller.pause(backfill.id) if isinstance(one, MessageItem) else None
    archive.work(pages=1)
    archive.sent.then = None
    assert not [one for one in archive.sent.items if isinstance(one, SweepItem)]
    archive.backfiller.resume(backfill.id)
    archive.work()
    assert set(archive.brought) == set(wanted)
    done = archive.stands(backfill)
    assert (done.state, done.found, done.enqueued) == (State.DONE, 15, 15)


def test_a_cancelled_one_brings_nothing_more_and_cannot_be_resumed(archive: Archive) -> None:
    archive.lay(*(150 + number for number in range(25)))
    backfill = archive.start()
    archive.work(pages=1)
    cancelled = archive.backfiller.cancel(backfill.id)
    assert (cancelled.state, cancelled.ended) == (State.CANCELLED, NOW)
    archive.work()
    assert len(archive.brought) == 10
    with pytest.raises(BackfillError) as error:
        archive.backfiller.resume(backfill.id)
    assert error.value.reason == "backfill_state"


def test_an_id_may_be_shortened_as_long_as_it_means_one(archive: Archive) -> None:
    one = archive.start()
    two = archive.start(since=NOW - 50 * DAY, until=NOW)
    assert archive.backfiller.named(one.id[:8].upper()).id == one.id
    for text in ("nobody", ""):
        with pytest.raises(BackfillError) as error:
            archive.backfiller.named(text)
        assert error.value.reason == "unknown_backfill"
    assert {backfill.id for backfill in archive.backfiller.all()} == {one.id, two.id}


def test_two_of_one_span_are_one_too_many(archive: Archive) -> None:
    first = archive.start()
    for span in ({"since": UNTIL, "until": NOW}, {"since": 1, "until": SINCE}, {"folder": "INBOX"}):
        with pytest.raises(BackfillError) as error:
            archive.start(**span)
        assert error.value.reason == "backfill_overlaps"
        assert first.id in str(error.value)
    archive.backfiller.cancel(first.id)
    archive.start()


@pytest.mark.parametrize("status", ["invalid", DELETED, ""])
def test_a_mailbox_that_cannot_be_read_has_none(archive: Archive, status: str) -> None:
    mailbox = Mailbox(grant=new_id(), status=status)
    with pytest.raises(BackfillError) as error:
        archive.backfiller.start(mailbox, since=SINCE, until=UNTIL, bypass=False)
    assert error.value.reason == "mailbox_not_valid"


@pytest.mark.parametrize(("may", "bypass"), [(None, True), (False, False)], ids=["nobody knows", "it need not"])
def test_one_that_may_be_written_as_it_should_is_begun(archive: Archive, may: bool | None, bypass: bool) -> None:
    archive.may_bypass = may
    assert archive.start(bypass=bypass).state is State.RUNNING


def test_one_that_cannot_go_past_automation_is_not_begun(archive: Archive) -> None:
    archive.may_bypass = False
    with pytest.raises(BackfillError, match="dataverse setup --with-bypass") as error:
        archive.start(bypass=True)
    assert error.value.reason == "bypass_refused"
    assert archive.backfiller.all() == ()


# how far it is


def test_a_cancelled_one_is_over_although_mail_of_it_waits_for_a_sign_in(archive: Archive) -> None:
    (message,) = archive.lay(200)
    backfill = archive.start()
    archive.work(pages=1)
    known = archive.journal.get(archive.grant, message)
    assert known is not None
    archive.journal.put(replace(known, kind=Kind.DEFERRED, reason=WAITS_FOR_GRANT), known)
    assert not archive.backfiller.progress(archive.stands(backfill)).is_over
    archive.backfills.change(backfill.id, lambda stands: replace(stands, state=State.CANCELLED))
    stands = archive.stands(backfill)
    assert archive.backfiller.progress(stands).is_over
    assert archive.backfills.was_cancelled(stands.source)


def test_progress_is_counted_from_the_journal(archive: Archive) -> None:
    outcomes = [
        (Kind.WRITTEN, "contact"), (Kind.WRITTEN, "none"), (Kind.ALREADY_THERE, "contact"), (Kind.ADOPTED, "x"),
        (Kind.SKIPPED, "bulk"), (Kind.SKIPPED, "bulk"), (Kind.SKIPPED, "junk"), (Kind.PUT_ASIDE, "dataverse_refused_row"),
    ]  # fmt: skip
    archive.lay(*(150 + number for number in range(10)))
    backfill = archive.start()
    archive.work()
    for message, (kind, reason) in zip(archive.brought, outcomes, strict=False):
        known = archive.journal.get(archive.grant, message)
        assert known is not None
        noted = Entry(
            grant=archive.grant, message=message, kind=kind, reason=reason, noted=NOW + 100, first_seen=NOW,
            date=known.date, source="message.updated" if reason == "none" else backfill.source,
        )  # fmt: skip
        archive.journal.put(noted, known)
    archive.clock.now += 100
    progress = archive.backfiller.progress(archive.stands(backfill))
    assert progress.count(Kind.WRITTEN) == 2, "one of which a webhook brought while it waited"
    assert progress.count(Kind.ALREADY_THERE, Kind.ADOPTED) == 2
    assert progress.reasons(Kind.SKIPPED) == {"bulk": 2, "junk": 1}
    assert progress.reasons(Kind.PUT_ASIDE) == {"dataverse_refused_row": 1}
    assert progress.count(Kind.QUEUED) == 2
    assert progress.per_second == pytest.approx(8 / 100)
    assert progress.seconds_left == pytest.approx(2 / (8 / 100))
    assert not progress.is_over
    assert sum(progress.counts.values()) == archive.stands(backfill).enqueued


def test_progress_survives_the_shortening_of_its_records(archive: Archive) -> None:
    archive.lay(150)
    backfill = archive.start()
    archive.work()
    (message,) = archive.brought
    known = archive.journal.get(archive.grant, message)
    assert known is not None
    done = Entry(
        grant=archive.grant, message=message, kind=Kind.WRITTEN, noted=NOW, first_seen=NOW, source=backfill.source
    )
    archive.journal.shorten([archive.journal.put(done, known)], PSEUDONYMS)
    assert hash_of(message) not in str(archive.journal.recall(archive.grant, message))
    assert archive.backfiller.progress(archive.stands(backfill)).count(Kind.WRITTEN) == 1


def test_what_is_left_is_told_as_if_mail_were_spread_evenly(archive: Archive) -> None:
    archive.lay(*(100 + number * 10 for number in range(30)))
    backfill = archive.start()
    assert archive.backfiller.progress(archive.stands(backfill)).seconds_left is None, "nothing is listed yet"
    archive.work(pages=1)
    for message in archive.brought:
        known = archive.journal.get(archive.grant, message)
        assert known is not None
        given = {"noted": NOW + 10, "first_seen": NOW, "date": known.date, "source": backfill.source}
        archive.journal.put(Entry(grant=archive.grant, message=message, kind=Kind.WRITTEN, **given), known)
    archive.clock.now += 10
    progress = archive.backfiller.progress(archive.stands(backfill))
    assert progress.per_second == pytest.approx(1.0)
    assert progress.seconds_left == pytest.approx(23, abs=1), "of three hundred days ninety are listed"
