"""`dataverse setup`: the role, the user and the column are made, kept exact, and named where only a person can help."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mailsync.dataverse.privileges import BYPASS, documented, needed
from sandbox.dataverse.values import Column
from tests.mailsync.admin.conftest import CLIENT
from tests.mailsync.admin.desk import Desk

YES = ("dataverse", "setup", "--yes")
NAMES = {need.name for need in needed(documented())}


def states(said: dict[str, Any]) -> set[str]:
    return {step["state"] for step in said["plan"]}


def application_user(desk: Desk) -> str:
    (row,) = desk.dataverse.rows("systemuser", applicationid=CLIENT)
    return str(row["systemuserid"])


def test_it_makes_a_role_of_exactly_what_the_app_needs_and_gives_it_to_the_apps_user(desk: Desk) -> None:
    """Sales and Service are installed, campaigns and contracts are not."""
    said = desk.told(*YES)
    assert states(said) == {"to_do"}
    held = desk.dataverse.privileges_of(application_user(desk))
    assert set(held.values()) == {"Global"}
    installed = NAMES - {
        f"prv{right}{table}" for right in ("Read", "AppendTo") for table in ("Campaign", "Contract", "Entitlement")
    }
    assert held.keys() == installed


def test_a_second_run_finds_nothing_to_do(desk: Desk) -> None:
    desk.told(*YES, "--column", "contoso_nylasid")
    before = desk.dataverse.requests
    said = desk.told(*YES, "--column", "contoso_nylasid")
    assert (states(said), said["done"]) == ({"done"}, [])
    assert {logged.method for logged in desk.dataverse.log[before - desk.dataverse.requests :]} == {"GET"}
    assert desk.dataverse.count("role") == 1


def test_a_plan_changes_nothing(desk: Desk) -> None:
    said = desk.told("dataverse", "setup", "--plan")
    assert (states(said), said["done"]) == ({"to_do"}, [])
    assert desk.dataverse.count("role") == 0
    assert {logged.method for logged in desk.dataverse.log} == {"GET"}


def test_it_asks_before_it_acts_and_takes_no_for_an_answer(desk: Desk) -> None:
    result = desk.run("dataverse", "setup", answer="n\n")
    assert result.exit_code == 1
    assert "prvCreateActivity" in result.output
    assert desk.dataverse.count("role") == 0
    assert desk.run("dataverse", "setup", answer="y\n").exit_code == 0
    assert desk.dataverse.count("role") == 1


def test_what_is_too_much_is_taken_away_and_what_is_too_little_given(desk: Desk) -> None:
    desk.told(*YES)
    (role,) = desk.dataverse.rows("role")
    db = desk.dataverse._rows.db
    db.execute('DELETE FROM "role privilege" WHERE "privilege" = ?', ("prvReadContact",))
    db.execute('UPDATE "role privilege" SET "depth" = ? WHERE "privilege" = ?', ("Basic", "prvReadActivity"))
    db.execute('INSERT INTO "role privilege" VALUES (?, ?, ?)', (role["roleid"], "prvDeleteContact", "Global"))
    said = desk.told(*YES)
    assert [step["step"] for step in said["plan"] if step["state"] == "to_do"] == [
        "the role gets 2 privileges: prvReadActivity, prvReadContact",
        "1 privileges are taken from it: prvDeleteContact",
    ]
    held = desk.dataverse.privileges_of(application_user(desk))
    assert (held["prvReadContact"], held["prvReadActivity"]) == ("Global", "Global")
    assert "prvDeleteContact" not in held
    assert states(desk.told(*YES)) == {"done"}


def test_a_run_that_broke_off_is_gone_on_with(desk: Desk) -> None:
    everything = set(desk.dataverse.privileges_of(desk.dataverse.user_id))
    desk.dataverse.privileges = everything - {"prvCreateUser"}
    error = desk.told(*YES, exit_code=2)["error"]
    assert error["reason"] == "dataverse_lacks_privilege"
    assert "prvCreateUser" in error["advice"]
    assert "System Administrator" in error["advice"]
    desk.dataverse.privileges = None
    said = desk.told(*YES)
    assert said["done"] == ["made the application user", "gave the application user the role"]


def test_the_bypass_is_given_only_when_asked_for_and_then_left(desk: Desk) -> None:
    desk.told(*YES)
    assert BYPASS not in desk.dataverse.privileges_of(application_user(desk))
    desk.told(*YES, "--with-bypass")
    assert BYPASS in desk.dataverse.privileges_of(application_user(desk))
    assert states(desk.told(*YES)) == {"done"}


def test_a_column_is_made_that_holds_nylas_ids(desk: Desk) -> None:
    desk.told(*YES, "--column", "contoso_nylasid")
    column = desk.dataverse._rows.model.tables["email"].columns["contoso_nylasid"]
    assert (column.type, column.max) == ("text", 300)


@pytest.mark.parametrize(
    ("column", "says"),
    [
        pytest.param("contoso_short", "holds 10 characters: make it 300 long", id="too short"),
        pytest.param("contoso_number", "holds no text", id="no text"),
    ],
)
def test_a_column_that_does_not_fit_is_left_to_a_person(desk: Desk, column: str, says: str) -> None:
    model = desk.dataverse._rows.model
    email = model.tables["email"]
    more = {
        "contoso_short": Column(table="email", name="contoso_short", type="text", max=10),
        "contoso_number": Column(table="email", name="contoso_number", type="integer"),
    }
    model.add(replace(email, columns={**email.columns, **more}))
    said = desk.told(*YES, "--column", column, exit_code=1)
    (step,) = [one for one in said["plan"] if column in one["step"]]
    assert step["state"] == "by_hand"
    assert says in step["step"]


def test_another_role_of_the_apps_user_is_named(desk: Desk) -> None:
    desk.told(*YES)
    unit = ("businessunit", desk.dataverse.business_unit_id)
    other = desk.dataverse.add("role", name="Everything", businessunitid=unit)
    desk.dataverse._rows.db.execute('INSERT INTO "user role" VALUES (?, ?)', (application_user(desk), other))
    said = desk.told(*YES, exit_code=1)
    assert any("other roles besides: Everything" in step["step"] for step in said["plan"])


def test_the_role_is_made_where_the_apps_user_is(desk: Desk) -> None:
    """An application user that somebody made in a unit below."""
    root = ("businessunit", desk.dataverse.business_unit_id)
    unit = desk.dataverse.add("businessunit", name="North", parentbusinessunitid=root)
    desk.dataverse.add("systemuser", applicationid=CLIENT, businessunitid=("businessunit", unit))
    desk.told(*YES)
    (role,) = desk.dataverse.rows("role")
    assert role["_businessunitid_value"] == unit
    assert "prvCreateActivity" in desk.dataverse.privileges_of(application_user(desk))


def test_it_needs_no_other_setting_than_the_address(desk: Desk) -> None:
    for name in ("NYLAS_API_KEY", "NYLAS_WEBHOOK_SECRET", "AzureWebJobsStorage"):
        del desk.settings[name]
    assert states(desk.told("dataverse", "setup", "--plan")) == {"to_do"}
    del desk.settings["DATAVERSE_URL"]
    error = desk.told("dataverse", "setup", "--plan", exit_code=2)["error"]
    assert "DATAVERSE_URL" in error["advice"]
    assert "NYLAS" not in error["advice"]


@pytest.mark.parametrize(
    "words",
    [("--application", "no-guid", "--plan"), ("--json",), ("--plan", "--column", "NoPrefix")],
    ids=["no client id", "JSON without a yes", "a column without a prefix"],
)
def test_what_cannot_be_meant_is_refused(idle_desk: Desk, words: tuple[str, ...]) -> None:
    said = idle_desk.run("dataverse", "setup", *words)
    assert said.exit_code == 2
    assert words[-2 if "--column" in words else 0] in said.stderr
