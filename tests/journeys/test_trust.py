"""Nothing lost, nothing doubled, nothing that a person did undone: the stories people ask about before they trust it.

Told in an office where time between two attempts runs faster, so that what waits comes back within a second.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sandbox.azurite import Azurite
from sandbox.faults import Answer, Fault
from sandbox.mail import Mail
from sandbox.webhooks import Webhook
from sandbox.world import APP, TRIGGERS
from tests.journeys.office import Copy, Mailbox, Office, Party, Row, Someone, comparable, envelope, opened, parties

HURRIED = APP / "sandbox" / "hurried"
OLD, NEW = "secret-of-last-year", "secret-of-this-year"
REFUSED = b'{"error": {"code": "0x80040203", "message": "Cannot update Closed or Cancelled Activity"}}'
BOOKS = "nylas-messages"


@pytest.fixture(scope="module")
def office(azurite: Azurite) -> Iterator[Office]:
    settings = {"SANDBOX_HURRY": "60", "NYLAS_WEBHOOK_SECRET": f"{OLD},{NEW}"}
    with opened(azurite, 9, app=HURRIED, settings=settings, secret=OLD) as office:
        yield office


def the_only_email(office: Office, mail: Mail) -> Row:
    """The one email that a mail became, with its parties."""
    (row,) = office.world.dataverse.rows("email", messageid=mail.message_id)
    return office.email(str(row["activityid"]))


def queue_item(office: Office, copy: Copy, **more: object) -> None:
    """Put a message on the queue as if it had been waiting there."""
    office.put(BOOKS, envelope(kind="message", grant=copy.grant, message=copy.id, **more))


# gone stays gone


@pytest.fixture
def removed(office: Office) -> tuple[Mail, Copy]:
    """A mail that landed, and whose email somebody deleted in Dataverse."""
    mail = office.mail(office.contact(), (office.ida.owner, office.marcus.owner))
    copy = office.lay(mail)
    office.world.dataverse.delete("email", office.outcome(copy, "written")["activityid"])
    return mail, copy


def test_a_second_mailboxs_copy_does_not_bring_back_what_was_deleted(
    office: Office, removed: tuple[Mail, Copy]
) -> None:
    """The journal says of that copy that the email was removed, and which one it was."""
    mail, first = removed
    second = office.outcome(office.lay(mail, office.marcus), "removed")
    assert (second["reason"], second["activityid"]) == ("removed_in_dataverse", office.record(first)["activityid"])
    assert office.emails(mail) == []


def test_an_update_does_not_bring_back_what_was_deleted(office: Office, removed: tuple[Mail, Copy]) -> None:
    mail, copy = removed
    office.world.nylas.mark(copy.grant, copy.id, unread=False)
    office.world.wait("the update to be dealt with", lambda: office.said("message_known", message=copy.id))
    assert office.emails(mail) == []


def test_a_sweep_does_not_bring_back_what_was_deleted(office: Office, removed: tuple[Mail, Copy]) -> None:
    """Not even one that finds the message as if for the first time."""
    mail, copy = removed
    office.sweep()
    assert office.emails(mail) == []
    with office.tables.get_table_client("journal") as journal:
        for row in office.rows("journal", "PartitionKey eq @grant", grant=copy.grant):
            if row["message"] == copy.id:
                journal.delete_entity(row["PartitionKey"], row["RowKey"])
    assert office.record(copy) == {}
    office.sweep()
    assert office.outcome(copy, "removed")["source"] == "sweep"
    assert office.emails(mail) == []


def test_an_adopted_email_that_is_deleted_stays_gone(office: Office) -> None:
    noor = office.contact()
    mail = office.mail(noor, (office.ida.owner, office.marcus.owner))
    theirs = put_there(office, mail, noor, directioncode=False, statuscode=4)
    assert office.outcome(office.lay(mail), "adopted")["activityid"] == theirs
    office.world.dataverse.delete("email", theirs)
    assert office.outcome(office.lay(mail, office.marcus), "removed")["activityid"] == theirs
    assert office.emails(mail) == []


def test_a_deleted_contact_takes_its_emails_along_for_good(office: Office) -> None:
    """The cascade is Dataverse's; no second copy undoes it."""
    noor = office.contact()
    mail = office.mail(noor, (office.ida.owner, office.marcus.owner))
    email = office.receive(mail)
    assert email["_regardingobjectid_value"] == noor.id
    office.world.dataverse.delete("contact", str(noor.id))
    assert office.emails(mail) == []
    assert office.outcome(office.lay(mail, office.marcus), "removed")["reason"] == "removed_in_dataverse"
    assert office.emails(mail) == []


