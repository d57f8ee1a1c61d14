"""An item whose work failed goes back with a delay, or aside with its reason; none is lost and none is quoted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from azure.storage.queue import QueueClient

from mailsync.brake import LEAST, PAUSE
from mailsync.errors import (
    ConfigurationError,
    Evidence,
    GrantError,
    MailSyncError,
    MessageError,
    MessageGoneError,
    Scope,
    ThrottledError,
    TransientError,
    UnreadableError,
)
from mailsync.measures import Measures
from mailsync.nylas.reader import CursorError
from mailsync.outcome import Kind, Outcome
from mailsync.settings import Settings, SettingsError
from mailsync.storage.account import StorageAccount
from mailsync.storage.aside import UNREADABLE, Aside
from mailsync.storage.envelope import MESSAGES, DeletedItem, GrantItem, Item, MessageItem, SweepItem, decode, encode
from mailsync.storage.journal import WAITS_FOR_GRANT, Entry, Journal
from mailsync.storage.mailboxes import Mailboxes
from mailsync.storage.queues import Queues
from mailsync.storage.tables import Row, Table
from mailsync.trouble import CANCELLED_FOR, GONE_AFTER, REVIVED_AFTER, UNREADABLE_AFTER, Handling, Send
from tests.mailsync.parts import NOW, Clock, Sent, drained, new_id

CANCELLED = "backfill:0123abcd-run"
EVIDENCE = Evidence("dataverse", 400, "0x80044331", "a-b-c")


@pytest.fixture
def handling(
    journal: Journal, aside: Aside, mailboxes: Mailboxes, measures: Measures, clock: Clock, sent: Sent
) -> Handling:
    return handling_with(sent, journal, aside, mailboxes, measures, clock)


def handling_with(
    send: Send, journal: Journal, aside: Aside, mailboxes: Mailboxes, measures: Measures, clock: Clock
) -> Handling:
    return Handling(
        send=send,
        aside=aside,
        journal=journal,
        mailboxes=mailboxes,
        measures=measures,
        was_cancelled=CANCELLED.__eq__,
        clock=clock,
        random=Random(1),
    )


def message(**changes: Any) -> MessageItem:
    given = {"grant": new_id(), "message": new_id(), "source": "message.created", "first_seen": NOW - 9, **changes}
    return MessageItem(**given)


def sweep(source: str = "grant.created") -> SweepItem:
    return SweepItem(grant=new_id(), source=source, first_seen=NOW)


def failing(error: BaseException) -> Callable[[Any], None]:
    def work(_: Item) -> None:
        raise error

    return work


def meet(handling: Handling, item: Item, error: BaseException) -> None:
    """Let the work of an item fail so."""
    handling.handle(encode(item), {type(item): failing(error)})


def laid_aside(account: StorageAccount, partition: str) -> list[Row]:
    return list(Table(account, "aside").query("PartitionKey eq @p", {"p": partition}))


def record(journal: Journal, item: MessageItem) -> Entry:
    found = journal.get(item.grant, item.message)
    assert found is not None
    return found


# the work itself


def test_work_is_done_with_the_item_and_nothing_else_happens(handling: Handling, sent: Sent, journal: Journal) -> None:
    done: list[Item] = []
    for text in (encode(item := message()), encode(item).encode()):
        handling.handle(text, {MessageItem: done.append, SweepItem: failing(AssertionError())})
    assert done == [item, item]
    assert sent.items == []
    assert journal.get(item.grant, item.message) is None


# back on the queue


DEFERRED = {
    "transient": TransientError("down", reason="dataverse_unavailable", evidence=EVIDENCE),
    "throttled": ThrottledError("slow down", reason="dataverse_throttled", retry_after=120, evidence=EVIDENCE),
    "cursor": CursorError("cursor", reason="nylas_cursor"),
    "configuration": ConfigurationError("role", reason="dataverse_refused_identity", scope=Scope.ORGANISATION),
    "settings": SettingsError({"DATAVERSE_URL": "is missing"}),
    "a base error": MailSyncError("any", reason="any"),
}


@pytest.mark.parametrize("error", DEFERRED.values(), ids=DEFERRED)
def test_trouble_sends_the_item_back_with_a_delay_and_one_more_attempt(
    handling: Handling, sent: Sent, journal: Journal, account: StorageAccount, error: MailSyncError
) -> None:
    item = message(attempt=3, date=NOW - 60, folders=("INBOX",), notification="n")
    meet(handling, item, error)
    (again,), (delay,) = sent.items, sent.delays
    assert again == MessageItem(
        grant=item.grant,
        message=item.message,
        source=item.source,
        first_seen=item.first_seen,
        date=item.date,
        folders=item.folders,
        notification="n",
        attempt=4,
    )
    assert delay >= (error.retry_after or 1)
    noted = record(journal, item)
    assert (noted.kind, noted.reason, noted.attempt) == (Kind.DEFERRED, error.reason, 4)
    assert (noted.until, noted.first_seen, noted.date) == (NOW + int(delay), NOW - 9, NOW - 60)
    assert noted.detail == str(error.evidence)
    assert laid_aside(account, item.grant) == []


@pytest.mark.parametrize(
    ("source", "age", "given_up"),
    [(CANCELLED, CANCELLED_FOR, True), (CANCELLED, CANCELLED_FOR - 1, False), ("backfill:ffff-run", 10**6, False)],
    ids=["for long", "not yet for long", "of one that goes on"],
)
def test_what_a_cancelled_backfill_left_is_tried_for_an_hour_and_then_put_aside(
    handling: Handling, sent: Sent, journal: Journal, account: StorageAccount, source: str, age: int, given_up: bool
) -> None:
    """Else it would be tried for ever, and hold back every backfill after it."""
    item = message(source=source, first_seen=NOW - age)
    meet(handling, item, DEFERRED["configuration"])
    assert len(sent.items) == (not given_up)
    assert [row["reason"] for row in laid_aside(account, item.grant)] == ["dataverse_refused_identity"] * given_up
    assert record(journal, item).kind is (Kind.PUT_ASIDE if given_up else Kind.DEFERRED)


def test_delays_grow_with_the_attempts(handling: Handling, sent: Sent) -> None:
    for attempt in (0, 11):
        for _ in range(20):
            item = SweepItem(grant="g", source="grant.created", first_seen=1, attempt=attempt)
            meet(handling, item, TransientError("down", reason="x"))
    assert max(sent.delays[:20]) <= 2.0
    assert sum(sent.delays[20:]) / 20 > 200


@pytest.mark.parametrize(
    "item",
    [
        sweep(),
        GrantItem(grant="g", event="grant.expired", source="grant.expired", first_seen=1),
        DeletedItem(grant="g", message="m", source="message.deleted", first_seen=1),
    ],
    ids=lambda item: type(item).__name__,
)
def test_other_items_go_back_likewise(handling: Handling, sent: Sent, item: Item) -> None:
    meet(handling, item, TransientError("down", reason="x"))
    (again,) = sent.items
    assert (type(again), again.attempt) == (type(item), 1)


def test_a_timers_sweep_is_dropped_for_the_next_timer_sends_another(handling: Handling, sent: Sent) -> None:
    meet(handling, sweep("timer"), TransientError("down", reason="x"))
    assert sent.items == []


def test_a_deferral_is_no_loss_when_the_journal_cannot_take_it(
    aside: Aside, mailboxes: Mailboxes, measures: Measures, clock: Clock, sent: Sent, account: StorageAccount
) -> None:
    class Broken(Journal):
        def put(self, entry: Entry, previous: Entry | None) -> Entry:
            raise TransientError("storage", reason="storage_unavailable")

    handling = handling_with(sent, Broken(account), aside, mailboxes, measures, clock)
    meet(handling, message(), TransientError("down", reason="x"))
    assert [item.attempt for item in sent.items] == [1]


def test_only_an_item_that_cannot_be_sent_back_is_the_hosts_to_show_again(
    journal: Journal, aside: Aside, mailboxes: Mailboxes, measures: Measures, clock: Clock
) -> None:
    def send(_: Item, *, delay: float = 0) -> None:
        raise TransientError("storage", reason="storage_unavailable")

    handling = handling_with(send, journal, aside, mailboxes, measures, clock)
    with pytest.raises(TransientError):
        meet(handling, message(), TransientError("down", reason="x"))


def test_on_the_real_queue_it_never_expires_and_is_hidden(
    account: StorageAccount,
    journal: Journal,
    aside: Aside,
    mailboxes: Mailboxes,
    measures: Measures,
    clock: Clock,
    on_queue: dict[str, QueueClient],
) -> None:
    send = Queues(account).send
    handling = handling_with(send, journal, aside, mailboxes, measures, clock)
    hidden, shown = message(), message()
    meet(handling, hidden, ThrottledError("slow", reason="x", retry_after=3600))
    assert on_queue[MESSAGES].get_queue_properties().approximate_message_count == 1
    assert drained(on_queue[MESSAGES]) == []
    send(shown)
    (seen,) = on_queue[MESSAGES].receive_messages()
    assert seen.expires_on > datetime.now(UTC) + timedelta(days=365 * 100)


def test_an_item_that_came_too_early_waits_for_its_time(handling: Handling, sent: Sent) -> None:
    early, due, past = message(not_before=NOW + 90), message(not_before=NOW), message(not_before=NOW - 5)
    done: list[Item] = []
    for item in (early, due, past):
        handling.handle(encode(item), {MessageItem: done.append})
    assert done == [due, past]
    assert (sent.items, sent.delays) == ([early], [90])


# what nobody foresaw


def test_an_unforeseen_failure_costs_nothing_and_tells_nothing(
    handling: Handling, sent: Sent, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception's text can quote the mail, or a key."""
    caplog.set_level(logging.DEBUG)
    item = message()

    def work(_: Item) -> None:
        secret = "ann@contoso.example wrote: very secret subject, key nyk_123"
        try:
            raise KeyError(secret)
        except KeyError as error:
            raise RuntimeError(secret) from error

    handling.handle(encode(item), {MessageItem: work})
    assert [again.attempt for again in sent.items] == [1]
    assert record(journal, item).reason == "unexpected"
    assert "type=RuntimeError" in caplog.text
    assert "work:" in caplog.text
    assert f"grant={item.grant}" in caplog.text
    assert not any(word in caplog.text for word in ("ann@", "secret subject", "nyk_123"))
    assert "ann@" not in str(record(journal, item))


