"""Sample mail: people who do not exist, and what they write to one another.

Responsible for mail as it was sent, whoever's mailbox it lies in, and for reading the samples. How a mailbox shows
a mail (ids, folders, hidden Bcc) is the business of `mailboxes`.
"""

from __future__ import annotations

import base64
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from functools import cache
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent / "samples" / "mail.toml"
SAMPLES_AT = 1_790_000_000
"""The moment the samples are told from, unless another one is asked for: 2026-09-21 14:13:20 UTC."""


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
    content: bytes
    content_id: str | None = None
    inline: bool = False


@dataclass(frozen=True, slots=True)
class Copy:
    """Where a mail lies: a mailbox, and a folder by its role (inbox, sent, drafts, junk, trash, archive)."""

    mailbox: str
    folder: str


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as its sender sent it; header values are raw, Message-ID with its brackets."""

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

    def threading_headers(self) -> list[tuple[str, str]]:
        """Message-ID, In-Reply-To and References, as far as the mail has them."""
        named = (
            ("Message-ID", self.message_id),
            ("In-Reply-To", self.in_reply_to),
            ("References", self.references),
        )
        return [(name, value) for name, value in named if value is not None]

    def all_headers(self, date: int) -> list[tuple[str, str]]:
        """The header of the mail on the wire; Bcc is never in it."""
        people = [
            ("From", (self.sender,) if self.sender else ()),
            ("To", self.to),
            ("Cc", self.cc),
            ("Reply-To", self.reply_to),
        ]
        written = [(name, ", ".join(map(_address, those))) for name, those in people if those]
        if self.subject is not None:
            written.append(("Subject", self.subject))
        sent = format_datetime(datetime.fromtimestamp(date, UTC))
        return [*written, ("Date", sent), *self.threading_headers(), *self.headers]

    def mime(self, date: int) -> bytes:
        """The mail as RFC 5322 bytes."""
        message = EmailMessage(policy=SMTP)
        for name, value in self.all_headers(date):
            message[name] = " ".join(value.split())
        message.set_content(self.body or "", subtype="plain" if self.plain else "html")
        for file in self.files:
            kind, _, subtype = file.content_type.partition(";")[0].partition("/")
            message.add_attachment(
                file.content,
                maintype=kind,
                subtype=subtype,
                filename=file.filename,
                cid=file.content_id,
                disposition="inline" if file.inline else "attachment",
            )
        return message.as_bytes()


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
    )


def _address(person: Person) -> str:
    return formataddr((person.name, person.email or "")) if person.name else person.email or ""
