"""The emails of a person are found by address and by record, however many there are, and deleted as asked."""

from __future__ import annotations

import pytest

from mailsync.dataverse.correspondence import TOGETHER, Correspondence
from mailsync.errors import ConfigurationError, TransientError
from mapping.records import Record
from sandbox.faults import Answer, Fault
from tests.mailsync.parts import DataverseServed, new_address

BOB = "bob@nowhere.example"


def email(dataverse: DataverseServed, *addresses: str, mask: int = 2) -> str:
    """An email with these as parties."""
    parties = [{"participationtypemask": mask, "addressused": one} for one in addresses]
    return dataverse.stand_in.add("email", subject="x", email_activity_parties=parties)


def test_whoever_carries_the_address_is_a_record_of_the_person_active_or_not(dataverse: DataverseServed) -> None:
    ann = new_address("ann", "fabrikam.example")
    mine = dataverse.contact(ann)
    old = dataverse.contact(ann.upper(), statecode=1)
    lead = dataverse.stand_in.add("lead", lastname="Ann", emailaddress3=ann)
    dataverse.stand_in.add("account", name="Fabrikam", emailaddress1=ann)
    dataverse.contact(new_address("bob", "fabrikam.example"))
    found = Correspondence(dataverse.api).records([ann])
    assert set(found) == {Record("contact", mine), Record("contact", old), Record("lead", lead)}


def test_an_organisation_without_the_sales_app_has_no_leads_to_ask(dataverse: DataverseServed) -> None:
    with DataverseServed(sales=False) as bare:
        ann = new_address("ann", "fabrikam.example")
        contact = bare.contact(ann)
        assert Correspondence(bare.api).records([ann]) == (Record("contact", contact),)


@pytest.mark.parametrize("mask", [1, 2, 3, 4])
def test_a_sender_and_each_kind_of_recipient_took_part(dataverse: DataverseServed, mask: int) -> None:
    ann = new_address("ann", "fabrikam.example")
    theirs = email(dataverse, ann, mask=mask)
    email(dataverse, BOB)
    assert Correspondence(dataverse.api).activities([ann], ()) == {theirs}


def test_what_is_only_about_a_person_or_owned_by_them_is_not_with_them(dataverse: DataverseServed) -> None:
    ann = dataverse.contact(new_address("ann", "fabrikam.example"))
    user = dataverse.user(new_address())
    dataverse.stand_in.add("email", subject="about", regardingobjectid=("contact", ann), ownerid=("systemuser", user))
    records = [Record("contact", ann), Record("systemuser", user)]
    assert Correspondence(dataverse.api).activities([BOB], records) == frozenset()


def test_fifty_records_of_one_person_are_asked_for_in_portions(dataverse: DataverseServed) -> None:
    contacts = [dataverse.contact(new_address("ann", "fabrikam.example")) for _ in range(50)]
    last = dataverse.stand_in.add(
        "email",
        subject="x",
        email_activity_parties=[
            {"participationtypemask": 2, "partyid_contact@odata.bind": f"/contacts({contacts[-1]})", "addressused": BOB}
        ],
    )
    found = Correspondence(dataverse.api).activities(["a@b"], [Record("contact", one) for one in contacts])
    assert found == {last}


@pytest.mark.parametrize(
    ("written", "is_theirs"),
    [("Ann+news@Fabrikam.example", True), ("annika+x@fabrikam.example", False), ("ann+x@other.example", False)],
)
def test_an_address_with_a_tag_is_the_same_persons(dataverse: DataverseServed, written: str, is_theirs: bool) -> None:
    theirs = email(dataverse, written)
    found = Correspondence(dataverse.api).activities(["ann@fabrikam.example"], ())
    assert (theirs in found) is is_theirs


def test_an_address_asked_for_with_its_tag_is_that_one_alone(dataverse: DataverseServed) -> None:
    tagged, plain = email(dataverse, "ann+news@fabrikam.example"), email(dataverse, "ann@fabrikam.example")
    found = Correspondence(dataverse.api).activities(["ann+news@fabrikam.example"], ())
    assert tagged in found
    assert plain not in found


def test_more_parties_than_one_page_holds_are_all_read(dataverse: DataverseServed) -> None:
    ann = new_address("ann", "fabrikam.example")
    first = email(dataverse, *[ann] * 5000)
    second = email(dataverse, ann)
    assert Correspondence(dataverse.api).activities([ann], ()) == {first, second}


def test_emails_are_deleted_by_the_batch_and_those_gone_already_count(dataverse: DataverseServed) -> None:
    emails = [email(dataverse, BOB) for _ in range(TOGETHER + 1)]
    dataverse.stand_in.delete("email", emails[0])
    before = dataverse.server.requests
    done = Correspondence(dataverse.api).delete(emails)
    assert (set(done.deleted), done.refused) == (set(emails), ())
    assert dataverse.server.requests - before == 2
    assert dataverse.stand_in.rows("email") == []


def test_an_identity_that_may_not_delete_is_told_what_it_lacks(dataverse: DataverseServed) -> None:
    one = email(dataverse, BOB)
    dataverse.stand_in.privileges = {"prvReadActivity"}
    with pytest.raises(ConfigurationError) as error:
        Correspondence(dataverse.api).delete([one])
    assert error.value.reason == "delete_refused"
    assert dataverse.stand_in.email(one)


def test_trouble_is_trouble(dataverse: DataverseServed) -> None:
    dataverse.faults.add(Fault(Answer(503)))
    with pytest.raises(TransientError):
        Correspondence(dataverse.api).activities([BOB], ())
