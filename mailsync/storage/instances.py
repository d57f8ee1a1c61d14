"""How each running instance of the app fares: what stands in its way, and what Dataverse last said of our budget.

Table `instances`, partition `instance`, one row for each process. A gate and a budget are known to the process that has
them alone, and on Flex Consumption the status page is answered by another one; so each leaves a note, seldom, and of
ids and words alone. A row says how things stood when it was written, and how old that is.
"""

from __future__ import annotations

import msgspec

from mailsync.storage.account import StorageAccount
from mailsync.storage.tables import Table, number

PARTITION = "instance"
KEPT = 24 * 3600
"""Seconds after which the row of an instance that says no more is taken away."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer of Dataverse's said of its limits; for one of its web servers, in a window of five minutes."""

    at: int
    requests_left: int | None = None
    seconds_left: float | None = None
    """Execution time, of 1,200 seconds."""
    hint: int | None = None
    """How many requests at once it recommends."""
    at_once: int = 0
    """How many the process allows itself by that."""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps an instance from its work, whichever message or mailbox it is at. Moments are unix seconds."""

    reason: str
    work: str
    """At what: message, sweep, timer or webhook; the same work done is the sign that it is over."""
    advice: str
    evidence: str
    since: int
    at: int


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One process, as it last told of itself. Moments are unix seconds."""

    process: str
    started: int
    noted: int
    done: dict[str, int] = {}
    """When each kind of work last went well."""
    troubles: tuple[Trouble, ...] = ()
    closed: dict[str, int] = {}
    """The gates that are closed, and until when."""
    stopped_until: int | None = None
    """Until when nothing is written, since too many messages were put aside."""
    budget: Budget | None = None


_decoder = msgspec.json.Decoder(Instance)


class Instances:
    """Reads and writes the table of instances."""

    def __init__(self, account: StorageAccount, *, table: str = "instances") -> None:
        self._rows = Table(account, table, prompt=True)

    def put(self, instance: Instance) -> None:
        """Note how a process fares; one storage call."""
        self._rows.put(
            {
                "PartitionKey": PARTITION,
                "RowKey": instance.process,
                "noted": str(instance.noted),
                "told": msgspec.json.encode(instance).decode(),
            }
        )

    def all(self, *, since: int) -> tuple[Instance, ...]:
        """Every process that told of itself since then; a row that this version can't read is left out."""
        found = []
        for row in self._rows.query("PartitionKey eq @p", {"p": PARTITION}):
            if (number(row, "noted") or 0) >= since:
                try:
                    found.append(_decoder.decode(row["told"]))
                except msgspec.MsgspecError:
                    continue
        return tuple(sorted(found, key=lambda one: one.process))

    def forget(self, *, now: int) -> None:
        """Take away the rows of those that have not told of themselves for long."""
        for row in self._rows.query("PartitionKey eq @p", {"p": PARTITION}, select=("RowKey", "noted")):
            if (number(row, "noted") or 0) < now - KEPT:
                self._rows.delete(PARTITION, row["RowKey"])