# the same Message-ID


def test_a_scanner_that_uses_one_message_id_again_makes_two_emails(office: Office) -> None:
    """The second has no Message-ID there, for Dataverse and others take it for unique, and its record says why."""
    scanner = office.stranger("Scanner Hall")
    one, other = (
        office.mail(scanner, (office.ida.owner, office.marcus.owner), message_id="<scan@scanner.example>")
        for _ in range(2)
    )
    first, second = (office.outcome(office.lay(mail), "written") for mail in (one, other))
    emails = [office.email(record["activityid"]) for record in (first, second)]
    assert [email["messageid"] for email in emails] == ["<scan@scanner.example>", None]
    assert [email["subject"] for email in emails] == [one.subject, other.subject]
    assert [(email["statecode"], email["statuscode"]) for email in emails] == [(1, 4), (1, 4)]
    assert (first["reason"] != "message_id_reused", second["reason"]) == (True, "message_id_reused")
    for mail, record in ((one, first), (other, second)):
        again = office.outcome(office.lay(mail, office.marcus))
        assert (again["kind"], again["activityid"]) == ("already_there", record["activityid"])


@pytest.mark.parametrize("tag", ["[crane-users] {}", "Re: {}", "[crane-users] Re: {}", "AW: [ext] {}"])
def test_a_list_copy_is_the_same_mail(office: Office, tag: str) -> None:
    """Whatever the list put before the subject and below the text."""
    mail = office.mail(
        office.contact(), (office.ida.owner, office.marcus.owner), body=f"<p>{'The crane is booked. ' * 5}</p>"
    )
    listed = replace(mail, subject=tag.format(mail.subject), body=f"{mail.body}<p>--<br>crane-users mailing list</p>")
    first = office.outcome(office.lay(mail), "written")
    second = office.outcome(office.lay(listed, office.marcus))
    assert (second["kind"], second["activityid"]) == ("already_there", first["activityid"])
    assert the_only_email(office, mail)["subject"] == mail.subject


# a reply before its parent


@pytest.mark.parametrize("lenient", [True, False], ids=["lenient", "strict"])
def test_a_reply_before_its_parent_is_linked_when_that_arrives(office: Office, lenient: bool) -> None:
    """To its parent, with what that is about where it was about nothing; completed before and after.

    A Dataverse that lets nobody change a completed email takes this one request, because it carries the state.
    """
    office.world.dataverse.lenient_completed = lenient
    noor = office.stranger("Noor Haddad")
    parent = office.mail(noor, office.ida.owner)
    reply = office.reply(parent, office.ida.owner, noor)
    child = office.lay(reply, folder="sent")
    before = office.email(office.outcome(child, "written")["activityid"])
    assert (before["_parentactivityid_value"], before["_regardingobjectid_value"]) == (None, None)
    noor_id = office.know(noor)
    above = office.receive(parent)
    assert above["_regardingobjectid_value"] == noor_id
    after = office.email(before["activityid"])
    for lookup in ("_parentactivityid_value", "_correlatedactivityid_value"):
        assert after[lookup] == above["activityid"]
    assert after["_regardingobjectid_value"] == noor_id
    assert (after["statecode"], after["statuscode"]) == (before["statecode"], before["statuscode"]) == (1, 3)
    changed = {"_parentactivityid_value", "_correlatedactivityid_value", "modifiedon", "versionnumber"}
    linked = {name for name, value in after.items() if value != before[name] and name != "parties"}
    assert linked <= changed | {
        "_regardingobjectid_value",
        "_regardingobjectid_type",
        "_parentactivityid_type",
        "_correlatedactivityid_type",
    }
    assert office.record(child)["detail"] == "linked"


def test_a_reply_that_dataverse_lets_nobody_change_stays_as_it_is(office: Office) -> None:
    """And its record says that the link was refused."""
    noor = office.contact()
    parent = office.mail(noor, office.ida.owner)
    child = office.lay(office.reply(parent, office.ida.owner, noor), folder="sent")
    before = office.email(office.outcome(child, "written")["activityid"])
    refusal = Fault(Answer(400, body=REFUSED), method="PATCH", path=rf"emails\({before['activityid']}\)")
    office.world.faults["dataverse"].add(refusal)
    assert office.outcome(office.lay(parent), "written")
    office.world.wait("the link to be tried", lambda: office.record(child)["detail"])
    assert office.record(child)["detail"] == "link_refused"
    assert office.email(before["activityid"]) == before
    office.world.faults["dataverse"].clear()