def test_the_end_of_the_process_is_not_swallowed(handling: Handling, sent: Sent) -> None:
    with pytest.raises(KeyboardInterrupt):
        meet(handling, message(), KeyboardInterrupt())
    assert sent.items == []


# settings that cannot be used yet


def test_a_missing_setting_fills_no_poison_queue(handling: Handling, sent: Sent) -> None:
    item = message()
    handling.handle(encode(item), {MessageItem: lambda _: Settings.from_env({})})
    assert [again.attempt for again in sent.items] == [1]


# aside


REFUSED = MessageError("Dataverse refuses the row (400)", reason="dataverse_refused_row", evidence=EVIDENCE)


@pytest.mark.parametrize(
    "item",
    [message(), sweep(), sweep("timer"), DeletedItem(grant=new_id(), message="m", source="s", first_seen=1)],
    ids=["message", "sweep", "timer's sweep", "deleted"],
)
def test_the_items_own_fault_is_put_aside_at_once(
    handling: Handling, sent: Sent, account: StorageAccount, item: Item
) -> None:
    meet(handling, item, REFUSED)
    (row,) = laid_aside(account, item.grant)
    assert decode(row["envelope"]) == item
    assert (row["reason"], row["code"], row["request"]) == ("dataverse_refused_row", "0x80044331", "a-b-c")
    assert sent.items == []


