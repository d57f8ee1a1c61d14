"""An independent look for what a description must not hold; it knows nothing of how mapping cleans."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlsplit

_FORBIDDEN_TAGS = """script style iframe frame frameset object embed applet form input button textarea select option svg
    math link meta base title template noscript body html head""".split()  # noqa: SIM905 - a list would be a screen long
_LINKS = {"href", "src", "cite", "action", "formaction", "background", "poster", "data", "srcset", "xlink:href"}
_SCHEMES = {"http", "https", "mailto", "tel", "cid", "sms", "callto", "webcal"}


def active_content(html: str) -> list[str]:
    """What in the HTML could run, send, fetch by style or leave the page; an empty list is the only good answer."""
    look = _Look()
    look.feed(html)
    look.close()
    return look.found


class _Look(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _FORBIDDEN_TAGS:
            self.found.append(tag)
        self.found.extend(f"{tag} {name}={value}" for name, value in attrs if _is_active(tag, name, value or ""))


def _is_active(tag: str, name: str, value: str) -> bool:
    if name.startswith("on") or name in ("srcdoc", "srcset", "id", "class"):
        return True
    if name == "style":
        lowered = value.lower()
        return any(part in lowered for part in ("url(", "expression", "javascript", "position", "behavior", "@import"))
    if name not in _LINKS:
        return False
    plain = "".join(character for character in value if character > " ").lower()
    if (tag, name) == ("img", "src") and plain.startswith("data:image/") and "svg" not in plain.partition(",")[0]:
        return False
    return urlsplit(plain).scheme not in _SCHEMES
