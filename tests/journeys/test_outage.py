"""A day without Dataverse, in seconds."""

from __future__ import annotations

from sandbox.chaos.outage import live_through

MESSAGES = 40


def test_after_a_day_without_dataverse_nothing_is_lost_doubled_or_put_aside() -> None:
    """What waits goes round with growing delays, and lands once Dataverse is back."""
    told: list[str] = []
    day = live_through(told.append, hurry=8640, messages=MESSAGES)
    assert day.holds, (told, day)
    assert day.landed == MESSAGES
    assert day.reached > 0
    assert day.tries > MESSAGES
