"""The description of an email: its body as safe HTML with our notes, of a length that a reader and a form can bear.

Whether a body is HTML is recognised here, for Nylas does not say; which files go along is another module's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mapping.notes import CUT, SNIPPET, note
from mapping.pictures import pictures_in, shown
from mapping.plain_text import laid_out
from mapping.sanitiser import sanitised, shortened
from mapping.text import clean, units_of

LONGEST_DESCRIPTION = 1_000_000
"""In UTF-16 units. The column would hold a thousand times that."""

LONGEST_BODY = 4_000_000
"""In characters; what a longer body holds beyond is not looked at."""

LONGEST_BEGINNING = 20_000
"""UTF-16 units of a beginning that stands for a text that was lost."""

# Nylas gives the HTML part if there is one, else the plain text, and does not say which (message reference, 2026-11).
_TAG_NAMES = (
    "a|abbr|address|article|b|base|basefont|big|blockquote|body|br|center|code|div|dl|em|figure|font|form|h[1-6]|head|"
    "header|hr|html|i|img|li|link|main|meta|o:p|ol|p|pre|s|script|section|small|span|strong|style|sub|sup|table|tbody|"
    "td|tfoot|th|thead|title|tr|tt|u|ul"
)
_STARTS_WITH_TAG = re.compile(rf"[\s\ufeff]*<(?:!doctype\s|!--|\?xml\s|(?:{_TAG_NAMES})[\s/>])", re.IGNORECASE)
_TAG = re.compile(rf"</(?:{_TAG_NAMES})\s*>|<(?:br|hr|img)(?:\s[^<>]*)?/?>", re.IGNORECASE)
_LOOKED_AT = 20_000
_MENDED_UP_TO = 400_000
# What UTF-8 looks like when it is read as Latin-1 or Windows-1252.
_LEADS = "\u00c2\u00c3\u00d0\u00d1\u00e2\u00e3"
_TRAILS = "\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u2013-\u203a\u20ac\u2122"
_MISREAD = re.compile(f"[{_LEADS}][{_TRAILS}]")


@dataclass(frozen=True, slots=True)
class Description:
    """The HTML of an email, and whether a part of the text is missing from it."""

    html: str
    truncated: bool


@dataclass(frozen=True, slots=True)
class Body:
    """What a mail says, as safe HTML, with its pictures called as the mail calls them."""

    html: str
    is_whole: bool
    pictures: tuple[str, ...] = ()
    is_snippet: bool = False

    def described(self, pictures: Mapping[str, str], notes: Sequence[str]) -> Description:
        """The description: pictures by the content id they are carried under, what is missing told at the end."""
        told = "".join(map(note, notes))
        html = shown(self.html, pictures)
        if self.is_whole and units_of(html) + units_of(told) <= LONGEST_DESCRIPTION:
            return Description(html + told, truncated=False)
        told = note(SNIPPET if self.is_snippet else CUT) + told
        return Description(shortened(html, LONGEST_DESCRIPTION - units_of(told)) + told, truncated=True)


def body_of(body: str | None, snippet: str | None = None) -> Body:
    """The body as safe HTML; plain text is recognised and laid out as it was typed.

    Where the text was lost on the way, its beginning stands for it, if Nylas tells one.
    """
    whole = body or ""
    # what was misread holds controls that are parts of characters, so it is mended before it is cleaned
    text = clean(mended(whole[:LONGEST_BODY])).lstrip("\ufeff")
    if not text.strip():
        beginning = clean(snippet or "").strip()
        return Body(laid_out(beginning, LONGEST_BEGINNING)[0], False, is_snippet=True) if beginning else Body("", True)
    html, is_whole = sanitised(text) if is_html(text) else laid_out(text, LONGEST_DESCRIPTION)
    return Body(html, is_whole and len(whole) <= LONGEST_BODY, pictures_in(html))


def mended(text: str) -> str:
    """Text that was read in a character set it was not written in, put right where that can be told for sure."""
    if len(text) > _MENDED_UP_TO or _MISREAD.search(text[:_LOOKED_AT]) is None:
        return text
    import ftfy  # few mails need it, and it takes time to load

    return ftfy.fix_encoding(text)


def is_html(text: str) -> bool:
    """True for text that starts with a tag, or that is laid out by tags rather than by its lines."""
    if "<" not in text:
        return False
    if _STARTS_WITH_TAG.match(text):
        return True
    lines = [line for line in text[:_LOOKED_AT].split("\n") if line and not line.isspace()]
    tagged = sum(1 for line in lines if _TAG.search(line))
    return 3 * tagged >= len(lines)
