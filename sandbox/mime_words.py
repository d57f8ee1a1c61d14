"""What stands in the header and the text of a mail, read as providers read it: nothing is refused, at worst replaced.

Responsible for charsets, encoded words (RFC 2047), parameters (RFC 2045, 2231) and people (RFC 5322). How a mail is put
together of parts is the business of `mime`. Python's own email package is left to those who test against it.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from sandbox.mail import Person

ALIASES = {
    "gb2312": "gb18030",
    "iso-8859-8-i": "iso-8859-8",
    "ks_c_5601-1987": "cp949",
    "shift_jis": "cp932",
    "x-sjis": "cp932",
}
"""Charsets under which more is written than they hold, or that Python knows by another name."""
NO_CHARSETS = frozenset({"idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
"""What Python calls an encoding, and nobody else a charset."""

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NO_BASE64 = bytes(set(range(256)) - set(_ALPHABET))
_SURROGATE = re.compile("[\ud800-\udfff]")
_FOLD = re.compile(r"(?:\r\n|\n|\r)(?=[ \t])")
_WORD = re.compile(r"=\?([^?\s]+)\?([bBqQ])\?([^?]*)\?=")
_PARAMETER = re.compile(r';\s*([^\s=;]+)\s*=\s*("(?:\\.|[^"\\])*"?|[^;]*)', re.DOTALL)
_PARAMETER_NAME = re.compile(r"([^*]+)(?:\*(\d{1,3}))?(\*)?")
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"?|<[^>]*>?|[(),;:]|[^"<(),;:]+', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def decoded(content: bytes, charset: str | None) -> str:
    """Bytes as text: in the charset they say, else in UTF-8, else with U+FFFD for what cannot be read."""
    codec = _codec(charset or "")
    rungs = [(codec, "strict"), ("utf-8", "strict"), (codec, "replace"), ("utf-8", "replace")]
    for name, errors in rungs:
        if name is not None:
            with suppress(LookupError, ValueError):
                return _SURROGATE.sub("\ufffd", content.decode(name, errors))
    raise AssertionError("UTF-8 with replacement reads anything")


def unfolded(value: str) -> str:
    """A header's value in one line; the white space that began its further lines stays."""
    return _FOLD.sub("", value).strip()


def words(value: str) -> str:
    """A header's value with its encoded words decoded; those that stand together are read as one text."""
    value = unfolded(value)
    written: list[str] = []
    charset, content = "", b""
    end = 0
    for word in _WORD.finditer(value):
        between = value[end : word.start()]
        named = word[1].lower()
        if content and (between.strip() or named != charset):
            written.append(decoded(content, charset))
            content = b""
        if end == 0 or between.strip():
            written.append(between)
        charset, content = named, content + _of_word(word[2], word[3])
        end = word.end()
    if content:
        written.append(decoded(content, charset))
    return "".join([*written, value[end:]])


def parameters(value: str) -> dict[str, str]:
    """The parameters of a header such as Content-Type, their names in small letters."""
    value = unfolded(value)
    plain: dict[str, str] = {}
    pieces: dict[str, list[_Piece]] = {}
    for found in _PARAMETER.finditer(value):
        text = _unquoted(found[2].strip())
        name = _PARAMETER_NAME.fullmatch(found[1].lower())
        if name is None or (name[2] is None and name[3] is None):
            plain.setdefault(found[1].lower(), text)
        else:
            pieces.setdefault(name[1], []).append(_Piece(int(name[2] or 0), text, name[3] is not None))
    return plain | {name: _joined(sorted(those)) for name, those in pieces.items()}


def people(value: str) -> tuple[Person, ...]:
    """Whoever a header such as To names; the name of a group is nobody's."""
    return tuple(person for person in _people(unfolded(value)) if person.name or person.email)


def from_base64(content: bytes | memoryview) -> bytes:
    """Base64 as far as it can be read."""
    try:
        return binascii.a2b_base64(content)
    except binascii.Error:
        letters = bytes(content).translate(None, _NO_BASE64)
        whole = len(letters) - (len(letters) % 4 == 1)
        return binascii.a2b_base64(letters[:whole] + b"==")


class _Piece(NamedTuple):
    """A part of a parameter that goes over several (RFC 2231)."""

    number: int
    text: str
    is_encoded: bool


class _Entry:
    """Somebody in a list of people, as far as they were read."""

    def __init__(self) -> None:
        self.phrase: list[str] = []
        self.raw: list[str] = []
        self.comments: list[str] = []
        self.address: str | None = None

    def person(self) -> Person:
        name = words(" ".join("".join(self.phrase).split()))
        said = words(" ".join("".join(self.comments).split()))
        if self.address is not None:
            return Person(name or said or None, self.address or None)
        raw = "".join(self.raw).strip()
        if "@" in raw or not name or " " not in name:
            return Person(said or None, raw or None)
        return Person(name, None)


def _people(value: str) -> Iterator[Person]:
    entry, depth = _Entry(), 0
    for token in _TOKEN.findall(value):
        if token == "(" or depth:
            depth += (token == "(") - (token == ")")
            if depth and token != "(":
                entry.comments.append(token)
        elif token in (",", ";"):
            yield entry.person()
            entry = _Entry()
        elif token == ":" and entry.address is None:
            entry = _Entry()
        elif token[0] == "<":
            entry.address = token.strip("<>").rpartition(":")[2].strip()
        else:
            entry.raw.append(token)
            entry.phrase.append(_unquoted(token))
    yield entry.person()


def _codec(charset: str) -> str | None:
    name = charset.strip(" \t\"'").partition("*")[0].lower()  # RFC 2231 lets a language follow
    with suppress(LookupError, ValueError):
        known = codecs.lookup(ALIASES.get(name, name)).name
        if known not in NO_CHARSETS:
            return known
    return None


def _of_word(encoding: str, text: str) -> bytes:
    content = text.encode("utf-8", "replace")
    return from_base64(content) if encoding in "bB" else binascii.a2b_qp(content, header=True)


def _unquoted(text: str) -> str:
    if text[:1] != '"':
        return text
    return _ESCAPE.sub(r"\1", text[1:].removesuffix('"'))


def _joined(pieces: list[_Piece]) -> str:
    charset = ""
    if pieces[0].is_encoded:
        charset, _, rest = pieces[0].text.partition("'")
        pieces = [pieces[0]._replace(text=rest.partition("'")[2]), *pieces[1:]]
    content = b"".join(
        unquote_to_bytes(piece.text) if piece.is_encoded else piece.text.encode("utf-8", "replace") for piece in pieces
    )
    return decoded(content, charset)
