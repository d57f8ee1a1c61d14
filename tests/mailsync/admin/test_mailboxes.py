"""`mailboxes`: each mailbox with its owner, how far it is, and what became of its last day."""

from __future__ import annotations

from typing import Any

from mailsync.storage.mailboxes import DELETED
from sandbox.faults import Answer, DropBefore, Fault
from sandbox.mail import Person
from tests.mailsync.admin.desk import DAY, HOUR, MINUTE, Desk


def lines(desk: Desk, *words: str, exit_code: int = 0) -> dict[str, dict[str, Any]]:
    told = desk.told("mailboxes", *words, exit_code=exit_code)
    return {one["grant"]: one for one in told["mailboxes"]}


def test_each_mailbox_is_told_with_its_owner_and_its_last_day(desk: Desk) -> None:
    ann, bob, cat = (
        desk.connect(name, provider) for name, provider in (("ann", "google"), ("bob", "imap"), ("cat", "ews"))
    )
    user = desk.dataverse.add("systemuser", fullname="Ann", internalemailaddress=desk.address(ann).upper())
    queue = desk.dataverse.add("queue", name="Bob", emailaddress=desk.address(bob), statecode=1)
    desk.arrive(ann, desk.mail(ann, ago=HOUR))
    desk.arrive(ann, desk.mail(ann, ago=2 * HOUR, sender=Person(None, "colleague@contoso.example")))
    desk.arrive(ann, desk.mail(ann, ago=DAY + HOUR))
    found = lines(desk)
    assert [(found[one]["provider"], found[one]["status"]) for one in (ann, bob, cat)] == [
        ("google", "valid"),
        ("imap", "valid"),
        ("ews", "valid"),
    ]
    assert [found[one]["owner"] for one in (ann, bob, cat)] == [
        f"systemuser {user}",
        f"queue {queue} (inactive)",
        "nobody",
    ]
    assert found[ann]["last_day"] == {"skipped": 1, "written": 1}
    assert found[bob]["last_day"] == {}
    assert 0 <= found[ann]["behind_seconds"] < 120
    assert found[ann]["watermark"]


def test_a_mailbox_that_nobody_swept_yet_is_told_too(desk: Desk) -> None:
    grant = desk.nylas.connect("new@contoso.example", "microsoft")
    found = lines(desk)[grant]
    assert (found["watermark"], found["swept"], found["behind_seconds"], found["lag_seconds"]) == (None,) * 4


def test_its_state_is_what_nylas_says_now(desk: Desk) -> None:
    grant, gone = desk.connect(), desk.connect("gone")
    desk.nylas.expire(grant)
    desk.nylas.disconnect(gone)
    found = lines(desk)
    assert found[grant]["status"] == "invalid"
    assert gone not in found
    assert lines(desk, "--deleted")[gone]["status"] == DELETED


def test_a_mailbox_that_is_behind_shows_by_how_much(desk: Desk) -> None:
    grant = desk.connect()
    desk.clock.ahead = 3 * HOUR
    assert 3 * HOUR <= lines(desk)[grant]["behind_seconds"] < 3 * HOUR + 120
    assert "3 h" in desk.run("mailboxes").stdout


def test_a_message_that_is_stuck_shows_by_how_long_it_waits_though_its_mailbox_is_swept(desk: Desk) -> None:
    stuck, fine = desk.connect("ann"), desk.connect("bob")
    desk.deliver(stuck, desk.mail(stuck, ago=MINUTE))
    desk.sweep_without_writing()
    for _ in range(3):
        desk.clock.ahead += DAY
        desk.sweep_without_writing()
    found = lines(desk)
    assert 3 * DAY <= found[stuck]["lag_seconds"] < 3 * DAY + 120
    assert found[stuck]["behind_seconds"] < 120
    assert found[fine]["lag_seconds"] == 0
    heading, *rows = desk.run("mailboxes").stdout.splitlines()
    place = heading.index("waits")
    shown = {grant: row[place : place + 5].strip() for grant in found for row in rows if row.startswith(grant[:20])}
    assert shown == {stuck: "3 d", fine: ""}


def test_while_nylas_or_dataverse_is_out_of_reach_the_rest_is_told(desk: Desk) -> None:
    grant = desk.connect()
    desk.faults["dataverse"].add(Fault(Answer(503)))
    found = lines(desk, exit_code=1)[grant]
    assert (found["owner"], found["status"]) == ("unknown", "valid")
    desk.faults["dataverse"].clear()
    desk.faults["nylas"].add(Fault(DropBefore()))
    told = desk.told("mailboxes", exit_code=1)
    assert told["mailboxes"][0]["status"] == "valid", "as last heard"
    assert told["untold"][0].startswith("Nylas: ")


def test_addresses_are_shown_only_when_asked_for(desk: Desk) -> None:
    grant = desk.connect()
    assert "@" not in desk.run("mailboxes").stdout
    assert desk.address(grant) in desk.run("mailboxes", "--addresses").stdout
    assert lines(desk, "--addresses")[grant]["address"] == desk.address(grant)


def test_where_no_mailbox_is_connected_it_says_so(desk: Desk) -> None:
    assert "No mailbox is connected" in desk.run("mailboxes").stdout
