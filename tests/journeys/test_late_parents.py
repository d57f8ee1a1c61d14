"""A reply that comes before its parent is linked to it later, or told of: never changed otherwise, never reopened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sandbox.mail import Mail
from tests.journeys.office import Copy, Office, Row, Someone

LINKED = {f"_{lookup}_{part}" for lookup in ("parentactivityid", "correlatedactivityid") for part in ("value", "type")}
REGARDING = {"_regardingobjectid_value", "_regardingobjectid_type"}


@contextmanager
def dataverse(office: Office, **behaviour: bool) -> Iterator[None]:
    """Dataverse behaves so for a while."""
    here = office.world.dataverse.behaviour
    before = {name: getattr(here, name) for name in behaviour}
    for name, value in behaviour.items():
        setattr(here, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(here, name, value)


def early_reply(office: Office, noor: Someone) -> tuple[Mail, Copy, Row]:
    """A mail of somebody's that is still to come, and Ida's reply to it, which was written already."""
    parent = office.mail(noor, office.ida.owner)
    copy = office.lay(office.reply(parent, office.ida.owner, noor), folder="sent")
    email = office.email(office.outcome(copy, "written")["activityid"])
    assert email["_parentactivityid_value"] is None
    return parent, copy, email


def changed(before: Row, after: Row) -> set[str]:
    """The columns of an email that are not what they were, but for those that say so themselves."""
    return {name for name in before if name != "parties" and before[name] != after[name]} - {
        "modifiedon",
        "versionnumber",
    }


@pytest.mark.parametrize("lenient", [True, False], ids=["which may be changed", "which no edit alone may change"])
def test_an_early_reply_gets_its_parent_and_what_that_is_about_where_it_is_about_nothing(
    office: Office, lenient: bool
) -> None:
    """A completed email is changed in these columns and no other."""
    noor = office.stranger("Noor Haddad")
    parent, copy, before = early_reply(office, noor)
    assert before["_regardingobjectid_value"] is None
    contact = office.know(noor)
    with dataverse(office, lenient_completed=lenient):
        above = office.receive(parent)
    after = office.email(before["activityid"])
    assert above["_regardingobjectid_value"] == after["_regardingobjectid_value"] == contact
    assert after["_parentactivityid_value"] == after["_correlatedactivityid_value"] == above["activityid"]
    assert (after["statecode"], after["statuscode"]) == (1, 3)
    assert changed(before, after) == LINKED | REGARDING
    assert office.record(copy)["detail"] == "linked"


def test_an_early_reply_that_somebody_set_regarding_meanwhile_keeps_it(office: Office) -> None:
    """It gets its parent alone."""
    parent, _, first = early_reply(office, office.stranger("Noor Haddad"))
    account = office.world.dataverse.add("account", name="Harbour Works")
    office.world.dataverse.update("email", first["activityid"], regardingobjectid=("account", account))
    before = office.email(first["activityid"])
    above = office.receive(parent)
    after = office.email(first["activityid"])
    assert (after["_parentactivityid_value"], after["_regardingobjectid_value"]) == (above["activityid"], account)
    assert changed(before, after) == LINKED


def test_an_early_reply_that_dataverse_lets_nobody_change_is_untouched_and_its_record_says_so(office: Office) -> None:
    parent, copy, before = early_reply(office, office.contact())
    with dataverse(office, sealed_completed=True):
        above = office.receive(parent)
    assert above["statecode"] == 1
    assert office.record(copy)["detail"] == "link_refused"
    assert office.email(before["activityid"]) == before
