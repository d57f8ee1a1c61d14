"""A secret in Azure Key Vault, read and set by its REST API (learn.microsoft.com, Key Vault secrets, read 2026-11).

One GET and one PUT with a token of azure-identity: no package more for the app to carry.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from mailsync.errors import ArgumentError, ConfigurationError, Evidence, MailSyncError, Scope, TransientError
from mailsync.transport import Answer, Transport

API = "2025-07-01"
PUBLIC = "vault.azure.net"
SUFFIXES = (PUBLIC, "vault.azure.cn", "vault.usgovcloudapi.net")
"""Where vaults are, by cloud; a token is sent to no other host but this machine's own."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]")


class _Secret(msgspec.Struct, frozen=True):
    value: str


class Vault:
    """One vault."""

    def __init__(self, transport: Transport, *, url: str, token: Callable[[], str]) -> None:
        self._transport = transport
        self._url = url
        self._token = token

    def get(self, name: str) -> str | None:
        """A secret's present value; None where there is none."""
        answer = self._sent("GET", name)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise _failure(answer)
        try:
            return msgspec.json.decode(answer.body, type=_Secret).value
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _trouble("the vault answered with something else than a secret", answer) from error

    def set(self, name: str, value: str) -> None:
        """Give a secret a new version."""
        answer = self._sent("PUT", name, msgspec.json.encode({"value": value}))
        if answer.status != 200:
            raise _failure(answer)

    def _sent(self, method: str, name: str, body: bytes | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {self._token()}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self._transport.send(
            method, f"{self._url}/secrets/{name}", headers=headers, body=body, params={"api-version": API}
        )


def url_of(named: str) -> str:
    """The address of the vault that a person names, by its name or its address; raises ArgumentError."""
    if _NAME.fullmatch(named):
        return f"https://{named.lower()}.{PUBLIC}"
    parts = urlsplit(named)
    host = parts.hostname or ""
    is_vault = any(host.endswith(f".{suffix}") for suffix in SUFFIXES) or host in {"127.0.0.1", "localhost"}
    if parts.scheme != "https" or not is_vault:
        raise ArgumentError(
            "this names no key vault; give its name, or its address such as https://contoso.vault.azure.net",
            reason="unknown_vault",
        )
    return f"https://{parts.netloc}"


def resource_of(url: str) -> str:
    """What a token for this vault is asked for."""
    host = urlsplit(url).hostname or ""
    return "https://" + next((suffix for suffix in SUFFIXES if host.endswith(f".{suffix}")), PUBLIC)


def _failure(answer: Answer) -> MailSyncError:
    if answer.status in {401, 403}:
        return ConfigurationError(
            "the vault refuses whoever runs this; it takes the role Key Vault Secrets Officer, and a vault behind a "
            "private endpoint is reached from its network only",
            reason="vault_refused",
            scope=Scope.ORGANISATION,
            evidence=Evidence(vendor="vault", status=answer.status),
        )
    return _trouble(f"the vault did not do as asked ({answer.status})", answer)


def _trouble(message: str, answer: Answer) -> TransientError:
    return TransientError(
        message,
        reason="vault_unavailable",
        scope=Scope.ORGANISATION,
        evidence=Evidence(vendor="vault", status=answer.status),
    )
