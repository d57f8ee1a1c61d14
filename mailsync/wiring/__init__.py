"""Chooses and joins the parts of this deployment; the only reader of the environment.

Each part is made once, on first use, with local imports: the webhook answers from a cold start having loaded the queue
client and nothing of Dataverse.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mailsync import telemetry
from mailsync.errors import ConfigurationError, MailSyncError
from mailsync.settings import STORAGE, ErasureKey, SettingsError
from mailsync.wiring.desk import Desk
from mailsync.wiring.part import part

if TYPE_CHECKING:
    from mailsync.dashboard.health import Health
    from mailsync.nightly import Night
    from mailsync.storage.envelope import SweepItem


class Wiring(Desk):
    """One process: what its functions and its commands call."""

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
            self._watch_webhook()

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
                started=self._first_start,
                now=now,
            )
            self.measures.flush()
            self.counts.settle()
            self._instances.forget(now=now)
            self._tell_key()
        except MailSyncError as error:
            telemetry.emit("state_measured", reason=error.reason)

    def _watch_webhook(self) -> None:
        """Last, so that a Nylas that is slow to answer makes no sweep late."""
        from mailsync.webhook_watch import watch

        if self.own_url:
            watch(lambda: self._prompt_webhooks, self.own_url, self._pulse)

    def _tell_key(self) -> None:
        """That what was erased can't be recognised, where it can't; mail flows all the same."""
        if self._tombstones.is_ours is False:
            advice = "put back the ERASURE_KEY that hashed what was erased or shortened; doctor says more"
            telemetry.emit("erased_not_recognised", reason="erasure_key", advice=advice)

    def answers(self) -> bool:
        """Whether the app could take mail in a moment ago: its settings for that are good, and storage answers."""
        return self._health.answers()

    @part
    def _health(self) -> Health:
        from mailsync.dashboard.health import Health

        def call() -> None:
            _ = self.ingest_settings
            self.ingest_queues.answers()

        return Health(call, clock=time.monotonic)


def called() -> str:
    """How the commands were called: `bin/mailsync` says so, for the shell completes words of one name only."""
    return os.environ.get("MAILSYNC_CALLED") or "python -m mailsync"


def wiring_here(folder: Path) -> Wiring:
    """The wiring of a command: as the Functions host does, it takes over what local.settings.json in a folder holds.

    What the environment says already stays, and where it names a storage account in any way, the file's is not meant: a
    connection string to the emulator would go before the address of the deployed one. Raises SettingsError.
    """
    is_named = any(name.startswith(STORAGE) and value for name, value in os.environ.items())
    for name, value in _local_settings(folder / "local.settings.json").items():
        if value and not (is_named and name.startswith(STORAGE)):
            os.environ.setdefault(name, value)
    return Wiring()


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
