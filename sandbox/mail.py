"""Sample mail: people who do not exist, and what they write to one another.

Responsible for mail as it was sent, whoever's mailbox it lies in, and for reading the samples. How a mailbox shows
a mail (ids, folders, hidden Bcc) is the business of `mailboxes`.
"""

from __future__ import annotations

import base64
import secrets
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent / "samples" / "mail.toml"
LATEST = 253_402_214_400
"""The latest moment a Date header can tell: the last day of the year 9999."""
SAMPLES_AT = 1_790_000_000
"""The moment the samples are told from, unless another one is asked for: 2026-09-21 14:13:20 UTC."""
THREADING = ("message-id", "in-reply-to", "references")
PIECE = 57 * 1024
"""Bytes of a long text or file that are handed on at once: whole lines of base64."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the header of a mail."""

    name: str | None
    email: str | None


@dataclass(frozen=True, slots=True)
class Character:
    """Somebody in the samples, and what the organisation knows of them."""

    name: str
    email: str
    record: str | None
    """The Dataverse table that holds them, if one does."""
    company: str | None
    mailbox: str | None
    """The provider of their mailbox, if it is connected to Nylas."""
    aliases: tuple[str, ...]

    @property
    def person(self) -> Person:
        return Person(self.name, self.email)


@dataclass(frozen=True, slots=True)
class File:
    """A file that travels with a mail; with a content id and inline, a picture in its body."""

    filename: str | None
    content_type: str
    """With its parameters, if it has any."""
    content: bytes = field(repr=False)
    content_id: str | None = None
    inline: bool = False
    disposition: str | None = ""
    """Its Content-Disposition: None where it has none, empty for the usual one, which tells inline or not and the name.
    """
    beside_text: bool = False
    """Of one that was read off the wire: whether it lies in multipart/related, beside the text it may belong to."""

    @property
    def is_mail(self) -> bool:
        """Whether it is a mail itself, which travels as it is."""
        return self.content_type.lower().startswith("message/")

    def written(self) -> Iterator[bytes]:
        """Its content as it stands in a mail, piece by piece."""
        if self.is_mail:
            yield from pieces(self.content)
            return
        for piece in pieces(self.content):
            letters = base64.b64encode(piece)
            yield b"".join(letters[begin : begin + 76] + b"\r\n" for begin in range(0, len(letters), 76))

    def attach_to(self, message: EmailMessage, content: bytes) -> None:
        """Put it at the end of a message, with this as its content."""
        kind, _, subtype = self.content_type.partition(";")[0].strip().partition("/")
        message.add_attachment(
            content,
            maintype=kind,
            subtype=subtype,
            filename=self.filename,
            cid=self.content_id,
            disposition="inline" if self.inline else "attachment",
        )
        part = list(message.iter_parts())[-1]
        if self.is_mail:
            part.replace_header("Content-Transfer-Encoding", "8bit")
        if ";" in self.content_type:
            part.replace_header("Content-Type", self.content_type)
        if self.disposition != "":
            del part["Content-Disposition"]
        if self.disposition:
            part["Content-Disposition"] = self.disposition


