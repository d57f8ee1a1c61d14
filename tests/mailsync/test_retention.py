"""Old records lose their ids little by little, and nothing that was handled is ever taken for new."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from mailsync import retention
from mailsync.errors import ConfigurationError, MessageError
from mailsync.outcome import Kind
from mailsync.retention import REST, Retention
from mailsync.settings import StorageSettings
from mailsync.storage.account import StorageAccount
from mailsync.storage.aside import Aside
from mailsync.storage.envelope import MessageItem
from mailsync.storage.journal import KEPT_OPEN, Entry, Journal
from mailsync.storage.pseudonyms import Pseudonyms
from mailsync.storage.threads import Sighting, Sightings
from mailsync.storage.tombstones import LIFE, Tombstones
from mailsync.storage.walks import START, Walks
from sandbox.azurite import Azurite
from tests.mailsync.parts import NOW, PSEUDONYMS, Clock, new_id

DAY = 86_400
KEEP = 30 * DAY
RUN = 600
"""Seconds between two runs."""


class Archive:
    """A journal of its own, and what shortens it; each run is another process's."""

    def __init__(self, account: StorageAccount, clock: Clock) -> None:
        self.account, self.clock = account, clock
        self.grant = new_id()
        self.reader = self.journal()

    def tombstones(self, pseudonyms: Pseudonyms | None = PSEUDONYMS) -> Tombstones:
        return Tombstones(self.account, pseudonyms, clock=self.clock)

    def journal(self) -> Journal:
        return Journal(self.account, self.tombstones())

    @property
    def sightings(self) -> Sightings:
        return Sightings(self.account, self.tombstones())

    def run(self, pseudonyms: Pseudonyms | None = PSEUDONYMS, *, times: int = 1) -> None:
        for _ in range(times):
            tombstones = self.tombstones(pseudonyms)
            Retention(
                journal=Journal(self.account, tombstones),
                sightings=Sightings(self.account, tombstones),
                aside=self.aside,
                tombstones=tombstones,
                walks=Walks(self.account),
                clock=self.clock,
            ).shorten(keep=KEEP)
            self.clock.now += RUN

    @property
    def aside(self) -> Aside:
        return Aside(self.account)

    def put_aside(self, message: str, *, replayed: int | None = None) -> None:
        """An item that was put aside a year ago and replayed so many days ago, if it was."""
        item = MessageItem(grant=self.grant, message=message, source="sweep", first_seen=NOW - 365 * DAY)
        self.aside.put(item, MessageError("It can't be written.", reason="poison"), now=NOW - 365 * DAY)
        if replayed is not None:
            kept = self.aside.of_message(self.grant, message)
            assert kept is not None
            assert self.aside.note_replayed(kept, now=NOW - replayed * DAY)

    def still_aside(self) -> set[str]:
        """The messages, of a to z, of which a row is left."""
        letters = "abcdefghijklmnopqrstuvwxyz"
        return {letter for letter in letters if self.aside.of_message(self.grant, letter) is not None}

    def begin(self) -> None:
        """Let the first run announce that records will be shortened."""
        self.run()

    def note(self, message: str, kind: Kind = Kind.WRITTEN, *, age: int = 31, date: int | None = None) -> Entry:
        """A record that was last noted so many days ago, of a message that came then."""
        at = NOW - age * DAY
        given: dict[str, Any] = {"noted": at, "first_seen": at, "date": at if date is None else date}
        return self.reader.put(Entry(grant=self.grant, message=message, kind=kind, source="sweep", **given), None)

    def shortened(self) -> set[str]:
        """The messages whose records hold no id any more, of a to z."""
        letters = "abcdefghijklmnopqrstuvwxyz"
        known = {letter: self.reader.recall(self.grant, letter) for letter in letters}
        return {letter for letter, entry in known.items() if entry is not None and entry.pseudonym}


@pytest.fixture
def archive(azurite: Azurite, clock: Clock) -> Iterator[Archive]:
    """Tables that nobody else writes to."""
    account = StorageAccount(StorageSettings(azurite.connection_strings[17]), None)
    yield Archive(account, clock)
    for name in ("journal", "sightings", "aside", "tombstones"):
        account.table(name).delete_table()


def test_what_is_older_than_it_is_to_be_kept_is_shortened_and_the_rest_is_not(archive: Archive) -> None:
    archive.note("a", age=31)
    archive.note("b", age=400)
    archive.note("c", age=29)
    archive.note("d", age=400, date=NOW - DAY)
    archive.begin()
    assert archive.shortened() == set()
    archive.run()
    assert archive.shortened() == {"a", "b"}, "d came yesterday, whenever it was noted"


