"""Gone stays gone: what a person removed from Dataverse is not brought back by anything the app does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sandbox.mail import Mail
from tests.journeys.office import Copy, Mailbox, Office, envelope

HALF_AN_HOUR = 1800


@dataclass(frozen=True, slots=True)
class Removed:
    """A mail that landed half an hour after it was written, and the email it was until somebody deleted it."""

    mail: Mail
    copy: Copy
    activityid: str


@pytest.fixture(scope="module")
def olga(hurried: Office) -> Iterator[Mailbox]:
    """A mailbox that was connected two hours ago."""
    with hurried.connected_for_now("Olga", "imap", created_at=time.time() - 7200) as olga:
        yield olga


@pytest.fixture
def removed(hurried: Office, olga: Mailbox) -> Removed:
    """An email that somebody deleted in Dataverse."""
    people = (olga.owner, hurried.marcus.owner)
    mail = hurried.mail(hurried.contact(), people, date=int(time.time()) - HALF_AN_HOUR)
    copy = hurried.lay(mail, olga)
    activityid = hurried.outcome(copy, "written")["activityid"]
    hurried.world.dataverse.delete("email", activityid)
    return Removed(mail, copy, activityid)


def test_an_update_does_not_bring_back_what_was_deleted(hurried: Office, removed: Removed) -> None:
    hurried.world.nylas.mark(removed.copy.grant, removed.copy.id, unread=False)
    hurried.world.wait("the update to be noted", lambda: hurried.said("message_known", message=removed.copy.id))
    assert hurried.emails(removed.mail) == []


def test_a_backfill_of_its_own_mailbox_or_another_does_not_bring_back_what_was_deleted(
    hurried: Office, olga: Mailbox, removed: Removed
) -> None:
    """Not even one that finds the message as if for the first time."""
    second = hurried.lay(removed.mail, hurried.marcus, notify=False)
    hurried.forget(removed.copy)
    for copy in (removed.copy, second):
        begun = hurried.command("backfill", "--mailbox", copy.grant, "--since", "1h")
        hurried.world.wait("its end", lambda one=begun["id"]: hurried.command("backfill", "show", one)["over"])
        record = hurried.outcome(copy)
        assert (record["kind"], record["activityid"]) == ("removed", removed.activityid)
    assert hurried.emails(removed.mail) == []


def test_a_sweep_over_its_time_does_not_bring_back_what_was_deleted(
    hurried: Office, olga: Mailbox, removed: Removed
) -> None:
    """Not even one that finds the message as if for the first time."""
    hurried.note(olga, watermark=str(int(time.time()) - 2 * HALF_AN_HOUR))
    hurried.sweep(olga)
    assert hurried.record(removed.copy)["source"] == "message.created"
    hurried.forget(removed.copy)
    hurried.note(olga, watermark=str(int(time.time()) - 2 * HALF_AN_HOUR))
    hurried.sweep(olga)
    record = hurried.outcome(removed.copy)
    assert (record["kind"], record["source"], record["reason"]) == ("removed", "sweep", "removed_in_dataverse")
    assert hurried.emails(removed.mail) == []


def test_repair_does_not_bring_back_what_was_deleted(hurried: Office, olga: Mailbox, removed: Removed) -> None:
    """Neither where the journal knows the message, nor where it lost its record."""
    verify = ("verify", "--mailbox", olga.grant, "--since", "90m")
    assert hurried.command(*verify, "--repair")["repaired"] == 0
    hurried.forget(removed.copy)
    told = hurried.command(*verify, "--repair")
    assert (told["total"]["unexplained"], told["repaired"]) == (1, 1)
    record = hurried.outcome(removed.copy)
    assert (record["kind"], record["source"]) == ("removed", "command")
    told = hurried.command(*verify)
    assert told["holds"]
    assert removed.copy.id in {one["message"] for one in told["mailboxes"][0]["named"] if one["bucket"] == "removed"}
    assert hurried.emails(removed.mail) == []


def test_a_replay_does_not_bring_back_what_was_deleted(hurried: Office, removed: Removed) -> None:
    """A colleague's copy that was put aside is tried again after the email was deleted."""
    copy = hurried.lay(removed.mail, hurried.marcus, notify=False)
    item = envelope(kind="message", grant=copy.grant, message=copy.id, revived=True)
    hurried.put("nylas-messages-poison", item)
    assert hurried.outcome(copy)["kind"] == "put_aside"
    hurried.command("aside", "replay", copy.id, "--mailbox", copy.grant)
    record = hurried.outcome(copy, "removed")
    assert (record["reason"], record["activityid"]) == ("removed_in_dataverse", removed.activityid)
    assert hurried.emails(removed.mail) == []


def test_an_adopted_email_that_was_deleted_stays_gone(hurried: Office) -> None:
    """Another tracker's is not replaced by one of ours."""
    noor, ida = hurried.contact(), hurried.ida.owner
    mail = hurried.mail(noor, (ida, hurried.marcus.owner))
    theirs = hurried.world.dataverse.add(
        "email",
        subject=mail.subject,
        description=mail.body,
        messageid=mail.message_id,
        statecode=1,
        statuscode=4,
        email_activity_parties=[{"participationtypemask": 1, "addressused": noor.address}],
    )
    assert hurried.outcome(hurried.lay(mail))["kind"] == "adopted"
    hurried.world.dataverse.delete("email", theirs)
    record = hurried.outcome(hurried.lay(mail, hurried.marcus))
    assert (record["kind"], record["activityid"]) == ("removed", theirs)
    assert hurried.emails(mail) == []


def test_a_contact_deleted_with_its_emails_takes_them_along_for_good(hurried: Office) -> None:
    """The cascade is Dataverse's own, and no second copy undoes it."""
    noor = hurried.contact()
    mail = hurried.mail(noor, (hurried.ida.owner, hurried.marcus.owner))
    assert hurried.receive(mail)["_regardingobjectid_value"] == noor.id
    hurried.world.dataverse.delete("contact", str(noor.id))
    assert hurried.emails(mail) == []
    record = hurried.outcome(hurried.lay(mail, hurried.marcus))
    assert (record["kind"], record["reason"]) == ("removed", "removed_in_dataverse")
    assert hurried.emails(mail) == []
