"""The sentence made of the other modules' words: one message, with all that was found out about it, is one email."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from mapping.addresses import normalise
from mapping.attachments import Limits, files_of, seal_of
from mapping.body import Body, body_of
from mapping.direction import Copy, Direction, Sender, sender_of
from mapping.email_activity import (
    EARLIEST,
    LATEST,
    LONGEST_SENDER,
    LONGEST_SUBJECT,
    LONGEST_TORECIPIENTS,
    EmailActivity,
)
from mapping.guard import guard_of
from mapping.identity import Identity
from mapping.matches import Matches, Organisation
from mapping.message import Message
from mapping.owner import owner_of, queue_of
from mapping.parties import Party, Role, parties_of, people_of
from mapping.policy import Policy
from mapping.regarding import Found, choose_regarding, talk_of
from mapping.text import fit, units_of

NO_SUBJECT = "(not kept)"
"""The subject of a mail of which only people and times are kept."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that was found out about a mail before it is mapped."""

    copy: Copy
    organisation: Organisation
    policy: Policy
    matches: Matches
    found: Found
    limits: Limits


def map_message(
    message: Message, known: Known, *, identity: Identity, nylas_id_column: str | None = None
) -> EmailActivity:
    """The email this message is."""
    copy, organisation, policy, matches = known.copy, known.organisation, known.policy, known.matches
    sender = sender_of(message, copy, matches, organisation)
    parties = parties_of(message, sender, matches)
    talk = talk_of(message, matches, organisation, sender)
    level = policy.content_for(map(organisation.mailbox_of, (copy.mailbox, *people_of(message))))
    whole = body_of(message.body, message.snippet)
    seal = seal_of(message.attachments)
    body = whole if level == "full" else Body("", is_whole=True)
    kept = message.attachments if level == "full" else ()
    before = known.found.before
    people = _People(copy=copy, matches=matches, organisation=organisation, policy=policy)
    return EmailActivity(
        activityid=identity.activityid,
        direction=Direction.OUTGOING if sender.is_ours else Direction.INCOMING,
        subject=fit(talk.subject, LONGEST_SUBJECT) if level != "metadata" else NO_SUBJECT,
        body=body,
        files=files_of(kept, body.pictures, known.limits, carry=policy.files),
        notes=(seal,) if seal and level == "full" else (),
        messageid=identity.messageid,
        sender=_sender_column(sender),
        torecipients=_torecipients(parties),
        sent=_sent(message.date),
        parties=parties,
        regarding=choose_regarding(talk, known.found, organisation, policy.regarding),
        owner=owner_of(message, sender, **people),
        queue=queue_of(message, sender, **people),
        parent=known.found.parent.activityid if known.found.parent is not None else None,
        correlated=before.activityid if before is not None else None,
        guard=guard_of(parties, message.subject, whole.html),
        nylas_id=message.id,
        nylas_id_column=nylas_id_column,
    )


class _People(TypedDict):
    copy: Copy
    matches: Matches
    organisation: Organisation
    policy: Policy


def _sender_column(sender: Sender) -> str | None:
    """The written address; one that does not fit is left to the party, for an address is never cut."""
    for address in (sender.address_used, normalise(sender.address_used)):
        if address and units_of(address) <= LONGEST_SENDER:
            return address
    return None


def _torecipients(parties: tuple[Party, ...]) -> str | None:
    """The To addresses with semicolons between them, as many whole ones as fit."""
    text = ""
    for party in parties:
        if party.role is Role.TO and party.address and ";" not in party.address:
            longer = f"{text};{party.address}" if text else party.address
            if units_of(longer) > LONGEST_TORECIPIENTS:
                break
            text = longer
    return text or None


def _sent(date: float | None) -> datetime | None:
    """The time of sending; one that no column of Dataverse can hold is as good as none."""
    if date is None:
        return None
    try:
        time = _EPOCH + timedelta(seconds=int(date))
    except (OverflowError, ValueError):
        return None
    return time if EARLIEST <= time <= LATEST else None
