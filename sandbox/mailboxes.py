"""The mailboxes behind the stand-in for Nylas: what lies where, and how each provider shows it.

Responsible for grants, folders, messages and their ids in the shapes of Google, Microsoft, EWS and IMAP. Who may
ask, and over which address, is the business of `nylas`.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
import uuid
from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.mail import File, Mail, Person
from sandbox.mime_words import unfolded

Shown = dict[str, Any]

PROVIDERS = ("google", "microsoft", "imap", "ews", "icloud", "yahoo")
EXCHANGE = ("microsoft", "ews")
ATTRIBUTES = {
    "inbox": "\\Inbox",
    "sent": "\\Sent",
    "drafts": "\\Drafts",
    "trash": "\\Trash",
    "junk": "\\Junk",
    "archive": "\\Archive",
}
"""Which attribute tells a folder's role, whatever its name and id."""

GOOGLE_LABELS = {"inbox": "INBOX", "sent": "SENT", "drafts": "DRAFT", "trash": "TRASH", "junk": "SPAM"}
GOOGLE_MARKS = ("STARRED", "IMPORTANT")
GOOGLE_OTHER_LABELS = ("UNREAD", *GOOGLE_MARKS, "CATEGORY_PERSONAL")
NAMES = {
    "en": ("Inbox", "Sent Items", "Drafts", "Deleted Items", "Junk Email", "Archive"),
    "de": ("Posteingang", "Gesendete Elemente", "Entwürfe", "Gelöschte Elemente", "Junk-E-Mail", "Archiv"),
    "imap": ("INBOX", "Sent", "Drafts", "Trash", "Spam", "Archive"),
}
NEVER_RECEIVED = ("sent", "drafts")
SCOPES = {
    "google": ["https://www.googleapis.com/auth/gmail.readonly"],
    "microsoft": ["Mail.Read", "offline_access"],
}
METADATA_SCOPES = ["https://www.googleapis.com/auth/gmail.metadata"]
NO_METADATA = ("body", "snippet", "attachments")
"""What Google's narrow scope tells nothing of (developer.nylas.com, notifications, 2026)."""


