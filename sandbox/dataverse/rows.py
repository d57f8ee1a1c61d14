"""The rows of an organisation, in SQLite in memory.

Responsible for storage, versions and times. What may be written, and what follows from it, is decided elsewhere.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from sandbox.dataverse.model import Lookup, Model, Table
from sandbox.dataverse.refusals import duplicate

_KINDS = {"text": "TEXT COLLATE NOCASE", "decimal": "REAL", "datetime": "TEXT", "guid": "TEXT", "base64": "BLOB"}


def _new_id() -> str:
    return str(uuid4())


@dataclass(frozen=True, slots=True)
class Organisation:
    """The ids of what every organisation has: itself, its business unit, and the application user that acts."""

    id: str = field(default_factory=_new_id)
    business_unit: str = field(default_factory=_new_id)
    user: str = field(default_factory=_new_id)


class Rows:
    """All tables of one organisation."""

    def __init__(self, model: Model, clock: Callable[[], float]) -> None:
        self.model = model
        self.organisation = Organisation()
        self.referring = _references(model)
        """For each table the lookups that may lead to it, with the tables they stand in."""
        self.db = _database(model)
        self._clock = clock
        self._version = 1_000_000
        self._inserts: dict[tuple[str, tuple[str, ...]], str] = {}

    def now(self) -> str:
        """The time by the organisation's clock, as it is kept."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))

    def next_version(self) -> int:
        """A version number that no row has yet."""
        self._version += 1
        return self._version

    @contextmanager
    def step(self) -> Iterator[None]:
        """All that is written within, or nothing of it when it fails."""
        self.db.execute("SAVEPOINT step")
        try:
            yield
        except BaseException as error:
            self.db.execute("ROLLBACK TO step")
            if isinstance(error, sqlite3.IntegrityError):
                raise duplicate() from error
            raise
        finally:
            self.db.execute("RELEASE step")

    def value(self, table: Table, row_id: str, *names: str) -> tuple[object, ...] | None:
        """Some columns of a row, or None when there is no such row."""
        wanted = ", ".join(map(table.sql, names))
        found = self.db.execute(f'SELECT {wanted} FROM "{table.logical}" WHERE "{table.key}" = ?', (row_id,))
        row: tuple[object, ...] | None = found.fetchone()
        return row

    def version(self, table: Table, row_id: str) -> object:
        """The version of a row, or None when there is no such row."""
        row = self.value(table, row_id, "versionnumber")
        return row[0] if row else None

    def equal(self, table: Table, equals: Mapping[str, object]) -> list[dict[str, object]]:
        """The rows whose columns equal these, in the order they were made."""
        names = [*table.columns, *(n for k in table.lookups.values() for n in (k.value, k.type))]
        if unknown := set(equals) - set(names):
            raise KeyError(f"{table.logical} has no {', '.join(sorted(unknown))}")
        where = " AND ".join(f"{table.sql(name)} IS ?" for name in equals) or "1"
        values = [str(value) if isinstance(value, UUID) else value for value in equals.values()]
        wanted = ", ".join(map(table.sql, names))
        found = self.db.execute(f'SELECT {wanted} FROM "{table.logical}" WHERE {where} ORDER BY rowid', values)
        columns = table.columns
        return [
            {name: columns[name].shown(v) if name in columns else v for name, v in zip(names, row, strict=True)}
            for row in found
        ]

    def insert(self, logical: str, row: Mapping[str, object]) -> None:
        """Add a row as it is given."""
        names = tuple(row)
        sql = self._inserts.get((logical, names))
        if sql is None:
            columns = ", ".join(f'"{name}"' for name in names)
            sql = f'INSERT INTO "{logical}" ({columns}) VALUES ({", ".join("?" * len(names))})'
            self._inserts[logical, names] = sql
        self.db.execute(sql, tuple(row.values()))

    def change(
        self,
        table: Table,
        row_id: str,
        values: Mapping[str, object],
        lookups: Mapping[str, tuple[str, str] | None] | None = None,
        caller: str | None = None,
    ) -> None:
        """Change a row and say when and by whom: the application user, unless somebody else called."""
        row = {name: value for name, value in values.items() if table.columns[name].through is None}
        self._change_through(table, row_id, {name: values[name] for name in values.keys() - row.keys()})
        for name, target in (lookups or {}).items():
            lookup = table.lookups[name]
            row[lookup.type], row[lookup.value] = target or (None, None)
        row["versionnumber"] = self.next_version()
        if table.dated:
            row["modifiedon"] = self.now()
            row |= {"_modifiedby_value": caller or self.organisation.user, "_modifiedby_type": "systemuser"}
        assigned = ", ".join(f'"{name}" = ?' for name in row)
        sql = f'UPDATE "{table.logical}" SET {assigned} WHERE "{table.key}" = ?'
        self.db.execute(sql, (*row.values(), row_id))

    def fill(self, table: Table, row_id: str, column: str, size: int, pieces: Iterable[bytes]) -> None:
        """Write so many bytes into a column piece by piece."""
        sql = f'UPDATE "{table.logical}" SET "{column}" = zeroblob(?) WHERE "{table.key}" = ? RETURNING rowid'
        ((rowid,),) = self.db.execute(sql, (size, row_id)).fetchall()
        with self.db.blobopen(table.logical, column, rowid) as blob:
            for piece in pieces:
                blob.write(piece)

    def _change_through(self, table: Table, row_id: str, values: Mapping[str, object]) -> None:
        """Change the rows that hold these values for this one."""
        for name, value in values.items():
            lookup = table.lookups[str(table.columns[name].through)]
            ((target,),) = lookup.bind.values()
            (target_id,) = self.value(table, row_id, lookup.value) or (None,)
            self.change(self.model.tables[target], str(target_id), {name: value})


def _references(model: Model) -> dict[str, list[tuple[Table, Lookup]]]:
    referring: dict[str, list[tuple[Table, Lookup]]] = {logical: [] for logical in model.tables}
    for table in model.tables.values():
        for lookup in table.lookups.values():
            for target in {t for targets in lookup.bind.values() for t in targets}:
                referring[target].append((table, lookup))
    return referring


def _database(model: Model) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None, cached_statements=1024)
    # Otherwise each sorted query makes a temporary file's cache and gives it back: most of its time.
    db.execute("PRAGMA temp_store = MEMORY")
    for table in model.tables.values():
        kept = [column for column in table.columns.values() if column.through is None]
        columns = [f'"{c.name}" {_KINDS.get(c.type, "INTEGER")}' for c in kept]
        columns += [f'"{k.value}" TEXT, "{k.type}" TEXT' for k in table.lookups.values()]
        db.execute(f'CREATE TABLE "{table.logical}" ({", ".join(columns)}, UNIQUE ("{table.key}"))')
        indexed = [c.name for c in kept if c.index]
        indexed += [k.value for k in table.lookups.values() if k.on_delete != "keep" or k.name == "partyid"]
        for name in indexed:
            db.execute(f'CREATE INDEX "{table.logical}.{name}" ON "{table.logical}" ("{name}")')
    return db
