"""`verify`: each message in one bucket, each failure seen, and what --repair and --recreate bring back."""

from __future__ import annotations

import json
from pathlib import Path

from mailsync.windows import moment
from sandbox.faults import Answer, Fault
from sandbox.mail import Person
from tests.mailsync.admin.desk import HOUR, MINUTE, Desk

BUCKETS = (
    *("written", "adopted", "already_there", "removed", "skipped", "on_the_way", "put_aside", "gone"),
    "unexplained",
)


def test_each_message_is_counted_in_one_bucket_and_the_buckets_make_the_sum(desk: Desk) -> None:
    ann, bob = desk.connect("ann"), desk.connect("bob")
    to_both = desk.mail(ann, to=(Person(None, desk.address(ann)), Person(None, desk.address(bob))))
    desk.arrive(ann, to_both)
    desk.arrive(bob, to_both)
    tracked = desk.mail(ann)
    desk.dataverse.add(
        "email",
        subject=tracked.subject,
        description=tracked.body,
        messageid=tracked.message_id,
        directioncode=False,
        statecode=1,
        statuscode=4,
        email_activity_parties=[{"participationtypemask": 1, "addressused": "dora@fabrikam.example"}],
    )
    desk.arrive(ann, tracked)
    desk.arrive(ann, desk.mail(ann, subject="Removed"))
    desk.dataverse.delete("email", desk.dataverse.rows("email", subject="Removed")[0]["activityid"])
    desk.arrive(ann, folder="junk")
    desk.arrive(ann, desk.mail(ann, sender=Person(None, desk.address(bob))))
    bad = desk.mail(ann)
    desk.refuse(bad)
    desk.arrive(ann, bad)
    deleted = desk.deliver(ann)
    desk.nylas.delete(ann, deleted, notify=False)
    desk.notify(ann, deleted)
    desk.work()
    desk.deliver(ann, desk.mail(ann, ago=MINUTE))
    desk.deliver(bob)

    told = desk.told("verify", exit_code=1)
    total = told["total"]

    assert {bucket: total[bucket] for bucket in BUCKETS} == {
        "written": 1,
        "adopted": 1,
        "already_there": 1,
        "removed": 1,
        "skipped": 2,
        "on_the_way": 1,
        "put_aside": 1,
        "gone": 0,  # nobody said when it was sent: it is in no span
        "unexplained": 1,
    }
    assert total["seen"] == sum(total[bucket] for bucket in BUCKETS)
    assert total["reasons"]["skipped"] == {"internal_only": 1, "junk": 1}
    assert total["reasons"]["on_the_way"] == {"young": 1}
    assert total["reasons"]["put_aside"] == {"dataverse_refused_row": 1}
    assert [one["seen"] for one in told["mailboxes"]] == [7, 2]


def test_a_message_nobody_enqueued_is_unexplained_until_repair_lands_it(desk: Desk) -> None:
    grant = desk.connect()
    missing = desk.deliver(grant)

    told = desk.told("verify", exit_code=1)
    assert told["total"]["unexplained"] == 1
    assert [one["message"] for one in told["mailboxes"][0]["named"]] == [missing]
    assert desk.items() == [], "verify alone changes nothing"

    assert desk.told("verify", "--repair", exit_code=1)["repaired"] == 1
    on_the_way = desk.verified()
    assert (on_the_way["unexplained"], on_the_way["on_the_way"]) == (0, 1)
    desk.work()
    landed = desk.verified()
    assert (landed["written"], landed["unexplained"]) == (1, 0)
    assert desk.dataverse.count("email", statecode=1) == 1


