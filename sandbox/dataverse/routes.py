"""Which resource a path leads to, and which HTTP methods it takes there."""

from __future__ import annotations

from urllib.parse import unquote

from sandbox.dataverse.answers import Answer, json_answer
from sandbox.dataverse.definitions import definitions
from sandbox.dataverse.model import NAMESPACE, Table
from sandbox.dataverse.new_columns import NewColumns
from sandbox.dataverse.privileges import Privileges
from sandbox.dataverse.reading import Reading
from sandbox.dataverse.refusals import missing, no_http_method, no_message, no_path, no_resource
from sandbox.dataverse.requests import Request, id_of, segment
from sandbox.dataverse.rows import Rows
from sandbox.dataverse.security import Security
from sandbox.dataverse.uploads import Uploads
from sandbox.dataverse.writing import Writing


class Routes:
    """The resources of one organisation."""

    def __init__(
        self, rows: Rows, reading: Reading, writing: Writing, privileges: Privileges, security: Security
    ) -> None:
        self._rows = rows
        self._reading = reading
        self._writing = writing
        self._uploads = Uploads(rows, writing)
        self._columns = NewColumns(rows, privileges)
        self._privileges = privileges
        self._security = security

    def run(self, request: Request) -> Answer:
        """Do what a request asks; its path is relative to the root of the Web API."""
        head, *rest = unquote(request.path).split("/")
        if head.startswith("$") and head[1:].isdigit():
            return self._row(request, *request.reference(head), rest)
        if head == "":
            return self._service_document(request)
        name, key = segment(head)
        if name == "WhoAmI" and not key and not rest:
            return self._who_am_i(request)
        if name == "RetrieveRolePrivilegesRole" and not rest:
            return self._security.role_privileges(request, key)
        if name in self._uploads.actions and key is None and not rest:
            return self._uploads.run(request, name)
        if name == "EntityDefinitions":
            if request.method == "POST":
                return self._columns.create(request, key, rest)
            self._privileges.define(rest)
            return definitions(self._rows.model, request, key, rest)
        table = self._rows.model.sets.get(name)
        if table is None:
            raise no_resource(name)
        if key is None:
            return self._set(request, table, rest)
        return self._row(request, table, id_of(table, key), rest)

    def _set(self, request: Request, table: Table, rest: list[str]) -> Answer:
        if rest == ["$count"] and request.method == "GET":
            return self._reading.count(request, table)
        if rest:
            raise no_resource(rest[0])
        match request.method:
            case "GET":
                return self._reading.page(request, table)
            case "POST":
                return self._writing.post(request, table)
        raise no_http_method(request.method)

    def _row(self, request: Request, table: Table, row: str, rest: list[str]) -> Answer:
        if request.method == "GET" and "GET" not in table.methods:
            raise no_message("Retrieve", table.logical)
        if rest:
            found = self._security.below(request, table, row, rest)
            return self._below_row(request, table, row, rest) if found is None else found
        match request.method:
            case "GET":
                return self._reading.row(request, table, row)
            case "PATCH":
                return self._writing.patch(request, table, row)
            case "DELETE":
                return self._writing.remove(request, table, row)
        raise no_http_method(request.method)

    def _below_row(self, request: Request, table: Table, row: str, rest: list[str]) -> Answer:
        if request.method != "GET":
            raise no_http_method(request.method)
        if self._rows.version(table, row) is None:
            raise missing(table.logical, row)
        match rest:
            case [name] if name in table.collections:
                return self._reading.children(request, table, row, name)
            case [name, "$value"] if name in table.columns:
                return self._reading.column(table, row, name)
        raise no_resource(rest[0])

    def _who_am_i(self, request: Request) -> Answer:
        if request.method != "GET":
            raise no_path(f"{request.root}{request.path}")
        return json_answer(
            {
                "@odata.context": f"{request.root}$metadata#{NAMESPACE}.WhoAmIResponse",
                "BusinessUnitId": self._rows.organisation.business_unit,
                "UserId": request.caller,
                "OrganizationId": self._rows.organisation.id,
            }
        )

    def _service_document(self, request: Request) -> Answer:
        sets = [{"name": name, "kind": "EntitySet", "url": name} for name in sorted(self._rows.model.sets)]
        return json_answer({"@odata.context": f"{request.root}$metadata", "value": sets})
