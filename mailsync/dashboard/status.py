"""Gathers what the status page shows, in one reading: rows that stand ready, a few counts, and never the journal.

Each part is read for itself and at the same time. One that can't be read, or not in time, is told as such and costs no
other part.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from mailsync.dashboard.facts import (
    DAY,
    HOUR,
    AsideItem,
    AsideStatus,
    DataverseStatus,
    ErrorStatus,
    Facts,
    InstancesStatus,
    Level,
    MailboxStatus,
    MailStatus,
    ProofStatus,
    Proved,
    QueueStatus,
    Slot,
    Status,
    Tally,
    Trouble,
    tally,
)
from mailsync.dashboard.reasons import meaning_of
from mailsync.dashboard.verdict import WORST, Known, judge, judge_mailbox
from mailsync.errors import MailSyncError
from mailsync.outcome import Kind
from mailsync.proof import Listing
from mailsync.storage.aside import Aside, Kept, Waiting
from mailsync.storage.counts import Counts, HourCount, Latency, MailboxDay
from mailsync.storage.envelope import MessageItem, decode
from mailsync.storage.instances import Instance, Instances
from mailsync.storage.mailboxes import Mailbox, Mailboxes
from mailsync.storage.proofs import Proofs, Proven
from mailsync.storage.queues import Queues
from mailsync.storage.queues import Waiting as OnQueue

PATIENCE = 8.0
"""Seconds that a reading may take; what has not come by then is told as not read."""
FRESH = 2.0
"""Seconds that one reading serves whoever asks: a page in many windows costs storage no more."""
HOURS, DAYS = 24, 7
NEWEST = 20
"""Items put aside that are shown."""
MOST_ASIDE = 2_000
"""Rows of what was put aside that are looked at."""
CURRENT = 20 * 60
"""Seconds after which trouble that was not met again counts as over: an item comes back within fifteen minutes."""
LISTENING = 3 * HOUR
"""Seconds that a process counts as running after its last note."""
TIME_LIMIT, REQUEST_LIMIT = 1_200, 6_000
"""What Dataverse grants one user on one of its servers in five minutes (its page on limits, read 2026-11)."""
TITLES = {
    "nylas-messages": "Messages to write",
    "mailbox-sweeps": "Mailboxes to sweep",
    "nylas-messages-poison": "Crashed: messages",
    "mailbox-sweeps-poison": "Crashed: sweeps",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the parts come from; each is made when it is read, so that a setting to mend is that part's trouble."""

    mailboxes: Callable[[], Mailboxes]
    counts: Callable[[], Counts]
    proofs: Callable[[], Proofs]
    queues: Callable[[], Queues]
    aside: Callable[[], Aside]
    instances: Callable[[], Instances]
    erased: Callable[[], bool | None]
    """Whether what was erased is recognised; None where nothing was."""
    bound: Callable[[], int]
    """Seconds that a mailbox's mail may go without being looked through."""
    quiet: Callable[[], int]
    """Seconds that may pass between two sweeps, of whichever mailbox."""


