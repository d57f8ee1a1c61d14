"""Who owns a mail, whose queue it is in, and what happens where Dataverse does not take an owner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.azurite import Azurite
from tests.journeys.office import Mailbox, Office, Someone, opened


@pytest.fixture(scope="module")
def support(office: Office) -> Mailbox:
    """A queue's mailbox."""
    team = office.world.dataverse.add("team", name="First line")
    address = "support@fjordlight.example"
    office.world.dataverse.add("queue", name="Support", emailaddress=address, ownerid=("team", team))
    return office.mailbox(Someone("Support", address), "microsoft")


def owner(email: dict[str, object]) -> tuple[object, object]:
    return email["_ownerid_type"], email["_ownerid_value"]


def test_outgoing_mail_is_its_senders(office: Office) -> None:
    marcus = office.marcus.owner
    assert owner(office.receive(office.mail(marcus, office.contact()), office.marcus, "sent")) == (
        "systemuser",
        marcus.id,
    )


def test_incoming_mail_is_the_first_connected_users_whoevers_copy_comes_first(office: Office) -> None:
    ida, marcus = office.ida.owner, office.marcus.owner
    mails = [office.mail(office.contact(), (office.colleague("Petra"), ida), cc=[marcus]) for _ in range(2)]
    emails = [office.receive(mail, mailbox) for mail, mailbox in zip(mails, (office.ida, office.marcus), strict=True)]
    assert [owner(email) for email in emails] == [("systemuser", ida.id)] * 2


def test_a_hidden_copy_is_the_mailboxes_own(office: Office) -> None:
    email = office.receive(office.mail(office.contact(), office.stranger()), office.marcus)
    assert owner(email) == ("systemuser", office.marcus.owner.id)


def test_mail_to_a_queue_is_its_owners_and_an_item_of_it(office: Office, support: Mailbox) -> None:
    email = office.receive(office.mail(office.contact(), support.owner), support)
    (queue,) = office.world.dataverse.rows("queue", emailaddress=support.owner.address)
    assert owner(email) == ("team", queue["_ownerid_value"])
    (item,) = office.world.dataverse.rows("queueitem", _objectid_value=email["activityid"])
    assert item["_queueid_value"] == queue["queueid"]


def test_an_owner_without_a_role_gives_way_and_the_journal_says_why(office: Office) -> None:
    nora = office.colleague("Nora")
    office.world.dataverse.roleless.add(str(nora.id))
    with office.connected_for_now(nora, "microsoft") as mailbox:
        copy = office.lay(office.mail(office.contact(), nora), mailbox)
        record = office.outcome(copy, "written")
    email = office.email(record["activityid"])
    assert owner(email) == ("systemuser", office.world.dataverse.user_id)
    assert "0x80042f09" in record["notes"]


def test_a_contact_made_between_two_mails_counts_for_the_second(office: Office) -> None:
    sam = office.stranger()
    first = office.receive(office.mail(sam, office.marcus.owner), office.marcus)
    row = office.know(sam)
    second = office.receive(office.mail(sam, office.marcus.owner), office.marcus)
    assert (first["_regardingobjectid_value"], second["_regardingobjectid_value"]) == (None, row)


POLICY = """
[owner]
fallback = "team:{team}"
[people]
tie = "unresolved"
[regarding]
rules = ["reply", "token", "opportunity", "case", "contact"]"""


@pytest.fixture(scope="module")
def other(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An office whose mail is about open opportunities and cases first, and whose fallback owner is a team."""
    path: Path = tmp_path_factory.mktemp("policy") / "ours.toml"
    team = "7d1a5f0e-1111-4000-8000-00000000beef"
    path.write_text(POLICY.replace("{team}", team), encoding="utf-8")
    with opened(azurite, 12, settings={"TRACKING_POLICY": str(path)}) as office:
        office.world.dataverse.add("team", teamid=team, name="Everybody's")
        yield office


def test_mail_is_about_the_open_opportunity_of_its_contact(other: Office) -> None:
    noor = other.contact()
    deal = other.world.dataverse.add("opportunity", name="Roof", customerid=("contact", noor.id))
    record = other.outcome(other.lay(other.mail(noor, other.marcus.owner), other.marcus))
    email = other.email(record["activityid"])
    assert (record["reason"], email["_regardingobjectid_value"]) == ("opportunity", deal)


def test_a_case_number_in_the_subject_counts_only_for_its_customer(other: Office) -> None:
    noor, stranger = other.contact(), other.contact("Sam Okafor")
    case = other.world.dataverse.add(
        "incident", title="Leak", ticketnumber="CAS-01234-X7Y8Z9", customerid=("contact", noor.id)
    )
    mails = [other.mail(one, other.marcus.owner, subject="AW: CAS-01234-X7Y8Z9 leak") for one in (noor, stranger)]
    records = [other.outcome(other.lay(mail, other.marcus)) for mail in mails]
    assert [record["reason"] for record in records] == ["token", "contact"]
    assert other.email(records[0]["activityid"])["_regardingobjectid_value"] == case


def test_an_owner_without_a_role_gives_way_to_the_team_that_the_policy_names(other: Office) -> None:
    nora = other.colleague("Nora")
    other.world.dataverse.roleless.add(str(nora.id))
    with other.connected_for_now(nora, "microsoft") as mailbox:
        email = other.receive(other.mail(other.contact(), nora), mailbox)
    assert owner(email) == ("team", "7d1a5f0e-1111-4000-8000-00000000beef")


def test_an_address_that_two_contacts_carry_stays_a_text_and_the_journal_names_both(other: Office) -> None:
    noor = other.contact()
    twin = other.know(noor)
    record = other.outcome(other.lay(other.mail(noor, other.marcus.owner), other.marcus))
    email = other.email(record["activityid"])
    (party,) = (one for one in email["parties"] if one["participationtypemask"] == 1)
    assert (party["addressused"], party["_partyid_value"]) == (noor.address, None)
    assert str(noor.id) in record["notes"]
    assert twin in record["notes"]
