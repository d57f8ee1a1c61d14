"""Stands in for the secrets of an Azure Key Vault: GET and PUT /secrets/{name}, with versions.

Shapes and codes: learn.microsoft.com, rest/api/keyvault/secrets and "Authentication, requests and responses", read
2026-11. Roles are left out: whoever has a token for vaults may do both, unless `refusing`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive, Scope, Send

RESOURCE = "https://vault.azure.net"
_PATH = re.compile(r"/secrets/([0-9A-Za-z-]{1,127})")
_LARGEST = 25_600
"""Bytes of a secret."""


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    value: str


class VaultStandIn:
    """One vault."""

    def __init__(
        self, authorise: Callable[[str, str], bool], *, then: Callable[[str, str], None] | None = None
    ) -> None:
        """`then` is told each new version, as an app that follows references to the vault would be."""
        self.versions: dict[str, list[str]] = {}
        """Every value that a secret ever had, the newest last."""
        self.refusing: frozenset[str] = frozenset()
        """HTTP methods that the caller's role does not allow."""
        self._authorise = authorise
        self._then = then

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        status, shown = self._answer(scope, body)
        told = msgspec.json.encode(shown)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(told)).encode())]
        if status == 401:
            headers.append((b"www-authenticate", f'Bearer resource="{RESOURCE}"'.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": told})

    def _answer(self, scope: Scope, body: bytes) -> tuple[int, dict[str, object]]:
        token = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
        if not self._authorise(token, RESOURCE):
            return _error(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
        named = _PATH.fullmatch(scope["path"])
        if named is None or "api-version" not in parse_qs(scope["query_string"].decode()):
            return _error(400, "BadParameter", "A secret's name and an api-version are needed.")
        method, name = scope["method"], named[1]
        if method in self.refusing:
            return _error(403, "Forbidden", "Caller is not authorized to perform action on resource.")
        if method == "GET":
            if name not in self.versions:
                return _error(404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault.")
            return 200, _shown(name, self.versions[name][-1])
        if method == "PUT":
            return self._set(name, body)
        return _error(405, "MethodNotAllowed", method)

    def _set(self, name: str, body: bytes) -> tuple[int, dict[str, object]]:
        try:
            value = msgspec.json.decode(body, type=_Body).value
        except msgspec.MsgspecError as error:
            return _error(400, "BadParameter", str(error))
        if len(value.encode()) > _LARGEST:
            return _error(400, "BadParameter", "The secret is too long.")
        self.versions.setdefault(name, []).append(value)
        if self._then is not None:
            self._then(name, value)
        return 200, _shown(name, value)


def _shown(name: str, value: str) -> dict[str, object]:
    return {"value": value, "id": f"/secrets/{name}/{uuid.uuid4().hex}", "attributes": {"enabled": True}}


def _error(status: int, code: str, message: str) -> tuple[int, dict[str, object]]:
    return status, {"error": {"code": code, "message": message}}
