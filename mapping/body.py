"""The description of an email: its body as HTML that shows what the mail showed and does nothing.

Whether a body is HTML is recognised here, for Nylas does not say; attached files are another module's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import nh3

from mapping.text import clean, fit, units_of

MOST_UNITS = 1_000_000
"""Of the cleaned HTML, in UTF-16 units. The column would hold a thousand times that; a reader and a form would not."""

LONGEST_RAW = 4_000_000
"""Of the body before it is cleaned, in characters: what lies beyond is not looked at."""

NOTE = "<p>[This email is longer than what is kept here. The rest is in the mailbox.]</p>"


@dataclass(frozen=True, slots=True)
class Description:
    """The HTML of an email, and whether a part of the body is missing from it."""

    html: str
    truncated: bool


def description_of(body: str | None) -> Description:
    """The body as safe HTML; plain text is recognised and laid out as it was typed."""
    raw = body or ""
    text = clean(raw[:LONGEST_RAW])
    html = _sanitised(text if _is_html(text) else _laid_out(text))
    truncated = len(raw) > LONGEST_RAW or units_of(html) > MOST_UNITS
    return Description(_cut(html) if truncated else html, truncated)


_TEXT_TAGS = frozenset(
    "a abbr acronym address article aside b bdi bdo big blockquote br caption center cite code col colgroup dd del "
    "details dfn div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hgroup hr i img ins kbd li main "
    "mark nav ol p pre q rp rt ruby s samp section small span strike strong sub summary sup table tbody td tfoot th "
    "thead time tr tt u ul var wbr map area".split()
)
_DROPPED_WITH_CONTENT = frozenset(
    "script style title iframe object applet embed noembed noframes noscript template svg math select textarea "
    "xml xmp audio video canvas".split()
)
_ATTRIBUTES = {
    "*": frozenset("align bgcolor border color dir height lang style title valign width".split()),
    "a": frozenset({"href"}),
    "area": frozenset("alt coords href shape".split()),
    "blockquote": frozenset({"cite", "type"}),
    "col": frozenset({"span"}),
    "colgroup": frozenset({"span"}),
    "font": frozenset({"face", "size"}),
    "hr": frozenset({"noshade", "size"}),
    "img": frozenset("alt hspace src usemap vspace".split()),
    "li": frozenset({"type", "value"}),
    "map": frozenset({"name"}),
    "ol": frozenset({"start", "type"}),
    "table": frozenset("cellpadding cellspacing frame rules summary".split()),
    "td": frozenset("abbr axis char charoff colspan headers nowrap rowspan scope".split()),
    "th": frozenset("abbr axis char charoff colspan headers nowrap rowspan scope".split()),
    "ul": frozenset({"type"}),
}
_SIDES = ("", "-top", "-right", "-bottom", "-left")
_STYLES = frozenset(
    [
        *(f"{box}{side}" for box in ("margin", "padding", "border") for side in _SIDES),
        *(f"border{side}-{part}" for side in _SIDES for part in ("color", "style", "width")),
        *"background background-color border-collapse border-radius border-spacing box-sizing caption-side clear color "
        "direction display empty-cells float font font-family font-size font-stretch font-style font-variant "
        "font-weight height letter-spacing line-height list-style list-style-position list-style-type max-height "
        "max-width min-height min-width opacity overflow overflow-wrap quotes table-layout text-align "
        "text-decoration text-decoration-color text-decoration-line text-decoration-style text-indent text-transform "
        "unicode-bidi vertical-align visibility white-space width word-break word-spacing word-wrap".split(),
    ]
)
_SCHEMES = frozenset("http https mailto tel cid sms callto webcal".split())


def _absolute(url: str) -> str | None:
    """A link without a host would lead into the CRM that shows the mail, so only `//host` is kept, as https."""
    return "https:" + url if url.startswith("//") and not url.startswith("///") else None


def _without_tricks(tag: str, attribute: str, value: str) -> str | None:
    """Data only as the source of a picture, and no style that fetches or computes."""
    lowered = value.lower()
    if attribute == "style":
        return None if any(trick in lowered for trick in _STYLE_TRICKS) else value
    if lowered.lstrip().startswith("data:"):
        return value if (tag, attribute) == ("img", "src") and _PICTURE.match(lowered) else None
    return value


_STYLE_TRICKS = ("url(", "expression(", "javascript:", "vbscript:", "\\", "/*")
_PICTURE = re.compile(r"\s*data:image/(?!svg)[a-z0-9.+-]+[;,]")

_QUICK = nh3.Cleaner(
    tags=_TEXT_TAGS,
    clean_content_tags=_DROPPED_WITH_CONTENT,
    attributes=_ATTRIBUTES,
    url_schemes=_SCHEMES,
    filter_style_properties=_STYLES,
    url_relative=_absolute,
)
_THOROUGH = nh3.Cleaner(
    tags=_TEXT_TAGS,
    clean_content_tags=_DROPPED_WITH_CONTENT,
    attributes=_ATTRIBUTES,
    attribute_filter=_without_tricks,
    url_schemes=_SCHEMES | {"data"},
    filter_style_properties=_STYLES,
    url_relative=_absolute,
)


def _sanitised(html: str) -> str:
    """The HTML by the allow-lists. Looking at every attribute costs ten times the time, so only where it may matter."""
    if "data:" not in html and "DATA:" not in html:
        quick = _QUICK.clean(html)
        lowered = quick.lower()
        if not any(trick in lowered for trick in _STYLE_TRICKS):
            return quick
    return _THOROUGH.clean(html)


_PARTIAL = re.compile(r"&[#\w]*\Z")


def _cut(html: str) -> str:
    """The HTML short enough to be kept with the note: without its data pictures if that does, else cut and closed."""
    room = MOST_UNITS - len(NOTE)
    shorter = _QUICK.clean(html) if "data:" in html else html
    limit = room
    while units_of(shorter) > room:
        # Closing what the cut left open takes room itself.
        limit -= max(units_of(shorter) - room, room // 10) if limit < room else 0
        shorter = _QUICK.clean(_PARTIAL.sub("", fit(html, max(limit, 0))))
        limit -= 1
    return shorter + NOTE


_TAG_NAMES = "|".join(sorted(_TEXT_TAGS | _DROPPED_WITH_CONTENT | set("html head body meta link base form".split())))
_STARTS_AS_HTML = re.compile(rf"\s*<(?:!doctype\s|!--|\?xml\s|(?:{_TAG_NAMES}|o:p)(?:\s[^<>]*)?/?>)", re.IGNORECASE)
_CLOSED_OR_VOID = re.compile(rf"</(?:{_TAG_NAMES})\s*>|<(?:br|hr|img)(?:\s[^<>]*)?/?>", re.IGNORECASE)
_LOOKED_AT = 20_000


def _is_html(text: str) -> bool:
    """True for text that starts with a tag, or that is laid out by tags rather than by its lines."""
    if _STARTS_AS_HTML.match(text):
        return True
    lines = [line for line in text[:_LOOKED_AT].split("\n") if line and not line.isspace()]
    tagged = sum(1 for line in lines if _CLOSED_OR_VOID.search(line))
    return 3 * tagged >= len(lines) > 0


_LINK = re.compile(r"https?://[^\s<>\"'`]+", re.IGNORECASE)
_TRAILING = ".,;:!?*_"
_LEADING_BLANKS = re.compile(r"^[ \t]+| {2,}|\t", re.MULTILINE)


def _laid_out(text: str) -> str:
    """Plain text as HTML: lines, indents and quoting as typed, web addresses as links."""
    text = text.strip("\n").rstrip()
    if not text:
        return ""
    text = _LEADING_BLANKS.sub(lambda run: "\N{NO-BREAK SPACE}" * len(run[0].expandtabs(4)), text)
    pieces, end = [], 0
    for found in _LINK.finditer(text):
        address = _without_sentence_end(found[0])
        pieces.append(_escaped(text[end : found.start()]))
        pieces.append(f'<a href="{_escaped(address)}">{_escaped(address)}</a>')
        end = found.start() + len(address)
    pieces.append(_escaped(text[end:]))
    return "<div>" + "".join(pieces).replace("\n", "<br>") + "</div>"


def _without_sentence_end(address: str) -> str:
    """The link without the punctuation of the sentence around it; a bracket stays where it was opened inside."""
    while address[-1] in _TRAILING or (address[-1] == ")" and address.count(")") > address.count("(")):
        address = address[:-1]
    return address


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
