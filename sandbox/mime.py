"""Reads a mail off the wire and says what Nylas shows of it: who, about what, which text, which files.

Responsible for the parts a mail is made of and for what becomes of each; reads anything, refuses nothing. What is
written in headers and texts is read by `mime_words`; what each provider makes of a mail is the business of
`mailboxes`.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sandbox.mail import File, Mail, Person
from sandbox.mime_words import decoded, from_base64, parameters, people, unfolded, words

DEEPEST = 60
"""Parts within parts that are looked into. [unproven]"""

_LINE = re.compile(rb"([^\r\n]*)(?:\r\n|\n|\r|\Z)")
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:[ \t]*")
_DELIMITER_ENDS = re.compile(rb"(--)?[ \t]*(?:\r\n|\n|\r|\Z)")
_TYPE = re.compile(r"\s*([^\s;/()]+/[^\s;/()]+)")


def mail_of(mime: bytes) -> Mail:
    """The mail that these RFC 5322 bytes are, as Nylas shows it; the bytes stay what its raw MIME is.

    The text is the HTML part if there is one, else the plain one; every other part is a file, an attached mail or a
    signed text included. It has no date: Nylas shows when a server received it, whatever its own Date says.
    """
    root = _read(mime, 0, len(mime), "text/plain", 0)
    leaves = list(_leaves(root, ()))
    text = _text_of(leaves)
    senders = root.people("from")
    subject = root.line("subject")
    return Mail(
        subject=None if subject is None else words(subject),
        sender=senders[0] if senders else None,
        co_senders=senders[1:],
        to=root.people("to"),
        cc=root.people("cc"),
        bcc=root.people("bcc"),
        reply_to=root.people("reply-to"),
        body="" if text is None else decoded(text.part.content(), text.part.parameters.get("charset")),
        plain=text is not None and text.part.type == "text/plain",
        message_id=root.line("message-id"),
        in_reply_to=root.line("in-reply-to"),
        references=root.line("references"),
        headers=root.headers,
        files=tuple(_file_of(leaf) for leaf in leaves if leaf is not text and not _is_the_text_again(leaf, text)),
        original=mime,
        signed=_signed(root),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A part of a mail, and where its content lies, still encoded, in the bytes of the whole."""

    headers: tuple[tuple[str, str], ...]
    type: str
    mime: bytes
    begin: int
    end: int
    parts: tuple[_Part, ...] = ()

    def first(self, name: str) -> str | None:
        return next((value for known, value in self.headers if known.lower() == name), None)

    def line(self, name: str) -> str | None:
        value = self.first(name)
        return None if value is None else unfolded(value)

    def people(self, name: str) -> tuple[Person, ...]:
        named = (people(value) for known, value in self.headers if known.lower() == name)
        return tuple(person for those in named for person in those)

    @property
    def parameters(self) -> dict[str, str]:
        return parameters(self.first("content-type") or "")

    @property
    def disposition(self) -> str:
        """The word for how it is to be shown, in small letters."""
        return (self.line("content-disposition") or "").partition(";")[0].strip().lower()

    @property
    def filename(self) -> str | None:
        named = parameters(self.first("content-disposition") or "").get("filename") or self.parameters.get("name")
        return words(named) if named else None

    def content(self) -> bytes:
        encoded = memoryview(self.mime)[self.begin : self.end]
        match (self.first("content-transfer-encoding") or "").strip().lower():
            case "base64":
                return from_base64(encoded)
            case "quoted-printable":
                return binascii.a2b_qp(encoded)
        return bytes(encoded)


@dataclass(frozen=True, slots=True, eq=False)
class _Leaf:
    """A part that has no parts, and those it lies in, from the outermost."""

    part: _Part
    within: tuple[_Part, ...]


def _read(mime: bytes, begin: int, end: int, usual: str, depth: int) -> _Part:
    """What lies between two places; without a type of its own it has the usual one there."""
    headers, begin = _headers(mime, begin, end)
    part = _Part(headers, usual, mime, begin, end)
    if (named := part.first("content-type")) is not None:
        found = _TYPE.match(named)
        part = replace(part, type=found[1].lower() if found else "text/plain")
    if not part.type.startswith("multipart/"):
        return part
    boundary = part.parameters.get("boundary", "").rstrip().encode()
    places = _places(mime, begin, end, boundary) if boundary and depth < DEEPEST else []
    if not places:
        return replace(part, type="text/plain")
    usual = "message/rfc822" if part.type == "multipart/digest" else "text/plain"
    return replace(part, parts=tuple(_read(mime, *place, usual, depth + 1) for place in places))


