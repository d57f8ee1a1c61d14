"""One Azure table that is made when it is first missed, and rows whose values are all text or JSON.

Numbers are written as text: a table's Int32 ends in 2038 and mail is dated as it likes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.data.tables import TableClient, TableTransactionError, UpdateMode

from mailsync.storage.account import StorageAccount, error_code, storage_failures

T = TypeVar("T")
Row = Mapping[str, Any]
Change = tuple[Any, ...]

LARGEST_TRANSACTION = 100
"""Rows that one transaction may touch, all of one partition (Azure Tables)."""


class ConflictError(Exception):
    """Somebody else changed or made a row first; nothing of ours was done."""


class Table:
    """A table, with conflicts told apart from failures."""

    def __init__(self, account: StorageAccount, name: str, *, prompt: bool = False) -> None:
        self._client: TableClient = account.table(name, prompt=prompt)

    def get(self, partition: str, row: str) -> Row | None:
        """One row, or None."""
        with storage_failures():
            try:
                return self._client.get_entity(partition, row)
            except ResourceNotFoundError:
                return None

    def query(self, text: str, parameters: Row, select: Sequence[str] | None = None) -> Iterator[Row]:
        """The rows that a filter names, read page by page; none when the table isn't there yet."""
        with storage_failures():
            try:
                yield from self._client.query_entities(
                    text, parameters=dict(parameters), select=list(select) if select else None
                )
            except ResourceNotFoundError:
                return

    def walk(self, after: tuple[str, str], most: int, *, first: str = "", end: str = "~") -> list[Row]:
        """Up to so many rows with keys from `first` to before `end`, in the order of partitions and keys, from right
        behind one; one storage call for each thousand, and one for each end of a partition."""
        partition, key = after
        found: list[Row] = []
        within = "RowKey gt @key and RowKey ge @first and RowKey lt @end"
        for text in (
            f"PartitionKey eq @partition and {within}",
            "PartitionKey gt @partition and RowKey ge @first and RowKey lt @end",
        ):
            asked = {"partition": partition, "first": first, "end": end, **({"key": key} if "@key" in text else {})}
            found += islice(self.query(text, asked), most - len(found))
            if len(found) == most:
                break
        return found

    def put(self, row: Row, *, merge: bool = False) -> None:
        """Write a row whatever stands there."""
        mode = UpdateMode.MERGE if merge else UpdateMode.REPLACE
        self._making(lambda: self._client.upsert_entity(dict(row), mode=mode))

    def put_all(self, rows: Sequence[Row], *, merge: bool = False) -> None:
        """Write rows of one partition whatever stands there, a hundred to a storage call."""
        mode = UpdateMode.MERGE if merge else UpdateMode.REPLACE
        for start in range(0, len(rows), LARGEST_TRANSACTION):
            some = rows[start : start + LARGEST_TRANSACTION]
            try:
                self.change(("upsert", dict(row), {"mode": mode}) for row in some)
            except RuntimeError:
                # a process that ends starts no thread any more, and the SDK wants one for a transaction
                for row in some:
                    self.put(row, merge=merge)

    def change(self, changes: Iterable[Change]) -> list[str]:
        """Do all these changes or none, in one transaction; returns their new etags, raises ConflictError."""
        batch = list(changes)

        def submit() -> list[str]:
            try:
                return [str(made.get("etag", "")) for made in self._client.submit_transaction(batch)]
            except TableTransactionError as error:
                if error.status_code in {404, 409, 412} and error_code(error) != "TableNotFound":
                    raise ConflictError from error
                raise

        return self._making(submit)

    def create(self, row: Row) -> str:
        """Make a row that must not be there; returns its etag, raises ConflictError."""

        def make() -> str:
            try:
                return str(self._client.create_entity(dict(row))["etag"])
            except ResourceExistsError as error:
                raise ConflictError from error

        return self._making(make)

    def replace(self, row: Row, etag: str, *, whole: bool = False) -> str:
        """Change values, or all, of a row that must not have changed since it was read; raises ConflictError."""
        mode = UpdateMode.REPLACE if whole else UpdateMode.MERGE
        with storage_failures():
            try:
                made = self._client.update_entity(
                    dict(row), mode=mode, etag=etag, match_condition=MatchConditions.IfNotModified
                )
                return str(made["etag"])
            except HttpResponseError as error:
                if error.status_code in {404, 412}:
                    raise ConflictError from error
                raise

    def delete(self, partition: str, row: str) -> None:
        """Take a row away if it is there."""
        with storage_failures():
            self._client.delete_entity(partition, row)

    def _making(self, call: Callable[[], T]) -> T:
        with storage_failures():
            try:
                return call()
            except HttpResponseError as error:
                if error_code(error) != "TableNotFound":
                    raise
                with suppress(ResourceExistsError):
                    self._client.create_table()
                return call()


def etag_of(row: Row) -> str:
    """The version of a row as it was read."""
    return str(row.metadata["etag"])  # type: ignore[attr-defined]  # rows read are the SDK's TableEntity


def number(row: Row, column: str) -> int | None:
    """A column's whole number, or None."""
    text = row.get(column)
    return int(text) if text not in (None, "") else None


def words(row: Row, column: str) -> tuple[str, ...]:
    """A column's list of texts."""
    text = row.get(column)
    return tuple(json.loads(text)) if text else ()


def as_words(values: Iterable[str]) -> str:
    """A list of texts as one column's value."""
    return json.dumps(list(values), separators=(",", ":"))
