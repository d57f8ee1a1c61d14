"""A webhook comes in: verify, parse, enqueue, answer. Nothing else happens while Nylas waits.

Nylas takes only 200 as success and tries again only after 408, 429, 502, 503, 504, 507 and time-outs, three times
in all (its page on notifications, read 2026-11): so 200 means that the item is safely on the queue, and 503 that
it could not be put there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mailsync.errors import MailSyncError
from mailsync.nylas.notification import (
    DELETED_TYPE,
    ENDED_TYPES,
    LARGEST_BODY,
    MESSAGE_TYPES,
    NotANotificationError,
    Notification,
    TooLargeError,
    inflated,
    notification_of,
)
from mailsync.nylas.signature import is_signed
from mailsync.storage.envelope import DeletedItem, GrantItem, Item, MessageItem, SweepItem
from mailsync.telemetry import emit, mark, traceparent

LONGEST_CHALLENGE = 2048
TRACEPARENT = 55
"""Characters of a W3C trace context; anything else is not carried on."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer: a status and a short text."""

    status: int
    text: str = ""


def answer_challenge(challenge: str | None) -> Reply:
    """The answer to the GET by which Nylas checks an endpoint: the challenge itself, and nothing around it."""
    if not challenge or len(challenge) > LONGEST_CHALLENGE:
        return Reply(400, "no challenge")
    return Reply(200, challenge)


def accept(
    body: bytes,
    headers: Mapping[str, str],
    *,
    secrets: Iterable[str],
    send: Callable[[Item], None],
    now: float,
) -> Reply:  # one return for each answer code
    """Take in one notification; `headers` have lower-case names."""
    if len(body) > LARGEST_BODY:
        return _refused(413, "too large")
    if not is_signed(body, headers.get("x-nylas-signature"), secrets):
        return _refused(401, "bad signature; is NYLAS_WEBHOOK_SECRET that of this webhook?")
    try:
        notification = notification_of(inflated(body, headers.get("content-encoding")))
    except TooLargeError as error:
        return _refused(413, str(error))
    except NotANotificationError as error:
        return _refused(400, str(error))
    mark(notification=notification.id, type=notification.type[:80], grant=notification.grant)
    given = headers.get("traceparent", "")
    item = item_of(notification, now=now, traceparent=traceparent() or (given if len(given) == TRACEPARENT else None))
    if item is None:
        emit("notification_ignored", type=notification.type[:80], notification=notification.id)
        return Reply(200, "not used")
    try:
        send(item)
    except MailSyncError as error:
        return unavailable(error)
    emit("notification_accepted", type=notification.type, notification=notification.id, grant=notification.grant)
    return Reply(200, "queued")


def item_of(notification: Notification, *, now: float, traceparent: str | None = None) -> Item | None:
    """The work a notification leads to: a message to read, a mailbox to sweep, a grant to record, or none."""
    first_seen, first_seen_ms = divmod(int(now * 1000), 1000)
    if notification.family in MESSAGE_TYPES:
        return MessageItem(
            grant=notification.grant,
            message=notification.message,
            source=notification.family,
            first_seen=first_seen,
            date=notification.date,
            folders=notification.folders,
            notification=notification.id,
            first_seen_ms=first_seen_ms,
            traceparent=traceparent,
        )
    if notification.family == DELETED_TYPE:
        return DeletedItem(
            grant=notification.grant,
            message=notification.message,
            source=notification.family,
            first_seen=first_seen,
            notification=notification.id,
            first_seen_ms=first_seen_ms,
            traceparent=traceparent,
        )
    if notification.calls_for_sweep:
        return SweepItem(
            grant=notification.grant,
            source=notification.family,
            first_seen=first_seen,
            notification=notification.id,
            traceparent=traceparent,
        )
    if notification.family in ENDED_TYPES:
        return GrantItem(
            grant=notification.grant,
            event=notification.family,
            source=notification.family,
            first_seen=first_seen,
            at=notification.time,
            notification=notification.id,
            traceparent=traceparent,
        )
    return None


def unavailable(error: Exception) -> Reply:
    """503: Nylas tries again, and the sweep finds what it gave up on."""
    if isinstance(error, MailSyncError):
        emit("ingest_unavailable", reason=error.reason, evidence=error.evidence, advice=error)
    else:
        emit("ingest_unavailable", reason="unexpected", advice=type(error).__name__)
    return Reply(503, "try again later")


def _refused(status: int, why: str) -> Reply:
    emit("notification_refused", status=status, why=why)
    return Reply(status, why)
