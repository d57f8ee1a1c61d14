"""What a person says with a folder or label, and what a sender says in the header, of whether a mail belongs here."""

from __future__ import annotations

import pytest

from tests.journeys.office import Mailbox, Office, cost_of


@pytest.fixture(scope="module")
def no_crm(office: Office, gina: Mailbox) -> str:
    """Gina's own label."""
    return office.world.nylas.make_folder(gina.grant, "No-CRM")


def test_mail_with_a_no_crm_label_stays_out_and_lands_once_it_is_taken_off(
    office: Office, gina: Mailbox, no_crm: str
) -> None:
    mail = office.mail(office.contact(), gina.owner)
    copy = office.lay(mail, gina, labels=["No-CRM"])
    assert office.outcome(copy)["reason"] == "no_crm"
    assert office.emails(mail) == []
    office.world.nylas.label(gina.grant, copy.id, "No-CRM", on=False)
    assert office.outcome(copy, "written")["source"] == "message.updated"
    office.world.nylas.label(gina.grant, copy.id, "No-CRM", on=True)
    office.world.nylas.wait_idle()
    assert len(office.emails(mail)) == 1, "what stands in the CRM stays there"


def test_a_folder_called_no_crm_keeps_a_mail_out_elsewhere(office: Office) -> None:
    office.world.nylas.make_folder(office.marcus.grant, "no-crm")
    mail = office.mail(office.contact(), office.marcus.owner)
    copy = office.lay(mail, office.marcus, "no-crm")
    assert office.outcome(copy)["reason"] == "no_crm"
    office.world.nylas.move(copy.grant, copy.id, "inbox")
    assert office.outcome(copy, "written")["kind"] == "written"


def test_a_colleagues_copy_is_judged_for_itself(office: Office, gina: Mailbox, no_crm: str) -> None:
    mail = office.mail(office.contact(), (gina.owner, office.marcus.owner))
    mine = office.lay(mail, gina, labels=["No-CRM"])
    theirs = office.lay(mail, office.marcus)
    assert (office.outcome(mine)["reason"], office.outcome(theirs)["kind"]) == ("no_crm", "written")


def test_a_track_label_lets_internal_mail_in(office: Office, gina: Mailbox) -> None:
    office.world.nylas.make_folder(gina.grant, "Track")
    mail = office.mail(office.colleague("Petra"), gina.owner)
    copy = office.lay(mail, gina)
    assert office.outcome(copy)["reason"] == "internal_only"
    office.world.nylas.label(gina.grant, copy.id, "Track")
    assert office.outcome(copy, "written")["kind"] == "written"


@pytest.mark.parametrize(
    ("mailbox", "reads"),
    [
        pytest.param("ida", {"GET messages/id": 1, "GET messages/id raw_mime": 1}, id="IMAP"),
        pytest.param("marcus", {"GET messages/id": 1}, id="Microsoft"),
        pytest.param("gina", {"GET messages/id": 1}, id="Google"),
    ],
)
def test_private_mail_stays_out_and_costs_one_read_more_only_where_nylas_lacks_its_header(
    office: Office, gina: Mailbox, mailbox: str, reads: dict[str, int]
) -> None:
    whose = {"ida": office.ida, "marcus": office.marcus, "gina": gina}[mailbox]
    office.outcome(office.lay(office.mail(office.contact(), whose.owner), whose))  # its folders are known from now on
    mail = office.mail(office.contact(), whose.owner, headers=(("Sensitivity", "Private"),))
    with cost_of(office.world) as spent:
        record = office.outcome(office.lay(mail, whose))
    assert (record["kind"], record["reason"]) == ("skipped", "private")
    assert (spent[0].nylas, spent[0].dataverse) == (reads, 0)


def test_mail_whose_header_nobody_gives_counts_as_private(office: Office) -> None:
    """At once where its raw form is refused."""
    mail = office.mail(office.contact(), office.ida.owner)
    copy = office.lay(mail, notify=False)
    office.world.nylas.refuse_raw_mime(office.ida.grant, copy.id, status=400)
    office.tell_by_hand(copy)
    assert office.outcome(copy)["reason"] == "private"


def test_a_sent_item_without_any_header_is_read_whole_and_lands(office: Office) -> None:
    """Microsoft's Sent items were never on the way."""
    behaviour = office.world.nylas.behaviour
    behaviour.sent_without_headers = True
    try:
        email = office.receive(office.mail(office.marcus.owner, office.contact()), office.marcus, "sent")
    finally:
        behaviour.sent_without_headers = False
    assert (email["directioncode"], email["statuscode"]) == (True, 3)
