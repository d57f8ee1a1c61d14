"""One message becomes one completed email, or a record that says why not; doing it again changes nothing."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from mailsync.connected import Connected
from mailsync.dataverse.address_book import AddressBook
from mailsync.dataverse.creation import Creation
from mailsync.dataverse.definitions import Definitions
from mailsync.dataverse.emails import Emails
from mailsync.dataverse.resolver import Question, Resolved, Resolver
from mailsync.errors import (
    ConfigurationError,
    GrantError,
    HeaderTroubleError,
    MessageError,
    MessageGoneError,
    Scope,
    TransientError,
)
from mailsync.gates import Gate
from mailsync.kinship import Kinship
from mailsync.outcome import Kind, Outcome
from mailsync.storage.account import StorageAccount
from mailsync.storage.envelope import DeletedItem, MessageItem
from mailsync.storage.journal import Entry, Journal, hash_of
from mailsync.storage.mailboxes import Mailboxes
from mailsync.storage.threads import Awaited, Sighting, Sightings
from mailsync.storage.tombstones import Tombstones, of_look
from mailsync.trouble import GONE_AFTER
from mailsync.write import BUDGET, HEADERLESS_AFTER, SENDERS_COPY_PATIENCE, EmailWriter
from mapping.identity import activityid_of, canonical_message_id
from mapping.policy import Policy
from sandbox.faults import Answer, DropAfter, Fault
from sandbox.mail import File, Mail, Person
from tests.mailsync.parts import (
    NOW,
    OWN_DOMAIN,
    PSEUDONYMS,
    Clock,
    DataverseServed,
    NylasServed,
    gate,
    in_threads,
    mail,
    measures_of,
    new_address,
    new_message_id,
    policy,
)

FABRIKAM = "fabrikam.example"


class Desk:
    """A writer with everything it needs: one organisation, its mailboxes and its Dataverse."""

    def __init__(
        self,
        account: StorageAccount,
        nylas: NylasServed,
        dataverse: DataverseServed,
        clock: Clock,
    ) -> None:
        self.nylas, self.dataverse, self.clock = nylas, dataverse, clock
        self.tombstones = Tombstones(account, PSEUDONYMS, clock=clock)
        self.journal = Journal(account, self.tombstones)
        self.sightings, self.awaited = Sightings(account, self.tombstones), Awaited(account)
        self.mailboxes = Mailboxes(account)
        self.measures = measures_of(account, clock)
        self.policy: Policy = policy()
        self.adopt_existing = True
        self.stopwatch = Clock()
        self.large_files: Gate = gate("files", concurrency=2)
        self.nylas_id_column: str | None = None
        self._writer: EmailWriter | None = None

    @property
    def writer(self) -> EmailWriter:
        """One process: it keeps what it remembers until `restart`."""
        if self._writer is None:
            connected = Connected(
                mailboxes=self.mailboxes,
                reader=self.nylas.reader(),
                own_domains=frozenset({OWN_DOMAIN}),
                clock=self.clock,
            )
            api = self.dataverse.api
            book, definitions = AddressBook(self.policy.people), Definitions(api)
            emails = Emails(api, definitions=definitions)
            resolver = Resolver(api, address_book=book, definitions=definitions, adopt_existing=self.adopt_existing)
            self._writer = EmailWriter(
                emails=emails,
                resolver=resolver,
                creation=Creation(api, resolver=resolver, address_book=book),
                journal=self.journal,
                sightings=self.sightings,
                tombstones=self.tombstones,
                kinship=Kinship(emails=emails, resolver=resolver, journal=self.journal, awaited=self.awaited),
                connected=connected,
                policy=self.policy,
                large_files=self.large_files,
                nylas_id_column=self.nylas_id_column,
                measures=self.measures,
                clock=self.clock,
                stopwatch=self.stopwatch,
            )
        return self._writer

    def restart(self) -> None:
        """Another process takes over."""
        self._writer = None

    def connect(self, provider: str = "google", **more: Any) -> tuple[str, str]:
        """A mailbox of ours: its grant and its address."""
        address = new_address()
        return self.nylas.stand_in.connect(address, provider, created_at=NOW - 1000, **more), address

    def lay(self, grant: str, letter: Mail, folder: str = "inbox", **more: Any) -> MessageItem:
        """Lay a mail into a mailbox; returns the item that a webhook would have made."""
        message = self.nylas.stand_in.deliver(grant, letter, folder, notify=False, **more)
        return item(grant, message)

    def record(self, work: MessageItem) -> Entry:
        found = self.journal.get(work.grant, work.message)
        assert found is not None
        return found

    def row(self, activityid: object) -> dict[str, Any]:
        found = self.dataverse.stand_in.email(str(activityid))
        assert found is not None
        return found

    def costs(self, work: Callable[[], object]) -> tuple[int, int]:
        """Round trips to Nylas and to Dataverse."""
        before = self.nylas.server.requests, self.dataverse.server.requests
        work()
        return self.nylas.server.requests - before[0], self.dataverse.server.requests - before[1]


def item(grant: str, message: str, **changes: Any) -> MessageItem:
    given = {"source": "message.created", "first_seen": NOW, **changes}
    return MessageItem(grant=grant, message=message, **given)


def identity(letter: Mail) -> str:
    """The activityid of a mail, from its Message-ID."""
    message_id = canonical_message_id(letter.message_id)
    assert message_id is not None
    return str(activityid_of(message_id))


@pytest.fixture
def desk(account: StorageAccount, nylas: NylasServed, dataverse: DataverseServed, clock: Clock) -> Iterator[Desk]:
    return Desk(account, nylas, dataverse, clock)


@pytest.fixture
def carl(desk: Desk) -> tuple[str, str]:
    """A customer: his address and his contact."""
    address = new_address("carl", FABRIKAM)
    return address, desk.dataverse.contact(address)


# written


def test_a_mail_that_came_in_is_received_from_its_contact(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    user = desk.dataverse.user(ann)
    letter = mail(carl[0], ann, subject="Grüße", date=NOW - 60)
    work = desk.lay(grant, letter)
    assert desk.writer.write(work) == Outcome(Kind.WRITTEN, "contact", identity(letter))
    row = desk.row(identity(letter))
    assert (row["statecode"], row["statuscode"], row["directioncode"]) == (1, 4, False)
    assert (row["subject"], row["messageid"], row["sender"]) == ("Grüße", letter.message_id, carl[0])
    assert row["_regardingobjectid_value"] == carl[1]
    parties = {(one["participationtypemask"], one["_partyid_value"]) for one in row["parties"]}
    assert {(1, carl[1]), (2, user)} <= parties


def test_a_mail_that_was_sent_is_sent(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    letter = mail(ann, carl[0])
    desk.writer.write(desk.lay(grant, letter, "sent"))
    row = desk.row(identity(letter))
    assert (row["statuscode"], row["directioncode"], row["_regardingobjectid_value"]) == (3, True, carl[1])


def test_the_record_says_what_became_of_it_and_where_it_lay(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    letter = mail(carl[0], ann, date=NOW - 60)
    work = item(grant, desk.lay(grant, letter).message, notification="n-1", attempt=2)
    desk.clock.now = NOW + 5
    desk.writer.write(work)
    record = desk.record(work)
    assert (record.kind, record.reason, record.activityid) == (Kind.WRITTEN, "contact", identity(letter))
    assert (record.date, set(record.folders)) == (NOW - 60, {"INBOX", "UNREAD", "CATEGORY_PERSONAL"})
    assert (record.first_seen, record.noted, record.attempt) == (NOW, NOW + 5, 2)
    assert (record.source, record.notification) == ("message.created", "n-1")
    (sighting,) = desk.sightings.of(identity(letter))
    assert (sighting.grant, sighting.stands) == (grant, identity(letter))


def test_a_stranger_is_no_obstacle(desk: Desk) -> None:
    grant, ann = desk.connect()
    letter = mail(new_address("stranger", "nowhere.example"), ann)
    assert desk.writer.write(desk.lay(grant, letter)).reason == "none"
    assert desk.row(identity(letter))["statuscode"] == 4


def test_a_custom_column_gets_the_id_of_nylas(account: StorageAccount, nylas: NylasServed, clock: Clock) -> None:
    custom = {"email": {"contoso_nylasid": {"type": "text", "max": 200}}}
    with DataverseServed(custom=custom) as dataverse:
        desk = Desk(account, nylas, dataverse, clock)
        desk.nylas_id_column = "contoso_nylasid"
        grant, ann = desk.connect()
        letter = mail(new_address("carl", FABRIKAM), ann)
        work = desk.lay(grant, letter)
        desk.writer.write(work)
        assert desk.row(identity(letter))["contoso_nylasid"] == work.message


def test_a_mail_without_message_id_is_told_by_what_it_says(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    first, second = (desk.lay(grant, mail(carl[0], ann, message_id=None, subject=text)) for text in ("a", "b"))
    ids = {desk.writer.write(work).activityid for work in (first, second)}
    assert len(ids) == 2
    again = desk.lay(grant, mail(carl[0], ann, message_id=None, subject="a", date=desk.record(first).date))
    assert desk.writer.write(again).kind is Kind.ALREADY_THERE


# what it costs


def test_a_new_mail_costs_one_request_to_nylas_and_two_to_dataverse(desk: Desk, carl: tuple[str, str]) -> None:
    """Whoever is among its recipients; a mailbox met for the first time costs two more."""
    grant, ann = desk.connect()
    assert desk.costs(lambda: desk.writer.write(desk.lay(grant, mail(carl[0], ann)))) == (3, 2)
    strangers = [new_address("x", "nowhere.example") for _ in range(60)]
    work = desk.lay(grant, mail(carl[0], ann, *strangers))
    assert desk.costs(lambda: desk.writer.write(work)) == (1, 2)


def test_where_no_other_tracker_runs_a_mail_of_known_people_costs_dataverse_one(
    desk: Desk, carl: tuple[str, str]
) -> None:
    desk.adopt_existing = False
    grant, ann = desk.connect()
    desk.dataverse.user(ann)
    desk.writer.write(desk.lay(grant, mail(carl[0], ann)))
    work = desk.lay(grant, mail(carl[0], ann))
    assert desk.costs(lambda: desk.writer.write(work)) == (1, 1)


def test_a_redelivery_costs_nothing_and_changes_nothing(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    letter = mail(carl[0], ann)
    work = desk.lay(grant, letter)
    first = desk.writer.write(work)
    before, record = desk.row(identity(letter)), desk.record(work)
    desk.restart()
    assert desk.costs(lambda: desk.writer.write(item(grant, work.message, source="message.updated"))) == (0, 0)
    assert desk.writer.write(work) == first
    assert (desk.row(identity(letter)), desk.record(work)) == (before, record)


# skipped


SKIPS = {
    "draft": ("", {"folder": "drafts"}, 0),
    "junk": ("", {"folder": "junk"}, 0),
    "trash": ("", {"folder": "trash"}, 0),
    "deny_sender": ('[deny]\nsenders = ["{carl}"]', {}, 0),
    "deny_participant": ('[deny]\nparticipants = ["fabrikam.example"]', {}, 0),
    "thread_first": ('thread = "first"', {"in_reply_to": "<before@mail.example>"}, 0),
    "internal_only": ("", {"sender": "colleague"}, 0),
    "unknown_people": ('track = "known"', {"sender": "stranger"}, 1),
}


@pytest.mark.parametrize("rule", SKIPS)
def test_a_skip_is_recorded_with_the_name_of_its_rule(desk: Desk, carl: tuple[str, str], rule: str) -> None:
    """Most are decided without asking Dataverse anything, and none leaves anything there."""
    text, case, asked = SKIPS[rule]
    given: dict[str, Any] = dict(case)
    desk.policy = policy(text.format(carl=carl[0]))
    senders = {"colleague": new_address("ben"), "stranger": new_address("who", "nowhere.example")}
    sender, folder = senders.get(given.pop("sender", ""), carl[0]), given.pop("folder", "inbox")
    grant, ann = desk.connect()
    work = desk.lay(grant, mail(sender, ann, **given), folder)
    outcomes: list[Outcome] = []
    _, dataverse = desk.costs(lambda: outcomes.append(desk.writer.write(work)))
    assert outcomes == [Outcome(Kind.SKIPPED, rule)]
    assert dataverse == asked
    record = desk.record(work)
    assert (record.kind, record.reason, record.policy) == (Kind.SKIPPED, rule, desk.policy.version)
    assert (record.activityid, record.folders) == (None, tuple(record.folders))
    assert record.folders
    assert record.detail
    assert "@" not in record.detail
    assert desk.dataverse.stand_in.count("email") == 0


def test_a_colleague_who_is_a_user_in_another_domain_is_internal(desk: Desk) -> None:
    grant, ann = desk.connect()
    ben = new_address("ben", "subsidiary.example")
    desk.dataverse.user(ben)
    desk.dataverse.user(ann)
    assert desk.writer.write(desk.lay(grant, mail(ben, ann))) == Outcome(Kind.SKIPPED, "internal_only")


def test_a_skip_is_decided_anew_when_the_mail_was_moved(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    letter = mail(carl[0], ann)
    work = desk.lay(grant, letter, "junk")
    assert desk.writer.write(work).kind is Kind.SKIPPED
    desk.nylas.stand_in.move(grant, work.message, "inbox", notify=False)
    assert desk.writer.write(item(grant, work.message, source="message.updated")).kind is Kind.WRITTEN
    assert desk.record(work).kind is Kind.WRITTEN
    assert desk.row(identity(letter))["statuscode"] == 4


# the same mail in two mailboxes


def test_a_raw_form_that_is_not_found_is_asked_for_some_times_before_its_header_is_unknown(
    desk: Desk, carl: tuple[str, str]
) -> None:
    """An unknown header counts as private, and what is skipped as private stays out."""
    grant, ann = desk.connect("imap")
    work = desk.lay(grant, mail(carl[0], ann))
    desk.nylas.stand_in.refuse_raw_mime(grant, work.message, 404)
    for misses in range(HEADERLESS_AFTER - 1):
        with pytest.raises(HeaderTroubleError):
            desk.writer.write(item(grant, work.message, misses=7, header_misses=misses))
    last = desk.writer.write(item(grant, work.message, header_misses=HEADERLESS_AFTER - 1))
    assert (last.kind, last.reason) == (Kind.SKIPPED, "private")


@pytest.mark.parametrize("first", ["sender", "recipient"])
def test_senders_and_recipients_copies_in_either_order_are_one_email(
    desk: Desk, carl: tuple[str, str], first: str
) -> None:
    (anns, ann), (bens, ben) = desk.connect(), desk.connect("microsoft")
    desk.dataverse.user(ann)
    letter = mail(ann, carl[0], cc=(Person("Ben", ben),), date=NOW - 5)
    copies = {"sender": desk.lay(anns, letter, "sent"), "recipient": desk.lay(bens, letter)}
    desk.clock.now += SENDERS_COPY_PATIENCE
    rows = []
    for place in (first, "recipient" if first == "sender" else "sender"):
        outcome = desk.writer.write(copies[place])
        assert outcome.kind is (Kind.ALREADY_THERE if rows else Kind.WRITTEN)
        assert outcome.activityid == identity(letter)
        rows.append(desk.row(identity(letter)))
    assert rows[0] == rows[1]
    assert (rows[0]["directioncode"], rows[0]["statuscode"]) == (True, 3)
    assert desk.dataverse.stand_in.count("email") == 1
    assert {sighting.grant for sighting in desk.sightings.of(identity(letter))} == {anns, bens}


def test_the_same_mail_in_five_mailboxes_is_one_email_and_each_of_them_is_known(
    desk: Desk, carl: tuple[str, str]
) -> None:
    boxes = [desk.connect(provider) for provider in ("google", "microsoft", "imap", "ews", "icloud")]
    letter = mail(carl[0], boxes[0][1], cc=[Person(None, address) for _, address in boxes[1:]])
    kinds = [desk.writer.write(desk.lay(grant, letter)).kind for grant, _ in boxes]
    assert kinds == [Kind.WRITTEN, *[Kind.ALREADY_THERE] * 4]
    assert desk.dataverse.stand_in.count("email", messageid=letter.message_id) == 1
    assert {sighting.grant for sighting in desk.sightings.of(identity(letter))} == {grant for grant, _ in boxes}


def test_both_orders_end_in_equal_rows(account: StorageAccount, nylas: NylasServed, clock: Clock) -> None:
    """In two organisations, each with the same people and the same mail."""
    (anns, ann), (bens, ben) = (
        (nylas.stand_in.connect(address, provider), address)
        for address, provider in ((new_address(), "google"), (new_address(), "imap"))
    )
    carl = new_address("carl", FABRIKAM)
    rows = []
    for order in ((anns, bens), (bens, anns)):
        with DataverseServed() as dataverse:
            desk = Desk(account, nylas, dataverse, clock)
            contact = dataverse.stand_in.add(
                "contact", contactid="cccccccc-0000-4000-8000-000000000001", lastname="Carl", emailaddress1=carl
            )
            letter = mail(ann, carl, cc=(Person("Ben", ben),), date=NOW, message_id=f"<{new_message_id()}>")
            works = {anns: desk.lay(anns, letter, "sent"), bens: desk.lay(bens, letter)}
            clock.now += SENDERS_COPY_PATIENCE
            for grant in order:
                desk.writer.write(works[grant])
            row = desk.row(identity(letter))
            parties = sorted(
                (one["participationtypemask"], one["addressused"] or "", one["_partyid_value"] == contact)
                for one in row.pop("parties")
                if one["participationtypemask"] < 5
            )
            told = ("subject", "description", "directioncode", "sender", "torecipients", "statuscode", "sortdate")
            rows.append(({name: row[name] for name in told}, row["_regardingobjectid_value"] == contact, parties))
    assert rows[0] == rows[1]


def test_a_colleagues_copy_waits_for_the_senders_which_alone_knows_the_bcc(desk: Desk, carl: tuple[str, str]) -> None:
    (anns, ann), (bens, ben) = desk.connect(), desk.connect()
    desk.writer.write(desk.lay(anns, mail(carl[0], ann)))
    desk.restart()
    letter = mail(ann, carl[0], cc=(Person(None, ben),), bcc=(Person(None, "hidden@nowhere.example"),))
    sent, received = desk.lay(anns, letter, "sent"), desk.lay(bens, letter)
    with pytest.raises(TransientError) as error:
        desk.writer.write(received)
    assert error.value.reason == "awaits_senders_copy"
    assert 0 < (error.value.retry_after or 0) <= SENDERS_COPY_PATIENCE
    assert desk.writer.write(sent).kind is Kind.WRITTEN
    assert desk.writer.write(received).kind is Kind.ALREADY_THERE
    masks = {one["addressused"]: one["participationtypemask"] for one in desk.row(identity(letter))["parties"]}
    assert masks["hidden@nowhere.example"] == 4


def test_and_is_written_from_when_the_senders_never_comes(desk: Desk, carl: tuple[str, str]) -> None:
    (anns, ann), (bens, ben) = desk.connect(), desk.connect()
    desk.writer.write(desk.lay(anns, mail(carl[0], ann)))
    work = desk.lay(bens, mail(ann, carl[0], cc=(Person(None, ben),)))
    desk.clock.now += SENDERS_COPY_PATIENCE
    assert desk.writer.write(work).kind is Kind.WRITTEN


# adopted, and another mail


def theirs(desk: Desk, letter: Mail, **columns: object) -> str:
    """The same mail as another tracker put it into Dataverse."""
    assert letter.sender is not None
    given = {
        "subject": letter.subject,
        "description": letter.body,
        "messageid": letter.message_id,
        "directioncode": False,
        "email_activity_parties": [{"participationtypemask": 1, "addressused": letter.sender.email}],
        **columns,
    }
    return desk.dataverse.stand_in.add("email", **given)


@pytest.mark.parametrize("columns", [{"statecode": 1, "statuscode": 4}, {}], ids=["completed", "open"])
@pytest.mark.parametrize("brackets", [True, False], ids=["with brackets", "without"])
def test_an_email_that_something_else_put_there_is_adopted_and_not_touched(
    desk: Desk, carl: tuple[str, str], columns: dict[str, object], brackets: bool
) -> None:
    grant, ann = desk.connect()
    letter = mail(carl[0], ann)
    written = letter.message_id if brackets else canonical_message_id(letter.message_id)
    row_id = theirs(desk, letter, **{"messageid": written, **columns})
    before = desk.row(row_id)
    work = desk.lay(grant, letter)
    assert desk.writer.write(work) == Outcome(Kind.ADOPTED, "same_message_id", row_id)
    assert desk.row(row_id) == before
    assert desk.dataverse.stand_in.count("email") == 1
    assert (desk.record(work).kind, desk.record(work).activityid) == (Kind.ADOPTED, row_id)


def test_another_mail_under_the_same_message_id_is_written_beside_it(desk: Desk, carl: tuple[str, str]) -> None:
    """In doubt it is another mail: a double can be seen, a loss cannot."""
    grant, ann = desk.connect()
    letter = mail(carl[0], ann, subject="Scan of Monday", body="<p>Invoice 1</p>")
    row_id = theirs(desk, letter, subject="Scan of Tuesday", description="<p>Invoice 2</p>")
    before = desk.row(row_id)
    outcome = desk.writer.write(desk.lay(grant, letter))
    assert (outcome.kind, outcome.reason) == (Kind.WRITTEN, "message_id_reused")
    assert outcome.activityid not in {row_id, identity(letter)}
    assert desk.row(outcome.activityid)["messageid"] is None
    assert desk.row(outcome.activityid)["statuscode"] == 4
    assert desk.row(row_id) == before


def test_a_message_id_that_differs_by_case_alone_is_another_mails(desk: Desk, carl: tuple[str, str]) -> None:
    """Dataverse compares without case; two copies of one notice must not become one."""
    grant, ann = desk.connect()
    upper, lower = (mail(carl[0], ann, message_id=f"<{text}@mail.example>") for text in ("ABCdef17", "abcDEF17"))
    ids = [desk.writer.write(desk.lay(grant, letter)).activityid for letter in (upper, lower)]
    assert ids == [identity(upper), identity(lower)]
    assert desk.dataverse.stand_in.count("email", statecode=1) == 2


# gone stays gone


def test_what_was_removed_from_dataverse_is_not_brought_back_by_a_second_copy(
    desk: Desk, carl: tuple[str, str]
) -> None:
    (anns, ann), (bens, ben) = desk.connect(), desk.connect()
    letter = mail(carl[0], ann, ben)
    desk.writer.write(desk.lay(anns, letter))
    desk.dataverse.stand_in.delete("email", identity(letter))
    second = desk.lay(bens, letter)
    assert desk.writer.write(second).kind is Kind.REMOVED
    assert desk.record(second).kind is Kind.REMOVED
    assert desk.dataverse.stand_in.count("email") == 0


def test_a_message_deleted_in_its_mailbox_is_recorded_and_its_email_stays(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    letter = mail(carl[0], ann)
    work = desk.lay(grant, letter)
    desk.writer.write(work)
    unread = item(grant, "never-read")
    for message in (work.message, unread.message):
        desk.writer.record_deleted(
            DeletedItem(grant=grant, message=message, source="message.deleted", first_seen=NOW, notification="n")
        )
    assert (desk.record(work).kind, "deleted" in desk.record(work).detail) == (Kind.WRITTEN, True)
    assert (desk.record(unread).kind, desk.record(unread).reason) == (Kind.GONE, "deleted")
    assert desk.row(identity(letter))["statuscode"] == 4


# past what the organisation automated

OLD = "backfill:0123abcd-bypass"
RUN = "backfill:0123abcd-run"


def answered(desk: Desk) -> set[str]:
    """The writes that something of the organisation's own answered, since the log was cleared."""
    ran = desk.dataverse.stand_in.automation
    return {f"{one.action} {one.table}" for one in ran if not one.nothing}


