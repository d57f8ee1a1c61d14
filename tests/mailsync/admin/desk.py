"""A person's desk: the deployed app's storage and services, the app itself to do its work, and the commands to run.

The vendors are the sandbox's stand-ins over TLS and storage is Azurite; the app's steps run in this process, through
the same wiring as in Azure, whenever a test says so.
"""

from __future__ import annotations

import json
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import requests
from azure.core.exceptions import ResourceNotFoundError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.queue import QueueClient, TextBase64DecodePolicy
from starlette.types import Receive, Scope, Send
from typer import testing
from typer.testing import CliRunner, Result

from mailsync import ingest
from mailsync.admin.commands import app
from mailsync.nylas.notification import notification_of
from mailsync.storage.envelope import MESSAGES, SWEEPS, Item, decode
from mailsync.wiring import Wiring
from sandbox.dataverse import DataverseStandIn
from sandbox.faults import Answer, Fault, Faults
from sandbox.mail import Mail, Person
from sandbox.nylas import NylasStandIn

MINUTE, HOUR, DAY = 60, 3600, 86_400
MOST_ROUNDS = 60
"""How often a test's queues are emptied before their items count as going round without end."""
LONGEST_WAIT = 20.0
"""Seconds for what is hidden on a queue to be shown."""
AT_ONCE = 32
"""Messages that a queue gives at once, at most."""
testing._get_command = cache(testing._get_command)  # type: ignore[attr-defined]  # else built anew for each command


