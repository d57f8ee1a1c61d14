"""What an organisation declares: tables, columns, lookups, collections and states, read from tables.toml.

A name that is not declared does not exist. Values are `values`' business, what a query may do with names `queries`'.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sandbox.dataverse.refusals import ODataError, syntax
from sandbox.dataverse.values import Column

NAMESPACE = "Microsoft.Dynamics.CRM"

_ACTIONS = ("Create", "Read", "Write", "Delete", "Append", "AppendTo", "Assign")
_FIRST_CUSTOM_CODE = 10_001
_CUSTOM: Mapping[str, Any] = {
    "app": "custom",
    "owned": True,
    "states": {
        "0": {"label": "Active", "default": 1, "statuses": {"1": "Active"}},
        "1": {"label": "Inactive", "default": 2, "statuses": {"2": "Inactive"}},
    },
}
"""What a custom table is unless it says otherwise."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A declared lookup: where it may lead, by which navigation name, and what befalls its row."""

    name: str
    bind: Mapping[str, tuple[str, ...]]
    inherited: frozenset[str] = frozenset()  # those of its navigation names that a base type declares
    write: bool = True
    create_only: bool = False
    on_delete: str = "unlink"

    @property
    def value(self) -> str:
        """The property that holds the id."""
        return f"_{self.name}_value"

    @property
    def type(self) -> str:
        """The column (of storage only) that holds the table's name."""
        return f"_{self.name}_type"

    def navigation(self, table: str) -> str | None:
        """The name that leads to this table (annotation associatednavigationproperty)."""
        return next((name for name, tables in self.bind.items() if table in tables), None)


@dataclass(frozen=True, slots=True)
class ChildRows:
    """A declared collection of child rows."""

    table: str
    lookup: str
    deep_insert: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """A state of a row with the statuses that belong to it."""

    label: str
    default: int
    statuses: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Table:
    """A declared table."""

    logical: str
    set: str
    key: str
    name: str
    code: int
    privilege: str
    owned: bool
    dated: bool
    methods: frozenset[str]
    rights: Mapping[str, tuple[str, ...]]  # by action, the privileges it needs
    columns: Mapping[str, Column]
    lookups: Mapping[str, Lookup]
    collections: Mapping[str, ChildRows]
    states: Mapping[int, State]
    values: Mapping[str, Lookup]  # by the property that holds the id
    binds: Mapping[str, Lookup]  # by navigation name
    readable: tuple[str, ...]  # all that can be selected
    defaults: Mapping[str, object]

    @property
    def type(self) -> str:
        """The type's name in OData."""
        return f"{NAMESPACE}.{self.logical}"

    def sql(self, name: str) -> str:
        """How a query of this table's rows names a value: its column, or that of the row it is read through."""
        column = self.columns.get(name)
        if column is None or column.through is None:
            return f'"{name}"'
        lookup = self.lookups[column.through]
        ((target,),) = lookup.bind.values()
        collation = " COLLATE NOCASE" if column.type == "text" else ""
        here = f'"{self.logical}"."{lookup.value}"'
        return f'(SELECT "{name}" FROM "{target}" WHERE "{column.through}" = {here}){collation}'

    def no_property(self, name: str) -> ODataError:
        """The refusal of a name that is not declared, in a query."""
        return syntax(f"Could not find a property named '{name}' on type '{self.type}'.")


@dataclass(frozen=True, slots=True)
class Model:
    """All declared tables, by logical name and by entity set."""

    tables: dict[str, Table]
    sets: dict[str, Table]

    def add(self, table: Table) -> None:
        """Put a table in the place of the one of its name."""
        self.tables[table.logical] = self.sets[table.set] = table


def load_model(
    apps: Collection[str] = ("dataverse", "sales", "service"),
    custom: Mapping[str, Mapping[str, Mapping[str, object]]] | None = None,
    tables: Mapping[str, Mapping[str, Any]] | None = None,
) -> Model:
    """The declarations of these applications, with an organisation's own columns and tables added."""
    found = _tables(apps, custom or {}, tables or {}) if custom or tables else dict(_usual_tables(tuple(apps)))
    return Model(tables=found, sets={table.set: table for table in found.values()})


@cache
def _usual_tables(apps: tuple[str, ...]) -> dict[str, Table]:
    return _tables(apps, {}, {})


def _tables(
    apps: Collection[str],
    custom: Mapping[str, Mapping[str, Mapping[str, object]]],
    tables: Mapping[str, Mapping[str, Any]],
) -> dict[str, Table]:
    document = tomllib.loads((Path(__file__).with_name("tables.toml")).read_text(encoding="utf-8"))
    for logical, columns in custom.items():
        document[logical].setdefault("columns", {}).update(columns)
    for number, (logical, entry) in enumerate(tables.items(), start=_FIRST_CUSTOM_CODE):
        named = {"code": number, "key": f"{logical}id", "privilege": logical}
        document[logical] = {**_CUSTOM, **named, **entry}
        _regard(document["email"], logical, entry.get("regarding"))
    installed = {logical for logical, entry in document.items() if entry["app"] in (*apps, "custom")}
    return {logical: _table(logical, document[logical], installed) for logical in document if logical in installed}


