"""The steps of a message's way, joined with what they need."""

from __future__ import annotations

import atexit
import time
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

from mailsync.errors import MailSyncError, Scope
from mailsync.wiring.part import part
from mailsync.wiring.services import Services

if TYPE_CHECKING:
    from mailsync.backfill import Backfiller
    from mailsync.listings import Patience
    from mailsync.measures import Measures
    from mailsync.nightly import Nightly
    from mailsync.replay import Replayer
    from mailsync.retention import Retention
    from mailsync.storage.backfills import Backfills
    from mailsync.sweep import MailboxSweeper
    from mailsync.trouble import Handling
    from mailsync.verify import Verifier
    from mailsync.write import EmailWriter

LARGE_AT_ONCE = 2
"""Mails with large files that one process writes at a time."""


class Steps(Services):
    """What the functions do."""

    @part
    def measures(self) -> Measures:
        """Counts what becomes of messages; what this process still holds is written when it ends."""
        from mailsync.measures import NOTED_AFTER, Measures

        after = NOTED_AFTER if self.notes_after is None else self.notes_after
        measures = Measures(counts=self.counts, mailboxes=self._mailboxes, clock=self.clock, after=after)
        atexit.register(measures.flush)
        return measures

    @part
    def verifier(self) -> Verifier:
        """Proves that every message is accounted for."""
        return self._verifier_with(self._patience)

    @part
    def _nightly(self) -> Nightly:
        from mailsync.listings import Patience
        from mailsync.nightly import LONGEST_PAUSE, TRIES, Deadline, Nightly

        deadline = Deadline()
        patience = Patience(
            pause=lambda seconds: time.sleep(seconds / self.hurry),
            random=Random(),  # noqa: S311
            tries=TRIES,
            longest=LONGEST_PAUSE,
            check_time=deadline.check,
        )
        return Nightly(verifier=self._verifier_with(patience), proofs=self.proofs, deadline=deadline, clock=self.clock)

    @part
    def replayer(self) -> Replayer:
        """Puts back on the queues what a person wants tried again."""
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

    @part
    def _backfills(self) -> Backfills:
        from mailsync.storage.backfills import Backfills

        return Backfills(self._account)

    @part
    def backfiller(self) -> Backfiller:
        """Brings old mail that somebody asked for."""
        from mailsync.backfill import Backfiller
        from mailsync.storage.envelope import MESSAGES

        return Backfiller(
            backfills=self._backfills,
            connected=lambda: self._connected,
            journal=self._journal,
            mailboxes=self._mailboxes,
            send=self._send,
            depth=lambda: self.queues.depth(MESSAGES),
            shown=lambda: self.queues.shown(MESSAGES),
            may_bypass=lambda: self.may_bypass,
            page_size=self.settings.sweep_page_size,
            clock=self.clock,
        )

    @part
    def may_bypass(self) -> bool | None:
        """Whether the app may go past what the organisation automated; None where whoever runs this can't tell."""
        from mailsync.dataverse.access import Access

        with suppress(MailSyncError):
            return Access(self._api).may_bypass()
        return None

    @part
    def _handling(self) -> Handling:
        """What deals with an item's failure; needs nothing but storage, so it works while settings are mended."""
        from mailsync.trouble import Handling

        handling = Handling(
            send=self._send,
            aside=self.aside,
            journal=self._journal,
            mailboxes=self._mailboxes,
            measures=self.measures,
            was_cancelled=lambda source: self._backfills.was_cancelled(source),  # noqa: PLW0108  # seldom asked
            clock=self.clock,
            random=Random(),  # noqa: S311  # spreads delays; nothing secret hangs on it
        )
        self._pulse.watch_brake(handling.stopped_for)
        return handling

    @part
    def _writer(self) -> EmailWriter:
        from mailsync.dataverse.creation import Creation
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
            creation=Creation(self._api, resolver=self._resolver, address_book=self._address_book),
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

    @part
    def _sweeper(self) -> MailboxSweeper:
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

    @part
    def _retention(self) -> Retention:
        from mailsync.retention import Retention
        from mailsync.storage.walks import Walks

        return Retention(
            journal=self._journal,
            sightings=self._sightings,
            aside=self.aside,
            tombstones=self._tombstones,
            walks=Walks(self._account),
            clock=self.clock,
        )

    def _verifier_with(self, patience: Patience) -> Verifier:
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
