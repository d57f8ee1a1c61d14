"""Items go onto their queues for as long as they need, hidden for as long as asked, and readable by the host."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.queue import QueueClient

from mailsync.errors import ConfigurationError, TransientError
from mailsync.settings import StorageSettings
from mailsync.storage.account import StorageAccount
from mailsync.storage.envelope import MESSAGES, SWEEPS, GrantItem, MessageItem, SweepItem, decode, encode
from mailsync.storage.queues import LONGEST_DELAY, Queues
from sandbox.azurite import Azurite
from tests.mailsync.parts import Line, drained, new_id, nobody, queue_port, with_queue_port

ITEM = MessageItem(grant="g", message="日本-_==", source="s", first_seen=1, folders=("INBOX",))
SWEEP = SweepItem(grant="g", source="timer", first_seen=1)


@pytest.fixture(scope="module")
def queues(account: StorageAccount) -> Queues:
    return Queues(account)


def test_each_item_goes_on_its_queue(queues: Queues, on_queue: dict[str, QueueClient]) -> None:
    ended = GrantItem(grant="g", event="grant.expired", source="grant.expired", first_seen=1)
    for item in (ITEM, SWEEP, ended):
        queues.send(item)
    assert drained(on_queue[MESSAGES]) == [ITEM]
    assert drained(on_queue[SWEEPS]) == [SWEEP, ended]


def test_the_text_is_base64_as_the_host_expects(
    queues: Queues, on_queue: dict[str, QueueClient], account: StorageAccount
) -> None:
    queues.send(ITEM)
    with account.queue(MESSAGES) as raw:
        (message,) = raw.receive_messages()
        assert base64.b64decode(message.content, validate=True).decode() == encode(ITEM)
        assert decode(base64.b64decode(message.content)) == ITEM


def test_an_item_never_expires(queues: Queues, on_queue: dict[str, QueueClient]) -> None:
    queues.send(ITEM)
    queues.send(ITEM, delay=LONGEST_DELAY)
    (message,) = on_queue[MESSAGES].receive_messages()
    assert message.expires_on > datetime.now(UTC) + timedelta(days=365 * 100)


def test_a_delay_hides_it(queues: Queues, on_queue: dict[str, QueueClient], line: Line, delayed: Queues) -> None:
    for delay in (0, 0.9, 5, 5.9):
        delayed.send(ITEM, delay=delay)
    assert len(list(on_queue[MESSAGES].receive_messages(messages_per_page=32))) == 2
    assert on_queue[MESSAGES].get_queue_properties().approximate_message_count == 4
    hidden = [request.partition("?")[2] for request in line.requests]
    assert ["visibilitytimeout=5" in query for query in hidden] == [False, False, True, True]


def test_a_delay_of_weeks_is_what_a_queue_can_hold(
    delayed: Queues, on_queue: dict[str, QueueClient], line: Line
) -> None:
    delayed.send(ITEM, delay=10**9)
    assert f"visibilitytimeout={LONGEST_DELAY}" in line.requests[-1]
    assert list(on_queue[MESSAGES].receive_messages()) == []


@pytest.fixture
def line(azurite: Azurite) -> Line:
    with Line(queue_port(azurite.connection_string)) as line:
        yield line  # type: ignore[misc]


@pytest.fixture
def delayed(azurite: Azurite, line: Line) -> Queues:
    """Queues over a line that notes each call."""
    return Queues(StorageAccount(StorageSettings(with_queue_port(azurite.connection_string, line.port)), None))


def test_one_call_for_each_item(delayed: Queues, on_queue: dict[str, QueueClient], line: Line) -> None:
    for number in range(1, 4):
        delayed.send(ITEM)
        assert len(line.requests) == number


def test_a_queue_that_is_missing_is_made(queues: Queues, on_queue: dict[str, QueueClient]) -> None:
    on_queue[SWEEPS].delete_queue()
    queues.send(SWEEP)
    assert drained(on_queue[SWEEPS]) == [SWEEP]


@pytest.mark.parametrize("prompt", [True, False], ids=["prompt", "patient"])
def test_a_key_that_is_refused_is_a_setting_to_mend(azurite: Azurite, prompt: bool) -> None:
    head, _, tail = azurite.connection_string.partition("AccountKey=")
    settings = StorageSettings(f"{head}AccountKey=AAAA{tail[4:]}")
    with pytest.raises(ConfigurationError) as error:
        Queues(StorageAccount(settings, None), prompt=prompt).send(ITEM)
    assert error.value.reason == "storage_refused"
    assert "AzureWebJobsStorage" in str(error.value)


def test_storage_that_nobody_reaches_is_trouble(azurite: Azurite) -> None:
    with nobody() as port:
        settings = StorageSettings(with_queue_port(azurite.connection_string, port))
        with pytest.raises(TransientError) as error:
            Queues(StorageAccount(settings, None), prompt=True).send(ITEM)
    assert error.value.reason == "storage_unavailable"


def test_an_item_no_queue_can_hold_is_refused(queues: Queues, on_queue: dict[str, QueueClient]) -> None:
    whole = MessageItem(grant=new_id(), message="x" * 47_000, source="s", first_seen=1)
    queues.send(whole)
    assert drained(on_queue[MESSAGES]) == [whole]
    with pytest.raises(TransientError):
        queues.send(MessageItem(grant=new_id(), message="x" * 70_000, source="s", first_seen=1))


def test_how_much_waits_is_told_without_taking_anything(
    queues: Queues, on_queue: dict[str, QueueClient], account: StorageAccount
) -> None:
    """Hidden ones are counted too; of those at the front it is told when we first heard of them."""
    for first_seen, delay in ((500, 0), (300, 0), (100, 60)):
        queues.send(MessageItem(grant="g", message="m", source="s", first_seen=first_seen), delay=delay)
    before = int(datetime.now(UTC).timestamp())
    for _ in range(2):
        messages, *others = queues.waiting(before)
        assert (messages.queue, messages.depth, messages.heard) == (MESSAGES, 3, 300)
        assert messages.put is not None
        assert before - 60 <= messages.put <= before + 1
        assert [(one.queue, one.depth, one.put, one.heard) for one in others] == [
            (name, 0, None, None) for name in (SWEEPS, f"{MESSAGES}-poison", f"{SWEEPS}-poison")
        ]
    assert (queues.depth(MESSAGES), queues.shown(MESSAGES)) == (3, 2)
    (first, *_) = on_queue[MESSAGES].receive_messages()
    assert first.dequeue_count == 1, "looking is not taking"


def test_the_age_of_a_text_that_is_no_item_is_that_of_its_message(
    queues: Queues, on_queue: dict[str, QueueClient]
) -> None:
    on_queue[MESSAGES].send_message("not base64!")
    messages, *_ = queues.waiting(0)
    assert messages.depth == 1
    assert messages.heard == messages.put


def test_a_queue_that_is_not_there_yet_is_empty_and_storage_answers_all_the_same(
    queues: Queues, on_queue: dict[str, QueueClient]
) -> None:
    on_queue[MESSAGES].delete_queue()
    assert queues.waiting(0)[0].depth == queues.depth(MESSAGES) == queues.shown(MESSAGES) == 0
    queues.answers()
