"""Who wrote to whom, which way, and about whom: what Dataverse's people make of a mail."""

from __future__ import annotations

import pytest

from tests.journeys.office import Mailbox, Office, Party, Someone, parties

SENDER, TO, CC, BCC = 1, 2, 3, 4


def test_an_alias_of_a_mailbox_writes_outgoing_mail(office: Office) -> None:
    """Even where the copy lies in no folder that says sent, and no Dataverse row has the alias: its mailbox's has."""
    alias = office.stranger("Roofs")
    with office.connected_for_now("Rita", aliases=[alias.address]) as rita:
        noor = office.contact()
        email = office.receive(office.mail(alias, noor), rita, "archive")
    assert (email["directioncode"], email["statuscode"]) == (True, 3)
    assert email["_regardingobjectid_value"] == noor.id
    assert Party(SENDER, alias.address, rita.owner.id, None) in parties(email)


def test_sent_mail_with_an_unknown_from_is_the_mailbox_users_own(office: Office) -> None:
    """Somebody who sends under another address is still who they are; the address stays as it was written."""
    ida, noor = office.ida.owner, office.contact()
    private = Someone("Ida at home", "Ida.At.Home@Elsewhere.example")
    email = office.receive(office.mail(private, noor), office.ida, "sent")
    assert (email["directioncode"], email["statuscode"], email["sender"]) == (True, 3, private.address)
    assert parties(email) == {Party(SENDER, private.address, ida.id, None), Party(TO, noor.address, noor.id, None)}
    assert email["_regardingobjectid_value"] == noor.id


def test_sent_mail_of_a_google_mailbox_is_told_by_its_label(office: Office, gina: Mailbox) -> None:
    """With Bcc, which only the sender's copy shows, and a From that is nobody's we know."""
    noor, sam, other = office.contact(), office.stranger(), office.stranger("Gina elsewhere")
    email = office.receive(office.mail(other, noor, bcc=[sam]), gina, "sent")
    assert (email["directioncode"], email["statuscode"]) == (True, 3)
    assert Party(SENDER, other.address, gina.owner.id, None) in parties(email)
    assert Party(BCC, sam.address, None, sam.name) in parties(email)


def test_a_user_without_a_mailbox_writes_outgoing_mail(office: Office) -> None:
    """A Dataverse user or queue is ours, in whosever inbox the mail lies."""
    petra, noor = office.colleague("Petra"), office.contact()
    email = office.receive(office.mail(petra, (noor, office.ida.owner)))
    assert (email["directioncode"], email["_regardingobjectid_value"]) == (True, noor.id)
    assert Party(SENDER, petra.address, petra.id, None) in parties(email)


def test_a_reply_hangs_from_its_parent_and_is_about_the_same(office: Office) -> None:
    """Whatever somebody has set the parent regarding since."""
    noor, ida = office.contact(), office.ida.owner
    asked = office.mail(noor, ida)
    parent = office.receive(asked)
    bakery = office.world.dataverse.add("account", name="Maple & Main Bakery")
    office.world.dataverse.update("email", parent["activityid"], regardingobjectid=("account", bakery))
    answer = office.receive(office.reply(asked, ida, noor), office.ida, "sent")
    assert answer["_parentactivityid_value"] == parent["activityid"]
    assert answer["_correlatedactivityid_value"] == parent["activityid"]
    assert (answer["_regardingobjectid_type"], answer["_regardingobjectid_value"]) == ("account", bakery)


def test_a_reply_whose_parent_is_not_there_hangs_from_the_one_before(office: Office) -> None:
    """References name the whole conversation."""
    noor, ida = office.contact(), office.ida.owner
    first = office.mail(noor, ida)
    lost = office.reply(first, ida, noor)
    email = office.receive(first)
    assert office.receive(office.reply(lost, noor, ida))["_parentactivityid_value"] == email["activityid"]


def test_a_reply_that_comes_before_its_parent_is_linked_when_that_comes(office: Office) -> None:
    """Webhooks keep no order. It stays completed, and is about the same then."""
    noor, ida = office.contact(), office.ida.owner
    asked = office.mail(noor, ida)
    reply = office.reply(asked, ida, office.stranger(), cc=[noor])
    first = office.receive(reply, office.ida, "sent")
    assert first["_parentactivityid_value"] is None
    parent = office.receive(asked)
    office.world.wait("the reply to be linked", lambda: office.said("email_linked", activity=first["activityid"]))
    linked = office.email(first["activityid"])
    assert linked["_parentactivityid_value"] == parent["activityid"]
    assert linked["_correlatedactivityid_value"] == parent["activityid"]
    assert linked["_regardingobjectid_value"] == first["_regardingobjectid_value"] == noor.id
    assert (linked["statecode"], linked["statuscode"]) == (1, 3)
    assert len(office.emails(reply)) == 1


def test_a_reply_to_a_mail_with_a_long_message_id_finds_it(office: Office) -> None:
    """Its Message-ID didn't fit into the column; its id was made of it all the same."""
    noor, ida = office.contact(), office.ida.owner
    asked = office.mail(noor, ida, message_id=f"<{'long' * 90}.{noor.address}>")
    email = office.receive(asked)
    assert email["messageid"] is None
    assert office.receive(office.reply(asked, noor, ida))["_parentactivityid_value"] == email["activityid"]


