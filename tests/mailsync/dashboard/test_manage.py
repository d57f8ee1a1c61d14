"""What is asked with the admin key is done and told; whatever is wrong with a request is said with what to do instead."""

from __future__ import annotations

import gzip
import json
import logging
from typing import Any

import pytest

from mailsync.dashboard.answers import Answer
from mailsync.dashboard.manage import LARGEST_BODY, LONGEST, Asked
from mailsync.storage.envelope import MESSAGES, SWEEPS, MessageItem, SweepItem, decode
from mailsync.wiring import Wiring
from sandbox.faults import Answer as Told
from sandbox.faults import Fault
from tests.mailsync.admin.conftest import bundle, certificate, desk, entra
from tests.mailsync.admin.desk import DAY, HOUR, Desk

__all__ = ["bundle", "certificate", "desk", "entra"]

JSON = {"Content-Type": "application/json", "x-functions-key": "k"}


def asked(app: Wiring, method: str, what: str, given: Any = None, **more: Any) -> Answer:
    body = b"" if given is None else json.dumps(given).encode()
    request = {"params": {}, "headers": JSON, "body": body, **more}
    return app.manage.answer(Asked(method=method, what=what, **request))


def told(answer: Answer) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(answer.body)
    return said


def refused(answer: Answer) -> tuple[int, str]:
    return answer.status, told(answer)["error"]["reason"]


@pytest.fixture(scope="module")
def quiet() -> Wiring:
    """An app without a single setting."""
    return Wiring({})


# requests that can't be used


@pytest.mark.parametrize(
    ("method", "what", "given", "more", "status", "says"),
    [
        pytest.param("GET", "nothing", None, {}, 404, "there are status, explain, replay, sweep, doctor", id="no such thing"),
        pytest.param("POST", "status", {}, {}, 405, "use GET", id="a POST where nothing is changed"),
        pytest.param("GET", "replay", None, {}, 405, "use POST", id="a replay by GET"),
        pytest.param("GET", "sweep", None, {}, 405, "use POST", id="a sweep by GET"),
        pytest.param("GET", "status", None, {"params": {"code": "k"}}, 400, "x-functions-key", id="the key in the URL"),
        pytest.param("POST", "replay", {}, {"headers": {}}, 415, "application/json", id="no type"),
        pytest.param("POST", "replay", {}, {"headers": {"content-type": "text/plain"}}, 415, "application/json", id="a form's type"),
        pytest.param("POST", "replay", None, {"body": b"{"}, 400, "not JSON", id="not JSON"),
        pytest.param("POST", "replay", None, {"body": b"\xff\xfe"}, 400, "not JSON", id="not text"),
        pytest.param("POST", "replay", None, {"body": b"[" * 10_000}, 400, "not JSON", id="nested without end"),
        pytest.param("POST", "replay", [], {}, 400, "not a JSON object", id="a list"),
        pytest.param("POST", "replay", None, {"body": b" " * (LARGEST_BODY + 1)}, 413, "larger than", id="too large"),
        pytest.param("POST", "replay", {"grant": "g"}, {}, 400, "`key` is missing", id="no key"),
        pytest.param("POST", "replay", {"grant": 7, "key": "k"}, {}, 400, "`grant` is missing", id="not a text"),
        pytest.param("POST", "replay", {"grant": " ", "key": "k"}, {}, 400, "`grant` is missing", id="an empty text"),
        pytest.param("POST", "replay", {"grant": "g" * (LONGEST + 1), "key": "k"}, {}, 400, "longer than", id="a long text"),
        pytest.param("GET", "explain", None, {"params": {"mailbox": "g"}}, 400, "`message` is missing", id="no message"),
        pytest.param("POST", "explain", {"message": "m"}, {}, 400, "`mailbox` is missing", id="no mailbox"),
    ],
)  # fmt: skip
def test_a_request_that_can_t_be_used_is_told_how_it_should_be(
    quiet: Wiring, method: str, what: str, given: Any, more: dict[str, Any], status: int, says: str
) -> None:
    answer = asked(quiet, method, what, given, **({"headers": JSON} | more))
    assert answer.status == status
    assert says in told(answer)["error"]["advice"]
    assert answer.kind == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_methods_allowed_are_named(quiet: Wiring) -> None:
    assert asked(quiet, "POST", "status", {}).headers["Allow"] == "GET"
    assert asked(quiet, "PUT", "explain", {}).headers["Allow"] == "GET, POST"


