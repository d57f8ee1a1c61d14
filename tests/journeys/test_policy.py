"""The policy file decides what belongs in the CRM; each skip names its rule, and a broken file costs no mail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.azurite import Azurite
from tests.journeys.office import Office, opened

POLICY = """
track = "known"
internal_only = "track"
thread = "first"
[deny]
participants = ["Press@Lottery.example", "tabloid.example"]
"""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that TRACKING_POLICY names."""
    path = tmp_path_factory.mktemp("policy") / "strict.toml"
    path.write_text(POLICY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def strict(azurite: Azurite, policy: Path) -> Iterator[Office]:
    """An office that lets in the first mails of people it knows, and its own people's."""
    with opened(azurite, 6, settings={"TRACKING_POLICY": str(policy)}) as office:
        yield office


def test_mail_of_somebody_known_lands(strict: Office) -> None:
    assert strict.outcome(strict.lay(strict.mail(strict.contact(), strict.ida.owner)))["kind"] == "written"


def test_mail_of_nobody_known_stays_out(strict: Office) -> None:
    record = strict.outcome(strict.lay(strict.mail(strict.stranger(), strict.ida.owner)))
    assert (record["kind"], record["reason"]) == ("skipped", "unknown_people")


def test_mail_among_ourselves_lands_as_outgoing(strict: Office) -> None:
    """About nobody, for nobody in it is a customer."""
    email = strict.receive(strict.mail(strict.ida.owner, strict.marcus.owner), strict.ida, "sent")
    assert (email["directioncode"], email["statuscode"], email["_regardingobjectid_value"]) == (True, 3, None)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("press@lottery.example", id="an address"),
        pytest.param("Ed@Tabloid.Example", id="a domain"),
        pytest.param("ed@news.tabloid.example", id="a domain below it"),
    ],
)
def test_mail_with_a_denied_participant_stays_out(strict: Office, address: str) -> None:
    """In whatever place, beside people who are known."""
    denied = strict.stranger()
    mail = strict.mail(strict.contact(), strict.ida.owner, cc=[type(denied)("Ed", address)])
    record = strict.outcome(strict.lay(mail))
    assert (record["kind"], record["reason"]) == ("skipped", "deny_participant")


def test_an_answer_stays_out_where_first_mails_are_wanted(strict: Office) -> None:
    noor, ida = strict.contact(), strict.ida.owner
    first = strict.mail(noor, ida)
    assert strict.outcome(strict.lay(first))["kind"] == "written"
    record = strict.outcome(strict.lay(strict.reply(first, ida, noor), strict.ida, "sent"))
    assert (record["kind"], record["reason"]) == ("skipped", "thread_first")


def test_mail_waits_while_the_policy_is_broken_and_lands_once_it_is_mended(strict: Office, policy: Path) -> None:
    """The log names file, line and key of every mistake in one line; the webhook goes on taking mail in."""
    policy.write_text(POLICY.replace("thread", "threads").replace("known", "knwon"), encoding="utf-8")
    begin = restarted(strict)
    copy = strict.lay(strict.mail(strict.contact(), strict.ida.owner))
    strict.world.wait("the wait to be told", lambda: strict.said("item_deferred", since=begin, message=copy.id))
    line = strict.said("item_deferred", since=begin, message=copy.id)[0]
    assert strict.record(copy)["kind"] == "deferred"
    policy.write_text(POLICY, encoding="utf-8")
    restarted(strict)
    assert strict.outcome(copy)["kind"] == "written"
    assert strict.aside() == []
    assert strict.poisoned() == 0
    assert "strict.toml:2: track" in line
    assert "strict.toml:4: threads" in line


def restarted(office: Office) -> int:
    """Start the app anew, as after a deployment; returns where its log goes on."""
    office.world.host.stop()
    begin = len(office.world.host.log)
    office.world.host.start()
    return begin
