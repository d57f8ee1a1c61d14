"""One record for every message ever seen: what became of it, and why.

Table `journal`, partition = grant. Row `m:<sha256 of the message id>` holds everything; once the message's date
is known, row `d:<unix seconds, 11 digits>:<same hash>` goes with it in one transaction and says the same, so that a
window of time is read with one range query.

Ids and outcomes only: no subject, address or body is ever kept here. What is final stays final: a late note of
a slower worker never replaces it.

A record that was shortened, or whose mail was erased, lies under a keyed hash in the place of the plain one and holds
no id: what became of the message, when, and by which rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from azure.core import MatchConditions
from azure.data.tables import UpdateMode

from mailsync.errors import TransientError
from mailsync.outcome import Kind
from mailsync.storage.account import StorageAccount
from mailsync.storage.envelope import is_backfills
from mailsync.storage.pseudonyms import Pseudonyms
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
from mailsync.storage.tombstones import Tombstones

LATEST_DATE = 99_999_999_999
"""The largest date eleven digits can hold; later ones, and those before 1970, are filed at the ends."""
WAITS_FOR_GRANT = "grant"
"""The reason of messages that wait for their mailbox's owner to sign in again, and are on no queue meanwhile."""
BY_DATE = ("RowKey", "kind", "noted", "until", "folders", "source", "message")
"""The columns a sweep reads of a window."""
MOST_NOTES = 40
SHORTENED_TOGETHER = LARGEST_TRANSACTION // 4
"""Records of one mailbox that one transaction shortens: each is two rows that go and two that come."""
KEPT_OPEN = frozenset((Kind.QUEUED, Kind.WRITING, Kind.DEFERRED, Kind.PUT_ASIDE))
"""What somebody still works on or waits for is never shortened."""
ERASED = "erased"
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
    pseudonym: str = ""
    """The keyed hash that a shortened record lies under; its message is then known only to whoever asked by it."""
    etag: str = ""

    @property
    def key(self) -> str:
        """The hash in the keys of its rows."""
        return self.pseudonym or hash_of(self.message)


