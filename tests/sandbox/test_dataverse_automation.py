"""Going past what an organisation automated, over real sockets: which headers do, for which request, and who may."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.sandbox.test_dataverse import Organisation, refused
from tests.sandbox.test_dataverse_batch import answers, batch, change_set, part, post

LOGIC = "MSCRM.BypassBusinessLogicExecution"
FLOWS = "MSCRM.SuppressCallbackRegistrationExpanderJob"
OLD = "MSCRM.BypassCustomPluginExecution"
BOTH = {LOGIC: "CustomSync,CustomAsync", FLOWS: "true"}
EVERYTHING, NOTHING = (True, True, True), (False, False, False)


@pytest.fixture
def org() -> Iterator[Organisation]:
    with Organisation() as organisation:
        yield organisation


def ran(org: Organisation) -> list[tuple[bool, bool, bool]]:
    """What answered each write: synchronous and asynchronous logic, flows."""
    return [(one.synchronous, one.asynchronous, one.flows) for one in org.dataverse.automation]


@pytest.mark.parametrize(
    ("headers", "answered"),
    [
        pytest.param({}, EVERYTHING, id="none"),
        pytest.param({LOGIC: "CustomSync"}, (False, True, True), id="synchronous logic"),
        pytest.param({LOGIC: "CustomAsync"}, (True, False, True), id="asynchronous logic"),
        pytest.param({LOGIC: "CustomSync,CustomAsync"}, (False, False, True), id="both"),
        pytest.param({FLOWS: "true"}, (True, True, False), id="flows"),
        pytest.param({FLOWS: "false"}, EVERYTHING, id="flows after all"),
        pytest.param({OLD: "true"}, (False, True, True), id="the older header"),
        pytest.param(BOTH, NOTHING, id="everything"),
    ],
)
def test_a_header_keeps_what_it_names_from_answering(
    org: Organisation, headers: dict[str, str], answered: tuple[bool, bool, bool]
) -> None:
    row = str(uuid4())
    assert org.post({"activityid": row, "subject": "a"}, **headers).status_code == 204
    assert org.patch(f"emails({row})", {"subject": "b"}, **headers).status_code == 204
    assert org.send("DELETE", f"emails({row})", **headers).status_code == 204
    assert ran(org) == [answered] * 3
    assert [one.action for one in org.dataverse.automation] == ["create", "update", "delete"]


def test_a_plug_in_refuses_only_what_does_not_go_past_it(org: Organisation) -> None:
    org.dataverse.behaviour.plug_in = lambda _table, _values: "no"
    refused(org.post({"subject": "a"}), 400, "0x80040265", "no")
    refused(org.post({"subject": "a"}, **{FLOWS: "true"}), 400, "0x80040265", "no")
    assert org.post({"subject": "a"}, **{LOGIC: "CustomSync"}).status_code == 204


@pytest.mark.parametrize(
    ("headers", "privilege"),
    [
        pytest.param({LOGIC: "CustomAsync"}, "prvBypassCustomBusinessLogic", id="of today"),
        pytest.param({OLD: "true"}, "prvBypassCustomPlugins", id="of old"),
    ],
)
def test_going_past_logic_takes_a_privilege_that_writing_does_not(
    org: Organisation, headers: dict[str, str], privilege: str
) -> None:
    org.dataverse.privileges = {"prvCreateActivity"}
    refused(org.post({"subject": "a"}, **headers), 403, "0x80040220", privilege)
    assert org.post({"subject": "a"}, **{FLOWS: "true"}).status_code == 204, "flows take none"
    org.dataverse.privileges = {"prvCreateActivity", privilege}
    assert org.post({"subject": "a"}, **headers).status_code == 204


@pytest.mark.parametrize("headers", [{LOGIC: "Custom"}, {LOGIC: ""}, {FLOWS: "yes"}, {OLD: "1"}], ids=str)
def test_a_value_that_is_not_documented_is_refused(org: Organisation, headers: dict[str, str]) -> None:
    refused(org.post({"subject": "a"}, **headers), 400, "0x80040203", "")


def test_in_a_batch_each_request_asks_for_itself(org: Organisation) -> None:
    """What stands beside the batch itself passes to none of them. [unproven]"""
    plain = part("POST", "emails", {"subject": "a"})
    past = part("POST", "emails", {"subject": "b"}, **BOTH)
    found = answers(post(org, batch(plain, change_set(past)), **BOTH))
    assert [one.status for one in found] == [204, 204]
    assert ran(org) == [EVERYTHING, NOTHING]
