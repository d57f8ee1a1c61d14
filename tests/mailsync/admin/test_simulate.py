"""`simulate` judges real mail by policies that need not be deployed, and changes nothing; `policy check` reads one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Answer, Fault
from sandbox.mail import Person
from tests.mailsync.admin.desk import HOUR, Desk

KNOWN = "track = 'known'\n"
NO_LISTS = "bulk = 'skip'\n"


@pytest.fixture
def policies(tmp_path: Path) -> tuple[str, str]:
    """Two policies as files."""
    for name, text in (("known.toml", KNOWN), ("no-lists.toml", NO_LISTS)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return str(tmp_path / "known.toml"), str(tmp_path / "no-lists.toml")


def lay(desk: Desk, provider: str = "microsoft") -> str:
    """Mail of a contact, of a stranger, of a list, private mail and mail in the junk folder."""
    grant = desk.connect(provider=provider)
    desk.dataverse.add("contact", lastname="Dora", emailaddress1="dora@fabrikam.example")
    desk.deliver(grant, desk.mail(grant, ago=5 * HOUR, subject="From a contact"))
    stranger = Person(None, "sam@nowhere.example")
    desk.deliver(grant, desk.mail(grant, ago=4 * HOUR, subject="From a stranger", sender=stranger))
    desk.deliver(
        grant,
        desk.mail(
            grant, ago=3 * HOUR, subject="A list", sender=Person(None, "l@list.example"), headers=(("List-Id", "<l>"),)
        ),
    )
    desk.deliver(grant, desk.mail(grant, ago=2 * HOUR, subject="Private", headers=(("Sensitivity", "Private"),)))
    desk.deliver(grant, desk.mail(grant, ago=HOUR, subject="Junk"), folder="junk")
    return grant


def outcomes(told: dict[str, Any]) -> dict[str, list[str]]:
    return {one["subject"]: one["outcomes"] for one in told["messages"]}


@pytest.mark.parametrize("provider", ["microsoft", "imap"])
def test_the_deployed_policy_says_what_becomes_of_each_message(desk: Desk, provider: str) -> None:
    grant = lay(desk, provider)
    told = desk.told("simulate", "--since", "1d")
    assert outcomes(told) == {
        "From a contact": ["tracked"],
        "From a stranger": ["tracked"],
        "A list": ["tracked"],
        "Private": ["private"],
        "Junk": ["junk"],
    }
    assert told["counts"] == [{"tracked": 3, "private": 1, "junk": 1}]
    assert {one["grant"] for one in told["messages"]} == {grant}
    assert next(one["with"] for one in told["messages"] if one["subject"] == "A list") == "l@list.example"


def test_before_the_first_sweep_it_knows_the_organisation_by_what_nylas_lists(desk: Desk) -> None:
    """As the quickstart has it: what the rules would say is wanted before anything runs."""
    now = desk.clock()
    grants = [desk.nylas.connect(f"{name}@contoso.example", "microsoft", created_at=now) for name in ("ann", "ben")]
    desk.deliver(grants[0], desk.mail(grants[0], subject="Among us", sender=Person("Ben", "ben@contoso.example")))
    desk.deliver(grants[0], desk.mail(grants[0], subject="From outside"))
    told = desk.told("simulate", "--since", "1d")
    assert outcomes(told) == {"Among us": ["internal_only"], "From outside": ["tracked"]}
    assert not desk.app._mailboxes.all()


def test_it_writes_nothing_and_the_journal_hears_of_nothing(desk: Desk) -> None:
    grant = lay(desk)
    desk.told("simulate", "--mailbox", grant, "--since", "1d")
    assert desk.emails() == []
    assert desk.items() == []
    assert not list(desk.app._journal.entries(grant, 0, desk.clock.now))
    assert not [one for one in desk.dataverse.log if any(word in str(one) for word in ("POST emails", "PATCH"))]


def test_two_policies_are_compared_by_person_domain_and_rule(desk: Desk, policies: tuple[str, str]) -> None:
    lay(desk)
    words = ("simulate", "--since", "1d", "--policy", policies[0], "--policy", policies[1])
    told = desk.told(*words)
    assert told["differing"] == 2
    assert outcomes(told)["From a stranger"] == ["unknown_people", "tracked"]
    assert outcomes(told)["A list"] == ["unknown_people", "bulk"]
    shown = desk.run(*words).stdout
    assert "2 messages are judged otherwise" in shown
    assert "sam@nowhere.example" in shown
    assert "nowhere.example" in shown


def test_each_policy_matches_people_as_it_says_itself(desk: Desk, policies: tuple[str, str], tmp_path: Path) -> None:
    grant = desk.connect(provider="microsoft")
    for _ in range(2):
        desk.dataverse.add("contact", lastname="Twin", emailaddress1="twin@fabrikam.example")
    desk.deliver(grant, desk.mail(grant, ago=HOUR, subject="Hello", sender=Person(None, "twin@fabrikam.example")))
    other = tmp_path / "unresolved.toml"
    other.write_text(f"{KNOWN}people.tie = 'unresolved'\n", encoding="utf-8")
    told = desk.told("simulate", "--since", "1d", "--policy", policies[0], "--policy", str(other))
    assert outcomes(told) == {"Hello": ["tracked", "unknown_people"]}


def test_what_the_app_then_does_is_what_was_said(desk: Desk) -> None:
    grant = lay(desk)
    said = {one["message"]: one["outcomes"][0] for one in desk.told("simulate", "--since", "1d")["messages"]}
    for message in said:
        desk.notify(grant, message)
    desk.work()
    entries = {one.message: one for one in desk.app._journal.entries(grant, 0, desk.clock.now)}
    assert {message: ("tracked" if one.activityid else one.reason) for message, one in entries.items()} == said


def test_mail_that_is_gone_meanwhile_is_called_that(desk: Desk) -> None:
    grant = desk.connect(provider="google")
    message = desk.deliver(grant)
    desk.faults["nylas"].add(Fault(Answer(404), path=f"messages/{message}"))
    assert desk.told("simulate", "--since", "1d")["counts"] == [{"gone": 1}]


def test_more_than_two_policies_are_too_many(idle_desk: Desk, policies: tuple[str, str]) -> None:
    words = [word for file in (*policies, policies[0]) for word in ("--policy", file)]
    assert idle_desk.run("simulate", *words).exit_code == 2


# a policy file


def test_a_policy_that_can_be_used_is_told_with_its_version(idle_desk: Desk, policies: tuple[str, str]) -> None:
    told = idle_desk.told("policy", "check", policies[0])
    assert (told["file"], told["mailboxes"], len(told["version"])) == ("known.toml", 0, 12)


def test_every_mistake_of_a_policy_is_named_by_line_and_key(idle_desk: Desk, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("track = 'some'\n[deny]\nsender = []\n", encoding="utf-8")
    advice = idle_desk.told("policy", "check", str(wrong), exit_code=2)["error"]["advice"]
    assert "wrong.toml:1: track" in advice
    assert "wrong.toml:3: deny.sender is no key of this file (is senders meant?)" in advice


def test_a_policy_file_that_is_not_there_is_said_so(idle_desk: Desk) -> None:
    assert "nowhere.toml" in idle_desk.told("policy", "check", "nowhere.toml", exit_code=2)["error"]["advice"]


def test_the_schema_is_printed_for_editors(idle_desk: Desk) -> None:
    result = idle_desk.run("policy", "schema")
    assert '"additionalProperties": false' in result.stdout
