"""Is it the same mail? A second look at mails that carry one Message-ID, since broken senders use one again.

Pure: what is compared is the sender, the subject without what replies and lists put before it, and how the text
begins. In doubt it is another mail: a double can be seen and a loss can't.
"""

from __future__ import annotations

import hashlib
import html
import re
from dataclasses import replace
from uuid import UUID, uuid5

from mapping.addresses import normalise
from mapping.email_activity import EmailActivity
from mapping.identity import NAMESPACE
from mapping.notes import without_notes
from mapping.parties import Party, Role
from mapping.subject import bare
from mapping.text import clean

LOOKED_AT = 20_000
"""Characters of a body that are looked at for its beginning."""
BEGINNING = 80
"""Characters of the text that must be equal."""
LONGEST_SUBJECT = 400
"""Characters of a subject that are compared: Dataverse may hold no more of a long one."""

_INVISIBLE = re.compile(
    r"<(?:style|script|head|title)\b.*?(?:</(?:style|script|head|title)\s*>|$)|<!--.*?(?:-->|$)",
    re.IGNORECASE | re.DOTALL,
)
_TAG = re.compile(r"<[a-z/!?][^<>]*>", re.IGNORECASE)
_BLANK = re.compile(r"[\s\u00a0\u200b-\u200d\ufeff]+")


def guard_of(parties: tuple[Party, ...], subject: str | None, html: str) -> str:
    """Twelve hex digits that are equal for two copies of one mail, whatever of it is kept in Dataverse."""
    sender = next((party.address for party in parties if party.role is Role.SENDER), None)
    return guard_of_row(sender=sender, subject=subject, description=html)


def is_same_mail(email: EmailActivity, guard: str) -> bool:
    """Whether an email in Dataverse with this guard holds this mail, whole or as much of it as the policy keeps."""
    return guard in {email.guard, guard_of(email.parties, email.subject, email.description.html)}


def guard_of_row(*, sender: str | None, subject: str | None, description: str | None) -> str:
    """The guard of an email as Dataverse holds it."""
    told = "\n".join((normalise(sender) or "", bare_subject(subject), beginning_of(description)))
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def bare_subject(subject: str | None) -> str:
    """The subject as subjects are compared."""
    return bare(subject).casefold()[:LONGEST_SUBJECT]


def beginning_of(body: str | None) -> str:
    """How the visible text begins, whatever markup is around it and whatever we noted in it."""
    visible = _INVISIBLE.sub(" ", without_notes(clean((body or "")[:LOOKED_AT])))
    text = html.unescape(_TAG.sub("", visible))
    return _BLANK.sub("", text).casefold()[:BEGINNING]


def as_another_mail(email: EmailActivity) -> EmailActivity:
    """The email under an identity of its own, where its Message-ID is already that of another mail.

    `messageid` stays empty: Dataverse and other trackers take it for unique.
    """
    return replace(email, activityid=another_identity(email.activityid, email.guard), messageid=None)


def another_identity(identity: UUID, guard: str) -> UUID:
    """The id of the mail with this guard, where its own is already that of another mail."""
    return uuid5(NAMESPACE, f"{identity}\n{guard}")
