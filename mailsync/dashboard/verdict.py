"""Whether mail is flowing, judged from facts: for each mailbox, and for all of them in one sentence.

Pure. Green is only what was proved: nothing unexplained, every mailbox looked through of late, and nothing in the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mailsync.dashboard.facts import (
    HOUR,
    Facts,
    Gap,
    InstancesStatus,
    Level,
    MailboxStatus,
    Proved,
    Task,
    Trouble,
    Verdict,
)
from mailsync.dashboard.reasons import REASONS, SIGN_IN, Who
from mailsync.storage.mailboxes import DELETED, VALID

SWEPT_AFTER = HOUR
"""Seconds that a mailbox may be connected before its first sweep is overdue."""
PROVED_AFTER = 36 * HOUR
"""Seconds after which a nightly proof is overdue; also what a new mailbox is given for its first."""
WAITED = 30 * 60
"""Seconds since an item was put on a queue after which it should have been taken: it may be hidden for half of them."""
WORKING = 15 * 60
"""Seconds since an instance told of itself within which the app seems to work."""
LASTING = 15 * 60
"""Seconds of trouble that passes by itself before mail counts as not flowing."""
LAGGING = 20 * 60
"""Seconds that a message may be on its way before its mailbox counts as lagging."""
DELAYS = frozenset({"webhook_unwell"})
"""Reasons that make mail late and stop none: the sweep finds it within minutes."""
WORST = (
    "Sign-in needed",
    "Never swept",
    "Behind",
    "Unexplained",
    "Not proved",
    "Put aside",
    "Lagging",
    "Catching up",
    "New",
    "Up to date",
    "Disconnected",
)
"""What is said of a mailbox, the worst first."""
MOST_TASKS = 8
CONNECT = Task(
    level=Level.NEW,
    title="Connect a mailbox",
    who=Who.ADMINISTRATOR,
    do="Let its owner sign in through Nylas; the app hears of it by webhook, or within minutes by its timer.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of one mailbox when it is judged."""

    status: str
    connected: int | None
    watermark: int | None
    since: int | None
    """Since when its grant is in this state."""
    waiting: bool
    """Mail waits in the journal for its owner to sign in."""
    put_aside: int
    put_aside_since: int | None
    proof: Proved | None
    lag: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How a mailbox fares, and why."""

    level: Level
    word: str
    why: str = ""
    who: str = ""
    do: str = ""
    since: int | None = None
    gap: Gap | None = None


def judge_mailbox(known: Known, *, now: int, bound: int) -> Judged:
    """How one mailbox fares; `bound` is how many seconds its mail may go without being looked through."""
    gap = _gap(known, now=now, bound=bound)
    if known.status == DELETED:
        return Judged(
            level=Level.GONE,
            word="Disconnected",
            why="It is no longer connected to Nylas.",
            who=Who.OWNER,
            do="Connect it again if its mail is wanted; it goes on where it was.",
            since=known.since,
        )
    if known.status != VALID:
        return Judged(
            level=Level.TROUBLE,
            word="Sign-in needed",
            why="Nylas can't read it until its owner signs in again. Nothing is lost meanwhile.",
            who=Who.OWNER,
            do=SIGN_IN,
            since=known.since,
            gap=gap,
        )
    return (
        _judge_sweeps(known, gap, now=now)
        or _judge_proof(known, gap, now=now)
        or Judged(level=Level.GOOD, word="Up to date")
    )


def _gap(known: Known, *, now: int, bound: int) -> Gap | None:
    is_valid = known.status == VALID
    begin = known.watermark if known.watermark is not None else known.connected
    if known.status == DELETED or begin is None:
        return None
    if not is_valid or (known.watermark is not None and now - begin > bound):
        return Gap(begin=begin, end=now, is_closing=is_valid)
    return None


def _judge_sweeps(known: Known, gap: Gap | None, *, now: int) -> Judged | None:
    if known.watermark is None:
        if known.connected is not None and now - known.connected > SWEPT_AFTER:
            return Judged(
                level=Level.TROUBLE,
                word="Never swept",
                why="It was connected, and no sweep has looked through it yet.",
                who=Who.ADMINISTRATOR,
                do="Look at the sweeps: does the app run, and does Nylas answer?",
                since=known.connected,
            )
        return Judged(level=Level.NEW, word="New", why="Connected just now; its first sweep is to come.")
    if gap is not None:
        return Judged(
            level=Level.TROUBLE,
            word="Behind",
            why="What came since is not looked through yet. Webhooks may still bring it.",
            who=Who.OPERATOR,
            do="If this lasts, look at the errors of this mailbox below.",
            since=known.watermark,
            gap=gap,
        )
    if known.waiting:
        return Judged(
            level=Level.ATTENTION,
            word="Catching up",
            why="Its owner signed in again; what waited for that is on its way.",
            who=Who.NOBODY,
            do="Nothing.",
        )
    return None


def _judge_proof(known: Known, gap: Gap | None, *, now: int) -> Judged | None:
    proof = known.proof
    wrong = _wrongs(proof) if proof is not None else ""
    if wrong:
        return Judged(
            level=Level.ATTENTION,
            word="Not proved" if proof is not None and proof.advice else "Unexplained",
            why=wrong,
            who=Who.OPERATOR,
            do="Run `python -m mailsync verify --repair` for this mailbox.",
            since=proof.made if proof is not None else None,
            gap=gap,
        )
    if known.put_aside:
        return Judged(
            level=Level.ATTENTION,
            word="Put aside",
            why=f"{_many(known.put_aside, 'message')} could not be written and {_wait(known.put_aside)} for somebody.",
            who=Who.OPERATOR,
            do="Read the reason below, mend it, then replay.",
            since=known.put_aside_since,
        )
    if known.lag is not None and known.lag > LAGGING:
        return Judged(
            level=Level.ATTENTION,
            word="Lagging",
            why="A message of it is on its way for long.",
            who=Who.NOBODY,
            do="Nothing, unless it lasts: the errors below say what is in the way.",
        )
    if proof is None or now - proof.made > PROVED_AFTER:
        is_new = proof is None and now - (known.connected or 0) <= PROVED_AFTER
        return Judged(
            level=Level.NEW if is_new else Level.ATTENTION,
            word="New" if is_new else "Not proved",
            why="Its first nightly proof is to come." if is_new else "No nightly proof was made of late.",
            who="" if is_new else Who.ADMINISTRATOR,
            do="" if is_new else "Run `python -m mailsync verify`, and see why the nightly one does not run.",
            since=proof.made if proof is not None else None,
        )
    return None


def _wrongs(proof: Proved) -> str:
    """What a proof found wrong; empty where it found nothing."""
    wrong = [
        f"{_many(number, word)} {what}"
        for number, word, what in (
            (proof.unexplained, "message", "unaccounted for"),
            (proof.doubled, "email", "doubled"),
            (proof.left_open, "email", "left open"),
        )
        if number
    ]
    if wrong:
        return f"{', '.join(wrong).capitalize()} in the last nightly proof."
    return f"The last nightly proof could not be made: {proof.advice}" if proof.advice else ""


def judge(facts: Facts, *, quiet: int) -> Verdict:
    """Whether mail is flowing.

    `quiet`: how many seconds may pass between two sweeps, of whichever mailbox, before the timer seems to be silent.
    """
    tasks = sorted(_tasks(facts, quiet=quiet), key=lambda task: task.level.rank)
    if facts.mailboxes is None and facts.queues is None:
        said = "Nothing can be said of mail: the app's storage can't be read from here."
        return _verdict(Level.TROUBLE, "Can't tell", said, facts, tasks)
    stops = [task for task in tasks if task.level is Level.TROUBLE]
    if stops:
        return _verdict(Level.TROUBLE, "Not flowing", _sentence(stops[0]), facts, tasks, since=stops[0].since)
    if facts.mailboxes is not None and not [one for one in facts.mailboxes if one.level is not Level.GONE]:
        return _verdict(Level.NEW, "Starting", "No mailbox is connected yet.", facts, [*tasks, CONNECT])
    needs = [task for task in tasks if task.level is Level.ATTENTION]
    if needs:
        return _verdict(Level.ATTENTION, "Needs attention", _flowing(facts, needs), facts, tasks, since=_oldest(needs))
    if facts.proof is None or facts.proof.made is None or facts.proof.unexplained:
        said = "Mail is flowing; the first nightly proof is to come."
        return _verdict(Level.NEW, "Starting", said, facts, tasks)
    return _verdict(Level.GOOD, "Flowing", "Mail is flowing.", facts, tasks, since=_untroubled_since(facts))


def _verdict(
    level: Level, word: str, sentence: str, facts: Facts, tasks: list[Task], *, since: int | None = None
) -> Verdict:
    return Verdict(
        level=level,
        word=word,
        sentence=sentence,
        detail=_detail(facts),
        since=since,
        tasks=tuple(tasks[:MOST_TASKS]),
    )


def _sentence(task: Task) -> str:
    return f"Mail is not flowing. {task.title}."


def _flowing(facts: Facts, needs: list[Task]) -> str:
    """What is said where mail flows and something is to be done."""
    connected = [one for one in facts.mailboxes or () if one.level is not Level.GONE]
    stopped = sum(one.level is Level.TROUBLE for one in connected)
    if facts.mailboxes is None:
        return "Not everything could be looked at."
    if stopped:
        return f"Mail is flowing for {len(connected) - stopped} of {_many(len(connected), 'mailbox')}."
    more = f", and {_many(len(needs) - 1, 'thing')} more" if len(needs) > 1 else ""
    return f"Mail is flowing. {needs[0].title}{more}."


def _detail(facts: Facts) -> str:
    said = []
    connected = [one for one in facts.mailboxes or () if one.level is not Level.GONE]
    good = sum(one.level is Level.GOOD for one in connected)
    if connected:
        of = f"{good} of {_many(len(connected), 'mailbox')}" if good < len(connected) else _all(len(connected))
        said.append(f"{of} up to date")
    if facts.mail is not None and (connected or facts.mail.day.in_dataverse):
        said.append(f"{_many(facts.mail.day.in_dataverse, 'email')} into Dataverse in 24 hours")
    if facts.proof is not None and facts.proof.made is not None:
        number = facts.proof.unexplained
        said.append("nothing unexplained" if not number else f"{number:,} unexplained")
    return "; ".join(said) + "." if said else ""


def _all(number: int) -> str:
    return "The one mailbox is" if number == 1 else f"All {number:,} mailboxes are"


def _tasks(facts: Facts, *, quiet: int) -> Iterator[Task]:
    yield from _of_instances(facts)
    yield from _of_sweeps(facts, quiet=quiet)
    yield from _of_queues(facts)
    yield from _of_mailboxes(facts)
    yield from _of_proofs(facts)
    yield from _of_aside(facts)
    if facts.erased_is_recognised is False:
        meaning = REASONS["erasure_key"]
        yield Task(level=Level.ATTENTION, title=meaning.title, who=meaning.who, do=meaning.do)
    for why in dict.fromkeys(facts.unread.values()):
        parts = [part for part, reason in facts.unread.items() if reason == why]
        yield Task(
            level=Level.ATTENTION,
            title=f"Not to be read just now: {', '.join(parts)}",
            who=Who.ADMINISTRATOR,
            do=why,
        )


def _of_instances(facts: Facts) -> Iterator[Task]:
    seen = facts.instances
    if seen is None:
        return
    if seen.stopped_until is not None and seen.stopped_until > facts.made:
        meaning = REASONS["writing_stopped"]
        yield Task(level=Level.TROUBLE, title=meaning.title, who=meaning.who, do=meaning.do, where="aside")
    for trouble in seen.troubles:
        yield _of_trouble(trouble, facts.made)
    yield from _of_budget(seen, facts.made)


def _of_trouble(trouble: Trouble, now: int) -> Task:
    passes = trouble.who == Who.NOBODY and now - trouble.since <= LASTING
    return Task(
        level=Level.ATTENTION if passes or trouble.reason in DELAYS else Level.TROUBLE,
        title=trouble.title,
        who=trouble.who,
        do=trouble.do,
        since=trouble.since,
        where="errors",
    )


def _of_budget(seen: InstancesStatus, now: int) -> Iterator[Task]:
    budget = seen.dataverse
    if budget is None or now - budget.at > 5 * 60 or budget.seconds_left is None:
        return
    if budget.seconds_left < budget.seconds / 10:
        yield Task(
            level=Level.ATTENTION,
            title="Dataverse's execution time is nearly used up",
            who=Who.NOBODY,
            do="Nothing: the app asks for less. If it lasts, see docs/throttling.md.",
            since=None,
            where="dataverse",
        )


def _of_sweeps(facts: Facts, *, quiet: int) -> Iterator[Task]:
    valid = [one for one in facts.mailboxes or () if one.grant_status == VALID and one.proved_until is not None]
    if valid and facts.last_swept is not None and facts.made - facts.last_swept > quiet:
        yield Task(
            level=Level.TROUBLE,
            title="No mailbox has been looked through of late",
            who=Who.ADMINISTRATOR,
            do="Does the app run, and does its timer? The newest errors are below.",
            since=facts.last_swept,
            where="mailboxes",
        )


def _of_queues(facts: Facts) -> Iterator[Task]:
    works = facts.instances is not None and facts.made - (facts.instances.last_noted or 0) <= WORKING
    for queue in facts.queues or ():
        if queue.is_poison and queue.waiting:
            yield Task(
                level=Level.ATTENTION,
                title=f"{_many(queue.waiting, 'item')} crashed the app and can't be taken off the queue",
                who=Who.ADMINISTRATOR,
                do=f"Look at the exceptions of that time, and at the queue {queue.name}.",
                since=queue.oldest,
                where="queues",
            )
        elif not queue.is_poison and queue.put is not None and facts.made - queue.put > WAITED:
            yield Task(
                level=Level.ATTENTION if works else Level.TROUBLE,
                title="More is to be done than is done" if works else "Mail waits and nobody takes it",
                who=Who.NOBODY if works else Who.ADMINISTRATOR,
                do="Nothing: it is worked off." if works else "Does the app run? Its functions may be switched off.",
                since=queue.put,
                where="queues",
            )


def _of_mailboxes(facts: Facts) -> Iterator[Task]:
    connected = [one for one in facts.mailboxes or () if one.level is not Level.GONE]
    stopped = [one for one in connected if one.level is Level.TROUBLE]
    unread = [one for one in stopped if one.grant_status != VALID]
    behind = [one for one in stopped if one.grant_status == VALID]
    level = Level.TROUBLE if connected and len(stopped) == len(connected) else Level.ATTENTION
    if unread:
        needs = "needs its owner" if len(unread) == 1 else "need their owners"
        yield Task(
            level=level,
            title=f"{_many(len(unread), 'mailbox')} {needs} to sign in again",
            who=Who.OWNER,
            do=SIGN_IN,
            since=_oldest(unread),
            where="mailboxes",
        )
    if behind:
        yield Task(
            level=level,
            title=f"{_many(len(behind), 'mailbox')} {'is' if len(behind) == 1 else 'are'} behind",
            who=Who.OPERATOR,
            do="Each says below since when, and why.",
            since=_oldest(behind),
            where="mailboxes",
        )
    slow = [one for one in connected if one.word in {"Lagging", "Catching up"}]
    if slow:
        yield Task(
            level=Level.ATTENTION,
            title=f"Mail of {_many(len(slow), 'mailbox')} is on its way for long",
            who=Who.NOBODY,
            do="Nothing, unless it lasts: the errors say what is in the way.",
            where="errors",
        )


def _of_proofs(facts: Facts) -> Iterator[Task]:
    proof = facts.proof
    if proof is None:
        return
    wrong = [
        f"{_many(number, word)} {'is' if number == 1 else 'are'} {what}"
        for number, word, what in (
            (proof.unexplained, "message", "unaccounted for"),
            (proof.doubled, "email", "doubled"),
            (proof.left_open, "email", "left open"),
        )
        if number
    ]
    for title in wrong:
        yield Task(
            level=Level.ATTENTION,
            title=title,
            who=Who.OPERATOR,
            do="Run `python -m mailsync verify --repair`; it names each one.",
            since=proof.made,
            where="mailboxes",
        )
    unproved = [one for one in facts.mailboxes or () if one.level is Level.ATTENTION and one.word == "Not proved"]
    if unproved:
        yield Task(
            level=Level.ATTENTION,
            title=f"{_many(len(unproved), 'mailbox')} could not be proved of late",
            who=Who.ADMINISTRATOR,
            do="Run `python -m mailsync verify`, and see why the nightly one fails.",
            since=_oldest(unproved),
            where="mailboxes",
        )


def _of_aside(facts: Facts) -> Iterator[Task]:
    aside = facts.aside
    if aside is not None and aside.waiting:
        number = f"{_many(aside.waiting, 'message')}{' or more' if aside.is_more else ''}"
        yield Task(
            level=Level.ATTENTION,
            title=f"{number} could not be written and {_wait(aside.waiting)} for somebody",
            who=Who.OPERATOR,
            do="Read the reasons below, mend them, then replay.",
            since=aside.oldest,
            where="aside",
        )


def _untroubled_since(facts: Facts) -> int | None:
    """Since when nothing stood in the way of all mail, as far as a day of counts tells."""
    if facts.mail is None or not facts.mail.hours:
        return None
    since = facts.mail.hours[0].start
    for slot in facts.mail.hours:
        if any(_is_wide(what) for what in slot.tally.by_reason):
            since = slot.start + HOUR
    return min(since, facts.made)


def _is_wide(what: str) -> bool:
    meaning = REASONS.get(what.partition(" ")[2])
    return meaning is not None and meaning.scope.value == "organisation"


def _oldest(told: list[Task] | list[MailboxStatus]) -> int | None:
    return min((one.since for one in told if one.since is not None), default=None)


def _many(number: int, word: str) -> str:
    plural = f"{word}es" if word.endswith("x") else f"{word}s"
    return f"{number:,} {word if number == 1 else plural}"


def _wait(number: int) -> str:
    return "waits" if number == 1 else "wait"
