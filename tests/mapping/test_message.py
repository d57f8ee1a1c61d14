from __future__ import annotations

import msgspec
import pytest

from mapping.message import Message, Participant

EVERYTHING_NULL = (
    '{"id":"x","grant_id":null,"thread_id":null,"subject":null,"body":null,"snippet":null,"date":null,"from":null,'
    '"to":null,"cc":null,"bcc":null,"reply_to":null,"folders":null,"attachments":null,"headers":null}'
)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param('{"id":"x"}', id="only the id"),
        pytest.param(EVERYTHING_NULL, id="everything null"),
        pytest.param('{"id":"x","from":[null],"to":[{}],"folders":[null],"headers":[null,{}]}', id="null entries"),
        pytest.param('{"id":"x","attachments":[null,{"size":null}],"date":1.5}', id="null in attachments, odd date"),
        pytest.param('{"id":"x","metadata":{"a":"b"},"object":"message","new":[1]}', id="unknown fields"),
    ],
)
def test_a_message_with_anything_null_or_absent_is_decoded(wire: str) -> None:
    assert msgspec.json.decode(wire, type=Message).id == "x"


def test_no_header_list_is_not_an_empty_one() -> None:
    assert msgspec.json.decode('{"id":"x"}', type=Message).headers is None
    assert msgspec.json.decode('{"id":"x","headers":[]}', type=Message).headers == ()


def test_headers_are_found_in_any_case_and_the_first_one_counts() -> None:
    wire = '{"id":"x","headers":[{"name":"MESSAGE-id","value":"<a>"},{"name":"Message-ID","value":"<b>"}]}'
    message = msgspec.json.decode(wire, type=Message)
    assert message.header("Message-ID") == "<a>"
    assert message.header("References") is None


def test_participants_come_as_from_to_cc_bcc() -> None:
    wire = '{"id":"x","bcc":[{"email":"d"}],"cc":[{"email":"c"}],"to":[null,{"email":"b"}],"from":[{"email":"a"}]}'
    message = msgspec.json.decode(wire, type=Message)
    assert list(message.participants()) == [Participant(email=email) for email in "abcd"]
