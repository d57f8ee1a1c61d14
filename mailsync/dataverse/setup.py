"""Sets the Dataverse side up: a role with what the app needs and no more, the app's user with it, a column if wanted.

First a plan, which only reads; then what is missing, in an order in which each step can be repeated. Whoever runs this
is a System Administrator, not the app.

Facts of Microsoft's sample "Web API functions and actions" and of public reports of 2026 (read 2026-11): a new role has
nine privileges that nobody asked for, AddPrivilegesRole adds four of them anew each time, and RemovePrivilegeRole takes
one away by reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from mailsync.dataverse import odata
from mailsync.dataverse.access import Access, Column
from mailsync.dataverse.answers import complaint_of, evidence_of, failure_of, is_done, lacking_in
from mailsync.dataverse.privileges import BYPASS, DEPTH, needed, tables_asked
from mailsync.dataverse.web_api import VERSION_PATH, WebApi
from mailsync.errors import ConfigurationError, Scope
from mailsync.transport import Answer
from mapping.email_activity import LONGEST_NYLAS_ID

ROLE = "Nylas mail"
"""What the role is called unless somebody names it."""
ABOUT = "What the app that writes mail from Nylas needs, and no more. Kept by `python -m mailsync dataverse setup`."
ENGLISH = 1033
MOST_NAMED = 12
"""Privileges that one line of a plan names."""
DONE, TO_DO, BY_HAND = "done", "to_do", "by_hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be there in the end."""

    application: str
    """The client id of the app's identity."""
    role: str = ROLE
    column: str | None = None
    own_tables: tuple[str, ...] = ()
    with_bypass: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan: `done`, `to_do`, or `by_hand` where only a person can do it."""

    what: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is there."""

    unit: str
    needed: tuple[str, ...]
    ids: Mapping[str, str]
    """The ids of the privileges needed, of those that the environment knows."""
    role: str | None = None
    held: Mapping[str, str] = field(default_factory=dict)
    """The privileges of the role, with their depths."""
    user: str | None = None
    has_role: bool = False
    other_roles: tuple[str, ...] = ()
    column: Column | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """What the role lacks, or has for a part of the rows only."""
        return tuple(name for name in self.needed if name in self.ids and self.held.get(name) != DEPTH)

    @property
    def excess(self) -> tuple[str, ...]:
        """What the role has and the app does not need."""
        return tuple(sorted(set(self.held) - {*self.needed, BYPASS}))


class Setup:
    """Plans and does it, in one environment."""

    def __init__(self, api: WebApi) -> None:
        self._api = api
        self._access = Access(api)

    def look(self, wanted: Wanted) -> Found:
        """What is there; raises ConfigurationError where whoever asks may not see it."""
        named = self._access.named(tables_asked(wanted.own_tables))
        names = tuple(need.name for need in needed(named, own_tables=wanted.own_tables))
        if wanted.with_bypass:
            names = (*names, BYPASS)
        user = self._user(wanted.application)
        unit = str(user.unit) if user is not None and user.unit is not None else self._root_unit()
        role = self._role(wanted.role, unit)
        roles = self._roles_of(str(user.systemuserid)) if user is not None else ()
        return Found(
            unit=unit,
            needed=names,
            ids=self._access.ids(names),
            role=role,
            held=self._access.of_role(role) if role is not None else {},
            user=str(user.systemuserid) if user is not None else None,
            has_role=any(str(one.roleid) == role for one in roles),
            other_roles=tuple(one.name or str(one.roleid) for one in roles if str(one.roleid) != role),
            column=self._access.column("email", wanted.column) if wanted.column is not None else None,
        )

    def do(self, wanted: Wanted, found: Found, *, tell: Callable[[str], None]) -> None:
        """Do what is missing, telling of each thing done.

        Raises at the first that fails; the next run goes on from there.
        """
        role = found.role
        if role is None:
            role = self._created("roles", {"name": wanted.role, "description": ABOUT, **_unit(found.unit)})
            tell(f"made the role {wanted.role}")
        if found.missing:
            self._add(role, found)
            tell(f"gave it {len(found.missing)} privileges")
        for name in self._take_away(role, found):
            tell(f"took {name} from it")
        user = found.user
        if user is None:
            user = self._created("systemusers", {"applicationid": wanted.application, **_unit(found.unit)})
            tell("made the application user")
        if not found.has_role:
            self._associate(user, role)
            tell("gave the application user the role")
        if wanted.column is not None and found.column is None:
            self._add_column(wanted.column)
            tell(f"added the column {wanted.column} to emails")

    # looking

    def _user(self, application: str) -> _User | None:
        path = odata.query(
            "systemusers",
            select="systemuserid,_businessunitid_value",
            filter=f"applicationid eq {UUID(application)}",
        )
        return next(iter(self._access.rows(path, _User)), None)

    def _root_unit(self) -> str:
        path = odata.query("businessunits", select="businessunitid", filter="_parentbusinessunitid_value eq null")
        found = self._access.rows(path, _Unit)
        if not found:
            raise ConfigurationError(
                "the environment shows no root business unit; sign in as a System Administrator",
                reason="dataverse_no_unit",
                scope=Scope.ORGANISATION,
            )
        return str(found[0].businessunitid)

    def _role(self, name: str, unit: str) -> str | None:
        path = odata.query(
            "roles", select="roleid,name", filter=f"name eq {odata.literal(name)} and _businessunitid_value eq {unit}"
        )
        found = self._access.rows(path, _Role)
        return str(found[0].roleid) if found else None

    def _roles_of(self, user: str) -> tuple[_Role, ...]:
        return self._access.rows(
            odata.query(f"systemusers({user})/systemuserroles_association", select="roleid,name"), _Role
        )

    # doing

    def _created(self, collection: str, row: Mapping[str, object]) -> str:
        answer = self._sent(collection, row)
        return answer.headers.get("OData-EntityId", "").rpartition("(")[2].rstrip(")")

    def _add(self, role: str, found: Found) -> None:
        given = [{"PrivilegeId": found.ids[name], "Depth": DEPTH} for name in found.missing]
        self._sent(f"roles({role})/Microsoft.Dynamics.CRM.AddPrivilegesRole", {"Privileges": given})

    def _take_away(self, role: str, found: Found) -> Iterator[str]:
        """What the role has now that is not needed, also what came with the addition."""
        held = self._access.of_role(role)
        excess = [name for name in held if name not in {*found.needed, BYPASS}]
        for name, privilege in self._access.ids(excess).items():
            reference = {"@odata.type": "Microsoft.Dynamics.CRM.privilege", "privilegeid": privilege}
            self._sent(f"roles({role})/Microsoft.Dynamics.CRM.RemovePrivilegeRole", {"Privilege": reference})
            yield name

    def _associate(self, user: str, role: str) -> None:
        reference = {"@odata.id": f"{self._api.root}{VERSION_PATH}roles({role})"}
        self._sent(f"systemusers({user})/systemuserroles_association/$ref", reference, or_duplicate=True)

    def _add_column(self, name: str) -> None:
        self._sent("EntityDefinitions(LogicalName='email')/Attributes", _column(name))

    def _sent(self, path: str, body: Mapping[str, object], *, or_duplicate: bool = False) -> Answer:
        answer = self._api.send("POST", path, body=msgspec.json.encode(body))
        if is_done(answer) or (or_duplicate and answer.status == 412):
            return answer
        lacking = lacking_in(complaint_of(answer))
        if lacking:
            raise ConfigurationError(
                f"whoever runs this lacks the privilege {lacking}; sign in as a System Administrator of the "
                "environment (az login), not as the app",
                reason="dataverse_lacks_privilege",
                scope=Scope.ORGANISATION,
                evidence=evidence_of(answer),
            )
        raise failure_of(answer)


