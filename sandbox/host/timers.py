"""Timers: when a schedule is due next, and one run after the other on it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime as dt
import re
import threading

from azure.functions.timer import TimerRequest
from croniter import croniter

from sandbox.host.errors import HostError
from sandbox.host.functions import Function
from sandbox.host.runner import Runner

_NAMES = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat"
_CRON_FIELD = re.compile(rf"(?:[0-9,*/-]|{_NAMES})+", re.IGNORECASE)


def next_run(schedule: str, after: dt.datetime) -> dt.datetime:
    """The first moment after this one that matches all fields of an NCRONTAB expression of six or five."""
    fields = schedule.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    # Croniter knows more than NCRONTAB does: names such as @daily, L, #, ?, and 7 for Sunday.
    if len(fields) != 6 or not all(_CRON_FIELD.fullmatch(one) for one in fields) or "7" in fields[5]:
        raise HostError(f"'{schedule}' is not an NCRONTAB expression of six (or five) fields")
    try:
        times = croniter(" ".join(fields), after, second_at_beginning=True, day_or=False)
        return times.get_next(dt.datetime)
    except ValueError as error:
        raise HostError(f"'{schedule}' is not a schedule: {error}") from error


class TimerListener:
    """Runs one function on its schedule, one run after the other."""

    def __init__(self, runner: Runner, function: Function, schedule: str) -> None:
        self._runner = runner
        self._function = function
        self._schedule = schedule
        self._last = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._next = next_run(schedule, dt.datetime.now(dt.UTC))
        self._thread = threading.Thread(target=self._loop, name=f"timer {function.name}", daemon=True)

    def start(self) -> None:
        """Begin to keep the schedule."""
        self._thread.start()

    def end(self, patience: float) -> None:
        """Return when it begins no more runs."""
        if self._thread.ident is not None:
            self._thread.join(patience)

    def by_hand(self, text: str) -> None:  # noqa: ARG002 - a timer takes no text
        """Run the function now, outside its schedule."""
        self._runner.run(self._function, self._request)

    def _loop(self) -> None:
        if self._function.trigger.get("runOnStartup"):
            self._fire()
        while not self._runner.stopping.is_set():
            pause = (self._next - dt.datetime.now(dt.UTC)).total_seconds()
            if pause <= 0:
                self._fire()
            else:
                self._runner.stopping.wait(min(pause, 3600.0))

    def _fire(self) -> None:
        began = dt.datetime.now(dt.UTC)
        with contextlib.suppress(concurrent.futures.CancelledError):
            self._runner.submit(self._runner.run, self._function, self._request).result()
        self._last = began
        self._next = next_run(self._schedule, dt.datetime.now(dt.UTC))

    def _request(self) -> TimerRequest:
        last = self._last.isoformat()
        return TimerRequest(
            past_due=False,
            schedule_status={"Last": last, "Next": self._next.isoformat(), "LastUpdated": last},
            schedule={"AdjustForDST": True},
        )
