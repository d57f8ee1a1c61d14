"""The whole of what each case comes to, in `expected/`: a file a theme, and which case notices what is broken.

Written by `python -m tests.corpus` alone; the suite reads them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.corpus.cases import Case, cases, themes
from tests.corpus.outcome import Outcome, in_full, outcome_of

EXPECTED = Path(__file__).with_name("expected")
NOTICED = Path(__file__).with_name("noticed.json")

Told = dict[str, Any]


def now(case: Case) -> Told:
    """What the code makes of a case at this moment."""
    return in_full(outcome_of(case), case.world)


@cache
def settled(case: Case) -> Outcome:
    """What becomes of a case while nothing is broken."""
    return outcome_of(case)


@cache
def told(case: Case) -> Told:
    """The same in full, as a file holds it."""
    return dict(json.loads(json.dumps(in_full(settled(case), case.world))))


@cache
def of_theme(theme: str) -> Told:
    """What the file of a theme holds, by case; empty where there is none yet."""
    return _read(EXPECTED / f"{theme}.json")


@cache
def noticed() -> Told:
    """Which case notices each thing that is broken."""
    return _read(NOTICED)


def rewrite() -> list[str]:
    """Write the file of every theme anew, and take away those without one; the names of the cases that changed."""
    changed: list[str] = []
    for theme in themes():
        after = {one.written.name: told(one) for one in cases() if one.theme == theme}
        changed += [f"{theme}: {name}" for name in _changed(of_theme(theme), after)]
        _write(EXPECTED / f"{theme}.json", after)
    for path in EXPECTED.glob("*.json"):
        if path.stem not in themes():
            path.unlink()
    return changed


def rewrite_noticed(found: Mapping[str, str | None]) -> list[str]:
    """Write anew which case notices what is broken; the names of what nothing notices."""
    _write(NOTICED, {name: case for name, case in found.items() if case is not None})
    return [name for name, case in found.items() if case is None]


def _changed(before: Told, after: Told) -> Iterable[str]:
    return (name for name in (*after, *(before.keys() - after.keys())) if before.get(name) != after.get(name))


def _read(path: Path) -> Told:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _write(path: Path, value: Told) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
