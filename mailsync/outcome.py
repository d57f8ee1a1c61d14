"""What became of a message: the one vocabulary of journal, log lines and counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """The states a message can be in. The first five are final: nothing later changes them."""

    WRITTEN = "written"
    ADOPTED = "adopted"
    ALREADY_THERE = "already_there"
    REMOVED = "removed"
    ERASED = "erased"
    SKIPPED = "skipped"
    QUEUED = "queued"
    WRITING = "writing"
    DEFERRED = "deferred"
    PUT_ASIDE = "put_aside"
    GONE = "gone"

    @property
    def is_final(self) -> bool:
        """Whether the message is in Dataverse for good, or was and must not come back."""
        return self in _FINAL


_FINAL = frozenset((Kind.WRITTEN, Kind.ADOPTED, Kind.ALREADY_THERE, Kind.REMOVED, Kind.ERASED))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt came to.

    `reason` names the rule of a skip, the cause of a deferral or the regarding rule of a write.
    """

    kind: Kind
    reason: str = ""
    activityid: str | None = None
    was_known: bool = field(default=False, compare=False)
    """The journal had it before; nothing was read or written."""
