"""Lets the app live and die in this process, at any one of its calls to the outside world.

A killed process makes no further call, answers nobody, and the queue shows its item again. Every call to storage,
Nylas, Entra and Dataverse is counted where all of them pass, in `requests`; from the fatal one on none gets through. A
life may also be interrupted there by another worker's. The real SIGKILL, at random moments, is `sandbox.chaos`'s.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient, TextBase64DecodePolicy, TextBase64EncodePolicy
from requests.adapters import HTTPAdapter

from mailsync.storage.envelope import MESSAGES, SWEEPS, Item, MessageItem, encode, queue_of
from mailsync.storage.journal import hash_of
from mailsync.wiring import Wiring
from sandbox.dataverse import DataverseStandIn
from sandbox.mail import Mail, Person
from sandbox.nylas import NylasStandIn
from sandbox.world import World

DAY = 86_400
HURRY = 1e6
EVERY = 300
"""Seconds between two sweeps, where nobody changed the setting."""
PATIENCE = 10.0
HANDLERS = {MESSAGES: "handle_message", SWEEPS: "handle_sweep", f"{MESSAGES}-poison": "collect"}
_numbers = itertools.count(1)


class KilledError(BaseException):
    """The process is dead."""


class Town:
    """A world with people in it, whose own host is stopped; the app's work is done here, by one worker or more."""

    def __init__(self, world: World, clock: Clock, patch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.clock = clock
        self.tables = TableServiceClient.from_connection_string(world.storage)
        self.calls: list[str] = []
        """What the piece of work last watched called."""
        self._grants: list[str] = []
        self._watch: Callable[[int], None] | None = None
        self._send = HTTPAdapter.send
        self._thread = threading.current_thread()
        """Whose calls are the work; what another test left behind may still call from others."""
        # a lambda, so that it is bound to the adapter it is called on
        patch.setattr(HTTPAdapter, "send", lambda *given, **more: self._sent(*given, **more))  # noqa: PLW0108
        for name, value in world.settings().items():
            patch.delenv(name, raising=False) if value is None else patch.setenv(name, value)
        self.app = self.started()

    # the app

    def started(self) -> Wiring:
        """A process of the app just started."""
        wiring = Wiring()
        wiring.clock = self.clock
        wiring.hurry = HURRY
        wiring.notes_after = 3600.0  # nothing is called but by the work that is watched
        return wiring

    def dies(self, before: int, work: Callable[[Wiring], object]) -> bool:
        """Do some work in a process just started, which dies before that call; False when the work ended earlier."""
        dead = False

        def watch(call: int) -> None:
            nonlocal dead
            dead = dead or call == before
            if dead:
                raise KilledError

        with suppress(KilledError), self._watched(watch):
            work(self.started())
        self.app = self.started()
        return dead

    def interrupted(self, before: int, work: Callable[[Wiring], object], other: Callable[[Wiring], object]) -> bool:
        """Do some work, and before that call of it another worker's; False when the work ended earlier."""
        met = False

        def watch(call: int) -> None:
            nonlocal met
            if call == before:
                met = True
                with self._watched(None):
                    other(self.app)

        with self._watched(watch):
            work(self.app)
        return met

    @contextmanager
    def _watched(self, watch: Callable[[int], None] | None) -> Iterator[None]:
        outer, self._watch = self._watch, watch
        if watch is not None:
            self.calls = []
        try:
            yield
        finally:
            self._watch = outer

    def _sent(self, adapter: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> Any:
        watch = self._watch
        if watch is None or threading.current_thread() is not self._thread:
            return self._send(adapter, request, *args, **kwargs)
        self.calls.append(f"{request.method} {request.url}")
        watch(len(self.calls))
        return self._send(adapter, request, *args, **kwargs)

    # its queues

    def does(self, item: Item) -> Callable[[Wiring], object]:
        """The work of an item, for whichever process is to do it."""
        return lambda app: handle(app, queue_of(item), encode(item))

    def drain(self) -> None:
        """Do whatever is on the queues until they are empty; hidden messages are waited for."""
        deadline = time.monotonic() + PATIENCE
        while self._drain(MESSAGES) or self._drain(SWEEPS):
            assert time.monotonic() < deadline, "the queues don't become empty"

    def _drain(self, name: str) -> bool:
        with self.queue(name) as queue:
            found = list(queue.receive_messages(messages_per_page=32, visibility_timeout=60))
            for message in found:
                handle(self.app, name, message.content)
                queue.delete_message(message)
            return bool(found) or bool(queue.get_queue_properties().approximate_message_count)

    def queue(self, name: str) -> QueueClient:
        """One of the app's queues."""
        policies = {
            "message_encode_policy": TextBase64EncodePolicy(),
            "message_decode_policy": TextBase64DecodePolicy(),
        }
        return QueueClient.from_connection_string(self.world.storage, name, **policies)

    def make_queues(self) -> None:
        """Let both queues be there, empty."""
        for name in (MESSAGES, SWEEPS):
            with self.queue(name) as queue:
                with suppress(ResourceExistsError):
                    queue.create_queue()
                queue.clear_messages()

    def sweep_for(self, seconds: float) -> None:
        """Let time pass, with a sweep every five minutes and all the work it leads to."""
        until = self.clock() + seconds
        while self.clock() < until:
            self.clock.ahead += EVERY
            self.app.sweep_missed()
            self.drain()

    # people and mail

    def mailbox(self, *, days_old: int = 0, provider: str = "google") -> tuple[str, Person]:
        """A new mailbox and whose it is."""
        person = Person("Ida", f"ida{next(_numbers)}@fjordlight.example")
        self.world.dataverse.add("systemuser", fullname="Ida", internalemailaddress=person.email)
        since = self.clock() - days_old * DAY
        grant = self.world.nylas.connect(person.email or "", provider, created_at=since)
        self._grants.append(grant)
        return grant, person

    def disconnect_all(self) -> None:
        """Let there be no mailbox, so that a sweep has nothing to do but what comes."""
        while self._grants:
            self.world.nylas.disconnect(self._grants.pop())

    def contact(self) -> Person:
        """Somebody Dataverse knows."""
        person = Person("Noor", f"noor{next(_numbers)}@harbour.example")
        self.world.dataverse.add("contact", firstname="Noor", lastname="Haddad", emailaddress1=person.email)
        return person

    def mail(self, sender: Person, to: Person, **more: Any) -> Mail:
        """A mail nobody has seen."""
        number = next(_numbers)
        fields = {"message_id": f"<{number}@harbour.example>", "subject": f"Berth {number}", "body": f"<p>{number}</p>"}
        return Mail(**{"sender": sender, "to": (to,), **fields, **more})

    def reply(self, parent: Mail, sender: Person, to: Person) -> Mail:
        """A mail that answers another."""
        chain = " ".join(filter(None, (parent.references, parent.message_id)))
        return self.mail(sender, to, in_reply_to=parent.message_id, references=chain)

    def lay(self, grant: str, mail: Mail, folder: str = "inbox") -> MessageItem:
        """Lay a mail into a mailbox; returns the item that its notification becomes."""
        message = self.world.nylas.deliver(grant, mail, folder, notify=False)
        return MessageItem(grant=grant, message=message, source="message.created", first_seen=int(self.clock()))

    # what became of it

    def record(self, item: MessageItem) -> dict[str, Any]:
        """What the journal says of a message."""
        with self.tables.get_table_client("journal") as client:
            return dict(client.get_entity(item.grant, f"m:{hash_of(item.message)}"))

    def aside(self, item: MessageItem) -> list[dict[str, Any]]:
        """What of a mailbox was put aside."""
        with self.tables.get_table_client("aside") as client:
            return [dict(row) for row in client.query_entities("PartitionKey eq @g", parameters={"g": item.grant})]

    def email(self, mail: Mail) -> dict[str, Any]:
        """The one email that a mail became; completed."""
        (row,) = self.world.dataverse.rows("email", subject=mail.subject)
        assert row["statecode"] == 1
        return row


class Clock:
    """The time of a town, which can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@contextmanager
def a_town(**dataverse: Any) -> Iterator[Town]:
    """A town of its own; arguments are the Dataverse stand-in's."""
    clock = Clock()
    nylas = NylasStandIn(f"nyk_{secrets.token_hex(8)}", clock=clock)
    settings = {"SYNC_SINCE": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 6 * DAY))}
    with ExitStack() as stack:
        world = stack.enter_context(World(nylas=nylas, dataverse=DataverseStandIn(**dataverse), settings=settings))
        world.host.stop()
        town = Town(world, clock, stack.enter_context(pytest.MonkeyPatch.context()))
        stack.callback(town.tables.close)
        town.make_queues()
        yield town


def handle(app: Wiring, queue: str, text: str) -> None:
    """What the host does with a queue's text."""
    getattr(app, HANDLERS[queue])(text.encode())
