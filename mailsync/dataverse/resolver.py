"""What Dataverse knows that decides how a message is written, asked before the write.

One round trip: the same mail, the mails before it, the owners of its addresses, what its subject points to, what the
organisation lets pass. Where a rule looks for open records of its people, or an email is owned by a queue's owner, one
more. Which of the answers counts is `mapping`'s business.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec

from mailsync.dataverse import batch, odata
from mailsync.dataverse.address_book import AddressBook
from mailsync.dataverse.answers import failure_of
from mailsync.dataverse.definitions import Definitions
from mailsync.dataverse.rows import LOOKUP_TABLE, EmailRow, ThreadRow, as_asked, preferred, rows_of, took_part
from mailsync.dataverse.web_api import WebApi, request
from mailsync.errors import ConfigurationError, MessageError
from mailsync.telemetry import emit
from mailsync.transport import Answer
from mapping.attachments import Limits
from mapping.identity import LONGEST_MESSAGE_ID, Identity, activityid_of, canonical_message_id
from mapping.matches import Choice, Match
from mapping.policy import CASE, RelatedTable
from mapping.records import Record
from mapping.regarding import Parent, Related

ANCESTORS_ASKED = 40
"""The mails of a reply chain that are looked for; the parent is the nearest one found."""
LONGEST_ANCESTORS = 40_000
"""Characters of their ids, percent-encoded: a request line in a batch holds 65,536."""
LIFE = 600.0
"""Seconds that the organisation's limits, and the owner of a queue, are remembered."""
MISSING_LIFE = 3600.0
"""Seconds before a lookup this organisation doesn't have is asked for again."""
MOST_OPEN = 50
"""Open records of a mail's people that are read of one table, the newest."""
ANNOTATED = {"Prefer": 'odata.include-annotations="Microsoft.Dynamics.CRM.lookuplogicalname"'}
PARTIES = "email_activity_parties($select=participationtypemask,addressused,_partyid_value)"
_THREAD = "activityid,messageid,_regardingobjectid_value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of one mail."""

    identity: Identity
    ancestors: Sequence[str] = ()
    addresses: Sequence[str] = ()
    tokens: Sequence[str] = ()
    case_numbers: Sequence[str] = ()
    with_limits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What Dataverse knows that decides how a message is written."""

    existing: str | None = None
    """The email that is already there with our Message-ID."""
    parent: Parent | None = None
    parent_depth: int = 0
    """How many ancestors nearer than the parent are not there; all of them where none is."""
    choices: Mapping[str, Choice] = field(default_factory=dict)
    """Whose the addresses are, by address."""
    by_token: tuple[Parent, ...] = ()
    by_number: tuple[Related, ...] = ()
    limits: Limits = field(default_factory=Limits)

    @property
    def matches(self) -> dict[str, Match]:
        """The owners, by address."""
        return {address: choice.match for address, choice in self.choices.items() if choice.match is not None}


class Resolver:
    """Asks one environment."""

    def __init__(
        self,
        api: WebApi,
        *,
        address_book: AddressBook,
        definitions: Definitions,
        adopt_existing: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._address_book = address_book
        self._definitions = definitions
        self._adopt_existing = adopt_existing
        self._clock = clock
        self._limits: tuple[Limits, float] | None = None
        self._queue_owners: dict[str, tuple[Record | None, float]] = {}
        self._missing: dict[str, float] = {}

    def resolve(self, question: Question) -> Resolved:
        """Everything in one round trip, or in none if nothing must be asked."""
        choices, unknown, nobody = self._address_book.known(question.addresses)
        asked: dict[str, batch.Request] = {}
        if self._adopt_existing and question.identity.messageid is not None:
            asked["existing"] = _existing_request(question.identity)
        ancestors = _fitting(question.ancestors)
        if ancestors:
            asked["ancestors"] = ancestors_request(ancestors)
        if question.tokens:
            asked["tokens"] = _tokens_request(question.tokens)
        if question.case_numbers and not self._is_missing(CASE.table):
            asked["cases"] = _cases_request(question.case_numbers)
        if question.with_limits and self._known_limits() is None and not self._is_missing("organization"):
            asked["limits"] = request("GET", _LIMITS)
        people = self._address_book.question((*unknown, *nobody) if asked or unknown else ())
        answers = self._answered([*asked.values(), *people.requests])
        told = dict(zip(asked, answers, strict=False))
        choices.update(self._address_book.learn(people, answers[len(asked) :]))
        parent, depth = _parent(ancestors, self._threads(told.get("ancestors")))
        return Resolved(
            existing=_existing(question.identity, told.get("existing")),
            parent=self._told(parent),
            parent_depth=depth,
            choices=choices,
            by_token=tuple(filter(None, (self._told(_as_parent(row)) for row in self._threads(told.get("tokens"))))),
            by_number=tuple(self._cases(told.get("cases"))),
            limits=self._learned_limits(told.get("limits")),
        )

    def related(self, tables: Sequence[RelatedTable], people: Sequence[Record]) -> dict[str, tuple[Related, ...]]:
        """The open records of these people, newest first, by the rule that asks; one round trip.

        A table or lookup this organisation doesn't have is learnt once and left out.
        """
        asks = [ask for table in tables for ask in self._asks(table, people)]
        answers = self._answered([ask.request for ask in asks])
        found: dict[str, dict[str, _Open]] = {}
        for ask, answer in zip(asks, answers, strict=True):
            for row in self._open_rows(ask, answer):
                records = found.setdefault(ask.rule, {})
                records[row.id] = row.with_people_of(records.get(row.id))
        return {
            rule: tuple(row.related() for row in sorted(records.values(), key=_age, reverse=True))
            for rule, records in found.items()
        }

    def queue_owner(self, queue: Record) -> Record | None:
        """The user or team that owns a queue; one round trip, remembered."""
        known = self._queue_owners.get(queue.id)
        if known is None or known[1] <= self._clock():
            known = (self._asked_queue_owner(queue), self._clock() + LIFE)
            self._queue_owners[queue.id] = known
        return known[0]

    def parent(self, ancestors: Sequence[str]) -> Parent | None:
        """The nearest of these mails that is there; one round trip."""
        (answer,) = self._answered([ancestors_request(ancestors)])
        return self._told(_parent(ancestors, self._threads(answer))[0])

    def forget_limits(self) -> None:
        """Ask for the organisation's limits anew: a file that they allow was refused."""
        self._limits = None

    # asking

    def _answered(self, requests: Sequence[batch.Request]) -> list[Answer]:
        return [answer for (answer,) in self._api.batch(requests)] if requests else []

    def _asks(self, table: RelatedTable, people: Sequence[Record]) -> Iterator[_Ask]:
        """A query for each lookup of a table, since an organisation may lack one."""
        name = self._definitions.table(table.table) if self._definitions.can_be_regarded(table.table) else None
        if name is None or self._is_missing(table.table):
            return
        lookups = dict.fromkeys((*table.contact, *table.account))
        for lookup in lookups:
            kinds = {"contact": lookup in table.contact, "account": lookup in table.account}
            persons = {person.id: person for person in people if kinds.get(person.table)}
            if not persons or self._is_missing(f"{table.table}.{lookup}"):
                continue
            path = odata.query(
                name.collection,
                select=f"{name.key},createdon,_{lookup}_value",
                filter=f"statecode eq 0 and ({' or '.join(f'_{lookup}_value eq {row}' for row in persons)})",
                orderby="createdon desc",
                top=str(MOST_OPEN),
            )
            yield _Ask(table.name, table.table, lookup, name.key, persons, request("GET", path))

    def _asked_queue_owner(self, queue: Record) -> Record | None:
        path = odata.query(f"queues({queue.id})", select="_ownerid_value")
        answer = self._api.send("GET", path, headers=ANNOTATED)
        if answer.status != 200:
            failure = failure_of(answer)
            if isinstance(failure, (MessageError, ConfigurationError)):
                return None
            raise failure
        with as_asked(answer):
            row = msgspec.json.decode(answer.body, type=_Owned)
        return Record(row.owner_table, str(row.owner)) if row.owner and row.owner_table else None

    # understanding

    def _threads(self, answer: Answer | None) -> tuple[ThreadRow, ...]:
        return rows_of(answer, ThreadRow) if answer is not None else ()

    def _told(self, parent: Parent | None) -> Parent | None:
        """A mail of a conversation, with what it is about as an email can point to it."""
        return None if parent is None else _about(parent, self._definitions.as_regarding(parent.regarding))

    def _cases(self, answer: Answer | None) -> Iterator[Related]:
        if answer is None or self._was_missing(answer, CASE.table):
            return
        for row in rows_of(answer, _Case):
            customers = (("contact", row.customer), ("account", row.customer), ("contact", row.contact))
            people = frozenset(Record(table, str(one)) for table, one in customers if one is not None)
            yield Related(Record(CASE.table, str(row.incidentid)), people)

    def _open_rows(self, ask: _Ask, answer: Answer) -> Iterator[_Open]:
        if self._was_missing(answer, ask.table if _is_no_table(answer) else f"{ask.table}.{ask.lookup}"):
            return
        rows = rows_of(answer, dict[str, Any])
        with as_asked(answer):
            named = [
                {"id": row.get(ask.key), "created": row.get("createdon"), "person": row.get(f"_{ask.lookup}_value")}
                for row in rows
            ]
            found = msgspec.convert(named, list[_OpenRow])
        for row in found:
            record = self._definitions.as_regarding(Record(ask.table, str(row.id)))
            person = ask.people.get(str(row.person))
            if record is not None and person is not None:
                yield _Open(str(row.id), row.created or "", record, frozenset((person,)))

    def _is_missing(self, name: str) -> bool:
        return self._missing.get(name, 0.0) > self._clock()

    def _was_missing(self, answer: Answer, name: str) -> bool:
        """Whether Dataverse says that a table or lookup is not there, which is remembered; raises what passes."""
        if answer.status == 200:
            return False
        failure = failure_of(answer)
        if not isinstance(failure, (MessageError, ConfigurationError)):
            raise failure
        self._missing[name] = self._clock() + MISSING_LIFE
        emit("table_left_out", reason=failure.reason, evidence=failure.evidence, advice=failure)
        return True

    def _known_limits(self) -> Limits | None:
        known = self._limits
        return known[0] if known is not None and known[1] > self._clock() else None

    def _learned_limits(self, answer: Answer | None) -> Limits:
        """What the organisation says, else what Dataverse begins with: a file it refuses is told of then."""
        if answer is not None and not self._was_missing(answer, "organization"):
            row = next(iter(rows_of(answer, _Organization)), _Organization())
            self._limits = (row.limits(), self._clock() + LIFE)
        known = self._limits
        return known[0] if known is not None else Limits()


