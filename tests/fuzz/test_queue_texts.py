"""What lies on a queue is an item of ours or is refused by name, whoever put it there."""

from __future__ import annotations

import json
from random import Random

from hypothesis import example, given

from mailsync.errors import MessageError
from mailsync.storage.envelope import DeletedItem, GrantItem, Item, MessageItem, SweepItem, decode, encode, queue_of
from tests.fuzz.material import come_of, json_bytes, seeded, text, tries

MOMENTS = (0, 1, -1, 1_790_000_000, 2**31, 2**53 + 1, -(2**63), 2**64 - 1)
GOOD = [
    {
        "v": 1,
        "data": {
            "kind": kind,
            "grant": "g",
            "message": "m",
            "event": "grant.expired",
            "source": "s",
            "first_seen": 1,
            "date": 2,
            "folders": ["INBOX"],
            "attempt": 1,
            "revived": False,
        },
    }
    for kind in ("message", "deleted", "sweep", "grant", "other", "")
]


def item(random: Random) -> Item:
    """An item of any kind, with anything in it that can be told in UTF-8."""

    def moment() -> int | None:
        return random.choice((None, *MOMENTS))

    def words() -> str:
        return text(random, whole=True)

    common = {
        "grant": words(),
        "source": words(),
        "first_seen": random.choice(MOMENTS),
        "notification": random.choice((None, words())),
        "attempt": random.randrange(10**6),
        "not_before": moment(),
        "revived": random.choice((True, False)),
        "traceparent": random.choice((None, words())),
    }
    return random.choice(
        (
            MessageItem(**common, message=words(), date=moment(), folders=tuple(words() for _ in range(3))),
            DeletedItem(**common, message=words()),
            SweepItem(**common, after=moment(), before=moment()),
            GrantItem(**common, event=words(), at=moment()),
        )
    )


@tries(300)
@given(seeded(item))
def test_every_item_comes_back_as_it_was_sent(sent: Item) -> None:
    assert decode(encode(sent)) == sent
    assert decode(encode(sent).encode()) == sent
    assert queue_of(sent) in {"nylas-messages", "mailbox-sweeps"}
    assert json.loads(encode(sent)).keys() == {"v", "data"}, "the host takes other names for its own"


@tries(500)
@given(seeded(lambda random: json_bytes(random, GOOD)))
@example(b"[" * 100_000)
@example(b'{"v":1,"data":' + b"[" * 100_000)
@example(b'{"v":1,"data":{"kind":"message","x":' + b"[" * 100_000)
@example(b'{"v":1,"data":null}')
@example(b'{"v":1,"data":{"kind":"message","grant":"\\ud800","message":"m","source":"s","first_seen":1}}')
@example(b'{"v":99999999999999999999999999}')
def test_other_bytes_are_refused_without_being_quoted(told: bytes) -> None:
    found = come_of(lambda: decode(told), MessageError)
    if isinstance(found, MessageError):
        assert found.reason in {"not_an_envelope", "unknown_envelope_version"}
        assert len(str(found)) < 1000
    else:
        assert isinstance(found, MessageItem | DeletedItem | SweepItem | GrantItem)
