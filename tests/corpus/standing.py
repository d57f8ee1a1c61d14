"""A case's email as it is written into the stand-in for Dataverse, and as it stands there then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mailsync.dataverse.address_book import AddressBook
from mailsync.dataverse.creation import Creation, Put, Written
from mailsync.dataverse.definitions import Definitions
from mailsync.dataverse.resolver import Resolver
from mailsync.errors import FileMissingError
from mapping.attachments import File
from mapping.email_activity import EmailActivity
from mapping.owner import fallback
from mapping.records import Record
from tests.corpus.cases import Case
from tests.corpus.outcome import decided_of, outcome_of
from tests.mailsync.parts import DataverseServed


def resolver(dataverse: DataverseServed, one: Case) -> Resolver:
    """One that remembers nothing of other cases."""
    return Resolver(
        dataverse.api,
        address_book=AddressBook(one.policy.people),
        definitions=Definitions(dataverse.api),
        adopt_existing=False,
    )


def assert_taken(dataverse: DataverseServed, one: Case) -> None:
    """The email of a case is created whole, completed, and stands as it was decided; it is taken away again."""
    decided, email = decided_of(one).email, outcome_of(one).email
    assert decided is not None
    assert email is not None
    left_out = tuple(f"file left out: {why.name.lower()}" for why in one.missing_files(decided).values())
    with limited(dataverse, one):
        try:
            assert put(dataverse, one, decided) == Written(Put.CREATED, str(email.activityid), left_out)
            assert_stands(dataverse, one, email)
        finally:
            dataverse.stand_in.delete("email", email.activityid)


def put(dataverse: DataverseServed, one: Case, email: EmailActivity) -> Written:
    """Write the email of a case, its files as the mailbox gives them."""
    writing = Creation(dataverse.api, resolver=resolver(dataverse, one), address_book=AddressBook())
    return writing.put(
        email,
        people=(),
        content=lambda file: content(one, file),
        limits=one.limits,
        fallback=fallback(one.policy),
    )


@contextmanager
def content(one: Case, file: File) -> Iterator[Iterator[bytes]]:
    """The bytes of a file, or what the case says of it."""
    why = one.missing(file.name)
    if why is not None:
        raise FileMissingError(why)
    yield iter((one.laid.contents[file.source],))


@contextmanager
def limited(dataverse: DataverseServed, one: Case) -> Iterator[None]:
    """The organisation with the limits of a case."""
    stand_in = dataverse.stand_in
    before = {name: stand_in.rows("organization")[0][name] for name in one.written.organization}
    if before:
        stand_in.update("organization", stand_in.organization_id, **one.written.organization)
    yield
    if before:
        stand_in.update("organization", stand_in.organization_id, **before)


def assert_stands(dataverse: DataverseServed, one: Case, email: EmailActivity) -> None:
    stands = dataverse.stand_in.email(email.activityid)
    assert stands is not None
    row = email.row()
    plain = {name: value for name, value in row.items() if "@" not in name and name != "email_activity_parties"}
    plain |= email.completion()
    if "actualend" in plain:  # shown as a day
        plain["actualend"] = f"{str(plain['actualend'])[:10]}T00:00:00Z"
    assert {name: stands[name] for name in plain} == plain
    lookups = {
        "regardingobjectid": _reference(email.regarding.record),
        "ownerid": _reference(email.owner.record) or ("systemuser", dataverse.stand_in.user_id),
        "parentactivityid": ("email", email.parent) if email.parent else None,
        "correlatedactivityid": ("email", email.parent or email.correlated)
        if email.parent or email.correlated
        else None,
    }
    assert {name: _lookup(stands, name) for name in lookups} == lookups
    assert [_party(party) for party in stands["parties"] if party["participationtypemask"] <= 4] == [
        (
            party.role.value,
            party.match.record.id if party.match else None,
            party.address or _own_address(one, party.match.record.id if party.match else ""),
            party.row().get("unresolvedpartyname"),
        )
        for party in email.parties
    ]
    assert_files_stand(dataverse, one, email)
    item = email.queue_item()
    items = dataverse.stand_in.rows("queueitem", _objectid_value=str(email.activityid))
    assert [(one["queueitemid"], one["_queueid_value"]) for one in items] == (
        [(item["queueitemid"], email.queue.id)] if item is not None and email.queue is not None else []
    )


def assert_files_stand(dataverse: DataverseServed, one: Case, email: EmailActivity) -> None:
    stands = dataverse.stand_in.rows("activitymimeattachment", _objectid_value=str(email.activityid))
    columns = ("activitymimeattachmentid", "subject", "attachmentcontentid")
    told = [tuple(file[name] for name in columns) for file in stands]
    expected = [tuple(email.attachment(file).get(name) for name in columns) for file in email.files.carried]
    assert told == expected
    files = {str(file["attachmentid"]): file for file in dataverse.stand_in.rows("attachment")}
    held = [files[str(file["_attachmentid_value"])] for file in stands]
    assert [(file["filename"], file["mimetype"], file["filesize"]) for file in held] == [
        (file.name, file.type, len(one.laid.contents[file.source])) for file in email.files.carried
    ]


def _reference(record: Record | None) -> tuple[str, str] | None:
    return (record.table, record.id) if record is not None else None


def _lookup(row: Mapping[str, Any], name: str) -> tuple[str, str] | None:
    found = row[f"_{name}_value"]
    return (row[f"_{name}_type"], found) if found is not None else None


def _party(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (row["participationtypemask"], row["_partyid_value"], row["addressused"], row["unresolvedpartyname"])


def _own_address(one: Case, record_id: str) -> str | None:
    name = one.world.name_of(record_id)
    return one.world.rows[name].addresses[0] if name is not None else None
