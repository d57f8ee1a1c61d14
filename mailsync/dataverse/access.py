"""Who we are in an environment and what we may do there: reading only.

What is needed is said by `privileges`, giving it is the business of `setup`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from mailsync.dataverse import odata
from mailsync.dataverse.answers import complaint_of, failure_of
from mailsync.dataverse.privileges import BYPASS, Named
from mailsync.dataverse.rows import row_of, rows_of
from mailsync.dataverse.web_api import WebApi
from mailsync.transport import Answer

T = TypeVar("T")
DEPTHS = ("Basic", "Local", "Deep", "Global")
"""How far a privilege reaches: one's own rows, the unit's, those of units below too, everything."""
SYNCHRONISED, APPROVED = 2, 1
"""incomingemaildeliverymethod: server-side synchronisation; emailrouteraccessapproval: approved (Microsoft's references
of systemuser, queue and mailbox, read 2026-11)."""
_MAIL_TABLES = (
    ("systemuser", "systemusers", "internalemailaddress", "isdisabled"),
    ("queue", "queues", "emailaddress", "statecode"),
)
SEVERAL = 40
"""Names in one query."""


class WhoAmI(msgspec.Struct, frozen=True, rename="pascal"):
    """The user that our token stands for."""

    user_id: UUID
    business_unit_id: UUID
    organization_id: UUID


class _User(msgspec.Struct, frozen=True):
    applicationid: UUID | None = None


class _Privilege(msgspec.Struct, frozen=True, rename="pascal"):
    name: str
    privilege_type: str


class _Table(msgspec.Struct, frozen=True, rename="pascal"):
    logical_name: str
    privileges: tuple[_Privilege, ...] = ()


class _Held(msgspec.Struct, frozen=True, rename="pascal"):
    privilege_id: UUID
    depth: str | int
    privilege_name: str | None = None


class _RolePrivileges(msgspec.Struct, frozen=True, rename="pascal"):
    role_privileges: tuple[_Held, ...]


class _PrivilegeRow(msgspec.Struct, frozen=True):
    privilegeid: UUID
    name: str


class _Attribute(msgspec.Struct, frozen=True, rename="pascal"):
    attribute_type: str
    max_length: int | None = None


class Organisation(msgspec.Struct, frozen=True):
    """The organisation's settings that concern mail; None where it tells none."""

    maxuploadfilesize: int | None = None
    blockedattachments: str | None = None
    requireapprovalforuseremail: bool | None = None
    requireapprovalforqueueemail: bool | None = None


class MailOwner(msgspec.Struct, frozen=True):
    """A user or queue with an address."""

    table: str
    id: str
    address: str | None = None
    state: bool | int | None = None
    """True or not 0: disabled or inactive."""
    incomingemaildeliverymethod: int | None = None
    emailrouteraccessapproval: int | None = None

    @property
    def is_synchronised(self) -> bool:
        """Whether server-side synchronisation takes its mail."""
        return self.incomingemaildeliverymethod == SYNCHRONISED

    @property
    def is_approved(self) -> bool:
        """Whether an administrator let Dataverse process its mail."""
        return self.emailrouteraccessapproval == APPROVED


