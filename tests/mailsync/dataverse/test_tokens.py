"""One access token for its whole life, from azure-identity as it comes, and what it means when there is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceRequestError

from mailsync.dataverse import tokens as tokens_module
from mailsync.dataverse.tokens import EARLY, Tokens, failure_of
from mailsync.errors import ConfigurationError, MailSyncError, TransientError
from mailsync.settings import Settings
from mailsync.wiring.services import credential
from sandbox.entra import EntraStandIn
from sandbox.faults import Answer, Fault, Faults, Hold
from sandbox.servers import Certificate, Server
from tests.mailsync.parts import Clock, DataverseServed, gate, in_threads, nobody

TENANT = "0f6d2c1a-9b7e-4a53-8c1d-5e4f3a2b1c0d"
CLIENT = "7a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
SECRET = "k8Q~a secret & with = signs+"
RESOURCE = "https://contoso.crm4.dynamics.com"


class Credential:
    """Gives out tokens of its own making, and counts them."""

    def __init__(self, clock: Callable[[], float], *, life: float = 3600) -> None:
        self.clock, self.life, self.scopes = clock, life, list[str]()

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        return AccessToken(f"token-{len(self.scopes)}", int(self.clock() + self.life))


@pytest.fixture
def at(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which tokens grow old."""
    monkeypatch.setattr(tokens_module, "time", SimpleNamespace(time=clock))
    return clock


def test_a_token_is_kept_until_it_is_nearly_spent(at: Clock) -> None:
    credential = Credential(at)
    tokens = Tokens(lambda: credential, resource=RESOURCE, gate=gate("entra"))
    assert [tokens.current() for _ in range(3)] == ["token-1"] * 3
    at.now += 3600 - EARLY - 1
    assert tokens.current() == "token-1"
    at.now += 1
    assert tokens.current() == "token-2"
    assert credential.scopes == [f"{RESOURCE}/.default"] * 2


def test_a_token_that_was_refused_is_forgotten_and_no_other(at: Clock) -> None:
    credential = Credential(at)
    tokens = Tokens(lambda: credential, resource=RESOURCE, gate=gate("entra"))
    assert tokens.current() == "token-1"
    tokens.refused("token-0")
    assert tokens.current() == "token-1"
    tokens.refused("token-1")
    tokens.refused("token-1")
    assert tokens.current() == "token-2"


def test_many_threads_fetch_one_token(at: Clock) -> None:
    credential = Credential(at)
    slow = credential.get_token

    def get_token(*scopes: str, **given: Any) -> AccessToken:
        time.sleep(0.02)
        return slow(*scopes, **given)

    credential.get_token = get_token  # type: ignore[method-assign]
    tokens = Tokens(lambda: credential, resource=RESOURCE, gate=gate("entra"))
    assert in_threads(16, tokens.current) == ["token-1"] * 16
    at.now += 3600
    assert in_threads(16, tokens.current) == ["token-2"] * 16
    assert len(credential.scopes) == 2


# Entra, over TLS, through azure-identity


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return Certificate()


@pytest.fixture
def entra() -> EntraStandIn:
    return EntraStandIn(TENANT, CLIENT, SECRET)


@pytest.fixture
def faults(entra: EntraStandIn) -> Faults:
    return Faults(entra.app)


@pytest.fixture
def server(
    faults: Faults, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.bundle(tmp_path / "trusted.pem")))
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", SECRET)
    with Server(faults, certificate=certificate) as server:
        yield server


def made(authority: str) -> Tokens:
    """Tokens as the app makes them, from Entra at this address."""
    settings = Settings.from_env(
        {
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "NYLAS_API_KEY": "k",
            "NYLAS_WEBHOOK_SECRET": "s",
            "DATAVERSE_URL": RESOURCE,
            "AZURE_AUTHORITY_HOST": authority,
        }
    )
    return Tokens(lambda: credential(settings.authority_host), resource=settings.dataverse_url, gate=gate("entra"))


def failure(authority: str) -> MailSyncError:
    with pytest.raises(MailSyncError) as error:
        made(authority).current()
    return error.value


@pytest.mark.parametrize("written", ["https://127.0.0.1:{port}", "https://127.0.0.1:{port}/", "127.0.0.1:{port}"])
def test_the_default_credential_gets_a_token_for_this_environment(
    server: Server, entra: EntraStandIn, written: str
) -> None:
    tokens = made(written.format(port=server.port))
    token = tokens.current()
    assert entra.authorise(token, RESOURCE)
    assert [tokens.current() for _ in range(50)] == [token] * 50
    assert (entra.issued, server.requests) == (1, 2)