def test_and_a_messages_record_says_so(handling: Handling, journal: Journal) -> None:
    item = message()
    meet(handling, item, REFUSED)
    noted = record(journal, item)
    assert (noted.kind, noted.reason) == (Kind.PUT_ASIDE, "dataverse_refused_row")
    assert noted.detail == "vendor=dataverse status=400 code=0x80044331 request=a-b-c"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("hello", "not_an_envelope", id="no envelope"),
        pytest.param('{"v": 2, "data": {}}', "unknown_envelope_version", id="another version"),
        pytest.param(b"\xff\xfe\x00", "not_an_envelope", id="no text at all"),
        pytest.param("{" * 100_000, "not_an_envelope", id="nested without end"),
        pytest.param(encode(sweep()), "wrong_queue", id="on the wrong queue"),
    ],
)
def test_a_text_that_is_no_work_here_is_put_aside(
    handling: Handling, sent: Sent, account: StorageAccount, text: str | bytes, reason: str
) -> None:
    handling.handle(text, {MessageItem: failing(AssertionError())})
    told = text if isinstance(text, str) else text.decode(errors="replace")
    rows = [row for row in laid_aside(account, UNREADABLE) if told.startswith(row["envelope"]) and row["envelope"]]
    assert reason in {row["reason"] for row in rows}
    assert sent.items == []


