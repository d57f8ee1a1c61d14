"""Emails created in a strict Dataverse: whole and completed in one round trip, or step by step, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mailsync.dataverse.creation import Put, Written
from mailsync.errors import ConfigurationError, MessageError, Scope, ThrottledError, TransientError
from mapping.body import Body
from mapping.direction import Direction
from mapping.email_activity import EmailActivity
from mapping.identity import canonical_message_id
from mapping.matches import Match
from mapping.parties import Party, Role
from mapping.records import Record
from mapping.regarding import Regarding
from sandbox.dataverse import Protection
from sandbox.dataverse.answers import Answer as Part
from sandbox.dataverse.multipart import render
from sandbox.faults import Answer, DropAfter, Fault
from tests.mailsync.dataverse.room import ANN, CARL, COMPLETED, Room, activity, put_there, row, trips
from tests.mailsync.parts import DataverseServed, in_threads, new_message_id

# at once


@pytest.mark.parametrize(
    ("direction", "status"), [(Direction.INCOMING, 4), (Direction.OUTGOING, 3)], ids=["received", "sent"]
)
def test_an_email_is_written_whole_and_completed_in_one_round_trip(
    dataverse: DataverseServed, direction: Direction, status: int
) -> None:
    email = activity(direction=direction)
    assert Room(dataverse).put(email) == Written(Put.CREATED, str(email.activityid))
    assert dataverse.operations() == [
        ("POST /api/data/v9.2/emails", f"PATCH /api/data/v9.2/emails({email.activityid})")
    ]
    stands = row(dataverse, email.activityid)
    assert (stands["statecode"], stands["statuscode"]) == (1, status)
    assert (stands["subject"], stands["messageid"], stands["sender"]) == ("Quote", email.messageid, CARL)
    assert (stands["description"], stands["notifications"]) == ("<p>Hello</p>", 0)
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
    Room(dataverse).put(email)
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


def test_a_mail_beside_it_in_its_conversation_is_no_parent(dataverse: DataverseServed) -> None:
    sibling = put_there(dataverse, new_message_id(), **COMPLETED)
    email = activity(correlated=sibling)
    Room(dataverse).put(email)
    stands = row(dataverse, email.activityid)
    assert (stands["_parentactivityid_value"], stands["_correlatedactivityid_value"]) == (None, sibling)


# what is there already


def test_a_second_write_finds_the_first_and_changes_nothing(dataverse: DataverseServed) -> None:
    email = activity()
    room = Room(dataverse)
    room.put(email)
    before = row(dataverse, email.activityid)
    dataverse.stand_in.clear_log()
    again = replace(email, subject="Something else", body=Body("<p>Changed</p>", is_whole=True))
    assert room.put(again) == Written(Put.ALREADY_THERE, str(email.activityid))
    assert row(dataverse, email.activityid) == before
    assert len(dataverse.operations()) == 3, "the attempt, whose row it met, and how that stands"


def open_email(dataverse: DataverseServed, email: EmailActivity) -> None:
    """An email of ours that an earlier attempt left open."""
    dataverse.stand_in.add("email", activityid=str(email.activityid), subject="Quote", messageid=email.messageid)


def test_ours_that_was_left_open_is_finished(both_ways: DataverseServed) -> None:
    email = activity()
    open_email(both_ways, email)
    assert Room(both_ways).put(email).put is Put.ALREADY_THERE
    assert (row(both_ways, email.activityid)["statecode"], row(both_ways, email.activityid)["statuscode"]) == (1, 4)


def test_an_open_email_that_is_known_is_gone_on_with_in_one_round_trip(dataverse: DataverseServed) -> None:
    email = activity()
    open_email(dataverse, email)
    room = Room(dataverse)
    got: list[Written] = []
    assert trips(dataverse, lambda: got.append(room.resume(email))) == 1
    assert got == [Written(Put.ALREADY_THERE, str(email.activityid))]
    stands = row(dataverse, email.activityid)
    assert (stands["statuscode"], stands["description"]) == (4, "<p>Hello</p>")


def test_two_workers_at_once_make_one_row(both_ways: DataverseServed) -> None:
    email = activity()
    rooms = [Room(both_ways) for _ in range(6)]
    got = in_threads(6, lambda: rooms.pop().put(email))
    assert sorted(one.put.value for one in got) == ["already_there"] * 5 + ["created"]
    assert both_ways.stand_in.count("email", messageid=email.messageid, statecode=1) == 1


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
    assert Room(unique).put(email) == Written(Put.ADOPTED, theirs)
    assert row(unique, theirs) == before
    assert unique.stand_in.count("email") == 1


def duplicate() -> Answer:
    """What a batch of one changeset is answered when a row is there."""
    refused = Part(412, (("Content-Type", "application/json"),), b'{"error":{"code":"0x80040237","message":"m"}}')
    kind, body = render([(refused,)])
    return Answer(200, {"content-type": kind}, body)


@pytest.mark.parametrize("changes", [{}, {"messageid": None}], ids=["with a Message-ID", "without"])
def test_a_duplicate_that_nobody_finds_is_tried_again(dataverse: DataverseServed, changes: dict[str, object]) -> None:
    """It may have been deleted, or be on its way into the index."""
    dataverse.faults.add(Fault(duplicate(), method="POST"))
    with pytest.raises(TransientError) as error:
        Room(dataverse).put(activity(**changes))
    assert error.value.reason == "duplicate_not_found"


def test_trouble_in_asking_what_is_there_is_trouble(dataverse: DataverseServed) -> None:
    dataverse.faults.add(Fault(duplicate(), method="POST"), Fault(Answer(500), method="GET"))
    with pytest.raises(TransientError) as error:
        Room(dataverse).put(activity())
    assert error.value.reason == "dataverse_unavailable"


# a changeset that is refused


def test_where_changesets_do_not_work_two_requests_do_for_the_life_of_the_process(refusing: DataverseServed) -> None:
    room = Room(refusing)
    first, second = activity(), activity()
    assert room.put(first).put is Put.CREATED
    assert [len(asked) for asked in refusing.operations()] == [2, 1, 1]
    refusing.stand_in.clear_log()
    assert room.put(second).put is Put.CREATED
    assert refusing.operations() == [
        ("POST /api/data/v9.2/emails",),
        (f"PATCH /api/data/v9.2/emails({second.activityid})",),
    ]
    assert refusing.stand_in.count("email", statecode=1, statuscode=4) == 2
    assert room.put(second).put is Put.ALREADY_THERE


def test_a_row_that_is_refused_leaves_nothing_behind_and_does_not_end_changesets(either: DataverseServed) -> None:
    room = Room(either)
    with pytest.raises(MessageError) as error:
        room.put(activity(subject="x" * 801))
    assert (error.value.reason, error.value.evidence.code) == ("dataverse_refused_row", "0x80044331")
    assert error.value.evidence.request_id
    assert either.stand_in.count("email") == 0
    either.stand_in.clear_log()
    room.put(activity())
    assert [len(asked) for asked in either.operations()] == [2]


def test_a_row_that_the_organisations_own_code_refuses_is_refused(both_ways: DataverseServed) -> None:
    both_ways.stand_in.behaviour.plug_in = lambda table, _: "Not on a Sunday" if table == "email" else None
    with pytest.raises(MessageError) as error:
        Room(both_ways).put(activity())
    assert error.value.evidence.code == "0x80040265"
    assert "Sunday" not in str(error.value)
    assert both_ways.stand_in.count("email") == 0


@pytest.mark.parametrize(("column", "code"), [("contoso_nylasid", "0x80044331"), ("contoso_never_made", "0x80048d19")])
def test_a_column_of_ours_that_is_too_short_or_missing_is_a_setting_to_mend(column: str, code: str) -> None:
    """It is so for every mail, and none of them can help it."""
    with DataverseServed(custom={"email": {"contoso_nylasid": {"type": "text", "max": 5}}}) as served:
        with pytest.raises(ConfigurationError) as error:
            Room(served).put(activity(nylas_id_column=column, nylas_id="abcdef"))
        assert (error.value.reason, error.value.evidence.code) == ("nylas_id_column", code)
        with pytest.raises(MessageError):
            Room(served).put(activity(nylas_id_column="contoso_nylasid", nylas_id="a", subject="x" * 801))


def test_a_completion_that_is_refused_for_good_leaves_no_draft(refusing: DataverseServed) -> None:
    refused = b'{"error":{"code":"0x80048408","message":"4 is not a valid status code"}}'
    refusing.faults.add(Fault(Answer(400, body=refused), method="PATCH"))
    with pytest.raises(MessageError):
        Room(refusing).put(activity())
    assert refusing.stand_in.count("email") == 0


def test_a_completion_that_is_put_off_is_made_up_for_by_the_next_attempt(refusing: DataverseServed) -> None:
    refusing.faults.add(Fault(Answer(503), method="PATCH", times=1))
    room, email = Room(refusing), activity()
    with pytest.raises(TransientError):
        room.put(email)
    assert refusing.stand_in.count("email", statecode=0) == 1
    assert room.put(email).put is Put.ALREADY_THERE
    assert refusing.stand_in.count("email", statecode=1, statuscode=4) == 1


def test_a_completion_that_a_proxy_answers_is_no_completion(refusing: DataverseServed) -> None:
    refusing.faults.add(Fault(Answer(200, {"content-type": "text/html"}, b"<html>"), method="PATCH", times=1))
    room, email = Room(refusing), activity()
    with pytest.raises(TransientError):
        room.put(email)
    assert room.put(email).put is Put.ALREADY_THERE
    assert refusing.stand_in.count("email", statecode=1, statuscode=4) == 1


def test_a_completion_refused_because_another_worker_was_first_is_one(refusing: DataverseServed) -> None:
    email = activity()
    refused = b'{"error":{"code":"0x80040203","message":"Cannot update Closed or Cancelled Activity"}}'
    refusing.faults.add(Fault(DropAfter(), method="PATCH", times=1), Fault(Answer(400, body=refused), method="PATCH"))
    assert Room(refusing).put(email).put is Put.CREATED
    assert refusing.stand_in.count("email", statecode=1, statuscode=4) == 1


def test_a_record_that_vanished_meanwhile_is_asked_for_anew(either: DataverseServed) -> None:
    contact = either.contact(CARL)
    room = Room(either)
    matches = room.resolve(addresses=[CARL]).matches
    assert matches[CARL].id == contact
    either.stand_in.delete("contact", contact)
    email = activity(parties=(Party(Role.SENDER, CARL, None, matches[CARL]),))
    with pytest.raises(TransientError) as error:
        room.put(email, people=[CARL])
    assert (error.value.reason, error.value.scope) == ("bound_record_gone", Scope.MESSAGE)
    assert either.stand_in.count("email") == 0
    assert room.resolve(addresses=[CARL]).matches == {}


def test_an_open_email_that_vanishes_before_it_is_finished_is_tried_again(dataverse: DataverseServed) -> None:
    """It was deleted between two requests of ours: no fault of the message."""
    with pytest.raises(TransientError) as error:
        Room(dataverse).resume(activity())
    assert error.value.reason == "email_removed_meanwhile"


# trouble


def test_throttling_names_its_time(dataverse: DataverseServed) -> None:
    dataverse.stand_in.protection = Protection(requests=0)
    with pytest.raises(ThrottledError) as error:
        Room(dataverse).put(activity())
    assert (error.value.reason, error.value.evidence.code) == ("dataverse_throttled", "0x80072322")
    assert error.value.retry_after
    assert error.value.retry_after > 0


def test_throttling_inside_a_batch_is_throttling(dataverse: DataverseServed) -> None:
    refused = Part(429, (("Retry-After", "9"),), b'{"error":{"code":"0x80072321","message":"m"}}')
    kind, body = render([(refused,)])
    dataverse.faults.add(Fault(Answer(200, {"content-type": kind}, body)))
    with pytest.raises(ThrottledError) as error:
        Room(dataverse).put(activity())
    assert error.value.retry_after == 9.0


def test_an_answer_that_was_lost_after_the_write_is_no_second_email(dataverse: DataverseServed) -> None:
    """The connection is tried once more by itself, and then by the next attempt."""
    room, email = Room(dataverse), activity()
    dataverse.faults.add(Fault(DropAfter(), method="POST", times=2))
    with pytest.raises(TransientError):
        room.put(email)
    assert room.put(email) == Written(Put.ALREADY_THERE, str(email.activityid))
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
    room = Room(dataverse)
    with pytest.raises(TransientError):
        room.put(activity())
    dataverse.faults.clear()
    assert room.put(activity()).put is Put.CREATED


def test_a_url_without_a_web_api_is_a_setting_to_mend(dataverse: DataverseServed) -> None:
    dataverse.faults.add(Fault(Answer(404, {"content-type": "text/html"}, b"<html>")))
    with pytest.raises(ConfigurationError) as error:
        Room(dataverse).put(activity())
    assert "DATAVERSE_URL" in str(error.value)


# a queue's item


def in_queue(dataverse: DataverseServed) -> tuple[Record, EmailActivity]:
    """A queue, and an email that becomes an item of it."""
    queue = Record("queue", dataverse.stand_in.add("queue", name="Service", emailaddress="service@contoso.example"))
    return queue, activity(queue=queue)


def items(dataverse: DataverseServed, email: EmailActivity) -> list[tuple[object, object]]:
    """In which queues an email stands, and whether it waits there (0) or was dealt with (1)."""
    rows = dataverse.stand_in.rows("queueitem", _objectid_value=str(email.activityid))
    return [(one["_queueid_value"], one["statecode"]) for one in rows]


def test_an_email_to_a_queue_waits_there_at_no_further_round_trip(dataverse: DataverseServed) -> None:
    queue, email = in_queue(dataverse)
    got: list[Written] = []
    assert trips(dataverse, lambda: got.append(Room(dataverse).put(email))) == 1
    assert got == [Written(Put.CREATED, str(email.activityid))]
    assert items(dataverse, email) == [(queue.id, 0)]


def test_where_changesets_do_not_work_it_waits_there_too(refusing: DataverseServed) -> None:
    queue, email = in_queue(refusing)
    room = Room(refusing)
    assert room.put(email) == Written(Put.CREATED, str(email.activityid))
    assert items(refusing, email) == [(queue.id, 0)]


def test_writing_it_again_makes_no_second_item_and_says_nothing_of_it(both_ways: DataverseServed) -> None:
    queue, email = in_queue(both_ways)
    for put in (Put.CREATED, Put.ALREADY_THERE, Put.ALREADY_THERE):
        assert Room(both_ways).put(email) == Written(put, str(email.activityid))
    assert items(both_ways, email) == [(queue.id, 0)]


def test_an_item_that_somebody_dealt_with_stays_dealt_with(both_ways: DataverseServed) -> None:
    queue, email = in_queue(both_ways)
    Room(both_ways).put(email)
    (item,) = both_ways.stand_in.rows("queueitem")
    both_ways.stand_in.update("queueitem", str(item["queueitemid"]), statecode=1)
    assert Room(both_ways).put(email).put is Put.ALREADY_THERE
    assert items(both_ways, email) == [(queue.id, 1)]


def test_an_open_email_of_ours_waits_in_its_queue_once_it_is_finished(both_ways: DataverseServed) -> None:
    """Completing an email ends the items it has: one made beside it while it was open is none."""
    queue, email = in_queue(both_ways)
    open_email(both_ways, email)
    assert Room(both_ways).put(email).put is Put.ALREADY_THERE
    assert row(both_ways, email.activityid)["statecode"] == 1
    assert items(both_ways, email) == [(queue.id, 0)]


def test_the_same_when_it_is_known_to_be_open(dataverse: DataverseServed) -> None:
    queue, email = in_queue(dataverse)
    open_email(dataverse, email)
    assert Room(dataverse).resume(email).put is Put.ALREADY_THERE
    assert items(dataverse, email) == [(queue.id, 0)]


@pytest.mark.parametrize("why", ["the queue is gone", "the right is missing", "in a queue already"])
def test_an_item_that_is_refused_costs_no_mail(both_ways: DataverseServed, why: str) -> None:
    queue, email = in_queue(both_ways)
    if why == "the queue is gone":
        both_ways.stand_in.delete("queue", queue.id)
    elif why == "the right is missing":
        Room(both_ways).put(activity())
        both_ways.stand_in.privileges = both_ways.stand_in.used_privileges
    else:
        Room(both_ways).put(email)
        (item,) = both_ways.stand_in.rows("queueitem")
        both_ways.stand_in.delete("queueitem", str(item["queueitemid"]))
        both_ways.stand_in.add("queueitem", queueid=("queue", queue.id), objectid=("email", str(email.activityid)))
    written = Room(both_ways).put(email)
    assert row(both_ways, email.activityid)["statecode"] == 1
    (note,) = written.notes
    assert note.startswith("queue item refused: vendor=dataverse status=40")


def test_trouble_with_an_item_is_made_up_for_by_the_next_attempt(refusing: DataverseServed) -> None:
    queue, email = in_queue(refusing)
    room = Room(refusing)
    room.put(activity())
    refusing.faults.add(Fault(Answer(503), path="queueitems", times=1))
    with pytest.raises(TransientError):
        room.put(email)
    assert (row(refusing, email.activityid)["statecode"], items(refusing, email)) == (1, [])
    assert room.put(email) == Written(Put.ALREADY_THERE, str(email.activityid))
    assert items(refusing, email) == [(queue.id, 0)]


def test_trouble_with_an_item_beside_its_email_is_trouble(dataverse: DataverseServed) -> None:
    queue, email = in_queue(dataverse)
    done, busy = Part(204), Part(429, (("Retry-After", "9"),), b'{"error":{"code":"0x80072321","message":"m"}}')
    kind, body = render([(done, done), busy])
    dataverse.faults.add(Fault(Answer(200, {"content-type": kind}, body), times=1))
    room = Room(dataverse)
    with pytest.raises(ThrottledError) as error:
        room.put(email)
    assert error.value.retry_after == 9.0
    room.put(email)
    assert items(dataverse, email) == [(queue.id, 0)]