def written(desk: Desk) -> set[str]:
    return {f"{one.action} {one.table}" for one in desk.dataverse.stand_in.automation}


@pytest.mark.parametrize("changesets", [True, False], ids=["at once", "step by step"])
@pytest.mark.parametrize(
    ("source", "past"), [(OLD, True), (RUN, False), ("message.created", False)], ids=["bypass", "run", "live"]
)
def test_every_write_of_a_backfill_that_was_told_to_goes_past_automation(
    account: StorageAccount, nylas: NylasServed, clock: Clock, source: str, past: bool, changesets: bool
) -> None:
    """The email, its files, its place in a queue, its completion, and a reply that is linked to it."""
    with DataverseServed(refuse_changesets=not changesets) as dataverse:
        desk = Desk(account, nylas, dataverse, clock)
        carl = new_address("carl", FABRIKAM)
        dataverse.contact(carl)
        grant, ann = desk.connect()
        dataverse.stand_in.add("queue", name="Sales", emailaddress=ann)
        letter = mail(carl, ann, files=(File("a.txt", "text/plain", b"a"), File("b.bin", "application/x-b", LARGE)))
        answer = mail(carl, ann, in_reply_to=letter.message_id, references=letter.message_id)
        desk.writer.write(desk.lay(grant, answer))
        dataverse.stand_in.automation.clear()
        work = desk.lay(grant, letter)
        assert desk.writer.write(item(grant, work.message, source=source)).kind is Kind.WRITTEN
        every = {"create email", "create activitymimeattachment", "create queueitem", "update email"}
        assert written(desk) == every
        assert answered(desk) == (set() if past else every)
        assert desk.row(identity(answer))["_parentactivityid_value"] == identity(letter)


