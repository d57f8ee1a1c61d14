"""`explain`: why a message is in Dataverse or not, as far as the services that are there can tell."""

from __future__ import annotations

from typing import Any

from mailsync.storage.envelope import MESSAGES
from sandbox.faults import Answer, DropBefore, Fault
from sandbox.mail import Person
from tests.mailsync.admin.desk import HOUR, MINUTE, Desk


def explained(desk: Desk, grant: str, message: str) -> dict[str, Any]:
    """What is told of the one copy there is, with what is told of Dataverse."""
    told = desk.told("explain", grant, message)
    (copy,) = told.pop("copies")
    assert (copy["grant"], copy["message"]) == (grant, message)
    return {**told, **copy}


def test_a_written_message_is_told_from_its_notification_to_its_row(desk: Desk) -> None:
    grant = desk.connect()
    dora = desk.dataverse.add("contact", lastname="Dora", emailaddress1="dora@fabrikam.example")
    told = explained(desk, grant, desk.arrive(grant))
    assert (told["outcome"], told["from"]) == ("written", "message.created")
    assert told["notification"]
    assert told["seen"] <= told["noted"]
    assert len(told["folders"]) == 1
    assert told["activityid"] == told["email"]["activityid"] == desk.emails()[0]["activityid"]
    assert told["dataverse"] == "The email stands there."
    assert (told["email"]["state"], told["email"]["status"]) == ("completed", "received")
    assert told["email"]["regarding"] == f"contact {dora}"
    assert told["email"]["matched"] == [f"contact {dora}"]
    assert "Nothing more" in told["next"]


def test_a_message_id_tells_of_every_mailbox_that_brought_the_mail(desk: Desk) -> None:
    """With or without its brackets; the mailbox that was named comes first."""
    ann, bob = desk.connect("ann"), desk.connect("bob")
    mail = desk.mail(ann, to=tuple(Person(None, desk.address(one)) for one in (ann, bob)))
    first, second = desk.arrive(ann, mail), desk.arrive(bob, mail)
    bare = (mail.message_id or "").strip("<>")
    for named in (bare, f"<{bare}>"):
        told = desk.told("explain", bob, named)
        assert [(one["grant"], one["outcome"]) for one in told["copies"]] == [(bob, "already_there"), (ann, "written")]
        assert told["email"]["activityid"] == desk.emails()[0]["activityid"]
    by_id = desk.told("explain", desk.address(ann), first)["copies"]
    assert [one["message"] for one in by_id] == [first, second], "and so does the id of one copy"


def test_a_skipped_message_is_told_with_the_rule_and_what_would_change_it(desk: Desk) -> None:
    grant = desk.connect()
    in_junk = explained(desk, grant, desk.arrive(grant, folder="junk"))
    among_us = desk.mail(grant, sender=Person(None, f"other@{desk.address(grant).partition('@')[2]}"))
    internal = explained(desk, grant, desk.arrive(grant, among_us))
    assert [(one["outcome"], one["reason"]) for one in (in_junk, internal)] == [
        ("skipped", "junk"),
        ("skipped", "internal_only"),
    ]
    assert "moves to another folder" in in_junk["next"]
    assert "folder" not in internal["next"]
    for one in (in_junk, internal):
        assert one["detail"]
        assert one["policy"]
        assert one["dataverse"] == "No email of it was written."


def test_a_message_put_aside_is_told_with_the_command_that_tries_it_again(desk: Desk) -> None:
    grant = desk.connect()
    mail = desk.mail(grant)
    desk.refuse(mail)
    told = explained(desk, grant, desk.arrive(grant, mail))
    assert (told["outcome"], told["reason"]) == ("put_aside", "dataverse_refused_row")
    assert "0x80040203" in told["detail"]
    desk.faults["dataverse"].clear()
    command = told["next"].partition("python -m mailsync ")[2]
    assert desk.told(*command.split())["replayed"] == 1
    desk.work()
    assert explained(desk, grant, told["message"])["outcome"] == "written"


def test_a_deferred_message_is_told_with_its_trouble_and_when_it_is_due(desk: Desk) -> None:
    grant = desk.connect()
    message = desk.deliver(grant)
    desk.notify(grant, message)
    desk.faults["dataverse"].add(Fault(Answer(429, {"Retry-After": "120"})))
    (text,) = desk.take(MESSAGES)
    desk.app.handle_message(text.encode())

    told = explained(desk, grant, message)
    assert (told["outcome"], told["attempts"]) == ("deferred", 2)
    assert told["reason"]
    assert told["next"] == f"It is on the queue, hidden until {told['until']}."
    desk.clock.ahead = HOUR
    assert "overdue" in explained(desk, grant, message)["next"]


def test_a_message_that_waits_for_a_sign_in_says_so_however_long(desk: Desk) -> None:
    grant = desk.connect()
    message = desk.deliver(grant)
    desk.notify(grant, message)
    desk.nylas.expire(grant)
    desk.work()
    desk.clock.ahead = HOUR
    told = explained(desk, grant, message)
    assert (told["outcome"], told["reason"]) == ("deferred", "grant")
    assert "sign in" in told["next"]


