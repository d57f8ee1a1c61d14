"""Nylas' webhooks over real sockets: challenge, signature, retries, and what is told of mail and grants."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from sandbox.mail import Mail, Person
from sandbox.nylas import NylasStandIn
from sandbox.servers import Certificate, Server
from sandbox.webhooks import ChallengeFailed, Mischief, Webhook

KEY = "nyk_v0_sandbox"
NOW = 1_790_000_000
ANN = Person("Ann", "ann@customer.example")
IDA = Person("Ida", "ida@fjordlight.example")
ALL = ("message.created", "message.updated", "message.deleted", "grant.created", "grant.updated", "grant.expired")
ALL = (*ALL, "grant.deleted", "grant.imap_sync_completed")


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@dataclass
class Heard:
    """One POST as it arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        zipped = self.headers.get("content-encoding") == "gzip"
        told: dict[str, Any] = json.loads(gzip.decompress(self.body) if zipped else self.body)
        return told

    def is_signed_with(self, secret: str) -> bool:
        made = hmac.new(secret.encode(), self.body, hashlib.sha256).hexdigest()
        return self.headers["x-nylas-signature"] == made


@dataclass
class Ears:
    """A destination: answers the challenge in some way, and notifications with the statuses it was given."""

    challenge: Callable[[str], Response] = Response
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    queries: list[dict[str, list[str]]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        if request.method == "GET":
            self.queries.append(parse_qs(request.url.query))
            await self.challenge(request.query_params["challenge"])(scope, receive, send)
            return
        self.heard.append(Heard(dict(request.headers), body))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await Response(status_code=status, headers=self.headers)(scope, receive, send)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def nylas(clock: Clock) -> Iterator[NylasStandIn]:
    with NylasStandIn(KEY, clock=clock, seed=1) as nylas:
        nylas.webhooks.retry_scale = 0.0001
        yield nylas


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
def there(ears: Ears) -> Iterator[Server]:
    with Server(ears) as server:
        yield server


@pytest.fixture
def hook(nylas: NylasStandIn, there: Server, grant: str) -> Webhook:
    """A destination for everything, told of what happens from now on."""
    return nylas.register(f"{there.url}/hook", ALL)


@pytest.fixture
def grant(nylas: NylasStandIn) -> str:
    """A mailbox connected before anybody listened."""
    return nylas.connect("ida@fjordlight.example", "google", name="Ida", created_at=NOW - 3600)


def mail(number: int = 0, **fields: Any) -> Mail:
    given = {"subject": f"Mail {number}", "sender": ANN, "to": (IDA,), "date": NOW + number, "body": "<p>Hi</p>"}
    return Mail(**{**given, "message_id": f"<{number}@customer.example>", **fields})


# the challenge


def test_the_challenge_keeps_the_query_and_comes_once(nylas: NylasStandIn, ears: Ears, there: Server) -> None:
    hook = nylas.register(f"{there.url}/hook?code=a%2Bb%3D&x=", ["message.created"])
    [query] = ears.queries
    assert query["code"] == ["a+b="]
    assert len(query["challenge"]) == 1
    assert hook.status == "active"
    assert len(hook.secret) >= 20
    assert hook.secret not in repr(hook)


def _chunked(value: str) -> Response:
    return StreamingResponse(iter([value.encode()]))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(lambda _: Response(status_code=404), "status is not ok, got 404", id="404"),
        pytest.param(lambda value: Response(value, 202), "got 202", id="202"),
        pytest.param(lambda value: Response(f'"{value}"'), "not returned as it was sent", id="quoted"),
        pytest.param(lambda value: Response(f"{value}\n"), "not returned as it was sent", id="with a line end"),
        pytest.param(lambda _: Response("hello"), "not returned as it was sent", id="something else"),
        pytest.param(_chunked, "chunked", id="chunked"),
    ],
)
def test_a_wrong_answer_to_the_challenge_is_refused(
    nylas: NylasStandIn, ears: Ears, there: Server, answer: Callable[[str], Response], why: str
) -> None:
    ears.challenge = answer
    with pytest.raises(ChallengeFailed, match=why):
        nylas.register(f"{there.url}/hook", ["message.created"])
    assert nylas.webhooks.registered == {}
    assert len(ears.queries) == 1


