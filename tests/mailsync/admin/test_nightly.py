"""Each night the proof is made anew, mailbox by mailbox; what there is no time for comes first the next night."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mailsync.errors import TransientError
from mailsync.nightly import SHORTEST_SPAN, SPAN
from mailsync.storage.proofs import Proven
from mailsync.storage.queues import Waiting
from mailsync.trouble import Send
from sandbox.faults import Answer, Delay, Fault
from tests.mailsync.admin.desk import DAY, HOUR, MINUTE, Desk


def proof(desk: Desk, grant: str) -> Proven:
    found = desk.app.proofs.get(grant)
    assert found is not None
    return found


def numbers(proven: Proven) -> tuple[int, int, int, int]:
    return proven.seen, proven.unexplained, proven.doubled, proven.left_open


def test_a_night_proves_each_mailbox_and_says_so(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    ann, bob = desk.connect("ann"), desk.connect("bob")
    desk.arrive(ann)
    desk.arrive(ann, folder="junk")
    desk.deliver(bob)
    with caplog.at_level("INFO", "mailsync"):
        night = desk.app.verify_nightly()
    assert (night.proved, night.failed, night.left, night.unexplained) == (2, 0, 0, 1)
    assert numbers(proof(desk, ann)) == (2, 0, 0, 0)
    assert numbers(proof(desk, bob)) == (1, 1, 0, 0)
    assert proof(desk, ann).holds
    assert not proof(desk, bob).holds
    told = [line.partition("event=")[2] for line in caplog.messages]
    assert f"mailbox_verified grant={ann} seen=2 unexplained=0 doubled=0 left_open=0 listing=listed" in told
    assert f"mailbox_verified grant={bob} seen=1 unexplained=1 doubled=0 left_open=0 listing=listed" in told
    sums = "unexplained=1 doubled=0 left_open=0 not_looked_through=0"
    assert f"verify_done proved=2 failed=0 left=0 {sums} took_s=" in caplog.text


def test_it_finds_what_verify_finds_and_repairs_nothing(desk: Desk) -> None:
    grant = desk.connect()
    mail = desk.mail(grant)
    desk.arrive(grant, mail)
    desk.dataverse.add("email", subject=mail.subject, messageid=mail.message_id, directioncode=False)
    desk.deliver(grant)
    desk.app.verify_nightly()
    told = desk.verified("--since", "3d", exit_code=1)
    assert numbers(proof(desk, grant)) == (
        told["seen"],
        told["unexplained"],
        len(told["doubled"]),
        len(told["left_open"]),
    )
    assert numbers(proof(desk, grant)) == (2, 1, 1, 0)
    assert desk.work() == 0


def test_it_says_how_many_mailboxes_it_could_not_look_through(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    ann, bob, _ = (desk.connect(name) for name in ("ann", "bob", "cid"))
    desk.arrive(bob)
    desk.nylas.expire(ann)
    desk.nylas.disconnect(bob)
    with caplog.at_level("INFO", "mailsync"):
        desk.app.verify_nightly()
    assert "verify_done proved=3 failed=0 " in caplog.text
    assert " not_looked_through=2 " in caplog.text


def test_it_looks_back_three_days_and_says_how_far(desk: Desk) -> None:
    grant = desk.connect(age=30 * DAY)
    desk.deliver(grant, desk.mail(grant, ago=2 * DAY))
    desk.deliver(grant, desk.mail(grant, ago=4 * DAY))
    desk.app.verify_nightly()
    made = proof(desk, grant)
    assert numbers(made) == (1, 1, 0, 0)
    assert made.until - made.since == SPAN == 3 * DAY


def test_the_next_night_sees_what_was_mended(desk: Desk) -> None:
    grant = desk.connect()
    desk.deliver(grant)
    desk.app.verify_nightly()
    desk.run("verify", "--repair")
    desk.work()
    desk.clock.ahead = DAY
    assert desk.app.verify_nightly().unexplained == 0
    assert proof(desk, grant).holds


# time


def begin_with(desk: Desk, *grants: str) -> None:
    """These mailboxes were proved longest ago, in this order."""
    for number, grant in enumerate(grants):
        desk.app.proofs.put(Proven(grant=grant, tried=desk.clock.now - DAY + number, made=desk.clock.now - DAY))


def order(desk: Desk) -> list[str]:
    """The mailboxes that a night lists, as they first are."""
    begin = len(desk.faults["nylas"].hits)
    desk.faults["nylas"].add(Fault(Delay(0.01), path=r"/messages\?"))
    assert desk.app.verify_nightly().left == 0
    asked = desk.faults["nylas"].hits[begin:]
    return list(dict.fromkeys(hit.path.split("/grants/")[1].split("/")[0] for hit in asked))


def test_the_mailbox_proved_longest_ago_goes_first_and_one_never_proved_before_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailsync.nightly.AT_ONCE", 1)
    ann, bob, cid = desk.connect("ann"), desk.connect("bob"), desk.connect("cid")
    begin_with(desk, bob, ann)
    assert order(desk) == [cid, bob, ann]


def test_what_there_is_no_time_for_comes_first_the_next_night(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailsync.nightly.AT_ONCE", 1)
    grants = [desk.connect(name) for name in ("ann", "bob", "cid")]
    begin_with(desk, *grants)
    nightly = desk.app._nightly
    nightly._budget = 0.5
    slow = Fault(Delay(0.7), path=r"/messages\?", times=1)
    desk.faults["nylas"].add(slow)
    first = nightly.run()
    assert first.left >= 2
    assert [proof(desk, grant).tried >= desk.clock.now - HOUR for grant in grants] == [True, False, False]
    nightly._budget = 300.0
    desk.faults["nylas"].clear()
    assert order(desk) == [grants[1], grants[2], grants[0]], "the one that had its turn is the last"


def test_a_mailbox_that_alone_takes_longer_than_a_night_is_looked_at_less_far_back(desk: Desk) -> None:
    grant = desk.connect(age=30 * DAY)
    nightly = desk.app._nightly
    desk.faults["nylas"].add(Fault(Delay(0.3), path=r"/messages\?"))
    nightly._budget = 0.2
    spans = []
    for _ in range(6):
        desk.clock.ahead += DAY
        assert nightly.run().left == 1
        spans.append(proof(desk, grant).span)
    assert spans == [SPAN // 2, SPAN // 4, SPAN // 8, *([SHORTEST_SPAN] * 3)]
    assert proof(desk, grant).made is None
    desk.faults["nylas"].clear()
    nightly._budget = 300.0
    desk.clock.ahead += DAY
    assert nightly.run().proved == 1
    made = proof(desk, grant)
    assert (made.until - made.since, made.span) == (SHORTEST_SPAN, 2 * SHORTEST_SPAN)
    for _ in range(4):
        desk.clock.ahead += DAY
        nightly.run()
    made = proof(desk, grant)
    assert (made.until - made.since, made.span) == (SPAN, None)


# trouble


def test_one_mailbox_that_cannot_be_listed_costs_no_other_its_proof_and_keeps_its_last(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    ann, bob = desk.connect("ann"), desk.connect("bob")
    desk.deliver(ann)
    desk.app.verify_nightly()
    before = proof(desk, ann)
    desk.faults["nylas"].add(Fault(Answer(500), path=rf"{ann}/messages\?"))
    desk.clock.ahead = DAY
    with caplog.at_level("INFO", "mailsync"):
        night = desk.app.verify_nightly()
    assert (night.proved, night.failed, night.unexplained) == (1, 1, 1)
    after = proof(desk, ann)
    assert (after.made, after.unexplained, after.listing) == (before.made, 1, "failed")
    assert after.tried > before.tried
    assert f"event=mailbox_verified grant={ann} reason=not_listed listing=failed" in caplog.text
    assert proof(desk, bob).made is not None


def test_while_dataverse_answers_nobody_each_mailbox_waits_for_the_next_night(desk: Desk) -> None:
    grant = desk.connect()
    desk.arrive(grant)
    desk.faults["dataverse"].add(Fault(Answer(503)))
    night = desk.app.verify_nightly()
    assert (night.proved, night.failed) == (0, 1)
    assert (proof(desk, grant).made, proof(desk, grant).listing) == (None, "failed")


def test_a_mailbox_whose_owner_must_sign_in_is_counted_from_the_journal(desk: Desk) -> None:
    grant = desk.connect()
    desk.arrive(grant)
    desk.nylas.expire(grant)
    desk.app.verify_nightly()
    assert (numbers(proof(desk, grant)), proof(desk, grant).listing) == ((1, 0, 0, 0), "owner_must_sign_in")


def test_a_mailbox_that_was_disconnected_is_proved_until_all_of_it_is_accounted_for(desk: Desk) -> None:
    grant = desk.connect()
    desk.arrive(grant)
    desk.deliver(grant, desk.mail(grant, ago=MINUTE))
    desk.sweep_without_writing()
    desk.nylas.disconnect(grant)
    desk.clock.ahead = HOUR
    assert desk.app.verify_nightly().unexplained == 1
    desk.clock.ahead = 4 * DAY
    assert desk.app.verify_nightly().proved == 1
    assert proof(desk, grant).is_closed
    desk.clock.ahead = 5 * DAY
    assert desk.app.verify_nightly().proofs == ()


# told with each sweep


def test_each_sweep_tells_the_vitals_and_what_the_last_proofs_left(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    grant = desk.connect()
    desk.deliver(grant)
    desk.app.verify_nightly()
    with caplog.at_level("INFO", "mailsync"):
        desk.sweep()
    assert "event=state_measured mailboxes=1 " in caplog.text
    assert " poison=0 unexplained=1" in caplog.text


def test_the_vitals_are_told_though_nylas_answers_nobody(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.connect()
    desk.faults["nylas"].add(Fault(Answer(503)))
    with caplog.at_level("INFO", "mailsync"), pytest.raises(TransientError):
        desk.app.sweep_missed()
    assert "event=state_measured mailboxes=1 " in caplog.text


def test_and_a_sweep_goes_on_though_they_cannot_be_told(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass
    class Broken:
        send: Send

        def waiting(self, now: float) -> tuple[Waiting, ...]:
            raise TransientError("storage", reason="storage_unavailable")

    desk.connect()
    queues = desk.app.queues
    monkeypatch.setattr(desk.app, "queues", Broken(queues.send))
    with caplog.at_level("INFO", "mailsync"):
        assert desk.app.sweep_missed() == 1
    assert "event=state_measured reason=storage_unavailable" in caplog.text