@dataclass(frozen=True, slots=True)
class _Ask:
    """One query for the open records of people."""

    rule: str
    table: str
    lookup: str
    key: str
    people: Mapping[str, Record]
    request: batch.Request


@dataclass(frozen=True, slots=True)
class _Open:
    """One open record and those of the asked for that it names."""

    id: str
    created: str
    record: Record
    people: frozenset[Record]

    def with_people_of(self, other: _Open | None) -> _Open:
        return self if other is None else replace(self, people=self.people | other.people)

    def related(self) -> Related:
        return Related(self.record, self.people)


class _OpenRow(msgspec.Struct, frozen=True):
    id: UUID
    created: str | None
    person: UUID | None


class _Owned(
    msgspec.Struct,
    frozen=True,
    rename={"owner": "_ownerid_value", "owner_table": f"_ownerid_value{LOOKUP_TABLE}"},
):
    owner: UUID | None = None
    owner_table: str | None = None


class _Case(
    msgspec.Struct, frozen=True, rename={"customer": "_customerid_value", "contact": "_primarycontactid_value"}
):
    incidentid: UUID
    customer: UUID | None = None
    contact: UUID | None = None


class _Organization(msgspec.Struct, frozen=True):
    maxuploadfilesize: int | None = None
    blockedattachments: str | None = None
    blockedmimetypes: str | None = None
    allowedmimetypes: str | None = None

    def limits(self) -> Limits:
        """What the organisation lets pass; its lists are separated by semicolons."""
        return Limits(
            largest=self.maxuploadfilesize or Limits().largest,
            extensions=_listed(self.blockedattachments),
            blocked_types=_listed(self.blockedmimetypes),
            allowed_types=_listed(self.allowedmimetypes),
        )


