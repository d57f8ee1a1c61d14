"""Reading from the Dataverse stand-in, over real sockets: filters, selections, expansions, pages, annotations."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.sandbox.test_dataverse import NOWHERE, Organisation, refused

ALL = 'odata.include-annotations="*"'
FORMATTED = "OData.Community.Display.V1.FormattedValue"
LOGICAL = "Microsoft.Dynamics.CRM.lookuplogicalname"


@pytest.fixture
def org() -> Iterator[Organisation]:
    with Organisation() as organisation:
        yield organisation


def found(org: Organisation, table: str, condition: str, column: str) -> list[object]:
    answer = org.get(f"{table}?$select={column}&$filter={quote(condition)}")
    assert answer.status_code == 200, answer.text
    return [row[column] for row in answer.json()["value"]]


def test_a_message_id_is_found_with_its_brackets_and_in_any_case(org: Organisation) -> None:
    activity = org.mail(messageid="<Ab'c@x.io>")
    assert found(org, "emails", "messageid eq '<ab''C@X.io>'", "activityid") == [activity]
    assert found(org, "emails", "messageid eq 'ab''c@x.io'", "activityid") == []


def test_people_are_found_by_any_of_their_addresses(org: Organisation) -> None:
    bo = org.dataverse.add("contact", lastname="Bo", emailaddress2="bo+1@x.io")
    org.dataverse.add("contact", lastname="Inactive", emailaddress1="bo+1@x.io", statecode=1)
    inner = "Microsoft.Dynamics.CRM.In(PropertyName='{}',PropertyValues=['ANN@x.io','bo+1@x.io'])"
    condition = " or ".join(inner.format(f"emailaddress{n}") for n in (1, 2, 3))
    assert set(found(org, "contacts", f"({condition}) and statecode eq 0", "contactid")) == {org.ann, bo}


def test_a_filter_may_use_every_operator_at_once(org: Organisation) -> None:
    one, two = org.mail(subject="One 100%", directioncode=False), org.mail(subject="Two")
    org.dataverse.update("email", two, createdon="2001-01-01T00:00:00Z")
    assert found(org, "emails", "contains(subject,'100%') and directioncode eq false", "activityid") == [one]
    assert found(org, "emails", "not (subject eq 'two') and statuscode ne 4", "activityid") == [one]
    assert found(org, "emails", "createdon lt 2010-01-01 and startswith(subject,'tw')", "activityid") == [two]
    assert found(org, "emails", "messageid eq null and endswith(subject,'WO')", "activityid") == [two]


def test_a_mail_is_found_by_what_it_regards(org: Organisation) -> None:
    activity = org.mail(**{"regardingobjectid_contact_email@odata.bind": f"/contacts({org.ann})"})
    org.mail()
    assert found(org, "emails", f"_regardingobjectid_value eq {org.ann}", "activityid") == [activity]


@pytest.mark.parametrize(
    ("query", "code", "says"),
    [
        ("$filter=description eq 'x'", "0x80040203", "not supported"),
        (
            "$filter=foo eq 1",
            "0x80060888",
            "Could not find a property named 'foo' on type 'Microsoft.Dynamics.CRM.email'.",
        ),
        ("$select=foo", "0x80060888", "Could not find a property named 'foo'"),
        ("$skip=5", "0x80060888", "Skip Clause is not supported in CRM"),
    ],
)
def test_a_query_is_refused(org: Organisation, query: str, code: str, says: str) -> None:
    refused(org.get(f"emails?{query}"), 400, code, says)


def test_the_key_and_the_etag_come_with_every_selection(org: Organisation) -> None:
    activity = org.mail(subject="x")
    body = org.get(f"emails({activity})?$select=subject").json()
    assert body == {
        "@odata.context": f"{org.root}$metadata#emails(subject)/$entity",
        "@odata.etag": body["@odata.etag"],
        "subject": "x",
        "activityid": activity,
    }
    assert body["@odata.etag"].startswith('W/"')


def test_without_a_selection_every_readable_column_comes(org: Organisation) -> None:
    (row,) = org.get(f"emails?$filter=activityid eq {org.mail()}").json()["value"]
    assert {"subject", "senton", "description", "_regardingobjectid_value", "_ownerid_value", "createdon"} <= set(row)
    assert "messageiddupcheck" not in row
    assert row["directioncode"] is True


def test_parties_come_by_expansion_with_their_tables_in_annotations(org: Organisation) -> None:
    activity = org.mail(
        email_activity_parties=[
            {"participationtypemask": 1, "partyid_contact@odata.bind": f"/contacts({org.ann})"},
            {"participationtypemask": 2, "addressused": "z@z.io"},
        ]
    )
    query = (
        "$select=statuscode&$expand=email_activity_parties($select=participationtypemask,addressused,_partyid_value)"
    )
    body = org.get(f"emails({activity})?{query}", Prefer=ALL).json()
    sender, to, owner = body["email_activity_parties"]
    assert (sender["addressused"], sender["_partyid_value"]) == ("ann@x.io", org.ann)
    assert sender[f"_partyid_value@{LOGICAL}"] == "contact"
    assert sender[f"_partyid_value@{FORMATTED}"] == "Ann Lee"
    assert (to["_partyid_value"], f"_partyid_value@{LOGICAL}" in to) == (None, False)
    assert owner["participationtypemask"] == 9
    assert body[f"statuscode@{FORMATTED}"] == "Draft"


def test_an_expansion_takes_options_of_its_own(org: Organisation) -> None:
    parties = [{"participationtypemask": n, "addressused": f"{n}@x.io"} for n in (4, 3, 2)]
    activity = org.mail(email_activity_parties=parties)
    inner = "$select=addressused;$filter=participationtypemask ne 9;$orderby=addressused;$top=2"
    body = org.get(f"emails({activity})?$select=subject&$expand=email_activity_parties({inner})").json()
    assert [party["addressused"] for party in body["email_activity_parties"]] == ["2@x.io", "3@x.io"]


def test_a_single_row_is_expanded_where_the_lookup_leads_to_its_table(org: Organisation) -> None:
    activity = org.mail(**{"regardingobjectid_contact_email@odata.bind": f"/contacts({org.ann})"})
    query = "$select=subject&$expand=regardingobjectid_contact_email($select=fullname),regardingobjectid_account_email"
    body = org.get(f"emails({activity})?{query}").json()
    assert body["regardingobjectid_contact_email"]["fullname"] == "Ann Lee"
    assert body["regardingobjectid_account_email"] is None


def test_child_rows_have_an_address_of_their_own(org: Organisation) -> None:
    activity = org.mail(email_activity_parties=[{"participationtypemask": 2, "addressused": "z@z.io"}])
    body = org.get(f"emails({activity})/email_activity_parties?$select=addressused").json()
    assert [row["addressused"] for row in body["value"]] == ["z@z.io", None]
    assert org.get(f"emails({NOWHERE})/email_activity_parties").status_code == 404
    assert org.get(f"emails({activity})/nothing").status_code == 404


def test_annotations_come_only_when_asked_for_and_only_those(org: Organisation) -> None:
    activity = org.mail(**{"regardingobjectid_contact_email@odata.bind": f"/contacts({org.ann})"})
    path = f"emails({activity})?$select=statecode,directioncode,_regardingobjectid_value"
    assert not [name for name in org.get(path).json() if "@" in name.lstrip("@")]
    row = org.get(path, Prefer=ALL).json()
    assert (row[f"statecode@{FORMATTED}"], row[f"directioncode@{FORMATTED}"]) == ("Open", "Outgoing")
    navigation = "_regardingobjectid_value@Microsoft.Dynamics.CRM.associatednavigationproperty"
    assert row[navigation] == "regardingobjectid_contact_email"
    some = org.get(path, Prefer=f'odata.include-annotations="{LOGICAL}"').json()
    assert [name for name in some if "@" in name.lstrip("@")] == [f"_regardingobjectid_value@{LOGICAL}"]


def test_pages_follow_one_another_by_their_links(org: Organisation) -> None:
    made = [org.mail(subject=f"{n:02}") for n in range(7)]
    seen, path, sizes = [], "emails?$select=subject&$orderby=subject&$filter=subject%20ne%20%27x%27", []
    while path:
        body = org.get(path, Prefer="odata.maxpagesize=3").json()
        sizes.append(len(body["value"]))
        seen += [row["activityid"] for row in body["value"]]
        path = body.get("@odata.nextLink", "").removeprefix(org.root)
    assert (seen, sizes) == (made, [3, 3, 1])


def test_no_page_is_greater_than_five_thousand(org: Organisation) -> None:
    for _ in range(5001):
        org.dataverse.add("team")
    body = org.get("teams?$select=teamid&$count=true", Prefer="odata.maxpagesize=9000," + ALL).json()
    assert len(body["value"]) == body["@odata.count"] == 5000
    assert body["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"] is True
    assert len(org.get(body["@odata.nextLink"].removeprefix(org.root)).json()["value"]) == 1


def test_top_gives_that_many_and_no_link(org: Organisation) -> None:
    for _ in range(3):
        org.mail()
    body = org.get("emails?$select=subject&$top=2&$count=true").json()
    assert (len(body["value"]), body["@odata.count"], "@odata.nextLink" in body) == (2, 3, False)
    assert org.get("emails?$top=0").json()["value"] == []
    assert org.get("emails/$count?$filter=statecode eq 0").text == "3"


def test_a_plain_url_over_32_kb_is_refused(org: Organisation) -> None:
    values = ",".join(f"'{n:040}'" for n in range(1000))
    condition = f"Microsoft.Dynamics.CRM.In(PropertyName='messageid',PropertyValues=[{values}])"
    assert org.get(f"emails?$filter={condition}").status_code == 414
    shorter = condition.replace(values, values[: 43 * 700 - 1])
    assert org.get(f"emails?$select=subject&$filter={shorter}").json()["value"] == []


def test_more_than_five_hundred_conditions_are_refused(org: Organisation) -> None:
    chain = " or ".join(f"statecode eq {n % 3}" for n in range(501))
    refused(
        org.get(f"emails?$filter={chain}"), 400, "0x8004430c", "Number of conditions in query exceeded maximum limit."
    )


def test_definitions_tell_which_tables_and_columns_there_are(org: Organisation) -> None:
    body = org.get("EntityDefinitions(LogicalName='email')?$select=EntitySetName,PrimaryIdAttribute").json()
    assert (body["EntitySetName"], body["PrimaryIdAttribute"]) == ("emails", "activityid")
    assert org.get("EntityDefinitions(LogicalName='task')").status_code == 404
    column = org.get(
        "EntityDefinitions(LogicalName='email')/Attributes(LogicalName='subject')?$select=MaxLength"
    ).json()
    assert column["MaxLength"] == 800
    assert org.get("EntityDefinitions(LogicalName='email')/Attributes(LogicalName='colour')").status_code == 404
    names = org.get(
        "EntityDefinitions(LogicalName='email')/ManyToOneRelationships"
        "?$select=ReferencedEntity,ReferencingEntityNavigationPropertyName"
        "&$filter=ReferencingAttribute eq 'parentactivityid'"
    ).json()["value"]
    assert names == [{"ReferencedEntity": "email", "ReferencingEntityNavigationPropertyName": "parentactivityid"}]


def test_the_service_document_lists_the_entity_sets(org: Organisation) -> None:
    assert {"emails", "contacts", "leads"} <= {entry["name"] for entry in org.get("").json()["value"]}


def test_the_organisation_tells_its_limits(org: Organisation) -> None:
    (row,) = org.get("organizations?$select=maxuploadfilesize,blockedattachments").json()["value"]
    assert row["maxuploadfilesize"] == 5242880
    assert len(row["blockedattachments"].split(";")) == 97
