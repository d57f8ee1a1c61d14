"""Emails in a strict Dataverse: asked for in one round trip, written whole and completed in another, or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mailsync.dataverse.address_book import LIFE_OF_NOBODY, AddressBook
from mailsync.dataverse.emails import ANCESTORS_ASKED, Emails, Existing, Link, Put, Standing, Written
from mailsync.errors import ConfigurationError, MessageError, Scope, ThrottledError, TransientError
from mapping.direction import Direction
from mapping.email_activity import EmailActivity
from mapping.identity import LONGEST_MESSAGE_ID, Identity, activityid_of, canonical_message_id
from mapping.matches import Match
from mapping.parties import Party, Role
from mapping.records import Record
from mapping.regarding import ParentParty, Regarding
from sandbox.dataverse import Protection
from sandbox.dataverse.answers import Answer as Part
from sandbox.dataverse.multipart import render
from sandbox.faults import Answer, DropAfter, Fault
from tests.mailsync.parts import Clock, DataverseServed, in_threads, new_message_id

CARL = "carl@fabrikam.example"
ANN = "ann@contoso.example"


def emails(
    dataverse: DataverseServed, *, adopt_existing: bool = True, clock: Callable[[], float] | None = None
) -> Emails:
    book = AddressBook(clock=clock) if clock else AddressBook()
    return Emails(dataverse.api, address_book=book, adopt_existing=adopt_existing)


def identity(message_id: str) -> Identity:
    return Identity(activityid_of(message_id), message_id, synthetic=False)


def activity(message_id: str | None = None, **changes: Any) -> EmailActivity:
    """A mail from Carl to Ann that came in."""
    message_id = message_id or new_message_id()
    whole = EmailActivity(
        activityid=activityid_of(message_id),
        direction=Direction.INCOMING,
        subject="Quote",
        description="<p>Hello</p>",
        messageid=identity(message_id).messageid,
        sender=CARL,
        torecipients=ANN,
        sent=datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC),
        parties=(Party(Role.SENDER, CARL, "Carl", None), Party(Role.TO, ANN, "Ann", None)),
        regarding=Regarding(None, "none"),
        parent=None,
        truncated=False,
        nylas_id="m1",
        nylas_id_column=None,
    )
    return replace(whole, **changes)


def row(dataverse: DataverseServed, activityid: object) -> dict[str, Any]:
    found = dataverse.stand_in.email(str(activityid))
    assert found is not None
    return found


def put_there(dataverse: DataverseServed, message_id: str, *, bare: bool = False, **columns: object) -> str:
    """An email that something else put into Dataverse."""
    written = message_id if bare else f"<{message_id}>"
    return dataverse.stand_in.add("email", subject="x", messageid=written, directioncode=False, **columns)


COMPLETED = {"statecode": 1, "statuscode": 4}


# writing


@pytest.mark.parametrize(
    ("direction", "status"), [(Direction.INCOMING, 4), (Direction.OUTGOING, 3)], ids=["received", "sent"]
)
def test_an_email_is_written_whole_and_completed_in_one_round_trip(
    dataverse: DataverseServed, direction: Direction, status: int
) -> None:
    email = activity(direction=direction)
    assert emails(dataverse).put(email, people=()) == Written(Put.CREATED, str(email.activityid))
    assert dataverse.operations() == [
        ("POST /api/data/v9.2/emails", f"PATCH /api/data/v9.2/emails({email.activityid})")
    ]
    stands = row(dataverse, email.activityid)
    assert (stands["statecode"], stands["statuscode"]) == (1, status)
    assert (stands["subject"], stands["messageid"], stands["sender"]) == ("Quote", email.messageid, CARL)
    assert {(one["participationtypemask"], one["addressused"]) for one in stands["parties"]} >= {(1, CARL), (2, ANN)}


def test_people_parent_and_regarding_are_bound(dataverse: DataverseServed) -> None:
    contact, user = dataverse.contact(CARL), dataverse.user(ANN)
    account = dataverse.stand_in.add("account", name="Fabrikam")
    parent = put_there(dataverse, new_message_id(), **COMPLETED)
    email = activity(
        parties=(
            Party(Role.SENDER, CARL, "Carl", Match("contact", contact, "Carl", active=True)),
            Party(Role.TO, ANN, "Ann", Match("systemuser", user, "Ann", active=True)),
            Party(Role.CC, "who@nowhere.example", "Who", None),
        ),
        regarding=Regarding(Record("account", account), "reply"),
        parent=parent,
    )
    emails(dataverse).put(email, people=())
    stands = row(dataverse, email.activityid)
    assert stands["_regardingobjectid_value"] == account
    assert (stands["_parentactivityid_value"], stands["_correlatedactivityid_value"]) == (parent, parent)
    parties = {one["participationtypemask"]: one for one in stands["parties"]}
    assert (parties[1]["_partyid_value"], parties[2]["_partyid_value"], parties[3]["_partyid_value"]) == (
        contact,
        user,
        None,
    )
    assert parties[3]["unresolvedpartyname"] == "Who"


def test_a_second_write_finds_the_first_and_changes_nothing(dataverse: DataverseServed) -> None:
    email = activity()
    book = emails(dataverse)
    book.put(email, people=())
    before = row(dataverse, email.activityid)
    dataverse.stand_in.clear_log()
    again = replace(email, subject="Something else", description="<p>Changed</p>")
    assert book.put(again, people=()) == Written(Put.ALREADY_THERE, str(email.activityid))
    assert row(dataverse, email.activityid) == before
    assert len(dataverse.operations()) == 2


def test_ours_that_was_left_open_is_finished(dataverse: DataverseServed) -> None:
    email = activity()
    dataverse.stand_in.add("email", activityid=str(email.activityid), subject="Quote", messageid=email.messageid)
    assert emails(dataverse).put(email, people=()).put is Put.ALREADY_THERE
    assert (row(dataverse, email.activityid)["statecode"], row(dataverse, email.activityid)["statuscode"]) == (1, 4)


def test_two_workers_at_once_make_one_row(dataverse: DataverseServed) -> None:
    email = activity()
    both = [emails(dataverse) for _ in range(6)]
    got = in_threads(6, lambda: both.pop().put(email, people=()))
    assert sorted(one.put.value for one in got) == ["already_there"] * 5 + ["created"]
    assert dataverse.stand_in.count("email", messageid=email.messageid, statecode=1) == 1


@pytest.fixture
def unique() -> Iterator[DataverseServed]:
    """An organisation with a key on Message-ID and direction."""
    with DataverseServed(messageid_unique=True) as served:
        yield served


@pytest.mark.parametrize("columns", [COMPLETED, {}], ids=["completed", "open"])
def test_somebody_elses_with_our_message_id_is_adopted_and_left_alone(
    unique: DataverseServed, columns: dict[str, object]
) -> None:
    email = activity()
    theirs = put_there(unique, canonical_message_id(email.messageid) or "", **columns)
    before = row(unique, theirs)
    assert emails(unique).put(email, people=()) == Written(Put.ADOPTED, theirs)
    assert row(unique, theirs) == before
    assert unique.stand_in.count("email") == 1


def test_a_duplicate_that_nobody_finds_is_tried_again(dataverse: DataverseServed) -> None:
    """It may have been deleted, or be on its way into the index."""
    refused = Part(412, (("Content-Type", "application/json"),), b'{"error":{"code":"0x80040237","message":"m"}}')
    kind, body = render([(refused,)])
    dataverse.faults.add(Fault(Answer(200, {"content-type": kind}, body), method="POST"))
    with pytest.raises(TransientError) as error:
        emails(dataverse).put(activity(), people=())
    assert error.value.reason == "duplicate_not_found"


# a changeset that is refused


@pytest.fixture(params=[True, False], ids=["error inside the changeset", "error in its place"])
def refusing(request: pytest.FixtureRequest) -> Iterator[DataverseServed]:
    """A Dataverse that completes no email in the changeset that creates it."""
    with DataverseServed(refuse_changesets=True, nested_changeset_errors=request.param) as served:
        yield served


def test_where_changesets_do_not_work_two_requests_do_for_the_life_of_the_process(refusing: DataverseServed) -> None:
    book = emails(refusing)
    first, second = activity(), activity()
    assert book.put(first, people=()).put is Put.CREATED
    assert [len(asked) for asked in refusing.operations()] == [2, 1, 1]
    refusing.stand_in.clear_log()
    assert book.put(second, people=()).put is Put.CREATED
    assert refusing.operations() == [
        ("POST /api/data/v9.2/emails",),
        (f"PATCH /api/data/v9.2/emails({second.activityid})",),
    ]
    assert refusing.stand_in.count("email", statecode=1, statuscode=4) == 2
    assert book.put(second, people=()).put is Put.ALREADY_THERE


@pytest.fixture(params=[True, False], ids=["error inside the changeset", "error in its place"])
def either(request: pytest.FixtureRequest) -> Iterator[DataverseServed]:
    """A Dataverse that tells of a failed changeset in one way or the other."""
    with DataverseServed(nested_changeset_errors=request.param) as served:
        yield served


def test_a_row_that_is_refused_leaves_nothing_behind_and_does_not_end_changesets(either: DataverseServed) -> None:
    book = emails(either)
    with pytest.raises(MessageError) as error:
        book.put(activity(subject="x" * 801), people=())
    assert (error.value.reason, error.value.evidence.code) == ("dataverse_refused_row", "0x80044331")
    assert error.value.evidence.request_id
    assert either.stand_in.count("email") == 0
    either.stand_in.clear_log()
    book.put(activity(), people=())
    assert [len(asked) for asked in either.operations()] == [2]


@pytest.mark.parametrize(("column", "code"), [("contoso_nylasid", "0x80044331"), ("contoso_never_made", "0x80048d19")])
def test_a_column_of_ours_that_is_too_short_or_missing_is_a_setting_to_mend(column: str, code: str) -> None:
    """It is so for every mail, and none of them can help it."""
    with DataverseServed(custom={"email": {"contoso_nylasid": {"type": "text", "max": 5}}}) as served:
        with pytest.raises(ConfigurationError) as error:
            emails(served).put(activity(nylas_id_column=column, nylas_id="abcdef"), people=())
        assert (error.value.reason, error.value.evidence.code) == ("nylas_id_column", code)
        with pytest.raises(MessageError):
            emails(served).put(activity(nylas_id_column="contoso_nylasid", nylas_id="a", subject="x" * 801), people=())


def test_a_completion_that_is_refused_for_good_leaves_no_draft(refusing: DataverseServed) -> None:
    refused = b'{"error":{"code":"0x80048408","message":"4 is not a valid status code"}}'
    refusing.faults.add(Fault(Answer(400, body=refused), method="PATCH"))
    with pytest.raises(MessageError):
        emails(refusing).put(activity(), people=())
    assert refusing.stand_in.count("email") == 0


def test_a_completion_that_is_put_off_is_made_up_for_by_the_next_attempt(refusing: DataverseServed) -> None:
    refusing.faults.add(Fault(Answer(503), method="PATCH", times=1))
    book, email = emails(refusing), activity()
    with pytest.raises(TransientError):
        book.put(email, people=())
    assert refusing.stand_in.count("email", statecode=0) == 1
    assert book.put(email, people=()).put is Put.ALREADY_THERE
    assert refusing.stand_in.count("email", statecode=1, statuscode=4) == 1


def test_a_record_that_vanished_meanwhile_is_asked_for_anew(either: DataverseServed) -> None:
    contact = either.contact(CARL)
    book = emails(either)
    matches = book.resolve(identity(new_message_id()), ancestors=(), addresses=[CARL]).matches
    assert matches[CARL].id == contact
    either.stand_in.delete("contact", contact)
    email = activity(parties=(Party(Role.SENDER, CARL, None, matches[CARL]),))
    with pytest.raises(TransientError) as error:
        book.put(email, people=[CARL])
    assert (error.value.reason, error.value.scope) == ("bound_record_gone", Scope.MESSAGE)
    assert either.stand_in.count("email") == 0
    assert book.resolve(identity(new_message_id()), ancestors=(), addresses=[CARL]).matches == {}


def test_an_open_email_that_vanishes_before_it_is_finished_is_tried_again(dataverse: DataverseServed) -> None:
    """It was deleted between two requests of ours: no fault of the message."""
    with pytest.raises(TransientError):
        emails(dataverse).finish(str(uuid.uuid4()), activity().completion())


# trouble


def test_throttling_names_its_time(dataverse: DataverseServed) -> None:
    dataverse.stand_in.protection = Protection(requests=0)
    with pytest.raises(ThrottledError) as error:
        emails(dataverse).put(activity(), people=())
    assert (error.value.reason, error.value.evidence.code) == ("dataverse_throttled", "0x80072322")
    assert error.value.retry_after
    assert error.value.retry_after > 0


def test_throttling_inside_a_batch_is_throttling(dataverse: DataverseServed) -> None:
    refused = Part(429, (("Retry-After", "9"),), b'{"error":{"code":"0x80072321","message":"m"}}')
    kind, body = render([(refused,)])
    dataverse.faults.add(Fault(Answer(200, {"content-type": kind}, body)))
    with pytest.raises(ThrottledError) as error:
        emails(dataverse).put(activity(), people=())
    assert error.value.retry_after == 9.0


def test_an_answer_that_was_lost_after_the_write_is_no_second_email(dataverse: DataverseServed) -> None:
    """The connection is tried once more by itself, and then by the next attempt."""
    book, email = emails(dataverse), activity()
    dataverse.faults.add(Fault(DropAfter(), method="POST", times=2))
    with pytest.raises(TransientError):
        book.put(email, people=())
    assert book.put(email, people=()) == Written(Put.ALREADY_THERE, str(email.activityid))
    assert dataverse.stand_in.count("email") == 1
    assert row(dataverse, email.activityid)["statuscode"] == 4


NO_BATCH = {
    "HTML of a maintenance page": Answer(200, {"content-type": "text/html"}, b"<html>"),
    "JSON": Answer(200, {"content-type": "application/json"}, b"{}"),
    "no content": Answer(204),
    "a boundary and nothing": Answer(200, {"content-type": "multipart/mixed; boundary=b"}, b""),
    "cut off": Answer(200, {"content-type": "multipart/mixed; boundary=b"}, b"--b\r\nContent-Type: app"),
    "fewer answers than requests": Answer(200, {"content-type": "multipart/mixed; boundary=b"}, b"--b--"),
    "a changeset without answers": Answer(
        200,
        {"content-type": "multipart/mixed; boundary=b"},
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--\r\n",
    ),
    "a gateway's 502": Answer(502, {"content-type": "text/html"}, b"<html>Bad Gateway</html>"),
}


@pytest.mark.parametrize("answer", NO_BATCH.values(), ids=NO_BATCH)
def test_an_answer_that_is_no_batch_is_trouble_and_not_the_messages_fault(
    dataverse: DataverseServed, answer: Answer
) -> None:
    dataverse.faults.add(Fault(answer))
    book = emails(dataverse)
    with pytest.raises(TransientError):
        book.put(activity(), people=())
    dataverse.faults.clear()
    assert book.put(activity(), people=()).put is Put.CREATED


NOT_ODATA = {
    "HTML": b"<html>",
    "no rows": b"{}",
    "rows null": b'{"value":null}',
    "not UTF-8": b'{"value":[{"activityid":"\xff"}]}',
}


@pytest.mark.parametrize("body", NOT_ODATA.values(), ids=NOT_ODATA)
def test_an_answer_inside_a_batch_that_is_not_odata_is_trouble(dataverse: DataverseServed, body: bytes) -> None:
    kind, whole = render([Part(200, (("Content-Type", "application/json"),), body)])
    dataverse.faults.add(Fault(Answer(200, {"content-type": kind}, whole)))
    with pytest.raises(TransientError):
        emails(dataverse).resolve(identity(new_message_id()), ancestors=(), addresses=())


def test_a_url_without_a_web_api_is_a_setting_to_mend(dataverse: DataverseServed) -> None:
    dataverse.faults.add(Fault(Answer(404, {"content-type": "text/html"}, b"<html>")))
    with pytest.raises(ConfigurationError) as error:
        emails(dataverse).put(activity(), people=())
    assert "DATAVERSE_URL" in str(error.value)


# resolving


def test_everything_is_asked_in_one_round_trip(dataverse: DataverseServed) -> None:
    contact = dataverse.contact(CARL)
    parent_id, message_id = new_message_id(), new_message_id()
    parent = put_there(dataverse, parent_id, **COMPLETED)
    mine = put_there(dataverse, message_id, **COMPLETED)
    dataverse.stand_in.clear_log()
    resolved = emails(dataverse).resolve(identity(message_id), ancestors=[parent_id], addresses=[CARL, ANN])
    assert resolved.existing == Existing(mine, is_completed=True)
    assert resolved.parent is not None
    assert resolved.parent.activityid == parent
    assert {address: match.id for address, match in resolved.matches.items()} == {CARL: contact}
    assert [len(asked) for asked in dataverse.operations()] == [7]


def test_nothing_is_asked_when_everything_is_known(dataverse: DataverseServed) -> None:
    dataverse.contact(CARL)
    book = emails(dataverse, adopt_existing=False)
    first = book.resolve(identity(new_message_id()), ancestors=(), addresses=[CARL, "nobody@fabrikam.example"])
    dataverse.stand_in.clear_log()
    again = book.resolve(identity(new_message_id()), ancestors=(), addresses=[CARL, "nobody@fabrikam.example"])
    assert again == first
    assert dataverse.operations() == []


def test_who_was_nobody_is_asked_for_again_when_a_batch_goes_out_anyway(
    dataverse: DataverseServed, clock: Clock
) -> None:
    book = emails(dataverse, clock=clock)
    assert book.resolve(identity(new_message_id()), ancestors=(), addresses=[CARL]).matches == {}
    contact = dataverse.contact(CARL)
    assert book.resolve(identity(new_message_id()), ancestors=(), addresses=[CARL]).matches[CARL].id == contact


def test_and_after_moments_in_any_case(dataverse: DataverseServed, clock: Clock) -> None:
    book = emails(dataverse, adopt_existing=False, clock=clock)
    assert book.resolve(identity(new_message_id()), ancestors=(), addresses=[CARL]).matches == {}
    contact = dataverse.contact(CARL)
    assert book.resolve(identity(new_message_id()), ancestors=(), addresses=[CARL]).matches == {}
    clock.now += LIFE_OF_NOBODY
    assert book.resolve(identity(new_message_id()), ancestors=(), addresses=[CARL]).matches[CARL].id == contact


@pytest.mark.parametrize("bare", [False, True], ids=["with brackets", "without"])
def test_an_email_with_this_message_id_is_found(dataverse: DataverseServed, bare: bool) -> None:
    message_id = new_message_id()
    theirs = put_there(dataverse, message_id, bare=bare)
    found = emails(dataverse).resolve(identity(message_id), ancestors=(), addresses=())
    assert found.existing == Existing(theirs, is_completed=False)


def test_an_email_whose_message_id_differs_by_case_alone_is_another(dataverse: DataverseServed) -> None:
    """Dataverse compares without case; taken for the same, the second mail would never be written."""
    message_id = new_message_id()
    put_there(dataverse, message_id.upper(), **COMPLETED)
    assert emails(dataverse).resolve(identity(message_id), ancestors=(), addresses=()).existing is None


def test_which_of_several_with_one_message_id_counts(dataverse: DataverseServed) -> None:
    """Ours, then a completed one, then the oldest."""
    message_id = new_message_id()
    wanted = identity(message_id)
    book = emails(dataverse)

    def existing() -> str | None:
        found = book.resolve(wanted, ancestors=(), addresses=()).existing
        return found.activityid if found else None

    first = put_there(dataverse, message_id, createdon=datetime(2026, 1, 1, tzinfo=UTC))
    put_there(dataverse, message_id, createdon=datetime(2026, 1, 2, tzinfo=UTC))
    assert existing() == first
    completed = put_there(dataverse, message_id, createdon=datetime(2026, 1, 3, tzinfo=UTC), **COMPLETED)
    assert existing() == completed
    put_there(dataverse, message_id, activityid=str(wanted.activityid))
    assert existing() == str(wanted.activityid)


def test_nobody_is_looked_for_where_no_other_tracker_runs(dataverse: DataverseServed) -> None:
    message_id = new_message_id()
    put_there(dataverse, message_id)
    book = emails(dataverse, adopt_existing=False)
    assert book.resolve(identity(message_id), ancestors=(), addresses=()).existing is None
    assert dataverse.operations() == []


# parents


def test_the_nearest_mail_before_it_is_the_parent(dataverse: DataverseServed) -> None:
    chain = [new_message_id() for _ in range(4)]
    far, near = put_there(dataverse, chain[3], **COMPLETED), put_there(dataverse, chain[1], bare=True, **COMPLETED)
    resolved = emails(dataverse).resolve(identity(new_message_id()), ancestors=chain, addresses=())
    assert resolved.parent is not None
    assert (resolved.parent.activityid, resolved.parent_depth) == (near, 1)
    dataverse.stand_in.delete("email", near)
    further = emails(dataverse).resolve(identity(new_message_id()), ancestors=chain, addresses=())
    assert further.parent is not None
    assert (further.parent.activityid, further.parent_depth) == (far, 3)


def test_a_parent_is_found_in_long_references(dataverse: DataverseServed) -> None:
    chain = [new_message_id() for _ in range(20)]
    parent = put_there(dataverse, chain[ANCESTORS_ASKED - 1], **COMPLETED)
    put_there(dataverse, chain[ANCESTORS_ASKED], **COMPLETED)
    resolved = emails(dataverse).resolve(identity(new_message_id()), ancestors=chain, addresses=())
    assert resolved.parent is not None
    assert (resolved.parent.activityid, resolved.parent_depth) == (parent, ANCESTORS_ASKED - 1)


def test_without_a_parent_all_that_were_asked_for_are_missing(dataverse: DataverseServed) -> None:
    chain = [new_message_id() for _ in range(20)]
    resolved = emails(dataverse).resolve(identity(new_message_id()), ancestors=chain, addresses=())
    assert (resolved.parent, resolved.parent_depth) == (None, ANCESTORS_ASKED)


def test_a_parent_comes_with_its_record_and_those_who_took_part(dataverse: DataverseServed) -> None:
    contact, parent_id = dataverse.contact(CARL), new_message_id()
    match = Match("contact", contact, "Carl", active=True)
    parent = activity(
        parent_id,
        parties=(Party(Role.SENDER, CARL, None, match), Party(Role.BCC, "b@nowhere.example", "B", None)),
        regarding=Regarding(Record("contact", contact), "contact"),
    )
    book = emails(dataverse)
    book.put(parent, people=())
    found = book.resolve(identity(new_message_id()), ancestors=[parent_id], addresses=()).parent
    assert found is not None
    assert (found.activityid, found.regarding) == (str(parent.activityid), Record("contact", contact))
    assert set(found.parties) == {ParentParty(CARL, "contact", contact), ParentParty("b@nowhere.example", None, None)}
    assert book.parent([new_message_id(), parent_id]) == found


def test_a_parent_with_a_message_id_too_long_for_its_column_is_found_by_our_own_id(dataverse: DataverseServed) -> None:
    parent_id = "x" * LONGEST_MESSAGE_ID + new_message_id()
    parent = activity(parent_id)
    assert parent.messageid is None
    book = emails(dataverse)
    book.put(parent, people=())
    found = book.resolve(identity(new_message_id()), ancestors=[new_message_id(), parent_id], addresses=()).parent
    assert found is not None
    assert found.activityid == str(parent.activityid)


def test_a_message_id_too_long_for_its_column_is_not_looked_for(dataverse: DataverseServed) -> None:
    long = identity("x" * 5000)
    assert emails(dataverse).resolve(long, ancestors=(), addresses=()).existing is None
    assert dataverse.operations() == []


HOSTILE = [
    "it's@mail.example",
    "'@mail.example",
    "a') or (messageid ne 'b@mail.example",
    "a'])&$top=1@mail.example",
    "a&$filter=1@mail.example",
    "a#b@mail.example",
    "a%27b@mail.example",
    "a+b=c@mail.example",
    "a\\b@mail.example",
    'a"b@mail.example',
    "a,b;c@mail.example",
    "a[1]{2}(3)@mail.example",
    "日本語@mail.example",
    "\U0001f600@mail.example",
    "ünïcödé@mail.example",
    "null",
    "$it",
    "x" * 318,
]


@pytest.mark.parametrize("message_id", HOSTILE, ids=lambda text: text[:14])
def test_a_message_id_is_read_as_nothing_but_a_message_id(dataverse: DataverseServed, message_id: str) -> None:
    """Written, found as its own, and as a parent, with a stranger beside it that stays out."""
    assert canonical_message_id(message_id) == message_id.replace(" ", "")
    message_id = message_id.replace(" ", "")
    stranger = put_there(dataverse, new_message_id(), **COMPLETED)
    book, email = emails(dataverse), activity(message_id)
    assert book.put(email, people=()).put is Put.CREATED
    assert row(dataverse, email.activityid)["messageid"] == f"<{message_id}>"
    resolved = book.resolve(identity(message_id), ancestors=[message_id], addresses=())
    assert resolved.existing == Existing(str(email.activityid), is_completed=True)
    assert resolved.parent is not None
    assert resolved.parent.activityid == str(email.activityid) != stranger


@pytest.mark.parametrize(
    "letter", ["x", "'", "%", "日", "\U0001f600"], ids=["plain", "quotes", "percent", "CJK", "emoji"]
)
def test_references_full_of_long_ids_still_fit_a_batch(dataverse: DataverseServed, letter: str) -> None:
    """Dataverse takes 65,536 characters in a request line; a stranger's header must not put the mail aside."""
    size = (LONGEST_MESSAGE_ID - 8) // (2 if letter == "\U0001f600" else 1)
    chain = [f"{letter * size}{number:05}" for number in range(20)]
    parent = activity(chain[3])
    book = emails(dataverse)
    book.put(parent, people=())
    found = book.resolve(identity(new_message_id()), ancestors=chain, addresses=()).parent
    assert found is not None
    assert found.activityid == str(parent.activityid)


