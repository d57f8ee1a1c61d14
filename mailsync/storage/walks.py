"""How far a long walk through a table is, so that one run goes on where the one before it stopped.

Table `tombstones`, partition `walk`, a row for each walk.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailsync.storage.account import StorageAccount
from mailsync.storage.tables import Table, number

PARTITION = "walk"
START = ("", "")


@dataclass(frozen=True, slots=True)
class Walk:
    """Behind which row a walk goes on, and when the one before it came to its end."""

    at: tuple[str, str]
    ended: int | None


class Walks:
    """Remembers walks by their names."""

    def __init__(self, account: StorageAccount) -> None:
        self._rows = Table(account, "tombstones")

    def get(self, name: str) -> Walk:
        """Where a walk is; at the start where it never began."""
        row = self._rows.get(PARTITION, name)
        return Walk((row["partition"], row["row"]), number(row, "ended")) if row is not None else Walk(START, None)

    def note(self, name: str, walk: Walk) -> None:
        """Note where a walk is."""
        self._rows.put(
            {
                "PartitionKey": PARTITION,
                "RowKey": name,
                "partition": walk.at[0],
                "row": walk.at[1],
                "ended": "" if walk.ended is None else str(walk.ended),
            }
        )
