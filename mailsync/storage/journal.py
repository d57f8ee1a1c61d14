"""One record for every message ever seen: what became of it, and why.

Table `journal`, partition = grant. Row `m:<sha256 of the message id>` holds everything; once the message's date
is known, row `d:<unix seconds, 11 digits>:<same hash>` goes with it in one transaction and says the same, so that a
window of time is read with one range query.

Ids and outcomes only: no subject, address or body is ever kept here. What is final stays final: a late note of
a slower worker never replaces it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from azure.core import MatchConditions
from azure.data.tables import UpdateMode

from mailsync.errors import TransientError
from mailsync.outcome import Kind
from mailsync.storage.account import StorageAccount
from mailsync.storage.tables import (
    LARGEST_TRANSACTION,
    Change,
    ConflictError,
    Row,
    Table,
    as_words,
    etag_of,
    number,
    words,
)

LATEST_DATE = 99_999_999_999
"""The largest date eleven digits can hold; later ones, and those before 1970, are filed at the ends."""
WAITS_FOR_GRANT = "grant"
"""The reason of messages that wait for their mailbox's owner to sign in again, and are on no queue meanwhile."""
BY_DATE = ("RowKey", "kind", "noted", "until", "folders")
"""The columns a sweep reads of a window."""
MOST_NOTES = 40
TRIES = 8
"""How often a note is tried against other workers' notes of the same message before it counts as trouble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the journal says of one message. Moments are unix seconds."""

    grant: str
    message: str
    kind: Kind
    noted: int
    first_seen: int
    reason: str = ""
    activityid: str | None = None
    date: int | None = None
    folders: tuple[str, ...] | None = None
    """Where the mailbox holds it; None where nobody said."""
    policy: str = ""
    source: str = ""
    notification: str | None = None
    until: int | None = None
    attempt: int = 0
    detail: str = ""
    notes: tuple[str, ...] = ()
    """What was decided on the way and why: owner, ties, files left out; ids only."""
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """The little a sweep must know of a message it finds in a listing."""

    kind: Kind
    noted: int
    until: int | None
    folders: tuple[str, ...] | None


