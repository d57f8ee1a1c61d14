"""The step itself comes to what the corpus expects: from a message in its mailbox to the row in Dataverse.

Some cases of each theme go through it whole, for that takes ten times as long as deciding them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mailsync.connected import FOLDERS_PAUSE, Connected
from mailsync.dataverse.address_book import AddressBook
from mailsync.dataverse.creation import Creation
from mailsync.dataverse.definitions import Definitions
from mailsync.dataverse.emails import Emails
from mailsync.dataverse.resolver import Resolver
from mailsync.kinship import Kinship
from mailsync.outcome import Kind
from mailsync.settings import StorageSettings
from mailsync.storage.account import StorageAccount
from mailsync.storage.envelope import MessageItem
from mailsync.storage.journal import Journal
from mailsync.storage.mailboxes import Mailboxes
from mailsync.storage.threads import Awaited, Child, Sightings
from mailsync.storage.tombstones import Tombstones
from mailsync.write import SENDERS_COPY_PATIENCE, EmailWriter
from mapping.identity import canonical_message_id
from mapping.policy import Policy
from sandbox.azurite import Azurite
from tests.corpus.cases import Case, Folder, cases, mail_in
from tests.corpus.expected import settled
from tests.corpus.standing import assert_stands
from tests.corpus.world import NOON, world
from tests.mailsync.parts import Clock, DataverseServed, NylasServed, gate, measures_of
from tests.thorough import one_in

ACCOUNT = 21
"""Of the storage emulator, a whole one."""
ODD = ("missing", "organization", "whole_signed", "reconnected", "reused_message_id", "raw_refused", "without_sales")
"""What the one organisation of this test is not."""


def whole() -> list[Case]:
    """Cases that the stand-ins show as they are, each mail once."""
    mails = [one for one in cases() if one.written.mime is not None]
    plain = [one for one in mails if not any(getattr(one.written, key) for key in ODD)]
    return [one for one in plain if not {"same_as", "known_again_as"} & one.written.expect.keys()][:: one_in(9)]


class Office:
    """The world of the corpus with a writer for each policy."""

    def __init__(self, account: StorageAccount, nylas: NylasServed, dataverse: DataverseServed, clock: Clock) -> None:
        self.nylas, self.dataverse, self.clock = nylas, dataverse, clock
        self.account = account
        self.mailboxes = Mailboxes(account)
        self.awaited = Awaited(account)
        self._writers: dict[str, EmailWriter] = {}
        self.grants = {key: self._connect(key) for key in world().mailboxes}
        for row in world().of_table("email"):
            missing = [canonical_message_id(one) or "" for one in row.given.get("answers", ())]
            self.awaited.register(Child(row.id, "another-grant", "another-message"), missing)

    def _connect(self, key: str) -> str:
        given, stand_in = world().mailboxes[key], self.nylas.stand_in
        grant = stand_in.connect(
            given["address"],
            given["provider"],
            aliases=given.get("aliases", ()),
            created_at=NOON - 1000,
            language="en",
        )
        for name in (*given.get("folders", ()), *given.get("labels", ())):
            stand_in.make_folder(grant, name)
        self.connected(None).refreshed(grant)
        return grant

    def connected(self, policy: Policy | None) -> Connected:
        domains = policy.own_domains if policy is not None else None
        return Connected(mailboxes=self.mailboxes, reader=self.nylas.reader(), own_domains=domains, clock=self.clock)

    def writer(self, policy: Policy) -> EmailWriter:
        """One process for each policy."""
        if policy.version not in self._writers:
            api = self.dataverse.api
            book, definitions = AddressBook(policy.people), Definitions(api)
            emails, journal = Emails(api, definitions=definitions), Journal(self.account)
            resolver = Resolver(api, address_book=book, definitions=definitions, adopt_existing=True)
            self._writers[policy.version] = EmailWriter(
                emails=emails,
                resolver=resolver,
                creation=Creation(api, resolver=resolver, address_book=book),
                journal=journal,
                sightings=Sightings(self.account),
                tombstones=Tombstones(self.account, None, clock=self.clock),
                kinship=Kinship(emails=emails, resolver=resolver, journal=journal, awaited=self.awaited),
                connected=self.connected(policy),
                policy=policy,
                large_files=gate("files", concurrency=2),
                nylas_id_column=None,
                measures=measures_of(self.account, self.clock),
                clock=self.clock,
            )
        return self._writers[policy.version]

    def lay(self, one: Case) -> MessageItem:
        """The message of a case in its mailbox, told of so long ago that no other copy is waited for."""
        grant, folder = self.grants[one.written.mailbox], one.written.folder
        if isinstance(folder, Folder):
            folder = self.nylas.stand_in.make_folder(grant, folder.name, folder.attributes)
            self.clock.now += FOLDERS_PAUSE  # for a folder nobody has heard of is waited for
        message = self.nylas.stand_in.deliver(
            grant, mail_in(one.written), folder, notify=False, labels=one.written.labels
        )
        seen = NOON - SENDERS_COPY_PATIENCE
        return MessageItem(grant=grant, message=message, source="message.created", first_seen=seen)


@pytest.fixture(scope="module")
def office(azurite: Azurite, organisation: Callable[..., DataverseServed]) -> Iterator[Office]:
    clock = Clock(NOON)
    account = StorageAccount(StorageSettings(azurite.connection_strings[ACCOUNT]), None)
    with NylasServed(lambda: NOON) as nylas:
        yield Office(account, nylas, organisation(), clock)


@pytest.mark.parametrize("one", [pytest.param(one, id=one.name) for one in whole()])
def test_the_step_comes_to_what_is_expected(one: Case, office: Office) -> None:
    expected, outcome = settled(one), office.writer(one.policy).write(office.lay(one))
    if expected.skip is not None:
        assert (outcome.kind, outcome.reason) == (Kind.SKIPPED, expected.skip.rule)
        return
    email = expected.email
    assert email is not None
    assert (outcome.kind, outcome.reason) == (Kind.WRITTEN, email.regarding.rule)
    try:
        assert_stands(office.dataverse, one, email)
    finally:
        office.dataverse.stand_in.delete("email", email.activityid)


def test_each_theme_has_a_case_that_goes_through_the_step() -> None:
    assert {one.theme for one in whole()} == {one.theme for one in cases()}