def test_a_destination_that_is_not_there_or_too_slow_is_refused(nylas: NylasStandIn, ears: Ears) -> None:
    with Server(ears) as server:
        url = server.url
    with pytest.raises(ChallengeFailed, match="no answer"):
        nylas.register(url, ["message.created"])
    nylas.webhooks.limit = 0.05
    slow = NylasStandIn(KEY)
    slow.delay = 0.2
    with Server(slow.app) as server, pytest.raises(ChallengeFailed, match="no answer"):
        nylas.register(f"{server.url}/v3/grants", ["message.created"])


def test_a_destination_over_tls_is_checked(
    nylas: NylasStandIn, ears: Ears, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = Certificate()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.bundle(tmp_path / "bundle.pem")))
    with Server(ears, certificate=certificate) as server:
        assert nylas.register(f"{server.url}/hook", ["message.created"]).status == "active"


# one notification


def test_a_notification_is_the_whole_message_in_its_envelope(
    nylas: NylasStandIn, ears: Ears, hook: Webhook, grant: str
) -> None:
    message = nylas.deliver(grant, mail())
    nylas.wait_idle()
    [heard] = ears.heard
    assert heard.is_signed_with(hook.secret)
    assert heard.headers["x-nylas-signature"].islower()
    assert heard.headers["content-type"] == "application/json"
    told = heard.told
    shown = told["data"]["object"]
    assert told == {
        "specversion": "1.0",
        "type": "message.created",
        "source": "/google/emails/realtime",
        "id": nylas.notifications_of(message)[0],
        "time": NOW,
        "webhook_delivery_attempt": 1,
        "data": {"application_id": nylas.webhooks.application_id, "object": shown},
    }
    assert (shown["id"], shown["grant_id"], shown["object"]) == (message, grant, "message")
    assert shown["body"] == "<p>Hi</p>"
    assert "headers" not in shown
    [delivery] = nylas.deliveries
    assert (delivery.notification, delivery.attempt, delivery.status) == (told["id"], 1, 200)
    assert 0 < delivery.seconds < 5


def test_a_compressed_notification_is_signed_over_the_bytes_sent(
    nylas: NylasStandIn, ears: Ears, there: Server, grant: str
) -> None:
    hook = nylas.register(f"{there.url}/zipped", ["message.created"], compressed=True)
    nylas.deliver(grant, mail(subject="Grüße"))
    nylas.wait_idle()
    [heard] = ears.heard
    assert heard.headers["content-encoding"] == "gzip"
    assert heard.is_signed_with(hook.secret)
    assert heard.told["data"]["object"]["subject"] == "Grüße"


def test_only_what_was_asked_for_is_told(nylas: NylasStandIn, ears: Ears, there: Server, grant: str) -> None:
    nylas.register(f"{there.url}/hook", ["message.created"])
    message = nylas.deliver(grant, mail(1))
    nylas.move(grant, message, "trash")
    nylas.deliver(grant, mail(2), notify=False)
    nylas.expire(grant)
    nylas.wait_idle()
    assert [heard.told["type"] for heard in ears.heard] == ["message.created"]


@pytest.mark.parametrize(
    ("notify", "kind", "missing"),
    [
        (True, "message.created", set()),
        ("updated", "message.updated", {"bcc", "reply_to", "attachments"}),
        ("message.created.transformed", "message.created.transformed", set()),
        ("message.created.metadata", "message.created.metadata", {"body", "snippet", "attachments"}),
    ],
)
def test_new_mail_may_be_told_as_something_else(
    nylas: NylasStandIn, ears: Ears, hook: Webhook, grant: str, notify: bool | str, kind: str, missing: set[str]
) -> None:
    nylas.deliver(grant, mail(), notify=notify)
    nylas.wait_idle()
    [heard] = ears.heard
    assert heard.told["type"] == kind
    shown = heard.told["data"]["object"]
    assert {"bcc", "reply_to", "attachments", "body", "snippet"} - shown.keys() == missing
    assert ("headers" in shown) == ("metadata" in kind)


