"""What can go wrong, sorted by what the caller should do about it.

Each vendor's room turns its own failures into these in one pure function; no other module looks at a
status code. Messages name what to check and never hold an address, a subject, a body or a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mapping.attachments import Why


class Scope(Enum):
    """How far a failure reaches."""

    MESSAGE = "message"
    MAILBOX = "mailbox"
    ORGANISATION = "organisation"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a vendor's support desk will ask for; safe to log and to keep."""

    vendor: str = ""
    status: int | None = None
    code: str = ""
    request_id: str = ""

    def __str__(self) -> str:
        pairs = (
            ("vendor", self.vendor),
            ("status", self.status),
            ("code", self.code),
            ("request", self.request_id),
        )
        return " ".join(f"{name}={value}" for name, value in pairs if value)


class MailSyncError(Exception):
    """Base of all failures we foresee.

    `reason` is a stable word for journals and metrics; the message is for the person who reads the log.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        scope: Scope = Scope.MESSAGE,
        evidence: Evidence | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.scope = scope
        self.evidence = evidence or Evidence()
        self.retry_after = retry_after


class TransientError(MailSyncError):
    """Try again later; nothing is wrong with the message. `retry_after` is in seconds when the vendor named it."""


class ThrottledError(TransientError):
    """Try again later, and ask for less: a limit was reached, not a fault met."""


class ConfigurationError(MailSyncError):
    """A person must change a setting, a key or a role; the work waits meanwhile and is not lost."""


class ArgumentError(MailSyncError):
    """What a person at the keyboard named is not there, or is not one thing; nothing was done."""


class GrantError(MailSyncError):
    """Nylas can't reach this mailbox until its owner signs in again or reconnects it."""


class MessageError(MailSyncError):
    """This message can't be written as it is, however often it is tried: put it aside with the reason."""


class UnreadableError(MessageError):
    """Nylas shows nothing of this message just now: tried for about an hour, then put aside."""


class FileTroubleError(TransientError):
    """One file of a message can't be had now: tried for about an hour, then the email goes on without it."""


class HeaderTroubleError(TransientError):
    """The whole header of a message isn't found now: tried for some minutes, then it counts as unknown."""


class FileMissingError(MailSyncError):
    """One file of a message will never be had; the email goes on without it."""

    def __init__(self, why: Why) -> None:
        super().__init__(f"a file stays out: {why}", reason="file_missing")
        self.why = why


class MessageGoneError(MailSyncError):
    """The mailbox no longer holds this message, or not yet: Nylas announces some before they can be read."""
