"""The journal: one record for every message, which a slower worker never turns back, and windows read by date."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailsync.errors import TransientError
from mailsync.outcome import Kind
from mailsync.storage.account import StorageAccount
from mailsync.storage.journal import LATEST_DATE, WAITS_FOR_GRANT, Entry, Journal, hash_of
from mailsync.storage.tables import Row, Table
from tests.mailsync.parts import NOW, in_threads, new_id

FINAL = [kind for kind in Kind if kind.is_final]
PASSING = [kind for kind in Kind if not kind.is_final]
WAITING = {Kind.QUEUED, Kind.WRITING, Kind.DEFERRED}


@pytest.fixture(scope="module")
def table(account: StorageAccount) -> Table:
    return Table(account, "journal")


def entry(grant: str, message: str = "m", kind: Kind = Kind.QUEUED, **changes: Any) -> Entry:
    return Entry(grant=grant, message=message, kind=kind, **{"noted": NOW, "first_seen": NOW, **changes})


def bare(one: Entry | None) -> Entry | None:
    """An entry without its version."""
    return replace(one, etag="") if one is not None else None


def rows(table: Table, grant: str) -> dict[str, Row]:
    return {row["RowKey"]: row for row in table.query("PartitionKey eq @grant", {"grant": grant})}


# one record


def test_a_record_reads_back_as_it_was_written(journal: Journal) -> None:
    whole = entry(
        new_id(),
        "AAkALg-_==",
        Kind.WRITTEN,
        reason="contact",
        activityid=new_id(),
        date=NOW - 5,
        folders=("INBOX", "Label_1 ünï", ""),
        policy="abc",
        source="message.created",
        notification=new_id(),
        until=NOW + 60,
        attempt=3,
        detail="vendor=dataverse status=429",
    )
    stored = journal.put(whole, None)
    assert stored.etag
    assert bare(stored) == whole
    assert journal.get(whole.grant, whole.message) == stored


def test_a_message_nobody_knows(journal: Journal) -> None:
    assert journal.get(new_id(), "m") is None


def test_ids_that_differ_by_case_alone_are_two_messages(journal: Journal) -> None:
    grant = new_id()
    journal.put(entry(grant, "AAkALgB", Kind.WRITTEN), None)
    assert journal.get(grant, "AAkALgb") is None


@pytest.mark.parametrize(
    "message", ["a/b\\c#d?e", "%2F", "\t\n\x00", "日本\U0001f600", "x" * 2048, "'quoted' \"ids\"", " "], ids=repr
)
def test_any_id_has_a_record(journal: Journal, message: str) -> None:
    grant = new_id()
    journal.put(entry(grant, message, date=NOW), None)
    found = journal.get(grant, message)
    assert found is not None
    assert found.message == message
    assert set(journal.between(grant, NOW, NOW)) == {hash_of(message)}


@pytest.mark.parametrize(
    "folders",
    [None, (), ("INBOX",), ("f" * 1000,) * 20, ('a"b\\c', "日本")],
    ids=["unknown", "none", "one", "long", "odd"],
)
def test_folders_read_back(journal: Journal, folders: tuple[str, ...] | None) -> None:
    grant = new_id()
    journal.put(entry(grant, folders=folders, date=NOW), None)
    found = journal.get(grant, "m")
    assert found is not None
    assert found.folders == folders
    assert [known.folders for known in journal.between(grant, NOW, NOW).values()] == [folders]


# what is final stays final


@pytest.mark.parametrize("final", FINAL)
@pytest.mark.parametrize("passing", PASSING)
def test_a_final_record_is_not_turned_back(journal: Journal, final: Kind, passing: Kind) -> None:
    grant = new_id()
    stored = journal.put(entry(grant, kind=final, activityid=new_id()), None)
    assert journal.put(entry(grant, kind=passing, noted=NOW + 9), stored) == stored
    assert journal.get(grant, "m") == stored


def test_not_even_by_a_worker_that_had_not_seen_it(journal: Journal) -> None:
    grant = new_id()
    before = journal.put(entry(grant), None)
    final = journal.put(entry(grant, kind=Kind.WRITTEN, activityid="a"), before)
    late = journal.put(entry(grant, kind=Kind.DEFERRED, until=NOW + 60), before)
    assert late == final
    assert journal.put(entry(grant, kind=Kind.QUEUED), None) == final


@pytest.mark.parametrize("late", [Kind.ALREADY_THERE, Kind.ADOPTED], ids=str)
def test_nor_is_it_told_otherwise_by_a_slower_worker(journal: Journal, late: Kind) -> None:
    """Two copies of one item: the one that wrote says so, the other comes to "already there" and must not erase it."""
    grant = new_id()
    before = journal.put(entry(grant, kind=Kind.WRITING), None)
    journal.put(entry(grant, kind=Kind.WRITTEN, reason="contact", activityid="a"), before)
    journal.put(entry(grant, kind=late, reason="same", activityid="b"), before)
    found = journal.get(grant, "m")
    assert found is not None
    assert (found.kind, found.reason, found.activityid) == (Kind.WRITTEN, "contact", "a")


@pytest.mark.parametrize("passing", PASSING)
@pytest.mark.parametrize("final", FINAL)
def test_anything_else_gives_way(journal: Journal, passing: Kind, final: Kind) -> None:
    grant = new_id()
    before = journal.put(entry(grant, kind=passing), None)
    assert journal.put(entry(grant, kind=final), before).kind is final


def test_a_record_is_changed_though_another_worker_changed_it_meanwhile(journal: Journal) -> None:
    grant = new_id()
    before = journal.put(entry(grant), None)
    journal.put(entry(grant, kind=Kind.DEFERRED), before)
    stored = journal.put(entry(grant, kind=Kind.WRITTEN), before)
    assert journal.get(grant, "m") == stored
    assert stored.kind is Kind.WRITTEN


def test_many_workers_at_once_agree(journal: Journal) -> None:
    grant = new_id()
    kinds = itertools.cycle([Kind.QUEUED, Kind.DEFERRED, Kind.WRITTEN])
    notes = [entry(grant, kind=next(kinds), date=NOW + number) for number in range(6)]
    done = in_threads(6, lambda: journal.put(notes.pop(), None))
    assert not [one for one in done if isinstance(one, BaseException)]
    found = journal.get(grant, "m")
    assert found is not None
    assert found.kind is Kind.WRITTEN
    assert len(journal.between(grant, NOW, NOW + 9)) == 1


def test_a_record_that_others_change_without_end_is_trouble(journal: Journal, account: StorageAccount) -> None:
    class Busy(Journal):
        """Somebody is always faster."""

        def get(self, grant: str, message: str) -> Entry | None:
            found = super().get(grant, message)
            journal.put(entry(grant, message, Kind.QUEUED, noted=NOW + 1), found)
            return found

    grant = new_id()
    stale = journal.put(entry(grant), None)
    journal.put(entry(grant, noted=NOW + 1), stale)
    with pytest.raises(TransientError) as error:
        Busy(account).put(entry(grant, kind=Kind.WRITTEN), stale)
    assert error.value.reason == "journal_contended"


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    notes=st.lists(
        st.tuples(st.sampled_from(list(Kind)), st.none() | st.integers(NOW - 3, NOW + 3), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_the_order_of_notes_the_record_and_its_date_agree(
    journal: Journal, table: Table, notes: list[tuple[Kind, int | None, bool]]
) -> None:
    """Each note comes from a worker that saw the last record, or, being slow, none at all."""
    grant = new_id()
    stands: Entry | None = None
    final: Kind | None = None
    for kind, date, is_slow in notes:
        stands = journal.put(entry(grant, kind=kind, date=date), None if is_slow else stands)
        final = final or (stands.kind if stands.kind.is_final else None)
        assert final is None or stands.kind.is_final
        assert stands == journal.get(grant, "m")
        dated = {key: row for key, row in rows(table, grant).items() if key.startswith("d:")}
        assert list(dated) == ([f"d:{stands.date:011d}:{hash_of('m')}"] if stands.date is not None else [])
        if stands.kind is not Kind.WRITING:  # noted in the record only, while the work goes on
            assert all(row["kind"] == stands.kind.value for row in dated.values())


def test_the_note_made_while_writing_leaves_the_dated_row_to_the_last_note(journal: Journal, table: Table) -> None:
    grant = new_id()
    queued = journal.put(entry(grant, date=NOW), None)
    writing = journal.put(entry(grant, kind=Kind.WRITING, date=NOW + 5, activityid="a"), queued)
    assert {key: row["kind"] for key, row in rows(table, grant).items()} == {
        f"m:{hash_of('m')}": "writing",
        f"d:{NOW:011d}:{hash_of('m')}": "queued",
    }
    journal.put(entry(grant, kind=Kind.WRITTEN, date=NOW + 5), writing)
    assert {key: row["kind"] for key, row in rows(table, grant).items()} == {
        f"m:{hash_of('m')}": "written",
        f"d:{NOW + 5:011d}:{hash_of('m')}": "written",
    }


@pytest.mark.parametrize("others", [Kind.QUEUED, Kind.WRITING, Kind.WRITTEN])
def test_the_note_made_while_writing_minds_other_workers_too(journal: Journal, others: Kind) -> None:
    grant = new_id()
    stale = journal.put(entry(grant), None)
    other = journal.put(entry(grant, kind=others, activityid="a"), stale)
    for previous in (stale, None):
        stands = journal.put(entry(grant, kind=Kind.WRITING, attempt=1), previous)
        assert stands == journal.get(grant, "m")
        assert (stands == other) is others.is_final
        assert stands.activityid == "a"


# what a note keeps of the one before


def test_a_note_keeps_what_it_does_not_know_better(journal: Journal) -> None:
    grant, activityid = new_id(), new_id()
    first = journal.put(
        entry(
            grant,
            kind=Kind.QUEUED,
            first_seen=NOW - 100,
            activityid=activityid,
            date=NOW,
            folders=("INBOX",),
            notification="n",
            policy="p",
        ),
        None,
    )
    stands = journal.put(entry(grant, kind=Kind.DEFERRED, reason="throttled", until=NOW + 5), first)
    assert (stands.first_seen, stands.activityid, stands.date) == (NOW - 100, activityid, NOW)
    assert (stands.folders, stands.notification, stands.policy) == (("INBOX",), "n", "p")
    assert (stands.kind, stands.reason, stands.until) == (Kind.DEFERRED, "throttled", NOW + 5)
    later = journal.put(entry(grant, kind=Kind.WRITTEN, folders=("Label_1",), activityid="other"), stands)
    assert (later.folders, later.activityid, later.until, later.reason) == (("Label_1",), "other", None, "")


def test_a_message_that_lies_in_no_folder_any_more_is_noted_so(journal: Journal) -> None:
    """Gmail's archive is no label: to be nowhere is known of a message, too."""
    first = journal.put(entry(grant := new_id(), kind=Kind.SKIPPED, folders=("SPAM",)), None)
    assert journal.put(entry(grant, kind=Kind.SKIPPED, folders=()), first).folders == ()


