"""Outcomes are counted without a storage call each, and no two processes ever write over one another's counts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from random import Random

import pytest

from mailsync.settings import StorageSettings
from mailsync.storage import counts as module
from mailsync.storage.account import StorageAccount
from mailsync.storage.counts import BOUNDS, DAY, HOUR, KEPT, LATE, SETTLED, Counts, HourCount, Latency, MailboxDay
from mailsync.storage.tables import Change, Table
from tests.mailsync.parts import NEVER, Clock, in_threads, new_id

MIDNIGHT = 1_790_035_200
"""2026-09-22T00:00:00Z."""
NOON = MIDNIGHT + 12 * HOUR


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def name() -> str:
    return "counts" + new_id().replace("-", "")


@pytest.fixture
def process(account: StorageAccount, clock: Clock, name: str) -> Callable[[], Counts]:
    """The counts of one more process, in this test's own table."""
    return lambda: Counts(account, clock=clock, after=NEVER, table=name)


@pytest.fixture
def counts(process: Callable[[], Counts]) -> Counts:
    return process()


@pytest.fixture
def rows(account: StorageAccount, name: str) -> Callable[[], list[str]]:
    """The keys of all rows there are."""
    table = Table(account, name)
    return lambda: [f"{row['PartitionKey']} {row['RowKey']}" for row in table.query("PartitionKey ge ''", {})]


def note(counts: Counts, grant: str = "g1", kind: str = "written", reason: str = "contact", at: int = NOON) -> None:
    counts.note(grant=grant, kind=kind, reason=reason, at=at)