def test_what_a_person_chose_meanwhile_is_not_undone_by_the_link(office: Office) -> None:
    """A reply that somebody set regarding an account keeps it, and gets its parent."""
    noor = office.contact()
    parent = office.mail(noor, office.ida.owner)
    child = office.lay(office.reply(parent, office.ida.owner, noor), folder="sent")
    activityid = office.outcome(child, "written")["activityid"]
    account = office.world.dataverse.add("account", name="Harbour Works")
    office.world.dataverse.update("email", activityid, regardingobjectid=("account", account))
    above = office.receive(parent)
    after = office.email(activityid)
    assert (after["_parentactivityid_value"], after["_regardingobjectid_value"]) == (above["activityid"], account)


# sender and recipient both connected


def told_in_order(office: Office, *, sender_first: bool) -> Row:
    """The email of a mail from Ida to Noor and Marcus with a Bcc, whose copies came in this order."""
    noor, sam = Someone("Noor", "noor@always.example"), Someone("Sam", "sam@always.example")
    words = {"subject": "Both of us", "body": "<p>Marcus reads along.</p>", "date": 1_790_000_000}
    mail = office.mail(office.ida.owner, (noor, office.marcus.owner), bcc=[sam], **words)
    if sender_first:
        sent = office.lay(mail, office.ida, "sent")
        office.outcome(sent, "written")
        received = office.lay(mail, office.marcus)
    else:
        received = office.lay(mail, office.marcus)
        waits = {"message": received.id, "reason": "awaits_senders_copy"}
        office.world.wait("the recipient's copy to wait", lambda: office.said("item_deferred", **waits))
        assert office.emails(mail) == [] or not office.world.dataverse.rows("email", messageid=mail.message_id)
        sent = office.lay(mail, office.ida, "sent")
        office.outcome(sent, "written")
    record = office.outcome(received, "already_there")
    assert record["activityid"] == office.record(sent)["activityid"]
    return the_only_email(office, mail)


def test_the_recipients_copy_waits_for_the_senders_and_both_orders_end_in_equal_rows(office: Office) -> None:
    """With the Bcc that only the sender's copy names."""
    one, other = (told_in_order(office, sender_first=order) for order in (True, False))
    assert comparable(one, "activityid", "messageid") == comparable(other, "activityid", "messageid")
    assert (other["directioncode"], other["statuscode"]) == (True, 3)
    assert Party(4, "sam@always.example", None, "Sam") in parties(other)


def test_the_recipients_copy_is_written_when_the_senders_never_comes(office: Office) -> None:
    """After some minutes; then the sender's may still come, and is the same email."""
    mail = office.mail(office.ida.owner, (office.contact(), office.marcus.owner))
    received = office.lay_long_ago(mail, office.marcus)
    record = office.outcome(received, "written")
    assert office.email(record["activityid"])["directioncode"] is True
    assert office.outcome(office.lay(mail, office.ida, "sent"), "already_there")["activityid"] == record["activityid"]


# what happens in a mailbox


def test_a_message_deleted_in_the_mailbox_is_recorded_and_its_email_stays(office: Office) -> None:
    mail = office.mail(office.contact(), office.ida.owner)
    copy = office.lay(mail)
    before = office.email(office.outcome(copy, "written")["activityid"])
    office.world.nylas.delete(copy.grant, copy.id)
    office.world.wait("it to be recorded", lambda: office.record(copy)["detail"].startswith("deleted in the mailbox"))
    assert office.record(copy)["kind"] == "written"
    assert office.email(before["activityid"]) == before


def test_a_message_deleted_before_it_was_read_is_recorded_as_gone(office: Office) -> None:
    """Not as lost: the notification that comes too late ends there too."""
    copy = office.lay(office.mail(office.contact(), office.ida.owner), notify=False)
    office.world.nylas.delete(copy.grant, copy.id)
    assert office.outcome(copy, "gone")["reason"] == "deleted"


def test_a_mail_rescued_from_junk_lands(office: Office) -> None:
    """Told of or not."""
    for told in (True, False):
        mail = office.mail(office.contact(), office.ida.owner)
        copy = office.lay(mail, folder="junk")
        assert office.outcome(copy, "skipped")["reason"] == "junk"
        office.world.nylas.move(copy.grant, copy.id, "inbox", notify=told)
        if not told:
            office.sweep()
        assert office.outcome(copy, "written")
        assert the_only_email(office, mail)["statecode"] == 1


