"""What the app tells of itself: log lines, metrics and spans, under names that never change meaning.

Ids always; addresses, subjects, bodies and secrets never. Log lines are always written. Metrics and spans go through
the OpenTelemetry API once `begin` was called, to whatever exporter the process was given; before that nothing of
OpenTelemetry is imported, and each call here returns at once.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from logging import DEBUG, ERROR, INFO, WARNING
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mailsync.errors import MailSyncError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, Meter, Observation
    from opentelemetry.trace import Link

Event = Literal[
    "notification_accepted",
    "notification_ignored",
    "notification_refused",
    "ingest_unavailable",
    "webhook_unwell",
    "webhook_not_looked_at",
    "email_written",
    "email_already_there",
    "email_adopted",
    "email_removed",
    "email_linked",
    "message_known",
    "message_skipped",
    "messages_without_id",
    "table_left_out",
    "message_gone",
    "item_deferred",
    "item_put_aside",
    "item_revived",
    "writing_stopped",
    "sweep_started",
    "sweep_window_done",
    "sweep_dropped",
    "state_measured",
    "mailbox_verified",
    "verify_done",
    "counts_delayed",
    "grant_recorded",
    "message_erased",
    "backfill_moved",
    "journal_shortened",
    "journal_not_shortened",
    "erased_not_recognised",
]

Metric = Literal[
    "mailsync.outcomes",
    "mailsync.end_to_end",
    "mailsync.from_date",
    "mailsync.freshness",
    "mailsync.journal.lag",
    "mailsync.queue.depth",
    "mailsync.queue.age",
    "mailsync.unexplained",
    "mailsync.vendor.duration",
    "mailsync.token.refreshes",
    "mailsync.gate.closings",
]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a metric measures."""

    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    by: tuple[str, ...]
    """What it is told apart by."""
    says: str


METRICS: Mapping[Metric, Meaning] = {
    "mailsync.outcomes": Meaning(
        "counter", "{outcome}", ("kind", "reason"), "outcomes of attempts at a message, as in the journal"
    ),
    "mailsync.end_to_end": Meaning(
        "histogram", "s", ("kind",), "from a notification to the email that stands in Dataverse"
    ),
    "mailsync.from_date": Meaning(
        "histogram", "s", ("kind",), "from the provider's date of a new message to its email in Dataverse"
    ),
    "mailsync.freshness": Meaning(
        "gauge", "s", ("grant",), "how long ago the moment was up to which a mailbox's mail is accounted for"
    ),
    "mailsync.journal.lag": Meaning(
        "gauge",
        "s",
        ("grant",),
        "how long the message on its way that waits longest in a mailbox had waited at its sweep",
    ),
    "mailsync.queue.depth": Meaning("gauge", "{item}", ("queue",), "items on a queue, hidden ones too"),
    "mailsync.queue.age": Meaning("gauge", "s", ("queue",), "how long the item at the head of a queue has been there"),
    "mailsync.unexplained": Meaning(
        "gauge", "{message}", ("grant",), "messages that the last nightly proof could not account for"
    ),
    "mailsync.vendor.duration": Meaning(
        "histogram", "s", ("vendor", "status"), "one request; status is HTTP's, or the reason of no answer"
    ),
    "mailsync.token.refreshes": Meaning(
        "counter", "{token}", ("result",), "tokens asked of Entra: fetched, or the reason"
    ),
    "mailsync.gate.closings": Meaning(
        "counter", "{closing}", ("gate",), "times that a dependency in trouble was left alone"
    ),
}
"""Every metric there is. None is told apart by a message or a person other than by their mailbox's grant."""
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400)
"""The bounds of the histograms."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a log line says, and how loud."""

    level: int
    says: str


