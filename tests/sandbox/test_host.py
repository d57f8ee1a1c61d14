"""The local host keeps the real host's rules, over real sockets and on Azurite."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import datetime as dt
import http.client
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func
import pytest
import requests
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueMessage

from sandbox.azurite import Azurite
from sandbox.host import (
    FunctionError,
    Host,
    HostError,
    HostProcess,
    Keys,
    QueueOptions,
    Settings,
    next_run,
    queue_bodies,
    trigger_message,
)

APPS = Path(__file__).parent / "apps"


def soon(what: Callable[[], Any], *, within: float = 8.0) -> Any:
    """The first true answer of this; an assertion fails when there is none in time."""
    deadline = time.monotonic() + within
    while True:
        if found := what():
            return found
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


class Queue:
    """A queue as the tests look at it from outside."""

    def __init__(self, azurite: Azurite, name: str) -> None:
        self._client = QueueClient.from_connection_string(azurite.connection_string, name)

    def create(self) -> Queue:
        self._client.create_queue()
        return self

    def put(self, *texts: str) -> None:
        for text in texts:
            self._client.send_message(base64.b64encode(text.encode()).decode())

    def put_raw(self, text: str) -> None:
        self._client.send_message(text)

    def take(self, visibility: int = 600) -> list[QueueMessage]:
        try:
            return list(self._client.receive_messages(visibility_timeout=visibility))
        except ResourceNotFoundError:
            return []

    def take_and_give_back(self) -> None:
        (message,) = self.take()
        self._client.update_message(message.id, message.pop_receipt, visibility_timeout=0)

    def bodies(self) -> list[bytes]:
        return [base64.b64decode(message.content) for message in self.take()]

    @property
    def depth(self) -> int:
        return self._client.get_queue_properties().approximate_message_count or 0

    @property
    def exists(self) -> bool:
        with contextlib.suppress(ResourceNotFoundError):
            self._client.get_queue_properties()
            return True
        return False


# ---------------------------------------------------------------- HTTP


@pytest.fixture(scope="module")
def web(azurite: Azurite) -> Iterator[Host]:
    settings = {"AzureWebJobsStorage": azurite.connection_string, "OUT_QUEUE": "sent"}
    with Host(APPS / "web", settings, keys=Keys(function="f-key", master="m-key")) as host:
        host.app = sys.modules["function_app"]  # type: ignore[attr-defined]
        yield host


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        pytest.param("GET", "/door/things/7", 200, "any 7", id="a route parameter"),
        pytest.param("GET", "/door/THINGS/7", 200, "any 7", id="case does not matter"),
        pytest.param("GET", "/door/things/a%2Fb%20c", 200, "any a/b c", id="a parameter is decoded"),
        pytest.param("GET", "/door/things/best", 200, "any best", id="the first function name wins"),
        pytest.param("GET", "/door/pages/12", 200, "page 12", id="a number where one is asked for"),
        pytest.param("GET", "/door/pages/first", 200, "first", id="a fixed path"),
        pytest.param("GET", "/door/pages/last", 404, "", id="no number where one is asked for"),
        pytest.param("GET", "/door/files/a/b.txt", 200, "file a/b.txt", id="the rest of the path"),
        pytest.param("GET", "/door/files", 200, "file None", id="no rest of the path"),
        pytest.param("POST", "/door/things/7", 200, "any 7", id="all methods when none are listed"),
        pytest.param("POST", "/door/unrouted", 404, "", id="a method that is not listed"),
        pytest.param("HEAD", "/door/unrouted", 404, "", id="HEAD is not GET"),
        pytest.param("GET", "/api/unrouted", 404, "", id="not the prefix of host.json"),
        pytest.param("GET", "/door/nobody", 404, "", id="a path of nobody"),
        pytest.param("GET", "/door/boom", 500, "", id="an exception"),
        pytest.param("GET", "/door/nothing", 500, "", id="no return value"),
        pytest.param("GET", "/door/mapping", 500, "", id="a return value that is no response"),
    ],
)
def test_answer_to_a_request(web: Host, method: str, path: str, status: int, text: str) -> None:
    answer = requests.request(method, web.url + path, timeout=10)
    assert (answer.status_code, answer.text) == (status, text)
    assert int(answer.headers["Content-Length"]) == len(answer.content)


def test_a_route_is_the_functions_name_under_api_unless_said_otherwise(tmp_path: Path) -> None:
    write_app(tmp_path, "@app.route()\ndef plain(req: func.HttpRequest) -> str:\n    return 'x'\n")
    with Host(tmp_path, {}) as host:
        assert requests.get(f"{host.url}/api/plain", timeout=10).text == "x"


def test_empty_query_parameters_never_reach_a_function_and_repeated_ones_are_joined(web: Host) -> None:
    answer = requests.get(f"{web.url}/door/echo?a=1&empty=&b=2&a=3&bare&sp=x+y%26", timeout=10)
    assert answer.json()["params"] == {"a": "1,3", "b": "2", "sp": "x y&"}
    assert answer.json()["url"].endswith("/door/echo?a=1&empty=&b=2&a=3&bare&sp=x+y%26")


def test_a_body_arrives_with_content_length_and_a_chunked_one_does_not(web: Host) -> None:
    with_length = requests.post(f"{web.url}/door/echo/x", data=b"body", timeout=10)
    chunked = requests.post(f"{web.url}/door/echo/x", data=iter([b"bo", b"dy"]), timeout=10)
    assert (with_length.json()["body"], with_length.json()["route"]) == ("body", {"name": "x"})
    assert (chunked.status_code, chunked.json()["body"]) == (200, "")


def test_a_repeated_header_is_joined(web: Host) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(web.url.rpartition(":")[2]))
    with contextlib.closing(connection):
        connection.putrequest("GET", "/door/echo")
        connection.putheader("X-Twice", "one")
        connection.putheader("X-Twice", "two")
        connection.endheaders()
        assert json.loads(connection.getresponse().read())["header"] == "one,two"


def test_a_response_goes_out_with_its_own_status_and_headers(web: Host) -> None:
    answer = requests.get(f"{web.url}/door/created", timeout=10)
    assert (answer.status_code, answer.content) == (201, b"made")
    assert (answer.headers["X-Made"], answer.headers["Content-Type"]) == ("yes", "a/b")
    assert answer.headers["Content-Length"] == "4"
    head = requests.head(f"{web.url}/door/created", timeout=10)
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (201, b"", "4")
    assert requests.get(f"{web.url}/door/empty", timeout=10).status_code == 204


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        pytest.param("things/1", "text/plain; charset=utf-8", id="text"),
        pytest.param("unrouted", "application/json; charset=utf-8", id="text that is JSON"),
    ],
)
def test_returned_text_has_a_content_type(web: Host, path: str, kind: str) -> None:
    assert requests.get(f"{web.url}/door/{path}", timeout=10).headers["Content-Type"] == kind


@pytest.mark.parametrize(
    ("path", "query", "headers", "status"),
    [
        pytest.param("unrouted", "", {}, 200, id="anonymous needs none"),
        pytest.param("guarded", "", {}, 401, id="none where one is needed"),
        pytest.param("guarded", "", {"x-functions-key": "wrong"}, 401, id="a wrong key"),
        pytest.param("guarded", "", {"x-functions-key": "f-key"}, 200, id="a key in the header"),
        pytest.param("guarded", "?code=f-key", {}, 200, id="a key in the query"),
        pytest.param("guarded", "", {"x-functions-key": "m-key"}, 200, id="the master key opens all"),
        pytest.param("owned", "", {"x-functions-key": "f-key"}, 401, id="admin is not for a function key"),
        pytest.param("owned", "", {"x-functions-key": "m-key"}, 200, id="admin is for the master key"),
    ],
)
def test_keys_where_they_are_asked_for(
    web: Host, path: str, query: str, headers: Mapping[str, str], status: int
) -> None:
    assert requests.get(f"{web.url}/door/{path}{query}", headers=headers, timeout=10).status_code == status


def test_the_hosts_own_addresses_need_the_master_key(web: Host) -> None:
    assert requests.get(f"{web.url}/admin/functions", timeout=10).status_code == 401
    key = {"x-functions-key": "m-key"}
    assert requests.get(f"{web.url}/admin/functions", headers=key, timeout=10).status_code == 200


def test_no_keys_are_asked_for_when_there_are_none(tmp_path: Path) -> None:
    write_app(
        tmp_path,
        "@app.route(auth_level=func.AuthLevel.ADMIN)\ndef owned(req: func.HttpRequest) -> str:\n    return 'x'\n",
    )
    with Host(tmp_path, {}) as host:
        assert requests.get(f"{host.url}/api/owned", timeout=10).status_code == 200


def test_plain_functions_run_side_by_side_on_threads_that_are_used_again(web: Host) -> None:
    """Eight that wait for one another can only end when they run at the same time."""
    threads: set[str] = set()
    with concurrent.futures.ThreadPoolExecutor(8) as callers:
        for _ in range(3):
            answers = callers.map(lambda _: requests.get(f"{web.url}/door/meet", timeout=15), range(8))
            threads |= {answer.text for answer in answers}
    assert 8 <= len(threads) < 24


def test_async_functions_all_run_on_one_event_loop(web: Host) -> None:
    threads = {requests.get(f"{web.url}/door/awaited", timeout=10).text for _ in range(3)}
    assert len(threads) == 1
    assert len(set(web.app.loops)) == 1  # type: ignore[attr-defined]


def test_a_context_tells_the_invocation_and_continues_the_callers_trace(web: Host) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    caller = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    first = requests.get(f"{web.url}/door/told", headers=caller, timeout=10).json()
    second = requests.get(f"{web.url}/door/told", timeout=10).json()
    assert first["function"] == "told"
    assert first["local"] == first["invocation"] != second["invocation"]
    assert first["trace"].split("-")[1] == trace != second["trace"].split("-")[1]


def test_an_output_is_sent_after_success_only_and_bytes_stay_as_they_are(web: Host, azurite: Azurite) -> None:
    body = b'{"a":  [1,2], "d": "2026-01-01T00:00:00.500+01:00"}'
    sent = Queue(azurite, "sent")
    failed = requests.post(f"{web.url}/door/sends?then=raise", data=b"never", timeout=10)
    assert (failed.status_code, sent.exists) == (500, False)
    assert requests.post(f"{web.url}/door/sends", data=body, timeout=10).status_code == 200
    assert sent.bodies() == [body]


def test_an_output_that_cannot_be_written_fails_the_invocation(web: Host) -> None:
    answer = requests.post(f"{web.url}/door/sends", data=b"x" * 50_000, timeout=10)
    assert (answer.status_code, answer.content) == (500, b"")


@pytest.mark.parametrize(
    ("value", "bodies"),
    [
        pytest.param(b"[1]", [b"[1]"], id="bytes stay as they are"),
        pytest.param("plain é", ["plain é".encode()], id="text that is not JSON"),
        pytest.param('["a", 1, true, null]', [b"a", b"1", b"True", b""], id="an array is a message each"),
        pytest.param('{"b":"\\u00e9","a":[1]}', ['{\n  "b": "é",\n  "a": [\n    1\n  ]\n}'.encode()], id="an object"),
        pytest.param(
            '["2026-01-02T03:04:05.100Z", "2026-01-02T03:04:05+02:00", "2026-13-02T03:04:05Z"]',
            [b"2026-01-02T03:04:05.1Z", b"2026-01-02T01:04:05+00:00", b"2026-13-02T03:04:05Z"],
            id="dates are written anew",
        ),
        pytest.param(["[1]", "b"], [b"[1]", b"b"], id="a list of texts"),
        pytest.param(
            func.QueueMessage(id="7", body=b"x"), [b'{\n  "id": "7",\n  "body": "x"\n}'], id="a message object"
        ),
    ],
)
def test_what_a_queue_output_sends(value: object, bodies: list[bytes]) -> None:
    assert queue_bodies(value) == bodies


@pytest.mark.parametrize("value", ["{not json}", 7, [b"x"]], ids=["looks like JSON", "a number", "bytes in a list"])
def test_what_a_queue_output_refuses(value: object) -> None:
    with pytest.raises(FunctionError):
        queue_bodies(value)


# ---------------------------------------------------------------- queues


@pytest.fixture(scope="module")
def queues(azurite: Azurite) -> Iterator[Host]:
    for name in ("work", "texts", "bins", "crowd", "left-poison", "chatty", "off"):
        Queue(azurite, name).create()
    settings = {
        "AzureWebJobsStorage": "overruled by the longer name",
        "AzureWebJobsAzureWebJobsStorage": azurite.connection_string,
        "Elsewhere": azurite.connection_string,
        "LATE_QUEUE": "Late",
        "AzureWebJobs.switched_off.Disabled": "true",
    }
    Queue(azurite, "off").put("x")
    Queue(azurite, "crowd").put("go", "go", *["wait"] * 6)
    # What takes a second or more in the tests below begins for all of them here.
    Queue(azurite, "work").put("fail each time", "slow")
    Queue(azurite, "chatty").put("x")
    with Host(APPS / "queues", settings, processing_visibility=2.0) as host:
        host.app = sys.modules["function_app"]  # type: ignore[attr-defined]
        yield host


def noted(host: Host, name: str) -> list[Any]:
    """What the toy app noted under this name."""
    app: ModuleType = host.app  # type: ignore[attr-defined]
    return [value for key, value in app.notes if key == name]


def test_a_message_is_given_with_its_metadata_and_deleted_after_success(queues: Host, azurite: Azurite) -> None:
    queue = Queue(azurite, "work")
    queue.put("good")
    _, message = soon(lambda: noted(queues, "good"))[0]
    assert isinstance(message, func.QueueMessage)
    assert (message.dequeue_count, message.get_body()) == (1, b"good")
    assert message.id
    assert message.pop_receipt
    now = dt.datetime.now(dt.UTC)
    assert abs(now - message.insertion_time) < dt.timedelta(seconds=10)
    assert message.insertion_time < message.time_next_visible < message.expiration_time
    soon(lambda: queue.depth == 0)


def test_a_message_that_fails_comes_back_after_the_visibility_timeout_and_ends_in_poison(
    queues: Host, azurite: Azurite
) -> None:
    poison = Queue(azurite, "work-poison")
    left = soon(lambda: [m for m in poison.take() if base64.b64decode(m.content) == b"fail each time"])
    assert len(left) == 1
    (first, one), (second, two) = noted(queues, "fail each time")
    assert (one.dequeue_count, two.dequeue_count) == (1, 2)
    assert one.id == two.id
    assert second - first > 0.9


def test_text_that_is_not_base64_goes_to_poison_and_the_function_never_runs(queues: Host, azurite: Azurite) -> None:
    queue, poison = Queue(azurite, "texts"), Queue(azurite, "texts-poison")
    queue.put_raw('{"plain": "json"}')
    assert [message.content for message in soon(poison.take)] == ['{"plain": "json"}']
    queue.put("proper")
    assert soon(lambda: noted(queues, "text")) == ["proper"]
    soon(lambda: queue.depth == 0)


def test_a_message_taken_too_often_goes_to_poison_and_the_function_never_runs(azurite: Azurite, tmp_path: Path) -> None:
    """As it is after crashes, where no failure was ever reported."""
    queue, poison = Queue(azurite, "crashed").create(), Queue(azurite, "crashed-poison")
    queue.put("x")
    for _ in range(5):
        queue.take_and_give_back()
    write_app(
        tmp_path,
        """runs = []
