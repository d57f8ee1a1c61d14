"""Writing to the Dataverse stand-in, over real sockets: what it accepts, what it refuses, what it fills by itself."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import pytest
import requests

from sandbox.dataverse import DataverseStandIn
from sandbox.servers import Server

NOWHERE = "00000000-0000-0000-0000-00000000dead"


class Organisation:
    """A stand-in with a few people in it, its server, and a client with a token."""

    def __init__(self, **switches: Any) -> None:
        self.dataverse = DataverseStandIn(lambda token: token == "good", **switches)
        self.server = Server(self.dataverse.app)
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = "Bearer good"
        self.ann = self.dataverse.add("contact", firstname="Ann", lastname="Lee", emailaddress1="ann@x.io")
        self.firm = self.dataverse.add("account", name="Firm", emailaddress1="info@x.io")
        self.me = self.dataverse.add("systemuser", fullname="Me", internalemailaddress="me@co.io")

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.session.close()
        self.server.stop()

    @property
    def root(self) -> str:
        return f"{self.server.url}/api/data/v9.2/"

    def send(self, method: str, path: str, body: object = None, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is None:
            return self.session.request(method, self.root + path, headers=named)
        return self.session.request(method, self.root + path, json=body, headers=named)

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.send("GET", path, **headers)

    def post(self, body: object, table: str = "emails", **headers: str) -> requests.Response:
        return self.send("POST", table, body, **headers)

    def patch(self, path: str, body: object, **headers: str) -> requests.Response:
        return self.send("PATCH", path, body, **headers)

    def mail(self, **columns: Any) -> str:
        """An open email, made through the API; its id."""
        body = {"activityid": str(uuid4()), "subject": "Hello", **columns}
        answer = self.post(body)
        assert answer.status_code == 204, answer.text
        return str(body["activityid"])

    def closed(self, **columns: Any) -> str:
        """An email completed as received; its id."""
        activity = self.mail(**columns)
        assert self.patch(f"emails({activity})", {"statecode": 1, "statuscode": 4}).status_code == 204
        return activity


def refused(answer: requests.Response, status: int, code: str, *says: str) -> None:
    """The answer is this refusal, in OData's shape."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    for words in says:
        assert words in error["message"]


@pytest.fixture
def org() -> Iterator[Organisation]:
    with Organisation() as organisation:
        yield organisation


