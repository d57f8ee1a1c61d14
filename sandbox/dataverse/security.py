"""Security roles: their privileges, who has them, and the privileges that somebody has by them.

Responsible for the actions AddPrivilegesRole and RemovePrivilegeRole, the functions RetrieveRolePrivilegesRole and
RetrieveUserPrivileges, and the association of users with roles. What a request needs is the business of `privileges`.

Shapes: learn.microsoft.com, Web API reference of these four and "Web API functions and actions sample", which also
shows the nine privileges of a new role; that AddPrivilegesRole gives four of them back each time, and that an
association made twice is a duplicate, stands in public reports of 2026. Read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from uuid import NAMESPACE_URL, uuid5

import msgspec

from sandbox.dataverse.answers import VERSION, Answer, json_answer
from sandbox.dataverse.followings import Followings
from sandbox.dataverse.model import NAMESPACE, Model, Table
from sandbox.dataverse.parties import Target
from sandbox.dataverse.privileges import Privileges
from sandbox.dataverse.reading import Reading
from sandbox.dataverse.refusals import bad_input, duplicate, invalid, missing, no_http_method, no_path, no_resource
from sandbox.dataverse.requests import Request, below_root, row_at
from sandbox.dataverse.rows import Rows
from sandbox.dataverse.rules import Change

ROLE, USER, PRIVILEGE = "role", "systemuser", "privilege"
DEPTHS = ("Basic", "Local", "Deep", "Global")
_BY_NUMBER = {str(number): depth for number, depth in enumerate(DEPTHS)}
_OFTEN = ("prvReadSharePointData", "prvWriteSharePointData", "prvCreateSharePointData", "prvReadSharePointDocument")
"""What AddPrivilegesRole adds besides, every time."""
_AT_FIRST = (
    *_OFTEN,
    *("prvReadSdkMessage", "prvReadSdkMessageProcessingStep", "prvReadSdkMessageProcessingStepImage"),
    *("prvReadPluginAssembly", "prvReadPluginType"),
)
"""What a new role has."""
_WITHOUT_TABLE = (
    *_AT_FIRST,
    *("prvReadEntity", "prvReadAttribute", "prvReadRelationship", "prvCreateAttribute"),
    *("prvActOnBehalfOfAnotherUser", "prvOverrideCreatedOnCreatedBy"),
    *("prvBypassCustomPlugins", "prvBypassCustomBusinessLogic"),
)
_TABLES = """
CREATE TABLE "role privilege" ("role" TEXT, "privilege" TEXT, "depth" TEXT, UNIQUE ("role", "privilege"));
CREATE TABLE "user role" ("user" TEXT, "role" TEXT, UNIQUE ("user", "role"));
"""


class _RolePrivilege(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    privilege_id: str
    depth: str
    business_unit_id: str | None = None
    privilege_name: str | None = None


class _Add(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    privileges: list[_RolePrivilege]


class _Reference(msgspec.Struct, forbid_unknown_fields=True):
    privilegeid: str
    type: str | None = msgspec.field(default=None, name="@odata.type")


class _Remove(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    """By reference: a parameter PrivilegeId, as the SDK for .NET has it, is refused here (public reports, 2026)."""

    privilege: _Reference


class _Link(msgspec.Struct, forbid_unknown_fields=True):
    id: str = msgspec.field(name="@odata.id")


def privilege_id(name: str) -> str:
    """The id of a privilege, the same in every organisation."""
    return str(uuid5(NAMESPACE_URL, name))


def names_of(model: Model) -> list[str]:
    """Every privilege there is."""
    actions = ("Create", "Read", "Write", "Delete", "Append", "AppendTo", "Assign", "Share")
    bases = {table.privilege for table in model.tables.values()} - {"Privilege"}
    return sorted({*_WITHOUT_TABLE, *(f"prv{action}{base}" for base in bases for action in actions)})


class Roles(Followings):
    """What follows from making a role: the privileges of every new one."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        rows.db.executescript(_TABLES)

    def check_asked(self, change: Change) -> None:
        """A role is of a business unit and has a name."""
        if not change.lookups.get("businessunitid") or not change.values.get("name"):
            raise invalid("A role needs a name and a businessunitid.")

    def created(self, row_id: str, change: Change, lookups: Mapping[str, Target | None]) -> None:  # noqa: ARG002
        """Nine privileges that nobody asked for."""
        give(self._rows, row_id, ((name, "Global") for name in _AT_FIRST))


