"""The sweep finds what no webhook told of, and costs next to nothing when there is nothing to find."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sandbox.azurite import Azurite
from sandbox.faults import Answer, Fault
from sandbox.host import HostProcess
from sandbox.world import APP
from tests.journeys.office import POLL, Office, cost_of, opened


@pytest.fixture(scope="module")
def office(azurite: Azurite) -> Iterator[Office]:
    """An office of so little mail that each mailbox's window is one page."""
    with opened(azurite, 7) as quiet:
        yield quiet
        assert {row["reason"] for row in quiet.aside()} <= {"mailbox_disconnected"}


@pytest.mark.parametrize("provider", ["google", "microsoft", "imap", "ews"])
def test_a_message_whose_webhook_never_came_is_found(office: Office, provider: str) -> None:
    """Whatever the provider; with EWS, which lists by the day, too."""
    with office.connected_for_now("Saga", provider) as saga:
        copy = office.lay(office.mail(office.contact(), saga.owner), saga, notify=False)
        assert office.record(copy) == {}
        if provider == "ews":  # swept hourly by the timer, and at once when somebody asks
            office.tell_again("grant.created", saga)
        else:
            office.sweep(saga)
        record = office.outcome(copy)
        assert (record["kind"], record["source"]) == ("written", "sweep")


def test_the_timer_sweeps_by_itself(office: Office) -> None:
    """On the schedule that SWEEP_SCHEDULE names."""
    copy = office.lay(office.mail(office.contact(), office.ida.owner), notify=False)
    settings = {**office.world.settings(), "SWEEP_SCHEDULE": "* * * * * *"}
    with HostProcess(APP, settings, max_poll=POLL):
        assert office.outcome(copy)["source"] == "sweep"


def test_mail_older_than_the_mailbox_s_connection_is_not_swept(office: Office) -> None:
    """Bringing it in is a backfill, which somebody has to want."""
    old = office.mail(office.contact(), office.ida.owner, date=int(time.time()) - 600)
    new = office.mail(office.contact(), office.ida.owner)
    copies = [office.lay(mail, notify=False) for mail in (old, new)]
    office.sweep()
    assert office.outcome(copies[1])["kind"] == "written"
    assert office.record(copies[0]) == {}


def test_a_sweep_that_finds_nothing_asks_dataverse_nothing_and_nylas_for_one_page(office: Office) -> None:
    """One page for each mailbox, and one of grants for all of them."""
    copies = [office.lay(office.mail(office.contact(), office.ida.owner), notify=False) for _ in range(3)]
    office.sweep()
    for copy in copies:
        office.outcome(copy, "written")
    with cost_of(office.world) as spent:
        office.sweep()
    assert spent[0].dataverse == 0
    assert spent[0].nylas == {"GET grants": 1, "GET messages": 2}


def test_a_sweep_goes_through_every_page(particular: Office) -> None:
    """Ten messages are four pages here; none is enqueued twice."""
    copies = [
        particular.lay(particular.mail(particular.contact(), particular.ida.owner), notify=False) for _ in range(10)
    ]
    with cost_of(particular.world) as spent:
        particular.sweep()
    assert spent[0].nylas["GET messages"] >= 5
    for copy in copies:
        assert particular.outcome(copy)["kind"] == "written"
    assert sum(len(particular.said("message_known", message=copy.id)) for copy in copies) == 0


def test_a_window_is_listed_anew_when_a_page_cursor_fails(particular: Office) -> None:
    """A cursor that Nylas refuses never ends in a window that was not listed to its end."""
    copies = [
        particular.lay(particular.mail(particular.contact(), particular.ida.owner), notify=False) for _ in range(7)
    ]
    refused = Fault(Answer(400, body=b'{"error": {"type": "invalid_request_error"}}'), path="page_token", times=2)
    particular.world.faults["nylas"].add(refused)
    particular.sweep()
    assert particular.world.faults["nylas"].count(refused) == 2
    for copy in copies:
        assert particular.outcome(copy)["kind"] == "written"


def test_a_sweep_that_fails_leaves_its_window_to_the_next(office: Office) -> None:
    """The watermark moves only after the last page."""
    mailbox = office.marcus
    copy = office.lay(office.mail(office.contact(), mailbox.owner), mailbox, notify=False)
    broken = Fault(Answer(502, body=b"<html>Bad Gateway</html>"), path=f"{mailbox.grant}/messages", times=1)
    office.world.faults["nylas"].add(broken)
    before = office.mailbox_row(mailbox)
    office.sweep(office.ida)
    office.world.wait("the sweep to fail", lambda: office.said("item_deferred", grant=mailbox.grant))
    assert office.mailbox_row(mailbox)["watermark"] == before["watermark"]
    office.sweep()
    assert office.outcome(copy)["kind"] == "written"
    assert int(office.mailbox_row(mailbox)["watermark"]) > int(before["watermark"])


