"""`$batch` of the Dataverse stand-in, over real sockets: order, transactions, references, and what is malformed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
import requests

from tests.sandbox.test_dataverse import NOWHERE, Organisation, refused


@pytest.fixture
def org() -> Iterator[Organisation]:
    with Organisation() as organisation:
        yield organisation


def part(method: str, url: str, body: object = None, content_id: int | None = None, **headers: str) -> str:
    """One request of a batch, as the documentation writes it."""
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    lines += [f"Content-ID: {content_id}"] if content_id is not None else []
    lines += ["", f"{method} {url} HTTP/1.1"]
    lines += ["Content-Type: application/json"] if body is not None else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += ["", json.dumps(body) if body is not None else ""]
    return "\r\n".join(lines)


def change_set(*parts: str) -> str:
    inner = "\r\n".join(f"--cs\r\n{text}" for text in parts)
    return f"Content-Type: multipart/mixed; boundary=cs\r\n\r\n{inner}\r\n--cs--"


def batch(*parts: str) -> str:
    return "".join(f"--b\r\n{text}\r\n" for text in parts) + "--b--\r\n"


def post(org: Organisation, body: str | bytes, content_type: str = "multipart/mixed; boundary=b", **headers: str):
    data = body.encode() if isinstance(body, str) else body
    named = {"Content-Type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return org.session.post(org.root + "$batch", data=data, headers=named)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str
    content_id: str | None
    in_change_set: bool


def answers(response: requests.Response) -> list[Answer]:
    """The answers inside a batch, read by this file's own few lines."""
    boundary = re.fullmatch(
        r"multipart/mixed; boundary=(batchresponse_[0-9a-f-]{36})", response.headers["Content-Type"]
    )
    assert boundary, response.text
    pieces = response.content.decode().split(f"--{boundary[1]}")
    assert pieces[0] == ""
    assert pieces[-1] == "--\r\n"
    found = []
    for piece in pieces[1:-1]:
        head, _, rest = piece.removeprefix("\r\n").partition("\r\n\r\n")
        inner = re.fullmatch(r"Content-Type: multipart/mixed; boundary=(changesetresponse_[0-9a-f-]{36})", head)
        if inner:
            *texts, last = rest.split(f"--{inner[1]}")[1:]
            assert last == "--\r\n"
            found += [_answer(text.removeprefix("\r\n"), in_change_set=True) for text in texts]
        else:
            found.append(_answer(piece.removeprefix("\r\n"), in_change_set=False))
    return found


def _answer(text: str, *, in_change_set: bool) -> Answer:
    outer, _, rest = text.partition("\r\n\r\n")
    assert "Content-Type: application/http\r\nContent-Transfer-Encoding: binary" in outer
    head, _, body = rest.partition("\r\n\r\n")
    line, *lines = head.split("\r\n")
    content_id = re.search(r"Content-ID: (\S+)", outer)
    headers = dict(entry.split(": ", 1) for entry in lines)
    status = int(line.split()[1])
    return Answer(status, headers, body.strip(), content_id[1] if content_id else None, in_change_set)


def email(**columns: object) -> dict[str, object]:
    return {"activityid": str(uuid4()), "subject": "x", **columns}


# --- plain requests ---------------------------------------------------------------------------------------------------


def test_requests_run_in_order_and_are_answered_in_order(org: Organisation) -> None:
    mail = email(messageid="<a@x>")
    response = post(
        org,
        batch(
            part("GET", "/api/data/v9.2/emails?$select=subject&$filter=messageid eq '<a@x>'"),
            part("POST", "/api/data/v9.2/emails", mail),
            part("GET", f"{org.root}emails?$select=subject&$filter=messageid%20eq%20'%3Ca@x%3E'"),
            part("PATCH", f"emails({mail['activityid']})", {"statecode": 1, "statuscode": 4}, If_Match="*"),
        ),
    )
    assert response.status_code == 200
    before, made, after, completed = answers(response)
    assert [a.status for a in (before, made, after, completed)] == [200, 204, 200, 204]
    assert json.loads(before.body)["value"] == []
    assert json.loads(after.body)["value"][0]["activityid"] == mail["activityid"]
    address = f"{org.root}emails({mail['activityid']})"
    assert made.headers["OData-EntityId"] == made.headers["Location"] == address
    assert org.dataverse.rows("email")[0]["statuscode"] == 4
    assert org.dataverse.requests == 1
    assert org.dataverse.log[-1].parts == 4
    assert org.dataverse.log[-1].operations[1] == "POST /api/data/v9.2/emails"


