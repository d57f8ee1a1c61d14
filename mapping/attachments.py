"""Which files of a mail go along, under which name, type and id, and which are withheld and why.

Pure: what the organisation lets pass is handed in, fetching and writing the bytes is the caller's business.
"""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.errors import MessageError
from email.header import decode_header
from enum import StrEnum
from uuid import UUID, uuid5

from mapping.message import Attachment
from mapping.notes import ENCRYPTED, MISSING_FILES, SEALED
from mapping.pictures import reference
from mapping.text import fit, single_line, units_of

LONGEST_NAME = 255
LONGEST_CONTENT_ID = 250
"""UTF-16 units of the columns filename and attachmentcontentid."""
MOST_TOLD = 40
"""Withheld files that are named in the body; of more their number is told."""
LONGEST_TOLD = 120
DEFAULT_TYPE = "application/octet-stream"


class Why(StrEnum):
    """Why a file is not in Dataverse."""

    TOO_LARGE = "larger than this organisation allows"
    BLOCKED_NAME = "this organisation blocks files of this kind"
    BLOCKED_TYPE = "this organisation blocks this type of content"
    EMPTY = "empty"
    POLICY = "files are not tracked"
    NOT_THERE = "no longer in the mailbox"
    UNREADABLE = "could not be read from the mailbox"
    REFUSED = "Dataverse refused it"


@dataclass(frozen=True, slots=True)
class Limits:
    """What an organisation lets pass; `largest` is measured on the Base64 text, as Dataverse measures."""

    largest: int = 5_242_880
    extensions: frozenset[str] = frozenset()
    blocked_types: frozenset[str] = frozenset()
    allowed_types: frozenset[str] = frozenset()

    @property
    def most_bytes(self) -> int:
        """The largest file whose Base64 text is allowed."""
        return self.largest // 4 * 3

    def refusal(self, name: str, kind: str) -> Why | None:
        """Why a file of this name and type would be refused; where types are allowed, blocked ones don't count."""
        extension = name.rpartition(".")[2].lower() if "." in name else ""
        if extension in self.extensions:
            return Why.BLOCKED_NAME
        if self.allowed_types:
            return None if kind in self.allowed_types else Why.BLOCKED_TYPE
        return Why.BLOCKED_TYPE if kind in self.blocked_types else None


@dataclass(frozen=True, slots=True)
class File:
    """One file that goes along. `size` is the mailbox's estimate in bytes, often larger than the file."""

    source: str
    """Its id at Nylas."""
    name: str
    type: str
    size: int | None
    content_id: str | None = None
    """Under which it is carried, where it is a picture in the body."""
    called: str | None = None
    """What the body calls it there, as `pictures.reference` spells it."""
    number: int = 0
    """How many files of the same name come before it."""

    def id_in(self, activityid: UUID) -> UUID:
        """The id it has as an attachment of an email, whichever mailbox or attempt brings it."""
        return uuid5(activityid, f"file\n{self.name.casefold()}\n{self.number}")


@dataclass(frozen=True, slots=True)
class Withheld:
    """One file that stays out."""

    file: File
    why: Why


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a mail: those that go along and those that are withheld."""

    carried: tuple[File, ...] = ()
    withheld: tuple[Withheld, ...] = ()

    @property
    def pictures(self) -> Mapping[str, str]:
        """The content ids of the pictures that go along, by what the body may call them."""
        shown = [file for file in self.carried if file.content_id is not None]
        names = {reference(file.name): file.content_id or "" for file in reversed(shown)}
        return names | {file.called: file.content_id or "" for file in shown if file.called is not None}

    def without(self, missing: Mapping[File, Why]) -> Files:
        """The same with these withheld."""
        return Files(
            carried=tuple(file for file in self.carried if file not in missing),
            withheld=(*self.withheld, *(Withheld(file, why) for file, why in missing.items())),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What is told of the withheld ones: name, size and reason of each."""
        if not self.withheld:
            return ()
        told = [_told(one) for one in self.withheld[:MOST_TOLD]]
        more = len(self.withheld) - len(told)
        return (f"{MISSING_FILES} {'; '.join(told)}{f'; and {more} more' if more else ''}.",)


def files_of(
    attachments: Iterable[Attachment | None] | None, called: Sequence[str], limits: Limits, *, carry: bool = True
) -> Files:
    """What becomes of the files of a mail; `called` are the pictures its body calls, spelt as by `pictures.reference`.

    A picture is one that the body calls by content id or by name, whatever its disposition says.
    """
    carried: list[File] = []
    withheld: list[Withheld] = []
    names: Counter[str] = Counter()
    not_yet = set(called)
    for attachment in attachments or ():
        if attachment is None or not attachment.id:
            continue
        file = _file(attachment)
        file = replace(file, number=names[file.name.casefold()])
        names[file.name.casefold()] += 1
        file = _called(file, attachment, not_yet)
        why = None if carry else Why.POLICY
        why = why or limits.refusal(file.name, file.type) or _too_large(file, limits)
        if why is None:
            carried.append(file)
        else:
            withheld.append(Withheld(file, why))
    return Files(tuple(carried), tuple(withheld))


