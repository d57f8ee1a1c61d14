"""What an examination finds: one line for each thing that was looked at, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum

from mailsync.errors import ConfigurationError, MailSyncError
from mailsync.settings import SettingsError

MOST_NAMED = 10
"""Ids that one line names."""
SKEW_SEEN, SKEW_BAD = 30.0, 240.0
"""Seconds between two clocks that are worth a word, and that are too many: tokens and windows count on less."""


class Result(StrEnum):
    """How it stands."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    checked: str
    result: Result
    says: str
    todo: str = ""
    is_setting: bool = False
    """A setting is to be mended."""


Findings = Iterator[Finding]


def good(topic: str, checked: str, says: str) -> Finding:
    """It is as it should be."""
    return Finding(topic, checked, Result.GOOD, says)


def warning(topic: str, checked: str, says: str, todo: str) -> Finding:
    """It works, and somebody should know."""
    return Finding(topic, checked, Result.WARNING, says, todo)


def bad(topic: str, checked: str, says: str, todo: str) -> Finding:
    """It must be mended."""
    return Finding(topic, checked, Result.BAD, says, todo)


def unknown(topic: str, checked: str, because: str, todo: str = "") -> Finding:
    """It could not be looked at."""
    return Finding(topic, checked, Result.UNKNOWN, f"unknown: {because}", todo)


def looked(topic: str, checked: str, look: Callable[[], Iterable[Finding]]) -> Findings:
    """What a look finds; a failure of it is a finding too, and stops nothing else."""
    try:
        yield from look()
    except SettingsError as error:
        yield unknown(topic, checked, f"its settings are not usable ({', '.join(sorted(error.problems))})")
    except ConfigurationError as error:
        evidence = f" ({error.evidence})" if str(error.evidence) else ""
        yield bad(topic, checked, f"{error.reason}{evidence}", str(error))
    except MailSyncError as error:
        yield unknown(topic, checked, f"{error} ({error.evidence})", "try again; if it stays so, see docs/failures.md")
    except Exception as error:  # noqa: BLE001  # one look that fails must not hide what the others find
        yield unknown(topic, checked, f"an unforeseen {type(error).__name__}", "please report it")


def named(names: Iterable[str]) -> str:
    """Some names in one line."""
    listed = list(names)
    more = f" and {len(listed) - MOST_NAMED} more" if len(listed) > MOST_NAMED else ""
    return ", ".join(listed[:MOST_NAMED]) + more


def clock_finding(topic: str, date: str, now: float) -> Findings:
    """How far this machine's clock and that of a vendor, as its Date header tells it, are apart."""
    try:
        apart = now - parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError):
        return
    checked, says = "clock", f"{abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} {topic}'s"
    if abs(apart) > SKEW_BAD:
        yield bad(topic, checked, says, "set this machine's clock: tokens, signatures and windows of mail hang on it")
    elif abs(apart) > SKEW_SEEN:
        yield warning(topic, checked, says, "synchronise this machine's clock")
    else:
        yield good(topic, checked, "agrees with this machine's")