def test_an_email_that_was_removed_is_said_to_be_removed(desk: Desk) -> None:
    """Before a second copy comes upon it, and after."""
    ann, bob = desk.connect("ann"), desk.connect("bob")
    mail = desk.mail(ann, to=tuple(Person(None, desk.address(one)) for one in (ann, bob)))
    first = desk.arrive(ann, mail)
    desk.dataverse.delete("email", desk.emails()[0]["activityid"])
    told = explained(desk, ann, first)
    assert (told["outcome"], told["email"]) == ("written", None)
    assert told["dataverse"] == "The email stood there and was removed since; only `verify --recreate` brings it back."

    desk.arrive(bob, mail)
    copies = desk.told("explain", bob, mail.message_id or "")["copies"]
    assert [one["outcome"] for one in copies] == ["removed", "written"]
    assert "--recreate" in copies[0]["next"]


def test_an_adopted_email_is_told_with_the_row_that_stands(desk: Desk) -> None:
    grant = desk.connect()
    mail = desk.mail(grant)
    theirs = desk.dataverse.add(
        "email",
        subject=mail.subject,
        description=mail.body,
        messageid=mail.message_id,
        directioncode=False,
        email_activity_parties=[{"participationtypemask": 1, "addressused": "dora@fabrikam.example"}],
    )
    told = explained(desk, grant, desk.arrive(grant, mail))
    assert (told["outcome"], told["reason"]) == ("adopted", "same_message_id")
    assert told["activityid"] == told["email"]["activityid"] == theirs
    assert told["email"]["state"] == "open", "it is another's to complete"
    assert desk.told("explain", grant, mail.message_id or "")["activityid"] == theirs


def test_another_mail_under_a_message_id_that_is_taken_is_told_as_that(desk: Desk) -> None:
    grant = desk.connect()
    first = desk.mail(grant, subject="Scan one")
    second = desk.mail(grant, subject="Scan two", message_id=first.message_id)
    messages = [desk.arrive(grant, mail) for mail in (first, second)]
    taken, told = (explained(desk, grant, message) for message in messages)
    assert (told["outcome"], told["reason"]) == ("written", "message_id_reused")
    assert told["activityid"] == told["email"]["activityid"] != taken["activityid"]
    both = desk.told("explain", grant, first.message_id or "")["copies"]
    assert [copy["message"] for copy in both] == messages


def test_a_message_nobody_heard_of_is_looked_for_in_its_mailbox(desk: Desk) -> None:
    grant = desk.connect()
    held = explained(desk, grant, desk.deliver(grant))
    assert "outcome" not in held
    assert "Nylas holds it" in held["next"]
    assert "verify --repair" in held["next"]
    assert "Nylas does not find it" in explained(desk, grant, "no-such-message")["next"]


def test_a_message_id_nobody_brought_is_said_to_be_unknown(desk: Desk) -> None:
    """What was skipped has no row that its Message-ID leads to."""
    grant = desk.connect()
    mail = desk.mail(grant)
    desk.arrive(grant, mail, folder="junk")
    told = desk.told("explain", grant, mail.message_id or "", exit_code=1)
    assert (told["copies"], told["email"]) == ([], None)
    assert "Nylas id" in told["unknown"]


def test_without_dataverse_and_nylas_the_journal_is_told(desk: Desk) -> None:
    grant = desk.connect()
    message, unheard_of = desk.arrive(grant), desk.deliver(grant)
    for faults in desk.faults.values():
        faults.add(Fault(DropBefore()))
    told = explained(desk, grant, message)
    assert (told["outcome"], told["email"]) == ("written", None)
    assert told["dataverse"].startswith("Dataverse could not be asked: ")
    assert "Nylas could not be asked: " in explained(desk, grant, unheard_of)["next"]


def test_without_dataverses_settings_the_journal_is_told(desk: Desk) -> None:
    grant = desk.connect()
    message = desk.arrive(grant)
    del desk.settings["DATAVERSE_URL"]
    told = explained(desk, grant, message)
    assert told["outcome"] == "written"
    assert "DATAVERSE_URL" in told["dataverse"]


def test_without_the_settings_of_nylas_it_is_looked_up_in_dataverse(desk: Desk) -> None:
    grant = desk.connect()
    message = desk.arrive(grant)
    del desk.settings["NYLAS_API_KEY"]
    told = explained(desk, grant, message)
    assert told["dataverse"] == "The email stands there."


def test_addresses_are_told_only_when_asked_for_and_a_subject_never(desk: Desk) -> None:
    grant = desk.connect()
    message = desk.arrive(grant, desk.mail(grant, subject="A secret subject", body="<p>A secret body</p>", ago=MINUTE))
    for how in ((), ("--json",)):
        plain = desk.run("explain", grant, message, *how).output
        with_addresses = desk.run("explain", grant, message, "--addresses", *how).output
        assert "written" in plain
        assert "@" not in plain
        assert "dora@fabrikam.example" in with_addresses
        assert "secret" not in plain + with_addresses


def test_a_mailbox_nobody_knows_is_refused(idle_desk: Desk) -> None:
    told = idle_desk.told("explain", "nobody@contoso.example", "some-message", exit_code=2)
    assert told["error"]["reason"] == "unknown_mailbox"
