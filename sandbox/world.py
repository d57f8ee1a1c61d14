"""A whole small world on this machine: Nylas, Entra, Dataverse, storage, and the function app between them.

Joins the stand-ins and starts the app as a process of its own with the settings that lead to them. What happens in
that world is the caller's story: the demo's, a test's or the benchmark's.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from sandbox.azurite import Azurite
from sandbox.dataverse import DataverseStandIn
from sandbox.entra import EntraStandIn
from sandbox.faults import Faults
from sandbox.host import HostProcess, Keys
from sandbox.mail import Character
from sandbox.nylas import NylasStandIn
from sandbox.servers import Certificate, Server
from sandbox.webhooks import Webhook

APP = Path(__file__).parent.parent
TRIGGERS = (
    "message.created",
    "message.updated",
    "message.deleted",
    "grant.created",
    "grant.updated",
    "grant.expired",
    "grant.deleted",
    "grant.imap_sync_completed",
)
TENANT = "0f6d2c1a-9b7e-4a53-8c1d-5e4f3a2b1c0d"
CLIENT = "7a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
WAIT = 30.0
"""Seconds that a story waits for something it was promised."""


class NeverHappenedError(AssertionError):
    """What a story waited for did not come about in time."""


class World:
    """The stand-ins, their servers, the storage emulator and the app."""

    def __init__(
        self,
        *,
        app: Path = APP,
        settings: Mapping[str, str | None] | None = None,
        dataverse: DataverseStandIn | None = None,
        nylas: NylasStandIn | None = None,
        azurite: Azurite | None = None,
        storage: str | None = None,
        visibility: float | None = None,
        max_poll: float | None = None,
        timers: bool = False,
        keys: Keys | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.nylas = nylas or NylasStandIn(api_key=f"nyk_{secrets.token_hex(16)}")
        self.entra = EntraStandIn(TENANT, CLIENT, secrets.token_urlsafe(24))
        self.dataverse = dataverse or DataverseStandIn()
        self.dataverse.authorise = self.entra.authorise
        self.faults = {
            "nylas": Faults(self.nylas.app),
            "entra": Faults(self.entra.app),
            "dataverse": Faults(self.dataverse.app),
        }
        self._app = app
        self._overrides = dict(settings or {})
        self._given_azurite = azurite
        self._visibility = visibility
        self._max_poll = max_poll
        self._timers = timers
        self._keys = keys
        self._progress = progress
        self._stack = ExitStack()
        self._secret = secrets.token_urlsafe(15)
        self.webhook: Webhook
        self.servers: dict[str, Server] = {}
        self.azurite: Azurite
        self.storage = storage or ""
        """The connection string of its own account in Azurite: the first, unless another one is given."""
        self.host: HostProcess

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        enter = self._stack.enter_context
        folder = Path(enter(tempfile.TemporaryDirectory(prefix="sandbox-")))
        certificate = Certificate()
        self._bundle = certificate.bundle(folder / "trusted.pem")
        self._stack.callback(self.nylas.close)
        for name, app in self.faults.items():
            self.servers[name] = enter(Server(app, certificate=certificate))
        self._progress("stand-ins for Nylas, Entra and Dataverse answer over TLS")
        self.azurite = self._given_azurite or enter(Azurite())
        self.storage = self.storage or self.azurite.connection_string
        self._progress("Azurite holds queues and tables")
        self.host = enter(self.another_host())
        self._progress(f"the function app runs: {', '.join(sorted(self.host.functions()))}")
        self.webhook = self.nylas.register(f"{self.host.url}/api/webhooks/nylas", TRIGGERS)
        # Nylas makes the secret once the endpoint has answered its challenge; the app was told it beforehand here,
        # where in Azure the setting is changed and the app restarts.
        self.webhook.secret = self._secret

    def another_host(self, **settings: str | None) -> HostProcess:
        """A further instance of the app on the same storage; to be started by the caller."""
        env = {**self.settings(), **settings}
        return HostProcess(
            self._app,
            env,
            visibility=self._visibility,
            max_poll=self._max_poll,
            timers=self._timers,
            keys=self._keys,
        )

    def settings(self) -> dict[str, str | None]:
        """The app's settings in this world; None takes one away that the machine may have set."""
        return {
            "AzureWebJobsStorage": self.storage,
            "NYLAS_API_KEY": self.nylas.api_key,
            "NYLAS_API_URI": self.servers["nylas"].url,
            "NYLAS_WEBHOOK_SECRET": self._secret,
            "DATAVERSE_URL": self.servers["dataverse"].url,
            "AZURE_AUTHORITY_HOST": self.servers["entra"].url,
            "AZURE_TENANT_ID": self.entra.tenant,
            "AZURE_CLIENT_ID": self.entra.client_id,
            "AZURE_CLIENT_SECRET": self.entra.client_secret,
            "AZURE_TOKEN_CREDENTIALS": None,
            "REQUESTS_CA_BUNDLE": str(self._bundle),
            "SWEEP_SPREAD": "0",
            **self._overrides,
        }

    # what a story does in it

    def know(self, people: Mapping[str, Character]) -> dict[str, str]:
        """Make the Dataverse rows of these people; returns their ids by the people's keys."""
        return {key: self._row_of(person) for key, person in people.items() if person.record is not None}

    def connect(self, people: Mapping[str, Character], **more: object) -> dict[str, str]:
        """Connect the mailboxes of those people who have one; returns the grant ids by the people's keys."""
        return {
            key: self.nylas.connect(person.email, person.mailbox, name=person.name, aliases=person.aliases, **more)
            for key, person in people.items()
            if person.mailbox is not None
        }

    def emails(self) -> list[dict[str, object]]:
        """Every email in Dataverse with its parties, oldest first."""
        rows = self.dataverse.rows("email")
        found = [self.dataverse.email(str(row["activityid"])) for row in rows]
        return sorted((row for row in found if row), key=lambda row: str(row["sortdate"]))

    def sweep(self) -> None:
        """Let the timer fire now."""
        self.host.run("sweep_missed")

    def wait(self, what: str, until: Callable[[], object], seconds: float = WAIT) -> None:
        """Return once something is so; raises NeverHappenedError."""
        deadline = time.monotonic() + seconds
        while not until():
            if time.monotonic() > deadline:
                raise NeverHappenedError(f"{what} (waited {seconds:.0f} s)")
            time.sleep(0.02)

    def wait_for_emails(self, number: int) -> None:
        """Return once Dataverse holds so many completed emails."""
        self.wait(f"{number} completed emails", lambda: self.dataverse.count("email", statecode=1) >= number)

    def _row_of(self, person: Character) -> str:
        table = person.record or ""
        if table == "systemuser":
            approved = {"internalemailaddress": person.email, "emailrouteraccessapproval": 1}
            return self.dataverse.add(table, fullname=person.name, **approved)
        if table == "queue":
            return self.dataverse.add(table, name=person.name, emailaddress=person.email, emailrouteraccessapproval=1)
        if table == "account":
            return self.dataverse.add(table, name=person.name, emailaddress1=person.email)
        first, _, last = person.name.partition(" ")
        return self.dataverse.add(table, firstname=first, lastname=last, emailaddress1=person.email)
