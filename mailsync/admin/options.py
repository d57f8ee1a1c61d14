"""Options that several commands share, and how a person's words for a moment are read."""

from __future__ import annotations

from typing import Annotated

import typer

from mailsync import windows

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
ShowAddresses = Annotated[bool, typer.Option("--addresses", help="Show addresses too; without it ids only.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask before doing it.")]


WHEN = windows.WHEN


def moment_of(text: str, *, now: float, option: str) -> int:
    """Unix seconds of a moment or an age; raises typer.BadParameter."""
    try:
        return windows.moment_named(text, now=now)
    except ValueError:
        raise typer.BadParameter(f"is not {WHEN}", param_hint=option) from None


def span_of(since: str, until: str | None, *, now: float) -> tuple[int, int]:
    """Unix seconds from when until when, no later than now; raises typer.BadParameter."""
    begin = moment_of(since, now=now, option="--since")
    end = int(now) if until is None else min(moment_of(until, now=now, option="--until"), int(now))
    if begin >= end:
        raise typer.BadParameter("is not before --until, or not before now", param_hint="--since")
    return begin, end
