"""The same mail in two of our mailboxes is one email, whichever copy comes first and however close they come."""

from __future__ import annotations

import pytest

from sandbox.mail import Mail
from tests.journeys.office import Copy, Office, Party, Row, comparable, parties

OF_THE_MAIL = ("activityid", "messageid")
"""What tells a mail from another of the same words."""


def the_only_email(office: Office, mail: Mail) -> Row:
    """The one email that stands there."""
    (row,) = office.emails(mail)
    return office.email(row["activityid"])


def lay_copies(office: Office, mail: Mail, order: str) -> tuple[Copy, Copy]:
    """Lay Ida's sent copy and Marcus' received one, the second when the first is dealt with."""
    if order == "sender first":
        first = office.lay(mail, office.ida, "sent")
        office.outcome(first)
        second = office.lay(mail, office.marcus)
    else:
        first = office.lay_long_ago(mail, office.marcus)
        office.outcome(first)
        second = office.lay(mail, office.ida, "sent")
    office.outcome(second)
    return first, second


def test_the_senders_copy_and_the_recipients_give_the_same_email_in_either_order(office: Office) -> None:
    """Outgoing, sent, and equal in every column; and both mailboxes' copies are accounted for."""
    noor, (ida, marcus) = office.contact(), (office.ida, office.marcus)
    words = {"body": "<p>Marcus reads along.</p>", "date": 1_790_000_000}
    emails = []
    for order in ("sender first", "recipient first"):
        mail = office.mail(ida.owner, noor, cc=[marcus.owner], **words)
        copies = lay_copies(office, mail, order)
        records = [office.record(copy) for copy in copies]
        assert [record["kind"] for record in records] == ["written", "already_there"]
        email = the_only_email(office, mail)
        assert {record["activityid"] for record in records} == {email["activityid"]}
        assert office.sighted(email["activityid"]) == {ida.grant, marcus.grant}
        emails.append(comparable(email, *OF_THE_MAIL, "subject"))
    assert (emails[0]["directioncode"], emails[0]["statecode"], emails[0]["statuscode"]) == (True, 1, 3)
    assert emails[0] == emails[1]


def test_a_colleagues_copy_lets_the_senders_own_go_first(office: Office) -> None:
    """The sender's alone knows the Bcc."""
    sam = office.stranger()
    mail = office.mail(office.ida.owner, (office.contact(), office.marcus.owner), bcc=[sam])
    received = office.lay(mail, office.marcus)
    office.world.wait("it to wait", lambda: office.said("item_deferred", message=received.id))
    assert office.emails(mail) == []
    sent = office.lay(mail, office.ida, "sent")
    assert office.outcome(sent)["kind"] == "written"
    assert office.outcome(received)["kind"] == "already_there"
    assert Party(4, sam.address, None, sam.name) in parties(the_only_email(office, mail))


def test_two_copies_at_the_same_moment_make_one_email(office: Office) -> None:
    """Two workers may find nothing there and both write: Dataverse lets one of them."""
    ida, marcus = office.ida, office.marcus
    mails = [office.mail(office.contact(), (ida.owner, marcus.owner)) for _ in range(8)]
    copies = [[office.lay(mail, mailbox) for mailbox in (ida, marcus)] for mail in mails]
    for mail, pair in zip(mails, copies, strict=True):
        kinds = sorted(office.outcome(copy)["kind"] for copy in pair)
        assert kinds == ["already_there", "written"]
        assert the_only_email(office, mail)["statecode"] == 1


@pytest.mark.parametrize("order", ["sender first", "recipient first"])
def test_the_second_copy_is_known_where_no_other_tracker_is_looked_for(particular: Office, order: str) -> None:
    """Without the look for equal Message-IDs the email is found all the same, with the id of the copy that made it."""
    mail = particular.mail(particular.ida.owner, (particular.contact(), particular.marcus.owner))
    copies = lay_copies(particular, mail, order)
    assert [particular.record(copy)["kind"] for copy in copies] == ["written", "already_there"]
    email = the_only_email(particular, mail)
    assert (email["directioncode"], email["contoso_nylasid"]) == (True, copies[0].id)


def test_an_email_that_somebody_deleted_is_not_brought_back_by_the_other_copy(office: Office) -> None:
    """Gone stays gone."""
    mail = office.mail(office.contact(), (office.ida.owner, office.marcus.owner))
    activityid = office.outcome(office.lay(mail, office.ida))["activityid"]
    office.world.dataverse.delete("email", activityid)
    assert office.outcome(office.lay(mail, office.marcus), "removed")["reason"] == "removed_in_dataverse"
    assert office.emails(mail) == []
