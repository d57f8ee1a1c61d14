"""The storage account: clients for its queues and tables, and what their failures mean.

One account serves the Functions host and us. Clients share one pooled session each way of use: ingest must
answer within seconds, so its client gives up early and leaves the second try to Nylas; everything else is
patient for a little while and then goes back to the queue.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import TableClient, TableServiceClient
from azure.storage.queue import QueueClient, QueueServiceClient, TextBase64EncodePolicy

from mailsync.errors import ConfigurationError, Evidence, MailSyncError, Scope, TransientError
from mailsync.settings import StorageSettings
from mailsync.transport import pooled_session

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

CONNECTIONS = 64
"""Kept connections to storage: as many as items can be at work in one process."""
PATIENT: dict[str, Any] = {"retry_total": 3, "connection_timeout": 5, "read_timeout": 20}
PROMPT: dict[str, Any] = {"retry_total": 0, "connection_timeout": 1.5, "read_timeout": 2.5}
"""One attempt of at most four seconds; the storage SDK's own retries would take 80 (measured 2026-11)."""


class StorageAccount:
    """Makes the clients of one storage account."""

    def __init__(
        self, settings: StorageSettings, credential: TokenCredential | None, *, ca_bundle: str | None = None
    ) -> None:
        self._settings = settings
        self._credential = credential
        self._session = pooled_session(verify=ca_bundle or True, pool=CONNECTIONS)
        self._tables = self._table_service(PATIENT)

    def queue(self, name: str, *, prompt: bool = False) -> QueueClient:
        """A client that writes base64 text, as host.json's messageEncoding expects."""
        timing = PROMPT if prompt else PATIENT
        given = {**timing, "transport": self._transport(timing)}
        settings = self._settings
        if settings.connection_string:
            service = QueueServiceClient.from_connection_string(settings.connection_string, **given)
        else:
            service = QueueServiceClient(settings.queue_uri or "", credential=self._credential, **given)
        return service.get_queue_client(name, message_encode_policy=TextBase64EncodePolicy())

    def table(self, name: str, *, prompt: bool = False) -> TableClient:
        """A client of one table; a prompt one makes one attempt, for what can be written again later."""
        tables = self._table_service(PROMPT) if prompt else self._tables
        return tables.get_table_client(name)

    def _table_service(self, timing: dict[str, Any]) -> TableServiceClient:
        given = {**timing, "transport": self._transport(timing)}
        settings = self._settings
        if settings.connection_string:
            return TableServiceClient.from_connection_string(settings.connection_string, **given)
        return TableServiceClient(settings.table_uri or "", credential=self._credential, **given)

    def _transport(self, timing: dict[str, Any]) -> RequestsTransport:
        # use_env_settings would make requests read the environment and .netrc for each call
        return RequestsTransport(
            session=self._session,
            session_owner=False,
            use_env_settings=False,
            connection_verify=self._session.verify,
            connection_timeout=timing["connection_timeout"],
            read_timeout=timing["read_timeout"],
        )


@contextmanager
def storage_failures() -> Iterator[None]:
    """Turns what the storage SDKs raise into our own errors."""
    try:
        yield
    except AzureError as error:
        raise failure_of(error) from error


def failure_of(error: AzureError) -> MailSyncError:
    """What a failed storage call means: a role or key to mend, or trouble that passes."""
    status = error.status_code if isinstance(error, HttpResponseError) else None
    code = error_code(error)
    evidence = Evidence(vendor="storage", status=status, code=code)
    if isinstance(error, ClientAuthenticationError) or status in {401, 403}:
        return ConfigurationError(
            "the storage account refuses us; check AzureWebJobsStorage, and for an identity the roles "
            "Storage Queue Data Contributor and Storage Table Data Contributor",
            reason="storage_refused",
            scope=Scope.ORGANISATION,
            evidence=evidence,
        )
    return TransientError(
        f"the storage account did not do as asked ({code or type(error).__name__})",
        reason="storage_unavailable",
        scope=Scope.ORGANISATION,
        evidence=evidence,
    )


def error_code(error: AzureError) -> str:
    """The service's own word for a failure, such as TableNotFound; empty when there is none."""
    code = getattr(error, "error_code", None)
    if code:
        return str(getattr(code, "value", code))
    response = getattr(error, "response", None)
    try:
        body = json.loads(response.text()) if response is not None else {}
        return str(body["odata.error"]["code"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
