"""Chooses and joins the parts of this deployment; the only reader of the environment.

Each service is built once, on first use, with local imports: the webhook answers from a cold start having loaded
the queue client and nothing of Dataverse.
"""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from mailsync import telemetry
from mailsync.errors import ConfigurationError, MailSyncError, Scope
from mailsync.settings import (
    FOR_DATAVERSE,
    FOR_NYLAS,
    SWEEP_SCHEDULE,
    VERIFY_SCHEDULE,
    ErasureKey,
    IngestSettings,
    Settings,
    SettingsError,
    StorageSettings,
    wants_telemetry,
)

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from mailsync.backfill import Backfiller
    from mailsync.connected import Connected
    from mailsync.dashboard.health import Health
    from mailsync.dashboard.manage import Manage
    from mailsync.dashboard.status import StatusReader
    from mailsync.dataverse.address_book import AddressBook
    from mailsync.dataverse.creation import Creation
    from mailsync.dataverse.definitions import Definitions
    from mailsync.dataverse.emails import Emails
    from mailsync.dataverse.resolver import Resolver
    from mailsync.dataverse.setup import Setup
    from mailsync.dataverse.web_api import WebApi
    from mailsync.doctor import Doctor
    from mailsync.erase import Eraser
    from mailsync.explain import Explainer
    from mailsync.listings import Listings, Patience
    from mailsync.mailboxes import MailboxOverview
    from mailsync.measures import Measures
    from mailsync.nightly import Night, Nightly
    from mailsync.nylas.grants import Grants
    from mailsync.nylas.reader import Reader
    from mailsync.nylas.webhooks import Endpoint, Webhooks
    from mailsync.pulse import Pulse
    from mailsync.rehearse import Rehearsal
    from mailsync.replay import Replayer
    from mailsync.retention import Retention
    from mailsync.simulate import Simulator
    from mailsync.storage.account import StorageAccount
    from mailsync.storage.aside import Aside
    from mailsync.storage.counts import Counts
    from mailsync.storage.envelope import Item, SweepItem
    from mailsync.storage.instances import Instances
    from mailsync.storage.journal import Journal
    from mailsync.storage.mailboxes import Mailbox, Mailboxes
    from mailsync.storage.proofs import Proofs
    from mailsync.storage.queues import Queues
    from mailsync.storage.threads import Sightings
    from mailsync.storage.tombstones import Tombstones
    from mailsync.sweep import MailboxSweeper
    from mailsync.transport import Transport
    from mailsync.trouble import Handling
    from mailsync.vault import Vault
    from mailsync.verify import Verifier
    from mailsync.write import EmailWriter
    from mapping.policy import Policy

T = TypeVar("T")
HERE = Path(__file__).parent.parent
LARGE_AT_ONCE = 2
"""Mails with large files that one process writes at a time."""
SLACK = 600
"""Seconds that a sweep's timer may be late before the status page calls it silent."""
LEAST_PATIENCE = 5.0
"""Seconds that even a hurried process waits for an answer."""

ENTRA_HOSTS = frozenset(
    {
        "login.microsoftonline.com",
        "login.microsoftonline.us",
        "login.chinacloudapi.cn",
        "login.partner.microsoftonline.cn",
    }
)
"""Authorities that Microsoft's instance discovery knows; for any other it must be off."""


