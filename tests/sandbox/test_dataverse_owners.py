"""Owners and privileges in the Dataverse stand-in, over real sockets: who may own an email, what a caller may do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from tests.sandbox.test_dataverse import NOWHERE, Organisation, attachment, refused
from tests.sandbox.test_dataverse_attachments import INITIALIZE, block_id, commit, target, upload
from tests.sandbox.test_dataverse_batch import answers, batch, change_set, email, part, post
from tests.sandbox.test_dataverse_queues import a_queue, item

OWNER = "ownerid@odata.bind"


@pytest.fixture
def org() -> Iterator[Organisation]:
    with Organisation() as organisation:
        yield organisation


# --- owners -----------------------------------------------------------------------------------------------------------


def unfit(org: Organisation, kind: str) -> str:
    """Somebody who can own no email, as the address to bind by."""
    table, fault = kind.split()
    owner = org.dataverse.add(table, **({"fullname": "Left"} if table == "systemuser" else {"name": "Left"}))
    match fault:
        case "disabled":
            org.dataverse.update(table, owner, isdisabled=True)
        case "roleless":
            org.dataverse.roleless.add(owner)
        case "unreading":
            org.dataverse.unreading.add(owner)
    return f"/{table}s({owner})"


@pytest.mark.parametrize(
    ("kind", "code", "says"),
    [
        pytest.param("systemuser disabled", "0x80040225", ["is disabled. Consider enabling this user."], id="a disabled user"),
        pytest.param(
            "systemuser roleless", "0x80042f09", ["has not been assigned any roles", "prvReadActivity"], id="a user without roles"
        ),
        pytest.param(
            "team roleless", "0x80040299", ["Principal team (Id=", "privilegeCount=0", "is missing prvReadActivity privilege"],
            id="a team without roles",
        ),
        pytest.param(
            "systemuser unreading", "0x80040299",
            ["Read Privilege Check For Owner failed with exception: Principal user (Id=", "type=8",
             "is missing prvReadActivity privilege (Id=", "on OTC=4200 for entity 'activitypointer'"],
            id="a user who reads no activities",
        ),
        pytest.param("team unreading", "0x80040299", ["type=9", "prvReadActivity"], id="a team that reads no activities"),
    ],
)  # fmt: skip
def test_who_may_not_own_an_email_is_refused_when_it_is_made_and_when_it_is_given(
    org: Organisation, kind: str, code: str, says: list[str]
) -> None:
    owner = unfit(org, kind)
    refused(org.post({"subject": "x", OWNER: owner}), 403, code, *says)
    assert org.dataverse.count("email") == 0
    activity = org.mail()
    refused(org.patch(f"emails({activity})", {OWNER: owner}), 403, code, *says)
    assert org.dataverse.rows("email", activityid=activity)[0]["_ownerid_value"] == org.dataverse.user_id


def test_an_organisation_may_say_these_things_otherwise(org: Organisation) -> None:
    disabled, roleless = unfit(org, "systemuser disabled"), unfit(org, "systemuser roleless")
    org.dataverse.behaviour.disabled_may_own = True
    org.dataverse.behaviour.roleless_users_lack_privileges = True
    org.dataverse.behaviour.unreading_owner_status = 400
    assert org.post({"subject": "x", OWNER: disabled}).status_code == 204
    refused(org.post({"subject": "x", OWNER: roleless}), 400, "0x80040299", "privilegeCount=0", "prvReadActivity")


def test_other_rows_are_owned_by_who_reads_no_activities_but_not_by_who_has_no_roles(org: Organisation) -> None:
    assert org.post({"lastname": "x", OWNER: unfit(org, "team unreading")}, "contacts").status_code == 204
    refused(
        org.post({"lastname": "x", OWNER: unfit(org, "team roleless")}, "contacts"), 403, "0x80040299", "prvReadContact"
    )


def test_an_owner_who_is_not_there_is_404(org: Organisation) -> None:
    refused(org.post({OWNER: f"/systemusers({NOWHERE})"}), 404, "0x80040217", "systemuser With Id")


def test_a_refused_owner_in_a_change_set_leaves_nothing(org: Organisation) -> None:
    mail = email(**{OWNER: unfit(org, "systemuser roleless")})
    done = part("PATCH", "$1", {"statecode": 1, "statuscode": 4}, 2)
    response = post(org, batch(change_set(part("POST", "emails", mail, 1), done)))
    assert (response.status_code, [answer.status for answer in answers(response)]) == (403, [403])
    assert org.dataverse.count("email") == 0


# --- privileges -------------------------------------------------------------------------------------------------------


def bound(org: Organisation, **binds: str) -> dict[str, object]:
    return {f"{name}@odata.bind": address for name, address in binds.items()}


def _regarding(org: Organisation, table: str, entity_set: str) -> requests.Response:
    row = org.dataverse.add(table)
    return org.post(bound(org, **{f"regardingobjectid_{table}_email": f"/{entity_set}({row})"}))


def _party(org: Organisation, table: str, row: str) -> requests.Response:
    return org.post(
        {"email_activity_parties": [{"participationtypemask": 2, **bound(org, **{f"partyid_{table}": row})}]}
    )


def _in_blocks(org: Organisation) -> requests.Response:
    """All steps, or those up to the first that is refused."""
    activity = org.dataverse.add("email")
    begun = org.post({"Target": target(activity)}, INITIALIZE)
    if not begun.ok:
        return begun
    token = begun.json()["FileContinuationToken"]
    upload(org, token, block_id(1), b"x")
    return commit(org, token, activity, [block_id(1)])


BOUND = {"prvCreateActivity", "prvAppendActivity"}

ACTS: dict[str, tuple[Callable[[Organisation], requests.Response], set[str]]] = {
    "an email alone": (lambda org: org.post({"subject": "x"}), {"prvCreateActivity"}),
    "an email that comes back": (
        lambda org: org.post({"subject": "x"}, Prefer="return=representation"), {"prvCreateActivity", "prvReadActivity"},
    ),
    "completing": (
        lambda org: org.patch(f"emails({org.dataverse.add('email')})", {"statecode": 1}), {"prvWriteActivity"},
    ),
    "deleting": (lambda org: org.send("DELETE", f"emails({org.dataverse.add('email')})"), {"prvDeleteActivity"}),
    "a parent": (
        lambda org: org.post(bound(org, parentactivityid=f"/emails({org.dataverse.add('email')})")),
        {*BOUND, "prvAppendToActivity", "prvReadActivity"},
    ),
    "regarding a contact": (
        lambda org: _regarding(org, "contact", "contacts"), {*BOUND, "prvAppendToContact", "prvReadContact"},
    ),
    "regarding a case": (
        lambda org: _regarding(org, "incident", "incidents"), {*BOUND, "prvAppendToIncident", "prvReadIncident"},
    ),
    "regarding an opportunity": (
        lambda org: _regarding(org, "opportunity", "opportunities"),
        {*BOUND, "prvAppendToOpportunity", "prvReadOpportunity"},
    ),
    "a user as party": (
        lambda org: _party(org, "systemuser", f"/systemusers({org.me})"), {*BOUND, "prvAppendToUser", "prvReadUser"},
    ),
    "a queue as party": (
        lambda org: _party(org, "queue", f"/queues({a_queue(org)})"), {*BOUND, "prvAppendToQueue", "prvReadQueue"},
    ),
    "another owner": (
        lambda org: org.post(bound(org, ownerid=f"/systemusers({org.me})")),
        {"prvCreateActivity", "prvAssignActivity", "prvReadUser"},
    ),
    "a team as owner": (
        lambda org: org.post(bound(org, ownerid=f"/teams({org.dataverse.add('team')})")),
        {"prvCreateActivity", "prvAssignActivity", "prvReadTeam"},
    ),
    "oneself as owner": (
        lambda org: org.post(bound(org, ownerid=f"/systemusers({org.dataverse.user_id})")), {"prvCreateActivity"},
    ),
    "an earlier date": (
        lambda org: org.post({"overriddencreatedon": "2001-01-01T00:00:00Z"}),
        {"prvCreateActivity", "prvOverrideCreatedOnCreatedBy"},
    ),
    "an attachment": (
        lambda org: org.post(attachment(org.dataverse.add("email")), "activitymimeattachments"),
        {"prvReadActivity", "prvWriteActivity"},
    ),
    "an attachment in blocks": (_in_blocks, {"prvReadActivity", "prvWriteActivity"}),
    "a queue item": (
        lambda org: org.post(item(org.dataverse.add("email"), a_queue(org)), "queueitems"),
        {"prvAppendToQueue", "prvReadQueue", "prvAppendToActivity", "prvReadActivity"},
    ),
    "reading emails with parties": (
        lambda org: org.get("emails?$select=subject&$expand=email_activity_parties($select=addressused)"), {"prvReadActivity"},
    ),
    "reading an email and who it regards": (
        lambda org: org.get("emails?$select=subject&$expand=regardingobjectid_contact_email($select=fullname)"),
        {"prvReadActivity", "prvReadContact"},
    ),
    "reading contacts": (lambda org: org.get("contacts?$select=fullname"), {"prvReadContact"}),
    "counting leads": (lambda org: org.get("leads/$count"), {"prvReadLead"}),
    "reading users": (lambda org: org.get(f"systemusers({org.me})?$select=fullname"), {"prvReadUser"}),
    "reading the organisation": (lambda org: org.get("organizations?$select=name"), {"prvReadOrganization"}),
    "reading queue items": (lambda org: org.get("queueitems?$select=title"), {"prvReadQueue"}),
    "reading files": (lambda org: org.get("attachments?$select=filename"), {"prvReadActivity"}),
    "reading definitions": (
        lambda org: org.get("EntityDefinitions(LogicalName='email')/ManyToOneRelationships"),
        {"prvReadEntity", "prvReadRelationship"},
    ),
    "reading columns": (
        lambda org: org.get("EntityDefinitions(LogicalName='email')/Attributes(LogicalName='subject')"),
        {"prvReadEntity", "prvReadAttribute"},
    ),
    "acting for another": (
        lambda org: org.post({"subject": "x"}, MSCRMCallerID=org.me), {"prvCreateActivity", "prvActOnBehalfOfAnotherUser"},
    ),
    "asking who one is": (lambda org: org.get("WhoAmI"), set()),
}  # fmt: skip


@pytest.mark.parametrize("act", ACTS)
def test_an_act_uses_these_privileges_and_no_others(org: Organisation, act: str) -> None:
    do, needed = ACTS[act]
    org.dataverse.privileges = needed
    answer = do(org)
    assert answer.ok, answer.text
    assert org.dataverse.used_privileges == needed


@pytest.mark.parametrize(
    ("act", "privilege"),
    [
        pytest.param(act, name, id=f"{act} without {name}")
        for act, (_, needed) in ACTS.items()
        for name in sorted(needed)
    ],
)
def test_an_act_without_one_of_its_privileges_is_403_and_names_it(org: Organisation, act: str, privilege: str) -> None:
    do, needed = ACTS[act]
    org.dataverse.privileges = needed - {privilege}
    refused(
        do(org), 403, "0x80040220", f"Principal user (Id={org.dataverse.user_id}", f"is missing {privilege} privilege"
    )
    assert privilege in org.dataverse.used_privileges


def test_a_custom_table_has_privileges_of_its_own_name(org: Organisation) -> None:
    tables = {"new_project": {"set": "new_projects", "name": "new_name", "privilege": "new_Project",
                              "columns": {"new_name": {"type": "text", "max": 100}}}}  # fmt: skip
    with Organisation(tables=tables, privileges={"prvReadnew_Project"}) as own:
        assert own.get("new_projects?$select=new_name").status_code == 200
        refused(own.post({"new_name": "x"}, "new_projects"), 403, "0x80040220", "prvCreatenew_Project", "'new_project'")


def test_a_missing_privilege_in_a_change_set_leaves_nothing(org: Organisation) -> None:
    org.dataverse.privileges = {"prvCreateActivity"}
    done = part("PATCH", "$1", {"statecode": 1, "statuscode": 4}, 2)
    response = post(org, batch(change_set(part("POST", "emails", email(), 1), done)))
    assert (response.status_code, [answer.status for answer in answers(response)]) == (403, [403])
    assert org.dataverse.count("email") == 0


def test_every_privilege_is_there_unless_some_are_named_and_set_up_needs_none(org: Organisation) -> None:
    assert org.dataverse.privileges is None
    org.dataverse.privileges = ()
    org.dataverse.update("email", org.dataverse.add("email"), subject="x")
    assert org.dataverse.used_privileges == set()
    refused(org.get("emails"), 403, "0x80040220", "prvReadActivity")
    org.dataverse.used_privileges.clear()
    org.dataverse.privileges = None
    assert org.get("emails").status_code == 200
    assert org.dataverse.used_privileges == {"prvReadActivity"}
