"""Emails in Dataverse: what is there before a write, and the one way an email is written.

One round trip resolves (a batch of GETs), one writes (a changeset: create open, then complete). Each step can be
repeated: the email's id is the caller's, and a second create is answered 412.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote

import msgspec

from mailsync.dataverse import batch, odata
from mailsync.dataverse.address_book import AddressBook
from mailsync.dataverse.answers import COLUMN_AT_FAULT, ROW_MISSING, complaint_of, evidence_of, failure_of, is_done
from mailsync.dataverse.rows import EmailRow, PartyRow, StandingRow, ThreadRow, row_of, rows_of
from mailsync.dataverse.web_api import WebApi, request
from mailsync.errors import ConfigurationError, MailSyncError, MessageError, Scope, TransientError
from mailsync.transport import Answer
from mapping.email_activity import EmailActivity, parent_binds, regarding_bind
from mapping.guard import guard_of_row
from mapping.identity import LONGEST_MESSAGE_ID, Identity, activityid_of, canonical_message_id
from mapping.matches import Matches
from mapping.records import Record
from mapping.regarding import Parent, ParentParty

ANCESTORS_ASKED = 12
"""The nearest mails of a reply chain that are looked for; the parent is the nearest one found."""
LONGEST_ANCESTORS = 40_000
"""Characters of their ids, percent-encoded: a request line in a batch holds 65,536."""
LINK_TRIES = 3
"""How often a link is tried against others' changes of the same email."""
VALUES_ASKED, LONGEST_FILTER = 200, 16_000
"""How many emails one query asks for, and characters of it once encoded; a batch's URLs hold 65,536."""
QUERIES_TOGETHER = 10
_ANNOTATED = {"Prefer": 'odata.include-annotations="Microsoft.Dynamics.CRM.lookuplogicalname"'}
_IF_THERE = {"If-Match": "*"}
_PARTIES = "email_activity_parties($select=participationtypemask,addressused,_partyid_value)"


@dataclass(frozen=True, slots=True)
class Existing:
    """An email that is already there with our Message-ID."""

    activityid: str
    is_completed: bool


@dataclass(frozen=True, slots=True)
class Resolved:
    """What Dataverse knows that decides how a message is written."""

    existing: Existing | None
    parent: Parent | None
    matches: Matches
    parent_depth: int
    """How many ancestors nearer than the parent are not there; all of them where none is."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An email as it stands in Dataverse."""

    activityid: str
    etag: str
    statecode: int
    statuscode: int
    guard: str
    regarding: Record | None
    parent: str | None
    parties: tuple[ParentParty, ...]

    @property
    def is_completed(self) -> bool:
        """Whether nobody will finish it any more."""
        return self.statecode != 0


@dataclass(frozen=True, slots=True)
class Found:
    """The little of an email that a count needs."""

    activityid: str
    messageid: str | None
    is_outgoing: bool
    is_open: bool


class Link(Enum):
    """What became of linking a reply to a parent that arrived after it."""

    LINKED = "linked"
    REFUSED = "link_refused"
    NOT_NEEDED = "not_needed"
    GONE = "gone"


