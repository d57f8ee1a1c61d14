"""The proof of completeness, made each night of the last days: mailbox by mailbox, the one proved longest ago first.

It stops when its time is up, and the next night goes on with those that were left. It only looks and tells; what it
finds missing, a person brings back with `verify --repair`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace

from mailsync.errors import MailSyncError
from mailsync.listings import OutOfTimeError
from mailsync.proof import Bucket, Listing, MailboxProof
from mailsync.storage.mailboxes import Mailbox
from mailsync.storage.proofs import Proofs, Proven
from mailsync.telemetry import emit, measure
from mailsync.trouble import unexpected
from mailsync.verify import AT_ONCE, DISCONNECTED, Verifier

SPAN = 3 * 24 * 3600
"""Seconds: how far each night looks back."""
SHORTEST_SPAN = 6 * 3600
BUDGET = 300.0
"""Seconds for all of it; the function's own limit is ten minutes, and a single call may take more than one."""
TRIES = 3
LONGEST_PAUSE = 10.0
"""How often a call is made where trouble passes, and the seconds between at most: other mailboxes wait for the time."""

UNSEEN = frozenset({Listing.SIGN_IN.value, Listing.DISCONNECTED.value})
"""How a proof says that the journal alone was counted."""


class Deadline:
    """When the time for something is up."""

    def __init__(self, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self._stopwatch = stopwatch
        self._at = float("inf")

    def begin(self, seconds: float) -> None:
        """The time is up so many seconds from now."""
        self._at = self._stopwatch() + seconds

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return self._stopwatch() >= self._at

    def check(self) -> None:
        """Raise OutOfTimeError when the time is up."""
        if self.is_over:
            raise OutOfTimeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What a night came to."""

    proved: int
    failed: int
    left: int
    """Mailboxes whose turn did not come, or whose proof was cut off; they go first or with less the next time."""
    proofs: tuple[Proven, ...]
    """The last proof of each mailbox there is now, of this night or of one before."""

    @property
    def unexplained(self) -> int:
        """Messages that nothing accounts for, in all mailboxes."""
        return sum(proven.unexplained for proven in self.proofs)


class Nightly:
    """Makes the night's proofs and keeps them."""

    def __init__(
        self,
        *,
        verifier: Verifier,
        proofs: Proofs,
        deadline: Deadline,
        clock: Callable[[], float],
        budget: float = BUDGET,
    ) -> None:
        self._verifier = verifier
        self._proofs = proofs
        self._deadline = deadline
        self._clock = clock
        self._budget = budget
        self._lock = threading.Lock()

    def run(self) -> Night:
        """Prove what there is time for; raises MailSyncError where not even the mailboxes can be listed."""
        started = self._clock()
        self._deadline.begin(self._budget)
        known = {proven.grant: proven for proven in self._proofs.all()}
        due = _in_turn(self._verifier.mailboxes(), known)
        turns = iter(due)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            works = [pool.submit(copy_context().run, self._work, turns, known) for _ in range(AT_ONCE)]
        ends = [end for work in works for end in work.result()]
        last = {proven.grant: proven for proven in self._proofs.all()}
        night = Night(
            proved=ends.count("proved"),
            failed=ends.count("failed"),
            left=len(due) - ends.count("proved") - ends.count("failed"),
            proofs=tuple(last[mailbox.grant] for mailbox in due if mailbox.grant in last),
        )
        self._tell(night, took=self._clock() - started)
        return night

    def _work(self, turns: Iterator[Mailbox], known: Mapping[str, Proven]) -> list[str]:
        """One mailbox after another until none is left or the time is up; how each ended."""
        ends = []
        while not self._deadline.is_over:
            with self._lock:
                mailbox = next(turns, None)
            if mailbox is None:
                break
            ends.append(self._prove(mailbox, known.get(mailbox.grant)))
        return ends

    def _prove(self, mailbox: Mailbox, before: Proven | None) -> str:
        tried = int(self._clock())
        before = replace(before, tried=tried) if before is not None else Proven(grant=mailbox.grant, tried=tried)
        span = before.span or SPAN
        try:
            proof = self._verifier.prove(mailbox, tried - span, tried)
        except OutOfTimeError:
            # a mailbox that alone takes longer than a night is looked at less far back the next time
            self._proofs.put(replace(before, span=max(SHORTEST_SPAN, span // 2)))
            return "left"
        except MailSyncError as error:
            self._fail(before, error.reason)
            return "failed"
        except Exception as error:  # noqa: BLE001  # a fault of ours must not cost the other mailboxes their proof
            self._fail(before, unexpected(error).reason)
            return "failed"
        if proof.listing is Listing.FAILED:
            self._fail(before, "not_listed")
            return "failed"
        proven = _proven(proof, before, until=tried, made=int(self._clock()))
        self._proofs.put(replace(proven, span=min(SPAN, span * 2) if span < SPAN else None))
        _tell(proven)
        return "proved"

    def _fail(self, before: Proven, reason: str) -> None:
        """Nothing is proved; what was the last time still stands."""
        self._proofs.put(replace(before, listing=Listing.FAILED.value))
        emit("mailbox_verified", grant=before.grant, reason=reason, listing=Listing.FAILED.value)

    def _tell(self, night: Night, *, took: float) -> None:
        for proven in night.proofs:
            if proven.made is not None:
                measure("mailsync.unexplained", proven.unexplained, grant=proven.grant)
        emit(
            "verify_done",
            proved=night.proved,
            failed=night.failed,
            left=night.left,
            unexplained=night.unexplained,
            doubled=sum(proven.doubled for proven in night.proofs),
            left_open=sum(proven.left_open for proven in night.proofs),
            not_looked_through=sum(proven.listing in UNSEEN for proven in night.proofs),
            took_s=round(took),
        )


def _in_turn(mailboxes: Sequence[Mailbox], known: Mapping[str, Proven]) -> list[Mailbox]:
    """Those proved longest ago first; a disconnected one no more, once all of it was accounted for."""

    def is_closed(mailbox: Mailbox) -> bool:
        proven = known.get(mailbox.grant)
        return mailbox.status == DISCONNECTED and proven is not None and proven.is_closed

    return sorted(
        (mailbox for mailbox in mailboxes if not is_closed(mailbox)),
        key=lambda mailbox: known[mailbox.grant].tried if mailbox.grant in known else 0,
    )


def _proven(proof: MailboxProof, before: Proven, *, until: int, made: int) -> Proven:
    return replace(
        before,
        made=made,
        since=proof.since,
        until=until,
        seen=proof.seen,
        unexplained=sum(count for (bucket, _), count in proof.counts.items() if bucket is Bucket.UNEXPLAINED),
        doubled=len(proof.doubled),
        left_open=len(proof.left_open),
        listing=proof.listing.value,
    )


def _tell(proven: Proven) -> None:
    emit(
        "mailbox_verified",
        grant=proven.grant,
        seen=proven.seen,
        unexplained=proven.unexplained,
        doubled=proven.doubled,
        left_open=proven.left_open,
        listing=proven.listing,
    )
