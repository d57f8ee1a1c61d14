"""What everything else is joined from: settings, storage, and a client for each vendor."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from mailsync import telemetry
from mailsync.errors import ConfigurationError, Scope
from mailsync.settings import (
    FOR_DATAVERSE,
    FOR_NYLAS,
    FOR_WEBHOOK,
    SWEEP_SCHEDULE,
    VERIFY_SCHEDULE,
    ErasureKey,
    IngestSettings,
    Settings,
    StorageSettings,
    wants_telemetry,
)
from mailsync.wiring.part import part

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from mailsync.connected import Connected
    from mailsync.dataverse.address_book import AddressBook
    from mailsync.dataverse.definitions import Definitions
    from mailsync.dataverse.emails import Emails
    from mailsync.dataverse.resolver import Resolver
    from mailsync.dataverse.web_api import WebApi
    from mailsync.listings import Listings, Patience
    from mailsync.nylas.grants import Grants
    from mailsync.nylas.reader import Reader
    from mailsync.pulse import Pulse
    from mailsync.storage.account import StorageAccount
    from mailsync.storage.aside import Aside
    from mailsync.storage.counts import Counts
    from mailsync.storage.envelope import Item
    from mailsync.storage.instances import Instances
    from mailsync.storage.journal import Journal
    from mailsync.storage.mailboxes import Mailboxes
    from mailsync.storage.proofs import Proofs
    from mailsync.storage.queues import Queues
    from mailsync.storage.threads import Sightings
    from mailsync.storage.tombstones import Tombstones
    from mailsync.transport import Transport
    from mapping.policy import People, Policy

HERE = Path(__file__).parents[2]
LEAST_PATIENCE = 5.0
"""Seconds that even a hurried process waits for an answer, and any process for one that nothing hangs on."""

ENTRA_HOSTS = frozenset(
    {
        "login.microsoftonline.com",
        "login.microsoftonline.us",
        "login.chinacloudapi.cn",
        "login.partner.microsoftonline.cn",
    }
)
"""Authorities that Microsoft's instance discovery knows; for any other it must be off."""


