"""Whatever the order in which workers note, sweep, stall and come back late: what is final stays, and a window is whole.

Two machines of states play that against the storage emulator, each beside a model of a few lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mailsync.outcome import Kind
from mailsync.storage.account import StorageAccount
from mailsync.storage.journal import LATEST_DATE, Entry, Journal, hash_of
from mailsync.storage.mailboxes import Lease, Mailbox, Mailboxes
from mailsync.storage.tables import Table
from mailsync.windows import Window
from tests.fuzz.material import EXAMPLES, tries
from tests.mailsync.parts import NOW, in_threads, new_id

often = settings(tries(15), max_examples=max(15, EXAMPLES // 50), stateful_step_count=15)

MESSAGES = ("AAkALgB", "AAkALgb", "a/b?c#d", "日本 '\x00")
DATES = (None, NOW, NOW + 1, 0, -5, LATEST_DATE, 10**15)
GONE = (Kind.REMOVED, Kind.ERASED)
messages = st.sampled_from(MESSAGES)
kinds = st.sampled_from(list(Kind))
dates = st.sampled_from(DATES)


def filed(date: int) -> int:
    """The moment a message is found under: eleven digits hold no other."""
    return min(max(date, 0), LATEST_DATE)


def may_follow(before: Kind, after: Kind) -> bool:
    """The promise: what is final stays so, and goes at most from being there to being gone, or erased for ever."""
    if before is Kind.ERASED:
        return after is Kind.ERASED
    return not before.is_final or after in {before, *GONE}


@dataclass(frozen=True)
class Noted:
    """What the journal must say of a message."""

    kind: Kind
    date: int | None
    activityid: str | None


class JournalStates(RuleBasedStateMachine):
    """Workers that note what became of four messages of one mailbox, on what they read now, earlier or never."""

    def __init__(self, account: StorageAccount) -> None:
        super().__init__()
        self.journal = Journal(account)
        self.table = Table(account, "journal")
        self.grant = new_id()
        self.noted: dict[str, Noted] = {}
        self.remembered: dict[str, Entry | None] = {}
        """What a slow worker once read."""

    def entry(self, message: str, kind: Kind, date: int | None, activityid: str | None = None) -> Entry:
        return Entry(
            grant=self.grant, message=message, kind=kind, noted=NOW, first_seen=NOW, date=date, activityid=activityid
        )

    def after(self, entry: Entry, previous: Entry | None) -> Noted:
        """What must stand there after a note that was decided on `previous`."""
        stands = self.noted.get(entry.message)
        if previous is not None and not may_follow(previous.kind, entry.kind) and stands is not None:
            return stands
        if stands is None:
            return Noted(entry.kind, None if entry.kind is Kind.WRITING else entry.date, entry.activityid)
        if not may_follow(stands.kind, entry.kind):
            return stands
        date = stands.date if entry.kind is Kind.WRITING or entry.date is None else entry.date
        return Noted(entry.kind, date, entry.activityid or stands.activityid)

    @rule(message=messages)
    def read(self, message: str) -> None:
        """A worker reads, and may be slow to act on it."""
        self.remembered[message] = self.journal.get(self.grant, message)

    @rule(message=messages, kind=kinds, date=dates, has_id=st.booleans())
    def note(self, message: str, kind: Kind, date: int | None, has_id: bool) -> None:
        """On what stands there."""
        entry = self.entry(message, kind, date, new_id() if has_id else None)
        previous = self.journal.get(self.grant, message)
        self.noted[message] = self.after(entry, previous)
        self.journal.put(entry, previous)

    @rule(message=messages, kind=kinds, date=dates)
    @precondition(lambda self: self.remembered)
    def note_late(self, message: str, kind: Kind, date: int | None) -> None:
        """On what stood there once; it may have been forgotten since, and then a late note of it is no harm."""
        entry, previous = self.entry(message, kind, date), self.remembered.get(message)
        if message not in self.noted and previous is not None and not may_follow(previous.kind, kind):
            return
        self.noted[message] = self.after(entry, previous)
        self.journal.put(entry, previous)

    @rule(those=st.lists(st.tuples(messages, dates), min_size=1, max_size=5))
    def note_queued(self, those: list[tuple[str, int | None]]) -> None:
        """A sweep notes what it found, some of it twice, some of it known to others meanwhile."""
        entries = [self.entry(message, Kind.QUEUED, date) for message, date in those]
        for entry in {one.message: one for one in entries}.values():
            self.noted[entry.message] = self.after(entry, None)
        self.journal.note_queued(entries)

    @rule(message=messages, one=kinds, other=kinds)
    def note_at_once(self, message: str, one: Kind, other: Kind) -> None:
        """Two workers at the same moment: what is final wins, whoever is the first."""
        previous, waiting = self.journal.get(self.grant, message), [one, other]
        in_threads(2, lambda: self.journal.put(self.entry(message, waiting.pop(), NOW), previous))
        before, found = self.noted.get(message), self.journal.get(self.grant, message)
        assert found is not None
        finals = [kind for kind in (before.kind if before else one, one, other) if kind.is_final]
        assert found.kind in (finals or (one, other))
        assert before is None or may_follow(before.kind, found.kind)
        self.noted[message] = Noted(found.kind, found.date, found.activityid)

    @rule(message=messages)
    def forget(self, message: str) -> None:
        """A person takes it out."""
        self.journal.forget(self.grant, message)
        self.noted.pop(message, None)

    @rule(one=dates, other=dates)
    def find(self, one: int | None, other: int | None) -> None:
        """A window holds exactly what was noted with a date in it."""
        oldest, newest = sorted((one or 0, other or 0))
        expected = {
            hash_of(message)
            for message, noted in self.noted.items()
            if noted.date is not None and filed(oldest) <= filed(noted.date) <= filed(newest)
        }
        assert set(self.journal.between(self.grant, oldest, newest)) == expected
        assert {hash_of(entry.message) for entry in self.journal.entries(self.grant, oldest, newest)} == expected

    @invariant()
    def each_message_has_one_record_under_both_its_keys(self) -> None:
        """The row by date says what the row by id says; while the work goes on it may say what it said before."""
        rows = {str(row["RowKey"]): row for row in self.table.query("PartitionKey eq @g", {"g": self.grant})}
        for message, noted in self.noted.items():
            row = rows.pop(f"m:{hash_of(message)}")
            assert (row["kind"], row["activityid"] or None) == (noted.kind.value, noted.activityid)
            assert row["date"] == ("" if noted.date is None else str(noted.date))
            if noted.date is None:
                continue
            dated = rows.pop(f"d:{filed(noted.date):011d}:{hash_of(message)}")
            assert noted.kind is Kind.WRITING or {**dated, "RowKey": ""} == {**row, "RowKey": ""}
        assert not rows, "no row is left of what was noted otherwise before"


windows = st.builds(Window, *[st.integers(NOW - 100, NOW + 100)] * 3, is_wide=st.booleans())


class MailboxStates(RuleBasedStateMachine):
    """Sweeps of one mailbox that begin, stall, end and come back late, while others note other things of it."""

    def __init__(self, account: StorageAccount) -> None:
        super().__init__()
        self.mailboxes = Mailboxes(account)
        self.mailbox = Mailbox(grant=new_id(), email="ann@contoso.example", provider="google", status="valid")
        self.now = NOW
        self.watermark: int | None = None
        self.left: Window | None = None
        self.leases: list[Lease] = []
        self.holder: Lease | None = None
        """The last one that was given out."""
        self.until = 0

    @initialize()
    def connect(self) -> None:
        self.mailboxes.note_listed(self.mailbox)

    @rule(seconds=st.sampled_from([0, 1, 30, 600]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(seconds=st.sampled_from([1, 30, 420]))
    def take(self, seconds: int) -> None:
        """A sweep is let in only when nobody else is in there, or nobody in time."""
        lease = self.mailboxes.lease(self.mailbox.grant, now=self.now, seconds=seconds)
        assert (lease is None) is (self.until > self.now)
        if lease is not None:
            self.hold(lease, seconds)

    def hold(self, lease: Lease, seconds: int) -> None:
        self.leases.append(lease)
        self.holder, self.until = lease, self.now + seconds

    @rule(seconds=st.sampled_from([30, 420]))
    def take_at_once(self, seconds: int) -> None:
        """Of two sweeps at the same moment one is let in at most."""
        found = in_threads(2, lambda: self.mailboxes.lease(self.mailbox.grant, now=self.now, seconds=seconds))
        taken = [lease for lease in found if lease is not None]
        assert len(taken) == (0 if self.until > self.now else 1)
        for lease in taken:
            self.hold(lease, seconds)

    @rule(which=st.integers(0, 20), watermark=st.integers(NOW - 100, NOW + 100), wide=st.booleans())
    @precondition(lambda self: self.leases)
    def finish(self, which: int, watermark: int, wide: bool) -> None:
        """Only the last holder moves the watermark, and only forwards; one that stalled too long moves nothing."""
        lease = self.leases[which % len(self.leases)]
        moved = self.mailboxes.advance(lease, watermark=watermark, now=self.now, wide=wide)
        assert moved is (lease is self.holder)
        if moved:
            self.watermark, self.until, self.left = max(watermark, self.watermark or 0), 0, None

    @rule(which=st.integers(0, 20), unfinished=st.booleans(), left=st.none() | windows)
    @precondition(lambda self: self.leases)
    def give_up(self, which: int, unfinished: bool, left: Window | None) -> None:
        """What is left of a window stays until the next holder says otherwise."""
        lease = self.leases[which % len(self.leases)]
        ended = self.mailboxes.release(lease, unfinished=unfinished, left=left)
        assert ended is (lease is self.holder)
        self.until, self.left = (0, left) if ended else (self.until, self.left)

    @rule(status=st.sampled_from(["valid", "invalid", "deleted"]))
    def others_note(self, status: str) -> None:
        """A listing, an expiry, aliases and waiting messages leave lease and watermark as they are."""
        self.mailbox = replace(self.mailbox, status=status)
        steps: list[Callable[[], object]] = [
            lambda: self.mailboxes.note_listed(self.mailbox),
            lambda: self.mailboxes.note_status(self.mailbox.grant, status, expired=self.now),
            lambda: self.mailboxes.note_aliases(self.mailbox.grant, ("b@c.example",), self.now),
            lambda: self.mailboxes.note_waiting(self.mailbox.grant),
        ]
        for step in steps:
            step()

    @invariant()
    def the_watermark_stands_where_it_was_proven(self) -> None:
        known = self.mailboxes.get(self.mailbox.grant)
        assert known is not None
        assert (known.watermark, known.left) == (self.watermark, self.left)


def test_what_is_final_stays_and_windows_are_whole(account: StorageAccount) -> None:
    run_state_machine_as_test(lambda: JournalStates(account), settings=often)


def test_a_watermark_moves_forwards_by_one_sweep_at_a_time(account: StorageAccount) -> None:
    run_state_machine_as_test(lambda: MailboxStates(account), settings=often)
