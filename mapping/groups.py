"""Groups of recipients opened: one entry of a header that holds several people, or none at all.

Some providers hand on a whole group (`Sales: ann@x.example, ben@x.example;`) as one address, and the words that stand
where recipients are hidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from mapping.message import Message, Participant

Group = tuple[Participant | None, ...]

# Not email.utils.getaddresses: newer Pythons answer nobody at all where one member is odd, and nested comments and
# groups bring every one of them to its recursion limit.
_MEMBER = re.compile(r"(?:\"[^\"]*\"|<[^<>]*>|[^,;\"<]|[\"<])++")
_LABEL = re.compile(r"\A\s*[^\"<>@:]*:")


def opened(message: Message) -> Message:
    """The message with every participant by themselves."""
    groups = {name: getattr(message, name) for name in ("from_", "to", "cc", "bcc")}
    changed = {name: tuple(_people(group)) for name, group in groups.items() if group and any(map(_is_group, group))}
    return msgspec.structs.replace(message, **changed) if changed else message


def _people(group: Iterable[Participant | None]) -> Iterator[Participant]:
    for participant in group:
        if participant is None:
            continue
        if _is_group(participant):
            yield from (one for one in map(_member, _MEMBER.findall(participant.email or "")) if one is not None)
        else:
            yield participant


def _member(written: str) -> Participant | None:
    """One member of a group, written as in a header; None where no address is written."""
    name, _, address = _LABEL.sub("", written).rpartition("<")
    address, _, comment = address.partition(">")[0].partition("(")
    address = (address + comment.rpartition(")")[2]).strip()
    return Participant(name.replace('"', "").strip() or None, address) if "@" in address else None


def _is_group(participant: Participant | None) -> bool:
    """Several addresses in one, or one with the end of a group behind it, or the name of a group without any."""
    text = (participant.email if participant else None) or ""
    if "@" in text:
        return text.rstrip().endswith(";") or (text.count("@") > 1 and any(mark in text for mark in ",;"))
    told = f"{(participant.name if participant else None) or ''} {text}".strip().lower()
    return not text.startswith("/") and (text.rstrip().endswith(";") or told.startswith("undisclosed"))
