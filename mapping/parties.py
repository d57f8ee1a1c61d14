"""The people of a mail as activity parties: one for each address and role, bound to a row where one has the address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from mapping.addresses import normalise
from mapping.direction import Sender
from mapping.matches import Match, Matches
from mapping.message import Message, Participant
from mapping.records import reference
from mapping.text import fit, single_line, units_of

LONGEST_ADDRESS = 320
LONGEST_NAME = 200


class Role(Enum):
    """The participation type masks an email supports."""

    SENDER = 1
    TO = 2
    CC = 3
    BCC = 4


@dataclass(frozen=True, slots=True)
class Party:
    """One person or queue in one role: the address as the mail writes it, and the row it belongs to, if any."""

    role: Role
    address: str | None
    name: str | None
    match: Match | None

    def row(self) -> dict[str, object]:
        """The party as one element of `email_activity_parties`."""
        row: dict[str, object] = {"participationtypemask": self.role.value}
        if self.match is not None:
            row[f"partyid_{self.match.table}@odata.bind"] = reference(self.match.table, self.match.id)
        if self.address is not None:
            row["addressused"] = self.address
        if self.match is None and self.name:
            row["unresolvedpartyname"] = fit(self.name, LONGEST_NAME)
        return row


def parties_of(message: Message, sender: Sender, matches: Matches) -> tuple[Party, ...]:
    """The sender and every recipient; who has neither an address that fits nor a row is left out."""
    parties = [Party(Role.SENDER, _address_used(sender.address_used), sender.name, sender.match)]
    for role, group in ((Role.TO, message.to), (Role.CC, message.cc), (Role.BCC, message.bcc)):
        parties.extend(_recipients(role, group or (), matches))
    return tuple(party for party in parties if party.address is not None or party.match is not None)


def people_of(message: Message) -> tuple[str, ...]:
    """Every normalised address of the mail once, in the order From, To, Cc, Bcc; no column holds a longer one."""
    addresses = (normalise(participant.email) for participant in message.participants())
    return tuple(dict.fromkeys(one for one in addresses if one and units_of(one) <= LONGEST_ADDRESS))


def _recipients(role: Role, group: tuple[Participant | None, ...], matches: Matches) -> Iterator[Party]:
    seen = set()
    for participant in group:
        written = single_line(participant.email or "") if participant else ""
        address = normalise(written)
        key = address or written.lower()
        if participant and key and key not in seen:
            seen.add(key)
            match = matches.get(address) if address else None
            yield Party(role, _address_used(written), single_line(participant.name or "") or None, match)


def _address_used(written: str | None) -> str | None:
    """The address as written; where that is too long, its normal form if it fits: an address is never cut."""
    for address in (written, normalise(written)):
        if address and units_of(address) <= LONGEST_ADDRESS:
            return address
    return None
