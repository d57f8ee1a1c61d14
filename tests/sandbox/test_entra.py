"""azure-identity, unmodified and over TLS, takes the stand-in for Entra."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential, DefaultAzureCredential, EnvironmentCredential

from sandbox.entra import EntraStandIn
from sandbox.servers import Certificate, Server

TENANT = "5b1f9a3e-0c57-4f0e-9d0a-6f8b7a1c2d3e"
CLIENT = "0f3c1d52-77aa-4d0b-8b54-3c2e1f0a9b8c"
SECRET = "k8Q~a secret & with = signs+"
DATAVERSE = "https://contoso.crm.example.com"


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def entra(clock: Clock) -> EntraStandIn:
    return EntraStandIn(TENANT, CLIENT, SECRET, clock=clock)


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return Certificate()


@pytest.fixture
def server(
    entra: EntraStandIn, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.bundle(tmp_path / "bundle.pem")))
    with Server(entra.app, certificate=certificate) as server:
        monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
        monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
        monkeypatch.setenv("AZURE_CLIENT_SECRET", SECRET)
        yield server


@pytest.mark.parametrize("written", ["https://127.0.0.1:{port}", "127.0.0.1:{port}", "https://localhost:{port}/"])
def test_default_credential_gets_a_token_for_two_requests_and_keeps_it(
    server: Server, entra: EntraStandIn, written: str
) -> None:
    authority = written.format(port=server.port)
    with DefaultAzureCredential(authority=authority, disable_instance_discovery=True) as credential:
        first = credential.get_token(f"{DATAVERSE}/.default")
        assert (server.requests, server.connections, entra.issued) == (2, 1, 1)
        assert credential.get_token(f"{DATAVERSE}/.default").token == first.token
        assert (server.requests, entra.issued) == (2, 1)
    assert entra.authorise(first.token)


def test_the_authority_host_may_come_from_the_environment(
    server: Server, entra: EntraStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", server.url)
    with EnvironmentCredential(disable_instance_discovery=True) as credential:
        assert entra.authorise(credential.get_token(f"{DATAVERSE}/.default").token)
    with DefaultAzureCredential(disable_instance_discovery=True) as credential:
        assert entra.authorise(credential.get_token(f"{DATAVERSE}/.default").token)


def test_a_token_is_good_for_its_resource_and_its_life(server: Server, entra: EntraStandIn, clock: Clock) -> None:
    with _credential(server) as credential:
        token = credential.get_token(f"{DATAVERSE}/.default").token
    assert entra.authorise(token, DATAVERSE)
    assert entra.authorise(token, f"{DATAVERSE}/")
    assert not entra.authorise(token, "https://other.crm.example.com")
    assert not entra.authorise(token[:-1])
    assert not entra.authorise("")
    claims = token.split(".")[1]
    assert json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["aud"] == DATAVERSE
    clock.now += 3598
    assert entra.authorise(token)
    clock.now += 1
    assert not entra.authorise(token)


def test_a_short_life_is_asked_for_again_every_time(server: Server, entra: EntraStandIn) -> None:
    """msal gives up a token five minutes before its end; the configuration is asked for once."""
    entra.life = 299
    with _credential(server) as credential:
        tokens = {credential.get_token(f"{DATAVERSE}/.default").token for _ in range(3)}
    assert len(tokens) == entra.issued == 3
    assert server.requests == 4


def test_a_revoked_token_is_refused(server: Server, entra: EntraStandIn) -> None:
    with _credential(server) as credential:
        token = credential.get_token(f"{DATAVERSE}/.default").token
    entra.revoke()
    assert not entra.authorise(token)


@pytest.mark.parametrize(
    ("tenant", "client", "secret", "scope", "told"),
    [
        pytest.param(TENANT, CLIENT, "wrong", f"{DATAVERSE}/.default", "AADSTS7000215", id="wrong secret"),
        pytest.param(TENANT, TENANT, SECRET, f"{DATAVERSE}/.default", "AADSTS700016", id="unknown app"),
        pytest.param(TENANT, CLIENT, SECRET, f"{DATAVERSE}/user_impersonation", "AADSTS1002012", id="scope"),
        pytest.param(TENANT, CLIENT, SECRET, "no resource/.default", "AADSTS1002012", id="two scopes"),
        pytest.param(TENANT, CLIENT, SECRET, "api://nobody/.default", "AADSTS500011", id="unknown resource"),
        pytest.param(CLIENT, CLIENT, SECRET, f"{DATAVERSE}/.default", "AADSTS90002", id="unknown tenant"),
    ],
)
def test_azure_identity_reports_what_is_wrong(
    server: Server, entra: EntraStandIn, tenant: str, client: str, secret: str, scope: str, told: str
) -> None:
    with (
        _credential(server, tenant, client, secret) as credential,
        # an unknown tenant is msal's own ValueError, since it fails in the discovery
        pytest.raises((ClientAuthenticationError, ValueError)) as refused,
    ):
        credential.get_token(scope)
    if told != "AADSTS90002":
        assert told in str(refused.value)
    assert entra.issued == 0


@pytest.mark.parametrize(
    ("path", "form", "status", "error", "code"),
    [
        pytest.param("", {"client_secret": "wrong"}, 401, "invalid_client", 7000215, id="wrong secret"),
        pytest.param("", {"client_secret": ""}, 401, "invalid_client", 7000216, id="no secret"),
        pytest.param("", {"client_id": TENANT}, 400, "unauthorized_client", 700016, id="unknown app"),
        pytest.param("", {"client_id": ""}, 400, "invalid_request", 900144, id="no app"),
        pytest.param("", {"grant_type": "password"}, 400, "unsupported_grant_type", 70003, id="other grant"),
        pytest.param("", {"grant_type": ""}, 400, "invalid_request", 900144, id="no grant type"),
        pytest.param("", {"scope": ""}, 400, "invalid_request", 900144, id="no scope"),
        pytest.param("", {"scope": DATAVERSE}, 400, "invalid_scope", 1002012, id="no .default"),
        pytest.param("", {"scope": "https://x/.default"}, 400, "invalid_resource", 500011, id="resource"),
        pytest.param(f"/{CLIENT}/oauth2/v2.0/token", {}, 400, "invalid_tenant", 90002, id="unknown tenant"),
    ],
)
def test_an_error_has_the_shape_of_entra(
    server: Server, entra: EntraStandIn, path: str, form: dict[str, str], status: int, error: str, code: int
) -> None:
    entra.resources = {DATAVERSE}
    good = {
        "grant_type": "client_credentials",
        "client_id": CLIENT,
        "client_secret": SECRET,
        "scope": f"{DATAVERSE}/.default",
    }
    answer = requests.post(
        server.url + (path or f"/{TENANT}/oauth2/v2.0/token"),
        data={**good, **form},
        headers={"client-request-id": "11111111-2222-3333-4444-555555555555"},
        timeout=5,
    )
    told = answer.json()
    assert (answer.status_code, told["error"], told["error_codes"]) == (status, error, [code])
    assert told["error_description"].startswith(f"AADSTS{code}: ")
    assert told["correlation_id"] == "11111111-2222-3333-4444-555555555555"
    assert {"timestamp", "trace_id", "error_uri"} < told.keys()


def test_credentials_may_be_basic(server: Server) -> None:
    answer = requests.post(
        f"{server.url}/{TENANT}/oauth2/v2.0/token",
        data={"grant_type": "client_credentials", "scope": f"{DATAVERSE}/.default"},
        auth=(CLIENT, requests.utils.quote(SECRET)),
        timeout=5,
    )
    assert answer.json()["token_type"] == "Bearer"
    assert answer.json()["expires_in"] == 3599


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/{TENANT}/oauth2/v2.0/token", 405),
        ("POST", f"/{TENANT}/v2.0/.well-known/openid-configuration", 405),
        ("POST", f"/{TENANT}/oauth2/token", 404),
        ("GET", "/common/discovery/instance", 404),
    ],
)
def test_nothing_else_is_answered(server: Server, method: str, path: str, status: int) -> None:
    assert requests.request(method, server.url + path, timeout=5).status_code == status


def _credential(
    server: Server, tenant: str = TENANT, client: str = CLIENT, secret: str = SECRET
) -> ClientSecretCredential:
    return ClientSecretCredential(tenant, client, secret, authority=server.url, disable_instance_discovery=True)
