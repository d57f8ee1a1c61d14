"""An explanation as facts with names: the same for the command and for the status page.

Ids, rules and outcomes; addresses only where they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mailsync.windows import moment

if TYPE_CHECKING:
    from mailsync.dataverse.emails import Standing
    from mailsync.explain import CopyTold, Explanation
    from mailsync.storage.journal import Entry

STATES = {0: "open", 1: "completed", 2: "canceled"}
STATUSES = {1: "draft", 2: "completed", 3: "sent", 4: "received", 5: "canceled", 6: "pending send", 7: "sending"}


def as_facts(told: Explanation, *, addresses: bool) -> dict[str, Any]:
    """All that is known of one mail, as JSON says it."""
    return {
        "activityid": told.activityid,
        "dataverse": told.dataverse,
        "email": email_facts(told.email, addresses=addresses) if told.email is not None else None,
        "copies": [copy_facts(copy) for copy in told.copies],
        "unknown": told.unknown,
    }


def copy_facts(copy: CopyTold) -> dict[str, Any]:
    """What is known of one mailbox's copy."""
    known = entry_facts(copy.entry) if copy.entry is not None else {}
    return {"grant": copy.grant, "message": copy.message, **known, "next": copy.next}


def entry_facts(entry: Entry) -> dict[str, Any]:
    """What the journal says of a message."""
    return {
        "seen": moment(entry.first_seen),
        "from": entry.source,
        "notification": entry.notification,
        "dated": moment(entry.date) if entry.date is not None else None,
        "attempts": entry.attempt + 1 if entry.attempt else None,
        "outcome": entry.kind.value,
        "reason": entry.reason,
        "detail": entry.detail,
        "decided": list(entry.notes),
        "noted": moment(entry.noted),
        "until": moment(entry.until) if entry.until is not None else None,
        "policy": entry.policy,
        "folders": list(entry.folders or ()),
        "activityid": entry.activityid,
    }


def email_facts(email: Standing, *, addresses: bool) -> dict[str, Any]:
    """What Dataverse says of an email."""
    told: dict[str, Any] = {
        "activityid": email.activityid,
        "state": STATES.get(email.statecode, str(email.statecode)),
        "status": STATUSES.get(email.statuscode, str(email.statuscode)),
        "regarding": f"{email.regarding.table} {email.regarding.id}" if email.regarding is not None else None,
        "parent": email.parent,
        "parties": len(email.parties),
        "matched": [f"{party.table} {party.id}" for party in email.parties if party.id is not None],
    }
    if addresses:
        told["addresses"] = [party.address for party in email.parties if party.address]
    return told
