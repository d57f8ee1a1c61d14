"""Pictures in a body: those that came with the mail, those that only watch the reader, those that are not here.

Works on HTML that the sanitiser wrote, where every tag is spelt in one way. Dataverse shows a picture that the body
calls by `cid:` and an attachment carries under that content id (`attachmentcontentid`).
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from urllib.parse import unquote

from mapping.notes import MISSING_PICTURE, in_place

LONGEST_NAME = 80
"""Characters of a picture's name that are told where it is missing."""

_IMAGE = re.compile(r"<img(?:\s+[^\s=<>\"]+(?:=\"[^\"]*\")?)*\s*/?>")
_ATTRIBUTE = re.compile(r"([^\s=<>\"]+)=\"([^\"]*)\"")
_SOURCE = re.compile(r"\ssrc=\"[^\"]*\"")
_TINY = re.compile(r"\s*[0-2](?:\.\d*)?\s*(?:px)?\s*", re.IGNORECASE)
_STYLE = re.compile(r"\s*([\w-]+)\s*:\s*([^;]+)")
_UNSEEN = {"display": "none", "visibility": "hidden", "opacity": "0"}


def pictures_in(safe: str) -> tuple[str, ...]:
    """What the body calls by `cid:`, each once, as `reference` spells it."""
    found = (_attributes(tag).get("src", "") for tag in _IMAGE.findall(safe))
    return tuple(dict.fromkeys(reference(source) for source in found if _is_ours(source)))


def reference(source: str) -> str:
    """A content id or file name as the two are compared: without `cid:`, brackets, encoding and case."""
    bare = source.strip()
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
        return _SOURCE.sub(lambda _: f' src="cid:{html.escape(content_id)}"', tag[0], count=1)

    return _IMAGE.sub(put, safe) if "<img" in safe else safe


def _attributes(tag: str) -> dict[str, str]:
    return {name.lower(): html.unescape(value) for name, value in _ATTRIBUTE.findall(tag)}


def _is_ours(source: str) -> bool:
    return source.strip()[:4].lower() == "cid:"


def _name(attributes: Mapping[str, str], source: str) -> str:
    told = attributes.get("alt") or attributes.get("title") or unquote(source.strip()[4:]).partition("@")[0]
    return " ".join(told.split())[:LONGEST_NAME]


def _watches(source: str, attributes: Mapping[str, str]) -> bool:
    """A picture from elsewhere that nobody can see."""
    if not source.strip().lower().startswith(("http:", "https:")):
        return False
    style = {name.lower(): value.strip().lower() for name, value in _STYLE.findall(attributes.get("style", ""))}
    if any(style.get(name) == value for name, value in _UNSEEN.items()):
        return True
    sizes = [size for side in ("width", "height") if (size := style.get(side, attributes.get(side, "")))]
    return bool(sizes) and all(_TINY.fullmatch(size) for size in sizes)
