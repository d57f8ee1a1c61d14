"""Trouble at a vendor costs time and never a mail: each lands once, completed, and nothing is put aside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sandbox.azurite import Azurite
from sandbox.dataverse import Protection
from sandbox.faults import Act, Answer, DropAfter, DropBefore, Fault
from sandbox.world import APP
from tests.journeys.office import Copy, Office, opened

HTML = {"Content-Type": "text/html"}
BUSY = {"Content-Type": "application/json", "Retry-After": "1"}
THROTTLED = b'{"error": {"code": "0x80072322", "message": "Number of requests exceeded the limit of 6000"}}'
SQL_TIMEOUT = b'{"error": {"code": "0x80044151", "message": "SQL timeout expired."}}'
FORBIDDEN = b'{"error": {"code": "0x80040220", "message": "Principal user is missing prvCreateActivity privilege"}}'
CUT = {"Content-Type": "multipart/mixed; boundary=b"}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What one mail meets: at which vendor, in which step, and how often."""

    key: str
    vendor: str
    step: str
    act: Act
    times: int = 1
    waits: bool = True
    """Whether the item must go back to the queue for it."""

    def fault(self) -> Fault:
        """The line of the vendor's script that meets this mail and no other."""
        if self.vendor == "nylas":
            return Fault(self.act, path=f"messages/{self.key}[?]", times=self.times)
        method = {"look": "GET", "write": "POST"}[self.step]
        inside = f"(?s){method} /api/data/v9.2/emails.*{self.key}(?:@|%40)"
        return Fault(self.act, path="batch$", body=inside, times=self.times)


TROUBLES = (
    Trouble("nylas-throttles", "nylas", "read", Answer(429, BUSY)),
    Trouble("nylas-bad-gateway", "nylas", "read", Answer(502, HTML, b"<html>Bad Gateway</html>")),
    Trouble("nylas-maintenance", "nylas", "read", Answer(200, HTML, b"<html>We will be back</html>")),
    Trouble("nylas-hangs-up-once", "nylas", "read", DropBefore(), waits=False),
    Trouble("nylas-hangs-up", "nylas", "read", DropBefore(), times=2),
    Trouble("nylas-refuses-the-grant", "nylas", "read", Answer(401, BUSY, b'{"error": {"type": "unauthorized"}}')),
    Trouble("look-throttled", "dataverse", "look", Answer(429, BUSY, THROTTLED)),
    Trouble("look-unavailable", "dataverse", "look", Answer(503, HTML, b"<html>Service Unavailable</html>")),
    Trouble("look-unanswered", "dataverse", "look", DropAfter(), times=2),
    Trouble("look-cut-short", "dataverse", "look", Answer(200, CUT, b"--b\r\nContent-Type: application/http\r\n")),
    Trouble("look-unauthorised", "dataverse", "look", Answer(401, HTML), waits=False),
    Trouble("write-throttled", "dataverse", "write", Answer(429, BUSY, THROTTLED)),
    Trouble("write-unavailable", "dataverse", "write", Answer(503, {**HTML, "Retry-After": "1"})),
    Trouble("write-timed-out", "dataverse", "write", Answer(400, BUSY, SQL_TIMEOUT)),
    Trouble("write-forbidden", "dataverse", "write", Answer(403, BUSY, FORBIDDEN)),
    Trouble("write-unheard", "dataverse", "write", DropBefore(), times=2),
    Trouble("write-unanswered-once", "dataverse", "write", DropAfter(), waits=False),
    Trouble("write-unanswered", "dataverse", "write", DropAfter(), times=2),
)


@dataclass(frozen=True, slots=True)
class Troubled:
    """One mail, the trouble that waits for it, and what Dataverse will know it by."""

    copy: Copy
    fault: Fault
    messageid: str


@pytest.fixture(scope="module")
def office(azurite: Azurite) -> Iterator[Office]:
    """An office of its own, which waits eight times shorter: trouble closes gates, and others' mail would wait at them."""
    with opened(azurite, 8, app=APP / "sandbox" / "hurried", settings={"SANDBOX_HURRY": "8"}) as troubled:
        yield troubled
        assert troubled.aside() == []
        assert troubled.poisoned() == 0


@pytest.fixture(scope="module")
def troubled(office: Office) -> Iterator[dict[str, Troubled]]:
    """A mail for each trouble; all of them arrive together."""
    world, mails = office.world, {}
    for trouble in TROUBLES:
        fault = trouble.fault()
        world.faults[trouble.vendor].add(fault)
        mail = office.mail(office.contact(), office.ida.owner, message_id=f"<{trouble.key}@mail.example>")
        mails[trouble.key] = Troubled(office.lay(mail, message_id=trouble.key), fault, f"<{trouble.key}@mail.example>")
    yield mails
    for faults in world.faults.values():
        faults.clear()


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.key)
def test_trouble_ends_with_one_completed_email(office: Office, troubled: dict[str, Troubled], trouble: Trouble) -> None:
    """And the log says what the item waited for, if it did."""
    mine = troubled[trouble.key]
    assert office.outcome(mine.copy)["kind"] in {"written", "already_there"}
    rows = office.world.dataverse.rows("email", messageid=mine.messageid)
    assert [(row["statecode"], row["statuscode"]) for row in rows] == [(1, 4)]
    assert office.world.faults[trouble.vendor].count(mine.fault) == trouble.times
    assert not trouble.waits or office.said("item_deferred", message=mine.copy.id)


def test_a_token_that_dataverse_no_longer_takes_is_replaced_at_once(office: Office) -> None:
    """A 401 costs one more token, not a delay."""
    entra = office.world.entra
    office.outcome(office.lay(office.mail(office.contact(), office.ida.owner)))
    entra.revoke()
    issued = entra.issued
    copy = office.lay(office.mail(office.contact(), office.ida.owner))
    assert office.outcome(copy)["kind"] == "written"
    assert entra.issued == issued + 1
    assert not office.said("item_deferred", message=copy.id)


def test_mail_waits_while_entra_gives_no_token(office: Office) -> None:
    """An expired client secret puts no mail aside: somebody will renew it."""
    world = office.world
    refused = (
        b'{"error": "invalid_client", "error_description": "AADSTS7000222: The provided client secret is expired."}'
    )
    refusal = Fault(Answer(401, body=refused), path="token", times=1)
    world.faults["entra"].add(refusal)
    world.entra.revoke()
    copy = office.lay(office.mail(office.contact(), office.ida.owner))
    try:
        assert office.outcome(copy)["kind"] == "written"
    finally:
        world.faults["entra"].clear()
    assert office.said("item_deferred", message=copy.id, reason="entra_refused")


def test_a_burst_above_the_service_limits_lands_whole(office: Office) -> None:
    """Every answer of Dataverse's own throttling, with its code and Retry-After, sends the item back to the queue."""
    dataverse = office.world.dataverse
    dataverse.protection = Protection(requests=8, window=1.0, concurrency=3)
    try:
        mails = [office.mail(office.contact(), office.ida.owner) for _ in range(8)]
        copies = [office.lay(mail) for mail in mails]
        for mail, copy in zip(mails, copies, strict=True):
            assert office.outcome(copy)["kind"] in {"written", "already_there"}
            assert [row["statecode"] for row in office.emails(mail)] == [1]
    finally:
        dataverse.protection = None
    assert any(office.said("item_deferred", message=copy.id, reason="dataverse_throttled") for copy in copies)
