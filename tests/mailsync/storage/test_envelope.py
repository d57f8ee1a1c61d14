"""What travels on the queues reads back as it was written, and anything else is refused without being quoted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync.errors import MessageError
from mailsync.storage.envelope import (
    MESSAGES,
    SWEEPS,
    DeletedItem,
    GrantItem,
    Item,
    MessageItem,
    SweepItem,
    decode,
    encode,
    queue_of,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
moments = st.integers(-(2**40), 2**40)
shapes = {
    "grant": texts,
    "message": texts,
    "event": texts,
    "source": texts,
    "first_seen": moments,
    "date": st.none() | moments,
    "at": st.none() | moments,
    "folders": st.none() | st.lists(texts, max_size=4).map(tuple),
    "after": st.none() | moments,
    "before": st.none() | moments,
    "backfill": st.none() | texts,
    "turn": st.integers(0, 10**6),
    "notification": st.none() | texts,
    "attempt": st.integers(0, 10**6),
    "misses": st.integers(0, 10**6),
    "file_misses": st.integers(0, 10**6),
    "header_misses": st.integers(0, 10**6),
    "not_before": st.none() | moments,
    "revived": st.booleans(),
    "traceparent": st.none() | texts,
    "first_seen_ms": st.integers(0, 999),
}
KINDS = (MessageItem, DeletedItem, SweepItem, GrantItem)
items = st.one_of(
    [st.builds(kind, **{name: shapes[name] for name in kind.__struct_fields__}) for kind in KINDS]  # type: ignore[arg-type]
)


@given(item=items)
def test_an_item_reads_back_as_it_was_written(item: Item) -> None:
    assert decode(encode(item)) == item
    assert decode(encode(item).encode()) == item


@given(item=items)
def test_nothing_stands_beside_the_version_and_the_data(item: Item) -> None:
    """The Functions host lets top-level names of a JSON message override its own metadata."""
    assert set(json.loads(encode(item))) == {"v", "data"}


@pytest.mark.parametrize("kind", KINDS)
def test_no_item_has_a_place_for_content(kind: type[Item]) -> None:
    ids_and_moments = {*shapes} - {"subject", "body", "email", "from"}
    assert set(kind.__struct_fields__) <= ids_and_moments


def test_the_text_of_a_message() -> None:
    item = MessageItem(grant="g", message="m", source="message.created", first_seen=5, date=4, folders=("INBOX",))
    assert json.loads(encode(item)) == {
        "v": 1,
        "data": {
            "kind": "message",
            "grant": "g",
            "message": "m",
            "source": "message.created",
            "first_seen": 5,
            "date": 4,
            "folders": ["INBOX"],
        },
    }


def test_each_kind_has_its_queue() -> None:
    given_items = {
        MessageItem(grant="g", message="m", source="s", first_seen=1): MESSAGES,
        DeletedItem(grant="g", message="m", source="s", first_seen=1): MESSAGES,
        SweepItem(grant="g", source="s", first_seen=1): SWEEPS,
        GrantItem(grant="g", event="e", source="s", first_seen=1): SWEEPS,
    }
    assert {item: queue_of(item) for item in given_items} == given_items


MESSAGE = {"kind": "message", "grant": "g", "message": "m", "source": "s", "first_seen": 1}


@pytest.mark.parametrize("version", [0, 2, -1, 10**9])
def test_another_version_says_what_to_deploy(version: int) -> None:
    with pytest.raises(MessageError) as error:
        decode(json.dumps({"v": version, "data": {"anything": True}}))
    assert error.value.reason == "unknown_envelope_version"
    assert str(version) in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("hello", id="no JSON"),
        pytest.param("[]", id="an array"),
        pytest.param('"text"', id="a text"),
        pytest.param(json.dumps(MESSAGE), id="data without envelope"),
        pytest.param(json.dumps({"v": 1}), id="no data"),
        pytest.param(json.dumps({"data": MESSAGE}), id="no version"),
        pytest.param(json.dumps({"v": "1", "data": MESSAGE}), id="a version of text"),
        pytest.param(json.dumps({"v": 1, "data": []}), id="data an array"),
        pytest.param(json.dumps({"v": 1, "data": {}}), id="data without kind"),
        pytest.param(json.dumps({"v": 1, "data": {**MESSAGE, "kind": "letter"}}), id="an unknown kind"),
        pytest.param(json.dumps({"v": 1, "data": {**MESSAGE, "message": None}}), id="no message"),
        pytest.param(json.dumps({"v": 1, "data": {**MESSAGE, "first_seen": "now"}}), id="a moment of text"),
        pytest.param(json.dumps({"v": 1, "data": {**MESSAGE, "attempt": 1.5}}), id="half an attempt"),
        pytest.param(json.dumps({"v": 1, "data": {**MESSAGE, "folders": "INBOX"}}), id="folders of text"),
        pytest.param('{"v": 1, "data": ' + "[" * 100_000, id="nested without end"),
        pytest.param('{"v": 1, "data": ' + '{"kind":' * 100_000, id="nested without end in objects"),
    ],
)
def test_what_is_no_item_of_ours(text: str) -> None:
    for given_text in (text, text.encode()):
        with pytest.raises(MessageError) as error:
            decode(given_text)
        assert error.value.reason == "not_an_envelope"


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(MessageError):
        decode(b'{"v": 1, "data": {"kind": "message", "grant": "\xff"}}')


@given(text=st.text(max_size=60) | st.binary(max_size=60))
def test_whatever_it_is_it_is_an_item_or_the_one_error(text: Any) -> None:
    try:
        decode(text)
    except MessageError as error:
        assert error.reason in {"not_an_envelope", "unknown_envelope_version"}  # noqa: PT017


def test_fields_of_a_later_deployment_are_let_pass() -> None:
    item = decode(json.dumps({"v": 1, "data": {**MESSAGE, "priority": "high"}, "more": 1}))
    assert item == MessageItem(grant="g", message="m", source="s", first_seen=1)
