"""One access token, kept for its whole life; when it is due, one thread fetches the next and the others wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from azure.core.exceptions import AzureError, ClientAuthenticationError

from mailsync.errors import ConfigurationError, Evidence, MailSyncError, Scope, TransientError
from mailsync.gates import Gate
from mailsync.telemetry import measure

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

ENTRAS_OWN_TROUBLE = frozenset({"AADSTS90033", "AADSTS90006", "AADSTS90014", "AADSTS50196"})
"""Codes of trouble in Entra itself, and of its throttling, that pass."""
NO_ANSWER = (
    "http error: 5",
    "http error: 429",
    "connection",
    "timed out",
    "timeout",
    "max retries",
    "unreachable",
    "resolve",
    "temporarily_unavailable",
)
EARLY = 300
"""Seconds before its end that a token counts as spent."""


class Tokens:
    """Access tokens for one resource, from an azure-identity credential.

    The credential is made anew when Dataverse refuses a token: azure-identity would give the same one again.
    """

    def __init__(self, make_credential: Callable[[], TokenCredential], *, resource: str, gate: Gate) -> None:
        self._make_credential = make_credential
        self._credential: TokenCredential | None = None
        self._gate = gate
        self._scope = f"{resource}/.default"
        self._lock = threading.Lock()
        self._token: AccessToken | None = None

    def current(self) -> str:
        """A token that is good for some minutes more; raises TransientError or ConfigurationError."""
        token = self._token
        if token is not None and token.expires_on - EARLY > time.time():
            return token.token
        with self._lock:
            if self._token is None or self._token is token:
                self._token = self._fetched()
            return self._token.token

    def refused(self, token: str) -> None:
        """Forget a token that Dataverse answered 401 to."""
        with self._lock:
            if self._token is not None and self._token.token == token:
                self._token = self._credential = None

    def _fetched(self) -> AccessToken:
        with self._gate.passing():
            try:
                if self._credential is None:
                    self._credential = self._make_credential()
                token = self._credential.get_token(self._scope)
            except AzureError as error:
                failure = failure_of(error)
                measure("mailsync.token.refreshes", 1, result=failure.reason)
                raise failure from error
            measure("mailsync.token.refreshes", 1, result="fetched")
            return token


def failure_of(error: AzureError) -> MailSyncError:
    """What a failed token request means.

    azure-identity raises ClientAuthenticationError both when Entra refuses (its message then holds an AADSTS
    code) and when no credential could reach Entra at all (measured on 1.27, 2026-11).
    """
    told = str(error)
    code = next((word.strip(":,.'\"") for word in told.split() if word.startswith("AADSTS")), "")
    if code not in ENTRAS_OWN_TROUBLE and (code or _is_refusal(error, told)):
        return ConfigurationError(
            f"Entra gives no token ({code or type(error).__name__}); check AZURE_TENANT_ID, AZURE_CLIENT_ID and "
            "AZURE_CLIENT_SECRET, or the function app's managed identity",
            reason="entra_refused",
            scope=Scope.ORGANISATION,
            evidence=Evidence(vendor="entra", code=code),
        )
    return TransientError(
        "Entra gave no answer",
        reason="entra_unreachable",
        scope=Scope.ORGANISATION,
        evidence=Evidence(vendor="entra"),
    )


def _is_refusal(error: AzureError, told: str) -> bool:
    lowered = told.lower()
    return isinstance(error, ClientAuthenticationError) and not any(sign in lowered for sign in NO_ANSWER)