def test_a_mailbox_that_was_just_connected_is_swept(office: Office) -> None:
    """grant.created alone finds the mail that nobody told of."""
    with office.connected_for_now("Nora", told=False) as nora:
        copy = office.lay(office.mail(office.contact(), nora.owner), nora, notify=False)
        office.tell_again("grant.created", nora)
        record = office.outcome(copy)
    assert (record["kind"], record["source"]) == ("written", "sweep")


def test_an_imap_mailbox_is_swept_when_its_first_synchronisation_is_done(office: Office) -> None:
    """Before that Nylas may not list all it holds."""
    with office.connected_for_now("Nils", "imap") as nils:
        copy = office.lay(office.mail(office.contact(), nils.owner), nils, notify=False)
        office.world.nylas.complete_imap_sync(nils.grant)
        assert office.outcome(copy)["kind"] == "written"


def test_an_expired_mailbox_is_recorded_and_left_alone_until_it_is_back(office: Office) -> None:
    """What came meanwhile is found by the sweep that its owner's new sign-in starts."""
    world = office.world
    with office.connected_for_now("Olaf") as olaf:
        world.nylas.expire(olaf.grant)
        world.wait("the expiry to be recorded", lambda: office.mailbox_row(olaf)["status"] == "invalid")
        assert int(office.mailbox_row(olaf)["expired"]) > 0
        copy = office.lay(office.mail(office.contact(), olaf.owner), olaf, notify=False)
        with cost_of(world) as spent:
            office.sweep()
        assert spent[0].nylas == {"GET grants": 1, "GET messages": 2}
        assert office.record(copy) == {}
        world.nylas.reauthenticate(olaf.grant)
        assert office.outcome(copy)["kind"] == "written"
        world.wait("the mailbox to be valid again", lambda: office.mailbox_row(olaf)["status"] == "valid")
        assert office.mailbox_row(olaf)["expired"] == ""


def test_mail_that_was_told_of_before_its_mailbox_expired_lands_once_it_is_back(office: Office) -> None:
    """It leaves the queue, waits in the journal, and asks Nylas nothing meanwhile."""
    world = office.world
    with office.connected_for_now("Runa") as runa:
        copies = [office.lay(office.mail(office.contact(), runa.owner), runa, notify=False) for _ in range(3)]
        world.nylas.expire(runa.grant)
        for copy in copies:
            office.tell_by_hand(copy)
            office.outcome(copy, "deferred")
        world.wait("the queue to be empty", lambda: office.queued("nylas-messages") == 0)
        assert {office.record(copy)["reason"] for copy in copies} == {"grant"}
        world.nylas.reauthenticate(runa.grant)
        for copy in copies:
            office.outcome(copy, "written", "already_there")
    assert office.said("grant_recorded", grant=runa.grant, what="renewed")


def test_a_mailbox_that_is_gone_is_recorded_and_its_unread_mail_put_aside(office: Office) -> None:
    """No sign-in brings it back: a person must connect it anew, and know what was missed."""
    with office.connected_for_now("Pia") as pia:
        copy = office.lay(office.mail(office.contact(), pia.owner), pia, notify=False)
    office.world.wait("the end to be recorded", lambda: office.mailbox_row(pia)["status"] == "deleted")
    with cost_of(office.world) as spent:
        office.sweep()
    assert spent[0].nylas["GET messages"] == 2
    office.tell_by_hand(copy)
    record = office.outcome(copy)
    assert (record["kind"], record["reason"]) == ("put_aside", "mailbox_disconnected")


def test_a_mailbox_that_is_connected_anew_goes_on_where_it_was(office: Office) -> None:
    """It has another grant: no email comes twice, and what came before the new connection is found."""
    rune = office.colleague("Rune")
    mail, between = (office.mail(office.contact(), rune) for _ in range(2))
    with office.connected_for_now(rune) as before:
        first = office.outcome(office.lay(mail, before))
    with office.connected_for_now(rune, told=False, created_at=time.time() + 60) as anew:
        copies = [office.lay(mail, anew, notify=False), office.lay(between, anew, notify=False)]
        office.tell_again("grant.created", anew)
        again, found = (office.outcome(copy) for copy in copies)
    assert before.grant != anew.grant
    assert [one["kind"] for one in (first, again, found)] == ["written", "already_there", "written"]
    assert len(office.emails(mail)) == 1


def test_another_change_of_a_grant_starts_no_sweep(office: Office) -> None:
    """Only a new sign-in means that mail may have been missed."""
    begin = len(office.world.host.log)
    with cost_of(office.world) as spent:
        office.world.nylas.update_grant(office.ida.grant)
        office.world.nylas.wait_idle()
        office.outcome(office.lay(office.mail(office.contact(), office.ida.owner)), "written")
    assert not office.said("sweep_window_done", since=begin)
    assert spent[0].nylas == {"GET messages/id": 1, "GET messages/id raw_mime": 1}
