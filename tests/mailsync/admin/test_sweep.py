"""`sweep`: a span of a mailbox is looked through once more, and its own sweep goes on from where it was."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from mailsync.storage.envelope import MESSAGES, SWEEPS, MessageItem, SweepItem, decode
from mailsync.storage.mailboxes import Mailbox
from sandbox.faults import DropBefore, Fault
from tests.mailsync.admin.desk import DAY, HOUR, Desk


def mailbox(desk: Desk, grant: str) -> Mailbox:
    found = desk.app._mailboxes.get(grant)
    assert found is not None
    return found


def refused(desk: Desk, *words: str, exit_code: int = 1) -> Any:
    """Why a sweep is refused, nothing being on the queue."""
    error = desk.told("sweep", *words, exit_code=exit_code)["error"]
    assert desk.items(SWEEPS) == []
    return error


@pytest.mark.parametrize("secret", ["", "@Microsoft.KeyVault(SecretUri=https://v/secrets/nylas-webhook-secret)"])
def test_mail_comes_by_the_sweep_while_there_is_no_webhook_yet(desk: Desk, secret: str) -> None:
    desk.settings["NYLAS_WEBHOOK_SECRET"] = secret
    grant = desk.connect()
    desk.deliver(grant, desk.mail(grant, ago=60))
    desk.sweep()
    assert [row["statecode"] for row in desk.emails()] == [1]


def test_mail_before_the_watermark_whose_webhook_was_lost_is_found_and_lands(desk: Desk) -> None:
    """The mailbox's own sweeps passed it by; its watermark stays where it is, and what is known is left alone."""
    grant = desk.connect()
    desk.arrive(grant, desk.mail(grant, ago=5 * HOUR))
    lost = desk.deliver(grant, desk.mail(grant, ago=4 * HOUR))
    desk.sweep()
    before = mailbox(desk, grant)
    assert desk.verified(exit_code=1)["unexplained"] == 1

    told = desk.told("sweep", desk.address(grant), "--since", "6h")

    assert (told["grant"], told["sweeps"]) == (grant, 1)
    for text in desk.take(SWEEPS):
        desk.app.handle_sweep(text.encode())
    (text,) = desk.take(MESSAGES)
    item = decode(text)
    assert isinstance(item, MessageItem)
    assert item.message == lost
    desk.app.handle_message(text.encode())
    assert desk.verified()["written"] == 2
    after = mailbox(desk, grant)
    assert (after.watermark, after.left, after.swept, after.swept_wide) == (
        before.watermark,
        before.left,
        before.swept,
        before.swept_wide,
    )
    assert (before.watermark or 0) > desk.clock.now - HOUR


def test_a_span_is_swept_in_windows_of_a_day_that_leave_no_gap(desk: Desk) -> None:
    grant = desk.connect(age=4 * DAY)
    told = desk.told("sweep", grant, "--since", "60h")
    assert told["sweeps"] == 3
    items = [item for item in map(decode, desk.awaited(SWEEPS, 3)) if isinstance(item, SweepItem)]
    windows = sorted((item.after or 0, item.before or 0) for item in items)
    assert {item.source for item in items} == {"command"}
    assert all(before - after <= DAY + 2 for after, before in windows)
    assert all(later[0] < earlier[1] for earlier, later in pairwise(windows))
    assert windows[-1][1] - windows[0][0] == 60 * HOUR + 2, "both ends inside"


def test_the_end_of_a_span_may_be_given_too(desk: Desk) -> None:
    grant = desk.connect()
    for hours in (9, 7, 5):
        desk.deliver(grant, desk.mail(grant, ago=hours * HOUR))
    desk.told("sweep", grant, "--since", "8h", "--until", "6h")
    desk.work()
    assert len(desk.emails()) == 1
    assert desk.verified("--since", "8h", "--until", "6h")["written"] == 1


def test_no_mail_from_before_the_mailbox_was_connected_is_swept(desk: Desk) -> None:
    """And the answer says from when on it is."""
    grant = desk.connect()
    too_early = desk.deliver(grant, desk.mail(grant, ago=22 * HOUR))
    said = desk.run("sweep", grant, "--since", "30h")
    assert said.exit_code == 0
    assert "no earlier mail is swept" in said.stdout
    desk.work()
    assert desk.emails() == []
    assert "no row" in desk.told("explain", grant, too_early)["copies"][0]["next"]
    assert refused(desk, grant, "--since", "30h", "--until", "25h")["reason"] == "before_the_start"


def test_a_mailbox_whose_owner_must_sign_in_is_refused(desk: Desk) -> None:
    grant = desk.connect()
    desk.nylas.expire(grant)
    desk.sweep()
    error = refused(desk, grant, "--since", "6h")
    assert error["reason"] == "mailbox_not_valid"
    assert "signed in again" in error["advice"]


def test_a_mailbox_that_was_disconnected_is_refused(desk: Desk) -> None:
    grant = desk.connect()
    desk.nylas.disconnect(grant)
    desk.sweep()
    assert refused(desk, grant, "--since", "6h")["reason"] == "mailbox_not_valid"


def test_a_mailbox_that_was_never_swept_is_left_to_its_first_sweep(desk: Desk) -> None:
    """Nylas knows it, and no timer came yet."""
    grant = desk.nylas.connect("new@contoso.example", "google")
    for named in (grant, "New@Contoso.example"):
        assert refused(desk, named, "--since", "6h")["reason"] == "never_swept"


def test_an_unknown_mailbox_is_refused_with_those_there_are(desk: Desk) -> None:
    grant = desk.connect()
    error = refused(desk, "nobody@contoso.example", "--since", "6h", exit_code=2)
    assert error["reason"] == "unknown_mailbox"
    assert f"{grant} (valid)" in error["advice"]


def test_an_address_of_two_mailboxes_is_refused_with_their_grants(desk: Desk) -> None:
    grants = [
        desk.nylas.connect("both@contoso.example", provider, created_at=desk.clock() - DAY)
        for provider in ("google", "microsoft")
    ]
    desk.sweep()
    error = refused(desk, "both@contoso.example", "--since", "6h", exit_code=2)
    assert error["reason"] == "ambiguous_mailbox"
    assert all(f"{grant} (valid)" in error["advice"] for grant in grants)
    desk.nylas.expire(grants[0])
    desk.sweep()
    assert desk.told("sweep", "both@contoso.example", "--since", "6h")["grant"] == grants[1], "one of them works"


def test_while_nylas_is_out_of_reach_a_known_mailbox_is_enqueued_all_the_same(desk: Desk) -> None:
    grant = desk.connect()
    address = desk.address(grant)
    desk.faults["nylas"].add(Fault(DropBefore()))
    assert desk.told("sweep", address, "--since", "6h")["sweeps"] == 1
    assert len(desk.take(SWEEPS)) == 1


@pytest.mark.parametrize(
    "words",
    [(), ("--since", "soon"), ("--since", "6h", "--until", "7h"), ("--since", "2999-01-01")],
    ids=" ".join,
)
def test_a_span_that_is_none_is_refused(idle_desk: Desk, words: tuple[str, ...]) -> None:
    said = idle_desk.run("sweep", "any@contoso.example", *words)
    assert said.exit_code == 2
    assert "--since" in said.stderr
