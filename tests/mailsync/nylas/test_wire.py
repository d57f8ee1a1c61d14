"""A text that no encoder should have written is read all the same, and no other text is touched."""

from __future__ import annotations

import json

import msgspec
import pytest

from mailsync.nylas.wire import read


@pytest.mark.parametrize(
    ("written", "text"),
    [
        pytest.param(rb'"a\ud83d"', "a\ufffd", id="the first half"),
        pytest.param(rb'"\uDE00b"', "\ufffdb", id="the second half"),
        pytest.param(rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600", id="a half before a pair"),
        pytest.param(rb'"\ud83d\\ude00"', "\ufffd\\ude00", id="a half before what only looks like one"),
        pytest.param(rb'"\\ud83d\ud83d"', "\\ud83d\ufffd", id="a half after what only looks like one"),
        pytest.param(rb'"\\\ud83d"', "\\\ufffd", id="a half after a backslash"),
    ],
)
def test_half_a_surrogate_pair_is_read_as_the_replacement_character(written: bytes, text: str) -> None:
    assert read(msgspec.json.decode, written) == text


@pytest.mark.parametrize("text", ["\U0001f600", "\\ud83d", "\\\\ud83d", '"\\', "é\n"])
def test_whole_texts_stay_as_they_are(text: str) -> None:
    assert read(msgspec.json.decode, json.dumps(text).encode()) == text


@pytest.mark.parametrize("body", [b"", b'"\\ud83d', b'{"a": "\\ud83"}', b"\\ud83d"])
def test_what_is_no_json_stays_none(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read(msgspec.json.decode, body)
