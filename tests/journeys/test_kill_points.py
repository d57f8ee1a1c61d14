"""Every kill point is safe, and two workers may meet at any point: each story is told once for each call it makes.

At that call the worker dies, before the call or before its answer, and the queue shows its item again; or another
worker does all of its own work just then.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mailsync.storage.envelope import GrantItem, MessageItem, SweepItem, encode
from sandbox.faults import Answer, Fault
from tests.journeys.mortality import DAY, Town, a_town
from tests.thorough import moments

DONE = {"written", "already_there"}


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    """An ordinary town."""
    with a_town() as town:
        yield town


@pytest.fixture
def old_town(town: Town) -> Iterator[Town]:
    """A town whose Dataverse takes no changesets for emails, so that for a moment there is a draft."""
    town.world.dataverse.behaviour.refuse_changesets = True
    yield town
    town.world.dataverse.behaviour.refuse_changesets = False


def killed_and_shown_again(town: Town, item: MessageItem, moment: int) -> bool:
    """Die at some moment of an item's work, then do it all."""
    killed = town.dies(moment, town.does(item))
    if killed:
        town.does(item)(town.app)
    town.drain()
    return killed


@pytest.mark.parametrize("which", ["town", "old_town"])
def test_a_mail_lands_once_wherever_its_worker_dies(which: str, request: pytest.FixtureRequest) -> None:
    town: Town = request.getfixturevalue(which)
    for moment in moments():
        grant, ida = town.mailbox()
        mail = town.mail(town.contact(), ida)
        item = town.lay(grant, mail)
        killed = killed_and_shown_again(town, item, moment)
        assert town.email(mail)["statuscode"] == 4
        assert town.record(item)["kind"] in DONE
        if not killed:
            break


def test_a_second_copy_changes_nothing_wherever_its_worker_dies(town: Town) -> None:
    (first, ida), (second, marcus) = town.mailbox(), town.mailbox()
    for moment in moments():
        mail = town.mail(town.contact(), ida, cc=(marcus,))
        one, two = town.lay(first, mail), town.lay(second, mail)
        town.does(one)(town.app)
        killed = killed_and_shown_again(town, two, moment)
        assert town.email(mail)
        assert town.record(two)["kind"] == "already_there"
        if not killed:
            break


def test_two_copies_meet_anywhere_and_are_one_email(town: Town) -> None:
    (first, ida), (second, marcus) = town.mailbox(), town.mailbox()
    for moment in moments():
        mail = town.mail(town.contact(), ida, cc=(marcus,))
        one, two = town.lay(first, mail), town.lay(second, mail)
        met = town.interrupted(moment, town.does(one), town.does(two))
        assert town.email(mail)
        if not met:
            break
        assert {town.record(one)["kind"], town.record(two)["kind"]} == DONE


def test_a_reply_hangs_from_its_parent_wherever_the_workers_of_both_meet(town: Town) -> None:
    grant, ida = town.mailbox()
    for moment in moments():
        noor = town.contact()
        parent = town.mail(noor, ida)
        child = town.reply(parent, noor, ida)
        one, two = town.lay(grant, parent), town.lay(grant, child)
        met = town.interrupted(moment, town.does(two), town.does(one))
        if not met:
            break
        assert town.email(child)["_parentactivityid_value"] == town.email(parent)["activityid"], moment


def test_a_parent_takes_its_reply_wherever_the_workers_of_both_meet(town: Town) -> None:
    grant, ida = town.mailbox()
    for moment in moments():
        noor = town.contact()
        parent = town.mail(noor, ida)
        child = town.reply(parent, noor, ida)
        one, two = town.lay(grant, parent), town.lay(grant, child)
        met = town.interrupted(moment, town.does(one), town.does(two))
        if not met:
            break
        assert town.email(child)["_parentactivityid_value"] == town.email(parent)["activityid"], moment