def test_cleaned_is_a_subscription_of_its_own(
    nylas: NylasStandIn, ears: Ears, there: Server, hook: Webhook, grant: str
) -> None:
    nylas.deliver(grant, mail(), notify="message.created.cleaned")
    nylas.wait_idle()
    assert ears.heard == []
    nylas.register(f"{there.url}/cleaned", ["message.created.cleaned"])
    nylas.deliver(grant, mail(), notify="message.created.cleaned")
    nylas.wait_idle()
    assert [heard.told["type"] for heard in ears.heard] == ["message.created.cleaned"]


@pytest.mark.parametrize(
    ("size", "kind"), [(900_000, "message.created"), (1_100_000, "message.created.truncated")], ids=["below", "above"]
)
def test_a_payload_over_1_mb_goes_without_the_body(
    nylas: NylasStandIn, ears: Ears, hook: Webhook, grant: str, size: int, kind: str
) -> None:
    message = nylas.deliver(grant, mail(body="x" * size))
    nylas.wait_idle()
    [heard] = ears.heard
    assert heard.told["type"] == kind == nylas.deliveries[0].type
    assert ("body" in heard.told["data"]["object"]) == (kind == "message.created")
    assert heard.told["data"]["object"]["id"] == message
    assert heard.is_signed_with(hook.secret)


# retries


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504, 507])
def test_these_answers_are_tried_again_three_times_in_all(
    nylas: NylasStandIn, ears: Ears, hook: Webhook, grant: str, status: int
) -> None:
    ears.statuses = [status] * 9
    nylas.deliver(grant, mail())
    nylas.wait_idle()
    assert [heard.told["webhook_delivery_attempt"] for heard in ears.heard] == [1, 2, 3]
    assert len({heard.told["id"] for heard in ears.heard}) == 1
    assert len({heard.headers["x-nylas-signature"] for heard in ears.heard}) == 3
    assert all(heard.is_signed_with(hook.secret) for heard in ears.heard)
    assert [delivery.status for delivery in nylas.deliveries] == [status] * 3


@pytest.mark.parametrize("status", [200, 201, 202, 204, 301, 400, 401, 403, 404, 410, 413, 500, 501, 505])
def test_no_other_answer_is_tried_again(
    nylas: NylasStandIn, ears: Ears, hook: Webhook, grant: str, status: int
) -> None:
    ears.statuses = [status]
    ears.headers = {"Location": "/elsewhere"} if status == 301 else {}
    nylas.deliver(grant, mail())
    nylas.wait_idle()
    assert [delivery.status for delivery in nylas.deliveries] == [status]
    assert len(ears.heard) == 1


def test_a_success_ends_the_retries(nylas: NylasStandIn, ears: Ears, hook: Webhook, grant: str) -> None:
    ears.statuses = [503, 200]
    nylas.deliver(grant, mail())
    nylas.wait_idle()
    assert [delivery.status for delivery in nylas.deliveries] == [503, 200]


def test_a_time_out_is_tried_again(nylas: NylasStandIn, ears: Ears, hook: Webhook, grant: str) -> None:
    nylas.webhooks.limit = 0.05
    ears.statuses = [0, 200]
    nylas.deliver(grant, mail())
    nylas.wait_idle()
    assert [delivery.status for delivery in nylas.deliveries] == [None, 200]


def test_nobody_there_is_not_tried_again(nylas: NylasStandIn, there: Server, hook: Webhook, grant: str) -> None:
    there.stop()
    nylas.deliver(grant, mail())
    nylas.wait_idle()
    assert [delivery.status for delivery in nylas.deliveries] == [None]


