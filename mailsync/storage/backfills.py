"""The backfills that somebody asked for: what of its span each has still to list, and whose turn it is.

Table `backfills`, one partition, row = id. A change is made on what the row holds or not at all, so that of two items
of one turn only one moves it on, whoever pauses or cancels it meanwhile.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from mailsync.errors import TransientError
from mailsync.storage.account import StorageAccount
from mailsync.storage.envelope import BACKFILL, BYPASS
from mailsync.storage.tables import ConflictError, Row, Table, etag_of, number
from mailsync.windows import Window

PARTITION = "backfill"
TRIES = 8


class State(StrEnum):
    """How a backfill stands."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """One span of one mailbox to bring. Moments are unix seconds."""

    id: str
    grant: str
    since: int
    until: int
    folder: str = ""
    """The id of the one folder that is meant; empty for all."""
    state: State = State.RUNNING
    reason: str = ""
    """Why it is paused or has failed."""
    left: Window
    """What is to be listed yet, newest first."""
    listing: Window
    """The span of the listing that goes on, which a cursor is good for alone."""
    cursor: str = ""
    """Where Nylas goes on with that; empty where a listing begins."""
    turn: int = 1
    is_begun: bool = False
    """Somebody began to enqueue the next page, and nobody has heard of its end."""
    found: int = 0
    known: int = 0
    """Of those found, what the journal knew already and was left alone."""
    made: int
    moved: int
    """When it last went on, began, or was seen to wait."""
    ended: int | None = None
    etag: str = ""

    @property
    def source(self) -> str:
        """The source of every message that it brings."""
        return f"{BACKFILL}{self.id}"

    @property
    def bypass(self) -> bool:
        """Whether nothing that the organisation automated answers its mail."""
        return self.id.endswith(BYPASS)

    @property
    def enqueued(self) -> int:
        """How many messages it put on the queue."""
        return self.found - self.known

    @property
    def is_over(self) -> bool:
        """Whether it will list nothing more."""
        return self.state in {State.DONE, State.CANCELLED, State.FAILED}

    def is_at(self, turn: int) -> bool:
        """Whether it is running, and this is its turn."""
        return self.state is State.RUNNING and self.turn == turn


def new_id(*, bypass: bool) -> str:
    """An id that says whether the organisation's automation answers."""
    return uuid.uuid4().hex[:8] + (BYPASS if bypass else "-run")


class Backfills:
    """Reads and writes the table."""

    def __init__(self, account: StorageAccount) -> None:
        self._rows = Table(account, "backfills")

    def make(self, backfill: Backfill) -> None:
        """Note a new one."""
        self._rows.create({"PartitionKey": PARTITION, "RowKey": backfill.id, **_values(backfill)})

    def all(self) -> tuple[Backfill, ...]:
        """Every backfill there was, the newest first."""
        rows = self._rows.query("PartitionKey eq @p", {"p": PARTITION})
        return tuple(sorted(map(_backfill, rows), key=lambda one: (-one.made, one.id)))

    def get(self, backfill_id: str) -> Backfill | None:
        """One backfill."""
        row = self._rows.get(PARTITION, backfill_id)
        return _backfill(row) if row is not None else None

    def was_cancelled(self, source: str) -> bool:
        """Whether somebody cancelled the backfill whose mail is of this source."""
        found = self.get(source.removeprefix(BACKFILL))
        return found is not None and found.state is State.CANCELLED

    def change(self, backfill_id: str, change: Callable[[Backfill], Backfill | None]) -> Backfill | None:
        """Change one by what its row holds; None where there is nothing to change."""
        for _ in range(TRIES):
            before = self.get(backfill_id)
            after = change(before) if before is not None else None
            if before is None or after is None:
                return None
            row = {"PartitionKey": PARTITION, "RowKey": backfill_id, **_values(after)}
            try:
                return replace(after, etag=self._rows.replace(row, before.etag))
            except ConflictError:
                continue
        raise TransientError("the backfill's row is being changed by others without end", reason="backfill_contended")


def _values(backfill: Backfill) -> Mapping[str, str]:
    return {
        "grant": backfill.grant,
        "since": str(backfill.since),
        "until": str(backfill.until),
        "folder": backfill.folder,
        "state": backfill.state.value,
        "reason": backfill.reason,
        "left": _as_text(backfill.left),
        "listing": _as_text(backfill.listing),
        "cursor": backfill.cursor,
        "turn": str(backfill.turn),
        "begun": "yes" if backfill.is_begun else "",
        "found": str(backfill.found),
        "known": str(backfill.known),
        "made": str(backfill.made),
        "moved": str(backfill.moved),
        "ended": "" if backfill.ended is None else str(backfill.ended),
    }


def _backfill(row: Row) -> Backfill:
    return Backfill(
        id=row["RowKey"],
        grant=row["grant"],
        since=number(row, "since") or 0,
        until=number(row, "until") or 0,
        folder=row["folder"],
        state=State(row["state"]),
        reason=row["reason"],
        left=_as_window(row["left"]),
        listing=_as_window(row["listing"]),
        cursor=row["cursor"],
        turn=number(row, "turn") or 0,
        is_begun=row["begun"] == "yes",
        found=number(row, "found") or 0,
        known=number(row, "known") or 0,
        made=number(row, "made") or 0,
        moved=number(row, "moved") or 0,
        ended=number(row, "ended"),
        etag=etag_of(row),
    )


def _as_text(window: Window) -> str:
    return f"{window.after} {window.before}"


def _as_window(text: str) -> Window:
    after, before = map(int, text.split())
    return Window(after=after, before=before, proves=0)