@app.queue_trigger(arg_name="msg", queue_name="crashed", connection="AzureWebJobsStorage")
def work(msg: func.QueueMessage) -> None:
    runs.append(msg)
""",
    )
    with Host(tmp_path, {"AzureWebJobsStorage": azurite.connection_string}):
        assert soon(poison.bodies) == [b"x"]
        soon(lambda: queue.depth == 0)
    assert sys.modules["function_app"].runs == []


def test_a_message_stays_hidden_while_it_is_in_work_for_longer_than_the_visibility(
    queues: Host, azurite: Azurite
) -> None:
    queue = Queue(azurite, "work")
    soon(lambda: noted(queues, "slow"))
    soon(lambda: queue.depth == 0)
    assert len(noted(queues, "slow")) == 1


def test_no_more_than_a_batch_and_the_threshold_run_at_once(queues: Host) -> None:
    """Batches of four, and another one when two are left: six wait for one another, which ends when six run."""
    soon(lambda: len(noted(queues, "crowd")) == 8)
    assert max(queues.app.most) == 6  # type: ignore[attr-defined]


def test_binary_data_is_given_as_bytes(queues: Host, azurite: Azurite) -> None:
    Queue(azurite, "bins").put_raw(base64.b64encode(b"\xff\x00").decode())
    assert soon(lambda: noted(queues, "binary")) == [b"\xff\x00"]


def test_a_message_that_fails_in_a_poison_queue_stays_hidden_and_has_no_poison_queue(
    queues: Host, azurite: Azurite
) -> None:
    queue = Queue(azurite, "left-poison")
    queue.put("x")
    soon(lambda: noted(queues, "collect"))
    assert queue.take() == []
    assert queue.depth == 1
    assert not Queue(azurite, "left-poison-poison").exists


def test_a_queue_that_is_made_later_is_found_and_names_and_connections_come_from_settings(
    queues: Host, azurite: Azurite
) -> None:
    Queue(azurite, "late").create().put("in time")
    answers = Queue(azurite, "answers")
    soon(lambda: answers.exists)
    assert soon(answers.bodies) == [b"in time"]


def test_a_value_returned_to_nobody_fails_the_invocation(queues: Host, azurite: Azurite) -> None:
    assert soon(lambda: len(noted(queues, "chatty")) == 2)
    assert soon(Queue(azurite, "chatty-poison").take)


def test_a_disabled_function_and_one_without_its_connection_do_not_run_and_say_why(queues: Host) -> None:
    assert queues.errors.keys() == {"switched_off", "unconnected"}
    assert "disabled" in queues.errors["switched_off"]
    assert "NoSuchAccount" in queues.errors["unconnected"]
    assert noted(queues, "off") == []


METADATA: dict[str, Any] = {
    "id": "the-id",
    "dequeuecount": 1,
    "expirationtime": dt.datetime(2026, 11, 29, tzinfo=dt.UTC),
    "insertiontime": dt.datetime(2026, 11, 22, tzinfo=dt.UTC),
    "nextvisibletime": dt.datetime(2026, 11, 22, 1, tzinfo=dt.UTC),
    "popreceipt": "the-receipt",
}


@pytest.mark.parametrize(
    ("body", "attribute", "value"),
    [
        pytest.param({"other": 1}, "id", "the-id", id="another property"),
        pytest.param({"id": "mine"}, "id", "mine", id="id"),
        pytest.param({"ID": 5}, "id", "5", id="case does not matter"),
        pytest.param({"id": None}, "id", "the-id", id="null does not count"),
        pytest.param({"data": {"id": "mine"}}, "id", "the-id", id="a deeper level does not count"),
        pytest.param({"dequeueCount": "7"}, "dequeue_count", 7, id="dequeue count"),
        pytest.param({"popReceipt": "mine"}, "pop_receipt", "mine", id="receipt"),
        pytest.param(
            {"insertionTime": "2020-01-01T02:00:00+02:00"},
            "insertion_time",
            dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
            id="a moment",
        ),
    ],
)
def test_top_level_properties_of_a_json_message_override_its_metadata(
    body: object, attribute: str, value: object
) -> None:
    text = json.dumps(body)
    message = trigger_message(text, METADATA)
    assert getattr(message, attribute) == value
    assert message.get_body().decode() == text


@pytest.mark.parametrize("body", ['{"insertionTime": "yesterday"}', '{"dequeueCount": "many"}'])
def test_a_property_that_cannot_be_metadata_fails_the_function(body: str) -> None:
    with pytest.raises(FunctionError):
        trigger_message(body, METADATA)


def test_a_queue_function_can_be_run_by_hand(queues: Host, azurite: Azurite) -> None:
    answer = requests.post(f"{queues.url}/admin/functions/Work", json={"input": "by hand"}, timeout=10)
    assert (answer.status_code, answer.content) == (202, b"")
    _, message = soon(lambda: noted(queues, "by hand"))[0]
    assert (message.id, message.dequeue_count) == (None, 0)


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        pytest.param("nobody", b"{}", 404, id="no such function"),
        pytest.param("switched_off", b"{}", 404, id="a function that does not run"),
        pytest.param("work", b"no json", 400, id="no JSON"),
        pytest.param("work", b"[]", 400, id="no object"),
    ],
)
def test_a_run_by_hand_that_is_refused(queues: Host, name: str, body: bytes, status: int) -> None:
    assert requests.post(f"{queues.url}/admin/functions/{name}", data=body, timeout=10).status_code == status


@pytest.mark.parametrize(
    "section",
    [
        pytest.param({"batchSize": 33}, id="a batch over 32"),
        pytest.param({"maxDequeueCount": 0}, id="no attempt"),
        pytest.param({"maxPollingInterval": "00:00:00.050"}, id="polling under 100 ms"),
        pytest.param({"visibilityTimeout": "30"}, id="no time span"),
        pytest.param({"messageEncoding": "utf8"}, id="an unknown encoding"),
    ],
)
def test_queue_options_the_real_host_refuses_are_refused(section: Mapping[str, object]) -> None:
    with pytest.raises(HostError, match=r"host\.json"):
        QueueOptions.of(section)


def test_queue_options_that_are_not_given_are_the_real_hosts() -> None:
    options = QueueOptions.of({})
    assert (options.batch_size, options.max_dequeue_count, options.visibility_timeout) == (16, 5, 0.0)
    assert (options.max_polling_interval, options.base64) == (60.0, True)
    assert options.new_batch_threshold == 8 * (os.cpu_count() or 1)
    assert QueueOptions.of({"messageEncoding": "none"}).decode("plain") == b"plain"


# ---------------------------------------------------------------- timers and settings


def test_timers(caplog: pytest.LogCaptureFixture) -> None:
    """Two seconds of six timers: one host, since each test of a schedule has to wait for it."""
    with Host(APPS / "timers", {"every_second": "*/1 * * * * *"}) as host:
        ticks = sys.modules["function_app"].ticks
        assert requests.post(f"{host.url}/admin/functions/by_hand", json={"input": ""}, timeout=10).status_code == 202
        soon(lambda: sum(name == "fails" for name, _ in ticks) >= 2)
    names = [name for name, _ in ticks]
    assert names.count("fails") >= 2, "a failure does not end the schedule"
    assert all(alone for name, alone in ticks if name == "lasts"), "a timer never overlaps itself"
    assert names.count("on_start") == names.count("by_hand") == 1
    assert isinstance(dict(ticks)["by_hand"], func.TimerRequest)
    assert dict(ticks)["by_hand"].past_due is False
    assert host.errors.keys() == {"unset", "span"}
    assert "NO_SUCH_SETTING" in host.errors["unset"]
    assert "a fault of the function's own" in caplog.text


def test_without_timers_they_run_by_hand_only() -> None:
    with Host(APPS / "timers", {"EVERY_SECOND": "* * * * * *"}, timers=False) as host:
        ticks = sys.modules["function_app"].ticks
        requests.post(f"{host.url}/admin/functions/on_start", json={"input": ""}, timeout=10)
        soon(lambda: ticks)
    assert [name for name, _ in ticks] == ["on_start"]


NOON = dt.datetime(2026, 11, 22, 12, 0, 0, 500000, tzinfo=dt.UTC)  # a Sunday


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        pytest.param("0 */5 * * * *", "2026-11-22T12:05:00", id="every five minutes"),
        pytest.param("*/5 * * * *", "2026-11-22T12:05:00", id="five fields"),
        pytest.param("*/2 * * * * *", "2026-11-22T12:00:02", id="every two seconds"),
        pytest.param("30 10 8-10,13 * * *", "2026-11-22T13:10:30", id="ranges and lists"),
        pytest.param("0 0 9 * * mon-fri", "2026-11-23T09:00:00", id="names of days"),
        pytest.param("0 0 0 * Jan 0", "2027-01-03T00:00:00", id="names of months"),
        pytest.param("0 0 9 1 * 1", "2027-02-01T09:00:00", id="day and weekday must both match"),
    ],
)
def test_next_run_of_a_schedule(schedule: str, expected: str) -> None:
    assert next_run(schedule, NOON).replace(tzinfo=None).isoformat() == expected


@pytest.mark.parametrize(
    "schedule", ["00:05:00", "@daily", "* * *", "0 0 0 * * 7", "0 0 0 L * *", "61 * * * * *", "", "0 0 0 31 2 *"]
)
def test_a_schedule_that_is_not_ncrontab_is_refused(schedule: str) -> None:
    with pytest.raises(HostError):
        next_run(schedule, NOON)


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        pytest.param({"AzureWebJobsStorage": "a"}, None, "a", id="none named"),
        pytest.param({"AzureWebJobsStorage": "a"}, "AzureWebJobsStorage", "a", id="the full name"),
        pytest.param({"AzureWebJobsMine": "a", "Mine": "b"}, "Mine", "a", id="the prefix wins"),
        pytest.param({"mine": "b"}, "Mine", "b", id="case does not matter"),
    ],
)
def test_connection_lookup(values: Mapping[str, str], name: str | None, expected: str) -> None:
    assert Settings(values).connection(name) == expected


def test_a_connection_by_identity_is_refused_by_name() -> None:
    with pytest.raises(HostError, match="AzureWebJobsStorage"):
        Settings({"AzureWebJobsStorage__queueServiceUri": "https://x"}).connection(None)


# ---------------------------------------------------------------- what cannot be run


def write_app(folder: Path, functions: str, **host_json: object) -> None:
    """A function_app.py with these functions."""
    bundle = {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"}
    document = {"version": "2.0", "extensionBundle": bundle, **host_json}
    head = "import azure.functions as func\n\napp = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)\n\n"
    (folder / "function_app.py").write_text(head + functions)
    (folder / "host.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param("other = func.FunctionApp()\n", "exactly one", id="two apps"),
        pytest.param("app = None\n", "exactly one", id="no app"),
        pytest.param("@app.route()\ndef f(request) -> str:\n    return ''\n", "parameters", id="a wrong parameter"),
    ],
)
def test_an_app_that_the_real_worker_refuses(tmp_path: Path, source: str, message: str) -> None:
    write_app(tmp_path, source)
    with pytest.raises(HostError, match=message):
        Host(tmp_path, {}).start()
    assert str(tmp_path) not in sys.path


def test_a_folder_without_an_app(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"host\.json"):
        Host(tmp_path, {})
    (tmp_path / "host.json").write_text("{}")
    with pytest.raises(HostError, match="version"):
        Host(tmp_path, {})
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    with pytest.raises(HostError, match=r"function_app\.py"):
        Host(tmp_path, {}).start()


QUEUE_FUNCTION = """
@app.queue_trigger(arg_name="msg", queue_name="{queue}", connection="{connection}")
def work(msg: func.QueueMessage) -> None:
    pass