def test_waiting_grows_and_retry_after_counts_for_429(
    nylas: NylasStandIn, ears: Ears, hook: Webhook, grant: str
) -> None:
    """At full scale the last attempt comes 800 s after the first; a Retry-After of 1 s beats the 200 s of backoff."""
    ears.statuses = [503, 503]
    begun = time.monotonic()
    nylas.deliver(grant, mail())
    nylas.wait_idle()
    assert 0.08 <= time.monotonic() - begun < 1
    nylas.webhooks.retry_scale = 0.01
    ears.statuses, ears.headers = [429], {"Retry-After": "1"}
    begun = time.monotonic()
    nylas.deliver(grant, mail())
    nylas.wait_idle()
    assert 0.01 <= time.monotonic() - begun < 1
    assert len(ears.heard) == 5


def test_a_retry_goes_to_all_who_asked(nylas: NylasStandIn, there: Server, hook: Webhook, grant: str) -> None:
    deaf = Ears(statuses=[503, 503])
    with Server(deaf) as server:
        other = nylas.register(server.url, ["message.created"])
        nylas.deliver(grant, mail())
        nylas.wait_idle()
    statuses = Counter((delivery.webhook, delivery.attempt, delivery.status) for delivery in nylas.deliveries)
    assert statuses == Counter(
        {
            **{(hook.id, attempt, 200): 1 for attempt in (1, 2, 3)},
            (other.id, 1, 503): 1,
            (other.id, 2, 503): 1,
            (other.id, 3, 200): 1,
        }
    )


def test_a_redelivery_has_the_same_id_and_starts_again(
    nylas: NylasStandIn, ears: Ears, hook: Webhook, grant: str
) -> None:
    message = nylas.deliver(grant, mail())
    nylas.wait_idle()
    [told] = nylas.notifications_of(message)
    nylas.redeliver(told)
    nylas.wait_idle()
    assert ears.heard[0].body == ears.heard[1].body


def test_waiting_for_idleness_has_an_end(nylas: NylasStandIn, ears: Ears, hook: Webhook, grant: str) -> None:
    nylas.webhooks.retry_scale = 1.0
    ears.statuses = [503]
    nylas.deliver(grant, mail())
    with pytest.raises(TimeoutError, match="still wait"):
        nylas.wait_idle(0.05)


# connections


def test_deliveries_share_connections(nylas: NylasStandIn, there: Server, hook: Webhook, grant: str) -> None:
    for number in range(100):
        nylas.deliver(grant, mail(number))
    nylas.wait_idle()
    assert len(nylas.deliveries) == 100
    assert there.connections <= 9


def test_closing_ends_every_thread(clock: Clock, there: Server) -> None:
    before = threading.active_count()
    with NylasStandIn(KEY, clock=clock) as nylas:
        nylas.register(there.url, ["message.created"])
        nylas.deliver(nylas.connect("a@x.example", "google"), mail())
        nylas.wait_idle()
        assert threading.active_count() > before
    assert threading.active_count() == before


# accidents


def test_accidents_happen_as_often_as_they_should_and_the_same_again(clock: Clock) -> None:
    def run(seed: int) -> tuple[list[str], int, int]:
        ears = Ears()
        with Server(ears) as server, NylasStandIn(KEY, clock=clock, seed=seed) as nylas:
            grant = nylas.connect("ida@fjordlight.example", "google")
            nylas.register(server.url, ALL)
            nylas.webhooks.mischief = Mischief(lose=0.3, duplicate=0.3, relabel=0.3)
            ids = [nylas.deliver(grant, mail(number)) for number in range(100)]
            nylas.wait_idle()
            heard = Counter(heard.told["data"]["object"]["id"] for heard in ears.heard)
            lost = [str(ids.index(message)) for message in ids if message not in heard]
            assert len(lost) == len(nylas.webhooks.lost)
            updated = sum(heard.told["type"] == "message.updated" for heard in ears.heard)
            return lost, sum(times == 2 for times in heard.values()), updated

    lost, twice, updated = run(5)
    assert (lost, twice, updated) == run(5) != run(6)
    assert 15 < len(lost) < 45
    assert 8 < twice < 40
    assert 10 < updated < 60


