"""The table `aside`: items that can't be done as they are, kept with everything needed to try them again."""

from __future__ import annotations

import hashlib

from mailsync.errors import MailSyncError
from mailsync.storage.account import StorageAccount
from mailsync.storage.envelope import Item, MessageItem, encode
from mailsync.storage.tables import Row, Table

LONGEST_TEXT = 30_000
"""UTF-16 units kept of a text that is not an envelope of ours; a table's text holds 32,768."""
UNREADABLE = "unreadable"


class Aside:
    """Writes what was put aside; partition = grant, so that a mailbox's own list is one query."""

    def __init__(self, account: StorageAccount) -> None:
        self._rows = Table(account, "aside")

    def put(self, item: Item, error: MailSyncError, *, now: int) -> None:
        """Keep an item that failed for good, with the reason and the vendor's evidence."""
        about = item.message if isinstance(item, MessageItem) else item.grant
        self._write({"PartitionKey": item.grant, "RowKey": _key(item, about), "envelope": encode(item)}, error, now)

    def put_unreadable(self, text: str, error: MailSyncError, *, now: int) -> None:
        """Keep a queue's text that is no item of this version."""
        kept = text[: LONGEST_TEXT // 2]
        self._write({"PartitionKey": UNREADABLE, "RowKey": f"text:{_digest(text)}", "envelope": kept}, error, now)

    def _write(self, row: dict[str, str], error: MailSyncError, now: int) -> None:
        evidence = error.evidence
        self._rows.put(
            {
                **row,
                "state": "waiting",
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
        return tuple(self._rows.query("state eq @state", {"state": "waiting"}))


def _key(item: Item, about: str) -> str:
    return f"{type(item).__name__.removesuffix('Item').lower()}:{_digest(about)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
