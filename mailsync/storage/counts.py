"""How many outcomes of each kind there were, hour by hour and mailbox by mailbox, and how long they took.

Counted in memory and written in one storage call some seconds later: no email waits for it. Table `counts`, partition =
UTC day. Row `h:<hour>` counts an hour of the whole organisation by kind and reason, with its seconds; row `m:<0-f>`
counts the day of each mailbox whose grant's hash begins with that digit. While an hour is young each process writes
rows of its own, `<row>:<hour>:<process>`, whole each time, so that no two instances ever write the same one; later the
sweep's timer adds them up, in one transaction for each row.

An outcome counts as often as it comes: a message that was deferred twice and then written is two and one. A crash loses
seconds of counts and never an outcome: the journal is the truth, and `verify` the proof.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby

import msgspec
from azure.core import MatchConditions
from azure.data.tables import UpdateMode

from mailsync.errors import MailSyncError
from mailsync.later import Later
from mailsync.storage.account import StorageAccount
from mailsync.storage.tables import LARGEST_TRANSACTION, Change, ConflictError, Row, Table, etag_of
from mailsync.telemetry import emit

HOUR, DAY = 3600, 24 * 3600
BOUNDS = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0, 86400.0)
"""Seconds: the upper ends of the spans in which outcomes are counted by how long they took."""
AFTER = 5.0
"""Seconds from the first outcome that is counted to the write of all that came by then."""
AGAIN_AFTER = 30.0
LATE = HOUR
"""Seconds after an hour's end in which its counts are still written."""
SETTLED = 2 * HOUR
"""Seconds after an hour's end when nobody writes it any more and its rows are added up."""
LOOKED_BACK = 8 * DAY
"""Seconds: rows of older days that nobody added up, since the app stood still, are read as they are."""
KEPT = 92 * DAY
"""Seconds that counts are kept."""
LONGEST_TEXT = 30_000
"""Characters of one column; a table's text holds 32,768."""
COUNT = "n"
DATE, NOTIFICATION = "date", "notification"

