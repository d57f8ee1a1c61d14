"""The doctor looks at a whole organisation whose app runs in a host of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from mailsync.admin.commands import app
from mailsync.wiring import Wiring
from tests.journeys.office import Office


def test_a_running_organisation_is_well_and_its_app_takes_what_is_signed(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.receive(office.mail(office.contact(), office.ida.owner))
    settings = {name: value for name, value in office.world.settings().items() if value}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(
        app, ["doctor", "--url", office.world.webhook.url, "--json"], obj=Wiring(settings), catch_exceptions=False
    )
    found: list[dict[str, Any]] = json.loads(result.stdout)["findings"]
    assert [one for one in found if one["result"] in {"bad", "unknown"}] == []
    says = [one["says"] for one in found if one["checked"].startswith("delivery")]
    assert says == ["what is signed with the secret is taken", "what is wrongly signed is refused"]
    tables = next(one["says"] for one in found if one["checked"] == "tables" and one["topic"] == "storage")
    assert {"journal", "mailboxes"} <= set(tables.removeprefix("there: ").split(", "))
    assert "@" not in result.stdout
