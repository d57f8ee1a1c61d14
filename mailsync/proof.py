"""What the proof of completeness counts: each message in exactly one bucket, and why there.

Pure: `verify` gathers what Nylas, the journal and Dataverse say, and here it is reckoned up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mailsync.dataverse.emails import Found
from mailsync.nylas.reader import Listed
from mailsync.outcome import Kind
from mailsync.storage.journal import ERASED, WAITS_FOR_GRANT, Entry
from mailsync.storage.mailboxes import Mailbox

SHORTENED = "shortened"
"""The reason of what is counted by its outcome alone: nobody knows any more which email it became."""
GRACE = 900
"""Seconds that a message may take before it must be accounted for; also what a sweep leaves a waiting one."""


class Bucket(StrEnum):
    """What a message is counted as; each is in exactly one."""

    WRITTEN = "written"
    ADOPTED = "adopted"
    ALREADY_THERE = "already_there"
    REMOVED = "removed"
    SKIPPED = "skipped"
    ON_THE_WAY = "on_the_way"
    PUT_ASIDE = "put_aside"
    GONE = "gone"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of one message when it is counted."""

    entry: Entry | None
    date: int | None
    is_listed: bool
    stands: bool = False
    """Dataverse holds the email that the journal names."""
    has_moved: bool = False
    """It was skipped for its folder and lies in another one now."""
    awaits_sign_in: bool = False
    """Its mailbox's owner must sign in, and what waits for that is not lost."""


def bucket_of(seen: Seen, *, now: int, grace: int) -> tuple[Bucket, str]:
    """Where a message is counted, and why there."""
    entry = seen.entry
    if entry is None:
        is_young = seen.date is not None and abs(now - seen.date) <= grace
        return (Bucket.ON_THE_WAY, "young") if is_young else (Bucket.UNEXPLAINED, "never_seen")
    match entry.kind:
        case Kind.WRITTEN | Kind.ADOPTED | Kind.ALREADY_THERE if entry.pseudonym:
            return Bucket(entry.kind.value), SHORTENED
        case Kind.WRITTEN | Kind.ADOPTED | Kind.ALREADY_THERE:
            return (Bucket(entry.kind.value), entry.reason) if seen.stands else (Bucket.REMOVED, "removed_in_dataverse")
        case Kind.REMOVED | Kind.ERASED:
            return (Bucket.ALREADY_THERE, "stands_again") if seen.stands else (Bucket.REMOVED, entry.reason)
        case Kind.SKIPPED:
            return (Bucket.UNEXPLAINED, "moved_since_skipped") if seen.has_moved else (Bucket.SKIPPED, entry.reason)
        case Kind.GONE:
            is_back = seen.is_listed and entry.noted + grace < now
            return (Bucket.UNEXPLAINED, "gone_but_listed") if is_back else (Bucket.GONE, entry.reason)
        case Kind.PUT_ASIDE:
            return Bucket.PUT_ASIDE, entry.reason
    return _under_way(entry, awaits_sign_in=seen.awaits_sign_in, now=now, grace=grace)


def _under_way(entry: Entry, *, awaits_sign_in: bool, now: int, grace: int) -> tuple[Bucket, str]:
    if awaits_sign_in and entry.reason == WAITS_FOR_GRANT:
        return Bucket.ON_THE_WAY, "waits_for_sign_in"
    if is_in_time(entry, now=now, grace=grace):
        return Bucket.ON_THE_WAY, entry.reason if entry.kind is Kind.DEFERRED else entry.kind.value
    return Bucket.UNEXPLAINED, "overdue"


