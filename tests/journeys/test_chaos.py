"""The chaos of `make chaos`, small: nothing is lost and nothing doubled while everything goes wrong at once."""

from __future__ import annotations

from sandbox.chaos.story import Plan, Story

SMALL = Plan(seed=3, messages=80, minutes=2.0, hurry=24.0, kills=5, refused=2, outage=2.0, rate=20.0, spell=2.0)


def test_nothing_is_lost_and_nothing_doubled_whatever_goes_wrong() -> None:
    """Two instances are killed again and again, vendors fail in every way they know, webhooks are lost and repeated."""
    told: list[str] = []
    result = Story(SMALL, told.append).run()
    assert not result.problems, (told, dict(result.counts))
    assert result.counts["messages"] >= SMALL.messages
    assert result.counts["kills"] >= SMALL.kills
    assert result.counts["webhooks never sent"] > 0
    assert result.counts["sent twice"] > 0
    assert sum(result.faults.values()) >= SMALL.kills
    assert result.counts["emails found"] == result.counts["emails expected"] > SMALL.messages / 2
    assert result.counts["put aside"] >= SMALL.refused
    assert result.counts["verify: unexplained"] == 0