class Wiring:
    """The parts of one process, each made when it is first asked for."""

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self._env = env
        self._made: dict[str, Any] = {}
        self._lock = threading.RLock()
        self.clock: Callable[[], float] = time.time
        self.hurry = 1.0
        """Divides every delay: a test lives through a day's outage in seconds. No setting changes it."""
        self.notes_after: float | None = None
        """Seconds that what no item waits for is held before it is written, if others than usual: a test may want it
        never."""
        if wants_telemetry(env):
            telemetry.begin()

    def _once(self, name: str, make: Callable[[], T]) -> T:
        made = self._made.get(name)
        if made is None:
            with self._lock:
                made = self._made.get(name)
                if made is None:
                    made = self._made[name] = make()
        return made

    def sweep_schedule(self) -> str:
        """NCRONTAB of the sweep; read while functions are indexed, before any other setting is needed."""
        return self._env.get("SWEEP_SCHEDULE", "").strip() or SWEEP_SCHEDULE

    def verify_schedule(self) -> str:
        """NCRONTAB of the nightly proof, likewise."""
        return self._env.get("VERIFY_SCHEDULE", "").strip() or VERIFY_SCHEDULE

    @property
    def ingest_settings(self) -> IngestSettings:
        """Raises SettingsError."""
        return self._once("ingest_settings", lambda: IngestSettings.from_env(self._env))

    @property
    def settings(self) -> Settings:
        """Raises SettingsError."""
        return self._once("settings", lambda: Settings.from_env(self._env))

    @property
    def ingest_queues(self) -> Queues:
        """Queues that give up within seconds: Nylas waits."""
        return self._once("ingest_queues", lambda: self._queues(prompt=True))

    @property
    def queues(self) -> Queues:
        """Queues for the steps behind them."""
        return self._once("queues", lambda: self._queues(prompt=False))

    def handle_message(self, text: bytes) -> None:
        """Do the work of one text from the queue of messages."""
        from mailsync.storage.envelope import DeletedItem, MessageItem

        # lambdas: settings that can't be used yet are the item's trouble, not the handler's
        self._handling.handle(
            text,
            {
                MessageItem: self._pulse.beating(lambda item: self._writer.write(item)),  # noqa: PLW0108
                DeletedItem: lambda item: self._writer.record_deleted(item),  # noqa: PLW0108
            },
        )

    def handle_sweep(self, text: bytes) -> None:
        """Do the work of one text from the queue of sweeps."""
        from mailsync.storage.envelope import GrantItem, SweepItem

        self._handling.handle(
            text,
            {
                SweepItem: self._pulse.beating(self._feed),
                GrantItem: lambda item: self._sweeper.record(item),  # noqa: PLW0108
            },
        )

    def _feed(self, item: SweepItem) -> None:
        if item.backfill:
            self.backfiller.turn(item)
        else:
            self._sweeper.sweep(item)

    def collect(self, text: bytes) -> None:
        """Keep one text from a poison queue."""
        self._handling.collect(text)

    def sweep_missed(self) -> int:
        """Enqueue a sweep for each valid mailbox; returns how many. Whatever comes of it, the vitals are told."""
        from mailsync.sweep import sweep_missed

        try:
            with self._pulse.timing():
                settings = self.settings
                swept = sweep_missed(
                    grants=self._grants,
                    mailboxes=self._mailboxes,
                    send=self._send,
                    spread=settings.sweep_spread,
                    sync_since=self.sync_since(),
                    now=int(self.clock()),
                )
                self.backfiller.look_after()
                return swept
        finally:
            self._tell_vitals()

    def shorten_journal(self) -> None:
        """Shorten some records that are older than JOURNAL_RETENTION_DAYS; a key to mend stops nothing else."""
        keep = self.settings.journal_retention
        if keep is None:
            return
        try:
            ErasureKey.from_env(self._env).required()
            self._retention.shorten(keep=keep)
        except ConfigurationError as error:
            telemetry.emit("journal_not_shortened", reason=error.reason, evidence=error.evidence, advice=error)

    def verify_nightly(self) -> Night:
        """Prove for each mailbox that the messages of the last days are accounted for, as far as the time goes."""
        return self._nightly.run()

    def _tell_vitals(self) -> None:
        """What waits and how far behind the mailboxes are; that it can't be told keeps nobody from sweeping."""
        from mailsync import vitals

        now = int(self.clock())
        try:
            vitals.tell(
                waiting=self.queues.waiting(now),
                mailboxes=self._mailboxes.all(),
                proofs=self.proofs.all(),
                started=self._once("first_start", lambda: self._mailboxes.first_start(now)),
                now=now,
            )
            self.measures.flush()
            self.counts.settle()
            self._instances.forget(now=now)
        except MailSyncError as error:
            telemetry.emit("state_measured", reason=error.reason)

    def sync_since(self) -> int:
        """No mail before this moment is swept: the setting, or this installation's first start less the overlap."""
        settings = self.settings
        if settings.sync_since is not None:
            return settings.sync_since
        first = self._once("first_start", lambda: self._mailboxes.first_start(int(self.clock())))
        return first - settings.sweep_overlap

    @property
    def emails(self) -> Emails:
        """The emails of the Dataverse environment."""
        from mailsync.dataverse.emails import Emails

        return self._once("emails", lambda: Emails(self._api, definitions=self._definitions))

    # setting up, while other settings may still be missing

    @property
    def dataverse_settings(self) -> Settings:
        """Good for what Dataverse needs; raises SettingsError naming its own settings only."""
        return self._once("dataverse_settings", lambda: Settings.from_env(self._env, only=FOR_DATAVERSE))

    @property
    def nylas_settings(self) -> Settings:
        """Good for what Nylas needs; raises SettingsError naming its own settings only."""
        return self._once("nylas_settings", lambda: Settings.from_env(self._env, only=FOR_NYLAS))

    @property
    def webhooks(self) -> Webhooks:
        """The webhooks of the Nylas application."""
        return self._once("webhooks", self._make_webhooks)

    @property
    def endpoint(self) -> Endpoint:
        """The function app's own endpoint, to be delivered to as Nylas does."""
        return self._once("endpoint", self._make_endpoint)

    def vault(self, named: str) -> Vault:
        """A key vault by its name or address; raises ArgumentError."""
        from mailsync.dataverse.tokens import Tokens
        from mailsync.gates import Gate
        from mailsync.vault import Vault, resource_of, url_of

        url = url_of(named)
        gate = Gate("entra", clock=self._hurried, scope=Scope.ORGANISATION, failures_to_close=1)
        host = self.nylas_settings.authority_host
        tokens = Tokens(lambda: _credential(host), resource=resource_of(url), gate=gate)
        return Vault(self._transport("vault", url), url=url, token=tokens.current)

    def known_secrets(self) -> tuple[str, ...]:
        """The webhook's secrets as far as this environment tells them, the newest last."""
        settings = Settings.from_env(self._env, only=())
        return settings.webhook_secrets

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds / self.hurry)

    def doctor(self, url: str | None = None) -> Doctor:
        """Examines this deployment; `url` is its webhook's, where the environment does not tell it."""
        from mailsync.dataverse.access import Access
        from mailsync.doctor import Doctor
        from mailsync.doctor.dataverse import DataverseSide
        from mailsync.doctor.erasure import ErasureSide
        from mailsync.doctor.nylas import NylasSide
        from mailsync.named import as_mailbox
        from mailsync.nylas.webhooks import PATH
        from mailsync.storage.probe import Probe

        host = self._env.get("WEBSITE_HOSTNAME", "").strip()
        return Doctor(
            setting_problems=self._setting_problems,
            env=self._env,
            host=_read_json(HERE / "host.json"),
            probe=lambda: self._once("probe", lambda: Probe(self._account)),
            erasure=ErasureSide(
                key=lambda: ErasureKey.from_env(self._env),
                is_hashing=lambda: self._tombstones.is_ours,
                is_retention_set=bool(self._env.get("JOURNAL_RETENTION_DAYS", "").strip()),
            ),
            nylas=NylasSide(
                grants=lambda: self._grants.all(),  # noqa: PLW0108  # settings that can't be used are a finding
                webhooks=lambda: self.webhooks,
                endpoint=lambda: self.endpoint,
                secrets=self.known_secrets,
                url=url or (f"https://{host}{PATH}" if host else ""),
            ),
            dataverse=DataverseSide(
                access=lambda: Access(self._api),
                definitions=lambda: self._definitions,
                settings=lambda: self.dataverse_settings,
                policy=lambda: self.policy,
                mailboxes=lambda: [as_mailbox(grant) for grant in self._grants.all()],
            ),
            policy=lambda: self.policy,
            clock=self.clock,
        )

    @property
    def mailbox_overview(self) -> MailboxOverview:
        """Each mailbox in one line."""
        from mailsync.dataverse.access import Access
        from mailsync.mailboxes import MailboxOverview

        return self._once(
            "mailbox_overview",
            lambda: MailboxOverview(
                grants=lambda: self._grants.all(),  # noqa: PLW0108  # settings that can't be used are told in their place
                mailboxes=self._mailboxes,
                journal=self._journal,
                access=lambda: Access(self._api),
                clock=self.clock,
            ),
        )

    def _setting_problems(self) -> Mapping[str, str]:
        try:
            Settings.from_env(self._env)
        except SettingsError as error:
            return error.problems
        return {}

    @property
    def application(self) -> str:
        """The client id of the identity in the environment; empty where there is none."""
        return self._env.get("AZURE_CLIENT_ID", "").strip()

    @property
    def dataverse_setup(self) -> Setup:
        """Sets up the Dataverse side."""
        from mailsync.dataverse.setup import Setup

        return self._once("dataverse_setup", lambda: Setup(self._api))

    # what is told to whoever looks

    @property
    def status(self) -> StatusReader:
        """Reads how things stand; never waits long for storage."""
        return self._once("status", self._make_status)

    def answers(self) -> bool:
        """Whether the app could take mail in a moment ago: its settings for that are good, and storage answers."""
        return self._once("health", self._make_health).answers()

    @property
    def manage(self) -> Manage:
        """Does what a person with the admin key asks for."""
        return self._once("manage", self._make_manage)

    @property
    def _pulse(self) -> Pulse:
        from mailsync.pulse import AFTER, Pulse

        after = AFTER if self.notes_after is None else self.notes_after
        return self._once("pulse", lambda: Pulse(lambda: self._instances, clock=self.clock, after=after))

    @property
    def _instances(self) -> Instances:
        from mailsync.storage.instances import Instances

        return self._once("instances", lambda: Instances(self._account))

    # what a person asks for

    def mailbox(self, named: str) -> Mailbox:
        """The mailbox with this grant id or address; raises UnknownMailboxError."""
        from mailsync.named import mailbox_named

        # a lambda: the settings for Nylas are read only if it is asked
        return mailbox_named(named, known=self._mailboxes.all(), grants=lambda: self._grants.all())  # noqa: PLW0108

    def valid_mailboxes(self) -> list[Mailbox]:
        """Every mailbox that Nylas lists and can read."""
        from mailsync.named import as_mailbox
        from mailsync.storage.mailboxes import VALID

        return [as_mailbox(grant) for grant in self._patience(self._grants.all) if grant.status == VALID]

    @property
    def simulator(self) -> Simulator:
        """Judges mail by policies that need not be deployed."""
        return self._once("simulator", self._make_simulator)

    @property
    def aside(self) -> Aside:
        """What was put aside."""
        from mailsync.storage.aside import Aside

        return self._once("aside", lambda: Aside(self._account))

    @property
    def counts(self) -> Counts:
        """How many outcomes of each kind there were."""
        from mailsync.storage.counts import AFTER, Counts

        after = AFTER if self.notes_after is None else self.notes_after
        return self._once("counts", lambda: Counts(self._account, clock=self.clock, after=after))

    @property
    def measures(self) -> Measures:
        """Counts what becomes of messages; what this process still holds is written when it ends."""
        return self._once("measures", self._make_measures)

    @property
    def proofs(self) -> Proofs:
        """What the last nightly proof of each mailbox came to."""
        from mailsync.storage.proofs import Proofs

        return self._once("proofs", lambda: Proofs(self._account))

    @property
    def verifier(self) -> Verifier:
        """Proves that every message is accounted for."""
        return self._once("verifier", lambda: self._make_verifier(self._patience))

    @property
    def _nightly(self) -> Nightly:
        return self._once("nightly", self._make_nightly)

    @property
    def replayer(self) -> Replayer:
        """Puts back on the queues what a person wants tried again."""
        return self._once("replayer", self._make_replayer)

    @property
    def backfiller(self) -> Backfiller:
        """Brings old mail that somebody asked for."""
        return self._once("backfiller", self._make_backfiller)

    @property
    def rehearsal(self) -> Rehearsal:
        """Says what a backfill would do, and writes nothing."""
        from mailsync.rehearse import Rehearsal

        return self._once(
            "rehearsal",
            lambda: Rehearsal(
                listings=self._listings, journal=self._journal, simulator=self.simulator, policy=self.policy
            ),
        )

    def folder(self, grant: str, named: str) -> str:
        """The id of the folder of a mailbox that a person names; raises UnknownFolderError."""
        from mailsync.named import folder_named

        return folder_named(named, self._patience(lambda: self._reader.folders(grant)).values())

    @property
    def eraser(self) -> Eraser:
        """Erases the mails with a person; raises ConfigurationError without ERASURE_KEY."""
        ErasureKey.from_env(self._env).required()
        return self._once("eraser", self._make_eraser)

    @property
    def explainer(self) -> Explainer:
        """Tells what became of a message; needs nothing but storage for what is in the journal."""
        return self._once("explainer", self._make_explainer)

    def _send(self, item: Item, *, delay: float = 0) -> None:
        # whole seconds, as the queue counts: a delay that came to nothing would send the item round and round
        self.queues.send(item, delay=math.ceil(delay / self.hurry))

    def _hurried(self) -> float:
        """Seconds for gates: they pass as much faster as delays are shorter."""
        return time.monotonic() * self.hurry

    @property
    def _handling(self) -> Handling:
        """What deals with an item's failure; needs nothing but storage, so it works while settings are mended."""
        return self._once("handling", self._make_handling)

    @property
    def _writer(self) -> EmailWriter:
        return self._once("writer", self._make_writer)

    @property
    def _sweeper(self) -> MailboxSweeper:
        return self._once("sweeper", self._make_sweeper)

    @property
    def _account(self) -> StorageAccount:
        return self._once("account", self._make_account)

    @property
    def _journal(self) -> Journal:
        from mailsync.storage.journal import Journal

        return self._once("journal", lambda: Journal(self._account, self._tombstones))

    @property
    def _sightings(self) -> Sightings:
        from mailsync.storage.threads import Sightings

        return self._once("sightings", lambda: Sightings(self._account, self._tombstones))

    @property
    def _tombstones(self) -> Tombstones:
        """What was erased, as far as there is a key to recognise it by; asks for no other setting."""
        from mailsync.storage.pseudonyms import Pseudonyms
        from mailsync.storage.tombstones import Tombstones

        key = ErasureKey.from_env(self._env).value
        pseudonyms = Pseudonyms(key) if key is not None else None
        return self._once("tombstones", lambda: Tombstones(self._account, pseudonyms, clock=self.clock))

    @property
    def _mailboxes(self) -> Mailboxes:
        from mailsync.storage.mailboxes import Mailboxes

        return self._once("mailboxes", lambda: Mailboxes(self._account))

    @property
    def _retention(self) -> Retention:
        from mailsync.retention import Retention
        from mailsync.storage.walks import Walks

        return self._once(
            "retention",
            lambda: Retention(
                journal=self._journal,
                sightings=self._sightings,
                tombstones=self._tombstones,
                walks=Walks(self._account),
                clock=self.clock,
            ),
        )

    @property
    def _grants(self) -> Grants:
        from mailsync.nylas.grants import Grants

        settings = self.nylas_settings
        return self._once("grants", lambda: Grants(api_uri=settings.nylas_api_uri, api_key=settings.nylas_api_key))

    @property
    def _patience(self) -> Patience:
        from mailsync.listings import Patience

        return self._once(
            "patience",
            lambda: Patience(pause=lambda seconds: time.sleep(seconds / self.hurry), random=Random()),  # noqa: S311
        )

    @property
    def _listings(self) -> Listings:
        from mailsync.listings import Listings

        page_size = self.settings.sweep_page_size
        return self._once(
            "listings", lambda: Listings(reader=self._reader, page_size=page_size, patience=self._patience)
        )

    @property
    def _reader(self) -> Reader:
        return self._once("reader", self._make_reader)

    @property
    def _connected(self) -> Connected:
        return self._once("connected", self._make_connected)

    @property
    def policy(self) -> Policy:
        """The reviewed policy; raises ConfigurationError with everything that is wrong with it."""
        return self._once("policy", lambda: self.read_policy(HERE / self.dataverse_settings.tracking_policy))

    @property
    def _api(self) -> WebApi:
        return self._once("api", self._make_api)

    @property
    def _address_book(self) -> AddressBook:
        from mailsync.dataverse.address_book import AddressBook

        return self._once("address_book", lambda: AddressBook(self.policy.people))

    @property
    def _definitions(self) -> Definitions:
        from mailsync.dataverse.definitions import Definitions

        return self._once("definitions", lambda: Definitions(self._api))

    @property
    def _resolver(self) -> Resolver:
        return self._once("resolver", self._make_resolver)

    def _transport(self, vendor: str, url: str) -> Transport:
        from mailsync.transport import READ_TIMEOUT, Transport

        hurried = max(READ_TIMEOUT / self.hurry, min(READ_TIMEOUT, LEAST_PATIENCE))
        return Transport(vendor, base_url=url, verify=self._env.get("REQUESTS_CA_BUNDLE") or True, read_timeout=hurried)

    def _queues(self, *, prompt: bool) -> Queues:
        from mailsync.storage.queues import Queues

        return Queues(self._account, prompt=prompt)

    def _make_account(self) -> StorageAccount:
        from mailsync.storage.account import StorageAccount

        # Azure's SDKs log each request and its headers at INFO: about twenty lines an email, paid for by the gigabyte
        logging.getLogger("azure").setLevel(logging.WARNING)
        storage = StorageSettings.from_env(self._env)
        credential = None if storage.connection_string else _storage_credential(storage)
        return StorageAccount(storage, credential, ca_bundle=self._env.get("REQUESTS_CA_BUNDLE"))

    def _make_handling(self) -> Handling:
        from mailsync.trouble import Handling

        handling = Handling(
            send=self._send,
            aside=self.aside,
            journal=self._journal,
            mailboxes=self._mailboxes,
            measures=self.measures,
            clock=self.clock,
            random=Random(),  # noqa: S311  # spreads delays; nothing secret hangs on it
        )
        self._pulse.watch_brake(handling.stopped_for)
        return handling

    def _make_measures(self) -> Measures:
        from mailsync.measures import NOTED_AFTER, Measures

        after = NOTED_AFTER if self.notes_after is None else self.notes_after
        measures = Measures(counts=self.counts, mailboxes=self._mailboxes, clock=self.clock, after=after)
        atexit.register(measures.flush)
        return measures

    def _make_status(self) -> StatusReader:
        from mailsync.dashboard.schedule import longest_pause
        from mailsync.dashboard.status import Sources, StatusReader
        from mailsync.storage.aside import Aside
        from mailsync.storage.mailboxes import Mailboxes
        from mailsync.storage.proofs import Proofs

        # clients of its own, which make one attempt: a page would rather say that a part was not to be had
        once = self._once
        return StatusReader(
            Sources(
                mailboxes=lambda: once("status_mailboxes", lambda: Mailboxes(self._account, prompt=True)),
                counts=lambda: self.counts,
                proofs=lambda: once("status_proofs", lambda: Proofs(self._account, prompt=True)),
                queues=lambda: self.ingest_queues,
                aside=lambda: once("status_aside", lambda: Aside(self._account, prompt=True)),
                instances=lambda: self._instances,
                bound=lambda: self.settings.freshness_bound,
                quiet=lambda: 2 * longest_pause(self.sweep_schedule()) + self.settings.sweep_spread + SLACK,
            ),
            clock=self.clock,
        )

    def _make_manage(self) -> Manage:
        from mailsync.dashboard.manage import Manage
        from mailsync.doctor import told

        return Manage(
            status=lambda: self.status,
            mailbox=self.mailbox,
            explainer=lambda: self.explainer,
            aside=lambda: self.aside,
            replayer=lambda: self.replayer,
            doctor=lambda: told(self.doctor().examine(), self.clock()),
            clock=self.clock,
        )

    def _make_health(self) -> Health:
        from mailsync.dashboard.health import Health

        def call() -> None:
            _ = self.ingest_settings
            self.ingest_queues.answers()

        return Health(call, clock=time.monotonic)

    def _make_reader(self) -> Reader:
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

    def _make_webhooks(self) -> Webhooks:
        from mailsync.nylas.webhooks import Webhooks

        settings = self.nylas_settings
        return Webhooks(
            self._transport("nylas", settings.nylas_api_uri),
            api_uri=settings.nylas_api_uri,
            api_key=settings.nylas_api_key,
        )

    def _make_endpoint(self) -> Endpoint:
        from mailsync.nylas.webhooks import Endpoint

        return Endpoint(self._transport("endpoint", "https://endpoint.invalid"))

    def _make_connected(self) -> Connected:
        from mailsync.connected import Connected

        return Connected(
            mailboxes=self._mailboxes,
            reader=self._reader,
            own_domains=self.policy.own_domains,
            clock=self.clock,
        )

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

    def _make_api(self) -> WebApi:
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
                lambda: _credential(settings.authority_host),
                resource=settings.dataverse_url,
                gate=self._pulse.watch(entra),
            ),
            gate=self._pulse.watch(gate),
            most_at_once=at_once,
            told=self._pulse.limits,
        )

    def _make_resolver(self) -> Resolver:
        from mailsync.dataverse.resolver import Resolver

        return Resolver(
            self._api,
            address_book=self._address_book,
            definitions=self._definitions,
            adopt_existing=self.settings.adopt_existing,
        )

    def _make_creation(self) -> Creation:
        from mailsync.dataverse.creation import Creation

        return Creation(self._api, resolver=self._resolver, address_book=self._address_book)

    def _make_writer(self) -> EmailWriter:
        from mailsync.gates import Gate
        from mailsync.kinship import Kinship
        from mailsync.storage.threads import Awaited
        from mailsync.write import EmailWriter

        kinship = Kinship(
            emails=self.emails, resolver=self._resolver, journal=self._journal, awaited=Awaited(self._account)
        )
        return EmailWriter(
            emails=self.emails,
            resolver=self._resolver,
            creation=self._once("creation", self._make_creation),
            journal=self._journal,
            sightings=self._sightings,
            tombstones=self._tombstones,
            kinship=kinship,
            connected=self._connected,
            policy=self.policy,
            large_files=Gate("files", clock=self._hurried, scope=Scope.MESSAGE, concurrency=LARGE_AT_ONCE),
            nylas_id_column=self.settings.nylas_id_column,
            measures=self.measures,
            clock=self.clock,
        )

    def _make_sweeper(self) -> MailboxSweeper:
        from mailsync.sweep import MailboxSweeper

        settings = self.settings
        return MailboxSweeper(
            reader=self._reader,
            journal=self._journal,
            mailboxes=self._mailboxes,
            connected=self._connected,
            send=self._send,
            sync_since=self.sync_since,
            overlap=settings.sweep_overlap,
            page_size=settings.sweep_page_size,
            measures=self.measures,
            clock=self.clock,
        )

    def _make_backfiller(self) -> Backfiller:
        from mailsync.backfill import Backfiller
        from mailsync.storage.backfills import Backfills
        from mailsync.storage.envelope import MESSAGES

        return Backfiller(
            backfills=Backfills(self._account),
            connected=lambda: self._connected,
            journal=self._journal,
            mailboxes=self._mailboxes,
            send=self._send,
            depth=lambda: self.queues.depth(MESSAGES),
            page_size=self.settings.sweep_page_size,
            clock=self.clock,
        )

    def _make_eraser(self) -> Eraser:
        from mailsync.dataverse.correspondence import Correspondence
        from mailsync.erase import Eraser
        from mailsync.storage.threads import Awaited

        return Eraser(
            correspondence=Correspondence(self._api),
            emails=self.emails,
            grants=self._grants,
            reader=self._reader,
            connected=self._connected,
            journal=self._journal,
            sightings=self._sightings,
            awaited=Awaited(self._account),
            aside=self.aside,
            mailboxes=self._mailboxes,
            tombstones=self._tombstones,
            page_size=self.settings.sweep_page_size,
            patience=self._patience,
            clock=self.clock,
        )

    def _make_simulator(self) -> Simulator:
        from mailsync.simulate import Simulator

        return Simulator(
            connected=self._connected, listings=self._listings, resolver=self._resolver, patience=self._patience
        )

    def _make_nightly(self) -> Nightly:
        from mailsync.listings import Patience
        from mailsync.nightly import LONGEST_PAUSE, TRIES, Deadline, Nightly

        deadline = Deadline(self.clock)
        patience = Patience(
            pause=lambda seconds: time.sleep(seconds / self.hurry),
            random=Random(),  # noqa: S311
            tries=TRIES,
            longest=LONGEST_PAUSE,
            check_time=deadline.check,
        )
        return Nightly(verifier=self._make_verifier(patience), proofs=self.proofs, deadline=deadline, clock=self.clock)

    def _make_verifier(self, patience: Patience) -> Verifier:
        from mailsync.listings import Listings
        from mailsync.verify import Verifier

        return Verifier(
            grants=self._grants,
            mailboxes=self._mailboxes,
            listings=Listings(reader=self._reader, page_size=self.settings.sweep_page_size, patience=patience),
            journal=self._journal,
            emails=self.emails,
            connected=self._connected,
            policy=self.policy,
            sync_since=self.sync_since,
            clock=self.clock,
            patience=patience,
        )

    def _make_replayer(self) -> Replayer:
        from mailsync.replay import Replayer

        return Replayer(
            aside=self.aside,
            journal=self._journal,
            sightings=self._sightings,
            connected=lambda: self._connected,
            send=self._send,
            patience=self._patience,
            sync_since=self.sync_since,
            clock=self.clock,
        )

    def _make_explainer(self) -> Explainer:
        from mailsync.explain import Explainer

        return Explainer(
            journal=self._journal,
            aside=self.aside,
            sightings=self._sightings,
            tombstones=self._tombstones,
            mailboxes=self._mailboxes,
            connected=lambda: self._connected,
            emails=lambda: self.emails,
            clock=self.clock,
        )


