"""Every email that the mapping makes of anything is one that Dataverse takes, whole and unaltered.

The mapping's own laws are in tests/mapping; here their messages go to the stand-in, which checks each column as the
service does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync.dataverse.address_book import AddressBook
from mailsync.dataverse.emails import Emails, Put
from mapping.addresses import normalise
from mapping.direction import Copy
from mapping.guard import guard_of
from mapping.identity import identity_of
from mapping.mapper import map_message
from mapping.matches import PRECEDENCE, Match, Organisation
from mapping.message import Header, Message
from mapping.records import Record
from mapping.regarding import Parent
from mapping.text import units_of
from tests.fuzz.material import tries, whole_texts
from tests.mailsync.parts import DataverseServed
from tests.mapping.strategies import copies, matches, messages, organisations, parents

IDS = [f"cccccccc-0000-4000-8000-00000000000{digit}" for digit in range(4)]


@pytest.fixture(scope="module")
def dataverse() -> Iterator[DataverseServed]:
    """An organisation that holds whatever those messages can be bound to."""
    with DataverseServed() as served:
        for row in IDS:
            for table in PRECEDENCE:
                name = {"systemuser": "fullname", "queue": "name", "account": "name"}.get(table, "lastname")
                served.stand_in.add(table, **{f"{table}id": row, name: "Somebody"})
            served.stand_in.add("email", activityid=row, subject="A parent", directioncode=False)
        yield served


@pytest.fixture(scope="module")
def emails(dataverse: DataverseServed) -> Emails:
    return Emails(dataverse.api, address_book=AddressBook(), adopt_existing=True)


@tries(80)
@given(messages, copies, organisations, matches, parents)
def test_every_email_is_taken_and_completed(
    dataverse: DataverseServed,
    emails: Emails,
    message: Message,
    copy: Copy,
    organisation: Organisation,
    found: dict[str, Match],
    parent: Parent | None,
) -> None:
    if parent is not None and parent.regarding is not None:  # the stand-in has no tables of an organisation's own
        parent = replace(parent, regarding=Record("contact", parent.regarding.id))
    own = msgspec.structs.replace(message, headers=(*(message.headers or ()), Header("Message-ID", f"<{uuid4()}@x>")))
    identity = identity_of(own, copy.mailbox)
    email = map_message(own, identity=identity, copy=copy, organisation=organisation, matches=found, parent=parent)
    put = emails.put(email, people=())
    assert put.put in {Put.CREATED, Put.ALREADY_THERE}
    standing = emails.read(put.activityid)
    assert standing is not None
    assert standing.is_completed
    if put.put is Put.CREATED:
        assert standing.guard == guard_of(email), "the guard is the same before and after a journey through Dataverse"


@tries(60)
@given(st.lists(whole_texts, min_size=1, max_size=6))
def test_people_are_found_whatever_their_addresses_hold(
    dataverse: DataverseServed, emails: Emails, names: list[str]
) -> None:
    """Quotes, operators and separators find their owner and nobody else."""
    own = uuid4().hex
    written = {normalise(f"{name}{own}@house.example") for name in names}
    addresses = {address: dataverse.contact(address) for address in written if address and units_of(address) <= 100}
    asked = (*addresses, f"nobody{own}@house.example")
    resolved = emails.resolve(identity_of(Message(id="x"), "a@b"), ancestors=(), addresses=asked)
    assert {address: match.id for address, match in resolved.matches.items()} == addresses
