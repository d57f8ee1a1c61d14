"""Groups of recipients opened: one entry of a header that holds several people, or none at all.

Some providers hand on a whole group (`Sales: ann@x.example, ben@x.example;`) as one address, and the words that stand
where recipients are hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from email.utils import getaddresses

import msgspec

from mapping.message import Message, Participant

Group = tuple[Participant | None, ...]


def opened(message: Message) -> Message:
    """The message with every participant by themselves."""
    groups = {name: getattr(message, name) for name in ("from_", "to", "cc", "bcc")}
    changed = {name: tuple(_people(group)) for name, group in groups.items() if group and any(map(_is_group, group))}
    return msgspec.structs.replace(message, **changed) if changed else message


def _people(group: Iterable[Participant | None]) -> Iterator[Participant]:
    for participant in group:
        if participant is None:
            continue
        if not _is_group(participant):
            yield participant
            continue
        written = (participant.email or "").replace(";", ",").rstrip(", ")
        members = written.partition(":")[2] if ":" in written.partition("@")[0] else written
        yield from (Participant(name or None, email) for name, email in getaddresses([members]) if "@" in email)


def _is_group(participant: Participant | None) -> bool:
    """Several addresses in one, or the name of a group without any."""
    text = (participant.email if participant else None) or ""
    if text.count("@") > 1 and any(mark in text for mark in ",;"):
        return True
    told = f"{(participant.name if participant else None) or ''} {text}".strip().lower()
    has_no_address = "@" not in text and not text.startswith("/")
    return has_no_address and (text.rstrip().endswith((":;", ";")) or told.startswith("undisclosed"))
