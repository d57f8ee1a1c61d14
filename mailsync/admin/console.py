"""What a command says and how it ends: JSON or tables on standard output, progress and trouble on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from mailsync.errors import ArgumentError, ConfigurationError, MailSyncError
from mailsync.wiring import Wiring, wiring_here

WIDTH = 160
"""Columns where the output is no terminal."""


def wiring_of(context: typer.Context) -> Wiring:
    """The parts to work with; raises SettingsError."""
    if context.obj is None:
        context.obj = wiring_here(Path.cwd())
    wiring: Wiring = context.obj
    return wiring


@contextmanager
def ending(*, as_json: bool) -> Iterator[None]:
    """Turns a failure we foresee into words that name the fix, and into the exit code that scripts look at."""
    try:
        yield
    except MailSyncError as error:
        if as_json:
            say_json({"error": {"reason": error.reason, "advice": str(error), "evidence": str(error.evidence)}})
        else:
            evidence = f" ({error.evidence})" if str(error.evidence) else ""
            typer.echo(_harmless(f"{error}{evidence}"), err=True)
        raise typer.Exit(2 if isinstance(error, (ArgumentError, ConfigurationError)) else 1) from error


def say_json(said: Mapping[str, Any]) -> None:
    """Print an answer for a machine."""
    typer.echo(as_text(said))


def say_json_line(said: Mapping[str, Any]) -> None:
    """Print one of several answers for a machine, on a line of its own."""
    typer.echo(json.dumps(said))


def as_text(said: Mapping[str, Any]) -> str:
    """An answer for a machine, as it is printed and kept."""
    return json.dumps(said, indent=2)


def say(*lines: str) -> None:
    """Print lines for a person."""
    for line in lines:
        _console().print(_harmless(line), soft_wrap=True)


def say_table(headings: Iterable[str], rows: Iterable[Iterable[str]], *, numbers: bool = False) -> None:
    """Print a table; with `numbers` every column but the first is of numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if numbers and place else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(_harmless, row))
    _console().print(table)


def say_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print what is known, a line each; what is not known is left out."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts:
        if fact:
            table.add_row(name, _harmless(fact))
    _console().print(table)


def progress_console() -> Console:
    """Where progress is shown: never where an answer is read from."""
    return Console(stderr=True, markup=False, emoji=False, highlight=False)


def _console() -> Console:
    # no markup in the ids and reasons of others means anything
    width = None if sys.stdout.isatty() else WIDTH
    return Console(markup=False, emoji=False, highlight=False, width=width)


def _harmless(text: str) -> str:
    """A text of others with nothing in it that steers a terminal."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