class Clock:
    """The real time, and as much later as a test says."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    @property
    def now(self) -> int:
        return int(self())


class App:
    """The deployed app's endpoint: the product's own ingest, behind a socket, with the secrets it was told."""

    def __init__(self) -> None:
        self.secrets: tuple[str, ...] = ("not-yet",)
        self.answers: list[int] = []
        self.slow_to_learn = 0
        """So many deliveries are still judged by the secrets before."""
        self._before: tuple[str, ...] = ()

    def learn(self, *secrets: str) -> None:
        self._before, self.secrets = self.secrets, secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        if scope["method"] == "GET":
            query = dict(one.partition("=")[::2] for one in scope["query_string"].decode().split("&"))
            reply = ingest.answer_challenge(query.get("challenge"))
        else:
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            known, self.slow_to_learn = (
                (self._before, self.slow_to_learn - 1) if self.slow_to_learn else (self.secrets, 0)
            )
            reply = ingest.accept(body, headers, secrets=known, send=lambda _: None, now=1)
            self.answers.append(reply.status)
        text = reply.text.encode()
        headers_out = [(b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers_out})
        await send({"type": "http.response.body", "body": text})


@dataclass
class Desk:
    """Everything a command meets."""

    nylas: NylasStandIn
    dataverse: DataverseStandIn
    faults: dict[str, Faults]
    settings: dict[str, str]
    clock: Clock
    app: Wiring
    """The function app's own parts; a command has others."""
    _queues: dict[str, QueueClient] = field(default_factory=dict)

    # what happens in the world

    def connect(self, name: str = "ann", provider: str = "microsoft", *, age: int = 20 * HOUR) -> str:
        """A mailbox that was connected some time ago and was swept since."""
        address = f"{name}-{uuid.uuid4().hex[:6]}@contoso.example"
        grant = self.nylas.connect(address, provider, created_at=self.clock() - age)
        self.sweep()
        return grant

    def mail(self, grant: str, *, ago: int = HOUR, **fields: Any) -> Mail:
        """A mail from a customer to this mailbox."""
        to = self.address(grant)
        given = {
            "sender": Person(None, "dora@fabrikam.example"),
            "to": (Person(None, to),),
            "subject": f"Quote {uuid.uuid4().hex[:6]}",
            "body": f"<p>Hello {uuid.uuid4().hex}</p>",
            "message_id": f"<{uuid.uuid4().hex}@mail.example>",
            "date": self.clock.now - ago,
            **fields,
        }
        return Mail(**given)

    def deliver(self, grant: str, mail: Mail | None = None, **more: Any) -> str:
        """Lay a mail into a mailbox that nobody is told of; returns its message id."""
        return self.nylas.deliver(grant, mail or self.mail(grant), notify=False, **more)

    def arrive(self, grant: str, mail: Mail | None = None, **more: Any) -> str:
        """Lay a mail into a mailbox, and do all that its webhook leads to."""
        message = self.deliver(grant, mail, **more)
        self.notify(grant, message)
        self.work()
        return message

    def notify(self, grant: str, message: str, kind: str = "message.created") -> None:
        """Put on the queue what a notification of a message leads to."""
        shown = next((one for one in self.nylas.messages(grant) if one["id"] == message), {"id": message})
        about = {"id": message, "grant_id": grant, "date": shown.get("date"), "folders": shown.get("folders")}
        told = {"specversion": "1.0", "type": kind, "id": str(uuid.uuid4()), "time": 1, "data": {"object": about}}
        item = ingest.item_of(notification_of(json.dumps(told).encode()), now=self.clock.now)
        assert item is not None
        self.app.queues.send(item)

    def address(self, grant: str) -> str:
        return str(self.nylas._box(grant).email)

    def sweep(self) -> None:
        """The timer fires, and the app does all it leads to."""
        self.app.sweep_missed()
        self.work()

    def sweep_without_writing(self) -> None:
        """The timer fires and mailboxes are swept; what they enqueue is lost from its queue.

        A sweep finds mail that is dated since the one before, or up to a quarter of an hour earlier.
        """
        self.app.sweep_missed()
        for text in self.take(SWEEPS):
            self.app.handle_sweep(text.encode())
        self.take(MESSAGES)

    def work(self) -> int:
        """The app does what is on its queues, what comes back at once included; returns how many items that were."""
        done = 0
        for _ in range(MOST_ROUNDS):
            texts = [(name, text) for name in (SWEEPS, MESSAGES) for text in self.take(name)]
            if not texts:
                return done
            for name, text in texts:
                (self.app.handle_sweep if name == SWEEPS else self.app.handle_message)(text.encode())
            done += len(texts)
        raise AssertionError("items go round without end")

    # what lies on the queues

    def take(self, name: str) -> list[str]:
        """The texts on a queue, taken off it."""
        taken: list[str] = []
        client = self.queue(name)
        with suppress(ResourceNotFoundError):
            while len(taken) % AT_ONCE == 0:
                some = list(client.receive_messages(messages_per_page=AT_ONCE, max_messages=AT_ONCE))
                for message in some:
                    client.delete_message(message)
                    taken.append(message.content)
                if not some:
                    break
        return taken

    def awaited(self, name: str, number: int) -> list[str]:
        """So many texts of a queue, taken off it; even a hurried one comes a second late."""
        taken: list[str] = []
        end = time.monotonic() + LONGEST_WAIT
        while len(taken) < number:
            assert time.monotonic() < end, f"{len(taken)} of {number} came"
            taken += self.take(name)
        return taken

    def items(self, name: str = MESSAGES) -> list[Item]:
        """The items on a queue, taken off it."""
        return [decode(text) for text in self.take(name)]

    def queue(self, name: str) -> QueueClient:
        if name not in self._queues:
            self._queues[name] = QueueClient.from_connection_string(
                self.settings["AzureWebJobsStorage"],
                name,
                message_decode_policy=TextBase64DecodePolicy(),
                transport=RequestsTransport(session=requests.Session(), use_env_settings=False),
            )
        return self._queues[name]

    # what a person does

    def run(self, *words: str, answer: str = "") -> Result:
        """Run a command at this desk."""
        wiring = Wiring(self.settings)
        wiring.clock = self.clock
        wiring.hurry = 1e6
        return CliRunner().invoke(app, list(words), input=answer, obj=wiring, catch_exceptions=False)

    def told(self, *words: str, exit_code: int = 0) -> dict[str, Any]:
        """What a command says as JSON."""
        result = self.run(*words, "--json")
        assert result.exit_code == exit_code, result.output
        said: dict[str, Any] = json.loads(result.stdout)
        return said

    def verified(self, *words: str, exit_code: int = 0) -> dict[str, Any]:
        """The sum that `verify` proves."""
        total: dict[str, Any] = self.told("verify", *words, exit_code=exit_code)["total"]
        return total

    def refuse(self, mail: Mail) -> Fault:
        """Dataverse refuses this mail from now on, for what is in its row."""
        body = {"error": {"code": "0x80040203", "message": "Invalid Argument"}}
        fault = Fault(Answer(400, body=json.dumps(body).encode()), method="POST", body=mail.subject)
        self.faults["dataverse"].add(fault)
        return fault

    def emails(self) -> list[dict[str, object]]:
        return self.dataverse.rows("email")
