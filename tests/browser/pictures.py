"""`python -m tests.browser.pictures` makes the README's picture of the status page, and one of each state beside it."""

from __future__ import annotations

from pathlib import Path

from sandbox.azurite import Azurite
from sandbox.browser import started
from tests.browser.served import Served, wiring_for
from tests.browser.states import STATES, laid_out
from tests.mailsync.parts import NOW

README = Path(__file__).parents[2] / "docs" / "status-page.png"
OTHERS = Path(__file__).parent / "pictures"
WIDTH, HEIGHT = 1120, 1010


def make() -> None:
    """Lay out each state, look at it, and keep what is seen."""
    OTHERS.mkdir(exist_ok=True)
    with Azurite(accounts=len(STATES)) as azurite, started() as browser:
        worlds = {}
        for name, storage in zip(STATES, azurite.connection_strings, strict=True):
            laid_out(name, storage, NOW)
            worlds[name] = wiring_for(storage, lambda: NOW)
        with Served(worlds) as served:
            for name in worlds:
                page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, timezone_id="UTC", locale="en-GB")
                page.goto(served.url(name))
                page.screenshot(path=OTHERS / f"{name}.png", full_page=name != "crowd")
                if name == "flowing":
                    page.screenshot(path=README)
                page.close()


if __name__ == "__main__":
    make()