LARGE = b"b" * (4 * 1024 * 1024 + 1)


class Counted(Gate):
    """A gate that counts who passes."""

    def __init__(self) -> None:
        super().__init__("files", clock=time.monotonic, scope=Scope.MESSAGE, concurrency=2)
        self.passed = 0

    @contextmanager
    def passing(self, units: float = 1.0, *, patience: float = 0.0) -> Iterator[None]:
        with super().passing(units, patience=patience):
            self.passed += 1
            yield


@pytest.mark.parametrize(("held", "passes"), [(LARGE, 1), (b"small", 0)], ids=["large", "small"])
def test_few_mails_with_large_files_are_written_at_a_time(
    desk: Desk, carl: tuple[str, str], held: bytes, passes: int
) -> None:
    """Those that go on with an open email too."""
    desk.large_files = Counted()
    grant, ann = desk.connect("microsoft")
    letter = mail(carl[0], ann, files=(File("b.bin", "application/x-b", held),))
    work = desk.lay(grant, letter)
    if passes:
        desk.dataverse.faults.add(Fault(Answer(503), method="PATCH", times=1))
        with pytest.raises(TransientError):
            desk.writer.write(work)
    desk.writer.write(work)
    assert desk.row(identity(letter))["statecode"] == 1
    assert desk.large_files.passed == 2 * passes


