"""What becomes of a case: decided as `mailsync.write` decides it, and told in full and at a glance.

The order of things is that of the step: the rules of each step as soon as its facts are known, the people, the mails
before, what it is about, the row; then the files that turn out not to be there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mapping.addresses import normalise
from mapping.direction import Direction, sender_of
from mapping.email_activity import EmailActivity
from mapping.guard import as_another_mail
from mapping.identity import ancestors, identity_of
from mapping.mapper import Known, map_message
from mapping.matches import Choice, Match
from mapping.owner import Owner, fallback
from mapping.parties import Party, Role, people_of
from mapping.records import Record
from mapping.regarding import Found, Parent, case_numbers_in, tables_to_ask, talk_of, tokens_in
from mapping.text import units_of
from mapping.tracking import Case as Judged
from mapping.tracking import Skip, Step, asks_headers, judge
from tests.corpus.cases import Case
from tests.corpus.world import World

LONGEST_TOLD = 3_000
"""Characters of a text that stands whole in the expected file."""
MOST_TOLD = 40
"""Entries of a list that does."""
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Outcome:
    """A skip with the step it was decided in, or an email ready to be written."""

    skip: Skip | None = None
    step: Step | None = None
    email: EmailActivity | None = None
    choices: Mapping[str, Choice] | None = None

    @property
    def attachments(self) -> list[dict[str, object]]:
        """The rows of its files."""
        return [self.email.attachment(file) for file in self.email.files.carried] if self.email is not None else []


def outcome_of(case: Case) -> Outcome:
    """What becomes of a case, its files fetched."""
    decided = decided_of(case)
    email = decided.email
    return decided if email is None else replace(decided, email=email.without(case.missing_files(email)))


def decided_of(case: Case) -> Outcome:
    """What the rules and the mapper make of a case before any file is fetched."""
    policy, place, copy = case.policy, case.world, case.copy
    organisation = place.organisation(policy)
    message, header = case.message(with_header=asks_headers(replace(copy, attributes=frozenset()), policy))
    identity = identity_of(message, copy.mailbox)
    judged = Judged(message, copy, organisation, header)
    skip = judge(Step.COPY, judged, policy)
    if skip is not None:
        return Outcome(skip, Step.COPY)
    if header is None and asks_headers(copy, policy):
        judged = replace(judged, headers=case.header())
    skip = judge(Step.HEADERS, judged, policy)
    if skip is not None:
        return Outcome(skip, Step.HEADERS)

    named = tuple(dict.fromkeys((*people_of(message), copy.mailbox)))
    aliases = organisation.of_aliases(named)
    choices = place.choices(tuple(dict.fromkeys((*named, *aliases.values()))), policy.people)
    choices |= {alias: choices[own] for alias, own in aliases.items() if alias not in choices and own in choices}
    matches: dict[str, Match] = {address: one.match for address, one in choices.items() if one.match is not None}
    sender = sender_of(message, copy, matches, organisation)
    talk = talk_of(message, matches, organisation, sender)
    chain = ancestors(message)
    parent, _ = place.parent(chain)
    sibling: Parent | None = None
    if parent is not None and not talk.answers(parent, organisation):
        parent = None
    elif parent is None and chain:
        sibling = place.sibling(str(identity.activityid), chain)
        sibling = sibling if sibling is not None and talk.answers(sibling, organisation) else None
    judged = replace(judged, matches=matches, answers_tracked=parent is not None)
    skip = judge(Step.PEOPLE, judged, policy)
    if skip is not None:
        return Outcome(skip, Step.PEOPLE)

    rules = policy.regarding
    found = Found(
        parent=parent,
        sibling=sibling,
        by_token=place.by_token(tokens_in(message.subject, rules)),
        by_number=place.by_number(case_numbers_in(message.subject, rules)),
    )
    found = replace(found, related=place.related(tables_to_ask(talk, found, organisation, rules), talk.customers()))
    known = Known(copy=copy, organisation=organisation, policy=policy, matches=matches, found=found, limits=case.limits)
    email = map_message(message, known, identity=identity)
    if email.owner.queue is not None:
        owner = place.queue_owner(email.owner.queue)
        email = replace(email, owner=fallback(policy) if owner is None else Owner(owner, "queue"))
    return Outcome(email=as_another_mail(email) if case.written.reused_message_id else email, choices=choices)


# told in full


def in_full(outcome: Outcome, place: World) -> dict[str, Any]:
    """The skip, or every row that is written, with the rows of the corpus by their names."""
    if outcome.skip is not None and outcome.step is not None:
        return {"skip": outcome.skip.rule, "at": outcome.step.value, "reason": outcome.skip.reason}
    email = outcome.email
    assert email is not None
    told: dict[str, Any] = {"email": email.row()}
    if outcome.attachments:
        told["attachments"] = outcome.attachments
    told["completion"] = email.completion()
    if (item := email.queue_item()) is not None:
        told["queue_item"] = item
    told["noted"] = {"owner": email.owner.rule, "regarding": email.regarding.rule, "guard": email.guard}
    if tied := _tied(outcome):
        told["noted"]["several"] = tied
    return _named(told, place, str(email.activityid))


def _tied(outcome: Outcome) -> dict[str, list[str]]:
    """The addresses that several rows carry, each with those rows."""
    return {
        address: [f"{one.table} {one.id}" for one in choice.rivals]
        for address, choice in (outcome.choices or {}).items()
        if choice.rivals
    }


def _named(value: Any, place: World, own: str) -> Any:
    """The same with ids told by name, and what is long told by its beginning, its end and its digest."""
    if isinstance(value, dict):
        return {key: one if key == "activityid" else _named(one, place, own) for key, one in value.items()}
    if isinstance(value, list):
        listed = [_named(one, place, own) for one in value]
        if len(listed) > MOST_TOLD:
            return {"first": listed[:2], "last": listed[-1], "count": len(listed), "sha256": _digest(repr(value))}
        return listed
    if not isinstance(value, str):
        return value
    if len(value) > LONGEST_TOLD:
        return {"begins": value[:200], "ends": value[-300:], "units": units_of(value), "sha256": _digest(value)}
    return _ID.sub(lambda found: _key(found[0], place, own), value)


def _key(found: str, place: World, own: str) -> str:
    if found == own:
        return "this"
    name = place.name_of(found)
    return found if name is None else name.partition(" ")[2]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# told at a glance


def at_a_glance(outcome: Outcome, place: World) -> dict[str, Any]:
    """The same in a few words each: what a case's `expect` is compared with."""
    if outcome.skip is not None and outcome.step is not None:
        return {"skip": outcome.skip.rule, "at": outcome.step.value}
    email = outcome.email
    assert email is not None
    row = email.row()
    people = {role: [_person(one, place) for one in email.parties if one.role is role] for role in Role}
    return {
        "direction": "outgoing, sent" if email.direction is Direction.OUTGOING else "incoming, received",
        "from": next(iter(people[Role.SENDER]), ""),
        "to": people[Role.TO],
        "cc": people[Role.CC],
        "bcc": people[Role.BCC],
        "parties": len(email.parties),
        "sender": row.get("sender", ""),
        "torecipients": row.get("torecipients", ""),
        "subject": row["subject"],
        "messageid": row.get("messageid", ""),
        "activityid": row["activityid"],
        "guard": email.guard,
        "sortdate": row.get("sortdate", ""),
        "notifications": row.get("notifications", 0),
        "description": row["description"],
        "owner": f"{_of(email.owner.record, place)}, by {email.owner.rule}",
        "regarding": f"{_of(email.regarding.record, place)}, by {email.regarding.rule}",
        "parent": place.name_of(email.parent) if email.parent else "",
        "correlated": place.name_of(email.correlated) if email.correlated else "",
        "queue": _of(email.queue, place) if email.queue is not None else "",
        "files": [file.name for file in email.files.carried],
        "types": [file.type for file in email.files.carried],
        "pictures": {file.name: file.content_id for file in email.files.carried if file.content_id is not None},
        "withheld": {one.file.name: one.why.name.lower() for one in email.files.withheld},
        "several": {address: [_of_name(one, place) for one in those] for address, those in _tied(outcome).items()},
    }


def _person(party: Party, place: World) -> str:
    """A party by the row it is bound to, and by its address where that is not one of the row's."""
    if party.match is None:
        name = party.row().get("unresolvedpartyname")
        return f"{name} <{party.address}>" if name else str(party.address)
    name = place.name_of(party.match.id)
    assert name is not None
    own = {normalise(one) for one in place.rows[name].addresses}
    return name if normalise(party.address) in own else f"{name} as {party.address}"


def _of(record: Record | None, place: World) -> str:
    return "nobody" if record is None else str(place.name_of(record.id))


def _of_name(told: str, place: World) -> str:
    return str(place.name_of(told.partition(" ")[2]))
