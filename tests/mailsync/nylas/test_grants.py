"""Listing the grants through Nylas' own SDK, whose failures become ours."""

from __future__ import annotations

import pytest

from mailsync.errors import ConfigurationError, ThrottledError, TransientError
from mailsync.nylas.grants import Grant, Grants
from sandbox.faults import Answer, DropBefore, Fault
from tests.mailsync.parts import API_KEY, NOW, NylasServed, new_address, nobody


def grants(nylas: NylasServed, api_key: str = API_KEY) -> Grants:
    return Grants(api_uri=nylas.server.url, api_key=api_key)


def test_a_grant_as_it_is_listed(nylas: NylasServed) -> None:
    address = new_address()
    grant = nylas.stand_in.connect(address, "imap", created_at=NOW)
    assert grants(nylas).all() == (Grant(id=grant, email=address, provider="imap", status="valid", connected=NOW),)


def test_nobody_is_connected(nylas: NylasServed) -> None:
    assert grants(nylas).all() == ()


@pytest.mark.parametrize(("number", "requests"), [(199, 1), (201, 2)])
def test_two_hundred_to_a_request(nylas: NylasServed, number: int, requests: int) -> None:
    made = [nylas.stand_in.connect(f"user{one}@contoso.example", "google") for one in range(number)]
    assert [grant.id for grant in grants(nylas).all()] == made
    assert nylas.server.requests == requests


def test_an_expired_grant_is_listed_as_such(nylas: NylasServed) -> None:
    grant = nylas.stand_in.connect(new_address(), "google")
    nylas.stand_in.expire(grant)
    assert [one.status for one in grants(nylas).all()] == ["invalid"]


def test_a_wrong_key_is_a_setting_to_mend(nylas: NylasServed) -> None:
    with pytest.raises(ConfigurationError) as error:
        grants(nylas, "nyk_of_somebody_else").all()
    assert error.value.reason == "nylas_key"
    assert "NYLAS_API_KEY" in str(error.value)
    assert "nyk_" not in str(error.value)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(502, {}, b'"Bad Gateway"'), id="502, a bare text"),
        pytest.param(Answer(502, {"content-type": "text/html"}, b"<html>"), id="502, HTML"),
        pytest.param(Answer(503), id="503, empty"),
        pytest.param(Answer(500, {}, b'{"error": {"type": "x", "message": "y"}}'), id="500 without request id"),
        pytest.param(Answer(504, {}, b'{"request_id": "r", "error": {"type": "x", "message": "y"}}'), id="504"),
        pytest.param(Answer(200, {}, b'{"request_id": "r", "data": null}'), id="200 with data null"),
        pytest.param(Answer(200, {}, b'{"data": []}'), id="200 without request id"),
        pytest.param(Answer(200, {}, b"[]"), id="200, a list"),
        pytest.param(Answer(200, {"content-type": "text/html"}, b"<html>"), id="200, HTML"),
        pytest.param(DropBefore(), id="no answer"),
    ],
)
def test_trouble_passes_by_itself(nylas: NylasServed, answer: Answer | DropBefore) -> None:
    nylas.stand_in.connect(new_address(), "google")
    nylas.faults.add(Fault(answer))
    with pytest.raises(TransientError):
        grants(nylas).all()


def test_throttling_names_its_time(nylas: NylasServed) -> None:
    body = b'{"request_id": "r", "error": {"type": "rate_limit_error", "message": "x"}}'
    nylas.faults.add(Fault(Answer(429, {"Retry-After": "12"}, body)))
    with pytest.raises(ThrottledError) as error:
        grants(nylas).all()
    assert (error.value.reason, error.value.retry_after) == ("nylas_throttled", 12.0)


def test_nobody_answers() -> None:
    with nobody() as port, pytest.raises(TransientError):
        Grants(api_uri=f"http://127.0.0.1:{port}", api_key=API_KEY).all()


def test_a_grant_without_the_fields_it_may_lack(nylas: NylasServed) -> None:
    body = b'{"request_id": "r", "data": [{"id": "g1", "provider": "google", "grant_status": null, "email": null}]}'
    nylas.faults.add(Fault(Answer(200, {}, body)))
    assert grants(nylas).all() == (Grant(id="g1", email="", provider="google", status="", connected=None),)
