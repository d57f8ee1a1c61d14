"""Rows as Dataverse answers them: the columns that were asked for, typed; an answer without them is trouble."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

import msgspec

from mailsync.dataverse.answers import evidence_of, failure_of
from mailsync.errors import Scope, TransientError
from mailsync.transport import Answer
from mapping.records import Record
from mapping.regarding import ParentParty

T = TypeVar("T")
LOOKUP_TABLE = "@Microsoft.Dynamics.CRM.lookuplogicalname"


class PartyRow(
    msgspec.Struct, frozen=True, rename={"party": "_partyid_value", "party_table": f"_partyid_value{LOOKUP_TABLE}"}
):
    """One party of an email."""

    participationtypemask: int
    addressused: str | None = None
    party: UUID | None = None
    party_table: str | None = None

    @property
    def record(self) -> Record | None:
        """Whom Dataverse resolved the address to."""
        return _record(self.party_table, self.party)


class EmailRow(msgspec.Struct, frozen=True):
    """An email by its ids and state."""

    activityid: UUID
    statecode: int
    messageid: str | None = None
    directioncode: bool | None = None


class ThreadRow(
    msgspec.Struct,
    frozen=True,
    rename={
        "parties": "email_activity_parties",
        "about": "_regardingobjectid_value",
        "about_table": f"_regardingobjectid_value{LOOKUP_TABLE}",
    },
):
    """An email with those who took part and what it is regarding."""

    activityid: UUID
    parties: tuple[PartyRow, ...]
    messageid: str | None = None
    about: UUID | None = None
    about_table: str | None = None

    @property
    def regarding(self) -> Record | None:
        """The record it is about."""
        return _record(self.about_table, self.about)


class StandingRow(
    ThreadRow, frozen=True, kw_only=True, rename={"etag": "@odata.etag", "parent": "_parentactivityid_value"}
):
    """A whole email, but for what nobody compares."""

    etag: str
    statecode: int
    statuscode: int
    directioncode: bool | None = None
    subject: str | None = None
    description: str | None = None
    parent: UUID | None = None


class _Many(msgspec.Struct, frozen=True):
    value: msgspec.Raw


@contextmanager
def as_asked(answer: Answer) -> Iterator[None]:
    """Raises TransientError where an answer of 200 holds anything else than was asked for."""
    try:
        yield
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise TransientError(
            "Dataverse answered 200 with something else than was asked for",
            reason="dataverse_not_odata",
            scope=Scope.ORGANISATION,
            evidence=evidence_of(answer),
        ) from error


def row_of(answer: Answer, shape: type[T]) -> T:
    """The one row in an answer of 200."""
    with as_asked(answer):
        return msgspec.json.decode(answer.body, type=shape)


def rows_of(answer: Answer, shape: type[T]) -> tuple[T, ...]:
    """The rows of an answer to a query; raises what the answer means when it is not 200."""
    if answer.status != 200:
        raise failure_of(answer)
    with as_asked(answer):
        rows: tuple[T, ...] = msgspec.json.decode(
            msgspec.json.decode(answer.body, type=_Many).value,
            type=tuple[shape, ...],  # type: ignore[valid-type]  # of the shape that was asked for
        )
    return rows


def preferred(rows: Iterable[EmailRow], *, own: str | None) -> EmailRow | None:
    """Our own row first, then a completed one, then the oldest, in whose order they come."""
    return min(rows, key=lambda row: (str(row.activityid) != own, row.statecode == 0), default=None)


def took_part(parties: Iterable[PartyRow]) -> tuple[ParentParty, ...]:
    """From, To, Cc and Bcc; masks 8 and 9 repeat the regarding and the owner."""
    return tuple(_party(party) for party in parties if party.participationtypemask in {1, 2, 3, 4})


def _party(party: PartyRow) -> ParentParty:
    record = party.record
    return ParentParty(
        address=party.addressused,
        table=record.table if record else None,
        id=record.id if record else None,
    )


def _record(table: str | None, record_id: UUID | None) -> Record | None:
    return Record(table=table, id=str(record_id)) if record_id and table else None
