"""Who in Dataverse an address belongs to, chosen among all the rows that carry it, and who counts as internal.

Asking Dataverse is the caller's business; here the answer is a plain mapping.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mapping.addresses import domain_of

PRECEDENCE = ("systemuser", "queue", "contact", "account", "lead")
OUR_TABLES = frozenset({"systemuser", "queue"})
_RANK = {table: rank for rank, table in enumerate(PRECEDENCE)}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that carries an address, and in which of its address columns."""

    table: str
    id: str
    name: str | None
    active: bool
    column: int


@dataclass(frozen=True, slots=True)
class Match:
    """The row an address is taken to belong to."""

    table: str
    id: str
    name: str | None
    active: bool


Matches = Mapping[str, Match]
"""By normalised address; an address nobody has is absent."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """What makes an address ours: connected mailboxes with their aliases, and own domains."""

    mailboxes: frozenset[str]
    domains: frozenset[str]


def choose(candidates: Iterable[Candidate]) -> Match | None:
    """An active row before an inactive one, then the table's precedence, then the first column, then the lowest id."""
    best = min(candidates, key=_order, default=None)
    return Match(best.table, best.id, best.name, best.active) if best else None


def is_internal(address: str | None, match: Match | None, organisation: Organisation) -> bool:
    """True for a user, a queue, a connected mailbox or its alias, and any address in an own domain."""
    if match is not None and match.table in OUR_TABLES:
        return True
    if address is None:
        return False
    return address in organisation.mailboxes or domain_of(address) in organisation.domains


def _order(candidate: Candidate) -> tuple[bool, int, int, str]:
    rank = _RANK.get(candidate.table, len(PRECEDENCE))
    return (not candidate.active, rank, candidate.column, candidate.id)
