"""What is read of a notification in every shape Nylas documents, and of bytes that are none."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailsync.ingest import item_of
from mailsync.nylas.notification import (
    LARGEST_BODY,
    LONGEST_FOLDERS,
    LONGEST_ID,
    NotANotificationError,
    TooLargeError,
    inflated,
    notification_of,
)
from mailsync.storage.envelope import encode
from tests.mailsync.notifications import (
    DATE,
    FOLDERS,
    GRANT,
    MESSAGE,
    NOTIFICATION,
    TOLD_AT,
    about_grant,
    about_message,
    envelope,
    written,
)

SUFFIXES = [
    "",
    ".truncated",
    ".transformed",
    ".metadata",
    ".cleaned",
    ".transformed.truncated",
    ".cleaned.transformed.truncated",
    ".something.nobody.announced",
]


def without(about: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in about.items() if name not in names}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("family", ["message.created", "message.updated"])
def test_suffixes_in_any_number_leave_the_family(family: str, suffix: str) -> None:
    got = notification_of(written(envelope(family + suffix, about_message())))
    assert (got.type, got.family) == (family + suffix, family)
    assert (got.grant, got.message, got.date) == (GRANT, MESSAGE, DATE)
    assert got.folders == tuple(FOLDERS)
    assert (got.id, got.time) == (NOTIFICATION, TOLD_AT)


@pytest.mark.parametrize(
    ("about", "date", "folders"),
    [
        pytest.param(without(about_message(), "body"), DATE, tuple(FOLDERS), id="truncated: no body"),
        pytest.param({"id": MESSAGE, "grant_id": GRANT}, None, None, id="transformed: ids only"),
        pytest.param(about_message(date=None, folders=None), None, None, id="nulls"),
        pytest.param(about_message(date=float(DATE) + 0.5), DATE, tuple(FOLDERS), id="date with a fraction"),
        pytest.param(about_message(date=str(DATE)), None, tuple(FOLDERS), id="date as text"),
        pytest.param(about_message(date=True), None, tuple(FOLDERS), id="date as truth"),
        pytest.param(about_message(date=10**30), None, tuple(FOLDERS), id="date beyond all time"),
        pytest.param(about_message(date=-5), -5, tuple(FOLDERS), id="date before 1970"),
        pytest.param(about_message(folders="INBOX"), DATE, None, id="folders as text"),
        pytest.param(about_message(folders=[]), DATE, (), id="in no folder"),
        pytest.param(about_message(folders=[None, "a", 3, {}]), DATE, ("a",), id="folders of all kinds"),
        pytest.param(about_message(folders=["x" * LONGEST_FOLDERS, "y"]), DATE, None, id="folders beyond any queue"),
        pytest.param(about_message(subject=17, to="?", attachments={}), DATE, tuple(FOLDERS), id="what we don't use"),
    ],
)
def test_only_the_ids_are_needed_and_the_rest_may_be_anything(
    about: dict[str, Any], date: int | None, folders: tuple[str, ...] | None
) -> None:
    got = notification_of(written(envelope("message.created", about)))
    assert (got.grant, got.message, got.date, got.folders) == (GRANT, MESSAGE, date, folders)


def test_a_deleted_message_is_told_by_its_ids() -> None:
    got = notification_of(written(envelope("message.deleted", {"id": MESSAGE, "grant_id": GRANT, "object": "message"})))
    assert (got.family, got.grant, got.message) == ("message.deleted", GRANT, MESSAGE)


def test_a_grant_id_beside_the_object_is_as_good() -> None:
    about = without(about_message(), "grant_id")
    assert notification_of(written(envelope("message.updated", about, beside={"grant_id": GRANT}))).grant == GRANT


@pytest.mark.parametrize(
    ("notification_id", "time"),
    [(None, None), (17, "1789999007"), ("", True), ({}, [])],
    ids=["nulls", "of other types", "empty", "of other shapes"],
)
def test_its_own_id_and_time_may_be_missing(notification_id: object, time: object) -> None:
    body = written(envelope("message.created", about_message(), id=notification_id, time=time))
    got = notification_of(body)
    assert (got.id, got.time) == (None, None)


@pytest.mark.parametrize(
    ("kind", "about", "calls_for_sweep"),
    [
        pytest.param("grant.created", about_grant(), True, id="connected"),
        pytest.param(
            "grant.imap_sync_completed",
            without(about_grant(type="grant.imap_sync_completed"), "email"),
            True,
            id="first IMAP synchronisation done",
        ),
        pytest.param("grant.updated", about_grant(code=25027, reauthentication_flag=True), True, id="signed in anew"),
        pytest.param("grant.updated", about_grant(code=25027), True, id="signed in anew, told by the code alone"),
        pytest.param(
            "grant.updated",
            about_grant(code=25014, reauthentication_flag=True),
            True,
            id="signed in anew, told by the flag alone",
        ),
        pytest.param("grant.updated", about_grant(code=25014, reauthentication_flag=False), False, id="changed"),
        pytest.param("grant.updated", about_grant(code="25027", reauthentication_flag="true"), False, id="as text"),
        pytest.param("grant.expired", about_grant(code=25009), False, id="expired"),
        pytest.param("grant.deleted", about_grant(code=25013), False, id="deleted"),
        pytest.param("message.created", about_message(), False, id="a message"),
    ],
)
def test_what_calls_for_a_sweep(kind: str, about: dict[str, Any], calls_for_sweep: bool) -> None:
    got = notification_of(written(envelope(kind, about)))
    assert got.calls_for_sweep is calls_for_sweep
    assert got.grant == GRANT


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(envelope("message.send_success", {"id": MESSAGE, "grant_id": GRANT}), id="message.send_success"),
        pytest.param(envelope("message.send_failed", None, beside={"grant_id": GRANT}), id="object null"),
        pytest.param(envelope("message.opened", "text"), id="object a text"),
        pytest.param(envelope("folder.created", {}), id="folder.created"),
        pytest.param(envelope("thread.replied", [1, 2]), id="object a list"),
        pytest.param(envelope("", None), id="empty type"),
        pytest.param(envelope("message", None), id="half a type"),
        pytest.param(envelope("messages.created", about_message()), id="nearly a type"),
        pytest.param(envelope("Message.Created", about_message()), id="another case"),
        pytest.param({"type": "x.y", "data": None}, id="data null"),
    ],
)
def test_a_type_we_do_not_use_is_read_no_further(body: dict[str, Any]) -> None:
    got = notification_of(written(body))
    assert got.type == body["type"]
    assert item_of(got, now=1) is None


NOT_NOTIFICATIONS = {
    "nothing": b"",
    "no JSON": b"challenge=1",
    "half of JSON": written(envelope("message.created", about_message()))[:-2],
    "an array": b"[]",
    "an array of notifications": written([envelope("message.created", about_message())]),
    "a number": b"17",
    "null": b"null",
    "a text": b'"message.created"',
    "an object without type": written({"data": {}}),
    "an object without data": written({"type": "message.created"}),
    "type a number": written(envelope(17, about_message())),
    "type null": written(envelope(None, about_message())),
    "data null": written({"type": "message.created", "data": None}),
    "data a text": written({"type": "message.created", "data": "x"}),
    "data a list": written({"type": "message.created", "data": []}),
    "object a text": written(envelope("message.created", "x")),
    "object a list": written(envelope("message.created", [])),
    "object null": written(envelope("message.created", None)),
    "no object": written({"type": "message.created", "data": {}}),
    "no message id": written(envelope("message.created", without(about_message(), "id"))),
    "a deleted message without id": written(envelope("message.deleted", {"grant_id": GRANT})),
    "message id null": written(envelope("message.updated", about_message(id=None))),
    "message id empty": written(envelope("message.created", about_message(id=""))),
    "message id a number": written(envelope("message.created", about_message(id=17))),
    "message id a path": written(envelope("message.created", about_message(id=".."))),
    "message id endless": written(envelope("message.created", about_message(id="x" * (LONGEST_ID + 1)))),
    "no grant id": written(envelope("message.created", without(about_message(), "grant_id"))),
    "grant id a number": written(envelope("grant.created", about_grant(grant_id=17))),
    "grant id endless": written(envelope("grant.expired", about_grant(grant_id="x" * (LONGEST_ID + 1)))),
    "nested arrays": b"[" * 200_000,
    "nested deep below data": b'{"type":"message.created","data":' + b'{"object":' * 100_000,
    "nested deep in an id": b'{"type":"message.created","data":{"object":{"id":' + b"[" * 100_000,
    "nested deep and closed": b'{"type":"message.created","data":{"object":{"id":'
    + b"[" * 50_000
    + b"]" * 50_000
    + b"}}}",
    "not UTF-8": b'{"type":"message.created","data":{"object":{"id":"\xff\xfe","grant_id":"g"}}}',
    "half a surrogate pair": b'{"type":"message.created","data":{"object":{"id":"\\ud800","grant_id":"g"}}}',
    "UTF-16": json.dumps(envelope("message.created", about_message())).encode("utf-16"),
}


@pytest.mark.parametrize("body", NOT_NOTIFICATIONS.values(), ids=NOT_NOTIFICATIONS)
def test_bytes_that_are_no_notification(body: bytes) -> None:
    with pytest.raises(NotANotificationError):
        notification_of(body)


@pytest.mark.parametrize("grant", ["a/b", "a\\b", "a#b", "a?b", "a\nb", "x" * 600], ids=lambda text: repr(text[:4]))
def test_a_grant_that_no_table_can_file_is_refused_at_the_door(grant: str) -> None:
    """Azure Tables takes none of these as a partition: an item with one could be neither journalled nor put aside."""
    with pytest.raises(NotANotificationError):
        notification_of(written(envelope("message.created", about_message(grant_id=grant))))


def test_a_refusal_does_not_quote_the_notification() -> None:
    body = written(envelope("message.created", about_message(id=None, grant_id={"email": "dora@fabrikam.example"})))
    with pytest.raises(NotANotificationError) as refusal:
        notification_of(body)
    assert "dora" not in str(refusal.value)
    assert "secret" not in str(refusal.value)


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=300) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["type", "data", "object", "id", "grant_id", "date", "folders", "x"]), inner),
    max_leaves=12,
).map(msgspec.json.encode))  # fmt: skip
def test_whatever_the_bytes_are_the_answer_is_a_notification_or_the_one_error(body: bytes) -> None:
    try:
        got = notification_of(body)
    except NotANotificationError:
        return
    assert isinstance(got.type, str)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"message": "x" * LONGEST_ID, "grant": "g" * 200}, id="the longest ids"),
        pytest.param({"message": "日" * LONGEST_ID}, id="the longest id, not in ASCII"),
        pytest.param({"message": "\U0001f600" * LONGEST_ID}, id="the longest id, of emoji"),
        pytest.param({"message": "\x01" * LONGEST_ID}, id="the longest id, of what JSON writes in six characters"),
        pytest.param({"folders": ["日" * LONGEST_FOLDERS]}, id="the longest folders"),
        pytest.param({"folders": ["f"] * LONGEST_FOLDERS}, id="very many folders"),
        pytest.param({"folders": [""] * 100_000}, id="folders without end, of no letters"),
        pytest.param({"notification": "n" * 100_000}, id="a notification id without end"),
    ],
)
def test_the_item_of_an_accepted_notification_fits_a_queue(changes: dict[str, Any]) -> None:
    """A queue's message holds 48 KiB before base64; what it refused would be answered 503 each time it comes."""
    about = about_message(
        id=changes.get("message", MESSAGE), grant_id=changes.get("grant", GRANT), folders=changes.get("folders", [])
    )
    body = written(envelope("message.created", about, id=changes.get("notification", NOTIFICATION)))
    try:
        item = item_of(notification_of(body), now=1)
    except NotANotificationError:
        return
    assert item is not None
    assert len(encode(item).encode()) <= 48 * 1024


