"""Webhook destinations of the stand-in for Nylas: the challenge, the signature, deliveries and their retries.

Responsible for how a notification travels, in Nylas' own way and with its own accidents. What happened, and to
which message, is told by `nylas`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import heapq
import hmac
import itertools
import os
import random
import secrets
import string
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import certifi
import msgspec
import urllib3

TRIGGERS = frozenset(
    {
        *(f"grant.{what}" for what in ("created", "updated", "deleted", "expired", "imap_sync_completed")),
        *(f"message.{what}" for what in ("created", "created.cleaned", "updated", "deleted")),
        *(f"message.{what}" for what in ("send_success", "send_failed", "bounce_detected")),
        *(f"message.{what}" for what in ("opened", "link_clicked")),
        *(f"folder.{what}" for what in ("created", "updated", "deleted")),
        "thread.replied",
    }
)
RETRIED = frozenset({408, 429, 502, 503, 504, 507})
"""The only answers after which Nylas tries again (developer.nylas.com, notifications, 2026); a 500 is not."""

_LETTERS = string.ascii_letters + string.digits
"""What the id of a webhook is made of."""
ATTEMPTS = 3
BACKOFF = (200.0, 600.0)
"""Seconds before the second and the third attempt; Nylas says that the last comes after 10 to 20 minutes."""

LARGEST = 1_000_000
"""Bytes of a payload; a larger one goes without the body of its message."""


class ChallengeFailed(Exception):  # noqa: N818 - Nylas' word for it
    """The destination did not answer the challenge as it must."""


@dataclass(slots=True)
class Webhook:
    """A destination."""

    id: str
    url: str
    triggers: tuple[str, ...]
    secret: str = field(repr=False)
    compressed: bool
    description: str
    emails: tuple[str, ...]
    status: str
    created_at: int
    updated_at: int

    def shown(self, *, secret: bool = False) -> dict[str, Any]:
        """As Nylas shows it; the secret only when it is new."""
        shown = {
            "id": self.id,
            "description": self.description,
            "trigger_types": list(self.triggers),
            "webhook_url": self.url,
            "status": self.status,
            "notification_email_addresses": list(self.emails),
            "compressed_delivery": self.compressed,
            "status_updated_at": self.updated_at,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }
        return {**shown, "webhook_secret": self.secret} if secret else shown


@dataclass(frozen=True, slots=True)
class Notification:
    """Something Nylas tells; the same id in every attempt and every redelivery."""

    id: str
    type: str
    source: str
    time: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt at one destination."""

    notification: str
    type: str
    webhook: str
    attempt: int
    status: int | None
    """None: no answer."""
    seconds: float


@dataclass(slots=True)
class Mischief:
    """What goes wrong between Nylas and us by itself; probabilities, and a spread in seconds."""

    lose: float = 0.0
    """Never sent at all."""
    duplicate: float = 0.0
    """Sent twice."""
    relabel: float = 0.0
    """A created message is told as an updated one."""
    shuffle: float = 0.0
    """Sent at a random moment within so many seconds, so that the order is lost."""


