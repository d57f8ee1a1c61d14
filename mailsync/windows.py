"""Which span of a mailbox a sweep lists: pure arithmetic on unix seconds.

Windows overlap, because mail can appear in a listing later than its date says and because Nylas doesn't say
whether `received_after` and `received_before` are inclusive (read 2026-11). A long gap is cut into several
windows, so that one item is never more than one window's work.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

LONGEST = 24 * 3600
"""Seconds: the widest window one sweep item lists."""
DAY = 24 * 3600
WHEN = "a date (2026-01-31), a moment (2026-01-31T08:00:00Z; UTC without a zone) or an age (7d, 36h, 90m)"
"""How a person may name a moment."""
_UNITS = {"d": 86_400, "h": 3_600, "m": 60}
DISORDER = 60
"""Seconds by which a listing may depart from its order; what came later is the next window's business."""
STRAYS = 4
"""One of so many messages of a page may be dated earlier than its place."""


@dataclass(frozen=True, slots=True)
class Window:
    """A span to list: from `after` to `before`; when it is done the watermark stands at `proves`, if not 0."""

    after: int
    before: int
    proves: int
    is_wide: bool = False
    """It reaches days back, for mail that is dated long before it arrived."""


def first_window_start(*, connected: int | None, since: int) -> int:
    """The start of a mailbox's first window: the later of its connection and the installation's start."""
    return max(connected or 0, since)


def next_window(watermark: int, *, now: int, overlap: int, floor: int, whole_days: bool = False) -> Window:
    """The window that continues from `watermark`, never reaching below `floor`.

    `whole_days` is for EWS, whose search works by the day (Nylas' page on search, read 2026-11): it widens the
    window to whole UTC days on both sides.
    """
    watermark = max(watermark, min(floor, now))
    after = max(min(floor, now), watermark - overlap)
    proves = min(now, watermark + LONGEST)
    before = proves + overlap if proves >= now else proves
    if whole_days:
        after = after // DAY * DAY - 1
        before = (before // DAY + 1) * DAY
    return Window(after=after, before=before, proves=max(proves, watermark))


def narrowed(window: Window, *, oldest_listed: int) -> Window:
    """What is left of a window listed newest first down to `oldest_listed`, and a little of what was listed."""
    return replace(window, before=min(window.before, oldest_listed + DISORDER))


def end_of_page(listed: Collection[int]) -> int:
    """Down to which moment a page of these dates was listed, newest first.

    A quarter of it may be dated earlier than its place: a listing goes by when mail came, and the date that is told may
    be when it was sent.
    """
    return sorted(listed)[len(listed) // STRAYS]


def moment(at: int) -> str:
    """Unix seconds as people and machines read them."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(at)


def moment_named(text: str, *, now: float) -> int:
    """Unix seconds of a moment or an age as `WHEN` says; raises ValueError."""
    age = re.fullmatch(r"(\d{1,6})([dhm])", text.strip())
    if age is not None:
        return int(now) - int(age[1]) * _UNITS[age[2]]
    at = datetime.fromisoformat(text.strip())
    try:
        return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp())
    except OverflowError as error:
        raise ValueError(str(error)) from error


def cut(since: int, until: int) -> Iterator[Window]:
    """A span that somebody chose, both ends inside, in windows of a day; what they hold proves nothing of the rest."""
    for start in range(since, max(until, since + 1), DAY):
        yield Window(after=start - 1, before=min(start + DAY, until) + 1, proves=0)