EVENTS: Mapping[Event, Line] = {
    "notification_accepted": Line(INFO, "a webhook's item is on the queue"),
    "notification_ignored": Line(DEBUG, "signed, but of a type we don't use"),
    "notification_refused": Line(WARNING, "bad signature (401), not a notification (400), too large (413)"),
    "ingest_unavailable": Line(ERROR, "answered 503: settings or storage; Nylas tries again, the sweep finds the rest"),
    "webhook_unwell": Line(
        ERROR, "told with each sweep's timer while no webhook to the app is `active` at Nylas; the sweep finds the mail"
    ),
    "webhook_not_looked_at": Line(WARNING, "Nylas could not be asked for the state of its webhooks just now"),
    "email_written": Line(INFO, "a completed email stands in Dataverse"),
    "email_already_there": Line(INFO, "it stood there already under our own id"),
    "email_adopted": Line(INFO, "something else had put it there"),
    "email_removed": Line(INFO, "it stood in Dataverse once and somebody removed it; it stays gone"),
    "email_linked": Line(INFO, "a reply written before its parent was linked to it, or Dataverse refused the link"),
    "message_known": Line(INFO, "the journal knows it as done; nothing was read"),
    "message_skipped": Line(INFO, "a rule keeps it out"),
    "messages_without_id": Line(
        WARNING, "a listing holds messages that nobody can ask for; the others are looked after"
    ),
    "table_left_out": Line(
        INFO, "a table or lookup of Dataverse's is not there or not ours to read; mail goes on without it"
    ),
    "message_gone": Line(INFO, "deleted from the mailbox before it could be read"),
    "item_deferred": Line(WARNING, "back on the queue, with the wait and the evidence"),
    "item_put_aside": Line(ERROR, "kept in the table `aside` for a person"),
    "item_revived": Line(WARNING, "it crashed the process five times; one more life, alone and a minute later"),
    "writing_stopped": Line(ERROR, "too many messages were put aside: look at the reason before it goes on by itself"),
    "sweep_started": Line(INFO, "the timer enqueued one sweep for each valid grant"),
    "sweep_window_done": Line(INFO, "a window was listed to its end: how many messages, how many missed"),
    "sweep_dropped": Line(DEBUG, "another sweep of the same mailbox is at work"),
    "state_measured": Line(
        INFO,
        "with each sweep's timer: what waits on the queues and on the poison queues, the worst freshness and lag of a "
        "mailbox, and what the last proofs left unexplained",
    ),
    "mailbox_verified": Line(INFO, "what the nightly proof of a mailbox came to, or why none was made"),
    "verify_done": Line(
        INFO,
        "how many mailboxes the night proved and how many are left for the next, and the sums over all; "
        "of `not_looked_through`, disconnected or waiting for a sign-in, the journal alone was counted",
    ),
    "counts_delayed": Line(INFO, "counts of outcomes could not be written just now; they go with the next"),
    "grant_recorded": Line(INFO, "a mailbox was connected, expired or removed"),
    "message_erased": Line(INFO, "its mail was erased for a person; it stays out, whoever brings it"),
    "backfill_moved": Line(
        INFO, "a page of a backfill is on the queue, or it was begun, paused, resumed, cancelled, failed or is done"
    ),
    "journal_shortened": Line(
        INFO,
        "how many records and sightings older than `JOURNAL_RETENTION_DAYS` lie under keyed hashes now, and how many "
        "rows of `aside` that were replayed longer ago are gone",
    ),
    "journal_not_shortened": Line(
        ERROR, "`ERASURE_KEY` is missing or another one than before; nothing is shortened meanwhile, and mail flows"
    ),
    "erased_not_recognised": Line(
        ERROR,
        "with each sweep's timer while `ERASURE_KEY` is missing or another one than before and something was erased or "
        "shortened: mail flows, and what was erased can come back",
    ),
}
"""Every event there is, as docs/operate.md shows them."""
log = logging.getLogger("mailsync")


