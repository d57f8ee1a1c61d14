"""What is known of an email across mailboxes: who saw it, and which replies wait for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailsync.outcome import Kind
from mailsync.storage.account import StorageAccount
from mailsync.storage.threads import Awaited, Child, Sighting, Sightings
from tests.mailsync.parts import NOW, new_id, new_message_id


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
