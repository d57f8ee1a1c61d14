"""A webhook comes, and an email stands in Dataverse: whole, completed, once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.journeys.office import Office, Party, cost_of, parties


def test_a_signed_webhook_becomes_one_completed_email(office: Office) -> None:
    """Parties, regarding, direction, times and state stand as the mail says."""
    noor, sam, ida = office.contact(), office.stranger(), office.ida.owner
    sent = datetime(2026, 3, 9, 7, 30, 15, tzinfo=UTC)
    mail = office.mail(noor, (ida, sam), cc=[office.marcus.owner], date=int(sent.timestamp()))
    copy = office.lay(mail)
    record = office.outcome(copy)
    assert (record["kind"], record["reason"]) == ("written", "contact")
    email = office.email(record["activityid"])
    wanted = {
        "subject": mail.subject,
        "description": mail.body,
        "messageid": mail.message_id,
        "sender": noor.address,
        "torecipients": f"{ida.address};{sam.address}",
        "directioncode": False,
        "statecode": 1,
        "statuscode": 4,
        "actualend": "2026-03-09T00:00:00Z",
        "sortdate": "2026-03-09T07:30:15Z",
        "_regardingobjectid_type": "contact",
        "_regardingobjectid_value": noor.id,
        "_parentactivityid_value": None,
    }
    assert {column: email[column] for column in wanted} == wanted
    assert parties(email) == {
        Party(1, noor.address, noor.id, None),
        Party(2, ida.address, ida.id, None),
        Party(2, sam.address, None, sam.name),
        Party(3, office.marcus.owner.address, office.marcus.owner.id, None),
    }
    assert len(office.emails(mail)) == 1
    (delivery,) = (one for one in office.world.nylas.deliveries if one.notification == record["notification"])
    assert delivery.status == 200


def test_compressed_delivery_is_read(particular: Office) -> None:
    """The signature is over the gzip bytes, and the second of two secrets fits."""
    webhook = particular.world.webhook
    assert webhook.compressed
    mail = particular.mail(particular.contact(), particular.ida.owner)
    assert particular.receive(mail)["statecode"] == 1


def test_the_nylas_id_is_written_to_the_column_the_setting_names(particular: Office) -> None:
    copy = particular.lay(particular.mail(particular.contact(), particular.ida.owner))
    assert particular.email(particular.outcome(copy)["activityid"])["contoso_nylasid"] == copy.id


@pytest.mark.parametrize(
    "kind",
    [
        "message.updated",
        "message.created.metadata",
        "message.created.transformed",
        "message.created.cleaned",
        "message.updated.transformed.truncated",
    ],
)
def test_any_kind_of_message_notification_is_enough(office: Office, kind: str) -> None:
    """Nylas may tell of a new message by message.updated alone, and adds suffixes to both."""
    mail = office.mail(office.contact(), office.ida.owner)
    email = office.receive(mail, notify=kind)
    assert (email["subject"], email["description"]) == (mail.subject, mail.body)


def test_a_message_too_large_for_its_notification_is_read_whole(office: Office) -> None:
    """Nylas leaves a large body out and calls the type .truncated."""
    line = "<p>Über die Dächer von Lübeck lässt sich länger schreiben, als eine Benachrichtigung trägt.</p>"
    mail = office.mail(office.contact(), office.ida.owner, body=line * 10_500)
    copy = office.lay(mail)
    email = office.email(office.outcome(copy)["activityid"])
    told = office.world.nylas.notifications_of(copy.id)
    kinds = [one.type for one in office.world.nylas.deliveries if one.notification in told]
    assert kinds == ["message.created.truncated"]
    assert email["description"] == mail.body


def test_a_message_that_nylas_does_not_find_yet_is_tried_again(office: Office) -> None:
    """Some are announced before they can be read."""
    copy = office.lay(office.mail(office.contact(), office.ida.owner), hidden=1)
    assert office.outcome(copy)["kind"] == "written"


def test_a_redelivered_webhook_changes_nothing_and_asks_nobody(office: Office) -> None:
    mail = office.mail(office.contact(), office.ida.owner)
    copy = office.lay(mail)
    office.outcome(copy, "written")
    before = office.emails(mail)
    (notification,) = office.world.nylas.notifications_of(copy.id)
    with cost_of(office.world) as spent:
        for _ in range(3):
            office.world.nylas.redeliver(notification)
        office.world.wait("three redeliveries", lambda: len(office.said("message_known", message=copy.id)) == 3)
    assert (spent[0].dataverse, sum(spent[0].nylas.values())) == (0, 0)
    assert office.emails(mail) == before
    assert len(before) == 1


def test_two_notifications_at_the_same_time_make_one_email(office: Office) -> None:
    """However the two workers meet, one email stands there, completed, and both found their message done."""
    mails = [office.mail(office.contact(), office.ida.owner) for _ in range(6)]
    office.world.nylas.webhooks.mischief.duplicate = 1.0
    try:
        copies = [office.lay(mail) for mail in mails]
    finally:
        office.world.nylas.webhooks.mischief.duplicate = 0.0
    for mail, copy in zip(mails, copies, strict=True):
        office.world.wait(
            "both deliveries to be dealt with",
            lambda copy=copy: (
                sum(
                    len(office.said(event, message=copy.id))
                    for event in ("email_written", "email_already_there", "message_known")
                )
                == 2
            ),
        )
        assert [row["statecode"] for row in office.emails(mail)] == [1]
        assert office.record(copy)["kind"] in {"written", "already_there"}


def test_two_instances_of_the_app_share_the_work(office: Office) -> None:
    """Each mail is written by one of them, though every webhook comes twice."""
    world = office.world
    mails = [office.mail(office.contact(), office.ida.owner) for _ in range(18)]
    world.nylas.webhooks.mischief.duplicate = 1.0
    world.dataverse.delay = 0.04
    try:
        with world.another_host() as other:
            copies = [office.lay(mail) for mail in mails]
            for mail, copy in zip(mails, copies, strict=True):
                assert office.outcome(copy)["kind"] in {"written", "already_there"}
                assert [row["statecode"] for row in office.emails(mail)] == [1]
            assert any("event=email_" in line for line in other.log)
    finally:
        world.nylas.webhooks.mischief.duplicate = 0.0
        world.dataverse.delay = 0.0


@pytest.mark.parametrize(
    ("message_id", "kept"),
    [
        pytest.param(None, None, id="no Message-ID"),
        pytest.param("<" + "a" * 400 + "{}@mail.example>", None, id="longer than the column"),
        pytest.param("<" + "a" * 290 + "{}@mail.example>", "whole", id="as long as it may be"),
    ],
)
def test_a_message_is_written_once_though_the_journal_lost_its_record(
    office: Office, message_id: str | None, kept: str | None
) -> None:
    """The email's id comes from the mail itself, whatever of its Message-ID fits into the column."""
    plain = office.mail(office.contact(), office.ida.owner)
    written = message_id and message_id.format(str(plain.subject).rpartition(" ")[2])
    mail = office.mail(office.contact(), office.ida.owner, message_id=written)
    copy = office.lay(mail)
    first = office.outcome(copy, "written")
    office.forget(copy)
    office.world.nylas.redeliver(office.world.nylas.notifications_of(copy.id)[0])
    again = office.outcome(copy)
    assert (again["kind"], again["activityid"]) == ("already_there", first["activityid"])
    assert [row["messageid"] for row in office.emails(mail)] == [kept and written]