# Content-Encoding


PLAIN = written(envelope("message.created", about_message()))


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " gzip ", "x-gzip"])
def test_gzip_is_inflated(encoding: str) -> None:
    assert inflated(gzip.compress(PLAIN), encoding) == PLAIN


@pytest.mark.parametrize("encoding", [None, "", "identity"])
def test_a_body_without_encoding_stays_as_it_is(encoding: str | None) -> None:
    assert inflated(PLAIN, encoding) == PLAIN


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(PLAIN, id="plain JSON"),
        pytest.param(gzip.compress(PLAIN)[:-9], id="cut off"),
        pytest.param(gzip.compress(PLAIN)[:-1], id="cut off in its checksum"),
        pytest.param(zlib.compress(PLAIN), id="zlib without gzip's header"),
        pytest.param(gzip.compress(PLAIN)[:-8] + bytes(8), id="checksum wrong"),
    ],
)
def test_a_body_that_says_gzip_and_is_not(body: bytes) -> None:
    with pytest.raises(NotANotificationError):
        inflated(body, "gzip")


@pytest.mark.parametrize(("size", "fits"), [(LARGEST_BODY, True), (LARGEST_BODY + 1, False)])
def test_the_cap_is_on_what_it_inflates_to(size: int, fits: bool) -> None:
    packed = gzip.compress(bytes(size), 1)
    if fits:
        assert len(inflated(packed, "gzip")) == size
    else:
        with pytest.raises(TooLargeError):
            inflated(packed, "gzip")