# reading and linking


def test_an_email_as_it_stands(dataverse: DataverseServed) -> None:
    contact = dataverse.contact(CARL)
    email = activity(regarding=Regarding(Record("contact", contact), "contact"))
    book = emails(dataverse)
    book.put(email, people=())
    standing = book.read(str(email.activityid))
    assert standing is not None
    assert (standing.statecode, standing.statuscode, standing.is_completed) == (1, 4, True)
    assert (standing.regarding, standing.parent) == (Record("contact", contact), None)
    assert set(standing.parties) == {ParentParty(CARL, None, None), ParentParty(ANN, None, None)}
    assert book.read(str(uuid.uuid4())) is None


def linked(dataverse: DataverseServed, **behaviour: Any) -> tuple[Emails, EmailActivity, Standing]:
    """A reply that was written before its parent, and the parent with what it is about."""
    book, child = emails(dataverse), activity()
    parent = activity(regarding=Regarding(Record("contact", dataverse.contact(CARL)), "contact"))
    for email in (child, parent):
        book.put(email, people=())
    standing = book.read(str(parent.activityid))
    assert standing is not None
    return book, child, standing


@pytest.fixture
def lenient() -> Iterator[DataverseServed]:
    """A Dataverse that lets completed emails be changed."""
    with DataverseServed(lenient_completed=True) as served:
        yield served


