"""The policy's keys as a JSON schema and as a reference page: both are made from the one table of keys."""

from __future__ import annotations

from typing import Any

from mapping.policy import (
    FILE_KEYS,
    MAILBOX_OWNER,
    ORGANISATION_KEYS,
    SCREEN_KEYS,
    TABLE_KEYS,
    Choice,
    Entries,
    Flag,
    Key,
    Text,
)


def schema_of_policy() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of tracking.toml."""
    whole = _table(FILE_KEYS)
    regarding = whole["properties"]["regarding"]["properties"]
    regarding["tables"] = {"type": "array", "items": {**_table(TABLE_KEYS), "required": ["name", "table"]}}
    whole["properties"]["mailboxes"] = {
        "type": "object",
        "description": "Rules of single mailboxes, by their address; they can only narrow.",
        "additionalProperties": _table((*SCREEN_KEYS, MAILBOX_OWNER), with_defaults=False),
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "tracking.toml", **whole}


def reference_of_policy() -> str:
    """The keys as tables in Markdown."""
    parts = (
        ("Rules", "Every one may stand under a mailbox too, where it can only narrow.", SCREEN_KEYS),
        ("The organisation", "", ORGANISATION_KEYS),
        ("Under a mailbox", "Besides the rules.", (MAILBOX_OWNER,)),
        ("Each `[[regarding.tables]]`", "", TABLE_KEYS),
    )
    return "\n\n".join(_section(title, told, keys) for title, told, keys in parts)


def _table(keys: tuple[Key, ...], *, with_defaults: bool = True) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for key in keys:
        *tables, name = key.path
        inside = properties
        for table in tables:
            inner = inside.setdefault(table, {"type": "object", "additionalProperties": False, "properties": {}})
            inside = inner["properties"]
        inside[name] = _value(key, with_default=with_defaults)
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _value(key: Key, *, with_default: bool) -> dict[str, Any]:
    described: dict[str, Any] = {"description": key.says}
    default = list(key.default) if isinstance(key.default, tuple) else key.default
    if with_default and default not in (None, ""):
        described["default"] = default
    match key.takes:
        case Choice(allowed):
            return {"enum": list(allowed), **described}
        case Entries():
            return {"type": "array", "items": {"type": "string"}, **described}
        case Text():
            return {"type": "string", **described}
        case Flag():
            return {"type": "boolean", **described}


def _section(title: str, told: str, keys: tuple[Key, ...]) -> str:
    rows = [f"| `{key.name}` | {_taken(key)} | {_default(key)} | {key.says} |" for key in keys]
    head = [f"## {title}", *([told] if told else [])]
    return "\n\n".join((*head, "\n".join(("| key | takes | default | says |", "|---|---|---|---|", *rows))))


def _taken(key: Key) -> str:
    match key.takes:
        case Choice(allowed):
            return ", ".join(f"`{word}`" for word in allowed)
        case Entries(wanted=wanted):
            return f"a list, each entry {wanted}"
        case Text(wanted=wanted):
            return wanted
        case Flag():
            return "`true`, `false`"


def _default(key: Key) -> str:
    if isinstance(key.default, tuple):
        return ", ".join(f"`{one}`" for one in key.default) or "none"
    if isinstance(key.default, bool):
        return f"`{str(key.default).lower()}`"
    return f"`{key.default}`" if key.default else "none"
