"""Worlds for the status page to read, each in a storage account of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mailsync.wiring import Wiring
from tests.browser.served import wiring_for
from tests.browser.states import Scene, laid_out
from tests.mailsync.parts import NOW

Lay = Callable[[str], tuple[Scene, Wiring]]


@pytest.fixture(scope="session")
def lay(storages: Iterator[str]) -> Lay:
    """Lays out a world; gives it, and the app that runs there at the moment it is told of."""

    def laid(state: str) -> tuple[Scene, Wiring]:
        storage = next(storages)
        return laid_out(state, storage, NOW), wiring_for(storage, lambda: NOW)

    return laid
