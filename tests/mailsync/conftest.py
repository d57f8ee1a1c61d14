"""What the tests of mailsync share: storage in Azurite, and stand-ins of their own for Nylas and Dataverse."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.storage.queue import QueueClient

from mailsync.measures import Measures
from mailsync.settings import StorageSettings
from mailsync.storage.account import StorageAccount
from mailsync.storage.aside import Aside
from mailsync.storage.envelope import MESSAGES, SWEEPS
from mailsync.storage.journal import Journal
from mailsync.storage.mailboxes import Mailboxes
from sandbox.azurite import Azurite
from tests.mailsync.parts import Clock, DataverseServed, NylasServed, Sent, decoding, measures_of


@pytest.fixture(scope="session")
def account(azurite: Azurite) -> StorageAccount:
    return StorageAccount(StorageSettings(azurite.connection_string), None)


@pytest.fixture(scope="session")
def journal(account: StorageAccount) -> Journal:
    return Journal(account)


@pytest.fixture(scope="session")
def mailboxes(account: StorageAccount) -> Mailboxes:
    return Mailboxes(account)


@pytest.fixture(scope="session")
def aside(account: StorageAccount) -> Aside:
    return Aside(account)


@pytest.fixture
def on_queue(account: StorageAccount, azurite: Azurite) -> Iterator[dict[str, QueueClient]]:
    """Both queues, empty before and after, read as the Functions host reads them."""
    clients = {name: decoding(account.queue(name), azurite.connection_string) for name in (MESSAGES, SWEEPS)}
    for client in clients.values():
        try:
            client.create_queue()
        except ResourceExistsError:
            client.clear_messages()
    yield clients
    for client in clients.values():
        client.create_queue() if not _exists(client) else client.clear_messages()
        client.close()


def _exists(client: QueueClient) -> bool:
    try:
        client.get_queue_properties()
    except Exception:  # noqa: BLE001  # a test took it away
        return False
    return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def measures(account: StorageAccount, clock: Clock) -> Measures:
    return measures_of(account, clock)


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def nylas(clock: Clock) -> Iterator[NylasServed]:
    with NylasServed(clock) as served:
        yield served


@pytest.fixture
def dataverse() -> Iterator[DataverseServed]:
    with DataverseServed() as served:
        yield served