def _headers(mime: bytes, begin: int, end: int) -> tuple[tuple[tuple[str, str], ...], int]:
    """The fields of a header, folded and encoded as they came, and where what follows it begins."""
    fields: list[tuple[str, list[bytes]]] = []
    place = begin
    while place < end and (line := _LINE.match(mime, place, end)):
        if not line[1]:
            place = line.end()
            break
        if line[1][:1] in b" \t":
            if fields:
                fields[-1][1].append(line[0])
        elif field := _FIELD.match(line[1]):
            fields.append((field[1].decode("ascii"), [line[0][field.end() :]]))
        elif not (place == 0 and line[1].startswith(b"From ")):  # as mbox files begin
            break
        place = line.end()
    return tuple((name, decoded(b"".join(lines).rstrip(b"\r\n"), None)) for name, lines in fields), place


def _places(mime: bytes, begin: int, end: int, boundary: bytes) -> list[tuple[int, int]]:
    """Where the parts between the lines of a boundary lie; none when there is no such line."""
    found: list[tuple[int, int]] = []
    opened: int | None = None
    delimiter = b"--" + boundary
    place = mime.find(delimiter, begin, end)
    while place >= 0:
        ends = _DELIMITER_ENDS.match(mime, place + len(delimiter), end)
        after = place + 1
        if ends is not None and (place == begin or mime[place - 1] in b"\r\n"):
            after = ends.end()
            if opened is not None and opened < place:  # several such lines in a row are one
                line_end = 2 if mime[place - 2 : place] == b"\r\n" else 1
                found.append((opened, max(opened, place - line_end)))
            if ends[1]:
                return found
            opened = after
        place = mime.find(delimiter, after, end)
    return found if opened is None else [*found, (opened, end)]


def _leaves(part: _Part, within: tuple[_Part, ...]) -> Iterator[_Leaf]:
    if not part.parts:
        yield _Leaf(part, within)
    for one in part.parts:
        yield from _leaves(one, (*within, part))


def _text_of(leaves: list[_Leaf]) -> _Leaf | None:
    shown = [leaf for leaf in leaves if leaf.part.disposition != "attachment" and leaf.part.filename is None]
    for kind in ("text/html", "text/plain"):
        for leaf in shown:
            if leaf.part.type == kind:
                return leaf
    return None


def _is_the_text_again(leaf: _Leaf, text: _Leaf | None) -> bool:
    """Whether a part says the same as the text in another way; an invitation says more."""
    kind = leaf.part.type
    if text is None or leaf.part.filename is not None or kind == "text/calendar" or not kind.startswith("text/"):
        return False
    return any(one.type == "multipart/alternative" and one in text.within for one in leaf.within)


def _file_of(leaf: _Leaf) -> File:
    part = leaf.part
    content_id = part.line("content-id") or part.line("x-attachment-id")
    disposition = part.line("content-disposition")
    beside = any(one.type == "multipart/related" for one in leaf.within)
    return File(
        filename=part.filename,
        content_type=part.line("content-type") or part.type,
        content=part.content(),
        content_id=content_id,
        # without a disposition, what has an id beside the text belongs to it [unproven]
        inline=part.disposition == "inline" or (disposition is None and beside and bool(content_id)),
        disposition=disposition,
        beside_text=beside,
    )


def _signed(root: _Part) -> File | None:
    """What S/MIME signed in the open as the one attachment that Exchange makes of it (MS-OXOSMIME, read 2026-11)."""
    kind = root.line("content-type")
    if kind is None or root.type != "multipart/signed" or "pkcs7-signature" not in root.parameters.get("protocol", ""):
        return None
    content = b"Content-Type: %s\r\n\r\n" % kind.encode() + root.mime[root.begin : root.end]
    return File("smime.p7m", "multipart/signed", content)