class StatusReader:
    """Reads the status, and remembers it for a moment."""

    def __init__(self, sources: Sources, *, clock: Callable[[], float], patience: float = PATIENCE) -> None:
        self._sources = sources
        self._clock = clock
        self._patience = patience
        self._lock = threading.Lock()
        self._last: tuple[float, Status] | None = None

    def read(self) -> Status:
        """How things stand; never raises what can be told on the page."""
        with self._lock:
            if self._last is None or not 0 <= self._clock() - self._last[0] < FRESH:
                self._last = (self._clock(), self._read(int(self._clock())))
            return self._last[1]

    def forget(self) -> None:
        """Read anew the next time: something was changed."""
        with self._lock:
            self._last = None

    def addresses(self) -> Mapping[str, str]:
        """The address of each mailbox, by its grant; only for who has the key for it."""
        return {mailbox.grant: mailbox.email for mailbox in self._sources.mailboxes().all()}

    def _read(self, now: int) -> Status:
        today = now // DAY * DAY
        first_hour, first_day = now // HOUR * HOUR - (HOURS - 1) * HOUR, today - (DAYS - 1) * DAY
        source = self._sources
        read, unread = _gathered(
            {
                "mailboxes": lambda: source.mailboxes().all(),
                "the last day's counts": lambda: source.counts().hours(first_hour, now + 1),
                "the last week's counts": lambda: source.counts().days(first_day, now + 1),
                "nightly proofs": lambda: source.proofs().all(),
                "queues": lambda: source.queues().waiting(now),
                "what was put aside": lambda: source.aside().waiting_newest(most=MOST_ASIDE),
                "running instances": lambda: source.instances().all(since=now - LISTENING),
                "what was erased": source.erased,
                "settings": lambda: (source.bound(), source.quiet()),
            },
            self._patience,
        )
        bound, quiet = read["settings"] or (2 * HOUR, HOUR)
        hours, days, aside = read["the last day's counts"], read["the last week's counts"], read["what was put aside"]
        known: Sequence[Mailbox] | None = read["mailboxes"]
        proofs = {one.grant: one for one in read["nightly proofs"] or ()}
        mailboxes = (
            tuple(_mailboxes(known, proofs, days or (), aside, first_day=first_day, now=now, bound=bound))
            if known is not None
            else None
        )
        facts = Facts(
            made=now,
            mailboxes=mailboxes,
            mail=_mail(hours, days, first_hour, first_day, now) if hours is not None and days is not None else None,
            queues=_queues(read["queues"]) if read["queues"] is not None else None,
            aside=_aside(aside) if aside is not None else None,
            proof=_proof(mailboxes or ()) if read["nightly proofs"] is not None and mailboxes is not None else None,
            instances=_instances(read["running instances"], now) if read["running instances"] is not None else None,
            last_written=max((one.last_written or 0 for one in known or ()), default=0) or None,
            last_swept=max((one.swept or 0 for one in known or ()), default=0) or None,
            erased_is_recognised=read["what was erased"],
            unread=unread,
        )
        return Status(verdict=judge(facts, quiet=quiet), facts=facts)


def _gathered(parts: Mapping[str, Callable[[], Any]], patience: float) -> tuple[dict[str, Any], dict[str, str]]:
    """What each part reads, None where it can't, and why not."""
    pool = ThreadPoolExecutor(len(parts), thread_name_prefix="status")
    futures = {name: pool.submit(read) for name, read in parts.items()}
    wait(futures.values(), timeout=patience)
    pool.shutdown(wait=False, cancel_futures=True)
    read: dict[str, Any] = {}
    unread: dict[str, str] = {}
    for name, future in futures.items():
        read[name] = None
        if not future.done():
            unread[name] = f"It was not read within {patience:.0f} s."
            continue
        error = future.exception()
        if error is None:
            read[name] = future.result()
        elif isinstance(error, MailSyncError):
            unread[name] = f"{str(error)[:1].upper()}{str(error)[1:]}."
        else:
            unread[name] = f"An unforeseen {type(error).__name__}; please report it."
    return read, unread


def _mailboxes(
    mailboxes: Iterable[Mailbox],
    proofs: Mapping[str, Proven],
    days: Iterable[MailboxDay],
    aside: Waiting | None,
    *,
    first_day: int,
    now: int,
    bound: int,
) -> list[MailboxStatus]:
    """Every mailbox, the worst first."""
    counted: defaultdict[str, list[MailboxDay]] = defaultdict(list)
    for one in days:
        counted[one.grant].append(one)
    waiting = aside.by_grant if aside is not None else {}
    told = [
        _mailbox(
            mailbox,
            _proved(proofs.get(mailbox.grant)),
            counted[mailbox.grant],
            waiting.get(mailbox.grant, (0, None)),
            first_day=first_day,
            now=now,
            bound=bound,
        )
        for mailbox in mailboxes
    ]
    return sorted(told, key=lambda one: (one.rank, one.since or now, one.grant))


