"""Why a message is in Dataverse, or not: what the journal, the table `aside`, Nylas and Dataverse say of it.

Tells ids, rules and outcomes; never what a mail says, and of its people no more than how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from mailsync.connected import Connected
from mailsync.dataverse.emails import Emails, Standing
from mailsync.errors import MailSyncError, MessageGoneError
from mailsync.outcome import Kind
from mailsync.proof import GRACE, is_in_time
from mailsync.storage.aside import Aside, Kept
from mailsync.storage.journal import WAITS_FOR_GRANT, Entry, Journal
from mailsync.storage.mailboxes import VALID, Mailbox, Mailboxes
from mailsync.storage.threads import Sightings
from mailsync.storage.tombstones import Tombstones
from mailsync.windows import moment
from mailsync.write import REUSED
from mapping.guard import another_identity
from mapping.identity import activityid_of, canonical_message_id
from mapping.tracking import FOLDER_RULES


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyTold:
    """One mailbox's copy of a mail, and what happens to it next."""

    grant: str
    message: str
    entry: Entry | None
    kept: Kept | None
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All that is known of one mail."""

    activityid: str | None
    email: Standing | None
    dataverse: str
    """What Dataverse says, as a sentence."""
    copies: tuple[CopyTold, ...]
    unknown: str = ""
    """Why there is no copy to tell of."""


class Explainer:
    """Answers for one message at a time."""

    def __init__(
        self,
        *,
        journal: Journal,
        aside: Aside,
        sightings: Sightings,
        tombstones: Tombstones,
        mailboxes: Mailboxes,
        connected: Callable[[], Connected],
        emails: Callable[[], Emails],
        clock: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._aside = aside
        self._sightings = sightings
        self._tombstones = tombstones
        self._mailboxes = mailboxes
        self._connected = connected
        self._emails = emails
        self._clock = clock

    def explain(self, grant: str, message: str) -> Explanation:
        """Tell of a message by its Nylas id or its Message-ID; the journal alone is enough where others are down."""
        entry = self._journal.recall(grant, message)
        if entry is None and _is_message_id(message):
            return self._by_message_id(grant, canonical_message_id(message) or message)
        activityid = entry.activityid if entry is not None else None
        copies = [self._copy(grant, message, entry)]
        if activityid is not None:
            copies += [copy for copy in self._seen(activityid) if (copy.grant, copy.message) != (grant, message)]
        return self._told(activityid, copies)

    def _by_message_id(self, grant: str, message_id: str) -> Explanation:
        identity = str(activityid_of(message_id))
        copies = self._seen(identity) or [
            self._copy(entry.grant, entry.message, entry) for entry in self._journal.of_activity(grant, identity)
        ]
        copies.sort(key=lambda copy: copy.grant != grant)
        copies += self._under_the_same(grant, UUID(identity))
        stands = next((copy.entry.activityid for copy in copies if copy.entry and copy.entry.activityid), identity)
        return self._told(stands, copies, unknown="" if copies else self._why_unknown(identity))

    def _why_unknown(self, identity: str) -> str:
        if self._tombstones.has_erased(identity):
            return "the mail with this Message-ID was erased; whoever brings it again, it stays out."
        if self._sightings.of(identity):
            return "the records of this mail were shortened: which mailboxes brought it, nobody knows any more."
        return (
            "no connected mailbox has brought a mail with this Message-ID as far as Dataverse. One that was skipped, "
            "put aside or not seen is found by its Nylas id only."
        )

    def _seen(self, identity: str) -> list[CopyTold]:
        """The copies of all mailboxes that hold the email of this identity."""
        seen = (one for one in self._sightings.of(identity) if one.grant)
        entries = (self._journal.copy(one.grant, one.copy) for one in seen)
        return [self._copy(entry.grant, entry.message, entry) for entry in entries if entry is not None]

    def _under_the_same(self, grant: str, identity: UUID) -> list[CopyTold]:
        """The copies of other mails that this mailbox brought under the same Message-ID."""
        others = {entry.activityid for entry in self._journal.of_reason(grant, REUSED) if entry.activityid}
        return [
            copy
            for other in sorted(others)
            if any(another_identity(identity, one.guard) == UUID(other) for one in self._sightings.of(other))
            for copy in self._seen(other)
        ]

    def _copy(self, grant: str, message: str, entry: Entry | None) -> CopyTold:
        kept = self._aside.of_message(grant, message)
        mailbox = self._mailboxes.get(grant)
        happens = (
            self._unseen(grant, message)
            if entry is None
            else next_of(entry, kept=kept, mailbox=mailbox, now=int(self._clock()))
        )
        return CopyTold(grant=grant, message=message, entry=entry, kept=kept, next=happens)

    def _unseen(self, grant: str, message: str) -> str:
        try:
            held = self._connected().message(grant, message)
        except MessageGoneError:
            return "The journal has no row for it, and Nylas does not find it in this mailbox."
        except MailSyncError as error:
            return f"The journal has no row for it, and Nylas could not be asked: {error}"
        dated = f"dated {moment(int(held.date))}" if held.date is not None else "without a date"
        return (
            f"The journal has no row for it, though Nylas holds it, {dated}. Its notification may still be on the "
            "queue; if not, the next sweep that reaches its date finds it, and `verify --repair` enqueues it."
        )

    def _told(self, activityid: str | None, copies: Sequence[CopyTold], *, unknown: str = "") -> Explanation:
        email: Standing | None = None
        if activityid is None:
            said = _untold(copies)
        else:
            try:
                email = self._emails().read(activityid)
                said = "The email stands there." if email is not None else _missing(copies)
            except MailSyncError as error:
                said = f"Dataverse could not be asked: {error}"
        return Explanation(activityid=activityid, email=email, dataverse=said, copies=tuple(copies), unknown=unknown)


def _untold(copies: Sequence[CopyTold]) -> str:
    """What is said where no record names an email."""
    if any(copy.entry is not None and copy.entry.kind.is_final for copy in copies):
        return "Its record no longer says which email it became."
    return "No email of it was written."


def _missing(copies: Sequence[CopyTold]) -> str:
    if any(copy.entry is not None and copy.entry.kind.is_final for copy in copies):
        return "The email stood there and was removed since; only `verify --recreate` brings it back."
    return "There is no email under this id."


def next_of(entry: Entry, *, kept: Kept | None, mailbox: Mailbox | None, now: int) -> str:
    """What happens to a message next, by itself or by whose doing."""
    match entry.kind:
        case Kind.WRITTEN | Kind.ADOPTED | Kind.ALREADY_THERE:
            return "Nothing more: it is done, and no later copy or update changes it."
        case Kind.ERASED:
            return "Nothing: it was erased for good, and no update, copy or command brings it back."
        case Kind.REMOVED:
            return "Nothing: what was removed stays gone. Only `verify --recreate` brings it back."
        case Kind.SKIPPED:
            moves = "moves to another folder or changes" if entry.reason in FOLDER_RULES else "changes"
            return f"Nothing, unless the message {moves}: then the rules are asked anew."
        case Kind.GONE:
            return "Nothing: the mailbox no longer holds it. If it turns up again, a sweep brings it."
        case Kind.PUT_ASIDE:
            key = kept.key if kept is not None else "KEY"
            return f"It waits for a person. Mend the cause, then: python -m mailsync aside replay {key}"
    return _next_under_way(entry, mailbox=mailbox, now=now)


def _next_under_way(entry: Entry, *, mailbox: Mailbox | None, now: int) -> str:
    status = mailbox.status if mailbox is not None else ""
    if entry.reason == WAITS_FOR_GRANT and status != VALID:
        return "It waits for the mailbox's owner to sign in again, and goes back on the queue then."
    if is_in_time(entry, now=now, grace=GRACE):
        if entry.until is not None and entry.until > now:
            return f"It is on the queue, hidden until {moment(entry.until)}."
        return "It is on the queue, or at work."
    return (
        "It is overdue: its item may be lost. The next sweep that reaches its date enqueues it again, and so does "
        "`verify --repair`."
    )


def _is_message_id(text: str) -> bool:
    return "@" in text or text.lstrip().startswith("<")
