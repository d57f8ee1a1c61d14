"""One message becomes one completed email: get, get, decide, put.

Every fact is gathered before the pure mapper runs, and after it one short fixed sequence writes. Each step can be
repeated after a crash: the email's id stands in the journal before the first write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from uuid import UUID

from mailsync.connected import Connected
from mailsync.dataverse.creation import Creation, Put, Written
from mailsync.dataverse.emails import Emails, Standing
from mailsync.dataverse.resolver import Resolved, Resolver
from mailsync.errors import HeaderTroubleError, MessageError, MessageGoneError, TransientError
from mailsync.files import content_of
from mailsync.gates import Gate
from mailsync.judging import Facts
from mailsync.kinship import Kinship
from mailsync.measures import Measures
from mailsync.outcome import Kind, Outcome
from mailsync.storage.envelope import DeletedItem, MessageItem, bypasses, is_backfills
from mailsync.storage.journal import ERASED, KEPT_OPEN, Entry, Journal
from mailsync.storage.threads import Child, Sighting, Sightings
from mailsync.storage.tombstones import Tombstones
from mailsync.telemetry import Event, emit, mark
from mailsync.trouble import GONE_AFTER
from mapping.addresses import normalise
from mapping.direction import Copy, sender_of
from mapping.email_activity import EmailActivity
from mapping.guard import as_another_mail, is_same_mail
from mapping.identity import activityid_of, ancestors, identity_of
from mapping.mapper import Known, map_message
from mapping.message import folder_ids
from mapping.owner import Owner, fallback
from mapping.policy import Policy
from mapping.regarding import Found, Parent, Talk, tables_to_ask
from mapping.tracking import Skip, Step, asks_headers, judge

SENDERS_COPY_PATIENCE = 180
"""Seconds a colleague's copy waits for the sender's own, which alone knows the Bcc."""
FIRST_WAIT = 5.0
HEADERLESS_AFTER = 8
"""Tries in which Nylas found no raw form of a message that it shows; then its header counts as unknown."""
BUDGET = 240.0
"""Seconds after which a write goes back to its queue between two steps, to go on where it was; by a stopwatch, for a
clock may be set meanwhile."""
LARGE = 1_000_000
"""Bytes of files in one mail that count as large: few such mails are written at a time."""
EVENTS: dict[Kind, Event] = {
    Kind.WRITTEN: "email_written",
    Kind.ALREADY_THERE: "email_already_there",
    Kind.ADOPTED: "email_adopted",
    Kind.REMOVED: "email_removed",
    Kind.SKIPPED: "message_skipped",
    Kind.ERASED: "message_erased",
}
REUSED = "message_id_reused"
LEFT_THE_MAILBOX = "left_the_mailbox"
CREATED = "message.created"
MOST_RIVALS = 10


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One try at a message."""

    item: MessageItem
    facts: Facts
    started: float
    was_begun: bool
    """An attempt before it, whose end nobody heard of, may have written it."""


