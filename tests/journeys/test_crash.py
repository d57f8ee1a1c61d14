"""The app is killed in the middle of its work and started again: nothing is lost, and nothing is there twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.azurite import Azurite
from tests.journeys.office import Office, opened


@pytest.fixture(scope="module")
def mortal(azurite: Azurite) -> Iterator[Office]:
    """An office whose queues show a message again soon after its worker died; the real host takes ten minutes."""
    with opened(azurite, 5, visibility=2) as office:
        yield office


def test_mail_lands_once_although_the_app_is_killed_twice_while_it_writes(mortal: Office) -> None:
    """Wherever the kills find each message: before its write, in it, or between it and the note of it."""
    world = mortal.world
    mails = [mortal.mail(mortal.contact(), mortal.ida.owner) for _ in range(24)]
    copies = [mortal.lay(mail) for mail in mails]
    world.nylas.wait_idle()
    world.dataverse.delay = 0.05
    for landed in (5, 15):
        world.wait("some mails to land", lambda landed=landed: world.dataverse.count("email", statecode=1) >= landed)
        world.host.kill()
        assert world.dataverse.count("email") < len(mails)
        world.host.start()
    world.dataverse.delay = 0.0
    for mail, copy in zip(mails, copies, strict=True):
        assert mortal.outcome(copy)["kind"] in {"written", "already_there"}
        assert [row["statecode"] for row in mortal.emails(mail)] == [1]
    assert mortal.aside() == []
    assert mortal.poisoned() == 0


def test_a_sweep_that_is_killed_halfway_loses_nothing(mortal: Office) -> None:
    """What it had found and not yet put on the queue, the next sweep finds again."""
    world = mortal.world
    copies = [mortal.lay(mortal.mail(mortal.contact(), mortal.ida.owner), notify=False) for _ in range(40)]
    world.sweep()
    world.wait(
        "the first of them to be found",
        lambda: mortal.queued("nylas-messages") or mortal.rows("journal", "source eq 'sweep'"),
    )
    world.host.kill()
    world.host.start()
    mortal.end_lease(mortal.ida)  # and perhaps Marcus's mailbox was being swept too
    mortal.sweep(mortal.ida)
    for copy in copies:
        assert mortal.outcome(copy)["kind"] in {"written", "already_there"}
