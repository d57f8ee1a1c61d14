"""Messages for the tests of mapping, written short: only what a case is about is said, the rest is ordinary."""

from __future__ import annotations

from typing import Any

import msgspec

from mapping.attachments import Limits
from mapping.direction import Copy
from mapping.email_activity import EmailActivity
from mapping.identity import identity_of
from mapping.mapper import Known, map_message
from mapping.matches import Match, Organisation
from mapping.message import Message
from mapping.policy import Policy, parse_policy
from mapping.regarding import Found

ANN = "ann@contoso.com"
BEN = "ben@contoso.com"
HELP = "help@contoso.com"
CARL = "carl@fabrikam.com"
DORA = "dora@fabrikam.com"
STRANGER = "stranger@nowhere.org"

ANN_ID = "aaaaaaaa-0000-4000-8000-000000000001"
BEN_ID = "aaaaaaaa-0000-4000-8000-000000000002"
HELP_ID = "aaaaaaaa-0000-4000-8000-000000000003"
CARL_ID = "cccccccc-0000-4000-8000-000000000001"
DORA_ID = "cccccccc-0000-4000-8000-000000000002"
FABRIKAM_ID = "dddddddd-0000-4000-8000-000000000001"
LEAD_ID = "eeeeeeee-0000-4000-8000-000000000001"

MATCHES = {
    ANN: Match("systemuser", ANN_ID, "Ann", active=True),
    BEN: Match("systemuser", BEN_ID, "Ben", active=True),
    HELP: Match("queue", HELP_ID, "Help", active=True),
    CARL: Match("contact", CARL_ID, "Carl", active=True),
    DORA: Match("contact", DORA_ID, "Dora", active=True),
    "office@fabrikam.com": Match("account", FABRIKAM_ID, "Fabrikam", active=True),
    "new@adatum.com": Match("lead", LEAD_ID, "New", active=True),
}
ALIAS = "ann.alias@contoso.net"
ORGANISATION = Organisation(frozenset({ANN, BEN, HELP, ALIAS}), frozenset({"contoso.com"}), {ALIAS: ANN})

INBOX = Copy(ANN, frozenset({"\\Inbox"}))
SENT = Copy(ANN, frozenset({"\\Sent"}))


def policy(text: str = "") -> Policy:
    """The policy of a file with this text."""
    return parse_policy(text, "tracking.toml")


def known(copy: Copy = INBOX, **facts: Any) -> Known:
    """All that was found out about a mail: what these tests ordinarily know, but for what is said."""
    ordinary = {
        "organisation": ORGANISATION,
        "policy": policy(),
        "matches": MATCHES,
        "found": Found(),
        "limits": Limits(),
    }
    return Known(copy=copy, **(ordinary | facts))


def email(mail: Message, copy: Copy = INBOX, *, nylas_id_column: str | None = None, **facts: Any) -> EmailActivity:
    """The email that a message is."""
    identity = identity_of(mail, copy.mailbox)
    return map_message(mail, known(copy, **facts), identity=identity, nylas_id_column=nylas_id_column)


def message(**fields: Any) -> Message:
    """The message with these fields, as the JSON of Nylas would give it; people may be given as addresses."""
    wire: dict[str, Any] = {"id": "m1", "date": 1_700_000_000, "headers": []}
    for name, value in fields.items():
        if name in ("from_", "to", "cc", "bcc", "reply_to") and value is not None:
            wire[name.rstrip("_")] = [
                _participant(one) for one in ([value] if isinstance(value, (str, tuple)) else value)
            ]
        elif name == "headers" and isinstance(value, dict):
            wire[name] = [{"name": header, "value": text} for header, text in value.items()]
        else:
            wire[name] = value
    return msgspec.convert(wire, Message)


def _participant(written: str | tuple[str | None, str | None] | None) -> dict[str, str | None] | None:
    if written is None:
        return None
    name, email = (None, written) if isinstance(written, str) else written
    return {"name": name, "email": email}