class LongText:
    """A text of an answer that is made, in ASCII letters, while it is sent; no dataclass, for JSON knows those."""

    def __init__(self, letters: Iterator[bytes]) -> None:
        self.letters = letters


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, or a label of Google."""

    id: str
    name: str
    attributes: tuple[str, ...]
    system: bool = True
    parent_id: str | None = None


@dataclass(slots=True)
class Stored:
    """A message of one mailbox."""

    id: str
    mail: Mail
    date: int
    number: int
    """The how-manieth message of its mailbox: tells apart what came in the same second."""
    fixed: Shown
    """What Nylas shows of it whatever happens to it later."""
    files: dict[str, tuple[Shown, bytes]]
    """By attachment id: its description, and its bytes."""
    is_sent: bool
    """Whether it came to lie here by being sent."""
    folders: list[str]
    unread: bool
    overrides: Mapping[str, object]
    """Fields shown differently; with `...`, not at all."""
    hidden: int = 0
    """How often it is not found yet."""
    raw_mime_refused: int | None = None
    """The status that its raw MIME is refused with."""


@dataclass(slots=True)
class Mailbox:
    """A grant, and the mailbox it opens."""

    grant_id: str
    provider: str
    email: str
    name: str
    aliases: tuple[str, ...]
    created_at: int
    updated_at: int
    metadata_only: bool = False
    """Whether the grant's scope opens the headers of its mail only."""
    status: str = "valid"
    expired_at: int | None = None
    folders: dict[str, Folder] = field(default_factory=dict)
    messages: dict[str, Stored] = field(default_factory=dict)
    untold: list[str] = field(default_factory=list)
    """Messages that came while the grant was expired."""
    in_flight: int = 0
    """Requests being answered just now."""
    units: tuple[int, int] = (0, 0)
    """A minute, and the quota units used in it."""
    _order: list[tuple[int, int, Stored]] = field(default_factory=list)
    _threads: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    def prepare(self, language: str, attributes: bool) -> None:
        """Make the folders that a new mailbox of this provider has."""
        if self.provider == "google":
            for role, label in GOOGLE_LABELS.items():
                self.folders[label] = Folder(label, label, (ATTRIBUTES[role],))
            for label in GOOGLE_OTHER_LABELS:
                self.folders[label] = Folder(label, label, ())
            return
        names = NAMES[language if self.provider in EXCHANGE else "imap"]
        for (_, attribute), name in zip(ATTRIBUTES.items(), names, strict=True):
            self.make_folder(name, (attribute,) if attributes else (), system=True)

    def make_folder(
        self, name: str, attributes: tuple[str, ...] = (), *, parent: str | None = None, system: bool = False
    ) -> str:
        """Add a folder and return its id; only Microsoft and EWS say of a folder in which one it lies."""
        above = None if parent is None else self.folders[self.folder_id(parent)]
        microsoft = self.provider in EXCHANGE
        if above is not None and not microsoft:
            name = f"{above.name}/{name}"  # [unproven] of IMAP, whose servers choose what stands between
        if self.provider == "google":
            folder_id = f"Label_{len(self.folders)}"
        elif microsoft:
            place = name if above is None else f"{above.id}/{name}"
            folder_id = "AQMkADAwATM0MDAAMi0" + _base64(f"{self.grant_id}/{place}", 30) + "AuAAAD"
        else:
            folder_id = _base36(f"{self.grant_id}/{name}")
        parent_id = above.id if above is not None and microsoft else None
        self.folders[folder_id] = Folder(folder_id, name, attributes, system, parent_id)
        return folder_id

    def folder_id(self, folder: str) -> str:
        """The id of a folder, told by its role, its id, its name or the names that lead to it, as Parent/Child."""
        attribute = ATTRIBUTES.get(folder)
        names = dict(zip(ATTRIBUTES, NAMES["imap"], strict=True))
        for known in self.folders.values():
            if attribute in known.attributes or folder in (known.id, known.name, self._path(known)):
                return known.id
        for known in self.folders.values():  # an IMAP server that tells no attributes
            if known.name == names.get(folder):
                return known.id
        raise LookupError(f"{self.email} has no folder {folder!r}")

    def put(
        self,
        mail: Mail,
        folder: str,
        *,
        now: int,
        message_id: str | None = None,
        unread: bool | None = None,
        overrides: Mapping[str, object] | None = None,
        labels: Collection[str] = (),
        alike: bool = False,
        whole_signed: bool = False,
    ) -> Stored:
        """Lay a mail into a folder, on Google under further labels.

        `alike` files share an id on Google; `whole_signed`: Exchange makes one file of a signed mail.
        """
        self._count += 1
        date = now if mail.date is None else mail.date
        message_id = message_id or self._new_id()
        role = self._role(folder)
        if unread is None:
            unread = role not in (*NEVER_RECEIVED, "trash", "archive")
        exchange = self.provider in EXCHANGE
        given = (mail.signed,) if exchange and whole_signed and mail.signed else mail.files
        shown, files = self._describe_all(message_id, mail, given, alike=alike)
        stored = Stored(
            id=message_id,
            mail=mail,
            date=date,
            number=self._count,
            fixed=self._fixed(mail, message_id, role, date, shown),
            files=files,
            is_sent=role == "sent",
            folders=self._folders(folder, unread),
            unread=unread,
            overrides=overrides or {},
        )
        for label in labels:
            self.label(stored, label, on=True)
        self.messages[message_id] = stored
        insort(self._order, (date, stored.number, stored))
        return stored

    def move(self, stored: Stored, folder: str) -> None:
        """Move it to another folder; what it is labelled with besides stays."""
        to = self._folders(folder, stored.unread)
        stored.folders = [*to, *(label for label in stored.folders if self._stays(label) and label not in to)]

    def label(self, stored: Stored, name: str, *, on: bool) -> None:
        """Give it one more label, or take one away."""
        if self.provider != "google":
            raise ValueError(f"{self.provider} has folders, and no labels")
        label = self.folder_id(name)
        kept = [one for one in stored.folders if one != label]
        stored.folders = [*kept, label] if on else kept
        stored.unread = "UNREAD" in stored.folders
        stored.fixed["starred"] = "STARRED" in stored.folders

    def mark(self, stored: Stored, *, unread: bool) -> None:
        stored.unread = unread
        if self.provider == "google":
            kept = [label for label in stored.folders if label != "UNREAD"]
            stored.folders = ["UNREAD", *kept] if unread else kept

    def remove(self, message_id: str) -> None:
        stored = self.messages.pop(message_id)
        del self._order[bisect_left(self._order, (stored.date, stored.number))]

    def newest_first(
        self, after: int | None = None, before: int | None = None, below: tuple[int, int] | None = None
    ) -> Iterator[Stored]:
        """Messages with after < date < before, from the one right below a place in the order."""
        end = len(self._order) if before is None else bisect_left(self._order, (before,))
        if below is not None:
            end = min(end, bisect_left(self._order, below))
        for place in range(end - 1, -1, -1):
            date, _, stored = self._order[place]
            if after is not None and date <= after:
                return
            yield stored

    def show_raw(self, stored: Stored, *, padded: bool) -> Shown:
        """A message as Nylas shows it when its raw MIME is asked for."""
        raw = LongText(_base64_letters(stored.mail.wire(stored.date), padded=padded))
        return {"grant_id": self.grant_id, "object": "message", "id": stored.id, "raw_mime": raw}

    def show(
        self,
        stored: Stored,
        *,
        fields: str = "standard",
        body: bool = True,
        sent_headers: bool = True,
        folded: bool = True,
    ) -> Shown:
        """A message as Nylas shows it; Microsoft has none of its headers where it was sent and not `sent_headers`."""
        shown = {**stored.fixed, "unread": stored.unread, "folders": stored.folders}
        if not body:
            del shown["body"]
        for name in NO_METADATA if self.metadata_only else ():
            shown.pop(name, None)
        if fields != "standard":
            bare = self.provider == "microsoft" and stored.is_sent and not sent_headers
            headers = [] if bare else self._headers(stored, fields)
            shown["headers"] = [
                {"name": name, "value": value if folded else unfolded(value)} for name, value in headers
            ]
        for name, value in stored.overrides.items():
            if value is ...:
                shown.pop(name, None)
            elif name in shown or name not in ("body", "headers"):  # these two only where they belong
                shown[name] = value
        return shown

    def show_folder(self, folder: Folder) -> Shown:
        """A folder as Nylas shows it."""
        shown: Shown = {
            "id": folder.id,
            "grant_id": self.grant_id,
            "name": folder.name,
            "object": "folder",
            "attributes": list(folder.attributes),
        }
        if self.provider == "google":
            shown["system_folder"] = folder.system
        if self.provider in EXCHANGE:
            shown["child_count"] = sum(one.parent_id == folder.id for one in self.folders.values())
            if folder.parent_id is not None:
                shown["parent_id"] = folder.parent_id
        return shown

    def show_grant(self, *, aliases: bool = False) -> Shown:
        """The grant as Nylas shows it; aliases only when asked for, and only of Google and Microsoft 365."""
        shown: Shown = {
            "id": self.grant_id,
            "provider": self.provider,
            "grant_status": self.status,
            "email": self.email,
            "name": self.name,
            "scope": METADATA_SCOPES if self.metadata_only else SCOPES.get(self.provider, []),
            "provider_user_id": _base36(self.email)[:21],
            "ip": "203.0.113.4",
            "state": "",
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "settings": {},
            "blocked": False,
        }
        if aliases and self.provider in ("google", "microsoft"):
            shown["email_aliases"] = list(self.aliases)
        return shown

    def _new_id(self) -> str:
        seed = f"{self.grant_id}/{self._count}"
        if self.provider == "google":
            return "19" + hashlib.blake2b(seed.encode(), digest_size=7).hexdigest()
        if self.provider in EXCHANGE:
            # long, case-sensitive, and with the three characters of base64url that are no letters
            return "AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0A_" + _base64(seed, 64)
        return _base36(seed)

    def _stays(self, folder_id: str) -> bool:
        """Whether it is a label that has nothing to do with where a message lies."""
        return self.provider == "google" and (not self.folders[folder_id].system or folder_id in GOOGLE_MARKS)

    def _path(self, folder: Folder) -> str:
        """The names of the folders it lies in, and its own."""
        if folder.parent_id is None:
            return folder.name
        return f"{self._path(self.folders[folder.parent_id])}/{folder.name}"

    def _role(self, folder: str) -> str:
        """What a folder is for; one that nobody marked is for nothing special."""
        if folder in ATTRIBUTES:
            return folder
        marks = self.folders[self.folder_id(folder)].attributes
        return next((role for role, attribute in ATTRIBUTES.items() if attribute in marks), "")

    def _folders(self, folder: str, unread: bool) -> list[str]:
        if self.provider != "google":
            return [self.folder_id(folder)]
        labels = ["UNREAD"] if unread else []
        if folder in ("inbox", "archive"):
            labels.append("CATEGORY_PERSONAL")
        return labels if folder == "archive" else [*labels, self.folder_id(folder)]

    def _thread(self, mail: Mail, message_id: str) -> str:
        """The thread of a mail that it answers, or a new one."""
        named = " ".join(filter(None, (mail.in_reply_to, mail.references))).split()
        thread = next((self._threads[name] for name in named if name in self._threads), None)
        if thread is None and self.provider == "google":
            thread = message_id
        elif thread is None and self.provider in EXCHANGE:
            thread = "AAQkAGI2TG93AAAQ" + _base64(f"thread/{message_id}", 16)
        elif thread is None:
            thread = _base36(f"thread/{message_id}")
        if mail.message_id is not None:
            self._threads[mail.message_id.strip()] = thread
        return thread

    def _fixed(self, mail: Mail, message_id: str, role: str, date: int, files: list[Shown]) -> Shown:
        shows_bcc = role in NEVER_RECEIVED or mail.original is not None
        return {
            "id": message_id,
            "grant_id": self.grant_id,
            "object": "message",
            "thread_id": self._thread(mail, message_id),
            "subject": mail.subject,
            "from": [_participant(person) for person in (mail.sender, *mail.co_senders) if person],
            "to": [_participant(person) for person in mail.to],
            "cc": [_participant(person) for person in mail.cc],
            "bcc": [_participant(person) for person in mail.bcc] if shows_bcc else [],
            "reply_to": [_participant(person) for person in mail.reply_to],
            "date": date,
            "body": mail.body,
            "snippet": _snippet(mail),
            "starred": False,
            "unread": None,
            "folders": None,
            "attachments": files,
        }

    def _headers(self, stored: Stored, fields: str) -> list[tuple[str, str]]:
        # EWS and IMAP have only what Nylas generates, even when everything is asked for (developer.nylas.com, 2026)
        if fields == "include_basic_headers" or self.provider not in ("google", "microsoft"):
            return stored.mail.threading_headers()
        return stored.mail.all_headers(stored.date)

    def _describe_all(
        self, message_id: str, mail: Mail, files: tuple[File, ...], *, alike: bool
    ) -> tuple[list[Shown], dict[str, tuple[Shown, bytes]]]:
        """The files as they are shown, and each by its id."""
        shown: list[Shown] = []
        known: dict[str, tuple[Shown, bytes]] = {}
        for number, file in enumerate(files):
            one = self._describe(message_id, number, file)
            if self.provider in EXCHANGE and mail.original is not None:
                one["is_inline"] = _is_inline_to_exchange(file, mail.body or "")
            if one["id"] in known and not alike:
                one["id"] += f":{number}"
            known.setdefault(one["id"], (one, file.content))
            shown.append(one)
        return shown, known

    def _describe(self, message_id: str, number: int, file: File) -> Shown:
        microsoft = self.provider in EXCHANGE
        size = len(file.content)
        shown: Shown = {
            "id": "",
            "grant_id": self.grant_id,
            "filename": file.filename,
            "content_type": file.content_type,
            "size": size + size // 3 if microsoft else size,  # an estimate there, larger than the bytes
            "is_inline": file.inline,
            "content_id": file.content_id or "",
        }
        if self.provider == "google":
            shown["content_type"] = _google_type(file)
            named = (file.filename or "", shown["content_type"].partition(";")[0])
            encoded = (base64.b64encode(part.encode()).decode() for part in named)
            shown["id"] = f"v0:{':'.join(encoded)}:{size}"
        elif microsoft:
            shown["id"] = message_id.rstrip("=") + "AAABEgAQ" + _base64(str(number), 16)
            shown["content_id"] = shown["content_id"].strip("<>")  # MS-OXCMAIL 2.2.3.4.1.4, read 2026-11
        else:
            shown["id"] = _base36(f"{message_id}/{number}")
        disposition = _disposition(file)
        if not microsoft and disposition is not None:
            shown["content_disposition"] = disposition
        return shown