def test_a_batch_stops_at_its_first_failure_and_takes_that_status(org: Organisation) -> None:
    response = post(
        org,
        batch(part("POST", "emails", email()), part("GET", f"contacts({NOWHERE})"), part("POST", "emails", email())),
    )
    assert response.status_code == 404
    made, failed = answers(response)
    assert (made.status, failed.status) == (204, 404)
    assert failed.headers["REQ_ID"]
    assert failed.headers["Content-Type"] == "application/json; odata.metadata=minimal"
    assert json.loads(failed.body)["error"]["code"] == "0x80040217"
    assert org.dataverse.count("email") == 1


def test_a_batch_goes_on_when_asked_to(org: Organisation) -> None:
    body = batch(part("GET", f"contacts({NOWHERE})"), part("GET", "leeds"), part("POST", "emails", email()))
    response = post(org, body, Prefer="odata.continue-on-error")
    assert response.status_code == 200
    assert [answer.status for answer in answers(response)] == [404, 404, 204]


def test_a_get_part_may_have_a_url_of_64_kb(org: Organisation) -> None:
    values = ",".join(f"'{n:040}'" for n in range(1500))
    url = f"/api/data/v9.2/emails?$select=subject&$filter=Microsoft.Dynamics.CRM.In(PropertyName='messageid',PropertyValues=[{values}])"
    assert 60_000 < len(url) < 65_536
    assert [a.status for a in answers(post(org, batch(part("GET", url))))] == [200]
    refused(post(org, batch(part("GET", url + " " * 6000))), 400, "0x80048d19", "65536")


def test_a_thousand_requests_pass_and_one_more_is_refused(org: Organisation) -> None:
    one = part("GET", f"contacts({org.ann})?$select=fullname")
    assert len(answers(post(org, batch(*[one] * 1000)))) == 1000
    refused(post(org, batch(*[one] * 1001)), 400, "0x80040203", "1000")
    refused(post(org, batch(*[one] * 999, change_set(part("POST", "emails", email()), part("POST", "emails", email())))), 400,
            "0x80040203")  # fmt: skip
    assert org.dataverse.count("email") == 0


# --- change sets ------------------------------------------------------------------------------------------------------


def test_a_mail_is_made_and_completed_in_one_change_set(org: Organisation) -> None:
    mail = email(email_activity_parties=[{"participationtypemask": 2, "addressused": "a@x"}])
    response = post(
        org,
        batch(
            change_set(
                part("POST", "/api/data/v9.2/emails", mail, 1),
                part("PATCH", "$1", {"statecode": 1, "statuscode": 4}, 2, If_Match="*"),
            )
        ),
    )
    assert response.status_code == 200
    made, completed = answers(response)
    assert (made.status, made.content_id, made.in_change_set) == (204, "1", True)
    assert (completed.status, completed.content_id) == (204, "2")
    assert completed.headers["OData-EntityId"] == made.headers["OData-EntityId"]
    row = org.dataverse.rows("email")[0]
    assert (row["activityid"], row["statecode"], row["statuscode"]) == (mail["activityid"], 1, 4)


