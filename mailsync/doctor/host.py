"""Whether host.json and the host's own settings are what the code counts on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mailsync.doctor.findings import Finding, Findings, bad, good, warning

TOPIC = "host"
RUNTIME = "FUNCTIONS_WORKER_RUNTIME"
OVERRIDES = "AzureFunctionsJobHost__"
"""How app settings begin that overrule host.json."""
LONGEST_WORK = 240.0 + 105.0
"""Seconds that a function may take: the budget of a write, and the longest answer it may be waiting for then."""


def examine_host(host: Mapping[str, Any] | None, env: Mapping[str, str]) -> Findings:
    """Every assumption, one by one."""
    if host is None:
        yield bad(TOPIC, "host.json", "is missing or no JSON", "deploy the app whole; host.json is part of it")
    else:
        yield from _queues(host)
        yield from _rest(host)
    overrides = sorted(name for name in env if name.startswith(OVERRIDES))
    if overrides:
        yield warning(
            TOPIC, "overrides", f"app settings overrule host.json: {', '.join(overrides)}", "take these settings away"
        )
    runtime = env.get(RUNTIME, "").strip()
    if runtime in {"", "python"}:
        yield good(TOPIC, RUNTIME, "python" if runtime else "not set, as on Flex Consumption")
    else:
        yield bad(TOPIC, RUNTIME, f"is {runtime}", f"set {RUNTIME} to python")


def _queues(host: Mapping[str, Any]) -> Findings:
    queues = _at(host, "extensions", "queues") or {}
    poll = seconds_of(queues.get("maxPollingInterval", "00:01:00"))
    yield _judged(
        "maxPollingInterval",
        poll is not None and poll <= 5,
        f"{poll} s",
        "set 00:00:02: a message waits for the next look of the host, since ours do not wake it",
    )
    again = seconds_of(queues.get("visibilityTimeout", "00:00:00"))
    yield _judged(
        "visibilityTimeout",
        again is not None and 5 <= again <= 300,
        f"{again} s",
        "set 00:00:30: without it an item that crashed comes back at once, five times in a second",
    )
    encoding = queues.get("messageEncoding", "base64")
    yield _judged("messageEncoding", encoding == "base64", str(encoding), "set base64: that is how items are written")
    times = queues.get("maxDequeueCount", 5)
    yield _judged(
        "maxDequeueCount",
        isinstance(times, int) and 3 <= times <= 10,
        str(times),
        "set 5: fewer makes an innocent item poison, more lets a deadly one kill for long",
    )
    at_once = queues.get("batchSize", 16), queues.get("newBatchThreshold", 8)
    total = sum(one for one in at_once if isinstance(one, int))
    yield _judged(
        "batchSize",
        1 <= total <= 48,
        f"{total} items at once",
        "set batchSize 16 and newBatchThreshold 8: more work at once than there are connections",
    )


def _rest(host: Mapping[str, Any]) -> Findings:
    limit = host.get("functionTimeout")
    seconds = float("inf") if limit in {None, "-1"} else seconds_of(str(limit))
    yield _judged(
        "functionTimeout",
        seconds is not None and seconds >= LONGEST_WORK,
        str(limit or "the plan's"),
        "set 00:10:00: a function that is cut off takes all others of its process with it",
    )
    prefix = _at(host, "extensions", "http", "routePrefix")
    yield _judged(
        "routePrefix", prefix in {None, "api"}, str(prefix or "api"), "leave it: the webhook's URL begins with /api"
    )
    sampling = _at(host, "logging", "applicationInsights", "samplingSettings") or {}
    excluded = set(str(sampling.get("excludedTypes", "")).split(";"))
    yield _judged(
        "sampling",
        sampling.get("isEnabled") is False or "Trace" in excluded,
        "leaves log lines out" if "Trace" not in excluded else "keeps every log line",
        "add Trace to excludedTypes: alerts count log lines",
    )
    bundle = _at(host, "extensionBundle", "id")
    yield _judged(
        "extensionBundle",
        bundle == "Microsoft.Azure.Functions.ExtensionBundle",
        str(bundle or "none"),
        "set the bundle of host.json as it is delivered: without it no queue is read",
    )


def _judged(checked: str, fits: bool, says: str, todo: str) -> Finding:
    return good(TOPIC, checked, says) if fits else bad(TOPIC, checked, says, todo)


def seconds_of(text: object) -> float | None:
    """The seconds of a time span such as 00:00:02; None where it is none."""
    found = re.fullmatch(r"(?:(\d+)\.)?(\d\d):(\d\d):(\d\d(?:\.\d+)?)", str(text))
    if found is None:
        return None
    days, hours, minutes, seconds = found.groups()
    return int(days or 0) * 86_400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _at(host: Mapping[str, Any], *path: str) -> Any:
    found: Any = host
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
