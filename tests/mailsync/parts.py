"""What the tests of mailsync are put together from: a clock, ids nobody else uses, senders that remember, lines to watch.

The vendors are the sandbox's stand-ins behind real sockets, and storage is Azurite; nothing here imitates them.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from mailsync.dataverse.web_api import TokenSource, WebApi
from mailsync.errors import Scope
from mailsync.gates import Gate, MailboxGates
from mailsync.measures import Measures
from mailsync.nylas.reader import Reader
from mailsync.storage.account import StorageAccount
from mailsync.storage.counts import Counts
from mailsync.storage.envelope import Item, decode
from mailsync.storage.mailboxes import Mailboxes
from mailsync.storage.pseudonyms import Pseudonyms
from mailsync.transport import Transport
from mapping.policy import Policy, parse_policy
from sandbox.dataverse import DataverseStandIn
from sandbox.faults import Faults
from sandbox.mail import Mail, Person
from sandbox.nylas import NylasStandIn
from sandbox.servers import Server

NOW = 1_790_000_000
"""2026-09-21: the present of these tests."""
API_KEY = "nyk_only_for_tests"
OWN_DOMAIN = "contoso.example"
ERASURE_KEY = "0123456789abcdef" * 4
PSEUDONYMS = Pseudonyms(bytes.fromhex(ERASURE_KEY))
"""One key for all tests that share an account: the table remembers which."""
NEVER = 3600.0
"""Seconds that no test lives to see."""


class Clock:
    """Time as a test tells it."""

    def __init__(self, now: float = NOW) -> None:
        self.now = float(now)

    def __call__(self) -> float:
        return self.now


@dataclass
class Sent:
    """Takes items as a queue does and remembers them; `then` runs with each."""

    items: list[Any] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    then: Callable[[Item], None] | None = None

    def __call__(self, item: Item, *, delay: float = 0) -> None:
        self.items.append(item)
        self.delays.append(delay)
        if self.then is not None:
            self.then(item)

    def clear(self) -> None:
        """Forget what was sent."""
        self.items.clear()
        self.delays.clear()


class FixedToken:
    """A token that is always good."""

    def current(self) -> str:
        return "a-token"

    def refused(self, token: str) -> None:
        """Nothing to forget."""


def new_id() -> str:
    """An id that no other test has."""
    return str(uuid.uuid4())


def new_address(name: str = "ann", domain: str = OWN_DOMAIN) -> str:
    """An address that no other test has."""
    return f"{name}-{uuid.uuid4().hex[:10]}@{domain}"


def new_message_id() -> str:
    """A Message-ID, without its brackets."""
    return f"{uuid.uuid4().hex}@mail.example"


def mail(sender: str, *to: str, **fields: Any) -> Mail:
    """A mail between these addresses; it has a Message-ID of its own unless another, or None, is given."""
    given = {"subject": "Quote", "body": "<p>Hello</p>", "message_id": f"<{new_message_id()}>", **fields}
    return Mail(sender=Person(None, sender), to=tuple(Person(None, one) for one in to), **given)


def gate(name: str, **limits: int) -> Gate:
    """A gate nobody has closed yet."""
    return Gate(name, clock=time.monotonic, scope=Scope.ORGANISATION, **limits)


def measures_of(account: StorageAccount, clock: Callable[[], float]) -> Measures:
    """What counts outcomes, in a table of its own; it writes nothing by itself."""
    counts = Counts(account, clock=clock, after=NEVER, table=f"counts{uuid.uuid4().hex}")
    return Measures(counts=counts, mailboxes=Mailboxes(account), clock=clock, after=NEVER)


class NylasServed:
    """The stand-in for Nylas behind a socket, what goes wrong in front of it, and the reader that talks to it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.stand_in = NylasStandIn(API_KEY, clock=clock)
        self.faults = Faults(self.stand_in.app)
        self.server = Server(self.faults)

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.stop()
        self.stand_in.close()

    def reader(self, api_key: str = API_KEY, gate_of: Callable[[str], Gate] | None = None) -> Reader:
        url = self.server.url
        return Reader(
            Transport("nylas", base_url=url),
            api_uri=url,
            api_key=api_key,
            gate=gate("nylas"),
            gate_of=gate_of or MailboxGates(provider_of=lambda _: "", clock=time.monotonic, instances=1).of,
        )


