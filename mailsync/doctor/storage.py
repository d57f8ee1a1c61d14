"""Whether the storage account is there and takes what the app writes."""

from __future__ import annotations

from collections.abc import Callable

from mailsync.doctor.findings import Findings, Result, clock_finding, good, looked, named, unknown, warning
from mailsync.storage.probe import QUEUES, TABLES, Probe

TOPIC = "storage"
DEEP = 10_000
"""Messages that wait in one queue and are worth a word."""


def examine_storage(probe: Callable[[], Probe], *, now: float) -> Findings:
    """Queues, tables, rights, and the clock."""
    queues = list(looked(TOPIC, "queues", lambda: _queues(probe())))
    yield from queues
    if any(one.result is Result.UNKNOWN for one in queues):
        yield unknown(TOPIC, "tables", "the account is not reached")
        return
    yield from looked(TOPIC, "writing queues", lambda: _tried_queue(probe()))
    yield from looked(TOPIC, "tables", lambda: _tables(probe()))
    yield from looked(TOPIC, "writing tables", lambda: _tried_table(probe()))
    yield from looked(TOPIC, "clock", lambda: clock_finding(TOPIC, probe().dates.told, now))


def _queues(probe: Probe) -> Findings:
    depths = {name: probe.depth(name) for name in QUEUES}
    missing = [name for name, depth in depths.items() if depth is None and not name.endswith("-poison")]
    told = ", ".join(f"{name} {depth}" for name, depth in depths.items() if depth is not None)
    if missing:
        yield good(TOPIC, "queues", f"not made yet, which the first item does: {', '.join(missing)}")
    if told:
        yield good(TOPIC, "queues", f"messages: {told}")
    for name, depth in depths.items():
        if name.endswith("-poison") and depth:
            yield warning(
                TOPIC,
                "poison",
                f"{depth} messages lie in {name}",
                "it should empty itself within minutes: does the app run? Then `aside list`; what is no base64 stays",
            )
        elif depth and depth > DEEP:
            yield warning(TOPIC, "queues", f"{depth} messages wait in {name}", "see `verify`, and what is deferred")


def _tried_queue(probe: Probe) -> Findings:
    probe.try_queue()
    yield good(TOPIC, "writing queues", "a message was put and taken")


def _tables(probe: Probe) -> Findings:
    missing = [name for name in TABLES if not probe.has_table(name)]
    there = [name for name in TABLES if name not in missing]
    if there:
        yield good(TOPIC, "tables", f"there: {named(there)}")
    if missing:
        yield good(TOPIC, "tables", f"not made yet, which the first row does: {named(missing)}")


def _tried_table(probe: Probe) -> Findings:
    probe.try_table()
    yield good(TOPIC, "writing tables", "a row was written and taken away")
