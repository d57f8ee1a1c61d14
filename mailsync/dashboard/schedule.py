"""How long a timer may be silent: the longest pause that its NCRONTAB expression leaves."""

from __future__ import annotations

import re

MINUTE, DAY = 60, 24 * 3600
ALWAYS = 32 * DAY
"""Seconds said of a schedule that names days of the month, or that can't be read: no silence is told from it."""
WEEK = 7 * 24 * 60
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def longest_pause(schedule: str) -> int:
    """Seconds that may pass between two runs, to the minute."""
    fields = schedule.lower().split()
    if len(fields) not in {5, 6}:
        return ALWAYS
    minute, hour, day, month, weekday = fields[-5:]
    try:
        minutes, hours, weekdays = _named(minute, 60), _named(hour, 24), _named(weekday, 7)
    except ValueError:
        return ALWAYS
    if (day, month) != ("*", "*") or not (minutes and hours and weekdays):
        return ALWAYS
    runs = [(one * 24 + at) * 60 + past for one in sorted(weekdays) for at in sorted(hours) for past in sorted(minutes)]
    pauses = (later - earlier for earlier, later in zip(runs, [*runs[1:], runs[0] + WEEK], strict=True))
    return max(pauses) * MINUTE


def _named(field: str, size: int) -> set[int]:
    """The numbers below `size` that a field names; ValueError where it is none."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        begin = 0 if first == "*" else _number(first)
        end = size - 1 if first == "*" or (step and not last) else _number(last) if last else begin
        found.update(range(begin, end + 1, int(step) if step else 1))
    if not all(0 <= number < size for number in found):
        raise ValueError(f"{field} names what is not below {size}")
    return found


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,2}", text):
        return DAYS.index(text)
    return int(text)
