"""The values the status page is made of: what is shown there and in its JSON, and nothing else.

Moments are unix seconds. There is no address in any of them: a mailbox is its grant's id and its provider.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from mailsync.outcome import Kind

HOUR, DAY = 3600, 24 * 3600


class Level(StrEnum):
    """How things stand, worst first."""

    TROUBLE = "trouble"
    ATTENTION = "attention"
    NEW = "new"
    GOOD = "good"
    GONE = "gone"

    @property
    def rank(self) -> int:
        """Its place, worst first."""
        return list(Level).index(self)


IN_DATAVERSE = frozenset({Kind.WRITTEN, Kind.ADOPTED, Kind.ALREADY_THERE})
KEPT_OUT = frozenset({Kind.SKIPPED, Kind.REMOVED, Kind.ERASED, Kind.GONE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many outcomes there were in a span. What was tried again later counts as often as it was."""

    in_dataverse: int = 0
    kept_out: int = 0
    put_aside: int = 0
    tried_again: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)
    """Each outcome by its own word."""
    by_reason: dict[str, int] = field(default_factory=dict)
    """Why mail was kept out, put aside or tried again: `<outcome> <reason>`."""

    @property
    def ended(self) -> int:
        """Messages that nobody works on any more."""
        return self.in_dataverse + self.kept_out + self.put_aside


def tally(counted: Iterable[tuple[str, str, int]]) -> Tally:
    """The sum of outcomes, each told as kind, reason and how often."""
    kinds: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for kind, reason, count in counted:
        kinds[kind] = kinds.get(kind, 0) + count
        if kind not in IN_DATAVERSE and reason:
            reasons[f"{kind} {reason}"] = reasons.get(f"{kind} {reason}", 0) + count
    return Tally(
        in_dataverse=sum(count for kind, count in kinds.items() if kind in IN_DATAVERSE),
        kept_out=sum(count for kind, count in kinds.items() if kind in KEPT_OUT),
        put_aside=kinds.get(Kind.PUT_ASIDE, 0),
        tried_again=kinds.get(Kind.DEFERRED, 0),
        by_kind=dict(sorted(kinds.items())),
        by_reason=dict(sorted(reasons.items(), key=lambda one: (-one[1], one[0]))),
    )


@dataclass(frozen=True, slots=True)
class Slot:
    """What there was in one hour or day that begins then."""

    start: int
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A span of which nobody has proved yet that all of its mail was seen."""

    begin: int
    end: int
    is_closing: bool
    """The mailbox can be read again, and sweeps are on their way through it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """What the last nightly proof found in one mailbox."""

    made: int
    since: int
    until: int
    seen: int
    unexplained: int
    doubled: int
    left_open: int
    advice: str = ""
    """Why nothing is proved; empty where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxStatus:
    """How one mailbox fares."""

    grant: str
    provider: str
    level: Level
    word: str
    rank: int
    """Its place by that, worst first."""
    why: str = ""
    who: str = ""
    do: str = ""
    since: int | None = None
    grant_status: str
    connected: int | None
    swept: int | None
    """When a sweep last looked through it to the end."""
    proved_until: int | None
    """All mail before then was seen."""
    last_written: int | None
    lag: int | None
    """Seconds by which what is accounted for lies behind the newest mail that Nylas lists."""
    gap: Gap | None
    put_aside: int
    proof: Proved | None
    today: Tally
    week: Tally
    days: tuple[Slot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """One queue. The number counts hidden items too and is approximate; only those at its front can be looked at."""

    name: str
    title: str
    waiting: int
    put: int | None
    """When the first of them was put there."""
    oldest: int | None
    """When the app first heard of the oldest of them."""
    is_poison: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AsideItem:
    """Something that was put aside and waits for a person."""

    grant: str
    key: str
    what: str
    message: str
    """The message's id at Nylas, where it is one."""
    reason: str
    title: str
    who: str
    do: str
    advice: str
    evidence: str
    noted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AsideStatus:
    """What was put aside and waits: how many, and the newest."""

    waiting: int
    is_more: bool
    """There are more than were counted."""
    oldest: int | None
    newest: tuple[AsideItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What stands in the way of all mail just now."""

    reason: str
    title: str
    who: str
    do: str
    advice: str
    evidence: str
    since: int
    at: int
    work: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataverseStatus:
    """What Dataverse last said of our budget, the lowest of all instances, and what they allow themselves."""

    at: int
    requests_left: int | None
    requests: int
    seconds_left: float | None
    seconds: int
    hint: int | None
    at_once: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstancesStatus:
    """What the running processes told of themselves of late."""

    instances: int
    last_noted: int | None
    """When one of them last told of itself: it does while it works."""
    troubles: tuple[Trouble, ...]
    closed: dict[str, int]
    """Gates that are closed, and until when."""
    stopped_until: int | None
    dataverse: DataverseStatus | None
    last_done: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorStatus:
    """How often a reason came in the last day and the last hour or two."""

    reason: str
    scope: str
    title: str
    who: str
    do: str
    day: int
    hour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MailStatus:
    """What became of mail, hour by hour over a day and day by day over a week."""

    hours: tuple[Slot, ...]
    days: tuple[Slot, ...]
    day: Tally
    week: Tally
    seconds_median: float | None
    """From the notification to the email in Dataverse, over a day."""
    seconds_most: float | None
    """Within which 95 of 100 came."""
    errors: tuple[ErrorStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofStatus:
    """The last nightly proofs, all together."""

    made: int | None
    mailboxes: int
    """How many of the connected mailboxes have one."""
    of: int
    seen: int
    unexplained: int
    doubled: int
    left_open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something that somebody should do, or know."""

    level: Level
    title: str
    who: str
    do: str
    since: int | None = None
    where: str = ""
    """The part of the page that tells more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether mail is flowing, in one sentence."""

    level: Level
    word: str
    sentence: str
    detail: str
    since: int | None
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that was gathered; None where a part could not be read, and `unread` says why."""

    made: int
    mailboxes: tuple[MailboxStatus, ...] | None = None
    mail: MailStatus | None = None
    queues: tuple[QueueStatus, ...] | None = None
    aside: AsideStatus | None = None
    proof: ProofStatus | None = None
    instances: InstancesStatus | None = None
    last_written: int | None = None
    last_swept: int | None = None
    erased_is_recognised: bool | None = None
    """None where nothing was erased or shortened."""
    unread: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the page shows."""

    verdict: Verdict
    facts: Facts