FILES = tuple(File(f"{name}.bin", "application/x-b", name.encode() * 2_000_000) for name in "abc")
"""More than goes in one changeset: such a mail is written step by step."""


def interrupted(desk: Desk, work: MessageItem) -> None:
    """Write a mail as far as its first file."""
    desk.dataverse.faults.add(Fault(Answer(503), path="activitymimeattachments", method="POST", times=1))
    with pytest.raises(TransientError):
        desk.writer.write(work)


@pytest.mark.parametrize("adopt", [True, False], ids=["looking for others", "not looking"])
def test_an_open_email_is_never_finished_with_another_mail_of_its_message_id(
    desk: Desk, carl: tuple[str, str], adopt: bool
) -> None:
    """Whichever comes first: each ends as it was sent."""
    desk.adopt_existing = adopt
    grant, ann = desk.connect("microsoft")
    offer = mail(carl[0], ann, files=FILES, subject="Offer", body="<p>offer</p>")
    invoice = replace(offer, files=(), subject="Invoice", body="<p>invoice</p>")
    work = desk.lay(grant, offer)
    interrupted(desk, work)
    assert desk.writer.write(desk.lay(grant, invoice)).kind is Kind.WRITTEN
    desk.writer.write(work)
    rows = desk.dataverse.stand_in.rows("email")
    stands = sorted((str(row["subject"]), "offer" in str(row["description"]), row["statecode"]) for row in rows)
    assert stands == [("Invoice", False, 1), ("Offer", True, 1)]


def test_two_mails_without_a_message_id_that_are_written_at_once_both_land(desk: Desk, carl: tuple[str, str]) -> None:
    """Alarms of one second, alike but for their text; both workers look for others before either has noted its own."""
    grant, ann = desk.connect()
    desk.writer.write(desk.lay(grant, mail(carl[0], ann)))
    alike = {"message_id": None, "subject": "Alarm", "date": NOW - 60}
    items = [desk.lay(grant, mail(carl[0], ann, body=f"<p>pump {n} failed</p>", **alike)) for n in (1, 2)]
    look, both = desk.sightings.of, threading.Barrier(2)
    met: set[int] = set()

    def together(activityid: str) -> tuple[Sighting, ...]:
        seen = look(activityid)
        if threading.get_ident() not in met:
            met.add(threading.get_ident())
            both.wait(5)
        return seen

    desk.writer._sightings.of = together  # type: ignore[method-assign]
    outcomes = in_threads(2, lambda: desk.writer.write(items.pop()))
    assert [one.kind for one in outcomes] == [Kind.WRITTEN] * 2
    told = {str(row["description"]) for row in desk.dataverse.stand_in.rows("email", subject="Alarm")}
    assert [any(f"pump {n}" in one for one in told) for n in (1, 2)] == [True, True]


def test_an_email_that_a_person_opened_again_is_left_to_them(desk: Desk, carl: tuple[str, str]) -> None:
    (grant, ann), (second, ben) = desk.connect("microsoft"), desk.connect("microsoft")
    letter = mail(carl[0], ann, cc=(Person("Ben", ben),))
    desk.writer.write(desk.lay(grant, letter))
    changes = {"statecode": 0, "statuscode": 1, "description": "<div>Hello</div><p>A person's note</p>"}
    desk.dataverse.stand_in.update("email", identity(letter), **changes)
    assert desk.writer.write(desk.lay(second, letter)).kind is Kind.ALREADY_THERE
    assert changes.items() <= desk.row(identity(letter)).items()


