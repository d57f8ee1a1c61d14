"""What a webhook says: a notification's bytes in, the little we use of it out.

Only ids are read; the message is fetched anew from Nylas, because a notification lacks the Message-ID and may
be truncated, transformed or late.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Any

import msgspec

from mailsync.nylas.wire import read

LARGEST_BODY = 4 * 1024 * 1024
"""Bytes, as received and inflated. Nylas leaves the body out of notifications above 1 MB (read 2026-11)."""
MESSAGE_TYPES = frozenset({"message.created", "message.updated"})
BEGUN_TYPES = frozenset({"grant.created", "grant.imap_sync_completed"})
RENEWED_TYPE = "grant.updated"
ENDED_TYPES = frozenset({"grant.expired", "grant.deleted"})
DELETED_TYPE = "message.deleted"
ABOUT_A_MESSAGE = MESSAGE_TYPES | {DELETED_TYPE}
USED_TYPES = ABOUT_A_MESSAGE | BEGUN_TYPES | ENDED_TYPES | {RENEWED_TYPE}
LONGEST_ID = 2048
LONGEST_FOLDERS = 4096
"""Characters, bytes. Nylas' ids stay below a thousand; a queue's message holds 48 KiB."""
_GRANT = re.compile(r"[A-Za-z0-9_.@+:=~-]{1,500}")
"""A grant id is a UUID; what no table takes as a key is none."""
REAUTHENTICATED = 25027
"""The code of a grant.updated that a new sign-in caused (Nylas' notification schemas, read 2026-11)."""


class NotANotificationError(ValueError):
    """The bytes are no notification; the message says why, without quoting them."""


class TooLargeError(ValueError):
    """The body is larger than any notification, as received or once inflated."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification. `family` is the type without its suffixes; moments are unix seconds."""

    id: str | None
    type: str
    family: str
    time: int | None
    grant: str = ""
    message: str = ""
    date: int | None = None
    folders: tuple[str, ...] | None = None
    reauthenticated: bool = False

    @property
    def calls_for_sweep(self) -> bool:
        """Whether a mailbox was connected or signed in to anew, so that mail may be waiting in it."""
        return self.family in BEGUN_TYPES or (self.family == RENEWED_TYPE and self.reauthenticated)


class _Object(msgspec.Struct, frozen=True):
    id: Any = None
    grant_id: Any = None
    date: Any = None
    folders: Any = None
    code: Any = None
    reauthentication_flag: Any = None


class _Data(msgspec.Struct, frozen=True):
    object: _Object | None = None
    grant_id: Any = None


class _Wire(msgspec.Struct, frozen=True):
    type: str
    data: msgspec.Raw
    id: Any = None
    time: Any = None


_wires = msgspec.json.Decoder(_Wire)
_datas = msgspec.json.Decoder(_Data)


def inflated(body: bytes, encoding: str | None) -> bytes:
    """The body behind its Content-Encoding; raises TooLargeError or NotANotificationError.

    Inflating stops at the cap, so a small body that would grow without bound costs no more than that.
    """
    if (encoding or "").strip().lower() not in {"gzip", "x-gzip"}:
        return body
    engine = zlib.decompressobj(wbits=31)
    try:
        plain = engine.decompress(body, LARGEST_BODY + 1)
    except zlib.error as error:
        raise NotANotificationError("the body says it is gzip and is not") from error
    if len(plain) > LARGEST_BODY:
        raise TooLargeError("the body inflates beyond the largest notification")
    if not engine.eof:
        raise NotANotificationError("the gzip body is cut off")
    return plain


def notification_of(body: bytes) -> Notification:
    """The notification in a (plain) body; raises NotANotificationError.

    Types carry suffixes in any number (`.truncated`, `.transformed`, `.metadata`, `.cleaned`); the first two
    parts are what it is about. `grant_id` stands inside the object or beside it, depending on the type (Nylas'
    schemas, read 2026-11).
    """
    try:
        wire = read(_wires.decode, body)
        family = ".".join(wire.type.split(".")[:2])
        if family not in USED_TYPES:
            return Notification(id=_id(wire.id), type=wire.type, family=family, time=_number(wire.time))
        data = _datas.decode(wire.data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise NotANotificationError(f"the body is not a notification ({type(error).__name__})") from error
    about = data.object or _Object()
    grant, message = _text(about.grant_id) or _text(data.grant_id), _text(about.id)
    if not grant or (family in ABOUT_A_MESSAGE and not message):
        raise NotANotificationError(f"a {family} without the ids of its grant and message")
    if not _GRANT.fullmatch(grant) or (message and not _may_be_an_id(message)):
        raise NotANotificationError(f"a {family} with an id that is none of Nylas'")
    return Notification(
        id=_id(wire.id),
        type=wire.type,
        family=family,
        time=_number(wire.time),
        grant=grant,
        message=message or "",
        date=_number(about.date),
        folders=_folders(about.folders),
        reauthenticated=about.reauthentication_flag is True or about.code == REAUTHENTICATED,
    )


def _folders(value: object) -> tuple[str, ...] | None:
    """The ids of a message's folders; left out when they would not fit the queue's 48 KiB beside the rest."""
    if not isinstance(value, list):
        return None
    found = tuple(folder for folder in value if isinstance(folder, str))
    return found if len(msgspec.json.encode(found)) <= LONGEST_FOLDERS else None


def _id(value: object) -> str | None:
    """A notification's own id, which is only told to people; one that is no id is left out."""
    return value if isinstance(value, str) and 0 < len(value) <= 128 else None


def _may_be_an_id(message: str) -> bool:
    """A path of dots would lead elsewhere, and half a surrogate pair stands in no URL."""
    return len(message) <= LONGEST_ID and message not in {".", ".."} and "\ufffd" not in message


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if abs(value) < 1e15 else None
