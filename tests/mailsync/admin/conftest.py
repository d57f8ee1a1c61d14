"""A desk for each test: stand-ins of its own, an account of its own in one storage emulator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mailsync.wiring import Wiring
from sandbox.dataverse import DataverseStandIn
from sandbox.entra import EntraStandIn
from sandbox.faults import Faults
from sandbox.nylas import NylasStandIn
from sandbox.servers import Certificate, Server
from tests.mailsync.admin.desk import App, Clock, Desk

TENANT = "0f6d2c1a-9b7e-4a53-8c1d-5e4f3a2b1c0d"
CLIENT = "7a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"


@pytest.fixture(scope="session")
def certificate() -> Certificate:
    return Certificate()


@pytest.fixture(scope="session")
def bundle(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our authority alone: nobody else is called here, and reading the usual hundred takes long for each connection."""
    trusted = tmp_path_factory.mktemp("trust") / "trusted.pem"
    trusted.write_bytes(certificate.authority)
    return trusted


@pytest.fixture(scope="session")
def entra(certificate: Certificate) -> Iterator[tuple[EntraStandIn, str]]:
    stand_in = EntraStandIn(TENANT, CLIENT, "a secret of Entra")
    with Server(stand_in.app, certificate=certificate) as server:
        yield stand_in, server.url


@pytest.fixture
def desk(
    certificate: Certificate, bundle: Path, storages: Iterator[str], entra: tuple[EntraStandIn, str]
) -> Iterator[Desk]:
    with opened(certificate, bundle, storages, entra) as one:
        yield one


@pytest.fixture(scope="module")
def idle_desk(
    certificate: Certificate, bundle: Path, storages: Iterator[str], entra: tuple[EntraStandIn, str]
) -> Iterator[Desk]:
    """A desk where nothing ever happens, for what is refused before anything does."""
    with opened(certificate, bundle, storages, entra) as one:
        yield one


@contextmanager
def opened(
    certificate: Certificate,
    bundle: Path,
    storages: Iterator[str],
    entra: tuple[EntraStandIn, str],
    more: Mapping[str, str] | None = None,
    **organisation: Any,
) -> Iterator[Desk]:
    """A desk with an account that nobody has used; `more` settings, and an organisation that is particular."""
    clock = Clock()
    with ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        nylas = stack.enter_context(NylasStandIn("nyk_only_for_tests", clock=clock))
        dataverse = DataverseStandIn(entra[0].authorise, **organisation)
        faults = {"nylas": Faults(nylas.app), "dataverse": Faults(dataverse.app)}
        urls = {name: stack.enter_context(Server(app, certificate=certificate)).url for name, app in faults.items()}
        settings = {
            "AzureWebJobsStorage": next(storages),
            "NYLAS_API_KEY": nylas.api_key,
            "NYLAS_API_URI": urls["nylas"],
            "NYLAS_WEBHOOK_SECRET": "a secret of the webhook",
            "DATAVERSE_URL": urls["dataverse"],
            "AZURE_AUTHORITY_HOST": entra[1],
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_CLIENT_SECRET": entra[0].client_secret,
            "REQUESTS_CA_BUNDLE": str(bundle),
            "SYNC_SINCE": "2020-01-01",
            "SWEEP_SPREAD": "0",
            **(more or {}),
        }
        for name, value in settings.items():  # azure-identity and the SDK of Nylas read the environment themselves
            environment.setenv(name, value)
        app = Wiring(settings)
        app.clock = clock
        app.hurry = 1e6
        yield Desk(nylas, dataverse, faults, settings, clock, app)


@pytest.fixture
def deployed() -> Iterator[tuple[App, str]]:
    """The deployed app's endpoint and its URL."""
    app = App()
    with Server(app) as server:
        yield app, f"{server.url}/api/webhooks/nylas"
