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

for _name in [name for name in os.environ if name.startswith(SCRUBBED)]:
    del os.environ[_name]


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """The storage emulator. In its first account each test uses queues, tables or grants of its own; the others are for
    whole worlds, one each."""
    with Azurite(accounts=24) as running:
        yield running
