"""The record a mail is about, and the rule that says so.

The rules of the policy in their order; the first that finds a record wins. Finding the parent mail and the open records
of people is the caller's business; here they are values, or there are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mapping.addresses import normalise
from mapping.direction import Sender
from mapping.matches import Match, Matches, Organisation, is_internal
from mapping.message import Message
from mapping.parties import people_of
from mapping.policy import RegardingRules, RelatedTable
from mapping.records import Record
from mapping.subject import is_forward
from mapping.text import single_line

MOST_PEOPLE = 25
"""External people whose records a rule looks for."""
MOST_TOKENS = 3


@dataclass(frozen=True, slots=True)
class ParentParty:
    """A party of another mail, as Dataverse holds it."""

    address: str | None
    table: str | None
    id: str | None


@dataclass(frozen=True, slots=True)
class Parent:
    """Another mail of the same conversation, as Dataverse holds it."""

    activityid: str
    regarding: Record | None
    parties: tuple[ParentParty, ...]


@dataclass(frozen=True, slots=True)
class Related:
    """An open record of a related table, and the contacts and accounts it names."""

    record: Record
    people: frozenset[Record]


@dataclass(frozen=True, slots=True)
class Found:
    """What Dataverse holds that a mail can be about; what was not asked for is empty."""

    parent: Parent | None = None
    """The mail it answers."""
    sibling: Parent | None = None
    """A mail that answers the same one, which nobody has brought."""
    by_token: tuple[Parent, ...] = ()
    """Mails that carry a token of its subject."""
    by_number: tuple[Related, ...] = ()
    """Cases whose number stands in its subject."""
    related: Mapping[str, tuple[Related, ...]] = field(default_factory=dict)
    """Open records of its people by rule, the newest first."""

    @property
    def before(self) -> Parent | None:
        """The nearest mail of the conversation."""
        return self.parent or self.sibling


@dataclass(frozen=True, slots=True)
class Regarding:
    """The record, if any, and the rule that chose it: one of the policy's, or none."""

    record: Record | None
    rule: str


@dataclass(frozen=True, slots=True)
class Talk:
    """A mail as the rules see it: its subject, and the external people with whom it is."""

    subject: str
    external: tuple[tuple[str, Match | None], ...]

    def is_with(self, other: Parent, organisation: Organisation) -> bool:
        """Whether the two mails share an external participant."""
        before = external_parties(other.parties, organisation)
        now = {key for address, match in self.external for key in _keys(address, match)}
        return not now.isdisjoint(before)

    def answers(self, parent: Parent, organisation: Organisation) -> bool:
        """Whether this mail belongs under the one its header names; a forward to others names it too."""
        return not is_forward(self.subject) or self.is_with(parent, organisation)

    def customers(self) -> tuple[Record, ...]:
        """The contacts and accounts among its external people."""
        return self.people(_CUSTOMERS)

    def people(self, tables: frozenset[str]) -> tuple[Record, ...]:
        """The rows of its external people that stand in these tables, in the order of the mail."""
        found = (match.record for _, match in self.external if match is not None and match.table in tables)
        return tuple(dict.fromkeys(found))[:MOST_PEOPLE]


def talk_of(message: Message, matches: Matches, organisation: Organisation, sender: Sender) -> Talk:
    """The mail as the rules see it."""
    own = normalise(sender.address_used) if sender.is_ours else None
    people = ((address, matches.get(address)) for address in people_of(message) if address != own)
    external = tuple((address, match) for address, match in people if not is_internal(address, match, organisation))
    return Talk(single_line(message.subject or ""), external)


def choose_regarding(talk: Talk, found: Found, organisation: Organisation, rules: RegardingRules) -> Regarding:
    """What the first rule that finds something says."""
    for rule in rules.rules:
        record = _by(rule, talk, found, organisation, rules)
        if record is not None:
            return Regarding(record, rule)
    return Regarding(None, "none")