def test_a_forward_to_another_customer_is_about_that_customer(office: Office) -> None:
    """It hangs from the mail it forwards, and that is all it shares with it."""
    noor, tomas, ida = office.contact(), office.contact("Tomás Rivera"), office.ida.owner
    asked = office.mail(noor, ida)
    parent = office.receive(asked)
    forward = office.receive(office.reply(asked, ida, tomas), office.ida, "sent")
    assert forward["_parentactivityid_value"] == parent["activityid"]
    assert forward["_regardingobjectid_value"] == tomas.id


def test_a_stranger_stays_unresolved_and_keeps_the_name(office: Office) -> None:
    """And the email is about nobody."""
    sam = office.stranger()
    email = office.receive(office.mail(sam, office.ida.owner))
    assert Party(SENDER, sam.address, None, sam.name) in parties(email)
    assert (email["_regardingobjectid_value"], email["statecode"]) == (None, 1)


def test_a_contact_made_just_now_counts_for_the_next_mail(office: Office) -> None:
    """That nobody had the address a moment ago is not remembered."""
    sam = office.stranger()
    office.receive(office.mail(sam, office.ida.owner))
    contact = office.know(sam)
    email = office.receive(office.mail(sam, office.ida.owner))
    assert email["_regardingobjectid_value"] == contact
    assert Party(SENDER, sam.address, contact, None) in parties(email)


def test_a_contact_deleted_just_now_does_not_hold_up_the_next_mail(office: Office) -> None:
    """Who was remembered and is gone is looked for once more."""
    noor = office.contact()
    office.receive(office.mail(noor, office.ida.owner))
    office.world.dataverse.delete("contact", noor.id or "")
    email = office.receive(office.mail(noor, office.ida.owner))
    assert Party(SENDER, noor.address, None, noor.name) in parties(email)
    assert (email["_regardingobjectid_value"], email["statecode"]) == (None, 1)


def test_hundreds_of_recipients_cost_no_more_round_trips_than_one(office: Office) -> None:
    """One resolves all of them, one writes; torecipients ends with a whole address."""
    crowd = [office.contact(f"Guest No{number}") for number in range(30)]
    crowd += [office.stranger(f"Stranger No{number}") for number in range(270)]
    office.world.dataverse.clear_log()
    email = office.receive(office.mail(office.ida.owner, crowd[:150], cc=crowd[150:]), office.ida, "sent")
    assert [(one.method, one.path.rpartition("/")[2]) for one in office.world.dataverse.log] == [("POST", "$batch")] * 2
    assert len(parties(email)) == 301
    assert email["_regardingobjectid_value"] == crowd[0].id
    listed = str(email["torecipients"]).split(";")
    assert listed == [one.address for one in crowd[: len(listed)]]
    assert len(str(email["torecipients"])) <= 500


def test_a_mail_from_all_over_the_world_arrives_whole(office: Office) -> None:
    """East Asian and right-to-left names, quotes, emoji."""
    layla = Someone('ليلى «Layla» O\'Brien, "LB"', "layla.o'brien@house.example")
    kenji = office.contact("田中 健司")
    words = {"subject": "屋根 🌞 نعم", "body": "<p>いつも <b>お世話</b> になっております 🌞</p>"}
    email = office.receive(office.mail(layla, office.ida.owner, cc=[kenji], **words))
    assert {"subject": email["subject"], "body": email["description"]} == words
    assert {Party(SENDER, layla.address, None, layla.name), Party(CC, kenji.address, kenji.id, None)} < parties(email)


@pytest.mark.parametrize(
    ("who", "domain"), [("kenji", "北ロボティクス.example"), ("taro", "xn--dckya4azc8f9d1820a.example")]
)
def test_a_contact_is_found_however_its_international_domain_is_spelled(office: Office, who: str, domain: str) -> None:
    """The mail spells it as people do; the contact may have either spelling."""
    sender = Someone("Kita Robotics", f"{who}@北ロボティクス.example")
    contact = office.know(Someone(sender.name, f"{who}@{domain}"))
    email = office.receive(office.mail(sender, office.ida.owner))
    assert Party(SENDER, sender.address, contact, None) in parties(email)


def test_an_organisation_without_the_sales_app_is_not_asked_for_leads_again(particular: Office) -> None:
    """A table that isn't there is learnt once and left out."""
    dataverse = particular.world.dataverse
    particular.receive(particular.mail(particular.contact(), particular.ida.owner))
    dataverse.clear_log()
    for _ in range(2):
        email = particular.receive(particular.mail(particular.contact(), particular.ida.owner))
        assert email["_regardingobjectid_type"] == "contact"
    asked = [operation for one in dataverse.log for operation in one.operations]
    assert any("contacts?" in operation for operation in asked)
    assert not any("leads?" in operation for operation in asked)


def test_a_known_correspondent_costs_one_round_trip_where_no_other_tracker_is_looked_for(particular: Office) -> None:
    noor = particular.contact()
    particular.receive(particular.mail(noor, particular.ida.owner))
    particular.world.dataverse.clear_log()
    particular.receive(particular.mail(noor, particular.ida.owner))
    assert len(particular.world.dataverse.log) == 1