@pytest.mark.parametrize("kind", Kind)
def test_what_somebody_still_works_on_or_waits_for_is_kept(archive: Archive, kind: Kind) -> None:
    archive.note("a", kind)
    archive.begin()
    archive.run()
    assert archive.shortened() == (set() if kind in KEPT_OPEN else {"a"})


def test_nothing_is_shortened_before_every_process_can_have_heard_of_it(archive: Archive) -> None:
    """A process that does not know looks for an old message under its plain hash alone."""
    archive.note("a")
    knowing = archive.journal()
    assert knowing.get(archive.grant, "a", date=NOW - 31 * DAY)
    archive.begin()
    archive.clock.now += LIFE - RUN
    archive.run()
    assert archive.shortened() == set()
    archive.run()
    assert archive.shortened() == {"a"}
    known = knowing.get(archive.grant, "a", date=NOW - 31 * DAY)
    assert known is not None
    assert known.kind is Kind.WRITTEN
    assert knowing.get(archive.grant, "a", date=NOW) is None, "of a young message it is not looked for"


def test_time_goes_on_and_so_does_what_is_due(archive: Archive) -> None:
    archive.note("a", age=31)
    archive.note("b", age=20)
    archive.begin()
    archive.run()
    for _ in range(24):
        archive.clock.now += DAY / 2
        archive.run()
    assert archive.shortened() == {"a", "b"}
    assert archive.journal().get(archive.grant, "b", date=NOW - 20 * DAY) is not None


def test_a_run_does_a_portion_and_the_next_goes_on_there(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PORTION", 2)
    monkeypatch.setattr(retention, "MOST", 4)
    for letter in "abcdefghij":
        archive.note(letter)
    archive.begin()
    counts = []
    for _ in range(4):
        archive.run()
        counts.append(len(archive.shortened()))
    assert 0 < counts[0] <= 4, "a shortened record has another key, and may come by once more"
    assert counts == sorted(counts)
    archive.run(times=4)
    assert archive.shortened() == set("abcdefghij")


def test_after_a_walk_it_rests_for_hours(archive: Archive) -> None:
    archive.begin()
    archive.run()
    archive.note("a")
    archive.run()
    assert archive.shortened() == set()
    archive.clock.now += REST
    archive.run()
    assert archive.shortened() == {"a"}


def test_sightings_are_shortened_likewise(archive: Archive) -> None:
    old, young = new_id(), new_id()
    for activityid, age in ((old, 31), (young, 29)):
        sighting = Sighting(archive.grant, Kind.WRITTEN, activityid, "guard")
        archive.sightings.note(activityid, sighting, message="m", now=NOW - age * DAY)
    archive.begin()
    archive.run()
    assert [one.grant for one in archive.sightings.of(old)] == [""]
    assert [one.grant for one in archive.sightings.of(young)] == [archive.grant]


def test_what_was_replayed_long_ago_is_forgotten_and_what_waits_never(archive: Archive) -> None:
    archive.put_aside("a", replayed=31)
    archive.put_aside("b", replayed=29)
    archive.put_aside("c")
    archive.put_aside("d", replayed=400)
    archive.put_aside("d")
    archive.begin()
    assert archive.still_aside() == {"a", "b", "c", "d"}
    archive.run()
    assert archive.still_aside() == {"b", "c", "d"}, "d failed again and waits anew"


def test_what_is_put_aside_again_while_a_run_looks_at_it_stays(archive: Archive) -> None:
    archive.put_aside("a", replayed=31)
    (read,), _ = archive.aside.walk(START, 10)
    archive.put_aside("a")
    assert not archive.aside.forget(read)
    assert archive.still_aside() == {"a"}


def test_of_what_was_replayed_a_run_looks_at_a_portion_too(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PORTION", 2)
    monkeypatch.setattr(retention, "MOST", 4)
    for letter in "abcdefghij":
        archive.put_aside(letter, replayed=31)
    archive.begin()
    left = []
    for _ in range(3):
        archive.run()
        left.append(len(archive.still_aside()))
    assert left == [6, 2, 0]


def test_it_says_how_much_it_shortened(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mailsync")
    archive.note("a")
    archive.note("b")
    archive.put_aside("c", replayed=31)
    archive.begin()
    archive.run()
    archive.clock.now += REST
    archive.run()
    (line,) = [message for message in caplog.messages if "journal_shortened" in message]
    assert "records=2" in line
    assert "aside=1" in line


@pytest.mark.parametrize("pseudonyms", [None, Pseudonyms(bytes(32))], ids=["no key", "another key"])
def test_without_the_key_of_the_hashes_nothing_is_shortened(archive: Archive, pseudonyms: Pseudonyms | None) -> None:
    archive.note("a")
    archive.begin()
    with pytest.raises(ConfigurationError) as error:
        archive.run(pseudonyms)
    assert error.value.reason == "erasure_key"
    assert archive.shortened() == set()
