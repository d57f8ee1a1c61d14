"""What the platform does with an email beyond its columns: owners, parties, dates, the key on its Message-ID."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.dataverse.followings import Followings
from sandbox.dataverse.parties import OWNER, REGARDING, Parties, Target
from sandbox.dataverse.queue_items import QueueItems
from sandbox.dataverse.refusals import ODataError, bad_input, completed
from sandbox.dataverse.rows import Rows
from sandbox.dataverse.rules import Behaviour, Change
from sandbox.dataverse.values import midnight


class Emails(Followings):
    """The rules and the followings of writing an email."""

    def __init__(self, rows: Rows, queue_items: QueueItems, behaviour: Behaviour) -> None:
        self._rows = rows
        self._table = rows.model.tables["email"]
        self._queue_items = queue_items
        self._behaviour = behaviour
        self.parties = Parties(rows)

    def complete(self, row: dict[str, object], lookups: dict[str, Target | None]) -> None:
        """What is filled by itself when an email is made."""
        self._check_messageid(str(row["activityid"]), row.get("messageid"), row.get("directioncode"))
        lookups["owningbusinessunit"] = ("businessunit", self._rows.organisation.business_unit)
        lookups |= _owners(lookups["ownerid"])

    def created(self, row_id: str, change: Change, lookups: Mapping[str, Target | None]) -> None:
        """The parties of a new email."""
        owner = lookups["ownerid"]
        self.parties.add(row_id, change.children or (), owner)
        self.parties.add_own(row_id, REGARDING, lookups.get("regardingobjectid"), owner)
        self.parties.add_own(row_id, OWNER, owner, owner)

    def check_open(self, row_id: str) -> None:
        """A completed email takes nothing any more."""
        if self._behaviour.lenient_completed:
            return
        (state,) = self._rows.value(self._table, row_id, "statecode") or (0,)
        if state != 0:
            raise completed()

    def prepare(self, row_id: str, change: Change) -> None:
        """Check a change of an email, and add what follows from it to what is written."""
        values = change.values
        row = self._rows.value(self._table, row_id, "messageid", "directioncode", "actualend", "senton", "statecode")
        message_id, direction, ended, sent, state = row or (None,) * 5
        if "messageid" in values or "directioncode" in values:
            self._check_messageid(row_id, values.get("messageid", message_id), values.get("directioncode", direction))
        if values.get("statecode") in (1, 2) and values.get("actualend", ended) is None:
            # The column's own description: by default the date when the activity was completed or cancelled.
            values["actualend"] = midnight(self._rows.now())
        if values.get("statuscode") == 3 and sent is None:
            values["senton"] = self._rows.now()  # [unproven]
        if state == 0 and values.get("statecode") in (1, 2) and not self._behaviour.queue_items_stay_active:
            # queue-entities says so of tables with the states Active and Inactive, and of phone calls. [unproven]
            self._queue_items.deactivate(("email", row_id))
        if "ownerid" in change.lookups:
            change.lookups |= _owners(change.lookups["ownerid"])

    def changed(self, row_id: str, change: Change) -> None:
        """The parties of an email that was changed."""
        if change.children is not None:
            self.parties.replace(row_id, change.children)
        if "regardingobjectid" in change.lookups:
            self.parties.replace_own(row_id, REGARDING, change.lookups["regardingobjectid"])
        if "ownerid" in change.lookups:
            self.parties.replace_own(row_id, OWNER, change.lookups["ownerid"])

    def _check_messageid(self, row_id: str, message_id: object, direction: object) -> None:
        if not self._behaviour.messageid_unique or message_id is None:
            return
        sql = "SELECT 1 FROM email WHERE messageid = ? AND directioncode = ? AND activityid <> ?"
        if self._rows.db.execute(sql, (message_id, direction, row_id)).fetchone():
            raise ODataError(
                412,
                "0x80060892",
                "A record that has the attribute values Message ID, Direction already exists. The entity key requires "
                "that this set of attributes contains unique values. Select unique values and try again.",
            )


def _owners(owner: Target | None) -> dict[str, Target | None]:
    if owner is None:
        raise bad_input("A null value was found for the lookup 'ownerid', which cannot be null.")
    user = owner[0] == "systemuser"
    return {"owninguser": owner if user else None, "owningteam": None if user else owner}
