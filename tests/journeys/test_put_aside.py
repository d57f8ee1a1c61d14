"""What can't be done as it is stands in the table `aside`, where a person finds it; everything else goes on."""

from __future__ import annotations

import json

import pytest

from sandbox.azurite import Azurite
from sandbox.faults import Answer, Fault
from tests.journeys.office import Copy, Office, envelope, opened


def test_a_row_that_dataverse_refuses_is_put_aside_and_others_land(particular: Office) -> None:
    """With the reason, the service's code and the request id that Microsoft's support asks for."""
    unwritable = particular.mail(particular.contact(), particular.ida.owner)
    particular.refuse(unwritable)
    copy = particular.lay(unwritable)
    others = [particular.mail(particular.contact(), particular.ida.owner) for _ in range(4)]
    for landed in [particular.lay(mail) for mail in others]:
        assert particular.outcome(landed)["kind"] == "written"
    record = particular.outcome(copy)
    assert (record["kind"], record["reason"]) == ("put_aside", "dataverse_refused_row")
    (kept,) = particular.aside(reason="dataverse_refused_row")
    assert (kept["state"], kept["vendor"], kept["status"], kept["code"]) == (
        "waiting",
        "dataverse",
        "400",
        "0x80040265",
    )
    assert kept["request"]
    assert all(evidence in record["detail"] for evidence in (kept["status"], kept["code"], kept["request"]))
    assert particular.emails(unwritable) == []


def test_a_refusal_of_nylas_is_put_aside_with_its_request_id(particular: Office) -> None:
    """A 400 to the reading of one message says that trying again won't help."""
    refusal = b'{"request_id": "5967ca40-a2d8", "error": {"type": "invalid_request_error", "message": "no"}}'
    particular.world.faults["nylas"].add(Fault(Answer(400, body=refusal), path="messages/refused-by-nylas"))
    copy = particular.lay(particular.mail(particular.contact(), particular.ida.owner), message_id="refused-by-nylas")
    assert particular.outcome(copy)["kind"] == "put_aside"
    (kept,) = particular.aside(reason="nylas_refused")
    assert (kept["vendor"], kept["status"], kept["code"]) == ("nylas", "400", "invalid_request_error")
    assert kept["request"] == "5967ca40-a2d8"


@pytest.mark.parametrize(
    ("queue", "item"),
    [
        pytest.param("nylas-messages-poison", {"kind": "message", "message": "crashes the app"}, id="a message"),
        pytest.param("mailbox-sweeps-poison", {"kind": "sweep"}, id="a sweep"),
        pytest.param("mailbox-sweeps-poison", {"kind": "grant", "event": "grant.expired"}, id="a grant"),
    ],
)
def test_what_crashed_the_app_gets_one_more_life_and_is_put_aside_after_that(
    particular: Office, queue: str, item: dict[str, str]
) -> None:
    """A poison queue is no store: in `aside` the item stands with all that is needed to try it again."""
    grant = f"mailbox-of-a-crashed-{item['kind']}"
    particular.put(queue, envelope(grant=grant, **item))
    particular.world.wait("its second life", lambda: particular.said("item_revived", grant=grant))
    assert particular.aside(PartitionKey=grant) == []
    text = envelope(grant=grant, revived=True, **item)
    particular.put(queue, text)
    particular.world.wait("its end", lambda: particular.said("item_put_aside", grant=grant))
    (kept,) = particular.aside(PartitionKey=grant)
    assert (kept["state"], kept["reason"]) == ("waiting", "poison")
    assert json.loads(kept["envelope"]) == json.loads(text)
    if item["kind"] == "message":
        assert particular.record(Copy(grant, item["message"]))["kind"] == "put_aside"
    particular.world.wait("the poison queue to be empty", lambda: particular.poisoned() == 0)


def test_a_mail_whose_neighbour_crashed_the_app_lands_in_its_second_life(hurried: Office) -> None:
    """Alone it does no harm, and nothing of it is put aside."""
    mail = hurried.mail(hurried.contact(), hurried.ida.owner)
    copy = hurried.lay(mail, notify=False)
    hurried.put("nylas-messages-poison", envelope(kind="message", grant=copy.grant, message=copy.id))
    assert hurried.outcome(copy)["kind"] == "written"
    assert hurried.said("item_revived", message=copy.id)
    assert [row["statecode"] for row in hurried.emails(mail)] == [1]
    assert not [row for row in hurried.aside() if copy.id in row["envelope"]]


@pytest.mark.parametrize(
    "queue", ["nylas-messages", "nylas-messages-poison", "mailbox-sweeps", "mailbox-sweeps-poison"]
)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("some words for {}", "not_an_envelope", id="words"),
        pytest.param('{{"v": 1, "data": {{"kind": "message", "grant": "{}"}}}}', "not_an_envelope", id="half an item"),
        pytest.param('{{"v": 2, "data": {{"{}": 0}}}}', "unknown_envelope_version", id="another version"),
    ],
)
def test_what_is_no_item_of_ours_is_put_aside_at_once(particular: Office, queue: str, text: str, reason: str) -> None:
    """It is kept as it was, and the queue goes on."""
    told = text.format(queue)
    particular.put(queue, told)
    particular.world.wait("the text to be kept", lambda: particular.aside(PartitionKey="unreadable", envelope=told))
    (kept,) = particular.aside(PartitionKey="unreadable", envelope=told)
    assert kept["reason"] == reason


def test_writing_stops_when_most_mail_is_refused(azurite: Azurite) -> None:
    """A wrong deployment fills the queue, where mail is safe, rather than a table for people to read."""
    with opened(azurite, 9) as office:
        refusal = b'{"error": {"code": "0x80040265", "message": "A plug-in refuses every email."}}'
        office.world.faults["dataverse"].add(Fault(Answer(400, body=refusal), path="batch", body="POST /api"))
        for _ in range(12):
            office.lay(office.mail(office.contact(), office.ida.owner))
        office.world.wait("writing to stop", lambda: office.said("writing_stopped", reason="dataverse_refused_row"))
        office.world.wait("the rest to be refused", lambda: len(office.said("item_put_aside")) >= 9)
        office.world.faults["dataverse"].clear()
        copy = office.lay(office.mail(office.contact(), office.ida.owner))
        assert office.outcome(copy, "deferred")["reason"] == "writing_stopped"
        assert len(office.aside()) < 12
