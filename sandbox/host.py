"""A small host for Azure Functions apps in Python's v2 model, for machines without the `func` command.

It imports an app's function_app.py and runs its own HTTP, queue and timer triggers, through azure-functions'
public API only, against any storage account that a connection string names. It is responsible for what the
real host does around a function: routes, queue batches and poison, schedules, settings, output bindings.

What it keeps of the real host is what bites: routes in order of function name, no body without
Content-Length, no query parameter without a value, 500 with an empty body; hidden messages, dequeue counts,
poison queues, messages that are not base64, JSON properties that override a message's metadata, JSON text
that is rewritten on its way into a queue; `%SETTING%`; timers that never overlap; threads for `def`, one
event loop for `async def`.

What it does not keep: the worker's process, its checks of annotations and the conversion between processes
(some wrong return types pass), `functionTimeout`, several workers or instances, a timer's lock, stored
schedule, past-due runs and retry policy, the few schedules that are time spans, bindings other than HTTP,
queue and timer, route constraints other than int, limits of HTTP requests, Easy Auth, telemetry, Key Vault
references, storage connections without an account key. An app that leans on one of these runs under `func`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import collections
import concurrent.futures
import contextlib
import datetime as dt
import email.utils
import hmac
import importlib.util
import inspect
import json
import logging
import os
import random
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import typing
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import azure.functions as func
import urllib3
import uvicorn
from azure.functions.queue import QueueMessage as TriggerMessage
from azure.functions.timer import TimerRequest
from croniter import croniter

LOG = logging.getLogger("sandbox.host")

PROCESSING_VISIBILITY = 600.0
"""Seconds a message stays hidden while its function runs; the real host's own, fixed number."""

FIRST_POLL = 0.1
"""Seconds until an empty queue is asked again for the first time."""

THREADS = 1000
"""Functions that can run at once; what the real host sets when PYTHON_THREADPOOL_THREAD_COUNT is not."""


class HostError(RuntimeError):
    """The app cannot be run; the message says why."""


class FunctionError(RuntimeError):
    """One invocation failed for a reason that lies outside the function's own code."""


# ---------------------------------------------------------------- settings and host.json


class Settings:
    """Application settings, whose names are not case-sensitive."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in values.items()}

    def get(self, name: str) -> str | None:
        """A setting's value, or None."""
        return self._values.get(name.lower())

    def resolve(self, text: str) -> str:
        """The text with every `%SETTING%` replaced; a missing one is an error."""

        def value(match: re.Match[str]) -> str:
            if found := self.get(match[1]):
                return found
            raise HostError(f"'%{match[1]}%' does not resolve: there is no such setting")

        return re.sub(r"%([^%]+)%", value, text)

    def connection(self, name: str | None) -> str:
        """The connection string of a binding's `connection`."""
        name = name or "Storage"
        for candidate in (f"AzureWebJobs{name}", name):
            if found := self.get(candidate):
                return found
            if any(key.startswith(f"{candidate.lower()}__") for key in self._values):
                raise HostError(f"'{candidate}' connects by identity, which only the real host can")
        raise HostError(f"the connection '{name}' is missing: neither AzureWebJobs{name} nor {name} is set")

    def disabled(self, function: str) -> bool:
        """Whether a setting switches this function off."""
        return (self.get(f"AzureWebJobs.{function}.Disabled") or "").lower() in {"true", "1"}