def is_in_time(entry: Entry, *, now: int, grace: int) -> bool:
    """Whether a message on its way was heard of lately, or is due later."""
    return max(entry.noted, entry.until or 0) + grace >= now


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A message that somebody may want to look at or bring back."""

    grant: str
    message: str
    bucket: Bucket
    reason: str
    date: int | None
    is_listed: bool
    activityid: str | None
    first_seen: int | None
    source: str = ""
    is_shortened: bool = False


@dataclass(frozen=True, slots=True)
class Doubled:
    """Emails in Dataverse that carry one Message-ID in one direction."""

    messageid: str
    is_outgoing: bool
    activityids: tuple[str, ...]


class Listing(StrEnum):
    """Whether a mailbox could be listed."""

    LISTED = "listed"
    SIGN_IN = "owner_must_sign_in"
    DISCONNECTED = "disconnected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxProof:
    """What became of the messages of one mailbox."""

    mailbox: Mailbox
    listing: Listing
    advice: str
    since: int
    """From here on every message must be known: mail from before the mailbox was connected is not swept."""
    counts: Mapping[tuple[Bucket, str], int]
    named: tuple[Counted, ...]
    doubled: tuple[Doubled, ...]
    left_open: tuple[str, ...]

    @property
    def seen(self) -> int:
        """How many messages were counted."""
        return sum(self.counts.values())

    @property
    def proven_until(self) -> int | None:
        """Up to when all of its mail was seen before, where it could not be looked through; None where never."""
        return None if self.listing is Listing.LISTED else self.mailbox.settled_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What became of the messages of all these mailboxes in a span of time."""

    made: int
    since: int
    until: int
    grace: int
    mailboxes: tuple[MailboxProof, ...]

    @property
    def counts(self) -> Counter[tuple[Bucket, str]]:
        """The sum over the mailboxes."""
        total: Counter[tuple[Bucket, str]] = Counter()
        for proof in self.mailboxes:
            total.update(proof.counts)
        return total

    @property
    def doubled(self) -> tuple[Doubled, ...]:
        """Each double once, however many mailboxes hold the mail."""
        return tuple(dict.fromkeys(one for proof in self.mailboxes for one in proof.doubled))

    @property
    def left_open(self) -> tuple[str, ...]:
        """Each email once that was never completed."""
        return tuple(dict.fromkeys(one for proof in self.mailboxes for one in proof.left_open))

    @property
    def failed(self) -> tuple[MailboxProof, ...]:
        """The mailboxes of which nothing is proved, for they could not be listed."""
        return tuple(proof for proof in self.mailboxes if proof.listing is Listing.FAILED)

    @property
    def unseen(self) -> tuple[MailboxProof, ...]:
        """The mailboxes that could not be looked through: only what the journal knows of them is counted."""
        return tuple(proof for proof in self.mailboxes if proof.listing is not Listing.LISTED)

    @property
    def to_recreate(self) -> tuple[Counted, ...]:
        """What was removed from Dataverse and may be brought back: not what was erased, nor what lost its name."""
        return tuple(one for one in self.of(Bucket.REMOVED) if one.reason != ERASED and not one.is_shortened)

    def of(self, bucket: str) -> tuple[Counted, ...]:
        """The messages in one of the buckets that are kept by name: unexplained, removed and put aside."""
        return tuple(one for proof in self.mailboxes for one in proof.named if one.bucket == bucket)

    @property
    def holds(self) -> bool:
        """Whether nothing is unexplained, doubled or left open of what was seen, and no listing failed.

        A mailbox that nobody can look through, for its owner must sign in or disconnected it, is not held against it:
        `unseen` names those.
        """
        return not (self.of(Bucket.UNEXPLAINED) or self.doubled or self.left_open or self.failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What the three say of one mailbox's messages."""

    grant: str
    listed: Mapping[str, Listed]
    entries: Mapping[str, Entry]
    moved: frozenset[str]
    found: Mapping[str, Found]
    awaits_sign_in: bool

    def counted(self, *, now: int, grace: int) -> tuple[Counted, ...]:
        """Every message that is listed or in the journal, in its bucket."""
        return tuple(
            self._count(message, now=now, grace=grace) for message in dict.fromkeys((*self.listed, *self.entries))
        )

    def left_open(self, counted: Sequence[Counted]) -> tuple[str, ...]:
        """Our own emails that nobody is about to complete; an adopted one is another's, open or not."""
        stand = ((one, self.found.get(one.activityid or "")) for one in counted)
        left = (
            email.activityid
            for one, email in stand
            if email is not None
            and email.is_open
            and one.bucket is not Bucket.ON_THE_WAY
            and self.entries[one.message].kind is not Kind.ADOPTED
        )
        return tuple(dict.fromkeys(left))

    def _count(self, message: str, *, now: int, grace: int) -> Counted:
        entry, listed = self.entries.get(message), self.listed.get(message)
        activityid = entry.activityid if entry is not None else None
        seen = Seen(
            entry=entry,
            date=_date(listed, entry),
            is_listed=listed is not None,
            stands=activityid in self.found,
            has_moved=message in self.moved,
            awaits_sign_in=self.awaits_sign_in,
        )
        bucket, reason = bucket_of(seen, now=now, grace=grace)
        return Counted(
            grant=self.grant,
            message=message,
            bucket=bucket,
            reason=reason,
            date=seen.date,
            is_listed=seen.is_listed,
            activityid=activityid,
            first_seen=entry.first_seen if entry is not None else None,
            source=entry.source if entry is not None else "",
            is_shortened=entry is not None and bool(entry.pseudonym),
        )


def _date(listed: Listed | None, entry: Entry | None) -> int | None:
    if listed is not None and listed.date is not None:
        return int(listed.date)
    return entry.date if entry is not None else None
