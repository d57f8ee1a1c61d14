"""The email as Dataverse holds it: the only module that spells the columns of the email table, their limits and binds.

What goes into them is decided by the other modules; sending it is the caller's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from mapping.direction import Direction
from mapping.parties import Party
from mapping.records import Record, reference
from mapping.regarding import Regarding

LONGEST_SUBJECT = 800
LONGEST_SENDER = 250
LONGEST_TORECIPIENTS = 500
EARLIEST = datetime(1753, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, 23, 59, 59, tzinfo=UTC)

_COMPLETED = 1
_SENT = 3
_RECEIVED = 4
_TRUNCATED_BODY = 2


@dataclass(frozen=True, slots=True)
class EmailActivity:
    """A whole email, ready to be written."""

    activityid: UUID
    direction: Direction
    subject: str
    description: str
    messageid: str | None
    sender: str | None
    torecipients: str | None
    sent: datetime | None
    parties: tuple[Party, ...]
    regarding: Regarding
    parent: str | None
    truncated: bool
    nylas_id: str
    nylas_id_column: str | None

    def row(self) -> dict[str, object]:
        """The body of the POST that creates the email, open."""
        row: dict[str, object] = {
            "activityid": str(self.activityid),
            "subject": self.subject,
            "description": self.description,
            "directioncode": self.direction is Direction.OUTGOING,
            "email_activity_parties": [party.row() for party in self.parties],
        }
        row.update(self._texts())
        row.update(self._times())
        row.update(self._binds())
        if self.truncated:
            row["notifications"] = _TRUNCATED_BODY
        if self.nylas_id_column:
            row.setdefault(self.nylas_id_column, self.nylas_id)
        return row

    def completion(self) -> dict[str, object]:
        """The body of the PATCH that completes the email: both codes, for the state alone would not say Received."""
        status = _SENT if self.direction is Direction.OUTGOING else _RECEIVED
        return {"statecode": _COMPLETED, "statuscode": status}

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
        if self.regarding.record is not None:
            binds.update(regarding_bind(self.regarding.record))
        return binds


def parent_binds(activityid: str) -> dict[str, object]:
    """The binds that make an email the child of another."""
    # The names differ in case, and the Web API is strict about it (email table reference, seen 2026-11).
    parent = reference("email", activityid)
    return {"parentactivityid@odata.bind": parent, "CorrelatedActivityId_Email@odata.bind": parent}


def regarding_bind(record: Record) -> dict[str, object]:
    """The bind that says what an email is about."""
    navigation = record.navigation or f"regardingobjectid_{record.table}_email"
    return {f"{navigation}@odata.bind": reference(record.table, record.id)}
