"""Text that Dataverse can hold: no control characters, no lone surrogates, no more UTF-16 units than the column has.

What a text means, and which column it goes to, is decided elsewhere.
"""

from __future__ import annotations

import re

# U+FFFE and U+FFFF are no characters of XML 1.0 (section 2.2), which Dataverse still speaks behind the Web API.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")
_LINE_END = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_UNCLEAN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_BLANKS = re.compile(r"\s+")


def clean(text: str) -> str:
    """The text without control characters; tabs stay, every line ends in a line feed, a lone surrogate is U+FFFD."""
    text = text.replace("\r\n", "\n")
    if _UNCLEAN.search(text) is None:
        return text
    text = _CONTROL.sub("", _LINE_END.sub("\n", text))
    return _LONE_SURROGATE.sub("\ufffd", text)


def single_line(text: str) -> str:
    """The cleaned text on one line: every run of white space is one space, none at either end."""
    return _BLANKS.sub(" ", clean(text)).strip()


def units_of(text: str) -> int:
    """The length of the text as Dataverse counts it, in UTF-16 code units: an emoji is two."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def fit(text: str, units: int) -> str:
    """The text cut to that many UTF-16 units; a character of two units is kept whole or left out."""
    if 2 * len(text) <= units or units_of(text) <= units:
        return text
    return text.encode("utf-16-le", "surrogatepass")[: 2 * units].decode("utf-16-le", "ignore")