# --- who may come in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization", [None, "Bearer bad", "good", "Basic good"], ids=["none", "unknown", "no scheme", "other scheme"]
)
def test_without_a_good_bearer_token_the_answer_is_401(org: Organisation, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    answer = requests.get(org.root + "WhoAmI", headers=headers, timeout=5)
    assert answer.status_code == 401
    assert answer.json()["error"]["message"]
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_who_am_i_names_the_application_user_and_cannot_be_posted(org: Organisation) -> None:
    answer = org.get("WhoAmI()").json()
    assert answer["UserId"] == org.dataverse.user_id
    assert answer["OrganizationId"] == org.dataverse.organization_id
    refused(org.post({}, "WhoAmI"), 404, "", "No HTTP resource was found that matches the request URI")


def test_every_answer_carries_the_services_headers(org: Organisation) -> None:
    for answer in (org.get("WhoAmI"), org.get("nothing")):
        assert answer.headers["OData-Version"] == "4.0"
        assert answer.headers["x-ms-service-request-id"]
        assert answer.headers["REQ_ID"]
        assert answer.headers["x-ms-dop-hint"] == "4"
        assert answer.headers["x-ms-ratelimit-burst-remaining-xrm-requests"] == "5999"
        assert answer.headers["x-ms-ratelimit-time-remaining-xrm-requests"] == "1,200.00"
        assert answer.headers["Set-Cookie"].startswith("ARRAffinity=")


def test_the_log_tells_what_came_and_with_which_cookie(org: Organisation) -> None:
    org.get("WhoAmI")
    org.get("contacts?$top=1", Cookie="ARRAffinity=1")
    first, second = org.dataverse.log
    assert (first.method, first.path, first.cookie, first.parts) == ("GET", "/api/data/v9.2/WhoAmI", None, 0)
    assert (second.query, second.cookie, second.status) == ("$top=1", "ARRAffinity=1", 200)
    org.dataverse.clear_log()
    assert org.dataverse.log == ()
    assert org.dataverse.requests == 2


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nothing", 404),
        ("GET", "Emails", 404),
        ("GET", "email", 404),
        ("PUT", f"emails({NOWHERE})", 405),
        ("DELETE", "emails", 405),
        ("GET", f"emails({NOWHERE})", 404),
        ("GET", f"emails('{NOWHERE}')", 400),
        ("GET", "emails(1)", 400),
        ("GET", f"contacts(emailaddress1='{NOWHERE}')", 400),
        ("POST", "emails/Microsoft.Dynamics.CRM.CreateMultiple", 404),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(org: Organisation, method: str, path: str, status: int) -> None:
    assert org.send(method, path, {} if method == "POST" else None).status_code == status


def test_an_unknown_entity_set_is_named(org: Organisation) -> None:
    refused(org.get("leeds"), 404, "0x80060888", "Resource not found for the segment 'leeds'.")


# --- creating an email ------------------------------------------------------------------------------------------------


def test_an_email_lands_with_its_parties_regarding_and_owner(org: Organisation) -> None:
    activity = str(uuid4())
    answer = org.post(
        {
            "activityid": activity,
            "subject": "Offer",
            "description": "<p>Hello</p>",
            "directioncode": False,
            "messageid": "<a@x.io>",
            "sortdate": "2025-01-02T03:04:05Z",
            "regardingobjectid_contact_email@odata.bind": f"/contacts({org.ann})",
            "email_activity_parties": [
                {
                    "participationtypemask": 1,
                    "partyid_contact@odata.bind": f"/contacts({org.ann})",
                    "addressused": "A@x.io",
                },
                {"participationtypemask": 2, "partyid_systemuser@odata.bind": f"systemusers({org.me})"},
                {"participationtypemask": 3, "addressused": "z@z.io", "unresolvedpartyname": "Zoe"},
            ],
        }
    )
    assert answer.status_code == 204
    assert answer.content == b""
    assert answer.headers["OData-EntityId"] == f"{org.root}emails({activity})"
    mail = org.dataverse.email(activity)
    assert mail is not None
    assert (mail["statecode"], mail["statuscode"], mail["directioncode"]) == (0, 1, False)
    assert (mail["_regardingobjectid_value"], mail["_regardingobjectid_type"]) == (org.ann, "contact")
    assert (mail["_ownerid_value"], mail["_createdby_value"]) == (org.dataverse.user_id, org.dataverse.user_id)
    assert mail["createdon"] == mail["modifiedon"]
    assert [
        (
            p["participationtypemask"],
            p["_partyid_type"],
            p["_partyid_value"],
            p["addressused"],
            p["unresolvedpartyname"],
        )
        for p in org.dataverse.parties(activity)
    ] == [
        (1, "contact", org.ann, "A@x.io", None),
        (2, "systemuser", org.me, "me@co.io", None),
        (3, None, None, "z@z.io", "Zoe"),
        (8, "contact", org.ann, None, None),
        (9, "systemuser", org.dataverse.user_id, None, None),
    ]


def test_defaults_are_the_services_own(org: Organisation) -> None:
    mail = org.dataverse.email(org.mail())
    assert mail is not None
    assert (mail["directioncode"], mail["prioritycode"], mail["notifications"]) == (True, 1, 0)
    assert (mail["attachmentcount"], mail["activitytypecode"], mail["senton"]) == (0, "email", None)


def test_the_platform_chooses_an_id_when_none_is_given(org: Organisation) -> None:
    answer = org.post({"subject": "x"})
    activity = answer.headers["OData-EntityId"].partition("(")[2][:-1]
    assert org.dataverse.email(activity)


def test_with_representation_the_row_comes_back_and_no_address(org: Organisation) -> None:
    answer = org.send("POST", "emails?$select=subject", {"subject": "x"}, Prefer="return=representation")
    assert answer.status_code == 201
    assert "OData-EntityId" not in answer.headers
    body = answer.json()
    assert body["subject"] == "x"
    assert set(body) == {"@odata.context", "@odata.etag", "subject", "activityid"}


def test_a_second_row_with_the_same_id_is_412(org: Organisation) -> None:
    activity = org.mail(subject="first")
    refused(
        org.post({"activityid": activity.upper(), "subject": "second"}),
        412,
        "0x80040237",
        "Cannot insert duplicate key",
    )
    assert org.dataverse.rows("email", activityid=activity)[0]["subject"] == "first"
    assert org.dataverse.count("email") == 1


def test_two_rows_may_share_a_message_id(org: Organisation) -> None:
    org.mail(messageid="<a@x>")
    org.mail(messageid="<a@x>")
    assert org.dataverse.count("email", messageid="<A@X>") == 2


def test_an_organisation_may_hold_message_ids_unique_by_direction() -> None:
    with Organisation(messageid_unique=True) as org:
        org.mail(messageid="<a@x>", directioncode=False)
        org.mail(messageid="<a@x>", directioncode=True)
        refused(org.post({"messageid": "<A@x>", "directioncode": False}), 412, "0x80060892", "unique values")
        other = org.mail(directioncode=False)
        assert org.patch(f"emails({other})", {"messageid": "<a@x>"}).status_code == 412


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(
            {"colour": "red"},
            "The property 'colour' does not exist on type 'Microsoft.Dynamics.CRM.email'.",
            id="column",
        ),
        pytest.param({"Subject": "x"}, "The property 'Subject' does not exist", id="column in another case"),
        pytest.param({"regardingobjectid": NOWHERE}, "The property 'regardingobjectid'", id="lookup by its bare name"),
        pytest.param({"to": ["a@x"]}, "Does not support untyped value in non-open type", id="recipients as a list"),
        pytest.param(
            {"Email_activity_parties": []},
            "Does not support untyped value in non-open type",
            id="parties in another case",
        ),
        pytest.param(
            {"regardingobjectid_Contact_email@odata.bind": "/contacts(x)"},
            "An undeclared property 'regardingobjectid_Contact_email' which only has property annotations",
            id="bind name in another case",
        ),
        pytest.param(
            {"regardingobjectid@odata.bind": "/contacts(x)"}, "'regardingobjectid'", id="bind name without table"
        ),
        pytest.param({"ParentActivityId@odata.bind": "/emails(x)"}, "'ParentActivityId'", id="parent in pascal case"),
        pytest.param(
            {"correlatedactivityid@odata.bind": "/emails(x)"}, "'correlatedactivityid'", id="correlated in lower case"
        ),
        pytest.param({"colour@OData.Community.Display.V1.FormattedValue": "x"}, "'colour'", id="annotation of nothing"),
        pytest.param({"@odata.type": "Microsoft.Dynamics.CRM.task"}, "is not", id="another type"),
        pytest.param(
            {"subject": 5}, "Cannot convert the literal '5' to the expected type 'Edm.String'", id="number for text"
        ),
        pytest.param({"directioncode": "false"}, "expected type 'Edm.Boolean'", id="text for boolean"),
        pytest.param({"activityid": "abc"}, "expected type 'Edm.Guid'", id="no guid"),
        pytest.param({"sortdate": "2025-01-02"}, "expected type 'Edm.DateTimeOffset'", id="no time"),
        pytest.param({"email_activity_parties": {}}, "must be an array", id="parties as an object"),
        pytest.param(
            {"email_activity_mime_attachment": [{}]}, "cannot be created together", id="attachments with the mail"
        ),
    ],
)
def test_what_is_not_declared_is_refused(org: Organisation, body: dict[str, object], says: str) -> None:
    answer = org.post({"subject": "x", **body})
    refused(answer, 400, "0x80048d19", "An error occurred while validating input parameters", says)
    assert org.dataverse.count("email") == 0