class Services:
    """Settings, storage, Nylas, Entra and Dataverse."""

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self._env = env
        self.making = threading.RLock()
        self.clock: Callable[[], float] = time.time
        self.hurry = 1.0
        """Divides every delay: a test lives through a day's outage in seconds. No setting changes it."""
        self.notes_after: float | None = None
        """Seconds that what no item waits for is held before it is written, if others than usual: a test may want it
        never."""
        if wants_telemetry(env):
            telemetry.begin()

    def sweep_schedule(self) -> str:
        """NCRONTAB of the sweep; read while functions are indexed, before any other setting is needed."""
        return self._env.get("SWEEP_SCHEDULE", "").strip() or SWEEP_SCHEDULE

    def verify_schedule(self) -> str:
        """NCRONTAB of the nightly proof, likewise."""
        return self._env.get("VERIFY_SCHEDULE", "").strip() or VERIFY_SCHEDULE

    @part
    def ingest_settings(self) -> IngestSettings:
        """Raises SettingsError."""
        return IngestSettings.from_env(self._env)

    @part
    def settings(self) -> Settings:
        """Good for all but the webhook; raises SettingsError."""
        return Settings.from_env(self._env, but=FOR_WEBHOOK)

    @part
    def ingest_queues(self) -> Queues:
        """Queues that give up within seconds: Nylas waits."""
        return self._queues(prompt=True)

    @part
    def queues(self) -> Queues:
        """Queues for the steps behind them."""
        return self._queues(prompt=False)

    def sync_since(self) -> int:
        """No mail before this moment is swept: the setting, or this installation's first start less the overlap."""
        settings = self.settings
        if settings.sync_since is not None:
            return settings.sync_since
        return self._first_start - settings.sweep_overlap

    @part
    def _first_start(self) -> int:
        """When this installation first swept, or now."""
        return self._mailboxes.first_start(int(self.clock()))

    @part
    def emails(self) -> Emails:
        """The emails of the Dataverse environment."""
        from mailsync.dataverse.emails import Emails

        return Emails(self._api, definitions=self._definitions)

    @part
    def dataverse_settings(self) -> Settings:
        """Good for what Dataverse needs; raises SettingsError naming its own settings only."""
        return Settings.from_env(self._env, only=FOR_DATAVERSE)

    @part
    def nylas_settings(self) -> Settings:
        """Good for what Nylas needs; raises SettingsError naming its own settings only."""
        return Settings.from_env(self._env, only=FOR_NYLAS)

    @part
    def _instances(self) -> Instances:
        from mailsync.storage.instances import Instances

        return Instances(self._account)

    @part
    def _pulse(self) -> Pulse:
        from mailsync.pulse import AFTER, Pulse

        after = AFTER if self.notes_after is None else self.notes_after
        return Pulse(lambda: self._instances, clock=self.clock, after=after)

    @part
    def aside(self) -> Aside:
        """What was put aside."""
        from mailsync.storage.aside import Aside

        return Aside(self._account)

    @part
    def counts(self) -> Counts:
        """How many outcomes of each kind there were."""
        from mailsync.storage.counts import AFTER, Counts

        after = AFTER if self.notes_after is None else self.notes_after
        return Counts(self._account, clock=self.clock, after=after)

    @part
    def proofs(self) -> Proofs:
        """What the last nightly proof of each mailbox came to."""
        from mailsync.storage.proofs import Proofs

        return Proofs(self._account)

    def _send(self, item: Item, *, delay: float = 0) -> None:
        # whole seconds, as the queue counts: a delay that came to nothing would send the item round and round
        self.queues.send(item, delay=math.ceil(delay / self.hurry))

    def _hurried(self) -> float:
        """Seconds for gates: they pass as much faster as delays are shorter."""
        return time.monotonic() * self.hurry

    @part
    def _account(self) -> StorageAccount:
        from mailsync.storage.account import StorageAccount

        # Azure's SDKs log each request and its headers at INFO: about twenty lines an email, paid for by the gigabyte
        logging.getLogger("azure").setLevel(logging.WARNING)
        storage = StorageSettings.from_env(self._env)
        credential = None if storage.connection_string else _storage_credential(storage)
        return StorageAccount(storage, credential, ca_bundle=self._env.get("REQUESTS_CA_BUNDLE"))

    @part
    def _journal(self) -> Journal:
        from mailsync.storage.journal import Journal

        return Journal(self._account, self._tombstones)

    @part
    def _sightings(self) -> Sightings:
        from mailsync.storage.threads import Sightings

        return Sightings(self._account, self._tombstones)

    @part
    def _tombstones(self) -> Tombstones:
        """What was erased, as far as there is a key to recognise it by; asks for no other setting."""
        from mailsync.storage.pseudonyms import Pseudonyms
        from mailsync.storage.tombstones import Tombstones

        key = ErasureKey.from_env(self._env).value
        pseudonyms = Pseudonyms(key) if key is not None else None
        return Tombstones(self._account, pseudonyms, clock=self.clock)

    @part
    def _mailboxes(self) -> Mailboxes:
        from mailsync.storage.mailboxes import Mailboxes

        return Mailboxes(self._account)

    @part
    def _grants(self) -> Grants:
        from mailsync.nylas.grants import Grants

        settings = self.nylas_settings
        return Grants(api_uri=settings.nylas_api_uri, api_key=settings.nylas_api_key)

    @part
    def _patience(self) -> Patience:
        from mailsync.listings import Patience

        return Patience(pause=lambda seconds: time.sleep(seconds / self.hurry), random=Random())  # noqa: S311

    @part
    def _listings(self) -> Listings:
        from mailsync.listings import Listings

        page_size = self.settings.sweep_page_size
        return Listings(reader=self._reader, page_size=page_size, patience=self._patience)

    @part
    def _reader(self) -> Reader:
        from mailsync.gates import Gate, MailboxGates
        from mailsync.nylas.reader import Reader

        settings = self.settings
        transport = self._transport("nylas", settings.nylas_api_uri)
        mailboxes = MailboxGates(
            provider_of=lambda grant: self._connected.provider_of(grant),  # noqa: PLW0108  # made later than we
            clock=self._hurried,
            instances=settings.instance_count,
        )
        return Reader(
            transport,
            api_uri=settings.nylas_api_uri,
            api_key=settings.nylas_api_key,
            gate=self._pulse.watch(Gate("nylas", clock=self._hurried, scope=Scope.ORGANISATION)),
            gate_of=mailboxes.of,
        )

    @part
    def _connected(self) -> Connected:
        from mailsync.connected import Connected
        from mailsync.named import as_mailbox

        return Connected(
            mailboxes=self._mailboxes,
            reader=self._reader,
            own_domains=self.policy.own_domains,
            clock=self.clock,
            listed=lambda: map(as_mailbox, self._grants.all()),
        )

    @part
    def policy(self) -> Policy:
        """The reviewed policy; raises ConfigurationError with everything that is wrong with it."""
        return self.read_policy(HERE / self.dataverse_settings.tracking_policy)

    @part
    def _api(self) -> WebApi:
        from mailsync.dataverse.tokens import Tokens
        from mailsync.dataverse.web_api import WebApi
        from mailsync.gates import Gate

        settings = self.dataverse_settings
        transport = self._transport("dataverse", settings.dataverse_url)
        at_once = max(1, settings.dataverse_concurrency // settings.instance_count)
        entra = Gate("entra", clock=self._hurried, scope=Scope.ORGANISATION, failures_to_close=1)
        gate = Gate("dataverse", clock=self._hurried, scope=Scope.ORGANISATION, concurrency=at_once)
        return WebApi(
            transport,
            url=settings.dataverse_url,
            tokens=Tokens(
                lambda: credential(settings.authority_host),
                resource=settings.dataverse_url,
                gate=self._pulse.watch(entra),
            ),
            gate=self._pulse.watch(gate),
            most_at_once=at_once,
            told=self._pulse.limits,
        )

    @part
    def _address_book(self) -> AddressBook:
        from mailsync.dataverse.address_book import AddressBook

        return AddressBook(self.policy.people)

    @part
    def _definitions(self) -> Definitions:
        from mailsync.dataverse.definitions import Definitions

        return Definitions(self._api)

    @part
    def _resolver(self) -> Resolver:
        return self._resolver_by(self._address_book)

    def _resolver_with(self, people: People) -> Resolver:
        """One that matches people as a policy which need not be deployed wants it."""
        from mailsync.dataverse.address_book import AddressBook

        return self._resolver_by(AddressBook(people))

    def _resolver_by(self, address_book: AddressBook) -> Resolver:
        from mailsync.dataverse.resolver import Resolver

        return Resolver(
            self._api,
            address_book=address_book,
            definitions=self._definitions,
            adopt_existing=self.settings.adopt_existing,
        )

    def _transport(self, vendor: str, url: str, *, prompt: bool = False) -> Transport:
        from mailsync.transport import READ_TIMEOUT, Transport

        least = min(READ_TIMEOUT, LEAST_PATIENCE)
        hurried = least if prompt else max(READ_TIMEOUT / self.hurry, least)
        return Transport(vendor, base_url=url, verify=self._env.get("REQUESTS_CA_BUNDLE") or True, read_timeout=hurried)

    def _queues(self, *, prompt: bool) -> Queues:
        from mailsync.storage.queues import Queues

        return Queues(self._account, prompt=prompt)

    def read_policy(self, path: Path) -> Policy:
        """The policy in a file; raises ConfigurationError."""
        from mapping.policy import PolicyError, parse_policy

        try:
            return parse_policy(path.read_text(encoding="utf-8"), path.name)
        except PolicyError as error:
            raise ConfigurationError(
                str(error).replace("\n", "; "), reason="tracking_policy", scope=Scope.ORGANISATION
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{path.name} can't be read ({type(error).__name__}); TRACKING_POLICY names the policy file",
                reason="tracking_policy",
                scope=Scope.ORGANISATION,
            ) from error


def credential(host: str | None) -> TokenCredential:
    """The identity of the environment, for whatever is no storage; `host` is another authority than the public one."""
    # items wait for the token: its own defaults would let an Entra that never answers hold them for minutes
    patience = {"connection_timeout": 4, "read_timeout": 8, "retry_total": 0}
    if host is None:
        return _identity(**patience)
    bare = host.removeprefix("https://").strip("/")
    return _identity(authority=bare, disable_instance_discovery=bare not in ENTRA_HOSTS, **patience)


def _storage_credential(storage: StorageSettings) -> TokenCredential:
    """The identity the host uses for the same storage: AzureWebJobsStorage__clientId, or the environment's own."""
    return _identity() if storage.client_id is None else _identity(managed_identity_client_id=storage.client_id)


def _identity(**given: Any) -> TokenCredential:
    """Raises ConfigurationError where the environment names an identity that can be none."""
    from azure.identity import DefaultAzureCredential

    try:
        return DefaultAzureCredential(**given)
    except ValueError as error:
        raise ConfigurationError(
            "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET name no identity; mend them, or take them away: "
            "to azure-identity an empty one is set",
            reason="entra_refused",
            scope=Scope.ORGANISATION,
        ) from error
