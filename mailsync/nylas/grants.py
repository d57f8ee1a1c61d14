"""Lists the connected mailboxes through Nylas' own SDK, which does this right; its failures become ours."""

from __future__ import annotations

from dataclasses import dataclass

import requests
from nylas import Client
from nylas.models.errors import NylasApiError, NylasSdkTimeoutError

from mailsync.errors import ConfigurationError, Evidence, MailSyncError, Scope, TransientError
from mailsync.nylas.answers import failure_of
from mailsync.transport import Answer

PAGE = 200
"""The largest page of GET /v3/grants (Nylas' SDK, read 2026-11)."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One connected mailbox as a listing shows it."""

    id: str
    email: str
    provider: str
    status: str
    connected: int | None


class Grants:
    """The grants of one Nylas application."""

    def __init__(self, *, api_uri: str, api_key: str) -> None:
        self._client = Client(api_key=api_key, api_uri=api_uri, timeout=30)

    def all(self) -> tuple[Grant, ...]:
        """Every grant, valid or not; one request for each 200."""
        found: dict[str, Grant] = {}
        offset = 0
        while True:
            page = self._page(offset)
            found.update((grant.id, grant) for grant in page)
            offset += PAGE
            if len(page) < PAGE:
                return tuple(found.values())

    def _page(self, offset: int) -> list[Grant]:
        try:
            listed = self._client.grants.list(query_params={"limit": PAGE, "offset": offset})
        except NylasApiError as error:
            raise _refused(error) from error
        except (NylasSdkTimeoutError, requests.RequestException) as error:
            raise _trouble(f"Nylas gave no answer ({type(error).__name__})") from error
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            # what the SDK raises on an error body that isn't an object (nylas-python issue 401, open 2026-11)
            raise _trouble(f"Nylas' listing of grants could not be read ({type(error).__name__})") from error
        return [
            Grant(
                id=grant.id,
                email=grant.email or "",
                provider=grant.provider or "",
                status=grant.grant_status or "",
                connected=grant.created_at,
            )
            for grant in listed.data
        ]


def _refused(error: NylasApiError) -> MailSyncError:
    if error.status_code in {401, 403}:
        return ConfigurationError(
            "Nylas refuses to list the grants; check NYLAS_API_KEY and the region in NYLAS_API_URI",
            reason="nylas_key",
            scope=Scope.ORGANISATION,
            evidence=Evidence(vendor="nylas", status=error.status_code, request_id=error.request_id or ""),
        )
    return failure_of(Answer(status=error.status_code or 0, headers=error.headers or {}, body=b""))


def _trouble(message: str) -> TransientError:
    return TransientError(
        message, reason="nylas_unavailable", scope=Scope.ORGANISATION, evidence=Evidence(vendor="nylas")
    )
