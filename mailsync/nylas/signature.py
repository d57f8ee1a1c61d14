"""Is this really from Nylas? The signature of a webhook."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable


def is_signed(body: bytes, signature: str | None, secrets: Iterable[str]) -> bool:
    """Whether `signature` is the hex HMAC-SHA256 of the bytes as received, under any of the secrets.

    With compressed delivery the bytes are the gzip bytes (Nylas' page on notifications, read 2026-11). Every
    secret is tried, in constant time each, so that the answer's timing doesn't tell which one fits.
    """
    given = (signature or "").strip().lower().encode("utf-8", "replace")
    fits = [hmac.compare_digest(_signature(body, secret), given) for secret in secrets]
    return any(fits)


def _signature(body: bytes, secret: str) -> bytes:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