def test_a_change_set_that_fails_leaves_nothing_and_answers_once(org: Organisation) -> None:
    response = post(
        org,
        batch(
            change_set(
                part("POST", "emails", email(), 1),
                part("POST", "contacts", {"lastname": "New"}, 2),
                part("PATCH", "$1", {"statecode": 1, "statuscode": 1}, 3),
            ),
            part("GET", "emails"),
        ),
    )
    assert response.status_code == 400
    (failed,) = answers(response)
    assert (failed.status, failed.content_id, failed.in_change_set) == (400, "3", True)
    assert json.loads(failed.body)["error"]["code"] == "0x80048408"
    assert org.dataverse.count("email") == org.dataverse.count("activityparty") == 0
    assert org.dataverse.count("contact", lastname="New") == 0


def test_a_change_set_may_answer_its_failure_outside_of_its_boundary_as_odata_says() -> None:
    with Organisation(nested_changeset_errors=False) as org:
        response = post(
            org, batch(change_set(part("POST", "emails", email(), 1), part("PATCH", "$1", {"statuscode": 4}, 2)))
        )
        assert response.status_code == 400
        (failed,) = answers(response)
        assert (failed.status, failed.content_id, failed.in_change_set) == (400, None, False)
        assert org.dataverse.count("email") == 0


def test_a_duplicate_in_a_change_set_is_412_outside_too(org: Organisation) -> None:
    activity = org.mail(subject="first")
    mail = email(activityid=activity)
    body = batch(change_set(part("POST", "emails", mail, 1), part("PATCH", "$1", {"statecode": 1, "statuscode": 4}, 2)))
    response = post(org, body)
    assert (response.status_code, [a.status for a in answers(response)]) == (412, [412])
    going_on = post(org, body, Prefer="odata.continue-on-error")
    assert (going_on.status_code, [a.status for a in answers(going_on)]) == (200, [412])
    row = org.dataverse.rows("email")[0]
    assert (row["subject"], row["statecode"]) == ("first", 0)


def test_other_requests_stand_when_a_change_set_fails(org: Organisation) -> None:
    response = post(
        org,
        batch(
            part("POST", "emails", email(subject="kept")),
            change_set(part("POST", "emails", email(), 1), part("POST", "emails", {"colour": 1}, 2)),
            change_set(part("POST", "emails", email(subject="also kept"), 1)),
        ),
        Prefer="odata.continue-on-error",
    )
    assert [answer.status for answer in answers(response)] == [204, 400, 204]
    assert [row["subject"] for row in org.dataverse.rows("email")] == ["kept", "also kept"]


def test_a_reference_binds_what_was_made_before(org: Organisation) -> None:
    party = {"participationtypemask": 2, "partyid_contact@odata.bind": "$1"}
    mail = email(**{"regardingobjectid_contact_email@odata.bind": "$1", "email_activity_parties": [party]})
    response = post(
        org, batch(change_set(part("POST", "contacts", {"lastname": "New"}, 1), part("POST", "emails", mail, 2)))
    )
    assert response.status_code == 200
    (contact,) = org.dataverse.rows("contact", lastname="New")
    assert org.dataverse.rows("email")[0]["_regardingobjectid_value"] == contact["contactid"]
    assert org.dataverse.parties(str(mail["activityid"]))[0]["_partyid_value"] == contact["contactid"]


@pytest.mark.parametrize("outside", [False, True], ids=["before it is declared", "outside of its change set"])
def test_a_reference_must_be_declared_before_in_its_change_set(org: Organisation, outside: bool) -> None:
    patch = part("PATCH", "$1", {"subject": "y"}, None if outside else 2)
    made = part("POST", "emails", email(), 1)
    response = post(org, batch(change_set(made), patch) if outside else batch(change_set(patch, made)))
    assert response.status_code == 400
    says = "Content-ID Reference: '$1' does not exist in the batch context."
    assert json.loads(answers(response)[-1].body)["error"]["message"] == says


def test_a_change_set_works_without_content_ids(org: Organisation) -> None:
    mail = email()
    done = part("PATCH", f"/api/data/v9.2/emails({mail['activityid']})", {"statecode": 1, "statuscode": 3})
    response = post(org, batch(change_set(part("POST", "emails", mail), done)))
    assert [(a.status, a.content_id) for a in answers(response)] == [(204, None), (204, None)]


