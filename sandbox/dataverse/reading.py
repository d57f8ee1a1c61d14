"""Reading: one row, a list in pages, a count, with expansions and the annotations that were asked for.

Responsible for the shape of what is read. What a query asks is `queries`' business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sandbox.dataverse.answers import VERSION, Answer, json_answer
from sandbox.dataverse.model import NAMESPACE, Table
from sandbox.dataverse.privileges import Privileges
from sandbox.dataverse.queries import PAGE_CAP, Expansion, Query, next_page, options_of, parse_query
from sandbox.dataverse.refusals import missing
from sandbox.dataverse.requests import Preferences, Request
from sandbox.dataverse.rows import Rows

_FORMATTED = "OData.Community.Display.V1.FormattedValue"
_LOGICAL = f"{NAMESPACE}.lookuplogicalname"
_NAVIGATION = f"{NAMESPACE}.associatednavigationproperty"

Within = tuple[str, tuple[object, ...]]
"""A condition that a query is held to, besides its own, and the values of its question marks."""
_ANYWHERE: Within = ("1", ())


class Reading:
    """Answers with rows."""

    def __init__(self, rows: Rows, privileges: Privileges) -> None:
        self._rows = rows
        self._privileges = privileges

    def row(self, request: Request, table: Table, row_id: str) -> Answer:
        """One row, unless the caller has this version of it already."""
        query = self._query(request, table)
        rows = self._fetch(query, request.prefer, _only(table, row_id), 1)
        if not rows:
            raise missing(table.logical, row_id)
        if request.condition("if-none-match") in ("*", rows[0]["@odata.etag"]):
            return Answer(304, (VERSION,))
        return json_answer({"@odata.context": _context(request, query, "/$entity"), **rows[0]})

    def written(self, request: Request, table: Table, row_id: str, *, created: bool) -> Answer:
        """What is said of a row just written: where it is, or all of it when that was asked for."""
        if not request.prefer.representation:
            # The service names the row in 204 answers only (learn.microsoft.com, create-entity-web-api).
            where = f"{request.root}{table.set}({row_id})"
            return Answer(204, (VERSION, ("Location", where), ("OData-EntityId", where)))
        query = self._query(request, table)
        (row,) = self._fetch(query, request.prefer, _only(table, row_id), 1)
        content = {"@odata.context": _context(request, query, "/$entity"), **row}
        return json_answer(content, ("Preference-Applied", "return=representation"), status=201 if created else 200)

    def page(self, request: Request, table: Table, within: Within = _ANYWHERE) -> Answer:
        """A page of rows."""
        query = self._query(request, table)
        limit = (request.prefer.page or PAGE_CAP) if query.top is None else min(query.top, PAGE_CAP)
        rows = self._fetch(query, request.prefer, within, limit + 1)
        answer: dict[str, object] = {"@odata.context": _context(request, query)}
        if query.count:
            total = self._total(query, within)
            answer["@odata.count"] = min(total, PAGE_CAP)
            if request.prefer.wants(f"{NAMESPACE}.totalrecordcount"):
                answer[f"@{NAMESPACE}.totalrecordcount"] = min(total, PAGE_CAP)
                answer[f"@{NAMESPACE}.totalrecordcountlimitexceeded"] = total > PAGE_CAP
        answer["value"] = rows[:limit]
        if len(rows) > limit and query.top is None:
            following = next_page(request.query, query.skip + limit, limit)
            answer["@odata.nextLink"] = f"{request.root}{request.path}?{following}"
        return json_answer(answer)

    def children(self, request: Request, table: Table, row_id: str, collection: str) -> Answer:
        """A page of the rows in a collection of a row."""
        self._privileges.act(table, "read")
        child = table.collections[collection]
        return self.page(request, self._rows.model.tables[child.table], _below(child.lookup, table, row_id))

    def count(self, request: Request, table: Table) -> Answer:
        """How many rows there are, as plain text."""
        total = self._total(self._query(request, table), _ANYWHERE)
        return Answer(200, (("Content-Type", "text/plain"), VERSION), str(total).encode())

    def column(self, table: Table, row_id: str, name: str) -> Answer:
        """One column of a row, as plain text."""
        self._privileges.act(table, "read")
        (value,) = self._rows.value(table, row_id, name) or (None,)
        if value is None:
            return Answer(204)
        return Answer(200, (("Content-Type", "text/plain"),), str(table.columns[name].shown(value)).encode())

    # queries run

    def _query(self, request: Request, table: Table) -> Query:
        query = parse_query(self._rows.model, table, options_of(request.query))
        self._privileges.read(query)
        return query

    def _total(self, query: Query, within: Within) -> int:
        condition, values = within
        where = f"{condition} AND ({query.where})" if query.where else condition
        sql = f'SELECT count(*) FROM "{query.table.logical}" WHERE {where}'
        return int(self._rows.db.execute(sql, (*values, *query.values)).fetchone()[0])

    def _fetch(self, query: Query, prefer: Preferences, within: Within, limit: int) -> list[dict[str, object]]:
        table, (condition, values) = query.table, within
        names = list(query.select if table.key in query.select else (*query.select, table.key))
        extra = ["versionnumber", table.key]
        extra += [lookup.type for name in names if (lookup := table.values.get(name))]
        extra += [n for e in query.expand if e.lookup for n in (e.lookup.value, e.lookup.type)]
        wanted = ", ".join(map(table.sql, (*names, *extra)))
        where = f"{condition} AND ({query.where})" if query.where else condition
        order = f"{query.order}, rowid" if query.order else "rowid"
        limit = limit if query.top is None else min(limit, query.top)
        sql = f'SELECT {wanted} FROM "{table.logical}" WHERE {where} ORDER BY {order} LIMIT {limit} OFFSET {query.skip}'
        found = self._rows.db.execute(sql, (*values, *query.values)).fetchall()
        width = len(names)
        return [
            self._row(query, prefer, names, row[:width], dict(zip(extra, row[width:], strict=True))) for row in found
        ]

    # rows shown

    def _row(
        self,
        query: Query,
        prefer: Preferences,
        names: Sequence[str],
        row: Sequence[object],
        extra: Mapping[str, object],
    ) -> dict[str, object]:
        table, columns = query.table, query.table.columns
        answer: dict[str, object] = {"@odata.etag": f'W/"{extra["versionnumber"]}"'}
        for name, value in zip(names, row, strict=True):
            column = columns.get(name)
            if prefer.annotations and value is not None:
                for annotation, note in self._notes(table, name, value, extra).items():
                    if note is not None and prefer.wants(annotation):
                        answer[f"{name}@{annotation}"] = note
            answer[name] = column.shown(value) if column else value
        for expansion in query.expand:
            answer[expansion.name] = self._expanded(expansion, prefer, table, extra)
        return answer

    def _notes(self, table: Table, name: str, value: object, extra: Mapping[str, object]) -> dict[str, str | None]:
        """The annotations that a value can have."""
        if column := table.columns.get(name):
            return {_FORMATTED: column.label(value)}
        lookup = table.values[name]
        target = str(extra[lookup.type])
        title = self._title(target, str(value))
        return {_LOGICAL: target, _NAVIGATION: lookup.navigation(target), _FORMATTED: title}

    def _title(self, logical: str, row_id: str) -> str | None:
        table = self._rows.model.tables.get(logical)
        found = self._rows.value(table, row_id, table.name) if table else None
        return None if not found or found[0] is None else str(found[0])

    def _expanded(self, expansion: Expansion, prefer: Preferences, table: Table, extra: Mapping[str, object]) -> object:
        query, lookup = expansion.query, expansion.lookup
        if expansion.child:
            within = _below(expansion.child.lookup, table, str(extra[table.key]))
            return self._fetch(query, prefer, within, PAGE_CAP)
        if lookup is None or extra[lookup.type] != query.table.logical:
            return None
        rows = self._fetch(query, prefer, _only(query.table, extra[lookup.value]), 1)
        return rows[0] if rows else None


def _context(request: Request, query: Query, ending: str = "") -> str:
    return f"{request.root}$metadata#{query.table.set}{query.shape}{ending}"


def _only(table: Table, row_id: object) -> Within:
    return f'"{table.key}" = ?', (row_id,)


def _below(lookup: str, table: Table, row_id: str) -> Within:
    """The child rows whose lookup leads to this row."""
    return f'"_{lookup}_value" = ? AND "_{lookup}_type" = ?', (row_id, table.logical)
