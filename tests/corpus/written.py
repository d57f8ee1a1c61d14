"""What the files of the corpus are written in: TOML, in whose texts a repetition is written once.

`«na*3»` is `nanana`; a `#` in it counts: `«guest#@crowd.example, *2»` is `guest1@crowd.example, guest2@crowd.example, `.
An entry of a list with `times` stands so often there, a `#` in its texts counting likewise.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

_REPEATED = re.compile(r"«([^«»]+)\*(\d+)»")


def read(path: Path) -> dict[str, Any]:
    """A file of the corpus, its repetitions written out."""
    found = _spelled_out(tomllib.loads(path.read_text(encoding="utf-8")))
    assert isinstance(found, dict)
    return found


def _spelled_out(value: Any) -> Any:
    if isinstance(value, str):
        return _REPEATED.sub(_repeated, value)
    if isinstance(value, list):
        return [_spelled_out(one) for entry in value for one in _times(entry)]
    if isinstance(value, dict):
        return {_spelled_out(key): _spelled_out(one) for key, one in value.items()}
    return value


def _times(entry: Any) -> list[Any]:
    if not isinstance(entry, dict) or "times" not in entry:
        return [entry]
    given = {key: value for key, value in entry.items() if key != "times"}
    return [
        {key: value.replace("#", str(number)) if isinstance(value, str) else value for key, value in given.items()}
        for number in range(1, entry["times"] + 1)
    ]


def _repeated(found: re.Match[str]) -> str:
    text, times = found[1], int(found[2])
    if "#" not in text:
        return text * times
    return "".join(text.replace("#", str(number)) for number in range(1, times + 1))
