"""One log line for each outcome, at the level it deserves, and on one line whatever stands in it."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from azure.core.credentials import AccessToken
from azure.core.exceptions import ServiceRequestError
from opentelemetry.instrumentation.requests import RequestsInstrumentor

from mailsync import telemetry
from mailsync.dataverse.tokens import Tokens
from mailsync.errors import Evidence, Scope, ThrottledError, TransientError
from mailsync.gates import Gate
from mailsync.telemetry import EVENTS, METRICS, Metric, asked, emit, invoked, mark, measure, span, traceparent
from mailsync.transport import Transport
from mailsync.wiring import Wiring
from sandbox.faults import Act, Answer, Fault, Faults, Hold
from sandbox.nylas import NylasStandIn
from sandbox.servers import Server
from tests.mailsync.parts import API_KEY, Clock
from tests.mailsync.traced import Traced, attributes, identity, tracing

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "mailsync")


@pytest.mark.parametrize(
    ("event", "level"),
    [
        ("email_written", logging.INFO),
        ("message_skipped", logging.INFO),
        ("item_deferred", logging.WARNING),
        ("notification_refused", logging.WARNING),
        ("item_put_aside", logging.ERROR),
        ("ingest_unavailable", logging.ERROR),
        ("sweep_dropped", logging.DEBUG),
    ],
)
def test_an_event_has_the_level_it_deserves(caplog: pytest.LogCaptureFixture, event: str, level: int) -> None:
    assert event in EVENTS
    emit(event, grant="g")  # type: ignore[arg-type]
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (level, f"event={event} grant=g")


def test_what_is_empty_is_left_out_and_what_is_nought_is_not(caplog: pytest.LogCaptureFixture) -> None:
    emit("email_written", grant="g", message=None, reason="", attempt=0, evidence=Evidence("nylas", 429, "", "r-1"))
    assert caplog.messages == ["event=email_written grant=g attempt=0 evidence=vendor=nylas status=429 request=r-1"]


@pytest.mark.parametrize(
    "text", ["a\nevent=email_written grant=x", "a\r\nb", "a\x85b", "a\u2028b", "a\x1b[2Jb"], ids=ascii
)
def test_no_value_begins_a_line_of_its_own(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Ids and types come from outside; whoever can write them must not write our log."""
    emit("notification_accepted", type=text, notification=text)
    (told,) = caplog.messages
    assert len(told.splitlines()) == 1
    assert "\x1b" not in told


# metrics and spans: off


IMPORTED = """
import sys, threading, time
began = time.process_time()
import function_app
took = time.process_time() - began
loaded = sorted(name for name in sys.modules if name.partition(".")[0] == "opentelemetry" or "monitor" in name)
print(round(took * 1000), threading.active_count(), len(loaded), *loaded[:3])
"""
HALF_INSTALLED = """
import sys
sys.modules["opentelemetry"] = None
from mailsync.wiring import Wiring
from mailsync import telemetry
Wiring({"PYTHON_ENABLE_OPENTELEMETRY": "true"})
telemetry.measure("mailsync.outcomes", 1, kind="written", reason="contact")
with telemetry.span("work"):
    print(telemetry.traceparent())
"""


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A process that has this environment and no more."""
    return subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )


def test_the_app_loads_in_less_than_three_tenths_of_a_second_and_off_pays_for_no_telemetry() -> None:
    """Of the processor's time, and of three starts the best: the machine may do much else."""
    starts = [python(IMPORTED).stdout.split() for _ in range(3)]
    assert {(threads, modules) for _, threads, modules, *_ in starts} == {("1", "0")}, starts
    assert min(int(took) for took, *_ in starts) < 300


