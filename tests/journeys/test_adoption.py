"""An email that something else put into Dataverse is adopted: noted, and left exactly as it is."""

from __future__ import annotations

import pytest

from sandbox.mail import Mail
from tests.journeys.office import Office, Someone


def put_there(office: Office, mail: Mail, sender: Someone, **more: object) -> str:
    """The email as another tracker would have written it; returns its id."""
    ordinary = {
        "subject": mail.subject,
        "description": f"<html><body><div class='theirs'>{mail.body}</div></body></html>",
        "messageid": mail.message_id,
        "directioncode": False,
        "statecode": 1,
        "statuscode": 4,
        "email_activity_parties": [{"participationtypemask": 1, "addressused": sender.address.upper()}],
    }
    return office.world.dataverse.add("email", **{**ordinary, **more})


@pytest.mark.parametrize("spelled", ["<{}>", "{}"], ids=["with brackets", "without brackets"])
@pytest.mark.parametrize(("state", "status"), [(1, 4), (0, 1)], ids=["completed", "open"])
def test_another_trackers_email_is_left_as_it_is(office: Office, spelled: str, state: int, status: int) -> None:
    """However it spells the Message-ID, whatever is around the text, and even where it is open."""
    noor, dataverse = office.contact(), office.world.dataverse
    mail = office.mail(noor, office.ida.owner)
    messageid = spelled.format(str(mail.message_id).strip("<>"))
    theirs = put_there(office, mail, noor, messageid=messageid, statecode=state, statuscode=status)
    before = dataverse.email(theirs)
    record = office.outcome(office.lay(mail))
    assert (record["kind"], record["activityid"]) == ("adopted", theirs)
    assert dataverse.email(theirs) == before
    assert len(office.emails(mail)) == 1


def test_mail_sent_from_dynamics_that_then_appears_in_sent_items_is_left_as_it_is(office: Office) -> None:
    """Down to its version number: it was sent from there, and is about what its author set."""
    ida, noor, dataverse = office.ida.owner, office.contact(), office.world.dataverse
    quote = ("account", dataverse.add("account", name="Maple & Main Bakery"))
    mail = office.mail(ida, noor)
    sent = {"directioncode": True, "statuscode": 3, "regardingobjectid": quote}
    theirs = put_there(office, mail, ida, **sent)
    before = dataverse.email(theirs)
    assert before is not None
    record = office.outcome(office.lay(mail, folder="sent"))
    assert (record["kind"], record["reason"], record["activityid"]) == ("adopted", "same_message_id", theirs)
    after = dataverse.email(theirs)
    assert after == before
    assert after["versionnumber"]
    assert len(office.emails(mail)) == 1


def test_the_second_copy_of_an_adopted_email_is_adopted_too(office: Office) -> None:
    noor = office.contact()
    mail = office.mail(noor, (office.ida.owner, office.marcus.owner))
    theirs = put_there(office, mail, noor)
    for mailbox in (office.ida, office.marcus):
        record = office.outcome(office.lay(mail, mailbox))
        assert (record["kind"], record["activityid"]) == ("adopted", theirs)
    assert len(office.emails(mail)) == 1


def test_an_email_that_dataverse_calls_a_duplicate_is_adopted(particular: Office) -> None:
    """Where nobody looked beforehand, a key of the organisation's own refuses the second email of one Message-ID."""
    noor, dataverse = particular.contact(), particular.world.dataverse
    mail = particular.mail(noor, particular.ida.owner)
    theirs = put_there(particular, mail, noor)
    before = dataverse.email(theirs)
    record = particular.outcome(particular.lay(mail))
    assert (record["kind"], record["activityid"]) == ("adopted", theirs)
    assert dataverse.email(theirs) == before
    assert len(particular.emails(mail)) == 1


@pytest.mark.parametrize("organisation", ["office", "particular"])
def test_another_mail_under_the_same_message_id_lands_beside_it(
    organisation: str, request: pytest.FixtureRequest
) -> None:
    """Some senders use a Message-ID again: a mail must not be lost for that, whether or not we look beforehand."""
    here: Office = request.getfixturevalue(organisation)
    noor = here.contact()
    first = here.mail(noor, here.ida.owner, body="<p>Your invoice for March.</p>")
    second = here.mail(noor, here.ida.owner, body="<p>Your invoice for April.</p>", message_id=first.message_id)
    before = here.receive(first)
    copy = here.lay(second)
    record = here.outcome(copy)
    assert (record["kind"], record["reason"]) == ("written", "message_id_reused")
    email = here.email(record["activityid"])
    assert (email["subject"], email["messageid"], email["statecode"]) == (second.subject, None, 1)
    assert here.email(before["activityid"]) == before
    here.forget(copy)
    here.world.nylas.redeliver(here.world.nylas.notifications_of(copy.id)[0])
    assert here.outcome(copy)["kind"] == "already_there"
    assert len(here.emails(second)) == 1


def test_an_email_of_ours_that_was_left_open_is_completed(office: Office) -> None:
    """What an earlier attempt began, the next one ends."""
    mail = office.mail(office.contact(), office.ida.owner)
    copy = office.lay(mail)
    activityid = office.outcome(copy)["activityid"]
    office.world.dataverse.update("email", activityid, statecode=0, statuscode=1)
    office.forget(copy)
    office.forget_sightings(activityid)
    office.world.nylas.redeliver(office.world.nylas.notifications_of(copy.id)[0])
    assert office.outcome(copy)["kind"] == "already_there"
    assert [(row["statecode"], row["statuscode"]) for row in office.emails(mail)] == [(1, 4)]


def test_an_email_that_somebody_deleted_stays_gone(office: Office) -> None:
    """Even when the journal no longer knows that it was written."""
    mail = office.mail(office.contact(), office.ida.owner)
    copy = office.lay(mail)
    office.world.dataverse.delete("email", office.outcome(copy)["activityid"])
    office.forget(copy)
    office.world.nylas.redeliver(office.world.nylas.notifications_of(copy.id)[0])
    assert office.outcome(copy)["kind"] == "removed"
    assert office.emails(mail) == []
