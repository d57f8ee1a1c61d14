"""One message becomes one completed email: get, get, decide, put.

Every fact is gathered before the pure mapper runs, and after it one short fixed sequence writes. Each step can be
repeated after a crash: the email's id stands in the journal before the first write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from mailsync.connected import Connected
from mailsync.dataverse.emails import Emails, Put, Resolved, Standing
from mailsync.errors import MessageError, TransientError
from mailsync.kinship import Kinship
from mailsync.outcome import Kind, Outcome
from mailsync.storage.envelope import DeletedItem, MessageItem
from mailsync.storage.journal import Entry, Journal
from mailsync.storage.threads import Child, Sighting, Sightings
from mailsync.telemetry import Event, emit
from mapping.addresses import normalise
from mapping.direction import Copy, sender_of
from mapping.email_activity import EmailActivity
from mapping.guard import as_another_mail, guard_of
from mapping.identity import Identity, activityid_of, ancestors, identity_of
from mapping.mapper import map_message
from mapping.matches import Organisation
from mapping.message import Message, folder_ids
from mapping.parties import people_of
from mapping.tracking import Skip, TrackingRules, judge_copy, judge_people

SENDERS_COPY_PATIENCE = 180
"""Seconds a colleague's copy waits for the sender's own, which alone knows the Bcc."""
FIRST_WAIT = 5.0
EVENTS: dict[Kind, Event] = {
    Kind.WRITTEN: "email_written",
    Kind.ALREADY_THERE: "email_already_there",
    Kind.ADOPTED: "email_adopted",
    Kind.REMOVED: "email_removed",
    Kind.SKIPPED: "message_skipped",
}
REUSED = "message_id_reused"


@dataclass(frozen=True, slots=True)
class _Facts:
    """A message as one mailbox holds it, in its organisation."""

    item: MessageItem
    message: Message
    copy: Copy
    organisation: Organisation
    identity: Identity

    @property
    def people(self) -> tuple[str, ...]:
        """The addresses whose owners decide parties, direction and regarding."""
        return tuple(dict.fromkeys((*people_of(self.message), self.copy.mailbox)))


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where an email stands now, and how it came there."""

    kind: Kind
    reason: str
    identity: UUID
    stands: str
    guard: str
    detail: str = ""


