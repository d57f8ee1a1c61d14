"""What is known of an email across mailboxes: who saw it, and which replies wait for it.

Table `sightings`, partition = activityid, row = grant and message hash: a mailbox holds this email, and it stood in
Dataverse. Table `awaited`, partition = hash of a Message-ID nobody has brought yet, row = the activityid of a reply
that named it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mailsync.outcome import Kind
from mailsync.storage.account import StorageAccount
from mailsync.storage.journal import hash_of
from mailsync.storage.tables import Table


@dataclass(frozen=True, slots=True)
class Sighting:
    """One mailbox's copy of an email that stood in Dataverse under `stands`."""

    grant: str
    kind: Kind
    stands: str
    guard: str
    copy: str = ""
    """The hash of the message's id, as the journal's keys hold it."""


@dataclass(frozen=True, slots=True)
class Child:
    """A reply in Dataverse whose parent was not there when it was written."""

    activityid: str
    grant: str
    message: str


class Sightings:
    """The mailboxes that hold an email."""

    def __init__(self, account: StorageAccount) -> None:
        self._rows = Table(account, "sightings")

    def of(self, activityid: str) -> tuple[Sighting, ...]:
        """Who saw the email of this identity; one storage call."""
        return tuple(
            Sighting(
                grant=row["RowKey"].partition(":")[0],
                kind=Kind(row["kind"]),
                stands=row["stands"],
                guard=row["guard"],
                copy=row["RowKey"].rpartition(":")[2],
            )
            for row in self._rows.query("PartitionKey eq @id", {"id": activityid})
        )

    def note(self, activityid: str, sighting: Sighting, *, message: str, now: int) -> None:
        """Note that a mailbox holds an email that stands in Dataverse."""
        self._rows.put(
            {
                "PartitionKey": activityid,
                "RowKey": f"{sighting.grant}:{hash_of(message)}",
                "kind": sighting.kind.value,
                "stands": sighting.stands,
                "guard": sighting.guard,
                "noted": str(now),
            }
        )

    def forget(self, activityid: str, *, stands: str) -> int:
        """Forget that the email of this identity stood in Dataverse as `stands`; returns how many had seen it."""
        seen = [sighting for sighting in self.of(activityid) if sighting.stands == stands]
        for sighting in seen:
            self._rows.delete(activityid, f"{sighting.grant}:{sighting.copy}")
        return len(seen)


class Awaited:
    """Replies that wait for a parent."""

    def __init__(self, account: StorageAccount) -> None:
        self._rows = Table(account, "awaited")

    def register(self, child: Child, ancestors: Iterable[str]) -> None:
        """Note that a reply names these Message-IDs; to be done before it looks for them a last time."""
        for ancestor in ancestors:
            self._rows.put(
                {
                    "PartitionKey": hash_of(ancestor),
                    "RowKey": child.activityid,
                    "grant": child.grant,
                    "message": child.message,
                }
            )

    def children_of(self, message_id: str) -> tuple[Child, ...]:
        """The replies that wait for this mail; to be asked after it was written."""
        rows = self._rows.query("PartitionKey eq @id", {"id": hash_of(message_id)})
        return tuple(Child(row["RowKey"], row["grant"], row["message"]) for row in rows)

    def done(self, message_id: str, child: Child) -> None:
        """A reply waits no more."""
        self._rows.delete(hash_of(message_id), child.activityid)
