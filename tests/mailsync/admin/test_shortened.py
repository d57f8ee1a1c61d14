"""After JOURNAL_RETENTION_DAYS a record names no message any more, and everything that asks still knows it was handled."""

from __future__ import annotations

import json
from typing import Any

import pytest
from azure.data.tables import TableServiceClient

from mailsync.outcome import Kind
from mailsync.storage.envelope import SWEEPS
from mailsync.wiring import Wiring
from sandbox.mail import Mail, Person
from tests.mailsync.admin.desk import DAY, HOUR, Desk
from tests.mailsync.parts import ERASURE_KEY

MONTH = 31 * DAY


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """A desk whose journal is kept for thirty days."""
    desk.settings |= {"ERASURE_KEY": ERASURE_KEY, "JOURNAL_RETENTION_DAYS": "30"}
    desk.app = another_process(desk)
    return desk


def another_process(desk: Desk) -> Wiring:
    wiring = Wiring(desk.settings)
    wiring.clock, wiring.hurry = desk.clock, desk.app.hurry
    return wiring


def a_month_passes(desk: Desk) -> None:
    """And the timer comes by until what is due is shortened."""
    desk.clock.ahead += MONTH
    for _ in range(3):
        desk.app.shorten_journal()
        desk.clock.ahead += 7 * HOUR


def left(desk: Desk, grant: str) -> list[tuple[str, bool]]:
    """The records of a mailbox: what each says, and whether it names no message."""
    return sorted((entry.kind.value, bool(entry.pseudonym)) for entry in desk.app._journal.of_mailbox(grant))


def holding(desk: Desk, word: str) -> list[str]:
    """The tables that hold a word."""
    found = []
    with TableServiceClient.from_connection_string(desk.settings["AzureWebJobsStorage"]) as service:
        for table in service.list_tables():
            with service.get_table_client(table.name) as client:
                found += [table.name for row in client.list_entities() if word in json.dumps(dict(row))]
    return found


@pytest.fixture
def old(desk: Desk) -> tuple[Desk, str, dict[str, str], Mail]:
    """A mailbox with a mail that was written, one that was skipped and one that was deleted in Dataverse, a month ago."""
    grant = desk.connect(age=3 * DAY)
    letter = desk.mail(grant)
    messages = {
        "written": desk.arrive(grant, letter),
        "skipped": desk.arrive(grant, folder="junk"),
        "removed": desk.arrive(grant, gone := desk.mail(grant)),
    }
    (row,) = [one for one in desk.emails() if one["subject"] == gone.subject]
    desk.dataverse.delete("email", str(row["activityid"]))
    assert all(holding(desk, message) for message in messages.values())
    a_month_passes(desk)
    return desk, grant, messages, letter


def test_no_table_names_an_old_message_any_more(old: tuple[Desk, str, dict[str, str], Mail]) -> None:
    desk, grant, messages, _ = old
    assert [holding(desk, message) for message in messages.values()] == [[], [], []]
    assert left(desk, grant) == [("skipped", True), ("written", True), ("written", True)]


def test_the_proof_still_accounts_for_every_message(old: tuple[Desk, str, dict[str, str], Mail]) -> None:
    """Which email it became nobody knows any more, so an old one counts by its outcome alone."""
    desk, grant, _, _ = old
    told = desk.told("verify", "--mailbox", grant, "--since", "60d")
    assert told["holds"]
    total = told["total"]
    assert (total["seen"], total["written"], total["skipped"], total["unexplained"]) == (3, 2, 1, 0)


def test_mail_that_its_mailbox_lost_since_is_accounted_for_too(old: tuple[Desk, str, dict[str, str], Mail]) -> None:
    desk, grant, messages, _ = old
    desk.nylas.delete(grant, messages["written"], notify=False)
    assert desk.verified("--mailbox", grant, "--since", "60d")["written"] == 2


def test_explain_says_what_became_of_it_and_that_no_more_is_known(old: tuple[Desk, str, dict[str, str], Mail]) -> None:
    desk, grant, messages, letter = old
    told = desk.told("explain", grant, messages["written"])
    (copy,) = told["copies"]
    assert (copy["outcome"], copy["activityid"], copy["message"]) == ("written", None, messages["written"])
    assert "no longer says which email" in told["dataverse"]
    by_id = desk.told("explain", grant, str(letter.message_id), exit_code=1)
    assert "were shortened" in by_id["unknown"]
    assert by_id["email"] is not None, "its Message-ID still leads there"


@pytest.mark.parametrize("what", ["written", "removed"])
def test_an_update_of_an_old_message_changes_nothing(old: tuple[Desk, str, dict[str, str], Mail], what: str) -> None:
    desk, grant, messages, _ = old
    desk.notify(grant, messages[what], "message.updated")
    desk.work()
    assert len(desk.emails()) == 1
    assert left(desk, grant) == [("skipped", True), ("written", True), ("written", True)]


def test_a_skip_still_changes_its_mind_when_its_message_moves(old: tuple[Desk, str, dict[str, str], Mail]) -> None:
    desk, grant, messages, _ = old
    desk.nylas.move(grant, messages["skipped"], "inbox", notify=False)
    desk.notify(grant, messages["skipped"], "message.updated")
    desk.work()
    assert len(desk.emails()) == 2
    assert left(desk, grant) == [("written", False), ("written", True), ("written", True)]


