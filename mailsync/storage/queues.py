"""Puts items on the storage queues, and looks at how much waits there; the Functions host takes them off."""

from __future__ import annotations

import base64
from contextlib import suppress
from dataclasses import dataclass

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueClient

from mailsync.errors import MessageError
from mailsync.storage.account import StorageAccount, storage_failures
from mailsync.storage.envelope import MESSAGES, SWEEPS, Item, decode, encode, queue_of

FOR_EVER = -1
"""Time-to-live: an item waits until it is done, however long an outage lasts (the default is 7 days)."""
PEEKED = 32
"""Messages that can be looked at in one call."""
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
    put: int | None = None
    """When that one was put there, in unix seconds."""
    heard: int | None = None
    """When we first heard of the oldest of those at its head: it may have come back to the queue since, many times."""

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
                shown = client.peek_messages(max_messages=PEEKED) if depth else []
            except ResourceNotFoundError:
                return Waiting(name, 0, 0.0)
        puts = [one.inserted_on.timestamp() for one in shown if one.inserted_on is not None]
        heard = [first for one in shown if (first := _first_seen(str(one.content))) is not None]
        return Waiting(
            name,
            depth,
            max(0.0, now - puts[0]) if puts else 0.0,
            put=int(puts[0]) if puts else None,
            heard=min([*heard, int(puts[0])]) if puts else None,
        )

    def answers(self) -> None:
        """Make the cheapest call there is; raises where storage can't be reached or refuses us."""
        with storage_failures(), suppress(ResourceNotFoundError):
            self._clients[MESSAGES].get_queue_properties()

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

    def shown(self, name: str) -> int:
        """How many items of a queue can be taken now, up to 32; one storage call."""
        with storage_failures():
            try:
                return len(self._clients[name].peek_messages(max_messages=PEEKED))
            except ResourceNotFoundError:
                return 0

    @staticmethod
    def _put(client: QueueClient, text: str, hidden: int) -> None:
        client.send_message(text, visibility_timeout=hidden or None, time_to_live=FOR_EVER)

    @staticmethod
    def _make(client: QueueClient) -> None:
        with suppress(ResourceExistsError):
            client.create_queue()


def _first_seen(text: str) -> int | None:
    """When we first heard of an item; None of a text that is none."""
    try:
        return decode(base64.b64decode(text)).first_seen
    except (MessageError, ValueError):
        return None
