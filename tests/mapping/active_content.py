"""An independent look for what a description must not hold; it knows nothing of how mapping cleans.

Twice: at the tags as they are written, by Python's own parser, and at the tree a browser would build, by Lexbor's. The
sanitiser uses html5ever, which is neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlsplit

from selectolax.lexbor import LexborHTMLParser

_FORBIDDEN_TAGS = """script style iframe frame frameset object embed applet form input button textarea select option svg
    math link meta base title template noscript body html head""".split()  # noqa: SIM905 - a list would be a screen long
_OF_THE_PAGE = ("html", "head", "body")
_LINKS = {"href", "src", "cite", "action", "formaction", "background", "poster", "data", "srcset", "xlink:href"}
_SCHEMES = {"http", "https", "mailto", "tel", "cid", "sms", "callto", "webcal"}
_STYLES = ("url(", "image(", "image-set(", "cross-fade(", "src(", "expression", "javascript", "behavior", "@import")
_INVISIBLE = {("display", "none"), ("visibility", "hidden"), ("opacity", "0"), ("opacity", "0.0")}
_SMALL = {"0", "1", "2", "0px", "1px", "2px", "0%"}

Tag = tuple[str, dict[str, str]]


def active_content(html: str) -> list[str]:
    """What in the HTML could run, send, fetch by style or leave the page; an empty list is the only good answer."""
    look = _Written()
    look.feed(html)
    look.close()
    found = [*look.found, *(tag for tag, _ in look.tags if tag in _FORBIDDEN_TAGS)]
    built = list(_built(html))
    found += [tag for tag, _ in built if tag in _FORBIDDEN_TAGS or tag.startswith("-")]
    for tag, attributes in (*look.tags, *built):
        found += [f"{tag} {name}={value}" for name, value in attributes.items() if _is_active(tag, name, value)]
    return found


def trackers(html: str) -> list[str]:
    """The pictures from elsewhere that nobody can see: they only tell that somebody looked."""
    return [attributes["src"] for tag, attributes in _built(html) if tag == "img" and _watches(attributes)]


def pictures(html: str) -> list[str]:
    """What the pictures of the HTML are called by."""
    return [attributes.get("src", "") for tag, attributes in _built(html) if tag == "img"]


class _Written(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[Tag] = []
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_comment(self, data: str) -> None:
        self.found.append(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self.found.append(f"<!{decl}>")

    def unknown_decl(self, data: str) -> None:
        self.found.append(f"<![{data}]>")

    def handle_pi(self, data: str) -> None:
        self.found.append(f"<?{data}>")


def _built(html: str) -> Iterator[Tag]:
    root = LexborHTMLParser(html).root
    for node in root.traverse() if root is not None else ():
        attributes = {name: value or "" for name, value in node.attributes.items()}
        if attributes or node.tag not in _OF_THE_PAGE:
            yield node.tag or "", attributes


def _is_active(tag: str, name: str, value: str) -> bool:
    if name.startswith("on") or name in ("srcdoc", "srcset", "id", "class"):
        return True
    if name == "style":
        return "position" in _styles(value) or any(part in value.lower() for part in _STYLES)
    if name not in _LINKS:
        return False
    plain = "".join(character for character in value if character > " ").lower()
    if (tag, name) == ("img", "src") and plain.startswith("data:image/") and "svg" not in plain.partition(",")[0]:
        return False
    return urlsplit(plain).scheme not in _SCHEMES


def _watches(attributes: dict[str, str]) -> bool:
    plain = "".join(character for character in attributes.get("src", "") if character > " ").lower()
    styles = _styles(attributes.get("style", ""))
    sizes = [styles.get(side, attributes.get(side, "")).strip().lower() for side in ("width", "height")]
    is_small = any(sizes) and all(size in _SMALL or not size for size in sizes)
    return plain.startswith(("http:", "https:")) and (is_small or not _INVISIBLE.isdisjoint(styles.items()))


def _styles(written: str) -> dict[str, str]:
    pairs = (part.partition(":") for part in written.lower().split(";"))
    return {name.strip(): value.replace("!", "").replace("important", "").strip() for name, _, value in pairs}
