"""Webhooks in the shapes Nylas documents, with data of our own, and their signature computed apart from the product."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

SECRET = "correct-horse-battery-staple"
GRANT = "3f9e1c52-0b1d-4d27-9a57-5d2b1c7f6a10"
MESSAGE = "19a2b3c4d5e6f708"
NOTIFICATION = "b1946ac9-2492-4d23-8f05-5e2a4d0c7e11"
DATE = 1_789_999_000
TOLD_AT = 1_789_999_007
FOLDERS = ["UNREAD", "CATEGORY_PERSONAL", "INBOX"]


def about_message(**changes: Any) -> dict[str, Any]:
    """The object of a message's notification."""
    return {
        "id": MESSAGE,
        "grant_id": GRANT,
        "object": "message",
        "thread_id": "19a2b3c4d5e6f700",
        "subject": "Very secret subject",
        "from": [{"name": "Dora", "email": "dora@fabrikam.example"}],
        "to": [{"name": "Ann", "email": "ann@contoso.example"}],
        "cc": [],
        "bcc": [],
        "reply_to": [],
        "date": DATE,
        "body": "<p>Very secret body</p>",
        "snippet": "Very secret body",
        "starred": False,
        "unread": True,
        "folders": FOLDERS,
        "attachments": [],
        **changes,
    }


def about_grant(**changes: Any) -> dict[str, Any]:
    """The object of a grant's notification."""
    return {
        "grant_id": GRANT,
        "integration_id": "c1d2e3f4-0000-4000-8000-000000000001",
        "provider": "google",
        "email": "ann@contoso.example",
        "code": 25012,
        **changes,
    }


def envelope(kind: Any, about: Any, *, beside: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A whole notification."""
    return {
        "specversion": "1.0",
        "type": kind,
        "source": "/google/emails/realtime",
        "id": NOTIFICATION,
        "time": TOLD_AT,
        "webhook_delivery_attempt": 1,
        "data": {"application_id": "0a0b0c0d-0000-4000-8000-000000000002", "object": about, **(beside or {})},
        **changes,
    }


def written(notification: Any) -> bytes:
    """The bytes of a notification."""
    return json.dumps(notification).encode()


def signature(body: bytes, secret: str = SECRET) -> str:
    """What Nylas sends as x-nylas-signature."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def signed(body: bytes, secret: str = SECRET, **more: str) -> dict[str, str]:
    """The headers of a webhook, their names in lower case."""
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return {"content-type": "application/json", "x-nylas-signature": signature(body, secret), **named}
