"""What all tests share: an environment without the machine's own settings, and one storage emulator."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sandbox.azurite import Azurite

SCRUBBED = (
    "AZURE_",
    "NYLAS_",
    "DATAVERSE_",
    "AzureWebJobs",
    "SWEEP_",
    "SYNC_",
    "TRACKING_",
    "ADOPT_",
    "ERASURE_",
    "JOURNAL_",
)

NUMBERED, MORE = 24, 900

for _name in [name for name in os.environ if name.startswith(SCRUBBED)]:
    del os.environ[_name]


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """The storage emulator. In its first account each test uses queues, tables or grants of its own; the next ones are for
    whole worlds, by their numbers, and all others for whoever takes the next of `storages`."""
    with Azurite(accounts=NUMBERED + MORE) as running:
        yield running


@pytest.fixture(scope="session")
def storages(azurite: Azurite) -> Iterator[str]:
    """Connection strings of accounts nobody has used yet."""
    return iter(azurite.connection_strings[NUMBERED:])
