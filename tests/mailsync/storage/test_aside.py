"""What is put aside keeps everything a person needs to decide, and everything needed to try it again."""

from __future__ import annotations

import pytest

from mailsync.errors import Evidence, MessageError
from mailsync.settings import StorageSettings
from mailsync.storage.account import StorageAccount
from mailsync.storage.aside import LONGEST_TEXT, UNREADABLE, Aside
from mailsync.storage.envelope import DeletedItem, GrantItem, Item, MessageItem, SweepItem, decode
from mailsync.storage.tables import Row, Table
from sandbox.azurite import Azurite
from tests.mailsync.parts import NOW, new_id

ERROR = MessageError(
    "Dataverse refuses the row (400 0x80044331)",
    reason="dataverse_refused_row",
    evidence=Evidence("dataverse", 400, "0x80044331", "a-b-c"),
)


def of(account: StorageAccount, partition: str) -> list[Row]:
    return list(Table(account, "aside").query("PartitionKey eq @p", {"p": partition}))


def items(grant: str) -> list[Item]:
    return [
        MessageItem(grant=grant, message="a/b#c?", source="message.created", first_seen=NOW, attempt=3),
        DeletedItem(grant=grant, message="a/b#c?", source="message.deleted", first_seen=NOW),
        SweepItem(grant=grant, source="grant.created", first_seen=NOW, after=1, before=2),
        GrantItem(grant=grant, event="grant.expired", source="grant.expired", first_seen=NOW),
    ]


def test_an_item_is_kept_with_its_reason_and_its_evidence(account: StorageAccount, aside: Aside) -> None:
    grant = new_id()
    for item in items(grant):
        aside.put(item, ERROR, now=NOW)
    rows = of(account, grant)
    assert {decode(row["envelope"]) for row in rows} == set(items(grant))
    for row in rows:
        told = {
            name: row[name] for name in ("state", "reason", "advice", "vendor", "status", "code", "request", "noted")
        }
        assert told == {
            "state": "waiting",
            "reason": "dataverse_refused_row",
            "advice": str(ERROR),
            "vendor": "dataverse",
            "status": "400",
            "code": "0x80044331",
            "request": "a-b-c",
            "noted": str(NOW),
        }


def test_the_same_item_is_kept_once_as_it_was_last(account: StorageAccount, aside: Aside) -> None:
    item, *_ = items(new_id())
    aside.put(item, ERROR, now=NOW)
    aside.put(item, MessageError("other", reason="other"), now=NOW + 5)
    (row,) = of(account, item.grant)
    assert (row["reason"], row["status"], row["noted"]) == ("other", "", str(NOW + 5))


@pytest.mark.parametrize(
    "text",
    ["", "{not an envelope}", "日本\U0001f600", "x" * 200_000, "\U0001f600" * 100_000, "\x00\x01\r\n", '"'],
    ids=["empty", "JSON-like", "unicode", "long", "long and wide", "controls", "quote"],
)
def test_a_text_that_is_no_item_is_kept_as_far_as_it_fits(account: StorageAccount, aside: Aside, text: str) -> None:
    mark = new_id()
    aside.put_unreadable(mark + text, MessageError("no envelope", reason="not_an_envelope"), now=NOW)
    kept = [row for row in of(account, UNREADABLE) if row["envelope"].startswith(mark)]
    assert len(kept) == 1
    assert (mark + text).startswith(kept[0]["envelope"])
    assert len(kept[0]["envelope"]) == min(len(mark + text), LONGEST_TEXT // 2)


def test_everything_that_waits_is_listed(aside: Aside) -> None:
    grant = new_id()
    for item in items(grant):
        aside.put(item, ERROR, now=NOW)
    waiting = [row for row in aside.waiting() if row["PartitionKey"] == grant]
    assert len(waiting) == 4


@pytest.fixture
def alone(azurite: Azurite) -> Aside:
    """In an account where nobody else puts anything aside."""
    account = StorageAccount(StorageSettings(azurite.connection_strings[15]), None)
    table = Aside(account, prompt=True)
    for row in table._rows.query("PartitionKey ge ''", {}):
        table._rows.delete(row["PartitionKey"], row["RowKey"])
    return table


def test_what_waits_is_told_newest_first_and_counted_for_each_mailbox(alone: Aside) -> None:
    first, second = new_id(), new_id()
    for grant, ago in ((first, 300), (second, 100), (first, 200)):
        alone.put(MessageItem(grant=grant, message=new_id(), source="s", first_seen=NOW), ERROR, now=NOW - ago)
    replayed = MessageItem(grant=second, message="done", source="s", first_seen=NOW)
    alone.put(replayed, ERROR, now=NOW)
    kept = alone.of_message(second, "done")
    assert kept is not None
    alone.note_replayed(kept, now=NOW)
    waiting = alone.waiting_newest(most=10)
    assert [one.noted for one in waiting.newest] == [NOW - 100, NOW - 200, NOW - 300]
    assert (waiting.number, waiting.is_more, waiting.oldest) == (3, False, NOW - 300)
    assert waiting.by_grant == {first: (2, NOW - 300), second: (1, NOW - 100)}


def test_no_more_is_read_than_asked_for_and_that_there_is_more_is_said(alone: Aside) -> None:
    for _ in range(4):
        alone.put(MessageItem(grant=new_id(), message="m", source="s", first_seen=NOW), ERROR, now=NOW)
    assert (alone.waiting_newest(most=4).number, alone.waiting_newest(most=4).is_more) == (4, False)
    assert (alone.waiting_newest(most=3).number, alone.waiting_newest(most=3).is_more) == (3, True)


def test_an_item_is_found_by_its_whole_key(alone: Aside) -> None:
    grant = new_id()
    alone.put(MessageItem(grant=grant, message="m", source="s", first_seen=NOW), ERROR, now=NOW)
    (kept,) = alone.kept(grant=grant)
    assert alone.get(grant, kept.row) == kept
    assert alone.get(grant, kept.row[:-1]) is None
