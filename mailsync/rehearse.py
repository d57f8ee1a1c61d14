"""What a backfill would do: which messages of its span are known already, and what the policy says of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mailsync.backfill import LIVE
from mailsync.listings import Listings
from mailsync.outcome import Kind
from mailsync.simulate import Judged, Simulator, Watch, newest_first
from mailsync.storage.journal import ERASED, Journal
from mailsync.storage.mailboxes import Mailbox
from mailsync.storage.tombstones import Tombstones
from mailsync.sweep import date_of, is_missed
from mapping.policy import Policy

PORTION = 500
"""Messages that the journal is asked about together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What would become of the messages of a span."""

    known: Mapping[Kind, int]
    """Those the journal knows, which a backfill leaves alone."""
    judged: tuple[Judged, ...]
    """The others, newest first; of one that was erased its rule says so."""
    until: int
    """Where the span ends: what is younger is left to its webhooks."""

    @property
    def outcomes(self) -> dict[str, int]:
        """How many of the others each rule would skip, or none."""
        return dict(Counter(one.rules[0] for one in self.judged).most_common())


class Rehearsal:
    """Judges the mail of a span without writing or noting anything."""

    def __init__(
        self, *, listings: Listings, journal: Journal, tombstones: Tombstones, simulator: Simulator, policy: Policy
    ) -> None:
        self._listings = listings
        self._journal = journal
        self._tombstones = tombstones
        self._simulator = simulator
        self._policy = policy

    def rehearse(self, mailbox: Mailbox, *, since: int, until: int, folder: str, now: int, watch: Watch) -> Rehearsed:
        """List the span, subtract the journal as a backfill does, and judge the rest by the deployed policy."""
        until = min(until, now - LIVE)
        listed = list(self._listings.between(mailbox.grant, since, until, folder or None).values())
        known: Counter[Kind] = Counter()
        unknown = []
        for start in range(0, len(listed), PORTION):
            some = listed[start : start + PORTION]
            entries = self._journal.of_listed(mailbox.grant, {one.id: date_of(one) for one in some})
            for one in some:
                entry = entries.get(one.id)
                if entry is None or is_missed(one, entry, now, again=False):
                    unknown.append(one)
                else:
                    known[entry.kind] += 1
        judged = self._simulator.judge(mailbox, unknown, [self._policy], watch=watch)
        return Rehearsed(known=known, judged=tuple(newest_first(map(self._as_erased, judged))), until=until)

    def _as_erased(self, judged: Judged) -> Judged:
        """What was erased stays out whatever the policy says."""
        was_erased = judged.activityid and self._tombstones.has_erased(judged.activityid)
        return replace(judged, rules=(ERASED,)) if was_erased else judged
