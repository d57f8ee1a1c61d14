"""What was erased and must not come back, and up to when records were shortened, as every process knows it.

Table `tombstones`, one partition. Row `<unix seconds, 11 digits>:<keyed hash>` for each thing that was erased: a mail,
and each mailbox's copy of it. Row `<seconds>:<keyed hash>:<look>` for a mail of which only this look was erased: others
may come under its Message-ID. Row `bound`: every shortened record is of a message dated before it. Row `key`: which
key made the hashes. No row says what or whose it was.

A process reads it once, and then once a minute what is new, so that no message costs a storage call for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

from mailsync.errors import ConfigurationError, Scope
from mailsync.storage.account import StorageAccount
from mailsync.storage.pseudonyms import Pseudonyms
from mailsync.storage.tables import LARGEST_TRANSACTION, ConflictError, Row, Table, number

PARTITION = "tombstone"
BOUND, KEY = "bound", "key"
LIFE = 60.0
"""Seconds that a process goes by what it read."""
OVERLAP = 3600
"""Seconds before the last reading that are read again: the clocks of those who write differ."""


class Tombstones:
    """The tombstones of one installation, as one process knows them; without a key there are none."""

    def __init__(self, account: StorageAccount, pseudonyms: Pseudonyms | None, *, clock: Callable[[], float]) -> None:
        self._rows = Table(account, "tombstones")
        self._own = pseudonyms
        self._clock = clock
        self._lock = threading.Lock()
        self._erased: set[str] = set()
        self._newest = 0
        self._bound: int | None = None
        self._published: int | None = None
        self._hashed_by: str | None = None
        self._read_at: float | None = None

    @property
    def pseudonyms(self) -> Pseudonyms | None:
        """What hashes are made with; None where there is no key, or another one made those that are there."""
        return self._own if self._own is not None and self.is_ours is not False else None

    @property
    def is_ours(self) -> bool | None:
        """Whether our key made the hashes that are there; None where there are none yet."""
        self._refresh()
        return self._is_ours()

    def has_erased_copy(self, grant: str, key: str) -> bool:
        """Whether a mailbox's message was erased; `key` is the hash of its id."""
        pseudonyms = self.pseudonyms
        return pseudonyms is not None and bool(self._erased) and pseudonyms.of_copy(grant, key) in self._erased

    def has_erased(self, activityid: str, guard: Callable[[], str] | None = None) -> bool:
        """Whether the mail of this identity was erased: the one with this guard, or any where none is given.

        A guard is asked for only where the tombstone is of one look alone.
        """
        pseudonyms = self.pseudonyms
        if pseudonyms is None or not self._erased:
            return False
        mail = pseudonyms.of_mail(activityid)
        if mail in self._erased:
            return True
        if of_look(mail) not in self._erased:
            return False
        return guard is None or of_look(mail, pseudonyms.of_guard(activityid, guard())) in self._erased

    def may_hold(self, grant: str, key: str, date: int | None) -> bool:
        """Whether the journal may know a message under its keyed hash alone; `date` as far as it is known."""
        if self.pseudonyms is None:
            return False
        is_old = self._bound is not None and (date is None or date < self._bound)
        return is_old or self.has_erased_copy(grant, key)

    @property
    def bound(self) -> tuple[int, int] | None:
        """The moment before which records may be shortened, and since when every process can know it."""
        self._refresh()
        if self._bound is None or self._published is None:
            return None
        return self._bound, self._published

    def move_bound(self, bound: int) -> None:
        """Let records be shortened of messages dated before this moment, once everybody has heard of it."""
        now = int(self._clock())
        self._rows.put({"PartitionKey": PARTITION, "RowKey": BOUND, "at": str(bound), "published": str(now)})
        self.read_anew()

    def claim(self) -> Pseudonyms:
        """What to make hashes with, for whoever is about to write some; raises ConfigurationError."""
        if self._own is None:
            raise ConfigurationError(
                "ERASURE_KEY is missing; without it nothing can be erased or shortened",
                reason="erasure_key",
                scope=Scope.ORGANISATION,
            )
        self.read_anew()
        if self._is_ours() is None:
            row = {"PartitionKey": PARTITION, "RowKey": KEY, "fingerprint": self._own.fingerprint}
            with suppress(ConflictError):  # another one's was first; which that is, reading tells
                self._rows.create(row)
            self.read_anew()
        if not self._is_ours():
            raise ConfigurationError(
                "ERASURE_KEY is not the one that hashed what was erased or shortened before; put that one back",
                reason="erasure_key",
                scope=Scope.ORGANISATION,
            )
        return self._own

    def add(self, hashes: Iterable[str]) -> int:
        """Note what was erased, by its keyed hash; returns how many were not noted before.

        A mail of which one look was noted is not noted once more without one.
        """
        self._refresh()
        new = [one for one in dict.fromkeys(hashes) if not self._is_noted(one)]
        noted = max(int(self._clock()), self._newest)
        for start in range(0, len(new), LARGEST_TRANSACTION):
            some = new[start : start + LARGEST_TRANSACTION]
            self._rows.change(("upsert", _mark(one, noted)) for one in some)
            for one in some:
                self._remember(one)
        return len(new)

    def _is_noted(self, erased: str) -> bool:
        mail, _, look = erased.partition(":")
        return mail in self._erased or of_look(mail, look) in self._erased

    def _remember(self, erased: str) -> None:
        mail, _, look = erased.partition(":")
        self._erased.update((erased, of_look(mail)) if look else (erased,))

    def read_anew(self) -> None:
        """Read what is new now, whenever that was done before."""
        with self._lock:
            self._read()

    def _refresh(self) -> None:
        read_at = self._read_at
        if read_at is not None and self._clock() - read_at < LIFE:
            return
        # one thread reads on; the others go by what is known, but for the first time
        if not self._lock.acquire(blocking=read_at is None):
            return
        try:
            if self._read_at is read_at:
                self._read()
        finally:
            self._lock.release()

    def _read(self) -> None:
        now = self._clock()
        first = f"{max(max(self._newest, int(self._read_at or 0)) - OVERLAP, 0):011d}"
        rows = self._rows.query("PartitionKey eq @p and RowKey ge @first", {"p": PARTITION, "first": first})
        for row in rows:
            self._learn(row)
        self._read_at = now

    def _is_ours(self) -> bool | None:
        if self._hashed_by is None:
            return None
        return self._own is not None and self._hashed_by == self._own.fingerprint

    def _learn(self, row: Row) -> None:
        name: str = row["RowKey"]
        if name == BOUND:
            self._bound, self._published = number(row, "at"), number(row, "published")
        elif name == KEY:
            self._hashed_by = row["fingerprint"]
        else:
            noted, _, erased = name.partition(":")
            self._remember(erased)
            self._newest = max(self._newest, int(noted))


def of_look(mail: str, look: str = "") -> str:
    """How a mail is noted of which this look alone was erased, by its keyed hash and that of its guard."""
    return f"{mail}:{look}"


def _mark(erased: str, noted: int) -> Row:
    return {"PartitionKey": PARTITION, "RowKey": f"{noted:011d}:{erased}"}
