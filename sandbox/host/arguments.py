"""What a function is given besides an HTTP request or a timer: its context, and the message of its queue.

Responsible for a message's metadata and what of a JSON message overrides it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
import secrets
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import azure.functions as func
from azure.functions.queue import QueueMessage as TriggerMessage

from sandbox.host.errors import FunctionError
from sandbox.host.outputs import ISO_DATE, host_date


class _Trace:
    """The trace this invocation belongs to: the caller's, or a new one."""

    def __init__(self, function: str, caller: Mapping[str, str]) -> None:
        given = re.fullmatch(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", caller.get("traceparent", ""))
        trace = given[1] if given else secrets.token_hex(16)
        self.trace_parent = self.Traceparent = f"00-{trace}-{secrets.token_hex(8)}-01"
        self.trace_state = self.Tracestate = caller.get("tracestate", "") if given else ""
        self.attributes = self.Attributes = {"OperationName": function}


class Context(func.Context):
    """What a function's `context` parameter gets; there is no retry context, since nothing retries by policy."""

    invocation_id = function_name = function_directory = ""
    trace_context: Any = None
    retry_context: Any = None
    thread_local_storage: Any = threading.local()

    def __init__(self, function: str, app_dir: Path, caller: Mapping[str, str]) -> None:
        self.invocation_id = str(uuid.uuid4())
        self.function_name = function
        self.function_directory = str(app_dir)
        self.trace_context = _Trace(function, caller)
        self.thread_local_storage.invocation_id = self.invocation_id


def trigger_message(body: str | bytes, metadata: Mapping[str, Any]) -> TriggerMessage:
    """The message a queue function gets.

    Top-level properties of a JSON object win over the metadata of the same name in any case: the real host
    merges both into its binding data (seen 2026-11-22 with the real workers).
    """
    values = {**metadata, **_overrides(body, metadata)}
    try:
        dequeue_count = int(values["dequeuecount"])
    except ValueError:
        raise FunctionError(f"a message's dequeue count is '{values['dequeuecount']}'") from None
    return TriggerMessage(
        id=values["id"],
        body=body,
        dequeue_count=dequeue_count,
        expiration_time=_moment(values["expirationtime"]),
        insertion_time=_moment(values["insertiontime"]),
        time_next_visible=_moment(values["nextvisibletime"]),
        pop_receipt=values["popreceipt"],
    )


def metadata_by_hand() -> dict[str, Any]:
    """The metadata of a message that never was in a queue."""
    never = dt.datetime.max.replace(tzinfo=dt.UTC)
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    return {
        "id": None,
        "dequeuecount": 0,
        "expirationtime": never,
        "insertiontime": now,
        "nextvisibletime": never,
        "popreceipt": None,
    }


def _overrides(body: str | bytes, metadata: Mapping[str, Any]) -> dict[str, str]:
    text = body.strip() if isinstance(body, str) else ""
    if not (text.startswith("{") and text.endswith("}")):
        return {}
    with contextlib.suppress(ValueError):
        return {
            name.lower(): host_date(value) if isinstance(value, str) else str(value)
            for name, value in json.loads(text).items()
            if name.lower() in metadata and value is not None and not isinstance(value, list)
        }
    return {}


def _moment(value: object) -> dt.datetime | None:
    """A moment as the worker reads it from metadata; other text fails the function."""
    if value is None or isinstance(value, dt.datetime):
        return value
    if value == "":
        return None
    if not isinstance(value, str) or ISO_DATE.fullmatch(value) is None:
        raise FunctionError(f"a message's metadata holds '{value}', which is no date")
    return dt.datetime.fromisoformat(value)
