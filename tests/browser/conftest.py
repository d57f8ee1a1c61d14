"""A headless Chromium, and the worlds it looks at."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from sandbox.browser import NoBrowserError, started
from tests.browser.served import Served, wiring_for
from tests.browser.states import STATES, Scene, laid_out
from tests.mailsync.parts import NOW, nobody


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        with started() as running:
            yield running
    except NoBrowserError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"THE STATUS PAGE WAS NOT LOOKED AT: {error}")


@pytest.fixture(scope="session")
def scenes() -> dict[str, Scene]:
    """Each state's world, once it is laid out."""
    return {}


@pytest.fixture(scope="session")
def served(scenes: dict[str, Scene], storages: Iterator[str]) -> Iterator[Served]:
    """Every state, and one whose storage is out of reach."""
    with nobody() as port:
        worlds = {}
        for name in STATES:
            storage = next(storages)
            scenes[name] = laid_out(name, storage, NOW)
            worlds[name] = wiring_for(storage, lambda: NOW)
        dead = re.sub(r"(Endpoint=http://127\.0\.0\.1:)\d+", rf"\g<1>{port}", next(storages))
        worlds["broken"] = wiring_for(dead, lambda: NOW)
        with Served(worlds) as running:
            yield running
