"""The sentence made of the other modules' words: one message, with all that was found out about it, is one email."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mapping.addresses import normalise
from mapping.body import description_of
from mapping.direction import Copy, Direction, Sender, sender_of
from mapping.email_activity import (
    EARLIEST,
    LATEST,
    LONGEST_SENDER,
    LONGEST_SUBJECT,
    LONGEST_TORECIPIENTS,
    EmailActivity,
)
from mapping.identity import Identity
from mapping.matches import Matches, Organisation
from mapping.message import Message
from mapping.parties import Party, Role, parties_of
from mapping.regarding import Parent, choose_regarding
from mapping.text import fit, single_line, units_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def map_message(
    message: Message,
    *,
    identity: Identity,
    copy: Copy,
    organisation: Organisation,
    matches: Matches,
    parent: Parent | None,
    nylas_id_column: str | None = None,
) -> EmailActivity:
    """The email this message is."""
    sender = sender_of(message, copy, matches, organisation)
    parties = parties_of(message, sender, matches)
    description = description_of(message.body)
    return EmailActivity(
        activityid=identity.activityid,
        direction=Direction.OUTGOING if sender.is_ours else Direction.INCOMING,
        subject=fit(single_line(message.subject or ""), LONGEST_SUBJECT),
        description=description.html,
        messageid=identity.messageid,
        sender=_sender_column(sender),
        torecipients=_torecipients(parties),
        sent=_sent(message.date),
        parties=parties,
        regarding=choose_regarding(message, parent, matches, organisation, sender=sender),
        parent=parent.activityid if parent is not None else None,
        truncated=description.truncated,
        nylas_id=message.id,
        nylas_id_column=nylas_id_column,
    )


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
