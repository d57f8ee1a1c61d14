"""The message of Nylas v3 as it arrives: typed, and with everything but its id allowed to be null or absent.

It says what Nylas said and decides nothing; what the fields mean for an email is the business of the other modules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct


class Participant(Struct, frozen=True):
    """One entry of from, to, cc, bcc or reply_to."""

    name: str | None = None
    email: str | None = None


class Header(Struct, frozen=True):
    """One header line; names can repeat and come in any case."""

    name: str | None = None
    value: str | None = None


class Attachment(Struct, frozen=True):
    """What the message says about one of its files; the bytes are fetched apart."""

    id: str | None = None
    filename: str | None = None
    content_type: str | None = None
    size: int | None = None
    is_inline: bool | None = None
    content_id: str | None = None
    content_disposition: str | None = None


def folder_ids(folders: Iterable[str | None] | None) -> tuple[str, ...] | None:
    """The folders that are named; None where nothing is said of them, which is not the same as none."""
    return tuple(folder for folder in folders if folder) if folders is not None else None


class Message(Struct, frozen=True, rename={"from_": "from"}):
    """One copy of an email, as one mailbox holds it."""

    id: str
    grant_id: str | None = None
    thread_id: str | None = None
    subject: str | None = None
    body: str | None = None
    snippet: str | None = None
    date: int | float | None = None
    from_: tuple[Participant | None, ...] | None = None
    to: tuple[Participant | None, ...] | None = None
    cc: tuple[Participant | None, ...] | None = None
    bcc: tuple[Participant | None, ...] | None = None
    reply_to: tuple[Participant | None, ...] | None = None
    folders: tuple[str | None, ...] | None = None
    attachments: tuple[Attachment | None, ...] | None = None
    headers: tuple[Header | None, ...] | None = None
    """None: the answer had no header list, which says nothing about the headers of the mail."""

    def header(self, name: str) -> str | None:
        """The value of the first header of that name, in whatever case it is written."""
        wanted = name.lower()
        for header in self.headers or ():
            if header and header.name and header.value is not None and header.name.strip().lower() == wanted:
                return header.value
        return None

    def participants(self) -> Iterator[Participant]:
        """Everybody the mail names as From, To, Cc and Bcc, in this order."""
        for group in (self.from_, self.to, self.cc, self.bcc):
            for participant in group or ():
                if participant:
                    yield participant
