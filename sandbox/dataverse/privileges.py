"""What the application user may do: the privileges its roles have, and which of them requests really needed.

Responsible for telling which privileges an act needs and for refusing it without them. How deep a privilege reaches
(user, business unit, organisation) is left out: here each reaches everything.

Names: learn.microsoft.com, "Create message privileges", "Assign message privileges" and developer/data-platform/
queue-entities, read 2026-11; that a bind needs prvAppend<table>, prvAppendTo<table> and prvRead<table>, a party's too,
was assembled from public reports of what was missing. [unproven]
"""

from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5

from sandbox.dataverse.model import Table
from sandbox.dataverse.parties import Target
from sandbox.dataverse.queries import Query
from sandbox.dataverse.refusals import ODataError
from sandbox.dataverse.rows import Rows
from sandbox.dataverse.rules import Change

_TYPES = {"systemuser": ("user", "type=8, roleCount=1"), "team": ("team", "type=9, teamType=0")}
_DEFINITIONS = {"Attributes": "prvReadAttribute", "ManyToOneRelationships": "prvReadRelationship"}


class Privileges:
    """The privileges of the application user."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.granted: frozenset[str] | None = None
        """Those its roles have; None is all there are."""
        self.used: set[str] = set()
        """Those that some request needed, granted or not."""

    def act(self, table: Table, action: str) -> None:
        """Create, read, write, delete, append, appendto or assign rows of a table."""
        for privilege in table.rights[action]:
            self._need(privilege, table)

    def write(self, table: Table, change: Change, caller: str) -> None:
        """Write what a change asks for besides the columns: lookups, parties, an owner, a date of creation."""
        if change.values.get("overriddencreatedon") is not None:
            self._need("prvOverrideCreatedOnCreatedBy")
        for name, target in change.lookups.items():
            if name == "ownerid" and target is not None:
                self._assign(table, target, caller)
            elif target is not None:
                self._bind(table, target)
        for party in change.children or ():
            self.write(self._rows.model.tables["activityparty"], party, caller)

    def read(self, query: Query) -> None:
        """Read what a query asks for, with all it expands."""
        self.act(query.table, "read")
        for expansion in query.expand:
            self.read(expansion.query)

    def define(self, rest: list[str]) -> None:
        """Read definitions of tables, or what is below one."""
        self._need("prvReadEntity")
        if rest and (privilege := _DEFINITIONS.get(rest[0].partition("(")[0])):
            self._need(privilege)

    def create_column(self) -> None:
        """Add a column to a table. [unproven]"""
        self._need("prvCreateAttribute")

    def bypass(self, privilege: str) -> None:
        """Go past what the organisation automated."""
        self._need(privilege)

    def impersonate(self) -> None:
        """Act for another user."""
        self._need("prvActOnBehalfOfAnotherUser")

    def _bind(self, table: Table, target: Target) -> None:
        if table.rights["append"]:
            leads_to = self._rows.model.tables[target[0]]
            self.act(table, "append")
            self.act(leads_to, "appendto")
            self.act(leads_to, "read")

    def _assign(self, table: Table, owner: Target, caller: str) -> None:
        if owner != ("systemuser", caller):
            self.act(table, "assign")
            self.act(self._rows.model.tables[owner[0]], "read")

    def _need(self, privilege: str, table: Table | None = None) -> None:
        self.used.add(privilege)
        if self.granted is not None and privilege not in self.granted:
            own = self._rows.organisation
            about = (table.code, table.logical) if table else None
            text = lacking(("systemuser", own.user), privilege, about, count=len(self.granted), caller=own.user)
            raise ODataError(403, "0x80040220", text)


def lacking(principal: Target, privilege: str, about: tuple[int, str] | None, *, count: int, caller: str) -> str:
    """What the service says of a user or a team whose roles lack a privilege, as public reports have it (2023 to 2026).

    Left out is what no reader can use: the size of its metadata cache, the Entra object id, the business unit."""
    kind, words = _TYPES[principal[0]]
    privilege_id = uuid5(NAMESPACE_URL, privilege)
    entity = f" on OTC={about[0]} for entity '{about[1]}'" if about else ""
    return (
        f"Principal {kind} (Id={principal[1]}, {words}, privilegeCount={count}), is missing {privilege} privilege "
        f"(Id={privilege_id}){entity}. context.Caller={caller}. Consider adding missed privilege to one of the "
        "principal (user/team) roles."
    )