@pytest.mark.parametrize("told", [True, False], ids=["told of its deletion", "not told"])
def test_a_mail_that_is_deleted_while_it_is_written_leaves_its_email_completed(
    desk: Desk, carl: tuple[str, str], told: bool
) -> None:
    """As far as it was written: the person in Dataverse sees that files are missing."""
    grant, ann = desk.connect("microsoft")
    letter = mail(carl[0], ann, files=FILES)
    work = desk.lay(grant, letter)
    interrupted(desk, work)
    desk.nylas.stand_in.delete(grant, work.message, notify=False)
    if told:
        deleted = DeletedItem(grant=grant, message=work.message, source="message.deleted", first_seen=NOW)
        desk.writer.record_deleted(deleted)
    with pytest.raises(MessageGoneError):
        desk.writer.write(item(grant, work.message, misses=GONE_AFTER - 2))
    assert desk.row(identity(letter))["statecode"] == 0, "it may yet be found"
    outcome = desk.writer.write(item(grant, work.message, misses=GONE_AFTER - 1))
    assert (outcome.kind, outcome.reason, outcome.activityid) == (Kind.WRITTEN, "left_the_mailbox", identity(letter))
    row = desk.row(identity(letter))
    assert (row["statecode"], row["statuscode"], row["notifications"]) == (1, 4, 1)
    assert desk.record(work).kind is Kind.WRITTEN
    assert [one.stands for one in desk.sightings.of(identity(letter))] == [identity(letter)]


def test_a_mail_that_is_gone_before_its_email_was_opened_is_gone(desk: Desk, carl: tuple[str, str]) -> None:
    """An email that others hold, too, is theirs."""
    (grant, ann), (second, ben) = desk.connect("microsoft"), desk.connect("microsoft")
    letter = mail(carl[0], ann, cc=(Person("Ben", ben),))
    desk.writer.write(desk.lay(grant, letter))
    work = desk.lay(second, letter)
    begun = Entry(
        grant=second, message=work.message, kind=Kind.WRITING, noted=NOW, first_seen=NOW, source="message.created",
        activityid=identity(letter),
    )  # fmt: skip
    desk.journal.put(begun, None)
    desk.nylas.stand_in.delete(second, work.message, notify=False)
    with pytest.raises(MessageGoneError):
        desk.writer.write(item(second, work.message, misses=GONE_AFTER - 1))


def test_what_is_refused_when_it_is_gone_on_with_leaves_no_open_email(desk: Desk, carl: tuple[str, str]) -> None:
    """As what is refused at the first attempt."""
    grant, ann = desk.connect("microsoft")
    letter = mail(carl[0], ann, files=FILES)
    work = desk.lay(grant, letter)
    interrupted(desk, work)
    told = {"error": {"code": "0x80040265", "message": "Emails need a case before they are closed"}}
    refusal = Answer(400, {"Content-Type": "application/json"}, json.dumps(told).encode())
    desk.dataverse.faults.add(Fault(refusal, method="PATCH"))
    with pytest.raises(MessageError):
        desk.writer.write(work)
    assert desk.dataverse.stand_in.email(identity(letter)) is None


def test_a_mail_that_takes_long_goes_back_to_its_queue_and_on_from_where_it_was(
    desk: Desk, carl: tuple[str, str]
) -> None:
    grant, ann = desk.connect("microsoft")
    files = tuple(File(f"{name}.bin", "application/x-b", name.encode() * 2_000_000) for name in "abc")
    letter = mail(carl[0], ann, files=files)
    work = desk.lay(grant, letter)

    def slow(table: str, _: object) -> None:
        if table == "activitymimeattachment":
            desk.stopwatch.now += BUDGET / 2 + 1

    desk.dataverse.stand_in.behaviour.plug_in = slow
    try:
        with pytest.raises(TransientError) as waits:
            desk.writer.write(work)
        assert waits.value.reason == "out_of_time"
        assert desk.row(identity(letter))["statecode"] == 0
        desk.writer.write(work)
    finally:
        desk.dataverse.stand_in.behaviour.plug_in = lambda _table, _values: None
    assert desk.row(identity(letter))["statecode"] == 1
    held = desk.dataverse.stand_in.rows("activitymimeattachment", _objectid_value=identity(letter))
    assert sorted(str(row["filename"]) for row in held) == ["a.bin", "b.bin", "c.bin"]


def test_and_so_does_an_update_of_a_message_that_still_waits_for_its_backfill(
    desk: Desk, carl: tuple[str, str]
) -> None:
    grant, ann = desk.connect()
    work = desk.lay(grant, mail(carl[0], ann))
    waiting = Entry(
        grant=grant, message=work.message, kind=Kind.QUEUED, noted=NOW, first_seen=NOW, source=OLD, date=NOW
    )
    desk.journal.put(waiting, None)
    desk.writer.write(item(grant, work.message, source="message.updated"))
    assert answered(desk) == set()
    assert desk.record(work).source == OLD, "its backfill counts it"