class Journal:
    """Reads and writes the record of every message."""

    def __init__(self, account: StorageAccount) -> None:
        self._entries = Table(account, "journal")

    def get(self, grant: str, message: str) -> Entry | None:
        """What is known of one message; one storage call."""
        row = self._entries.get(grant, "m:" + hash_of(message))
        return _entry(row) if row is not None else None

    def put(self, entry: Entry, previous: Entry | None) -> Entry:
        """Note what became of a message; returns what stands in the journal afterwards.

        `previous` is the record this note was decided on. Where another worker noted something meanwhile, a
        final record stays, and anything else is replaced.
        """
        for _ in range(TRIES):
            if previous is not None and not _may_follow(previous.kind, entry.kind):
                return previous
            noted = _carried(entry, previous)
            try:
                return replace(noted, etag=self._write(noted, previous))
            except ConflictError:
                previous = self.get(entry.grant, entry.message)
        raise _contended()

    def _write(self, entry: Entry, previous: Entry | None) -> str:
        """Write the rows of a note; a note made while the work goes on is one row, for a transaction costs four times
        as much and a sweep that finds no `d:` row yet does no harm."""
        changes = _changes(entry, previous)
        if entry.kind is not Kind.WRITING:
            return self._entries.change(changes)[0]
        row = changes[0][1]
        return self._entries.create(row) if previous is None else self._entries.replace(row, previous.etag, whole=True)

    def note_queued(self, entries: Sequence[Entry]) -> None:
        """Note messages that a sweep is about to enqueue, many to a transaction."""
        once = list({entry.message: entry for entry in entries}.values())
        for start in range(0, len(once), LARGEST_TRANSACTION // 2):
            some = once[start : start + LARGEST_TRANSACTION // 2]
            try:
                self._entries.change(change for entry in some for change in _changes(entry, None))
            except ConflictError:
                for entry in some:
                    self.put(entry, self.get(entry.grant, entry.message))

    def waiting_for_grant(self, grant: str) -> tuple[Entry, ...]:
        """The messages of a mailbox that left the queue because its grant had expired."""
        rows = self._entries.query(
            "PartitionKey eq @grant and RowKey ge 'm:' and RowKey lt 'm;' and kind eq @kind and reason eq @reason",
            {"grant": grant, "kind": Kind.DEFERRED.value, "reason": WAITS_FOR_GRANT},
        )
        return tuple(_entry(row) for row in rows)

    def waiting_since(self, grant: str, oldest: int) -> int | None:
        """Since when the message on its way that waits longest has waited: from its date, or from when it was first
        seen if that was later. None where none waits.

        Looks at the first thousand that are dated from `oldest` on.
        """
        rows = self._entries.query(
            "PartitionKey eq @grant and RowKey ge @first and RowKey lt 'd;' "
            "and ( kind eq @queued or kind eq @writing or kind eq @deferred )",  # the SDK knows parameters by blanks
            {
                "grant": grant,
                "first": f"d:{_filed(oldest)}",
                "queued": Kind.QUEUED.value,
                "writing": Kind.WRITING.value,
                "deferred": Kind.DEFERRED.value,
            },
            select=("RowKey", "first_seen"),
        )
        waits = (max(int(row["RowKey"].split(":")[1]), number(row, "first_seen") or 0) for row in islice(rows, 1000))
        return min(waits, default=None)

    def between(self, grant: str, oldest: int, newest: int) -> Mapping[str, Known]:
        """The messages of a mailbox dated from `oldest` to `newest`, by the hash of their ids."""
        rows = self._entries.query(
            "PartitionKey eq @grant and RowKey ge @first and RowKey lt @end",
            {"grant": grant, "first": f"d:{_filed(oldest)}", "end": f"d:{_filed(newest)};"},
            select=BY_DATE,
        )
        return {row["RowKey"].rpartition(":")[2]: _known(row) for row in rows}

    def entries(self, grant: str, oldest: int, newest: int) -> Iterator[Entry]:
        """All that is known of the messages dated from `oldest` to `newest`; one storage call for each thousand.

        Good for reading: a note is decided on what `get` returns.
        """
        rows = self._entries.query(
            "PartitionKey eq @grant and RowKey ge @first and RowKey lt @end",
            {"grant": grant, "first": f"d:{_filed(oldest)}", "end": f"d:{_filed(newest)};"},
        )
        return (_entry(row) for row in rows)

    def copy(self, grant: str, key: str) -> Entry | None:
        """What is known of the message with this hash, as `sightings` names it."""
        row = self._entries.get(grant, "m:" + key)
        return _entry(row) if row is not None else None

    def of_activity(self, grant: str, activityid: str) -> tuple[Entry, ...]:
        """A mailbox's messages with this activityid; reads its whole journal, so for a person's question only."""
        rows = self._entries.query(
            "PartitionKey eq @grant and RowKey ge 'm:' and RowKey lt 'm;' and activityid eq @id",
            {"grant": grant, "id": activityid},
        )
        return tuple(_entry(row) for row in rows)

    def of_reason(self, grant: str, reason: str) -> tuple[Entry, ...]:
        """A mailbox's messages with this reason; reads its whole journal, so for a person's question only."""
        rows = self._entries.query(
            "PartitionKey eq @grant and RowKey ge 'm:' and RowKey lt 'm;' and reason eq @reason",
            {"grant": grant, "reason": reason},
        )
        return tuple(_entry(row) for row in rows)

    def forget(self, grant: str, message: str) -> None:
        """Take a message out, as if it had never been seen: it may then be done again, final or not."""
        for _ in range(TRIES):
            known = self.get(grant, message)
            if known is None:
                return
            try:
                self._entries.change(_removals(known))
            except ConflictError:
                continue
            return
        raise _contended()


def _may_follow(before: Kind, after: Kind) -> bool:
    """What is final stays what it is, until it is gone from Dataverse."""
    return not before.is_final or after in {before, Kind.REMOVED, Kind.ERASED}


def hash_of(message: str) -> str:
    """The key of a message id: ids hold characters no key may, and differ by case alone."""
    return hashlib.sha256(message.encode("utf-8", "surrogatepass")).hexdigest()


def _filed(date: int) -> str:
    return f"{min(max(date, 0), LATEST_DATE):011d}"


def _changes(entry: Entry, previous: Entry | None) -> list[Change]:
    key = hash_of(entry.message)
    whole = {
        "PartitionKey": entry.grant,
        "RowKey": f"m:{key}",
        "message": entry.message,
        "kind": entry.kind.value,
        "noted": str(entry.noted),
        "until": str(entry.until) if entry.until is not None else "",
        "folders": as_words(entry.folders) if entry.folders is not None else "",
        "reason": entry.reason,
        "activityid": entry.activityid or "",
        "date": str(entry.date) if entry.date is not None else "",
        "policy": entry.policy,
        "source": entry.source,
        "notification": entry.notification or "",
        "first_seen": str(entry.first_seen),
        "attempt": str(entry.attempt),
        "detail": entry.detail,
        "notes": as_words(entry.notes[:MOST_NOTES]) if entry.notes else "",
    }
    changes: list[Change] = []
    if previous is None:
        changes.append(("create", whole))
    else:
        matched = {
            "mode": UpdateMode.REPLACE,
            "etag": previous.etag,
            "match_condition": MatchConditions.IfNotModified,
        }
        changes.append(("update", whole, matched))
    if entry.date is not None:
        changes.append(("upsert", {**whole, "RowKey": f"d:{_filed(entry.date)}:{key}"}, {"mode": UpdateMode.REPLACE}))
    if previous is not None and previous.date is not None and _filed(previous.date) != _filed(entry.date or 0):
        changes.append(("delete", {"PartitionKey": entry.grant, "RowKey": f"d:{_filed(previous.date)}:{key}"}))
    return changes


def _removals(entry: Entry) -> list[Change]:
    key = hash_of(entry.message)
    unchanged = {"etag": entry.etag, "match_condition": MatchConditions.IfNotModified}
    changes: list[Change] = [("delete", {"PartitionKey": entry.grant, "RowKey": f"m:{key}"}, unchanged)]
    if entry.date is not None:
        changes.append(("delete", {"PartitionKey": entry.grant, "RowKey": f"d:{_filed(entry.date)}:{key}"}))
    return changes


def _carried(entry: Entry, previous: Entry | None) -> Entry:
    """A new note of a message keeps what it doesn't know better than the one before.

    While the work goes on the date stays that of the `d:` row there is, so that the last note can move it.
    """
    if previous is None:
        return replace(entry, date=None) if entry.kind is Kind.WRITING else entry
    if entry.kind is Kind.WRITING:
        entry = replace(entry, date=previous.date)
    return replace(
        entry,
        first_seen=min(entry.first_seen, previous.first_seen),
        activityid=entry.activityid or previous.activityid,
        date=entry.date if entry.date is not None else previous.date,
        folders=entry.folders if entry.folders is not None else previous.folders,
        notification=entry.notification or previous.notification,
        policy=entry.policy or previous.policy,
    )


def _entry(row: Row) -> Entry:
    return Entry(
        grant=row["PartitionKey"],
        message=row["message"],
        kind=Kind(row["kind"]),
        noted=number(row, "noted") or 0,
        first_seen=number(row, "first_seen") or 0,
        reason=row["reason"],
        activityid=row["activityid"] or None,
        date=number(row, "date"),
        folders=words(row, "folders") if row["folders"] else None,
        policy=row["policy"],
        source=row["source"],
        notification=row["notification"] or None,
        until=number(row, "until"),
        attempt=number(row, "attempt") or 0,
        detail=row["detail"],
        notes=words(row, "notes"),
        etag=etag_of(row),
    )


def _known(row: Row) -> Known:
    return Known(
        kind=Kind(row["kind"]),
        noted=number(row, "noted") or 0,
        until=number(row, "until"),
        folders=words(row, "folders") if row["folders"] else None,
    )


def _contended() -> TransientError:
    return TransientError(
        "the journal's record of a message is being changed by others without end",
        reason="journal_contended",
    )