def test_a_member_of_a_distribution_list_gets_the_mail_that_does_not_name_them(office: Office) -> None:
    """Incoming, with the list as recipient and nobody else; and from whose mailbox it came is known."""
    noor, crew = office.contact(), Someone("Crew", "crew@lists.example")
    mail = office.mail(noor, crew)
    email = office.receive(mail, office.marcus)
    assert (email["directioncode"], email["statuscode"]) == (False, 4)
    assert parties(email) == {Party(1, noor.address, noor.id, None), Party(2, crew.address, None, "Crew")}
    assert office.sighted(email["activityid"]) == {office.marcus.grant}


def put_there(office: Office, mail: Mail, sender: Someone, **columns: object) -> str:
    """The completed email of this mail as something else wrote it, in words of its own around it."""
    party = {"participationtypemask": 1, "addressused": sender.address}
    return office.world.dataverse.add(
        "email",
        subject=mail.subject,
        messageid=mail.message_id,
        description=f'<html><body><font face="Tahoma">{mail.body}</font></body></html>',
        statecode=1,
        email_activity_parties=[party],
        **columns,
    )


def test_mail_sent_from_dynamics_is_adopted_as_it_is(office: Office) -> None:
    """It appears in Sent Items with the Message-ID that Dynamics gave it; no column of its email is touched."""
    mail = office.mail(office.ida.owner, office.contact())
    theirs = put_there(office, mail, office.ida.owner, directioncode=True, statuscode=3)
    before = office.world.dataverse.email(theirs)
    record = office.outcome(office.lay(mail, office.ida, "sent"), "adopted")
    assert (record["reason"], record["activityid"]) == ("same_message_id", theirs)
    assert office.world.dataverse.email(theirs) == before
    assert len(office.emails(mail)) == 1


# mailboxes come and go


@pytest.fixture
def olga(office: Office) -> Iterator[Mailbox]:
    """A mailbox that is there for one story only."""
    with office.connected_for_now("Olga", "microsoft") as olga:
        yield olga


def expired(office: Office, mailbox: Mailbox) -> None:
    """Let a grant expire, and return once the app has heard of it."""
    office.world.nylas.expire(mailbox.grant)
    office.world.wait("the expiry to be recorded", lambda: office.mailbox_row(mailbox)["status"] == "invalid")


def waiting(office: Office, mailbox: Mailbox, number: int) -> list[tuple[Mail, Copy]]:
    """Mails whose items stood on the queue when the grant expired, and which now wait in the journal."""
    mails = [office.mail(office.contact(), mailbox.owner) for _ in range(number)]
    copies = [office.lay(mail, mailbox, notify=False) for mail in mails]
    expired(office, mailbox)
    for copy in copies:
        queue_item(office, copy)
    for copy in copies:
        assert office.outcome(copy, "deferred")["reason"] == "grant"
    return list(zip(mails, copies, strict=True))


def test_mail_of_an_expired_grant_waits_off_the_queue_and_lands_after_the_new_sign_in(
    office: Office, olga: Mailbox
) -> None:
    """No other mailbox notices."""
    waits = waiting(office, olga, 5)
    office.world.wait("the queue to be empty", lambda: office.queued(BOOKS) == 0)
    begin = time.monotonic()
    assert office.outcome(office.lay(office.mail(office.contact(), office.ida.owner)), "written")
    assert time.monotonic() - begin < 5
    assert {office.record(copy)["kind"] for _, copy in waits} == {"deferred"}
    office.world.nylas.reauthenticate(olga.grant)
    for mail, copy in waits:
        assert office.outcome(copy, "written")
        assert the_only_email(office, mail)["statecode"] == 1


def test_items_of_a_deleted_grant_are_put_aside(office: Office) -> None:
    """With the reason that says what to do: connect the mailbox again, then replay."""
    with office.connected_for_now("Otto", "microsoft") as otto:
        copies = [office.lay(office.mail(office.contact(), otto.owner), otto, notify=False) for _ in range(3)]
    office.world.wait("the end to be recorded", lambda: office.mailbox_row(otto)["status"] == "deleted")
    for copy in copies:
        queue_item(office, copy)
    for copy in copies:
        assert office.outcome(copy, "put_aside")["reason"] == "mailbox_disconnected"
    assert [row["reason"] for row in office.aside(PartitionKey=otto.grant)] == ["mailbox_disconnected"] * 3


