"""Puts items on the storage queues; the Functions host takes them off."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueClient

from mailsync.storage.account import StorageAccount, storage_failures
from mailsync.storage.envelope import MESSAGES, SWEEPS, Item, encode, queue_of

FOR_EVER = -1
"""Time-to-live: an item waits until it is done, however long an outage lasts (the default is 7 days)."""
LONGEST_DELAY = 6 * 24 * 3600
"""Seconds: a queue hides a message for at most 7 days."""


POISON = "-poison"
"""What the host adds to a queue's name for the items that crashed its function too often."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is on a queue."""

    queue: str
    depth: int
    """How many items, about, with those that are hidden for a while or at work."""
    age: float
    """Seconds that the item at its head has been there, of those that can be taken now; 0 where there is none."""

    @property
    def is_poison(self) -> bool:
        """Whether nothing should be there."""
        return self.queue.endswith(POISON)


class Queues:
    """Sends items to the queues of one storage account, making a queue that is not there yet."""

    def __init__(self, account: StorageAccount, *, prompt: bool = False) -> None:
        self._account = account
        self._prompt = prompt
        self._clients = {name: account.queue(name, prompt=prompt) for name in (MESSAGES, SWEEPS)}

    def waiting(self, now: float) -> tuple[Waiting, ...]:
        """What is on our queues and on their poison queues; two storage calls for each."""
        names = (MESSAGES, SWEEPS, MESSAGES + POISON, SWEEPS + POISON)
        return tuple(self._waiting(name, now) for name in names)

    def _waiting(self, name: str, now: float) -> Waiting:
        client = self._account.queue(name, prompt=self._prompt)
        with storage_failures():
            try:
                depth = client.get_queue_properties().approximate_message_count or 0
                head = next(iter(client.peek_messages()), None) if depth else None
            except ResourceNotFoundError:
                return Waiting(name, 0, 0.0)
        since = head.inserted_on if head is not None else None
        return Waiting(name, depth, max(0.0, now - since.timestamp()) if since is not None else 0.0)

    def send(self, item: Item, *, delay: float = 0) -> None:
        """Put one item on its queue, hidden for `delay` seconds; one storage call when the queue exists."""
        text, hidden = encode(item), min(int(delay), LONGEST_DELAY)
        client = self._clients[queue_of(item)]
        with storage_failures():
            try:
                self._put(client, text, hidden)
            except ResourceNotFoundError:
                self._make(client)
                self._put(client, text, hidden)

    def depth(self, name: str) -> int:
        """About how many items lie on a queue, hidden ones too; one storage call."""
        with storage_failures():
            try:
                return self._clients[name].get_queue_properties().approximate_message_count or 0
            except ResourceNotFoundError:
                return 0

    @staticmethod
    def _put(client: QueueClient, text: str, hidden: int) -> None:
        client.send_message(text, visibility_timeout=hidden or None, time_to_live=FOR_EVER)

    @staticmethod
    def _make(client: QueueClient) -> None:
        with suppress(ResourceExistsError):
            client.create_queue()