_LIMITS = odata.query("organizations", select="maxuploadfilesize,blockedattachments,blockedmimetypes,allowedmimetypes")


def _listed(text: str | None) -> frozenset[str]:
    return frozenset(one.strip().lower().lstrip(".") for one in (text or "").split(";") if one.strip())


def _age(row: _Open) -> tuple[str, str]:
    return row.created, row.id


def _is_no_table(answer: Answer) -> bool:
    return answer.status == 404


def _existing_request(identity: Identity) -> batch.Request:
    return request("GET", messageid_query((identity.messageid or "", identity.message_id or "")))


def _existing(identity: Identity, answer: Answer | None) -> str | None:
    """Dataverse compares without case, and Message-IDs differ by it."""
    if answer is None:
        return None
    rows = rows_of(answer, EmailRow)
    same = (row for row in rows if canonical_message_id(row.messageid) == identity.message_id)
    found = preferred(same, own=str(identity.activityid))
    return str(found.activityid) if found is not None else None


def messageid_query(spelled: Iterable[str]) -> str:
    """The emails that carry one of these Message-IDs, the oldest first."""
    return odata.query(
        "emails",
        select="activityid,messageid,statecode",
        filter=odata.any_of("messageid", spelled),
        orderby="createdon asc",
    )


def _fitting(ancestors: Sequence[str]) -> Sequence[str]:
    """The nearest ancestors that fit one request line."""
    lengths = itertools.accumulate(2 * len(quote(canonical)) + 40 for canonical in ancestors[:ANCESTORS_ASKED])
    return ancestors[: sum(length <= LONGEST_ANCESTORS for length in lengths)]