Numbers = dict[str, dict[str, int]]
"""Of an hour: `<kind> <reason>`, then what is counted of it. Of a day: the grant, then `<kind> <reason>`."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long outcomes took: `spans[i]` of them up to `BOUNDS[i]` seconds, and the last ones longer than any."""

    spans: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """How many were timed."""
        return sum(self.spans)

    def quantile(self, share: float) -> float | None:
        """Seconds within which this share of them came, as far as the spans tell; None when none was timed."""
        rank = share * self.count
        if not self.count:
            return None
        below = 0
        for number, bound in enumerate(BOUNDS):
            here = self.spans[number]
            if here and below + here >= rank:
                start = BOUNDS[number - 1] if number else 0.0
                return start + (bound - start) * max(rank - below, 0.0) / here
            below += here
        return BOUNDS[-1]

    def __add__(self, other: Latency) -> Latency:
        return Latency(
            tuple(mine + theirs for mine, theirs in zip(self.spans, other.spans, strict=True)),
            self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HourCount:
    """How often an outcome came in an hour, in the whole organisation; `hour` is its start in unix seconds."""

    hour: int
    kind: str
    reason: str
    count: int
    from_date: Latency
    """From the provider's date to the outcome."""
    from_notification: Latency
    """From the moment we first heard of the message to the outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxDay:
    """How often an outcome came in a mailbox on a UTC day; `day` is its start in unix seconds."""

    grant: str
    day: int
    kind: str
    reason: str
    count: int


@dataclass(slots=True)
class _Hour:
    """What this process counted in an hour, row by row, and which of its rows are yet to be written."""

    rows: dict[str, Numbers] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)

    def add(self, row: str, first: str, numbers: Mapping[str, int]) -> None:
        _add(self.rows.setdefault(row, {}), {first: numbers})
        self.changed.add(row)


class Counts:
    """Counts the outcomes of one process, and reads those of all."""

    def __init__(
        self, account: StorageAccount, *, clock: Callable[[], float], after: float = AFTER, table: str = "counts"
    ) -> None:
        self._rows = Table(account, table, prompt=True)
        self._clock = clock
        self._after = after
        self._process = uuid.uuid4().hex[:12]
        self._hours: dict[int, _Hour] = {}
        self._later = Later(self.flush)
        self._settled = 0.0
        self._lock = threading.Lock()
        self._writing = threading.Lock()

    def note(
        self,
        *,
        grant: str,
        kind: str,
        reason: str,
        at: int,
        from_date: float | None = None,
        from_notification: float | None = None,
        times: int = 1,
    ) -> None:
        """Count an outcome; no storage call.

        `from_date`, `from_notification`: the seconds to it from the provider's date and from the moment we first heard
        of the message, where that says something.
        """
        hour = at // HOUR * HOUR
        if _is_late(hour, self._clock()):
            hour = int(self._clock()) // HOUR * HOUR
        what = f"{kind} {reason}"
        timed = {**_timed(DATE, from_date, times), **_timed(NOTIFICATION, from_notification, times)}
        with self._lock:
            counted = self._hours.setdefault(hour, _Hour())
            counted.add(f"h:{hour % DAY // HOUR:02d}", what, {COUNT: times, **timed})
            counted.add(f"m:{_digit(grant)}", grant, {what: times})
        self._later.ask(self._after)

    def flush(self) -> None:
        """Write what was counted and is not yet in the table; what can't be written now goes with the next."""
        with self._writing:
            for hour in self._due():
                rows = self._taken(hour)
                try:
                    self._rows.put_all(list(rows.values()))
                except (MailSyncError, ConflictError) as error:
                    self._put_back(hour, rows)
                    emit("counts_delayed", reason=getattr(error, "reason", "conflict"))
                    return

    def hours(self, since: int, until: int) -> tuple[HourCount, ...]:
        """The organisation's outcomes in each hour that begins from `since`'s own to before `until`, oldest first."""
        totals: dict[int, Numbers] = {}
        for day, row in self._between(since, until, "h"):
            hour = day + int(row["RowKey"][2:4]) * HOUR
            if since // HOUR * HOUR <= hour < until:
                _add(totals.setdefault(hour, {}), _numbers(row))
        return tuple(
            HourCount(
                hour=hour,
                kind=what.partition(" ")[0],
                reason=what.partition(" ")[2],
                count=numbers[COUNT],
                from_date=_latency(numbers, DATE),
                from_notification=_latency(numbers, NOTIFICATION),
            )
            for hour in sorted(totals)
            for what, numbers in sorted(totals[hour].items())
        )

    def days(self, since: int, until: int) -> tuple[MailboxDay, ...]:
        """The outcomes of each mailbox on each UTC day from that of `since` to before `until`, oldest first."""
        totals: dict[int, Numbers] = {}
        for day, row in self._between(since, until, "m"):
            _add(totals.setdefault(day, {}), _numbers(row))
        return tuple(
            MailboxDay(grant=grant, day=day, kind=what.partition(" ")[0], reason=what.partition(" ")[2], count=count)
            for day in sorted(totals)
            for grant, numbers in sorted(totals[day].items())
            for what, count in sorted(numbers.items())
        )

    def settle(self) -> None:
        """Add up what processes wrote of hours that are over, and forget what is old; hourly, and otherwise nothing.

        Several may do so at once: a row is added and taken away in one transaction, or neither.
        """
        now = self._clock()
        if now - self._settled < HOUR:
            return
        first = _day_of(int(now) - LOOKED_BACK)
        keys = self._rows.query("PartitionKey ge @first", {"first": first}, select=("PartitionKey", "RowKey"))
        over = {(key["PartitionKey"], key["RowKey"][: _row_length(key)]) for key in keys if _is_over(key, now)}
        for day, row in sorted(over):
            self._add_up(day, row, now)
        self._forget(_day_of(int(now) - KEPT))
        self._settled = now

    def _due(self) -> list[int]:
        """The hours of which something is to be written; those that are long over are forgotten."""
        now = self._clock()
        with self._lock:
            self._hours = {hour: one for hour, one in self._hours.items() if not _is_late(hour, now)}
            return [hour for hour, one in self._hours.items() if one.changed]

    def _taken(self, hour: int) -> dict[str, Row]:
        """What an hour's changed rows are to hold from now on."""
        with self._lock:
            counted = self._hours[hour]
            own = f"{hour % DAY // HOUR:02d}:{self._process}"
            taken = {name: _row(_day_of(hour), f"{name}:{own}", counted.rows[name]) for name in counted.changed}
            counted.changed.clear()
        return taken

    def _put_back(self, hour: int, rows: Iterable[str]) -> None:
        with self._lock:
            self._hours[hour].changed.update(rows)
        self._later.ask(AGAIN_AFTER)

    def _between(self, since: int, until: int, kind: str) -> Iterator[tuple[int, Row]]:
        """The rows of a kind of these days, each with its day's start."""
        rows = self._rows.query(
            "PartitionKey ge @first and PartitionKey le @last and RowKey ge @begin and RowKey lt @end",
            {"first": _day_of(since), "last": _day_of(until - 1), "begin": f"{kind}:", "end": f"{kind};"},
        )
        return ((_start_of(row["PartitionKey"]), row) for row in rows)

    def _add_up(self, day: str, name: str, now: float) -> None:
        text = "PartitionKey eq @day and RowKey ge @name and RowKey lt @end"
        found = list(self._rows.query(text, {"day": day, "name": name, "end": f"{name};"}))
        over = [row for row in found if _is_over(row, now)][: LARGEST_TRANSACTION - 1]
        sums = [row for row in found if row["RowKey"] == name]
        total: Numbers = {}
        for row in (*sums, *over):
            _add(total, _numbers(row))
        whole = _row(day, name, total)
        changes: list[Change] = [("update", whole, _unchanged(row)) for row in sums] or [("create", whole)]
        try:
            self._rows.change([*changes, *(_removal(row) for row in over)])
        except ConflictError:
            return  # somebody else does it

    def _forget(self, first_kept: str) -> None:
        keys = self._rows.query("PartitionKey lt @first", {"first": first_kept}, select=("PartitionKey", "RowKey"))
        for _, rows in groupby(keys, key=lambda key: str(key["PartitionKey"])):
            old = list(rows)
            for start in range(0, len(old), LARGEST_TRANSACTION):
                try:
                    self._rows.change(_removal(row) for row in old[start : start + LARGEST_TRANSACTION])
                except ConflictError:
                    return


def _timed(what: str, seconds: float | None, times: int) -> dict[str, int]:
    """Where these seconds are counted, and their sum in milliseconds; a clock that runs behind makes no less than 0."""
    if seconds is None:
        return {}
    seconds = max(0.0, seconds)
    return {f"{what} {bisect_left(BOUNDS, seconds)}": times, f"{what} ms": round(seconds * 1000) * times}


def _latency(numbers: Mapping[str, int], what: str) -> Latency:
    return Latency(
        tuple(numbers.get(f"{what} {number}", 0) for number in range(len(BOUNDS) + 1)),
        numbers.get(f"{what} ms", 0) / 1000,
    )


def _add(total: Numbers, more: Mapping[str, Mapping[str, int]]) -> None:
    for first, numbers in more.items():
        into = total.setdefault(first, {})
        for what, number in numbers.items():
            into[what] = into.get(what, 0) + number


def _row(day: str, name: str, numbers: Numbers) -> Row:
    text = msgspec.json.encode(numbers).decode()
    parts = [text[start : start + LONGEST_TEXT] for start in range(0, len(text), LONGEST_TEXT)]
    return {"PartitionKey": day, "RowKey": name, **{f"counts{number}": part for number, part in enumerate(parts)}}


def _numbers(row: Row) -> Numbers:
    parts = sum(name.startswith("counts") for name in row)
    return msgspec.json.decode("".join(row[f"counts{number}"] for number in range(parts)), type=Numbers)


def _row_length(key: Row) -> int:
    """How much of the key of a process's own row names the row it belongs to."""
    return len(str(key["RowKey"]).rsplit(":", 2)[0])


def _is_over(key: Row, now: float) -> bool:
    """Whether a row is a process's own, of an hour that nobody writes any more."""
    name = str(key["RowKey"]).split(":")
    return len(name) == 4 and _start_of(key["PartitionKey"]) + int(name[2]) * HOUR + HOUR + SETTLED <= now


def _is_late(hour: int, now: float) -> bool:
    return hour + HOUR + LATE <= now


def _unchanged(row: Row) -> Mapping[str, object]:
    return {"mode": UpdateMode.REPLACE, "etag": etag_of(row), "match_condition": MatchConditions.IfNotModified}


def _removal(row: Row) -> Change:
    key = {"PartitionKey": row["PartitionKey"], "RowKey": row["RowKey"]}
    return ("delete", key, {"etag": etag_of(row), "match_condition": MatchConditions.IfNotModified})


def _digit(grant: str) -> str:
    return hashlib.sha256(grant.encode("utf-8", "surrogatepass")).hexdigest()[0]


def _day_of(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")


def _start_of(day: str) -> int:
    return int(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
