"""What mail programs put before a subject: reply and forward prefixes of many languages, list tags."""

from __future__ import annotations

import re

from mapping.text import single_line

_REPLIES = (
    "re|aw|antw|antwort|sv|vs|ref|rif|r|res|odp|ynt|vá|atb|ats|ant|bls|hb|yan|απ|σχετ|отв|ответ|השב|رد|回复|回覆|答复|"
    "返信|답장"
)
_FORWARDS = (
    "fw|fwd|wg|weitergeleitet|tr|rv|enc|i|vb|vl|fs|doorst|pd|tov|ilt|i̇lt|prev|πρθ|προώθ|пер|пересл|הועבר|إعادة توجيه|"
    "转发|轉寄|轉發|転送|전달"
)
"""`VS` is a reply in Finnish and a forward in Danish and Norwegian: it counts as a reply."""
_COUNT = r"(?:\s?[\[(^]?\d{1,3}[\])]?)?"
_PREFIX = re.compile(
    rf"\s*(?:(?P<forward>{_FORWARDS})|(?:{_REPLIES})){_COUNT}\s*[:\uff1a]"
    r"|\s*(?P<bracketed>\[fwd?:)|\s*(?P<tag>\[[^\[\]]{1,60}\])",
    re.IGNORECASE,
)
"""`[Fwd: Offer]` is how Mozilla's programs named a forward."""


def bare(subject: str | None) -> str:
    """The subject without Re, Fw and their like in other languages, and without list tags."""
    text = single_line(subject or "")
    while (found := _PREFIX.match(text)) is not None:
        text = text[found.end() :].removesuffix("]" if found["bracketed"] else "")
    return text.strip()


def is_forward(subject: str | None) -> bool:
    """Whether the outermost prefix of a subject is that of a forward; list tags before it are passed over."""
    text = single_line(subject or "")
    while (found := _PREFIX.match(text)) is not None:
        if not found["tag"]:
            return bool(found["forward"] or found["bracketed"])
        text = text[found.end() :]
    return False
