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

from sandbox.host.arguments import trigger_message
from sandbox.host.errors import FunctionError, HostError
from sandbox.host.host import Host
from sandbox.host.outputs import queue_bodies
from sandbox.host.process import HostProcess
from sandbox.host.routes import Keys
from sandbox.host.settings import QueueOptions, Settings
from sandbox.host.timers import next_run

__all__ = [
    "FunctionError",
    "Host",
    "HostError",
    "HostProcess",
    "Keys",
    "QueueOptions",
    "Settings",
    "next_run",
    "queue_bodies",
    "trigger_message",
]