def test_an_organisation_may_refuse_to_make_and_complete_in_one_change_set() -> None:
    with Organisation(refuse_changesets=True) as org:
        mail = email()
        done = part("PATCH", "$1", {"statecode": 1, "statuscode": 4}, 2)
        response = post(org, batch(change_set(part("POST", "emails", mail, 1), done)))
        assert (response.status_code, [a.status for a in answers(response)]) == (400, [400])
        assert org.dataverse.count("email") == 0
        apart = batch(part("POST", "emails", mail), part("PATCH", f"emails({mail['activityid']})", {"statecode": 1}))
        assert [a.status for a in answers(post(org, apart))] == [204, 204]


# --- malformed --------------------------------------------------------------------------------------------------------

GOOD = batch(part("GET", "WhoAmI"))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(GOOD.replace("\r\n", "\n"), "Stream was not readable", id="lines end with LF"),
        pytest.param(GOOD.replace("binary\r\n\r\n", "binary\n\r\n"), "not valid", id="one line ends with LF"),
        pytest.param("", "not valid|not readable", id="nothing"),
        pytest.param("--b--\r\n", "not valid", id="no request"),
        pytest.param(GOOD.replace("--b--\r\n", ""), "closing boundary", id="no end"),
        pytest.param(GOOD.replace("--b", "--c"), "not valid", id="another boundary"),
        pytest.param(GOOD.replace("Content-Transfer-Encoding: binary\r\n", ""), "Transfer-Encoding", id="no encoding"),
        pytest.param(
            GOOD.replace("application/http", "application/json"), "application/http", id="part of another type"
        ),
        pytest.param(GOOD.replace(" HTTP/1.1", ""), "request line", id="no HTTP version"),
        pytest.param(GOOD.replace("GET", "FETCH"), "request line", id="no such method"),
        pytest.param(
            "--b\r\n" + part("GET", "WhoAmI").rstrip("\r\n") + "\r\n--b--\r\n", "empty line", id="no empty line"
        ),
        pytest.param(batch(part("POST", "/api/data/v9.2/$batch", {})), "another one", id="a batch in a batch"),
        pytest.param(batch(change_set(part("GET", "WhoAmI"))), "GET", id="a GET in a change set"),
        pytest.param(
            batch(change_set(change_set(part("DELETE", "x")).replace("cs", "in"))),
            "another one",
            id="a change set in a change set",
        ),
        pytest.param(
            batch(change_set(part("DELETE", "x", None, 1), part("DELETE", "y", None, 1))),
            "stands twice",
            id="a Content-ID twice",
        ),
    ],
)
def test_a_malformed_batch_is_refused_whole(org: Organisation, body: str, says: str) -> None:
    response = post(org, body)
    refused(response, 400, "0x80048d19")
    assert re.search(says, response.json()["error"]["message"])


@pytest.mark.parametrize("content_type", ["application/json", "multipart/mixed", "multipart/form-data; boundary=b"])
def test_a_batch_of_another_content_type_is_refused(org: Organisation, content_type: str) -> None:
    refused(post(org, GOOD, content_type), 400, "0x80048d19", "multipart/mixed with a boundary")


def test_a_boundary_may_stand_in_quotes_and_a_batch_is_posted(org: Organisation) -> None:
    assert post(org, GOOD, 'multipart/mixed; boundary="b"').status_code == 200
    assert org.get("$batch").status_code == 405


def test_a_json_body_may_span_lines(org: Organisation) -> None:
    text = batch(part("POST", "emails", email())).replace(', "subject"', ',\n "subject"')
    assert [a.status for a in answers(post(org, text))] == [204]


def test_a_batch_needs_a_token_once(org: Organisation) -> None:
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    assert requests.post(org.root + "$batch", data=GOOD, headers=headers, timeout=5).status_code == 401