def test_names_are_read_without_case_as_the_host_reads_routes(desk: Desk) -> None:
    assert asked(desk.app, "GET", "Status").status == 200


def test_settings_to_mend_are_told_by_name(quiet: Wiring) -> None:
    answer = asked(quiet, "POST", "replay", {"grant": "g", "key": "k"})
    assert refused(answer) == (503, "settings")
    assert "AzureWebJobsStorage" in told(answer)["error"]["advice"]


# the status with addresses


def test_the_status_comes_with_addresses(desk: Desk) -> None:
    grant = desk.connect()
    desk.app.status.forget()
    answer = asked(desk.app, "GET", "status", headers={**JSON, "Accept-Encoding": "gzip"})
    said = json.loads(gzip.decompress(answer.body))
    assert said["addresses"] == {grant: desk.address(grant)}
    assert [one["grant"] for one in said["mailboxes"]] == [grant]


# explaining


@pytest.mark.parametrize("way", ["GET", "POST"])
@pytest.mark.parametrize("by", ["id", "Message-ID"])
def test_a_message_is_explained_by_its_id_or_its_message_id(desk: Desk, way: str, by: str) -> None:
    grant = desk.connect()
    mail = desk.mail(grant)
    message = desk.arrive(grant, mail)
    given = {"mailbox": desk.address(grant), "message": message if by == "id" else str(mail.message_id)}
    more = {"params": given} if way == "GET" else {"given": given}
    said = told(asked(desk.app, way, "explain", **more))
    (copy,) = said["copies"]
    assert (copy["grant"], copy["message"], copy["outcome"]) == (grant, message, "written")
    assert said["email"]["state"] == "completed"
    assert desk.address(grant) in said["email"]["addresses"]


def test_a_mailbox_nobody_knows_is_told_with_those_there_are(desk: Desk) -> None:
    grant = desk.connect()
    answer = asked(desk.app, "GET", "explain", params={"mailbox": "nobody@contoso.example", "message": "m"})
    assert refused(answer) == (404, "unknown_mailbox")
    assert grant in told(answer)["error"]["advice"]


# replaying


@pytest.fixture
def aside(desk: Desk) -> tuple[str, str, dict[str, str]]:
    """A message that Dataverse refused and that could be written now: its grant, its id, and what to ask for."""
    grant = desk.connect()
    mail = desk.mail(grant)
    desk.refuse(mail)
    message = desk.arrive(grant, mail)
    desk.faults["dataverse"].clear()
    (kept,) = desk.app.aside.kept(grant=grant)
    return grant, message, {"grant": grant, "key": kept.row}


def test_a_replay_puts_the_item_back_and_it_lands(desk: Desk, aside: tuple[str, str, dict[str, str]]) -> None:
    _, message, request = aside
    assert desk.app.status.read().facts.aside is not None
    answer = asked(desk.app, "POST", "replay", request)
    assert answer.status == 200
    assert told(answer)["replayed"]["key"] == request["key"]
    waiting = desk.app.status.read().facts.aside
    assert waiting is not None
    assert waiting.waiting == 0, "the page says so at once"
    desk.work()
    assert [email["statecode"] for email in desk.emails()] == [1]
    assert message


def test_a_second_replay_asks_for_it_to_be_said_again(desk: Desk, aside: tuple[str, str, dict[str, str]]) -> None:
    _, message, request = aside
    asked(desk.app, "POST", "replay", request)
    assert refused(asked(desk.app, "POST", "replay", request)) == (409, "already_replayed")
    assert asked(desk.app, "POST", "replay", {**request, "again": True}).status == 200
    items = [one for one in desk.items(MESSAGES) if isinstance(one, MessageItem)]
    assert [one.message for one in items] == [message, message]


@pytest.mark.parametrize("change", [{"key": "message:no such"}, {"grant": "no such"}])
def test_what_is_not_put_aside_can_t_be_replayed(
    desk: Desk, aside: tuple[str, str, dict[str, str]], change: dict[str, str]
) -> None:
    assert refused(asked(desk.app, "POST", "replay", {**aside[2], **change})) == (404, "not_aside")
    assert desk.items(MESSAGES) == []


