"""Who owns an email that Dataverse refuses for its owner: it gives way, and no mail waits for it."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from mailsync.dataverse.creation import REFUSED_LIFE, Put, Written
from mailsync.errors import ConfigurationError, TransientError
from mapping.owner import NOBODY, Owner
from mapping.records import Record
from sandbox.faults import Answer, Fault
from tests.mailsync.dataverse.room import Room, activity, row, trips
from tests.mailsync.parts import Clock, DataverseServed

UNFIT = {
    "a disabled user": ("systemuser", {"isdisabled": True}, "", "0x80040225"),
    "a user without roles": ("systemuser", {}, "roleless", "0x80042f09"),
    "a user who reads no activities": ("systemuser", {}, "unreading", "0x80040299"),
    "a team without roles": ("team", {}, "roleless", "0x80040299"),
    "a team that reads no activities": ("team", {}, "unreading", "0x80040299"),
}
KINDS = pytest.mark.parametrize("kind", UNFIT)


def unfit(dataverse: DataverseServed, kind: str) -> Record:
    """Somebody who can own no email."""
    table, columns, fault, _ = UNFIT[kind]
    owner = dataverse.stand_in.add(table, **columns)
    if fault:
        getattr(dataverse.stand_in, fault).add(owner)
    return Record(table, owner)


def fallback(dataverse: DataverseServed) -> Owner:
    return Owner(Record("team", dataverse.stand_in.add("team", name="Sales")), "fallback")


def owner_of(dataverse: DataverseServed, activityid: object) -> Record:
    stands = row(dataverse, activityid)
    assert stands["statecode"] == 1
    (owner,) = dataverse.stand_in.rows("email", activityid=str(activityid))
    return Record(str(owner["_ownerid_type"]), str(owner["_ownerid_value"]))


def own(dataverse: DataverseServed) -> Record:
    """The app's own user, who owns what is given to nobody."""
    return Record("systemuser", dataverse.stand_in.user_id)


def test_an_email_is_owned_by_whom_it_was_given_to(both_ways: DataverseServed) -> None:
    for table in ("systemuser", "team"):
        owner = Record(table, both_ways.stand_in.add(table))
        email = activity(owner=Owner(owner, "sender"))
        assert Room(both_ways).put(email) == Written(Put.CREATED, str(email.activityid))
        assert owner_of(both_ways, email.activityid) == owner


@KINDS
def test_an_unfit_owner_gives_way_to_the_fallback(both_ways: DataverseServed, kind: str) -> None:
    refused, team = unfit(both_ways, kind), fallback(both_ways)
    email = activity(owner=Owner(refused, "recipient"))
    written = Room(both_ways).put(email, fallback=team)
    assert (written.put, owner_of(both_ways, email.activityid)) == (Put.CREATED, team.record)
    code = UNFIT[kind][3]
    assert written.notes == (f"owner gave way: {refused.table} {refused.id} is refused ({code})",)


@KINDS
def test_or_to_nobody_where_there_is_none(both_ways: DataverseServed, kind: str) -> None:
    email = activity(owner=Owner(unfit(both_ways, kind), "sender"))
    assert Room(both_ways).put(email).put is Put.CREATED
    assert owner_of(both_ways, email.activityid) == own(both_ways)


def test_an_owner_whom_the_policy_names_gives_way_too(both_ways: DataverseServed) -> None:
    team = fallback(both_ways)
    email = activity(owner=Owner(unfit(both_ways, "a disabled user"), "policy"))
    Room(both_ways).put(email, fallback=team)
    assert owner_of(both_ways, email.activityid) == team.record


@pytest.mark.parametrize("told", ["400", "by another code"])
def test_organisations_say_it_in_several_ways(both_ways: DataverseServed, told: str) -> None:
    both_ways.stand_in.behaviour.unreading_owner_status = 400
    both_ways.stand_in.behaviour.roleless_users_lack_privileges = told == "by another code"
    team = fallback(both_ways)
    for kind in ("a user without roles", "a user who reads no activities"):
        email = activity(owner=Owner(unfit(both_ways, kind), "recipient"))
        Room(both_ways).put(email, fallback=team)
        assert owner_of(both_ways, email.activityid) == team.record


def test_an_owner_who_was_deleted_gives_way(both_ways: DataverseServed) -> None:
    team = fallback(both_ways)
    email = activity(owner=Owner(Record("systemuser", str(uuid.uuid4()).upper()), "recipient"))
    written = Room(both_ways).put(email, fallback=team)
    assert owner_of(both_ways, email.activityid) == team.record
    assert "is refused (0x80040217)" in written.notes[0]


def test_a_person_who_was_deleted_costs_no_owner_his_mail(both_ways: DataverseServed) -> None:
    """The same code names another record."""
    owner = Record("systemuser", both_ways.stand_in.add("systemuser"))
    email = activity(owner=Owner(owner, "recipient"), parent=str(uuid.uuid4()))
    with pytest.raises(TransientError) as error:
        Room(both_ways).put(email, fallback=fallback(both_ways))
    assert error.value.reason == "bound_record_gone"
    assert both_ways.stand_in.count("email") == 0


# what is remembered


def puts(room: Room, owner: Record, team: Owner) -> Callable[[], Written]:
    return lambda: room.put(activity(owner=Owner(owner, "recipient")), fallback=team)


