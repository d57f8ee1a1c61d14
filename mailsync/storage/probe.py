"""Looks at a storage account as the app uses it: which queues and tables are there, and whether they take something.

What is tried is taken away again: a queue of its own, and a row of a partition that nothing reads.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from mailsync.storage.account import StorageAccount, storage_failures
from mailsync.storage.envelope import MESSAGES, SWEEPS

QUEUES = (MESSAGES, SWEEPS, f"{MESSAGES}-poison", f"{SWEEPS}-poison")
TABLES = (
    "journal",
    "sightings",
    "mailboxes",
    "aside",
    "awaited",
    "backfills",
    "tombstones",
    "counts",
    "proofs",
    "instances",
)
TRIED = "mailboxes"
PARTITION = "doctor"


@dataclass(slots=True)
class Dates:
    """The Date header of the last answer, by the storage account's clock."""

    told: str = ""

    def hear(self, response: Any) -> None:
        """Take an answer's Date."""
        self.told = response.http_response.headers.get("Date", "") or self.told


@dataclass(frozen=True, slots=True)
class Probe:
    """One account."""

    account: StorageAccount
    dates: Dates = field(default_factory=Dates)

    def depth(self, queue: str) -> int | None:
        """How many messages lie in a queue, about; None where there is no such queue."""
        with self.account.queue(queue, prompt=True) as client, storage_failures():
            try:
                told = client.get_queue_properties(raw_response_hook=self.dates.hear)
            except ResourceNotFoundError:
                return None
            return told.approximate_message_count or 0

    def has_table(self, table: str) -> bool:
        """Whether a table is there; reads one row at most."""
        with self.account.table(table) as client, storage_failures():
            try:
                next(iter(client.query_entities("PartitionKey eq 'doctor'", results_per_page=1)), None)
            except ResourceNotFoundError:
                return False
            return True

    def try_queue(self) -> None:
        """Make a queue, put a message on it, take it off, and take the queue away; raises where that is not allowed."""
        name = f"mailsync-doctor-{uuid.uuid4().hex[:12]}"
        with self.account.queue(name, prompt=True) as client, storage_failures():
            client.create_queue()
            try:
                client.send_message("tried", time_to_live=60)
                for message in client.receive_messages(max_messages=1):
                    client.delete_message(message)
            finally:
                client.delete_queue()

    def try_table(self) -> None:
        """Write a row and take it away; raises where that is not allowed."""
        row = {"PartitionKey": PARTITION, "RowKey": uuid.uuid4().hex}
        with self.account.table(TRIED) as client, storage_failures():
            _making(client.create_table, lambda: client.upsert_entity(row))
            client.delete_entity(row["PartitionKey"], row["RowKey"])


def _making(make: Callable[[], object], call: Callable[[], object]) -> None:
    try:
        call()
    except ResourceNotFoundError:
        with suppress(ResourceExistsError):
            make()
        call()