class Put(Enum):
    """What a write found."""

    CREATED = "created"
    ALREADY_THERE = "already_there"
    ADOPTED = "adopted"


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write, and the email that stands there now."""

    put: Put
    activityid: str


class Emails:
    """The email activities of one environment."""

    def __init__(self, api: WebApi, *, address_book: AddressBook, adopt_existing: bool) -> None:
        self._api = api
        self._address_book = address_book
        self._adopt_existing = adopt_existing
        self._changesets_work = True

    def check(self) -> None:
        """Raise TransientError while Dataverse is known to be out of reach: then nothing need be read for an email."""
        self._api.check()

    def resolve(self, identity: Identity, *, ancestors: Sequence[str], addresses: Sequence[str]) -> Resolved:
        """Existing email, parent and owners of addresses, in one round trip, or none if nothing must be asked."""
        found, unknown, nobody = self._address_book.known(addresses)
        asked: list[batch.Request] = []
        wants_existing = self._adopt_existing and identity.messageid is not None
        if wants_existing:
            asked.append(_existing_request(identity))
        ancestors = _fitting(ancestors)
        if ancestors:
            asked.append(_ancestors_request(ancestors))
        if asked or unknown:
            unknown += nobody
        question = self._address_book.question(unknown) if unknown else None
        if question is not None:
            asked += question.requests
        answers = [answer for (answer,) in self._api.batch(asked)] if asked else []
        existing = _existing(identity, rows_of(answers.pop(0), EmailRow)) if wants_existing else None
        parent, depth = _parent(ancestors, rows_of(answers.pop(0), ThreadRow)) if ancestors else (None, 0)
        if question is not None:
            found.update(self._address_book.learn(question, answers))
        return Resolved(existing=existing, parent=parent, matches=found, parent_depth=depth)

    def parent(self, ancestors: Sequence[str]) -> Parent | None:
        """The nearest of these mails that is there; one round trip."""
        ((answer,),) = self._api.batch([_ancestors_request(ancestors)])
        return _parent(ancestors, rows_of(answer, ThreadRow))[0]

    def put(self, email: EmailActivity, *, people: Sequence[str]) -> Written:
        """Write the whole email and complete it, or write nothing; one round trip when it is new.

        `people` are the addresses whose owners the email is bound to. Raises MessageError when Dataverse refuses
        the row itself.
        """
        activityid = str(email.activityid)
        answer = self._create(email)
        if answer.status == 412:
            return self._found(email)
        if is_done(answer):
            return Written(Put.CREATED, activityid)
        raise self._refusal(email, people, answer)

    def read(self, activityid: str) -> Standing | None:
        """An email as it stands, or None when it isn't there; one round trip."""
        path = odata.query(
            f"emails({activityid})",
            select="statecode,statuscode,subject,description,_regardingobjectid_value,_parentactivityid_value",
            expand=_PARTIES,
        )
        answer = self._api.send("GET", path, headers=_ANNOTATED)
        if answer.status == 404 and complaint_of(answer).code:
            return None
        if answer.status != 200:
            raise failure_of(answer)
        return _standing(row_of(answer, StandingRow))

    def find(self, activityids: Iterable[str]) -> tuple[Found, ...]:
        """Those of these emails that are there; one round trip for each two thousand."""
        return self._those("activityid", activityids)

    def find_by_message_id(self, messageids: Iterable[str]) -> tuple[Found, ...]:
        """Every email that carries one of these Message-IDs, in whatever case and however it is bracketed."""
        bare = {canonical for one in messageids if (canonical := canonical_message_id(one)) is not None}
        return self._those("messageid", (spelled for one in bare for spelled in (f"<{one}>", one)))

    def _those(self, column: str, values: Iterable[str]) -> tuple[Found, ...]:
        asked = [
            request("GET", odata.query("emails", select=_COUNTED, filter=odata.any_of(column, some)))
            for some in odata.portions(values, most=VALUES_ASKED, longest=LONGEST_FILTER)
        ]
        found: dict[str, Found] = {}
        for start in range(0, len(asked), QUERIES_TOGETHER):
            for (answer,) in self._api.batch(asked[start : start + QUERIES_TOGETHER]):
                found.update((one.activityid, one) for one in map(_counted, rows_of(answer, EmailRow)))
        return tuple(found.values())

    def link(
        self,
        child: str,
        parent: Parent,
        *,
        instead_of: Set[str],
        with_regarding: Callable[[Standing], bool],
    ) -> Link:
        """Make an email the child of one that arrived after it; regarding only where it has none.

        A parent it has already stays, unless it is one of `instead_of`. One PATCH that carries the state the child is
        in, because a completed email accepts no other, and that fails if anybody changed it meanwhile: what a person
        chose stays.
        """
        for _ in range(LINK_TRIES):
            standing = self.read(child)
            if standing is None:
                return Link.GONE
            if standing.parent is not None and standing.parent not in instead_of - {parent.activityid}:
                return Link.NOT_NEEDED
            answer = self._send_link(standing, parent, with_regarding=with_regarding)
            if is_done(answer):
                return Link.LINKED
            if answer.status in {400, 403, 404}:
                return Link.REFUSED
            if answer.status != 412:
                raise failure_of(answer)
            # changed meanwhile, perhaps by this very request: the connection may have died before its answer
        return Link.REFUSED

    def _send_link(self, child: Standing, parent: Parent, *, with_regarding: Callable[[Standing], bool]) -> Answer:
        change: dict[str, object] = {
            **parent_binds(parent.activityid),
            "statecode": child.statecode,
            "statuscode": child.statuscode,
        }
        if child.regarding is None and parent.regarding is not None and with_regarding(child):
            change.update(regarding_bind(parent.regarding))
        return self._api.send(
            "PATCH",
            f"emails({child.activityid})",
            body=msgspec.json.encode(change),
            headers={"If-Match": child.etag},
        )

    def finish(self, activityid: str, completion: Mapping[str, object]) -> None:
        """Complete an email of ours that an earlier attempt left open."""
        answer = self._api.send(
            "PATCH", f"emails({activityid})", body=msgspec.json.encode(completion), headers=_IF_THERE
        )
        if answer.status == 404 and complaint_of(answer).code:
            raise TransientError(
                "an email of ours was removed before it was completed",
                reason="email_removed_meanwhile",
                evidence=evidence_of(answer),
            )
        if not is_done(answer):
            raise failure_of(answer)

    def _create(self, email: EmailActivity) -> Answer:
        """The answer that decides: a success, or the first refusal."""
        if not self._changesets_work:
            return self._create_then_complete(email)
        answer = self._changeset(email)
        if answer.status in _JUDGED_ALIKE or answer.status >= 500 or complaint_of(answer).code == ROW_MISSING:
            return answer
        if is_done(answer):
            return answer
        # Refused: for its row, or because changesets don't work for emails here? Two plain requests tell.
        plain = self._create_then_complete(email)
        if is_done(plain):
            self._changesets_work = False
        return plain

    def _changeset(self, email: EmailActivity) -> Answer:
        create = request("POST", "emails", body=msgspec.json.encode(email.row()))
        complete = request(
            "PATCH",
            f"emails({email.activityid})",
            body=msgspec.json.encode(email.completion()),
            headers=_IF_THERE,
        )
        (answers,) = self._api.batch([batch.Changeset((create, complete))])
        refused = next((answer for answer in answers if not is_done(answer)), None)
        if refused is None and len(answers) != 2:
            raise TransientError(
                "Dataverse answered a changeset of two operations otherwise than with two answers or a refusal",
                reason="dataverse_batch_unreadable",
                scope=Scope.ORGANISATION,
            )
        return refused or answers[-1]

    def _create_then_complete(self, email: EmailActivity) -> Answer:
        created = self._api.send("POST", "emails", body=msgspec.json.encode(email.row()))
        if not is_done(created):
            return created
        try:
            self.finish(str(email.activityid), email.completion())
        except MessageError:
            # refused for good: an open email nobody will ever complete is worse than none
            self._api.send("DELETE", f"emails({email.activityid})")
            raise
        return created

    def _found(self, email: EmailActivity) -> Written:
        """What a 412 means: our own email, completed or to be finished, or somebody else's row."""
        activityid = str(email.activityid)
        answer = self._api.send("GET", f"emails({activityid})?$select=statecode")
        if answer.status == 200:
            if row_of(answer, _State).statecode == 0:
                self.finish(activityid, email.completion())
            return Written(Put.ALREADY_THERE, activityid)
        if answer.status != 404:
            raise failure_of(answer)
        if email.messageid is not None:
            theirs = self._with_messageid(email.messageid)
            if theirs is not None:
                return Written(Put.ADOPTED, theirs.activityid)
        raise TransientError(
            "Dataverse calls the email a duplicate, yet neither its id nor its Message-ID is found",
            reason="duplicate_not_found",
            evidence=evidence_of(answer),
        )

    def _with_messageid(self, messageid: str) -> Existing | None:
        spelled = (messageid, messageid.removeprefix("<").removesuffix(">"))
        answer = self._api.send("GET", _messageid_query(spelled))
        return _preferred(rows_of(answer, EmailRow), own=None)

    def _refusal(self, email: EmailActivity, people: Sequence[str], answer: Answer) -> MailSyncError:
        complaint = complaint_of(answer)
        if complaint.code in COLUMN_AT_FAULT and f"'{email.nylas_id_column}'" in complaint.message:
            return _column_unfit(answer)
        if complaint.code != ROW_MISSING:
            return failure_of(answer)
        # A record in a bind is gone: what we remembered of these people is out of date. Ask anew.
        self._address_book.forget(people)
        return TransientError(
            "a record this email refers to is gone from Dataverse",
            reason="bound_record_gone",
            scope=Scope.MESSAGE,
            evidence=evidence_of(answer),
        )


