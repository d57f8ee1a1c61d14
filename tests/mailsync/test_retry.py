"""The delay before another attempt: the vendor's word when there is one, else exponential with full jitter."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync.retry import LONGEST, delay
from mailsync.transport import LONGEST_RETRY_AFTER

randoms = st.integers(0, 2**32).map(Random)


@given(attempt=st.integers(-5, 10_000), random=randoms)
def test_it_grows_from_a_second_or_two_to_a_quarter_of_an_hour(attempt: int, random: Random) -> None:
    waited = delay(attempt, retry_after=None, random=random)
    assert 1.0 <= waited <= max(1.0, min(LONGEST, 2.0 * 2 ** min(max(attempt, 0), 30)))


def test_it_grows_on_average() -> None:
    random = Random(1)
    means = [sum(delay(attempt, retry_after=None, random=random) for _ in range(400)) / 400 for attempt in range(10)]
    assert means == sorted(means)
    assert means[-1] > LONGEST / 3


def test_items_that_failed_together_do_not_come_back_together() -> None:
    random = Random(1)
    assert len({round(delay(6, retry_after=None, random=random)) for _ in range(50)}) > 20
    assert len({round(delay(0, retry_after=300, random=random), 1) for _ in range(50)}) > 20


@given(asked=st.floats(0, LONGEST_RETRY_AFTER), random=randoms)
def test_what_the_vendor_asks_is_kept_and_a_little_more(asked: float, random: Random) -> None:
    waited = delay(0, retry_after=asked, random=random)
    assert max(1.0, asked) <= waited <= max(1.0, asked * 1.1)


@pytest.mark.parametrize("asked", [-10, 0, 0.2])
def test_no_item_comes_back_at_once(asked: float) -> None:
    assert delay(3, retry_after=asked, random=Random(1)) == 1.0
