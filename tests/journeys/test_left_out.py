"""What stays out of the CRM, with the rule that says so; and what is let in later."""

from __future__ import annotations

import pytest

from tests.journeys.office import Mailbox, Office, cost_of


@pytest.mark.parametrize("mailbox", ["marcus", "gina"])
@pytest.mark.parametrize(
    ("folder", "rule"),
    [("drafts", "draft"), ("junk", "junk"), ("trash", "trash")],
    ids=["draft", "junk", "trash"],
)
def test_what_lies_in_the_wrong_folder_stays_out(
    office: Office, gina: Mailbox, mailbox: str, folder: str, rule: str
) -> None:
    """Folders are told by their attributes: Marcus' are named in German, Gina's are labels. Dataverse isn't asked."""
    whose = {"marcus": office.marcus, "gina": gina}[mailbox]
    mail = office.mail(office.contact(), whose.owner)
    with cost_of(office.world) as spent:
        record = office.outcome(office.lay(mail, whose, folder))
    assert (record["kind"], record["reason"]) == ("skipped", rule)
    assert record["policy"]
    assert spent[0].dataverse == 0
    assert office.emails(mail) == []


@pytest.mark.parametrize("folder", ["junk", "trash"])
@pytest.mark.parametrize("told", [True, False], ids=["told by webhook", "found by the sweep"])
def test_what_is_taken_out_of_there_lands(office: Office, folder: str, told: bool) -> None:
    """A skip is not for ever."""
    mail = office.mail(office.contact(), office.marcus.owner)
    copy = office.lay(mail, office.marcus, folder)
    office.outcome(copy, "skipped")
    office.world.nylas.move(copy.grant, copy.id, "inbox", notify=told)
    if not told:
        office.sweep()
    record = office.outcome(copy, "written")
    assert record["source"] == ("message.updated" if told else "sweep")
    assert len(office.emails(mail)) == 1


def test_what_stays_in_junk_is_not_read_again_by_each_sweep(office: Office) -> None:
    copy = office.lay(office.mail(office.contact(), office.ida.owner), folder="junk")
    office.outcome(copy, "skipped")
    with cost_of(office.world) as spent:
        office.sweep()
        office.sweep()
    assert spent[0].nylas["GET messages/id"] == 0


def test_a_draft_that_is_sent_lands_as_outgoing(office: Office) -> None:
    mail = office.mail(office.ida.owner, office.contact())
    copy = office.lay(mail, folder="drafts")
    office.outcome(copy, "skipped")
    office.world.nylas.move(copy.grant, copy.id, "sent")
    email = office.email(office.outcome(copy, "written")["activityid"])
    assert (email["directioncode"], email["statuscode"]) == (True, 3)


def test_mail_among_ourselves_stays_out(office: Office) -> None:
    """Colleagues without a mailbox are known by the domain, so Dataverse isn't asked for that either."""
    mail = office.mail(office.ida.owner, office.marcus.owner, cc=[office.colleague("Petra")])
    with cost_of(office.world) as spent:
        copies = [office.lay(mail, office.ida, "sent"), office.lay(mail, office.marcus)]
        records = [office.outcome(copy) for copy in copies]
    assert [(record["kind"], record["reason"]) for record in records] == [("skipped", "internal_only")] * 2
    assert spent[0].dataverse == 0


def test_mail_to_a_colleague_elsewhere_stays_out(office: Office) -> None:
    """A Dataverse user is one of us, whatever the domain."""
    freelance = office.stranger("Frida Holm")
    office.world.dataverse.add("systemuser", fullname=freelance.name, internalemailaddress=freelance.address)
    record = office.outcome(office.lay(office.mail(freelance, office.ida.owner)))
    assert (record["kind"], record["reason"]) == ("skipped", "internal_only")


def test_what_was_deleted_in_the_mailbox_stays_in_dataverse(office: Office) -> None:
    """And what was deleted before it could be read is gone, without any trying again."""
    mail, unread = (office.mail(office.contact(), office.ida.owner) for _ in range(2))
    copy, lost = office.lay(mail), office.lay(unread, notify=False)
    office.outcome(copy, "written")
    for one in (copy, lost):
        office.world.nylas.delete(one.grant, one.id)
        office.world.wait("the end to be noted", lambda one=one: office.said("message_gone", message=one.id))
    assert office.record(copy)["kind"] == "written"
    assert [row["statecode"] for row in office.emails(mail)] == [1]
    assert (office.record(lost)["kind"], office.emails(unread)) == ("gone", [])


def test_what_was_written_is_final(office: Office) -> None:
    """Moved to the trash later, an email stays in Dataverse, and nothing about it is read again."""
    mail = office.mail(office.contact(), office.ida.owner)
    copy = office.lay(mail)
    office.outcome(copy, "written")
    before = office.emails(mail)
    office.world.nylas.move(copy.grant, copy.id, "trash")
    office.world.wait("the move to be noted", lambda: office.said("message_known", message=copy.id))
    assert office.emails(mail) == before
    assert office.record(copy)["kind"] == "written"
