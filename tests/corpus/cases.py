"""The cases of the corpus as they are written in `cases/`, and the message of each as it comes from its mailbox.

Responsible for reading the files and for laying a message into a mailbox of the stand-in for Nylas; what becomes of it
is the business of `outcome`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from mailsync.nylas.reader import WHOLE_HEADER, _header_in
from mapping.addresses import normalise
from mapping.attachments import File, Limits, Why
from mapping.direction import Copy
from mapping.email_activity import EmailActivity
from mapping.groups import opened
from mapping.message import Header, Message
from mapping.policy import Policy, folder_name, parse_policy
from sandbox.mail import Mail
from sandbox.mime import mail_of
from tests.corpus.world import NOON, World, limits_of, world
from tests.corpus.written import read

CASES = Path(__file__).with_name("cases")


class Folder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A folder that only one case has."""

    name: str
    attributes: tuple[str, ...]


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[case]]` of a file; README.md tells what its keys mean."""

    name: str
    expect: dict[str, Any]
    mime: str | None = None
    fields: dict[str, Any] | None = None
    complaint: tuple[int, ...] = ()
    why: str = ""
    mailbox: str = "ida"
    folder: str | Folder = "inbox"
    labels: tuple[str, ...] = ()
    policy: str = ""
    encoded: str = "utf-8"
    raw_refused: bool = False
    whole_signed: bool = False
    reconnected: bool = False
    reused_message_id: bool = False
    without_sales: bool = False
    organization: dict[str, Any] = {}
    missing: dict[str, str] = {}


@dataclass(frozen=True)
class Laid:
    """A message in its mailbox, as the answers of Nylas that tell of it."""

    basic: bytes
    whole: bytes
    raw: bytes
    copy: tuple[str, frozenset[str], frozenset[str]]
    provider: str
    contents: Mapping[str, bytes]


@dataclass(frozen=True, eq=False)
class Case:
    """One case: its file, what is written of it, and its message."""

    theme: str
    written: Written
    laid: Laid = field(repr=False)

    @property
    def name(self) -> str:
        """The theme and the fact."""
        return f"{self.theme}: {self.written.name}"

    @property
    def is_long(self) -> bool:
        """Whether its message is one that takes long."""
        return len(self.laid.whole) > 20_000

    @property
    def policy(self) -> Policy:
        return _policy(self.written.policy)

    @property
    def world(self) -> World:
        return world(with_sales=not self.written.without_sales)

    @property
    def organization(self) -> Mapping[str, Any]:
        """The organisation's row."""
        return {**self.world.organization, **self.written.organization}

    @property
    def limits(self) -> Limits:
        return limits_of(self.organization)

    @property
    def copy(self) -> Copy:
        """Where the message lies."""
        address, attributes, names = self.laid.copy
        return Copy(normalise(address) or "", attributes, frozenset(filter(None, map(folder_name, names))))

    def message(self, *, with_header: bool) -> tuple[Message, tuple[Header | None, ...] | None]:
        """The message, and its whole header where that comes along, as `mailsync.connected` reads the two."""
        if with_header and self.laid.provider in WHOLE_HEADER:
            whole = opened(msgspec.json.decode(self.laid.whole, type=Message))
            if whole.header("Message-ID") is not None:
                return whole, whole.headers
        return opened(msgspec.json.decode(self.laid.basic, type=Message)), None

    def header(self) -> tuple[Header, ...] | None:
        """The whole header, read from the raw message; None where that is refused."""
        return None if self.written.raw_refused else _header_in(iter((self.laid.raw,)))

    def missing(self, name: str) -> Why | None:
        """Why a file can't be had or is refused, where the case says that it is."""
        written = self.written.missing.get(name)
        return Why[written.upper()] if written is not None else None

    def missing_files(self, email: EmailActivity) -> dict[File, Why]:
        """The files of its email that turn out, as they are fetched and written, to stay out."""
        found: dict[File, Why] = {}
        for file in email.files.carried:
            content = self.laid.contents.get(file.source, b"?")
            if (why := self.missing(file.name)) is not None:
                found[file] = why
            elif not content:
                found[file] = Why.EMPTY
            elif len(content) > self.limits.most_bytes:
                found[file] = Why.TOO_LARGE
        return found


@cache
def cases() -> tuple[Case, ...]:
    """All of them, theme by theme."""
    return tuple(_read())


@cache
def themes() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in CASES.glob("*.toml")))


def case(name: str) -> Case:
    """The case of this name."""
    return next(one for one in cases() if one.name == name)


def _read() -> Iterator[Case]:
    for theme in themes():
        for entry in read(CASES / f"{theme}.toml")["case"]:
            try:
                written = msgspec.convert(entry, Written)
            except msgspec.ValidationError as error:
                raise AssertionError(f"{theme}: {entry.get('name')}: {error}") from error
            yield Case(theme, written, _laid(written, mail_in(written)))


def case_of(mime: bytes, name: str, *, mailbox: str, policy: str) -> Case:
    """A case that stands in no file, of a mail that came from elsewhere."""
    written = Written(name=name, expect={}, mailbox=mailbox, policy=policy)
    return Case("elsewhere", written, _laid(written, mail_of(mime)))


def mail_in(written: Written) -> Mail:
    """The mail of a case, as it was sent."""
    if written.mime is None:
        return Mail()
    return mail_of(written.mime.removesuffix("\n").replace("\n", "\r\n").encode(written.encoded))


def _laid(written: Written, mail: Mail) -> Laid:
    box = world().mailbox(written.mailbox, times=2 if written.reconnected else 1)
    overrides = _overrides(written.fields or {})
    folder = written.folder
    if isinstance(folder, Folder):
        folder = box.make_folder(folder.name, folder.attributes)
    stored = box.put(
        mail,
        folder,
        now=NOON,
        labels=written.labels,
        overrides=overrides,
        whole_signed=written.whole_signed,
    )
    folders = [box.folders[one] for one in stored.folders]
    contents = {key: content for key, (_, content) in stored.files.items()}
    for number, file in enumerate((written.fields or {}).get("attachments", ())):
        if file.get("id"):
            contents[file["id"]] = f"file {number}".encode()
    show = {fields: box.show(stored, fields=fields) for fields in ("include_basic_headers", "include_headers")}
    return Laid(
        basic=msgspec.json.encode(show["include_basic_headers"]),
        whole=msgspec.json.encode(show["include_headers"]),
        raw=b'{"data":{"raw_mime":"' + b"".join(box.show_raw(stored, padded=True)["raw_mime"].letters) + b'"}}',
        copy=(
            box.email,
            frozenset(one.lower() for folder in folders for one in folder.attributes),
            frozenset(folder.name for folder in folders),
        ),
        provider=box.provider,
        contents=contents,
    )


def _overrides(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as Nylas would show them; `absent` and `null` name those that it leaves out or empty."""
    told: dict[str, Any] = {name: value for name, value in fields.items() if name not in ("absent", "null")}
    told |= dict.fromkeys(fields.get("null", ()))
    return told | dict.fromkeys(fields.get("absent", ()), ...)


@cache
def _policy(text: str) -> Policy:
    return parse_policy(text, "tracking.toml")
