"""What an app is configured by: its application settings and its host.json.

Responsible for names, defaults and limits as the real host has them. What is done with them is everybody else's.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sandbox.host.errors import HostError

FIRST_POLL = 0.1
"""Seconds until an empty queue is asked again for the first time."""


class Settings:
    """Application settings, whose names are not case-sensitive."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in values.items()}

    def get(self, name: str) -> str | None:
        """A setting's value, or None."""
        return self._values.get(name.lower())

    def resolve(self, text: str) -> str:
        """The text with every `%SETTING%` replaced; a missing one is an error."""

        def value(match: re.Match[str]) -> str:
            if found := self.get(match[1]):
                return found
            raise HostError(f"'%{match[1]}%' does not resolve: there is no such setting")

        return re.sub(r"%([^%]+)%", value, text)

    def connection(self, name: str | None) -> str:
        """The connection string of a binding's `connection`."""
        name = name or "Storage"
        for candidate in (f"AzureWebJobs{name}", name):
            if found := self.get(candidate):
                return found
            if any(key.startswith(f"{candidate.lower()}__") for key in self._values):
                raise HostError(f"'{candidate}' connects by identity, which only the real host can")
        raise HostError(f"the connection '{name}' is missing: neither AzureWebJobs{name} nor {name} is set")

    def disabled(self, function: str) -> bool:
        """Whether a setting switches this function off."""
        return (self.get(f"AzureWebJobs.{function}.Disabled") or "").lower() in {"true", "1"}


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """host.json's `extensions.queues` with the extension's defaults and limits."""

    batch_size: int
    new_batch_threshold: int
    max_dequeue_count: int
    visibility_timeout: float
    max_polling_interval: float
    base64: bool

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Self:
        """Read the section."""
        batch_size = int(section.get("batchSize", 16))
        polling = _seconds(str(section.get("maxPollingInterval", "00:01:00")))
        encoding = str(section.get("messageEncoding", "base64")).lower()
        max_dequeue_count = int(section.get("maxDequeueCount", 5))
        if not 1 <= batch_size <= 32:
            raise HostError(f"host.json: batchSize must be 1 to 32, not {batch_size}")
        if max_dequeue_count < 1:
            raise HostError("host.json: maxDequeueCount must be at least 1")
        if polling < FIRST_POLL:
            raise HostError("host.json: maxPollingInterval must be at least 00:00:00.100")
        if encoding not in {"base64", "none"}:
            raise HostError(f"host.json: messageEncoding must be base64 or none, not {encoding}")
        return cls(
            batch_size=batch_size,
            new_batch_threshold=int(section.get("newBatchThreshold", batch_size // 2 * (os.cpu_count() or 1))),
            max_dequeue_count=max_dequeue_count,
            visibility_timeout=_seconds(str(section.get("visibilityTimeout", "00:00:00"))),
            max_polling_interval=polling,
            base64=encoding == "base64",
        )

    @property
    def concurrency(self) -> int:
        """Messages of one queue that can be in work at once."""
        return self.batch_size + self.new_batch_threshold

    def encode(self, body: bytes) -> str:
        """The text that stands in the queue for this body."""
        return base64.b64encode(body).decode("ascii") if self.base64 else body.decode("utf-8")

    def decode(self, text: str) -> bytes:
        """The body that a queue's text stands for; ValueError when it is not base64 and should be."""
        return base64.b64decode("".join(text.split()), validate=True) if self.base64 else text.encode("utf-8")


@dataclass(frozen=True, slots=True)
class HostJson:
    """What this host reads in host.json."""

    has_bundle: bool
    """Whether there is an extension bundle, without which the real host knows HTTP and timers only."""
    route_prefix: str
    queues: QueueOptions

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file; HostError when there is none or it is not version 2.0."""
        document = _document(path)
        extensions = document.get("extensions", {})
        return cls(
            has_bundle=bool(document.get("extensionBundle")),
            route_prefix=str(extensions.get("http", {}).get("routePrefix", "api")).strip("/"),
            queues=QueueOptions.of(extensions.get("queues", {})),
        )


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise HostError(f"there is no host.json in {path.parent}") from None
    except ValueError as error:
        raise HostError(f"host.json is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("version") != "2.0":
        raise HostError('host.json is not an object with "version": "2.0"')
    return document


def _seconds(text: str) -> float:
    """Seconds of a .NET time span such as 00:00:02 or 00:00:00.100."""
    match = re.fullmatch(r"(?:(\d+)\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2}(?:\.\d{1,7})?))?", text)
    if match is None:
        raise HostError(f"host.json: '{text}' is not a time span such as 00:00:30")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
