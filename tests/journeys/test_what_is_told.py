"""Neither the log nor the journal tells anything of a mail but ids: no address, no subject, no word of it, no secret."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.faults import Answer, Fault
from tests.journeys.office import Office, Someone

WORDS = ("Confidential-subject", "Confidential-body", "Confidential-name", "confidential-address", "confidential-file")
LEAK = b'{"error": {"code": "0x80040265", "message": "A plug-in says: Confidential-subject of confidential-address@house.example"}}'


@pytest.fixture(scope="module")
def busy_day(particular: Office) -> Iterator[Office]:
    """An office where every kind of outcome has happened, each with a mail whose every field is confidential."""
    noor = particular.contact("Confidential-name One")
    sam = Someone("Confidential-name Two", "confidential-address@house.example")
    ida = particular.ida.owner
    words = {"subject": "Confidential-subject", "body": "<p>Confidential-body <img src='cid:confidential-file'></p>"}
    faults = particular.world.faults
    faults["dataverse"].add(Fault(Answer(500, body=LEAK), path="batch", body="deferred-one", times=1))
    faults["dataverse"].add(Fault(Answer(400, body=LEAK), path="batch", body="refused-one"))
    faults["nylas"].add(Fault(Answer(502, body=LEAK), path="messages/bad-gateway", times=1))
    faults["nylas"].add(
        Fault(Answer(200, body=b'{"data": {"id": 1, "subject": "Confidential-subject"}}'), path="messages/misshapen")
    )
    laid = {
        "written": particular.lay(particular.mail(sam, ida, cc=[noor], **words)),
        "skipped": particular.lay(particular.mail(sam, ida, **words), folder="junk"),
        "put_aside": particular.lay(particular.mail(noor, ida, message_id="<refused-one@house.example>", **words)),
        "misshapen": particular.lay(particular.mail(noor, ida, **words), message_id="misshapen"),
        "gateway": particular.lay(particular.mail(noor, ida, **words), message_id="bad-gateway"),
        "deferred": particular.lay(particular.mail(noor, ida, message_id="<deferred-one@house.example>", **words)),
        "found": particular.lay(particular.mail(noor, ida, **words), notify=False),
    }
    particular.sweep()
    particular.post(b'{"Confidential-subject": 0}', {})
    particular.post(b"{}", {"x-nylas-signature": "Confidential-subject"})
    lasting = {"written", "already_there", "skipped", "put_aside"}
    assert all(particular.outcome(copy)["kind"] in lasting for copy in laid.values())
    yield particular
    for script in faults.values():
        script.clear()


def test_the_log_tells_ids_only(busy_day: Office, office: Office) -> None:
    """In this office and in the other one, however many journeys it saw before."""
    for lines in (busy_day.world.host.log, office.world.host.log):
        told = "\n".join(lines)
        assert "@" not in told
        assert not [word for word in (*WORDS, "Northern roof", "ladder") if word in told]
    assert busy_day.said("item_put_aside", reason="dataverse_refused_row")
    assert busy_day.said("item_put_aside", reason="message_shape")
    assert busy_day.said("notification_refused", status="400")
    assert busy_day.said("notification_refused", status="401")


def test_the_log_tells_no_secret(busy_day: Office) -> None:
    """No key, no token, no part of a connection string."""
    world, told = busy_day.world, "\n".join(busy_day.world.host.log)
    key = dict(part.split("=", 1) for part in world.storage.strip(";").split(";"))["AccountKey"]
    secrets = [world.nylas.api_key, world.entra.client_secret, "secret-of-last-year", "secret-of-this-year", key]
    assert not [secret for secret in secrets if secret in told]
    assert "Bearer" not in told
    assert "sig=" not in told


@pytest.mark.parametrize("table", ["journal", "sightings", "aside"])
def test_the_tables_keep_ids_only(busy_day: Office, table: str) -> None:
    """What was never an item of ours is kept as it was; nothing of it comes from a mail."""
    rows = [row for row in busy_day.rows(table) if row["PartitionKey"] != "unreadable"]
    assert rows
    for row in rows:
        told = " ".join(map(str, row.values()))
        assert "@" not in told
        assert not [word for word in (*WORDS, "Northern roof", "ladder") if word in told]
