"""What travels on the queues: which message or mailbox to work on, never anything about its content.

`attempt` counts every try; `misses` those in which Nylas was asked and had nothing to show, `header_misses` and
`file_misses` those in which it showed the message and not its header, or not one of its files.

An envelope is `{"v": 1, "data": {"kind": ..., ...}}`. Everything sits below `data` because the Functions host
lets top-level names of a JSON message override its trigger metadata (host source, read 2026-11).
"""

from __future__ import annotations

import msgspec

from mailsync.errors import MessageError

VERSION = 1
BACKFILL = "backfill:"
"""How the source of what a backfill brings begins; its id follows."""
BYPASS = "-bypass"
"""How the id of a backfill ends whose mail goes past what the organisation automated in Dataverse. It stands in the
source, so that whoever takes a message up again later knows."""
MESSAGES = "nylas-messages"
SWEEPS = "mailbox-sweeps"


class MessageItem(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="message", omit_defaults=True):
    """One message to bring into Dataverse. Moments are unix seconds."""

    grant: str
    message: str
    source: str
    first_seen: int
    date: int | None = None
    folders: tuple[str, ...] | None = None
    notification: str | None = None
    attempt: int = 0
    misses: int = 0
    header_misses: int = 0
    file_misses: int = 0
    not_before: int | None = None
    revived: bool = False
    traceparent: str | None = None
    first_seen_ms: int = 0
    """Milliseconds of the second in which it was first seen."""

    @property
    def heard(self) -> float:
        """The moment it was first seen, as exactly as that is known."""
        return self.first_seen + self.first_seen_ms / 1000


class DeletedItem(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="deleted", omit_defaults=True):
    """A message that is gone from its mailbox, to be recorded."""

    grant: str
    message: str
    source: str
    first_seen: int
    notification: str | None = None
    attempt: int = 0
    misses: int = 0
    not_before: int | None = None
    revived: bool = False
    traceparent: str | None = None
    first_seen_ms: int = 0
    """Milliseconds of the second in which it was first seen."""

    @property
    def heard(self) -> float:
        """The moment it was first seen, as exactly as that is known."""
        return self.first_seen + self.first_seen_ms / 1000


class SweepItem(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="sweep", omit_defaults=True):
    """One mailbox to look through: its next window, or one from `after` to `before` that somebody asked for.

    With `backfill`, one page of that, while it is still this turn of it.
    """

    grant: str
    source: str
    first_seen: int
    after: int | None = None
    before: int | None = None
    backfill: str | None = None
    turn: int = 0
    notification: str | None = None
    attempt: int = 0
    misses: int = 0
    not_before: int | None = None
    revived: bool = False
    traceparent: str | None = None


class GrantItem(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="grant", omit_defaults=True):
    """A grant that expired or was deleted, to be recorded with its mailbox."""

    grant: str
    event: str
    source: str
    first_seen: int
    at: int | None = None
    notification: str | None = None
    attempt: int = 0
    misses: int = 0
    not_before: int | None = None
    revived: bool = False
    traceparent: str | None = None


Item = MessageItem | DeletedItem | SweepItem | GrantItem


class _Envelope(msgspec.Struct, frozen=True):
    v: int
    data: msgspec.Raw


_envelopes = msgspec.json.Decoder(_Envelope)
_items: msgspec.json.Decoder[Item] = msgspec.json.Decoder(Item)
_encoder = msgspec.json.Encoder()


def is_backfills(source: str) -> bool:
    """Whether a backfill brings what is of this source, which may be of any age."""
    return source.startswith(BACKFILL)


def bypasses(source: str) -> bool:
    """Whether nothing that the organisation automated shall answer what is of this source."""
    return is_backfills(source) and source.endswith(BYPASS)


def queue_of(item: Item) -> str:
    """The queue an item belongs on."""
    return MESSAGES if isinstance(item, (MessageItem, DeletedItem)) else SWEEPS


def encode(item: Item) -> str:
    """The text that goes on the queue."""
    return _encoder.encode({"v": VERSION, "data": item}).decode()


def decode(text: str | bytes) -> Item:
    """The item in a queue's text; raises MessageError when it is not one of ours or of another version."""
    try:
        envelope = _envelopes.decode(text)
        if envelope.v != VERSION:
            raise MessageError(
                f"the queue holds an envelope of version {envelope.v}, this deployment reads {VERSION}; "
                "deploy the version that wrote it, then replay",
                reason="unknown_envelope_version",
            )
        return _items.decode(envelope.data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise MessageError(
            f"the queue holds something that is not an envelope ({type(error).__name__})",
            reason="not_an_envelope",
        ) from error
