"""A process notes how it fares, seldom and in one call, and no item waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from mailsync.dataverse.web_api import Limits, limits_of
from mailsync.errors import ConfigurationError, Evidence, MailSyncError, MessageError, Scope, TransientError
from mailsync.gates import Gate
from mailsync.outcome import Kind, Outcome
from mailsync.pulse import MOST_TROUBLES, Pulse
from mailsync.storage.account import StorageAccount
from mailsync.storage.envelope import GrantItem, MessageItem, SweepItem
from mailsync.storage.instances import KEPT, Budget, Instance, Instances
from tests.mailsync.parts import NOW, Clock, DataverseServed, FixedToken, new_id

MESSAGE = MessageItem(grant="g", message="m", source="message.created", first_seen=NOW)
SWEEP = SweepItem(grant="g", source="timer", first_seen=NOW)
REFUSED = ConfigurationError(
    "no role", reason="dataverse_refused_identity", scope=Scope.ORGANISATION, evidence=Evidence("dataverse", 403, "0x8", "r")
)  # fmt: skip


@pytest.fixture
def instances(account: StorageAccount) -> Instances:
    return Instances(account, table=f"i{new_id().replace('-', '')}")


@pytest.fixture
def pulse(instances: Instances, clock: Clock) -> Pulse:
    return Pulse(lambda: instances, clock=clock, after=0.05, spacing=0.1)


def failing(error: Exception) -> Callable[[Any], object]:
    def work(_: object) -> object:
        raise error

    return work


def meet(pulse: Pulse, item: object, error: Exception) -> None:
    with pytest.raises(type(error)):
        pulse.beating(failing(error))(item)


def soon(what: Callable[[], Any]) -> Any:
    end = time.monotonic() + 8
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_trouble_of_the_organisation_is_told_since_it_began(pulse: Pulse, clock: Clock) -> None:
    meet(pulse, MESSAGE, REFUSED)
    clock.now += 100
    meet(pulse, MESSAGE, REFUSED)
    (told,) = pulse.now().troubles
    assert (told.reason, told.work, told.since, told.at) == ("dataverse_refused_identity", "message", NOW, NOW + 100)
    assert (told.advice, told.evidence) == ("no role", "vendor=dataverse status=403 code=0x8 request=r")


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(MessageError("bad", reason="dataverse_refused_row"), id="a message's"),
        pytest.param(TransientError("p", reason="mailbox_paced", scope=Scope.MAILBOX), id="a mailbox's"),
        pytest.param(ValueError("ours"), id="a fault of ours"),
    ],
)
def test_trouble_that_reaches_less_far_is_not_told(pulse: Pulse, error: Exception) -> None:
    meet(pulse, MESSAGE, error)
    assert pulse.now().troubles == ()


def test_a_gate_that_lets_nobody_pass_is_told_as_a_gate_and_not_as_trouble(pulse: Pulse, clock: Clock) -> None:
    gate = pulse.watch(Gate("dataverse", clock=clock, scope=Scope.ORGANISATION))
    down = TransientError("down", reason="dataverse_unavailable", scope=Scope.ORGANISATION, retry_after=30)
    for _ in range(3):
        with pytest.raises(TransientError), gate.passing():
            raise down
    with pytest.raises(TransientError) as turned_away:
        gate.check()
    meet(pulse, MESSAGE, turned_away.value)
    assert pulse.now().troubles == ()
    assert pulse.now().closed == {"dataverse": NOW + 30}
    clock.now += 31
    assert pulse.now().closed == {}


@pytest.mark.parametrize(
    ("item", "result", "is_over"),
    [
        pytest.param(MESSAGE, Outcome(Kind.WRITTEN), True, id="an email was written"),
        pytest.param(MESSAGE, Outcome(Kind.ADOPTED), True, id="an email was found there"),
        pytest.param(MESSAGE, Outcome(Kind.WRITTEN, was_known=True), False, id="the journal knew it"),
        pytest.param(MESSAGE, Outcome(Kind.SKIPPED), False, id="a rule kept it out"),
        pytest.param(MESSAGE, None, False, id="nothing is said"),
        pytest.param(SWEEP, None, False, id="a sweep"),
    ],
)
def test_trouble_with_messages_is_over_when_one_is_written(
    pulse: Pulse, item: object, result: object, is_over: bool
) -> None:
    meet(pulse, MESSAGE, REFUSED)
    pulse.beating(lambda _: result)(item)
    assert (pulse.now().troubles == ()) is is_over


def test_trouble_with_sweeps_and_the_timer_is_over_when_they_are_done(pulse: Pulse) -> None:
    for item in (SWEEP, GrantItem(grant="g", event="grant.expired", source="s", first_seen=NOW)):
        meet(pulse, item, REFUSED)
    with pytest.raises(ConfigurationError), pulse.timing():
        raise REFUSED
    assert [one.work for one in pulse.now().troubles] == ["sweep", "timer"]
    pulse.beating(lambda _: None)(SWEEP)
    assert [one.work for one in pulse.now().troubles] == ["timer"]
    with pulse.timing():
        pass
    assert pulse.now().troubles == ()
    assert pulse.now().done.keys() == {"sweep", "timer"}


def test_no_more_than_a_few_troubles_are_told_the_newest(pulse: Pulse) -> None:
    for number in range(MOST_TROUBLES + 3):
        meet(pulse, MESSAGE, TransientError("x", reason=f"r{number}", scope=Scope.ORGANISATION))
    assert [one.reason for one in pulse.now().troubles] == [f"r{number}" for number in range(3, MOST_TROUBLES + 3)]


def test_that_writing_is_stopped_is_told(pulse: Pulse) -> None:
    assert pulse.now().stopped_until is None
    pulse.watch_brake(lambda: 120.0)
    assert pulse.now().stopped_until == NOW + 120


def test_what_dataverse_says_of_its_limits_is_kept_with_its_moment(pulse: Pulse, clock: Clock) -> None:
    pulse.limits(Limits(requests_left=5_000, seconds_left=900.5, hint=12, at_once=8))
    clock.now += 60
    assert pulse.now().budget == Budget(at=NOW, requests_left=5_000, seconds_left=900.5, hint=12, at_once=8)


def test_the_limits_come_from_dataverses_own_headers(pulse: Pulse) -> None:
    with DataverseServed() as dataverse:
        dataverse.stand_in.dop_hint = 3
        api = dataverse.api_with(FixedToken())
        api._told = pulse.limits
        api.send("GET", "WhoAmI")
    assert pulse.now().budget == Budget(at=NOW, requests_left=5_999, seconds_left=1_200.0, hint=3, at_once=3)


def test_notes_are_made_by_themselves_and_seldom(pulse: Pulse, instances: Instances) -> None:
    for _ in range(200):
        meet(pulse, MESSAGE, REFUSED)
    (noted,) = soon(lambda: instances.all(since=0))
    assert noted.troubles[0].reason == "dataverse_refused_identity"
    pulse.beating(lambda _: Outcome(Kind.WRITTEN))(MESSAGE)
    (noted,) = soon(lambda: [one for one in instances.all(since=0) if not one.troubles])
    assert noted.done == {"message": NOW}


def test_a_command_that_only_asks_dataverse_notes_nothing(pulse: Pulse, instances: Instances) -> None:
    pulse.limits(Limits(requests_left=1, seconds_left=1.0, hint=1, at_once=1))
    time.sleep(0.3)
    assert instances.all(since=0) == ()


def test_storage_that_fails_costs_no_work_and_the_next_note_says_the_same(clock: Clock, instances: Instances) -> None:
    tries: list[int] = []

    def sometimes() -> Instances:
        tries.append(1)
        if len(tries) < 3:
            raise TransientError("down", reason="storage_unavailable")
        return instances

    pulse = Pulse(sometimes, clock=clock, after=0.01, spacing=0.02)
    while not instances.all(since=0):
        pulse.went_ill("message", REFUSED)
        time.sleep(0.05)
    assert len(tries) >= 3


# the table


def test_rows_of_instances_long_silent_are_taken_away(instances: Instances) -> None:
    for process, noted in (("old", NOW - KEPT - 1), ("new", NOW - 60)):
        instances.put(Instance(process=process, started=NOW - KEPT, noted=noted))
    instances.forget(now=NOW)
    assert [one.process for one in instances.all(since=0)] == ["new"]
    assert instances.all(since=NOW) == ()


def test_a_row_of_another_version_is_left_out(instances: Instances) -> None:
    instances.put(Instance(process="ours", started=NOW, noted=NOW))
    instances._rows.put({"PartitionKey": "instance", "RowKey": "x", "noted": str(NOW), "told": '{"process": 7}'})
    assert [one.process for one in instances.all(since=0)] == ["ours"]


def test_an_error_without_an_item_is_nobodys(pulse: Pulse) -> None:
    pulse.went_ill("message", MailSyncError("m", reason="r"))
    assert pulse.now().troubles == ()


def test_numbers_that_can_be_none_of_dataverses_are_not_passed_on() -> None:
    headers = {"x-ms-dop-hint": "1e300", "x-ms-ratelimit-burst-remaining-xrm-requests": "-4"}
    assert limits_of(headers, most=24) == Limits(requests_left=None, seconds_left=None, hint=None, at_once=24)