def ancestors_request(ancestors: Sequence[str]) -> batch.Request:
    """Those of these mails that are there, with their parties and what they are about."""
    ancestors = _fitting(ancestors)
    stored = [spelling for canonical in ancestors for spelling in (f"<{canonical}>", canonical)]
    fitting = [spelling for spelling in stored if len(spelling) <= LONGEST_MESSAGE_ID]
    wanted = [odata.any_of("messageid", fitting)] if fitting else []
    wanted += [
        f"activityid eq {activityid_of(canonical)}"
        for canonical in ancestors
        if len(canonical) + 2 > LONGEST_MESSAGE_ID
    ]
    path = odata.query("emails", select=_THREAD, filter=" or ".join(wanted), expand=PARTIES)
    return request("GET", path, headers=ANNOTATED)


def _tokens_request(tokens: Sequence[str]) -> batch.Request:
    path = odata.query(
        "emails",
        select=_THREAD,
        filter=odata.any_of("trackingtoken", tokens),
        expand=PARTIES,
        orderby="createdon desc",
        top=str(MOST_OPEN),
    )
    return request("GET", path, headers=ANNOTATED)


def _cases_request(numbers: Sequence[str]) -> batch.Request:
    path = odata.query(
        "incidents",
        select="incidentid,_customerid_value,_primarycontactid_value",
        filter=odata.any_of("ticketnumber", numbers),
    )
    return request("GET", path)


def _parent(ancestors: Sequence[str], rows: Iterable[ThreadRow]) -> tuple[Parent | None, int]:
    """The nearest ancestor that is there, with its parties and what it is regarding, and how many are nearer."""
    by_id: dict[str, ThreadRow] = {}
    for row in rows:
        by_id.setdefault(str(row.activityid), row)
        canonical = canonical_message_id(row.messageid)
        if canonical is not None:
            by_id.setdefault(canonical, row)
    for depth, ancestor in enumerate(ancestors):
        found = by_id.get(ancestor) or by_id.get(str(activityid_of(ancestor)))
        if found is not None:
            return _as_parent(found), depth
    return None, len(ancestors)


def _as_parent(row: ThreadRow) -> Parent:
    return Parent(str(row.activityid), row.regarding, took_part(row.parties))


def _about(parent: Parent, record: Record | None) -> Parent:
    return replace(parent, regarding=record)