def test_the_order_may_be_lost(nylas: NylasStandIn, ears: Ears, hook: Webhook, grant: str) -> None:
    nylas.webhooks.mischief = Mischief(shuffle=0.1)
    ids = [nylas.deliver(grant, mail(number)) for number in range(30)]
    nylas.wait_idle()
    heard = [heard.told["data"]["object"]["id"] for heard in ears.heard]
    assert sorted(heard) == sorted(ids)
    assert heard != ids


# grants


def test_the_life_of_a_grant_is_told(nylas: NylasStandIn, ears: Ears, hook: Webhook, clock: Clock) -> None:
    grant = nylas.connect("marcus@fjordlight.example", "imap", name="Marcus")
    for happens in (nylas.complete_imap_sync, nylas.update_grant, nylas.expire, nylas.reauthenticate, nylas.disconnect):
        nylas.wait_idle()
        clock.now += 10
        happens(grant)
    nylas.wait_idle()
    told = [(heard.told["type"], heard.told["source"], heard.told["time"] - NOW) for heard in ears.heard]
    assert told == [
        ("grant.created", "/nylas/system", 0),
        ("grant.imap_sync_completed", "/imap/emails/historic", 10),
        ("grant.updated", "/nylas/system", 20),
        ("grant.expired", "/nylas/system", 30),
        ("grant.updated", "/nylas/system", 40),
        ("grant.deleted", "/nylas/system", 50),
    ]
    created, synced, updated, expired, back, deleted = (heard.told["data"]["object"] for heard in ears.heard)
    assert [one["code"] for one in (created, synced, updated, expired, back, deleted)] == [
        25012,
        25012,
        25014,
        25009,
        25027,
        25013,
    ]
    assert {one["grant_id"] for one in (created, synced, updated, expired, back, deleted)} == {grant}
    assert (created["name"], created["email"]) == ("Marcus", "marcus@fjordlight.example")
    assert "email" not in synced
    assert expired["grant_updated_at"] == NOW
    assert [updated["reauthentication_flag"], back["reauthentication_flag"]] == [False, True]


@pytest.mark.parametrize(
    ("hours", "told"), [(71, ["grant.updated", "message.created", "message.created"]), (73, ["grant.updated"])]
)
def test_mail_of_an_expired_grant_is_told_after_72_hours_at_most(
    nylas: NylasStandIn, ears: Ears, hook: Webhook, grant: str, clock: Clock, hours: int, told: list[str]
) -> None:
    nylas.expire(grant)
    nylas.wait_idle()
    ears.heard.clear()
    nylas.deliver(grant, mail(1))
    nylas.deliver(grant, mail(2))
    nylas.wait_idle()
    assert ears.heard == []
    clock.now += hours * 3600
    nylas.reauthenticate(grant)
    nylas.wait_idle()
    assert sorted(heard.told["type"] for heard in ears.heard) == told
    assert len(nylas.messages(grant)) == 2


def test_moving_and_deleting_is_told(nylas: NylasStandIn, ears: Ears, hook: Webhook, grant: str) -> None:
    message = nylas.deliver(grant, mail(), "junk", notify=False)
    for change in (
        lambda: nylas.move(grant, message, "inbox"),
        lambda: nylas.mark(grant, message, unread=False),
        lambda: nylas.delete(grant, message),
    ):
        change()
        nylas.wait_idle()
    moved, read, deleted = (heard.told for heard in ears.heard)
    assert [one["type"] for one in (moved, read, deleted)] == ["message.updated"] * 2 + ["message.deleted"]
    assert moved["data"]["object"]["folders"] == ["UNREAD", "CATEGORY_PERSONAL", "INBOX"]
    assert read["data"]["object"]["folders"] == ["CATEGORY_PERSONAL", "INBOX"]
    assert deleted["data"]["object"] == {"id": message, "grant_id": grant, "object": "message"}


# management over HTTP


@pytest.fixture
def admin(nylas: NylasStandIn) -> Iterator[Callable[..., requests.Response]]:
    with Server(nylas.app) as server, requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {KEY}"

        def call(method: str, path: str = "", body: Any = None) -> requests.Response:
            return session.request(method, f"{server.url}/v3/webhooks{path}", json=body, timeout=5)

        yield call