def tables_to_ask(
    talk: Talk, found: Found, organisation: Organisation, rules: RegardingRules
) -> tuple[RelatedTable, ...]:
    """The tables whose open records decide, because no rule before them finds anything."""
    asked: list[RelatedTable] = []
    if not talk.customers():
        return ()
    for rule in rules.rules:
        table = rules.related(rule)
        if table is not None:
            asked.append(table)
        elif _by(rule, talk, found, organisation, rules) is not None:
            break
    return tuple(asked)


def tokens_in(subject: str | None, rules: RegardingRules) -> tuple[str, ...]:
    """The tracking tokens a subject holds, where the policy looks for them."""
    return _marks(subject, rules.tokens, r"\d{1,18}") if "token" in rules.rules else ()


def case_numbers_in(subject: str | None, rules: RegardingRules) -> tuple[str, ...]:
    """The case numbers a subject holds, where the policy looks for them."""
    return _marks(subject, rules.case_numbers, r"\d{1,18}(?:-[A-Za-z0-9]{1,12}){0,3}") if "token" in rules.rules else ()


def inherits_regarding(parties: Iterable[ParentParty], parent: Parent, organisation: Organisation) -> bool:
    """Whether an email already in Dataverse belongs to the talk of a parent that arrived after it."""
    external = external_parties(parties, organisation)
    return not external or not external.isdisjoint(external_parties(parent.parties, organisation))


def external_parties(parties: Iterable[ParentParty], organisation: Organisation) -> set[object]:
    """What the external participants of a mail in Dataverse are known by."""
    keys: set[object] = set()
    for party in parties:
        address = normalise(party.address)
        match = Match(party.table, party.id, None, active=True) if party.table and party.id else None
        if not is_internal(address, match, organisation):
            keys.update(_keys(address, match))
    return keys


_CUSTOMERS = frozenset({"contact", "account"})


def _by(rule: str, talk: Talk, found: Found, organisation: Organisation, rules: RegardingRules) -> Record | None:
    match rule:
        case "reply":
            return _of_the_talk_before(talk, found.before, organisation)
        case "token":
            return _by_token(talk, found, organisation)
        case "contact" | "account" | "lead":
            return next(iter(talk.people(frozenset({rule}))), None)
    return _of_people(talk.customers(), found.related.get(rule, ()), rules)


def _of_the_talk_before(talk: Talk, before: Parent | None, organisation: Organisation) -> Record | None:
    """What the mail before is about, where the talk is with the same people, or only among us."""
    if before is None or before.regarding is None:
        return None
    return before.regarding if not talk.external or talk.is_with(before, organisation) else None


def _by_token(talk: Talk, found: Found, organisation: Organisation) -> Record | None:
    """Tokens repeat and can be typed by anybody: one counts only where a participant is in common."""
    for mail in found.by_token:
        if mail.regarding is not None and talk.is_with(mail, organisation):
            return mail.regarding
    people = frozenset(talk.customers())
    return next((case.record for case in found.by_number if not people.isdisjoint(case.people)), None)


def _of_people(people: Sequence[Record], related: Sequence[Related], rules: RegardingRules) -> Record | None:
    """The open record of the first person who has one; the newest of several, or none of them."""
    for person in people:
        theirs = [one.record for one in related if person in one.people]
        if len(theirs) == 1 or (theirs and rules.several == "newest"):
            return theirs[0]
    return None


def _marks(subject: str | None, beginnings: Sequence[str], rest: str) -> tuple[str, ...]:
    text = single_line(subject or "")
    marks = (re.compile(rf"(?<![\w-]){re.escape(begin)}{rest}(?![\w-])", re.IGNORECASE) for begin in beginnings)
    found = (mark for expression in marks for mark in expression.findall(text))
    return tuple(dict.fromkeys(found))[:MOST_TOKENS]


def _keys(address: str | None, match: Match | None) -> set[object]:
    """What two participants are the same by: the address, or the row."""
    keys: set[object] = {address} if address else set()
    if match is not None:
        keys.add((match.table, match.id.lower()))
    return keys
