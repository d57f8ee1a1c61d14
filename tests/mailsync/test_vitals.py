"""What waits and how far behind the mailboxes are is told with each sweep, whatever became of the sweep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from azure.storage.queue import QueueClient

from mailsync.storage.account import StorageAccount
from mailsync.storage.envelope import MESSAGES, SWEEPS, MessageItem
from mailsync.storage.mailboxes import Mailbox
from mailsync.storage.proofs import Proven
from mailsync.storage.queues import Queues, Waiting
from mailsync.vitals import freshness, tell
from sandbox.azurite import Azurite
from tests.mailsync.parts import NOW
from tests.mailsync.traced import Traced, tracing

SWEPT = Mailbox(grant="g1", status="valid", connected=NOW - 9000, watermark=NOW - 60, swept=NOW - 60, lag=0)


@pytest.fixture
def traced() -> Iterator[Traced]:
    with tracing() as traced:
        yield traced


@pytest.mark.parametrize(
    ("mailbox", "seconds"),
    [
        pytest.param(SWEPT, 60, id="swept to the end a minute ago"),
        pytest.param(replace(SWEPT, lag=300), 360, id="a message had waited five minutes then"),
        pytest.param(replace(SWEPT, watermark=NOW - 800), 800, id="a long gap is worked through"),
        pytest.param(Mailbox(grant="g", connected=NOW - 9000), 500, id="never swept since this installation began"),
        pytest.param(Mailbox(grant="g", connected=NOW - 100), 100, id="never swept since it was connected"),
        pytest.param(replace(SWEPT, watermark=NOW + 5, swept=NOW + 5), 0, id="another clock is ahead"),
    ],
)
def test_a_mailbox_is_as_fresh_as_what_is_accounted_for(mailbox: Mailbox, seconds: int) -> None:
    assert freshness(mailbox, started=NOW - 500, now=NOW) == seconds


def test_the_worst_is_on_one_line_and_each_one_in_the_metrics(traced: Traced, caplog: pytest.LogCaptureFixture) -> None:
    waiting = [Waiting(MESSAGES, 4, 11.4), Waiting(SWEEPS, 1, 0.0), Waiting(f"{MESSAGES}-poison", 2, 90.0)]
    mailboxes = [SWEPT, replace(SWEPT, grant="g2", lag=30), Mailbox(grant="g3", status="invalid", connected=1)]
    proofs = [Proven(grant="g1", tried=1, made=1, unexplained=3), Proven(grant="g2", tried=1, unexplained=8)]
    with caplog.at_level("INFO", "mailsync"):
        tell(waiting=waiting, mailboxes=mailboxes, proofs=proofs, started=NOW - 500, now=NOW)
    assert caplog.messages == [
        "event=state_measured mailboxes=2 freshness_s=90 lag_s=30 waiting=5 oldest_s=11 poison=2 unexplained=3"
    ]
    told = traced.exported()

    def values(name: str, by: str) -> dict[str, float]:
        return {dict(one)[by]: point.value for one, point in told[name].items()}

    assert values("mailsync.freshness", "grant") == {"g1": 60, "g2": 90}, "one whose owner must sign in is told of so"
    assert values("mailsync.journal.lag", "grant") == {"g1": 0, "g2": 30}
    assert values("mailsync.queue.depth", "queue") == {MESSAGES: 4, SWEEPS: 1, f"{MESSAGES}-poison": 2}
    assert values("mailsync.queue.age", "queue") == {MESSAGES: 11.4, SWEEPS: 0.0, f"{MESSAGES}-poison": 90.0}
    assert values("mailsync.unexplained", "grant") == {"g1": 3}, "what was never proved is not said to be accounted for"


def test_an_installation_without_mailboxes_is_told_of_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "mailsync"):
        tell(waiting=[], mailboxes=[], proofs=[], started=NOW, now=NOW)
    assert caplog.messages == [
        "event=state_measured mailboxes=0 freshness_s=0 lag_s=0 waiting=0 oldest_s=0 poison=0 unexplained=0"
    ]


def test_queues_that_are_not_there_hold_nothing(account: StorageAccount, on_queue: dict[str, QueueClient]) -> None:
    for client in on_queue.values():
        client.delete_queue()
    found = Queues(account).waiting(NOW)
    assert [one.queue for one in found] == [MESSAGES, SWEEPS, f"{MESSAGES}-poison", f"{SWEEPS}-poison"]
    assert {(one.depth, one.age) for one in found} == {(0, 0.0)}
    assert [one.is_poison for one in found] == [False, False, True, True]


def test_a_queue_tells_how_many_are_on_it_and_how_long_its_head_has_been_there(
    account: StorageAccount, on_queue: dict[str, QueueClient], azurite: Azurite
) -> None:
    queues = Queues(account)
    work = MessageItem(grant="g", message="m", source="message.created", first_seen=NOW)
    queues.send(work)
    queues.send(work, delay=3600)
    (head,) = on_queue[MESSAGES].peek_messages()
    assert head.inserted_on is not None
    messages = queues.waiting(head.inserted_on.timestamp() + 40)[0]
    assert (messages.depth, messages.age) == (2, 40.0)
    for message in on_queue[MESSAGES].receive_messages():
        on_queue[MESSAGES].delete_message(message)
    messages = queues.waiting(NOW)[0]
    assert (messages.depth, messages.age) == (1, 0.0), "what is hidden for an hour does not wait to be taken"