def new_grant_id(email: str, times: int) -> str:
    """The same for the same mailbox in every run; another one when it is connected anew."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mailto:{email.lower()}?grant={times}"))


def _participant(person: Person) -> Shown:
    named = {"name": person.name} if person.name is not None else {}
    return {**named, "email": person.email} if person.email is not None else named


def _is_inline_to_exchange(file: File, body: str) -> bool:
    """Whatever its disposition, a picture beside the text that names it (MS-OXCMAIL 2.2.3.4.1.4.1, read 2026-11)."""
    name = (file.content_id or "").strip("<>")
    return file.beside_text and file.content_type.lower().startswith("image/") and bool(name) and f"cid:{name}" in body


def _google_type(file: File) -> str:
    """Empty beside a name that is not ASCII (developer.nylas.com, attachments, 2026), else as its header has it."""
    if not (file.filename or "").isascii():
        return ""
    as_usual = file.disposition == "" and file.filename is not None
    return f'{file.content_type}; name="{file.filename}"' if as_usual else file.content_type


def _disposition(file: File) -> str | None:
    if file.disposition != "":
        return file.disposition
    kind = "inline" if file.inline else "attachment"
    return kind if file.filename is None else f'{kind}; filename="{file.filename}"'


def _snippet(mail: Mail) -> str | None:
    if mail.body is None:
        return None
    beginning = mail.body[:2000]
    text = beginning if mail.plain else html.unescape(re.sub(r"<[^>]*>?", " ", beginning))
    return " ".join(text.split())[:100]


def _base64(seed: str, size: int) -> str:
    return base64.urlsafe_b64encode(hashlib.blake2b(seed.encode(), digest_size=size).digest()).decode()


def _base64_letters(content: Iterable[bytes], *, padded: bool) -> Iterator[bytes]:
    """Bytes that come in pieces as one text of base64url."""
    rest = b""
    for piece in content:
        rest += piece
        whole = len(rest) - len(rest) % 3
        yield base64.urlsafe_b64encode(rest[:whole])
        rest = rest[whole:]
    letters = base64.urlsafe_b64encode(rest)
    yield letters if padded else letters.rstrip(b"=")


def _base36(seed: str) -> str:
    number = int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=16).digest(), "big")
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    written = ""
    while number:
        number, digit = divmod(number, 36)
        written = digits[digit] + written
    return written