def called() -> str:
    """How the commands were called: `bin/mailsync` says so, for the shell completes words of one name only."""
    return os.environ.get("MAILSYNC_CALLED") or "python -m mailsync"


def wiring_here(folder: Path) -> Wiring:
    """The wiring of a command: as the Functions host does, it takes over what local.settings.json in a folder holds.

    What the environment says already stays. Raises SettingsError.
    """
    for name, value in _local_settings(folder / "local.settings.json").items():
        if value:
            os.environ.setdefault(name, value)
    return Wiring()


def _read_json(path: Path) -> Mapping[str, Any] | None:
    try:
        read: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read


def _local_settings(path: Path) -> Mapping[str, str]:
    if not path.is_file():
        return {}
    try:
        held = json.loads(path.read_text(encoding="utf-8-sig"))
        values = {name: value for name, value in held["Values"].items() if isinstance(value, str)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"can't be read ({type(error).__name__}); it is JSON with an object `Values` of texts"
        raise SettingsError({path.name: problem}) from error
    if held.get("IsEncrypted"):
        raise SettingsError({path.name: "is encrypted; run `func settings decrypt`, or set the environment instead"})
    return values


def _credential(host: str | None) -> TokenCredential:
    """The identity of the environment, for whatever is no storage; `host` is another authority than the public one."""
    from azure.identity import DefaultAzureCredential

    # items wait for the token: its own defaults would let an Entra that never answers hold them for minutes
    patience = {"connection_timeout": 4, "read_timeout": 8, "retry_total": 0}
    if host is None:
        return DefaultAzureCredential(**patience)
    bare = host.removeprefix("https://").strip("/")
    return DefaultAzureCredential(authority=bare, disable_instance_discovery=bare not in ENTRA_HOSTS, **patience)


def _storage_credential(storage: StorageSettings) -> TokenCredential:
    """The identity the host uses for the same storage: AzureWebJobsStorage__clientId, or the environment's own."""
    from azure.identity import DefaultAzureCredential

    if storage.client_id is None:
        return DefaultAzureCredential()
    return DefaultAzureCredential(managed_identity_client_id=storage.client_id)
