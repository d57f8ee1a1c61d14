"""Emails as they stand in a strict Dataverse: read, counted in few requests, and hung from a mail that came after them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Set

import pytest

from mailsync.dataverse.emails import LINK_TRIES, QUERIES_TOGETHER, VALUES_ASKED, Found, Link, Standing
from mailsync.errors import ConfigurationError, ThrottledError, TransientError
from mapping.email_activity import EmailActivity
from mapping.records import Record
from mapping.regarding import Parent, ParentParty, Regarding
from sandbox.faults import Answer, DropAfter, Fault
from tests.mailsync.dataverse.room import ANN, CARL, COMPLETED, Room, activity, put_there, row, trips
from tests.mailsync.parts import DataverseServed, new_message_id

# reading


def test_an_email_as_it_stands(dataverse: DataverseServed) -> None:
    contact = dataverse.contact(CARL)
    email = activity(regarding=Regarding(Record("contact", contact), "contact"))
    room = Room(dataverse)
    room.put(email)
    standing = room.emails.read(str(email.activityid))
    assert standing is not None
    assert (standing.statecode, standing.statuscode, standing.is_completed) == (1, 4, True)
    assert (standing.subject, standing.guard) == ("Quote", email.guard)
    assert (standing.regarding, standing.parent) == (Record("contact", contact), None)
    assert set(standing.parties) == {ParentParty(CARL, None, None), ParentParty(ANN, None, None)}
    assert room.emails.read(str(uuid.uuid4())) is None


def test_an_open_email_is_not_completed(dataverse: DataverseServed) -> None:
    standing = Room(dataverse).emails.read(put_there(dataverse, new_message_id()))
    assert standing is not None
    assert not standing.is_completed


def test_a_404_without_a_code_is_no_missing_email(dataverse: DataverseServed) -> None:
    """Something else than Dataverse answers there: taken for a missing email, it would be taken for removed."""
    dataverse.faults.add(Fault(Answer(404, {"content-type": "text/html"}, b"<html>")))
    with pytest.raises(ConfigurationError) as error:
        Room(dataverse).emails.read(str(uuid.uuid4()))
    assert error.value.reason == "dataverse_url"


def custom_tables() -> DataverseServed:
    """An organisation with projects that emails can be about, under a name of its own spelling, and with tasks."""
    return DataverseServed(
        tables={
            "contoso_project": {
                "set": "contoso_projectset",
                "key": "contoso_projectid",
                "name": "contoso_name",
                "columns": {"contoso_name": {"type": "text", "max": 100}},
                "regarding": "regardingobjectid_Contoso_Project_email",
            },
        },
    )


def test_what_an_email_is_about_is_told_as_others_can_be_about_it() -> None:
    with custom_tables() as dataverse:
        project = dataverse.stand_in.add("contoso_project", contoso_name="A roof")
        stands = put_there(dataverse, new_message_id(), regardingobjectid=("contoso_project", project), **COMPLETED)
        room = Room(dataverse)
        standing = room.emails.read(stands)
        assert standing is not None
        parent = room.emails.as_parent(standing)
        assert parent.activityid == stands
        assert parent.regarding == Record(
            "contoso_project", project, "regardingobjectid_Contoso_Project_email", "contoso_projectset"
        )


# counting


def test_of_these_emails_those_that_are_there_are_found(dataverse: DataverseServed) -> None:
    first, second = new_message_id(), new_message_id()
    done = put_there(dataverse, first, **COMPLETED)
    left = dataverse.stand_in.add("email", subject="x", messageid=f"<{second}>", directioncode=True)
    found = Room(dataverse).emails.find([done, left, str(uuid.uuid4())])
    assert sorted(found, key=lambda one: one.is_open) == [
        Found(done, f"<{first}>", is_outgoing=False, is_open=False),
        Found(left, f"<{second}>", is_outgoing=True, is_open=True),
    ]


def test_two_thousand_emails_are_one_round_trip(dataverse: DataverseServed) -> None:
    most = VALUES_ASKED * QUERIES_TOGETHER
    ids = [str(uuid.uuid4()) for _ in range(most + 1)]
    dataverse.stand_in.add("email", activityid=ids[0])
    dataverse.stand_in.add("email", activityid=ids[-1])
    emails = Room(dataverse).emails
    assert {one.activityid for one in emails.find(ids)} == {ids[0], ids[-1]}
    assert [len(asked) for asked in dataverse.operations()] == [QUERIES_TOGETHER, 1]


def test_nobody_asks_for_no_emails(dataverse: DataverseServed) -> None:
    emails = Room(dataverse).emails
    assert trips(dataverse, lambda: [emails.find([]), emails.find_by_message_id(["<>", " "])]) == 0


def test_emails_are_found_by_message_id_however_it_is_bracketed_or_spelled(dataverse: DataverseServed) -> None:
    message_id = new_message_id()
    ours, theirs = put_there(dataverse, message_id), put_there(dataverse, message_id.upper(), bare=True)
    put_there(dataverse, new_message_id())
    found = Room(dataverse).emails.find_by_message_id([f"<{message_id}>", message_id])
    assert {one.activityid for one in found} == {ours, theirs}


def test_long_message_ids_are_asked_for_in_several_queries(dataverse: DataverseServed) -> None:
    ids = ["'" * 200 + new_message_id() for _ in range(60)]
    stands = {put_there(dataverse, one) for one in ids}
    assert {one.activityid for one in Room(dataverse).emails.find_by_message_id(ids)} == stands
    (asked,) = dataverse.operations()
    assert len(asked) > 1
    assert max(len(line) for line in asked) < 65_536


# linking


def linked(
    dataverse: DataverseServed, *, forward: bool = False, with_regarding: bool = True
) -> tuple[Room, EmailActivity, Parent]:
    """A reply that was written before its parent, and the parent with what it is about."""
    room, child = Room(dataverse), activity(subject="Fwd: Quote" if forward else "Re: Quote")
    contact = Record("contact", dataverse.contact(CARL))
    parent = activity(regarding=Regarding(contact, "contact") if with_regarding else Regarding(None, "none"))
    for email in (child, parent):
        room.put(email)
    standing = room.emails.read(str(parent.activityid))
    assert standing is not None
    return room, child, room.emails.as_parent(standing)


def link(
    room: Room,
    child: EmailActivity,
    parent: Parent,
    *,
    instead_of: Set[str] = frozenset(),
    belongs: Callable[[Standing], bool] = lambda _: True,
    with_regarding: Callable[[Standing], bool] = lambda _: True,
) -> Link:
    return room.emails.link(
        str(child.activityid), parent, instead_of=instead_of, belongs=belongs, with_regarding=with_regarding
    )


@pytest.fixture(params=[False, True], ids=["strict", "lenient"])
def either(request: pytest.FixtureRequest) -> Iterator[DataverseServed]:
    """A Dataverse that lets completed emails be changed, and one that does so only together with their state."""
    with DataverseServed(lenient_completed=request.param) as served:
        yield served


@pytest.mark.parametrize("with_regarding", [True, False], ids=["in the same talk", "in another"])
def test_a_late_parent_is_linked_with_the_state_as_it_is(either: DataverseServed, with_regarding: bool) -> None:
    room, child, parent = linked(either)
    assert link(room, child, parent, with_regarding=lambda _: with_regarding) is Link.LINKED
    stands = row(either, child.activityid)
    assert (stands["_parentactivityid_value"], stands["_correlatedactivityid_value"]) == (parent.activityid,) * 2
    assert (stands["statecode"], stands["statuscode"]) == (1, 4)
    assert parent.regarding is not None
    assert stands["_regardingobjectid_value"] == (parent.regarding.id if with_regarding else None)


def test_a_link_is_made_once_and_never_over_a_persons_choice(dataverse: DataverseServed) -> None:
    room, child, parent = linked(dataverse)
    account = dataverse.stand_in.add("account", name="Chosen by hand")
    dataverse.stand_in.update("email", child.activityid, regardingobjectid=("account", account))
    assert link(room, child, parent) is Link.LINKED
    assert row(dataverse, child.activityid)["_regardingobjectid_value"] == account
    assert link(room, child, parent) is Link.NOT_NEEDED
    assert link(room, activity(), parent) is Link.GONE


def test_a_parent_that_is_about_nothing_gives_no_record(dataverse: DataverseServed) -> None:
    room, child, parent = linked(dataverse, with_regarding=False)
    assert link(room, child, parent) is Link.LINKED
    assert row(dataverse, child.activityid)["_regardingobjectid_value"] is None


def test_an_email_that_does_not_belong_there_is_left_alone(dataverse: DataverseServed) -> None:
    """A forward to others names the mail it carries; whoever asks for the link judges it as it stands now."""
    room, child, parent = linked(dataverse, forward=True)
    judged: list[Standing] = []

    def belongs(standing: Standing) -> bool:
        judged.append(standing)
        return False

    before = row(dataverse, child.activityid)
    assert link(room, child, parent, belongs=belongs) is Link.NOT_NEEDED
    assert row(dataverse, child.activityid) == before
    assert [(one.activityid, one.subject) for one in judged] == [(str(child.activityid), "Fwd: Quote")]


def hung_from(dataverse: DataverseServed, child: EmailActivity) -> str:
    """Hang an email from a mail farther up, by hand."""
    farther = put_there(dataverse, new_message_id(), **COMPLETED)
    dataverse.stand_in.update("email", child.activityid, parentactivityid=("email", farther))
    return farther


@pytest.mark.parametrize(("known", "now"), [(True, Link.LINKED), (False, Link.NOT_NEEDED)], ids=["ours", "chosen"])
def test_only_a_parent_that_is_known_to_be_farther_gives_way(
    dataverse: DataverseServed, known: bool, now: Link
) -> None:
    room, child, parent = linked(dataverse)
    farther = hung_from(dataverse, child)
    assert link(room, child, parent, instead_of={farther} if known else set()) is now
    assert row(dataverse, child.activityid)["_parentactivityid_value"] == (parent.activityid if known else farther)


def test_an_email_that_hangs_there_already_is_not_hung_again(dataverse: DataverseServed) -> None:
    """Even where its parent is among those that would give way."""
    room, child, parent = linked(dataverse)
    assert link(room, child, parent) is Link.LINKED
    before = row(dataverse, child.activityid)
    assert link(room, child, parent, instead_of={parent.activityid}) is Link.NOT_NEEDED
    assert row(dataverse, child.activityid) == before


@pytest.mark.parametrize(
    ("changes", "now"),
    [(1, Link.LINKED), (LINK_TRIES - 1, Link.LINKED), (LINK_TRIES, Link.REFUSED)],
    ids=["once", "twice", "always"],
)
def test_a_child_that_was_changed_meanwhile_is_looked_at_anew_but_not_without_end(
    dataverse: DataverseServed, changes: int, now: Link
) -> None:
    room, child, parent = linked(dataverse)
    left = iter(range(changes))

    def change(_: Standing) -> bool:
        if next(left, None) is not None:
            dataverse.stand_in.update("email", child.activityid, subject="Changed by hand")
        return True

    assert link(room, child, parent, with_regarding=change) is now
    stands = row(dataverse, child.activityid)
    assert stands["_parentactivityid_value"] == (parent.activityid if now is Link.LINKED else None)
    assert stands["subject"] == "Changed by hand"


def test_a_parent_that_a_person_chose_meanwhile_stays(dataverse: DataverseServed) -> None:
    room, child, parent = linked(dataverse)
    chosen: list[str] = []

    def choose(_: Standing) -> bool:
        chosen.append(hung_from(dataverse, child))
        return True

    assert link(room, child, parent, with_regarding=choose) is Link.NOT_NEEDED
    assert [row(dataverse, child.activityid)["_parentactivityid_value"]] == chosen


def test_an_answer_that_was_lost_after_the_link_is_no_refusal(dataverse: DataverseServed) -> None:
    room, child, parent = linked(dataverse)
    dataverse.faults.add(Fault(DropAfter(), method="PATCH", times=1))
    assert link(room, child, parent) is Link.NOT_NEEDED
    assert row(dataverse, child.activityid)["_parentactivityid_value"] == parent.activityid


def test_an_organisation_that_seals_completed_emails_refuses_the_link() -> None:
    with DataverseServed(sealed_completed=True) as sealed:
        room, child, parent = linked(sealed)
        assert link(room, child, parent) is Link.REFUSED
        assert row(sealed, child.activityid)["_parentactivityid_value"] is None


BYPASS_REFUSED = (
    b'{"error": {"code": "0x80040220", "message": "... is missing prvBypassCustomBusinessLogic privilege"}}'
)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(Answer(403, body=BYPASS_REFUSED), ConfigurationError, id="no right to go past automation"),
        pytest.param(Answer(429, {"retry-after": "3"}), ThrottledError, id="throttled"),
        pytest.param(Answer(500), TransientError, id="in trouble"),
        pytest.param(Answer(200, {"content-type": "text/html"}, b"<html>"), TransientError, id="a sign-in page"),
    ],
)
def test_trouble_while_linking_is_trouble(dataverse: DataverseServed, answer: Answer, kind: type[Exception]) -> None:
    room, child, parent = linked(dataverse)
    dataverse.faults.add(Fault(answer, method="PATCH"))
    with pytest.raises(kind):
        link(room, child, parent)


def test_a_child_takes_over_a_record_of_a_table_of_the_organisations_own() -> None:
    with custom_tables() as dataverse:
        project = dataverse.stand_in.add("contoso_project", contoso_name="A roof")
        room, child = Room(dataverse), activity()
        room.put(child)
        stands = put_there(dataverse, new_message_id(), regardingobjectid=("contoso_project", project), **COMPLETED)
        standing = room.emails.read(stands)
        assert standing is not None
        assert link(room, child, room.emails.as_parent(standing)) is Link.LINKED
        assert row(dataverse, child.activityid)["_regardingobjectid_value"] == project
