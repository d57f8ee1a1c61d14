"""Who may own a row: users and teams whose roles let them read it, and who are not disabled."""

from __future__ import annotations

from sandbox.dataverse.model import Table
from sandbox.dataverse.parties import Target
from sandbox.dataverse.privileges import lacking
from sandbox.dataverse.refusals import ODataError
from sandbox.dataverse.rows import Rows
from sandbox.dataverse.rules import Behaviour, Change

_READ_ACTIVITY = "prvReadActivity"


class Owners:
    """Refuses an owner a request names, where the service would."""

    def __init__(self, rows: Rows, behaviour: Behaviour) -> None:
        self._rows = rows
        self._behaviour = behaviour
        self.roleless: set[str] = set()
        """Ids of users and teams that have no security role."""
        self.unreading: set[str] = set()
        """Ids of users and teams whose roles let them read no activities."""

    def check(self, table: Table, change: Change, caller: str) -> None:
        """The owner named, if any, other than the one who asks."""
        owner = change.lookups.get("ownerid")
        if owner is None or owner == ("systemuser", caller):
            return
        self._check_enabled(owner)
        (privilege,) = table.rights["read"]
        if owner[1] in self.roleless:
            raise self._roleless(owner, table, privilege, caller)
        if owner[1] in self.unreading and privilege == _READ_ACTIVITY:
            raise self._unreading(owner, table, privilege, count=40, caller=caller)

    def _check_enabled(self, owner: Target) -> None:
        """Public reports show this answer to a disabled user who acts. As an owner it is [unproven]: the guide to users
        on-premises says that records can be assigned to disabled ones."""
        if owner[0] != "systemuser" or self._behaviour.disabled_may_own:
            return
        (disabled,) = self._rows.value(self._rows.model.tables["systemuser"], owner[1], "isdisabled") or (0,)
        if disabled:
            text = f"The specified user(Id = {owner[1]}) is disabled. Consider enabling this user. Additional Details: "
            raise ODataError(403, "0x80040225", text)

    def _roleless(self, owner: Target, table: Table, privilege: str, caller: str) -> ODataError:
        """A team without roles lacks the privilege, as public reports of 2025 and 2026 show; so may a user."""
        if owner[0] == "team" or self._behaviour.roleless_users_lack_privileges:
            return self._unreading(owner, table, privilege, count=0, caller=caller)
        text = (
            f"RetrievePrivilegeForUser: The user with id {owner[1]} has not been assigned any roles. They need a role "
            f"with the {privilege} privilege."
        )
        return ODataError(403, "0x80042f09", text)  # seen of users who act; as an owner [unproven]

    def _unreading(self, owner: Target, table: Table, privilege: str, *, count: int, caller: str) -> ODataError:
        """Seen word for word in public reports of 2026, of a team and of users: HTTP 403, in some 400."""
        about = (4200, "activitypointer") if privilege == _READ_ACTIVITY else (table.code, table.logical)
        text = lacking(owner, privilege, about, count=count, caller=caller)
        status = self._behaviour.unreading_owner_status
        return ODataError(status, "0x80040299", f"Read Privilege Check For Owner failed with exception: {text}")