def emit(event: Event, **fields: object) -> None:
    """Write `event=<name> field=value ...` at the level the event deserves; empty fields are left out."""
    level = EVENTS[event].level
    if log.isEnabledFor(level):
        told = " ".join(f"{name}={_on_one_line(value)}" for name, value in fields.items() if value not in (None, ""))
        log.log(level, "event=%s %s", event, told)


def _on_one_line(value: object) -> str:
    """A value without line ends and control characters: ids come from outside, and a line is one event."""
    text = str(value)
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


class Invocation(Protocol):
    """What the Functions worker gives a function as its `context`."""

    @property
    def trace_context(self) -> Any:
        """The trace that the host gave this invocation, as `Traceparent` and `Tracestate`."""


@dataclass(slots=True)
class Asked:
    """One request to a vendor, and how it ended: HTTP's status, or the reason of no answer."""

    status: str = ""


SpanKind = Literal["internal", "client"]
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def begin() -> bool:
    """From now on metrics and spans are made; whoever configured OpenTelemetry's SDK says where they go.

    False where OpenTelemetry isn't installed: then there are log lines alone.
    """
    global _on  # noqa: PLW0603  # a process has one telemetry, as it has one logging
    if _on is None:
        _keep_urls_out()
        # the exporter's own requests would be lines to export, which would be requests
        logging.getLogger("azure").setLevel(logging.WARNING)
        try:
            _on = _made()
        except ImportError:
            log.warning("telemetry is switched on and OpenTelemetry is not installed: there are log lines alone")
    return _on is not None


def end() -> None:
    """Make no more metrics and spans."""
    global _on  # noqa: PLW0603
    _on = None


def measure(metric: Metric, value: float, **by: str) -> None:
    """Add to a counter, or record a value of a histogram or gauge."""
    if _on is not None:
        _on.measure(metric, value, by)


@contextmanager
def invoked(context: Invocation | None) -> Iterator[None]:
    """Inside, spans belong to the trace that the host gave an invocation.

    From Python 3.13 on the worker runs a plain `def` without it (azure-functions-runtime 1.3.0, read 2026-11).
    """
    if _on is None or context is None:
        yield
        return
    with _on.within(context.trace_context.Traceparent, context.trace_context.Tracestate):
        yield


@contextmanager
def span(
    name: str, told: Mapping[str, object] | None = None, *, parent: str | None = None, kind: SpanKind = "internal"
) -> Iterator[None]:
    """A piece of work; what is `told` of it are ids and outcomes.

    `parent`: the W3C trace context that came with an item over its queue. The trace we are in is linked then.
    """
    if _on is None:
        yield
        return
    with _on.span(name, parent if parent and _TRACEPARENT.fullmatch(parent) else None, kind, told or {}):
        yield


def mark(**told: object) -> None:
    """Tell more of the work we are in."""
    if _on is not None:
        _on.mark(told)


def traceparent() -> str | None:
    """The work we are in, as W3C trace context, to go with an item over its queue; None where nobody traces."""
    return _on.traceparent() if _on is not None else None


@contextmanager
def asked(vendor: str, method: str) -> Iterator[Asked]:
    """One request to a vendor, timed; neither its address nor its content is told, since either may name people."""
    request = Asked()
    if _on is None:
        yield request
        return
    began = time.monotonic()
    with span(f"{method} {vendor}", {"vendor": vendor}, kind="client"):
        try:
            yield request
        except MailSyncError as error:
            request.status = request.status or error.reason
            raise
        finally:
            measure("mailsync.vendor.duration", time.monotonic() - began, vendor=vendor, status=request.status)
            mark(status=request.status)


