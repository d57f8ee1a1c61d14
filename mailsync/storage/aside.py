"""The table `aside`: items that can't be done as they are, kept with everything needed to try them again.

Partition = grant. A row waits until somebody replays its item; if that fails too, it waits anew. One that was replayed
stays, unless old records are shortened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

from azure.core import MatchConditions

from mailsync.errors import MailSyncError
from mailsync.storage.account import StorageAccount
from mailsync.storage.envelope import DeletedItem, Item, MessageItem, SweepItem, encode
from mailsync.storage.tables import ConflictError, Row, Table, etag_of, number

LONGEST_TEXT = 30_000
"""UTF-16 units kept of a text that is not an envelope of ours; a table's text holds 32,768."""
UNREADABLE = "unreadable"
WAITING, REPLAYED = "waiting", "replayed"
SHORT_KEY = 12
"""Characters of a key that people are shown; any beginning of it that is long enough will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One item that was put aside. Moments are unix seconds."""

    grant: str
    row: str
    envelope: str
    reason: str
    advice: str
    vendor: str
    status: str
    code: str
    request: str
    noted: int
    replayed: int | None
    etag: str

    @property
    def kind(self) -> str:
        """What was put aside: message, deleted, sweep, grant or text."""
        return self.row.partition(":")[0]

    @property
    def digest(self) -> str:
        """The hash of what it is about; of a message's item that of the message's id."""
        return self.row.partition(":")[2]

    @property
    def key(self) -> str:
        """What to call it in a command."""
        return self.row.partition(":")[2][:SHORT_KEY]

    def is_called(self, key: str) -> bool:
        """Whether somebody means this one: by its message's or mailbox's id, or by the beginning of its key.

        Two items of one message have one key; `deleted:` or the like before it says which.
        """
        digest = self.row.partition(":")[2]
        kind, _, begin = key.lower().rpartition(":")
        return digest == _digest(key) or (kind in {"", self.kind} and len(begin) >= 4 and digest.startswith(begin))


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits for a person, as far as it was looked at."""

    number: int
    is_more: bool
    oldest: int | None
    by_grant: Mapping[str, tuple[int, int | None]]
    """How many of each mailbox, and since when."""
    newest: tuple[Kept, ...]


class Aside:
    """Writes what was put aside; partition = grant, so that a mailbox's own list is one query."""

    def __init__(self, account: StorageAccount, *, prompt: bool = False) -> None:
        self._rows = Table(account, "aside", prompt=prompt)

    def put(self, item: Item, error: MailSyncError, *, now: int) -> None:
        """Keep an item that failed for good, with the reason and the vendor's evidence."""
        self._write({"PartitionKey": item.grant, "RowKey": _key(item), "envelope": encode(item)}, error, now)

    def put_unreadable(self, text: str, error: MailSyncError, *, now: int) -> None:
        """Keep a queue's text that is no item of this version."""
        kept = text[: LONGEST_TEXT // 2]
        self._write({"PartitionKey": UNREADABLE, "RowKey": f"text:{_digest(text)}", "envelope": kept}, error, now)

    def _write(self, row: dict[str, str], error: MailSyncError, now: int) -> None:
        evidence = error.evidence
        self._rows.put(
            {
                **row,
                "state": WAITING,
                "reason": error.reason,
                "advice": str(error),
                "vendor": evidence.vendor,
                "status": "" if evidence.status is None else str(evidence.status),
                "code": evidence.code,
                "request": evidence.request_id,
                "noted": str(now),
            }
        )

    def waiting(self) -> tuple[Row, ...]:
        """Everything that was put aside and waits for a person."""
        return tuple(self._rows.query("state eq @state", {"state": WAITING}))

    def waiting_newest(self, *, most: int) -> Waiting:
        """What waits for a person, newest first; no more than `most` rows are read, so that it takes no long time."""
        rows = list(islice(self._rows.query("state eq @state", {"state": WAITING}), most + 1))
        kept = sorted(map(_kept, rows[:most]), key=lambda one: (-one.noted, one.row))
        by_grant: dict[str, tuple[int, int | None]] = {}
        for one in kept:  # the last of a mailbox that is met is its oldest
            by_grant[one.grant] = (by_grant.get(one.grant, (0, None))[0] + 1, one.noted)
        return Waiting(
            number=len(kept),
            is_more=len(rows) > most,
            oldest=kept[-1].noted if kept else None,
            by_grant=by_grant,
            newest=tuple(kept),
        )

    def get(self, grant: str, row: str) -> Kept | None:
        """One item by its whole key, waiting or replayed."""
        found = self._rows.get(grant, row)
        return _kept(found) if found is not None else None

    def kept(self, *, grant: str | None = None, reason: str | None = None) -> tuple[Kept, ...]:
        """What was put aside, waiting or replayed, oldest first."""
        asked = {"PartitionKey": grant, "reason": reason}
        given = {name: value for name, value in asked.items() if value is not None}
        text = " and ".join(f"{name} eq @{name}" for name in given) or "PartitionKey ge ''"
        return tuple(sorted(map(_kept, self._rows.query(text, given)), key=lambda kept: (kept.noted, kept.row)))

    def of_message(self, grant: str, message: str) -> Kept | None:
        """What was put aside of one message."""
        row = self._rows.get(grant, f"message:{_digest(message)}")
        return _kept(row) if row is not None else None

    def erase(self, is_meant: Callable[[Kept], bool]) -> int:
        """Take away what is meant, replayed or not; returns how many. Reads the whole table."""
        meant = [kept for kept in self.kept() if is_meant(kept)]
        for kept in meant:
            self._rows.delete(kept.grant, kept.row)
        return len(meant)

    def walk(self, after: tuple[str, str], most: int) -> tuple[list[Kept], tuple[str, str] | None]:
        """Some rows in the order of their keys, from right behind one; and where to go on."""
        rows = [_kept(row) for row in self._rows.walk(after, most)]
        return rows, (rows[-1].grant, rows[-1].row) if len(rows) == most else None

    def forget(self, kept: Kept) -> bool:
        """Take away a row; False when it has changed since it was read, as where its item was put aside again."""
        unchanged = {"etag": kept.etag, "match_condition": MatchConditions.IfNotModified}
        try:
            self._rows.change([("delete", {"PartitionKey": kept.grant, "RowKey": kept.row}, unchanged)])
        except ConflictError:
            return False
        return True

    def note_replayed(self, kept: Kept, *, now: int) -> bool:
        """Note that an item is back on its queue; False when it was put aside again meanwhile, and waits anew."""
        try:
            self._rows.replace(
                {"PartitionKey": kept.grant, "RowKey": kept.row, "state": REPLAYED, "replayed": str(now)}, kept.etag
            )
        except ConflictError:
            return False
        return True


def _kept(row: Row) -> Kept:
    return Kept(
        grant=row["PartitionKey"],
        row=row["RowKey"],
        envelope=row["envelope"],
        reason=row["reason"],
        advice=row["advice"],
        vendor=row["vendor"],
        status=row["status"],
        code=row["code"],
        request=row["request"],
        noted=number(row, "noted") or 0,
        replayed=number(row, "replayed") if row["state"] == REPLAYED else None,
        etag=etag_of(row),
    )


def _key(item: Item) -> str:
    return f"{type(item).__name__.removesuffix('Item').lower()}:{_digest(_about(item))}"


def _about(item: Item) -> str:
    """What makes two items one: the message, or the mailbox with the window or event."""
    match item:
        case MessageItem() | DeletedItem():
            return item.message
        case SweepItem(backfill=str()):
            return f"{item.grant} {item.backfill}"
        case SweepItem(after=None):
            return item.grant
        case SweepItem():
            return f"{item.grant} {item.after} {item.before}"
    return f"{item.grant} {item.event}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
