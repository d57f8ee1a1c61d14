"""Gates in front of what we depend on: how many requests at once, at what pace, and none at all while it is down.

A gate closes when its dependency throttles, or fails several times in a row; while it is closed, work in need of it
goes back to the queue without a call. When the wait is over one caller goes first as a probe; its success opens the
gate for all, its failure closes it for longer. Per process: service limits that must hold over several instances are
divided among them by settings.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mailsync.errors import Scope, ThrottledError, TransientError
from mailsync.telemetry import measure

FAILURES_TO_CLOSE = 3
"""Failures without a success between them that close a gate; a throttling answer closes it at once."""
FIRST_CLOSED = 2.0
LONGEST_CLOSED = 120.0
"""Seconds a gate stays closed: at first, and at most. A vendor's Retry-After may be longer."""
PATIENCE = 10.0
"""Seconds a caller waits for its turn before its item goes back to the queue."""
PACE_LOOK = 0.2
"""Seconds after which somebody who stands still for the pace looks again: others take from it too."""
NEXT_IN_LINE = 1.0
"""Seconds after which a caller comes back who met somebody standing there."""
MOST_GATES = 10_000
MAILBOX_CONCURRENCY = 4
"""Requests at once for one mailbox: Microsoft's own limit, and enough for every other provider (Nylas' page on rate
limits, read 2026-11)."""
GOOGLE_UNITS = 6000.0
"""Gmail's quota units a minute for one user, of projects made since 2026-05 (Google's quota page, read 2026-11)."""


class TurnedAwayError(TransientError):
    """A gate let nobody pass: no call was made, so nothing is known of what lies behind."""


class Pace:
    """A budget of units that fills evenly. Whoever finds something left goes, and may leave it in debt.

    So a page of a listing, which costs forty times a message, is never kept out by messages that come all the time.
    A tenth of a minute's units is there at once and three quarters come evenly: with the debt of one page, no minute
    sees more than its units.
    """

    def __init__(self, units_per_minute: float, *, clock: Callable[[], float]) -> None:
        self._most = units_per_minute / 10
        self._rate = units_per_minute * 0.75 / 60.0
        self._clock = clock
        self._left = self._most
        self._at = clock()
        self._lock = threading.Lock()

    def wait_for(self, units: float) -> float:
        """Take units; 0.0 when something was left, else the seconds until it will be (nothing is taken then)."""
        with self._lock:
            now = self._clock()
            self._left = min(self._most, self._left + (now - self._at) * self._rate)
            self._at = now
            if self._left > 0:
                self._left -= units
                return 0.0
            return (1 - self._left) / self._rate


