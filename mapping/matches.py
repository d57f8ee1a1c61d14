"""Who in Dataverse an address belongs to, chosen among all the rows that carry it, and who counts as internal.

Asking Dataverse is the caller's business; here the answer is a plain mapping.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mapping.addresses import domain_of, without_tag
from mapping.policy import People
from mapping.records import Record

OUR_TABLES = frozenset({"systemuser", "queue"})


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

    @property
    def record(self) -> Record:
        """The row as something to point to."""
        return Record(table=self.table, id=self.id)


Matches = Mapping[str, Match]
"""By normalised address; an address nobody has is absent."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Whose an address is taken to be, and the rows that were as good, the winner among them."""

    match: Match | None
    rivals: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Organisation:
    """What makes an address ours: connected mailboxes with their aliases, and own domains."""

    mailboxes: frozenset[str]
    domains: frozenset[str]
    aliases: Mapping[str, str] = field(default_factory=dict)
    """The address of a mailbox by each of its aliases, but for those that are connected mailboxes themselves."""

    def of_aliases(self, addresses: Iterable[str]) -> dict[str, str]:
        """The mailboxes behind those of these addresses that are not a mailbox's own, by address."""
        homes = ((address, self.mailbox_of(address)) for address in addresses)
        return {address: home for address, home in homes if home != address}

    def mailbox_of(self, address: str) -> str:
        """The mailbox that answers to an address, an alias or either with a tag; of anybody else the address itself."""
        if not self.is_mailbox(address):
            return address
        own = address if address in self.mailboxes else without_tag(address)
        return self.aliases.get(own, own)

    def is_mailbox(self, address: str | None) -> bool:
        """True for a connected mailbox, its alias, and either with a tag behind a plus."""
        return address is not None and (address in self.mailboxes or without_tag(address) in self.mailboxes)


def choose(candidates: Iterable[Candidate], people: People) -> Choice:
    """An active row before an inactive one, then the table's precedence; several of that rank are a tie.

    A tie goes to the row with the address in its first column, then to the lowest id; or to nobody.
    """
    rank = {table: place for place, table in enumerate(people.precedence)}
    known = [one for one in candidates if one.table in rank]
    best = min(((not one.active, rank[one.table]) for one in known), default=None)
    if best is None:
        return Choice(None)
    tied = sorted((one for one in known if (not one.active, rank[one.table]) == best), key=_order)
    first, rivals = tied[0], tuple(dict.fromkeys(Record(one.table, one.id) for one in tied))
    if len(rivals) == 1:
        rivals = ()
    elif people.tie == "unresolved":
        return Choice(None, rivals)
    return Choice(Match(first.table, first.id, first.name, first.active), rivals)


def is_internal(address: str | None, match: Match | None, organisation: Organisation) -> bool:
    """True for a user, a queue, a connected mailbox or its alias, and any address in an own domain."""
    if match is not None and match.table in OUR_TABLES:
        return True
    if address is None:
        return False
    return organisation.is_mailbox(address) or domain_of(address) in organisation.domains


def _order(candidate: Candidate) -> tuple[int, str]:
    return (candidate.column, candidate.id)
