"""How this process fares, noted for whoever looks at the status page; no item waits for it.

Kept in memory and written in one storage call some seconds later, at most every fifteen seconds, and never while
nothing happens. What can't be written goes with the next.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mailsync.errors import MailSyncError, Scope
from mailsync.gates import Gate, TurnedAwayError
from mailsync.later import Later
from mailsync.outcome import Kind, Outcome
from mailsync.storage.envelope import MessageItem, SweepItem
from mailsync.storage.instances import Budget, Instance, Instances, Trouble

if TYPE_CHECKING:
    from mailsync.dataverse.web_api import Limits

AFTER = 2.0
"""Seconds from the first thing worth telling to its note."""
SPACING = 15.0
"""Seconds between two notes."""
MOST_TROUBLES = 8
MESSAGE, SWEEP, TIMER, WEBHOOK = "message", "sweep", "timer", "webhook"
"""Kinds of work. The last is the look at our webhook: a sweep that goes well does not mend that."""
_WRITES = frozenset({Kind.WRITTEN, Kind.ADOPTED, Kind.ALREADY_THERE, Kind.REMOVED})
"""The outcomes for which Nylas and Dataverse both had to answer."""


class Pulse:
    """What one process has to say of itself; one that does none of the app's work, as a command's, says nothing."""

    def __init__(
        self,
        instances: Callable[[], Instances],
        *,
        clock: Callable[[], float],
        after: float = AFTER,
        spacing: float = SPACING,
    ) -> None:
        self._instances = instances
        self._clock = clock
        self._after = after
        self._spacing = max(spacing, after)
        self._process = uuid.uuid4().hex[:12]
        self._started = int(clock())
        self._done: dict[str, int] = {}
        self._troubles: dict[tuple[str, str], Trouble] = {}
        self._budget: Budget | None = None
        self._gates: list[Gate] = []
        self._stopped_for: Callable[[], float] | None = None
        self._lock = threading.Lock()
        self._later = Later(self._write)
        self._works = False
        self._noted = 0.0

    def watch(self, gate: Gate) -> Gate:
        """Tell of this gate from now on."""
        self._gates.append(gate)
        return gate

    def watch_brake(self, stopped_for: Callable[[], float]) -> None:
        """Tell of the brake from now on."""
        self._stopped_for = stopped_for

    def beating(self, work: Callable[[Any], object]) -> Callable[[Any], object]:
        """The work of an item, done so that its end is heard of here; it raises what it raises."""

        def done(item: object) -> object:
            try:
                result = work(item)
            except MailSyncError as error:
                self.went_ill(MESSAGE if isinstance(item, MessageItem) else SWEEP, error)
                raise
            self._went(item, result)
            return result

        return done

    @contextmanager
    def timing(self) -> Iterator[None]:
        """The work of the sweep's timer, likewise."""
        try:
            yield
        except MailSyncError as error:
            self.went_ill(TIMER, error)
            raise
        self.went_well(TIMER)

    def _went(self, item: object, result: object) -> None:
        """Only what needed its vendors shows that they are there again."""
        if isinstance(item, SweepItem):
            self.went_well(SWEEP)
        elif isinstance(result, Outcome) and result.kind in _WRITES and not result.was_known:
            self.went_well(MESSAGE)

    def went_well(self, work: str) -> None:
        """Work of this kind was done; what stood in its way does so no more."""
        with self._lock:
            self._works = True
            self._done[work] = int(self._clock())
            for key in [key for key in self._troubles if key[0] == work]:
                del self._troubles[key]
            self._wake()

    def went_ill(self, work: str, error: MailSyncError) -> None:
        """Work of this kind failed; told of where the organisation is the matter, not one message or mailbox."""
        if error.scope is not Scope.ORGANISATION or isinstance(error, TurnedAwayError):
            return
        now, key = int(self._clock()), (work, error.reason)
        with self._lock:
            self._works = True
            before = self._troubles.pop(key, None)
            self._troubles[key] = Trouble(
                reason=error.reason,
                work=work,
                advice=str(error),
                evidence=str(error.evidence),
                since=before.since if before is not None else now,
                at=now,
            )
            while len(self._troubles) > MOST_TROUBLES:
                del self._troubles[next(iter(self._troubles))]
            self._wake()

    def limits(self, limits: Limits) -> None:
        """An answer of Dataverse's said this of its limits."""
        with self._lock:
            self._budget = Budget(
                at=int(self._clock()),
                requests_left=limits.requests_left,
                seconds_left=limits.seconds_left,
                hint=limits.hint,
                at_once=limits.at_once,
            )
            self._wake()

    def now(self) -> Instance:
        """How things stand in this process."""
        now = self._clock()
        stopped = self._stopped_for() if self._stopped_for is not None else 0.0
        with self._lock:
            return Instance(
                process=self._process,
                started=self._started,
                noted=int(now),
                done=dict(self._done),
                troubles=tuple(self._troubles.values()),
                closed=_closed(self._gates, now),
                stopped_until=int(now + stopped) if stopped > 0 else None,
                budget=self._budget,
            )

    def flush(self) -> None:
        """Note how things stand; a failure to do so is nobody's trouble, the next note says the same."""
        try:
            self._instances().put(self.now())
        except MailSyncError:
            return

    def _wake(self) -> None:
        """See to it that a note is made after a while."""
        if self._works:
            self._later.ask(min(max(self._after, self._noted + self._spacing - self._clock()), self._spacing))

    def _write(self) -> None:
        self._noted = self._clock()
        self.flush()


def _closed(gates: Sequence[Gate], now: float) -> dict[str, int]:
    waits = {gate.name: gate.closed_for() for gate in gates}
    return {name: int(now + wait) for name, wait in waits.items() if wait > 0}
