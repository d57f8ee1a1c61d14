"""Options that several commands share, and how a person's words for a moment are read."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
ShowAddresses = Annotated[bool, typer.Option("--addresses", help="Show addresses too; without it ids only.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask before doing it.")]

WHEN = "a date (2026-01-31), a moment (2026-01-31T08:00:00Z; UTC without a zone) or an age (7d, 36h, 90m)"
_UNITS = {"d": 86_400, "h": 3_600, "m": 60}


def moment_of(text: str, *, now: float, option: str) -> int:
    """Unix seconds of a moment or an age; raises typer.BadParameter."""
    age = re.fullmatch(r"(\d{1,6})([dhm])", text.strip())
    if age is not None:
        return int(now) - int(age[1]) * _UNITS[age[2]]
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"is not {WHEN}", param_hint=option) from None
    return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp())


def span_of(since: str, until: str | None, *, now: float) -> tuple[int, int]:
    """Unix seconds from when until when, no later than now; raises typer.BadParameter."""
    begin = moment_of(since, now=now, option="--since")
    end = int(now) if until is None else min(moment_of(until, now=now, option="--until"), int(now))
    if begin >= end:
        raise typer.BadParameter("is not before --until, or not before now", param_hint="--since")
    return begin, end
