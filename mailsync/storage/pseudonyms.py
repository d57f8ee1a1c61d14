"""Keyed hashes: what is left of an id once nobody shall be able to tell from our tables which message it was.

The same id gives the same hash for as long as the key is the same, so what was erased or shortened is recognised when
it turns up again. The algorithm never changes under a number: tables hold its results. Golden tests hold it still.
"""

from __future__ import annotations

import hashlib
import hmac
import json

ALGORITHM = 1
SHORT = 12
"""Hex digits of a shortened guard, as many as a guard has."""


class Pseudonyms:
    """Hashes made with one key (HMAC-SHA256, 64 hex digits)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of_copy(self, grant: str, key: str) -> str:
        """Of one mailbox's message; `key` is the hash of its id, as the journal's rows have it."""
        return self._of("copy", grant, key)

    def of_mail(self, activityid: str) -> str:
        """Of a mail, by the id that follows from its Message-ID, whichever mailbox or grant brings it."""
        return self._of("mail", activityid.lower())

    def of_guard(self, activityid: str, guard: str) -> str:
        """Of the look of a mail."""
        return self._of("guard", activityid.lower(), guard)[:SHORT]

    @property
    def fingerprint(self) -> str:
        """Tells this key from another."""
        return self._of("key")

    def _of(self, *told: str) -> str:
        text = json.dumps([ALGORITHM, *told], separators=(",", ":"))
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
