"""HTML that shows what it showed and does nothing: the tags, attributes, styles and addresses that a mail may keep.

The parsing and filtering is nh3's. What is added here bounds its work, for a mail is written by a stranger.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import nh3

from mapping.text import clean, fit, units_of

MOST_TAGS = 40_000
MOST_ENTITIES = 50_000
"""What lies beyond is cut off: nested tags cost nh3 0.3.8 quadratic time, 40 000 of the worst about four seconds."""

_PLAIN_ATTRIBUTES_UP_TO = 32_000
_MOST_REPEATED = 8_000_000
_ROOM_FOR_CLOSING = 10_000


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A parser opens these again in every paragraph after the one that they were not closed in.
_FORMATTING = _words("b big code em font i nobr s small strike strong tt u")
_TAGS = _words(
    """a abbr acronym address area article aside b bdi bdo big blockquote br caption center cite code col colgroup dd
    del details dfn div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hgroup hr i img ins kbd li main
    map mark nav ol p pre q rp rt ruby s samp section small span strike strong sub summary sup table tbody td tfoot th
    thead time tr tt u ul var wbr"""
)
_DROPPED_WITH_CONTENT = _words(
    """applet audio canvas embed iframe math noembed noframes noscript object script select style svg template textarea
    title video xml xmp"""
)
_CELL = _words("abbr axis char charoff colspan headers nowrap rowspan scope")
_ATTRIBUTES = {
    "*": _words("align bgcolor border color dir height lang style title valign width"),
    "a": _words("href"),
    "area": _words("alt coords href shape"),
    "blockquote": _words("cite type"),
    "col": _words("span"),
    "colgroup": _words("span"),
    "font": _words("face size"),
    "hr": _words("noshade size"),
    "img": _words("alt hspace src usemap vspace"),
    "li": _words("type value"),
    "map": _words("name"),
    "ol": _words("start type"),
    "table": _words("cellpadding cellspacing frame rules summary"),
    "td": _CELL,
    "th": _CELL,
    "ul": _words("type"),
}
_SIDES = ("", "-top", "-right", "-bottom", "-left")
_STYLES = (
    _words(
        """background background-color border-collapse border-radius border-spacing box-sizing caption-side clear color
        direction display empty-cells float font font-family font-size font-stretch font-style font-variant font-weight
        height letter-spacing line-height list-style list-style-position list-style-type max-height max-width
        min-height min-width opacity overflow overflow-wrap quotes table-layout text-align text-decoration
        text-decoration-color text-decoration-line text-decoration-style text-indent text-transform unicode-bidi
        vertical-align visibility white-space width word-break word-spacing word-wrap"""
    )
    | {f"{box}{side}" for box in ("margin", "padding", "border") for side in _SIDES}
    | {f"border{side}-{part}" for side in _SIDES for part in ("color", "style", "width")}
)
_SPELLED = {spelled for name in _STYLES for spelled in (name, name.upper(), name.title())}
"""nh3 0.3.8 compares them by case, and older mail programs write them in capitals."""
_SCHEMES = _words("callto cid http https mailto sms tel webcal")
_FETCHING = ("url(", "src(", "image(", "image-set(", "cross-fade(")
_STYLE_TRICKS = (*_FETCHING, "expression(", "javascript:", "vbscript:", "\\", "/*")
_CUT_IN_TWO = re.compile(r"(?:&[#\w]{0,40}|<[^<>]*+)\Z")
_STYLE_URL = re.compile(r"""url\(\s*+(?:"[^"]*+"|'[^']*+'|[^"'()\s]*+)\s*+\)""", re.IGNORECASE)
# Browsers pass over blanks and control characters in a scheme (WHATWG URL, basic URL parser).
_DATA = re.compile(r"[\x00-\x20]*" + r"[\x00-\x20]*".join("data:"), re.IGNORECASE)
_PICTURE_NAME = re.compile(r"[^/\\?#:<>\"']{1,200}\.(?:png|jpe?g|gif|bmp|webp|tiff?|heic)", re.IGNORECASE)
_PICTURE = re.compile(r"\s*data:image/(?!svg)[a-z0-9.+-]+[;,]", re.IGNORECASE)


def _absolute(url: str) -> str | None:
    """An address without a host would lead into the CRM that shows the mail; `//host` has one, and becomes https.

    The bare name of a picture is how some programs call one that came with the mail.
    """
    if _PICTURE_NAME.fullmatch(url):
        return f"cid:{url}"
    return "https:" + url if url.startswith("//") and not url.startswith("///") else None


def _only_pictures(tag: str, attribute: str, value: str) -> str | None:
    """Data is allowed as the source of a picture only, and no picture may be a document with scripts of its own."""
    if not _DATA.match(value):
        return value
    return value if (tag, attribute) == ("img", "src") and _PICTURE.match(value) else None


def _without_tricks(tag: str, attribute: str, value: str) -> str | None:
    """A style neither fetches nor computes; the rest of it stays."""
    if attribute != "style":
        return _only_pictures(tag, attribute, value)
    value = _STYLE_URL.sub("", value)
    return None if _has_tricks(value) else value


def _has_tricks(text: str) -> bool:
    lowered = text.lower()
    return any(trick in lowered for trick in _STYLE_TRICKS)


_STANDINS = {f"x-{tag}" for tag in _FORMATTING & _TAGS}


def _cleaner(schemes: frozenset[str], asked: Callable[[str, str, str], str | None] | None = None) -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=_TAGS | _STANDINS,
        clean_content_tags=_DROPPED_WITH_CONTENT,
        attributes=_ATTRIBUTES | {"x-font": _ATTRIBUTES["font"]},
        attribute_filter=asked,
        url_schemes=schemes,
        url_relative=_absolute,
        filter_style_properties=_SPELLED,
    )


