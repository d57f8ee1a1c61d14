"""Queue items of the Dataverse stand-in, over real sockets: an email in the queue of a shared mailbox."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.sandbox.test_dataverse import NOWHERE, Organisation, refused
from tests.sandbox.test_dataverse_batch import answers, batch, change_set, email, part, post

LOGICAL = "Microsoft.Dynamics.CRM.lookuplogicalname"


@pytest.fixture
def org() -> Iterator[Organisation]:
    with Organisation() as organisation:
        yield organisation


def a_queue(org: Organisation, **columns: object) -> str:
    return org.dataverse.add("queue", name="Service", emailaddress="service@co.io", **columns)


def item(activity: str, queue: str, **columns: object) -> dict[str, object]:
    return {"queueid@odata.bind": f"/queues({queue})", "objectid_email@odata.bind": f"/emails({activity})", **columns}


def test_a_queue_item_takes_over_what_it_says_of_its_email(org: Organisation) -> None:
    queue, activity, row = a_queue(org), org.mail(subject="Offer"), str(uuid4())
    answer = org.post(item(activity, queue, queueitemid=row), "queueitems")
    assert (answer.status_code, answer.headers["OData-EntityId"]) == (204, f"{org.root}queueitems({row})")
    found = org.get(f"queueitems({row})?$select=title,objecttypecode,enteredon,statecode,_queueid_value").json()
    assert (found["title"], found["objecttypecode"], found["statecode"]) == ("Offer", 4202, 0)
    assert (found["_queueid_value"], found["enteredon"][:2]) == (queue, "20")


def test_an_email_is_named_by_the_name_of_activitypointer_as_well(org: Organisation) -> None:
    queue, activity = a_queue(org), org.mail()
    body = {"queueid@odata.bind": f"/queues({queue})", "objectid_activitypointer@odata.bind": f"/emails({activity})"}
    assert org.post(body, "queueitems").status_code == 204
    (row,) = org.dataverse.rows("queueitem")
    assert (row["_objectid_value"], row["_objectid_type"]) == (activity, "email")


def test_a_title_keeps_three_hundred_letters_of_a_subject(org: Organisation) -> None:
    org.post(item(org.mail(subject="s" * 800), a_queue(org)), "queueitems")
    assert org.dataverse.rows("queueitem")[0]["title"] == "s" * 300


def test_what_the_platform_fills_is_not_the_clients_to_say(org: Organisation) -> None:
    answer = org.post(item(org.mail(), a_queue(org), title="mine", objecttypecode=4202, statecode=1), "queueitems")
    assert answer.status_code == 204
    (row,) = org.dataverse.rows("queueitem")
    assert (row["title"], row["statecode"]) == ("Hello", 0)


def test_a_second_item_with_the_same_id_is_412(org: Organisation) -> None:
    row, queue = str(uuid4()), a_queue(org)
    org.post(item(org.mail(), queue, queueitemid=row), "queueitems")
    refused(org.post(item(org.mail(), queue, queueitemid=row), "queueitems"), 412, "0x80040237", "duplicate key")


@pytest.mark.parametrize(
    ("missing", "code", "says"),
    [
        ("queueid@odata.bind", "0x80040528", "You must enter the target queue."),
        ("objectid_email@odata.bind", "0x80040529", "You must enter the name of the record"),
    ],
)
def test_an_item_needs_a_queue_and_something_in_it(org: Organisation, missing: str, code: str, says: str) -> None:
    body = item(org.mail(), a_queue(org))
    del body[missing]
    refused(org.post(body, "queueitems"), 400, code, says)


@pytest.mark.parametrize(
    ("bind", "address", "logical"),
    [
        ("queueid@odata.bind", f"/queues({NOWHERE})", "queue"),
        ("objectid_email@odata.bind", f"/emails({NOWHERE})", "email"),
    ],
)
def test_an_item_of_what_is_not_there_is_404(org: Organisation, bind: str, address: str, logical: str) -> None:
    body = item(org.mail(), a_queue(org)) | {bind: address}
    refused(org.post(body, "queueitems"), 404, "0x80040217", f"{logical} With Id = {NOWHERE} Does Not Exist")


def test_an_email_is_once_in_a_queue_and_only_one_received_is_in_several(org: Organisation) -> None:
    one, two = a_queue(org), a_queue(org)
    received, draft, sent = org.closed(), org.mail(), org.mail()
    org.patch(f"emails({sent})", {"statecode": 1, "statuscode": 3})
    for activity in (received, draft, sent):
        assert org.post(item(activity, one), "queueitems").status_code == 204
        refused(org.post(item(activity, one), "queueitems"), 400, "0x80040203", "in a queue already")
    assert org.post(item(received, two), "queueitems").status_code == 204
    for activity in (draft, sent):
        refused(org.post(item(activity, two), "queueitems"), 400, "0x80040203", "in a queue already")


def test_an_item_is_moved_by_no_update(org: Organisation) -> None:
    one, two, activity = a_queue(org), a_queue(org), org.mail()
    org.post(item(activity, one), "queueitems")
    (row,) = org.dataverse.rows("queueitem")
    path = f"queueitems({row['queueitemid']})"
    assert org.patch(path, {"queueid@odata.bind": f"/queues({two})", "priority": 5}).status_code == 204
    (row,) = org.dataverse.rows("queueitem")
    assert (row["_queueid_value"], row["priority"]) == (one, 5)


def test_completing_an_email_ends_what_it_was_in_a_queue_for(org: Organisation) -> None:
    activity = org.mail()
    org.post(item(activity, a_queue(org)), "queueitems")
    org.patch(f"emails({activity})", {"statecode": 1, "statuscode": 4})
    (row,) = org.dataverse.rows("queueitem")
    assert (row["statecode"], row["statuscode"]) == (1, 2)
    assert org.post(item(activity, str(row["_queueid_value"])), "queueitems").status_code == 204, "it may come again"
    org.patch(f"emails({activity})", {"statecode": 1, "statuscode": 4})
    assert [row["statecode"] for row in org.dataverse.rows("queueitem")] == [1, 0], "completing twice ends nothing"


def test_an_organisation_may_leave_items_active_when_their_email_is_completed(org: Organisation) -> None:
    org.dataverse.behaviour.queue_items_stay_active = True
    activity = org.mail()
    org.post(item(activity, a_queue(org)), "queueitems")
    org.patch(f"emails({activity})", {"statecode": 1, "statuscode": 4})
    assert org.dataverse.rows("queueitem")[0]["statecode"] == 0


def test_deleting_an_email_or_a_queue_deletes_its_items_and_no_email(org: Organisation) -> None:
    queue, first, second = a_queue(org), org.mail(), org.mail()
    for activity in (first, second):
        org.post(item(activity, queue), "queueitems")
    org.send("DELETE", f"emails({first})")
    (left,) = org.dataverse.rows("queueitem")
    assert left["_objectid_value"] == second
    org.send("DELETE", f"queues({queue})")
    assert org.dataverse.count("queueitem") == 0
    assert org.dataverse.email(second)


def test_deleting_an_item_leaves_its_email(org: Organisation) -> None:
    activity, row = org.mail(), str(uuid4())
    org.post(item(activity, a_queue(org), queueitemid=row), "queueitems")
    assert org.send("DELETE", f"queueitems({row})").status_code == 204
    assert org.dataverse.email(activity)


def test_an_email_is_made_completed_and_queued_in_one_change_set(org: Organisation) -> None:
    mail, queue, row = email(), a_queue(org), str(uuid4())
    response = post(
        org,
        batch(
            change_set(
                part("POST", "emails", mail, 1),
                part("PATCH", "$1", {"statecode": 1, "statuscode": 4}, 2),
                part(
                    "POST", "queueitems",
                    {"queueitemid": row, "queueid@odata.bind": f"/queues({queue})", "objectid_email@odata.bind": "$1"}, 3,
                ),
            )
        ),
    )  # fmt: skip
    assert [answer.status for answer in answers(response)] == [204, 204, 204]
    expanded = org.get(f"emails({mail['activityid']})?$select=subject&$expand=Email_QueueItem($select=title,statecode)")
    (found,) = expanded.json()["Email_QueueItem"]
    assert (found["queueitemid"], found["title"], found["statecode"]) == (row, "x", 0)


def test_the_owner_of_a_queue_is_read_with_its_table(org: Organisation) -> None:
    team = org.dataverse.add("team", name="Service team")
    queue = a_queue(org, ownerid=("team", team))
    a_queue(org, statecode=1)
    query = "queues?$select=_ownerid_value&$filter=statecode eq 0 and emailaddress eq 'SERVICE@co.io'"
    (found,) = org.get(query, Prefer=f'odata.include-annotations="{LOGICAL}"').json()["value"]
    assert (found["queueid"], found["_ownerid_value"]) == (queue, team)
    assert found[f"_ownerid_value@{LOGICAL}"] == "team"
    org.post(item(org.mail(), queue), "queueitems")
    (row,) = org.dataverse.rows("queueitem")
    assert (row["_ownerid_value"], row["_ownerid_type"]) == (team, "team")
