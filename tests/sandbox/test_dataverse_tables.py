"""Tables that rules refer to, those of the applications and an organisation's own: columns, lookups, definitions."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.sandbox.test_dataverse import NOWHERE, Organisation, refused

PROJECT = {
    "new_project": {
        "set": "new_projectes",
        "name": "new_name",
        "columns": {"new_name": {"type": "text", "max": 100}, "new_code": {"type": "text", "max": 20, "index": True}},
        "lookups": {
            "new_contact": {"bind": {"new_Contact": "contact"}},
            "new_customer": {"bind": {"new_Customer": "account"}},
        },
        "regarding": "regardingobjectid_New_Project_email",
    }
}
REGARDING = (
    "EntityDefinitions(LogicalName='email')/ManyToOneRelationships"
    "?$select=ReferencedEntity,ReferencingEntityNavigationPropertyName"
    "&$filter=ReferencingAttribute eq 'regardingobjectid'"
)


@pytest.fixture
def org() -> Iterator[Organisation]:
    with Organisation(tables=PROJECT) as organisation:
        yield organisation


def found(org: Organisation, path: str, condition: str) -> list[dict[str, object]]:
    answer = org.get(f"{path}&$filter={quote(condition)}")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["value"])


def relationships(org: Organisation) -> dict[str, str]:
    entries = org.get(REGARDING).json()["value"]
    names = {e["ReferencedEntity"]: e["ReferencingEntityNavigationPropertyName"] for e in entries}
    assert len(names) == len(entries), "one relationship with each table"
    return names


# --- an organisation's own table --------------------------------------------------------------------------------------


def test_a_custom_table_is_made_read_and_found_by_its_lookups(org: Organisation) -> None:
    body = {"new_name": "Bridge", "new_code": "P-1", "new_Contact@odata.bind": f"/contacts({org.ann})"}
    answer = org.post({**body, "new_Customer@odata.bind": f"/accounts({org.firm})"}, "new_projectes")
    assert answer.status_code == 204, answer.text
    org.dataverse.add("new_project", new_name="Other")
    org.dataverse.add("new_project", new_name="Ended", statecode=1, new_contact=("contact", org.ann))
    path = "new_projectes?$select=new_name,_new_contact_value,createdon,_ownerid_value&$orderby=createdon desc"
    (row,) = found(org, path, f"_new_contact_value eq {org.ann} and statecode eq 0")
    assert (row["new_name"], row["_new_contact_value"]) == ("Bridge", org.ann)
    assert [row["new_name"] for row in found(org, path, f"_new_customer_value eq {org.firm}")] == ["Bridge"]
    assert [row["new_name"] for row in found(org, path, "new_code eq 'p-1'")] == ["Bridge"]


def test_the_definition_of_a_custom_table_tells_its_set_and_key(org: Organisation) -> None:
    body = org.get("EntityDefinitions(LogicalName='new_project')?$select=EntitySetName,PrimaryIdAttribute").json()
    assert (body["EntitySetName"], body["PrimaryIdAttribute"]) == ("new_projectes", "new_projectid")
    condition = "LogicalName eq 'new_project' or LogicalName eq 'contact'"
    several = found(org, "EntityDefinitions?$select=LogicalName,PrimaryNameAttribute", condition)
    assert {row["LogicalName"]: row["PrimaryNameAttribute"] for row in several} == {
        "new_project": "new_name", "contact": "fullname",
    }  # fmt: skip
    path = "EntityDefinitions(LogicalName='new_project')/ManyToOneRelationships?$select=ReferencedEntity,ReferencedAttribute,ReferencingEntityNavigationPropertyName"
    (lookup,) = found(org, path, "ReferencingAttribute eq 'new_contact'")
    assert (lookup["ReferencedEntity"], lookup["ReferencedAttribute"]) == ("contact", "contactid")
    assert lookup["ReferencingEntityNavigationPropertyName"] == "new_Contact"


def test_an_email_regards_a_row_of_a_custom_table_by_the_name_that_its_relationship_tells(org: Organisation) -> None:
    project = org.dataverse.add("new_project", new_name="Bridge")
    name = relationships(org)["new_project"]
    assert name == "regardingobjectid_New_Project_email"
    activity = org.mail(**{f"{name}@odata.bind": f"/new_projectes({project})"})
    org.mail(**{"regardingobjectid_New_Project@odata.bind": f"/new_projectes({project})"})
    row = org.dataverse.rows("email", activityid=activity)[0]
    assert (row["_regardingobjectid_value"], row["_regardingobjectid_type"]) == (project, "new_project")
    lower = {"regardingobjectid_new_project_email@odata.bind": f"/new_projectes({project})"}
    refused(org.post(lower), 400, "0x80048d19", "'regardingobjectid_new_project_email'")
    org.send("DELETE", f"new_projectes({project})")
    assert org.dataverse.count("email") == 0


def test_a_custom_table_needs_no_relationship_with_emails() -> None:
    apart = {
        "new_thing": {"set": "new_things", "name": "new_name", "columns": {"new_name": {"type": "text", "max": 9}}}
    }
    with Organisation(tables=apart) as org:
        assert org.get("new_things?$select=new_name").json()["value"] == []
        assert "new_thing" not in relationships(org)


# --- which tables emails may regard -----------------------------------------------------------------------------------


def test_relationships_are_the_emails_own_and_not_those_of_activitypointer(org: Organisation) -> None:
    names = relationships(org)
    assert names["contact"] == "regardingobjectid_contact_email"
    assert {"account", "lead", "opportunity", "incident", "new_project"} <= set(names)
    assert all(name.endswith("_email") for name in names.values())


def test_tables_that_are_not_installed_are_nowhere() -> None:
    with Organisation(sales=False) as org:
        names = relationships(org)
        assert {"account", "contact"} <= set(names)
        for table, entity_set in (
            ("opportunity", "opportunities"),
            ("incident", "incidents"),
            ("new_project", "new_projectes"),
        ):
            assert table not in names
            assert org.get(f"EntityDefinitions(LogicalName='{table}')?$select=EntitySetName").status_code == 404
            assert org.get(f"{entity_set}?$top=1").status_code == 404
            assert (
                org.post({f"regardingobjectid_{table}_email@odata.bind": f"/{entity_set}({NOWHERE})"}).status_code
                == 400
            )
        condition = "LogicalName eq 'opportunity' or LogicalName eq 'contact'"
        present = found(org, "EntityDefinitions?$select=LogicalName", condition)
        assert [row["LogicalName"] for row in present] == ["contact"]


def test_service_may_be_installed_without_sales() -> None:
    with Organisation(sales=False, service=True) as org:
        assert "incident" in relationships(org)
        assert "opportunity" not in relationships(org)


def test_a_filter_of_definitions_that_is_no_equality_is_refused(org: Organisation) -> None:
    refused(org.get("EntityDefinitions?$filter=contains(LogicalName,'x')"), 400, "0x80060888", "equalities")


# --- columns that rules ask for ---------------------------------------------------------------------------------------


def test_open_opportunities_of_a_person_or_their_firm_are_found(org: Organisation) -> None:
    body = {"name": "Bridge", "parentcontactid@odata.bind": f"/contacts({org.ann})",
            "parentaccountid@odata.bind": f"/accounts({org.firm})"}  # fmt: skip
    assert org.post(body, "opportunities").status_code == 204
    org.dataverse.add("opportunity", name="Won", parentcontactid=("contact", org.ann), statecode=1)
    org.dataverse.add("opportunity", name="Firm's", customerid=("account", org.firm))
    path = "opportunities?$select=name,statuscode,_parentcontactid_value,_parentaccountid_value,createdon,modifiedon"
    (row,) = found(org, path, f"statecode eq 0 and _parentcontactid_value eq {org.ann}")
    assert (row["name"], row["statuscode"], row["_parentaccountid_value"]) == ("Bridge", 1, org.firm)
    assert [row["name"] for row in found(org, path, f"_customerid_value eq {org.firm}")] == ["Firm's"]


def test_a_case_is_found_by_its_number_and_by_who_it_is_about(org: Organisation) -> None:
    org.dataverse.add("incident", title="Broken", ticketnumber="CAS-01213-P8B3G0", customerid=("account", org.firm),
                      primarycontactid=("contact", org.ann))  # fmt: skip
    path = "incidents?$select=ticketnumber,title,statecode,_customerid_value,_primarycontactid_value"
    (row,) = found(org, path, "ticketnumber eq 'cas-01213-p8b3g0' and statecode eq 0")
    assert (row["title"], row["_customerid_value"], row["_primarycontactid_value"]) == ("Broken", org.firm, org.ann)
    assert found(org, path, f"_primarycontactid_value eq {org.ann}") == [row]
    refused(org.post({"ticketnumber": "x" * 101}, "incidents"), 400, "0x80044331", "'100'")


def test_an_email_is_found_by_its_tracking_token(org: Organisation) -> None:
    activity = org.mail(trackingtoken="CRM:0001001")
    assert [row["activityid"] for row in found(org, "emails?$select=subject", "trackingtoken eq 'crm:0001001'")] == [
        activity
    ]


def test_people_are_found_by_their_firm_and_users_by_their_private_address(org: Organisation) -> None:
    org.dataverse.update("contact", org.ann, parentcustomerid=("account", org.firm))
    org.dataverse.update("systemuser", org.me, personalemailaddress="me@home.io")
    assert found(org, "contacts?$select=fullname", f"_parentcustomerid_value eq {org.firm}")[0]["contactid"] == org.ann
    assert (
        found(org, "systemusers?$select=fullname", "personalemailaddress eq 'ME@home.io'")[0]["systemuserid"] == org.me
    )
