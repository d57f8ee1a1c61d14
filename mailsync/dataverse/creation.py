"""The one way an email is created: open, with its files, then completed.

What is small goes in one changeset and one round trip, its queue item beside it. What is larger goes step by step:
the email open, each file for itself, large ones in blocks, completion last. Each step can be repeated: all ids are
ours, and a second create is answered 412.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum

import msgspec

from mailsync.dataverse import batch
from mailsync.dataverse.address_book import AddressBook
from mailsync.dataverse.answers import (
    COLUMN_AT_FAULT,
    FILE_AT_FAULT,
    OWNER_AT_FAULT,
    ROW_MISSING,
    complaint_of,
    evidence_of,
    failure_of,
    is_bypass_refused,
    is_done,
    lacking_in,
)
from mailsync.dataverse.attachments import (
    Attachments,
    Content,
    Loaded,
    Portions,
    SeenFiles,
    attachment_request,
    is_completed_meanwhile,
    open_version_of,
    state_of,
)
from mailsync.dataverse.privileges import ROLE_TABLES
from mailsync.dataverse.resolver import Resolver, messageid_query
from mailsync.dataverse.rows import EmailRow, preferred, rows_of
from mailsync.dataverse.web_api import WebApi, request
from mailsync.errors import (
    ConfigurationError,
    FileMissingError,
    MailSyncError,
    MessageError,
    Scope,
    TransientError,
)
from mailsync.transport import Answer
from mapping.attachments import File, Limits, Why
from mapping.email_activity import EmailActivity
from mapping.owner import Owner
from mapping.records import Record
from mapping.regarding import Regarding

TOGETHER = 4_000_000
"""Bytes of the files that go in one changeset with their email."""
REFUSED_LIFE = 600.0
"""Seconds that an owner, or a table, which Dataverse refused is not tried again."""
INHERITED = "reply"
"""The rule by which a mail is about what the mail before it is about, whatever table that is of."""
_IF_THERE = {"If-Match": "*"}
_WAITING = {"statecode": 0, "statuscode": 1}
"""What an item of a queue is until somebody deals with it."""
_JUDGED_ALIKE = frozenset({401, 403, 408, 412, 429})
"""Answers that would be the same without a changeset."""


class Put(Enum):
    """What a write found."""

    CREATED = "created"
    ALREADY_THERE = "already_there"
    ADOPTED = "adopted"


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write, the email that stands there now, and what is worth telling of it."""

    put: Put
    activityid: str
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Work:
    """One email on its way, and what was found out about it meanwhile."""

    email: EmailActivity
    people: Sequence[str]
    content: Content
    limits: Limits
    fallback: Owner
    check_time: Callable[[], None]
    missing: dict[File, Why] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    refused_owner: str | None = None

    @property
    def final(self) -> EmailActivity:
        """The email without what could not be had."""
        return self.email.without(self.missing)

    def written(self, put: Put, activityid: str | None = None) -> Written:
        told = [f"file left out: {why.name.lower()}" for why in self.missing.values()]
        return Written(put, activityid or str(self.email.activityid), (*self.notes, *told))


