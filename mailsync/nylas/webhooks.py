"""Webhook destinations at Nylas: made, listed, changed, removed, and proved by a delivery of our own.

Over plain HTTP: Nylas' SDK asks for a rotation at an address that does not exist and drops `compressed_delivery`
(measured on 6.18.0, 2026-11). How a secret is rotated without a lost delivery is `rotation`'s business.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec

from mailsync.errors import ArgumentError, ConfigurationError, MailSyncError, Scope, TransientError
from mailsync.nylas.answers import evidence_of, failure_of
from mailsync.transport import Answer, Transport

TRIGGERS = (
    "message.created",
    "message.updated",
    "message.deleted",
    "grant.created",
    "grant.updated",
    "grant.expired",
    "grant.deleted",
    "grant.imap_sync_completed",
)
"""What a webhook of ours is told of; what each leads to is `ingest`'s business."""
PATH = "/api/webhooks/nylas"
"""Where the function app takes notifications."""
DESCRIPTION = "Mail for Dataverse"
ACTIVE, PAUSE = "active", "pause"
VERSION = "v"
"""The query parameter that makes a second URL for the same endpoint: each webhook needs one of its own (Nylas' page on
notifications, read 2026-11)."""
CHALLENGE_FAILED = "70005"
"""Nylas' error type where the endpoint did not answer the challenge as it must (its OpenAPI, read 2026-11)."""
PROBE_TYPE = "mailsync.probe"
"""The type of a delivery of our own: one that no function uses."""
LONGEST_TOLD = 200
_MARK = re.compile(r"\[([0-9a-f]{12})\]")


class WebhookError(ArgumentError):
    """Nylas does not do what somebody asked of a webhook, or there is no such webhook."""


class Webhook(msgspec.Struct, frozen=True):
    """One destination as Nylas shows it; its secret only when it was made just now."""

    id: str
    webhook_url: str = ""
    status: str = ""
    trigger_types: tuple[str, ...] = ()
    description: str | None = None
    notification_email_addresses: tuple[str, ...] | None = None
    compressed_delivery: bool | None = None
    webhook_secret: str = ""
    created_at: int | None = None

    def __repr__(self) -> str:
        return f"Webhook(id={self.id!r}, status={self.status!r})"

    @property
    def missing_triggers(self) -> tuple[str, ...]:
        """What it is not told of, and should be."""
        return tuple(trigger for trigger in TRIGGERS if trigger not in self.trigger_types)

    @property
    def mark(self) -> str:
        """The mark of the secret it was made with; empty where nobody noted it."""
        found = _MARK.search(self.description or "")
        return found[1] if found else ""

    def is_of(self, url: str) -> bool:
        """Whether it leads to the same endpoint as a URL, whatever their queries say."""
        return _bare(self.webhook_url) == _bare(url)

    @property
    def is_ours(self) -> bool:
        """Whether it leads to an app of this product, by its path."""
        return urlsplit(self.webhook_url).path == PATH


class _One(msgspec.Struct, frozen=True):
    data: Webhook


class _Many(msgspec.Struct, frozen=True):
    data: tuple[Webhook, ...]


