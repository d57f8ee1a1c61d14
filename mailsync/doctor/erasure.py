"""Whether what was erased or shortened can still be recognised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mailsync.doctor.findings import Finding, Findings, Result, good, looked
from mailsync.settings import ErasureKey

TOPIC, CHECKED = "storage", "ERASURE_KEY"
PUT_BACK = "put the one back that made them; in the vault it is erasure-key, and its older versions"


@dataclass(frozen=True, slots=True)
class ErasureSide:
    """What is looked at; each may raise."""

    key: Callable[[], ErasureKey]
    is_hashing: Callable[[], bool | None]
    """Whether this key made the hashes that are there; None where there are none."""
    is_retention_set: bool


def examine_erasure(side: ErasureSide) -> Findings:
    """The key, where somebody erased or is to shorten something."""
    yield from looked(TOPIC, CHECKED, lambda: _key(side))


def _key(side: ErasureSide) -> Findings:
    key, hashes = side.key(), side.is_hashing()
    if hashes is False:
        how = "is not the one that made the hashes" if key.value is not None else f"{key.problem}, and there are hashes"
        yield _bad(f"{how} of what was erased or shortened: it would come back", PUT_BACK)
    elif key.value is not None:
        yield good(TOPIC, CHECKED, "made the hashes that are there" if hashes else "is there; it made no hash yet")
    elif side.is_retention_set:
        yield _bad(f"{key.problem}, so JOURNAL_RETENTION_DAYS has no effect", "set it: docs/settings.md")
    elif not key.is_missing:
        yield _bad(key.problem, "mend it: docs/settings.md")
    else:
        yield good(TOPIC, CHECKED, "is not set, and nothing was erased or shortened")


def _bad(says: str, todo: str) -> Finding:
    return Finding(TOPIC, CHECKED, Result.BAD, says, todo, is_setting=True)
