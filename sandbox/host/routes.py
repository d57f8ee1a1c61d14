"""HTTP without sockets: whose function a request is, who may call it, what the function sees and what goes back."""

from __future__ import annotations

import contextlib
import hmac
import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import azure.functions as func

from sandbox.host.errors import FunctionError, HostError
from sandbox.host.functions import Function

JSON = (("content-type", "application/json; charset=utf-8"),)
_TEXT = (("content-type", "text/plain; charset=utf-8"),)
_PARAMETER = re.compile(r"\{(\*{0,2})([A-Za-z_]\w*)(:int)?(\?)?\}")


@dataclass(frozen=True, slots=True)
class Keys:
    """The two keys of an app; a host that has none asks for none, as `func start` does."""

    function: str
    master: str

    def open(self, level: str, given: str) -> bool:
        """Whether this key is enough for a function of this level."""
        if level == "ANONYMOUS":
            return True
        accepted = [self.master] if level == "ADMIN" else [self.master, self.function]
        return any(hmac.compare_digest(given.encode(), key.encode()) for key in accepted)


class Route:
    """An HTTP function's path and methods."""

    def __init__(self, function: Function, path: str) -> None:
        self.function = function
        self.level = str(function.trigger.get("authLevel") or "FUNCTION").upper()
        methods = function.trigger.get("methods")
        self._methods = {str(method).upper() for method in methods} if methods else None
        self._pattern = re.compile("".join(map(self._segment, path.split("/"))) + "/?", re.IGNORECASE)

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The route parameters when this request is the function's, else None."""
        if self._methods is not None and method not in self._methods:
            return None
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        return {name: urllib.parse.unquote(value) for name, value in found.groupdict().items() if value is not None}

    @staticmethod
    def _segment(segment: str) -> str:
        parameter = _PARAMETER.fullmatch(segment)
        if parameter is None:
            if "{" in segment:
                raise HostError(f"this host does not know the route segment '{segment}'")
            return "/" + re.escape(segment)
        star, name, number, optional = parameter.groups()
        if star:
            return f"(?:/(?P<{name}>.*))?"
        one = f"/(?P<{name}>{r'-?[0-9]+' if number else '[^/]+'})"
        return f"(?:{one})?" if optional else one


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request as it came."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, scope: Mapping[str, Any], body: bytes) -> Self:
        """Read an ASGI scope; repeated headers are joined."""
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
        return cls(scope["method"], path, query, headers, body)

    @property
    def parameters(self) -> dict[str, str]:
        """Query parameters as a function sees them: repeated ones joined, empty ones gone."""
        joined: dict[str, str] = {}
        for name, value in urllib.parse.parse_qsl(self.query, keep_blank_values=True):
            joined[name] = f"{joined[name]},{value}" if name in joined else value
        return {name: value for name, value in joined.items() if value}

    @property
    def key(self) -> str:
        """The key that the caller gives, or nothing."""
        return self.headers.get("x-functions-key") or self.parameters.get("code", "")

    def request(self, route_values: Mapping[str, str]) -> func.HttpRequest:
        """What the function gets; the real host hands a worker no body of unknown length."""
        url = f"http://{self.headers.get('host', '127.0.0.1')}{self.path}"
        return func.HttpRequest(
            method=self.method,
            url=f"{url}?{self.query}" if self.query else url,
            headers=self.headers,
            params=self.parameters,
            route_params=route_values,
            body=self.body if "content-length" in self.headers else b"",
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, value: object) -> Self:
        """What the host makes of an HTTP function's return value."""
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                if isinstance(json.loads(value), dict | list):
                    return cls(200, value.encode(), JSON)
            return cls(200, value.encode(), _TEXT)
        if not isinstance(value, func.HttpResponse):
            raise FunctionError(f"an HTTP function returned a {type(value).__name__}, not a response")
        own = {"content-length", "transfer-encoding", "connection"}
        headers = [(name.lower(), text) for name, text in value.headers.items() if name.lower() not in own]
        if not any(name == "content-type" for name, _ in headers):
            kind = str(value.mimetype)
            headers.append(("content-type", f"{kind}; charset={value.charset}" if kind.startswith("text/") else kind))
        return cls(value.status_code, value.get_body() or b"", tuple(headers))