class Webhooks:
    """All destinations of one application, and the threads that deliver to them."""

    def __init__(self, clock: Callable[[], float], *, seed: int = 0, workers: int = 8) -> None:
        self.application_id = str(uuid.uuid5(uuid.NAMESPACE_URL, "https://sandbox.example/application"))
        self.mischief = Mischief()
        self.retry_scale = 1.0
        """Shrinks the waiting between attempts."""
        self.limit = 10.0
        """Seconds a destination has to answer."""
        self.deliveries: list[Delivery] = []
        self.lost: list[str] = []
        """Ids of notifications that mischief never sent."""
        self.registered: dict[str, Webhook] = {}
        self._clock = clock
        self._random = random.Random(seed)
        self._notifications: dict[str, Notification] = {}
        self._due: list[tuple[float, int, Notification, int]] = []
        self._numbers = itertools.count()
        self._busy = 0
        self._closed = False
        lock = threading.Lock()
        self._news = threading.Condition(lock)
        self._idle = threading.Condition(lock)
        self._workers = workers
        self._threads: list[threading.Thread] = []
        self._http: urllib3.PoolManager | None = None

    def register(
        self,
        url: str,
        triggers: Collection[str],
        *,
        compressed: bool = False,
        description: str = "",
        emails: Iterable[str] = (),
    ) -> Webhook:
        """Add a destination, once it has answered the challenge."""
        _check(triggers)
        if any(known.url == url for known in self.registered.values()):
            raise ValueError("webhook_url is in use already")
        self._challenge(url)
        now = int(self._clock())
        webhook = Webhook(
            id="".join(secrets.choice(_LETTERS) for _ in range(25)),
            url=url,
            triggers=tuple(triggers),
            secret=secrets.token_urlsafe(15),
            compressed=compressed,
            description=description,
            emails=tuple(emails),
            status="active",
            created_at=now,
            updated_at=now,
        )
        with self._news:
            self.registered[webhook.id] = webhook
        return webhook

    def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        triggers: Collection[str] | None = None,
        compressed: bool | None = None,
        description: str | None = None,
        emails: Iterable[str] | None = None,
        status: str | None = None,
    ) -> Webhook:
        """Change what is named; a new URL, and becoming active, take a challenge first."""
        webhook = self.registered[webhook_id]
        if status not in (None, "active", "pause"):
            raise ValueError("status must be active or pause")
        _check(triggers or ())
        if url is not None or status == "active":
            self._challenge(url or webhook.url)
        with self._news:
            webhook.url = url or webhook.url
            webhook.triggers = webhook.triggers if triggers is None else tuple(triggers)
            webhook.compressed = webhook.compressed if compressed is None else compressed
            webhook.description = webhook.description if description is None else description
            webhook.emails = webhook.emails if emails is None else tuple(emails)
            webhook.status = status or webhook.status
            webhook.updated_at = int(self._clock())
        return webhook

    def rotate(self, webhook_id: str) -> Webhook:
        """Give it a new secret; the old one is of no use from this moment on."""
        webhook = self.registered[webhook_id]
        webhook.secret = secrets.token_urlsafe(15)
        webhook.updated_at = int(self._clock())
        return webhook

    def remove(self, webhook_id: str) -> None:
        with self._news:
            del self.registered[webhook_id]

    def notify(self, kind: str, source: str, shown: dict[str, Any]) -> str:
        """Tell all who asked for this kind, and return the notification's id."""
        with self._news:
            if kind == "message.created" and self._happens(self.mischief.relabel):
                kind = "message.updated"
            data = {"application_id": self.application_id, "object": shown}
            notification = Notification(str(uuid.uuid4()), kind, source, int(self._clock()), data)
            self._notifications[notification.id] = notification
            if self._happens(self.mischief.lose):
                self.lost.append(notification.id)
            elif self._audience(kind):
                self._send(notification)
        return notification.id

    def redeliver(self, notification_id: str) -> None:
        """Send a notification again, as if nothing had been heard of it."""
        with self._news:
            self._queue(self._notifications[notification_id], 1, 0.0)

    def notification(self, notification_id: str) -> Notification:
        return self._notifications[notification_id]

    def notifications(self) -> list[Notification]:
        """All that was to be told so far, lost ones too."""
        with self._news:
            return list(self._notifications.values())

    def wait_idle(self, timeout: float) -> None:
        """Return when nothing is being delivered and nothing waits to be tried again."""
        with self._idle:
            if not self._idle.wait_for(lambda: not self._due and not self._busy, timeout):
                raise TimeoutError(f"{len(self._due)} deliveries still wait, {self._busy} are under way")

    def close(self) -> None:
        """Stop delivering and close every connection."""
        with self._news:
            self._closed = True
            self._due.clear()
            self._news.notify_all()
            self._idle.notify_all()
        for thread in self._threads:
            thread.join()
        if self._http is not None:
            self._http.clear()

    def _happens(self, probability: float) -> bool:
        return probability > 0.0 and self._random.random() < probability

    def _send(self, notification: Notification) -> None:
        for _ in range(2 if self._happens(self.mischief.duplicate) else 1):
            self._queue(notification, 1, self._random.random() * self.mischief.shuffle)

    def _queue(self, notification: Notification, attempt: int, wait: float) -> None:
        if self._closed:
            return
        heapq.heappush(self._due, (time.monotonic() + wait, next(self._numbers), notification, attempt))
        if not self._threads:
            names = (f"sandbox-webhooks-{number}" for number in range(self._workers))
            self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
            for thread in self._threads:
                thread.start()
        self._news.notify()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._attempt(*job)
            finally:
                with self._news:
                    self._busy -= 1
                    if not self._busy and not self._due:
                        self._idle.notify_all()

    def _next(self) -> tuple[Notification, int] | None:
        with self._news:
            while not self._closed:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    _, _, notification, attempt = heapq.heappop(self._due)
                    self._busy += 1
                    return notification, attempt
                self._news.wait(wait)
        return None

    def _attempt(self, notification: Notification, attempt: int) -> None:
        """Send to all who asked for it; where one must be tried again, all get it again, as with Nylas."""
        waits = []
        for webhook in self._audience(notification.type):
            again = self._deliver(webhook, notification, attempt)
            if again is not None and attempt < ATTEMPTS:
                waits.append(again)
        if waits:
            with self._news:
                self._queue(notification, attempt + 1, max(waits) * self.retry_scale)

    def _audience(self, kind: str) -> list[Webhook]:
        """Suffixes come unasked, except `cleaned`, which is a subscription of its own."""
        subject, action, *suffixes = kind.split(".")
        trigger = ".".join((subject, action, "cleaned") if "cleaned" in suffixes else (subject, action))
        known = list(self.registered.values())
        return [hook for hook in known if hook.status == "active" and trigger in hook.triggers]

    def _deliver(self, webhook: Webhook, notification: Notification, attempt: int) -> float | None:
        """Send once; the seconds to wait before another attempt, or None when this one settles it."""
        kind, body = _envelope(notification, attempt)
        headers = {"Content-Type": "application/json"}
        if webhook.compressed:
            body = gzip.compress(body, 1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        headers["x-nylas-signature"] = hmac.new(webhook.secret.encode(), body, hashlib.sha256).hexdigest()
        begun = time.perf_counter()
        status: int | None = None
        asked = ""
        try:
            answer = self._request("POST", webhook.url, body, headers)
            status, asked = answer.status, answer.headers.get("Retry-After", "")
            retried = status in RETRIED
        except urllib3.exceptions.HTTPError as error:
            retried = _timed_out(error)
        seconds = time.perf_counter() - begun
        self.deliveries.append(Delivery(notification.id, kind, webhook.id, attempt, status, seconds))
        if not retried:
            return None
        if status == 429 and asked.isdigit():
            return float(asked)
        return BACKOFF[min(attempt, len(BACKOFF)) - 1]

    def _challenge(self, url: str) -> None:
        """GET the destination with a challenge: 200, the bare value, with its length, at the first try."""
        value = base64.b32encode(secrets.token_bytes(20)).decode().lower()
        parts = urlsplit(url)
        query = "&".join(filter(None, (parts.query, urlencode({"challenge": value}))))
        try:
            answer = self._request("GET", urlunsplit(parts._replace(query=query)), None, {})
        except urllib3.exceptions.HTTPError as error:
            raise ChallengeFailed(f"no answer: {type(error).__name__}") from error
        if answer.status != 200:
            raise ChallengeFailed(f"status is not ok, got {answer.status}")
        if "chunked" in answer.headers.get("Transfer-Encoding", "").lower():
            raise ChallengeFailed("chunked transfer encoding is not supported")
        if answer.data != value.encode():
            raise ChallengeFailed("the challenge was not returned as it was sent")

    def _request(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        with self._news:
            if self._http is None:
                trusted = os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where()
                self._http = urllib3.PoolManager(maxsize=self._workers + 1, ca_certs=trusted)
        timeout = urllib3.Timeout(total=self.limit)
        return self._http.request(
            method, url, body=body, headers=headers, timeout=timeout, retries=False, redirect=False
        )


def _check(triggers: Collection[str]) -> None:
    if unknown := set(triggers) - TRIGGERS:
        raise ValueError(f"unknown trigger types: {', '.join(sorted(unknown))}")


def _envelope(notification: Notification, attempt: int) -> tuple[str, bytes]:
    """The type as it is sent, and the payload; too large a message goes without its body."""
    body = _encode(notification, attempt)
    if len(body) > LARGEST and notification.type.startswith("message."):
        shown = {name: value for name, value in notification.data["object"].items() if name != "body"}
        notification = replace(
            notification,
            type=f"{notification.type}.truncated",
            data={**notification.data, "object": shown},
        )
        body = _encode(notification, attempt)
    return notification.type, body


def _encode(notification: Notification, attempt: int) -> bytes:
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "type": notification.type,
            "source": notification.source,
            "id": notification.id,
            "time": notification.time,
            "webhook_delivery_attempt": attempt,
            "data": notification.data,
        }
    )


def _timed_out(error: urllib3.exceptions.HTTPError) -> bool:
    """A refused connection is none: Nylas names only time-outs, so the stricter reading."""
    exceptions = urllib3.exceptions
    return isinstance(error, exceptions.TimeoutError) and not isinstance(error, exceptions.NewConnectionError)