def test_a_refused_owner_is_not_tried_again_for_a_while(dataverse: DataverseServed, clock: Clock) -> None:
    refused, team = unfit(dataverse, "a disabled user"), fallback(dataverse)
    put = puts(Room(dataverse, clock=clock), refused, team)
    assert trips(dataverse, put) == 2
    clock.now += REFUSED_LIFE - 1
    email = activity(owner=Owner(refused, "recipient"))
    assert trips(dataverse, put) == 1
    assert put().notes == (f"owner gave way: systemuser {refused.id} was refused before",)
    clock.now += 1
    assert trips(dataverse, put) == 2
    assert dataverse.stand_in.count("email", _ownerid_value=team.record.id if team.record else "") == 4
    assert dataverse.stand_in.count("email", activityid=str(email.activityid)) == 0


def test_one_who_was_mended_meanwhile_owns_again(dataverse: DataverseServed, clock: Clock) -> None:
    owner, team = unfit(dataverse, "a user without roles"), fallback(dataverse)
    put = puts(Room(dataverse, clock=clock), owner, team)
    put()
    dataverse.stand_in.roleless.clear()
    clock.now += REFUSED_LIFE
    assert owner_of(dataverse, put().activityid) == owner


def test_a_refused_owner_is_nobody_elses_fault(dataverse: DataverseServed, clock: Clock) -> None:
    refused, team = unfit(dataverse, "a disabled user"), fallback(dataverse)
    room = Room(dataverse, clock=clock)
    puts(room, refused, team)()
    other = Record("systemuser", dataverse.stand_in.add("systemuser"))
    assert owner_of(dataverse, puts(room, other, team)().activityid) == other


STATUS = pytest.mark.parametrize("status", [403, 400])


@STATUS
def test_an_owner_is_not_remembered_where_the_fallback_is_refused_as_well(
    both_ways: DataverseServed, clock: Clock, status: int
) -> None:
    """Then it may be us and not the owner."""
    both_ways.stand_in.behaviour.unreading_owner_status = status
    refused, team = unfit(both_ways, "a disabled user"), fallback(both_ways)
    assert team.record is not None
    both_ways.stand_in.unreading.add(team.record.id)
    put = puts(Room(both_ways, clock=clock), refused, team)
    with pytest.raises(ConfigurationError):
        put()
    assert both_ways.stand_in.count("email") == 0
    both_ways.stand_in.unreading.clear()
    written = put()
    assert written.notes == (f"owner gave way: systemuser {refused.id} is refused (0x80040225)",)
    assert owner_of(both_ways, written.activityid) == team.record


@STATUS
def test_a_fallback_that_may_own_no_mail_is_a_role_to_mend(both_ways: DataverseServed, status: int) -> None:
    """It is so for every mail, and none of them can help it."""
    both_ways.stand_in.behaviour.unreading_owner_status = status
    team = fallback(both_ways)
    assert team.record is not None
    both_ways.stand_in.unreading.add(team.record.id)
    with pytest.raises(ConfigurationError) as error:
        Room(both_ways).put(activity(owner=team), fallback=team)
    assert (error.value.reason, error.value.evidence.code) == ("owner_refused", "0x80040299")
    assert "owner.fallback" in str(error.value)


# our own rights


@pytest.mark.parametrize("missing", ["prvCreateActivity", "prvWriteActivity", "prvAssignActivity", "prvReadUser"])
@pytest.mark.parametrize("there", [True, False], ids=["a fallback", "none"])
def test_a_privilege_that_we_lack_is_a_role_to_mend_and_no_owners_fault(
    both_ways: DataverseServed, clock: Clock, missing: str, there: bool
) -> None:
    """Taken for the owner's, it would give everybody's mail to nobody."""
    owner = Record("systemuser", both_ways.stand_in.add("systemuser"))
    team = fallback(both_ways) if there else NOBODY
    email = activity(owner=Owner(owner, "recipient"))
    Room(both_ways).put(activity(owner=email.owner))
    Room(both_ways).put(activity(owner=team))
    both_ways.stand_in.privileges = both_ways.stand_in.used_privileges - {missing}
    room = Room(both_ways, clock=clock)
    with pytest.raises(ConfigurationError) as error:
        room.put(email, fallback=team)
    assert (error.value.reason, error.value.evidence.code) == ("dataverse_lacks_privilege", "0x80040220")
    assert missing in str(error.value)
    both_ways.stand_in.privileges = None
    room.put(email, fallback=team)
    assert owner_of(both_ways, email.activityid) == owner


@pytest.mark.parametrize("kind", ["systemuser", "team"])
def test_a_fallback_that_is_not_there_is_a_policy_to_mend(both_ways: DataverseServed, kind: str) -> None:
    nowhere = Owner(Record(kind, str(uuid.uuid4())), "fallback")
    room = Room(both_ways)
    for owner in (nowhere, Owner(unfit(both_ways, "a disabled user"), "recipient")):
        with pytest.raises(ConfigurationError) as error:
            room.put(activity(owner=owner), fallback=nowhere)
        assert error.value.reason == "owner_unknown"
        assert "owner.fallback" in str(error.value)
    assert both_ways.stand_in.count("email") == 0


def test_a_403_of_something_before_dataverse_is_no_owners_fault(both_ways: DataverseServed, clock: Clock) -> None:
    owner = Record("systemuser", both_ways.stand_in.add("systemuser"))
    room = Room(both_ways, clock=clock)
    room.put(activity())
    both_ways.faults.add(Fault(Answer(403, {"content-type": "text/html"}, b"<html>"), method="POST", times=1))
    email = activity(owner=Owner(owner, "recipient"))
    with pytest.raises(ConfigurationError):
        room.put(email, fallback=fallback(both_ways))
    room.put(email)
    assert owner_of(both_ways, email.activityid) == owner