def test_a_webhook_lives_over_http(
    nylas: NylasStandIn, ears: Ears, there: Server, grant: str, admin: Callable[..., requests.Response]
) -> None:
    asked = {
        "trigger_types": ["message.created", "message.updated"],
        "webhook_url": f"{there.url}/hook",
        "description": "Production",
        "notification_email_addresses": ["ops@fjordlight.example"],
        "compressed_delivery": True,
    }
    created = admin("POST", body=asked).json()["data"]
    secret = created.pop("webhook_secret")
    assert {name: created[name] for name in asked} == asked
    assert (created["status"], created["created_at"]) == ("active", NOW)
    assert admin("GET").json()["data"] == [created]
    place = f"/{created['id']}"
    assert admin("GET", place).json()["data"] == created

    nylas.deliver(grant, mail(1))
    nylas.wait_idle()
    rotated = admin("POST", f"/rotate-secret{place}").json()["data"]["webhook_secret"]
    nylas.deliver(grant, mail(2))
    nylas.wait_idle()
    before, after = ears.heard
    assert before.is_signed_with(secret)
    assert after.is_signed_with(rotated)
    assert not after.is_signed_with(secret)

    assert admin("PUT", place, {"status": "pause"}).json()["data"]["status"] == "pause"
    nylas.deliver(grant, mail(3))
    nylas.wait_idle()
    assert (len(ears.heard), len(ears.queries)) == (2, 1)
    changed = admin("PUT", place, {"status": "active", "trigger_types": ["grant.expired"]}).json()["data"]
    assert changed["trigger_types"] == ["grant.expired"]
    assert len(ears.queries) == 2

    assert admin("DELETE", place).status_code == 200
    assert admin("GET", place).status_code == 404
    assert admin("GET").json()["data"] == []


def test_a_failed_challenge_is_a_400_of_type_70005(
    there: Server, ears: Ears, admin: Callable[..., requests.Response]
) -> None:
    ears.challenge = lambda _: Response(status_code=404)
    answer = admin("POST", body={"trigger_types": ["message.created"], "webhook_url": there.url})
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "type": "70005",
        "message": "unable.verify.webhook_url : status is not ok, got 404",
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        pytest.param("POST", "", {"trigger_types": ["message.created"]}, 400, id="no URL"),
        pytest.param("POST", "", {"webhook_url": "{url}/x"}, 400, id="no triggers"),
        pytest.param("POST", "", {"webhook_url": "{url}/x", "trigger_types": ["message.creatd"]}, 400, id="typo"),
        pytest.param("POST", "", {"webhook_url": "{url}/x", "trigger_types": [], "colour": 1}, 400, id="unknown"),
        pytest.param(
            "POST", "", {"webhook_url": "{url}/hook", "trigger_types": ["message.created"]}, 400, id="same URL"
        ),
        pytest.param("POST", "", [], 400, id="not an object"),
        pytest.param("PUT", "/{id}", {"status": "failed"}, 400, id="status"),
        pytest.param("PUT", "/nobody", {"status": "pause"}, 404, id="unknown id"),
        pytest.param("DELETE", "/nobody", None, 404, id="delete unknown"),
        pytest.param("POST", "/rotate-secret/nobody", None, 404, id="rotate unknown"),
        pytest.param("PUT", "/{id}/rotate-secret", None, 404, id="the SDK's wrong way to rotate"),
    ],
)
def test_what_cannot_be_is_refused(
    there: Server,
    hook: Webhook,
    admin: Callable[..., requests.Response],
    method: str,
    path: str,
    body: Any,
    status: int,
) -> None:
    if isinstance(body, dict) and "webhook_url" in body:
        body = {**body, "webhook_url": body["webhook_url"].format(url=there.url)}
    answer = admin(method, path.format(id=hook.id), body)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == ("invalid_request_error" if status == 400 else "not_found_error")
