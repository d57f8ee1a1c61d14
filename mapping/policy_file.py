"""A TOML file read with its line numbers, so that everything wrong with it can be said at once and found again.

Which keys and values there may be, the reader of the file says (see tracking).
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable
from functools import cached_property

_STATEMENT = re.compile(r"\s*(?:\[\s*(?P<table>[^\[\]#]+?)\s*\]|(?P<key>[^=#\[\]{},]+?)\s*=)")
_POSITION = re.compile(r"\s*\((?:at line (?P<line>\d+), column \d+|at end of document)\)")


class PolicyFile:
    """The values of one file and the problems found in them so far, each with file, line and key."""

    def __init__(self, text: str, source: str) -> None:
        """Parses the text; a file that is no TOML is one problem and has no values."""
        self._text = text.removeprefix("\ufeff")
        self._source = source
        self._found: set[tuple[int, str]] = set()
        self.values: dict[str, object] = {}
        try:
            self.values = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            self._syntax_problem(str(error))

    @property
    def problems(self) -> list[str]:
        """Every problem as a line of its own, in the order of the file."""
        return [f"{self._source}:{line}: {problem}" for line, problem in sorted(self._found)]

    def table(self, key: str) -> dict[str, object]:
        """The table under a key; an absent one is empty."""
        value = self.values.get(key, {})
        if isinstance(value, dict):
            return value
        self._problem((key,), f"{key} must be a table, written [{key}]")
        return {}

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """The value of a key with a closed set of values; the first is the default."""
        value = self.values.get(key, allowed[0])
        if isinstance(value, str) and value in allowed:
            return value
        self._problem((key,), f"{key} = {_shown(value)} is not known; allowed: {_listed(allowed)}")
        return allowed[0]

    def entries(self, path: tuple[str, ...], read: Callable[[str], str | None], wanted: str) -> frozenset[str] | None:
        """The list under a key, each entry read by `read`, which answers None to what is not `wanted`."""
        *tables, key = path
        value = (self.table(tables[0]) if tables else self.values).get(key)
        name = ".".join(path)
        if value is None:
            return None
        if not isinstance(value, list):
            self._problem(path, f"{name} must be a list, each entry {wanted}")
            return None
        entries = set()
        for written in value:
            entry = read(written) if isinstance(written, str) else None
            if entry is None:
                self._problem(path, f"{name} holds {_shown(written)}; each entry must be {wanted}", written)
            else:
                entries.add(entry)
        return frozenset(entries)

    def only(self, keys: tuple[str, ...], *, under: str | None = None) -> None:
        """Every other key of the file, or of one table of it, is a problem."""
        tables = (under,) if under else ()
        for key in self.table(under) if under else self.values:
            if key not in keys:
                close = difflib.get_close_matches(key, keys, n=1)
                hint = f" (is {close[0]} meant?)" if close else ""
                name = ".".join((*tables, key))
                self._problem((*tables, key), f"{name} is no key of this file{hint}; allowed: {_listed(keys)}")

    def _problem(self, path: tuple[str, ...], problem: str, entry: object = None) -> None:
        line = next((self._lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self._lines), 1)
        self._found.add((self._line_of_entry(entry, line) if isinstance(entry, str) else line, problem))

    def _syntax_problem(self, error: str) -> None:
        position = _POSITION.search(error)
        line = int(position["line"]) if position and position["line"] else self._text.rstrip().count("\n") + 1
        self._found.add((line, f"not valid TOML: {_POSITION.sub('', error)}"))

    def _line_of_entry(self, entry: str, first: int) -> int:
        """The line at or after a key on which one entry of its list is written."""
        lines = self._text.splitlines()[first - 1 :]
        return next((first + below for below, line in enumerate(lines) if entry and entry in line), first)

    @cached_property
    def _lines(self) -> dict[tuple[str, ...], int]:
        """The line on which each table and key is written; one starts only where all before it is whole TOML."""
        found: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        lines = self._text.split("\n")
        for number, line in enumerate(lines, start=1):
            statement = _STATEMENT.match(line)
            if statement is None or not _is_toml("\n".join(lines[: number - 1])):
                continue
            if statement["table"]:
                table = _path(statement["table"])
                found.setdefault(table, number)
            else:
                path = (*table, *_path(statement["key"]))
                for end in range(len(table) + 1, len(path) + 1):
                    found.setdefault(path[:end], number)
        return found


def _path(written: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in written.split("."))


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _listed(values: Iterable[str]) -> str:
    return ", ".join(values)
