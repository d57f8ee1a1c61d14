"""Roles, what they give, and columns that are added, in the Dataverse stand-in over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests

from sandbox.dataverse.security import privilege_id
from tests.sandbox.test_dataverse import NOWHERE, Organisation, refused

APPLICATION = "7a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
SHAREPOINT = {
    "prvReadSharePointData",
    "prvWriteSharePointData",
    "prvCreateSharePointData",
    "prvReadSharePointDocument",
}
COLUMN: dict[str, Any] = {
    "@odata.type": "Microsoft.Dynamics.CRM.StringAttributeMetadata",
    "SchemaName": "contoso_NylasId",
    "DisplayName": {"LocalizedLabels": [{"Label": "Nylas id", "LanguageCode": 1033}]},
    "RequiredLevel": {"Value": "None"},
    "FormatName": {"Value": "Text"},
    "MaxLength": 300,
}


@pytest.fixture
def org() -> Iterator[Organisation]:
    with Organisation() as organisation:
        yield organisation


def unit(org: Organisation) -> str:
    return f"/businessunits({org.dataverse.business_unit_id})"


def a_role(org: Organisation, name: str = "Mail") -> str:
    answer = org.post({"name": name, "businessunitid@odata.bind": unit(org)}, "roles")
    assert answer.status_code == 204, answer.text
    return answer.headers["OData-EntityId"].rpartition("(")[2].rstrip(")")


def a_user(org: Organisation, application: str = APPLICATION) -> str:
    answer = org.post({"applicationid": application, "businessunitid@odata.bind": unit(org)}, "systemusers")
    assert answer.status_code == 204, answer.text
    return answer.headers["OData-EntityId"].rpartition("(")[2].rstrip(")")


def add(org: Organisation, role: str, *names: str, depth: str = "Global") -> requests.Response:
    given = [{"PrivilegeId": privilege_id(name), "Depth": depth} for name in names]
    return org.post({"Privileges": given}, f"roles({role})/Microsoft.Dynamics.CRM.AddPrivilegesRole")


def remove(org: Organisation, role: str, name: str) -> requests.Response:
    reference = {"@odata.type": "Microsoft.Dynamics.CRM.privilege", "privilegeid": privilege_id(name)}
    return org.post({"Privilege": reference}, f"roles({role})/Microsoft.Dynamics.CRM.RemovePrivilegeRole")


def privileges(org: Organisation, role: str) -> dict[str, str]:
    told = org.get(f"RetrieveRolePrivilegesRole(RoleId={role})").json()["RolePrivileges"]
    return {one["PrivilegeName"]: one["Depth"] for one in told}


def associate(org: Organisation, user: str, role: str) -> requests.Response:
    return org.post({"@odata.id": f"{org.root}roles({role})"}, f"systemusers({user})/systemuserroles_association/$ref")


# --- roles ------------------------------------------------------------------------------------------------------------


def test_a_new_role_has_nine_privileges_that_nobody_asked_for(org: Organisation) -> None:
    held = privileges(org, a_role(org))
    assert len(held) == 9
    assert held.keys() > SHAREPOINT
    assert set(held.values()) == {"Global"}


@pytest.mark.parametrize("left_out", ["name", "businessunitid@odata.bind"])
def test_a_role_without_a_name_or_a_unit_is_refused(org: Organisation, left_out: str) -> None:
    body = {"name": "Mail", "businessunitid@odata.bind": unit(org)}
    body.pop(left_out)
    refused(org.post(body, "roles"), 400, "0x80040203", "businessunitid")


def test_privileges_are_found_by_name_and_added_with_a_depth(org: Organisation) -> None:
    role = a_role(org)
    condition = quote("name eq 'prvReadActivity' or name eq 'prvReadContact'")
    found = org.get(f"privileges?$select=privilegeid,name&$filter={condition}").json()["value"]
    assert {row["name"]: row["privilegeid"] for row in found} == {
        name: privilege_id(name) for name in ("prvReadActivity", "prvReadContact")
    }
    assert add(org, role, "prvReadActivity").status_code == 204
    assert add(org, role, "prvReadContact", depth="0").status_code == 204
    held = privileges(org, role)
    assert (held["prvReadActivity"], held["prvReadContact"]) == ("Global", "Basic")
    add(org, role, "prvReadContact", depth="3")
    assert privileges(org, role)["prvReadContact"] == "Global"


def test_what_was_not_asked_for_goes_one_by_one_and_some_comes_back_with_each_addition(org: Organisation) -> None:
    role = a_role(org)
    for name in privileges(org, role):
        assert remove(org, role, name).status_code == 204
    assert privileges(org, role) == {}
    add(org, role, "prvReadActivity")
    assert privileges(org, role).keys() == {"prvReadActivity", *SHAREPOINT}


def test_a_privilege_is_removed_by_reference_and_not_by_its_id_alone(org: Organisation) -> None:
    path = f"roles({a_role(org)})/Microsoft.Dynamics.CRM.RemovePrivilegeRole"
    refused(org.post({"PrivilegeId": privilege_id("prvReadPluginType")}, path), 400, "0x80048d19", "PrivilegeId")


def test_unknown_roles_privileges_and_depths_are_refused(org: Organisation) -> None:
    role = a_role(org)
    refused(add(org, role, "prvReadNothing"), 404, "0x80040217", "privilege With Id")
    refused(add(org, role, "prvReadActivity", depth="Everything"), 400, "0x80048d19", "PrivilegeDepth")
    refused(add(org, NOWHERE, "prvReadActivity"), 404, "0x80040217", "role With Id")
    refused(remove(org, role, "prvReadActivity"), 400, "0x80040203", "prvReadActivity")
    assert org.get(f"RetrieveRolePrivilegesRole(RoleId={NOWHERE})").status_code == 404
    assert org.get("RetrieveRolePrivilegesRole").status_code == 404


# --- users ------------------------------------------------------------------------------------------------------------


def test_an_application_user_is_told_by_its_application_and_there_is_one_of_each(org: Organisation) -> None:
    user = a_user(org)
    (row,) = org.get(f"systemusers?$select=fullname&$filter=applicationid eq {APPLICATION}").json()["value"]
    assert row["systemuserid"] == user
    body = {"applicationid": APPLICATION, "businessunitid@odata.bind": unit(org)}
    assert org.post(body, "systemusers").status_code == 412
    refused(org.post({"applicationid": NOWHERE}, "systemusers"), 400, "0x80040203", "businessunitid")
    refused(org.post({"businessunitid@odata.bind": unit(org)}, "systemusers"), 400, "0x80040203", "applicationid")


def test_a_users_privileges_are_those_of_its_roles_each_at_its_deepest(org: Organisation) -> None:
    user, roles = a_user(org), [a_role(org, name) for name in ("one", "two")]
    for role in roles:
        assert associate(org, user, role).status_code == 204
    add(org, roles[0], "prvReadActivity", depth="Basic")
    add(org, roles[1], "prvReadActivity", "prvReadContact", depth="Deep")
    told = org.get(f"systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges").json()["RolePrivileges"]
    held = {one["PrivilegeName"]: one["Depth"] for one in told}
    assert (held["prvReadActivity"], held["prvReadContact"]) == ("Deep", "Deep")
    assert org.dataverse.privileges_of(user) == held
    named = org.get(f"systemusers({user})/systemuserroles_association?$select=name").json()["value"]
    assert {row["name"] for row in named} == {"one", "two"}


def test_the_application_user_that_acts_has_what_the_stand_in_was_told(org: Organisation) -> None:
    path = f"systemusers({org.dataverse.user_id})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()"
    everything = {one["PrivilegeName"] for one in org.get(path).json()["RolePrivileges"]}
    assert {"prvReadActivity", "prvDeleteRole", "prvReadEntity"} <= everything
    org.dataverse.privileges = {"prvReadUser", "prvReadActivity"}
    org.dataverse.depths["prvReadActivity"] = "Basic"
    told = org.get(path).json()["RolePrivileges"]
    assert {(one["PrivilegeName"], one["Depth"]) for one in told} == {
        ("prvReadUser", "Global"),
        ("prvReadActivity", "Basic"),
    }


def test_an_association_made_twice_is_a_duplicate_and_one_across_units_refused(org: Organisation) -> None:
    user, role = a_user(org), a_role(org)
    assert associate(org, user, role).status_code == 204
    refused(associate(org, user, role), 412, "0x80040237", "duplicate")
    refused(associate(org, org.me, role), 400, "0x80040203", "business unit")
    refused(associate(org, user, NOWHERE), 404, "0x80040217", "role With Id")


@pytest.mark.parametrize(
    ("act", "privilege"),
    [
        pytest.param("make a role", "prvCreateRole", id="making a role"),
        pytest.param("add", "prvWriteRole", id="adding to a role"),
        pytest.param("remove", "prvWriteRole", id="removing from a role"),
        pytest.param("read", "prvReadRole", id="reading a role"),
        pytest.param("associate", "prvAssignRole", id="giving a role"),
        pytest.param("make a user", "prvCreateUser", id="making a user"),
        pytest.param("make a column", "prvCreateAttribute", id="adding a column"),
    ],
)
def test_each_act_takes_its_privilege(org: Organisation, act: str, privilege: str) -> None:
    user, role = a_user(org), a_role(org)
    everything = set(org.dataverse.privileges_of(org.dataverse.user_id))
    org.dataverse.privileges = everything - {privilege}
    acts = {
        "make a role": lambda: org.post({"name": "x", "businessunitid@odata.bind": unit(org)}, "roles"),
        "add": lambda: add(org, role, "prvReadActivity"),
        "remove": lambda: remove(org, role, "prvReadPluginType"),
        "read": lambda: org.get(f"RetrieveRolePrivilegesRole(RoleId={role})"),
        "associate": lambda: associate(org, user, role),
        "make a user": lambda: org.post({"applicationid": NOWHERE, "businessunitid@odata.bind": unit(org)}, "systemusers"),
        "make a column": lambda: org.post(COLUMN, "EntityDefinitions(LogicalName='email')/Attributes"),
    }  # fmt: skip
    refused(acts[act](), 403, "0x80040220", privilege)
    org.dataverse.privileges = everything
    assert acts[act]().ok


# --- definitions ------------------------------------------------------------------------------------------------------


def test_a_definition_names_the_tables_privileges(org: Organisation) -> None:
    told = org.get("EntityDefinitions(LogicalName='email')?$select=LogicalName,Privileges").json()["Privileges"]
    assert {one["PrivilegeType"]: one["Name"] for one in told}["AppendTo"] == "prvAppendToActivity"
    assert all(one["PrivilegeId"] == privilege_id(one["Name"]) for one in told)


def test_a_column_that_was_added_is_declared_written_read_and_filtered(org: Organisation) -> None:
    old = org.mail()
    answer = org.post(COLUMN, "EntityDefinitions(LogicalName='email')/Attributes")
    assert answer.status_code == 204, answer.text
    assert answer.headers["OData-EntityId"].endswith("Attributes(LogicalName='contoso_nylasid')")
    path = "EntityDefinitions(LogicalName='email')/Attributes(LogicalName='contoso_nylasid')?$select=AttributeType,MaxLength"
    declared = org.get(path).json()
    assert (declared["AttributeType"], declared["MaxLength"]) == ("String", 300)
    new = org.mail(contoso_nylasid="abc")
    rows = org.get("emails?$select=contoso_nylasid&$filter=contoso_nylasid eq 'abc'").json()["value"]
    assert [row["activityid"] for row in rows] == [new]
    assert org.get(f"emails({old})?$select=contoso_nylasid").json()["contoso_nylasid"] is None
    refused(org.post({"contoso_nylasid": "x" * 301}), 400, "0x80044331", "'300'")
    assert [row["contoso_nylasid"] for row in org.dataverse.rows("email")] == [None, "abc"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"@odata.type": "Microsoft.Dynamics.CRM.MoneyAttributeMetadata"}, "0x80048d19", id="another type"),
        pytest.param({"SchemaName": "NylasId"}, "0x80040203", id="no prefix"),
        pytest.param({"DisplayName": {"LocalizedLabels": []}}, "0x80040203", id="no label"),
        pytest.param({"MaxLength": 4001}, "0x80040203", id="too long"),
        pytest.param({"SchemaName": "contoso_there"}, "0x80047013", id="there already"),
    ],
)
def test_a_column_that_cannot_be_is_refused(change: dict[str, object], code: str) -> None:
    custom = {"email": {"contoso_there": {"type": "text", "max": 10}}}
    with Organisation(custom=custom) as org:
        refused(org.post({**COLUMN, **change}, "EntityDefinitions(LogicalName='email')/Attributes"), 400, code)


def test_definitions_of_tables_themselves_cannot_be_posted(org: Organisation) -> None:
    assert org.post({}, "EntityDefinitions").status_code == 405
