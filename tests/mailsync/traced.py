"""OpenTelemetry's own SDK in this process, with exporters that remember: what an exporter would be given.

A process has one SDK for its life (the API takes no second one), so all tests share it and empty it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mailsync import telemetry


class Traced:
    """What was told since it was last emptied."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        # as Azure Monitor's exporter has it: what was added since the last export
        added = AggregationTemporality.DELTA
        self._metrics = InMemoryMetricReader(preferred_temporality={Counter: added, Histogram: added})
        tracing = TracerProvider()
        tracing.add_span_processor(SimpleSpanProcessor(self._spans))
        trace.set_tracer_provider(tracing)
        metrics.set_meter_provider(MeterProvider([self._metrics]))

    def clear(self) -> None:
        """Forget all."""
        self._spans.clear()
        self.exported()

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that ended, in that order."""
        return self._spans.get_finished_spans()

    def span(self, name: str) -> ReadableSpan:
        """The one span of this name."""
        (found,) = (one for one in self.spans if one.name == name)
        return found

    def exported(self) -> dict[str, dict[tuple[tuple[str, str], ...], Any]]:
        """What one export of the metrics holds: by name, then by what the values are told apart by."""
        data = self._metrics.get_metrics_data()
        found: dict[str, dict[tuple[tuple[str, str], ...], Any]] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        by = tuple(sorted((point.attributes or {}).items()))
                        found.setdefault(metric.name, {})[by] = point
        return found


@cache
def _once() -> Traced:
    return Traced()


@contextmanager
def tracing() -> Iterator[Traced]:
    """Telemetry is on inside."""
    traced = _once()
    assert telemetry.begin()
    traced.clear()
    try:
        yield traced
    finally:
        telemetry.end()


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    """What a span tells."""
    return dict(span.attributes or {})


def identity(span: ReadableSpan) -> str:
    """A span as W3C trace context."""
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"
