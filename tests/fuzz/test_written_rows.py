"""Every email that the mapping makes of anything is one that Dataverse takes, whole and unaltered, with its files.

The mapping's own laws are in tests/mapping; here their messages go to the stand-in, which checks each column as the
service does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync.dataverse.creation import Put
from mapping.addresses import normalise
from mapping.email_activity import EmailActivity
from mapping.groups import opened
from mapping.guard import is_same_mail
from mapping.identity import identity_of
from mapping.mapper import Known, map_message
from mapping.message import Attachment, Header, Message
from mapping.owner import Owner, fallback
from mapping.policy import PEOPLE_TABLES, Policy
from mapping.records import Record
from mapping.regarding import Found, Parent, Related
from mapping.text import units_of
from tests.fuzz.material import tries, whole_texts
from tests.mailsync.dataverse.room import Mailbox, Room, attached
from tests.mailsync.parts import DataverseServed
from tests.mapping.strategies import knowns, messages, pictured

IDS = [f"cccccccc-0000-4000-8000-00000000000{digit}" for digit in range(4)]
VISIT = {
    "set": "new_visitset",
    "name": "new_name",
    "regarding": "regardingobjectid_new_Visit_email",
    "columns": {"new_name": {"type": "text", "max": 100}},
}
NAMES = {
    "systemuser": "fullname",
    "contact": "lastname",
    "lead": "lastname",
    "email": "subject",
    "new_visit": "new_name",
}


@pytest.fixture(scope="module")
def dataverse() -> Iterator[DataverseServed]:
    """An organisation that holds whatever those messages can be bound to."""
    with DataverseServed(tables={"new_visit": VISIT}) as served:
        for row in IDS:
            for table in (*PEOPLE_TABLES, "team", "opportunity", "incident", "email", "new_visit"):
                title = {"opportunity": "name", "incident": "title"}.get(table, NAMES.get(table, "name"))
                served.stand_in.add(table, **{f"{table}id" if table != "email" else "activityid": row, title: "x"})
        yield served


@pytest.fixture(scope="module")
def room(dataverse: DataverseServed) -> Room:
    return Room(dataverse)


@tries(80)
@given(messages, knowns)
def test_every_email_is_taken_and_completed(
    dataverse: DataverseServed, room: Room, message: Message, known: Known
) -> None:
    assert_taken(dataverse, room, message, known)


@tries(40)
@given(messages, knowns, pictured())
def test_every_file_is_taken_under_its_name_and_type(
    dataverse: DataverseServed, room: Room, message: Message, known: Known, mail: tuple[str, list[Attachment]]
) -> None:
    body, files = mail
    sources = tuple(msgspec.structs.replace(file, id=f"f{number}") for number, file in enumerate(files))
    message = msgspec.structs.replace(message, body=body, attachments=sources)
    assert_taken(dataverse, room, message, replace(known, policy=Policy()))


def assert_taken(dataverse: DataverseServed, room: Room, message: Message, known: Known) -> None:
    limits = room.resolve(with_limits=True).limits
    known = replace(known, limits=limits, found=found_there(room, known.found))
    message = opened(message)
    own = msgspec.structs.replace(message, headers=(*(message.headers or ()), Header("Message-ID", f"<{uuid4()}@x>")))
    email = owned(room, map_message(own, known, identity=identity_of(own, known.copy.mailbox)), known.policy)
    mailbox = Mailbox()
    for number, file in enumerate(email.files.carried):
        mailbox.hold(file, f"file {number} of {email.activityid}".encode())
    put = room.put(email, content=mailbox, limits=limits, fallback=fallback(known.policy))
    assert put.put in {Put.CREATED, Put.ALREADY_THERE}
    assert not [told for told in put.notes if "file" in told or "queue item" in told]
    standing = room.emails.read(put.activityid)
    assert standing is not None
    assert standing.is_completed
    if put.put is Put.CREATED:
        assert is_same_mail(email, standing.guard), "the guard is the same before and after a journey through Dataverse"
        assert [name for name, _ in attached(dataverse, email)] == sorted(file.name for file in email.files.carried)


def owned(room: Room, email: EmailActivity, policy: Policy) -> EmailActivity:
    """The email with the owner of its queue, as the writer asks for it."""
    if email.owner.queue is None:
        return email
    owner = room.resolver.queue_owner(email.owner.queue)
    return replace(email, owner=fallback(policy) if owner is None else Owner(owner, "queue"))


def found_there(room: Room, found: Found) -> Found:
    """What was found, under the names this organisation has for its tables."""

    def record(known: Record | None) -> Record | None:
        return room.definitions.as_regarding(known and Record(known.table, known.id))

    def named(parent: Parent | None) -> Parent | None:
        return parent and replace(parent, regarding=record(parent.regarding))

    def all_named(some: tuple[Related, ...]) -> tuple[Related, ...]:
        return tuple(Related(there, one.people) for one in some if (there := record(one.record)) is not None)

    related: Mapping[str, tuple[Related, ...]] = {rule: all_named(some) for rule, some in found.related.items()}
    return Found(
        parent=named(found.parent),
        sibling=named(found.sibling),
        by_token=tuple(one for one in map(named, found.by_token) if one),
        by_number=all_named(found.by_number),
        related=related,
    )


@tries(60)
@given(st.lists(whole_texts, min_size=1, max_size=6))
def test_people_are_found_whatever_their_addresses_hold(
    dataverse: DataverseServed, room: Room, names: list[str]
) -> None:
    """Quotes, operators and separators find their owner and nobody else."""
    own = uuid4().hex
    written = {normalise(f"{name}{own}@house.example") for name in names}
    addresses = {address: dataverse.contact(address) for address in written if address and units_of(address) <= 100}
    resolved = room.resolve(addresses=(*addresses, f"nobody{own}@house.example"))
    assert {address: match.id for address, match in resolved.matches.items()} == addresses
