"""What a request asks, whether it came alone or in a batch: its headers, its body, and the row its path names.

Pure. Query options are `queries`' business, what a body means for a row `bodies`'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

import msgspec

from sandbox.dataverse.model import Model, Table
from sandbox.dataverse.queries import PAGE_CAP
from sandbox.dataverse.refusals import PAYLOAD, ODataError, no_path, no_resource, syntax
from sandbox.dataverse.values import GUID

T = TypeVar("T")

_ROOT = re.compile(r"(?:https?://[^/]+)?/api/data/v9\.[0-2](?:/|$)")
_SEGMENT = re.compile(r"([A-Za-z_$][\w.$]*)(?:\((.*)\))?")


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the Prefer header asks for."""

    representation: bool = False
    page: int | None = None
    annotations: tuple[str, ...] = ()
    continue_on_error: bool = False

    def wants(self, annotation: str) -> bool:
        """Whether this annotation was asked for."""
        return any(
            pattern in ("*", annotation) or (pattern.endswith("*") and annotation.startswith(pattern[:-1]))
            for pattern in self.annotations
        )


@lru_cache(maxsize=256)
def preferences(header: str) -> Preferences:
    """The preferences of a Prefer header."""
    page = re.search(r"odata\.maxpagesize\s*=\s*(\d+)", header)
    names = re.search(r'odata\.include-annotations\s*=\s*"([^"]*)"', header)
    return Preferences(
        representation="return=representation" in header,
        page=min(int(page[1]), PAGE_CAP) if page and int(page[1]) else None,
        annotations=tuple(name.strip() for name in names[1].split(",")) if names else (),
        continue_on_error="odata.continue-on-error" in header and "continue-on-error=false" not in header,
    )


@dataclass(slots=True)
class Request:
    """One request as the tables see it."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    root: str
    caller: str
    refs: dict[str, tuple[Table, str]] | None = None  # by Content-ID, inside a change set
    made: set[str] = field(default_factory=set)  # rows created in the same change set

    @property
    def prefer(self) -> Preferences:
        """What the Prefer header asks for."""
        return preferences(self.headers.get("prefer", ""))

    def condition(self, name: str) -> str | None:
        """If-Match or If-None-Match; the word null asks for nothing."""
        value = self.headers.get(name)
        return None if value in (None, "", "null") else value

    def reference(self, name: str) -> tuple[Table, str]:
        """The row that `$1` and its like stand for: what the request of that Content-ID made."""
        if self.refs is None or name[1:] not in self.refs:
            raise ODataError(400, PAYLOAD, f"Content-ID Reference: '{name}' does not exist in the batch context.")
        return self.refs[name[1:]]

    def payload(self) -> dict[str, object]:
        """The JSON object of the body."""
        payload = self._decoded(object)
        if not isinstance(payload, dict):
            raise ODataError(400, PAYLOAD, "Error reading the JSON of the request: an object is expected.")
        return payload

    def parameters(self, kind: type[T]) -> T:
        """The parameters of an action, as its own type declares them."""
        return self._decoded(kind)

    def _decoded(self, kind: type[T]) -> T:
        content_type = self.headers.get("content-type", "")
        if not content_type.lower().startswith("application/json"):
            raise ODataError(
                400, PAYLOAD, f"A supported Content-Type must be given: application/json, not '{content_type}'."
            )
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ODataError(400, PAYLOAD, f"Error reading the JSON of the request: {error}") from None


def below_root(address: str) -> str | None:
    """What follows the root of the Web API, or None when an address does not begin there."""
    found = _ROOT.match(address)
    return address[found.end() :] if found else None


def relative(address: str) -> str:
    """What follows the root of the Web API; 404 for an address that begins elsewhere."""
    path = below_root(address)
    if path is None:
        raise no_path(address)
    return path


def segment(text: str) -> tuple[str, str | None]:
    """The name in a segment of a path and the key in its parentheses; None when it has none."""
    found = _SEGMENT.fullmatch(text)
    return (found[1], found[2]) if found else (text, None)


def row_at(model: Model, path: str) -> tuple[Table, str]:
    """The row that an address relative to the root names."""
    name, key = segment(path)
    if key is None:
        raise syntax(f"'{path}' does not name a row.")
    if name not in model.sets:
        raise no_resource(name, 400)
    return model.sets[name], id_of(model.sets[name], key)


def id_of(table: Table, key: str) -> str:
    """The id in the parentheses of an address."""
    text = key.removeprefix(f"{table.key}=")
    if not GUID.fullmatch(text):
        raise syntax(f"'{text}' is not the key of a row of '{table.set}': a GUID without quotes.")
    return text.lower()
