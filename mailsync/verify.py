"""The looking behind the proof of completeness: every message of a mailbox, and what became of it.

Lists the mailboxes and their messages through Nylas, joins the journal and Dataverse, and lets `proof` count. It only
reads; `replay` brings what is missing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from mailsync.connected import Connected
from mailsync.dataverse.emails import Emails, Found
from mailsync.errors import GrantError, MailSyncError, MessageGoneError
from mailsync.listings import Listings, Patience
from mailsync.named import as_mailbox
from mailsync.nylas.grants import Grants
from mailsync.nylas.reader import Listed
from mailsync.outcome import Kind
from mailsync.proof import GRACE, Bucket, Doubled, Joined, Listing, MailboxProof, Proof
from mailsync.storage.journal import Entry, Journal
from mailsync.storage.mailboxes import DELETED, VALID, Mailbox, Mailboxes
from mapping.addresses import normalise
from mapping.identity import canonical_message_id
from mapping.message import folder_ids
from mapping.policy import Policy
from mapping.tracking import FOLDER_RULES, judge_folder

Watch = Callable[[int, int, int], None]
"""Told how far it is: mailboxes done, mailboxes in all, messages seen so far."""

AT_ONCE = 4
"""Mailboxes looked at side by side."""
DISCONNECTED = "disconnected"
NAMED = frozenset({Bucket.UNEXPLAINED, Bucket.REMOVED, Bucket.PUT_ASIDE})
"""The buckets whose messages are kept by name."""


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
        policy: Policy,
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
        self._policy = policy
        self._sync_since = sync_since
        self._clock = clock
        self._patience = patience

    def verify(
        self, *, since: int, until: int, grace: int = GRACE, only: str | None = None, watch: Watch | None = None
    ) -> Proof:
        """Count the messages received between two moments, of one mailbox or of all."""
        mailboxes = [one for one in self.mailboxes() if only is None or one.grant == only]
        told = _Told(len(mailboxes), watch or (lambda _done, _of, _seen: None))

        def told_of(mailbox: Mailbox) -> MailboxProof:
            proof = self.prove(mailbox, since, until, grace)
            told.done(proof.seen)
            return proof

        with ThreadPoolExecutor(AT_ONCE) as pool:
            proofs = list(pool.map(told_of, mailboxes))
        return Proof(
            made=int(self._clock()),
            since=since,
            until=until,
            grace=grace,
            mailboxes=tuple(one for one in proofs if one.seen or only or one.listing is not Listing.DISCONNECTED),
        )

    def mailboxes(self) -> list[Mailbox]:
        """The mailboxes Nylas lists now, and those we knew before and it no longer lists."""
        known = {mailbox.grant: mailbox for mailbox in self._mailboxes.all()}
        listed = {grant.id: as_mailbox(grant) for grant in self._patience(self._grants.all)}
        current = [
            _with_progress(mailbox, known[grant]) if grant in known else mailbox for grant, mailbox in listed.items()
        ]
        return current + [replace(one, status=DISCONNECTED) for grant, one in known.items() if grant not in listed]

    def prove(self, mailbox: Mailbox, since: int, until: int, grace: int = GRACE) -> MailboxProof:
        """Count the messages of one mailbox; raises MailSyncError where journal or Dataverse can't be read."""
        expected = max(since, self._connected.swept_from(mailbox, since=self._sync_since(), overlap=0))
        listing, advice, listed = self._looked_through(mailbox, expected, until)
        entries = self._entries(mailbox.grant, since, until, listed)
        moved: frozenset[str] = frozenset()
        try:
            moved = self._moved(mailbox, entries, listed)
        except MailSyncError as error:
            listing, advice = Listing.FAILED, str(error)
        activityids = {entry.activityid for entry in entries.values() if entry.activityid}
        found = {one.activityid: one for one in self._patience(lambda: self._emails.find(activityids))}
        joined = Joined(
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
            named=tuple(one for one in counted if one.bucket in NAMED),
            doubled=self._doubled(found.values()),
            left_open=joined.left_open(counted),
        )

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
        filed = {entry.key: entry for entry in self._journal.entries(grant, since, until)}
        entries: dict[str, Entry] = {}
        for message in listed:
            keys = self._journal.keys_of(grant, message)
            entry = next((filed[key] for key in keys if key in filed), None) or self._journal.recall(grant, message)
            if entry is not None:
                entries[message] = entry
            for key in keys:
                filed.pop(key, None)
        # a record that was shortened has no other name any more
        return entries | {entry.message or entry.pseudonym: entry for entry in filed.values()}

    def _moved(self, mailbox: Mailbox, entries: Mapping[str, Entry], listed: Mapping[str, Listed]) -> frozenset[str]:
        """The messages that were skipped for their folder and lie in one now that keeps nothing out."""
        moved, grant, address = set(), mailbox.grant, normalise(mailbox.email) or ""
        for message, one in listed.items():
            entry = entries.get(message)
            if entry is None or entry.kind is not Kind.SKIPPED or entry.reason not in FOLDER_RULES or entry.pseudonym:
                continue
            folders = folder_ids(one.folders)
            if folders is None or set(folders) == set(entry.folders or ()):
                continue
            copy = self._patience(partial(self._connected.copy, grant, address, folders))
            if judge_folder(copy, self._policy) is None:
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


def _with_progress(mailbox: Mailbox, known: Mailbox) -> Mailbox:
    """A mailbox as it is listed now, with what waits for it and how far it was swept."""
    return replace(mailbox, waiting=known.waiting, watermark=known.watermark, swept=known.swept, lag=known.lag)


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
