"""Removes what the app holds about mails with one person, and sees to it that nothing brings them back.

We hold ids only, so a person's mails are found where people are known: in Dataverse by its activity parties, and in the
mailboxes by Nylas' search. What is left are tombstones: keyed hashes that say nothing to whoever reads them.

Tombstones come first: a worker that has heard of them writes nothing of what is being erased. One that has not heard
yet, for that takes a minute, is why all is done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from mailsync.connected import Connected
from mailsync.dataverse.address_book import spellings
from mailsync.dataverse.correspondence import Correspondence, Deleted
from mailsync.dataverse.emails import Emails
from mailsync.errors import ArgumentError, MailSyncError, MessageError, MessageGoneError, Scope
from mailsync.judging import Facts
from mailsync.listings import Patience
from mailsync.named import as_mailbox
from mailsync.nylas.grants import Grants
from mailsync.nylas.reader import Reader
from mailsync.outcome import Kind
from mailsync.storage.aside import UNREADABLE, Aside, Kept
from mailsync.storage.journal import KEPT_OPEN, Entry, Journal, hash_of
from mailsync.storage.mailboxes import VALID, Mailbox, Mailboxes
from mailsync.storage.pseudonyms import Pseudonyms
from mailsync.storage.threads import Awaited, Child, Sightings
from mailsync.storage.tombstones import LIFE, Tombstones, of_look
from mailsync.write import REUSED
from mapping import direction
from mapping.addresses import normalise, without_tag
from mapping.groups import opened
from mapping.guard import another_identity
from mapping.identity import Identity, activityid_of, canonical_message_id, identity_of
from mapping.message import Message
from mapping.records import Record

SETTLE = LIFE + 10.0
"""Seconds after which every process has heard of new tombstones, and asks before each step of a write."""
MOST_HITS = {"microsoft": 1000}
"""Messages that a provider's search tells of at most (Microsoft's page on $search, read 2026-11)."""
SHORTENED_TOGETHER = 500
Watch = Callable[[str, int], None]
"""Told what is being looked through, and how much of it was found."""


class EraseError(ArgumentError):
    """This person's mails can't be erased as things are; the message says what to do first."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One mailbox's message: the hash of its id, the id itself where somebody told it, and its date likewise."""

    grant: str
    key: str
    message: str = ""
    date: int | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """A mailbox that was looked through, or why it could not be."""

    grant: str
    found: int
    advice: str = ""