class DataverseServed:
    """The stand-in for Dataverse behind a socket, what goes wrong in front of it, and the API client that talks to it."""

    def __init__(self, **behaviour: Any) -> None:
        self.stand_in = DataverseStandIn(**behaviour)
        self.faults = Faults(self.stand_in.app)
        self.server = Server(self.faults)

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.stop()

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def api(self) -> WebApi:
        return self.api_with(FixedToken())

    def api_with(self, tokens: TokenSource) -> WebApi:
        line = Transport("dataverse", base_url=self.url)
        return WebApi(line, url=self.url, tokens=tokens, gate=gate("dataverse", concurrency=8), most_at_once=8)

    def operations(self) -> list[tuple[str, ...]]:
        """What each round trip since the log was cleared asked for."""
        return [logged.operations or (f"{logged.method} {logged.path}",) for logged in self.stand_in.log]

    def contact(self, address: str, **columns: object) -> str:
        return self.stand_in.add("contact", lastname="Somebody", emailaddress1=address, **columns)

    def user(self, address: str) -> str:
        return self.stand_in.add("systemuser", fullname="A user", internalemailaddress=address)


def drained(client: QueueClient) -> list[Item]:
    """The items visible on a queue, taken off it."""
    taken = []
    while messages := list(client.receive_messages(messages_per_page=32, max_messages=32)):
        taken += [decode(message.content) for message in messages]
        for message in messages:
            client.delete_message(message)
    return taken


def decoding(client: QueueClient, connection_string: str) -> QueueClient:
    """The queue of a client, read as the Functions host reads it: as base64."""
    return QueueClient.from_connection_string(
        connection_string, client.queue_name, message_decode_policy=TextBase64DecodePolicy()
    )


class Line:
    """A TCP line to a server on this machine that notes the request lines going over it."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._sent: list[bytearray] = []

    @property
    def requests(self) -> list[str]:
        """The request lines so far, by connection."""
        spoken = (
            re.findall(rb"((?:GET|HEAD|PUT|POST|PATCH|DELETE) \S+) HTTP/1\.1\r\n", bytes(sent)) for sent in self._sent
        )
        return [line.decode() for lines in spoken for line in lines]

    def __enter__(self) -> Self:
        self._begin(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()

    def _begin(self, work: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=work, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._sockets += [near, far]
                sent = bytearray()
                self._sent.append(sent)
                self._begin(_pump, near, far, sent)
                self._begin(_pump, far, near, None)


def _pump(source: socket.socket, target: socket.socket, note: bytearray | None) -> None:
    with contextlib.suppress(OSError):
        while some := source.recv(65_536):
            if note is not None:
                note += some
            target.sendall(some)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def silence() -> Iterator[int]:
    """A port where connections are accepted and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def wall() -> Iterator[int]:
    """A port where no connection is ever made nor refused: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port: int = listener.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


@contextlib.contextmanager
def nobody() -> Iterator[int]:
    """A port where connections are refused."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def with_queue_port(connection_string: str, port: int) -> str:
    """A connection string whose queues are reached over another port."""
    return re.sub(r"(QueueEndpoint=http://127\.0\.0\.1:)\d+", rf"\g<1>{port}", connection_string)


def queue_port(connection_string: str) -> int:
    """The port of a connection string's queues."""
    found = re.search(r"QueueEndpoint=http://127\.0\.0\.1:(\d+)", connection_string)
    assert found
    return int(found[1])


def in_threads(number: int, work: Callable[[], Any]) -> Sequence[Any]:
    """What as many threads as asked for came back with, all of them let go at once."""
    gate = threading.Barrier(number)
    results: list[Any] = [None] * number

    def run(place: int) -> None:
        gate.wait()
        try:
            results[place] = work()
        except Exception as error:  # noqa: BLE001  # it is the result, and the test's to judge
            results[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def policy(text: str = "") -> Policy:
    """The policy of a tracking.toml with this text."""
    return parse_policy(text, "tracking.toml")