class Users(Followings):
    """What is asked of a new user."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def check_asked(self, change: Change) -> None:
        """An application user is told by its application; a person by the name they sign in with. [unproven: codes]"""
        application = change.values.get("applicationid")
        if not change.lookups.get("businessunitid"):
            raise invalid("A user needs a businessunitid.")
        if not application and not change.values.get("domainname"):
            raise invalid("A user needs a domainname, an application user an applicationid.")
        sql = "SELECT 1 FROM systemuser WHERE applicationid = ?"
        if application and self._rows.db.execute(sql, (application,)).fetchone():
            raise duplicate()

    def complete(self, row: dict[str, object], lookups: dict[str, Target | None]) -> None:  # noqa: ARG002
        """An application user is named after its application, which is not looked up here."""
        if row.get("applicationid") and not row.get("fullname"):
            row["fullname"] = f"# {row['applicationid']}"


def give(rows: Rows, role: str, privileges: Iterable[tuple[str, str]]) -> None:
    """Give a role privileges, by name and depth; one it has takes the new depth."""
    sql = 'INSERT OR REPLACE INTO "role privilege" ("role", "privilege", "depth") VALUES (?, ?, ?)'
    rows.db.executemany(sql, [(role, name, depth) for name, depth in privileges])


class Security:
    """Answers about roles and what they give."""

    def __init__(self, rows: Rows, reading: Reading, privileges: Privileges) -> None:
        self._rows = rows
        self._reading = reading
        self._privileges = privileges
        self._role, self._user = rows.model.tables[ROLE], rows.model.tables[USER]
        self.depths: dict[str, str] = {}
        """Depths at which the application user has its privileges, where it is not Global."""
        names = names_of(rows.model)
        self._names = {privilege_id(name): name for name in names}
        for name in names:
            row = {"privilegeid": privilege_id(name), "name": name, "versionnumber": rows.next_version()}
            rows.insert(PRIVILEGE, row)

    def of_user(self, user: str) -> dict[str, str]:
        """The privileges of a user, with their depths; the application user that acts has what it was granted."""
        if user == self._rows.organisation.user:
            granted = self._privileges.granted
            held = set(self._names.values()) if granted is None else granted
            return {name: self.depths.get(name, "Global") for name in sorted(held)}
        sql = (
            'SELECT "privilege", "depth" FROM "role privilege" JOIN "user role" USING ("role") WHERE "user" = ? '
            "ORDER BY 1"
        )
        found: dict[str, str] = {}
        for name, depth in self._rows.db.execute(sql, (user,)):
            found[name] = max(depth, found.get(name, depth), key=DEPTHS.index)
        return found

    def role_privileges(self, request: Request, key: str | None) -> Answer:
        """RetrieveRolePrivilegesRole(RoleId=...)."""
        named = re.fullmatch(r"RoleId=([0-9a-fA-F-]{36})", key or "")
        if request.method != "GET" or named is None:
            raise no_path(f"{request.root}{request.path}")
        self._privileges.act(self._role, "read")
        role = named[1].lower()
        self._check_there(self._role, role)
        sql = 'SELECT "privilege", "depth" FROM "role privilege" WHERE "role" = ? ORDER BY rowid'
        return self._told(request, "RetrieveRolePrivilegesRole", dict(self._rows.db.execute(sql, (role,)).fetchall()))

    def below(self, request: Request, table: Table, row: str, rest: list[str]) -> Answer | None:
        """What hangs below a role or a user; None where it is none of it."""
        named = rest[0].removesuffix("()")
        match (table.logical, named, *rest[1:]):
            case ("role", "Microsoft.Dynamics.CRM.AddPrivilegesRole"):
                return self._add(request, row)
            case ("role", "Microsoft.Dynamics.CRM.RemovePrivilegeRole"):
                return self._remove(request, row)
            case ("systemuser", "Microsoft.Dynamics.CRM.RetrieveUserPrivileges"):
                return self._user_privileges(request, row)
            case ("systemuser", "systemuserroles_association"):
                return self._roles_of(request, row)
            case ("systemuser", "systemuserroles_association", "$ref"):
                return self._associate(request, row)
        return None

    def _add(self, request: Request, role: str) -> Answer:
        self._act_on(request, role)
        asked = request.parameters(_Add).privileges
        depths = [_BY_NUMBER.get(one.depth, one.depth) for one in asked]
        if unknown := [depth for depth in depths if depth not in DEPTHS]:
            raise bad_input(
                f"Cannot convert the literal '{unknown[0]}' to the expected type '{NAMESPACE}.PrivilegeDepth'."
            )
        names = [self._name_of(one.privilege_id) for one in asked]
        give(self._rows, role, [*zip(names, depths, strict=True), *((name, "Global") for name in _OFTEN)])
        return Answer(204, (VERSION,))

    def _remove(self, request: Request, role: str) -> Answer:
        self._act_on(request, role)
        name = self._name_of(request.parameters(_Remove).privilege.privilegeid)
        sql = 'DELETE FROM "role privilege" WHERE "role" = ? AND "privilege" = ?'
        if not self._rows.db.execute(sql, (role, name)).rowcount:
            raise invalid(f"The role does not have the privilege {name}.")  # [unproven]
        return Answer(204, (VERSION,))

    def _act_on(self, request: Request, role: str) -> None:
        """Privileges: "AddPrivilegesRole message privileges" (gg309720), "RemovePrivilegeRole ..." (gg309338)."""
        if request.method != "POST":
            raise no_http_method(request.method)
        for table, action in ((self._role, "write"), (self._role, "read"), (self._user, "read")):
            self._privileges.act(table, action)
        self._privileges.act(self._rows.model.tables["organization"], "read")
        self._check_there(self._role, role)

    def _user_privileges(self, request: Request, user: str) -> Answer:
        """Which privilege it takes to ask is [unproven]: that to read users."""
        if request.method != "GET":
            raise no_http_method(request.method)
        self._privileges.act(self._user, "read")
        self._check_there(self._user, user)
        return self._told(request, "RetrieveUserPrivileges", self.of_user(user))

    def _roles_of(self, request: Request, user: str) -> Answer:
        if request.method != "GET":
            raise no_http_method(request.method)
        self._privileges.act(self._user, "read")
        within = ('"roleid" IN (SELECT "role" FROM "user role" WHERE "user" = ?)', (user,))
        return self._reading.page(request, self._role, within)

    def _associate(self, request: Request, user: str) -> Answer:
        """Privileges: prvAssignRole (learn.microsoft.com, security-roles-privileges); prvReadUser is [unproven]."""
        if request.method != "POST":
            raise no_http_method(request.method)
        self._privileges.act(self._role, "assign")
        self._privileges.act(self._user, "read")
        self._check_there(self._user, user)
        below = below_root(request.parameters(_Link).id)
        if below is None:
            raise bad_input("The '@odata.id' must be the address of a row.")
        table, role = row_at(self._rows.model, below)
        if table.logical != ROLE:
            raise no_resource(below, 400)
        self._check_there(self._role, role)
        self._check_same_unit(user, role)
        with self._rows.step():
            self._rows.db.execute('INSERT INTO "user role" ("user", "role") VALUES (?, ?)', (user, role))
        return Answer(204, (VERSION,))

    def _check_same_unit(self, user: str, role: str) -> None:
        """A role is given to users of its business unit. The code is [unproven]."""
        (of_user,) = self._rows.value(self._user, user, "_businessunitid_value") or (None,)
        (of_role,) = self._rows.value(self._role, role, "_businessunitid_value") or (None,)
        if of_user != of_role:
            raise invalid("The user and the role are not of one business unit.")

    def _check_there(self, table: Table, row: str) -> None:
        if self._rows.version(table, row) is None:
            raise missing(table.logical, row)

    def _name_of(self, identity: str) -> str:
        name = self._names.get(identity.lower())
        if name is None:
            raise missing(PRIVILEGE, identity)
        return name

    def _told(self, request: Request, function: str, privileges: Mapping[str, str]) -> Answer:
        told = [
            {
                "Depth": depth,
                "PrivilegeId": privilege_id(name),
                "BusinessUnitId": self._rows.organisation.business_unit,
                "PrivilegeName": name,
                "RecordFilterId": "00000000-0000-0000-0000-000000000000",
                "RecordFilterUniqueName": None,
            }
            for name, depth in privileges.items()
        ]
        context = f"{request.root}$metadata#{NAMESPACE}.{function}Response"
        return json_answer({"@odata.context": context, "RolePrivileges": told})
