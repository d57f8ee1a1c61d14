"""Queue items: an email in a queue, what is copied from it, and in how many queues it may be.

The facts are those of learn.microsoft.com, developer/data-platform/queue-entities and reference/entities/queueitem,
read 2026-11.
"""

from __future__ import annotations

from sandbox.dataverse.followings import Followings
from sandbox.dataverse.parties import Target
from sandbox.dataverse.refusals import ODataError, invalid
from sandbox.dataverse.rows import Rows
from sandbox.dataverse.rules import Change

TABLE = "queueitem"
_RECEIVED = 4
_LONGEST_TITLE = 300


class QueueItems(Followings):
    """The rules and the followings of putting something into a queue."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._tables = rows.model.tables

    def check_new(self, change: Change) -> None:
        """A queue and an email that may be in it."""
        queue, item = change.lookups.get("queueid"), change.lookups.get("objectid")
        if queue is None:
            text = "You must enter the target queue. Provide a valid value in the Queue field and try again."
            raise ODataError(400, "0x80040528", text)
        if item is None:
            text = (
                "You must enter the name of the record that you would like to put in the queue. Provide a valid value "
                "in the Queue Item field and try again."
            )
            raise ODataError(400, "0x80040529", text)
        self._check_elsewhere(queue[1], item)

    def complete(self, row: dict[str, object], lookups: dict[str, Target | None]) -> None:
        """The title of what is in the queue, its type, the time, and the queue's owner. [unproven: the owner]"""
        queue, item = lookups["queueid"], lookups["objectid"]
        if queue is None or item is None:
            return
        table = self._tables[item[0]]
        (title,) = self._rows.value(table, item[1], table.name) or (None,)
        row["title"] = None if title is None else str(title)[:_LONGEST_TITLE]
        row["objecttypecode"] = table.code
        row["enteredon"] = self._rows.now()
        owner, kind = self._rows.value(self._tables["queue"], queue[1], "_ownerid_value", "_ownerid_type") or (None, "")
        lookups["ownerid"] = (str(kind), str(owner)) if owner else None

    def deactivate(self, item: Target) -> None:
        """What is in queues was completed: its items there are deactivated with it."""
        sql = "SELECT queueitemid FROM queueitem WHERE _objectid_value = ? AND _objectid_type = ? AND statecode = 0"
        for (row_id,) in self._rows.db.execute(sql, (item[1], item[0])).fetchall():
            self._rows.change(self._tables[TABLE], row_id, {"statecode": 1, "statuscode": 2})

    def _check_elsewhere(self, queue: str, item: Target) -> None:
        """Only an email with the status Received may be in several queues, and in each of them once.

        The message AddToQueue moves what is in a queue already; what a plain create does then is [unproven]."""
        sql = "SELECT _queueid_value FROM queueitem WHERE _objectid_value = ? AND _objectid_type = ? AND statecode = 0"
        queues = {found for (found,) in self._rows.db.execute(sql, (item[1], item[0]))}
        (status,) = self._rows.value(self._tables[item[0]], item[1], "statuscode") or (None,)
        if queue in queues or (queues and (item[0], status) != ("email", _RECEIVED)):
            raise invalid(f"The {item[0]} With Id = {item[1]} is in a queue already.")