class Creation:
    """Creates emails in one environment."""

    def __init__(
        self,
        api: WebApi,
        *,
        resolver: Resolver,
        address_book: AddressBook,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._resolver = resolver
        self._address_book = address_book
        self._clock = clock
        self._changesets_work = True
        self._refused_owners: dict[str, float] = {}
        self._refused_tables: dict[str, float] = {}
        self._seen = SeenFiles(clock)
        self._attachments = Attachments(api, seen=self._seen, forget_limits=resolver.forget_limits)

    def put(
        self,
        email: EmailActivity,
        *,
        people: Sequence[str],
        content: Content,
        limits: Limits,
        fallback: Owner,
        check_time: Callable[[], None] = lambda: None,
    ) -> Written:
        """Write the whole email and complete it, or write nothing that stays half done.

        `people` are the addresses whose owners the email is bound to; `fallback` owns it if its owner is refused;
        `check_time` raises when it is time to go back to the queue. Raises MessageError when Dataverse refuses the row
        itself.
        """
        work = _Work(email, people, content, limits, fallback, check_time)
        self._leave_refused(work)
        if self._changesets_work and sum(file.size or 0 for file in email.files.carried) <= TOGETHER:
            written = self._at_once(work)
            if written is not None:
                return written
        return self._step_by_step(work)

    def resume(
        self,
        email: EmailActivity,
        *,
        content: Content,
        limits: Limits,
        check_time: Callable[[], None] = lambda: None,
    ) -> Written:
        """Go on with an email of ours that an earlier attempt left open."""
        work = _Work(email, (), content, limits, Owner(None, "none"), check_time)
        with self._whole_or_not_at_all(work):
            self._go_on(work, there=self._attachments.attached(email))
        return work.written(Put.ALREADY_THERE)

    def enqueue(self, email: EmailActivity) -> tuple[str, ...]:
        """Make the queue item of an email of ours that was completed by an attempt which may have ended there.

        Returns what is worth telling; one that is there stays as it is.
        """
        work = _Work(email, (), _no_content, Limits(), Owner(None, "none"), lambda: None)
        item = email.queue_item()
        if item is not None:
            self._note_queue_item(work, self._post("queueitems", item))
        return tuple(work.notes)

    # all at once

    def _at_once(self, work: _Work) -> Written | None:
        """Everything in one round trip; None where it must go step by step."""
        loaded = self._loaded(work)
        if loaded is None:
            return None
        answers, queue_item = self._changeset(work, loaded)
        refused = next((answer for answer in answers if not is_done(answer)), None)
        if refused is None:
            self._note_queue_item(work, queue_item)
            self._seen.learn(loaded, answers[1:-1])
            return self._created(work)
        if refused.status == 412:
            return self._found(work)
        if self._gives_way(work, refused):
            return self._at_once(work)
        code = complaint_of(refused).code
        if code in FILE_AT_FAULT or refused.status == 413:
            return None
        if code == ROW_MISSING and self._seen.forget(loaded):
            return self._at_once(work)
        if refused.status in _JUDGED_ALIKE or refused.status >= 500 or code == ROW_MISSING:
            raise self._refusal(work, refused)
        # Refused: for its row, for a file, or because changesets don't work for emails here? Single requests tell.
        written = self._step_by_step(work)
        if not work.missing and not any(one.reused for one in loaded):
            self._changesets_work = False
        return written

    def _loaded(self, work: _Work) -> list[Loaded] | None:
        """The files with their bytes; None where they are more than goes at once."""
        found: list[Loaded] = []
        total = 0
        for file in work.email.files.carried:
            if file in work.missing:
                continue
            work.check_time()
            try:
                with work.content(file) as pieces:
                    body = Portions(pieces).take(min(work.limits.most_bytes, TOGETHER - total) + 1)
            except FileMissingError as error:
                work.missing[file] = error.why
                continue
            if len(body) > work.limits.most_bytes:
                work.missing[file] = Why.TOO_LARGE
            elif total + len(body) > TOGETHER:
                return None
            elif not body:
                work.missing[file] = Why.EMPTY
            else:
                total += len(body)
                found.append(self._seen.loaded(file, body))
        return found

    def _changeset(self, work: _Work, loaded: Sequence[Loaded]) -> tuple[tuple[Answer, ...], Answer | None]:
        email = work.final
        parts: list[batch.Request | batch.Changeset] = [
            batch.Changeset(
                (
                    request("POST", "emails", body=msgspec.json.encode(email.row())),
                    *(attachment_request(email, one) for one in loaded),
                    request(
                        "PATCH",
                        f"emails({email.activityid})",
                        body=msgspec.json.encode(email.completion()),
                        headers=_IF_THERE,
                    ),
                )
            )
        ]
        item = email.queue_item()
        if item is not None:
            parts.append(request("POST", "queueitems", body=msgspec.json.encode(item)))
        try:
            answers, *others = self._api.batch(parts)
        except MessageError as error:
            if error.evidence.status != 413:
                raise
            return (Answer(413, {}, b""),), None  # of all of it together, by whatever stands before Dataverse
        if all(map(is_done, answers)) and len(answers) != len(loaded) + 2:
            raise TransientError(
                "Dataverse answered a changeset otherwise than with an answer to each operation or a refusal",
                reason="dataverse_batch_unreadable",
                scope=Scope.ORGANISATION,
            )
        return answers, others[0][0] if others else None

    # step by step

    def _step_by_step(self, work: _Work) -> Written:
        work.check_time()
        created = self._api.send("POST", "emails", body=msgspec.json.encode(work.final.row()))
        if created.status == 412:
            return self._found(work)
        if not is_done(created):
            if self._gives_way(work, created):
                return self._step_by_step(work)
            raise self._refusal(work, created)
        with self._whole_or_not_at_all(work):
            self._go_on(work, there=None)
        return self._created(work)

    @contextmanager
    def _whole_or_not_at_all(self, work: _Work) -> Iterator[None]:
        """What is refused for good is taken back: an open email that nobody will ever complete is worse than none."""
        try:
            yield
        except MessageError:
            self._take_back(work)
            raise

    def _take_back(self, work: _Work) -> None:
        """Delete an email of ours that is open still; raises ConfigurationError where we may not: somebody must give us
        the right."""
        path = f"emails({work.email.activityid})"
        etag = open_version_of(self._api, work.email)
        if etag is None:
            return
        answer = self._api.send("DELETE", path, headers={"If-Match": etag})
        failure = None if is_done(answer) else failure_of(answer)
        if isinstance(failure, ConfigurationError):
            raise failure

    def _created(self, work: _Work) -> Written:
        if work.refused_owner is not None:  # and another was taken, so it was the owner and not us
            self._refused_owners[work.refused_owner] = self._clock() + REFUSED_LIFE
        return work.written(Put.CREATED)

    def _go_on(self, work: _Work, *, there: frozenset[str] | None) -> None:
        """What an open email still lacks: files, completion, its place in a queue.

        `there`: the files it has already; None where it was opened just now.
        """
        told_before = dict(work.missing)
        for file in work.email.files.carried:
            if file in work.missing or str(file.id_in(work.email.activityid)) in (there or ()):
                continue
            work.check_time()
            why = self._attachments.attach(
                work.email, file, work.content, most=work.limits.most_bytes, notes=work.notes
            )
            if why is not None:
                work.missing[file] = why
        if there is not None and work.missing != told_before:
            # another worker may have had more luck with the same file of the same email
            now = self._attachments.attached(work.email)
            work.missing = {
                file: why for file, why in work.missing.items() if str(file.id_in(work.email.activityid)) not in now
            }
        final = work.final
        changed = there is not None or work.missing != told_before
        self._finish(work, {**(final.content() if changed else {}), **final.completion()})
        item = final.queue_item()
        if item is not None:
            self._note_queue_item(work, self._queued_anew(item))

    def _queued_anew(self, item: Mapping[str, object]) -> Answer:
        """The item of an email completed just now: one made while it was open ended with its completion."""
        answer = self._post("queueitems", item)
        if answer.status != 412:
            return answer
        path = f"queueitems({item['queueitemid']})"
        return self._api.send("PATCH", path, body=msgspec.json.encode(_WAITING), headers=_IF_THERE)

    def _finish(self, work: _Work, change: Mapping[str, object]) -> None:
        path = f"emails({work.email.activityid})"
        answer = self._api.send("PATCH", path, body=msgspec.json.encode(change), headers=_IF_THERE)
        if is_done(answer) or is_completed_meanwhile(self._api, work.email, answer):
            return
        if answer.status == 404 and complaint_of(answer).code:
            raise TransientError(
                "an email of ours was removed before it was completed",
                reason="email_removed_meanwhile",
                evidence=evidence_of(answer),
            )
        raise failure_of(answer)

    def _post(self, path: str, body: Mapping[str, object]) -> Answer:
        return self._api.send("POST", path, body=msgspec.json.encode(body))

    # what an answer means

    def _found(self, work: _Work) -> Written:
        """What a 412 means: a row under our own id, whoever's mail it holds, or somebody else's row."""
        email = work.email
        state = state_of(self._api, email)
        if state is not None:
            return work.written(Put.ALREADY_THERE)
        if email.messageid is not None:
            spelled = (email.messageid, email.messageid.removeprefix("<").removesuffix(">"))
            theirs = preferred(rows_of(self._api.send("GET", messageid_query(spelled)), EmailRow), own=None)
            if theirs is not None:
                return work.written(Put.ADOPTED, str(theirs.activityid))
        raise TransientError(
            "Dataverse calls the email a duplicate, yet neither its id nor its Message-ID is found",
            reason="duplicate_not_found",
        )

    def _note_queue_item(self, work: _Work, answer: Answer | None) -> None:
        """An item that a queue does not take costs no mail."""
        if answer is None or is_done(answer) or answer.status == 412:
            return
        failure = failure_of(answer)
        if isinstance(failure, TransientError):
            raise failure
        lacking = lacking_in(complaint_of(answer))
        work.notes.append(f"queue item refused: {failure.evidence}{f' {lacking}' if lacking else ''}")

    def _leave_refused(self, work: _Work) -> None:
        """Leave out what was refused just now, of another email."""
        owner, about = work.email.owner.record, work.email.regarding
        if owner is not None and self._refused_owners.get(owner.id, 0.0) > self._clock():
            work.notes.append(f"owner gave way: {owner.table} {owner.id} was refused before")
            work.email = replace(work.email, owner=work.fallback)
        inherited = about.record if about.rule == INHERITED else None
        if inherited is not None and self._refused_tables.get(inherited.table, 0.0) > self._clock():
            self._leave_regarding(work, inherited, "was refused before")

    def _gives_way(self, work: _Work, answer: Answer) -> bool:
        """Whether something for which an email was refused is left out now, so that it can be tried again."""
        return self._owner_gives_way(work, answer) or self._regarding_gives_way(work, answer)

    def _regarding_gives_way(self, work: _Work, answer: Answer) -> bool:
        """A mail may be about rows of any table, because the mail before it is; the role covers those we know."""
        about, lacking = work.email.regarding, lacking_in(complaint_of(answer)).lower()
        if about.record is None or about.rule != INHERITED or about.record.table in ROLE_TABLES:
            return False
        if not lacking.endswith(about.record.table.lower()):
            return False
        self._refused_tables[about.record.table] = self._clock() + REFUSED_LIFE
        self._leave_regarding(work, about.record, f"the role lacks {lacking_in(complaint_of(answer))}")
        return True

    def _leave_regarding(self, work: _Work, record: Record, why: str) -> None:
        work.notes.append(f"regarding left out: {record.table} {record.id} {why}")
        work.email = replace(work.email, regarding=Regarding(None, "none"))

    def _owner_gives_way(self, work: _Work, answer: Answer) -> bool:
        """Whether it was its owner for whom an email was refused, and another one is there to try."""
        owner, complaint = work.email.owner, complaint_of(answer)
        if owner.record is None or owner == work.fallback or owner.rule == "fallback" or is_bypass_refused(answer):
            return False
        # a privilege that we lack ourselves is answered 403 as well, and names us
        is_named = owner.record.id.lower() in complaint.message.lower()
        told_of = answer.status == 403 or complaint.code == ROW_MISSING
        if not (complaint.code in OWNER_AT_FAULT or (told_of and is_named)):
            return False
        work.refused_owner = owner.record.id
        code = complaint.code or answer.status
        work.notes.append(f"owner gave way: {owner.record.table} {owner.record.id} is refused ({code})")
        work.email = replace(work.email, owner=work.fallback)
        return True

    def _refusal(self, work: _Work, answer: Answer) -> MailSyncError:
        complaint, owner = complaint_of(answer), work.email.owner
        if complaint.code in COLUMN_AT_FAULT and f"'{work.email.nylas_id_column}'" in complaint.message:
            return _column_unfit(answer)
        if complaint.code in OWNER_AT_FAULT:
            return ConfigurationError(
                "Dataverse gives no email to this owner; check the role of owner.fallback in tracking.toml, or where "
                "it is left out that of the application user",
                reason="owner_refused",
                scope=Scope.ORGANISATION,
                evidence=evidence_of(answer),
            )
        if complaint.code != ROW_MISSING:
            return failure_of(answer)
        if owner.rule in {"fallback", "policy"} and owner.record and owner.record.id in complaint.message.lower():
            return ConfigurationError(
                "the owner that tracking.toml names is not in Dataverse; check owner.fallback and the mailboxes' owner",
                reason="owner_unknown",
                scope=Scope.ORGANISATION,
                evidence=evidence_of(answer),
            )
        # A record in a bind is gone: what we remembered of these people is out of date. Ask anew.
        self._address_book.forget(work.people)
        return TransientError(
            "a record this email refers to is gone from Dataverse",
            reason="bound_record_gone",
            scope=Scope.MESSAGE,
            evidence=evidence_of(answer),
        )


def _no_content(_: File) -> AbstractContextManager[Iterator[bytes]]:
    raise FileMissingError(Why.NOT_THERE)


def _column_unfit(answer: Answer) -> ConfigurationError:
    return ConfigurationError(
        "Dataverse refuses the column in DATAVERSE_NYLAS_ID_COLUMN; check that emails have it and that it holds 300 "
        "characters",
        reason="nylas_id_column",
        scope=Scope.ORGANISATION,
        evidence=evidence_of(answer),
    )