class Webhooks:
    """The destinations of one Nylas application."""

    def __init__(self, transport: Transport, *, api_uri: str, api_key: str) -> None:
        self._transport = transport
        self._root = f"{api_uri}/v3/webhooks"
        self._headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}
        self.date = ""
        """The Date header of Nylas' last answer."""

    def all(self) -> tuple[Webhook, ...]:
        """Every destination, in the order in which they were made."""
        found: _Many = self._asked("GET", "", _Many)
        return tuple(sorted(found.data, key=lambda one: one.created_at or 0))

    def create(self, url: str, *, emails: Iterable[str] = (), compressed: bool = True) -> Webhook:
        """Add a destination, which has to answer Nylas' challenge first; its secret is told this once."""
        asked = {
            "webhook_url": url,
            "trigger_types": list(TRIGGERS),
            "description": DESCRIPTION,
            "notification_email_addresses": list(emails),
            "compressed_delivery": compressed,
        }
        made: Webhook = self._asked("POST", "", _One, asked).data
        if not made.webhook_secret:
            raise _shape("Nylas made a webhook and told no secret; remove it and register anew")
        return made

    def change(self, webhook: str, **settings: Any) -> Webhook:
        """Change what is named, such as `status` or `trigger_types`; becoming active takes a challenge."""
        changed: Webhook = self._asked("PUT", f"/{quote(webhook, safe='')}", _One, settings).data
        return changed

    def mark(self, webhook: Webhook) -> None:
        """Note at Nylas which secret a webhook was made with; without that note it works as well."""
        with suppress(MailSyncError):
            self.change(webhook.id, description=f"{DESCRIPTION} [{mark_of(webhook.webhook_secret)}]")

    def remove(self, webhook: str) -> None:
        """Take a destination away; one that is gone already is fine."""
        answer = self._sent("DELETE", f"/{quote(webhook, safe='')}")
        if answer.status not in {200, 204, 404}:
            raise _failure(answer)

    def _asked(self, method: str, path: str, shape: Any, body: Mapping[str, object] | None = None) -> Any:
        answer = self._sent(method, path, body)
        if answer.status not in {200, 201}:
            raise _failure(answer)
        try:
            return msgspec.json.decode(answer.body, type=shape)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _shape("Nylas answered with something else than it documents of webhooks") from error

    def _sent(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        answer = self._transport.send(
            method,
            f"{self._root}{path}",
            headers=headers,
            body=msgspec.json.encode(body) if body is not None else None,
        )
        self.date = answer.headers.get("Date", "")
        return answer


def chosen(webhooks: Sequence[Webhook], named: str | None) -> Webhook:
    """The webhook a person means: by its id or the beginning of it, by its URL, or the only one that is ours."""
    if named is None:
        found = [one for one in webhooks if one.is_ours]
    else:
        found = [one for one in webhooks if named in {one.id, one.webhook_url}]
        found = found or [one for one in webhooks if len(named) >= 4 and one.id.startswith(named)]
    if len(found) == 1:
        return found[0]
    told = ", ".join(f"{one.id} ({one.status}, {one.webhook_url})" for one in found or webhooks) or "none"
    if found:
        raise WebhookError(f"several webhooks are meant, give the id of one: {told}", reason="ambiguous_webhook")
    raise WebhookError(f"there is no such webhook; there are: {told}", reason="unknown_webhook")


def leading_to(webhooks: Iterable[Webhook], url: str) -> list[Webhook]:
    """Those that lead to the app: to `url`, where its endpoint is known, or to one of this product by their path."""
    return [one for one in webhooks if one.is_ours or (url and one.is_of(url))]


def mark_of(secret: str) -> str:
    """What tells a secret from another and gives nothing of it away: the beginning of its hash."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12]


def second_url(url: str, taken: Iterable[str]) -> str:
    """Another URL for the same endpoint: the next version in its query that no webhook has."""
    parts = urlsplit(url)
    rest = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != VERSION]
    used = set(taken)
    for number in range(2, len(used) + 3):
        made = urlunsplit(parts._replace(query=urlencode([*rest, (VERSION, str(number))])))
        if made not in used:
            return made
    raise AssertionError("unreachable")  # there are more numbers than webhooks


class Endpoint:
    """Delivers to the function app what Nylas would: signed, and of a type that nobody uses."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def status(self, url: str, secret: str, *, now: int) -> int:
        """What it answers to a delivery signed with this secret: 200 where it knows it, 401 where it does not.

        Raises TransientError where there is no answer.
        """
        body = msgspec.json.encode(
            {
                "specversion": "1.0",
                "type": PROBE_TYPE,
                "source": "/mailsync/probe",
                "id": str(uuid.uuid4()),
                "time": now,
                "webhook_delivery_attempt": 1,
                "data": {"application_id": "", "object": {}},
            }
        )
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "x-nylas-signature": signature}
        return self._transport.send("POST", url, headers=headers, body=body).status


def _bare(url: str) -> tuple[str, str, str]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower(), parts.path.rstrip("/")


def _failure(answer: Answer) -> MailSyncError:
    evidence = evidence_of(answer)
    if answer.status in {401, 403}:
        return ConfigurationError(
            "Nylas refuses our key; check NYLAS_API_KEY and the region in NYLAS_API_URI",
            reason="nylas_key",
            scope=Scope.ORGANISATION,
            evidence=evidence,
        )
    if answer.status == 404:
        return WebhookError("Nylas knows no such webhook", reason="unknown_webhook", evidence=evidence)
    if answer.status == 400 and evidence.code == CHALLENGE_FAILED:
        return WebhookError(
            f"the endpoint did not answer Nylas' challenge as it must ({_told(answer)}); is the app deployed, does its "
            "URL begin with https, and is it reached from outside?",
            reason="webhook_challenge",
            evidence=evidence,
        )
    if answer.status == 400:
        return WebhookError(f"Nylas refuses: {_told(answer)}", reason="webhook_refused", evidence=evidence)
    return failure_of(answer)


def _told(answer: Answer) -> str:
    """What Nylas says in words; of webhooks, whose settings hold no mail."""
    try:
        error = msgspec.json.decode(answer.body).get("error")
        said = error.get("message") if isinstance(error, dict) else error
    except (msgspec.MsgspecError, AttributeError, UnicodeDecodeError):
        said = None
    return re.sub(r"\s+", " ", str(said or "no reason"))[:LONGEST_TOLD]


def _shape(message: str) -> TransientError:
    return TransientError(message, reason="nylas_shape", scope=Scope.ORGANISATION)
