"""An erasure that died anywhere is made whole by the next one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from mailsync.storage.tombstones import LIFE
from mailsync.wiring import Wiring
from sandbox.mail import Person
from tests.journeys.mortality import Town, a_town
from tests.mailsync.parts import ERASURE_KEY
from tests.thorough import moments


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ERASURE_KEY", ERASURE_KEY)
        with a_town() as town:
            yield town


def erase(app: Wiring, person: Person) -> None:
    found = app.eraser.find(str(person.email))
    app.eraser.erase(found, address=str(person.email), delete=True)


def holding(town: Town, *words: str) -> list[str]:
    """The tables with a row that holds one of these words."""
    found = []
    for table in town.tables.list_tables():
        with town.tables.get_table_client(table.name) as client:
            found += [
                table.name for row in client.list_entities() if any(one in json.dumps(dict(row)) for one in words)
            ]
    return found


def test_an_erasure_is_whole_once_it_was_done_again_wherever_it_died(town: Town) -> None:
    (grant, ida), (other, marcus) = town.mailbox(), town.mailbox()
    for moment in moments():
        noor = town.contact()
        letter, reply = town.mail(noor, ida, cc=(marcus,)), town.mail(noor, ida, in_reply_to="<lost@harbour.example>")
        items = [town.lay(grant, letter), town.lay(grant, reply)]
        for item in items:
            town.does(item)(town.app)
        activityid = town.email(letter)["activityid"]
        died = town.dies(moment, lambda app, noor=noor: erase(app, noor))
        late = town.lay(other, letter)
        town.clock.ahead += LIFE + 1
        erase(town.app, noor)
        town.clock.ahead += LIFE + 1
        for item in (*items, late):
            town.does(item)(town.started())
        assert town.world.dataverse.rows("email") == [], moment
        assert holding(town, activityid, *(item.message for item in (*items, late))) == [], moment
        if not died:
            break
    assert moment > 20, "it died at many of its calls"
