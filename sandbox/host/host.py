"""One app, hosted: its functions joined to what starts them.

Responsible for the order in which an app is loaded, listened for, drained and ended, and for saying which functions do
not run and why.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox.host.errors import HostError
from sandbox.host.functions import Function, load_functions
from sandbox.host.http import HttpFront
from sandbox.host.listener import QueueListener
from sandbox.host.queues import Queue, QueueService, checked_name
from sandbox.host.routes import Keys, Route
from sandbox.host.runner import Runner
from sandbox.host.settings import HostJson, Settings
from sandbox.host.timers import TimerListener

LOG = logging.getLogger(__package__)

PROCESSING_VISIBILITY = 600.0
"""Seconds a message stays hidden while its function runs; the real host's own, fixed number."""

THREADS = 1000
"""Functions that can run at once; what the real host sets when PYTHON_THREADPOOL_THREAD_COUNT is not."""


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
        self._app_dir = app_dir.resolve()
        self._settings = Settings(os.environ if settings is None else settings)
        self._port = port
        self._visibility = max(1, int(processing_visibility))  # the service counts whole seconds
        self._with_timers = timers
        self._keys = keys
        self._host_json = HostJson.read(self._app_dir / "host.json")
        queues = self._host_json.queues
        longest = min(queues.max_polling_interval, max_poll or float("inf"))
        self._queue_options = dataclasses.replace(queues, max_polling_interval=longest)
        self._runner = Runner(self._app_dir, queues.encode)
        self._services: dict[str, QueueService] = {}
        self._routes: list[Route] = []
        self._listeners: dict[str, QueueListener | TimerListener] = {}
        self.functions: tuple[Function, ...] = ()

    @property
    def url(self) -> str:
        """Where its HTTP functions are, without a slash at the end."""
        return f"http://127.0.0.1:{self._front.port}"

    @property
    def errors(self) -> dict[str, str]:
        """Functions that do not run, and why."""
        return {function.name: function.problem for function in self.functions if function.problem}

    def start(self) -> Self:
        """Import the app and begin to listen; functions in error are left out and reported."""
        sys.path.append(str(self._app_dir))  # last, as the real worker does
        try:
            self.functions = load_functions(self._app_dir, self._settings)
            for function in self.functions:
                self._bind(function)
            self._front = HttpFront(
                self._runner,
                self._routes,
                self._port,
                keys=self._keys,
                report=self.report,
                by_hand=self.run_by_hand,
            )
        except BaseException:
            sys.path.remove(str(self._app_dir))
            raise
        self._runner.start(int(self._settings.get("PYTHON_THREADPOOL_THREAD_COUNT") or THREADS))
        self._front.start()
        for listener in self._listeners.values():
            if self._with_timers or isinstance(listener, QueueListener):
                listener.start()
        for name, problem in self.errors.items():
            LOG.error("function '%s' does not run: %s", name, problem)
        return self

    def stop(self, drain: float = 10.0) -> bool:
        """Begin nothing more, wait for what runs, and tell whether all of it ended in time."""
        deadline = time.monotonic() + drain
        self._runner.stopping.set()
        self._front.stop(drain)
        for listener in self._listeners.values():
            listener.end(max(0.1, deadline - time.monotonic()))
        in_time = self._runner.end(max(0.0, deadline - time.monotonic()))
        for service in self._services.values():
            service.close()
        with contextlib.suppress(ValueError):
            sys.path.remove(str(self._app_dir))
        return in_time

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
        listener = next((one for key, one in self._listeners.items() if key.lower() == name.lower()), None)
        if listener is None or self._runner.stopping.is_set():
            return False
        self._runner.submit(listener.by_hand, text)
        return True

    def _bind(self, function: Function) -> None:
        """Find out where a function's bindings lead; one that leads nowhere keeps the function from running."""
        if function.problem:
            return
        try:
            for output in function.outputs:
                if str(output["type"]).lower() == "queue":
                    function.queues[str(output["name"])] = self._queue(output)
            self._listen(function)
        except (HostError, ValueError) as error:
            function.problem = str(error)

    def _listen(self, function: Function) -> None:
        trigger, resolve = function.trigger, self._settings.resolve
        if function.kind == "httptrigger":
            own = resolve(str(trigger.get("route") or function.name)).strip("/")
            self._routes.append(Route(function, "/".join(filter(None, (self._host_json.route_prefix, own)))))
        elif function.kind == "queuetrigger":
            self._listeners[function.name] = QueueListener(
                self._runner, function, self._queue(trigger), self._queue_options, self._visibility
            )
        else:
            self._listeners[function.name] = TimerListener(self._runner, function, resolve(str(trigger["schedule"])))

    def _queue(self, binding: Mapping[str, Any]) -> Queue:
        """A binding's queue; one service for each account."""
        if not self._host_json.has_bundle:
            raise HostError("host.json has no extensionBundle, without which queue bindings are unknown")
        name = checked_name(self._settings.resolve(str(binding["queueName"])))
        connection = self._settings.connection(binding.get("connection"))
        if connection not in self._services:
            listeners = sum(function.kind == "queuetrigger" for function in self.functions)
            pool_size = listeners * (self._queue_options.concurrency + 2) + 8
            self._services[connection] = QueueService(connection, pool_size)
        return self._services[connection].queue(name)
