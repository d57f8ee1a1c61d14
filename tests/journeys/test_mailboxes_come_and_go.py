"""Mailboxes come and go: none takes another's mail with it, and what it held is written, or put aside by name."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from tests.journeys.office import Copy, Mailbox, Office, envelope

MINUTE, HOUR = 60, 3600
MANY = 12
"""More messages put aside than stop writing where the messages themselves are at fault."""


def waiting(office: Office, mailbox: Mailbox, number: int) -> list[Copy]:
    """Messages whose items stood on the queue when their grant expired, and which wait in the journal now."""
    mails = [office.mail(office.contact(), mailbox.owner) for _ in range(number)]
    copies = [office.lay(mail, mailbox, notify=False) for mail in mails]
    office.world.nylas.expire(mailbox.grant)
    office.world.wait("the expiry to be recorded", lambda: office.mailbox_row(mailbox)["status"] == "invalid")
    for copy in copies:
        office.put("nylas-messages", envelope(kind="message", grant=copy.grant, message=copy.id))
    for copy in copies:
        assert office.outcome(copy, "deferred")["reason"] == "grant"
    return copies


def nobody_else_notices(office: Office) -> None:
    """Ida's mail lands at its first attempt."""
    copy = office.lay(office.mail(office.contact(), office.ida.owner))
    assert office.outcome(copy)["kind"] == "written"
    assert not office.said("item_deferred", message=copy.id)


def are_put_aside(office: Office, copies: Sequence[Copy]) -> None:
    """Each with the reason that says what to do, and on no queue any more."""
    for copy in copies:
        record = office.outcome(copy)
        assert (record["kind"], record["reason"]) == ("put_aside", "mailbox_disconnected")
    kept = office.aside(PartitionKey=copies[0].grant)
    assert {(row["reason"], row["state"]) for row in kept} == {("mailbox_disconnected", "waiting")}
    assert len(kept) == len(copies)
    office.world.wait("the queue to be empty", lambda: office.queued("nylas-messages") == 0)


def test_mail_of_an_expired_grant_waits_on_no_queue_while_other_mailboxes_go_on(hurried: Office) -> None:
    with hurried.connected_for_now("Olga", "microsoft") as olga:
        copies = waiting(hurried, olga, MANY)
        hurried.world.wait("the queue to be empty", lambda: hurried.queued("nylas-messages") == 0)
        nobody_else_notices(hurried)
        assert {hurried.record(copy)["kind"] for copy in copies} == {"deferred"}
        hurried.world.nylas.reauthenticate(olga.grant)
        for copy in copies:  # the journal and the sweep both bring it back: of two workers either may note it first
            assert hurried.outcome(copy)["kind"] in {"written", "already_there"}


@pytest.mark.parametrize("told", [True, False], ids=["which was told", "which nobody told"])
def test_what_waited_for_a_sign_in_is_put_aside_when_its_grant_is_deleted(hurried: Office, told: bool) -> None:
    """Else it would wait for ever. A replay tries it again, and it ends there again while there is no mailbox."""
    with hurried.connected_for_now("Oona", "microsoft") as oona:
        copies = waiting(hurried, oona, MANY)
        hurried.world.nylas.webhooks.mischief.lose = 0.0 if told else 1.0
    hurried.world.nylas.webhooks.mischief.lose = 0.0
    if not told:
        hurried.sweep()
    are_put_aside(hurried, copies)
    nobody_else_notices(hurried)
    begin = len(hurried.world.host.log)
    told_back = hurried.command("aside", "replay", "--mailbox", oona.grant, "--all")
    hurried.world.wait("all to be tried", lambda: len(hurried.said("item_put_aside", since=begin)) == MANY)
    assert told_back["replayed"] == MANY
    are_put_aside(hurried, copies)


def test_mail_on_the_queue_of_a_grant_whose_end_nobody_told_is_put_aside(hurried: Office) -> None:
    """Nylas' 404 says the same of a deleted message, but this was none."""
    with hurried.connected_for_now("Otto", "microsoft") as otto:
        copies = [hurried.lay(hurried.mail(hurried.contact(), otto.owner), otto, notify=False) for _ in range(3)]
        hurried.world.nylas.webhooks.mischief.lose = 1.0
    hurried.world.nylas.webhooks.mischief.lose = 0.0
    for copy in copies:
        hurried.put("nylas-messages", envelope(kind="message", grant=copy.grant, message=copy.id))
    are_put_aside(hurried, copies)
    assert hurried.mailbox_row(otto)["status"] == "deleted"


def test_a_mailbox_under_a_new_grant_goes_on_from_its_last_proven_point_without_doubles(hurried: Office) -> None:
    """What came while nobody listened is found, also where it was listed late; older mail is left to a backfill."""
    owner, now = hurried.colleague("Rune"), int(time.time())
    ages = {"known": 50 * MINUTE, "meanwhile": 30 * MINUTE, "late": 65 * MINUTE, "older": 40 * HOUR}
    mails = {name: hurried.mail(hurried.contact(), owner, date=now - age) for name, age in ages.items()}
    with hurried.connected_for_now(owner, "microsoft", created_at=now - 5 * HOUR) as before:
        first = hurried.outcome(hurried.lay(mails["known"], before))
    hurried.note(before, watermark=str(now - HOUR))
    with hurried.connected_for_now(owner, "microsoft", told=False) as anew:
        copies = {name: hurried.lay(mail, anew, notify=False) for name, mail in mails.items()}
        hurried.tell_again("grant.created", anew)
        records = {name: hurried.outcome(copies[name]) for name in ("known", "meanwhile", "late")}
        assert hurried.record(copies["older"]) == {}
        proof = hurried.command("verify", "--mailbox", anew.grant, "--since", "6d")
    assert {name: (one["kind"], one["source"]) for name, one in records.items()} == {
        "known": ("already_there", "sweep"),
        "meanwhile": ("written", "sweep"),
        "late": ("written", "sweep"),
    }
    assert records["known"]["activityid"] == first["activityid"]
    assert [len(hurried.emails(mails[name])) for name in ages] == [1, 1, 1, 0]
    assert proof["holds"]