def _mailbox(
    mailbox: Mailbox,
    proof: Proved | None,
    days: Sequence[MailboxDay],
    aside: tuple[int, int | None],
    *,
    first_day: int,
    now: int,
    bound: int,
) -> MailboxStatus:
    put_aside, put_aside_since = aside
    judged = judge_mailbox(
        Known(
            status=mailbox.status,
            connected=mailbox.connected,
            watermark=mailbox.watermark,
            since=mailbox.since or mailbox.expired,
            waiting=bool(mailbox.waiting),
            put_aside=put_aside,
            put_aside_since=put_aside_since,
            proof=proof,
            lag=mailbox.lag,
        ),
        now=now,
        bound=bound,
    )
    slots = _slots(((one.day, one.kind, one.reason, one.count) for one in days), first_day, DAY, DAYS)
    return MailboxStatus(
        grant=mailbox.grant,
        provider=mailbox.provider,
        level=judged.level,
        word=judged.word,
        rank=WORST.index(judged.word),
        why=judged.why,
        who=judged.who,
        do=judged.do,
        since=judged.since,
        grant_status=mailbox.status,
        connected=mailbox.connected,
        swept=mailbox.swept,
        proved_until=mailbox.watermark,
        last_written=mailbox.last_written,
        lag=mailbox.lag,
        gap=judged.gap,
        put_aside=put_aside,
        proof=proof,
        today=slots[-1].tally,
        week=tally((one.kind, one.reason, one.count) for one in days),
        days=slots,
    )


def _proved(proven: Proven | None) -> Proved | None:
    if proven is None or (proven.made is None and proven.listing != Listing.FAILED):
        return None
    failed = proven.made is None or proven.listing == Listing.FAILED
    return Proved(
        made=proven.made if proven.made is not None else proven.tried,
        since=proven.since,
        until=proven.until,
        seen=proven.seen,
        unexplained=proven.unexplained,
        doubled=proven.doubled,
        left_open=proven.left_open,
        advice="the mailbox could not be listed" if failed else "",
    )


def _slots(counted: Iterable[tuple[int, str, str, int]], first: int, width: int, number: int) -> tuple[Slot, ...]:
    """What was counted in each of so many hours or days, those without anything too."""
    by_start: defaultdict[int, list[tuple[str, str, int]]] = defaultdict(list)
    for start, kind, reason, count in counted:
        by_start[start].append((kind, reason, count))
    starts = (first + place * width for place in range(number))
    return tuple(Slot(start, tally(by_start[start]) if start in by_start else Tally()) for start in starts)


def _mail(
    hours: Sequence[HourCount], days: Sequence[MailboxDay], first_hour: int, first_day: int, now: int
) -> MailStatus:
    by_hour = [(one.hour, one.kind, one.reason, one.count) for one in hours]
    by_day = [(one.day, one.kind, one.reason, one.count) for one in days]
    arrived = [one.from_notification for one in hours if one.kind == Kind.WRITTEN]
    latency = sum(arrived, Latency())
    return MailStatus(
        hours=_slots(by_hour, first_hour, HOUR, HOURS),
        days=_slots(by_day, first_day, DAY, DAYS),
        day=tally((kind, reason, count) for _, kind, reason, count in by_hour),
        week=tally((kind, reason, count) for _, kind, reason, count in by_day),
        seconds_median=latency.quantile(0.5),
        seconds_most=latency.quantile(0.95),
        errors=_errors(hours, now),
    )


def _errors(hours: Iterable[HourCount], now: int) -> tuple[ErrorStatus, ...]:
    """The reasons why mail was tried again or put aside, those that reach furthest first."""
    day: Counter[str] = Counter()
    hour: Counter[str] = Counter()
    for one in hours:
        if one.kind in {Kind.DEFERRED, Kind.PUT_ASIDE}:
            day[one.reason] += one.count
            if one.hour >= now // HOUR * HOUR - HOUR:
                hour[one.reason] += one.count
    told = [
        ErrorStatus(
            reason=reason,
            scope=(meaning := meaning_of(reason)).scope.value,
            title=meaning.title,
            who=meaning.who,
            do=meaning.do,
            day=count,
            hour=hour[reason],
        )
        for reason, count in day.items()
    ]
    scopes = ("organisation", "mailbox", "message")
    return tuple(sorted(told, key=lambda one: (scopes.index(one.scope), -one.hour, -one.day, one.reason)))