@pytest.mark.parametrize(
    ("env", "on"),
    [
        pytest.param({}, False, id="nothing is said"),
        pytest.param({"PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "false"}, False, id="it is said to be off"),
        pytest.param({"PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "True"}, True, id="the worker configures it"),
        pytest.param({"PYTHON_ENABLE_OPENTELEMETRY": "1"}, True, id="somebody else configures it"),
    ],
)
def test_telemetry_is_on_where_the_worker_has_it_on(env: dict[str, str], on: bool) -> None:
    try:
        Wiring(env)
        with telemetry.span("work"):
            assert (telemetry._on is not None) is on
    finally:
        telemetry.end()


def test_where_opentelemetry_is_not_installed_there_are_log_lines_alone() -> None:
    done = python(HALF_INSTALLED)
    assert done.stdout == "None\n"
    assert "OpenTelemetry is not installed" in done.stderr


def test_off_nothing_is_made_and_everything_may_be_called() -> None:
    measure("mailsync.outcomes", 1, kind="written", reason="contact")
    with invoked(None), span("work", {"grant": "g"}), asked("nylas", "GET") as request:
        request.status = "200"
        mark(outcome="written")
        assert traceparent() is None


# metrics


@pytest.fixture
def traced() -> Iterator[Traced]:
    with tracing() as traced:
        yield traced


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_told_by_what_it_is_said_to_be_told_apart_by(traced: Traced, name: Metric) -> None:
    meaning = METRICS[name]
    by = dict.fromkeys(meaning.by, "x")
    measure(name, 2, **by)
    measure(name, 3, **by)
    (point,) = traced.exported()[name].values()
    assert dict(point.attributes) == by
    told = {
        "counter": lambda: point.value == 5,
        "gauge": lambda: point.value == 3,
        "histogram": lambda: point.count == 2,
    }
    assert told[meaning.kind]()


def test_no_metric_is_told_apart_by_what_grows_with_the_mail() -> None:
    assert {one for meaning in METRICS.values() for one in meaning.by} == {
        "kind", "reason", "grant", "queue", "vendor", "status", "result", "gate",
    }  # fmt: skip


def test_a_gauge_is_exported_once_for_each_time_it_was_measured(traced: Traced) -> None:
    """An instance that measured the queues an hour ago says nothing of them now."""
    for queue in ("a", "b"):
        measure("mailsync.queue.depth", 7, queue=queue)
    assert len(traced.exported()["mailsync.queue.depth"]) == 2
    assert "mailsync.queue.depth" not in traced.exported()
    measure("mailsync.queue.depth", 8, queue="a")
    ((by, point),) = traced.exported()["mailsync.queue.depth"].items()
    assert (dict(by), point.value) == ({"queue": "a"}, 8)


# spans


HOSTS = "00-11111111111111111111111111111111-2222222222222222-01"
QUEUED = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01"


class HostsTrace:
    Traceparent, Tracestate = HOSTS, "a=1"


class Invoked:
    trace_context = HostsTrace()


def test_an_invocation_is_in_the_trace_that_the_host_gave_it(traced: Traced) -> None:
    with invoked(Invoked()), span("work"):
        pass
    with span("other work"):
        pass
    assert identity(traced.span("work"))[:36] == HOSTS[:36]
    assert traced.span("work").parent.span_id == int("2222222222222222", 16)
    assert traced.span("other work").parent is None, "a thread is used again for another invocation"


def test_an_item_is_in_the_trace_that_came_with_it_and_names_the_invocation(traced: Traced) -> None:
    with invoked(Invoked()), span("work", parent=QUEUED):
        sent = traceparent()
    work = traced.span("work")
    assert identity(work)[:36] == QUEUED[:36]
    assert work.parent.span_id == int("bbbbbbbbbbbbbbbb", 16)
    assert [f"{link.context.trace_id:032x}" for link in work.links] == ["1" * 32]
    assert sent == identity(work), "what is sent on leads here"


@pytest.mark.parametrize("text", ["", "00-xyz", "x" * 55, f"00-{'0' * 32}-{'0' * 16}-01", QUEUED + "-more"])
def test_what_is_no_trace_context_begins_a_trace_of_its_own(traced: Traced, text: str) -> None:
    with span("work", parent=text):
        pass
    assert traced.span("work").parent is None


def test_a_span_tells_ids_and_leaves_out_what_is_empty(traced: Traced) -> None:
    with span("work", {"grant": "g\n", "message": None, "source": "", "attempt": 0}):
        mark(outcome="written", reason="")
    assert attributes(traced.span("work")) == {"grant": "g?", "attempt": 0, "outcome": "written"}


def test_a_failure_is_told_by_its_type_alone(traced: Traced) -> None:
    """Its text could quote mail."""
    with pytest.raises(ValueError, match="Dear Ann"), span("work"):
        raise ValueError("Dear Ann")
    work = traced.span("work")
    assert (work.status.status_code.name, work.status.description) == ("ERROR", None)
    assert attributes(work) == {"error.type": "ValueError"}
    assert work.events == ()


@pytest.mark.parametrize(
    ("act", "status"),
    [
        pytest.param(Answer(200, body=b"{}"), "200", id="an answer"),
        pytest.param(Answer(429, body=b"{}"), "429", id="a refusal"),
        pytest.param(Hold(), "nylas_timed_out", id="no answer in time"),
    ],
)
def test_a_request_is_timed_with_its_status_and_without_where_it_went(traced: Traced, act: Act, status: str) -> None:
    faults = Faults(NylasStandIn(API_KEY).app)
    faults.add(Fault(act))
    with Server(faults) as server:
        transport = Transport("nylas", base_url=server.url, read_timeout=0.3)
        with suppress(TransientError):
            transport.send("GET", f"{server.url}/v3/grants?email=ann@contoso.example", headers={})
    told = traced.span("GET nylas")
    assert attributes(told).items() >= {"vendor": "nylas", "status": status}.items()
    assert "contoso" not in told.to_json()
    points = traced.exported()["mailsync.vendor.duration"]
    assert points[("status", status), ("vendor", "nylas")].count == 1


def test_what_a_distribution_would_tell_by_itself_of_each_request_is_taken_back() -> None:
    """Its spans hold whole URLs, and Dataverse's queries name people."""
    with tracing() as traced, Server(Faults(NylasStandIn(API_KEY).app)) as server:
        telemetry.end()
        RequestsInstrumentor().instrument()
        requests.get(f"{server.url}/v3/grants?email=ann@contoso.example", timeout=5).close()
        assert len(traced.spans) == 1
        telemetry.begin()
        requests.get(f"{server.url}/v3/grants?email=ann@contoso.example", timeout=5).close()
        assert len(traced.spans) == 1


def test_a_gate_that_closes_is_counted(traced: Traced) -> None:
    gate = Gate("dataverse", clock=Clock(), scope=Scope.ORGANISATION)
    with pytest.raises(ThrottledError), gate.passing():
        raise ThrottledError("slower", reason="dataverse_throttled", scope=Scope.ORGANISATION, retry_after=3)
    assert traced.exported()["mailsync.gate.closings"][(("gate", "dataverse"),)].value == 1


def test_a_token_that_was_fetched_and_one_that_was_not_are_counted(traced: Traced) -> None:
    def failing() -> Tokens:
        raise ServiceRequestError("connection refused")

    class Credential:
        def get_token(self, *_: str) -> AccessToken:
            return AccessToken("a", 2**33)

    for make in (Credential, failing):
        gate = Gate("entra", clock=Clock(), scope=Scope.ORGANISATION)
        with suppress(TransientError):
            Tokens(make, resource="https://x", gate=gate).current()
    points = traced.exported()["mailsync.token.refreshes"]
    assert {dict(by)["result"]: point.value for by, point in points.items()} == {"fetched": 1, "entra_unreachable": 1}
