"""When to try again: one rule for every delay between two attempts at the same item.

Three heights, from short to long. In place: `transport` sends a request once more when a pooled connection
turned out to be dead, and nothing else. By delay: an item in trouble goes back to its queue, hidden for as
long as `delay` says. By the host: host.json's dequeue count, which only a crashed process reaches.
"""

from __future__ import annotations

from random import Random

FIRST = 2.0
"""Seconds: the widest first delay."""
LONGEST = 900.0
"""Seconds: no delay of ours is longer; a vendor's Retry-After may be."""
JITTER_ON_RETRY_AFTER = 0.1
"""Share added to a Retry-After, so that waiting items don't come back in one instant."""


def delay(attempt: int, *, retry_after: float | None, random: Random) -> float:
    """Seconds to wait before attempt number `attempt` + 1: the vendor's word, else exponential with full jitter."""
    if retry_after is not None:
        return max(1.0, retry_after * (1 + random.random() * JITTER_ON_RETRY_AFTER))
    ceiling = min(LONGEST, FIRST * 2 ** min(max(attempt, 0), 20))
    return max(1.0, random.uniform(0, ceiling))