def test_what_a_backfill_skipped_is_live_mail_when_it_moves(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    work = desk.lay(grant, mail(carl[0], ann))
    skipped = Entry(
        grant=grant, message=work.message, kind=Kind.SKIPPED, noted=NOW, first_seen=NOW, source=OLD, date=NOW
    )
    desk.journal.put(skipped, None)
    desk.writer.write(item(grant, work.message, source="message.updated"))
    assert answered(desk) == {"create email", "update email"}


def test_live_mail_beside_it_is_answered_as_ever(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    desk.writer.write(item(grant, desk.lay(grant, mail(carl[0], ann)).message, source=OLD))
    assert answered(desk) == set()
    desk.writer.write(desk.lay(grant, mail(carl[0], ann)))
    assert answered(desk) == {"create email", "update email"}


@pytest.mark.parametrize("changesets", [True, False], ids=["at once", "step by step"])
def test_without_the_privilege_it_waits_for_an_administrator_and_no_owner_is_blamed(
    account: StorageAccount, nylas: NylasServed, clock: Clock, changesets: bool
) -> None:
    with DataverseServed(refuse_changesets=not changesets) as dataverse:
        desk = Desk(account, nylas, dataverse, clock)
        grant, ann = desk.connect()
        dataverse.user(ann)
        stranger = new_address("stranger", "nowhere.example")
        desk.writer.write(desk.lay(grant, mail(stranger, ann)))
        dataverse.stand_in.privileges = dataverse.stand_in.used_privileges
        letter = mail(stranger, ann)
        work = desk.lay(grant, letter)
        with pytest.raises(ConfigurationError) as error:
            desk.writer.write(item(grant, work.message, source=OLD))
        assert error.value.reason == "bypass_refused"
        assert "prvBypassCustomBusinessLogic" in str(error.value)
        assert dataverse.stand_in.email(identity(letter)) is None
        dataverse.stand_in.privileges = {*dataverse.stand_in.used_privileges, "prvBypassCustomBusinessLogic"}
        desk.writer.write(item(grant, work.message, source=OLD))
        assert desk.record(work).notes == (
            "owner: recipient systemuser " + desk.row(identity(letter))["_ownerid_value"],
        )


def test_old_mail_does_not_wait_for_its_senders_copy(desk: Desk, carl: tuple[str, str]) -> None:
    """That one comes when somebody brings it too, or never."""
    (mine, ann), (other, bob) = desk.connect(), desk.connect()
    desk.writer.write(desk.lay(mine, mail(carl[0], ann)))
    work = desk.lay(other, mail(ann, carl[0], bob))
    with pytest.raises(TransientError) as error:
        desk.writer.write(work)
    assert error.value.reason == "awaits_senders_copy"
    assert desk.writer.write(item(other, work.message, source=RUN)).kind is Kind.WRITTEN


# erased stays erased


def erase(desk: Desk, letter: Mail, *copies: MessageItem) -> None:
    """What is left once somebody had this mail erased: tombstones, and no email."""
    marks = [PSEUDONYMS.of_mail(identity(letter))]
    marks += [PSEUDONYMS.of_copy(one.grant, hash_of(one.message)) for one in copies]
    desk.tombstones.add(marks)
    for one in copies:
        known = desk.journal.get(one.grant, one.message)
        desk.journal.bury(Entry(**GONE, grant=one.grant, message=one.message), known)
    desk.sightings.erase(identity(letter))
    with suppress(LookupError):
        desk.dataverse.stand_in.delete("email", identity(letter))


GONE: dict[str, Any] = {"kind": Kind.ERASED, "noted": NOW, "first_seen": NOW}


def test_an_erased_mail_stays_out_whoever_brings_it(desk: Desk, carl: tuple[str, str]) -> None:
    """An update of the same message; a colleague's copy; the same mailbox under a new grant, which gives new ids."""
    (grant, ann), (other, bob), (anew, _) = desk.connect(), desk.connect(), desk.connect()
    letter = mail(carl[0], ann, bob)
    work = desk.lay(grant, letter)
    desk.writer.write(work)
    erase(desk, letter, work)
    assert desk.costs(lambda: desk.writer.write(work)) == (0, 0)
    for copy in (desk.lay(other, letter), desk.lay(anew, letter)):
        assert desk.writer.write(copy) == Outcome(Kind.ERASED, "erased")
        record = desk.journal.recall(copy.grant, copy.message)
        assert record is not None
        assert (record.kind, record.activityid, record.folders) == (Kind.ERASED, None, None)
    assert desk.dataverse.stand_in.email(identity(letter)) is None
    assert desk.sightings.of(identity(letter)) == ()


def test_a_mail_that_is_erased_while_it_is_written_is_not_written(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    letter = mail(carl[0], ann)
    work = desk.lay(grant, letter)
    resolve = desk.writer._resolver.resolve

    def slowly(question: Question) -> Resolved:
        desk.tombstones.add([PSEUDONYMS.of_mail(identity(letter))])
        return resolve(question)

    desk.writer._resolver.resolve = slowly  # type: ignore[method-assign]
    assert desk.writer.write(work) == Outcome(Kind.ERASED, "erased")
    assert desk.dataverse.stand_in.email(identity(letter)) is None
    record = desk.journal.recall(grant, work.message)
    assert record is not None
    assert (record.kind, record.activityid, bool(record.pseudonym)) == (Kind.ERASED, None, True)
    assert desk.sightings.of(identity(letter)) == ()


def test_finding_that_out_costs_dataverse_nothing(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    desk.writer.write(desk.lay(grant, mail(carl[0], ann)))
    letter = mail(carl[0], ann)
    erase(desk, letter)
    work = desk.lay(grant, letter)
    assert desk.costs(lambda: desk.writer.write(work)) == (1, 0)


def test_an_erased_mail_that_no_rule_would_let_pass_is_erased_all_the_same(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    letter = mail(carl[0], ann)
    erase(desk, letter)
    assert desk.writer.write(desk.lay(grant, letter, "junk")).kind is Kind.ERASED


def test_a_mail_under_a_reused_message_id_is_erased_alone(desk: Desk, carl: tuple[str, str]) -> None:
    """The first mail under that id has another subject, and stands."""
    grant, ann = desk.connect()
    first = mail(carl[0], ann)
    second = mail(carl[0], ann, subject="Another", body="<p>Another</p>", message_id=first.message_id)
    desk.writer.write(desk.lay(grant, first))
    written = desk.writer.write(desk.lay(grant, second))
    assert written.reason == "message_id_reused"
    desk.dataverse.stand_in.delete("email", str(written.activityid))
    desk.sightings.erase(str(written.activityid))
    desk.tombstones.add([PSEUDONYMS.of_mail(str(written.activityid))])
    assert desk.writer.write(desk.lay(grant, second)).kind is Kind.ERASED
    assert desk.writer.write(desk.lay(grant, first)).kind is Kind.ALREADY_THERE


@pytest.mark.parametrize(
    ("folder", "shown"),
    [
        pytest.param("inbox", {}, id="from a contact"),
        pytest.param("inbox", {"from": [{"email": 'Staff: "A, B" <a@x.example>, b@x.example;'}]}, id="from a group"),
        pytest.param("inbox", {"from": [{"name": "Nobody"}], "subject": "Re: [list] Quote"}, id="without an address"),
        pytest.param("sent", {"from": None, "body": None}, id="sent by nobody, empty"),
        pytest.param("sent", {"from": [{"email": "us@elsewhere.example"}]}, id="sent under another address"),
    ],
)
def test_the_look_that_a_tombstone_is_asked_for_is_that_of_the_email(
    desk: Desk, carl: tuple[str, str], folder: str, shown: dict[str, Any]
) -> None:
    """Before the mail is mapped, and so before Dataverse is asked."""
    grant, ann = desk.connect()
    letter = mail(carl[0], ann, carl[0], body="<style>p{}</style><p>Hello,</p><p>see below</p>")
    desk.writer.write(desk.lay(grant, letter, folder, overrides=shown))
    (sighting,) = desk.sightings.of(identity(letter))
    desk.sightings.erase(identity(letter))
    look = PSEUDONYMS.of_guard(identity(letter), sighting.guard)
    desk.tombstones.add([of_look(PSEUDONYMS.of_mail(identity(letter)), look)])
    work = desk.lay(grant, letter, folder, overrides=shown)
    desk.restart()
    assert desk.writer.write(work).kind is Kind.ERASED
    other = replace(letter, subject="Another", body="<p>Another</p>")
    outcome = desk.writer.write(desk.lay(grant, other))
    assert (outcome.kind, outcome.reason) == (Kind.WRITTEN, "message_id_reused"), "whatever stands there, or does not"


def test_a_mail_whose_first_attempt_died_is_recognised_by_the_id_it_began_with(
    desk: Desk, carl: tuple[str, str]
) -> None:
    grant, ann = desk.connect()
    letter = mail(carl[0], ann)
    work = desk.lay(grant, letter)
    begun = Entry(**{**GONE, "kind": Kind.WRITING}, grant=grant, message=work.message, activityid=identity(letter))
    desk.journal.put(begun, None)
    desk.tombstones.add([PSEUDONYMS.of_mail(identity(letter))])
    assert desk.writer.write(work).kind is Kind.ERASED
    assert desk.journal.get(grant, work.message) is None


def test_a_message_deleted_in_its_mailbox_after_it_was_erased_leaves_no_other_record(
    desk: Desk, carl: tuple[str, str]
) -> None:
    grant, ann = desk.connect()
    letter = mail(carl[0], ann)
    work = desk.lay(grant, letter)
    erase(desk, letter, work)
    desk.writer.record_deleted(DeletedItem(grant=grant, message=work.message, source="message.deleted", first_seen=NOW))
    record = desk.journal.recall(grant, work.message)
    assert record is not None
    assert (record.kind, bool(record.pseudonym)) == (Kind.ERASED, True)


# shortened


def shorten(desk: Desk, letter: Mail, work: MessageItem) -> None:
    """Retention came by."""
    assert desk.journal.shorten([desk.record(work)], PSEUDONYMS) == 1
    rows, _ = desk.sightings.walk((identity(letter), ""), 1)
    assert desk.sightings.shorten(rows[0], PSEUDONYMS)


@pytest.mark.parametrize("stands", [True, False], ids=["stands", "was removed"])
def test_a_second_copy_of_a_mail_whose_records_were_shortened_makes_no_second_email(
    desk: Desk, carl: tuple[str, str], stands: bool
) -> None:
    (grant, ann), (other, bob) = desk.connect(), desk.connect()
    letter = mail(carl[0], ann, bob)
    work = desk.lay(grant, letter)
    desk.writer.write(work)
    shorten(desk, letter, work)
    if not stands:
        desk.dataverse.stand_in.delete("email", identity(letter))
    outcome = desk.writer.write(desk.lay(other, letter))
    assert outcome.kind is (Kind.ALREADY_THERE if stands else Kind.REMOVED)
    assert (desk.dataverse.stand_in.email(identity(letter)) is not None) is stands


@pytest.mark.parametrize("stands", [True, False], ids=["stands", "was removed"])
def test_nor_does_one_of_an_adopted_email(desk: Desk, carl: tuple[str, str], stands: bool) -> None:
    (grant, ann), (other, bob) = desk.connect(), desk.connect()
    letter = mail(carl[0], ann, bob)
    theirs = desk.dataverse.stand_in.add(
        "email", subject=letter.subject, description=letter.body, messageid=letter.message_id, statecode=1,
        email_activity_parties=[{"participationtypemask": 1, "addressused": carl[0]}],
    )  # fmt: skip
    work = desk.lay(grant, letter)
    assert desk.writer.write(work).kind is Kind.ADOPTED
    shorten(desk, letter, work)
    if not stands:
        desk.dataverse.stand_in.delete("email", theirs)
    outcome = desk.writer.write(desk.lay(other, letter))
    assert outcome.kind is (Kind.ADOPTED if stands else Kind.REMOVED)
    assert len(desk.dataverse.stand_in.rows("email", subject=letter.subject)) == stands * 1


def test_another_mail_under_the_id_of_one_whose_records_were_shortened_is_written(
    desk: Desk, carl: tuple[str, str]
) -> None:
    grant, ann = desk.connect()
    first = mail(carl[0], ann)
    work = desk.lay(grant, first)
    desk.writer.write(work)
    shorten(desk, first, work)
    second = mail(carl[0], ann, subject="Another", body="<p>Another</p>", message_id=first.message_id)
    outcome = desk.writer.write(desk.lay(grant, second))
    assert (outcome.kind, outcome.reason) == (Kind.WRITTEN, "message_id_reused")


def test_without_the_key_the_email_that_stands_tells_which_mail_it_is(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    first = mail(carl[0], ann)
    work = desk.lay(grant, first)
    desk.writer.write(work)
    shorten(desk, first, work)
    desk.tombstones._own = None
    second = mail(carl[0], ann, subject="Another", body="<p>Another</p>", message_id=first.message_id)
    outcome = desk.writer.write(desk.lay(grant, second))
    assert (outcome.kind, outcome.reason) == (Kind.WRITTEN, "message_id_reused")
    outcome = desk.writer.write(desk.lay(grant, first))
    assert (outcome.kind, outcome.activityid) == (Kind.ALREADY_THERE, identity(first))
    desk.dataverse.stand_in.delete("email", identity(first))
    assert desk.writer.write(desk.lay(grant, first)).kind is Kind.REMOVED, "what somebody removed stays gone"


# not there yet, and trouble


def test_a_message_that_is_not_there_yet_is_there_later(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    work = desk.lay(grant, mail(carl[0], ann), hidden=1)
    with pytest.raises(MessageGoneError):
        desk.writer.write(work)
    assert desk.writer.write(work).kind is Kind.WRITTEN


def test_an_expired_grant_is_its_owners_to_mend(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    work = desk.lay(grant, mail(carl[0], ann))
    desk.writer.write(desk.lay(grant, mail(carl[0], ann)))
    desk.nylas.stand_in.expire(grant)
    with pytest.raises(GrantError):
        desk.writer.write(work)


def test_an_answer_lost_after_the_write_is_found_by_the_next_attempt(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    letter = mail(carl[0], ann)
    work = desk.lay(grant, letter)
    desk.dataverse.faults.add(Fault(DropAfter(), body="POST /api/data/v9.2/emails", times=2))
    with pytest.raises(TransientError):
        desk.writer.write(work)
    assert (desk.record(work).kind, desk.record(work).activityid) == (Kind.WRITING, identity(letter))
    desk.restart()
    assert desk.writer.write(work) == Outcome(Kind.ALREADY_THERE, "contact", identity(letter))
    assert desk.dataverse.stand_in.count("email", statecode=1, statuscode=4) == 1


def test_what_was_written_is_there_though_a_rule_would_keep_it_out_by_now(desk: Desk, carl: tuple[str, str]) -> None:
    """The answer to the write was lost, and then somebody threw the mail away."""
    grant, ann = desk.connect()
    letter = mail(carl[0], ann)
    work = desk.lay(grant, letter)
    desk.dataverse.faults.add(Fault(DropAfter(), body="POST /api/data/v9.2/emails", times=2))
    with pytest.raises(TransientError):
        desk.writer.write(work)
    desk.nylas.stand_in.move(grant, work.message, "trash", notify=False)
    assert desk.writer.write(work).kind is Kind.ALREADY_THERE
    assert desk.record(work).activityid == identity(letter)


def test_and_what_was_not_is_kept_out(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    work = desk.lay(grant, mail(carl[0], ann))
    desk.dataverse.faults.add(Fault(Answer(503), body="POST /api/data/v9.2/emails", times=1))
    with pytest.raises(TransientError):
        desk.writer.write(work)
    desk.nylas.stand_in.move(grant, work.message, "trash", notify=False)
    assert desk.writer.write(work) == Outcome(Kind.SKIPPED, "trash")


def test_the_first_attempts_id_holds_though_the_headers_read_otherwise_later(desk: Desk, carl: tuple[str, str]) -> None:
    """What was perhaps written under the first id must not be written again under another."""
    grant, ann = desk.connect()
    first, later = f"<{new_message_id()}>", f"<{new_message_id()}>"
    work = desk.lay(grant, mail(carl[0], ann, message_id=first))
    desk.dataverse.faults.add(Fault(Answer(503), body="POST /api/data/v9.2/emails", times=1))
    with pytest.raises(TransientError):
        desk.writer.write(work)
    message = desk.nylas.stand_in._box(grant).messages[work.message]
    message.overrides = {"headers": [{"name": "Message-ID", "value": later}]}
    assert desk.writer.write(work).activityid == str(activityid_of(canonical_message_id(first) or ""))
    assert desk.dataverse.stand_in.count("email") == 1


def test_a_row_that_dataverse_refuses_is_the_messages_own_fault(
    account: StorageAccount, nylas: NylasServed, clock: Clock
) -> None:
    with DataverseServed(custom={"email": {"subject": {"type": "text", "max": 10}}}) as dataverse:
        desk = Desk(account, nylas, dataverse, clock)
        grant, ann = desk.connect()
        work = desk.lay(grant, mail(new_address("carl", FABRIKAM), ann, subject="A long subject"))
        with pytest.raises(MessageError) as error:
            desk.writer.write(work)
        assert (error.value.evidence.vendor, error.value.evidence.code) == ("dataverse", "0x80044331")
        assert desk.dataverse.stand_in.count("email") == 0


def test_a_message_the_mapper_cannot_take_is_put_aside_and_not_quoted(desk: Desk, carl: tuple[str, str]) -> None:
    """The mapper is pure: it would fail the same way each time."""
    grant, ann = desk.connect()
    work = desk.lay(grant, mail(carl[0], ann, subject="very secret"))
    facts = desk.writer._begun(work, None, NOW).facts
    object.__setattr__(facts, "identity", None)
    with pytest.raises(MessageError) as error:
        desk.writer._mapped(facts, Resolved())
    assert error.value.reason == "mapping_failed"
    assert "secret" not in str(error.value)


# replies


def test_a_reply_is_about_what_its_parent_is_about(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    first = mail(carl[0], ann)
    desk.writer.write(desk.lay(grant, first))
    account = desk.dataverse.stand_in.add("account", name="Chosen by hand")
    desk.dataverse.stand_in.update("email", identity(first), regardingobjectid=("account", account))
    reply = mail(ann, carl[0], in_reply_to=first.message_id, references=first.message_id)
    assert desk.writer.write(desk.lay(grant, reply, "sent")).reason == "reply"
    row = desk.row(identity(reply))
    assert (row["_parentactivityid_value"], row["_regardingobjectid_value"]) == (identity(first), account)


def test_a_reply_before_its_parent_is_linked_when_the_parent_comes(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    first = mail(carl[0], ann)
    reply = mail(ann, carl[0], in_reply_to=first.message_id)
    early = desk.lay(grant, reply, "sent")
    desk.writer.write(early)
    assert desk.row(identity(reply))["_parentactivityid_value"] is None
    desk.writer.write(desk.lay(grant, first))
    row = desk.row(identity(reply))
    assert (row["_parentactivityid_value"], row["statecode"], row["statuscode"]) == (identity(first), 1, 3)
    assert (desk.record(early).kind, desk.record(early).detail) == (Kind.WRITTEN, "linked")


# hostile mail, and what is logged


def test_hostile_mail_lands_like_other_mail(desk: Desk) -> None:
    grant, ann = desk.connect()
    letter = mail(
        "o'hara'); drop--@fabrikam.example",
        ann,
        subject="a\r\nBcc: x@y\x00\ud83d" + "s" * 2000,
        body="<script>alert(1)</script><p onclick='x()'>Hi\x00</p>",
        message_id="<it's&$filter=1#%27'@mail.example>",
        date=253_402_300_800 * 5,
    )
    work = desk.lay(grant, letter, overrides={"subject": "a\r\nBcc: x@y\x00" + "s" * 2000, "to": [{}, None]})
    outcome = desk.writer.write(work)
    assert outcome.kind is Kind.WRITTEN
    row = desk.row(outcome.activityid)
    assert "\n" not in row["subject"]
    assert "script" not in row["description"]
    assert "onclick" not in row["description"]
    assert row["statuscode"] == 4


def test_ten_thousand_recipients_land(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    crowd = [Person(None, f"r{number}@nowhere.example") for number in range(10_000)]
    letter = mail(carl[0], ann, cc=tuple(crowd))
    assert desk.writer.write(desk.lay(grant, letter)).kind is Kind.WRITTEN


def test_the_log_tells_ids_and_never_people_or_content(
    desk: Desk, carl: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    grant, ann = desk.connect()
    works = [
        desk.lay(grant, mail(carl[0], ann, subject="very secret", body="most secret"), folder)
        for folder in ("inbox", "junk")
    ]
    for work in (*works, works[0]):
        desk.writer.write(work)
    told = "\n".join(record.getMessage() for record in caplog.records if record.name == "mailsync")
    for event in ("email_written", "message_skipped", "message_known"):
        assert f"event={event} grant={grant} message=" in told
    assert not any(word in caplog.text for word in ("secret", carl[0], ann))


# threads, owners and queues


def test_two_answers_to_a_mail_that_nobody_brought_are_of_one_conversation(desk: Desk, carl: tuple[str, str]) -> None:
    """The second is correlated with the first, has no parent, and is about the same; when the mail comes after all, it
    becomes the parent of both."""
    grant, ann = desk.connect()
    unseen = mail(carl[0], ann)
    first, second = (mail(carl[0], ann, in_reply_to=unseen.message_id) for _ in range(2))
    desk.writer.write(desk.lay(grant, first))
    account = desk.dataverse.stand_in.add("account", name="Chosen by hand")
    desk.dataverse.stand_in.update("email", identity(first), regardingobjectid=("account", account))
    assert desk.writer.write(desk.lay(grant, second)).reason == "reply"
    row = desk.row(identity(second))
    assert (row["_parentactivityid_value"], row["_correlatedactivityid_value"]) == (None, identity(first))
    assert row["_regardingobjectid_value"] == account
    desk.writer.write(desk.lay(grant, unseen))
    assert {desk.row(identity(one))["_parentactivityid_value"] for one in (first, second)} == {identity(unseen)}


@pytest.mark.parametrize("early", [True, False], ids=["before the mail it carries", "after it"])
def test_a_forward_to_another_customer_hangs_from_nothing(desk: Desk, carl: tuple[str, str], *, early: bool) -> None:
    grant, ann = desk.connect()
    dora = new_address("dora", "adatum.example")
    contact = desk.dataverse.contact(dora)
    carried = mail(carl[0], ann)
    forward = mail(ann, dora, subject="WG: Quote", in_reply_to=carried.message_id, references=carried.message_id)
    works = [desk.lay(grant, carried), desk.lay(grant, forward, "sent")]
    for work in reversed(works) if early else works:
        desk.writer.write(work)
    row = desk.row(identity(forward))
    assert (row["_parentactivityid_value"], row["_regardingobjectid_value"]) == (None, contact)


def test_a_queue_item_is_made_by_the_next_attempt_where_one_ended_before_it(desk: Desk, carl: tuple[str, str]) -> None:
    """The email was completed, and nobody heard of it."""
    grant, _ = desk.connect("microsoft")
    help_desk = desk.nylas.stand_in.connect(new_address("help"), "microsoft", created_at=NOW - 1000)
    address = desk.nylas.stand_in._box(help_desk).email
    queue = desk.dataverse.stand_in.add("queue", name="Help", emailaddress=address)
    letter = mail(carl[0], address)
    work = desk.lay(help_desk, letter)
    desk.dataverse.stand_in.behaviour.refuse_changesets = True
    desk.dataverse.faults.add(Fault(Answer(503), method="POST", path="queueitems", times=1))
    with pytest.raises(TransientError):
        desk.writer.write(work)
    assert desk.row(identity(letter))["statecode"] == 1
    assert desk.writer.write(work).kind is Kind.ALREADY_THERE
    (item,) = desk.dataverse.stand_in.rows("queueitem", _objectid_value=identity(letter))
    assert item["_queueid_value"] == queue
    assert grant != help_desk


def test_only_answers_to_mail_that_is_there_land_where_only_those_are_tracked(
    desk: Desk, carl: tuple[str, str]
) -> None:
    grant, ann = desk.connect()
    first = mail(carl[0], ann)
    desk.writer.write(desk.lay(grant, first))
    desk.policy = policy("track = 'replies'")
    desk.restart()
    answer, other = mail(ann, carl[0], in_reply_to=first.message_id), mail(ann, carl[0])
    assert desk.writer.write(desk.lay(grant, answer, "sent")).kind is Kind.WRITTEN
    assert desk.writer.write(desk.lay(grant, other, "sent")) == Outcome(Kind.SKIPPED, "untracked_thread")


def test_what_one_mailbox_keeps_to_itself_no_colleagues_copy_tells(desk: Desk, carl: tuple[str, str]) -> None:
    """The level follows from the mail's people, so both copies give the same row, in either order."""
    (mine, ann), (theirs, ben) = desk.connect(), desk.connect("microsoft")
    desk.policy = policy(f'[mailboxes."{ben}"]\ncontent = "subject"')
    letter = mail(carl[0], ann, subject="The subject", body="<p>most secret</p>", cc=(Person(None, ben),))
    works = [desk.lay(mine, letter), desk.lay(theirs, letter)]
    assert [desk.writer.write(work).kind for work in works] == [Kind.WRITTEN, Kind.ALREADY_THERE]
    row = desk.row(identity(letter))
    assert (row["subject"], row["description"]) == ("The subject", "")
    assert desk.dataverse.stand_in.count("email") == 1


def test_the_journal_tells_the_owner_and_every_row_that_carries_an_address(desk: Desk, carl: tuple[str, str]) -> None:
    grant, ann = desk.connect()
    user, twin = desk.dataverse.user(ann), desk.dataverse.contact(carl[0])
    work = desk.lay(grant, mail(carl[0], ann))
    desk.writer.write(work)
    owner, tie = desk.record(work).notes
    assert owner == f"owner: recipient systemuser {user}"
    first = min(carl[1], twin)
    assert tie.startswith("one address, several rows: contact ")
    assert {carl[1], twin} <= set(tie.replace(",", " ").replace(";", " ").split())
    assert tie.endswith(f"taken: contact {first}")
