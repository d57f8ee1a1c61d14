"""What the webhook's address answers, over HTTP: Nylas goes by nothing but the status."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from sandbox.azurite import Azurite
from sandbox.host import HostProcess
from tests.journeys.office import Office, cost_of, signed

CAP = 4 * 1024 * 1024
UNUSED = json.dumps({"type": "message.opened", "id": "n-1", "data": {"object": {}}}).encode()
WORDS = b"these bytes are no notification"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        pytest.param(UNUSED, {}, 200, id="a type that is not used"),
        pytest.param(gzip.compress(UNUSED), {"content-encoding": "gzip"}, 200, id="the same, compressed"),
        pytest.param(WORDS, {}, 400, id="not JSON"),
        pytest.param(b'{"type": "message.created", "data": {"object": {}}}', {}, 400, id="a message without ids"),
        pytest.param(WORDS, {"content-encoding": "gzip"}, 400, id="not the gzip it says it is"),
        pytest.param(b"", {}, 400, id="nothing"),
        pytest.param(UNUSED, {"x-nylas-signature": "0" * 64}, 401, id="a wrong signature"),
        pytest.param(UNUSED, {"x-nylas-signature": ""}, 401, id="no signature"),
        pytest.param(UNUSED, {"x-nylas-signature": "naïve".encode()}, 401, id="a signature that is no hex"),
        pytest.param(b" " * CAP + UNUSED, {}, 413, id="larger than any notification"),
        pytest.param(gzip.compress(b" " * (CAP + 1)), {"content-encoding": "gzip"}, 413, id="larger once inflated"),
    ],
)
def test_a_notification_is_answered(office: Office, body: bytes, headers: dict[str, str | bytes], status: int) -> None:
    """And none of these leads to any work."""
    with cost_of(office.world) as spent:
        assert office.post(body, headers).status_code == status
    assert (spent[0].dataverse, sum(spent[0].nylas.values())) == (0, 0)


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        pytest.param("GET", "/api/webhooks/nylas?challenge=a%2Bb", 200, "a+b", id="the challenge, and nothing else"),
        pytest.param("GET", "/api/webhooks/nylas", 400, "no challenge", id="no challenge"),
        pytest.param("POST", "/api/webhooks/other", 404, "", id="another route"),
        pytest.param("DELETE", "/api/webhooks/nylas", 404, "", id="another method"),
    ],
)
def test_an_address_is_answered(office: Office, method: str, path: str, status: int, text: str) -> None:
    with requests.Session() as session:
        answer = session.request(method, office.world.host.url + path, timeout=10)
    assert (answer.status_code, answer.text) == (status, text)
    assert answer.headers["Content-Length"] == str(len(text))
    assert "Transfer-Encoding" not in answer.headers


def test_a_used_notification_is_answered_once_it_is_on_the_queue(office: Office) -> None:
    """200 to each of the notifications so far that the office was told, whatever they were about."""
    office.outcome(office.lay(office.mail(office.contact(), office.ida.owner)))
    deliveries = office.world.nylas.deliveries
    assert {delivery.status for delivery in deliveries} == {200}
    assert {delivery.attempt for delivery in deliveries} == {1}


# ---------------------------------------------------------------- an app whose settings are not right


@contextmanager
def app(office: Office, **settings: str | None) -> Iterator[HostProcess]:
    """Another app in the same world, with a few settings of its own."""
    with office.world.another_host(**settings) as host:
        yield host


def tell(host: HostProcess, office: Office, **about: str) -> int:
    """The status that this app answers to a signed notification of a message."""
    body = json.dumps({"type": "message.created", "id": "n-2", "data": {"object": about}}).encode()
    headers = signed(body, office.world.webhook.secret)
    with requests.Session() as session:
        return session.post(f"{host.url}/api/webhooks/nylas", data=body, headers=headers, timeout=15).status_code


def test_storage_out_of_reach_is_answered_503(office: Office) -> None:
    """Within Nylas' ten seconds: it tries again after a 503, and never after a 500."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    nowhere = f"http://127.0.0.1:{port}/gone"
    storage = f"AccountName=gone;AccountKey=Z29uZQ==;QueueEndpoint={nowhere};TableEndpoint={nowhere}"
    with app(office, AzureWebJobsStorage=storage) as host:
        assert tell(host, office, grant_id="g", id="m") == 503
        said = "event=ingest_unavailable reason=storage_unavailable"
        office.world.wait("the app to say so", lambda: any(said in line for line in host.log))


def test_a_missing_secret_is_answered_503_and_named(office: Office, azurite: Azurite) -> None:
    """With every other setting that needs mending, at once."""
    wrong = {"NYLAS_WEBHOOK_SECRET": None, "DATAVERSE_URL": "example", "SWEEP_PAGE_SIZE": "many"}
    with app(office, AzureWebJobsStorage=azurite.connection_strings[3], **wrong) as host:
        assert tell(host, office, grant_id="g", id="m") == 503
        office.world.wait(
            "the app to name them",
            lambda: any(
                "event=ingest_unavailable" in line and all(name in line for name in wrong) for line in host.log
            ),
        )


def test_mail_is_taken_in_while_dataverse_is_not_set_up_and_lands_once_it_is(office: Office, azurite: Azurite) -> None:
    """A missing DATAVERSE_URL alone costs no mail: it waits on the queue, and nothing is poisoned."""
    world, storage = office.world, azurite.connection_strings[4]
    mail = office.mail(office.contact(), office.ida.owner)
    copy = office.lay(mail, notify=False)
    with app(office, AzureWebJobsStorage=storage, DATAVERSE_URL=None) as host:
        assert tell(host, office, grant_id=copy.grant, id=copy.id) == 200
        world.wait("the item to be deferred", lambda: any("event=item_deferred" in line for line in host.log))
        (line,) = (line for line in host.log if "event=item_deferred" in line)
        assert "DATAVERSE_URL: is missing" in line
        assert not any("poison'" in line for line in host.log if "moved to" in line)
    assert office.emails(mail) == []
    with app(office, AzureWebJobsStorage=storage) as host:
        world.wait("the mail to land", lambda: [row["statecode"] for row in office.emails(mail)] == [1])