# windows


@pytest.mark.parametrize(
    ("oldest", "newest", "inside"),
    [
        (NOW, NOW, {"0"}),
        (NOW - 1, NOW, {"-1", "0"}),
        (NOW - 1, NOW + 1, {"-1", "0", "1"}),
        (NOW + 2, NOW + 9, set()),
        (0, LATEST_DATE, {"-1", "0", "1"}),
    ],
    ids=["one second", "two seconds", "all three", "beside", "ever"],
)
def test_a_window_holds_the_seconds_it_names_both_ends_included(
    journal: Journal, window: str, oldest: int, newest: int, inside: set[str]
) -> None:
    assert set(journal.between(window, oldest, newest)) == {hash_of(message) for message in inside}


@pytest.fixture(scope="module")
def window(journal: Journal) -> str:
    """A mailbox with a message in each of three seconds, one without date, and a neighbour."""
    grant = new_id()
    journal.note_queued([entry(grant, str(offset), date=NOW + offset) for offset in (-1, 0, 1)])
    journal.put(entry(grant, "undated"), None)
    journal.put(entry(new_id(), "0", date=NOW), None)
    return grant


@pytest.mark.parametrize(
    ("date", "filed"),
    [
        (0, 0),
        (-1, 0),
        (-(10**12), 0),
        (253_402_300_799, LATEST_DATE),
        (LATEST_DATE, LATEST_DATE),
        (LATEST_DATE + 1, LATEST_DATE),
        (10**30, LATEST_DATE),
    ],
)
def test_a_date_no_key_can_hold_is_filed_at_the_end(journal: Journal, table: Table, date: int, filed: int) -> None:
    grant = new_id()
    journal.put(entry(grant, date=date), None)
    assert set(rows(table, grant)) == {f"m:{hash_of('m')}", f"d:{filed:011d}:{hash_of('m')}"}
    assert set(journal.between(grant, date, date)) == {hash_of("m")}
    found = journal.get(grant, "m")
    assert found is not None
    assert found.date == date


