"""Plain text laid out as HTML: lines, indents and quoting as they were typed, web addresses as links."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from mapping.text import units_of

_PIECE = 10_000
_LINK = re.compile(r"https?://[^\s<>\"'`]{1,2000}", re.IGNORECASE)
_SENTENCE_END = ".,;:!?*_"
_BLANKS = re.compile(r"^[ \t]+|[ \t]*\t[ \t]*|  +", re.MULTILINE)


def laid_out(text: str, most_units: int) -> tuple[str, bool]:
    """The text as HTML of at most so many UTF-16 units, and whether all of it is there."""
    laid, room = ["<div>"], most_units - len("<div></div>")
    for piece in _pieces(text.strip("\n").rstrip()):
        laid.append(_laid_out(piece))
        room -= units_of(laid[-1])
        if room < 0:
            return "".join((*laid[:-1], "</div>")), False
    return "".join((*laid, "</div>")), True


def _pieces(text: str) -> Iterator[str]:
    """The text in parts of bounded length, that end where a line does, else a word, if one does."""
    start = 0
    while start < len(text):
        part = text[start : start + _PIECE]
        if len(part) == _PIECE:
            part = part[: part.rfind("\n") + 1 or part.rfind(" ") + 1 or _PIECE]
        yield part
        start += len(part)


def _laid_out(text: str) -> str:
    text = _BLANKS.sub(_kept_blanks, text)
    laid: list[str] = []
    end = 0
    for found in _LINK.finditer(text):
        address = _without_sentence_end(found[0])
        link = f'<a href="{html.escape(address)}" rel="noopener noreferrer">{html.escape(address, quote=False)}</a>'
        laid += (html.escape(text[end : found.start()], quote=False), link)
        end = found.start() + len(address)
    laid.append(html.escape(text[end:], quote=False))
    return "".join(laid).replace("\n", "<br>\n")


def _kept_blanks(run: re.Match[str]) -> str:
    """As many blanks as were typed; inside a line the last one lets it wrap."""
    width = len(run[0].expandtabs(4))
    at_start = run.start() == 0 or run.string[run.start() - 1] == "\n"
    return "\N{NO-BREAK SPACE}" * width if at_start else "\N{NO-BREAK SPACE}" * (width - 1) + " "


def _without_sentence_end(address: str) -> str:
    """The address without the punctuation of the sentence around it; a bracket stays where it was opened inside."""
    address = address.rstrip(_SENTENCE_END)
    surplus = address.count(")") - address.count("(")
    while surplus > 0 and address.endswith(")"):
        address = address[:-1].rstrip(_SENTENCE_END)
        surplus -= 1
    return address
