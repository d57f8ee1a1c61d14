"""What we say in a description ourselves: that something is missing from it, and why.

Notes stand in brackets and begin with words of their own, so that they are never taken for what the mail says.
"""

from __future__ import annotations

import html
import re

CUT = "This email goes on. The rest of it is in the mailbox only."
SNIPPET = "Only the beginning of this email could be read."
ENCRYPTED = "This email is encrypted. What it says is in the attached file."
SEALED = "This email is signed as a whole. What it says is in the attached file."
MISSING_FILES = "Files of this email that are not here:"
MISSING_PICTURE = "Picture that is not here:"

_BEGINNINGS = (CUT, SNIPPET, ENCRYPTED, SEALED, MISSING_FILES, MISSING_PICTURE)
_OURS = re.compile("|".join(rf"\[{re.escape(text)}[^\[\]]*\]" for text in _BEGINNINGS))


def note(text: str) -> str:
    """A paragraph of our own."""
    return f"<p>[{_told(text)}]</p>"


def in_place(text: str) -> str:
    """A few words of our own in the middle of a text."""
    return f"<span>[{_told(text)}]</span>"


def without_notes(description: str) -> str:
    """The description without what we noted in it."""
    return _OURS.sub("", description)


def _told(text: str) -> str:
    return html.escape(text.replace("[", "(").replace("]", ")"), quote=False)
