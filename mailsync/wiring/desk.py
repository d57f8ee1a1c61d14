"""What a person asks for, at a terminal or through the admin functions."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mailsync.errors import Scope
from mailsync.settings import (
    ErasureKey,
    Settings,
    SettingsError,
)
from mailsync.wiring.part import part
from mailsync.wiring.services import HERE, credential
from mailsync.wiring.steps import Steps

if TYPE_CHECKING:
    from mailsync.dashboard.manage import Manage
    from mailsync.dashboard.status import StatusReader
    from mailsync.dataverse.setup import Setup
    from mailsync.doctor import Doctor
    from mailsync.erase import Eraser
    from mailsync.explain import Explainer
    from mailsync.mailboxes import MailboxOverview
    from mailsync.nylas.webhooks import Endpoint, Webhooks
    from mailsync.rehearse import Rehearsal
    from mailsync.simulate import Simulator
    from mailsync.storage.aside import Aside
    from mailsync.storage.mailboxes import Mailbox, Mailboxes
    from mailsync.storage.probe import Probe
    from mailsync.storage.proofs import Proofs
    from mailsync.vault import Vault

SLACK = 600
"""Seconds that a sweep's timer may be late before the status page calls it silent."""
LAPTOP = frozenset({"", "localhost", "127.0.0.1", "0.0.0.0"})  # noqa: S104
"""Names by which nobody else reaches an app."""


class Desk(Steps):
    """Looking, proving, setting up, bringing and erasing."""

    @part
    def webhooks(self) -> Webhooks:
        """The webhooks of the Nylas application."""
        return self._webhooks(prompt=False)

    @property
    def own_url(self) -> str:
        """The webhook's URL by the name that Azure gives the app; empty where it gives none.

        Core Tools give it a laptop's own name, which no webhook reaches.
        """
        from mailsync.nylas.webhooks import PATH

        host = self._env.get("WEBSITE_HOSTNAME", "").strip()
        return "" if host.partition(":")[0] in LAPTOP else f"https://{host}{PATH}"

    @part
    def endpoint(self) -> Endpoint:
        """The function app's own endpoint, to be delivered to as Nylas does."""
        from mailsync.nylas.webhooks import Endpoint

        return Endpoint(self._transport("endpoint", "https://endpoint.invalid"))

    def vault(self, named: str) -> Vault:
        """A key vault by its name or address; raises ArgumentError."""
        from mailsync.dataverse.tokens import Tokens
        from mailsync.gates import Gate
        from mailsync.vault import Vault, resource_of, url_of

        url = url_of(named)
        gate = Gate("entra", clock=self._hurried, scope=Scope.ORGANISATION, failures_to_close=1)
        host = self.nylas_settings.authority_host
        tokens = Tokens(lambda: credential(host), resource=resource_of(url), gate=gate)
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

        return Doctor(
            setting_problems=self._setting_problems,
            env=self._env,
            host=_read_json(HERE / "host.json"),
            probe=lambda: self._probe,
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
                url=url or self.own_url,
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

    @part
    def _probe(self) -> Probe:
        from mailsync.storage.probe import Probe

        return Probe(self._account)

    @part
    def mailbox_overview(self) -> MailboxOverview:
        """Each mailbox in one line."""
        from mailsync.dataverse.access import Access
        from mailsync.mailboxes import MailboxOverview

        return MailboxOverview(
            grants=lambda: self._grants.all(),  # noqa: PLW0108  # settings that can't be used are told in their place
            mailboxes=self._mailboxes,
            journal=self._journal,
            access=lambda: Access(self._api),
            clock=self.clock,
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

    @part
    def dataverse_setup(self) -> Setup:
        """Sets up the Dataverse side."""
        from mailsync.dataverse.setup import Setup

        return Setup(self._api)

    @part
    def status(self) -> StatusReader:
        """Reads how things stand; never waits long for storage."""
        from mailsync.dashboard.schedule import longest_pause
        from mailsync.dashboard.status import Sources, StatusReader

        return StatusReader(
            Sources(
                mailboxes=lambda: self._prompt_mailboxes,
                counts=lambda: self.counts,
                proofs=lambda: self._prompt_proofs,
                queues=lambda: self.ingest_queues,
                aside=lambda: self._prompt_aside,
                instances=lambda: self._instances,
                erased=lambda: self._tombstones.is_ours,
                bound=lambda: self.settings.freshness_bound,
                quiet=lambda: 2 * longest_pause(self.sweep_schedule()) + self.settings.sweep_spread + SLACK,
            ),
            clock=self.clock,
        )

    def _webhooks(self, *, prompt: bool) -> Webhooks:
        from mailsync.nylas.webhooks import Webhooks

        settings = self.nylas_settings
        return Webhooks(
            self._transport("nylas", settings.nylas_api_uri, prompt=prompt),
            api_uri=settings.nylas_api_uri,
            api_key=settings.nylas_api_key,
        )

    @part
    def _prompt_webhooks(self) -> Webhooks:
        """For a look that the sweep's timer does not wait for long."""
        return self._webhooks(prompt=True)

    # clients that make one attempt: a page would rather say that a part was not to be had

    @part
    def _prompt_mailboxes(self) -> Mailboxes:
        from mailsync.storage.mailboxes import Mailboxes

        return Mailboxes(self._account, prompt=True)

    @part
    def _prompt_proofs(self) -> Proofs:
        from mailsync.storage.proofs import Proofs

        return Proofs(self._account, prompt=True)

    @part
    def _prompt_aside(self) -> Aside:
        from mailsync.storage.aside import Aside

        return Aside(self._account, prompt=True)

    @part
    def manage(self) -> Manage:
        """Does what a person with the admin key asks for."""
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

    @part
    def simulator(self) -> Simulator:
        """Judges mail by policies that need not be deployed."""
        from mailsync.simulate import Simulator

        return Simulator(
            connected=self._connected,
            listings=self._listings,
            resolver_of=cache(self._resolver_with),
            patience=self._patience,
        )

    @part
    def rehearsal(self) -> Rehearsal:
        """Says what a backfill would do, and writes nothing."""
        from mailsync.rehearse import Rehearsal

        return Rehearsal(
            listings=self._listings,
            journal=self._journal,
            tombstones=self._tombstones,
            simulator=self.simulator,
            policy=self.policy,
        )

    def folder(self, grant: str, named: str) -> str:
        """The id of the folder of a mailbox that a person names; raises UnknownFolderError."""
        from mailsync.named import folder_named

        return folder_named(named, self._patience(lambda: self._reader.folders(grant)).values())

    @part
    def eraser(self) -> Eraser:
        """Erases the mails with a person; raises ConfigurationError without ERASURE_KEY."""
        from mailsync.dataverse.correspondence import Correspondence
        from mailsync.erase import Eraser
        from mailsync.storage.threads import Awaited

        ErasureKey.from_env(self._env).required()
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

    @part
    def explainer(self) -> Explainer:
        """Tells what became of a message; needs nothing but storage for what is in the journal."""
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


def _read_json(path: Path) -> Mapping[str, Any] | None:
    try:
        read: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read
