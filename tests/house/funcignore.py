"""What .funcignore lets through, as each of the two tools reads it that deploy; neither reads it as git would.

Core Tools (GitIgnoreParser.cs, read 2026-11): a pattern is a prefix, and a line that begins with `!` wins wherever it
stands. azd (its go-gitignore, read 2026-11): the last line that matches wins, `*` matches slashes as well unless there
is one in the pattern, and a folder that is kept out is not looked into.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

Reading = Callable[[Iterable[str], str], bool]


def func_takes(lines: Iterable[str], path: str) -> bool:
    """Whether `func azure functionapp publish` sends a file."""
    kept = [_regex(line[1:]) for line in lines if line.startswith("!")]
    out = [_regex(line) for line in lines if not line.startswith("!")]
    return any(pattern.match(path) for pattern in kept) or not any(pattern.match(path) for pattern in out)


def azd_takes(lines: Iterable[str], path: str) -> bool:
    """Whether `azd deploy` sends a file."""
    whole = PurePosixPath(path)
    return all(_azd_enters(lines, str(step)) for step in [*reversed(whole.parents[:-1]), whole])


def _regex(pattern: str) -> re.Pattern[str]:
    spelled = re.sub(r"[\-\[\]/{}()+?.\\^$|]", r"\\\g<0>", pattern.removeprefix("/"))
    return re.compile(rf"({spelled.replace('**', '(.+)').replace('*', '([^/]+)')})\b")


def _azd_enters(lines: Iterable[str], path: str) -> bool:
    for line in reversed(list(lines)):
        pattern = line.removeprefix("!")
        if _azd_matches(pattern, path):
            return line.startswith("!")
    return True


def _azd_matches(pattern: str, path: str) -> bool:
    bare = pattern.removeprefix("/")
    if "**" in bare:
        return _azd_walks(bare.split("/"), path.split("/"))
    if "/" in bare:
        raise NotImplementedError(f"{pattern}: a slash within a pattern")
    return fnmatchcase(path if pattern.startswith("/") else PurePosixPath(path).name, bare)


def _azd_walks(tokens: list[str], parts: list[str]) -> bool:
    if not tokens:
        return not parts
    if tokens[0] == "**":
        return _azd_walks(tokens[1:], parts) or (bool(parts) and _azd_walks(tokens, parts[1:]))
    return bool(parts) and fnmatchcase(parts[0], tokens[0]) and _azd_walks(tokens[1:], parts[1:])