@pytest.mark.parametrize("grandparent", [False, True], ids=["alone", "from its grandparent"])
@pytest.mark.parametrize("dying", ["parent", "reply"])
def test_a_reply_before_its_parent_hangs_from_it_wherever_a_worker_dies(
    town: Town, dying: str, grandparent: bool
) -> None:
    """Though it hung from a mail farther up meanwhile, where that one stood."""
    grant, ida = town.mailbox()
    for moment in moments():
        noor = town.contact()
        first = town.mail(noor, ida)
        if grandparent:
            town.does(town.lay(grant, first))(town.app)
        parent = town.reply(first, ida, noor)
        child = town.reply(parent, noor, ida)
        one, two = town.lay(grant, parent), town.lay(grant, child)
        if dying == "parent":
            town.does(two)(town.app)
            killed = killed_and_shown_again(town, one, moment)
        else:
            killed = town.dies(moment, town.does(two))
            town.does(one)(town.app)
            town.does(two)(town.app)
        assert town.email(child)["_parentactivityid_value"] == town.email(parent)["activityid"], moment
        if not killed:
            break


def test_what_dataverse_refuses_is_put_aside_wherever_its_worker_dies(town: Town) -> None:
    grant, ida = town.mailbox()
    refusal = b'{"error": {"code": "0x80040265", "message": "a plug-in says no"}}'
    fault = Fault(Answer(400, body=refusal), body='"subject":"Refused')
    town.world.faults["dataverse"].add(fault)
    for moment in moments():
        mail = town.mail(town.contact(), ida, subject=f"Refused {moment}")
        item = town.lay(grant, mail)
        killed = killed_and_shown_again(town, item, moment)
        assert town.record(item)["kind"] == "put_aside"
        assert [row["code"] for row in town.aside(item) if item.message in row["envelope"]] == ["0x80040265"]
        if not killed:
            break
    town.world.faults["dataverse"].clear()


def test_a_sweep_finds_all_wherever_it_dies(town: Town) -> None:
    """What it noted and had not yet put on the queue is old enough to lie outside the next windows."""
    for moment in moments():
        town.disconnect_all()
        grant, ida = town.mailbox(days_old=5)
        when = int(town.clock()) - 4 * DAY - DAY // 2
        mails = [town.mail(town.contact(), ida, date=when + number) for number in range(3)]
        for mail in mails:
            town.lay(grant, mail)
        sweep = SweepItem(grant=grant, source="timer", first_seen=int(town.clock()))
        killed = town.dies(moment, town.does(sweep))
        town.drain()
        town.sweep_for(1200)
        for mail in mails:
            assert town.email(mail), moment
        if not killed:
            break


@pytest.mark.parametrize("dying", ["deferral", "return"])
def test_mail_that_waits_for_a_renewed_grant_lands_wherever_a_worker_dies(town: Town, dying: str) -> None:
    for moment in moments():
        town.disconnect_all()
        grant, ida = town.mailbox(days_old=5)
        town.sweep_for(1)
        mail = town.mail(town.contact(), ida, date=int(town.clock()) - 4 * DAY)
        item = town.lay(grant, mail)
        town.world.nylas.expire(grant)
        if dying == "deferral":
            killed = killed_and_shown_again(town, item, moment)
        else:
            town.does(item)(town.app)
        assert town.record(item)["kind"] == "deferred"
        town.clock.ahead += 600
        town.world.nylas.reauthenticate(grant)
        if dying == "return":
            sweep = SweepItem(grant=grant, source="grant.updated", first_seen=int(town.clock()))
            killed = town.dies(moment, town.does(sweep))
            town.drain()
        town.sweep_for(1200)
        assert town.email(mail), moment
        if not killed:
            break


def test_an_item_from_the_poison_queue_is_kept_wherever_its_worker_dies(town: Town) -> None:
    for moment in moments():
        grant, ida = town.mailbox()
        item = town.lay(grant, town.mail(town.contact(), ida))
        again = MessageItem(**{**{name: getattr(item, name) for name in item.__struct_fields__}, "revived": True})
        text = encode(again).encode()
        killed = town.dies(moment, lambda app, text=text: app.collect(text))
        town.app.collect(text)
        assert town.record(item)["kind"] == "put_aside"
        assert [row["reason"] for row in town.aside(item)] == ["poison"]
        if not killed:
            break


def test_a_grant_that_expires_is_recorded_wherever_its_worker_dies(town: Town) -> None:
    for moment in moments():
        grant, _ = town.mailbox()
        now = int(town.clock())
        item = GrantItem(grant=grant, event="grant.expired", source="grant.expired", first_seen=now, at=now)
        killed = town.dies(moment, town.does(item))
        town.does(item)(town.app)
        if not killed:
            break