def test_an_identity_that_is_set_to_nothing_is_told_as_what_to_mend(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Azure Functions Core Tools hand empty settings on as empty variables, on Windows."""
    monkeypatch.setenv("AZURE_CLIENT_ID", "")
    error = failure(server.url)
    assert (type(error), error.reason) == (ConfigurationError, "entra_refused")
    assert "take them away" in str(error)


def test_many_threads_ask_entra_once(server: Server, entra: EntraStandIn) -> None:
    tokens = made(server.url)
    entra.delay = 0.02
    got = in_threads(16, tokens.current)
    assert len(set(got)) == 1
    assert (entra.issued, server.requests) == (1, 2)


def test_a_token_that_dataverse_refuses_is_replaced_and_the_call_made_again(
    server: Server, entra: EntraStandIn
) -> None:
    """The next token must be a new one, not the refused one out of azure-identity's own memory."""
    with DataverseServed(authorise=entra.authorise) as dataverse:
        tokens = made(server.url)
        api = dataverse.api_with(tokens)
        assert api.send("GET", "WhoAmI").status == 200
        entra.revoke()
        assert api.send("GET", "WhoAmI").status == 200
        assert entra.issued == 2
        assert [logged.status for logged in dataverse.stand_in.log] == [200, 401, 200]


def test_a_token_that_is_refused_again_is_a_setting_to_mend(server: Server, entra: EntraStandIn) -> None:
    """One new token, and then a person has to look."""
    with DataverseServed(authorise=lambda _: False) as dataverse:
        api = dataverse.api_with(made(server.url))
        with pytest.raises(ConfigurationError) as error:
            api.batch([])
        assert error.value.reason == "dataverse_refused_identity"
        assert [logged.status for logged in dataverse.stand_in.log] == [401, 401]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        pytest.param("AZURE_CLIENT_SECRET", "of last year", "AADSTS7000215", id="secret"),
        pytest.param("AZURE_CLIENT_ID", "7a1b2c3d-0000-4a6b-8c7d-9e0f1a2b3c4d", "AADSTS700016", id="client"),
        # MSAL asks for the tenant's configuration first, and keeps Entra's AADSTS90002 to itself
        pytest.param("AZURE_TENANT_ID", "0f6d2c1a-0000-4a53-8c1d-5e4f3a2b1c0d", "", id="tenant"),
    ],
)
def test_a_wrong_identity_is_a_setting_to_mend_and_told_with_entras_code_where_there_is_one(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str, value: str, code: str
) -> None:
    monkeypatch.setenv(name, value)
    error = failure(server.url)
    assert isinstance(error, ConfigurationError)
    assert (error.reason, error.evidence.code) == ("entra_refused", code)
    assert name in str(error)
    assert value not in str(error)
    assert SECRET not in str(error)


def test_no_identity_at_all_is_a_setting_to_mend(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name)
    error = failure(server.url)
    assert isinstance(error, ConfigurationError)
    assert "AZURE_CLIENT_ID" in str(error)


def test_entra_that_nobody_reaches_is_trouble_that_passes(server: Server) -> None:
    with nobody() as port:
        error = failure(f"https://127.0.0.1:{port}")
    assert isinstance(error, TransientError)
    assert error.reason == "entra_unreachable"


def test_entra_in_trouble_of_its_own_passes(server: Server, faults: Faults) -> None:
    """What Entra says while it fails has a code too (AADSTS90033: a transient error has occurred)."""
    body = b'{"error": "temporarily_unavailable", "error_description": "AADSTS90033: A transient error has occurred."}'
    faults.add(Fault(Answer(503, body=body), path="token$"))
    error = failure(server.url)
    assert isinstance(error, TransientError), error


@pytest.mark.timeout(60)
def test_entra_that_never_answers_is_given_up_in_time(server: Server, faults: Faults) -> None:
    """Within seconds: every item waits for the token meanwhile, and the host kills what takes ten minutes."""
    faults.add(Fault(Hold()))
    found: list[MailSyncError] = []
    waiting = threading.Thread(target=lambda: found.append(failure(server.url)), daemon=True)
    waiting.start()
    waiting.join(12)
    in_time = not waiting.is_alive()
    server.stop()
    waiting.join(30)
    assert in_time
    assert isinstance(found[0], TransientError)


# what azure-identity raises


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (ClientAuthenticationError("AADSTS7000215: Invalid client secret"), ConfigurationError, "AADSTS7000215"),
        (ClientAuthenticationError("(invalid_client) AADSTS700016: not found"), ConfigurationError, "AADSTS700016"),
        (ClientAuthenticationError("EnvironmentCredential authentication unavailable"), ConfigurationError, ""),
        (ClientAuthenticationError("Failed to establish a new connection"), TransientError, ""),
        (ClientAuthenticationError("Read timed out. (read timeout=10)"), TransientError, ""),
        (ServiceRequestError("name resolution"), TransientError, ""),
        (HttpResponseError("Service Unavailable"), TransientError, ""),
    ],
)
def test_what_a_failed_token_request_means(error: Any, kind: type[MailSyncError], code: str) -> None:
    failed = failure_of(error)
    assert type(failed) is kind
    assert (failed.evidence.vendor, failed.evidence.code) == ("entra", code)
