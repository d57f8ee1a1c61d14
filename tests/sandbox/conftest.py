"""What the tests of the stand-in for Nylas share: one of its own for each, behind a real socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from sandbox.faults import Faults
from sandbox.nylas import NylasStandIn
from sandbox.servers import Server
from tests.sandbox.nylas_client import KEY, Client, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def nylas(clock: Clock) -> Iterator[NylasStandIn]:
    with NylasStandIn(KEY, clock=clock) as nylas:
        yield nylas


@pytest.fixture
def faults(nylas: NylasStandIn) -> Faults:
    return Faults(nylas.app)


@pytest.fixture
def server(faults: Faults) -> Iterator[Server]:
    with Server(faults) as server:
        yield server


@pytest.fixture
def api(server: Server) -> Iterator[Client]:
    with requests.Session() as session:
        yield Client(server.url, session)
