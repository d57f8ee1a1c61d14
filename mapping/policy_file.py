"""A TOML file read with its line numbers, so that everything wrong with it can be said at once and found again.

Which keys and values there may be, the reader of the file says (see policy).
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable
from functools import cached_property

Path = tuple[str, ...]
"""The names of tables and a key, outermost first; a table of a list goes by its number, as `regarding.tables.0`."""

_TABLE = re.compile(r"\s*(?P<brackets>\[\[?)(?P<path>[^\[\]#]+)\]\]?")
_KEY = re.compile(r"\s*(?P<path>(?:[^=#\[\]{},\"']|\"[^\"]*\"|'[^']*')+?)\s*=")
_NAME = re.compile(r"\"([^\"]*)\"|'([^']*)'|([^.\s]+)")
_POSITION = re.compile(r"\s*\((?:at line (?P<line>\d+), column \d+|at end of document)\)")


class PolicyFile:
    """The values of one file and the problems found in them so far, each with file, line and key."""

    def __init__(self, text: str, source: str) -> None:
        """Parses the text; a file that is no TOML is one problem and has no values."""
        self._text = text.removeprefix("\ufeff")
        self._source = source
        self._found: set[tuple[int, str]] = set()
        self._values: dict[str, object] = {}
        try:
            self._values = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            self._syntax_problem(str(error))

    @property
    def problems(self) -> list[str]:
        """Every problem as a line of its own, in the order of the file."""
        return [f"{self._source}:{line}: {problem}" for line, problem in sorted(self._found)]

    def has(self, path: Path) -> bool:
        """Whether something is written under a path."""
        return self._value(path) is not None

    def names(self, path: Path) -> tuple[str, ...]:
        """The keys of a table, or of a list of tables their numbers; none where there is no such table."""
        value = self._value(path)
        if isinstance(value, list):
            return tuple(str(number) for number in range(len(value)))
        return tuple(value) if isinstance(value, dict) else ()

    def is_table(self, path: Path) -> bool:
        """Whether a path is a table or absent; anything else is a problem."""
        if isinstance(self._value(path), dict | None):
            return True
        self.problem(path, f"{_told(path)} must be a table, written [{_told(path)}]")
        return False

    def is_tables(self, path: Path) -> bool:
        """Whether a path is a list of tables or absent; anything else is a problem."""
        value = self._value(path)
        if value is None or (isinstance(value, list) and all(isinstance(one, dict) for one in value)):
            return True
        self.problem(path, f"{_told(path)} must be a list of tables, each written [[{_told(path)}]]")
        return False

    def choice(self, path: Path, allowed: tuple[str, ...], default: str) -> str:
        """The value of a key with a closed set of values."""
        value = self._value(path)
        if value is None:
            return default
        if isinstance(value, str) and value in allowed:
            return value
        self.problem(path, f"{_told(path)} = {_shown(value)} is not known; allowed: {_listed(allowed)}")
        return default

    def flag(self, path: Path, *, default: bool) -> bool:
        """A value that is true or false."""
        value = self._value(path)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.problem(path, f"{_told(path)} = {_shown(value)} is neither true nor false")
        return default

    def text(self, path: Path, read: Callable[[str], str | None], wanted: str, default: str = "") -> str:
        """A text read by `read`, which answers None to what is not `wanted`; the default where there is none."""
        value = self._value(path)
        if value in (None, ""):
            return default
        found = read(value) if isinstance(value, str) else None
        if found is None:
            self.problem(path, f"{_told(path)} = {_shown(value)} must be {wanted}")
            return default
        return found

    def entries(self, path: Path, read: Callable[[str], str | None], wanted: str) -> tuple[str, ...] | None:
        """The list under a key, each entry once and read by `read`; None where it is absent."""
        value = self._value(path)
        if value is None:
            return None
        if not isinstance(value, list):
            self.problem(path, f"{_told(path)} must be a list, each entry {wanted}")
            return None
        entries: dict[str, None] = {}
        for written in value:
            entry = read(written) if isinstance(written, str) else None
            if entry is None:
                problem = f"{_told(path)} holds {_shown(written)}; each entry must be {wanted}"
                self.problem(path, problem, entry=written)
            else:
                entries[entry] = None
        return tuple(entries)

    def only(self, keys: Iterable[str], *, under: Path = ()) -> None:
        """Every other key of the file, or of one table of it, is a problem."""
        allowed = tuple(keys)
        for key in self.names(under):
            if key not in allowed:
                close = difflib.get_close_matches(key, allowed, n=1)
                hint = f" (is {close[0]} meant?)" if close else ""
                path = (*under, key)
                self.problem(path, f"{_told(path)} is no key of this file{hint}; allowed: {_listed(allowed)}")

    def problem(self, path: Path, problem: str, *, entry: object = None) -> None:
        """Note what is wrong at a path, or with one entry of the list there."""
        line = next((self._lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self._lines), 1)
        self._found.add((self._line_of_entry(entry, line) if isinstance(entry, str) else line, problem))

    def _value(self, path: Path) -> object:
        value: object = self._values
        for name in path:
            if isinstance(value, list) and name.isdigit() and int(name) < len(value):
                value = value[int(name)]
            elif isinstance(value, dict):
                value = value.get(name)
            else:
                return None
        return value

    def _syntax_problem(self, error: str) -> None:
        position = _POSITION.search(error)
        line = int(position["line"]) if position and position["line"] else self._text.rstrip().count("\n") + 1
        self._found.add((line, f"not valid TOML: {_POSITION.sub('', error)}"))

    def _line_of_entry(self, entry: str, first: int) -> int:
        """The line at or after a key on which one entry of its list is written."""
        lines = self._text.splitlines()[first - 1 :]
        return next((first + below for below, line in enumerate(lines) if entry and entry in line), first)

    @cached_property
    def _lines(self) -> dict[Path, int]:
        """The line on which each table and key is written; one starts only where all before it is whole TOML."""
        found: dict[Path, int] = {}
        table: Path = ()
        lists: dict[Path, int] = {}
        lines = self._text.split("\n")
        for number, line in enumerate(lines, start=1):
            opened, statement = _TABLE.match(line), _KEY.match(line)
            if (opened is None and statement is None) or not _is_toml("\n".join(lines[: number - 1])):
                continue
            if opened is not None:
                table = _path(opened["path"])
                if opened["brackets"] == "[[":
                    found.setdefault(table, number)
                    lists[table] = lists.get(table, -1) + 1
                    table = (*table, str(lists[table]))
                found.setdefault(table, number)
            elif statement is not None:
                path = (*table, *_path(statement["path"]))
                for end in range(len(table) + 1, len(path) + 1):
                    found.setdefault(path[:end], number)
        return found


def _path(written: str) -> Path:
    return tuple(double or single or bare for double, single, bare in _NAME.findall(written))


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _told(path: Path) -> str:
    """A path as a person would write it."""
    return ".".join(name if re.fullmatch(r"[\w-]+", name) else f'"{name}"' for name in path)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _listed(values: Iterable[str]) -> str:
    return ", ".join(values)