@dataclass(frozen=True, slots=True)
class _Decided:
    """An email ready to be written, and what Dataverse said before."""

    email: EmailActivity
    resolved: Resolved
    attempt: _Attempt

    @property
    def facts(self) -> Facts:
        return self.attempt.facts


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where an email stands now, and how it came there."""

    kind: Kind
    reason: str
    identity: UUID
    stands: str
    guard: str
    detail: str = ""
    notes: tuple[str, ...] = ()


class _ErasedMeanwhileError(Exception):
    """Somebody had the mail erased while it was being written."""


class EmailWriter:
    """Writes the email of one message."""

    def __init__(
        self,
        *,
        emails: Emails,
        resolver: Resolver,
        creation: Creation,
        journal: Journal,
        sightings: Sightings,
        tombstones: Tombstones,
        kinship: Kinship,
        connected: Connected,
        policy: Policy,
        large_files: Gate,
        nylas_id_column: str | None,
        measures: Measures,
        clock: Callable[[], float],
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emails = emails
        self._resolver = resolver
        self._creation = creation
        self._journal = journal
        self._sightings = sightings
        self._tombstones = tombstones
        self._kinship = kinship
        self._connected = connected
        self._policy = policy
        self._large_files = large_files
        self._nylas_id_column = nylas_id_column
        self._measures = measures
        self._clock = clock
        self._stopwatch = stopwatch

    def write(self, item: MessageItem) -> Outcome:
        """Bring one message into Dataverse, or say why not. Raises what `errors` names."""
        started = self._stopwatch()
        known = self._journal.get(item.grant, item.message, date=item.date)
        if known is not None and known.kind.is_final:
            emit("message_known", grant=item.grant, message=item.message, outcome=known.kind, source=item.source)
            return Outcome(known.kind, known.reason, known.activityid, was_known=True)
        self._emails.check()
        with self._emails.bypassing(_bypass(item, known)):
            try:
                outcome, date = self._decided(item, known, started)
            except MessageGoneError:
                ended = self._ended(item, known)
                if ended is None:
                    raise
                outcome, date = ended, item.date
        waited = self._measures.outcome(item, outcome.kind, outcome.reason, date=date)
        mark(activity=outcome.activityid)
        emit(
            EVENTS[outcome.kind],
            grant=item.grant,
            message=item.message,
            activity=outcome.activityid,
            reason=outcome.reason,
            source=item.source,
            attempt=item.attempt or None,
            took_ms=round((self._stopwatch() - started) * 1000),
            end_to_end_ms=round(waited * 1000) if waited is not None else None,
        )
        return outcome

    def _decided(self, item: MessageItem, known: Entry | None, started: float) -> tuple[Outcome, int | None]:
        """What becomes of the message, and when it is dated."""
        attempt = self._begun(item, known, started)
        facts = attempt.facts
        entry = self._entry(item, facts)
        if self._was_erased(facts):
            return self._erased(entry, known), entry.date
        skip = judge(Step.COPY, facts.case(), self._policy)
        if skip is None:
            facts = self._with_header(item, facts)
            skip = judge(Step.HEADERS, facts.case(), self._policy)
        if skip is None or self._was_begun(known):
            try:
                return self._written(replace(attempt, facts=facts), entry, known), entry.date
            except _ErasedMeanwhileError:
                return self._erased(entry, self._journal.recall(item.grant, item.message)), entry.date
        return self._skipped(skip, entry, known), entry.date

    def _ended(self, item: MessageItem, known: Entry | None) -> Outcome | None:
        """A message that went from its mailbox while its email was written leaves that one, completed as it stands.

        None where no such email stands, or the message may yet be found.
        """
        if known is None or known.activityid is None or item.misses + 1 < GONE_AFTER:
            return None
        standing = None if self._sightings.of(known.activityid) else self._emails.read(known.activityid)
        if standing is None or self._tombstones.has_erased(standing.activityid, lambda: standing.guard):
            return None
        if not standing.is_completed:
            self._emails.complete(standing)
        now = int(self._clock())
        sighting = Sighting(item.grant, Kind.WRITTEN, standing.activityid, standing.guard)
        self._sightings.note(standing.activityid, sighting, message=item.message, now=now)
        self._journal.put(replace(known, kind=Kind.WRITTEN, reason=LEFT_THE_MAILBOX, noted=now), known)
        return Outcome(Kind.WRITTEN, LEFT_THE_MAILBOX, standing.activityid)

    def record_deleted(self, item: DeletedItem) -> None:
        """Note that a message is gone from its mailbox; what stands in Dataverse stays."""
        known = self._journal.get(item.grant, item.message)  # nobody says when it was dated
        now = int(self._clock())
        if known is not None and (known.kind.is_final or known.kind in {Kind.SKIPPED, Kind.PUT_ASIDE}):
            self._journal.put(replace(known, detail=f"deleted in the mailbox by {now}"), known)
        else:
            gone = Entry(
                grant=item.grant,
                message=item.message,
                kind=Kind.GONE,
                reason="deleted",
                noted=now,
                first_seen=item.first_seen,
                source=item.source,
                notification=item.notification,
            )
            self._journal.put(gone, known)
            self._measures.outcome(item, Kind.GONE, "deleted")
        emit("message_gone", grant=item.grant, message=item.message, source=item.source)

    def _begun(self, item: MessageItem, known: Entry | None, started: float) -> _Attempt:
        mailbox = self._connected.mailbox(item.grant)
        address = normalise(mailbox.email) or ""
        wanted = asks_headers(Copy(address, frozenset()), self._policy)
        live = not is_backfills(item.source)
        read = self._connected.read(mailbox, item.message, with_header=wanted, live=live)
        message = read.message
        identity = identity_of(message, address)
        if known is not None and known.activityid:
            # an earlier attempt may have written under this id: it holds, whatever the headers say today
            identity = replace(identity, activityid=UUID(known.activityid))
        facts = Facts(
            message=message,
            header=read.header,
            copy=self._connected.copy(item.grant, address, folder_ids(message.folders) or ()),
            organisation=self._connected.organisation(),
            identity=identity,
        )
        return _Attempt(item, facts, started, was_begun=known is not None and known.activityid is not None)

    def _was_erased(self, facts: Facts) -> bool:
        """Whether somebody had this mail erased: by its Message-ID and look, or by where an attempt at it began."""
        identity = facts.identity
        own = (identity.activityid, *([activityid_of(identity.message_id)] if identity.message_id else ()))
        return any(self._tombstones.has_erased(str(one), lambda: facts.guard) for one in own)

    def _erased(self, entry: Entry, known: Entry | None) -> Outcome:
        """What a mailbox brings of an erased mail leaves a tombstone as the others did."""
        self._journal.bury(entry, known)
        return Outcome(Kind.ERASED, ERASED)

    def _with_header(self, item: MessageItem, facts: Facts) -> Facts:
        """The facts with the whole header, read now if a rule needs it and it did not come along.

        Nylas shows the message and finds no raw form of it: that may pass, and without a header the mail may stay out.
        """
        if facts.header is not None or not asks_headers(facts.copy, self._policy):
            return facts
        try:
            header = self._connected.header(item.grant, item.message, live=not is_backfills(item.source))
        except MessageGoneError as error:
            if item.header_misses + 1 < HEADERLESS_AFTER:
                raise HeaderTroubleError(
                    "Nylas shows this message and finds no raw form of it; it is asked for again",
                    reason="header_not_found",
                    evidence=error.evidence,
                ) from error
            header = None
        return replace(facts, header=header)

    def _written(self, attempt: _Attempt, entry: Entry, known: Entry | None) -> Outcome:
        facts = attempt.facts
        sightings = self._sightings.of(str(facts.identity.activityid))
        if not sightings:
            self._wait_for_senders_copy(attempt.item, facts)
        resolved = facts.understood(self._resolver.resolve(facts.question(self._policy)))
        skip = judge(Step.PEOPLE, facts.case(resolved), self._policy)
        if skip is not None and not self._was_begun(known):
            return self._skipped(skip, entry, known)
        decided = _Decided(self._mapped(facts, resolved), resolved, attempt)
        entry = replace(entry, notes=_notes(decided))
        known = self._journal.put(replace(entry, activityid=str(decided.email.activityid)), known)
        return self._noted(self._placed(decided, sightings), facts, entry, known)

    def _was_begun(self, known: Entry | None) -> bool:
        """Whether an attempt whose end nobody heard of wrote the email: then no rule comes in time."""
        return known is not None and known.activityid is not None and self._emails.read(known.activityid) is not None

    def _wait_for_senders_copy(self, item: MessageItem, facts: Facts) -> None:
        """A colleague's mailbox holds the sender's own copy, with the Bcc: for some minutes that one goes first."""
        if is_backfills(item.source):
            return  # of old mail the sender's copy comes when somebody brings it too, or never
        waited = self._clock() - item.first_seen
        if waited >= SENDERS_COPY_PATIENCE or facts.copy.lies_in("sent"):
            return
        sender = normalise(sender_of(facts.message, facts.copy, {}, facts.organisation).address_used)
        if sender is not None and self._connected.is_anothers_mailbox(sender, item.grant):
            raise TransientError(
                "the sender's own mailbox is connected; its copy goes first",
                reason="awaits_senders_copy",
                retry_after=min(FIRST_WAIT * 2 ** min(item.attempt, 4), SENDERS_COPY_PATIENCE - waited),
            )

    def _placed(self, decided: _Decided, sightings: tuple[Sighting, ...]) -> _Placed:
        """Write the email, or find that it stands, was removed, or is another mail under the same Message-ID."""
        email, resolved = decided.email, decided.resolved
        own = str(email.activityid)
        is_of = [self._sightings.is_of(one, own, email.guard) for one in sightings]
        if True in is_of:
            return self._seen_before(decided, sightings[is_of.index(True)])
        if None in is_of:
            return self._perhaps_seen_before(decided, sightings[is_of.index(None)])
        if sightings:
            return self._another_mail(decided)
        if resolved.existing is not None:
            standing = self._emails.read(resolved.existing)
            if standing is not None:
                return self._met(decided, standing)
        if self._tombstones.has_erased(own):  # the one that was erased had another look
            return self._another_mail(decided)
        put = self._put(decided)
        if put.put is Put.CREATED:
            return self._created(decided, put, email.regarding.rule)
        standing = self._emails.read(put.activityid)
        if standing is None:
            return self._gone(decided, "removed_meanwhile", put.activityid)
        return self._met(decided, standing)

    def _put(self, decided: _Decided) -> Written:
        email, attempt = decided.email, decided.attempt
        with self._large(email):
            self._check(decided)
            return self._creation.put(
                email,
                people=attempt.facts.people,
                content=content_of(attempt.item, self._connected),
                limits=decided.resolved.limits,
                fallback=fallback(self._policy),
                check_time=lambda: self._check(decided),
            )

    def _large(self, email: EmailActivity) -> AbstractContextManager[None]:
        """Few mails with large files are written at a time; a size that nobody tells may be large."""
        sizes = [LARGE if file.size is None else file.size for file in email.files.carried]
        return self._large_files.passing() if sum(sizes) >= LARGE else nullcontext()

    def _check(self, decided: _Decided) -> None:
        """Between two steps: whether it is time to go back to the queue, and whether the mail was erased meanwhile."""
        email = decided.email
        if self._was_erased(decided.facts) or self._tombstones.has_erased(str(email.activityid), lambda: email.guard):
            raise _ErasedMeanwhileError
        if self._stopwatch() - decided.attempt.started > BUDGET:
            raise TransientError(
                "this mail takes long; it goes on from its queue where it was",
                reason="out_of_time",
                retry_after=1.0,
            )

    def _created(self, decided: _Decided, put: Written, reason: str) -> _Placed:
        email = decided.email
        detail = self._hung(decided)
        return _Placed(Kind.WRITTEN, reason, email.activityid, put.activityid, email.guard, detail, put.notes)

    def _gone(self, decided: _Decided, reason: str, stood: str, kind: Kind = Kind.REMOVED) -> _Placed:
        return _Placed(kind, reason, decided.email.activityid, stood, decided.email.guard)

    def _met(self, decided: _Decided, standing: Standing) -> _Placed:
        """An email nobody of us has seen stands under our id or our Message-ID."""
        if not is_same_mail(decided.email, standing.guard):
            return self._another_mail(decided)
        placed = self._taken_over(decided, standing.activityid, is_completed=standing.is_completed)
        if placed.kind is Kind.ADOPTED:
            return placed
        return replace(placed, detail=self._hung_anew(decided, standing))

    def _seen_before(self, decided: _Decided, seen: Sighting) -> _Placed:
        """A mail that stood in Dataverse: it still does, or somebody removed it, and then it stays gone.

        It was completed when it was seen: if it is open now, a person is at it.
        """
        existing = decided.resolved.existing
        if existing is not None and seen.stands in {existing, ""}:
            return self._taken_over(decided, existing, is_completed=True)
        standing = self._emails.read(seen.stands) if seen.stands else None
        if standing is None:
            return self._gone(decided, "removed_in_dataverse", seen.stands or str(decided.email.activityid))
        return self._taken_over(decided, seen.stands, is_completed=True)

    def _perhaps_seen_before(self, decided: _Decided, seen: Sighting) -> _Placed:
        """Nobody knows which mail was seen: the email that stands tells, and where none does it counts as this one."""
        stands = seen.stands or decided.resolved.existing
        standing = self._emails.read(stands) if stands else None
        if standing is None or is_same_mail(decided.email, standing.guard):
            return self._seen_before(decided, seen)
        return self._another_mail(decided)

    def _taken_over(self, decided: _Decided, stands: str, *, is_completed: bool) -> _Placed:
        """Ours, perhaps to be gone on with, or somebody else's, to be left alone."""
        email = decided.email
        if stands != str(email.activityid):
            return _Placed(Kind.ADOPTED, "same_message_id", email.activityid, stands, email.guard)
        notes: tuple[str, ...] = ()
        if is_completed and decided.attempt.was_begun:
            notes = self._creation.enqueue(email)
        elif not is_completed:
            with self._large(email):
                notes = self._creation.resume(
                    email,
                    content=content_of(decided.attempt.item, self._connected),
                    limits=decided.resolved.limits,
                    check_time=lambda: self._check(decided),
                ).notes
        return _Placed(Kind.ALREADY_THERE, email.regarding.rule, email.activityid, stands, email.guard, notes=notes)

    def _another_mail(self, decided: _Decided) -> _Placed:
        """The Message-ID is taken by a different mail: this one is written under an id of its own."""
        other = replace(decided, email=as_another_mail(decided.email))
        if self._tombstones.has_erased(str(other.email.activityid)):
            return self._gone(other, ERASED, str(other.email.activityid), Kind.ERASED)
        seen = next(iter(self._sightings.of(str(other.email.activityid))), None)
        if seen is not None:
            return self._seen_before(replace(other, resolved=Resolved()), seen)
        put = self._put(other)
        if put.put is Put.CREATED:
            return self._created(other, put, REUSED)
        standing = self._emails.read(put.activityid)
        if standing is None:
            return self._gone(other, "removed_meanwhile", put.activityid)
        placed = self._taken_over(other, put.activityid, is_completed=standing.is_completed)
        return replace(placed, reason=REUSED, detail=self._hung_anew(other, standing))

    def _noted(self, placed: _Placed, facts: Facts, entry: Entry, known: Entry | None) -> Outcome:
        if placed.kind is Kind.ERASED:
            return self._erased(entry, known)
        final = replace(
            entry,
            kind=placed.kind,
            reason=placed.reason,
            activityid=placed.stands,
            detail=placed.detail,
            notes=(*entry.notes, *placed.notes),
        )
        sighting = Sighting(entry.grant, placed.kind, placed.stands, placed.guard)
        self._sightings.note(str(placed.identity), sighting, message=entry.message, now=entry.noted)
        message_id = facts.identity.message_id
        if message_id is not None and placed.kind is not Kind.REMOVED and placed.reason != REUSED:
            self._kinship.gather(message_id, placed.stands, ancestors(facts.message), facts.organisation)
        self._journal.put(final, known)
        return Outcome(placed.kind, placed.reason, placed.stands)

    def _hung(self, decided: _Decided) -> str:
        """A reply was written just now, and its nearest ancestors were not there before."""
        parent = decided.email.parent
        missing = ancestors(decided.facts.message)[: decided.resolved.parent_depth]
        return self._hang(decided, missing, frozenset((parent,)) if parent else frozenset())

    def _hung_anew(self, decided: _Decided, standing: Standing) -> str:
        """An attempt that died after its write may have left the reply hanging from a farther mail, or from nothing."""
        chain, parent = ancestors(decided.facts.message), decided.resolved.parent
        hangs_well = parent is not None and standing.parent == parent.activityid
        missing = chain[: decided.resolved.parent_depth] if hangs_well else chain
        return self._hang(decided, missing, frozenset(str(activityid_of(one)) for one in chain))

    def _hang(self, decided: _Decided, missing: Sequence[str], farther: frozenset[str]) -> str:
        item = decided.attempt.item
        child = Child(str(decided.email.activityid), item.grant, item.message)
        return self._kinship.hang(child, missing, farther, decided.facts.organisation)

    def _mapped(self, facts: Facts, resolved: Resolved) -> EmailActivity:
        """The email, once all is known that its rules ask for."""
        matches, talk = resolved.matches, facts.talk(resolved.matches)
        sibling = self._sibling(facts, talk, resolved)
        found = Found(parent=resolved.parent, sibling=sibling, by_token=resolved.by_token, by_number=resolved.by_number)
        tables = tables_to_ask(talk, found, facts.organisation, self._policy.regarding)
        if tables:
            found = replace(found, related=self._resolver.related(tables, talk.customers()))
        known = Known(
            copy=facts.copy,
            organisation=facts.organisation,
            policy=self._policy,
            matches=matches,
            found=found,
            limits=resolved.limits,
        )
        try:
            email = map_message(facts.message, known, identity=facts.identity, nylas_id_column=self._nylas_id_column)
        except Exception as error:  # the mapper is pure: it would fail the same way each time
            raise MessageError(
                f"the message can't be mapped ({type(error).__name__}); this is a fault of ours, please report it",
                reason="mapping_failed",
            ) from error
        return self._owned(email)

    def _owned(self, email: EmailActivity) -> EmailActivity:
        """The email with the owner of its queue, where that is who owns it."""
        queue = email.owner.queue
        if queue is None:
            return email
        owner = self._resolver.queue_owner(queue)
        return replace(email, owner=fallback(self._policy) if owner is None else Owner(owner, "queue"))

    def _sibling(self, facts: Facts, talk: Talk, resolved: Resolved) -> Parent | None:
        """A mail that answers one that nobody has brought, as this one does."""
        chain = ancestors(facts.message)
        if resolved.parent is not None or resolved.parent_depth < len(chain) or not chain:
            return None
        stands = self._kinship.sibling(str(facts.identity.activityid), chain)
        standing = self._emails.read(stands) if stands is not None else None
        parent = self._emails.as_parent(standing) if standing is not None else None
        return parent if parent is not None and talk.answers(parent, facts.organisation) else None

    def _skipped(self, skip: Skip, entry: Entry, known: Entry | None) -> Outcome:
        noted = replace(entry, kind=Kind.SKIPPED, reason=skip.rule, policy=self._policy.version, detail=skip.reason)
        self._journal.put(noted, known)
        return Outcome(Kind.SKIPPED, skip.rule)

    def _entry(self, item: MessageItem, facts: Facts) -> Entry:
        date = facts.message.date
        return Entry(
            grant=item.grant,
            message=item.message,
            kind=Kind.WRITING,
            noted=int(self._clock()),
            first_seen=item.first_seen,
            date=int(date) if date is not None else None,
            folders=folder_ids(facts.message.folders),
            source=item.source,
            notification=item.notification,
            attempt=item.attempt,
        )


def _bypass(item: MessageItem, known: Entry | None) -> bool:
    """Whether automation stays silent: of what a backfill brings that was told so, unless it has come just now.

    What a backfill skipped is live mail when it moves.
    """
    waits = known is not None and known.kind in KEPT_OPEN and bypasses(known.source) and item.source != CREATED
    return waits or bypasses(item.source)


def _notes(decided: _Decided) -> tuple[str, ...]:
    """What was decided of a mail's people and why, by ids only."""
    owner = decided.email.owner
    told = [f"owner: {owner.rule}{f' {owner.record.table} {owner.record.id}' if owner.record else ''}"]
    for choice in decided.resolved.choices.values():
        if choice.rivals:
            rivals = ", ".join(f"{one.table} {one.id}" for one in choice.rivals[:MOST_RIVALS])
            taken = f"{choice.match.table} {choice.match.id}" if choice.match is not None else "nobody"
            told.append(f"one address, several rows: {rivals}; taken: {taken}")
    return tuple(told)
