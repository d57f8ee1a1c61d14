"""A backfill from beginning to end: wherever its worker dies, whoever meets it, and by commands of other processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from mailsync.backfill import HESITATION, STALLED
from mailsync.storage.backfills import Backfill
from mailsync.storage.envelope import SweepItem
from mailsync.wiring import Wiring
from sandbox.azurite import Azurite
from sandbox.mail import Mail
from tests.journeys.mortality import DAY, Town, a_town
from tests.journeys.office import Mailbox, Office, opened
from tests.thorough import moments

AGE = 400 * DAY
PAGE = 2


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    """A town whose app lists two messages a page."""
    with a_town() as town:
        town.world.host.stop()
        yield town


def begun(town: Town, monkeypatch: pytest.MonkeyPatch, mails: int = 3) -> tuple[Backfill, list[Mail], SweepItem]:
    """A backfill of a mailbox connected just now, with so many old mails; and the item that is due."""
    monkeypatch.setenv("SWEEP_PAGE_SIZE", str(PAGE))
    town.app = town.started()
    town.disconnect_all()
    grant, ida = town.mailbox()
    when = int(town.clock()) - AGE
    old = [town.mail(town.contact(), ida, date=when + number * 100) for number in range(mails)]
    for mail in old:
        town.lay(grant, mail)
    mailbox = town.app.mailbox(grant)
    backfill = town.app.backfiller.start(mailbox, since=when - 10, until=when + DAY, bypass=True)
    town.make_queues()
    item = SweepItem(
        grant=grant, source=backfill.source, first_seen=int(town.clock()), backfill=backfill.id, turn=backfill.turn
    )
    return backfill, old, item


def all_stand_once(town: Town, backfill: Backfill, old: list[Mail], moment: int) -> None:
    """Whatever happened, the timer comes by, and then each mail stands once and the backfill says so."""
    town.drain()
    town.clock.ahead += STALLED + 1
    town.sweep_for(1)
    for mail in old:
        assert town.email(mail)["statuscode"] == 4, moment
    progress = town.app.backfiller.progress(town.app.backfiller.named(backfill.id))
    assert progress.is_over, moment
    assert (progress.backfill.found, progress.backfill.known) == (len(old), 0), moment
    assert sum(progress.counts.values()) == len(old), moment
    assert all(one.nothing for one in town.world.dataverse.automation), moment


@pytest.mark.parametrize("shown_again", [True, False], ids=["its item is shown again", "its item is lost"])
def test_a_backfill_brings_all_once_wherever_its_worker_dies(
    town: Town, monkeypatch: pytest.MonkeyPatch, shown_again: bool
) -> None:
    for moment in moments():
        backfill, old, item = begun(town, monkeypatch)
        killed = town.dies(moment, town.does(item))
        if killed and shown_again:
            town.clock.ahead += HESITATION  # the queue hides what a dead process held for minutes
            town.does(item)(town.app)
        all_stand_once(town, backfill, old, moment)
        if not killed:
            break
    assert moment > 8, "it was killed at many of its calls"


def test_two_items_of_one_turn_meet_anywhere_and_bring_all_once(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    for moment in moments():
        backfill, old, item = begun(town, monkeypatch)
        met = town.interrupted(moment, town.does(item), town.does(item))
        town.clock.ahead += HESITATION
        all_stand_once(town, backfill, old, moment)
        if not met:
            break


@pytest.mark.parametrize("wish", ["pause", "cancel"])
def test_a_wish_meets_its_worker_anywhere_and_is_kept(town: Town, monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    """Paused it rests, and once resumed brings all once; cancelled it never lists again."""
    for moment in moments():
        backfill, old, item = begun(town, monkeypatch, mails=2 * PAGE + 1)
        met = town.interrupted(moment, town.does(item), _wishes(wish, backfill))
        if not met:
            break
        town.drain()
        town.clock.ahead += STALLED + 1
        town.sweep_for(1)
        stands = town.app.backfiller.named(backfill.id)
        assert stands.state == {"pause": "paused", "cancel": "cancelled"}[wish], moment
        written = sum(bool(town.world.dataverse.rows("email", subject=mail.subject)) for mail in old)
        assert written <= PAGE, moment
        if wish == "pause":
            town.app.backfiller.resume(backfill.id)
            all_stand_once(town, backfill, old, moment)


def _wishes(wish: str, backfill: Backfill) -> Callable[[Wiring], object]:
    return lambda app: getattr(app.backfiller, wish)(backfill.id)


# by commands of other processes, with the app running


@pytest.fixture(scope="module")
def archive(azurite: Azurite) -> Iterator[Office]:
    """An office whose app lists five messages a page."""
    with opened(azurite, 19, settings={"SWEEP_PAGE_SIZE": "5"}) as office:
        yield office


@pytest.fixture
def olga(archive: Office) -> Iterator[Mailbox]:
    with archive.connected_for_now("Olga", "microsoft") as olga:
        yield olga


def lay_old(archive: Office, mailbox: Mailbox, number: int) -> list[Mail]:
    when = int(time.time()) - AGE
    mails = [archive.mail(archive.contact(), mailbox.owner, date=when + place * 60) for place in range(number)]
    for mail in mails:
        archive.lay(mail, mailbox, notify=False)
    return mails


def test_old_mail_lands_while_live_mail_comes_and_the_watch_tells_of_it(archive: Office, olga: Mailbox) -> None:
    old = lay_old(archive, olga, 23)
    begun = archive.command("backfill", "--mailbox", olga.grant, "--since", "500d", "--automation", "bypass")
    live = archive.receive(archive.mail(archive.contact(), olga.owner), olga)
    archive.world.wait("all of it", lambda: archive.world.dataverse.count("email", statecode=1) >= 24, seconds=60)
    archive.world.wait("its end", lambda: archive.said("backfill_moved", backfill=begun["id"], what="done"))
    archive.world.wait("an empty queue", lambda: not archive.queued("nylas-messages"))
    told = archive.command("backfill", "show", begun["id"])
    assert (told["state"], told["found"], told["counts"]) == ("done", 23, {"written": 23})
    assert all(len(archive.emails(mail)) == 1 for mail in old)
    ran = {one.row for one in archive.world.dataverse.automation if not one.nothing}
    assert ran == {live["activityid"]}, "of all this only the live mail was answered"
    assert archive.command("verify", "--mailbox", olga.grant, "--since", "500d")["holds"]


@pytest.fixture
def slow(archive: Office) -> Iterator[None]:
    """Dataverse takes its time."""
    archive.world.dataverse.delay = 0.4
    yield
    archive.world.dataverse.delay = 0.0


@pytest.mark.usefixtures("slow")
def test_pausing_and_cancelling_from_another_terminal_is_heard(archive: Office, olga: Mailbox) -> None:
    lay_old(archive, olga, 140)
    begun = archive.command("backfill", "--mailbox", olga.grant, "--since", "500d", "--automation", "run")
    archive.world.wait("a page of it", lambda: archive.said("backfill_moved", backfill=begun["id"], what="page"))
    assert archive.command("backfill", "pause", begun["id"])["state"] == "paused"
    rested = archive.command("backfill", "show", begun["id"])
    time.sleep(3)
    assert archive.command("backfill", "show", begun["id"])["found"] == rested["found"] < 140
    assert archive.command("backfill", "resume", begun["id"])["state"] == "running"
    archive.world.wait(
        "another page",
        lambda: archive.command("backfill", "show", begun["id"])["found"] > rested["found"],
        seconds=60,
    )
    ended = archive.command("backfill", "cancel", begun["id"])
    assert (ended["state"], ended["found"] < 140) == ("cancelled", True)


def test_an_app_that_is_killed_in_a_backfill_goes_on_with_it(azurite: Azurite) -> None:
    """What the dead process held is shown again, or is taken up by the timer."""
    with (
        opened(azurite, 20, settings={"SWEEP_PAGE_SIZE": "5"}, visibility=2) as office,
        office.connected_for_now("Pavel", "microsoft") as pavel,
    ):
        old = lay_old(office, pavel, 30)
        begun = office.command("backfill", "--mailbox", pavel.grant, "--since", "500d", "--automation", "bypass")
        for _ in range(2):
            pages = len(office.said("backfill_moved", what="page"))
            office.world.wait("more", lambda pages=pages: len(office.said("backfill_moved", what="page")) > pages)
            office.world.host.kill()
            office.world.host.start()
        office.world.wait("all of it", lambda: office.world.dataverse.count("email") >= 30, seconds=90)
        office.world.wait("its end", lambda: office.command("backfill", "show", begun["id"])["over"], seconds=60)
        told = office.command("backfill", "show", begun["id"])
        assert (told["found"], sum(told["counts"].values())) == (30, 30)
        assert told["counts"].keys() <= {"written", "already_there"}, (
            "whoever died between write and note finds it there"
        )
        assert all(len(office.emails(mail)) == 1 for mail in old)