def by_outcome(found: Iterable[HourCount | MailboxDay]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in found:
        total[f"{one.kind} {one.reason}".strip()] += one.count
    return total


def day_of(counts: Counts, start: int = MIDNIGHT) -> tuple[HourCount, ...]:
    return counts.hours(start, start + DAY)


# what was counted is read


def test_outcomes_are_read_by_hour_for_all_and_by_day_for_each_mailbox(counts: Counts) -> None:
    note(counts)
    note(counts, grant="g2")
    note(counts, grant="g2", kind="skipped", reason="junk", at=NOON + HOUR)
    note(counts, kind="gone", reason="", at=NOON + HOUR)
    counts.flush()
    assert [(one.hour, one.kind, one.reason, one.count) for one in day_of(counts)] == [
        (NOON, "written", "contact", 2),
        (NOON + HOUR, "gone", "", 1),
        (NOON + HOUR, "skipped", "junk", 1),
    ]
    assert counts.days(NOON, NOON + 1) == (
        MailboxDay(grant="g1", day=MIDNIGHT, kind="gone", reason="", count=1),
        MailboxDay(grant="g1", day=MIDNIGHT, kind="written", reason="contact", count=1),
        MailboxDay(grant="g2", day=MIDNIGHT, kind="skipped", reason="junk", count=1),
        MailboxDay(grant="g2", day=MIDNIGHT, kind="written", reason="contact", count=1),
    )


def test_only_the_hours_and_days_that_were_asked_for_are_read(counts: Counts, clock: Clock) -> None:
    for hour in (NOON - DAY, NOON - HOUR, NOON, NOON + HOUR, NOON + DAY):
        clock.now = hour
        note(counts, at=hour + 59)
        counts.flush()
    assert [one.hour for one in counts.hours(NOON + 59, NOON + HOUR)] == [NOON]
    assert [one.hour for one in counts.hours(NOON - 1, NOON + HOUR + 1)] == [NOON - HOUR, NOON, NOON + HOUR]
    assert [one.day for one in counts.days(NOON - DAY, MIDNIGHT)] == [MIDNIGHT - DAY]
    assert [one.day for one in counts.days(MIDNIGHT, MIDNIGHT + DAY + 1)] == [MIDNIGHT, MIDNIGHT + DAY]


def test_nothing_is_read_where_nothing_was_counted(counts: Counts) -> None:
    counts.flush()
    assert day_of(counts) == ()
    assert counts.days(0, MIDNIGHT) == ()


def test_how_long_outcomes_took_is_read_by_outcome(counts: Counts) -> None:
    for seconds in (0.2, 0.4, 900.0):
        counts.note(
            grant="g1", kind="written", reason="contact", at=NOON, from_date=seconds + 60, from_notification=seconds
        )
    counts.note(grant="g1", kind="deferred", reason="nylas_throttled", at=NOON)
    counts.flush()
    deferred, written = day_of(counts)
    assert written.from_notification.count == written.from_date.count == 3
    assert written.from_notification.seconds == pytest.approx(900.6)
    assert written.from_date.seconds == pytest.approx(1080.6)
    assert (deferred.from_date, deferred.from_notification) == (Latency(), Latency())


def test_many_outcomes_can_be_counted_at_once(counts: Counts) -> None:
    counts.note(grant="g1", kind="queued", reason="sweep", at=NOON, times=40)
    counts.flush()
    assert by_outcome(day_of(counts)) == by_outcome(counts.days(NOON, NOON + 1)) == {"queued sweep": 40}


@pytest.mark.parametrize(
    ("timed", "share", "seconds"),
    [
        pytest.param((), 0.5, None, id="nothing was timed"),
        pytest.param((0.1,), 0.5, 0.125, id="half way through the first span"),
        pytest.param((0.1,) * 95 + (4.0,) * 5, 0.95, 0.25, id="the last of those in the first span"),
        pytest.param((0.1,) * 90 + (4.0,) * 10, 0.95, 4.0, id="half way through a later span"),
        pytest.param((10.0,), 1.0, 10.0, id="a bound belongs to the span it ends"),
        pytest.param((1e9,), 0.5, BOUNDS[-1], id="longer than any span tells"),
        pytest.param((-5.0,), 1.0, 0.25, id="a clock that runs behind makes no less than nothing"),
    ],
)
def test_a_share_of_outcomes_came_within(
    counts: Counts, timed: tuple[float, ...], share: float, seconds: float
) -> None:
    for one in timed:
        counts.note(grant="g1", kind="written", reason="", at=NOON, from_date=one)
    counts.flush()
    took = sum((one.from_date for one in day_of(counts)), start=Latency())
    assert took.quantile(share) == (None if seconds is None else pytest.approx(seconds))


# when it is written


def test_an_outcome_is_counted_without_a_storage_call(clock: Clock) -> None:
    nowhere = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;TableEndpoint=http://127.0.0.1:1/a"
    counts = Counts(StorageAccount(StorageSettings(nowhere), None), clock=clock, after=NEVER)
    began = time.perf_counter()
    for _ in range(1000):
        note(counts)
    assert time.perf_counter() - began < 0.5


def test_what_was_counted_is_written_by_itself_a_while_later(account: StorageAccount, name: str, clock: Clock) -> None:
    counts = Counts(account, clock=clock, after=0.05, table=name)
    note(counts)
    note(counts)
    deadline = time.monotonic() + 10
    while by_outcome(day_of(counts)) != {"written contact": 2} and time.monotonic() < deadline:
        time.sleep(0.02)
    note(counts)
    while by_outcome(day_of(counts)) != {"written contact": 3} and time.monotonic() < deadline:
        time.sleep(0.02)
    assert by_outcome(day_of(counts)) == {"written contact": 3}


class Watched(Table):
    """A table that counts what is asked of it."""

    calls = 0

    def change(self, changes: Iterable[Change]) -> list[str]:
        self.calls += 1
        return super().change(changes)


def test_all_that_was_counted_is_one_storage_call(
    counts: Counts, account: StorageAccount, name: str, rows: Callable[[], list[str]]
) -> None:
    counts._rows = watched = Watched(account, name)
    for number in range(500):
        note(counts, grant=f"g{number}")
    assert watched.calls == 0
    counts.flush()
    counts.flush()
    assert watched.calls == 1
    assert len(rows()) == 17


def test_what_cannot_be_written_goes_with_the_next(
    counts: Counts, name: str, account: StorageAccount, caplog: pytest.LogCaptureFixture
) -> None:
    down = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;TableEndpoint=http://127.0.0.1:1/a"
    reached, counts._rows = counts._rows, Table(StorageAccount(StorageSettings(down), None), name, prompt=True)
    note(counts)
    with caplog.at_level("INFO", "mailsync"):
        counts.flush()
    assert "event=counts_delayed reason=storage_unavailable" in caplog.text
    counts._rows = reached
    note(counts)
    counts.flush()
    assert by_outcome(day_of(counts)) == {"written contact": 2}


def test_a_row_is_written_whole_so_that_a_write_that_came_through_unheard_changes_nothing(counts: Counts) -> None:
    note(counts)
    counts.flush()
    counts._hours[NOON].changed = set(counts._hours[NOON].rows)  # as after an answer that never came
    counts.flush()
    assert by_outcome(day_of(counts)) == {"written contact": 1}


@pytest.mark.parametrize("after", [0, HOUR, HOUR + LATE - 1], ids=["at once", "an hour later", "just in time"])
def test_an_outcome_of_an_hour_that_is_not_long_over_counts_there(counts: Counts, clock: Clock, after: int) -> None:
    clock.now += after
    note(counts)
    counts.flush()
    assert [one.hour for one in day_of(counts)] == [NOON]


def test_an_outcome_of_an_hour_that_is_long_over_counts_now(counts: Counts, clock: Clock) -> None:
    clock.now += HOUR + LATE
    note(counts)
    counts.flush()
    assert [one.hour for one in day_of(counts)] == [NOON + 2 * HOUR]


def test_an_hour_that_is_long_over_is_written_no_more(counts: Counts, clock: Clock) -> None:
    note(counts)
    clock.now += HOUR + LATE
    counts.flush()
    assert day_of(counts) == ()
    assert counts._hours == {}


# several processes


def test_processes_that_write_at_once_never_write_over_one_another(process: Callable[[], Counts]) -> None:
    def work() -> None:
        own = process()
        for _ in range(10):
            note(own)
            own.flush()

    in_threads(8, work)
    assert by_outcome(day_of(process())) == {"written contact": 80}


def test_threads_of_a_process_that_count_and_write_at_once_lose_nothing(counts: Counts) -> None:
    def work() -> None:
        for _ in range(20):
            note(counts)
            counts.flush()

    in_threads(8, work)
    assert by_outcome(day_of(counts)) == {"written contact": 160}


# rows are added up


def test_rows_of_hours_that_are_over_are_added_up_and_the_counts_stay(
    process: Callable[[], Counts], clock: Clock, rows: Callable[[], list[str]]
) -> None:
    for hour in (NOON, NOON + HOUR):
        clock.now = hour
        for _ in range(3):
            own = process()
            own.note(grant="g1", kind="written", reason="contact", at=hour, from_date=2.0)
            own.flush()
    before = day_of(process()), process().days(NOON, NOON + 1)
    clock.now = NOON + HOUR + SETTLED
    process().settle()
    assert len(rows()) == 1 + 1 + 3 + 3, "the first hour is one row, the second one is too young"
    assert (day_of(process()), process().days(NOON, NOON + 1)) == before
    clock.now += HOUR
    process().settle()
    assert sorted(key.split()[1] for key in rows()) == ["h:12", "h:13", "m:7"]
    assert (day_of(process()), process().days(NOON, NOON + 1)) == before


def test_two_that_add_up_at_once_count_nothing_twice(process: Callable[[], Counts], clock: Clock) -> None:
    for number in range(40):
        own = process()
        note(own, grant=f"g{number}")
        own.flush()
    clock.now += HOUR + SETTLED
    in_threads(6, lambda: process().settle())
    process().settle()
    assert by_outcome(day_of(process())) == by_outcome(process().days(NOON, NOON + 1)) == {"written contact": 40}


def test_more_rows_than_one_transaction_takes_are_added_up_one_after_another(
    process: Callable[[], Counts], clock: Clock, rows: Callable[[], list[str]]
) -> None:
    def work() -> None:
        for _ in range(15):
            own = process()
            note(own)
            own.flush()

    in_threads(8, work)
    clock.now += HOUR + SETTLED
    for _ in range(2):
        process().settle()
    assert len(rows()) == 2
    assert by_outcome(day_of(process())) == {"written contact": 120}


def test_rows_are_looked_for_once_an_hour(counts: Counts, clock: Clock, rows: Callable[[], list[str]]) -> None:
    clock.now += HOUR + SETTLED
    counts.settle()
    clock.now -= HOUR + SETTLED
    note(counts)
    counts.flush()
    clock.now += HOUR + SETTLED + HOUR - 1
    counts.settle()
    assert len(rows()) == 2
    clock.now += 1
    counts.settle()
    assert all(key.count(":") == 1 for key in rows())


def test_old_counts_are_forgotten(counts: Counts, clock: Clock, rows: Callable[[], list[str]]) -> None:
    note(counts)
    counts.flush()
    clock.now += KEPT
    note(counts, at=int(clock.now))
    counts.flush()
    counts.settle()
    assert len(rows()) == 4
    clock.now += DAY
    counts.settle()
    assert len(rows()) == 2
    assert {key.split()[0] for key in rows()} == {"2026-12-23"}


# a large organisation


def test_a_week_of_five_hundred_mailboxes_is_one_page_of_rows(
    process: Callable[[], Counts], clock: Clock, rows: Callable[[], list[str]]
) -> None:
    random, mailboxes = Random(7), [new_id() for _ in range(500)]
    reasons = ("written contact", "written domain", "skipped junk", "skipped internal_only", "deferred nylas_throttled")
    for day in range(7):
        clock.now = NOON + day * DAY
        own = process()
        for grant in mailboxes:
            for outcome in reasons:
                kind, reason = outcome.split()
                own.note(grant=grant, kind=kind, reason=reason, at=int(clock.now), times=random.randint(1, 99))
        own.flush()
    clock.now += HOUR + SETTLED
    process().settle()
    assert len(rows()) == 7 * 17 < 1000
    assert len(process().days(NOON, int(clock.now))) == 7 * 500 * len(reasons)


def test_a_row_holds_more_text_than_one_column(counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_TEXT", 50)
    for number in range(30):
        note(counts, reason=f"rule_{number}_{'é' * 5}")
    counts.flush()
    assert sum(one.count for one in day_of(counts)) == 30