def test_two_emails_of_one_message_id_and_direction_are_doubled(desk: Desk) -> None:
    ann, bob = desk.connect("ann"), desk.connect("bob")
    mail = desk.mail(ann)
    desk.arrive(ann, mail)
    desk.arrive(bob, mail)
    desk.dataverse.add("email", subject="Sent", messageid=mail.message_id, directioncode=True, statecode=1)
    assert desk.verified()["doubled"] == [], "the two directions of a mail among colleagues are no double"

    bare = (mail.message_id or "").strip("<>")
    desk.dataverse.add("email", subject="Again", messageid=bare, directioncode=False, statecode=1)
    told = desk.told("verify", exit_code=1)

    assert len(told["total"]["doubled"]) == 1, "once, though two mailboxes hold the mail"
    assert len(told["total"]["doubled"][0]["activityids"]) == 2
    assert [len(one["doubled"]) for one in told["mailboxes"]] == [1, 1]


def test_message_ids_that_differ_in_case_alone_are_no_double(desk: Desk) -> None:
    """Dataverse compares without case, and finds both."""
    grant = desk.connect()
    mail = desk.mail(grant)
    desk.arrive(grant, mail)
    shouted = (mail.message_id or "").upper()
    desk.dataverse.add("email", subject="Other", messageid=shouted, directioncode=False, statecode=1)
    assert desk.verified()["doubled"] == []


def test_an_email_of_ours_that_is_open_is_left_open_and_an_adopted_one_is_not(desk: Desk) -> None:
    grant = desk.connect()
    theirs = desk.mail(grant)
    desk.dataverse.add(
        "email",
        subject=theirs.subject,
        description=theirs.body,
        messageid=theirs.message_id,
        directioncode=False,
        email_activity_parties=[{"participationtypemask": 1, "addressused": "dora@fabrikam.example"}],
    )
    desk.arrive(grant, theirs)
    assert desk.verified()["adopted"] == 1, "an open email of somebody else's is theirs to complete"

    desk.arrive(grant, desk.mail(grant, subject="Ours"))
    ours = desk.dataverse.rows("email", subject="Ours")[0]["activityid"]
    desk.dataverse.update("email", ours, statecode=0, statuscode=1)
    assert desk.verified(exit_code=1)["left_open"] == [ours]


def test_a_removed_email_stays_removed_under_repair_and_returns_under_recreate(desk: Desk) -> None:
    ann, bob = desk.connect("ann"), desk.connect("bob")
    mail = desk.mail(ann)
    desk.arrive(ann, mail)
    desk.arrive(bob, mail)
    (row,) = desk.emails()
    desk.dataverse.delete("email", row["activityid"])

    assert desk.verified("--repair")["removed"] == 2
    desk.work()
    desk.arrive(ann, mail)
    assert desk.emails() == [], "no repair, no other copy brings it back"

    told = desk.told("verify", "--recreate", "--yes")
    assert (told["recreated"], told["lost"]) == (3, 0)
    desk.work()
    assert [one["activityid"] for one in desk.emails()] == [row["activityid"]]
    after = desk.verified()
    assert (after["removed"], after["written"], after["already_there"]) == (0, 1, 2)


def test_recreate_asks_first(desk: Desk) -> None:
    grant = desk.connect()
    desk.arrive(grant)
    desk.dataverse.delete("email", desk.emails()[0]["activityid"])

    refused = desk.run("verify", "--recreate", answer="n\n")
    assert refused.exit_code == 1
    assert "Bring back these 1 emails?" in refused.stdout
    assert desk.items() == []
    assert desk.run("verify", "--recreate", "--json").exit_code == 2, "nobody to ask"

    assert desk.run("verify", "--recreate", answer="y\n").exit_code == 0
    desk.work()
    assert len(desk.emails()) == 1


def test_an_adopted_email_that_was_removed_is_recreated_as_one_of_ours(desk: Desk) -> None:
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
    desk.arrive(grant, mail)
    desk.dataverse.delete("email", theirs)
    desk.told("verify", "--recreate", "--yes")
    desk.work()
    assert desk.verified()["written"] == 1
    assert len(desk.emails()) == 1


def test_a_removed_email_whose_mailbox_lost_it_too_cannot_be_brought_back(desk: Desk) -> None:
    grant = desk.connect()
    message = desk.arrive(grant)
    desk.dataverse.delete("email", desk.emails()[0]["activityid"])
    desk.nylas.delete(grant, message, notify=False)
    told = desk.told("verify", "--recreate", "--yes")
    assert (told["total"]["removed"], told["recreated"], told["lost"]) == (1, 0, 1)
    assert desk.verified()["removed"] == 1, "and what is known of it stays"