_WITHOUT_DATA = _cleaner(_SCHEMES)
_WITH_DATA = _cleaner(_SCHEMES | {"data"}, _only_pictures)
_WITHOUT_TRICKS = _cleaner(_SCHEMES | {"data"}, _without_tricks)

_NAMES = "|".join(sorted(_FORMATTING))
_FORMATTING_TAG = re.compile(rf"<(?:{_NAMES})(?=[\s/>])", re.IGNORECASE)
_ORDERLY_FORMATTING_TAG = re.compile(rf"""<(?:{_NAMES})(?:\s[^<>"']*+(?:"[^<>"]*+"[^<>"']*+)*+)?>""", re.IGNORECASE)
_FORMATTING_NAME = re.compile(rf"<(/?)(?=(?:{_NAMES})[\s/>])", re.IGNORECASE)
_STANDIN_NAME = re.compile(rf"<(/?)x-(?=(?:{_NAMES})[\s>])")
_ENDLESS_TAG = re.compile(
    r"""<[a-zA-Z][^\s/>]*+(?:[\s/]*+(?:=[^\s/>=]*+|[^\s/>=]++)(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+)?+)?+){500,}+[\s/]*+>?+"""
)


def sanitised(html: str) -> tuple[str, bool]:
    """The HTML by the allow-lists, and whether all of it was looked at."""
    bounded = _bounded(html)
    # A control character can be written as a reference, so they are looked for once more.
    return clean(_filtered(bounded)), bounded is html


def shortened(html: str, most_units: int) -> str:
    """Sanitised HTML of at most so many UTF-16 units: without data pictures if that does, else cut and closed again."""
    if units_of(html) <= most_units:
        return html
    whole = html = _WITHOUT_DATA.clean(html) if "data:" in html.lower() else html
    limit = most_units - _ROOM_FOR_CLOSING
    while units_of(html) > most_units:
        html = _WITHOUT_DATA.clean(_CUT_IN_TWO.sub("", fit(whole, max(limit, 0))))
        limit -= most_units // 8
    return html


def _filtered(html: str) -> str:
    """What nh3 makes of it, in bounded time."""
    if not _repeats_formatting(html):
        return _cleaned(html)
    # An element that a parser does not know as formatting is closed with its parent, and for good.
    return _STANDIN_NAME.sub(r"<\1", _cleaned(_FORMATTING_NAME.sub(r"<\1x-", html)))


def _cleaned(html: str) -> str:
    """What nh3 makes of it. To be asked about every attribute takes time, so we are only where that can matter."""
    has_data = "data:" in html or "DATA:" in html
    cleaned = (_WITH_DATA if has_data else _WITHOUT_DATA).clean(html)
    # Only now is every style spelt in one way, without the escapes and comments that a trick can hide behind.
    return _WITHOUT_TRICKS.clean(cleaned) if _has_tricks(cleaned) else cleaned


def _bounded(html: str) -> str:
    """The HTML with no more tags and entities than can be parsed in seconds, and no tag of hundreds of attributes."""
    for mark, most in (("<", MOST_TAGS), ("&", MOST_ENTITIES)):
        if html.count(mark) > most:
            html = mark.join(html.split(mark, most + 1)[: most + 1])
    return _ENDLESS_TAG.sub("", html) if len(html) > _PLAIN_ATTRIBUTES_UP_TO else html


def _repeats_formatting(html: str) -> bool:
    """True where formatting left open could be repeated, by a parser, into megabytes: 50 kB have become 100 MB."""
    orderly = _ORDERLY_FORMATTING_TAG.findall(html)
    if len(orderly) != len(_FORMATTING_TAG.findall(html)):
        return True
    # A parser keeps at most three alike.
    return 3 * sum(map(len, set(orderly))) * html.count("<") > _MOST_REPEATED
