"""Mail arrives, and the status page of the deployed app tells of it: to each who asks as much as their key opens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from sandbox.azurite import Azurite
from sandbox.host import Keys
from tests.journeys.office import Office, opened

KEYS = Keys("the-function-key", "the-admin-key")
FUNCTION, ADMIN = ({"x-functions-key": key} for key in (KEYS.function, KEYS.master))


@pytest.fixture(scope="module")
def watched(azurite: Azurite) -> Iterator[Office]:
    """An organisation whose app asks for keys."""
    with opened(azurite, 13, keys=KEYS) as office:
        yield office


def ask(office: Office, path: str, method: str = "GET", **more: Any) -> requests.Response:
    return requests.request(method, f"{office.world.host.url}/api/{path}", timeout=30, **more)


def shown(office: Office) -> dict[str, Any]:
    told: dict[str, Any] = ask(office, "status", headers={**FUNCTION, "Accept": "application/json"}).json()
    return told


@pytest.mark.parametrize(
    ("path", "method", "given", "status"),
    [
        pytest.param("health", "GET", {}, 200, id="health needs none"),
        pytest.param("status", "GET", {}, 401, id="the page needs one"),
        pytest.param("status", "GET", {"headers": {"x-functions-key": "no"}}, 401, id="not just any"),
        pytest.param("status", "GET", {"headers": FUNCTION}, 200, id="the page by header"),
        pytest.param("status", "GET", {"params": {"code": KEYS.function}}, 200, id="the page by address, as a browser"),
        pytest.param("status", "POST", {"headers": FUNCTION}, 404, id="the page is only read"),
        pytest.param("manage/status", "GET", {"headers": FUNCTION}, 401, id="addresses are not for the function key"),
        pytest.param("manage/status", "GET", {"headers": ADMIN}, 200, id="but for the admin key"),
        pytest.param("manage/status", "GET", {"params": {"code": KEYS.master}}, 400, id="and that not in an address"),
        pytest.param("manage/replay", "GET", {"headers": ADMIN}, 405, id="nothing is changed by a GET"),
        pytest.param("manage/doctor", "GET", {"headers": ADMIN}, 200, id="the doctor"),
    ],
)
def test_each_key_opens_what_it_is_for(
    watched: Office, path: str, method: str, given: dict[str, Any], status: int
) -> None:
    assert ask(watched, path, method, **given).status_code == status


def test_a_probe_learns_nothing_more_than_that_it_is_well(watched: Office) -> None:
    answer = ask(watched, "health")
    assert (answer.status_code, answer.text) == (200, "ok")
    assert not set(answer.headers) & {"server", "x-powered-by"}


def test_mail_that_arrives_is_told_on_the_page(watched: Office) -> None:
    before = shown(watched)["mail"]["day"]["in_dataverse"]
    noor = watched.contact()
    watched.receive(watched.mail(noor, watched.ida.owner))
    watched.world.wait("the page to tell of it", lambda: shown(watched)["mail"]["day"]["in_dataverse"] > before, 60)
    watched.sweep()
    told = shown(watched)
    assert {one["grant"] for one in told["mailboxes"]} == {watched.ida.grant, watched.marcus.grant}
    assert all(one["level"] in {"new", "good"} for one in told["mailboxes"])
    assert told["instances"]["instances"] == 1
    assert told["instances"]["dataverse"]["requests_left"] == 5_999
    assert told["unread"] == {}
    page = ask(watched, "status", headers={**FUNCTION, "Accept-Encoding": "gzip"})
    assert page.headers["Content-Encoding"] == "gzip"
    assert f'<h1 id="sentence">{told["verdict"]["sentence"]}</h1>' in page.text
    assert watched.ida.owner.address not in page.text


def test_what_is_put_aside_is_told_replayed_and_lands(watched: Office) -> None:
    noor = watched.contact()
    mail = watched.mail(noor, watched.marcus.owner)
    behaviour = watched.world.dataverse.behaviour
    before = behaviour.plug_in
    watched.refuse(mail)
    copy = watched.lay(mail, watched.marcus)
    watched.outcome(copy, "put_aside")
    behaviour.plug_in = before
    watched.world.wait("the page to tell of it", lambda: shown(watched)["aside"]["newest"])
    (item,) = shown(watched)["aside"]["newest"]
    assert item["grant"] == watched.marcus.grant
    assert (item["message"], item["reason"]) == (copy.id, "dataverse_refused_row")
    request = {"grant": item["grant"], "key": item["key"]}
    assert ask(watched, "manage/replay", "POST", headers=ADMIN, json=request).status_code == 200
    assert watched.outcome(copy, "written")["kind"] == "written"
    assert ask(watched, "manage/replay", "POST", headers=ADMIN, json=request).status_code == 409
    asked = {"mailbox": watched.marcus.owner.address, "message": copy.id}
    told = ask(watched, "manage/explain", headers=ADMIN, params=asked).json()
    assert told["email"]["state"] == "completed"


def test_a_mailbox_whose_owner_must_sign_in_is_told_with_its_gap(watched: Office) -> None:
    with watched.connected_for_now("Tilda", "imap") as mailbox:
        watched.world.nylas.expire(mailbox.grant)
        watched.world.wait("it to be told", lambda: of(watched, mailbox.grant)["word"] == "Sign-in needed", 60)
        told = of(watched, mailbox.grant)
        assert told["who"] == "the mailbox's owner"
        assert told["since"] is not None
        assert told["gap"]["is_closing"] is False
        assert re.fullmatch(r"Mail is flowing for \d of \d mailboxes\.", shown(watched)["verdict"]["sentence"])


def of(office: Office, grant: str) -> dict[str, Any]:
    return next((one for one in shown(office)["mailboxes"] if one["grant"] == grant), {"word": ""})