def test_what_was_deleted_from_the_mailbox_since_is_counted_from_the_journal(desk: Desk) -> None:
    grant = desk.connect()
    message = desk.arrive(grant)
    desk.nylas.delete(grant, message, notify=False)
    assert desk.verified()["written"] == 1


def test_mail_rescued_from_junk_whose_webhook_was_lost_is_unexplained_and_repaired(desk: Desk) -> None:
    grant = desk.connect()
    message = desk.arrive(grant, folder="junk")
    desk.nylas.move(grant, message, "trash", notify=False)
    assert desk.verified()["skipped"] == 1, "still where no mail is taken from"
    desk.nylas.move(grant, message, "inbox", notify=False)
    assert desk.verified(exit_code=1)["reasons"]["unexplained"] == {"moved_since_skipped": 1}
    desk.run("verify", "--repair")
    desk.work()
    assert desk.verified()["written"] == 1


def test_messages_that_wait_for_an_expired_grant_are_on_the_way_however_long(desk: Desk) -> None:
    grant = desk.connect()
    message = desk.deliver(grant)
    desk.nylas.expire(grant)
    desk.notify(grant, message)
    desk.work()
    desk.clock.ahead = 2 * HOUR

    told = desk.told("verify")
    assert told["total"]["reasons"]["on_the_way"] == {"waits_for_sign_in": 1}
    (mailbox,) = told["mailboxes"]
    assert mailbox["listing"] == "owner_must_sign_in"
    assert "sign in" in mailbox["advice"]


def test_a_mailbox_nobody_can_look_through_is_told_with_what_is_proven_of_it(desk: Desk) -> None:
    ann, bob = desk.connect("ann"), desk.connect("bob")
    desk.arrive(bob)
    proven = desk.app._mailboxes.get(ann)
    assert proven is not None
    assert proven.settled_until is not None
    desk.nylas.expire(ann)
    desk.deliver(ann)

    told = desk.told("verify")
    assert (told["holds"], told["not_looked_through"]) == (True, 1)
    until = {one["grant"]: one["proven_until"] for one in told["mailboxes"]}
    assert until == {ann: moment(proven.settled_until), bob: None}
    shown = desk.run("verify").stdout
    assert "Every message is accounted for" not in shown
    assert f"accounted for, but 1 mailboxes could not be looked through and are proven up to {until[ann]}." in shown
    assert f"sign in again; proven up to {until[ann]}" in shown


def test_of_a_mailbox_that_was_never_swept_nobody_says_up_to_when_it_is_proven(desk: Desk) -> None:
    swept, never = desk.connect(), desk.nylas.connect("new@contoso.example", "microsoft")
    for grant in (swept, never):
        desk.nylas.expire(grant)
    told = desk.told("verify")
    assert told["not_looked_through"] == 2
    assert {one["grant"] for one in told["mailboxes"] if one["proven_until"] is None} == {never}
    assert "2 mailboxes could not be looked through.\n" in desk.run("verify").stdout


def test_what_is_unexplained_and_who_could_not_be_looked_through_are_both_told(desk: Desk) -> None:
    ann, bob = desk.connect("ann"), desk.connect("bob")
    desk.nylas.expire(ann)
    desk.deliver(bob)
    shown = desk.run("verify")
    assert shown.exit_code == 1
    assert "Unexplained 1, doubled 0, left open 0; 1 mailboxes could not be looked through" in shown.stdout


def test_a_mailbox_that_cannot_be_listed_proves_nothing(desk: Desk) -> None:
    desk.connect()
    desk.faults["nylas"].add(Fault(Answer(502, body=b"<html>"), path="/messages"))
    told = desk.told("verify", exit_code=1)
    assert told["mailboxes"][0]["listing"] == "failed"
    assert told["total"]["unexplained"] == 0
    assert "Not proved" in desk.run("verify").stdout