"""


@pytest.mark.parametrize(
    ("queue", "connection", "host_json", "message"),
    [
        pytest.param("work", "Known", {"extensionBundle": None}, "extensionBundle", id="no extension bundle"),
        pytest.param("a--b", "Known", {}, "queue's name", id="no name for a queue"),
        pytest.param("%NONE%", "Known", {}, "%NONE%", id="a name from nowhere"),
        pytest.param("work", "Unknown", {}, "Unknown", id="an unknown connection"),
        pytest.param("work", "Short", {}, "AccountKey", id="no key in the connection string"),
    ],
)
def test_a_function_in_error_is_reported_while_others_run(
    tmp_path: Path, queue: str, connection: str, host_json: Mapping[str, object], message: str
) -> None:
    source = QUEUE_FUNCTION.format(queue=queue, connection=connection)
    write_app(tmp_path, source + "\n@app.route()\ndef f(req: func.HttpRequest) -> str:\n    return 'x'\n", **host_json)
    with Host(tmp_path, {"Known": "AccountName=a;AccountKey=YQ==", "Short": "UseDevelopmentStorage=true"}) as host:
        assert host.errors.keys() == {"work"}
        assert message in host.errors["work"]
        assert requests.get(f"{host.url}/api/f", timeout=10).text == "x"


# ---------------------------------------------------------------- the command


QUEUE_APP = """
import time
import mapping


