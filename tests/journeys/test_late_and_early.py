"""Notifications keep no order and mail no timetable: what comes too early, too late or by a list lands all the same."""

from __future__ import annotations

import time

from tests.journeys.office import Office, Party, Someone, parties

HOUR, DAY = 3600, 86_400


def test_a_message_updated_before_it_was_created_lands_once(office: Office) -> None:
    """The later notification finds it known, and asks nobody."""
    mail = office.mail(office.contact(), office.ida.owner)
    copy = office.lay(mail, notify=False)
    office.world.nylas.mark(copy.grant, copy.id, unread=False)
    assert office.outcome(copy)["source"] == "message.updated"
    office.tell_by_hand(copy)
    office.world.wait("the late notification", lambda: office.said("message_known", message=copy.id))
    assert [row["statecode"] for row in office.emails(mail)] == [1]


def test_a_draft_that_becomes_a_sent_mail_with_a_new_id_lands_once(office: Office) -> None:
    """The draft's own end is told after that, and changes nothing."""
    mail = office.mail(office.ida.owner, office.contact())
    draft = office.lay(mail, folder="drafts")
    assert office.outcome(draft)["reason"] == "draft"
    sent = office.lay(mail, folder="sent")
    office.world.nylas.delete(draft.grant, draft.id)
    assert office.outcome(sent)["kind"] == "written"
    office.world.wait("the draft's end to be noted", lambda: office.said("message_gone", message=draft.id))
    assert office.record(draft)["kind"] == "skipped"
    (email,) = office.emails(mail)
    assert (email["directioncode"], email["statecode"], email["statuscode"]) == (True, 1, 3)


def test_a_member_of_a_distribution_list_receives_mail_that_does_not_name_them(office: Office) -> None:
    """Incoming, to the list and nobody else; whose mailbox it came to is known all the same."""
    noor, crew = office.contact(), Someone("Crew", "crew@lists.example")
    email = office.receive(office.mail(noor, crew), office.marcus)
    assert (email["directioncode"], email["statuscode"], email["_regardingobjectid_value"]) == (False, 4, noor.id)
    assert parties(email) == {Party(1, noor.address, noor.id, None), Party(2, crew.address, None, crew.name)}
    assert office.sighted(email["activityid"]) == {office.marcus.grant}


def test_mail_dated_days_before_its_arrival_whose_webhook_was_lost_is_found_by_a_wider_sweep(hurried: Office) -> None:
    """An ordinary sweep looks back minutes only; now and then one looks back days."""
    now = int(time.time())
    with hurried.connected_for_now("Wanda", "imap", created_at=now - 5 * DAY) as wanda:
        hurried.world.wait(
            "its past to be swept", lambda: int(hurried.mailbox_row(wanda)["watermark"] or 0) >= now - HOUR
        )
        mail = hurried.mail(hurried.contact(), wanda.owner, date=now - 2 * DAY)
        copy = hurried.lay(mail, wanda, notify=False)
        hurried.sweep(wanda)
        assert hurried.record(copy) == {}
        hurried.note(wanda, swept_wide=str(now - 7 * HOUR))
        hurried.sweep(wanda)
        record = hurried.outcome(copy)
    assert (record["kind"], record["source"]) == ("written", "sweep")
