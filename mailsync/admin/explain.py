"""`explain`: why a message is in Dataverse, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailsync.admin.console import ending, say, say_facts, say_json, wiring_of
from mailsync.admin.options import AsJson, ShowAddresses
from mailsync.windows import moment

if TYPE_CHECKING:
    from mailsync.dataverse.emails import Standing
    from mailsync.explain import CopyTold, Explanation
    from mailsync.storage.journal import Entry

STATES = {0: "open", 1: "completed", 2: "canceled"}
STATUSES = {1: "draft", 2: "completed", 3: "sent", 4: "received", 5: "canceled", 6: "pending send", 7: "sending"}


def explain(
    context: typer.Context,
    *,
    mailbox: Annotated[str, typer.Argument(help="A grant id, or an address of the mailbox.")],
    message: Annotated[str, typer.Argument(help="The message: its Nylas id, or its Message-ID.")],
    addresses: ShowAddresses = False,
    as_json: AsJson = False,
) -> None:
    """Tell every step of one message: seen when and from where, decided by which rule, written as what, what is next.

    By a Message-ID it tells of every mailbox that brought this mail to Dataverse. Subjects and bodies are never shown.

    `python -m mailsync explain ann@contoso.com "<quote.17@fabrikam.example>"`
    """
    with ending(as_json=as_json):
        wiring = wiring_of(context)
        told = wiring.explainer.explain(wiring.mailbox(mailbox).grant, message)
    if as_json:
        say_json(_as_json(told, addresses=addresses))
    else:
        _say(told, addresses=addresses)
    if not told.copies:
        raise typer.Exit(1)


def _say(told: Explanation, *, addresses: bool) -> None:
    if told.unknown:
        say(told.unknown)
    for copy in told.copies:
        say_facts((name.replace("_", " "), _told(fact)) for name, fact in _copy(copy).items() if fact)
        say("")
    say(f"Dataverse: {told.dataverse}")
    if told.email is not None:
        facts = _email(told.email, addresses=addresses).items()
        say_facts((name, _told(fact)) for name, fact in facts if fact)


def _told(fact: object) -> str:
    return "; ".join(map(str, fact)) if isinstance(fact, list) else str(fact)


def _as_json(told: Explanation, *, addresses: bool) -> dict[str, Any]:
    return {
        "activityid": told.activityid,
        "dataverse": told.dataverse,
        "email": _email(told.email, addresses=addresses) if told.email is not None else None,
        "copies": [_copy(copy) for copy in told.copies],
        "unknown": told.unknown,
    }


def _copy(copy: CopyTold) -> dict[str, Any]:
    known = _entry(copy.entry) if copy.entry is not None else {}
    return {"grant": copy.grant, "message": copy.message, **known, "next": copy.next}


def _entry(entry: Entry) -> dict[str, Any]:
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


def _email(email: Standing, *, addresses: bool) -> dict[str, Any]:
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
