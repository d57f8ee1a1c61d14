"""The query options of a URL, checked against the declarations and made ready for SQL.

Pure. $filter has a grammar of its own and is read by `filters`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, unquote_plus

from sandbox.dataverse.filters import Filter
from sandbox.dataverse.model import ChildRows, Lookup, Model, Table
from sandbox.dataverse.refusals import invalid, syntax

PAGE_CAP = 5000


@dataclass(slots=True)
class Expansion:
    """One $expand entry: a collection of child rows, or the row a lookup leads to."""

    name: str
    query: Query
    child: ChildRows | None = None
    lookup: Lookup | None = None


@dataclass(slots=True)
class Query:
    """The query options of one request, ready for SQL."""

    table: Table
    select: tuple[str, ...]
    selected: bool = False
    where: str = ""
    values: list[object] = field(default_factory=list)
    order: str = ""
    top: int | None = None
    count: bool = False
    skip: int = 0
    expand: list[Expansion] = field(default_factory=list)

    @property
    def shape(self) -> str:
        """What was selected and expanded, as an answer's context tells it; nothing when all was."""
        if not self.selected and not self.expand:
            return ""
        names = [*(self.select if self.selected else ())]
        names += [f"{e.name}({','.join(e.query.select) if e.query.selected else ''})" for e in self.expand]
        return f"({','.join(names)})"


def options_of(query_string: str) -> dict[str, str]:
    """The query options, decoded; a plus sign means a space, as the service reads it."""
    options: dict[str, str] = {}
    for pair in query_string.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        name = unquote(name)
        if name in options:
            raise syntax(f"Query option '{name}' was specified more than once.")
        options[name] = unquote_plus(value)
    return options


def parse_query(model: Model, table: Table, options: Mapping[str, str], *, nested: bool = False) -> Query:
    """The query a request's options ask for."""
    query = Query(table=table, select=table.readable)
    aliases = {name: value for name, value in options.items() if name.startswith("@")}
    for name, value in options.items():
        match name:
            case "$select":
                query.select, query.selected = _select(table, value), True
            case "$filter":
                query.where, query.values = Filter(table, value, aliases).sql()
            case "$orderby":
                query.order = _orderby(table, value)
            case "$top":
                query.top = _number(name, value)
            case "$count" if not nested:
                query.count = value.strip() == "true"
            case "$expand":
                query.expand = [_expansion(model, table, part) for part in _split(value, ",")]
            case "$skiptoken" if not nested:
                query.skip = _skip_of(value)
            case "$skip":
                raise syntax("Skip Clause is not supported in CRM")
            case _ if not name.startswith("@"):
                raise syntax(f"The query parameter '{name}' is not supported.")
    return query


def next_page(query_string: str, skip: int, size: int) -> str:
    """The same query options, leading to the next page: the paging cookie is opaque to clients."""
    kept = [pair for pair in query_string.split("&") if pair and not pair.startswith("$skiptoken=")]
    cookie = f'<cookie pagenumber="{skip // size + 1}" pagingcookie="{skip}" istracking="False" />'
    return "&".join([*kept, f"$skiptoken={quote(cookie, safe='')}"])


def _skip_of(value: str) -> int:
    found = re.fullmatch(r'<cookie pagenumber="\d+" pagingcookie="(\d+)" istracking="False" />', value)
    if not found:
        raise invalid("Malformed XML in the Paging Cookie")
    return int(found[1])


def _number(option: str, value: str) -> int:
    if not value.strip().isdigit():
        raise syntax(f"Invalid value '{value}' for {option} query option found.")
    return int(value)


def _select(table: Table, value: str) -> tuple[str, ...]:
    names = [name.strip() for name in value.split(",")]
    if names == ["*"]:
        return table.readable
    for name in names:
        if name not in table.readable:
            raise table.no_property(name)
    return tuple(dict.fromkeys(names))


def _orderby(table: Table, value: str) -> str:
    terms = []
    for term in value.split(","):
        name, _, way = term.strip().partition(" ")
        if name not in table.readable:
            raise table.no_property(name)
        if way.strip() not in ("", "asc", "desc"):
            raise syntax(f"Syntax error at position {len(name)} in '{value}'.")
        terms.append(f"{table.sql(name)} {way.strip() or 'asc'}")
    return ", ".join(terms)


def _expansion(model: Model, table: Table, text: str) -> Expansion:
    name, bracket, inner = text.strip().partition("(")
    options = {}
    if bracket:
        if not inner.endswith(")"):
            raise syntax(f"Found an unbalanced bracket expression in '{text}'.")
        for part in _split(inner[:-1], ";"):
            option, _, value = part.strip().partition("=")
            options[option] = value
    if name in table.collections:
        child = table.collections[name]
        return Expansion(name, parse_query(model, model.tables[child.table], options, nested=True), child=child)
    if name in table.binds:
        lookup = table.binds[name]
        target = model.tables[lookup.bind[name][0]]
        return Expansion(name, parse_query(model, target, options, nested=True), lookup=lookup)
    raise table.no_property(name)


def _split(text: str, separator: str) -> list[str]:
    """Split where the separator stands outside parentheses and quotes."""
    parts, depth, quoted, start = [], 0, False, 0
    for position, char in enumerate(text):
        if char == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == separator and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return parts
