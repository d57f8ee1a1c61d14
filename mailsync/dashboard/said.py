"""How numbers, moments and spans are said to a person."""

from __future__ import annotations

from mailsync.dashboard.facts import DAY, HOUR
from mailsync.dashboard.markup import Markup, tag
from mailsync.windows import moment

MINUTE = 60


def span(seconds: float) -> str:
    """A span of time in one or two units, never longer than ten characters."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    if whole < 90 * MINUTE:
        return f"{whole // MINUTE} min"
    if whole < 36 * HOUR:
        return f"{whole // HOUR} h"
    days = round(whole / DAY)
    return "a day" if days == 1 else f"{days} days"


def brief(seconds: float | None) -> str:
    """Seconds that something took."""
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds < 10 else span(seconds)


def age(at: int | None, now: int, *, never: str = "never") -> Markup:
    """How long ago something was; a script may keep it going."""
    if at is None:
        return tag("span", never, class_="never")
    said = f"{span(now - at)} ago" if at <= now else f"in {span(at - now)}"
    return tag("time", said, datetime=moment(at), title=spelled(at), class_="age", data_at=at)


def when(at: int | None, *, never: str = "-") -> Markup:
    """A moment, in UTC until a script says it in the reader's own zone."""
    if at is None:
        return tag("span", never, class_="never")
    return tag("time", spelled(at), datetime=moment(at), class_="when", data_at=at)


def spelled(at: int) -> str:
    """A moment as people read it."""
    return f"{moment(at)[:16].replace('T', ' ')} UTC"


def count(number: int) -> str:
    """A number with its thousands set apart."""
    return f"{number:,}"


def many(number: int, word: str) -> str:
    """So many of something."""
    plural = f"{word}es" if word.endswith("x") else f"{word}s"
    return f"{number:,} {word if number == 1 else plural}"