def test_read_only_columns_are_ignored_in_silence(org: Organisation) -> None:
    activity = org.mail(
        senton="2025-01-02T03:04:05Z", inreplyto="<a@x>", createdon="2001-01-01T00:00:00Z", attachmentcount=9,
        conversationindex="x", replycount=3, versionnumber=1, _regardingobjectid_value=NOWHERE,
    )  # fmt: skip
    mail = org.dataverse.email(activity)
    assert mail is not None
    assert (mail["senton"], mail["inreplyto"], mail["attachmentcount"], mail["replycount"]) == (None, None, 0, None)
    assert mail["_regardingobjectid_value"] is None
    assert str(mail["createdon"]) > "2001"


@pytest.mark.parametrize(
    ("column", "limit"),
    [
        ("subject", 800),
        ("sender", 250),
        ("torecipients", 500),
        ("messageid", 320),
        ("submittedby", 250),
        ("mimetype", 256),
        ("trackingtoken", 50),
        ("category", 250),
        ("internetmessageheaders", 500),
    ],
)
def test_a_text_is_refused_one_unit_over_its_limit(org: Organisation, column: str, limit: int) -> None:
    org.mail(**{column: "x" * limit})
    org.mail(**{column: "😀" * (limit // 2)})
    message = f"The length of the '{column}' attribute of the 'email' entity exceeded the maximum allowed length of '{limit}'."
    refused(org.post({column: "x" * (limit + 1)}), 400, "0x80044331", "A validation error occurred.  ", message)
    refused(org.post({column: "😀" * (limit // 2 + 1)}), 400, "0x80044331", message)


def test_a_control_character_is_refused(org: Organisation) -> None:
    refused(org.post({"subject": "a\x00b"}), 400, "0x80040278", "'subject'")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param("application/json", b"{", id="half an object"),
        pytest.param("application/json", b"", id="nothing"),
        pytest.param("application/json", b"[]", id="an array"),
        pytest.param("application/json", b'{"subject":"\xff"}', id="not UTF-8"),
        pytest.param("application/json", b'{"subject":"a\x00b"}', id="a raw NUL"),
        pytest.param("application/json", b'{"subject":NaN}', id="NaN"),
        pytest.param("text/plain", b'{"subject":"x"}', id="text"),
        pytest.param("application/x-www-form-urlencoded", b"subject=x", id="a form"),
        pytest.param(None, b'{"subject":"x"}', id="no content type"),
    ],
)
def test_what_is_not_a_json_object_is_refused(org: Organisation, content_type: str | None, body: bytes) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = org.session.post(org.root + "emails", data=body, headers=headers)
    refused(answer, 400, "0x80048d19")


@pytest.mark.parametrize(
    "bind",
    ["regardingobjectid_contact_email", "regardingobjectid_contact"],
    ids=["the email's own name", "the inherited name"],
)
def test_both_names_of_regarding_are_declared(org: Organisation, bind: str) -> None:
    activity = org.mail(**{f"{bind}@odata.bind": f"/contacts({org.ann})"})
    assert org.dataverse.rows("email", activityid=activity)[0]["_regardingobjectid_value"] == org.ann


@pytest.mark.parametrize(
    "form", ["/contacts({})", "contacts({})", "{root}contacts({})", "/contacts(contactid={})"], ids=str
)
def test_a_bind_names_its_row_in_several_ways(org: Organisation, form: str) -> None:
    address = form.format(org.ann.upper(), root=org.root)
    org.mail(**{"regardingobjectid_contact_email@odata.bind": address})


@pytest.mark.parametrize(
    ("bind", "address", "status", "code", "says"),
    [
        pytest.param(
            "regardingobjectid_contact_email", f"/contacts({NOWHERE})", 404, "0x80040217",
            f"contact With Id = {NOWHERE} Does Not Exist", id="no such row",
        ),
        pytest.param("parentactivityid", f"/emails({NOWHERE})", 404, "0x80040217", "email With Id", id="no such parent"),
        pytest.param("regardingobjectid_contact_email", "/accounts({firm})", 400, "0x80048d19", "account", id="another table's row"),
        pytest.param(
            "regardingobjectid_contact_email", f"/kontakte({NOWHERE})", 400, "0x80060888", "segment 'kontakte'", id="unknown set"
        ),
        pytest.param("regardingobjectid_contact_email", "/contacts('{ann}')", 400, "0x80060888", "GUID", id="quoted key"),
        pytest.param("regardingobjectid_contact_email", "{ann}", 400, "0x80060888", "row", id="id alone"),
        pytest.param("regardingobjectid_contact_email", 5, 400, "0x80048d19", "address of one row", id="a number"),
        pytest.param("regardingobjectid_contact_email", "$1", 400, "0x80048d19", "Content-ID Reference: '$1'", id="a reference"),
    ],
)  # fmt: skip
def test_a_bind_that_leads_nowhere_is_refused(
    org: Organisation, bind: str, address: object, status: int, code: str, says: str
) -> None:
    where = address.format(ann=org.ann, firm=org.firm) if isinstance(address, str) else address
    refused(org.post({f"{bind}@odata.bind": where}), status, code, says)
    assert org.dataverse.count("email") == 0


def test_regarding_is_bound_once(org: Organisation) -> None:
    answer = org.post(
        {
            "regardingobjectid_contact_email@odata.bind": f"/contacts({org.ann})",
            "regardingobjectid_account_email@odata.bind": f"/accounts({org.firm})",
        }
    )
    refused(answer, 400, "0x80048d19", "bound more than once")


def test_a_reply_is_bound_to_its_parent(org: Organisation) -> None:
    parent = org.mail()
    reply = org.mail(
        **{
            "parentactivityid@odata.bind": f"/emails({parent})",
            "CorrelatedActivityId_Email@odata.bind": f"/emails({parent})",
        }
    )
    row = org.dataverse.rows("email", activityid=reply)[0]
    assert (row["_parentactivityid_value"], row["_correlatedactivityid_value"]) == (parent, parent)


def test_a_lookup_that_is_read_only_is_ignored(org: Organisation) -> None:
    activity = org.mail(**{"emailsender_contact@odata.bind": f"/contacts({org.ann})"})
    assert org.dataverse.rows("email", activityid=activity)[0]["_emailsender_value"] is None


def test_an_owner_may_be_a_user_or_a_team_and_nobody_else(org: Organisation) -> None:
    team = org.dataverse.add("team", name="Team")
    queue = org.dataverse.add("queue", name="Queue")
    activity = org.mail(**{"ownerid@odata.bind": f"/teams({team})"})
    row = org.dataverse.rows("email", activityid=activity)[0]
    assert (row["_ownerid_type"], row["_owningteam_value"], row["_owninguser_value"]) == ("team", team, None)
    assert [p["_partyid_value"] for p in org.dataverse.parties(activity) if p["participationtypemask"] == 9] == [team]
    refused(org.post({"ownerid@odata.bind": f"/queues({queue})"}), 400, "0x80048d19", "expected")
    refused(org.post({"ownerid@odata.bind": None}), 400, "0x80048d19", "cannot be null")


def test_a_mail_can_be_given_to_another_owner(org: Organisation) -> None:
    activity = org.mail()
    assert org.patch(f"emails({activity})", {"ownerid@odata.bind": f"/systemusers({org.me})"}).status_code == 204
    assert org.dataverse.rows("email", activityid=activity)[0]["_owninguser_value"] == org.me
    assert [p["_partyid_value"] for p in org.dataverse.parties(activity)] == [org.me]


def test_a_date_of_creation_can_be_moved_at_creation_only(org: Organisation) -> None:
    activity = org.mail(overriddencreatedon="2001-02-03T04:05:06Z")
    assert org.dataverse.rows("email", activityid=activity)[0]["createdon"] == "2001-02-03T00:00:00Z"
    org.patch(f"emails({activity})", {"overriddencreatedon": "1999-01-01T00:00:00Z"})
    assert org.dataverse.rows("email", activityid=activity)[0]["createdon"] == "2001-02-03T00:00:00Z"


def test_without_the_sales_app_a_lead_cannot_be_named() -> None:
    with Organisation(sales=False) as org:
        for name in ("leads", "opportunities", "incidents"):
            refused(org.get(name), 404, "0x80060888", f"Resource not found for the segment '{name}'.")
        bind = {"regardingobjectid_lead_email@odata.bind": f"/leads({NOWHERE})"}
        refused(org.post(bind), 400, "0x80048d19", "undeclared property 'regardingobjectid_lead_email'")
        party = {"participationtypemask": 1, "partyid_lead@odata.bind": f"/leads({NOWHERE})"}
        refused(org.post({"email_activity_parties": [party]}), 400, "0x80048d19", "'partyid_lead'")


def test_a_custom_column_is_declared_by_its_organisation() -> None:
    custom = {"email": {"new_nylasid": {"type": "text", "max": 10, "index": True}}}
    with Organisation(custom=custom) as org:
        org.mail(new_nylasid="1234567890")
        refused(org.post({"new_nylasid": "12345678901"}), 400, "0x80044331", "new_nylasid")
        assert len(org.get("emails?$filter=new_nylasid eq '1234567890'&$select=new_nylasid").json()["value"]) == 1


def test_acting_for_another_user_makes_that_user_owner(org: Organisation) -> None:
    answer = org.post({"subject": "x"}, MSCRMCallerID=org.me, Prefer="return=representation").json()
    assert (answer["_ownerid_value"], answer["_createdby_value"]) == (org.me, org.me)
    assert answer["_createdonbehalfby_value"] == org.dataverse.user_id
    assert org.post({"subject": "x"}, CallerObjectId=NOWHERE).status_code == 403


# --- parties ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parties", "code", "says"),
    [
        pytest.param([{"participationtypemask": 5, "addressused": "a@x"}], "0x80040203", "'5'", id="an attendee"),
        pytest.param([{"participationtypemask": 8, "addressused": "a@x"}], "0x80040203", "'8'", id="the platform's regarding"),
        pytest.param([{"participationtypemask": 99, "addressused": "a@x"}], "0x8004431a", "outside", id="no mask at all"),
        pytest.param([{"addressused": "a@x"}], "0x80040203", "participationtypemask", id="no role"),
        pytest.param([{"participationtypemask": 2}], "0x80040203", "addressused", id="neither row nor address"),
        pytest.param([{"participationtypemask": 2, "addressused": ""}], "0x80040203", "addressused", id="an empty address"),
        pytest.param(
            [{"participationtypemask": 1, "addressused": "a@x"}, {"participationtypemask": 1, "addressused": "b@x"}],
            "0x80040203", "more than one sender", id="two senders",
        ),
        pytest.param(
            [{"participationtypemask": 2, "partyid_contact@odata.bind": "/contacts({ann})",
              "partyid_account@odata.bind": "/accounts({firm})"}],
            "0x80048d19", "bound more than once", id="two rows in one party",
        ),
        pytest.param(
            [{"participationtypemask": 2, "partyid@odata.bind": "/contacts({ann})"}], "0x80048d19", "'partyid'",
            id="bind name without table",
        ),
        pytest.param(
            [{"participationtypemask": 2, "partyid_Contact@odata.bind": "/contacts({ann})"}], "0x80048d19",
            "'partyid_Contact'", id="bind name in another case",
        ),
        pytest.param(
            [{"participationtypemask": 2, "partyid_contact@odata.bind": "/accounts({firm})"}], "0x80048d19",
            "expected 'Microsoft.Dynamics.CRM.contact'", id="another table's row",
        ),
        pytest.param([{"participationtypemask": 2, "addressused": "a" * 321}], "0x80044331", "'320'", id="321 letters"),
        pytest.param(
            [{"participationtypemask": 2, "addressused": "a@x", "unresolvedpartyname": "n" * 201}], "0x80044331", "'200'",
            id="a name of 201",
        ),
        pytest.param([{"participationtypemask": "2", "addressused": "a@x"}], "0x80048d19", "Edm.Int32", id="mask as text"),
        pytest.param([{"participationtypemask": 2, "address": "a@x"}], "0x80048d19", "'address'", id="an unknown column"),
        pytest.param(["a@x"], "0x80048d19", "array of objects", id="an address alone"),
    ],
)  # fmt: skip
def test_a_party_is_refused_and_nothing_is_written(org: Organisation, parties: list[Any], code: str, says: str) -> None:
    for party in parties:
        for name, value in party.items() if isinstance(party, dict) else ():
            party[name] = value.format(ann=org.ann, firm=org.firm) if isinstance(value, str) else value
    refused(org.post({"subject": "x", "email_activity_parties": parties}), 400, code, says)
    assert org.dataverse.count("email") == org.dataverse.count("activityparty") == 0


def test_a_party_that_does_not_exist_is_404(org: Organisation) -> None:
    party = {"participationtypemask": 2, "partyid_contact@odata.bind": f"/contacts({NOWHERE})"}
    refused(org.post({"email_activity_parties": [party]}), 404, "0x80040217", "contact With Id")


def test_a_sender_may_be_a_contact_and_a_hundred_recipients_are_none_too_many(org: Organisation) -> None:
    parties = [{"participationtypemask": 1, "partyid_contact@odata.bind": f"/contacts({org.ann})"}]
    parties += [{"participationtypemask": 2 + n % 3, "addressused": f"r{n}@z.io"} for n in range(150)]
    assert len(org.dataverse.parties(org.mail(email_activity_parties=parties))) == 152


def test_parties_cannot_be_written_by_themselves(org: Organisation) -> None:
    activity = org.mail(email_activity_parties=[{"participationtypemask": 2, "addressused": "a@x"}])
    party = org.dataverse.parties(activity)[0]["activitypartyid"]
    refused(org.post({"addressused": "x"}, "activityparties"), 400, "0x80040800", "'Create' method does not support")
    refused(org.patch(f"activityparties({party})", {"addressused": "x"}), 400, "0x80040800", "'Update'")
    refused(org.send("DELETE", f"activityparties({party})"), 400, "0x80040800", "'Delete'")


def test_a_patch_replaces_the_parties_of_an_open_mail_but_not_the_platforms(org: Organisation) -> None:
    activity = org.mail(email_activity_parties=[{"participationtypemask": 2, "addressused": "a@x"}])
    body = {"email_activity_parties": [{"participationtypemask": 1, "addressused": "b@x"}]}
    assert org.patch(f"emails({activity})", body).status_code == 204
    masks = sorted((p["participationtypemask"], p["addressused"]) for p in org.dataverse.parties(activity))
    assert masks == [(1, "b@x"), (9, None)]


def test_a_new_regarding_replaces_the_platforms_party(org: Organisation) -> None:
    activity = org.mail(**{"regardingobjectid_contact_email@odata.bind": f"/contacts({org.ann})"})
    org.patch(f"emails({activity})", {"regardingobjectid_account_email@odata.bind": f"/accounts({org.firm})"})
    regarding = [p["_partyid_value"] for p in org.dataverse.parties(activity) if p["participationtypemask"] == 8]
    assert regarding == [org.firm]
    org.patch(f"emails({activity})", {"regardingobjectid_account_email@odata.bind": None})
    assert org.dataverse.rows("email", activityid=activity)[0]["_regardingobjectid_value"] is None


# --- state ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state", [{"statecode": 1}, {"statecode": 1, "statuscode": 4}, {"statecode": 2}, {"statuscode": 1}], ids=str
)
def test_a_mail_is_born_as_an_open_draft_whatever_state_is_asked_for(org: Organisation, state: dict[str, int]) -> None:
    row = org.dataverse.rows("email", activityid=org.mail(**state))[0]
    assert (row["statecode"], row["statuscode"]) == (0, 1)


def test_a_mail_may_be_born_failed_since_failed_is_an_open_status(org: Organisation) -> None:
    assert org.dataverse.rows("email", activityid=org.mail(statuscode=8))[0]["statuscode"] == 8


@pytest.mark.parametrize("status", [2, 3, 4, 5, 6, 7])
def test_an_inactive_status_without_its_state_is_refused_at_birth(org: Organisation, status: int) -> None:
    says = f"{status} is not a valid status code for state code EmailState.Open"
    refused(org.post({"statuscode": status}), 400, "0x80048408", says)


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        pytest.param({"statecode": 1, "statuscode": 4}, (1, 4), id="received"),
        pytest.param({"statecode": 1, "statuscode": 3}, (1, 3), id="sent"),
        pytest.param({"statecode": 1}, (1, 2), id="completed alone lands on Completed"),
        pytest.param({"statecode": 2}, (2, 5), id="cancelled"),
        pytest.param({"statecode": 1, "statuscode": 6}, (1, 6), id="pending send"),
        pytest.param({"statuscode": 8}, (0, 8), id="failed"),
        pytest.param({"statecode": 0}, (0, 1), id="nothing changes"),
    ],
)
def test_a_state_and_its_status_are_taken(org: Organisation, body: dict[str, int], kept: tuple[int, int]) -> None:
    activity = org.mail()
    assert org.patch(f"emails({activity})", body).status_code == 204
    row = org.dataverse.rows("email", activityid=activity)[0]
    assert (row["statecode"], row["statuscode"]) == kept


@pytest.mark.parametrize(
    "body",
    [
        {"statecode": 1, "statuscode": 1},
        {"statecode": 0, "statuscode": 4},
        {"statecode": 2, "statuscode": 3},
        {"statuscode": 4},
        {"statecode": 1, "statuscode": 8},
    ],
    ids=str,
)
def test_a_status_of_another_state_is_refused(org: Organisation, body: dict[str, int]) -> None:
    activity = org.mail()
    refused(org.patch(f"emails({activity})", body), 400, "0x80048408", "is not a valid status code for state code")
    assert org.dataverse.rows("email", activityid=activity)[0]["statecode"] == 0


@pytest.mark.parametrize(
    "body", [{"statecode": 7}, {"statuscode": 99}, {"statecode": None}, {"statuscode": None}], ids=str
)
def test_a_state_that_is_none_is_refused(org: Organisation, body: dict[str, object]) -> None:
    assert org.patch(f"emails({org.mail()})", body).status_code == 400


def test_completing_fills_the_end_and_sending_the_time_of_sending(org: Organisation) -> None:
    received, sent = org.closed(), org.mail(actualend="2025-01-02T23:00:00Z")
    org.patch(f"emails({sent})", {"statecode": 1, "statuscode": 3})
    first, second = (org.dataverse.rows("email", activityid=activity)[0] for activity in (received, sent))
    assert first["senton"] is None
    assert str(first["actualend"]).endswith("T00:00:00Z")
    assert second["senton"] is not None
    assert second["actualend"] == "2025-01-02T00:00:00Z"


@pytest.mark.parametrize(
    "body",
    [
        {"subject": "new"},
        {"opencount": 1},
        {"statuscode": 3},
        {"messageid": "<n@x>"},
        {"email_activity_parties": []},
        {"statecode": 1, "email_activity_parties": []},
    ],
    ids=str,
)
def test_a_completed_mail_refuses_edits(org: Organisation, body: dict[str, object]) -> None:
    activity = org.closed(subject="old")
    refused(org.patch(f"emails({activity})", body), 400, "0x80040203", "Cannot update Closed or Cancelled Activity")
    assert org.dataverse.rows("email", activityid=activity)[0]["subject"] == "old"


def test_a_completed_mail_takes_edits_that_carry_its_state(org: Organisation) -> None:
    activity = org.closed()
    assert org.patch(f"emails({activity})", {"statecode": 1, "statuscode": 4, "opencount": 2}).status_code == 204
    assert org.dataverse.rows("email", activityid=activity)[0]["opencount"] == 2


def test_completing_twice_is_no_error(org: Organisation) -> None:
    activity = org.closed()
    assert org.patch(f"emails({activity})", {"statecode": 1, "statuscode": 4}, If_Match="*").status_code == 204


def test_a_completed_mail_can_be_reopened_and_then_edited(org: Organisation) -> None:
    activity = org.closed()
    assert org.patch(f"emails({activity})", {"statecode": 0, "statuscode": 1}).status_code == 204
    assert org.patch(f"emails({activity})", {"subject": "new"}).status_code == 204


def test_a_sealed_organisation_takes_no_edit_of_a_completed_mail_until_it_is_reopened() -> None:
    with Organisation(sealed_completed=True) as org:
        activity = org.closed()
        edit = {"statecode": 1, "statuscode": 4, "opencount": 2}
        refused(org.patch(f"emails({activity})", edit), 400, "0x80040203", "Cannot update Closed or Cancelled Activity")
        assert org.patch(f"emails({activity})", {"statecode": 0, "statuscode": 1}).status_code == 204
        assert org.patch(f"emails({activity})", {"opencount": 2}).status_code == 204


def test_a_lenient_organisation_lets_completed_mail_be_edited() -> None:
    with Organisation(lenient_completed=True) as org:
        assert org.patch(f"emails({org.closed()})", {"subject": "new"}).status_code == 204


# --- conditions -------------------------------------------------------------------------------------------------------


def test_a_patch_makes_the_row_that_is_not_there(org: Organisation) -> None:
    activity = str(uuid4())
    answer = org.patch(f"emails({activity})", {"subject": "made"})
    assert (answer.status_code, answer.headers["OData-EntityId"]) == (204, f"{org.root}emails({activity})")
    other = org.patch(f"emails({uuid4()})", {"subject": "made"}, Prefer="return=representation")
    assert (other.status_code, other.json()["subject"]) == (201, "made")
    again = org.patch(f"emails({activity})", {"subject": "again"}, Prefer="return=representation")
    assert (again.status_code, again.json()["subject"]) == (200, "again")


def test_a_patch_that_makes_a_row_makes_no_parties(org: Organisation) -> None:
    body = {"email_activity_parties": [{"participationtypemask": 2, "addressused": "a@x"}]}
    refused(org.patch(f"emails({uuid4()})", body), 400, "0x80048d19", "POST only")


def test_if_match_star_lets_a_patch_change_but_not_make(org: Organisation) -> None:
    refused(
        org.patch(f"emails({NOWHERE})", {"subject": "x"}, If_Match="*"), 404, "0x80040217",
        f"email With Id = {NOWHERE} Does Not Exist",
    )  # fmt: skip
    assert org.patch(f"emails({org.mail()})", {"subject": "x"}, If_Match="*").status_code == 204


def test_if_none_match_star_lets_a_patch_make_but_not_change(org: Organisation) -> None:
    activity = str(uuid4())
    assert org.patch(f"emails({activity})", {"subject": "x"}, If_None_Match="*").status_code == 204
    answer = org.patch(f"emails({activity})", {"subject": "y"}, If_None_Match="*")
    refused(answer, 412, "0x80040237", "A record with matching key values already exists.")


def test_an_etag_that_is_stale_is_412(org: Organisation) -> None:
    activity = org.mail()
    etag = org.get(f"emails({activity})?$select=subject").json()["@odata.etag"]
    assert org.patch(f"emails({activity})", {"subject": "x"}, If_Match=etag).status_code == 204
    answer = org.patch(f"emails({activity})", {"subject": "y"}, If_Match=etag)
    refused(answer, 412, "0x80060882", "RowVersion")
    assert org.send("DELETE", f"emails({activity})", If_Match=etag).status_code == 412
    assert org.patch(f"emails({NOWHERE})", {"subject": "y"}, If_Match=etag).status_code == 404


def test_the_word_null_as_a_condition_asks_for_nothing(org: Organisation) -> None:
    activity = org.mail()
    assert org.get(f"emails({activity})", If_None_Match="null").status_code == 200
    assert org.patch(f"emails({activity})", {"subject": "x"}, If_None_Match="null").status_code == 204
    assert org.post({"subject": "x"}, If_None_Match="null").status_code == 204


def test_a_row_already_known_is_304(org: Organisation) -> None:
    activity = org.mail()
    etag = org.get(f"emails({activity})").json()["@odata.etag"]
    assert org.get(f"emails({activity})", If_None_Match=etag).status_code == 304


def test_the_key_in_a_body_does_not_move_a_row(org: Organisation) -> None:
    activity = org.mail()
    assert org.patch(f"emails({activity})", {"activityid": NOWHERE, "subject": "x"}).status_code == 204
    assert org.dataverse.email(NOWHERE) is None


# --- deleting ---------------------------------------------------------------------------------------------------------


def test_a_deleted_mail_takes_its_parties_with_it(org: Organisation) -> None:
    activity = org.mail(email_activity_parties=[{"participationtypemask": 2, "addressused": "a@x"}])
    assert org.send("DELETE", f"emails({activity})").status_code == 204
    assert org.dataverse.count("email") == org.dataverse.count("activityparty") == 0
    refused(org.send("DELETE", f"emails({activity})"), 404, "0x80040217", "Does Not Exist")


@pytest.mark.parametrize("table", ["contact", "account"])
def test_deleting_the_regarding_row_deletes_its_mail(org: Organisation, table: str) -> None:
    row = {"contact": org.ann, "account": org.firm}[table]
    activity = org.mail(**{f"regardingobjectid_{table}_email@odata.bind": f"/{table}s({row})"})
    other = org.mail(
        email_activity_parties=[{"participationtypemask": 2, f"partyid_{table}@odata.bind": f"/{table}s({row})"}]
    )
    assert org.send("DELETE", f"{table}s({row})").status_code == 204
    assert org.dataverse.email(activity) is None
    party = org.dataverse.parties(other)[0]
    assert (party["ispartydeleted"], party["_partyid_value"]) == (True, row)


def test_deleting_a_parent_leaves_its_replies(org: Organisation) -> None:
    parent = org.mail()
    reply = org.mail(**{"parentactivityid@odata.bind": f"/emails({parent})"})
    org.send("DELETE", f"emails({parent})")
    assert org.dataverse.rows("email", activityid=reply)[0]["_parentactivityid_value"] is None


# --- other tables -----------------------------------------------------------------------------------------------------


def test_a_contact_is_made_with_a_full_name_of_its_parts(org: Organisation) -> None:
    contact = str(uuid4())
    body = {"contactid": contact, "firstname": "Bo", "lastname": "Ek", "fullname": "ignored"}
    assert org.post(body, "contacts").status_code == 204
    assert org.dataverse.rows("contact", contactid=contact)[0]["fullname"] == "Bo Ek"
    org.patch(f"contacts({contact})", {"lastname": "Öz", "statecode": 1})
    row = org.dataverse.rows("contact", contactid=contact)[0]
    assert (row["fullname"], row["statecode"], row["statuscode"]) == ("Bo Öz", 1, 2)
    assert org.patch(f"contacts({contact})", {"firstname": "Bea"}).status_code == 204, "inactive rows take edits"


def test_users_can_be_read_and_changed_but_not_deleted(org: Organisation) -> None:
    assert org.get(f"systemusers({org.me})?$select=fullname").json()["fullname"] == "Me"
    assert org.patch(f"systemusers({org.me})", {"isdisabled": True}).status_code == 204
    refused(org.post({"lastname": "x"}, "systemusers"), 400, "0x80040203", "businessunitid")
    refused(org.send("DELETE", f"systemusers({org.me})"), 400, "0x80040800")


# --- attachments ------------------------------------------------------------------------------------------------------


def attachment(activity: str, **columns: object) -> dict[str, object]:
    return {
        "objectid_email@odata.bind": f"/emails({activity})",
        "objecttypecode": "email",
        "filename": "a.pdf",
        "mimetype": "application/pdf",
        "body": base64.b64encode(b"hello").decode(),
        **columns,
    }


def test_an_attachment_is_counted_and_measured(org: Organisation) -> None:
    activity = org.mail()
    answer = org.post(attachment(activity), "activitymimeattachments", Prefer="return=representation")
    assert (answer.status_code, answer.json()["filesize"]) == (201, 5)
    assert org.dataverse.rows("email", activityid=activity)[0]["attachmentcount"] == 1
    row = answer.json()["activitymimeattachmentid"]
    assert org.get(f"activitymimeattachments({row})/body/$value").text == "aGVsbG8="
    org.send("DELETE", f"activitymimeattachments({row})")
    assert org.dataverse.rows("email", activityid=activity)[0]["attachmentcount"] == 0


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        pytest.param({"filename": "f" * 252 + ".pdf"}, "0x80044331", id="a name of 256"),
        pytest.param({"mimetype": "m" * 257}, "0x80044331", id="a type of 257"),
        pytest.param({"attachmentcontentid": "c" * 251}, "0x80044331", id="a content id of 251"),
        pytest.param({"body": "not base64!"}, "0x80048d19", id="no base64"),
        pytest.param({"body": "A" * 1004}, "0x80044a02", id="base64 over the limit"),
        pytest.param({"filename": "run.EXE"}, "0x80043e09", id="a blocked extension"),
        pytest.param({"mimetype": "Text/HTML"}, "0x80072522", id="a blocked type"),
        pytest.param({"objecttypecode": None}, "0x80040203", id="no object type"),
        pytest.param({"objectid_email@odata.bind": None}, "0x80040203", id="attached to nothing"),
    ],
)
def test_an_attachment_is_refused(org: Organisation, columns: dict[str, object], code: str) -> None:
    limits = {"maxuploadfilesize": 1000, "blockedmimetypes": "text/html;image/x"}
    org.dataverse.update("organization", org.dataverse.organization_id, **limits)
    refused(org.post(attachment(org.mail(), **columns), "activitymimeattachments"), 400, code)