def test_items_that_waited_for_a_grant_are_put_aside_when_it_is_deleted(office: Office) -> None:
    """Else they would wait for ever, for a sign-in that can't come."""
    with office.connected_for_now("Oona", "microsoft") as oona:
        waits = waiting(office, oona, 3)
    for _, copy in waits:
        assert office.outcome(copy, "put_aside")["reason"] == "mailbox_disconnected"
    assert len(office.aside(PartitionKey=oona.grant)) == 3


def test_a_mailbox_connected_anew_goes_on_where_it_was_without_doubles(office: Office) -> None:
    """Under its new grant each message has another id; what came meanwhile is found, and what is there stays one."""
    owner = office.colleague("Rune")
    known, missed, older = (office.mail(office.contact(), owner) for _ in range(3))
    now = int(time.time())
    with office.connected_for_now(owner, "microsoft") as before:
        office.outcome(office.lay(replace(known, date=now - 3000), before), "written")
        office.sweep(before)
    with office.tables.get_table_client("mailboxes") as table:
        table.update_entity({"PartitionKey": "mailbox", "RowKey": before.grant, "watermark": str(now - 3600)})
    with office.connected_for_now(owner, "microsoft", told=False) as anew:
        found = office.lay(replace(missed, date=now - 1800), anew, notify=False)
        again = office.lay(replace(known, date=now - 3000), anew, notify=False)
        left = office.lay(replace(older, date=now - 40 * 3600), anew, notify=False)
        office.tell_again("grant.created", anew)
        assert office.outcome(found, "written")["source"] == "sweep"
        assert office.outcome(again, "already_there")
        assert office.record(left) == {}, "bringing in older mail is a backfill, which somebody has to want"
    for mail in (known, missed):
        assert the_only_email(office, mail)["statecode"] == 1


# secrets, and what crashes


def test_the_webhooks_secret_is_rotated_without_a_lost_delivery(office: Office) -> None:
    """As the documents say: a second webhook with a URL of its own, both secrets in the setting, then away with the first.

    At each step mail lands once, and from the moment both secrets are set every delivery is answered 200.
    """
    nylas, first = office.world.nylas, office.world.webhook
    assert first.secret == OLD
    second = nylas.register(f"{first.url}?v=2", TRIGGERS)
    landed = [land(office)]  # the app does not know the second's secret yet: 401 there, 200 at the first
    assert statuses(office, second) == {401}
    assert statuses(office, first) == {200}
    begin = len(nylas.deliveries)
    second.secret = NEW
    landed.append(land(office))  # told by both
    nylas.webhooks.remove(first.id)
    landed.append(land(office))  # told by the second alone
    assert {delivery.status for delivery in nylas.deliveries[begin:]} == {200}
    assert all(len(office.emails(mail)) == 1 for mail in landed)
    nylas.webhooks.registered[first.id] = first
    nylas.webhooks.remove(second.id)


def land(office: Office) -> Mail:
    """A mail that landed."""
    mail = office.mail(office.contact(), office.ida.owner)
    assert office.outcome(office.lay(mail))["kind"] in {"written", "already_there"}
    office.world.nylas.wait_idle()
    return mail


def statuses(office: Office, webhook: Webhook) -> set[int | None]:
    """What this destination answered so far."""
    return {delivery.status for delivery in office.world.nylas.deliveries if delivery.webhook == webhook.id}


def test_what_crashed_the_app_lives_once_more_and_is_put_aside_after_that(office: Office) -> None:
    """Alone and later: many a crash is another message's fault. What crashes again is kept for a person."""
    mail = office.mail(office.contact(), office.ida.owner)
    copy = office.lay(mail, notify=False)
    item = {"kind": "message", "grant": copy.grant, "message": copy.id}
    office.put(f"{BOOKS}-poison", envelope(**item))
    assert office.outcome(copy, "written")
    (revived,) = office.said("item_revived", message=copy.id)
    assert "WARNING" in revived
    assert the_only_email(office, mail)["statecode"] == 1
    again = office.lay(office.mail(office.contact(), office.ida.owner), notify=False)
    office.put(f"{BOOKS}-poison", envelope(kind="message", grant=again.grant, message=again.id, revived=True))
    assert office.outcome(again, "put_aside")["reason"] == "poison"
    assert len(office.aside(reason="poison")) == 1
    assert office.poisoned() == 0


def test_nothing_of_all_this_was_unforeseen(office: Office) -> None:
    """The stories above, told in one office, left nothing on a poison queue and no fault of ours in the log."""
    assert not [line for line in office.world.host.log if "unexpected_failure" in line]
    assert office.poisoned() == 0
    assert {row["reason"] for row in office.aside()} <= {"mailbox_disconnected", "poison"}