class EmailWriter:
    """Writes the email of one message."""

    def __init__(
        self,
        *,
        emails: Emails,
        journal: Journal,
        sightings: Sightings,
        kinship: Kinship,
        connected: Connected,
        rules: TrackingRules,
        nylas_id_column: str | None,
        clock: Callable[[], float],
    ) -> None:
        self._emails = emails
        self._journal = journal
        self._sightings = sightings
        self._kinship = kinship
        self._connected = connected
        self._rules = rules
        self._nylas_id_column = nylas_id_column
        self._clock = clock

    def write(self, item: MessageItem) -> Outcome:
        """Bring one message into Dataverse, or say why not. Raises what `errors` names."""
        started = self._clock()
        known = self._journal.get(item.grant, item.message)
        if known is not None and known.kind.is_final:
            emit("message_known", grant=item.grant, message=item.message, outcome=known.kind, source=item.source)
            return Outcome(known.kind, known.reason, known.activityid)
        self._emails.check()
        facts = self._facts(item, known)
        entry = self._entry(item, facts)
        skip = judge_copy(facts.message, facts.copy, facts.organisation, self._rules)
        if skip is None or self._was_begun(known):
            outcome = self._written(item, facts, entry, known)
        else:
            outcome = self._skipped(skip, entry, known)
        emit(
            EVENTS[outcome.kind],
            grant=item.grant,
            message=item.message,
            activity=outcome.activityid,
            reason=outcome.reason,
            source=item.source,
            attempt=item.attempt or None,
            took_ms=round((self._clock() - started) * 1000),
        )
        return outcome

    def record_deleted(self, item: DeletedItem) -> None:
        """Note that a message is gone from its mailbox; what stands in Dataverse stays."""
        known = self._journal.get(item.grant, item.message)
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
        emit("message_gone", grant=item.grant, message=item.message, source=item.source)

    def _facts(self, item: MessageItem, known: Entry | None) -> _Facts:
        mailbox = self._connected.mailbox(item.grant)
        message = self._connected.message(item.grant, item.message)
        address = normalise(mailbox.email) or ""
        folders = folder_ids(message.folders) or ()
        identity = identity_of(message, address)
        if known is not None and known.activityid:
            # an earlier attempt may have written under this id: it holds, whatever the headers say today
            identity = replace(identity, activityid=UUID(known.activityid))
        return _Facts(
            item=item,
            message=message,
            copy=Copy(mailbox=address, attributes=self._connected.attributes(item.grant, folders)),
            organisation=self._connected.organisation(),
            identity=identity,
        )

    def _written(self, item: MessageItem, facts: _Facts, entry: Entry, known: Entry | None) -> Outcome:
        sightings = self._sightings.of(str(facts.identity.activityid))
        if not sightings:
            self._wait_for_senders_copy(item, facts)
        chain = ancestors(facts.message)
        resolved = self._emails.resolve(facts.identity, ancestors=chain, addresses=facts.people)
        skip = judge_people(facts.message, facts.copy, facts.organisation, resolved.matches, self._rules)
        if skip is not None and not self._was_begun(known):
            return self._skipped(skip, entry, known)
        email = self._mapped(facts, resolved)
        known = self._journal.put(replace(entry, activityid=str(email.activityid)), known)
        placed = self._placed(email, resolved, sightings, facts)
        return self._noted(placed, facts, entry, known)

    def _was_begun(self, known: Entry | None) -> bool:
        """Whether an attempt whose end nobody heard of wrote the email: then no rule comes in time."""
        return known is not None and known.activityid is not None and self._emails.read(known.activityid) is not None

    def _wait_for_senders_copy(self, item: MessageItem, facts: _Facts) -> None:
        """A colleague's mailbox holds the sender's own copy, with the Bcc: for some minutes that one goes first."""
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

    def _placed(
        self, email: EmailActivity, resolved: Resolved, sightings: tuple[Sighting, ...], facts: _Facts
    ) -> _Placed:
        """Write the email, or find that it stands, was removed, or is another mail under the same Message-ID."""
        guard = guard_of(email)
        seen = next((sighting for sighting in sightings if sighting.guard == guard), None)
        if seen is not None:
            return self._seen_before(email, guard, seen, resolved)
        if sightings:
            return self._another_mail(email, guard, resolved, facts)
        if resolved.existing is not None:
            standing = self._emails.read(resolved.existing.activityid)
            if standing is not None:
                return self._met(email, guard, standing, resolved, facts)
        put = self._emails.put(email, people=facts.people)
        if put.put is Put.CREATED:
            detail = self._hung(email, resolved, facts)
            return _Placed(Kind.WRITTEN, email.regarding.rule, email.activityid, put.activityid, guard, detail)
        standing = self._emails.read(put.activityid)
        if standing is None:
            return _Placed(Kind.REMOVED, "removed_meanwhile", email.activityid, put.activityid, guard)
        return self._met(email, guard, standing, resolved, facts)

    def _met(self, email: EmailActivity, guard: str, standing: Standing, resolved: Resolved, facts: _Facts) -> _Placed:
        """An email nobody of us has seen stands under our id or our Message-ID."""
        if standing.guard != guard and not facts.identity.synthetic:
            return self._another_mail(email, guard, resolved, facts)
        placed = self._taken_over(email, guard, standing.activityid, is_completed=standing.is_completed)
        if placed.kind is Kind.ADOPTED:
            return placed
        return replace(placed, detail=self._hung_anew(email, standing, resolved, facts))

    def _seen_before(self, email: EmailActivity, guard: str, seen: Sighting, resolved: Resolved) -> _Placed:
        """A mail that stood in Dataverse: it still does, or somebody removed it, and then it stays gone."""
        existing = resolved.existing
        if existing is not None and existing.activityid == seen.stands:
            return self._taken_over(email, guard, seen.stands, is_completed=existing.is_completed)
        standing = self._emails.read(seen.stands)
        if standing is None:
            return _Placed(Kind.REMOVED, "removed_in_dataverse", email.activityid, seen.stands, guard)
        return self._taken_over(email, guard, seen.stands, is_completed=standing.is_completed)

    def _taken_over(self, email: EmailActivity, guard: str, stands: str, *, is_completed: bool) -> _Placed:
        """Ours, perhaps to be finished, or somebody else's, to be left alone."""
        if stands != str(email.activityid):
            return _Placed(Kind.ADOPTED, "same_message_id", email.activityid, stands, guard)
        if not is_completed:
            self._emails.finish(stands, email.completion())
        return _Placed(Kind.ALREADY_THERE, email.regarding.rule, email.activityid, stands, guard)

    def _another_mail(self, email: EmailActivity, guard: str, resolved: Resolved, facts: _Facts) -> _Placed:
        """The Message-ID is taken by a different mail: this one is written under an id of its own."""
        other = as_another_mail(email, guard)
        seen = next(iter(self._sightings.of(str(other.activityid))), None)
        if seen is not None:
            return self._seen_before(other, guard, seen, Resolved(None, None, {}, 0))
        put = self._emails.put(other, people=facts.people)
        if put.put is Put.CREATED:
            detail = self._hung(other, resolved, facts)
            return _Placed(Kind.WRITTEN, REUSED, other.activityid, put.activityid, guard, detail)
        standing = self._emails.read(put.activityid)
        if standing is None:
            return _Placed(Kind.REMOVED, "removed_meanwhile", other.activityid, put.activityid, guard)
        detail = self._hung_anew(other, standing, resolved, facts)
        return _Placed(Kind.ALREADY_THERE, REUSED, other.activityid, put.activityid, guard, detail)

    def _noted(self, placed: _Placed, facts: _Facts, entry: Entry, known: Entry | None) -> Outcome:
        final = replace(entry, kind=placed.kind, reason=placed.reason, activityid=placed.stands, detail=placed.detail)
        sighting = Sighting(entry.grant, placed.kind, placed.stands, placed.guard)
        self._sightings.note(str(placed.identity), sighting, message=entry.message, now=entry.noted)
        message_id = facts.identity.message_id
        if message_id is not None and placed.kind is not Kind.REMOVED and placed.reason != REUSED:
            self._kinship.gather(message_id, placed.stands, ancestors(facts.message), facts.organisation)
        self._journal.put(final, known)
        return Outcome(placed.kind, placed.reason, placed.stands)

    def _hung(self, email: EmailActivity, resolved: Resolved, facts: _Facts) -> str:
        """A reply was written just now, and its nearest ancestors were not there before."""
        missing = ancestors(facts.message)[: resolved.parent_depth]
        return self._hang(email, missing, frozenset((email.parent,)) if email.parent else frozenset(), facts)

    def _hung_anew(self, email: EmailActivity, standing: Standing, resolved: Resolved, facts: _Facts) -> str:
        """An attempt that died after its write may have left the reply hanging from a farther mail, or from nothing."""
        chain = ancestors(facts.message)
        hangs_well = resolved.parent is not None and standing.parent == resolved.parent.activityid
        missing = chain[: resolved.parent_depth] if hangs_well else chain
        return self._hang(email, missing, frozenset(str(activityid_of(one)) for one in chain), facts)

    def _hang(self, email: EmailActivity, missing: Sequence[str], farther: frozenset[str], facts: _Facts) -> str:
        child = Child(str(email.activityid), facts.item.grant, facts.item.message)
        return self._kinship.hang(child, missing, farther, facts.organisation)

    def _mapped(self, facts: _Facts, resolved: Resolved) -> EmailActivity:
        try:
            return map_message(
                facts.message,
                identity=facts.identity,
                copy=facts.copy,
                organisation=facts.organisation,
                matches=resolved.matches,
                parent=resolved.parent,
                nylas_id_column=self._nylas_id_column,
            )
        except Exception as error:  # the mapper is pure: it would fail the same way each time
            raise MessageError(
                f"the message can't be mapped ({type(error).__name__}); this is a fault of ours, please report it",
                reason="mapping_failed",
            ) from error

    def _skipped(self, skip: Skip, entry: Entry, known: Entry | None) -> Outcome:
        noted = replace(entry, kind=Kind.SKIPPED, reason=skip.rule, policy=self._rules.version, detail=skip.reason)
        self._journal.put(noted, known)
        return Outcome(Kind.SKIPPED, skip.rule)

    def _entry(self, item: MessageItem, facts: _Facts) -> Entry:
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
