"""Columns that a client adds to a table: POST EntityDefinitions(LogicalName='...')/Attributes.

Texts only; the shape is that of learn.microsoft.com, webapi/create-update-column-definitions-using-web-api, read
2026-11. The codes of the refusals and the privileges are [unproven].
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import msgspec

from sandbox.dataverse.answers import VERSION, Answer
from sandbox.dataverse.definitions import table_of
from sandbox.dataverse.model import NAMESPACE
from sandbox.dataverse.privileges import Privileges
from sandbox.dataverse.refusals import ODataError, bad_input, invalid, no_http_method
from sandbox.dataverse.requests import Request
from sandbox.dataverse.rows import Rows
from sandbox.dataverse.values import Column

_STRING = f"{NAMESPACE}.StringAttributeMetadata"
_MOST = 4000


class _Label(msgspec.Struct, rename="pascal"):
    localized_labels: list[dict[str, Any]]


class _Required(msgspec.Struct, rename="pascal"):
    value: str


class _Format(msgspec.Struct, rename="pascal"):
    value: str


class _Asked(msgspec.Struct, rename="pascal"):
    schema_name: str
    display_name: _Label
    max_length: int
    type: str = msgspec.field(default="", name="@odata.type")
    required_level: _Required | None = None
    format_name: _Format | None = None


class NewColumns:
    """Adds columns to the declarations and to the rows."""

    def __init__(self, rows: Rows, privileges: Privileges) -> None:
        self._rows = rows
        self._privileges = privileges

    def create(self, request: Request, key: str | None, rest: list[str]) -> Answer:
        """Add a column of text."""
        if key is None or rest != ["Attributes"]:
            raise no_http_method(request.method)
        self._privileges.define([])
        self._privileges.create_column()
        model = self._rows.model
        table = table_of(model, key)
        asked = request.parameters(_Asked)
        name = _checked(asked)
        if name in table.columns or name in table.lookups:
            text = f"An attribute with the specified name {name} already exists for the entity {table.logical}"
            raise ODataError(400, "0x80047013", text)
        column = Column(table=table.logical, name=name, type="text", max=asked.max_length)
        changed = replace(table, columns={**table.columns, name: column}, readable=(*table.readable, name))
        model.add(changed)
        self._rows.db.execute(f'ALTER TABLE "{table.logical}" ADD COLUMN "{name}" TEXT COLLATE NOCASE')
        where = f"{request.root}EntityDefinitions(LogicalName='{table.logical}')/Attributes(LogicalName='{name}')"
        return Answer(204, (VERSION, ("OData-EntityId", where)))


def _checked(asked: _Asked) -> str:
    """The logical name of what is asked for."""
    if asked.type.lstrip("#") != _STRING:
        raise bad_input(f"This stand-in makes columns of the type '{_STRING}', not '{asked.type}'.")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]{1,7}_[A-Za-z0-9_]{1,90}", asked.schema_name):
        raise invalid(f"The name '{asked.schema_name}' has no prefix of a publisher.")
    if not asked.display_name.localized_labels:
        raise invalid("A column needs a DisplayName.")
    if not 1 <= asked.max_length <= _MOST:
        raise invalid(f"MaxLength is from 1 to {_MOST}.")
    return asked.schema_name.lower()
