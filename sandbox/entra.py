"""Stands in for Microsoft Entra: tokens for an application that shows its client secret.

Responsible for what azure-identity asks when its authority host is this server and instance discovery is off:
the tenant's OpenID configuration and the v2.0 token endpoint. `authorise` tells whether a token is good.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

DEFAULT_SCOPE = "/.default"


class EntraStandIn:
    """One tenant with one application in it."""

    def __init__(
        self,
        tenant: str,
        client_id: str,
        client_secret: str,
        *,
        life: float = 3599,
        resources: Collection[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.tenant = tenant
        self.client_id = client_id
        self.client_secret = client_secret
        self.life = life
        """Seconds for which a token issued from now on is good."""
        self.resources = resources
        """The resources this tenant knows; None: any https URL."""
        self.delay = 0.0
        self.issued = 0
        """Tokens issued so far."""
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[str, float]] = {}

    def authorise(self, token: str, resource: str | None = None) -> bool:
        """Whether the token is ours, in time, and (when one is named) meant for this resource."""
        with self._lock:
            audience, expires = self._tokens.get(token, ("", 0.0))
        return self._clock() < expires and (resource is None or audience == resource.rstrip("/"))

    def revoke(self) -> None:
        """Forget every token issued so far."""
        with self._lock:
            self._tokens.clear()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        if self.delay:
            await asyncio.sleep(self.delay)
        try:
            answer = self._answer(request, body)
        except _Refused as refused:
            answer = JSONResponse(refused.body(request, self._clock()), refused.status)
        answer.headers["Cache-Control"] = "no-store, no-cache"
        await answer(scope, receive, send)

    def _answer(self, request: Request, body: bytes) -> Response:
        tenant, _, endpoint = request.url.path.lstrip("/").partition("/")
        allowed = {"v2.0/.well-known/openid-configuration": "GET", "oauth2/v2.0/token": "POST"}.get(endpoint)
        if allowed is None:
            return Response(status_code=404)
        if request.method != allowed:
            return Response(status_code=405, headers={"Allow": allowed})
        if tenant.lower() != self.tenant.lower():
            raise _Refused(400, "invalid_tenant", 90002, f"Tenant '{tenant}' not found.")
        return self._configuration(request) if allowed == "GET" else self._token(request, body)

    def _configuration(self, request: Request) -> Response:
        host = f"{request.url.scheme}://{request.url.netloc}"
        here = f"{host}/{self.tenant}"
        return JSONResponse(
            {
                "token_endpoint": f"{here}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "jwks_uri": f"{here}/discovery/v2.0/keys",
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "issuer": f"{here}/v2.0",
                "authorization_endpoint": f"{here}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{here}/oauth2/v2.0/devicecode",
                "end_session_endpoint": f"{here}/oauth2/v2.0/logout",
                "tenant_region_scope": "EU",
            }
        )

    def _token(self, request: Request, body: bytes) -> Response:
        form = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}
        client_id, secret = _client(request, form)
        if not (grant_type := form.get("grant_type")):
            raise _Refused(400, "invalid_request", 900144, _missing("grant_type"))
        if grant_type != "client_credentials":
            described = f"The app requested an unsupported grant type '{grant_type}'."
            raise _Refused(400, "unsupported_grant_type", 70003, described)
        if not client_id:
            raise _Refused(400, "invalid_request", 900144, _missing("client_id"))
        if client_id.lower() != self.client_id.lower():
            described = f"Application with identifier '{client_id}' was not found in '{self.tenant}'."
            raise _Refused(400, "unauthorized_client", 700016, described)
        if not secret:
            described = "'client_assertion' or 'client_secret' is required for 'client_credentials'."
            raise _Refused(401, "invalid_client", 7000216, described)
        if not secrets.compare_digest(secret.encode(), self.client_secret.encode()):
            described = f"Invalid client secret provided for app '{client_id}'."
            raise _Refused(401, "invalid_client", 7000215, described)
        token = self._issue(self._resource(form.get("scope", "")), request)
        life = int(self.life)
        return JSONResponse({"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token})

    def _resource(self, asked: str) -> str:
        if not asked:
            raise _Refused(400, "invalid_request", 900144, _missing("scope"))
        resource = asked.removesuffix(DEFAULT_SCOPE)
        if resource == asked or " " in asked:
            described = f"The scope '{asked}' is not valid: client credentials need '<resource>/.default'."
            raise _Refused(400, "invalid_scope", 1002012, described)
        resource = resource.rstrip("/")
        known = resource.startswith("https://") if self.resources is None else resource in self.resources
        if not known:
            described = f"The resource principal named {resource} was not found in the tenant."
            raise _Refused(400, "invalid_resource", 500011, described)
        return resource

    def _issue(self, resource: str, request: Request) -> str:
        """Three base64url parts like a real token, signed by nobody: only `authorise` knows it is good."""
        now = self._clock()
        claims = {
            "aud": resource,
            "iss": f"{request.url.scheme}://{request.url.netloc}/{self.tenant}/",
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now + self.life),
            "appid": self.client_id,
            "appidacr": "1",
            "tid": self.tenant,
            "uti": secrets.token_urlsafe(16),
            "ver": "1.0",
        }
        parts = (b'{"typ":"JWT","alg":"RS256"}', json.dumps(claims).encode(), secrets.token_bytes(256))
        token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        with self._lock:
            self.issued += 1
            self._tokens[token] = (resource, now + self.life)
        return token


class _Refused(Exception):  # noqa: N818 - an answer, not a mistake
    """An OAuth error in the shape of Entra: `error`, and an AADSTS code in the description."""

    def __init__(self, status: int, error: str, code: int, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.code = code

    def body(self, request: Request, now: float) -> dict[str, object]:
        trace = str(uuid.uuid4())
        correlation = request.headers.get("client-request-id") or str(uuid.uuid4())
        timestamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        seen = f"Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}"
        return {
            "error": self.error,
            "error_description": f"AADSTS{self.code}: {self} {seen}",
            "error_codes": [self.code],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"{request.url.scheme}://{request.url.netloc}/error?code={self.code}",
        }


def _client(request: Request, form: dict[str, str]) -> tuple[str | None, str | None]:
    """The application and its secret, from the form or from Basic credentials."""
    kind, _, credentials = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        client_id, _, secret = base64.b64decode(credentials).decode().partition(":")
        return unquote_plus(client_id), unquote_plus(secret)
    return form.get("client_id"), form.get("client_secret")


def _missing(name: str) -> str:
    return f"The request body must contain the following parameter: '{name}'."
