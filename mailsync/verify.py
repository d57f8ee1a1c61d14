"""The proof of completeness: every message of a mailbox, and what became of it.

Lists the mailboxes and their messages through Nylas, joins the journal and Dataverse, and counts each message in
exactly one bucket. It only reads; `replay` brings what is missing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

from mailsync.connected import Connected
from mailsync.dataverse.emails import Emails, Found
from mailsync.errors import GrantError, MailSyncError, MessageGoneError
from mailsync.listings import Listings, Patience
from mailsync.named import as_mailbox
from mailsync.nylas.grants import Grants
from mailsync.nylas.reader import Listed
from mailsync.outcome import Kind
from mailsync.storage.journal import WAITS_FOR_GRANT, Entry, Journal
from mailsync.storage.mailboxes import DELETED, VALID, Mailbox, Mailboxes
from mailsync.windows import first_window_start
from mapping.direction import Copy
from mapping.identity import canonical_message_id
from mapping.message import folder_ids

Watch = Callable[[int, int, int], None]
"""Told how far it is: mailboxes done, mailboxes in all, messages seen so far."""

GRACE = 900
"""Seconds that a message may take before it must be accounted for; also what a sweep leaves a waiting one."""
AT_ONCE = 4
"""Mailboxes looked at side by side."""
FOLDER_RULES = frozenset({"draft", "junk", "trash"})
"""The rules of the policy that a move to another folder undoes."""
OUT_OF_PLACE = ("drafts", "draft", "junk", "spam", "trash")
DISCONNECTED = "disconnected"


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

    def of(self, bucket: str) -> tuple[Counted, ...]:
        """The messages in one of the buckets that are kept by name: unexplained, removed and put aside."""
        return tuple(one for proof in self.mailboxes for one in proof.named if one.bucket == bucket)

    @property
    def holds(self) -> bool:
        """Whether nothing is unexplained, doubled or left open, and every mailbox was looked through."""
        return not (self.of(Bucket.UNEXPLAINED) or self.doubled or self.left_open or self.failed)


_NAMED = frozenset({Bucket.UNEXPLAINED, Bucket.REMOVED, Bucket.PUT_ASIDE})


class Verifier:
    """Looks through mailboxes, journal and Dataverse."""

    def __init__(
        self,
        *,
        grants: Grants,
        mailboxes: Mailboxes,
        listings: Listings,
        journal: Journal,
        emails: Emails,
        connected: Connected,
        sync_since: Callable[[], int],
        clock: Callable[[], float],
        patience: Patience,
    ) -> None:
        self._grants = grants
        self._mailboxes = mailboxes
        self._listings = listings
        self._journal = journal
        self._emails = emails
        self._connected = connected
        self._sync_since = sync_since
        self._clock = clock
        self._patience = patience

    def verify(
        self, *, since: int, until: int, grace: int = GRACE, only: str | None = None, watch: Watch | None = None
    ) -> Proof:
        """Count the messages received between two moments, of one mailbox or of all."""
        mailboxes = [one for one in self._now_connected() if only is None or one.grant == only]
        told = _Told(len(mailboxes), watch or (lambda _done, _of, _seen: None))

        def prove(mailbox: Mailbox) -> MailboxProof:
            proof = self._proof_of(mailbox, since, until, grace)
            told.done(proof.seen)
            return proof

        with ThreadPoolExecutor(AT_ONCE) as pool:
            proofs = list(pool.map(prove, mailboxes))
        return Proof(
            made=int(self._clock()),
            since=since,
            until=until,
            grace=grace,
            mailboxes=tuple(one for one in proofs if one.seen or only or one.listing is not Listing.DISCONNECTED),
        )

    def _now_connected(self) -> list[Mailbox]:
        """The mailboxes Nylas lists now, and those we knew before and it no longer lists."""
        known = {mailbox.grant: mailbox for mailbox in self._mailboxes.all()}
        listed = {grant.id: as_mailbox(grant) for grant in self._patience(self._grants.all)}
        current = [
            replace(mailbox, waiting=known[grant].waiting) if grant in known else mailbox
            for grant, mailbox in listed.items()
        ]
        return current + [replace(one, status=DISCONNECTED) for grant, one in known.items() if grant not in listed]

    def _proof_of(self, mailbox: Mailbox, since: int, until: int, grace: int) -> MailboxProof:
        expected = max(since, self._floor(mailbox))
        listing, advice, listed = self._looked_through(mailbox, expected, until)
        entries = self._entries(mailbox.grant, since, until, listed)
        moved: frozenset[str] = frozenset()
        try:
            moved = self._moved(mailbox.grant, entries, listed)
        except MailSyncError as error:
            listing, advice = Listing.FAILED, str(error)
        activityids = {entry.activityid for entry in entries.values() if entry.activityid}
        found = {one.activityid: one for one in self._patience(lambda: self._emails.find(activityids))}
        joined = _Joined(
            grant=mailbox.grant,
            listed=listed,
            entries=entries,
            moved=moved,
            found=found,
            awaits_sign_in=bool(mailbox.waiting) or listing is Listing.SIGN_IN,
        )
        counted = joined.counted(now=int(self._clock()), grace=grace)
        return MailboxProof(
            mailbox=mailbox,
            listing=listing,
            advice=advice,
            since=expected,
            counts=Counter((one.bucket, one.reason) for one in counted),
            named=tuple(one for one in counted if one.bucket in _NAMED),
            doubled=self._doubled(found.values()),
            left_open=joined.left_open(counted),
        )

    def _floor(self, mailbox: Mailbox) -> int:
        """From when on the sweep looks after a mailbox: its connection, or how far an earlier grant of it came."""
        floor = first_window_start(connected=mailbox.connected, since=self._sync_since())
        earlier = self._connected.earlier(mailbox)
        return min(floor, earlier.watermark or floor) if earlier is not None else floor

    def _looked_through(self, mailbox: Mailbox, since: int, until: int) -> tuple[Listing, str, Mapping[str, Listed]]:
        """What Nylas lists between two moments, or why it can't."""
        if mailbox.status in {DISCONNECTED, DELETED}:
            return Listing.DISCONNECTED, "the mailbox is no longer connected; counted from the journal alone", {}
        if mailbox.status != VALID:
            return Listing.SIGN_IN, f"its grant is {mailbox.status}: its owner must sign in again", {}
        try:
            return Listing.LISTED, "", self._listings.between(mailbox.grant, since, until)
        except GrantError as error:
            return Listing.SIGN_IN, str(error), {}
        except MessageGoneError:
            return Listing.DISCONNECTED, "the mailbox was disconnected just now; run this again", {}
        except MailSyncError as error:
            return Listing.FAILED, str(error), {}

    def _entries(self, grant: str, since: int, until: int, listed: Mapping[str, Listed]) -> dict[str, Entry]:
        """What the journal knows of the span, and of what is listed though the journal dates it otherwise."""
        entries = {entry.message: entry for entry in self._journal.entries(grant, since, until)}
        for message in listed:
            if message not in entries and (entry := self._journal.get(grant, message)) is not None:
                entries[message] = entry
        return entries

    def _moved(self, grant: str, entries: Mapping[str, Entry], listed: Mapping[str, Listed]) -> frozenset[str]:
        """The messages that were skipped as draft, junk or trash and lie in none of these folders now."""
        moved = set()
        for message, one in listed.items():
            entry = entries.get(message)
            if entry is None or entry.kind is not Kind.SKIPPED or entry.reason not in FOLDER_RULES:
                continue
            folders = folder_ids(one.folders)
            if folders is None or set(folders) == set(entry.folders or ()):
                continue
            attributes = self._patience(partial(self._connected.attributes, grant, folders))
            if not Copy(mailbox="", attributes=attributes).lies_in(*OUT_OF_PLACE):
                moved.add(message)
        return frozenset(moved)

    def _doubled(self, found: Iterable[Found]) -> tuple[Doubled, ...]:
        """The emails whose Message-ID another email of the same direction carries too."""
        wanted = {canonical for one in found if (canonical := canonical_message_id(one.messageid)) is not None}
        groups: dict[tuple[str, bool], list[str]] = {}
        for one in self._patience(lambda: self._emails.find_by_message_id(wanted)):
            canonical = canonical_message_id(one.messageid)
            if canonical in wanted:  # Dataverse compares without case
                groups.setdefault((canonical, one.is_outgoing), []).append(one.activityid)
        return tuple(
            Doubled(messageid, is_outgoing, tuple(sorted(ids)))
            for (messageid, is_outgoing), ids in sorted(groups.items())
            if len(ids) > 1
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Joined:
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
        )


class _Told:
    """Tells how far the mailboxes are, which are looked at side by side."""

    def __init__(self, mailboxes: int, watch: Watch) -> None:
        self._of = mailboxes
        self._watch = watch
        self._done = 0
        self._seen = 0
        self._lock = threading.Lock()
        watch(0, mailboxes, 0)

    def done(self, seen: int) -> None:
        with self._lock:
            self._done += 1
            self._seen += seen
            self._watch(self._done, self._of, self._seen)


def _date(listed: Listed | None, entry: Entry | None) -> int | None:
    if listed is not None and listed.date is not None:
        return int(listed.date)
    return entry.date if entry is not None else None
