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
from mailsync.storage.tombstones import Tombstones
from tests.mailsync.parts import NOW, PSEUDONYMS, Clock, in_threads, new_id

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

        def recall(self, grant: str, message: str) -> Entry | None:
            found = super().recall(grant, message)
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


# what is left of a record


@pytest.fixture
def tombstones(account: StorageAccount) -> Tombstones:
    return Tombstones(account, PSEUDONYMS, clock=Clock())


@pytest.fixture
def remembering(account: StorageAccount, tombstones: Tombstones) -> Journal:
    """A journal that recognises what was shortened and erased."""
    return Journal(account, tombstones)


def whole(grant: str, message: str = "m", kind: Kind = Kind.WRITTEN, **changes: Any) -> Entry:
    """A record with everything in it that could tell which message it was."""
    told = {
        "reason": "contact",
        "activityid": new_id(),
        "date": NOW - 5,
        "folders": ("INBOX",),
        "policy": "abc",
        "source": "backfill:b1",
        "notification": new_id(),
        "detail": "vendor=dataverse status=429",
        "notes": ("owner: sender systemuser 1",),
        **changes,
    }
    return entry(grant, message, kind, **told)


def pseudonym(grant: str, message: str = "m") -> str:
    return PSEUDONYMS.of_copy(grant, hash_of(message))


def test_a_shortened_record_holds_no_id_and_still_says_what_became_of_the_message(
    remembering: Journal, table: Table
) -> None:
    grant = new_id()
    stored = remembering.put(whole(grant, "AAkALgB"), None)
    assert remembering.shorten([stored], PSEUDONYMS) == 1
    left, key = rows(table, grant), pseudonym(grant, "AAkALgB")
    assert set(left) == {f"m:{key}", f"d:{NOW - 5:011d}:{key}"}
    for row in left.values():
        told = "\n".join(str(value) for name, value in row.items() if name != "PartitionKey")
        for gone in (
            "AAkALgB",
            hash_of("AAkALgB"),
            "INBOX",
            "429",
            "systemuser",
            stored.activityid,
            stored.notification,
        ):
            assert str(gone) not in told
    known = remembering.recall(grant, "AAkALgB")
    assert known is not None
    assert (known.kind, known.reason, known.noted, known.date) == (Kind.WRITTEN, "contact", NOW, NOW - 5)
    assert (known.policy, known.source, known.pseudonym) == ("abc", "backfill:b1", key)
    assert (known.activityid, known.folders, known.notification, known.notes, known.detail) == (
        None,
        None,
        None,
        (),
        "",
    )


def test_a_shortened_record_is_known_to_a_listing_by_its_date(remembering: Journal) -> None:
    grant = new_id()
    for message, kind, date in (("a", Kind.WRITTEN, NOW - 9), ("b", Kind.SKIPPED, NOW - 5), ("c", Kind.GONE, None)):
        remembering.shorten([remembering.put(whole(grant, message, kind, date=date), None)], PSEUDONYMS)
    remembering.put(whole(grant, "d", date=NOW - 1), None)
    known = remembering.of_listed(grant, {"a": NOW - 9, "b": NOW - 5, "d": NOW - 1, "e": NOW - 3})
    assert {name: (one.kind, one.is_shortened) for name, one in known.items()} == {
        "a": (Kind.WRITTEN, True),
        "b": (Kind.SKIPPED, True),
        "d": (Kind.WRITTEN, False),
    }
    assert known["d"].source == "backfill:b1"


def test_an_undated_message_is_looked_for_by_itself(remembering: Journal, tombstones: Tombstones) -> None:
    grant = new_id()
    remembering.shorten([remembering.put(whole(grant, "a", date=None), None)], PSEUDONYMS)
    remembering.put(whole(grant, "b", date=None), None)
    assert set(remembering.of_listed(grant, {"a": None, "b": None})) == {"b"}, "nothing was shortened, as far as known"
    tombstones.add([pseudonym(grant, "a")])
    assert set(remembering.of_listed(grant, {"a": None, "b": None})) == {"a", "b"}


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind.is_final and kind is not Kind.ERASED])
def test_a_shortened_final_record_is_not_turned_back(remembering: Journal, kind: Kind) -> None:
    """Not even by a worker that has not heard of it."""
    grant = new_id()
    remembering.shorten([remembering.put(whole(grant, kind=kind), None)], PSEUDONYMS)
    short = remembering.recall(grant, "m")
    assert short is not None
    for passing in (Kind.QUEUED, Kind.WRITING, Kind.DEFERRED, Kind.SKIPPED):
        assert remembering.put(entry(grant, kind=passing, date=NOW), short) == short