@pytest.mark.parametrize("with_regarding", [True, False], ids=["in the same talk", "in another"])
def test_a_late_parent_is_linked_with_the_state_as_it_is(lenient: DataverseServed, with_regarding: bool) -> None:
    book, child, parent = linked(lenient)
    assert (
        book.link(str(child.activityid), parent, instead_of=frozenset(), with_regarding=lambda _: with_regarding)
        is Link.LINKED
    )
    stands = row(lenient, child.activityid)
    assert (stands["_parentactivityid_value"], stands["_correlatedactivityid_value"]) == (parent.activityid,) * 2
    assert (stands["statecode"], stands["statuscode"]) == (1, 4)
    assert parent.regarding is not None
    assert stands["_regardingobjectid_value"] == (parent.regarding.id if with_regarding else None)


def test_a_link_is_made_once_and_never_over_a_persons_choice(lenient: DataverseServed) -> None:
    book, child, parent = linked(lenient)
    account = lenient.stand_in.add("account", name="Chosen by hand")
    lenient.stand_in.update("email", child.activityid, regardingobjectid=("account", account))
    assert (
        book.link(str(child.activityid), parent, instead_of=frozenset(), with_regarding=lambda _: True) is Link.LINKED
    )
    assert row(lenient, child.activityid)["_regardingobjectid_value"] == account
    assert (
        book.link(str(child.activityid), parent, instead_of=frozenset(), with_regarding=lambda _: True)
        is Link.NOT_NEEDED
    )
    assert book.link(str(uuid.uuid4()), parent, instead_of=frozenset(), with_regarding=lambda _: True) is Link.GONE


def test_a_child_that_was_changed_meanwhile_is_left_alone(lenient: DataverseServed) -> None:
    book, child, parent = linked(lenient)

    def change(_: Standing) -> bool:
        lenient.stand_in.update("email", child.activityid, subject="Changed by hand")
        return True

    assert book.link(str(child.activityid), parent, instead_of=frozenset(), with_regarding=change) is Link.REFUSED
    assert row(lenient, child.activityid)["_parentactivityid_value"] is None


def test_trouble_while_linking_is_trouble(lenient: DataverseServed) -> None:
    book, child, parent = linked(lenient)
    lenient.faults.add(Fault(Answer(429, {"retry-after": "3"}), method="PATCH"))
    with pytest.raises(ThrottledError):
        book.link(str(child.activityid), parent, instead_of=frozenset(), with_regarding=lambda _: True)