@dataclass(frozen=True, slots=True)
class Copy:
    """Where a mail lies: a mailbox, and a folder by its role (inbox, sent, drafts, junk, trash, archive)."""

    mailbox: str
    folder: str


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as its sender sent it; header values are raw, Message-ID with its brackets.

    With `original`, the bytes it was read from, `headers` is its whole header as it stands there.
    """

    subject: str | None = None
    sender: Person | None = None
    to: tuple[Person, ...] = ()
    cc: tuple[Person, ...] = ()
    bcc: tuple[Person, ...] = ()
    reply_to: tuple[Person, ...] = ()
    date: int | None = None
    """Seconds; None: when it is delivered."""
    body: str | None = ""
    plain: bool = False
    message_id: str | None = None
    in_reply_to: str | None = None
    references: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    files: tuple[File, ...] = ()
    copies: tuple[Copy, ...] = ()
    key: str = ""
    """What the samples call it."""
    co_senders: tuple[Person, ...] = ()
    """Whoever stands in From beside the sender."""
    original: bytes | None = field(default=None, repr=False)
    signed: File | None = None
    """The whole of what is signed, and its signature, where Exchange would keep it as one file."""

    def threading_headers(self) -> list[tuple[str, str]]:
        """Message-ID, In-Reply-To and References, as far as the mail has them."""
        if self.original is not None:
            return [(name, value) for name, value in self.headers if name.lower() in THREADING]
        named = (
            ("Message-ID", self.message_id),
            ("In-Reply-To", self.in_reply_to),
            ("References", self.references),
        )
        return [(name, value) for name, value in named if value is not None]

    def all_headers(self, date: int) -> list[tuple[str, str]]:
        """The header of the mail on the wire; Bcc is in it only where it was in the original."""
        if self.original is not None:
            return list(self.headers)
        people = [
            ("From", (*filter(None, (self.sender,)), *self.co_senders)),
            ("To", self.to),
            ("Cc", self.cc),
            ("Reply-To", self.reply_to),
        ]
        written = [(name, ", ".join(map(_address, those))) for name, those in people if those]
        if self.subject is not None:
            # half a surrogate pair stands in no header
            written.append(("Subject", self.subject.encode("utf-8", "replace").decode()))
        sent = format_datetime(datetime.fromtimestamp(min(max(date, 0), LATEST), UTC))
        return [*written, ("Date", sent), *self.threading_headers(), *self.headers]

    def mime(self, date: int) -> bytes:
        """The mail as RFC 5322 bytes."""
        return b"".join(self.wire(date))

    def wire(self, date: int) -> Iterator[bytes]:
        """The mail as RFC 5322 bytes, piece by piece; a file is encoded when its turn comes."""
        if self.original is not None:
            return pieces(self.original)
        people = (*filter(None, (self.sender,)), *self.co_senders, *self.to, *self.cc, *self.reply_to)
        # an address that is no ASCII can't be encoded (RFC 6532)
        message = EmailMessage(policy=SMTP.clone(utf8=any(not (one.email or "").isascii() for one in people)))
        for name, value in self.all_headers(date):
            message[name] = " ".join(value.split())
        message.set_content(self.body or "", subtype="plain" if self.plain else "html")
        place = secrets.token_bytes(24)  # stands for each file's content, a line of base64
        for file in self.files:
            file.attach_to(message, place)
        begun, *rest = message.as_bytes().split(base64.b64encode(place))
        filled = (chain(file.written(), [after]) for file, after in zip(self.files, rest, strict=True))
        return chain([begun], chain.from_iterable(filled))


def pieces(content: bytes) -> Iterator[bytes]:
    """A long content cut into pieces."""
    return (content[begin : begin + PIECE] for begin in range(0, len(content), PIECE))


@cache
def characters() -> dict[str, Character]:
    """Everybody in the samples, by the short name they have there."""
    return {key: _character(row) for key, row in _read()["people"].items()}


def samples(at: int = SAMPLES_AT) -> tuple[Mail, ...]:
    """Every sample, oldest first, as if told at that moment."""
    mails = (_mail(row, at) for row in _read()["mail"])
    return tuple(sorted(mails, key=lambda mail: mail.date or 0))


def sample(key: str, at: int = SAMPLES_AT) -> Mail:
    """The sample of that name."""
    return next(mail for mail in samples(at) if mail.key == key)


@cache
def _read() -> dict[str, Any]:
    return tomllib.loads(SAMPLES.read_text(encoding="utf-8"))


def _character(row: dict[str, Any]) -> Character:
    return Character(
        name=row["name"],
        email=row["email"],
        record=row.get("record"),
        company=row.get("company"),
        mailbox=row.get("mailbox"),
        aliases=tuple(row.get("aliases", ())),
    )


def _mail(row: dict[str, Any], at: int) -> Mail:
    cast = characters()
    lists = {field: tuple(cast[who].person for who in row.get(field, ())) for field in ("to", "cc", "bcc")}
    return Mail(
        key=row["key"],
        subject=row.get("subject"),
        sender=cast[row["from"]].person,
        **lists,
        reply_to=tuple(cast[who].person for who in row.get("reply_to", ())),
        date=at - 60 * row["minutes_ago"],
        body=row["text"] if "text" in row else row["html"],
        plain="text" in row,
        message_id=row.get("message_id"),
        in_reply_to=row.get("in_reply_to"),
        references=row.get("references"),
        headers=tuple(row.get("headers", {}).items()),
        files=tuple(_file(file) for file in row.get("files", ())),
        copies=tuple(Copy(cast[who].email, folder) for who, folder in row["lies_in"].items()),
    )


def _file(row: dict[str, Any]) -> File:
    return File(
        filename=row.get("filename"),
        content_type=row["content_type"],
        content=row["text"].encode() if "text" in row else base64.b64decode(row["base64"]),
        content_id=row.get("content_id"),
        inline=row.get("inline", False),
        disposition="" if row.get("disposition", True) else None,
    )


def _address(person: Person) -> str:
    address = person.email or ""
    if not person.name:
        return address
    if address.isascii():
        return formataddr((person.name, address))
    name = person.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{name}" <{address}>'  # SMTPUTF8 (RFC 6532)
