"""The one activityid an email will always have, whichever mailbox, trigger or attempt brings it.

The algorithm never changes under a number: what is in Dataverse carries its result. Golden tests hold it still.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID, uuid5

from mapping.addresses import normalise
from mapping.message import Message, Participant
from mapping.text import clean, single_line, units_of

ALGORITHM = 1
NAMESPACE = UUID("6f0b6f3e-5d0c-4f0a-9b57-2b1f5a7c9d41")
LONGEST_MESSAGE_ID = 320
MOST_ANCESTORS = 40
"""Of a longer chain the nearest count, and the first of all."""

_BRACKETED = re.compile(r"<([^<>]*)>")
_WHITE_OR_BRACKET = re.compile(r"[\s<>]+")


@dataclass(frozen=True, slots=True)
class Identity:
    """The activityid of a mail and the Message-ID it was made of; synthetic where the mail has none."""

    activityid: UUID
    message_id: str | None
    synthetic: bool

    @property
    def messageid(self) -> str | None:
        """The Message-ID as the column holds it, in angle brackets; none where it would have to be cut."""
        if self.message_id is None:
            return None
        written = f"<{self.message_id}>"
        return written if units_of(written) <= LONGEST_MESSAGE_ID else None


def canonical_message_id(raw: str | None) -> str | None:
    """The Message-ID without folding, white space, brackets and whatever stands around them; case is kept."""
    if raw is None:
        return None
    text = clean(raw)
    bracketed = _BRACKETED.search(text)
    return _WHITE_OR_BRACKET.sub("", bracketed[1] if bracketed else text) or None


def activityid_of(message_id: str) -> UUID:
    """The version-5 UUID of a canonical Message-ID."""
    return uuid5(NAMESPACE, message_id)


def identity_of(message: Message, mailbox: str) -> Identity:
    """The identity of the mail; one without Message-ID is told by its mailbox, From, date, subject and recipients."""
    message_id = canonical_message_id(message.header("Message-ID"))
    if message_id is not None:
        return Identity(activityid_of(message_id), message_id, synthetic=False)
    return Identity(uuid5(NAMESPACE, _description(message, mailbox)), None, synthetic=True)


def ancestors(message: Message) -> tuple[str, ...]:
    """The canonical ids of the mails before this one, nearest first: In-Reply-To, then References from its end."""
    own = canonical_message_id(message.header("Message-ID"))
    nearest = [*_written_ids(message.header("In-Reply-To")), *reversed(_written_ids(message.header("References")))]
    canonical = (canonical_message_id(written) for written in nearest)
    found = tuple(dict.fromkeys(one for one in canonical if one and one != own))
    return found if len(found) <= MOST_ANCESTORS else (*found[: MOST_ANCESTORS - 1], found[-1])


def in_reply_to(message: Message) -> str | None:
    """The canonical id of the mail this one says it answers."""
    ids = map(canonical_message_id, _written_ids(message.header("In-Reply-To")))
    return next((message_id for message_id in ids if message_id), None)


def is_reply(message: Message) -> bool:
    """True where the mail names another in In-Reply-To or References; forwards do so too."""
    return any((message.header(name) or "").strip() for name in ("In-Reply-To", "References"))


def _written_ids(header: str | None) -> list[str]:
    """The ids of a header as written; one without brackets counts where it has an @, for words are found there too."""
    text = header or ""
    return _BRACKETED.findall(text) or [word for word in re.split(r"[\s,]+", text) if "@" in word]


def _description(message: Message, mailbox: str) -> str:
    """What tells a mail without Message-ID from others; it holds a blank, as no canonical Message-ID does."""
    recipients = sorted(_addresses((*(message.to or ()), *(message.cc or ()), *(message.bcc or ()))))
    facts = [
        normalise(mailbox) or single_line(mailbox),
        next(_addresses(message.from_ or ()), None),
        None if message.date is None else int(message.date),
        single_line(message.subject or ""),
        recipients,
    ]
    return "no Message-ID: " + json.dumps(facts, separators=(",", ":"))


def _addresses(participants: Iterable[Participant | None]) -> Iterator[str]:
    for participant in participants:
        if participant and participant.email and (written := single_line(participant.email)):
            yield normalise(written) or written