@app.queue_trigger(arg_name="msg", queue_name="{queue}", connection="AzureWebJobsStorage")
def work(msg: func.QueueMessage) -> None:
    print("began", mapping.NAME, flush=True)
    time.sleep(float(msg.get_body()))
    print("ended", flush=True)


@app.route()
def hello(req: func.HttpRequest) -> str:
    import os
    return os.environ["GREETING"]
"""


def queue_app(folder: Path, queue: str) -> None:
    """An app whose messages say for how long they are worked on; it has a module named as one of ours."""
    write_app(folder, QUEUE_APP.format(queue=queue))
    (folder / "mapping.py").write_text("NAME = 'ours'\n")


def test_a_process_reads_a_settings_file_and_lets_running_functions_end(azurite: Azurite, tmp_path: Path) -> None:
    queue_app(tmp_path, "orderly")
    queue = Queue(azurite, "orderly").create()
    settings = tmp_path / "local.settings.json"
    settings.write_text('{"Values": {"GREETING": "from the file", "AzureWebJobsStorage": "overruled"}}')
    env = {"AzureWebJobsStorage": azurite.connection_string, "GREETING": None}
    host = HostProcess(tmp_path, env, max_poll=0.1, settings=settings, log_file=tmp_path / "log").start()
    assert (host.ready["functions"], host.ready["errors"]) == (["hello", "work"], {})
    assert requests.get(f"{host.url}/api/hello", timeout=10).text == "from the file"
    queue.put("0.5")
    soon(lambda: "began ours" in host.log)
    assert host.functions()["work"]["running"] == 1
    assert host.stop() == 0
    assert host.log[-1] == "ended"
    assert queue.depth == 0
    assert (tmp_path / "log").read_text().splitlines() == host.log


def test_a_stop_does_not_wait_for_ever(azurite: Azurite, tmp_path: Path) -> None:
    queue_app(tmp_path, "endless")
    queue = Queue(azurite, "endless").create()
    env = {"AzureWebJobsStorage": azurite.connection_string}
    host = HostProcess(tmp_path, env, max_poll=0.1, drain=0.2).start()
    queue.put("60")
    soon(lambda: "began ours" in host.log)
    assert host.stop() == 1
    assert queue.depth == 1


def test_a_killed_host_gives_its_message_to_the_next_one(azurite: Azurite, tmp_path: Path) -> None:
    queue_app(tmp_path, "killed")
    queue = Queue(azurite, "killed").create()
    host = HostProcess(tmp_path, {"AzureWebJobsStorage": azurite.connection_string}, visibility=1, max_poll=0.1)
    with host:
        queue.put("60")
        soon(lambda: "began ours" in host.log)
        pid, url = host.pid, host.url
        assert host.kill() == -9
        assert not host.running
        (message,) = soon(lambda: queue.take(visibility=1))
        assert message.dequeue_count == 2
        host.start()
        assert host.pid != pid
        assert host.url == url
        soon(lambda: host.log.count("began ours") == 2)
        host.kill()


def test_an_app_that_cannot_be_imported_is_reported_with_what_it_said(tmp_path: Path) -> None:
    write_app(tmp_path, "raise KeyError('NO_SUCH_SETTING')\n")
    with pytest.raises(HostError, match="NO_SUCH_SETTING"):
        HostProcess(tmp_path).start()
