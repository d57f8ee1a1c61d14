"""`backfill` at a desk: begun, watched, paused, resumed and cancelled from commands that know nothing of each other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mailsync.backfill import LIVE, STALLED
from mailsync.storage.envelope import MESSAGES, SWEEPS
from mailsync.windows import moment
from mailsync.wiring import Wiring
from mapping.identity import activityid_of, canonical_message_id
from sandbox.faults import Answer, Fault
from sandbox.mail import Person
from tests.mailsync.admin.desk import DAY, HOUR, Desk
from tests.mailsync.parts import ERASURE_KEY, PSEUDONYMS


def span(desk: Desk, days: int = 730) -> tuple[str, ...]:
    return ("--since", f"{days}d", "--automation", "bypass")


def archive(desk: Desk, *ages: int) -> tuple[str, list[str]]:
    """A mailbox connected yesterday, with mail that came so many days ago."""
    grant = desk.connect()
    return grant, [desk.deliver(grant, desk.mail(grant, ago=age * DAY)) for age in ages]


def begun(desk: Desk, grant: str, *words: str) -> str:
    """A backfill of everything, by its id."""
    return str(desk.told("backfill", "--mailbox", grant, *(words or span(desk)))["id"])


def shown(desk: Desk, backfill: str) -> dict[str, Any]:
    return desk.told("backfill", "show", backfill)


def page(desk: Desk) -> None:
    """The app does one page of it, and no mail."""
    for text in desk.awaited(SWEEPS, 1):
        desk.app.handle_sweep(text.encode())


def test_old_mail_is_brought_and_told_of_as_it_lands(desk: Desk) -> None:
    grant, messages = archive(desk, 700, 400, 30)
    told = desk.told("backfill", "--mailbox", desk.address(grant), *span(desk))
    assert (told["grant"], told["state"], told["automation"]) == (grant, "running", "bypass")
    before = shown(desk, told["id"])
    assert (before["found"], before["counts"], before["over"]) == (0, {}, False)
    page(desk)
    waiting = shown(desk, told["id"])
    assert (waiting["state"], waiting["found"], waiting["counts"], waiting["queue"]) == ("done", 3, {"queued": 3}, 3)
    assert not waiting["over"]
    desk.work()
    after = shown(desk, told["id"])
    assert (after["counts"], after["over"], after["seconds_left"]) == ({"written": 3}, True, 0)
    assert len(desk.emails()) == len(messages)
    assert desk.verified("--since", "730d")["written"] == 3


def test_what_the_journal_knew_and_what_a_rule_skips_is_counted_by_reason(desk: Desk) -> None:
    grant, _ = archive(desk, 300)
    desk.arrive(grant, desk.mail(grant, ago=2 * HOUR))
    desk.deliver(grant, desk.mail(grant, ago=200 * DAY), folder="junk")
    desk.deliver(grant, desk.mail(grant, ago=201 * DAY, sender=Person(None, "bob@contoso.example")))
    refused = desk.mail(grant, ago=100 * DAY)
    desk.deliver(grant, refused)
    desk.refuse(refused)
    backfill = begun(desk, grant)
    desk.work()
    told = shown(desk, backfill)
    assert (told["found"], told["known_before"], told["enqueued"]) == (5, 1, 4)
    assert told["counts"] == {"written": 1, "skipped": 2, "put_aside": 1}
    assert told["reasons"] == {
        "skipped": {"internal_only": 1, "junk": 1},
        "put_aside": {"dataverse_refused_row": 1},
    }
    said = desk.run("backfill", "show", backfill[:6]).stdout
    assert "skipped" in said
    assert "internal_only 1, junk 1" in said


def test_nothing_of_the_organisations_own_answers_a_bypassed_mail_and_live_mail_beside_it_is_answered(
    desk: Desk,
) -> None:
    grant, _ = archive(desk, 300)
    begun(desk, grant)
    desk.arrive(grant)
    ran = {(one.action, one.table, one.nothing) for one in desk.dataverse.automation}
    assert ran == {(action, "email", nothing) for action in ("create", "update") for nothing in (True, False)}
    assert len(desk.emails()) == 2


@pytest.mark.parametrize(
    ("since", "automation", "code"),
    [("2d", None, 2), ("2d", "run", 0), ("2d", "bypass", 0), ("23h", None, 0), ("2d", "perhaps", 2)],
    ids=str,
)
def test_whether_automation_answers_must_be_chosen_for_mail_older_than_a_day(
    desk: Desk, since: str, automation: str | None, code: int
) -> None:
    grant, _ = archive(desk)
    chosen = ("--automation", automation) if automation else ()
    said = desk.run("backfill", "--mailbox", grant, "--since", since, *chosen)
    assert said.exit_code == code, said.output
    if code:
        assert "--automation" in said.stderr
        assert desk.items(SWEEPS) == []


# from another terminal


def test_it_is_paused_resumed_and_cancelled_by_commands_of_other_processes(desk: Desk) -> None:
    grant, _ = archive(desk, *range(100, 200))
    backfill = begun(desk, grant)
    page(desk)
    assert desk.told("backfill", "pause", backfill)["state"] == "paused"
    assert [one["state"] for one in desk.told("backfill", "list")["backfills"]] == ["paused"]
    desk.work()
    paused = shown(desk, backfill)
    assert (paused["state"], paused["reason"], paused["counts"]) == ("paused", "asked", {"written": 40})
    assert desk.told("backfill", "resume", backfill)["state"] == "running"
    page(desk)
    assert desk.told("backfill", "cancel", backfill[:8])["state"] == "cancelled"
    desk.work()
    cancelled = shown(desk, backfill)
    assert (cancelled["counts"], cancelled["over"]) == ({"written": 80}, True)
    assert desk.told("backfill", "resume", backfill, exit_code=2)["error"]["reason"] == "backfill_state"
    assert desk.told("backfill", "pause", "nobody", exit_code=2)["error"]["reason"] == "unknown_backfill"
    again = begun(desk, grant)
    desk.work()
    assert (shown(desk, again)["known_before"], shown(desk, again)["counts"]) == (80, {"written": 20})


def test_watching_ends_when_its_mail_is_written(desk: Desk) -> None:
    grant, _ = archive(desk, 200, 201)
    backfill = begun(desk, grant)
    desk.work()
    said = desk.run("backfill", "watch", backfill)
    assert said.exit_code == 0
    assert "written" in said.stdout
    lines = desk.run("backfill", "watch", backfill, "--json").stdout.splitlines()
    assert [json.loads(line)["counts"] for line in lines] == [{"written": 2}]
    cancelled = begun(desk, grant, "--since", "20h")
    desk.told("backfill", "cancel", cancelled)
    assert desk.run("backfill", "watch", cancelled).exit_code == 1


def test_progress_is_true_after_everything_was_restarted(desk: Desk) -> None:
    grant, _ = archive(desk, *range(100, 160))
    backfill = begun(desk, grant)
    page(desk)
    lost = [*desk.take(SWEEPS), *desk.take(MESSAGES)]
    assert len(lost) == 41
    assert shown(desk, backfill)["counts"] == {"queued": 40}
    desk.clock.ahead += STALLED + 1
    desk.sweep()
    told = shown(desk, backfill)
    assert (told["state"], told["found"], told["enqueued"]) == ("done", 60, 60)
    assert told["counts"] == {"queued": 40, "written": 20}, "what was lost from its queue is told as waiting"
    assert desk.told("verify", "--since", "730d", "--repair", exit_code=1)["repaired"] == 40
    desk.work()
    assert shown(desk, backfill)["counts"] == {"written": 60}
    assert all(one.nothing for one in desk.dataverse.automation), "repaired, it is a backfill's still"


def test_mail_that_waits_for_a_sign_in_comes_back_as_the_backfills_own(desk: Desk) -> None:
    grant, _ = archive(desk, *range(100, 150))
    backfill = begun(desk, grant)
    page(desk)
    desk.nylas.expire(grant)
    desk.work()
    told = shown(desk, backfill)
    assert (told["state"], told["reason"], told["counts"]) == ("paused", "grant", {"deferred": 40})
    assert told["reasons"] == {"deferred": {"grant": 40}}
    desk.nylas.reauthenticate(grant)
    desk.clock.ahead += HOUR
    desk.sweep()
    desk.sweep()
    after = shown(desk, backfill)
    assert (after["state"], after["counts"], after["over"]) == ("done", {"written": 50}, True)
    assert all(one.nothing for one in desk.dataverse.automation)


def test_a_missing_privilege_is_told_as_what_its_mail_waits_for(desk: Desk) -> None:
    grant, _ = archive(desk, 300)
    desk.arrive(grant)
    backfill = begun(desk, grant)
    desk.dataverse.privileges = set(desk.dataverse.used_privileges)
    for text in desk.awaited(SWEEPS, 1):
        desk.app.handle_sweep(text.encode())
    for text in desk.take(MESSAGES):
        desk.app.handle_message(text.encode())
    assert shown(desk, backfill)["reasons"] == {"deferred": {"bypass_refused": 1}}


def test_without_the_privilege_none_is_begun_and_a_person_is_told_where_to_look(desk: Desk) -> None:
    """A person's own rights say nothing of the app's."""
    grant, _ = archive(desk, 300)
    desk.dataverse.privileges = {"prvReadUser"}
    error = desk.told("backfill", "--mailbox", grant, *span(desk), exit_code=2)["error"]
    assert error["reason"] == "bypass_refused"
    assert "dataverse setup --with-bypass" in error["advice"]
    assert desk.told("backfill", "list")["backfills"] == []
    desk.dataverse.update("systemuser", desk.dataverse.user_id, applicationid=None)
    said = desk.run("backfill", "--mailbox", grant, *span(desk))
    assert said.exit_code == 0, said.output
    assert "manage/doctor" in said.stderr


# one folder


@pytest.mark.parametrize("named", ["Clients", "clients", "archive"], ids=str)
def test_one_folder_is_brought_by_its_name_or_by_what_it_is(desk: Desk, named: str) -> None:
    grant, _ = archive(desk, 300)
    desk.nylas.make_folder(grant, "Clients")
    folder = "archive" if named == "archive" else "Clients"
    desk.deliver(grant, desk.mail(grant, ago=200 * DAY), folder=folder)
    backfill = begun(desk, grant, *span(desk), "--folder", named)
    desk.work()
    told = shown(desk, backfill)
    assert (told["folder"], told["found"]) == (desk.nylas.folder_id(grant, folder), 1)
    assert begun(desk, grant, *span(desk), "--folder", desk.nylas.folder_id(grant, folder))


def test_a_folder_that_is_none_is_refused_with_those_there_are(desk: Desk) -> None:
    grant, _ = archive(desk)
    error = desk.told("backfill", "--mailbox", grant, *span(desk), "--folder", "Nowhere", exit_code=2)["error"]
    assert error["reason"] == "unknown_folder"
    assert "Posteingang" in error["advice"]
    desk.nylas.make_folder(grant, "Twins")
    desk.nylas.make_folder(grant, "twins", parent="inbox")
    error = desk.told("backfill", "--mailbox", grant, *span(desk), "--folder", "twins", exit_code=2)["error"]
    assert error["reason"] == "ambiguous_folder"


# a dry run


def test_a_dry_run_says_what_is_known_and_what_would_become_of_the_rest(desk: Desk) -> None:
    grant, messages = archive(desk, 300)
    desk.arrive(grant, desk.mail(grant, ago=2 * HOUR))
    desk.deliver(grant, desk.mail(grant, ago=200 * DAY, subject="Old junk"), folder="junk")
    told = desk.told("backfill", "--mailbox", grant, "--since", "730d", "--dry-run")
    assert (told["known"], told["outcomes"]) == ({"written": 1}, {"tracked": 1, "junk": 1})
    assert {one["message"]: one["outcome"] for one in told["messages"]}[messages[0]] == "tracked"
    said = desk.run("backfill", "--mailbox", grant, "--since", "730d", "--dry-run").stdout
    assert "skipped: junk" in said
    assert "Old junk" in said
    assert (len(desk.emails()), desk.items(), desk.items(SWEEPS)) == (1, [], [])
    assert desk.told("backfill", "list")["backfills"] == []


def test_what_a_dry_run_said_is_what_then_happens(desk: Desk) -> None:
    grant, _ = archive(desk, 300, 301)
    for folder in ("junk", "drafts", "archive"):
        desk.deliver(grant, desk.mail(grant, ago=250 * DAY), folder=folder)
    said = desk.told("backfill", "--mailbox", grant, "--since", "730d", "--dry-run")["outcomes"]
    backfill = begun(desk, grant)
    desk.work()
    told = shown(desk, backfill)
    assert {"tracked": told["counts"]["written"], **told["reasons"]["skipped"]} == said


def test_a_dry_run_shows_the_newest_first_and_leaves_the_last_minutes_out(desk: Desk) -> None:
    grant, messages = archive(desk, 300, 100, 200)
    desk.deliver(grant, desk.mail(grant, ago=60))
    told = desk.told("backfill", "--mailbox", grant, "--since", "730d", "--dry-run")
    assert [one["message"] for one in told["messages"]] == [messages[1], messages[2], messages[0]]
    assert told["until"] <= moment(desk.clock.now - LIVE)


def test_a_dry_run_tells_what_was_erased(desk: Desk) -> None:
    """Another copy of it lies in a mailbox that was connected later."""
    desk.settings["ERASURE_KEY"] = ERASURE_KEY
    grant, _ = archive(desk)
    letter = desk.mail(grant, ago=300 * DAY)
    desk.deliver(grant, letter)
    message_id = canonical_message_id(letter.message_id)
    assert message_id is not None
    Wiring(desk.settings)._tombstones.add([PSEUDONYMS.of_mail(str(activityid_of(message_id)))])
    told = desk.told("backfill", "--mailbox", grant, "--since", "730d", "--dry-run")
    assert told["outcomes"] == {"erased": 1}
    said = desk.run("backfill", "--mailbox", grant, "--since", "730d", "--dry-run").stdout
    assert "skipped: erased" not in said


def test_a_dry_run_of_one_folder_lists_that_alone(desk: Desk) -> None:
    grant, _ = archive(desk, 300)
    desk.deliver(grant, desk.mail(grant, ago=250 * DAY), folder="junk")
    words = ("backfill", "--mailbox", grant, "--since", "730d", "--dry-run", "--folder", "junk")
    assert desk.told(*words)["outcomes"] == {"junk": 1}


# refused


@pytest.mark.parametrize(
    "words",
    [(), ("--mailbox", "any@contoso.example"), ("--since", "7d"), ("--mailbox", "a", "--since", "soon")],
    ids=" ".join,
)
def test_a_backfill_of_nothing_in_particular_is_refused(idle_desk: Desk, words: tuple[str, ...]) -> None:
    said = idle_desk.run("backfill", *words)
    assert said.exit_code == 2
    assert "--since" in said.output


def test_a_mailbox_whose_owner_must_sign_in_is_refused(desk: Desk) -> None:
    grant, _ = archive(desk)
    desk.nylas.expire(grant)
    desk.sweep()
    error = desk.told("backfill", "--mailbox", grant, *span(desk), exit_code=2)["error"]
    assert error["reason"] == "mailbox_not_valid"


def test_while_nylas_throttles_its_page_waits_and_nothing_is_lost(desk: Desk) -> None:
    grant, _ = archive(desk, 300, 301)
    desk.faults["nylas"].add(Fault(Answer(429), path="/messages", times=1))
    backfill = begun(desk, grant)
    page(desk)
    assert shown(desk, backfill)["found"] == 0
    desk.clock.ahead += STALLED + 1
    desk.sweep()
    assert shown(desk, backfill)["counts"] == {"written": 2}


def test_mail_of_the_last_minutes_is_left_to_its_webhooks(desk: Desk) -> None:
    grant, _ = archive(desk)
    desk.deliver(grant, desk.mail(grant, ago=60))
    desk.deliver(grant, desk.mail(grant, ago=HOUR))
    backfill = begun(desk, grant, "--since", "2h")
    desk.work()
    assert shown(desk, backfill)["found"] == 1
    assert desk.told("backfill", "--mailbox", grant, "--since", "10m", exit_code=2)["error"]["reason"] == "too_young"
