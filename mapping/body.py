"""The description of an email: its body as safe HTML, of a length that a reader and a form can bear.

Whether a body is HTML is recognised here, for Nylas does not say; attached files are another module's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mapping.plain_text import laid_out
from mapping.sanitiser import sanitised, shortened
from mapping.text import clean, units_of

LONGEST_DESCRIPTION = 1_000_000
"""In UTF-16 units. The column would hold a thousand times that."""

LONGEST_BODY = 4_000_000
"""In characters; what a longer body holds beyond is not looked at."""

NOTE = "<p>[This email goes on. The rest of it is in the mailbox only.]</p>"

# Nylas gives the HTML part if there is one, else the plain text, and does not say which (message reference, 2026-11).
_TAG_NAMES = (
    "a|abbr|address|article|b|base|basefont|big|blockquote|body|br|center|code|div|dl|em|figure|font|form|h[1-6]|head|"
    "header|hr|html|i|img|li|link|main|meta|o:p|ol|p|pre|s|script|section|small|span|strong|style|sub|sup|table|tbody|"
    "td|tfoot|th|thead|title|tr|tt|u|ul"
)
_STARTS_WITH_TAG = re.compile(rf"[\s\ufeff]*<(?:!doctype\s|!--|\?xml\s|(?:{_TAG_NAMES})[\s/>])", re.IGNORECASE)
_TAG = re.compile(rf"</(?:{_TAG_NAMES})\s*>|<(?:br|hr|img)(?:\s[^<>]*)?/?>", re.IGNORECASE)
_LOOKED_AT = 20_000


@dataclass(frozen=True, slots=True)
class Description:
    """The HTML of an email, and whether a part of the body is missing from it."""

    html: str
    truncated: bool


def description_of(body: str | None) -> Description:
    """The body as safe HTML; plain text is recognised and laid out as it was typed."""
    whole = body or ""
    text = clean(whole[:LONGEST_BODY]).lstrip("\ufeff")
    if not text.strip():
        return Description("", truncated=False)
    html, is_whole = _html_of(text) if is_html(text) else laid_out(text, LONGEST_DESCRIPTION - len(NOTE))
    if is_whole and len(whole) <= LONGEST_BODY:
        return Description(html, truncated=False)
    return Description(html + NOTE, truncated=True)


def _html_of(text: str) -> tuple[str, bool]:
    html, is_whole = sanitised(text)
    if is_whole and units_of(html) <= LONGEST_DESCRIPTION:
        return html, True
    return shortened(html, LONGEST_DESCRIPTION - len(NOTE)), False


def is_html(text: str) -> bool:
    """True for text that starts with a tag, or that is laid out by tags rather than by its lines."""
    if "<" not in text:
        return False
    if _STARTS_WITH_TAG.match(text):
        return True
    lines = [line for line in text[:_LOOKED_AT].split("\n") if line and not line.isspace()]
    tagged = sum(1 for line in lines if _TAG.search(line))
    return 3 * tagged >= len(lines)