@dataclass(frozen=True, slots=True)
class Known:
    """The little a sweep must know of a message it finds in a listing."""

    kind: Kind
    noted: int
    until: int | None
    folders: tuple[str, ...] | None
    source: str = ""
    is_shortened: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a message, when and why, for whoever counts."""

    kind: Kind
    reason: str
    noted: int


class Journal:
    """Reads and writes the record of every message."""

    def __init__(self, account: StorageAccount, tombstones: Tombstones | None = None) -> None:
        self._entries = Table(account, "journal")
        self._tombstones = tombstones

    def get(self, grant: str, message: str, *, date: int | None = None) -> Entry | None:
        """What is known of one message; one storage call, and one more where it may have been shortened.

        `date`, where it is known, says whether it may.
        """
        key = hash_of(message)
        row = self._entries.get(grant, "m:" + key)
        if row is None and self._tombstones is not None and self._tombstones.may_hold(grant, key, date):
            return self._shortened(grant, message)
        return _entry(row) if row is not None else None

    def recall(self, grant: str, message: str) -> Entry | None:
        """What is known of one message, shortened or not, whatever this process heard of that lately."""
        row = self._entries.get(grant, "m:" + hash_of(message))
        return _entry(row) if row is not None else self._shortened(grant, message)

    def _shortened(self, grant: str, message: str) -> Entry | None:
        pseudonyms = self._pseudonyms
        if pseudonyms is None:
            return None
        row = self._entries.get(grant, "m:" + pseudonyms.of_copy(grant, hash_of(message)))
        return replace(_entry(row), message=message) if row is not None else None

    @property
    def _pseudonyms(self) -> Pseudonyms | None:
        return self._tombstones.pseudonyms if self._tombstones is not None else None

    def keys_of(self, grant: str, message: str) -> tuple[str, ...]:
        """The hashes under which a message may be known."""
        key, pseudonyms = hash_of(message), self._pseudonyms
        return (key,) if pseudonyms is None else (key, pseudonyms.of_copy(grant, key))

    def of_listed(self, grant: str, dates: Mapping[str, int | None]) -> dict[str, Known]:
        """What is known of the messages that a listing shows, by their ids: one range query for all that have a date,
        and one look for each that has none."""
        there = [date for date in dates.values() if date is not None]
        filed = self.between(grant, min(there), max(there)) if there else {}
        known: dict[str, Known] = {}
        for message, date in dates.items():
            found = next((filed[key] for key in self.keys_of(grant, message) if key in filed), None)
            if date is None and (entry := self.get(grant, message)) is not None:
                found = Known(entry.kind, entry.noted, entry.until, entry.folders, entry.source, bool(entry.pseudonym))
            if found is not None:
                known[message] = found
        return known

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
                previous = self.recall(entry.grant, entry.message)
        raise _contended()

    def bury(self, erased: Entry, previous: Entry | None) -> Entry:
        """Note that a message was erased: what is left of it is its keyed hash, and when it was dated.

        `previous` as in `put`. Only where hashes can be made, for nobody knows of an erasure otherwise.
        """
        pseudonyms = self._pseudonyms
        if pseudonyms is None:
            raise AssertionError("no erasure without a key")
        pseudonym = pseudonyms.of_copy(erased.grant, hash_of(erased.message))
        return self.put(replace(_shortened(erased, pseudonym), kind=Kind.ERASED, reason=ERASED), previous)

    def shorten(self, entries: Iterable[Entry], pseudonyms: Pseudonyms) -> int:
        """Leave of these records what became of the messages and when; returns how many.

        One that somebody noted anew meanwhile is not due any more, and stays.
        """
        by_grant: dict[str, list[list[Change]]] = {}
        for entry in entries:
            short = _shortened(entry, pseudonyms.of_copy(entry.grant, entry.key))
            by_grant.setdefault(entry.grant, []).append(_changes(short, entry))
        done = 0
        for changes in by_grant.values():
            for start in range(0, len(changes), SHORTENED_TOGETHER):
                done += self._shorten(changes[start : start + SHORTENED_TOGETHER])
        return done

    def _shorten(self, some: list[list[Change]]) -> int:
        try:
            self._entries.change(change for changes in some for change in changes)
        except ConflictError:
            if len(some) == 1:
                return 0
            return sum(self._shorten([changes]) for changes in some)
        return len(some)

    def walk(self, after: tuple[str, str], most: int) -> tuple[list[Entry], tuple[str, str] | None]:
        """Some records of all mailboxes in the order of their keys, from right behind one; and where to go on."""
        rows = self._entries.walk(after, most, first="m:", end="m;")
        return [_entry(row) for row in rows], _place(rows, most)

    def _write(self, entry: Entry, previous: Entry | None) -> str:
        """Write the rows of a note; a note made while the work goes on is one row, for a transaction costs four times
        as much and a sweep that finds no `d:` row yet does no harm."""
        changes = _changes(entry, previous)
        if entry.kind is not Kind.WRITING or (previous is not None and previous.key != entry.key):
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
                    self.put(entry, self.recall(entry.grant, entry.message))

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

    def of_source(self, grant: str, oldest: int, newest: int, source: str) -> Iterator[Told]:
        """What became of the messages of this source dated from `oldest` to `newest`, one after the other."""
        rows = self._entries.query(
            "PartitionKey eq @grant and RowKey ge @first and RowKey lt @end and source eq @source",
            {"grant": grant, "first": f"d:{_filed(oldest)}", "end": f"d:{_filed(newest)};", "source": source},
            select=("kind", "reason", "noted"),
        )
        return (Told(Kind(row["kind"]), row["reason"], number(row, "noted") or 0) for row in rows)

    def of_mailbox(self, grant: str) -> Iterator[Entry]:
        """Every record of a mailbox; for what is rarely asked."""
        rows = self._entries.query("PartitionKey eq @grant and RowKey ge 'm:' and RowKey lt 'm;'", {"grant": grant})
        return map(_entry, rows)

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
        """Take a message out, as if it had never been seen: it may then be done again, final or not, unless it was
        erased."""
        for _ in range(TRIES):
            known = self.recall(grant, message)
            if known is None or known.kind is Kind.ERASED:
                return
            try:
                self._entries.change(_removals(known))
            except ConflictError:
                continue
            return
        raise _contended()


def _may_follow(before: Kind, after: Kind) -> bool:
    """What is final stays what it is, until it is gone from Dataverse; what was erased is nothing else ever again."""
    if before is Kind.ERASED:
        return after is before
    return not before.is_final or after in {before, Kind.REMOVED, Kind.ERASED}


def hash_of(message: str) -> str:
    """The key of a message id: ids hold characters no key may, and differ by case alone."""
    return hashlib.sha256(message.encode("utf-8", "surrogatepass")).hexdigest()


def _filed(date: int) -> str:
    return f"{min(max(date, 0), LATEST_DATE):011d}"


def _changes(entry: Entry, previous: Entry | None) -> list[Change]:
    whole = _whole(entry)
    changes: list[Change] = []
    if previous is None:
        changes.append(("create", whole))
    elif previous.key == entry.key:
        changes.append(("update", whole, {"mode": UpdateMode.REPLACE, **_unchanged(previous)}))
    else:
        # it moves under its keyed hash, where its like may lie already, or from there
        changes.append(("upsert", whole, {"mode": UpdateMode.REPLACE}) if entry.pseudonym else ("create", whole))
        changes.append(("delete", {"PartitionKey": entry.grant, "RowKey": f"m:{previous.key}"}, _unchanged(previous)))
    if entry.date is not None:
        changes.append(("upsert", {**whole, "RowKey": _dated(entry)}, {"mode": UpdateMode.REPLACE}))
    if previous is not None and previous.date is not None and (entry.date is None or _dated(previous) != _dated(entry)):
        changes.append(("delete", {"PartitionKey": entry.grant, "RowKey": _dated(previous)}))
    return changes


def _whole(entry: Entry) -> dict[str, str]:
    return {
        "PartitionKey": entry.grant,
        "RowKey": f"m:{entry.key}",
        "message": "" if entry.pseudonym else entry.message,
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


def _dated(entry: Entry) -> str:
    return f"d:{_filed(entry.date or 0)}:{entry.key}"


def _unchanged(entry: Entry) -> dict[str, object]:
    return {"etag": entry.etag, "match_condition": MatchConditions.IfNotModified}


def _shortened(entry: Entry, pseudonym: str) -> Entry:
    """What is left of a record: its outcome, rule and dates, and whether a backfill brought it."""
    return Entry(
        grant=entry.grant,
        message=entry.message,
        kind=entry.kind,
        noted=entry.noted,
        first_seen=entry.noted,
        reason=entry.reason,
        date=entry.date,
        policy=entry.policy,
        source=entry.source,
        pseudonym=pseudonym,
    )


def _removals(entry: Entry) -> list[Change]:
    changes: list[Change] = [("delete", {"PartitionKey": entry.grant, "RowKey": f"m:{entry.key}"}, _unchanged(entry))]
    if entry.date is not None:
        changes.append(("delete", {"PartitionKey": entry.grant, "RowKey": _dated(entry)}))
    return changes


def _carried(entry: Entry, previous: Entry | None) -> Entry:
    """A new note of a message keeps what it doesn't know better than the one before, and of whose backfill it is.

    While the work goes on the date stays that of the `d:` row there is, so that the last note can move it.
    """
    if previous is None:
        return replace(entry, date=None) if entry.kind is Kind.WRITING else entry
    if entry.kind is Kind.WRITING:
        entry = replace(entry, date=previous.date)
    if entry.pseudonym:
        return replace(entry, date=entry.date if entry.date is not None else previous.date)
    return replace(
        entry,
        first_seen=min(entry.first_seen, previous.first_seen),
        activityid=entry.activityid or previous.activityid,
        date=entry.date if entry.date is not None else previous.date,
        folders=entry.folders if entry.folders is not None else previous.folders,
        notification=entry.notification or previous.notification,
        policy=entry.policy or previous.policy,
        source=previous.source if previous.kind in KEPT_OPEN and is_backfills(previous.source) else entry.source,
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
        pseudonym="" if row["message"] else row["RowKey"].rpartition(":")[2],
        etag=etag_of(row),
    )


def _known(row: Row) -> Known:
    return Known(
        kind=Kind(row["kind"]),
        noted=number(row, "noted") or 0,
        until=number(row, "until"),
        folders=words(row, "folders") if row["folders"] else None,
        source=row["source"],
        is_shortened=not row["message"],
    )


def _place(rows: Sequence[Row], most: int) -> tuple[str, str] | None:
    """Behind which row a walk goes on; None at the end."""
    return (rows[-1]["PartitionKey"], rows[-1]["RowKey"]) if len(rows) == most else None


def _contended() -> TransientError:
    return TransientError(
        "the journal's record of a message is being changed by others without end",
        reason="journal_contended",
    )
