"""What an unsuccessful answer of Nylas means, whatever the shape of its body, and that nothing of it is quoted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from mailsync.errors import (
    ConfigurationError,
    Evidence,
    GrantError,
    MailSyncError,
    MessageError,
    MessageGoneError,
    Scope,
    ThrottledError,
    TransientError,
)
from mailsync.nylas.answers import evidence_of, failure_of
from mailsync.transport import Answer

REQUEST = "3305114997-9753c430-2599-4bcc-8f25-9165b071227a"


def answer(status: int, body: object = b"", **headers: str) -> Answer:
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, CaseInsensitiveDict(named), written)


def error(kind: str, **more: object) -> dict[str, object]:
    return {"request_id": REQUEST, "error": {"type": kind, "message": "of ann@contoso.example", **more}}


GMAIL = {"error": {"code": 429, "message": "User-rate limit exceeded.  Retry after 2026-01-08T09:26:53.594Z"}}


@pytest.mark.parametrize(
    ("got", "kind", "reason", "retry_after", "code"),
    [
        pytest.param(
            answer(429, error("rate_limit_error"), Retry_After="30"),
            ThrottledError,
            "nylas_throttled",
            30.0,
            "rate_limit_error",
            id="429 with Retry-After",
        ),
        pytest.param(
            answer(429, error("quota_exceeded_error", provider_error=GMAIL)),
            ThrottledError,
            "nylas_throttled",
            None,
            "quota_exceeded_error",
            id="429, Gmail's quota nested",
        ),
        pytest.param(
            answer(403, error("provider_error", provider_error={"reason": "userRateLimitExceeded"})),
            ThrottledError,
            "nylas_throttled",
            None,
            "provider_error",
            id="403, Gmail's quota nested",
        ),
        pytest.param(
            answer(403, error("provider_error", provider_error="Quota exceeded for ann@contoso.example")),
            ThrottledError,
            "nylas_throttled",
            None,
            "provider_error",
            id="403, Gmail's quota as text",
        ),
        pytest.param(
            answer(403, error("insufficient_scopes")),
            GrantError,
            "grant_lacks_scope",
            None,
            "insufficient_scopes",
            id="403, a scope is missing",
        ),
        pytest.param(answer(403, b""), GrantError, "grant_lacks_scope", None, "", id="403, empty"),
        pytest.param(
            answer(401, error("unauthorized", provider_error={"code": 401, "message": "no"})),
            GrantError,
            "grant_refused",
            None,
            "unauthorized",
            id="401",
        ),
        pytest.param(
            answer(401, {"request_id": REQUEST, "error": "token_expired"}),
            GrantError,
            "grant_refused",
            None,
            "token_expired",
            id="401, the error a text",
        ),
        pytest.param(
            answer(404, error("not_found_error")),
            MessageGoneError,
            "not_found",
            None,
            "not_found_error",
            id="404",
        ),
        pytest.param(answer(404, b"<html>404</html>"), MessageGoneError, "not_found", None, "", id="404, HTML"),
        pytest.param(answer(408), TransientError, "nylas_unavailable", None, "", id="408"),
        pytest.param(answer(423), TransientError, "nylas_unavailable", None, "", id="423"),
        pytest.param(
            answer(500, error("internal_error")), TransientError, "nylas_unavailable", None, "internal_error", id="500"
        ),
        pytest.param(
            answer(502, "Bad Gateway: The upstream server is unavailable, please try again..."),
            TransientError,
            "nylas_unavailable",
            None,
            "",
            id="502, a bare text",
        ),
        pytest.param(
            answer(502, b"<html><h1>502 Bad Gateway</h1></html>", Content_Type="application/json"),
            TransientError,
            "nylas_unavailable",
            None,
            "",
            id="502, HTML that says it is JSON",
        ),
        pytest.param(
            answer(503, b"", Retry_After="120"), TransientError, "nylas_unavailable", 120.0, "", id="503, empty"
        ),
        pytest.param(
            answer(504, error("provider_error")),
            TransientError,
            "nylas_unavailable",
            None,
            "provider_error",
            id="504, the provider behind is slow",
        ),
        pytest.param(answer(599, [1, 2]), TransientError, "nylas_unavailable", None, "", id="599, a list"),
        pytest.param(
            answer(400, error("invalid_request_error")),
            MessageError,
            "nylas_refused",
            None,
            "invalid_request_error",
            id="400",
        ),
        pytest.param(answer(410, {"error": None}), MessageError, "nylas_refused", None, "", id="410, the error null"),
        pytest.param(answer(422, b"null"), MessageError, "nylas_refused", None, "", id="422, null"),
        pytest.param(answer(302), ConfigurationError, "nylas_redirects", None, "", id="a redirect"),
    ],
)
def test_what_an_answer_means(
    got: Answer, kind: type[MailSyncError], reason: str, retry_after: float | None, code: str
) -> None:
    failure = failure_of(got)
    assert type(failure) is kind
    assert (failure.reason, failure.retry_after) == (reason, retry_after)
    assert (failure.evidence.vendor, failure.evidence.status, failure.evidence.code) == ("nylas", got.status, code)
    assert "contoso" not in f"{failure} {failure.evidence}"


def test_the_request_id_is_kept_for_the_support_desk() -> None:
    assert evidence_of(answer(500, error("x"))) == Evidence("nylas", 500, "x", REQUEST)


def test_an_expired_grant_reaches_as_far_as_its_mailbox() -> None:
    assert failure_of(answer(401)).scope is Scope.MAILBOX


@pytest.mark.parametrize(
    "told",
    ["", "ann@contoso.example", "two words", "line\nbreak", "x" * 81, "schlüssel", 17, None, ["a"], {"a": 1}],
    ids=repr,
)
def test_a_code_or_id_that_could_hold_anything_is_dropped(told: object) -> None:
    kept = evidence_of(answer(500, {"request_id": told, "error": {"type": told}}))
    assert (kept.code, kept.request_id) == ("", "")


@given(status=st.integers(300, 599), body=st.binary(max_size=200))
def test_any_status_with_any_body_is_one_of_our_errors(status: int, body: bytes) -> None:
    failure = failure_of(answer(status, body))
    assert isinstance(failure, MailSyncError)
    assert str(status) in f"{failure} {failure.evidence}"


def test_a_body_nested_beyond_reading_is_no_evidence() -> None:
    assert evidence_of(answer(502, b"[" * 200_000)).code == ""
