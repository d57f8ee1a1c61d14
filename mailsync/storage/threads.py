"""What is known of an email across mailboxes: who saw it, and which replies wait for it.

Table `sightings`, partition = activityid, row = grant and message hash: a mailbox holds this email, and it stood in
Dataverse. A row that was shortened is called `t:<keyed hash>` and says no more than that. Table `awaited`, partition =
hash of a Message-ID nobody has brought yet, row = the activityid of a reply that named it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from azure.core import MatchConditions

from mailsync.outcome import Kind
from mailsync.storage.account import StorageAccount
from mailsync.storage.journal import hash_of
from mailsync.storage.pseudonyms import Pseudonyms
from mailsync.storage.tables import ConflictError, Row, Table, etag_of, number
from mailsync.storage.tombstones import Tombstones

SHORTENED = "t"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One mailbox's copy of an email that stood in Dataverse under `stands`."""

    grant: str
    """Empty where the row was shortened."""
    kind: Kind
    stands: str
    """Empty where nobody knows any more: another tracker's email, in a row that was shortened."""
    guard: str
    copy: str = ""
    """The hash of the message's id, as the journal's keys hold it."""

    @property
    def row(self) -> str:
        """The key of its row."""
        return f"{self.grant or SHORTENED}:{self.copy}"


@dataclass(frozen=True, slots=True)
class SightingRow:
    """A row as a walk through the table meets it."""

    activityid: str
    sighting: Sighting
    noted: int
    etag: str


@dataclass(frozen=True, slots=True)
class Child:
    """A reply in Dataverse whose parent was not there when it was written."""

    activityid: str
    grant: str
    message: str


class Sightings:
    """The mailboxes that hold an email."""

    def __init__(self, account: StorageAccount, tombstones: Tombstones | None = None) -> None:
        self._rows = Table(account, "sightings")
        self._tombstones = tombstones

    def of(self, activityid: str) -> tuple[Sighting, ...]:
        """Who saw the email of this identity; one storage call."""
        return tuple(_sighting(row) for row in self._rows.query("PartitionKey eq @id", {"id": activityid}))

    def is_of(self, sighting: Sighting, activityid: str, guard: str) -> bool | None:
        """Whether it was a mail of this look that was seen under this identity.

        None where nobody can tell: the row was shortened, and the key that did it is missing.
        """
        if sighting.grant:
            return sighting.guard == guard
        pseudonyms = self._tombstones.pseudonyms if self._tombstones is not None else None
        return None if pseudonyms is None else sighting.guard == pseudonyms.of_guard(activityid, guard)

    def note(self, activityid: str, sighting: Sighting, *, message: str, now: int) -> None:
        """Note that a mailbox holds an email that stands in Dataverse."""
        self._rows.put(
            {
                "PartitionKey": activityid,
                "RowKey": replace(sighting, copy=hash_of(message)).row,
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
            self._rows.delete(activityid, sighting.row)
        return len(seen)

    def erase(self, activityid: str) -> int:
        """Forget everybody who saw the email of this identity; returns how many."""
        seen = self.of(activityid)
        for sighting in seen:
            self._rows.delete(activityid, sighting.row)
        return len(seen)

    def walk(self, after: tuple[str, str], most: int) -> tuple[list[SightingRow], tuple[str, str] | None]:
        """Some rows in the order of their keys, from right behind one; and where to go on."""
        rows = self._rows.walk(after, most)
        place = (rows[-1]["PartitionKey"], rows[-1]["RowKey"]) if len(rows) == most else None
        return [
            SightingRow(row["PartitionKey"], _sighting(row), number(row, "noted") or 0, etag_of(row)) for row in rows
        ], place

    def shorten(self, row: SightingRow, pseudonyms: Pseudonyms) -> bool:
        """Leave of a row that the email was seen, and what came of it; False when it has changed meanwhile."""
        sighting, activityid = row.sighting, row.activityid
        short = {
            "PartitionKey": activityid,
            "RowKey": f"{SHORTENED}:{pseudonyms.of_copy(sighting.grant, sighting.copy)}",
            "kind": sighting.kind.value,
            "stands": activityid if sighting.stands == activityid else "",
            "guard": pseudonyms.of_guard(activityid, sighting.guard),
            "noted": str(row.noted),
        }
        unchanged = {"etag": row.etag, "match_condition": MatchConditions.IfNotModified}
        whole = {"PartitionKey": activityid, "RowKey": sighting.row}
        try:
            self._rows.change([("upsert", short), ("delete", whole, unchanged)])
        except ConflictError:
            return False
        return True


def _sighting(row: Row) -> Sighting:
    holder, _, copy = row["RowKey"].rpartition(":")
    return Sighting(
        grant="" if holder == SHORTENED else holder,
        kind=Kind(row["kind"]),
        stands=row["stands"],
        guard=row["guard"],
        copy=copy,
    )


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

    def erase(self, is_meant: Callable[[str, Child], bool]) -> int:
        """Take away the waits that are meant, by the hash of the mail waited for and by who waits; returns how many.

        Reads the whole table.
        """
        waits = [
            (row["PartitionKey"], Child(row["RowKey"], row["grant"], row["message"]))
            for row in self._rows.query("PartitionKey ge @first", {"first": ""})
        ]
        meant = [(hashed, child) for hashed, child in waits if is_meant(hashed, child)]
        for hashed, child in meant:
            self._rows.delete(hashed, child.activityid)
        return len(meant)

    def done(self, message_id: str, child: Child) -> None:
        """A reply waits no more."""
        self._rows.delete(hash_of(message_id), child.activityid)
