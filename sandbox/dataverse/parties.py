"""The parties of an email: those a client writes, and those the platform adds for regarding and owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import uuid4

from sandbox.dataverse.rows import Rows
from sandbox.dataverse.rules import EMAIL_MASKS, Change

REGARDING, OWNER = 8, 9
_MAIL_COLUMNS = {"systemuser": "internalemailaddress", "queue": "emailaddress"}

Target = tuple[str, str]
"""A row by its table and its id."""


class Parties:
    """The rows of activityparty that belong to emails."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._table = rows.model.tables["activityparty"]

    def add(self, activity: str, changes: Sequence[Change], owner: Target | None) -> None:
        """Add the parties a client gives."""
        version = self._rows.next_version()
        for change in changes:
            target = change.lookups.get("partyid")
            values = {**change.values, "versionnumber": version}
            if target and not values.get("addressused"):
                values["addressused"] = self._address_of(*target)
            self._insert(activity, values, target, owner)

    def add_own(self, activity: str, mask: int, target: Target | None, owner: Target | None) -> None:
        """Add the platform's own party of this role."""
        if target is not None:
            values = {"participationtypemask": mask, "versionnumber": self._rows.next_version()}
            self._insert(activity, values, target, owner)

    def replace(self, activity: str, changes: Sequence[Change]) -> None:
        """Put these in the place of all parties a client gave before."""
        self._delete(activity, *EMAIL_MASKS)
        self.add(activity, changes, self._owner_of(activity))

    def replace_own(self, activity: str, mask: int, target: Target | None) -> None:
        """Put the platform's own party of this role anew."""
        self._delete(activity, mask)
        self.add_own(activity, mask, target, self._owner_of(activity))

    def _insert(self, activity: str, values: Mapping[str, object], target: Target | None, owner: Target | None) -> None:
        party, owned = target or (None, None), owner or (None, None)
        row = {
            self._table.key: str(uuid4()),
            **self._table.defaults,
            **values,
            "_activityid_type": "email",
            "_activityid_value": activity,
            "_partyid_type": party[0],
            "_partyid_value": party[1],
            "_ownerid_type": owned[0],
            "_ownerid_value": owned[1],
        }
        self._rows.insert("activityparty", row)

    def _delete(self, activity: str, *masks: int) -> None:
        marks = ", ".join("?" * len(masks))
        sql = f"DELETE FROM activityparty WHERE _activityid_value = ? AND participationtypemask IN ({marks})"
        self._rows.db.execute(sql, (activity, *masks))

    def _owner_of(self, activity: str) -> Target | None:
        row = self._rows.value(self._rows.model.tables["email"], activity, "_ownerid_type", "_ownerid_value")
        return (str(row[0]), str(row[1])) if row else None

    def _address_of(self, logical: str, row_id: str) -> object:
        """The address the platform writes for a party that came without one. [unproven]"""
        table = self._rows.model.tables[logical]
        column = _MAIL_COLUMNS.get(logical, "emailaddress1")
        found = self._rows.value(table, row_id, column) if column in table.columns else None
        return found[0] if found else None
