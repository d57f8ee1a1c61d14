"""Which span a sweep lists: successive windows leave no second out, and none reaches below the floor."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync.windows import (
    DAY,
    DISORDER,
    LONGEST,
    STRAYS,
    Window,
    end_of_page,
    first_window_start,
    narrowed,
    next_window,
)
from tests.mailsync.parts import NOW

OVERLAP = 900
moments = st.integers(0, 2 * NOW)
overlaps = st.integers(60, DAY)


@pytest.mark.parametrize(
    ("connected", "since", "start"),
    [(None, 100, 100), (50, 100, 100), (200, 100, 200), (None, 0, 0), (0, -5, 0)],
)
def test_the_first_window_starts_at_the_later_of_connection_and_installation(
    connected: int | None, since: int, start: int
) -> None:
    assert first_window_start(connected=connected, since=since) == start


@pytest.mark.parametrize(
    ("watermark", "floor", "window"),
    [
        pytest.param(NOW - 300, 0, Window(NOW - 1200, NOW + OVERLAP, NOW), id="an ordinary five minutes"),
        pytest.param(NOW - 300, NOW - 400, Window(NOW - 400, NOW + OVERLAP, NOW), id="never below the floor"),
        pytest.param(NOW, NOW - 1, Window(NOW - 1, NOW + OVERLAP, NOW), id="just connected"),
        pytest.param(
            NOW - 3 * DAY,
            0,
            Window(NOW - 3 * DAY - OVERLAP, NOW - 2 * DAY, NOW - 2 * DAY),
            id="a long gap is cut, and its first piece proves a day",
        ),
        pytest.param(NOW - LONGEST, 0, Window(NOW - LONGEST - OVERLAP, NOW + OVERLAP, NOW), id="just a day"),
        pytest.param(NOW + 50, 0, Window(NOW + 50 - OVERLAP, NOW + OVERLAP, NOW + 50), id="another clock is ahead"),
    ],
)
def test_the_window_that_continues_from_a_watermark(watermark: int, floor: int, window: Window) -> None:
    assert next_window(watermark, now=NOW, overlap=OVERLAP, floor=floor) == window


@given(watermark=moments, now=moments, overlap=overlaps, floor=moments, whole_days=st.booleans())
def test_a_window_is_bounded_and_its_watermark_never_goes_back(
    watermark: int, now: int, overlap: int, floor: int, whole_days: bool
) -> None:
    window = next_window(watermark, now=now, overlap=overlap, floor=floor, whole_days=whole_days)
    assert window.proves >= watermark
    assert window.proves <= max(now, watermark)
    assert window.before - window.after <= LONGEST + 2 * overlap + (2 * DAY + 1 if whole_days else 0)


@given(watermark=moments, floor=moments, overlap=overlaps, now=moments)
def test_no_window_reaches_below_its_floor(watermark: int, floor: int, overlap: int, now: int) -> None:
    """A watermark below the floor (SYNC_SINCE was moved on) is no reason to list what would be left anyway."""
    assert next_window(watermark, now=now, overlap=overlap, floor=floor).after >= min(floor, now)


@given(floor=moments, gap=st.integers(0, 20 * DAY), overlap=overlaps, whole_days=st.booleans())
def test_successive_windows_cover_every_second_from_the_floor_to_now(
    floor: int, gap: int, overlap: int, whole_days: bool
) -> None:
    """Both ends may be exclusive, so each window must begin before, not at, what the one before it proved."""
    now, watermark = floor + gap, floor
    windows = []
    for _ in range(gap // LONGEST + 2):
        windows.append(next_window(watermark, now=now, overlap=overlap, floor=floor - 1, whole_days=whole_days))
        watermark = windows[-1].proves
        if watermark >= now:
            break
    assert watermark == now
    assert windows[0].after < floor
    assert windows[-1].before > now
    for earlier, later in itertools.pairwise(windows):
        assert earlier.proves <= earlier.before
        assert later.after < earlier.proves
        assert later.proves > earlier.proves


@given(watermark=moments, now=moments, overlap=overlaps, floor=moments)
def test_ews_windows_are_the_same_days_whole(watermark: int, now: int, overlap: int, floor: int) -> None:
    narrow = next_window(watermark, now=now, overlap=overlap, floor=floor)
    whole = next_window(watermark, now=now, overlap=overlap, floor=floor, whole_days=True)
    assert (whole.after + 1) % DAY == 0
    assert whole.before % DAY == 0
    assert whole.after < narrow.after
    assert whole.before > narrow.before
    assert whole.proves == narrow.proves


@given(after=moments, span=st.integers(1, LONGEST), at=st.integers(0, LONGEST))
def test_what_is_left_of_a_window_lacks_nothing_that_was_not_listed(after: int, span: int, at: int) -> None:
    window = Window(after=after, before=after + span, proves=after + span)
    oldest = after + min(at, span)
    rest = narrowed(window, oldest_listed=oldest)
    assert (rest.after, rest.proves) == (window.after, window.proves)
    assert rest.before == min(window.before, oldest + DISORDER)


@given(places=st.lists(st.integers(0, 1000), min_size=1, max_size=60), strays=st.data())
def test_what_a_page_dates_earlier_than_its_place_cuts_nothing_off(places: list[int], strays: st.DataObject) -> None:
    """As far as a quarter of it goes: a listing goes by when mail came, and its date may be when it was sent."""
    listed = sorted((5000 + one for one in places), reverse=True)
    early = strays.draw(st.sets(st.integers(0, len(listed) - 1), max_size=len(listed) // STRAYS))
    told = [one - 4000 if place in early else one for place, one in enumerate(listed)]
    assert listed[-1] <= end_of_page(told) <= listed[0]
