"""The little of EntityDefinitions that tells whether a table or a column exists, and the names to bind by.

Pure: everything comes out of the declarations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from uuid import NAMESPACE_URL, uuid5

from sandbox.dataverse.answers import Answer, json_answer
from sandbox.dataverse.model import Model, Table
from sandbox.dataverse.queries import options_of
from sandbox.dataverse.refusals import NOT_FOUND, ODataError, no_http_method, no_resource, syntax
from sandbox.dataverse.requests import Request

_ACTIONS = ("Create", "Read", "Write", "Delete", "Assign", "Share", "Append", "AppendTo")
_TYPES = {
    "text": "String",
    "integer": "Integer",
    "choice": "Picklist",
    "guid": "Uniqueidentifier",
    "boolean": "Boolean",
    "datetime": "DateTime",
    "decimal": "Decimal",
    "base64": "Memo",
}


def definitions(model: Model, request: Request, key: str | None, rest: list[str]) -> Answer:
    """The answer to a request below EntityDefinitions."""
    if request.method != "GET":
        raise no_http_method(request.method)
    options = options_of(request.query)
    wanted = {name.strip() for name in options.get("$select", "").split(",")} - {""}
    context = f"{request.root}$metadata#EntityDefinitions"
    if key is None:
        tables = _matching([_definition(table) for table in model.tables.values()], options.get("$filter"))
        return json_answer({"@odata.context": context, "value": [_picked(table, wanted) for table in tables]})
    table = table_of(model, key)
    if not rest:
        return json_answer({"@odata.context": f"{context}/$entity", **_picked(_definition(table), wanted)})
    if column := re.fullmatch(r"Attributes\(LogicalName='(\w+)'\)", rest[0]):
        return json_answer(_picked(_attribute(model, table, column[1]), wanted))
    kinds = {"Attributes": _attributes, "ManyToOneRelationships": _relationships}
    if rest[0] not in kinds:
        raise no_resource(rest[0])
    entries = _matching(kinds[rest[0]](model, table), options.get("$filter"))
    return json_answer({"@odata.context": context, "value": [_picked(entry, wanted) for entry in entries]})


def table_of(model: Model, key: str) -> Table:
    """The table that the key in an address names."""
    logical = re.fullmatch(r"LogicalName='(\w+)'", key)
    table = model.tables.get(logical[1]) if logical else None
    if table is None:
        raise ODataError(404, NOT_FOUND, f"Could not find an entity with name {key} in the metadata cache.")
    return table


def _definition(table: Table) -> dict[str, object]:
    return {
        "MetadataId": str(uuid5(NAMESPACE_URL, table.logical)),
        "LogicalName": table.logical,
        "EntitySetName": table.set,
        "LogicalCollectionName": table.set,
        "PrimaryIdAttribute": table.key,
        "PrimaryNameAttribute": table.name,
        "ObjectTypeCode": table.code,
        "IsActivity": table.logical == "email",
        "IsOptimisticConcurrencyEnabled": True,
        "OwnershipType": "UserOwned" if table.owned else "None",
        "Privileges": [_privilege(table, action) for action in _ACTIONS],
    }


def _privilege(table: Table, action: str) -> dict[str, object]:
    name = f"prv{action}{table.privilege}"
    depths = {f"CanBe{depth}": table.owned or depth == "Global" for depth in ("Basic", "Local", "Deep", "Global")}
    return {"Name": name, "PrivilegeId": str(uuid5(NAMESPACE_URL, name)), "PrivilegeType": action, **depths}


def _attribute(model: Model, table: Table, name: str) -> dict[str, object]:
    found = next((entry for entry in _attributes(model, table) if entry["LogicalName"] == name), None)
    if found is None:
        raise ODataError(404, NOT_FOUND, f"Could not find an attribute with name {name}.")
    return found


def _attributes(_model: Model, table: Table) -> list[dict[str, object]]:
    columns: list[dict[str, object]] = [
        {
            "LogicalName": column.name,
            "AttributeType": _TYPES[column.type],
            "MaxLength": column.max if column.type == "text" else None,
            "IsValidForCreate": column.write,
            "IsValidForUpdate": column.write and not column.create_only,
            "IsValidForRead": column.read,
        }
        for column in table.columns.values()
    ]
    lookups: list[dict[str, object]] = [
        {
            "LogicalName": lookup.name,
            "AttributeType": "Lookup",
            "MaxLength": None,
            "IsValidForCreate": lookup.write,
            "IsValidForUpdate": lookup.write,
            "IsValidForRead": True,
        }
        for lookup in table.lookups.values()
    ]
    return columns + lookups


def _relationships(model: Model, table: Table) -> list[dict[str, object]]:
    """The table's own; those that activitypointer has with the same tables are its own in turn."""
    return [
        {
            "ReferencedEntity": target,
            "ReferencedAttribute": model.tables[target].key,
            "ReferencingEntity": table.logical,
            "ReferencingAttribute": lookup.name,
            "ReferencingEntityNavigationPropertyName": navigation,
        }
        for lookup in table.lookups.values()
        for navigation, targets in lookup.bind.items()
        if navigation not in lookup.inherited
        for target in targets
    ]


def _picked(entry: Mapping[str, object], wanted: set[str]) -> dict[str, object]:
    unknown = wanted - set(entry)
    if unknown:
        raise syntax(f"Could not find a property named '{min(unknown)}' on this type.")
    return {name: value for name, value in entry.items() if not wanted or name in wanted or name == "MetadataId"}


def _matching(entries: list[dict[str, object]], condition: str | None) -> list[dict[str, object]]:
    if condition is None:
        return entries
    equalities = [re.fullmatch(r"\s*(\w+) eq '([^']*)'\s*", term) for term in condition.split(" or ")]
    if not all(equalities):
        raise syntax(f"This stand-in filters definitions by equalities joined with or, not by '{condition}'.")
    return [e for e in entries if any(found and str(e.get(found[1])) == found[2] for found in equalities)]