def _regard(email: dict[str, Any], logical: str, navigation: str | None) -> None:
    """Let emails regard the rows of a custom table, by this navigation name and by that of activitypointer."""
    if navigation is not None:
        regarding = email["lookups"]["regardingobjectid"]
        regarding["bind"][navigation] = logical
        regarding["inherited"][navigation.removesuffix("_email")] = logical


def _table(logical: str, entry: Mapping[str, Any], installed: Collection[str]) -> Table:
    owned, dated = entry.get("owned", False), entry.get("dated", True)
    states = _states(entry.get("states", {}))
    columns = _columns(logical, entry, states, dated)
    lookups = _lookups(entry, owned, dated, installed)
    return Table(
        logical=logical,
        set=entry["set"],
        key=entry["key"],
        name=entry["name"],
        code=entry["code"],
        privilege=entry["privilege"],
        owned=owned,
        dated=dated,
        methods=frozenset(entry.get("methods", ("GET", "POST", "PATCH", "DELETE"))),
        rights=_rights(entry["privilege"], entry.get("rights", {})),
        columns=columns,
        lookups=lookups,
        collections={name: ChildRows(**child) for name, child in entry.get("collections", {}).items()},
        states=states,
        values={lookup.value: lookup for lookup in lookups.values()},
        binds={name: lookup for lookup in lookups.values() for name in lookup.bind},
        readable=(
            *(name for name, column in columns.items() if column.read),
            *(lookup.value for lookup in lookups.values()),
        ),
        defaults={
            name: column.stored(column.default) for name, column in columns.items() if column.default is not None
        },
    )


def _rights(privilege: str, other: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    usual = {word.lower(): (f"prv{word}{privilege}",) for word in _ACTIONS}
    return usual | {action: tuple(needed) for action, needed in other.items()}


def _columns(logical: str, entry: Mapping[str, Any], states: Mapping[int, State], dated: bool) -> dict[str, Column]:
    words: dict[str, dict[str, Any]] = {entry["key"]: {"type": "guid", "create_only": True}}
    words |= _state_columns(states)
    words |= entry.get("columns", {})
    for name in ("createdon", "modifiedon") if dated else ():
        words[name] = {"type": "datetime", "write": False}
    words["versionnumber"] = {"type": "integer", "write": False}
    return {name: _column(logical, name, column) for name, column in words.items()}


def _column(table: str, name: str, entry: Mapping[str, Any]) -> Column:
    words = dict(entry)
    if "options" in words:
        words["options"] = {int(number): label for number, label in words["options"].items()}
    return Column(table=table, name=name, **words)


def _states(entries: Mapping[str, Any]) -> dict[int, State]:
    return {
        int(number): State(
            label=entry["label"],
            default=entry["default"],
            statuses={int(status): label for status, label in entry["statuses"].items()},
        )
        for number, entry in entries.items()
    }


def _state_columns(states: Mapping[int, State]) -> dict[str, dict[str, object]]:
    if not states:
        return {}
    statuses = {status: label for state in states.values() for status, label in sorted(state.statuses.items())}
    labels = {number: state.label for number, state in states.items()}
    return {
        "statecode": {"type": "choice", "options": labels, "default": 0},
        "statuscode": {"type": "choice", "options": statuses, "default": states[0].default},
    }


def _lookups(entry: Mapping[str, Any], owned: bool, dated: bool, installed: Collection[str]) -> dict[str, Lookup]:
    declared: dict[str, dict[str, Any]] = dict(entry.get("lookups", {}))
    for name in ("createdby", "modifiedby", "createdonbehalfby") if dated else ():
        declared.setdefault(name, {"bind": {name: "systemuser"}, "write": False, "on_delete": "keep"})
    if owned:
        declared.setdefault("ownerid", {"bind": {"ownerid": ["systemuser", "team"]}, "on_delete": "keep"})
    lookups = {}
    for name, words in declared.items():
        inherited = words.get("inherited", {})
        bind = {}
        for navigation, targets in (words["bind"] | inherited).items():
            there = tuple(t for t in ([targets] if isinstance(targets, str) else targets) if t in installed)
            if there:
                bind[navigation] = there
        rest = {key: value for key, value in words.items() if key not in ("bind", "inherited")}
        lookups[name] = Lookup(name=name, bind=bind, inherited=frozenset(inherited), **rest)
    return lookups