@pytest.mark.parametrize(("before", "after"), [(NOW, NOW + 5), (None, NOW), (NOW, NOW), (-5, 0), (0, NOW)])
def test_a_changed_date_moves_the_row_it_is_found_by(
    journal: Journal, table: Table, before: int | None, after: int
) -> None:
    grant = new_id()
    first = journal.put(entry(grant, date=before), None)
    journal.put(entry(grant, kind=Kind.WRITTEN, date=after), first)
    assert set(rows(table, grant)) == {f"m:{hash_of('m')}", f"d:{after:011d}:{hash_of('m')}"}
    assert [known.kind for known in journal.between(grant, after, after).values()] == [Kind.WRITTEN]


def test_what_a_sweep_is_told(journal: Journal) -> None:
    grant = new_id()
    journal.put(entry(grant, kind=Kind.DEFERRED, date=NOW, until=NOW + 60, folders=("INBOX",)), None)
    (known,) = journal.between(grant, NOW, NOW).values()
    assert (known.kind, known.noted, known.until, known.folders) == (Kind.DEFERRED, NOW, NOW + 60, ("INBOX",))


# many at once


def test_two_hundred_messages_are_noted_in_few_transactions(journal: Journal) -> None:
    grant = new_id()
    journal.note_queued([entry(grant, str(number), date=NOW + number) for number in range(200)])
    assert len(journal.between(grant, NOW, NOW + 200)) == 200


