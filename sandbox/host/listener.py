"""Listens to one queue: polls it, keeps its messages hidden while they are in work, and puts failures to poison.

Keeps the real host's numbers: how many messages are taken at once, when the next batch is asked for, how long an empty
queue is left alone.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.host.arguments import metadata_by_hand, trigger_message
from sandbox.host.errors import StorageError
from sandbox.host.functions import Function
from sandbox.host.queues import Message, Queue
from sandbox.host.runner import Runner
from sandbox.host.settings import FIRST_POLL, QueueOptions

LOG = logging.getLogger(__package__)


@dataclass(slots=True, eq=False)
class _Lease:
    """A message in work and the receipt that proves it is ours."""

    message: Message
    receipt: str
    due: float
    released: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class QueueListener:
    """Takes the messages of one queue and runs one function for each."""

    def __init__(
        self, runner: Runner, function: Function, queue: Queue, options: QueueOptions, visibility: float
    ) -> None:
        self._runner = runner
        self._function = function
        self._queue = queue
        self._poison = queue.poison
        self._options = options
        self._visibility = visibility
        self._half = visibility / 2
        self._leases: dict[str, _Lease] = {}
        self._slot_free = threading.Condition()
        self._running = 0
        self._missing = False
        self._poller = threading.Thread(target=self._poll, name=f"poll {queue.name}", daemon=True)
        self._renewer = threading.Thread(target=self._renew, name=f"renew {queue.name}", daemon=True)

    def start(self) -> None:
        """Begin to poll."""
        self._poller.start()
        self._renewer.start()

    def end(self, patience: float) -> None:
        """Return when it polls no more."""
        self._queue.wake.set()
        with self._slot_free:
            self._slot_free.notify()
        self._poller.join(patience)

    def by_hand(self, text: str) -> None:
        """Run the function once for a text that never was in the queue."""
        self._runner.run(self._function, lambda: self._argument(text, metadata_by_hand()))

    # polling

    def _poll(self) -> None:
        idle, stopping = 0, self._runner.stopping
        while not stopping.is_set():
            self._queue.wake.clear()
            messages = self._receive()
            for message in messages:
                self._begin(message)
            with self._slot_free:
                while self._running > self._options.new_batch_threshold and not stopping.is_set():
                    self._slot_free.wait()
            if messages:
                idle = 0
            elif not stopping.is_set():
                self._queue.wake.wait(self._pause(idle))
                idle += 1

    def _pause(self, idle: int) -> float:
        """Seconds until the next poll: growing from the first with every poll that found nothing."""
        longest = self._options.max_polling_interval
        return min(longest, FIRST_POLL * (1 + random.uniform(0.8, 1.2) * (2 ** min(idle, 20) - 1)))

    def _receive(self) -> list[Message]:
        try:
            messages = self._queue.receive(self._options.batch_size, self._visibility)
        except StorageError as error:
            if error.status != 404:
                LOG.warning("queue '%s' cannot be read: %s", self._queue.name, error)
            elif not self._missing:
                LOG.info("queue '%s' is not there yet", self._queue.name)
            self._missing = error.status == 404
            return []
        self._missing = False
        return messages

    # the way of a message

    def _begin(self, message: Message) -> None:
        lease = _Lease(message, message.receipt, time.monotonic() + self._half)
        with self._slot_free:
            self._leases[message.id] = lease
            self._running += 1
        self._runner.submit(self._work, lease)

    def _work(self, lease: _Lease) -> None:
        try:
            self._process(lease)
        except StorageError as error:
            LOG.warning("queue '%s', message %s: %s", self._queue.name, lease.message.id, error)
        except Exception:
            LOG.exception("queue '%s', message %s", self._queue.name, lease.message.id)
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
            self._queue.delete(message, lease.receipt)
        elif self._poison is None:
            LOG.warning("queue '%s' has no poison queue: message %s stays hidden", self._queue.name, message.id)
        elif message.dequeue_count >= self._options.max_dequeue_count:
            self._to_poison(lease, "failed too often")
        else:
            self._queue.hide(message, lease.receipt, self._options.visibility_timeout)
            if self._options.visibility_timeout == 0:
                self._queue.wake.set()

    def _run(self, message: Message, body: bytes) -> bool:
        binary = str(self._function.trigger.get("dataType", "")).lower() == "binary"
        content = body if binary else body.decode("utf-8", "replace")
        return self._runner.run(self._function, lambda: self._argument(content, message.metadata())).succeeded

    def _argument(self, content: str | bytes, metadata: Mapping[str, Any]) -> object:
        return content if self._function.wants_text else trigger_message(content, metadata)

    def _to_poison(self, lease: _Lease, why: str) -> None:
        if self._poison is None:
            return
        message = lease.message
        LOG.warning("message %s of '%s' %s: moved to '%s'", message.id, self._queue.name, why, self._poison.name)
        self._poison.put(message.text)
        self._let_go(lease)
        self._queue.delete(message, lease.receipt)

    # leases

    def _renew(self) -> None:
        """Keep messages hidden while they are in work."""
        while True:
            with self._slot_free:
                first = min(self._leases.values(), key=lambda lease: lease.due, default=None)
            pause = self._half if first is None else max(0.0, first.due - time.monotonic())
            if self._runner.ended.wait(pause):
                return
            if first is not None and first.due <= time.monotonic():
                self._extend(first)

    def _extend(self, lease: _Lease) -> None:
        message = lease.message
        with lease.lock:
            if lease.released:
                return
            try:
                lease.receipt = self._queue.hide(message, lease.receipt, self._visibility)
            except StorageError as error:
                LOG.warning("message %s of '%s' is not kept: %s", message.id, self._queue.name, error)
                lease.due = time.monotonic() + self._half / 4
            else:
                lease.due = time.monotonic() + self._half

    def _let_go(self, lease: _Lease) -> None:
        """From here on the receipt does not change."""
        with lease.lock:
            lease.released = True
        with self._slot_free:
            self._leases.pop(lease.message.id, None)
