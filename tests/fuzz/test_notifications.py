"""Ingest under fire: whatever is posted, an answer that Nylas understands, and nothing of the mail told to anybody."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from dataclasses import dataclass
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from mailsync.errors import ConfigurationError, GrantError, MailSyncError, MessageError, TransientError
from mailsync.ingest import Reply, accept, answer_challenge
from mailsync.nylas.notification import (
    LARGEST_BODY,
    NotANotificationError,
    Notification,
    TooLargeError,
    inflated,
    notification_of,
)
from mailsync.storage.envelope import Item, decode, encode
from tests.fuzz.material import come_of, damaged, json_bytes, log, seeded, text, texts, tries
from tests.mailsync.notifications import SECRET, about_grant, about_message, envelope, signature
from tests.mailsync.parts import NOW

FAMILIES = (
    "message.created", "message.updated", "message.deleted", "message.created.truncated", "message.updated.cleaned.metadata",
    "grant.created", "grant.updated", "grant.expired", "grant.deleted", "grant.imap_sync_completed",
    "message.opened", "folder.updated", "thread.replied", "", "message", "message.", ".",
)  # fmt: skip
GOOD = [
    envelope(kind, about, beside={"grant_id": "g"})
    for kind in FAMILIES
    for about in (about_message(), about_grant(), None)
]
MAIL = ("Very secret subject", "Very secret body", "dora@fabrikam.example", "ann@contoso.example", "Dora", SECRET)
"""Of the mail that these notifications are about, and what they are signed with."""
STATUSES = {200, 400, 401, 413, 503}
MOST_QUEUED = 48 * 1024
"""Bytes of a text that fit into a message of a storage queue once they are base64."""
ENCODINGS = (None, None, "", "gzip", "GZIP ", "x-gzip", "gzip, gzip", "deflate", "br", "\ud800", "gzip\x00")
HEADERS = ("traceparent", "content-type", "x-forwarded-for", "cookie", "X-Nylas-Signature", "")
FAILURES = (
    None, None, None,
    *(kind("in trouble", reason="of_a_test") for kind in (TransientError, ConfigurationError, GrantError, MessageError)),
)  # fmt: skip


@dataclass(frozen=True)
class Posted:
    """What somebody posts, but for the signature."""

    body: bytes
    headers: dict[str, str]


def posted(random: Random) -> Posted:
    """A notification that is good, bad or none, packed in some way or none."""
    body = json_bytes(random, GOOD)
    encoding = random.choice(ENCODINGS)
    if random.random() < 0.3:
        body, encoding = gzip.compress(body, 1, mtime=0), "gzip"
        body = damaged(random, body) if random.random() < 0.5 else body
    headers = {random.choice(HEADERS) or text(random): text(random) for _ in range(random.randrange(3))}
    return Posted(body, headers if encoding is None else {**headers, "content-encoding": encoding})


class Door:
    """Takes items as the queue does, or fails as storage may."""

    def __init__(self, failure: MailSyncError | None) -> None:
        self.items: list[Item] = []
        self._failure = failure

    def __call__(self, item: Item) -> None:
        if self._failure is not None:
            raise self._failure
        self.items.append(item)


def taken(
    body: bytes, headers: dict[str, str], failure: MailSyncError | None = None
) -> tuple[Reply, list[Item], list[str]]:
    """The answer, what went on the queue, and what the log says; nothing of the mail in any but the queue."""
    door = Door(failure)
    with log() as lines:
        reply = accept(body, headers, secrets=("another", SECRET), send=door, now=NOW)
    told = "\n".join((reply.text, *lines))
    assert not [word for word in MAIL if word in told]
    assert all(line.isprintable() for line in lines)
    return reply, door.items, lines


@tries(400)
@given(seeded(posted), st.sampled_from(FAILURES))
@example(Posted(b"[" * 100_000, {}), None)
@example(Posted(b'{"type":"message.created","data":' + b"[" * 100_000, {}), None)
@example(Posted(gzip.compress(b" " * (LARGEST_BODY + 1)), {"content-encoding": "gzip"}), None)
def test_whatever_is_signed_gets_an_answer(sent: Posted, failure: MailSyncError | None) -> None:
    """200 only for what is not used or was put on the queue: one item at most, that fits and can be read there again."""
    reply, items, lines = taken(sent.body, {**sent.headers, "x-nylas-signature": signature(sent.body)}, failure)
    assert reply.status in STATUSES - {401}
    assert (reply.text == "queued") is (len(items) == 1)
    assert len(lines) == 1
    for item in items:
        assert decode(encode(item)) == item
        assert len(encode(item).encode()) <= MOST_QUEUED


@tries(300)
@given(seeded(posted), st.one_of(st.none(), texts, st.sampled_from(["0" * 64, "é" * 64, "0" * 100_000])))
def test_whatever_is_not_signed_is_turned_away(sent: Posted, signed: str | None) -> None:
    """Unread: however it is packed, and whatever its headers say."""
    headers = {name: value for name, value in sent.headers.items() if name != "x-nylas-signature"}
    reply, items, lines = taken(sent.body, headers if signed is None else {**headers, "x-nylas-signature": signed})
    assert (reply.status, items, len(lines)) == (401, [], 1)


@tries(300)
@given(seeded(lambda random: json_bytes(random, GOOD)))
def test_bytes_are_a_notification_or_are_not(body: bytes) -> None:
    found = come_of(lambda: notification_of(body), NotANotificationError)
    assert isinstance(found, Notification) or not [word for word in MAIL if word in str(found)]


@tries(100)
@given(st.binary(max_size=2000), st.sampled_from(ENCODINGS), st.integers(0, 9), st.integers(-15, 47))
def test_inflating_ends_at_the_cap(body: bytes, encoding: str | None, level: int, end: int) -> None:
    """In bytes given back, and in memory used: what is packed a thousand times over costs no more than the largest."""
    packed = gzip.compress(body * 10_000, level)[: None if end > 0 else end]
    tracemalloc.start()
    try:
        plain = come_of(lambda: inflated(packed, encoding), NotANotificationError, TooLargeError)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not isinstance(plain, bytes) or len(plain) <= max(LARGEST_BODY, len(packed))
    assert peak < 3 * LARGEST_BODY


@tries(100)
@given(st.binary(max_size=300), st.sampled_from([9, 15, 31, -15]))
def test_what_calls_itself_gzip_is_inflated_or_refused(body: bytes, bits: int) -> None:
    engine = zlib.compressobj(wbits=bits)
    packed = engine.compress(body) + engine.flush()
    found = come_of(lambda: inflated(packed, "gzip"), NotANotificationError)
    assert found == body if bits == 31 else isinstance(found, NotANotificationError)


@tries(200)
@given(st.one_of(st.none(), texts))
def test_a_challenge_is_given_back_as_it_came_or_refused(challenge: str | None) -> None:
    reply = answer_challenge(challenge)
    assert reply == (Reply(200, challenge) if challenge and len(challenge) <= 2048 else Reply(400, "no challenge"))