class _MailboxRow(msgspec.Struct, frozen=True):
    emailaddress: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it is declared; `length` in UTF-16 units, None for what is no text."""

    type: str
    length: int | None


class Access:
    """Asks one environment."""

    def __init__(self, api: WebApi) -> None:
        self._api = api

    def who_am_i(self) -> tuple[WhoAmI, Answer]:
        """Who our token stands for, and the answer that told it; raises what a failed answer means."""
        answer = self._api.send("GET", "WhoAmI")
        if answer.status != 200:
            raise failure_of(answer)
        return row_of(answer, WhoAmI), answer

    def named(self, tables: Iterable[str]) -> Named:
        """Those of these tables that are installed, with what their privileges are called."""
        wanted = " or ".join(f"LogicalName eq {odata.literal(table)}" for table in tables)
        answer = self._api.send("GET", odata.query("EntityDefinitions", select="LogicalName,Privileges", filter=wanted))
        return {
            table.logical_name: {one.privilege_type: one.name for one in table.privileges}
            for table in rows_of(answer, _Table)
        }

    def of_user(self, user: str) -> Mapping[str, str]:
        """The privileges a user has by its roles and teams, each with the depth it reaches at most."""
        return self._held(f"systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges")

    def may_bypass(self) -> bool | None:
        """Whether we may go past what the organisation automated; None where a person asks, who is not the app."""
        me, _ = self.who_am_i()
        user = f"systemuserid eq {me.user_id}"
        found = self.rows(odata.query("systemusers", select="applicationid", filter=user), _User)
        if not any(one.applicationid for one in found):
            return None
        return BYPASS in self.of_user(str(me.user_id))

    def of_role(self, role: str) -> Mapping[str, str]:
        """The privileges of a role."""
        return self._held(f"RetrieveRolePrivilegesRole(RoleId={role})")

    def ids(self, names: Iterable[str]) -> Mapping[str, str]:
        """The ids of privileges, by name; one that the environment does not know is not in it."""
        found: dict[str, str] = {}
        for some in odata.portions(names, most=SEVERAL, longest=8_000):
            wanted = odata.any_of("name", some)
            rows = self.rows(odata.query("privileges", select="privilegeid,name", filter=wanted), _PrivilegeRow)
            found.update((row.name, str(row.privilegeid)) for row in rows)
        return found

    def column(self, table: str, name: str) -> Column | None:
        """A column's declaration; None where the table has no such column."""
        path = f"EntityDefinitions(LogicalName={odata.literal(table)})/Attributes(LogicalName={odata.literal(name)})"
        answer = self._api.send("GET", path)
        if answer.status == 404 and complaint_of(answer).code:
            return None
        if answer.status != 200:
            raise failure_of(answer)
        attribute = row_of(answer, _Attribute)
        return Column(attribute.attribute_type, attribute.max_length)

    def organisation(self) -> Organisation:
        """The organisation's own settings for mail and files."""
        path = odata.query(
            "organizations",
            select="maxuploadfilesize,blockedattachments,requireapprovalforuseremail,requireapprovalforqueueemail",
        )
        return next(iter(self.rows(path, Organisation)), Organisation())

    def owners(self, addresses: Iterable[str]) -> tuple[MailOwner, ...]:
        """The users and queues with these addresses, and how Dataverse itself treats their mail."""
        found: list[MailOwner] = []
        for some in odata.portions(addresses, most=SEVERAL, longest=8_000):
            for table, entity_set, column, state in _MAIL_TABLES:
                path = odata.query(
                    entity_set,
                    select=f"{table}id,{column},{state},incomingemaildeliverymethod,emailrouteraccessapproval",
                    filter=odata.any_of(column, some),
                )
                names = {"id": f"{table}id", "address": column, "state": state}
                found += [
                    msgspec.convert(
                        {**row, "table": table, **{name: row.get(of) for name, of in names.items()}}, MailOwner
                    )
                    for row in self.rows(path, dict[str, Any])
                ]
        return tuple(found)

    def synchronised(self, addresses: Iterable[str]) -> frozenset[str] | None:
        """Those of these addresses whose mailbox row is set to server-side synchronisation; None where we may not ask.

        The app's own role may not: what users and queues say of it is enough. An administrator sees more.
        """
        found: set[str] = set()
        for some in odata.portions(addresses, most=SEVERAL, longest=8_000):
            wanted = f"incomingemaildeliverymethod eq {SYNCHRONISED} and {odata.any_of('emailaddress', some)}"
            answer = self._api.send("GET", odata.query("mailboxes", select="emailaddress", filter=wanted))
            if answer.status in {403, 404}:
                return None
            found.update(row.emailaddress.lower() for row in rows_of(answer, _MailboxRow) if row.emailaddress)
        return frozenset(found)

    def rows(self, path: str, shape: type[T]) -> tuple[T, ...]:
        """The rows of a query; raises what a failed answer means."""
        return rows_of(self._api.send("GET", path), shape)

    def _held(self, path: str) -> Mapping[str, str]:
        answer = self._api.send("GET", path)
        if answer.status != 200:
            raise failure_of(answer)
        held = row_of(answer, _RolePrivileges).role_privileges
        # older environments give ids alone (public samples of 9.0)
        nameless = [str(one.privilege_id) for one in held if not one.privilege_name]
        names = self._names(nameless)
        found: dict[str, str] = {}
        for one in held:
            name = one.privilege_name or names.get(str(one.privilege_id), str(one.privilege_id))
            depth = _depth(one.depth)
            found[name] = max(depth, found.get(name, depth), key=DEPTHS.index)
        return found

    def _names(self, ids: Iterable[str]) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for some in odata.portions(ids, most=SEVERAL, longest=8_000):
            wanted = " or ".join(f"privilegeid eq {one}" for one in some)
            rows = self.rows(odata.query("privileges", select="privilegeid,name", filter=wanted), _PrivilegeRow)
            found.update((str(row.privilegeid), row.name) for row in rows)
        return found


def _depth(told: str | int) -> str:
    """A depth by its name; the Web API names it, samples also number it."""
    if isinstance(told, int) or told.isdigit():
        return DEPTHS[min(int(told), len(DEPTHS) - 1)]
    return told if told in DEPTHS else DEPTHS[0]
