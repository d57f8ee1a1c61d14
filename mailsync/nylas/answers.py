"""What an answer of Nylas' API means: one pure function from status, headers and body to our own errors.

Decided on the HTTP status; the body's type is kept as evidence only, because Nylas spells it in several ways
and some errors are HTML, a bare string or empty (facts gathered 2026-11).
"""

from __future__ import annotations

import re

import msgspec

from mailsync.errors import (
    ConfigurationError,
    Evidence,
    GrantError,
    MailSyncError,
    MessageError,
    MessageGoneError,
    Scope,
    ThrottledError,
    TransientError,
)
from mailsync.transport import Answer

_SAFE_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,80}")


def failure_of(answer: Answer) -> MailSyncError:
    """The error an unsuccessful answer about one mailbox stands for."""
    evidence = evidence_of(answer)
    status = answer.status
    if status in {408, 429, 423} or status >= 500 or (status == 403 and _is_quota(answer)):
        throttled = status in {429, 403}
        return (ThrottledError if throttled else TransientError)(
            f"Nylas {'throttles' if throttled else 'or the mail provider behind it fails'} ({status})",
            reason="nylas_throttled" if throttled else "nylas_unavailable",
            scope=Scope.MAILBOX,
            evidence=evidence,
            retry_after=answer.retry_after,
        )
    if status == 401:
        return GrantError(
            "Nylas answers 401: the grant has expired, or NYLAS_API_KEY or the region in NYLAS_API_URI is wrong",
            reason="grant_refused",
            scope=Scope.MAILBOX,
            evidence=evidence,
        )
    if status == 403:
        return GrantError(
            "Nylas answers 403: the grant lacks the scope to read mail; reconnect the mailbox with it",
            reason="grant_lacks_scope",
            scope=Scope.MAILBOX,
            evidence=evidence,
        )
    if status == 404:
        return MessageGoneError("Nylas does not find it", reason="not_found", evidence=evidence)
    if 300 <= status < 400:
        return ConfigurationError(
            "Nylas redirects; check NYLAS_API_URI",
            reason="nylas_redirects",
            scope=Scope.ORGANISATION,
            evidence=evidence,
        )
    return MessageError(f"Nylas refuses the request ({status})", reason="nylas_refused", evidence=evidence)


def evidence_of(answer: Answer) -> Evidence:
    """Status, error type and request id, from a body of whatever shape."""
    code = request = ""
    try:
        body = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        body = None
    if isinstance(body, dict):
        request = _safe(body.get("request_id"))
        error = body.get("error")
        code = _safe(error.get("type") if isinstance(error, dict) else error)
    return Evidence(vendor="nylas", status=answer.status, code=code, request_id=request)


def _safe(value: object) -> str:
    """A code or id fit for logs; anything that could hold more than that is dropped."""
    return value if isinstance(value, str) and _SAFE_CODE.fullmatch(value) else ""


def _is_quota(answer: Answer) -> bool:
    """Gmail's quota errors reach us as 403 or 429 (Nylas support article 5210474048669, read 2026-11)."""
    text = answer.body[:4096].lower()
    return any(word in text for word in (b"quota", b"ratelimit", b"rate limit", b"rate_limit"))
