"""Incoming or outgoing, and who the sender is: facts of the mail first, of the copy only where the mail is silent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mapping.addresses import normalise
from mapping.matches import OUR_TABLES, Match, Matches, Organisation
from mapping.message import Message, Participant
from mapping.text import single_line


class Direction(Enum):
    """Which way a mail crossed the organisation's border."""

    INCOMING = "incoming"
    OUTGOING = "outgoing"


@dataclass(frozen=True, slots=True)
class Copy:
    """Where a message lies: the mailbox's normalised address, and the attributes and names of the folders it is in."""

    mailbox: str
    attributes: frozenset[str]
    names: frozenset[str] = frozenset()
    """As `policy.folder_name` spells them."""

    def lies_in(self, *attributes: str) -> bool:
        """True where one of its folders has one of these attributes, given in lower case without the backslash."""
        return any(written.lower().lstrip("\\") in attributes for written in self.attributes)

    def is_named(self, names: frozenset[str]) -> bool:
        """True where one of its folders has one of these names."""
        return not self.names.isdisjoint(names)


@dataclass(frozen=True, slots=True)
class Sender:
    """The From party: the address as written, the name beside it, whose it is, and whether it is one of ours."""

    address_used: str | None
    name: str | None
    match: Match | None
    is_ours: bool
    own_address: str | None = None
    """By which it is ours: From, or that of the mailbox in whose Sent folder the copy lies; normalised."""


def direction_of(message: Message, copy: Copy, matches: Matches, organisation: Organisation) -> Direction:
    """Outgoing when the sender is one of ours, else incoming."""
    ours = sender_of(message, copy, matches, organisation).is_ours
    return Direction.OUTGOING if ours else Direction.INCOMING


def sender_of(message: Message, copy: Copy, matches: Matches, organisation: Organisation) -> Sender:
    """The From of the mail; in a Sent folder a stranger's From is the mailbox's own user under another address."""
    written, name = _from(message)
    address = normalise(written)
    match = matches.get(address) if address else None
    if organisation.is_mailbox(address) or (match is not None and match.table in OUR_TABLES):
        return Sender(written, name, match, is_ours=True, own_address=address)
    if copy.lies_in("sent"):
        own = matches.get(copy.mailbox)
        return Sender(written or copy.mailbox, name, own, is_ours=True, own_address=copy.mailbox)
    return Sender(written, name, match, is_ours=False)


def _from(message: Message) -> tuple[str | None, str | None]:
    """The first From with an address, for an email has one sender; else the first name."""
    named = [participant for participant in message.from_ or () if participant]
    best = next((one for one in named if normalise(one.email)), None) or next(
        (one for one in named if one.email and single_line(one.email)), named[0] if named else Participant()
    )
    return single_line(best.email or "") or None, single_line(best.name or "") or None