@dataclass(slots=True)
class Findings:
    """The mails with one person."""

    records: tuple[Record, ...] = ()
    """The person's own rows in the CRM, which stay."""
    emails: set[str] = field(default_factory=set)
    """Emails that stand in Dataverse."""
    told: set[str] = field(default_factory=set)
    """Emails that a record or a sighting of one of the copies names, or named when it was there."""
    identities: set[str] = field(default_factory=set)
    """Activityids that a mail has, or would have."""
    message_ids: set[str] = field(default_factory=set)
    looks: dict[str, set[str]] = field(default_factory=dict)
    """Hashed guards of the mails that were seen under the identity of a Message-ID; others may come under it."""
    copies: dict[tuple[str, str], Copy] = field(default_factory=dict)
    mailboxes: list[Looked] = field(default_factory=list)
    own: tuple[Mailbox, ...] = ()
    """Mailboxes that were the person's, and are connected no more."""

    @property
    def is_complete(self) -> bool:
        """Whether every connected mailbox was looked through."""
        return not any(looked.advice for looked in self.mailboxes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What was taken away."""

    tombstones: int
    """Things that were not marked as erased before."""
    records: int
    waiting: int
    """Of the records, those of messages that were on their way; their items end when their turn comes."""
    sightings: int
    awaited: int
    aside: int
    shortened: int
    mailboxes: int
    dataverse: Deleted | None

    @property
    def anything(self) -> bool:
        """Whether something was found that was not erased before."""
        deleted = len(self.dataverse.deleted) if self.dataverse is not None else 0
        return bool(self.tombstones or self.records or self.sightings or self.aside or self.shortened or deleted)


class Eraser:
    """Finds the mails with a person, and erases them."""

    def __init__(
        self,
        *,
        correspondence: Correspondence,
        emails: Emails,
        grants: Grants,
        reader: Reader,
        connected: Connected,
        journal: Journal,
        sightings: Sightings,
        awaited: Awaited,
        aside: Aside,
        mailboxes: Mailboxes,
        tombstones: Tombstones,
        page_size: int,
        patience: Patience,
        clock: Callable[[], float],
    ) -> None:
        self._correspondence = correspondence
        self._emails = emails
        self._grants = grants
        self._reader = reader
        self._connected = connected
        self._journal = journal
        self._sightings = sightings
        self._awaited = awaited
        self._aside = aside
        self._mailboxes = mailboxes
        self._tombstones = tombstones
        self._page_size = page_size
        self._patience = patience
        self._clock = clock

    # finding

    def find(
        self, address: str, *, before: Findings | None = None, watch: Watch = lambda _what, _found: None
    ) -> Findings:
        """Look for the mails with this address everywhere; erases nothing.

        `before` is what was found the last time: the records that led to some of its emails are gone since.
        Raises EraseError where the person's own mailbox is connected still, and ConfigurationError without the key.
        """
        person = normalise(address)
        if person is None:
            raise EraseError("this is no email address", reason="no_address")
        pseudonyms = self._tombstones.claim()
        connected = [as_mailbox(grant) for grant in self._patience(self._grants.all)]
        found = Findings(own=self._own(person, connected), told=set(before.emails) if before is not None else set())
        found.records = self._patience(lambda: self._correspondence.records([person]))
        activities = self._patience(lambda: self._correspondence.activities(tuple(spellings(person)), found.records))
        stand = self._patience(lambda: self._emails.find(activities))
        found.emails = {email.activityid for email in stand}
        for email in stand:
            self._add_mail(found, email.activityid, email.messageid)
        watch("Dataverse", len(found.emails))
        for mailbox in connected:
            found.mailboxes.append(self._look_through(mailbox, person, found))
            watch(mailbox.grant, found.mailboxes[-1].found)
        self._add_seen(found, pseudonyms)
        named = found.told - found.emails
        found.emails |= {email.activityid for email in self._patience(lambda: self._emails.find(named))}
        return found

    def _own(self, person: str, connected: Iterable[Mailbox]) -> tuple[Mailbox, ...]:
        """The person's own mailboxes, which must be disconnected: each of their mails would come back at once."""
        listed = {mailbox.grant for mailbox in connected}
        known = {mailbox.grant: mailbox for mailbox in self._mailboxes.all()}
        own = [one for one in known.values() if _is_whose(one, person)]
        theirs = [one.grant for one in own if one.grant in listed]
        theirs += [one.grant for one in connected if one.grant not in known and _is_whose(one, person)]
        if theirs:
            raise EraseError(
                f"a connected mailbox has this address: {', '.join(theirs)}; disconnect it at Nylas first, or take the "
                "address away from it where it is an alias",
                reason="still_connected",
            )
        return tuple(own)

    def _look_through(self, mailbox: Mailbox, person: str, found: Findings) -> Looked:
        if mailbox.status != VALID:
            return Looked(mailbox.grant, 0, f"its grant is {mailbox.status}: its owner must sign in first")
        own = normalise(mailbox.email) or ""
        hits = seen = 0
        try:
            for message in self._messages(mailbox.grant, tuple(spellings(person))):
                hits += 1
                if _is_with(person, message):
                    seen += 1
                    self._add_copy(found, mailbox.grant, message, own)
        except MailSyncError as error:
            return Looked(mailbox.grant, seen, str(error))
        if hits >= MOST_HITS.get(mailbox.provider, hits + 1):
            return Looked(mailbox.grant, seen, "its search tells of no more: delete these there, and run it again")
        return Looked(mailbox.grant, seen)

    def _messages(self, grant: str, spelled: tuple[str, ...]) -> Iterator[Message]:
        cursor: str | None = None
        while True:
            ask = partial(self._reader.correspondence, grant, spelled, limit=self._page_size, cursor=cursor)
            messages, cursor = self._patience(ask)
            for message in messages:
                yield message if message.headers is not None else self._read(grant, message.id) or message
            if cursor is None:
                return

    def _add_copy(self, found: Findings, grant: str, message: Message, mailbox: str) -> None:
        key = hash_of(message.id)
        date = int(message.date) if message.date is not None else None
        found.copies[grant, key] = Copy(grant, key, message.id, date)
        if message.headers is None:
            known = self._journal.recall(grant, message.id)
            if known is not None and known.kind.is_final and known.activityid:
                found.identities.add(known.activityid)
                found.told.add(known.activityid)
            return
        identity = identity_of(message, mailbox)
        own = str(identity.activityid)
        stands = self._stands_under(found, grant, message, identity)
        if stands == own:
            self._add_mail(found, own, identity.message_id)
        elif stands is not None:
            found.identities.add(stands)

    def _stands_under(self, found: Findings, grant: str, message: Message, identity: Identity) -> str | None:
        """The id of this copy's mail: not that of its Message-ID where another mail was there before.

        None where that can't be told; its copy is known all the same.
        """
        own = str(identity.activityid)
        known = self._journal.recall(grant, message.id)
        if known is not None and known.kind is Kind.ERASED:
            return own if self._tombstones.has_erased(own) else None
        if known is not None and known.kind.is_final and known.activityid:
            is_another = known.reason == REUSED or any(
                str(another_identity(identity.activityid, one.guard)) == known.activityid
                for one in self._sightings.of(known.activityid)
            )
            found.told.add(known.activityid)
            return known.activityid if is_another else own
        seen = () if identity.synthetic else self._sightings.of(own)
        if not seen and (identity.synthetic or not self._tombstones.has_erased(own)):
            return own
        guard = self._guard(grant, message.id, identity)
        if guard is None:
            return None
        is_it = any(self._sightings.is_of(one, own, guard) for one in seen)
        is_it = is_it or self._tombstones.has_erased(own, lambda: guard)
        return own if is_it else str(another_identity(identity.activityid, guard))

    def _read(self, grant: str, message: str) -> Message | None:
        """A message as its mailbox shows it; None where it is gone or can't be read, which ends nothing else."""
        try:
            return self._patience(partial(self._connected.message, grant, message))
        except MailSyncError as error:
            is_its_own = isinstance(error, (MessageError, MessageGoneError)) and error.scope is Scope.MESSAGE
            if is_its_own or error.reason == "nylas_without_headers":
                return None
            raise

    def _guard(self, grant: str, message: str, identity: Identity) -> str | None:
        """The look of a mail; None where the mailbox does not show it."""
        whole = self._read(grant, message)
        if whole is None:
            return None
        nowhere = direction.Copy("", frozenset())
        return Facts(whole, None, nowhere, self._connected.organisation(), identity).guard

    def _add_seen(self, found: Findings, pseudonyms: Pseudonyms) -> None:
        """Every mailbox that saw one of these mails, and how those look that have their Message-ID's own identity."""
        shared = {str(activityid_of(one)) for one in found.message_ids}
        for identity in tuple(found.identities):
            for sighting in self._patience(partial(self._sightings.of, identity)):
                if sighting.stands:
                    found.told.add(sighting.stands)
                if identity in shared:
                    look = pseudonyms.of_guard(identity, sighting.guard) if sighting.grant else sighting.guard
                    found.looks.setdefault(identity, set()).add(look)
                if sighting.grant:
                    found.copies.setdefault((sighting.grant, sighting.copy), Copy(sighting.grant, sighting.copy))

    def _add_mail(self, found: Findings, activityid: str, messageid: str | None) -> None:
        """A mail by each id that it may turn up under."""
        found.identities.add(activityid)
        canonical = canonical_message_id(messageid)
        if canonical is not None:
            found.identities.add(str(activityid_of(canonical)))
            found.message_ids.add(canonical)

    # erasing

    def erase(self, found: Findings, *, address: str, delete: bool) -> Erased:
        """Mark all that was found as erased, take away what we hold of it, and delete its emails where asked to."""
        pseudonyms = self._tombstones.claim()
        new = self._tombstones.add(_marks(found, pseudonyms))
        records = [self._bury(copy) for copy in found.copies.values()]
        waiting = sum(kind in KEPT_OPEN for kind in records)
        sightings = sum(self._sightings.erase(identity) for identity in sorted(found.identities))
        own = {mailbox.grant for mailbox in found.own}
        missed = {hash_of(one) for one in found.message_ids}
        awaited = self._awaited.erase(
            lambda hashed, child: hashed in missed or child.grant in own or _is_theirs(found, child)
        )
        spelled = tuple(spellings(normalise(address) or address))
        shortened = sum(self._forget_mailbox(mailbox, pseudonyms) for mailbox in found.own)
        aside = self._aside.erase(lambda kept: _is_about(found, own, spelled, kept))
        return Erased(
            tombstones=new,
            records=sum(kind is not None for kind in records),
            waiting=waiting,
            sightings=sightings,
            awaited=awaited,
            aside=aside,
            shortened=shortened,
            mailboxes=len(own),
            dataverse=self._patience(partial(self._correspondence.delete, found.emails)) if delete else None,
        )

    def _bury(self, copy: Copy) -> Kind | None:
        """Leave a tombstone of one copy; returns what was known of it before, None if nothing or its erasure."""
        entry = self._journal.copy(copy.grant, copy.key)
        if entry is None and not copy.message:
            return None  # a sighting alone; its mark keeps it out
        message = copy.message or (entry.message if entry is not None else "")
        now = int(self._clock())
        known = entry or self._journal.recall(copy.grant, message)
        if known is not None and known.kind is Kind.ERASED:
            return None
        erased = Entry(
            grant=copy.grant,
            message=message,
            kind=Kind.ERASED,
            noted=now,
            first_seen=now,
            date=copy.date if copy.date is not None or known is None else known.date,
            source=known.source if known is not None else "",
        )
        self._journal.bury(erased, known)
        return known.kind if known is not None else None

    def _forget_mailbox(self, mailbox: Mailbox, pseudonyms: Pseudonyms) -> int:
        """Of a mailbox that was the person's: which messages lay there."""
        portion: list[Entry] = []
        under_way: list[Entry] = []
        done = 0
        for entry in self._journal.of_mailbox(mailbox.grant):
            if entry.pseudonym:
                continue
            if entry.kind in KEPT_OPEN:
                under_way.append(entry)
                continue
            portion.append(entry)
            if len(portion) == SHORTENED_TOGETHER:
                done += self._journal.shorten(portion, pseudonyms)
                portion = []
        done += self._journal.shorten(portion, pseudonyms)
        done += self._bury_under_way(under_way, pseudonyms)
        place: tuple[str, str] | None = ("", "")
        while place is not None:
            rows, place = self._sightings.walk(place, 1000)
            for row in rows:
                if row.sighting.grant == mailbox.grant:
                    done += self._sightings.shorten(row, pseudonyms)
        return done

    def _bury_under_way(self, entries: list[Entry], pseudonyms: Pseudonyms) -> int:
        """What waits for a mailbox that nobody can read any more ends at its tombstone when its turn comes."""
        self._tombstones.add(pseudonyms.of_copy(entry.grant, entry.key) for entry in entries)
        for entry in entries:
            self._journal.bury(replace(entry, kind=Kind.ERASED), entry)
        return len(entries)

    def forget_owner(self, found: Findings) -> None:
        """Forget whose the mailboxes were that were the person's; they are found by that, so this comes last."""
        for mailbox in found.own:
            self._mailboxes.erase(mailbox.grant)


def _marks(found: Findings, pseudonyms: Pseudonyms) -> Iterator[str]:
    """What to know each mail and each copy by."""
    for identity in sorted(found.identities):
        mail, looks = pseudonyms.of_mail(identity), found.looks.get(identity)
        yield from (of_look(mail, look) for look in sorted(looks)) if looks else (mail,)
    yield from (pseudonyms.of_copy(grant, key) for grant, key in sorted(found.copies))


def _is_with(person: str, message: Message) -> bool:
    """Whether a mail names the person, tagged or not: a provider's search also finds what looks alike.

    One that shows nobody, because it can't be read, counts as what was asked for.
    """
    named = [normalise(one.email) for one in opened(message).participants()]
    is_hidden = message.headers is None and not named
    return is_hidden or any(one is not None and person in {one, without_tag(one)} for one in named)


def _is_whose(mailbox: Mailbox, person: str) -> bool:
    return normalise(mailbox.email) == person or person in mailbox.aliases


def _is_theirs(found: Findings, child: Child) -> bool:
    """Whether a reply that waits for a mail is one of theirs."""
    is_known = child.activityid in found.identities or child.activityid in found.emails
    return is_known or (child.grant, hash_of(child.message)) in found.copies


def _is_about(found: Findings, own: set[str], spelled: tuple[str, ...], kept: Kept) -> bool:
    """Whether an item that was put aside is of one of these messages, or a text that names the person."""
    if kept.grant == UNREADABLE:
        return any(one.lower() in kept.envelope.lower() for one in spelled)
    return kept.grant in own or (kept.grant, kept.digest) in found.copies