def seal_of(attachments: Iterable[Attachment | None] | None) -> str | None:
    """What is to be told of a mail whose text is locked away in one of its files; None where it is not."""
    for attachment in attachments or ():
        kind = single_line((attachment.content_type if attachment else None) or "").lower()
        if kind.startswith(("application/pkcs7-mime", "application/x-pkcs7-mime")):
            return SEALED if "signed-data" in kind else ENCRYPTED
        if kind.startswith("application/pgp-encrypted"):
            return ENCRYPTED
    return None


def _file(attachment: Attachment) -> File:
    main, _, parameters = single_line(attachment.content_type or "").partition(";")
    kind = main.strip().lower()
    name = clean_name(attachment.filename or _named_in(parameters))
    if not name or name.startswith("."):
        name = clean_name(f"{_NAMES.get(kind, 'attachment')}{name or _TYPES.guess_extension(kind) or ''}")
    if _WHOLE_TYPE.fullmatch(kind) is None or kind == DEFAULT_TYPE:
        kind = _TYPES.guess_type(name)[0] or DEFAULT_TYPE
    size = attachment.size if attachment.size is not None and attachment.size >= 0 else None
    return File(source=attachment.id or "", name=name, type=kind, size=size)


def _called(file: File, attachment: Attachment, calls: set[str]) -> File:
    """The file as the picture it is, where the body calls it; the first of several with one id is meant."""
    written = single_line(attachment.content_id or "").strip("<> ")
    ways = (reference(written), reference(file.name), reference(attachment.filename or ""))
    call = next((way for way in ways if way in calls), None)
    if call is None:
        return file
    calls.remove(call)
    fits = _CONTENT_ID.fullmatch(written) is not None and call == reference(written)
    return replace(file, called=call, content_id=written if fits else f"{uuid5(_PICTURES, call).hex}@picture")


def _too_large(file: File, limits: Limits) -> Why | None:
    """Told by its estimate only where that is far beyond the limit: Microsoft's says more than the file has."""
    return Why.TOO_LARGE if file.size is not None and file.size > 2 * limits.most_bytes else None


def clean_name(written: str) -> str:
    """A file's name on one line, without path, reserved and invisible characters; its end is kept when it is cut."""
    text = unicodedata.normalize("NFC", single_line(_UNSEEN.sub("", _decoded(written))))
    text = _without_end(_RESERVED.sub("_", re.split(r"[\\/]", text)[-1]))
    if units_of(text) <= LONGEST_NAME:
        return text
    stem, dot, extension = text.rpartition(".")
    if not dot or units_of(extension) > 20:
        return _without_end(fit(text, LONGEST_NAME))
    return fit(stem, LONGEST_NAME - units_of(extension) - 1) + dot + extension


def _without_end(name: str) -> str:
    """A name without the dots and blanks at its end, which Windows leaves off."""
    return name.strip().rstrip(". ")


def _decoded(written: str) -> str:
    """A name that was left encoded (RFC 2047), read; one that can't be stays as it is."""
    if "=?" not in written:
        return written
    try:
        parts = decode_header(written)
        # what is not encoded comes back in the escape that it was cut up in
        return "".join(
            part if isinstance(part, str) else part.decode(charset or "raw-unicode-escape") for part, charset in parts
        )
    except (MessageError, LookupError, ValueError):
        return written


def _named_in(parameters: str) -> str:
    found = re.search(r"\bname\s*=\s*(?:\"([^\"]*)\"|([^\s;]+))", parameters, re.IGNORECASE)
    return (found[1] or found[2] or "") if found else ""


def _told(withheld: Withheld) -> str:
    file = withheld.file
    name = file.name if len(file.name) <= LONGEST_TOLD else file.name[: LONGEST_TOLD - 1] + "…"
    size = f", {_in_words(file.size)}" if file.size else ""
    return f"{name}{size} ({withheld.why})"


def _in_words(size: int) -> str:
    if size < 1_000_000:
        return f"{max(1, round(size / 1000))} kB"
    return f"{size / 1_000_000:.1f} MB" if size < 10_000_000 else f"{round(size / 1_000_000)} MB"


_OFFICE = "application/vnd.openxmlformats-officedocument"
_MORE_TYPES = {
    ".docx": f"{_OFFICE}.wordprocessingml.document",
    ".xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    ".pptx": f"{_OFFICE}.presentationml.presentation",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".msg": "application/vnd.ms-outlook",
    ".7z": "application/x-7z-compressed",
    ".ics": "text/calendar",
    ".heic": "image/heic",
    ".webp": "image/webp",
}
"""What mail brings beside Python's own table (seen missing from 3.11, 2026-11)."""


def _known_types() -> mimetypes.MimeTypes:
    """No table of the machine's: elsewhere it would give a nameless file another name, and so another id."""
    types = mimetypes.MimeTypes()
    for ending, kind in _MORE_TYPES.items():
        types.add_type(kind, ending)
    return types


_TYPES = _known_types()
_PICTURES = UUID("9d2d5a3e-6c0b-4b6e-8f0e-3a1d7c55be10")
_CONTENT_ID = re.compile(rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.@$:-]{{1,{LONGEST_CONTENT_ID}}}")
_WHOLE_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")
"""RFC 6838, section 4.2: shorter than its column."""
# marks that turn the direction of writing can make "exe.fdp" read as "pdf.exe"
_UNSEEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_RESERVED = re.compile(r'[<>:"|?*]')
_NAMES = {"message/rfc822": "attached message", "text/calendar": "invite", "message/delivery-status": "delivery report"}
