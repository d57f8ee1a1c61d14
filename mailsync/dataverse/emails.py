"""Emails as they stand in Dataverse: read, counted, and linked to a mail before them that arrived later.

How one is created is `creation`'s business, what is asked before that `resolver`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum

import msgspec

from mailsync.dataverse import odata
from mailsync.dataverse.answers import complaint_of, evidence_of, failure_of, is_bypass_refused, is_done
from mailsync.dataverse.definitions import Definitions
from mailsync.dataverse.resolver import ANNOTATED, PARTIES
from mailsync.dataverse.rows import EmailRow, StandingRow, row_of, rows_of, took_part
from mailsync.dataverse.web_api import WebApi, request
from mailsync.errors import TransientError
from mailsync.transport import Answer
from mapping.direction import Direction
from mapping.email_activity import completion_without_rest, parent_binds, regarding_bind
from mapping.guard import guard_of_row
from mapping.identity import canonical_message_id
from mapping.records import Record
from mapping.regarding import Parent, ParentParty

LINK_TRIES = 3
"""How often a link is tried against others' changes of the same email."""
VALUES_ASKED, LONGEST_FILTER = 200, 16_000
"""How many emails one query asks for, and characters of it once encoded; a batch's URLs hold 65,536."""
QUERIES_TOGETHER = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """An email as it stands in Dataverse."""

    activityid: str
    etag: str
    statecode: int
    statuscode: int
    is_outgoing: bool
    subject: str
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


class Emails:
    """The email activities of one environment."""

    def __init__(self, api: WebApi, *, definitions: Definitions) -> None:
        self._api = api
        self._definitions = definitions

    def check(self) -> None:
        """Raise TransientError while Dataverse is known to be out of reach: then nothing need be read for an email."""
        self._api.check()

    def bypassing(self, bypass: bool) -> AbstractContextManager[None]:
        """Within it, writes of this thread go past what the organisation automated, if asked to."""
        return self._api.bypassing() if bypass else nullcontext()

    def read(self, activityid: str) -> Standing | None:
        """An email as it stands, or None when it isn't there; one round trip."""
        path = odata.query(
            f"emails({activityid})",
            select="statecode,statuscode,directioncode,subject,description,_regardingobjectid_value,_parentactivityid_value",
            expand=PARTIES,
        )
        answer = self._api.send("GET", path, headers=ANNOTATED)
        if answer.status == 404 and complaint_of(answer).code:
            return None
        if answer.status != 200:
            raise failure_of(answer)
        return _standing(row_of(answer, StandingRow))

    def complete(self, standing: Standing) -> None:
        """Complete an open email of ours as it stands: what it lacks will never come.

        Raises TransientError where it has changed meanwhile.
        """
        body = completion_without_rest(Direction.OUTGOING if standing.is_outgoing else Direction.INCOMING)
        path, headers = f"emails({standing.activityid})", {"If-Match": standing.etag}
        answer = self._api.send("PATCH", path, body=msgspec.json.encode(body), headers=headers)
        if answer.status in {404, 412}:
            raise TransientError(
                "an email of ours changed while it was completed",
                reason="email_removed_meanwhile",
                evidence=evidence_of(answer),
            )
        if not is_done(answer):
            raise failure_of(answer)

    def as_parent(self, standing: Standing) -> Parent:
        """An email as others of its conversation see it; what it is about only where they can be about it too."""
        return Parent(standing.activityid, self._definitions.as_regarding(standing.regarding), standing.parties)

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
        belongs: Callable[[Standing], bool],
        with_regarding: Callable[[Standing], bool],
    ) -> Link:
        """Make an email the child of one that arrived after it, if it belongs there; regarding only where it has none.

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
            if not belongs(standing):
                return Link.NOT_NEEDED
            answer = self._send_link(standing, parent, with_regarding=with_regarding)
            if is_done(answer):
                return Link.LINKED
            if answer.status in {400, 403, 404} and not is_bypass_refused(answer):
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


_COUNTED = "activityid,messageid,directioncode,statecode"


def _counted(row: EmailRow) -> Found:
    return Found(
        activityid=str(row.activityid),
        messageid=row.messageid,
        is_outgoing=bool(row.directioncode),
        is_open=row.statecode == 0,
    )


def _standing(row: StandingRow) -> Standing:
    sender = next((party.addressused for party in row.parties if party.participationtypemask == 1), None)
    return Standing(
        activityid=str(row.activityid),
        etag=row.etag,
        statecode=row.statecode,
        statuscode=row.statuscode,
        is_outgoing=bool(row.directioncode),
        subject=row.subject or "",
        guard=guard_of_row(sender=sender, subject=row.subject, description=row.description),
        regarding=row.regarding,
        parent=str(row.parent) if row.parent else None,
        parties=took_part(row.parties),
    )