def plan(wanted: Wanted, found: Found) -> tuple[Step, ...]:
    """What is so and what is to be done, in the order in which it is done."""
    return tuple(_steps(wanted, found))


def _steps(wanted: Wanted, found: Found) -> Iterator[Step]:
    there = "is there" if found.role is not None else "is made"
    yield Step(f"the role {wanted.role} {there}", DONE if found.role is not None else TO_DO)
    if found.missing:
        yield Step(f"the role gets {len(found.missing)} privileges: {_some(found.missing)}", TO_DO)
    else:
        yield Step(f"the role has all {len(found.ids)} privileges that the app needs", DONE)
    if found.role is None:
        yield Step("what a new role has besides is taken from it", TO_DO)
    elif found.excess:
        yield Step(f"{len(found.excess)} privileges are taken from it: {_some(found.excess)}", TO_DO)
    unknown = [name for name in found.needed if name not in found.ids]
    if unknown:
        yield Step(f"the environment does not know the privileges {_some(unknown)}: please report it", BY_HAND)
    is_there = found.user is not None
    yield Step(
        f"the application user of {wanted.application} {'is there' if is_there else 'is made'}",
        DONE if is_there else TO_DO,
    )
    yield Step(
        f"the application user {'has' if found.has_role else 'gets'} the role", DONE if found.has_role else TO_DO
    )
    if found.other_roles:
        yield Step(
            f"the application user has other roles besides: {_some(found.other_roles)}; take them away unless it is "
            "meant to do more than this",
            BY_HAND,
        )
    yield from _column_steps(wanted, found.column)


def _column_steps(wanted: Wanted, column: Column | None) -> Iterator[Step]:
    name = wanted.column
    if name is None:
        return
    if column is None:
        yield Step(f"emails get the column {name}, a text of {LONGEST_NYLAS_ID} characters", TO_DO)
    elif column.length is None:
        yield Step(f"emails have a column {name} that holds no text ({column.type}): name another one", BY_HAND)
    elif column.length < LONGEST_NYLAS_ID:
        yield Step(f"emails' column {name} holds {column.length} characters: make it {LONGEST_NYLAS_ID} long", BY_HAND)
    else:
        yield Step(f"emails have the column {name}", DONE)


def _some(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _unit(unit: str) -> Mapping[str, str]:
    return {"businessunitid@odata.bind": f"/businessunits({unit})"}


def _column(name: str) -> Mapping[str, object]:
    """A column of text (Microsoft's page on column definitions, read 2026-11)."""

    def label(text: str) -> Mapping[str, object]:
        return {"LocalizedLabels": [{"Label": text, "LanguageCode": ENGLISH}]}

    return {
        "@odata.type": "Microsoft.Dynamics.CRM.StringAttributeMetadata",
        "SchemaName": name,
        "DisplayName": label("Nylas message id"),
        "Description": label("The id by which Nylas knows this mail; written by the app that brings it here."),
        "RequiredLevel": {"Value": "None"},
        "FormatName": {"Value": "Text"},
        "MaxLength": LONGEST_NYLAS_ID,
    }


class _User(msgspec.Struct, frozen=True, rename={"unit": "_businessunitid_value"}):
    systemuserid: UUID
    unit: UUID | None = None


class _Unit(msgspec.Struct, frozen=True):
    businessunitid: UUID


class _Role(msgspec.Struct, frozen=True):
    roleid: UUID
    name: str | None = None
