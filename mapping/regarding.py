"""The record a mail is about, and the rule that says so.

Finding the parent mail is the caller's business; here it is a value, or there is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mapping.addresses import normalise
from mapping.direction import Sender
from mapping.matches import Match, Matches, Organisation, is_internal
from mapping.message import Message
from mapping.parties import people_of
from mapping.records import Record

REGARDING_TABLES = frozenset({"contact", "account", "lead"})


@dataclass(frozen=True, slots=True)
class ParentParty:
    """A party of the parent mail, as Dataverse holds it."""

    address: str | None
    table: str | None
    id: str | None


@dataclass(frozen=True, slots=True)
class Parent:
    """The mail this one replies to, as Dataverse holds it."""

    activityid: str
    regarding: Record | None
    parties: tuple[ParentParty, ...]


@dataclass(frozen=True, slots=True)
class Regarding:
    """The record, if any, and the rule that chose it: reply, contact, account, lead or none."""

    record: Record | None
    rule: str


def choose_regarding(
    message: Message,
    parent: Parent | None,
    matches: Matches,
    organisation: Organisation,
    *,
    sender: Sender | None = None,
) -> Regarding:
    """What the parent mail is about, where the talk is with the same people; else the first external party's record."""
    external = _external_people(message, matches, organisation, sender)
    if parent is not None and parent.regarding is not None and _same_talk(external, parent, organisation):
        return Regarding(parent.regarding, "reply")
    for _, match in external:
        if match is not None and match.table in REGARDING_TABLES:
            return Regarding(Record(match.table, match.id), match.table)
    return Regarding(None, "none")


def inherits_regarding(parties: Iterable[ParentParty], parent: Parent, organisation: Organisation) -> bool:
    """Whether an email already in Dataverse belongs to the talk of a parent that arrived after it."""
    external = _external_parties(parties, organisation)
    return not external or not external.isdisjoint(_external_parties(parent.parties, organisation))


def _external_people(
    message: Message, matches: Matches, organisation: Organisation, sender: Sender | None
) -> list[tuple[str, Match | None]]:
    own = normalise(sender.address_used) if sender is not None and sender.is_ours else None
    people = ((address, matches.get(address)) for address in people_of(message) if address != own)
    return [(address, match) for address, match in people if not is_internal(address, match, organisation)]


def _same_talk(external: list[tuple[str, Match | None]], parent: Parent, organisation: Organisation) -> bool:
    """Forwards name their parent too: a mail to other strangers is another matter than the one it quotes."""
    if not external:
        return True
    before = _external_parties(parent.parties, organisation)
    now = {key for address, match in external for key in _keys(address, match)}
    return not now.isdisjoint(before)


def _external_parties(parties: Iterable[ParentParty], organisation: Organisation) -> set[object]:
    keys: set[object] = set()
    for party in parties:
        address = normalise(party.address)
        match = Match(party.table, party.id, None, active=True) if party.table and party.id else None
        if not is_internal(address, match, organisation):
            keys.update(_keys(address, match))
    return keys


def _keys(address: str | None, match: Match | None) -> set[object]:
    """What two participants are the same by: the address, or the row."""
    keys: set[object] = {address} if address else set()
    if match is not None:
        keys.add((match.table, match.id.lower()))
    return keys
