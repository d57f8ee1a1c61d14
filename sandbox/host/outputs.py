"""What a function gives back on its way into a queue: the rules of the real host's JSON library.

Pure. Where a message goes and that it is sent after success only is the business of `runner`.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import azure.functions as func

from sandbox.host.errors import FunctionError

ISO_DATE = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,7}))?(Z|([+-])(\d{2}):(\d{2}))?", re.ASCII)


class Out(func.Out[Any]):
    """Holds what a function sets on an output parameter."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        """Keep the value until the function has returned."""
        self._value = val

    def get(self) -> Any:
        """The value set last."""
        return self._value


def queue_bodies(value: Any) -> list[bytes]:
    """The messages that the host sends for one value of a queue output.

    Bytes go unchanged. Text that looks like JSON is parsed and written again: an array becomes a message for
    each element, an object an indented text with its dates normalised.
    """
    if isinstance(value, bytes):
        return [value]
    if isinstance(value, func.QueueMessage):
        return [_element({"id": value.id, "body": value.get_body().decode()})]
    if isinstance(value, list | tuple):
        if any(not isinstance(item, str | func.QueueMessage) for item in value):
            raise FunctionError("a list for a queue holds strings and queue messages only")
        return [body for item in value for body in ([item.encode()] if isinstance(item, str) else queue_bodies(item))]
    if not isinstance(value, str):
        raise FunctionError(f"a queue output cannot hold a {type(value).__name__}")
    text = value.strip()
    if len(text) < 2 or text[0] + text[-1] not in {"{}", "[]"}:
        return [value.encode()]
    try:
        parsed = _host_json(json.loads(text))
    except ValueError as error:
        raise FunctionError(f"the host cannot parse a queue output that looks like JSON: {error}") from error
    return [_element(item) for item in (parsed if isinstance(parsed, list) else [parsed])]


def host_date(text: str) -> str:
    """An ISO date as the host's JSON library writes it again: fraction trimmed, another zone turned to UTC."""
    match = ISO_DATE.fullmatch(text)
    if match is None:
        return text
    clock, fraction, zone, sign, hours, minutes = match.groups()
    try:
        moment = dt.datetime.fromisoformat(clock)
    except ValueError:
        return text
    if sign:
        offset = dt.timedelta(hours=int(hours), minutes=int(minutes))
        moment += offset if sign == "-" else -offset
        zone = "+00:00"
    fraction = (fraction or "").rstrip("0")
    return moment.isoformat() + (f".{fraction}" if fraction else "") + (zone or "")


def _host_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _host_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_host_json(item) for item in value]
    return host_date(value) if isinstance(value, str) else value


def _element(value: Any) -> bytes:
    """One element of a JSON array as the host turns it into a message."""
    if isinstance(value, str):
        return value.encode()
    if value is None:
        return b""
    if isinstance(value, bool):
        return str(value).encode()
    return json.dumps(value, indent=2, ensure_ascii=False).encode()