def test_a_text_that_is_no_item_can_t_be_replayed(desk: Desk) -> None:
    desk.app.handle_message(b"not an envelope")
    (kept,) = desk.app.aside.kept()
    answer = asked(desk.app, "POST", "replay", {"grant": kept.grant, "key": kept.row})
    assert refused(answer) == (422, "not_an_envelope")


# sweeping


def test_a_span_of_a_mailbox_is_looked_through_again(desk: Desk) -> None:
    grant = desk.connect(age=5 * DAY)
    desk.take(SWEEPS)
    said = told(asked(desk.app, "POST", "sweep", {"mailbox": desk.address(grant), "since": "2d"}))
    assert (said["grant"], said["sweeps"]) == (grant, 2)
    texts = desk.awaited(SWEEPS, 2)
    spans = [item for text in texts if isinstance(item := decode(text), SweepItem)]
    assert {item.grant for item in spans} == {grant}
    assert max(item.before or 0 for item in spans) - min(item.after or 0 for item in spans) == 2 * DAY + 2


@pytest.mark.parametrize(
    ("given", "status", "reason"),
    [
        pytest.param({"since": "yesterday"}, 400, "bad_request", id="not a moment"),
        pytest.param({"since": "2999-01-01"}, 400, "bad_request", id="in the future"),
        pytest.param({"since": "1h", "until": "2h"}, 400, "bad_request", id="backwards"),
        pytest.param({}, 400, "bad_request", id="no since"),
        pytest.param({"since": "2019-01-01", "until": "2019-01-02"}, 409, "before_the_start", id="before it was connected"),
        pytest.param({"since": "1d", "mailbox": "nobody"}, 404, "unknown_mailbox", id="nobody's mailbox"),
    ],
)  # fmt: skip
def test_a_span_that_can_t_be_swept_is_refused(desk: Desk, given: dict[str, str], status: int, reason: str) -> None:
    grant = desk.connect()
    desk.take(SWEEPS)
    answer = asked(desk.app, "POST", "sweep", {"mailbox": grant, **given})
    assert refused(answer) == (status, reason)
    assert desk.items(SWEEPS) == []


def test_a_mailbox_whose_owner_must_sign_in_is_not_swept(desk: Desk) -> None:
    grant = desk.connect()
    desk.nylas.expire(grant)
    desk.app.sweep_missed()
    assert refused(asked(desk.app, "POST", "sweep", {"mailbox": grant, "since": "1d"})) == (409, "mailbox_not_valid")


# trouble and silence


def test_trouble_that_passes_says_when_to_come_back(desk: Desk) -> None:
    desk.faults["nylas"].add(Fault(Told(503, headers={"Retry-After": "17"}), path="/v3/grants"))
    answer = asked(desk.app, "GET", "explain", params={"mailbox": "nobody@contoso.example", "message": "m"})
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1


def test_nothing_personal_is_logged(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    grant = desk.connect()
    mail = desk.mail(grant)
    desk.arrive(grant, mail)
    with caplog.at_level(logging.DEBUG, logger="mailsync"):
        asked(desk.app, "GET", "explain", params={"mailbox": desk.address(grant), "message": str(mail.message_id)})
        asked(desk.app, "GET", "status")
        asked(desk.app, "POST", "sweep", {"mailbox": desk.address(grant), "since": f"{HOUR}m"})
    assert "@" not in caplog.text


# the doctor


def test_the_doctor_examines_the_deployed_app(desk: Desk) -> None:
    grant = desk.connect()
    said = told(asked(desk.app, "GET", "doctor"))
    assert said["findings"]
    assert said["counts"].keys() >= {"good", "bad"}
    assert {one["topic"] for one in said["findings"]} >= {"settings", "storage", "nylas", "dataverse"}
    assert desk.address(grant) not in json.dumps(said)


def test_the_doctor_works_where_settings_are_to_be_mended(quiet: Wiring) -> None:
    answer = asked(quiet, "GET", "doctor")
    assert answer.status == 200
    assert told(answer)["exit_code"] == 2