def test_a_skip_that_changes_its_mind_has_one_whole_record_again(remembering: Journal, table: Table) -> None:
    grant = new_id()
    remembering.shorten([remembering.put(whole(grant, kind=Kind.SKIPPED), None)], PSEUDONYMS)
    short = remembering.recall(grant, "m")
    begun = remembering.put(entry(grant, kind=Kind.WRITING, date=NOW), short)
    remembering.put(whole(grant, date=NOW), begun)
    key = hash_of("m")
    assert set(rows(table, grant)) == {f"m:{key}", f"d:{NOW:011d}:{key}"}


def test_what_changed_since_it_was_read_is_not_shortened(remembering: Journal) -> None:
    grant = new_id()
    stored = [remembering.put(whole(grant, str(number), Kind.SKIPPED), None) for number in range(30)]
    remembering.put(whole(grant, "7", noted=NOW + 1), stored[7])
    assert remembering.shorten(stored, PSEUDONYMS) == 29
    known = remembering.get(grant, "7")
    assert known is not None
    assert (known.kind, known.pseudonym) == (Kind.WRITTEN, "")


def test_an_erased_message_has_one_tombstone_whatever_was_known_of_it(remembering: Journal, table: Table) -> None:
    for previous in (None, whole(new_id(), kind=Kind.DEFERRED), whole(new_id()), whole(new_id(), kind=Kind.PUT_ASIDE)):
        grant = previous.grant if previous is not None else new_id()
        stored = remembering.put(previous, None) if previous is not None else None
        erased = remembering.bury(entry(grant, date=NOW - 5, source="sweep", notification="n"), stored)
        assert (erased.kind, erased.reason) == (Kind.ERASED, "erased")
        key = pseudonym(grant)
        assert set(rows(table, grant)) == {f"m:{key}", f"d:{NOW - 5:011d}:{key}"}
        assert remembering.bury(entry(grant, date=NOW - 5), erased).kind is Kind.ERASED


@pytest.mark.parametrize("late", Kind)
def test_what_was_erased_is_nothing_else_ever_again(remembering: Journal, late: Kind) -> None:
    grant = new_id()
    erased = remembering.bury(entry(grant, date=NOW), None)
    assert remembering.put(entry(grant, kind=late, date=NOW), erased).kind is Kind.ERASED
    remembering.forget(grant, "m")
    found = remembering.recall(grant, "m")
    assert found is not None
    assert found.kind is Kind.ERASED


def test_a_slow_worker_that_notes_an_erased_message_finds_its_tombstone(remembering: Journal, table: Table) -> None:
    grant = new_id()
    begun = remembering.put(entry(grant, kind=Kind.WRITING), None)
    remembering.bury(entry(grant, date=NOW), begun)
    late = remembering.put(whole(grant, date=NOW), begun)
    assert late.kind is Kind.ERASED
    assert {name.rpartition(":")[2] for name in rows(table, grant)} == {pseudonym(grant)}


def test_a_walk_meets_each_record_once_and_in_portions(account: StorageAccount, remembering: Journal) -> None:
    """A record is one row of the walk, however it is filed."""
    grants = sorted(new_id() for _ in range(3))
    for grant in grants:
        for number in range(5):
            remembering.put(whole(grant, str(number)), None)
    met, place = [], ("", "")
    while True:
        some, further = remembering.walk(place, 4)
        met += [(one.grant, one.message) for one in some if one.grant in grants]
        if further is None:
            break
        place = further
    assert sorted(met) == [(grant, str(number)) for grant in grants for number in range(5)]


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