class Gate:
    """One dependency: its concurrency, its pace, and whether it is up."""

    def __init__(
        self,
        name: str,
        *,
        clock: Callable[[], float],
        scope: Scope,
        concurrency: int | None = None,
        pace: Pace | None = None,
        failures_to_close: int = FAILURES_TO_CLOSE,
    ) -> None:
        self.name = name
        self._failures_to_close = failures_to_close
        self._clock = clock
        self._scope = scope
        self._pace = pace
        self._limit = concurrency
        self._inside = 0
        self._line: list[float] = []
        """Since when each stands still for the pace who yields to nobody; the one who stands there longest is next."""
        self._failures = 0
        self._closings = 0
        self._in_a_row = 0
        self._closed_until: float | None = None
        self._probing = False
        self._turn = threading.Condition()

    @property
    def limit(self) -> int | None:
        """How many may be inside at once."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        with self._turn:
            self._limit = max(1, limit)
            self._turn.notify_all()

    @property
    def in_line(self) -> int:
        """How many stand still for the pace and yield to nobody: they go before those who do, or who would go back to
        the queue."""
        return len(self._line)

    def closed_for(self) -> float:
        """Seconds of its clock for which nobody passes; 0.0 where it is open, or a probe may go."""
        with self._turn:
            return 0.0 if self._closed_until is None else max(0.0, self._closed_until - self._clock())

    def check(self) -> None:
        """Raise TransientError while the gate is closed, before anything is done that would be in vain."""
        with self._turn:
            self._check_open()

    @contextmanager
    def passing(self, units: float = 1.0, *, patience: float = 0.0, yields: bool = False) -> Iterator[None]:
        """Stay inside for one request; raises TransientError instead of waiting long.

        `patience`: seconds of its clock that the caller stands still for the pace; one that `yields` lets those go
        first who stand there and don't, for half of that time, and then is one of them.
        """
        began = self._enter(units, patience, yields=yields or not patience)
        try:
            yield
        except TurnedAwayError:  # by another gate
            self._leave_untried(began)
            raise
        except TransientError as error:
            self._leave(began, error)
            raise
        except BaseException:
            self._leave(began, None)
            raise
        self._leave(began, None)

    def _enter(self, units: float, patience: float, *, yields: bool) -> int:
        began = self._clock()
        with self._turn:
            while True:
                self._check_open()
                if not self._turn.wait_for(self._has_room, timeout=PATIENCE):
                    raise self._later("busy", 1.0)
                self._check_open()
                if self._pace is None:
                    break
                stood = self._clock() - began
                is_yielding = yields and (not patience or stood < patience / 2)
                is_next = not self._line if is_yielding else began <= min(self._line, default=began)
                wait = self._pace.wait_for(units) if is_next else NEXT_IN_LINE
                if wait == 0:
                    break
                if stood + wait > patience:
                    raise self._later("paced", wait)
                if not is_yielding:
                    self._line.append(began)
                self._turn.wait(min(wait, PACE_LOOK))
                if not is_yielding:
                    self._line.remove(began)
            if self._closed_until is not None:
                self._probing = True
            self._inside += 1
            return self._closings

    def _has_room(self) -> bool:
        return self._limit is None or self._inside < self._limit

    def _check_open(self) -> None:
        if self._closed_until is None:
            return
        wait = self._closed_until - self._clock()
        if wait > 0:
            raise self._later("closed", wait)
        if self._probing:
            raise self._later("closed", FIRST_CLOSED)

    def _leave(self, began: int, trouble: TransientError | None) -> None:
        with self._turn:
            self._inside -= 1
            if trouble is not None and trouble.scope is not self._scope:
                trouble = None  # somebody else's gate minds that
            if trouble is not None:
                self._failures += 1
                is_probe = self._probing and began == self._closings
                if is_probe or isinstance(trouble, ThrottledError) or self._failures >= self._failures_to_close:
                    self._close(trouble.retry_after)
            elif began == self._closings:
                # an answer to a call made before the gate closed says nothing about now
                self._failures = self._in_a_row = 0
                self._closed_until, self._probing = None, False
            self._turn.notify_all()

    def _leave_untried(self, began: int) -> None:
        with self._turn:
            self._inside -= 1
            if began == self._closings:
                self._probing = False
            self._turn.notify_all()

    def _close(self, retry_after: float | None) -> None:
        wait = min(LONGEST_CLOSED, FIRST_CLOSED * 2 ** min(self._in_a_row, 20)) if retry_after is None else retry_after
        self._in_a_row += 1
        self._closings += 1
        measure("mailsync.gate.closings", 1, gate=self.name)
        until = self._clock() + wait
        self._closed_until = max(until, self._closed_until or until)
        self._probing = False

    def _later(self, why: str, seconds: float) -> TurnedAwayError:
        return TurnedAwayError(
            f"{self.name} is {why}; the item waits its turn",
            reason=f"{self.name}_{why}",
            scope=self._scope,
            retry_after=seconds,
        )


class MailboxGates:
    """A gate for each mailbox, made when first needed; the one longest unused is forgotten first."""

    def __init__(self, *, provider_of: Callable[[str], str], clock: Callable[[], float], instances: int) -> None:
        self._provider_of = provider_of
        self._clock = clock
        self._instances = instances
        self._gates: OrderedDict[tuple[str, str], Gate] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, grant: str) -> Gate:
        """The gate of one mailbox."""
        key = (grant, self._provider_of(grant))
        with self._lock:
            gate = self._gates.get(key)
            if gate is None:
                gate = self._gates[key] = self._made(key[1])
                if len(self._gates) > MOST_GATES:
                    self._gates.popitem(last=False)
            self._gates.move_to_end(key)
            return gate

    def _made(self, provider: str) -> Gate:
        paced = provider == "google"
        return Gate(
            "mailbox",
            clock=self._clock,
            scope=Scope.MAILBOX,
            concurrency=max(1, MAILBOX_CONCURRENCY // self._instances),
            pace=Pace(GOOGLE_UNITS / self._instances, clock=self._clock) if paced else None,
        )