class _OpenTelemetry:
    """The API's tracer and instruments; made only when they are wanted, since its import costs a cold start."""

    def __init__(self) -> None:
        from opentelemetry import context, metrics, trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._context = context
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        self._tracer = trace.get_tracer("mailsync")
        meter = metrics.get_meter("mailsync")
        self._record = {name: _recorder(meter, name, meaning) for name, meaning in METRICS.items()}

    def measure(self, metric: Metric, value: float, by: Mapping[str, str]) -> None:
        self._record[metric](value, by)

    @contextmanager
    def within(self, traceparent: str | None, tracestate: str | None = None) -> Iterator[None]:
        token = self._context.attach(self._extracted(traceparent or "", tracestate or ""))
        try:
            yield
        finally:
            self._context.detach(token)

    @contextmanager
    def span(self, name: str, parent: str | None, kind: SpanKind, told: Mapping[str, object]) -> Iterator[None]:
        kinds = self._trace.SpanKind
        started = self._tracer.start_as_current_span(
            name,
            context=self._extracted(parent, "") if parent else None,
            links=self._links() if parent else (),
            kind=kinds.CLIENT if kind == "client" else kinds.INTERNAL,
            attributes=_attributes(told),
            record_exception=False,  # its text could quote mail
            set_status_on_exception=False,
        )
        with started as made:
            try:
                yield
            except BaseException as error:
                made.set_attribute("error.type", type(error).__name__)
                made.set_status(self._trace.StatusCode.ERROR)
                raise

    def mark(self, told: Mapping[str, object]) -> None:
        self._trace.get_current_span().set_attributes(_attributes(told))

    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get("traceparent")

    def _extracted(self, traceparent: str, tracestate: str) -> Context:
        carrier = {"traceparent": traceparent, **({"tracestate": tracestate} if tracestate else {})}
        return self._propagator.extract(carrier, context=self._context.Context())

    def _links(self) -> tuple[Link, ...]:
        here = self._trace.get_current_span().get_span_context()
        return (self._trace.Link(here),) if here.is_valid else ()


@cache
def _made() -> _OpenTelemetry:
    """One for the life of the process: the SDK takes each name of an instrument once."""
    return _OpenTelemetry()


_on: _OpenTelemetry | None = None


class _ToldOnce:
    """The values of a gauge that no export has taken yet.

    The API's own gauge is exported again and again until it is set anew: an instance that measured the queues once
    would go on telling so beside the one that measures them now.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[tuple[str, str], ...], float] = {}
        self._lock = threading.Lock()

    def set(self, value: float, by: Mapping[str, str]) -> None:
        with self._lock:
            self._values[tuple(sorted(by.items()))] = value

    def __call__(self, _: CallbackOptions) -> list[Observation]:
        from opentelemetry.metrics import Observation

        with self._lock:
            taken, self._values = self._values, {}
        return [Observation(value, dict(by)) for by, value in taken.items()]


def _recorder(meter: Meter, name: Metric, meaning: Meaning) -> Callable[[float, Mapping[str, str]], None]:
    if meaning.kind == "counter":
        return meter.create_counter(name, meaning.unit, meaning.says).add
    if meaning.kind == "gauge":
        gauge = _ToldOnce()
        meter.create_observable_gauge(name, [gauge], meaning.unit, meaning.says)
        return gauge.set
    return meter.create_histogram(name, meaning.unit, meaning.says, explicit_bucket_boundaries_advisory=SECONDS).record


def _attributes(told: Mapping[str, object]) -> dict[str, str | int | float | bool]:
    """What a span can hold; what is empty is left out, as in a log line."""
    return {
        name: value if isinstance(value, (int, float, bool)) else _on_one_line(value)
        for name, value in told.items()
        if value not in (None, "")
    }


def _keep_urls_out() -> None:
    """Take back what the Azure Monitor distribution does by itself with every request: its spans hold whole URLs, and
    those of Dataverse's queries name people."""
    for library, name in (("requests", "RequestsInstrumentor"), ("urllib3", "URLLib3Instrumentor")):
        loaded = sys.modules.get(f"opentelemetry.instrumentation.{library}")
        instrumentor = getattr(loaded, name)() if loaded is not None else None
        if instrumentor is not None and instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.uninstrument()