def test_the_limit_is_measured_on_the_base64_text(org: Organisation) -> None:
    org.dataverse.update("organization", org.dataverse.organization_id, maxuploadfilesize=1000)
    body = base64.b64encode(b"x" * 750).decode()
    assert org.post(attachment(org.mail(), body=body), "activitymimeattachments").status_code == 204


def test_a_list_of_allowed_types_shuts_out_all_others(org: Organisation) -> None:
    org.dataverse.update("organization", org.dataverse.organization_id, allowedmimetypes="image/png")
    refused(org.post(attachment(org.mail()), "activitymimeattachments"), 400, "0x80072521")
    assert org.post(attachment(org.mail(), mimetype="image/png"), "activitymimeattachments").status_code == 204


def test_an_attachment_of_a_completed_mail_is_refused(org: Organisation) -> None:
    activity = org.closed()
    refused(org.post(attachment(activity), "activitymimeattachments"), 400, "0x80040203", "Closed or Cancelled")


# --- from the same process --------------------------------------------------------------------------------------------


def test_rows_put_there_by_hand_obey_the_same_declarations(org: Organisation) -> None:
    activity = org.dataverse.add(
        "email", subject="x", statecode=1, statuscode=3, senton="2025-01-02T03:04:05Z",
        regardingobjectid=("contact", org.ann), email_activity_parties=[{"participationtypemask": 1, "addressused": "a@x"}],
    )  # fmt: skip
    row = org.get(f"emails({activity})?$select=senton,statuscode,_regardingobjectid_value").json()
    assert (row["senton"], row["statuscode"]) == ("2025-01-02T03:04:05Z", 3)
    assert row["_regardingobjectid_value"] == org.ann
    with pytest.raises(Exception, match="does not exist on type"):
        org.dataverse.add("email", colour="red")
    with pytest.raises(Exception, match="exceeded the maximum allowed length"):
        org.dataverse.add("contact", emailaddress1="a" * 101)
    with pytest.raises(Exception, match="not a valid status code"):
        org.dataverse.add("email", statecode=1, statuscode=1)
    with pytest.raises(KeyError, match="colour"):
        org.dataverse.rows("email", colour="red")


def test_rows_can_be_changed_and_deleted_by_hand(org: Organisation) -> None:
    org.dataverse.update("contact", org.ann, statecode=1, statuscode=2)
    assert org.get(f"contacts({org.ann})?$select=statecode").json()["statecode"] == 1
    org.dataverse.delete("contact", org.ann)
    assert org.get(f"contacts({org.ann})").status_code == 404
    assert org.dataverse.email(NOWHERE) is None


def test_the_clock_of_an_organisation_can_be_set() -> None:
    with Organisation(clock=lambda: 0.0) as org:
        assert org.dataverse.rows("email", activityid=org.mail())[0]["createdon"] == "1970-01-01T00:00:00Z"