def _seconds(text: str) -> float:
    """Seconds of a .NET time span such as 00:00:02 or 00:00:00.100."""
    match = re.fullmatch(r"(?:(\d+)\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2}(?:\.\d{1,7})?))?", text)
    if match is None:
        raise HostError(f"host.json: '{text}' is not a time span such as 00:00:30")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """host.json's `extensions.queues` with the extension's defaults and limits."""

    batch_size: int
    new_batch_threshold: int
    max_dequeue_count: int
    visibility_timeout: float
    max_polling_interval: float
    base64: bool

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Self:
        """Read the section."""
        batch_size = int(section.get("batchSize", 16))
        polling = _seconds(str(section.get("maxPollingInterval", "00:01:00")))
        encoding = str(section.get("messageEncoding", "base64")).lower()
        max_dequeue_count = int(section.get("maxDequeueCount", 5))
        if not 1 <= batch_size <= 32:
            raise HostError(f"host.json: batchSize must be 1 to 32, not {batch_size}")
        if max_dequeue_count < 1:
            raise HostError("host.json: maxDequeueCount must be at least 1")
        if polling < FIRST_POLL:
            raise HostError("host.json: maxPollingInterval must be at least 00:00:00.100")
        if encoding not in {"base64", "none"}:
            raise HostError(f"host.json: messageEncoding must be base64 or none, not {encoding}")
        return cls(
            batch_size=batch_size,
            new_batch_threshold=int(section.get("newBatchThreshold", batch_size // 2 * (os.cpu_count() or 1))),
            max_dequeue_count=max_dequeue_count,
            visibility_timeout=_seconds(str(section.get("visibilityTimeout", "00:00:00"))),
            max_polling_interval=polling,
            base64=encoding == "base64",
        )

    @property
    def concurrency(self) -> int:
        """Messages of one queue that can be in work at once."""
        return self.batch_size + self.new_batch_threshold

    def encode(self, body: bytes) -> str:
        """The text that stands in the queue for this body."""
        return base64.b64encode(body).decode("ascii") if self.base64 else body.decode("utf-8")

    def decode(self, text: str) -> bytes:
        """The body that a queue's text stands for; ValueError when it is not base64 and should be."""
        return base64.b64decode("".join(text.split()), validate=True) if self.base64 else text.encode("utf-8")


# ---------------------------------------------------------------- the app's functions


@dataclass(slots=True, eq=False)
class Function:
    """One function of the app: what it is bound to, and how often it ran."""

    name: str
    call: Callable[..., Any]
    trigger: Mapping[str, Any]
    outputs: tuple[Mapping[str, Any], ...]
    is_async: bool
    wants_text: bool
    context: str | None
    problem: str | None = None
    running: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def kind(self) -> str:
        """The trigger's type in lower case, such as queuetrigger."""
        return str(self.trigger["type"]).lower()

    @property
    def returns(self) -> Mapping[str, Any] | None:
        """The binding that takes the function's return value."""
        return next((binding for binding in self.outputs if binding["name"] == "$return"), None)


_OUTPUTS = {"httptrigger": {"http", "queue"}, "queuetrigger": {"queue"}, "timertrigger": {"queue"}}


def _function_of(built: Any, settings: Settings) -> Function:
    call = built.get_user_function()
    trigger = dict(built.get_trigger().get_dict_repr())
    bindings = [json.loads(raw) for raw in built.get_raw_bindings()]
    parameters = inspect.signature(call).parameters
    hints = typing.get_type_hints(call)
    function = Function(
        name=built.get_function_name(),
        call=call,
        # The JSON form has names and values as a function.json would, whatever Python's objects are.
        trigger=next(binding for binding in bindings if binding["name"] == trigger["name"]),
        outputs=tuple(binding for binding in bindings if binding["direction"] == "OUT"),
        is_async=inspect.iscoroutinefunction(call),
        wants_text=hints.get(trigger["name"]) is str,
        context="context" if "context" in parameters and trigger["name"] != "context" else None,
    )
    inputs = [binding for binding in bindings if binding["direction"] != "OUT"]
    bound = {binding["name"] for binding in bindings} - {"$return"}
    if set(parameters) - {function.context} != bound:
        raise HostError(f"'{function.name}' has the parameters {list(parameters)}, and {sorted(bound)} are bound")
    if function.kind not in _OUTPUTS:
        function.problem = f"this host does not run a {trigger['type']}"
    elif len(inputs) != 1:
        function.problem = "this host does not fill input bindings"
    elif wrong := [b["type"] for b in function.outputs if b["type"].lower() not in _OUTPUTS[function.kind]]:
        function.problem = f"this host does not write to {', '.join(wrong)}"
    elif settings.disabled(function.name):
        function.problem = "disabled by a setting"
    return function


def _import_app(app_dir: Path) -> ModuleType:
    script = app_dir / "function_app.py"
    spec = importlib.util.spec_from_file_location("function_app", script)
    if not script.is_file() or spec is None or spec.loader is None:
        raise HostError(f"there is no function_app.py in {app_dir}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["function_app"] = module
    spec.loader.exec_module(module)
    return module


def load_functions(app_dir: Path, settings: Settings) -> tuple[Function, ...]:
    """The functions of the app in this folder, in order of name; they can be asked for once in a process."""
    module = _import_app(app_dir)
    apps = [value for value in vars(module).values() if isinstance(value, func.FunctionApp)]
    if len(apps) != 1:
        raise HostError(f"function_app.py must hold exactly one FunctionApp, not {len(apps)}")
    functions = [_function_of(built, settings) for built in apps[0].get_functions()]
    return tuple(sorted(functions, key=lambda function: function.name.lower()))


# ---------------------------------------------------------------- what a function is given


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

    def __init__(self, function: Function, app_dir: Path, caller: Mapping[str, str]) -> None:
        self.invocation_id = str(uuid.uuid4())
        self.function_name = function.name
        self.function_directory = str(app_dir)
        self.trace_context = _Trace(function.name, caller)
        self.thread_local_storage.invocation_id = self.invocation_id


class Out(func.Out[Any]):
    """Holds what a function sets on an output parameter."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        """Keep the value until the function has returned."""
        self._value = val

    def get(self) -> Any:
        """The value set last."""
        return self._value


def _text_of(value: object) -> str:
    """What the host makes of a value of a JSON message that overrides metadata."""
    if isinstance(value, str):
        return _host_date(value)
    return str(value)


def _moment(value: object) -> dt.datetime | None:
    """A moment as the worker reads it from metadata; other text fails the function."""
    if value is None or isinstance(value, dt.datetime):
        return value
    if value == "":
        return None
    if not isinstance(value, str) or _ISO_DATE.fullmatch(value) is None:
        raise FunctionError(f"a message's metadata holds '{value}', which is no date")
    return dt.datetime.fromisoformat(value)


def trigger_message(body: str | bytes, metadata: Mapping[str, Any]) -> TriggerMessage:
    """The message a queue function gets.

    Top-level properties of a JSON object win over the metadata of the same name in any case: the real host
    merges both into its binding data (seen 2026-11-22 with the real workers).
    """
    values = dict(metadata)
    text = body.strip() if isinstance(body, str) else ""
    if text.startswith("{") and text.endswith("}"):
        with contextlib.suppress(ValueError):
            for name, value in json.loads(text).items():
                if name.lower() in values and value is not None and not isinstance(value, list):
                    values[name.lower()] = _text_of(value)
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


def _metadata_by_hand() -> dict[str, Any]:
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


# ---------------------------------------------------------------- queues


_ISO_DATE = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,7}))?(Z|([+-])(\d{2}):(\d{2}))?", re.ASCII)


def _host_date(text: str) -> str:
    """An ISO date as the host's JSON library writes it again: fraction trimmed, another zone turned to UTC."""
    match = _ISO_DATE.fullmatch(text)
    if match is None:
        return text
    clock, fraction, zone, sign, hours, minutes = match.groups()
    try:
        moment = dt.datetime.fromisoformat(clock)
    except ValueError:
        return text
    if sign:
        offset = dt.timedelta(hours=int(hours), minutes=int(minutes))
        moment += offset if sign == "-" else -offset
        zone = "+00:00"
    fraction = (fraction or "").rstrip("0")
    return moment.isoformat() + (f".{fraction}" if fraction else "") + (zone or "")


def _host_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _host_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_host_json(item) for item in value]
    return _host_date(value) if isinstance(value, str) else value


def _element(value: Any) -> bytes:
    """One element of a JSON array as the host turns it into a message."""
    if isinstance(value, str):
        return value.encode()
    if value is None:
        return b""
    if isinstance(value, bool):
        return str(value).encode()
    return json.dumps(value, indent=2, ensure_ascii=False).encode()


def queue_bodies(value: Any) -> list[bytes]:
    """The messages that the host sends for one value of a queue output.

    Bytes go unchanged. Text that looks like JSON is parsed and written again: an array becomes a message for
    each element, an object an indented text with its dates normalised.
    """
    if isinstance(value, bytes):
        return [value]
    if isinstance(value, func.QueueMessage):
        return [_element({"id": value.id, "body": value.get_body().decode()})]
    if isinstance(value, list | tuple):
        if any(not isinstance(item, str | func.QueueMessage) for item in value):
            raise FunctionError("a list for a queue holds strings and queue messages only")
        return [body for item in value for body in ([item.encode()] if isinstance(item, str) else queue_bodies(item))]
    if not isinstance(value, str):
        raise FunctionError(f"a queue output cannot hold a {type(value).__name__}")
    text = value.strip()
    if len(text) < 2 or text[0] + text[-1] not in {"{}", "[]"}:
        return [value.encode()]
    try:
        parsed = _host_json(json.loads(text))
    except ValueError as error:
        raise FunctionError(f"the host cannot parse a queue output that looks like JSON: {error}") from error
    return [_element(item) for item in (parsed if isinstance(parsed, list) else [parsed])]


_QUEUE_NAME = re.compile(r"(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")


class StorageError(RuntimeError):
    """The queue service did not do what it was asked; the status is 0 when it did not answer."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}" if status else code)
        self.status = status


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the queue service gives it."""

    id: str
    text: str
    dequeue_count: int
    receipt: str
    inserted: str
    expires: str
    next_visible: str

    @classmethod
    def of(cls, element: ET.Element) -> Self:
        """Read one element of the service's answer."""
        values = {child.tag: child.text or "" for child in element}
        return cls(
            id=values["MessageId"],
            text=values["MessageText"],
            dequeue_count=int(values["DequeueCount"]),
            receipt=values["PopReceipt"],
            inserted=values["InsertionTime"],
            expires=values["ExpirationTime"],
            next_visible=values["TimeNextVisible"],
        )

    def metadata(self) -> dict[str, object]:
        """What the host knows of it besides its body."""
        return {
            "id": self.id,
            "dequeuecount": self.dequeue_count,
            "expirationtime": email.utils.parsedate_to_datetime(self.expires),
            "insertiontime": email.utils.parsedate_to_datetime(self.inserted),
            "nextvisibletime": email.utils.parsedate_to_datetime(self.next_visible),
            "popreceipt": self.receipt,
        }


class QueueService:
    """The queues of one storage account, over the service's REST API.

    The SDK's pipeline takes more CPU for each message than all the rest of this host. The real host has a
    process of its own for that; here the app under measurement would seem to take it.
    """

    def __init__(self, connection: str, pool_size: int) -> None:
        parts = dict(part.split("=", 1) for part in connection.strip("; ").split(";"))
        if not parts.get("AccountName") or not parts.get("AccountKey"):
            raise HostError("this host needs a connection string with AccountName and AccountKey")
        self._account = parts["AccountName"]
        self._key = base64.b64decode(parts["AccountKey"])
        suffix = parts.get("EndpointSuffix", "core.windows.net")
        endpoint = parts.get("QueueEndpoint") or f"https://{self._account}.queue.{suffix}"
        self._path = urllib.parse.urlsplit(endpoint).path.rstrip("/")
        self._pool = urllib3.connection_from_url(
            endpoint,
            maxsize=pool_size,
            timeout=urllib3.Timeout(connect=5, read=30),
            retries=urllib3.Retry(
                2,
                allowed_methods=None,
                backoff_factor=0.5,
                raise_on_status=False,
                redirect=0,
                status_forcelist=(500, 502, 503, 504),
            ),
        )
        self._wakes: dict[str, threading.Event] = collections.defaultdict(threading.Event)

    def wake(self, queue: str) -> threading.Event:
        """Set when something was put into this queue here: its listener need not wait for its next poll."""
        return self._wakes[queue]

    def receive(self, queue: str, count: int, visibility: float) -> list[Message]:
        """Take up to so many messages and hide them."""
        query = {"numofmessages": str(count), "visibilitytimeout": str(int(visibility))}
        answer = self._call("GET", f"/{queue}/messages", query)
        try:
            return [Message.of(element) for element in ET.fromstring(answer.data)]
        except (ET.ParseError, KeyError, ValueError) as error:
            raise StorageError(0, f"the queue service's answer cannot be read: {error}") from error

    def put(self, queue: str, text: str) -> None:
        """Add a message; the queue is made when it is missing."""
        body = f"<QueueMessage><MessageText>{escape(text)}</MessageText></QueueMessage>".encode()
        try:
            self._call("POST", f"/{queue}/messages", body=body)
        except StorageError as error:
            if error.status != 404:
                raise
            self._call("PUT", f"/{queue}")
            self._call("POST", f"/{queue}/messages", body=body)
        self.wake(queue).set()

    def hide(self, queue: str, message: Message, receipt: str, seconds: float) -> str:
        """Hide a message for so long from now on; gives its new receipt."""
        query = {"popreceipt": receipt, "visibilitytimeout": str(int(seconds))}
        return str(self._call("PUT", f"/{queue}/messages/{message.id}", query).headers["x-ms-popreceipt"])

    def delete(self, queue: str, message: Message, receipt: str) -> None:
        """Delete a message; one that is gone already is no error."""
        try:
            self._call("DELETE", f"/{queue}/messages/{message.id}", {"popreceipt": receipt})
        except StorageError as error:
            if error.status != 404:
                raise

    def close(self) -> None:
        """Close the pooled connections."""
        self._pool.close()

    def _call(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: bytes = b""
    ) -> urllib3.BaseHTTPResponse:
        path, query = self._path + path, query or {}
        headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
        own = [f"{name}:{value}" for name, value in headers.items()]
        kind, length = ("application/xml", str(len(body))) if body else ("", "")
        resource = [f"/{self._account}{path}", *(f"{name}:{query[name]}" for name in sorted(query))]
        signed = "\n".join([method, "", "", length, "", kind, *[""] * 6, *own, *resource])
        digest = base64.b64encode(hmac.digest(self._key, signed.encode(), "sha256")).decode()
        headers |= {"Authorization": f"SharedKey {self._account}:{digest}"} | ({"Content-Type": kind} if kind else {})
        target = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        try:
            answer = self._pool.request(method, target, body=body or None, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise StorageError(0, f"the queue service does not answer: {type(error).__name__}") from error
        if answer.status >= 400:
            raise StorageError(answer.status, answer.headers.get("x-ms-error-code", answer.reason or ""))
        return answer


class _Lease:
    """A message in work and the receipt that proves it is ours."""

    __slots__ = ("due", "lock", "message", "receipt", "released")

    def __init__(self, message: Message, due: float) -> None:
        self.message = message
        self.receipt = message.receipt
        self.due = due
        self.released = False
        self.lock = threading.Lock()


class QueueListener:
    """Takes the messages of one queue and runs one function for each."""

    def __init__(self, host: Host, function: Function, service: QueueService, name: str) -> None:
        self.name = name
        # A poison queue has none of its own, nor has a queue whose name leaves no room for the ending.
        room = not name.endswith("-poison") and len(name) <= 63 - len("-poison")
        self.poison = f"{name}-poison" if room else None
        self._host = host
        self._function = function
        self._options = host.queue_options
        self._service = service
        self._wake = service.wake(name)
        self._half = host.processing_visibility / 2
        self._leases: dict[str, _Lease] = {}
        self._slot_free = threading.Condition()
        self._running = 0
        self._missing = False
        self._threads = [
            threading.Thread(target=self._poll, name=f"poll {name}", daemon=True),
            threading.Thread(target=self._renew, name=f"renew {name}", daemon=True),
        ]

    def start(self) -> None:
        """Begin to poll."""
        for thread in self._threads:
            thread.start()

    def end(self, patience: float) -> None:
        """Return when it polls no more."""
        self._wake.set()
        with self._slot_free:
            self._slot_free.notify()
        self._threads[0].join(patience)

    def _poll(self) -> None:
        idle = 0
        while not self._host.stopping.is_set():
            self._wake.clear()
            messages = self._receive()
            for message in messages:
                self._begin(message)
            with self._slot_free:
                while self._running > self._options.new_batch_threshold and not self._host.stopping.is_set():
                    self._slot_free.wait()
            if messages:
                idle = 0
            elif not self._host.stopping.is_set():
                self._wake.wait(self._pause(idle))
                idle += 1

    def _pause(self, idle: int) -> float:
        """Seconds until the next poll: growing from the first with every poll that found nothing."""
        longest = self._host.max_polling_interval
        return min(longest, FIRST_POLL * (1 + random.uniform(0.8, 1.2) * (2 ** min(idle, 20) - 1)))

    def _receive(self) -> list[Message]:
        try:
            messages = self._service.receive(self.name, self._options.batch_size, self._host.processing_visibility)
        except StorageError as error:
            if error.status != 404:
                LOG.warning("queue '%s' cannot be read: %s", self.name, error)
            elif not self._missing:
                LOG.info("queue '%s' is not there yet", self.name)
            self._missing = error.status == 404
            return []
        self._missing = False
        return messages

    def _begin(self, message: Message) -> None:
        lease = _Lease(message, time.monotonic() + self._half)
        with self._slot_free:
            self._leases[message.id] = lease
            self._running += 1
        self._host.submit(self._work, lease)

    def _work(self, lease: _Lease) -> None:
        try:
            self._process(lease)
        except StorageError as error:
            LOG.warning("queue '%s', message %s: %s", self.name, lease.message.id, error)
        except Exception:
            LOG.exception("queue '%s', message %s", self.name, lease.message.id)
        finally:
            self._let_go(lease)
            with self._slot_free:
                self._running -= 1
                if self._running <= self._options.new_batch_threshold:
                    self._slot_free.notify()

    def _process(self, lease: _Lease) -> None:
        message = lease.message
        if message.dequeue_count > self._options.max_dequeue_count:
            self._to_poison(lease, "was taken too often")
            return
        try:
            body = self._options.decode(message.text)
        except ValueError:
            self._to_poison(lease, "is not base64")
            return
        succeeded = self._run(message, body)
        self._let_go(lease)
        if succeeded:
            self._service.delete(self.name, message, lease.receipt)
        elif self.poison is None:
            LOG.warning("queue '%s' has no poison queue: message %s stays hidden", self.name, message.id)
        elif message.dequeue_count >= self._options.max_dequeue_count:
            self._to_poison(lease, "failed too often")
        else:
            self._service.hide(self.name, message, lease.receipt, self._options.visibility_timeout)
            if self._options.visibility_timeout == 0:
                self._wake.set()

    def _run(self, message: Message, body: bytes) -> bool:
        binary = str(self._function.trigger.get("dataType", "")).lower() == "binary"
        content = body if binary else body.decode("utf-8", "replace")
        return self._host.run(self._function, lambda: self._argument(content, message.metadata())).succeeded

    def _argument(self, content: str | bytes, metadata: Mapping[str, Any]) -> object:
        return content if self._function.wants_text else trigger_message(content, metadata)

    def by_hand(self, text: str) -> None:
        """Run the function once for a text that never was in the queue."""
        self._host.run(self._function, lambda: self._argument(text, _metadata_by_hand()))

    def _to_poison(self, lease: _Lease, why: str) -> None:
        if self.poison is None:
            return
        LOG.warning("message %s of '%s' %s: moved to '%s'", lease.message.id, self.name, why, self.poison)
        self._service.put(self.poison, lease.message.text)
        self._let_go(lease)
        self._service.delete(self.name, lease.message, lease.receipt)

    def _renew(self) -> None:
        """Keep messages hidden while they are in work."""
        while True:
            with self._slot_free:
                first = min(self._leases.values(), key=lambda lease: lease.due, default=None)
            pause = self._half if first is None else max(0.0, first.due - time.monotonic())
            if self._host.ended.wait(pause):
                return
            if first is not None and first.due <= time.monotonic():
                self._extend(first)

    def _extend(self, lease: _Lease) -> None:
        message = lease.message
        with lease.lock:
            if lease.released:
                return
            try:
                lease.receipt = self._service.hide(self.name, message, lease.receipt, self._host.processing_visibility)
            except StorageError as error:
                LOG.warning("message %s of '%s' is not kept: %s", message.id, self.name, error)
                lease.due = time.monotonic() + self._half / 4
            else:
                lease.due = time.monotonic() + self._half

    def _let_go(self, lease: _Lease) -> None:
        """From here on the receipt does not change."""
        with lease.lock:
            lease.released = True
        with self._slot_free:
            self._leases.pop(lease.message.id, None)


# ---------------------------------------------------------------- timers


_NAMES = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat"
_CRON_FIELD = re.compile(rf"(?:[0-9,*/-]|{_NAMES})+", re.IGNORECASE)


def next_run(schedule: str, after: dt.datetime) -> dt.datetime:
    """The first moment after this one that matches all fields of an NCRONTAB expression of six or five."""
    fields = schedule.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    # Croniter knows more than NCRONTAB does: names such as @daily, L, #, ?, and 7 for Sunday.
    if len(fields) != 6 or not all(_CRON_FIELD.fullmatch(one) for one in fields) or "7" in fields[5]:
        raise HostError(f"'{schedule}' is not an NCRONTAB expression of six (or five) fields")
    try:
        times = croniter(" ".join(fields), after, second_at_beginning=True, day_or=False)
        return times.get_next(dt.datetime)
    except ValueError as error:
        raise HostError(f"'{schedule}' is not a schedule: {error}") from error


class TimerListener:
    """Runs one function on its schedule, one run after the other."""

    def __init__(self, host: Host, function: Function, schedule: str) -> None:
        self._host = host
        self._function = function
        self._schedule = schedule
        self._last = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._next = next_run(schedule, dt.datetime.now(dt.UTC))
        self._thread = threading.Thread(target=self._loop, name=f"timer {function.name}", daemon=True)

    def start(self) -> None:
        """Begin to keep the schedule."""
        self._thread.start()

    def end(self, patience: float) -> None:
        """Return when it begins no more runs."""
        if self._thread.ident is not None:
            self._thread.join(patience)

    def by_hand(self) -> None:
        """Run the function now, outside its schedule."""
        self._host.run(self._function, self._request)

    def _loop(self) -> None:
        if self._function.trigger.get("runOnStartup"):
            self._fire()
        while not self._host.stopping.is_set():
            pause = (self._next - dt.datetime.now(dt.UTC)).total_seconds()
            if pause <= 0:
                self._fire()
            else:
                self._host.stopping.wait(min(pause, 3600.0))

    def _fire(self) -> None:
        began = dt.datetime.now(dt.UTC)
        with contextlib.suppress(concurrent.futures.CancelledError):
            self._host.submit(self._host.run, self._function, self._request).result()
        self._last = began
        self._next = next_run(self._schedule, dt.datetime.now(dt.UTC))

    def _request(self) -> TimerRequest:
        last = self._last.isoformat()
        return TimerRequest(
            past_due=False,
            schedule_status={"Last": last, "Next": self._next.isoformat(), "LastUpdated": last},
            schedule={"AdjustForDST": True},
        )


# ---------------------------------------------------------------- HTTP


_PARAMETER = re.compile(r"\{(\*{0,2})([A-Za-z_]\w*)(:int)?(\?)?\}")


class Route:
    """An HTTP function's path and methods."""

    def __init__(self, function: Function, path: str) -> None:
        self.function = function
        self.level = str(function.trigger.get("authLevel") or "FUNCTION").upper()
        methods = function.trigger.get("methods")
        self._methods = {str(method).upper() for method in methods} if methods else None
        self._pattern = re.compile("".join(map(self._segment, path.split("/"))) + "/?", re.IGNORECASE)

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The route parameters when this request is the function's, else None."""
        if self._methods is not None and method not in self._methods:
            return None
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        return {name: urllib.parse.unquote(value) for name, value in found.groupdict().items() if value is not None}

    @staticmethod
    def _segment(segment: str) -> str:
        parameter = _PARAMETER.fullmatch(segment)
        if parameter is None:
            if "{" in segment:
                raise HostError(f"this host does not know the route segment '{segment}'")
            return "/" + re.escape(segment)
        star, name, number, optional = parameter.groups()
        if star:
            return f"(?:/(?P<{name}>.*))?"
        one = f"/(?P<{name}>{r'-?[0-9]+' if number else '[^/]+'})"
        return f"(?:{one})?" if optional else one


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def _answer_of(value: object) -> Answer:
    """What the host makes of an HTTP function's return value."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            if isinstance(json.loads(value), dict | list):
                return Answer(200, value.encode(), (("content-type", "application/json; charset=utf-8"),))
        return Answer(200, value.encode(), (("content-type", "text/plain; charset=utf-8"),))
    if not isinstance(value, func.HttpResponse):
        raise FunctionError(f"an HTTP function returned a {type(value).__name__}, not a response")
    own = {"content-length", "transfer-encoding", "connection"}
    headers = [(name.lower(), text) for name, text in value.headers.items() if name.lower() not in own]
    if not any(name == "content-type" for name, _ in headers):
        kind = str(value.mimetype)
        headers.append(("content-type", f"{kind}; charset={value.charset}" if kind.startswith("text/") else kind))
    return Answer(value.status_code, value.get_body() or b"", tuple(headers))


def _query(text: str) -> dict[str, str]:
    """Query parameters as a function sees them: repeated ones joined, empty ones gone."""
    joined: dict[str, str] = {}
    for name, value in urllib.parse.parse_qsl(text, keep_blank_values=True):
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return {name: value for name, value in joined.items() if value}


def _headers(scope: Mapping[str, Any]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


class HttpFront:
    """The app's HTTP functions and the host's own addresses, as an ASGI app on a port of this machine."""

    def __init__(self, host: Host, routes: Sequence[Route], port: int) -> None:
        self._host = host
        self._routes = routes
        self._socket = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._serve,
                access_log=False,
                interface="asgi3",
                lifespan="off",
                log_config=None,
                log_level="warning",
                server_header=False,
                timeout_keep_alive=75,
                ws="none",
            )
        )
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Serve; returns when requests are answered."""
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise HostError("the HTTP server did not start")
            time.sleep(0.002)

    def stop(self, patience: float) -> None:
        """Take no more requests, and let those that are being answered end."""
        self._server.config.timeout_graceful_shutdown = max(1, round(patience))
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(patience + 5)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    async def _serve(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        parts = []
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        answer = await self._answer(scope, b"".join(parts))
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        bare = scope["method"] == "HEAD" or answer.status in {204, 304}
        await send({"type": "http.response.body", "body": b"" if bare else answer.body})

    async def _answer(self, scope: Mapping[str, Any], body: bytes) -> Answer:
        method, path = scope["method"], scope["raw_path"].decode("latin-1")
        headers = _headers(scope)
        if path == "/":
            return Answer(200, b"The function app is up and running.\n", (("content-type", "text/plain"),))
        if path.startswith("/admin/"):
            return self._admin(method, path, headers, scope, body)
        for route in self._routes:
            values = route.match(method, path)
            if values is not None:
                if not self._allowed(route.level, headers, scope):
                    return Answer(401)
                if "content-length" not in headers:
                    body = b""  # the real host hands a worker no body of unknown length
                return await asyncio.wrap_future(self._host.submit(self._call, route, values, scope, headers, body))
        return Answer(404)

    def _call(
        self,
        route: Route,
        values: Mapping[str, str],
        scope: Mapping[str, Any],
        headers: Mapping[str, str],
        body: bytes,
    ) -> Answer:
        query = scope["query_string"].decode("latin-1")
        url = f"http://{headers.get('host', '127.0.0.1')}{scope['raw_path'].decode('latin-1')}"

        def request() -> func.HttpRequest:
            return func.HttpRequest(
                method=scope["method"],
                url=f"{url}?{query}" if query else url,
                headers=headers,
                params=_query(query),
                route_params=values,
                body=body,
            )

        done = self._host.run(route.function, request, caller=headers, finish=_answer_of)
        return done.value if done.succeeded else Answer(500)

    def _allowed(self, level: str, headers: Mapping[str, str], scope: Mapping[str, Any]) -> bool:
        keys = self._host.keys
        if keys is None or level == "ANONYMOUS":
            return True
        given = headers.get("x-functions-key") or _query(scope["query_string"].decode("latin-1")).get("code", "")
        accepted = [keys.master] if level == "ADMIN" else [keys.master, keys.function]
        return any(hmac.compare_digest(given.encode(), key.encode()) for key in accepted)

    def _admin(
        self, method: str, path: str, headers: Mapping[str, str], scope: Mapping[str, Any], body: bytes
    ) -> Answer:
        if not self._allowed("ADMIN", headers, scope):
            return Answer(401)
        if (method, path) == ("GET", "/admin/functions"):
            document = json.dumps(self._host.report()).encode()
            return Answer(200, document, (("content-type", "application/json; charset=utf-8"),))
        found = re.fullmatch(r"/admin/functions/([^/]+)", path)
        if method != "POST" or found is None:
            return Answer(404)
        try:
            text = json.loads(body or b"{}").get("input") or ""
        except (ValueError, AttributeError):
            return Answer(400)
        text = text if isinstance(text, str) else json.dumps(text)
        return Answer(202 if self._host.run_by_hand(found[1], text) else 404)


# ---------------------------------------------------------------- the host


@dataclass(frozen=True, slots=True)
class Keys:
    """The two keys of an app; a host that has none asks for none, as `func start` does."""

    function: str
    master: str


@dataclass(frozen=True, slots=True)
class Done:
    """How one invocation ended."""

    succeeded: bool
    value: Any = None


@dataclass(slots=True)
class _Listeners:
    http: HttpFront
    queues: dict[str, QueueListener] = field(default_factory=dict)
    timers: dict[str, TimerListener] = field(default_factory=dict)


class Host:
    """Runs the app of one folder in this process.

    The app itself reads `os.environ`; `settings` are what the host looks up for it.
    """

    def __init__(
        self,
        app_dir: Path,
        settings: Mapping[str, str] | None = None,
        port: int = 0,
        processing_visibility: float = PROCESSING_VISIBILITY,
        *,
        max_poll: float | None = None,
        timers: bool = True,
        keys: Keys | None = None,
    ) -> None:
        self.app_dir = app_dir.resolve()
        self.settings = Settings(os.environ if settings is None else settings)
        self.processing_visibility = max(1, int(processing_visibility))  # the service counts whole seconds
        self.keys = keys
        self.stopping = threading.Event()
        """Set when nothing new is begun."""
        self.ended = threading.Event()
        """Set when nothing runs any more."""
        host_json = self._read_host_json()
        self._has_bundle = bool(host_json.get("extensionBundle"))
        extensions = host_json.get("extensions", {})
        self.queue_options = QueueOptions.of(extensions.get("queues", {}))
        self.max_polling_interval = min(self.queue_options.max_polling_interval, max_poll or float("inf"))
        self._prefix = str(extensions.get("http", {}).get("routePrefix", "api")).strip("/")
        self._port = port
        self._with_timers = timers
        self._lock = threading.Lock()
        self._pending: set[concurrent.futures.Future[Any]] = set()
        self._services: dict[str, QueueService] = {}
        self.functions: tuple[Function, ...] = ()

    @property
    def url(self) -> str:
        """Where its HTTP functions are, without a slash at the end."""
        return f"http://127.0.0.1:{self._listeners.http.port}"

    @property
    def errors(self) -> dict[str, str]:
        """Functions that do not run, and why."""
        return {function.name: function.problem for function in self.functions if function.problem}

    def start(self) -> Self:
        """Import the app and begin to listen; functions in error are left out and reported."""
        sys.path.append(str(self.app_dir))  # last, as the real worker does
        try:
            self.functions = load_functions(self.app_dir, self.settings)
            self._listeners = self._listen()
        except BaseException:
            sys.path.remove(str(self.app_dir))
            raise
        threads = int(self.settings.get("PYTHON_THREADPOOL_THREAD_COUNT") or THREADS)
        self.pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="function")
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(target=self._loop.run_forever, name="async", daemon=True)
        self._loop_thread.start()
        self._listeners.http.start()
        for listener in (*self._listeners.queues.values(), *self._started_timers()):
            listener.start()
        for name, problem in self.errors.items():
            LOG.error("function '%s' does not run: %s", name, problem)
        return self

    def stop(self, drain: float = 10.0) -> bool:
        """Begin nothing more, wait for what runs, and tell whether all of it ended in time."""
        deadline = time.monotonic() + drain
        self.stopping.set()
        self._listeners.http.stop(drain)
        for listener in (*self._listeners.queues.values(), *self._listeners.timers.values()):
            listener.end(max(0.1, deadline - time.monotonic()))
        with self._lock:
            pending = set(self._pending)
        _, left = concurrent.futures.wait(pending, max(0.0, deadline - time.monotonic()))
        self.ended.set()
        self.pool.shutdown(wait=not left, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._loop_thread.join(5)
        if not self._loop_thread.is_alive():
            self._loop.close()
        for service in self._services.values():
            service.close()
        with contextlib.suppress(ValueError):
            sys.path.remove(str(self.app_dir))
        return not left

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def report(self) -> list[dict[str, object]]:
        """Every function with its trigger, what is wrong with it, and how its invocations ended."""
        return [
            {
                "name": one.name,
                "trigger": dict(one.trigger),
                "error": one.problem,
                "running": one.running,
                "succeeded": one.succeeded,
                "failed": one.failed,
            }
            for one in self.functions
        ]

    def run_by_hand(self, name: str, text: str) -> bool:
        """Run a queue or timer function now, in the background; False when there is no such function."""
        function = next((one for one in self.functions if one.name.lower() == name.lower()), None)
        if function is None or self.stopping.is_set():
            return False
        if queue := self._listeners.queues.get(function.name):
            self.submit(queue.by_hand, text)
        elif timer := self._listeners.timers.get(function.name):
            self.submit(timer.by_hand)
        else:
            return False
        return True

    def submit(self, work: Callable[..., Any], *arguments: Any) -> concurrent.futures.Future[Any]:
        """Let a thread of the pool do this; a stop waits for it."""
        future = self.pool.submit(work, *arguments)
        with self._lock:
            self._pending.add(future)
        future.add_done_callback(self._forget)
        return future

    def run(
        self,
        function: Function,
        argument: Callable[[], object],
        *,
        caller: Mapping[str, str] | None = None,
        finish: Callable[[Any], Any] | None = None,
    ) -> Done:
        """Run a function on this thread, write its outputs, and log what goes wrong."""
        with self._lock:
            function.running += 1
        succeeded = False
        try:
            value = self._invoke(function, argument(), caller or {})
            done = Done(True, finish(value) if finish else value)
            succeeded = True
        except FunctionError as error:
            LOG.error("function '%s' failed: %s", function.name, error)  # noqa: TRY400 - not its own code
            return Done(False)
        except Exception:
            LOG.exception("function '%s' failed", function.name)
            return Done(False)
        else:
            return done
        finally:
            with self._lock:
                function.running -= 1
                function.succeeded += succeeded
                function.failed += not succeeded

    def _invoke(self, function: Function, argument: object, caller: Mapping[str, str]) -> Any:
        arguments: dict[str, Any] = {str(function.trigger["name"]): argument}
        if function.context:
            arguments[function.context] = Context(function, self.app_dir, caller)
        outs = {str(one["name"]): Out() for one in function.outputs if one["name"] != "$return"}
        returned = function.call(**arguments, **outs)
        if function.is_async:
            returned = asyncio.run_coroutine_threadsafe(returned, self._loop).result()
        if returned is not None and function.returns is None:
            raise FunctionError("it returned a value, and nothing is bound to $return")
        answer = None
        for binding in function.outputs:
            value = returned if binding["name"] == "$return" else outs[binding["name"]].get()
            if str(binding["type"]).lower() == "http":
                answer = value
            elif value is not None:
                self._put(binding, value)
        return answer

    def _put(self, binding: Mapping[str, Any], value: object) -> None:
        bodies = queue_bodies(value)
        try:
            service, name = self._queue(binding)
            for body in bodies:
                service.put(name, self.queue_options.encode(body))
        except (StorageError, ValueError, HostError) as error:
            raise FunctionError(f"its output '{binding['name']}' could not be written: {error}") from error

    def _listen(self) -> _Listeners:
        routes: list[Route] = []
        queues: dict[str, QueueListener] = {}
        timers: dict[str, TimerListener] = {}
        for function in self.functions:
            if function.problem:
                continue
            trigger = function.trigger
            try:
                for output in function.outputs:
                    if str(output["type"]).lower() == "queue":
                        self._queue(output)
                if function.kind == "httptrigger":
                    own = self.settings.resolve(str(trigger.get("route") or function.name)).strip("/")
                    routes.append(Route(function, "/".join(filter(None, (self._prefix, own)))))
                elif function.kind == "queuetrigger":
                    queues[function.name] = QueueListener(self, function, *self._queue(trigger))
                else:
                    schedule = self.settings.resolve(str(trigger["schedule"]))
                    timers[function.name] = TimerListener(self, function, schedule)
            except (HostError, ValueError) as error:
                function.problem = str(error)
        return _Listeners(HttpFront(self, routes, self._port), queues, timers)

    def _queue(self, binding: Mapping[str, Any]) -> tuple[QueueService, str]:
        """The service and the name of a binding's queue; one service for each account."""
        if not self._has_bundle:
            raise HostError("host.json has no extensionBundle, without which queue bindings are unknown")
        name = self.settings.resolve(str(binding["queueName"])).lower()
        if _QUEUE_NAME.fullmatch(name) is None:
            raise HostError(f"'{name}' is not a queue's name")
        connection = self.settings.connection(binding.get("connection"))
        with self._lock:
            if connection not in self._services:
                listeners = sum(function.kind == "queuetrigger" for function in self.functions)
                pool_size = listeners * (self.queue_options.concurrency + 2) + 8
                self._services[connection] = QueueService(connection, pool_size)
            return self._services[connection], name

    def _started_timers(self) -> Iterator[TimerListener]:
        if self._with_timers:
            yield from self._listeners.timers.values()

    def _forget(self, future: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            self._pending.discard(future)

    def _read_host_json(self) -> dict[str, Any]:
        try:
            document = json.loads((self.app_dir / "host.json").read_text("utf-8-sig"))
        except FileNotFoundError:
            raise HostError(f"there is no host.json in {self.app_dir}") from None
        except ValueError as error:
            raise HostError(f"host.json is not JSON: {error}") from error
        if not isinstance(document, dict) or document.get("version") != "2.0":
            raise HostError('host.json is not an object with "version": "2.0"')
        return document


# ---------------------------------------------------------------- in a process of its own


class HostProcess:
    """The host as a process of its own, which can be killed; may be started again, on the same port, after its end.

    `env` is laid over this process's environment; None takes a variable away.
    """

    def __init__(
        self,
        app_dir: Path,
        env: Mapping[str, str | None] | None = None,
        *,
        port: int = 0,
        visibility: float | None = None,
        max_poll: float | None = None,
        timers: bool = True,
        drain: float | None = None,
        settings: Path | None = None,
        log_file: Path | None = None,
        start_timeout: float = 60.0,
        python: str = sys.executable,
    ) -> None:
        given = {"--visibility": visibility, "--max-poll": max_poll, "--drain": drain, "--settings": settings}
        options = [part for name, value in given.items() if value is not None for part in (name, str(value))]
        self._options = options if timers else [*options, "--no-timers"]
        self._command = [python, "-m", "sandbox.host", "--app", str(app_dir.resolve()), "--end-with-stdin"]
        self._port = port
        merged = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self._env = {name: value for name, value in merged.items() if value is not None}
        self._log_file = log_file
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[str] | None = None
        self.log: list[str] = []
        """Every line it wrote, over all its starts."""
        self.ready: dict[str, Any] = {}
        """What it said when it was ready: url, pid, functions, errors."""

    @property
    def url(self) -> str:
        """Where its HTTP functions are; the same after another start."""
        return str(self.ready["url"])

    @property
    def pid(self) -> int:
        """The process id of the start last made."""
        return int(self.ready["pid"])

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it and return when it serves."""
        if self.running:
            raise HostError("this host runs already")
        self._process = process = subprocess.Popen(
            [*self._command, "--port", str(self._port), *self._options],
            cwd=Path(__file__).parent.parent,
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for us, who end it
        )
        said: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        self._reader = threading.Thread(target=self._read, args=(process, said), daemon=True)
        self._reader.start()
        try:
            self.ready = said.result(self._start_timeout)
        except (TimeoutError, concurrent.futures.CancelledError):
            self.kill()
            raise HostError("the host did not start:\n" + "\n".join(self.log[-20:])) from None
        self._port = int(self.url.rpartition(":")[2])
        return self

    def stop(self, patience: float = 20.0) -> int:
        """End it in an orderly way, letting what runs finish; gives the exit code."""
        if self._process is None:
            return 0
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        return self._wait(patience)

    def kill(self) -> int:
        """End it at once, as a crash would; gives the exit code."""
        if self._process is None:
            return 0
        self._process.kill()
        return self._wait(10.0)

    def functions(self) -> dict[str, dict[str, Any]]:
        """Each function's counts since the start: running, succeeded, failed."""
        return {one["name"]: one for one in json.loads(self._ask("GET", "functions"))}

    def run(self, name: str, text: str = "") -> None:
        """Run a timer or queue function by hand, in the background."""
        self._ask("POST", f"functions/{name}", json.dumps({"input": text}).encode())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        with urllib3.PoolManager() as pool:
            answer = pool.request(method, f"{self.url}/admin/{path}", body=body, timeout=10.0)
        if answer.status >= 400:
            raise HostError(f"{method} /admin/{path} was answered with {answer.status}")
        return answer.data

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _read(self, process: subprocess.Popen[str], said: concurrent.futures.Future[dict[str, Any]]) -> None:
        assert process.stdout is not None
        with contextlib.ExitStack() as stack:
            lines = stack.enter_context(process.stdout)
            copy = stack.enter_context(self._log_file.open("a")) if self._log_file else None
            for line in lines:
                self.log.append(line.rstrip("\n"))
                if copy:
                    copy.write(line)
                    copy.flush()
                if not said.done() and line.startswith(_READY):
                    said.set_result(json.loads(line))
        said.cancel()

    def _wait(self, patience: float) -> int:
        assert self._process is not None
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._reader.join(5)
        self._process = None
        return code


# ---------------------------------------------------------------- the command


_READY = '{"event": "ready"'
"""How the line begins that says that the host serves; the only line of its own on standard output."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox.host", description="Runs an Azure Functions app.")
    parser.add_argument("--app", type=Path, required=True, help="the folder of function_app.py and host.json")
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free one")
    parser.add_argument("--settings", type=Path, help="a local.settings.json; the environment wins over it")
    parser.add_argument(
        "--visibility",
        type=float,
        default=PROCESSING_VISIBILITY,
        help="seconds that a message stays hidden while it is in work",
    )
    parser.add_argument("--max-poll", type=float, help="seconds between polls at most, under host.json's own")
    parser.add_argument("--drain", type=float, default=10.0, help="seconds that functions get to end at a stop")
    parser.add_argument("--no-timers", action="store_true", help="timers run by hand only")
    parser.add_argument("--function-key", help="with --master-key: keys are asked for")
    parser.add_argument("--master-key")
    parser.add_argument("--log-level", default="INFO")
    parser.add_argument("--end-with-stdin", action="store_true", help="stop when standard input closes")
    return parser.parse_args(argv)


def _settings_from(path: Path) -> None:
    document = json.loads(path.read_text("utf-8-sig"))
    for name, value in document.get("Values", {}).items():
        os.environ.setdefault(name, str(value))


def _leave_own_path() -> None:
    """Let the app find its own modules: the folder this command was started from is not the app's."""
    here = Path(__file__).resolve().parent.parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]


def _watch_stdin(stop: threading.Event) -> None:
    while os.read(0, 1024):
        pass
    stop.set()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal says otherwise."""
    options = _arguments(argv)
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(130) if stop.is_set() else stop.set())
    if options.settings:
        _settings_from(options.settings)
    _leave_own_path()
    app_dir = options.app.resolve()
    os.chdir(app_dir)
    keys = Keys(options.function_key, options.master_key) if options.master_key else None
    try:
        host = Host(
            app_dir,
            port=options.port,
            processing_visibility=options.visibility,
            max_poll=options.max_poll,
            timers=not options.no_timers,
            keys=keys,
        ).start()
    except (HostError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    names = [function.name for function in host.functions]
    ready = {"event": "ready", "url": host.url, "pid": os.getpid(), "functions": names, "errors": host.errors}
    sys.stdout.write(f"{json.dumps(ready)}\n")
    sys.stdout.flush()
    if options.end_with_stdin:
        threading.Thread(target=_watch_stdin, args=(stop,), daemon=True).start()
    stop.wait()
    if host.stop(options.drain):
        return 0
    LOG.error("functions were still running after %s s; they are cut off", options.drain)
    logging.shutdown()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
