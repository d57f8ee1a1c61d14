"""Runs functions: plain ones on threads, async ones on one event loop.

Responsible for one invocation from its arguments to its outputs, for what is counted and logged of it, and for waiting
until all have ended. What starts an invocation is a listener's business.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.host.arguments import Context
from sandbox.host.errors import FunctionError, StorageError
from sandbox.host.functions import Function
from sandbox.host.outputs import Out, queue_bodies

LOG = logging.getLogger(__package__)


@dataclass(frozen=True, slots=True)
class Done:
    """How one invocation ended."""

    succeeded: bool
    value: Any = None


class Runner:
    """The threads and the event loop of one app."""

    def __init__(self, app_dir: Path, encode: Callable[[bytes], str]) -> None:
        self.stopping = threading.Event()
        """Set when nothing new is begun."""
        self.ended = threading.Event()
        """Set when nothing runs any more."""
        self._app_dir = app_dir
        self._encode = encode
        self._lock = threading.Lock()
        self._pending: set[concurrent.futures.Future[Any]] = set()

    def start(self, threads: int) -> None:
        """Be ready to run so many plain functions at once."""
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="function")
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(target=self._loop.run_forever, name="async", daemon=True)
        self._loop_thread.start()

    def end(self, patience: float) -> bool:
        """Wait for what runs, and tell whether all of it ended in time."""
        with self._lock:
            pending = set(self._pending)
        _, left = concurrent.futures.wait(pending, patience)
        self.ended.set()
        self._pool.shutdown(wait=not left, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._loop_thread.join(5)
        if not self._loop_thread.is_alive():
            self._loop.close()
        return not left

    def submit(self, work: Callable[..., Any], *arguments: Any) -> concurrent.futures.Future[Any]:
        """Let a thread of the pool do this; a stop waits for it."""
        future = self._pool.submit(work, *arguments)
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
        done = Done(False)
        try:
            value = self._invoke(function, argument(), caller or {})
            done = Done(True, finish(value) if finish else value)
        except FunctionError as error:
            LOG.error("function '%s' failed: %s", function.name, error)  # noqa: TRY400 - not its own code
        except Exception:
            LOG.exception("function '%s' failed", function.name)
        finally:
            with self._lock:
                function.running -= 1
                function.succeeded += done.succeeded
                function.failed += not done.succeeded
        return done

    def _invoke(self, function: Function, argument: object, caller: Mapping[str, str]) -> Any:
        """Call it and send what it gives to queues; returns what goes back over HTTP."""
        arguments: dict[str, Any] = {str(function.trigger["name"]): argument}
        if function.context:
            arguments[function.context] = Context(function.name, self._app_dir, caller)
        outs = {str(one["name"]): Out() for one in function.outputs if one["name"] != "$return"}
        returned = function.call(**arguments, **outs)
        if function.is_async:
            returned = asyncio.run_coroutine_threadsafe(returned, self._loop).result()
        if returned is not None and not function.returns:
            raise FunctionError("it returned a value, and nothing is bound to $return")
        answer = None
        for binding in function.outputs:
            name = str(binding["name"])
            value = returned if name == "$return" else outs[name].get()
            if str(binding["type"]).lower() == "http":
                answer = value
            elif value is not None:
                self._put(function, name, value)
        return answer

    def _put(self, function: Function, output: str, value: object) -> None:
        bodies = queue_bodies(value)
        try:
            for body in bodies:
                function.queues[output].put(self._encode(body))
        except (StorageError, ValueError) as error:
            raise FunctionError(f"its output '{output}' could not be written: {error}") from error

    def _forget(self, future: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            self._pending.discard(future)
