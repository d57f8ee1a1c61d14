"""The offices that journeys take place in; each is a whole world of its own, on a storage account of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sandbox.azurite import Azurite
from sandbox.dataverse import DataverseStandIn
from sandbox.world import APP
from tests.journeys.office import Mailbox, Office, opened

SECRET = "secret-of-this-year"
NYLAS_ID = {"email": {"contoso_nylasid": {"type": "text", "max": 200}}}


@pytest.fixture(scope="session")
def office(azurite: Azurite) -> Iterator[Office]:
    """An organisation that changed no setting; in the end nothing may have been put aside there."""
    with opened(azurite, 1, triggers=("message.created.cleaned", "folder.created")) as office:
        yield office
        assert office.aside() == []
        assert office.poisoned() == 0


@pytest.fixture(scope="session")
def gina(office: Office) -> Mailbox:
    """A third mailbox of that organisation, with Google."""
    return office.mailbox("Gina", "google")


@pytest.fixture(scope="session")
def particular(azurite: Azurite) -> Iterator[Office]:
    """An organisation that is particular: no Sales app, no two emails with one Message-ID, a column for Nylas' ids of
    two hundred characters, no looking for other trackers' emails, small pages, two webhook secrets, compressed delivery."""
    settings = {
        "ADOPT_EXISTING": "false",
        "DATAVERSE_NYLAS_ID_COLUMN": "contoso_nylasid",
        "SWEEP_PAGE_SIZE": "3",
        "NYLAS_WEBHOOK_SECRET": f"secret-of-last-year,{SECRET}",
    }
    dataverse = DataverseStandIn(sales=False, messageid_unique=True, custom=NYLAS_ID)
    told = {"secret": SECRET, "compressed": True}
    with opened(azurite, 2, **told, settings=settings, dataverse=dataverse) as office:
        yield office


@pytest.fixture(scope="session")
def hurried(azurite: Azurite) -> Iterator[Office]:
    """An organisation whose app waits sixty times shorter, and has been installed for a week; some of its items can only
    be put aside, and each for a reason that its journeys know."""
    week_ago = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 7 * 86_400))
    settings = {"SANDBOX_HURRY": "60", "SYNC_SINCE": week_ago}
    with opened(azurite, 10, app=APP / "sandbox" / "hurried", settings=settings) as office:
        yield office
        assert {row["reason"] for row in office.aside()} <= {"mailbox_disconnected", "poison"}
        assert office.poisoned() == 0
