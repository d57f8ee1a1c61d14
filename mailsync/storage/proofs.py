"""What the last nightly proof of each mailbox came to, one row each, so that nobody need count anew.

Table `proofs`, partition `mailbox`, row = grant. Counts and moments only, in unix seconds; the messages themselves are
named by `verify`.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailsync.storage.account import StorageAccount
from mailsync.storage.tables import Row, Table, number

PARTITION = "mailbox"
DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What was proved of a mailbox's messages received between two moments.

    `tried` is when it was last begun, and `made` when it was last ended: None where it never was.
    """

    grant: str
    tried: int
    made: int | None = None
    since: int = 0
    until: int = 0
    seen: int = 0
    unexplained: int = 0
    doubled: int = 0
    left_open: int = 0
    listing: str = ""
    """Whether Nylas could be asked: `listed`, or why the journal alone was counted."""
    span: int | None = None
    """Seconds to look back the next time, where all that was asked for took too long."""

    @property
    def holds(self) -> bool:
        """Whether all messages were accounted for, each once."""
        return self.made is not None and not (self.unexplained or self.doubled or self.left_open)

    @property
    def is_closed(self) -> bool:
        """Whether the mailbox was found disconnected and all that is left of it accounted for: nothing will change."""
        return self.listing == DISCONNECTED and self.holds


class Proofs:
    """Reads and writes the table of proofs."""

    def __init__(self, account: StorageAccount) -> None:
        self._rows = Table(account, "proofs")

    def all(self) -> tuple[Proven, ...]:
        """The last proof of each mailbox that was ever looked through."""
        return tuple(_proven(row) for row in self._rows.query("PartitionKey eq @p", {"p": PARTITION}))

    def get(self, grant: str) -> Proven | None:
        """The last proof of one mailbox."""
        row = self._rows.get(PARTITION, grant)
        return _proven(row) if row is not None else None

    def put(self, proven: Proven) -> None:
        """Keep a proof instead of the one before."""
        numbers = {name: str(getattr(proven, name)) for name in _COUNTED}
        self._rows.put(
            {
                "PartitionKey": PARTITION,
                "RowKey": proven.grant,
                **numbers,
                "made": _text(proven.made),
                "span": _text(proven.span),
                "listing": proven.listing,
            }
        )


_COUNTED = ("tried", "since", "until", "seen", "unexplained", "doubled", "left_open")


def _proven(row: Row) -> Proven:
    return Proven(
        grant=row["RowKey"],
        made=number(row, "made"),
        listing=row["listing"],
        span=number(row, "span"),
        **{name: number(row, name) or 0 for name in _COUNTED},
    )


def _text(moment: int | None) -> str:
    return "" if moment is None else str(moment)