def _queues(waiting: Iterable[OnQueue]) -> tuple[QueueStatus, ...]:
    return tuple(
        QueueStatus(
            name=one.queue,
            title=TITLES[one.queue],
            waiting=one.depth,
            put=one.put,
            oldest=one.heard,
            is_poison=one.is_poison,
        )
        for one in waiting
    )


def _aside(waiting: Waiting) -> AsideStatus:
    return AsideStatus(
        waiting=waiting.number,
        is_more=waiting.is_more,
        oldest=waiting.oldest,
        newest=tuple(_item(kept) for kept in waiting.newest[:NEWEST]),
    )


def _item(kept: Kept) -> AsideItem:
    meaning = meaning_of(kept.reason)
    evidence = " ".join(part for part in (kept.vendor, kept.status, kept.code, kept.request) if part)
    return AsideItem(
        grant=kept.grant,
        key=kept.row,
        what=kept.kind,
        message=_message_of(kept),
        reason=kept.reason,
        title=meaning.title,
        who=meaning.who,
        do=meaning.do,
        advice=kept.advice,
        evidence=evidence,
        noted=kept.noted,
    )


def _message_of(kept: Kept) -> str:
    try:
        item = decode(kept.envelope)
    except MailSyncError:
        return ""
    return item.message if isinstance(item, MessageItem) else ""


def _proof(mailboxes: Iterable[MailboxStatus]) -> ProofStatus:
    connected = [one for one in mailboxes if one.level is not Level.GONE]
    proofs = [one.proof for one in connected if one.proof is not None and not one.proof.advice]
    return ProofStatus(
        made=min((one.made for one in proofs), default=None),
        mailboxes=len(proofs),
        of=len(connected),
        seen=sum(one.seen for one in proofs),
        unexplained=sum(one.unexplained for one in proofs),
        doubled=sum(one.doubled for one in proofs),
        left_open=sum(one.left_open for one in proofs),
    )


def _instances(instances: Sequence[Instance], now: int) -> InstancesStatus:
    done: dict[str, int] = {}
    for instance in instances:
        for work, at in instance.done.items():
            done[work] = max(at, done.get(work, 0))
    stopped = [one.stopped_until for one in instances if one.stopped_until is not None and one.stopped_until > now]
    return InstancesStatus(
        instances=len(instances),
        last_noted=max((one.noted for one in instances), default=None),
        troubles=_troubles(instances, done, now),
        closed={name: until for one in instances for name, until in sorted(one.closed.items()) if until > now},
        stopped_until=max(stopped, default=None),
        dataverse=_dataverse(instances),
        last_done=done,
    )


def _troubles(instances: Iterable[Instance], done: Mapping[str, int], now: int) -> tuple[Trouble, ...]:
    """What stands in the way now: met of late, and nobody has done such work since. One reason is told once."""
    met = [
        trouble
        for instance in instances
        for trouble in instance.troubles
        if trouble.at > done.get(trouble.work, 0) and now - trouble.at <= CURRENT
    ]
    told = []
    for reason in dict.fromkeys(one.reason for one in met):
        same = [one for one in met if one.reason == reason]
        last, meaning = max(same, key=lambda one: one.at), meaning_of(reason)
        told.append(
            Trouble(
                reason=reason,
                title=meaning.title,
                who=meaning.who,
                do=meaning.do,
                advice=last.advice,
                evidence=last.evidence,
                since=min(one.since for one in same),
                at=last.at,
                work=last.work,
            )
        )
    return tuple(sorted(told, key=lambda one: one.since))


def _dataverse(instances: Iterable[Instance]) -> DataverseStatus | None:
    told = [one.budget for one in instances if one.budget is not None]
    if not told:
        return None
    newest = max(told, key=lambda one: one.at)
    recent = [one for one in told if newest.at - one.at <= 5 * 60]
    requests = [one.requests_left for one in recent if one.requests_left is not None]
    seconds = [one.seconds_left for one in recent if one.seconds_left is not None]
    return DataverseStatus(
        at=newest.at,
        requests_left=min(requests, default=None),
        requests=REQUEST_LIMIT,
        seconds_left=min(seconds, default=None),
        seconds=TIME_LIMIT,
        hint=newest.hint,
        at_once=sum(one.at_once for one in recent),
    )