def _column_unfit(answer: Answer) -> ConfigurationError:
    return ConfigurationError(
        "Dataverse refuses the column in DATAVERSE_NYLAS_ID_COLUMN; check that emails have it and that it holds 300 "
        "characters",
        reason="nylas_id_column",
        scope=Scope.ORGANISATION,
        evidence=evidence_of(answer),
    )


_JUDGED_ALIKE = frozenset({401, 403, 408, 412, 413, 429})
"""Answers that would be the same without a changeset."""


class _State(msgspec.Struct, frozen=True):
    statecode: int


_COUNTED = "activityid,messageid,directioncode,statecode"


def _counted(row: EmailRow) -> Found:
    return Found(
        activityid=str(row.activityid),
        messageid=row.messageid,
        is_outgoing=bool(row.directioncode),
        is_open=row.statecode == 0,
    )


def _messageid_query(spelled: Iterable[str]) -> str:
    return odata.query(
        "emails",
        select="activityid,messageid,statecode",
        filter=odata.any_of("messageid", spelled),
        orderby="createdon asc",
    )


def _existing_request(identity: Identity) -> batch.Request:
    return request("GET", _messageid_query((identity.messageid or "", identity.message_id or "")))


def _existing(identity: Identity, rows: Iterable[EmailRow]) -> Existing | None:
    """Dataverse compares without case, and Message-IDs differ by it."""
    same = (row for row in rows if canonical_message_id(row.messageid) == identity.message_id)
    return _preferred(same, own=str(identity.activityid))


