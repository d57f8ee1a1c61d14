"""What a change to a row may ask: its version, its state with its status, the parties of an email.

Pure: what a row is like now is handed in. That values fit their columns is `values`' business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sandbox.dataverse.model import Table
from sandbox.dataverse.refusals import (
    PLUG_IN,
    STALE,
    STATUS_OF_OTHER_STATE,
    ODataError,
    bad_input,
    completed,
    invalid,
    missing,
)
from sandbox.dataverse.requests import Request

EMAIL_MASKS = (1, 2, 3, 4)
"""Sender, To, Cc, Bcc: the parties of an email that a client writes."""


@dataclass(slots=True)
class Behaviour:
    """What nobody has proved on a live organisation, or what organisations differ in."""

    lenient_completed: bool = False
    """An email that is completed may still be changed."""
    sealed_completed: bool = False
    """An email that is completed takes no change at all unless it is reopened, not even one that carries its state."""
    refuse_changesets: bool = False
    """The state of a row cannot change in the change set that creates it."""
    nested_changeset_errors: bool = True
    """The answer to a change set that failed stands inside its own boundary."""
    messageid_unique: bool = False
    """Message-ID and direction are an alternate key of emails."""
    queue_items_stay_active: bool = False
    """An email that is completed leaves its queue items as they are."""
    disabled_may_own: bool = False
    """Rows can be given to users who are disabled."""
    roleless_users_lack_privileges: bool = False
    """A user without roles is refused as owner like one whose roles lack the privilege to read (0x80040299)."""
    unreading_owner_status: int = 403
    """The HTTP status of that refusal: 403 in most public reports, 400 in some."""
    plug_in: Callable[[str, Mapping[str, object]], str | None] = lambda _table, _values: None
    """The organisation's own code, before a row is created: what it says against it, or None."""


@dataclass(slots=True)
class Change:
    """What a body asks to write, checked against the declarations."""

    values: dict[str, object] = field(default_factory=dict)
    lookups: dict[str, tuple[str, str] | None] = field(default_factory=dict)
    children: list[Change] | None = None


def check_version(request: Request, table: Table, row_id: str, version: object) -> None:
    """If-Match must name the version the row has; None is that of a row that does not exist."""
    wanted = request.condition("if-match")
    if wanted is None:
        return
    if version is None:
        raise missing(table.logical, row_id)
    if wanted not in ("*", f'W/"{version}"'):
        raise ODataError(
            412, STALE, "The version of the existing record doesn't match the RowVersion property provided."
        )


def check_pair(table: Table, row_id: str, state: int, status: object) -> None:
    """A status must belong to the state."""
    if not isinstance(status, int):
        raise bad_input("A null value was found for the property 'statuscode', which cannot be null.")
    if status not in table.states[state].statuses:
        name = f"{table.logical.capitalize()}State.{table.states[state].label}"
        raise ODataError(
            400,
            STATUS_OF_OTHER_STATE,
            f"{status} is not a valid status code for state code {name} on {table.logical} with Id {row_id}.",
        )


def check_plug_in(behaviour: Behaviour, table: Table, change: Change) -> None:
    """A plug-in of the organisation may refuse a new row, for reasons of its own."""
    told = behaviour.plug_in(table.logical, change.values)
    if told is not None:
        raise ODataError(400, PLUG_IN, told)


def check_created_state(table: Table, change: Change) -> None:
    """A row is born open: the state asked for is ignored, an inactive status without it refused."""
    if not table.states:
        return
    asked = change.values.pop("statecode", None)
    status = change.values.get("statuscode")
    if "statuscode" not in change.values or status in table.states[0].statuses:
        return
    if asked is None or not isinstance(status, int):
        check_pair(table, "00000000-0000-0000-0000-000000000000", 0, status)
    del change.values["statuscode"]


def check_changed_state(
    behaviour: Behaviour, request: Request, table: Table, row_id: str, current: object, change: Change
) -> None:
    """A state goes with its status, which is filled where it is not given; a completed email stays as it is."""
    values = change.values
    asked = "statecode" in values
    state = values["statecode"] if asked else current
    frozen = table.logical == "email" and current != 0 and not behaviour.lenient_completed
    if frozen and (not asked or (state != 0 and (behaviour.sealed_completed or change.children is not None))):
        raise completed()
    if behaviour.refuse_changesets and asked and row_id in request.made:
        raise invalid(f"The state of a {table.logical} cannot change in the change set that creates it.")
    if not isinstance(state, int):
        raise bad_input("A null value was found for the property 'statecode', which cannot be null.")
    if "statuscode" in values:
        check_pair(table, row_id, state, values["statuscode"])
    elif asked and state != current:
        values["statuscode"] = table.states[state].default


def check_parties(changes: Sequence[Change]) -> None:
    """The parties of an email: known roles, each with a row or an address, one sender at most."""
    senders = 0
    for change in changes:
        mask = change.values.get("participationtypemask")
        if mask not in EMAIL_MASKS:
            raise invalid(f"The participationtypemask '{mask}' is not valid for a party of an email.")
        senders += mask == 1
        if not change.lookups.get("partyid") and not change.values.get("addressused"):
            raise invalid("An activity party needs a partyid or an addressused.")
    if senders > 1:
        raise invalid("An email cannot have more than one sender.")
