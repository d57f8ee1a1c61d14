"""Looks into the app's storage from outside: its queues, its journal, and what it put aside."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueServiceClient

QUEUES = ("nylas-messages", "mailbox-sweeps")
POISON = tuple(f"{name}-poison" for name in QUEUES)
PENDING = frozenset({"queued", "writing", "deferred"})
"""What the journal says of messages somebody has yet to deal with."""

Row = dict[str, Any]


class Books:
    """One storage account."""

    def __init__(self, connection: str) -> None:
        self._queues = QueueServiceClient.from_connection_string(connection)
        self._tables = TableServiceClient.from_connection_string(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._queues.close()
        self._tables.close()

    def depth(self, *names: str) -> int:
        """How many messages lie in these queues, hidden ones too."""
        total = 0
        for name in names:
            with self._queues.get_queue_client(name) as queue, suppress(ResourceNotFoundError):
                total += queue.get_queue_properties().approximate_message_count or 0
        return total

    def rows(self, table: str, text: str = "", select: list[str] | None = None) -> list[Row]:
        """The rows of a table; none when it isn't there yet."""
        with self._tables.get_table_client(table) as client, suppress(ResourceNotFoundError):
            return [dict(row) for row in client.query_entities(text, select=select)]
        return []

    def journal(self) -> dict[tuple[str, str], Row]:
        """What the journal says of each message, by grant and message id."""
        rows = self.rows("journal", "RowKey ge 'm:' and RowKey lt 'm;'")
        return {(row["PartitionKey"], row["message"]): row for row in rows}

    def outcomes(self) -> Counter[str]:
        """How many messages the journal says what of."""
        rows = self.rows("journal", "RowKey ge 'm:' and RowKey lt 'm;'", ["kind"])
        return Counter(row["kind"] for row in rows)

    def aside(self) -> list[Row]:
        """What was put aside and waits for somebody."""
        return self.rows("aside", "state eq 'waiting'")

    def swept(self) -> dict[str, int]:
        """When each mailbox was last swept to the end, in the app's time."""
        rows = self.rows("mailboxes", "PartitionKey eq 'mailbox'")
        return {row["RowKey"]: int(row.get("swept") or 0) for row in rows}
