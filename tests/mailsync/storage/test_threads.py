"""What is known of an email across mailboxes: who saw it, and which replies wait for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailsync.outcome import Kind
from mailsync.storage.account import StorageAccount
from mailsync.storage.journal import hash_of
from mailsync.storage.tables import Table
from mailsync.storage.threads import Awaited, Child, Sighting, SightingRow, Sightings
from mailsync.storage.tombstones import Tombstones
from tests.mailsync.parts import NOW, PSEUDONYMS, Clock, new_id, new_message_id


def test_each_mailbox_is_seen_once(account: StorageAccount) -> None:
    sightings, activityid = Sightings(account), new_id()
    assert sightings.of(activityid) == ()
    mine, theirs = (Sighting(new_id(), kind, activityid, "guard") for kind in (Kind.WRITTEN, Kind.ALREADY_THERE))
    for sighting in (mine, theirs, mine):
        sightings.note(activityid, sighting, message="m", now=NOW)
    found = {replace(sighting, copy="") for sighting in sightings.of(activityid)}
    assert found == {mine, theirs}
    assert len(sightings.of(activityid)) == 2


@pytest.mark.parametrize("message_id", ["plain@mail.example", "a/b#c?d'e@mail.example", "日本", "x" * 5000])
def test_a_reply_waits_for_each_mail_it_names(account: StorageAccount, message_id: str) -> None:
    awaited, child = Awaited(account), Child(new_id(), new_id(), "AAk-_==")
    named, other = f"{new_id()}{message_id}", new_message_id()
    awaited.register(child, [named, other])
    awaited.register(child, [named])
    assert awaited.children_of(named) == (child,)
    awaited.done(named, child)
    awaited.done(named, child)
    assert awaited.children_of(named) == ()
    assert awaited.children_of(other) == (child,)


# what is left of a sighting


def shortened(account: StorageAccount, activityid: str, stands: str, kind: Kind = Kind.WRITTEN) -> Sightings:
    """One mailbox saw an email, and the row that says so was shortened."""
    sightings = Sightings(account, Tombstones(account, PSEUDONYMS, clock=Clock()))
    sightings.note(activityid, Sighting("a-grant", kind, stands, "0123456789ab"), message="AAkALgB", now=NOW)
    (row,) = met(sightings, activityid)
    assert sightings.shorten(row, PSEUDONYMS)
    return sightings


def met(sightings: Sightings, activityid: str) -> list[SightingRow]:
    """The rows of an email, as a walk meets them."""
    rows, _ = sightings.walk((activityid, ""), 1)
    return [row for row in rows if row.activityid == activityid]


def test_a_shortened_sighting_says_that_the_email_was_seen_and_not_by_whom(account: StorageAccount) -> None:
    activityid = new_id()
    sightings = shortened(account, activityid, activityid)
    (left,) = sightings.of(activityid)
    assert (left.grant, left.kind, left.stands) == ("", Kind.WRITTEN, activityid)
    (row,) = Table(account, "sightings").query("PartitionKey eq @id", {"id": activityid})
    assert not any(gone in str(row) for gone in ("a-grant", hash_of("AAkALgB"), "0123456789ab"))


def test_a_shortened_sighting_still_tells_its_mail_from_another_under_the_same_id(account: StorageAccount) -> None:
    activityid = new_id()
    (left,) = shortened(account, activityid, activityid).of(activityid)
    keyed = Sightings(account, Tombstones(account, PSEUDONYMS, clock=Clock()))
    assert keyed.is_of(left, activityid, "0123456789ab")
    assert not keyed.is_of(left, activityid, "ba9876543210")
    assert Sightings(account).is_of(left, activityid, "ba9876543210") is None, "without the key nobody can tell"


def test_where_another_trackers_email_stood_is_not_kept(account: StorageAccount) -> None:
    activityid, theirs = new_id(), new_id()
    (left,) = shortened(account, activityid, theirs, Kind.ADOPTED).of(activityid)
    assert (left.kind, left.stands) == (Kind.ADOPTED, "")


def test_a_sighting_that_was_noted_anew_meanwhile_is_not_shortened(account: StorageAccount) -> None:
    sightings, activityid = Sightings(account), new_id()
    sighting = Sighting(new_id(), Kind.WRITTEN, activityid, "guard")
    sightings.note(activityid, sighting, message="m", now=NOW)
    (row,) = met(sightings, activityid)
    sightings.note(activityid, sighting, message="m", now=NOW + 1)
    assert not sightings.shorten(row, PSEUDONYMS)
    assert [one.grant for one in sightings.of(activityid)] == [sighting.grant]


def test_erasing_forgets_everybody_who_saw_an_email(account: StorageAccount) -> None:
    sightings, activityid = Sightings(account), new_id()
    for kind in (Kind.WRITTEN, Kind.ALREADY_THERE):
        sightings.note(activityid, Sighting(new_id(), kind, activityid, "guard"), message="m", now=NOW)
    assert sightings.erase(activityid) == 2
    assert sightings.of(activityid) == ()
