"""What an unsuccessful answer of Dataverse means; codes decide where there are any, and no message is quoted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from mailsync.dataverse.answers import (
    FILE_AT_FAULT,
    OWNER_AT_FAULT,
    Complaint,
    complaint_of,
    evidence_of,
    failure_of,
    is_done,
)
from mailsync.errors import ConfigurationError, MailSyncError, MessageError, Scope, ThrottledError, TransientError
from mailsync.transport import Answer


def answer(status: int, code: str | None = None, **headers: str) -> Answer:
    body = b"" if code is None else json.dumps({"error": {"code": code, "message": "of ann@contoso.example"}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, CaseInsensitiveDict(named), body)


@pytest.mark.parametrize(
    ("got", "kind", "reason", "retry_after"),
    [
        pytest.param(
            answer(429, "0x80072322", Retry_After="17"), ThrottledError, "dataverse_throttled", 17.0, id="requests"
        ),
        pytest.param(answer(429, "0x80072321"), ThrottledError, "dataverse_throttled", None, id="execution time"),
        pytest.param(
            answer(429, "0x80072326", Retry_After="1"), ThrottledError, "dataverse_throttled", 1.0, id="concurrency"
        ),
        pytest.param(answer(429), ThrottledError, "dataverse_throttled", None, id="429 without body"),
        pytest.param(answer(400, "0x80072322"), ThrottledError, "dataverse_throttled", None, id="a limit under a 400"),
        pytest.param(answer(503, "0x80072321"), ThrottledError, "dataverse_throttled", None, id="a limit under a 503"),
        pytest.param(answer(500, "0x80040216"), TransientError, "dataverse_unavailable", None, id="500"),
        pytest.param(answer(502), TransientError, "dataverse_unavailable", None, id="502 without body"),
        pytest.param(answer(503, Retry_After="60"), TransientError, "dataverse_unavailable", 60.0, id="503"),
        pytest.param(answer(504), TransientError, "dataverse_unavailable", None, id="504"),
        pytest.param(answer(408), TransientError, "dataverse_unavailable", None, id="408"),
        pytest.param(answer(400, "0x80044151"), TransientError, "dataverse_unavailable", None, id="SQL timeout"),
        pytest.param(answer(400, "0x80044150"), TransientError, "dataverse_unavailable", None, id="a SQL error"),
        pytest.param(
            answer(401, "0x80072560"), ConfigurationError, "dataverse_refused_identity", None, id="no such user"
        ),
        pytest.param(
            answer(403, "0x80040220"),
            ConfigurationError,
            "dataverse_refused_identity",
            None,
            id="a privilege is missing",
        ),
        pytest.param(answer(404), ConfigurationError, "dataverse_url", None, id="404 without code"),
        pytest.param(answer(302), ConfigurationError, "dataverse_url", None, id="a redirect to a sign-in page"),
        pytest.param(answer(404, "0x80040217"), MessageError, "dataverse_refused_row", None, id="no such row"),
        pytest.param(answer(400, "0x80048d19"), MessageError, "dataverse_refused_row", None, id="an undeclared column"),
        pytest.param(answer(400, "0x80044331"), MessageError, "dataverse_refused_row", None, id="a text too long"),
        pytest.param(answer(400), MessageError, "dataverse_refused_row", None, id="400 without body"),
        pytest.param(answer(412, "0x80040237"), MessageError, "dataverse_refused_row", None, id="a duplicate"),
        pytest.param(answer(400, "0x80044a02"), MessageError, "dataverse_refused_row", None, id="a file too large"),
        pytest.param(
            answer(403, "0x80040299"),
            ConfigurationError,
            "dataverse_refused_identity",
            None,
            id="an owner without role",
        ),
        pytest.param(answer(413), MessageError, "dataverse_refused_row", None, id="too large"),
    ],
)
def test_what_an_answer_means(got: Answer, kind: type[MailSyncError], reason: str, retry_after: float | None) -> None:
    failure = failure_of(got)
    assert type(failure) is kind
    assert (failure.reason, failure.retry_after) == (reason, retry_after)
    assert failure.evidence.status == got.status
    assert "contoso" not in f"{failure} {failure.evidence}"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        pytest.param(b'{"error":{"code":"0x8006088A","message":"m"}}', Complaint("0x8006088a", "m"), id="a code"),
        pytest.param(b'{"error":{"code":"","message":"m"}}', Complaint("", "m"), id="an empty code"),
        pytest.param(b'{"error":{"code":"ann@contoso.example"}}', Complaint("", ""), id="something else as code"),
        pytest.param(b'{"error":{"code":null,"message":null}}', Complaint(), id="nulls"),
        pytest.param(b'{"error":null}', Complaint(), id="no error"),
        pytest.param(b'{"error":{"code":17}}', Complaint(), id="a number as code"),
        pytest.param(b'{"Message":"x"}', Complaint(), id="the gateway's own shape"),
        pytest.param(b"<html>", Complaint(), id="HTML"),
        pytest.param(b"", Complaint(), id="nothing"),
        pytest.param(b'"x"', Complaint(), id="a text"),
        pytest.param(b'{"error":{"message":"\xff"}}', Complaint(), id="not UTF-8"),
        pytest.param(b'{"error":' * 100_000, Complaint(), id="nested without end"),
    ],
)
def test_the_complaint_in_a_body(body: bytes, complaint: Complaint) -> None:
    assert complaint_of(Answer(400, CaseInsensitiveDict(), body)) == complaint


@pytest.mark.parametrize(
    ("message", "code", "named"),
    [
        pytest.param(
            "Principal user (Id=1, type=8, roleCount=1), is missing prvReadContact privilege (Id=2) on OTC=2",
            "0x80040220",
            "prvReadContact",
            id="as it is worded today",
        ),
        pytest.param(
            "SecLib::CheckPrivilege failed. User: 1, PrivilegeName: prvAppendTonew_Project, PrivilegeId: 2",
            "0x80040220",
            "prvAppendTonew_Project",
            id="as it was worded",
        ),
        pytest.param("SecLib::AccessCheckEx failed.", "0x80040220", "", id="rights on one row"),
        pytest.param("is missing prvReadActivity privilege", "0x80040299", "", id="somebody else lacks it"),
    ],
)
def test_a_privilege_that_is_missing_is_named(message: str, code: str, named: str) -> None:
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    failure = failure_of(Answer(403, CaseInsensitiveDict(), body))
    assert isinstance(failure, ConfigurationError)
    assert failure.reason == ("dataverse_lacks_privilege" if named else "dataverse_refused_identity")
    assert (named or "role may read and write activities") in str(failure)


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        ({"x-ms-service-request-id": "a-1"}, "a-1"),
        ({"X-MS-Service-Request-Id": "a-1", "REQ_ID": "b-2"}, "a-1"),
        ({"req_id": "b-2"}, "b-2"),
        ({"REQ_ID": "ann@contoso.example"}, ""),
        ({}, ""),
    ],
)
def test_the_request_id_is_kept_for_the_support_desk(headers: dict[str, str], request_id: str) -> None:
    evidence = evidence_of(Answer(500, CaseInsensitiveDict(headers), b""))
    assert (evidence.vendor, evidence.status, evidence.request_id) == ("dataverse", 500, request_id)


@pytest.mark.parametrize(("status", "done"), [(201, True), (204, True), (200, False), (202, False), (304, False)])
def test_what_is_written_is_told_by_a_status_that_no_page_has(status: int, done: bool) -> None:
    assert is_done(answer(status)) is done


def test_a_file_that_is_refused_is_told_apart_from_its_mail_and_its_owner() -> None:
    """By codes that stand for nothing else, written as complaints are read."""
    assert set(FILE_AT_FAULT).isdisjoint(OWNER_AT_FAULT)
    for code in (*FILE_AT_FAULT, *OWNER_AT_FAULT):
        assert complaint_of(answer(400, code.upper().replace("X", "x", 1))).code == code


def test_a_limit_reaches_the_whole_organisation_and_a_row_only_its_message() -> None:
    assert failure_of(answer(429)).scope is Scope.ORGANISATION
    assert failure_of(answer(400, "0x80048d19")).scope is Scope.MESSAGE


@given(status=st.integers(300, 599), body=st.binary(max_size=200))
def test_any_status_with_any_body_is_one_of_our_errors(status: int, body: bytes) -> None:
    assert isinstance(failure_of(Answer(status, CaseInsensitiveDict(), body)), MailSyncError)
