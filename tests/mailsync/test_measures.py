"""Every outcome is counted once, where it is said: in the table of counts, in the metrics, and on the log line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from mailsync.measures import Measures
from mailsync.outcome import Kind
from mailsync.storage.account import StorageAccount
from mailsync.storage.counts import DAY, HourCount
from mailsync.storage.envelope import DeletedItem, MessageItem
from mailsync.storage.mailboxes import Mailboxes
from mailsync.storage.tables import Table
from tests.mailsync.parts import NOW, Clock, new_id
from tests.mailsync.traced import Traced, tracing


@pytest.fixture
def traced() -> Iterator[Traced]:
    with tracing() as traced:
        yield traced


def item(source: str = "message.created", **more: Any) -> MessageItem:
    return MessageItem(grant=new_id(), message="m", source=source, first_seen=NOW - 8, date=NOW - 20, **more)


def counted(measures: Measures) -> tuple[HourCount, ...]:
    measures.flush()
    return measures._counts.hours(NOW - DAY, NOW + DAY)


@pytest.mark.parametrize(
    ("source", "kind", "from_notification", "from_date"),
    [
        pytest.param("message.created", Kind.WRITTEN, 7.75, 20.0, id="a webhook's mail is written"),
        pytest.param(
            "message.updated", Kind.WRITTEN, 7.75, None, id="an old mail that changed says nothing by its date"
        ),
        pytest.param("sweep", Kind.WRITTEN, None, 20.0, id="a mail that only the sweep found has no notification"),
        pytest.param("command", Kind.WRITTEN, None, None, id="one that a person asked for says nothing of now"),
        pytest.param("message.created", Kind.SKIPPED, 7.75, 20.0, id="a skip is an end too"),
        pytest.param("message.created", Kind.PUT_ASIDE, 7.75, 20.0, id="and so is what waits for a person"),
        pytest.param("message.created", Kind.DEFERRED, None, None, id="a deferral is no end"),
    ],
)
def test_how_long_an_outcome_took_is_counted_where_it_says_something(
    measures: Measures, source: str, kind: Kind, from_notification: float | None, from_date: float | None
) -> None:
    measures.outcome(item(source, first_seen_ms=250), kind, "why")
    (count,) = counted(measures)
    assert (count.kind, count.reason, count.count) == (kind.value, "why", 1)
    for latency, seconds in ((count.from_notification, from_notification), (count.from_date, from_date)):
        assert latency.count == (0 if seconds is None else 1)
        assert latency.seconds == pytest.approx(seconds or 0.0)


def test_the_date_that_nylas_shows_goes_before_that_of_the_notification(measures: Measures) -> None:
    measures.outcome(item(), Kind.WRITTEN, "contact", date=NOW - 50.0)
    (count,) = counted(measures)
    assert count.from_date.seconds == 50.0


@pytest.mark.parametrize(
    ("work", "seconds"),
    [
        pytest.param(item(), 8.0, id="a notification"),
        pytest.param(item("sweep"), None, id="a sweep"),
        pytest.param(
            DeletedItem(grant="g", message="m", source="message.deleted", first_seen=NOW - 3), 3.0, id="a deletion"
        ),
    ],
)
def test_it_says_how_long_ago_the_notification_came(
    measures: Measures, work: MessageItem | DeletedItem, seconds: float | None
) -> None:
    assert measures.outcome(work, Kind.GONE, "deleted") == seconds


def test_metrics_are_told_the_same(measures: Measures, traced: Traced) -> None:
    for kind, reason in ((Kind.WRITTEN, "contact"), (Kind.WRITTEN, "contact"), (Kind.SKIPPED, "junk")):
        measures.outcome(item(), kind, reason)
    told = traced.exported()
    reasons = {dict(by)["reason"]: point.value for by, point in told["mailsync.outcomes"].items()}
    assert reasons == {"contact": 2, "junk": 1}
    assert [dict(by) for by in told["mailsync.end_to_end"]] == [{"kind": "written"}], (
        "a skip puts nothing into Dataverse"
    )


def test_when_an_email_was_last_written_is_noted_with_its_mailbox(
    measures: Measures, mailboxes: Mailboxes, clock: Clock
) -> None:
    first, second, third = item(), item(), item()
    measures.outcome(first, Kind.WRITTEN, "contact")
    clock.now += 5
    for one in (first, second):
        measures.outcome(one, Kind.ADOPTED, "same_message_id")
    measures.outcome(third, Kind.SKIPPED, "junk")
    measures.flush()
    noted = [mailboxes.get(one.grant) for one in (first, second, third)]
    assert [one and one.last_written for one in noted] == [NOW + 5, NOW + 5, None]


def test_what_cannot_be_noted_now_is_noted_with_the_next(
    measures: Measures, mailboxes: Mailboxes, account: StorageAccount, clock: Clock
) -> None:
    first, second = item(), item()
    measures.outcome(first, Kind.WRITTEN, "contact")
    reached = measures._mailboxes._in_passing
    measures._mailboxes._in_passing = Table(account, "no table has such a name!", prompt=True)
    measures.flush()
    assert mailboxes.get(first.grant) is None
    measures._mailboxes._in_passing = reached
    clock.now += 9
    measures.outcome(second, Kind.WRITTEN, "contact")
    measures.flush()
    noted = [mailboxes.get(one.grant) for one in (first, second)]
    assert [one and one.last_written for one in noted] == [NOW, NOW + 9]


def test_what_a_sweep_enqueues_is_counted_apart_from_what_became_of_it(measures: Measures) -> None:
    measures.found("g", 3)
    measures.found("g", 0)
    assert Counter({f"{one.kind} {one.reason}": one.count for one in counted(measures)}) == {"queued sweep": 3}
