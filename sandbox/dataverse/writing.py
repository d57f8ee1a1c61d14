"""Writing: rows created, changed and deleted, each as one step that happens or does not.

Responsible for the order of checks and for what every table has: keys, times, owners, versions, what goes with a
deleted row. What is particular to emails, their parties, attachments and queue items is told by the modules of that
name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

from sandbox.dataverse import attachments, queue_items, security
from sandbox.dataverse.answers import VERSION, Answer
from sandbox.dataverse.attachments import Attachments
from sandbox.dataverse.automation import Automation
from sandbox.dataverse.bodies import change_of
from sandbox.dataverse.emails import Emails
from sandbox.dataverse.followings import Followings
from sandbox.dataverse.model import Lookup, Table
from sandbox.dataverse.owners import Owners
from sandbox.dataverse.parties import Target
from sandbox.dataverse.privileges import Privileges
from sandbox.dataverse.queue_items import QueueItems
from sandbox.dataverse.reading import Reading
from sandbox.dataverse.refusals import bad_input, duplicate, missing, no_message
from sandbox.dataverse.requests import Request
from sandbox.dataverse.rows import Rows
from sandbox.dataverse.rules import (
    Behaviour,
    Change,
    check_changed_state,
    check_created_state,
    check_plug_in,
    check_version,
)


class Writing:
    """Answers to POST, PATCH and DELETE, and the writing itself."""

    def __init__(self, rows: Rows, reading: Reading, privileges: Privileges, behaviour: Behaviour) -> None:
        self._rows = rows
        self._reading = reading
        self._privileges = privileges
        self._behaviour = behaviour
        self.owners = Owners(rows, behaviour)
        self.automation = Automation(privileges)
        in_queues = QueueItems(rows)
        self.emails = Emails(rows, in_queues, behaviour)
        self._particular: Mapping[str, Followings] = {
            "email": self.emails,
            attachments.TABLE: Attachments(rows, self.emails),
            queue_items.TABLE: in_queues,
            security.ROLE: security.Roles(rows),
            security.USER: security.Users(rows),
        }
        self._plain = Followings()

    # requests

    def post(self, request: Request, table: Table) -> Answer:
        """Create a row."""
        if "POST" not in table.methods:
            raise no_message("Create", table.logical)
        return self._created(request, table, change_of(self._rows, table, request.payload(), request))

    def patch(self, request: Request, table: Table, row_id: str) -> Answer:
        """Change a row, or create it when there is none and nothing forbids it."""
        if "PATCH" not in table.methods:
            raise no_message("Update", table.logical)
        change = change_of(self._rows, table, request.payload(), request)
        version = self._rows.version(table, row_id)
        if version is not None and request.condition("if-none-match") == "*":
            raise duplicate("A record with matching key values already exists.")
        check_version(request, table, row_id, version)
        if version is None:
            if change.children is not None:  # [unproven]
                raise bad_input("Related rows can be created with POST only, not with a PATCH that creates.")
            return self._created(request, table, change, row_id)
        self._privileges.act(table, "write")
        self._privileges.write(table, change, request.caller)
        answering = self.automation.answering(request, "update", table, row_id)
        with self._rows.step():
            self._change(request, table, row_id, change)
        self.automation.log.append(answering)
        return self._reading.written(request, table, row_id, created=False)

    def remove(self, request: Request, table: Table, row_id: str) -> Answer:
        """Delete a row."""
        if "DELETE" not in table.methods:
            raise no_message("Delete", table.logical)
        version = self._rows.version(table, row_id)
        if version is None:
            raise missing(table.logical, row_id)
        self._privileges.act(table, "delete")
        check_version(request, table, row_id, version)
        answering = self.automation.answering(request, "delete", table, row_id)
        with self._rows.step():
            self.delete(table, row_id)
        self.automation.log.append(answering)
        return Answer(204, (VERSION,))

    def _created(self, request: Request, table: Table, change: Change, row_id: str | None = None) -> Answer:
        row_id = self.create_asked(request, table, change, row_id)
        return self._reading.written(request, table, row_id, created=True)

    def check_create(self, request: Request, table: Table, change: Change) -> None:
        """Whether the caller may make a row, and the table take it."""
        self._privileges.act(table, "create")
        self._privileges.write(table, change, request.caller)
        self._following(table).check_new(change)

    def create_asked(self, request: Request, table: Table, change: Change, row_id: str | None = None) -> str:
        """Make a row that a request asks for; its id."""
        self._privileges.act(table, "create")
        self._privileges.write(table, change, request.caller)
        answering = self.automation.answering(request, "create", table, "")
        self.owners.check(table, change, request.caller)
        self._following(table).check_asked(change)
        if answering.synchronous:
            check_plug_in(self._behaviour, table, change)
        check_created_state(table, change)
        row_id = self.create(table, change, request.caller, row_id)
        request.made.add(row_id)
        self.automation.log.append(replace(answering, row=row_id))
        return row_id

    # rows

    def create(self, table: Table, change: Change, caller: str, row_id: str | None = None) -> str:
        """Make a row with all that goes with it; its id."""
        row_id = row_id or str(change.values.get(table.key) or uuid4())
        with self._rows.step():
            if self._rows.value(table, row_id, table.key) is not None:
                raise duplicate()
            following = self._following(table)
            following.check_new(change)
            row = self._new_row(table, row_id, change.values)
            lookups = {**self._new_lookups(table, caller), **change.lookups}
            if "fullname" in table.columns and "fullname" not in row:
                row["fullname"] = _full_name(row.get("firstname"), row.get("lastname"))
            following.complete(row, lookups)
            for name, target in lookups.items():
                if target is not None:
                    lookup = table.lookups[name]
                    row[lookup.type], row[lookup.value] = target
            self._rows.insert(table.logical, row)
            following.created(row_id, change, lookups)
        return row_id

    def _following(self, table: Table) -> Followings:
        return self._particular.get(table.logical, self._plain)

    def _new_row(self, table: Table, row_id: str, values: Mapping[str, object]) -> dict[str, object]:
        now = self._rows.now()
        row = {**table.defaults, **values, table.key: row_id, "versionnumber": self._rows.next_version()}
        if table.dated:
            row["createdon"] = values.get("createdon") or now
            row["modifiedon"] = values.get("modifiedon") or now
        if values.get("overriddencreatedon"):
            # The date given becomes createdon, and the true one takes its place here. [unproven]
            row["createdon"], row["overriddencreatedon"] = values["overriddencreatedon"], now
        return row

    def _new_lookups(self, table: Table, caller: str) -> dict[str, Target | None]:
        acting = ("systemuser", caller)
        lookups: dict[str, Target | None] = {"createdby": acting, "modifiedby": acting} if table.dated else {}
        if table.dated and caller != self._rows.organisation.user:
            lookups["createdonbehalfby"] = ("systemuser", self._rows.organisation.user)
        if table.owned:
            lookups["ownerid"] = acting
        return lookups

    def _change(self, request: Request, table: Table, row_id: str, change: Change) -> None:
        values = {name: value for name, value in change.values.items() if not table.columns[name].create_only}
        change.values = values
        change.lookups = {name: to for name, to in change.lookups.items() if not table.lookups[name].create_only}
        self.owners.check(table, change, request.caller)
        if table.states:
            (current,) = self._rows.value(table, row_id, "statecode") or (0,)
            check_changed_state(self._behaviour, request, table, row_id, current, change)
        self._following(table).prepare(row_id, change)
        if "fullname" in table.columns and {"firstname", "lastname"} & set(values):
            first, last = self._rows.value(table, row_id, "firstname", "lastname") or (None, None)
            values["fullname"] = _full_name(values.get("firstname", first), values.get("lastname", last))
        self._rows.change(table, row_id, values, change.lookups, request.caller)
        self._following(table).changed(row_id, change)

    def delete(self, table: Table, row_id: str) -> None:
        """Delete a row with all that goes with it."""
        follow = self._following(table).deleting(row_id)
        for other, lookup in self._rows.referring[table.logical]:
            self._let_go(other, lookup, table.logical, row_id)
        self._rows.db.execute(f'DELETE FROM "{table.logical}" WHERE "{table.key}" = ?', (row_id,))
        follow()

    def _let_go(self, other: Table, lookup: Lookup, logical: str, row_id: str) -> None:
        """What a deleted row does to those that point to it."""
        here = f'"{lookup.value}" = ? AND "{lookup.type}" = ?'
        if lookup.on_delete == "cascade":
            sql = f'SELECT "{other.key}" FROM "{other.logical}" WHERE {here}'
            for (child,) in self._rows.db.execute(sql, (row_id, logical)).fetchall():
                self.delete(other, child)
        elif lookup.on_delete == "unlink":
            sql = f'UPDATE "{other.logical}" SET "{lookup.value}" = NULL, "{lookup.type}" = NULL WHERE {here}'
            self._rows.db.execute(sql, (row_id, logical))
        elif lookup.name == "partyid":
            self._rows.db.execute(f"UPDATE activityparty SET ispartydeleted = 1 WHERE {here}", (row_id, logical))


def _full_name(first: object, last: object) -> str | None:
    return " ".join(str(name) for name in (first, last) if name) or None
