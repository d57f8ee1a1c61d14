"""One message becomes one completed email: get, get, decide, put.

Every fact is gathered before the pure mapper runs, and after it one short fixed sequence writes. Each step can be
repeated after a crash: the email's id stands in the journal before the first write.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID

from mailsync.connected import Connected
from mailsync.dataverse.emails import Emails, Put, Resolved
from mailsync.errors import MessageError
from mailsync.nylas.reader import Reader
from mailsync.outcome import Kind, Outcome
from mailsync.storage.envelope import MessageItem
from mailsync.storage.journal import Entry, Journal
from mailsync.telemetry import Event, emit
from mapping.addresses import normalise
from mapping.direction import Copy
from mapping.email_activity import EmailActivity
from mapping.identity import Identity, ancestors, identity_of
from mapping.mapper import map_message
from mapping.matches import Organisation
from mapping.message import Message
from mapping.parties import people_of
from mapping.tracking import Skip, TrackingRules, judge_copy, judge_people

EVENTS: dict[Kind, Event] = {
    Kind.WRITTEN: "email_written",
    Kind.ALREADY_THERE: "email_already_there",
    Kind.ADOPTED: "email_adopted",
    Kind.SKIPPED: "message_skipped",
}
_KINDS = {Put.CREATED: Kind.WRITTEN, Put.ALREADY_THERE: Kind.ALREADY_THERE, Put.ADOPTED: Kind.ADOPTED}


@dataclass(frozen=True, slots=True)
class _Facts:
    """A message as one mailbox holds it, in its organisation."""

    message: Message
    copy: Copy
    organisation: Organisation
    identity: Identity

    @property
    def people(self) -> tuple[str, ...]:
        """The addresses whose owners decide parties, direction and regarding."""
        return tuple(dict.fromkeys((*people_of(self.message), self.copy.mailbox)))


class EmailWriter:
    """Writes the email of one message."""

    def __init__(
        self,
        *,
        reader: Reader,
        emails: Emails,
        journal: Journal,
        connected: Connected,
        rules: TrackingRules,
        nylas_id_column: str | None,
        clock: Callable[[], float],
    ) -> None:
        self._reader = reader
        self._emails = emails
        self._journal = journal
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
        facts = self._facts(item, known)
        entry = self._entry(item, facts)
        skip = judge_copy(facts.message, facts.copy, facts.organisation, self._rules)
        outcome = self._written(facts, entry, known) if skip is None else self._skipped(skip, entry, known)
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

    def _facts(self, item: MessageItem, known: Entry | None) -> _Facts:
        message = self._reader.message(item.grant, item.message)
        mailbox = self._connected.mailbox(item.grant)
        address = normalise(mailbox.email) or ""
        folders = [folder for folder in message.folders or () if folder]
        identity = identity_of(message, address)
        if known is not None and known.activityid:
            # an earlier attempt may have written under this id: it holds, whatever the headers say today
            identity = replace(identity, activityid=UUID(known.activityid))
        return _Facts(
            message=message,
            copy=Copy(mailbox=address, attributes=self._connected.attributes(item.grant, folders)),
            organisation=self._connected.organisation(),
            identity=identity,
        )

    def _written(self, facts: _Facts, entry: Entry, known: Entry | None) -> Outcome:
        message, identity = facts.message, facts.identity
        resolved = self._emails.resolve(identity, ancestors=ancestors(message), addresses=facts.people)
        skip = judge_people(message, facts.copy, facts.organisation, resolved.matches, self._rules)
        if skip is not None:
            return self._skipped(skip, entry, known)
        email = self._mapped(facts, resolved)
        if resolved.existing is not None:
            outcome = self._taken_over(resolved, email)
        else:
            entry = replace(entry, kind=Kind.WRITING, activityid=str(email.activityid))
            known = self._journal.put(entry, known)
            put = self._emails.put(email, people=facts.people)
            outcome = Outcome(_KINDS[put.put], email.regarding.rule, put.activityid)
        return self._noted(outcome, entry, known)

    def _taken_over(self, resolved: Resolved, email: EmailActivity) -> Outcome:
        """An email with this Message-ID is there: ours, perhaps to be finished, or somebody else's to be left alone."""
        existing = resolved.existing
        if existing is None or existing.activityid != str(email.activityid):
            return Outcome(Kind.ADOPTED, "same_message_id", existing.activityid if existing else None)
        if not existing.is_completed:
            self._emails.finish(existing.activityid, email.completion())
        return Outcome(Kind.ALREADY_THERE, email.regarding.rule, existing.activityid)

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

    def _noted(self, outcome: Outcome, entry: Entry, known: Entry | None) -> Outcome:
        final = replace(entry, kind=outcome.kind, reason=outcome.reason, activityid=outcome.activityid)
        self._journal.note_sighting(final)
        self._journal.put(final, known)
        return outcome

    def _entry(self, item: MessageItem, facts: _Facts) -> Entry:
        date = facts.message.date
        return Entry(
            grant=item.grant,
            message=item.message,
            kind=Kind.WRITING,
            noted=int(self._clock()),
            first_seen=item.first_seen,
            date=int(date) if date is not None else None,
            folders=tuple(folder for folder in facts.message.folders or () if folder),
            source=item.source,
            notification=item.notification,
            attempt=item.attempt,
        )
