"""The JSON of a body turned into a change: values stored, addresses followed to rows, child rows taken along.

Reads rows to see that an address leads somewhere; writes none.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from sandbox.dataverse.model import NAMESPACE, Lookup, Table
from sandbox.dataverse.refusals import ODataError, bad_input, missing, only_annotated
from sandbox.dataverse.requests import Request, below_root, row_at
from sandbox.dataverse.rows import Rows
from sandbox.dataverse.rules import Change, check_parties

_BIND = "@odata.bind"


def change_of(rows: Rows, table: Table, payload: Mapping[str, object], request: Request) -> Change:
    """What a body asks to write to a row of this table."""
    change = Change()
    for name, value in payload.items():
        column = table.columns.get(name)
        if column is not None:
            if column.write:
                change.values[name] = column.stored(value)
        elif name.endswith(_BIND):
            _bind(rows, table, change, name.removesuffix(_BIND), value, request)
        elif name == "@odata.type":
            if str(value).lstrip("#") != table.type:
                raise bad_input(f"The type '{value}' is not '{table.type}'.")
        elif "@" in name:
            _check_annotation(table, name)
        elif name in table.collections:
            change.children = _children(rows, table, name, value, request)
        elif name not in table.values:
            raise _undeclared(table, name, value)
    return change


def _check_annotation(table: Table, name: str) -> None:
    """An annotation says nothing to write, but it must stand at something declared."""
    about = name.partition("@")[0]
    declared = (table.columns, table.values, table.binds, table.collections)
    if about and not any(about in names for names in declared):
        raise only_annotated(about)


def _bind(rows: Rows, table: Table, change: Change, navigation: str, value: object, request: Request) -> None:
    lookup = table.binds.get(navigation)
    if lookup is None:
        raise only_annotated(navigation)
    if value is None:
        target = None
    elif isinstance(value, str):
        target = _target(rows, lookup, navigation, value, request)
    else:
        raise bad_input(f"The value of '{navigation}@odata.bind' must be the address of one row.")
    if not lookup.write:
        return
    if lookup.name in change.lookups:
        raise bad_input(f"The lookup '{lookup.name}' is bound more than once.")
    change.lookups[lookup.name] = target


def _target(rows: Rows, lookup: Lookup, navigation: str, address: str, request: Request) -> tuple[str, str]:
    if address.startswith(("$", "/$")):
        target, row_id = request.reference(address.lstrip("/"))
    else:
        path = unquote(address)
        below = below_root(path)
        target, row_id = row_at(rows.model, (path if below is None else below).removeprefix("/"))
    if target.logical not in lookup.bind[navigation]:
        expected = " or ".join(f"'{NAMESPACE}.{logical}'" for logical in lookup.bind[navigation])
        raise bad_input(f"A resource of type '{target.type}' was found for '{navigation}', expected {expected}.")
    if rows.value(target, row_id, target.key) is None:
        raise missing(target.logical, row_id)
    return target.logical, row_id


def _children(rows: Rows, table: Table, name: str, value: object, request: Request) -> list[Change]:
    child = table.collections[name]
    if not child.deep_insert:
        raise bad_input(f"Rows of '{name}' cannot be created together with their '{table.logical}'.")  # [unproven]
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise bad_input(f"The value of '{name}' must be an array of objects.")
    changes = [change_of(rows, rows.model.tables[child.table], entry, request) for entry in value]
    check_parties(changes)
    return changes


def _undeclared(table: Table, name: str, value: object) -> ODataError:
    if isinstance(value, list | dict):
        return bad_input(f"Does not support untyped value in non-open type. (property '{name}' of '{table.type}')")
    return bad_input(
        f"The property '{name}' does not exist on type '{table.type}'. Make sure to only use property names that are "
        "defined by the type."
    )
