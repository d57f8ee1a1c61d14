"""The email as Dataverse holds it: the only module that spells the columns of the email table, their limits and binds.

What goes into them is decided by the other modules; sending it is the caller's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID, uuid5

from mapping.attachments import File, Files, Why
from mapping.body import Body, Description
from mapping.direction import Direction
from mapping.owner import Owner
from mapping.parties import Party
from mapping.records import Record, reference
from mapping.regarding import Regarding
from mapping.text import units_of

LONGEST_SUBJECT = 800
LONGEST_SENDER = 250
LONGEST_TORECIPIENTS = 500
LONGEST_NYLAS_ID = 300
"""UTF-16 units of the column for Nylas' id, as `dataverse setup` makes it. An id of an IMAP mailbox may be a whole
Message-ID; a longer one is left out, for a part of it leads nowhere."""
EARLIEST = datetime(1753, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, 23, 59, 59, tzinfo=UTC)

_CORRELATED = "CorrelatedActivityId_Email@odata.bind"
_COMPLETED = 1
_SENT = 3
_RECEIVED = 4
_FILES_MISSING, _TRUNCATED_BODY = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailActivity:
    """A whole email, ready to be written."""

    activityid: UUID
    direction: Direction
    subject: str
    body: Body
    files: Files
    notes: tuple[str, ...]
    """What is told in the description besides what is missing from it."""
    messageid: str | None
    sender: str | None
    torecipients: str | None
    sent: datetime | None
    parties: tuple[Party, ...]
    regarding: Regarding
    owner: Owner
    queue: Record | None
    """The queue whose item it becomes."""
    parent: str | None
    correlated: str | None
    """The nearest email of its conversation, its parent or not."""
    guard: str
    nylas_id: str
    nylas_id_column: str | None

    @property
    def description(self) -> Description:
        """The HTML, with what is missing told in it."""
        return self.body.described(self.files.pictures, (*self.notes, *self.files.notes))

    def without(self, missing: Mapping[File, Why]) -> EmailActivity:
        """The email without files that could not be had or written."""
        return replace(self, files=self.files.without(missing)) if missing else self

    def row(self) -> dict[str, object]:
        """The body of the POST that creates the email, open."""
        row: dict[str, object] = {
            "activityid": str(self.activityid),
            "subject": self.subject,
            "directioncode": self.direction is Direction.OUTGOING,
            "email_activity_parties": [party.row() for party in self.parties],
            **self.content(),
        }
        row.update(self._texts())
        row.update(self._times())
        row.update(self._binds())
        if self.nylas_id_column and units_of(self.nylas_id) <= LONGEST_NYLAS_ID:
            row.setdefault(self.nylas_id_column, self.nylas_id)
        return row

    def content(self) -> dict[str, object]:
        """The columns that change when a file turns out to be missing."""
        description = self.description
        told = _TRUNCATED_BODY if description.truncated else _FILES_MISSING if self.files.withheld else None
        return {"description": description.html, **({"notifications": told} if told is not None else {})}

    def completion(self) -> dict[str, object]:
        """The body of the PATCH that completes the email."""
        return completion(self.direction)

    def attachment(self, file: File) -> dict[str, object]:
        """A file as a row of its own, but for its bytes."""
        row: dict[str, object] = {
            "activitymimeattachmentid": str(file.id_in(self.activityid)),
            "objectid_email@odata.bind": reference("email", str(self.activityid)),
            "objecttypecode": "email",
            "subject": file.name,
            "filename": file.name,
            "mimetype": file.type,
        }
        if file.content_id is not None:
            row["attachmentcontentid"] = file.content_id
        return row

    def queue_item(self) -> dict[str, object] | None:
        """The item of its queue, if it becomes one; its id follows from both, so that there is never a second."""
        if self.queue is None:
            return None
        return {
            "queueitemid": str(uuid5(self.activityid, f"queue\n{self.queue.id.lower()}")),
            "queueid@odata.bind": reference("queue", self.queue.id),
            "objectid_email@odata.bind": reference("email", str(self.activityid)),
        }

    def _texts(self) -> dict[str, object]:
        texts = {"messageid": self.messageid, "sender": self.sender, "torecipients": self.torecipients}
        return {column: text for column, text in texts.items() if text}

    def _times(self) -> dict[str, object]:
        if self.sent is None:
            return {}
        # senton is read-only (email table reference, seen 2026-11): sortdate carries the exact time, and actualend,
        # shown as a day, is when the activity ended. Left empty it would become the moment of our write.
        time = self.sent.strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"actualend": time, "sortdate": time}

    def _binds(self) -> dict[str, object]:
        binds = parent_binds(self.parent) if self.parent is not None else {}
        if self.parent is None and self.correlated is not None:
            binds[_CORRELATED] = reference("email", self.correlated)
        if self.regarding.record is not None:
            binds.update(regarding_bind(self.regarding.record))
        if self.owner.record is not None:
            binds["ownerid@odata.bind"] = self.owner.record.reference
        return binds


def completion(direction: Direction) -> dict[str, object]:
    """The body of the PATCH that completes an email: both codes, for the state alone would not say Received."""
    return {"statecode": _COMPLETED, "statuscode": _SENT if direction is Direction.OUTGOING else _RECEIVED}


def completion_without_rest(direction: Direction) -> dict[str, object]:
    """Likewise, of an email some of whose files will never come."""
    return {**completion(direction), "notifications": _FILES_MISSING}


def parent_binds(activityid: str) -> dict[str, object]:
    """The binds that make an email the child of another."""
    # The names differ in case, and the Web API is strict about it (email table reference, seen 2026-11).
    parent = reference("email", activityid)
    return {"parentactivityid@odata.bind": parent, _CORRELATED: parent}


def regarding_bind(record: Record) -> dict[str, object]:
    """The bind that says what an email is about."""
    navigation = record.navigation or f"regardingobjectid_{record.table}_email"
    return {f"{navigation}@odata.bind": record.reference}