def test_a_sweep_and_a_backfill_over_its_time_leave_it_alone(old: tuple[Desk, str, dict[str, str], Mail]) -> None:
    desk, grant, _, _ = old
    desk.told("sweep", grant, "--since", "40d")
    for text in desk.awaited(SWEEPS, 7):
        desk.app.handle_sweep(text.encode())
    assert desk.items() == []
    backfill = desk.told("backfill", "--mailbox", grant, "--since", "60d", "--automation", "run")["id"]
    desk.work()
    told = desk.told("backfill", "show", backfill)
    assert (told["state"], told["found"], told["known_before"]) == ("done", 3, 3)


@pytest.mark.parametrize("removed", [False, True], ids=["that stands", "that was removed"])
def test_a_second_copy_of_an_old_mail_makes_no_second_email(
    old: tuple[Desk, str, dict[str, str], Mail], removed: bool
) -> None:
    desk, _, _, letter = old
    if removed:
        (row,) = desk.emails()
        desk.dataverse.delete("email", str(row["activityid"]))
    other = desk.nylas.connect("zoe@contoso.example", "google", created_at=desk.clock() - HOUR)
    desk.sweep()
    desk.deliver(other, letter)
    desk.told("backfill", "--mailbox", other, "--since", "60d", "--automation", "run")
    desk.work()
    assert left(desk, other) == [("removed" if removed else "already_there", False)]
    assert len(desk.emails()) == (0 if removed else 1)


def test_a_process_that_runs_already_knows_what_was_shortened_meanwhile(desk: Desk) -> None:
    grant = desk.connect(age=3 * DAY)
    message = desk.arrive(grant)
    running = desk.app
    desk.app = another_process(desk)
    a_month_passes(desk)
    desk.app = running
    desk.notify(grant, message, "message.updated")
    desk.work()
    assert left(desk, grant) == [("written", True)]


def test_what_waits_for_a_person_keeps_its_name(desk: Desk) -> None:
    grant = desk.connect(age=3 * DAY)
    refused = desk.mail(grant)
    desk.refuse(refused)
    message = desk.arrive(grant, refused)
    a_month_passes(desk)
    assert left(desk, grant) == [("put_aside", False)]
    desk.faults["dataverse"].clear()
    assert desk.told("aside", "replay", message)["replayed"] == 1
    desk.work()
    assert len(desk.emails()) == 1


def test_once_it_was_replayed_long_ago_no_table_names_it_any_more(desk: Desk) -> None:
    grant = desk.connect(age=3 * DAY)
    refused = desk.mail(grant)
    desk.refuse(refused)
    message = desk.arrive(grant, refused)
    desk.faults["dataverse"].clear()
    assert desk.told("aside", "replay", message)["replayed"] == 1
    desk.work()
    assert "aside" in holding(desk, message)
    a_month_passes(desk)
    assert holding(desk, message) == []
    assert left(desk, grant) == [("written", True)]


def test_replies_to_an_old_mail_hang_from_it(old: tuple[Desk, str, dict[str, str], Mail]) -> None:
    desk, grant, _, letter = old
    answer = desk.mail(
        grant,
        sender=Person(None, desk.address(grant)),
        to=(Person(None, "dora@fabrikam.example"),),
        in_reply_to=letter.message_id,
        references=letter.message_id,
    )
    desk.arrive(grant, answer, folder="sent")
    rows: dict[str, Any] = {str(one["subject"]): one for one in desk.emails()}
    assert rows[answer.subject]["_parentactivityid_value"] == rows[letter.subject]["activityid"]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"JOURNAL_RETENTION_DAYS": ""}, id="nobody asked"),
        pytest.param({"ERASURE_KEY": ""}, id="no key"),
        pytest.param({"ERASURE_KEY": "no key at all"}, id="a malformed key"),
        pytest.param({"ERASURE_KEY": "@Microsoft.KeyVault(SecretUri=https://v/secrets/erasure-key)"}, id="no secret"),
    ],
)
def test_without_a_wish_or_a_key_nothing_is_shortened_and_mail_flows(
    desk: Desk, caplog: pytest.LogCaptureFixture, settings: dict[str, str]
) -> None:
    desk.settings |= settings
    desk.app = another_process(desk)
    grant = desk.connect(age=3 * DAY)
    desk.arrive(grant)
    a_month_passes(desk)
    assert left(desk, grant) == [("written", False)]
    lines = [line for line in caplog.messages if "event=journal_not_shortened" in line]
    assert bool(lines) == ("ERASURE_KEY" in settings)
    assert all("reason=erasure_key" in line for line in lines)
    desk.arrive(grant)
    assert len(desk.emails()) == 2


def test_erasing_finds_what_was_shortened_before(old: tuple[Desk, str, dict[str, str], Mail]) -> None:
    desk, grant, _, _ = old
    told = desk.told("erase", "--address", "dora@fabrikam.example", "--dataverse", "delete", "--yes")
    assert told["complete"]
    assert (desk.emails(), left(desk, grant)) == ([], [(Kind.ERASED.value, True)] * 3)
