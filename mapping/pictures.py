"""Pictures in a body: those that came with the mail, those that only watch the reader, those that are not here.

Works on HTML that the sanitiser wrote, where every tag is spelt in one way. Dataverse shows a picture that the body
calls by `cid:` and an attachment carries under that content id (`attachmentcontentid`).
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping
from urllib.parse import unquote

from mapping.notes import MISSING_PICTURE, in_place

LONGEST_NAME = 80
"""Characters of a picture's name that are told where it is missing."""

_IMAGE = re.compile(r"<img(?:\s+[^\s=<>\"]+(?:=\"[^\"]*\")?)*\s*/?>")
_ATTRIBUTE = re.compile(r"([^\s=<>\"]+)=\"([^\"]*)\"")
_STYLE = re.compile(r"\s*([\w-]+)\s*:\s*([^;!]+)")
_SIZE = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([a-z%]*)", re.IGNORECASE)
_UNSEEN = {"display": "none", "visibility": "hidden"}
_SMALL = 2.0
"""Pixels of a side that nobody sees."""
_RELATIVE = frozenset({"%", "em", "rem", "ex", "ch", "vw", "vh", "vmin", "vmax", "in", "cm", "mm", "pc"})
"""Units of which even one can be seen."""
# What browsers pass over inside an address (WHATWG URL, basic URL parser).
_PASSED_OVER = str.maketrans("", "", "\t\r\n")


def pictures_in(safe: str) -> tuple[str, ...]:
    """What the body calls by `cid:`, each once, as `reference` spells it."""
    found = (_attributes(tag).get("src", "") for tag in _IMAGE.findall(safe))
    return tuple(dict.fromkeys(reference(source) for source in found if _is_ours(source)))


def reference(source: str) -> str:
    """A content id or file name as the two are compared: without `cid:`, brackets, encoding and case."""
    bare = _plain(source)
    bare = bare[4:] if bare[:4].lower() == "cid:" else bare
    return unquote(bare).strip().strip("<>").casefold()


def shown(safe: str, carried: Mapping[str, str]) -> str:
    """The body with every picture called by the content id it is carried under, by reference.

    One that is not carried leaves a note in its place, and one that only tells its sender that the mail was read goes.
    """

    def put(tag: re.Match[str]) -> str:
        attributes = _attributes(tag[0])
        source = attributes.get("src", "")
        if not source:
            return ""
        if not _is_ours(source):
            return "" if _watches(source, attributes) else tag[0]
        content_id = carried.get(reference(source))
        if content_id is None:
            return in_place(f"{MISSING_PICTURE} {_name(attributes, source)}")
        return _ATTRIBUTE.sub(lambda found: _called(found, content_id), tag[0])

    return _IMAGE.sub(put, safe) if "<img" in safe else safe


def _attributes(tag: str) -> dict[str, str]:
    return {name.lower(): html.unescape(value) for name, value in _ATTRIBUTE.findall(tag)}


def _called(attribute: re.Match[str], content_id: str) -> str:
    """An attribute, the source with another content id."""
    return f'src="cid:{html.escape(content_id)}"' if attribute[1].lower() == "src" else attribute[0]


def _plain(source: str) -> str:
    return source.translate(_PASSED_OVER).strip()


def _is_ours(source: str) -> bool:
    return _plain(source)[:4].lower() == "cid:"


def _name(attributes: Mapping[str, str], source: str) -> str:
    told = attributes.get("alt") or attributes.get("title") or unquote(_plain(source)[4:]).partition("@")[0]
    return " ".join(told.split())[:LONGEST_NAME]


def _watches(source: str, attributes: Mapping[str, str]) -> bool:
    """A picture from elsewhere that nobody can see."""
    if not _plain(source).lower().startswith(("http:", "https:")):
        return False
    style = {name.lower(): value.strip().lower() for name, value in _STYLE.findall(attributes.get("style", ""))}
    if any(style.get(name) == value for name, value in _UNSEEN.items()) or _size(style.get("opacity")) == 0:
        return True
    sizes = [size for side in ("width", "height") if (size := _side(side, style, attributes)) is not None]
    return 0 in sizes or (bool(sizes) and max(sizes) <= _SMALL)


def _side(side: str, style: Mapping[str, str], attributes: Mapping[str, str]) -> float | None:
    """How many pixels a side has at most, where that is said."""
    written, most = _size(style.get(side)), _size(style.get(f"max-{side}"))
    given = written if written is not None else _size(attributes.get(side))
    return most if most is not None and most <= _SMALL else given


def _size(written: str | None) -> float | None:
    found = _SIZE.match(written or "")
    if found is None:
        return None
    size = float(found[1])
    return math.inf if size and found[2].lower() in _RELATIVE else size