def test_trouble_that_passes_is_waited_for(desk: Desk) -> None:
    grant = desk.connect()
    desk.arrive(grant)
    desk.faults["nylas"].add(Fault(Answer(429, {"Retry-After": "2"}), path="/messages", times=2))
    desk.faults["dataverse"].add(Fault(Answer(503), times=2))
    assert desk.verified()["written"] == 1


def test_mail_from_before_the_mailbox_was_connected_is_not_expected(desk: Desk) -> None:
    grant = desk.connect(age=2 * HOUR)
    desk.deliver(grant, desk.mail(grant, ago=3 * HOUR))
    told = desk.told("verify")
    assert told["total"]["seen"] == 0
    assert told["mailboxes"][0]["since"] > told["since"]


def test_only_the_span_and_the_mailbox_that_are_asked_for_are_counted(desk: Desk) -> None:
    ann, bob = desk.connect("ann"), desk.connect("bob")
    desk.arrive(ann, desk.mail(ann, ago=5 * HOUR))
    desk.arrive(ann, desk.mail(ann, ago=3 * HOUR))
    desk.arrive(ann, desk.mail(ann, ago=HOUR))
    desk.arrive(bob)
    assert desk.verified("--since", "4h", "--until", "2h")["seen"] == 1
    assert desk.verified("--mailbox", desk.address(ann).upper())["seen"] == 3
    assert desk.verified("--mailbox", bob)["seen"] == 1
    assert desk.verified()["seen"] == 4


def test_the_report_keeps_what_was_proved(desk: Desk, tmp_path: Path) -> None:
    grant = desk.connect()
    desk.arrive(grant)
    shown = desk.run("verify", "--report", str(tmp_path / "proof.json"))
    assert shown.exit_code == 0
    assert "Every message is accounted for." in shown.stdout
    kept = json.loads((tmp_path / "proof.json").read_text(encoding="utf-8"))
    assert kept["holds"] is True
    assert kept["total"]["written"] == 1


def test_no_address_subject_or_body_is_shown_unless_addresses_are_asked_for(desk: Desk) -> None:
    grant = desk.connect()
    mail = desk.mail(grant, subject="Very secret subject", body="<p>Very secret body</p>")
    desk.arrive(grant, mail)
    desk.deliver(grant)
    for words in (("verify",), ("verify", "--json")):
        said = desk.run(*words).output
        assert "secret" not in said
        assert "contoso.example" not in said
    assert desk.address(grant) in desk.run("verify", "--addresses").stdout


def test_a_mailbox_that_was_disconnected_is_counted_from_the_journal(desk: Desk) -> None:
    grant = desk.connect()
    desk.arrive(grant)
    desk.nylas.disconnect(grant)
    told = desk.told("verify")
    assert told["total"]["written"] == 1
    assert told["mailboxes"][0]["listing"] == "disconnected"
    assert desk.told("verify", "--since", "30m")["mailboxes"] == [], "unless there is nothing to count"


def test_a_page_cursor_that_fails_begins_the_window_again(desk: Desk) -> None:
    grant = desk.connect()
    for number in range(45):
        desk.deliver(grant, desk.mail(grant, ago=HOUR + number))
    refusal = json.dumps({"error": {"type": "invalid_request_error"}}).encode()
    desk.faults["nylas"].add(Fault(Answer(400, body=refusal), path="page_token", times=2))
    assert desk.verified("--since", "1d", exit_code=1)["unexplained"] == 45


def test_a_mailbox_reconnected_under_a_new_grant_is_expected_from_its_last_proven_point(desk: Desk) -> None:
    old = desk.connect()
    address = desk.address(old)
    desk.nylas.disconnect(old)
    desk.clock.ahead = 3 * HOUR
    new = desk.nylas.connect(address, "microsoft", created_at=desk.clock())
    desk.deliver(new, desk.mail(new, ago=HOUR))
    assert desk.verified(exit_code=1)["unexplained"] == 1
    desk.sweep()
    assert desk.verified()["written"] == 1
