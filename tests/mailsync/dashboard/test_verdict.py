"""Whether mail is flowing is judged from facts: green is only what was proved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mailsync.dashboard.facts import (
    DAY,
    HOUR,
    AsideStatus,
    DataverseStatus,
    Facts,
    InstancesStatus,
    Level,
    MailboxStatus,
    MailStatus,
    ProofStatus,
    Proved,
    QueueStatus,
    Slot,
    Tally,
    Trouble,
    Verdict,
    tally,
)
from mailsync.dashboard.verdict import Gap, Judged, Known, judge, judge_mailbox
from tests.mailsync.parts import NOW

BOUND = 2 * HOUR
QUIET = 20 * 60
PROOF = Proved(
    made=NOW - 9 * HOUR,
    since=NOW - 8 * DAY,
    until=NOW - 9 * HOUR,
    seen=90,
    unexplained=0,
    doubled=0,
    left_open=0,
)
KNOWN = Known(
    status="valid",
    connected=NOW - 30 * DAY,
    watermark=NOW - 60,
    since=None,
    waiting=False,
    put_aside=0,
    put_aside_since=None,
    proof=PROOF,
    lag=0,
)


def judged(**about: Any) -> Judged:
    return judge_mailbox(replace(KNOWN, **about), now=NOW, bound=BOUND)


@pytest.mark.parametrize(
    ("about", "level", "word"),
    [
        pytest.param({}, "good", "Up to date", id="looked through, proved, nothing waits"),
        pytest.param({"watermark": NOW - BOUND}, "good", "Up to date", id="just within the bound"),
        pytest.param({"watermark": NOW - BOUND - 1}, "trouble", "Behind", id="not looked through within the bound"),
        pytest.param({"status": "invalid"}, "trouble", "Sign-in needed", id="an expired grant"),
        pytest.param({"status": ""}, "trouble", "Sign-in needed", id="a grant nobody knows the state of"),
        pytest.param({"status": "deleted"}, "gone", "Disconnected", id="a deleted grant"),
        pytest.param({"watermark": None, "connected": NOW - 60}, "new", "New", id="connected just now"),
        pytest.param({"watermark": None}, "trouble", "Never swept", id="connected long ago and never swept"),
        pytest.param({"waiting": True}, "attention", "Catching up", id="signed in again, mail still on its way"),
        pytest.param({"proof": replace(PROOF, unexplained=1)}, "attention", "Unexplained", id="one message unexplained"),
        pytest.param({"proof": replace(PROOF, doubled=2)}, "attention", "Unexplained", id="a doubled email"),
        pytest.param({"proof": replace(PROOF, left_open=1)}, "attention", "Unexplained", id="an email left open"),
        pytest.param({"proof": replace(PROOF, advice="no")}, "attention", "Not proved", id="a proof that failed"),
        pytest.param({"proof": replace(PROOF, made=NOW - 2 * DAY)}, "attention", "Not proved", id="an old proof"),
        pytest.param({"proof": None}, "attention", "Not proved", id="no proof for a month"),
        pytest.param({"proof": None, "connected": NOW - HOUR}, "new", "New", id="no proof in its first hour"),
        pytest.param({"put_aside": 1}, "attention", "Put aside", id="a message put aside"),
        pytest.param({"lag": 21 * 60}, "attention", "Lagging", id="a message on its way for long"),
        pytest.param({"lag": 19 * 60}, "good", "Up to date", id="a message on its way for a little while"),
        pytest.param({"lag": None}, "good", "Up to date", id="no lag told"),
        pytest.param(
            {"status": "invalid", "proof": replace(PROOF, unexplained=9)}, "trouble", "Sign-in needed", id="the worst is said"
        ),
    ],
)  # fmt: skip
def test_how_a_mailbox_fares(about: dict[str, Any], level: str, word: str) -> None:
    told = judged(**about)
    assert (told.level, told.word) == (level, word)
    assert told.why or told.level is Level.GOOD
    assert told.who or told.level in {Level.GOOD, Level.NEW}


def test_a_gap_after_an_expired_grant_is_open_until_a_sweep_has_gone_through_it() -> None:
    expired, renewed = NOW - 3 * DAY, {"status": "valid"}
    assert judged(status="invalid", watermark=expired).gap == Gap(begin=expired, end=NOW, is_closing=False)
    assert judged(watermark=expired, **renewed).gap == Gap(begin=expired, end=NOW, is_closing=True)
    assert judged(watermark=NOW - DAY, **renewed).gap == Gap(begin=NOW - DAY, end=NOW, is_closing=True)
    assert judged(watermark=NOW - 300, **renewed).gap is None


def test_a_mailbox_that_expired_before_its_first_sweep_has_a_gap_from_its_connection() -> None:
    assert judged(status="invalid", watermark=None).gap == Gap(begin=NOW - 30 * DAY, end=NOW, is_closing=False)


def test_who_is_disconnected_has_no_gap_to_close() -> None:
    assert judged(status="deleted", watermark=NOW - DAY).gap is None


# all of them in one sentence


def mailbox(level: Level = Level.GOOD, word: str = "Up to date", **about: Any) -> MailboxStatus:
    given: dict[str, Any] = {
        "grant": "g",
        "provider": "google",
        "level": level,
        "word": word,
        "rank": 0,
        "grant_status": "valid",
        "connected": NOW - 30 * DAY,
        "swept": NOW - 60,
        "proved_until": NOW - 60,
        "last_written": NOW - 30,
        "lag": 0,
        "gap": None,
        "put_aside": 0,
        "proof": PROOF,
        "today": Tally(),
        "week": Tally(),
        "days": (),
        **about,
    }
    return MailboxStatus(**given)


def expired(**about: Any) -> MailboxStatus:
    return mailbox(Level.TROUBLE, "Sign-in needed", grant_status="invalid", since=NOW - DAY, **about)


def instances(**about: Any) -> InstancesStatus:
    given: dict[str, Any] = {
        "instances": 1,
        "last_noted": NOW - 10,
        "troubles": (),
        "closed": {},
        "stopped_until": None,
        "dataverse": None,
        "last_done": {"message": NOW - 20},
        **about,
    }
    return InstancesStatus(**given)


def trouble(who: str = "an administrator", since: int = NOW - 60) -> Trouble:
    return Trouble(
        reason="r", title="Dataverse refuses the app", who=who, do="d", advice="a", evidence="e", since=since,
        at=NOW - 5, work="message",
    )  # fmt: skip


def hours(*reasons: tuple[int, str]) -> MailStatus:
    """A day of counts, with a deferral for a reason so many hours ago."""
    first = NOW // HOUR * HOUR - 23 * HOUR
    told = {first + (23 - ago) * HOUR: tally([("deferred", reason, 1)]) for ago, reason in reasons}
    slots = tuple(Slot(first + place * HOUR, told.get(first + place * HOUR, Tally())) for place in range(24))
    return MailStatus(
        hours=slots,
        days=(),
        day=Tally(in_dataverse=1204),
        week=Tally(),
        seconds_median=2.0,
        seconds_most=9.0,
        errors=(),
    )


def queue(**about: Any) -> QueueStatus:
    given: dict[str, Any] = {
        "name": "nylas-messages", "title": "Messages to write", "waiting": 1, "put": NOW - 5, "oldest": NOW - 5, "is_poison": False, **about,
    }  # fmt: skip
    return QueueStatus(**given)


FACTS = Facts(
    made=NOW,
    mailboxes=(mailbox(), mailbox()),
    mail=hours(),
    queues=(queue(),),
    aside=AsideStatus(waiting=0, is_more=False, oldest=None, newest=()),
    proof=ProofStatus(made=NOW - 9 * HOUR, mailboxes=2, of=2, seen=9, unexplained=0, doubled=0, left_open=0),
    instances=instances(),
    last_written=NOW - 30,
    last_swept=NOW - 60,
)


def said(**about: Any) -> Verdict:
    return judge(replace(FACTS, **about), quiet=QUIET)


ASIDE = AsideStatus(waiting=3, is_more=False, oldest=NOW - HOUR, newest=())
LOW = DataverseStatus(at=NOW, requests_left=900, requests=6000, seconds_left=90.0, seconds=1200, hint=4, at_once=1)


@pytest.mark.parametrize(
    ("about", "level", "sentence"),
    [
        pytest.param({}, "good", "Mail is flowing.", id="all is well"),
        pytest.param({"mailboxes": ()}, "new", "No mailbox is connected yet.", id="no mailbox"),
        pytest.param({"mailboxes": (mailbox(Level.GONE, "Disconnected"),)}, "new", "No mailbox is connected yet.", id="none left"),
        pytest.param({"proof": replace(FACTS.proof, made=None, mailboxes=0)}, "new", "Mail is flowing; the first nightly proof is to come.", id="nothing is proved yet"),
        pytest.param({"proof": replace(FACTS.proof, unexplained=2)}, "attention", "Mail is flowing. 2 messages are unaccounted for.", id="unexplained"),
        pytest.param({"proof": replace(FACTS.proof, doubled=1)}, "attention", "Mail is flowing. 1 email is doubled.", id="doubled"),
        pytest.param({"aside": ASIDE}, "attention", "Mail is flowing. 3 messages could not be written and wait for somebody.", id="put aside"),
        pytest.param({"mailboxes": (mailbox(), expired())}, "attention", "Mail is flowing for 1 of 2 mailboxes.", id="one must sign in"),
        pytest.param({"mailboxes": (expired(), expired())}, "trouble", "Mail is not flowing. 2 mailboxes need their owners to sign in again.", id="all must sign in"),
        pytest.param({"mailboxes": (mailbox(), mailbox(Level.ATTENTION, "Lagging"))}, "attention", "Mail is flowing. Mail of 1 mailbox is on its way for long.", id="lagging"),
        pytest.param({"mailboxes": (mailbox(), mailbox(Level.ATTENTION, "Not proved"))}, "attention", "Mail is flowing. 1 mailbox could not be proved of late.", id="not proved"),
        pytest.param({"mailboxes": (mailbox(), mailbox(Level.NEW, "New"))}, "good", "Mail is flowing.", id="one is new"),
        pytest.param({"instances": instances(troubles=(trouble(),))}, "trouble", "Mail is not flowing. Dataverse refuses the app.", id="configuration"),
        pytest.param({"instances": instances(troubles=(trouble("nobody, it passes by itself"),))}, "attention", "Mail is flowing. Dataverse refuses the app.", id="trouble that passes"),
        pytest.param({"instances": instances(troubles=(trouble("nobody, it passes by itself", NOW - HOUR),))}, "trouble", "Mail is not flowing. Dataverse refuses the app.", id="trouble that should have passed"),
        pytest.param({"instances": instances(troubles=(replace(trouble(since=NOW - DAY), reason="webhook_unwell", title="No webhook is active"),))}, "attention", "Mail is flowing. No webhook is active.", id="the sweep alone brings mail"),
        pytest.param({"instances": instances(stopped_until=NOW + 60)}, "trouble", "Mail is not flowing. Writing is stopped, for too many messages were put aside.", id="the brake"),
        pytest.param({"instances": instances(stopped_until=NOW - 60)}, "good", "Mail is flowing.", id="the brake, let go"),
        pytest.param({"instances": instances(dataverse=LOW)}, "attention", "Mail is flowing. Dataverse's execution time is nearly used up.", id="budget"),
        pytest.param({"instances": instances(dataverse=replace(LOW, at=NOW - HOUR))}, "good", "Mail is flowing.", id="budget of long ago"),
        pytest.param({"erased_is_recognised": True}, "good", "Mail is flowing.", id="what was erased is recognised"),
        pytest.param({"erased_is_recognised": False}, "attention", "Mail is flowing. The key of what was erased is missing or another.", id="what was erased is not recognised"),
        pytest.param({"last_swept": NOW - QUIET - 1}, "trouble", "Mail is not flowing. No mailbox has been looked through of late.", id="the timer is silent"),
        pytest.param({"queues": (queue(put=NOW - HOUR),)}, "attention", "Mail is flowing. More is to be done than is done.", id="a queue that grows"),
        pytest.param({"queues": (queue(put=NOW - HOUR),), "instances": instances(last_noted=NOW - HOUR)}, "trouble", "Mail is not flowing. Mail waits and nobody takes it.", id="nobody takes it"),
        pytest.param({"queues": (queue(name="nylas-messages-poison", is_poison=True),)}, "attention", "Mail is flowing. 1 item crashed the app and can't be taken off the queue.", id="poison"),
        pytest.param({"unread": {"queues": "Storage is silent."}, "queues": None}, "attention", "Mail is flowing. Not to be read just now: queues.", id="a part can't be read"),
        pytest.param({"unread": {"mailboxes": "Storage is silent."}, "mailboxes": None}, "attention", "Not everything could be looked at.", id="the mailboxes can't be read"),
        pytest.param({"mailboxes": None, "queues": None}, "trouble", "Nothing can be said of mail: the app's storage can't be read from here.", id="storage can't be read"),
    ],
)  # fmt: skip
def test_one_sentence_says_whether_mail_is_flowing(about: dict[str, Any], level: str, sentence: str) -> None:
    verdict = said(**about)
    assert (verdict.level, verdict.sentence) == (level, sentence)


def test_only_green_has_nothing_to_do_and_whatever_is_to_be_done_says_who_and_what() -> None:
    assert said().tasks == ()
    for task in said(aside=ASIDE, mailboxes=(mailbox(), expired()), proof=replace(FACTS.proof, unexplained=1)).tasks:
        assert task.title
        assert task.who
        assert task.do
        assert task.where in {"mailboxes", "aside"}


def test_the_worst_is_told_first() -> None:
    verdict = said(aside=ASIDE, instances=instances(troubles=(trouble(),)))
    assert [task.level for task in verdict.tasks] == ["trouble", "attention"]
    assert verdict.since == NOW - 60


def test_parts_that_can_t_be_read_for_one_reason_are_told_once() -> None:
    verdict = said(unread={"queues": "Silent.", "mailboxes": "Silent.", "nightly proofs": "Refused."})
    assert [(task.title, task.do) for task in verdict.tasks] == [
        ("Not to be read just now: queues, mailboxes", "Silent."),
        ("Not to be read just now: nightly proofs", "Refused."),
    ]


@pytest.mark.parametrize(
    ("reasons", "since"),
    [
        pytest.param([], NOW // HOUR * HOUR - 23 * HOUR, id="nothing in a day"),
        pytest.param(
            [(5, "dataverse_throttled")], NOW // HOUR * HOUR - 4 * HOUR, id="the organisation, five hours ago"
        ),
        pytest.param([(5, "mailbox_paced")], NOW // HOUR * HOUR - 23 * HOUR, id="one mailbox alone"),
        pytest.param([(0, "nylas_unavailable")], NOW, id="in this hour"),
    ],
)
def test_green_says_since_when_nothing_stood_in_its_way(reasons: list[tuple[int, str]], since: int) -> None:
    assert said(mail=hours(*reasons)).since == since


def test_the_detail_says_how_many_are_up_to_date() -> None:
    assert (
        said().detail == "All 2 mailboxes are up to date; 1,204 emails into Dataverse in 24 hours; nothing unexplained."
    )
    told = said(mailboxes=(mailbox(), mailbox(Level.ATTENTION, "Lagging")), proof=None)
    assert told.detail == "1 of 2 mailboxes up to date; 1,204 emails into Dataverse in 24 hours."
