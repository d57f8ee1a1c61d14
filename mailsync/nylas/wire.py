"""JSON as it comes over the wire: also with half a surrogate pair, which some encoders write and no text can hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

T = TypeVar("T")

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


def read(decode: Callable[[bytes], T], body: bytes) -> T:
    """What `decode` makes of a body; a lone surrogate in it becomes U+FFFD. Raises what `decode` raises."""
    try:
        return decode(body)
    except msgspec.DecodeError:
        whole = _ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], body)
        if whole == body:
            raise
        return decode(whole)