def _preferred(rows: Iterable[EmailRow], *, own: str | None) -> Existing | None:
    """Our own row first, then a completed one, then the oldest."""
    found = [Existing(str(row.activityid), row.statecode != 0) for row in rows]
    return min(found, key=lambda row: (row.activityid != own, not row.is_completed), default=None)


def _fitting(ancestors: Sequence[str]) -> Sequence[str]:
    """The nearest ancestors that fit one request line."""
    lengths = itertools.accumulate(2 * len(quote(canonical)) + 40 for canonical in ancestors[:ANCESTORS_ASKED])
    return ancestors[: sum(length <= LONGEST_ANCESTORS for length in lengths)]


def _ancestors_request(ancestors: Sequence[str]) -> batch.Request:
    ancestors = _fitting(ancestors)
    stored = [spelling for canonical in ancestors for spelling in (f"<{canonical}>", canonical)]
    fitting = [spelling for spelling in stored if len(spelling) <= LONGEST_MESSAGE_ID]
    wanted = [odata.any_of("messageid", fitting)] if fitting else []
    wanted += [
        f"activityid eq {activityid_of(canonical)}"
        for canonical in ancestors
        if len(canonical) + 2 > LONGEST_MESSAGE_ID
    ]
    path = odata.query(
        "emails",
        select="activityid,messageid,_regardingobjectid_value",
        filter=" or ".join(wanted),
        expand=_PARTIES,
    )
    return request("GET", path, headers=_ANNOTATED)


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
            return Parent(str(found.activityid), found.regarding, _took_part(found.parties)), depth
    return None, len(ancestors)


def _standing(row: StandingRow) -> Standing:
    sender = next((party.addressused for party in row.parties if party.participationtypemask == 1), None)
    return Standing(
        activityid=str(row.activityid),
        etag=row.etag,
        statecode=row.statecode,
        statuscode=row.statuscode,
        guard=guard_of_row(sender=sender, subject=row.subject, description=row.description),
        regarding=row.regarding,
        parent=str(row.parent) if row.parent else None,
        parties=_took_part(row.parties),
    )


def _took_part(parties: Iterable[PartyRow]) -> tuple[ParentParty, ...]:
    """From, To, Cc and Bcc; masks 8 and 9 repeat the regarding and the owner."""
    return tuple(_party(party) for party in parties if party.participationtypemask in {1, 2, 3, 4})


def _party(party: PartyRow) -> ParentParty:
    record = party.record
    return ParentParty(
        address=party.addressused,
        table=record.table if record else None,
        id=record.id if record else None,
    )