def test_those_known_already_are_noted_by_their_own_rules(journal: Journal) -> None:
    grant = new_id()
    written = journal.put(entry(grant, "written", Kind.WRITTEN, date=NOW), None)
    journal.put(entry(grant, "skipped", Kind.SKIPPED, date=NOW, folders=("JUNK",)), None)
    names = ["written", "skipped", "new"]
    journal.note_queued([entry(grant, name, date=NOW, folders=("INBOX",), noted=NOW + 9) for name in names])
    assert journal.get(grant, "written") == written
    for name in ("skipped", "new"):
        found = journal.get(grant, name)
        assert found is not None
        assert (found.kind, found.folders, found.noted) == (Kind.QUEUED, ("INBOX",), NOW + 9)


def test_none_is_noted_for_none(journal: Journal) -> None:
    journal.note_queued([])


def test_one_that_is_named_twice_is_noted_once(journal: Journal) -> None:
    """A page may name a message twice; a transaction may not."""
    grant = new_id()
    journal.note_queued([entry(grant, "m", date=NOW), entry(grant, "m", date=NOW)])
    assert len(journal.between(grant, NOW, NOW)) == 1


# waiting for a grant


def test_those_that_wait_for_their_mailbox_are_found(journal: Journal) -> None:
    grant = new_id()
    waiting = journal.put(entry(grant, "a", Kind.DEFERRED, reason=WAITS_FOR_GRANT, date=NOW), None)
    journal.put(entry(grant, "b", Kind.DEFERRED, reason="nylas_throttled", date=NOW), None)
    journal.put(entry(grant, "c", Kind.WRITTEN, reason=WAITS_FOR_GRANT, date=NOW), None)
    journal.put(entry(new_id(), "d", Kind.DEFERRED, reason=WAITS_FOR_GRANT, date=NOW), None)
    assert journal.waiting_for_grant(grant) == (waiting,)


def test_where_nothing_was_noted_yet_nothing_is_known(account: StorageAccount) -> None:
    """Reading comes before the first write in a new installation: the table itself is missing then."""
    table = Table(account, "nothingwasnotedyet")
    assert table.get("p", "r") is None
    assert list(table.query("PartitionKey eq @p", {"p": "p"})) == []


# what waits


def test_nothing_waits_in_a_mailbox_whose_messages_all_came_to_an_end(journal: Journal) -> None:
    grant = new_id()
    for number, kind in enumerate(one for one in Kind if one not in WAITING):
        journal.put(entry(grant, f"m{number}", kind, date=NOW - number), None)
    assert journal.waiting_since(grant, 0) is None
    assert journal.waiting_since(new_id(), 0) is None


@pytest.mark.parametrize(
    ("date", "first_seen", "since"),
    [
        pytest.param(NOW - 50, NOW - 45, NOW - 45, id="since it was first seen"),
        pytest.param(NOW - 50, NOW - 60, NOW - 50, id="since its date where that is later"),
        pytest.param(NOW - 5000, NOW - 10, NOW - 10, id="one that turned up late waits since then"),
    ],
)
def test_a_message_waits(journal: Journal, date: int, first_seen: int, since: int) -> None:
    grant = new_id()
    journal.put(entry(grant, date=date, first_seen=first_seen), None)
    assert journal.waiting_since(grant, NOW - 9000) == since


def test_the_one_that_waits_longest_counts_of_those_dated_late_enough(journal: Journal) -> None:
    grant = new_id()
    for number, kind in enumerate((Kind.QUEUED, Kind.DEFERRED, Kind.QUEUED)):
        date = NOW - 100 * number
        journal.put(entry(grant, f"m{number}", kind, date=date, first_seen=date), None)
    begun = journal.put(entry(grant, "m9", date=NOW - 250, first_seen=NOW - 250), None)
    journal.put(replace(begun, kind=Kind.WRITING), begun)
    assert [journal.waiting_since(grant, NOW - ago) for ago in (300, 249, 150, 0)] == [
        NOW - 250,
        NOW - 200,
        NOW - 100,
        NOW,
    ]