def test_the_log_of_what_is_put_aside_quotes_nothing(handling: Handling, caplog: pytest.LogCaptureFixture) -> None:
    handling.handle('{"v": 1, "data": "ann@contoso.example"}', {})
    assert "event=item_put_aside reason=not_an_envelope" in caplog.text
    assert "ann@" not in caplog.text


def test_when_most_are_put_aside_writing_stops_for_a_while(
    handling: Handling, sent: Sent, clock: Clock, account: StorageAccount, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong setting or deployment backs up in the queue instead of emptying it into a table."""
    items = [message() for _ in range(LEAST)]
    for item in items:
        meet(handling, item, REFUSED)
    assert "event=writing_stopped" in caplog.text
    assert [again.message for again in sent.items] == [items[-1].message]
    assert all(laid_aside(account, item.grant) for item in items[:-1])
    waiting, done = message(), list[Item]()
    handling.handle(encode(waiting), {MessageItem: done.append})
    assert done == []
    assert sent.items[-1].message == waiting.message
    assert sent.delays[-1] >= PAUSE
    clock.now += PAUSE
    handling.handle(encode(waiting), {MessageItem: done.append})
    assert done == [waiting]


def test_only_messages_that_were_at_work_count_for_that(handling: Handling) -> None:
    """No sweep that went well, and no redelivery of what was written before, hides that all new mail is refused."""
    known = Outcome(Kind.WRITTEN, "none", new_id(), was_known=True)
    for _ in range(LEAST):
        meet(handling, message(), REFUSED)
        for work in (sweep(), sweep(), message(), message()):
            handling.handle(encode(work), {SweepItem: lambda _: None, MessageItem: lambda _: known})
    assert handling.stopped_for() == PAUSE


def test_a_listing_that_is_refused_stops_no_mail(handling: Handling) -> None:
    for _ in range(2 * LEAST):
        meet(handling, sweep(), MessageError("Nylas refuses the request (400)", reason="nylas_refused"))
    assert handling.stopped_for() == 0


OLD = "backfill:0123abcd-bypass"


def test_what_a_backfill_brings_stops_itself_and_no_live_mail(handling: Handling, sent: Sent, clock: Clock) -> None:
    """However much of it is refused; and its pages are no messages that went well."""
    pages = [SweepItem(grant=new_id(), source=OLD, first_seen=NOW, backfill="0123abcd-bypass", turn=1)] * 60
    for item in (*[message(source=OLD) for _ in range(LEAST - 1)], *pages):
        handling.handle(encode(item), {MessageItem: failing(REFUSED), SweepItem: lambda _: None})
    meet(handling, message(source=OLD), REFUSED)
    assert handling.stopped_for() == 0
    live, old, done = message(), message(source=OLD), list[Item]()
    for item in (live, old):
        handling.handle(encode(item), {MessageItem: done.append})
    assert done == [live]
    assert (sent.items[-1].message, sent.delays[-1] >= PAUSE) == (old.message, True)
    clock.now += PAUSE
    handling.handle(encode(old), {MessageItem: done.append})
    assert done == [live, old]


def test_live_mail_that_is_refused_stops_no_backfill(handling: Handling) -> None:
    for _ in range(LEAST):
        meet(handling, message(), REFUSED)
    assert handling.stopped_for() == PAUSE
    old, done = message(source=OLD), list[Item]()
    handling.handle(encode(old), {MessageItem: done.append})
    assert done == [old]


def test_a_mailbox_that_was_disconnected_stops_nobody_elses_mail(
    handling: Handling, account: StorageAccount, caplog: pytest.LogCaptureFixture
) -> None:
    """However many messages waited for it."""
    gone = MessageError("the mailbox was disconnected", reason="mailbox_disconnected", scope=Scope.MAILBOX)
    items = [message() for _ in range(2 * LEAST)]
    for item in items:
        meet(handling, item, gone)
    assert all(laid_aside(account, item.grant) for item in items)
    assert "event=writing_stopped" not in caplog.text


# not there, or not yet


GONE = MessageGoneError("Nylas does not find it", reason="not_found")
EMPTY = UnreadableError("Nylas answered 200 without the message", reason="nylas_empty", evidence=EVIDENCE)


def missed(handling: Handling, sent: Sent, item: MessageItem, error: MailSyncError) -> tuple[int, float]:
    """How often an item met this before it was sent back no more, and how long that took together."""
    sent.clear()
    times = 0
    while times == len(sent.items):
        meet(handling, sent.items[-1] if sent.items else item, error)
        times += 1
    return times, sum(sent.delays)


@pytest.mark.parametrize("attempts", [0, 8, 500], ids=["never before", "8 times before", "in a long outage"])
def test_a_message_that_is_not_there_is_looked_for_again_over_minutes_and_then_gone(
    handling: Handling, sent: Sent, journal: Journal, account: StorageAccount, attempts: int
) -> None:
    """However often it was tried before, for other trouble, it is looked for as often and as long."""
    item = message(attempt=attempts)
    meet(handling, item, GONE)
    assert record(journal, item).kind is Kind.DEFERRED
    took = [missed(handling, sent, item, GONE) for _ in range(20)]
    assert {times for times, _ in took} == {GONE_AFTER}
    assert 90 < sum(seconds for _, seconds in took) / 20 < 180
    assert (record(journal, item).kind, record(journal, item).reason) == (Kind.GONE, "not_found")
    assert laid_aside(account, item.grant) == []


def test_one_that_is_shown_empty_is_read_again_over_an_hour_and_then_put_aside(
    handling: Handling, sent: Sent, journal: Journal, account: StorageAccount
) -> None:
    item = message(attempt=50)
    meet(handling, item, EMPTY)
    assert record(journal, item).kind is Kind.DEFERRED
    took = [missed(handling, sent, item, EMPTY) for _ in range(10)]
    assert {times for times, _ in took} == {UNREADABLE_AFTER}
    assert 1800 < sum(seconds for _, seconds in took) / 10 < 7200
    assert record(journal, item).kind is Kind.PUT_ASIDE
    assert [row["reason"] for row in laid_aside(account, item.grant)] == ["nylas_empty"]


def test_other_trouble_in_between_takes_nothing_from_it(handling: Handling, sent: Sent) -> None:
    meet(handling, message(), GONE)
    for _ in range(GONE_AFTER):
        meet(handling, sent.items[-1], DEFERRED["throttled"])
    assert (sent.items[-1].misses, sent.items[-1].attempt) == (1, GONE_AFTER + 1)


def test_one_that_turns_up_after_all_is_done(handling: Handling, sent: Sent) -> None:
    item = message()
    meet(handling, item, GONE)
    done: list[Item] = []
    handling.handle(encode(sent.items[0]), {MessageItem: done.append})
    assert [one.message for one in done if isinstance(one, MessageItem)] == [item.message]


# an expired grant


def test_a_message_of_an_expired_grant_waits_in_the_journal_and_on_no_queue(
    handling: Handling, sent: Sent, journal: Journal, mailboxes: Mailboxes
) -> None:
    item = message()
    meet(handling, item, GrantError("expired", reason="grant_refused", scope=Scope.MAILBOX))
    assert sent.items == []
    assert (record(journal, item).kind, record(journal, item).reason) == (Kind.DEFERRED, WAITS_FOR_GRANT)
    assert [waiting.message for waiting in journal.waiting_for_grant(item.grant)] == [item.message]
    mailbox = mailboxes.get(item.grant)
    assert mailbox is not None
    assert mailbox.waiting


# what crashed the process


@pytest.mark.parametrize("item", [message(), sweep(), sweep("timer")], ids=["message", "sweep", "timer's sweep"])
def test_what_crashed_the_process_gets_one_more_life_later_and_then_goes_aside(
    handling: Handling, sent: Sent, account: StorageAccount, item: Item
) -> None:
    handling.collect(encode(item))
    (revived,) = sent.items
    assert revived.revived
    assert sent.delays == [REVIVED_AFTER]
    assert laid_aside(account, item.grant) == []
    handling.collect(encode(revived))
    assert sent.items == [revived]
    (row,) = laid_aside(account, item.grant)
    assert (row["reason"], decode(row["envelope"])) == ("poison", revived)


def test_a_message_that_crashed_twice_is_recorded_so(handling: Handling, journal: Journal) -> None:
    item = message(revived=True)
    handling.collect(encode(item).encode())
    assert (record(journal, item).kind, record(journal, item).reason) == (Kind.PUT_ASIDE, "poison")


def test_poison_that_was_never_ours_goes_aside(handling: Handling, sent: Sent, account: StorageAccount) -> None:
    mark = new_id()
    handling.collect(f"poison {mark}".encode())
    assert [row["reason"] for row in laid_aside(account, UNREADABLE) if mark in row["envelope"]] == ["not_an_envelope"]
    assert sent.items == []
