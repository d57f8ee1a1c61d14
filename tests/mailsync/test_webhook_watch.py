"""The sweep's timer says so where Nylas has no active webhook to the app, and sweeps whatever comes of asking."""

from __future__ import annotations

import time

import pytest
from azure.storage.queue import QueueClient

from mailsync.nylas.webhooks import PATH
from mailsync.storage.instances import Trouble
from mailsync.wiring import Wiring
from sandbox.azurite import Azurite
from sandbox.faults import Answer, Delay, Fault
from sandbox.webhooks import Webhook
from tests.mailsync.parts import API_KEY, NEVER, NOW, NylasServed, new_address, new_id

HOST = "mail.azurewebsites.net"
URL = f"https://{HOST}{PATH}"
ANOTHER = f"https://staging.azurewebsites.net{PATH}"
OWN_DOMAIN = f"https://mail.contoso.example{PATH}"


class Timer:
    """An app with one mailbox, and what its timer leads to."""

    def __init__(self, nylas: NylasServed, storage: str, caplog: pytest.LogCaptureFixture, **settings: str) -> None:
        self.nylas = nylas
        self._caplog = caplog
        nylas.stand_in.connect(new_address(), "google", created_at=NOW - 60)
        self.wiring = Wiring(
            {
                "AzureWebJobsStorage": storage,
                "NYLAS_API_KEY": API_KEY,
                "NYLAS_API_URI": nylas.server.url,
                "NYLAS_WEBHOOK_SECRET": "s",
                "DATAVERSE_URL": "https://contoso.crm.dynamics.com",
                "SYNC_SINCE": "2026-09-01",
                "WEBSITE_HOSTNAME": HOST,
                **settings,
            }
        )
        self.wiring.clock = lambda: NOW
        self.wiring.notes_after = NEVER

    def fires(self) -> list[str]:
        """Let the timer fire: one sweep is sent whatever Nylas says of webhooks. Returns what is said of them."""
        self._caplog.clear()
        with self._caplog.at_level("DEBUG", "mailsync"):
            assert self.wiring.sweep_missed() == 1
        said = [line.split(" ")[0].removeprefix("event=") for line in self._caplog.messages]
        assert said[0] == "sweep_started", "before anything else"
        return [line for line in self._caplog.messages if "event=webhook_" in line]

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        return self.wiring._pulse.now().troubles

    @property
    def asked(self) -> int:
        return self.nylas.stand_in.calls["GET webhooks"]


@pytest.fixture
def timer(
    nylas: NylasServed, azurite: Azurite, on_queue: dict[str, QueueClient], caplog: pytest.LogCaptureFixture
) -> Timer:
    return Timer(nylas, azurite.connection_string, caplog)


def add(nylas: NylasServed, status: str, url: str = URL) -> Webhook:
    """A webhook as Nylas has it, without the challenge that no app here could answer."""
    made = Webhook(
        id=new_id(), url=url, triggers=("message.created",), secret="s", compressed=True, description="", emails=(),
        status=status, created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    nylas.stand_in.webhooks.registered[made.id] = made
    return made


@pytest.mark.parametrize("status", ["failing", "failed", "pause"])
def test_a_webhook_that_is_not_active_is_told_each_time_until_it_is(timer: Timer, status: str) -> None:
    webhook = add(timer.nylas, status)
    for _ in range(2):
        (said,) = timer.fires()
        assert said.startswith(f"event=webhook_unwell status={status} reason=webhook_unwell advice=Nylas calls")
        assert [(one.reason, one.work) for one in timer.troubles] == [("webhook_unwell", "webhook")]
    webhook.status = "active"
    assert timer.fires() == []
    assert timer.troubles == ()
    assert timer.asked == 3, "once each time"


@pytest.mark.parametrize(
    ("webhooks", "status"),
    [
        pytest.param([("active", URL)], "", id="active"),
        pytest.param([("active", URL), ("pause", f"{URL}?v=2")], "", id="a rotation"),
        pytest.param([("failed", URL), ("active", f"{URL}?v=2")], "", id="a rotation, the other way"),
        pytest.param([("failed", URL), ("pause", f"{URL}?v=2")], "failed,pause", id="neither of two"),
        pytest.param([("failed", URL), ("active", ANOTHER)], "failed", id="another deployment's is active"),
        pytest.param([("active", OWN_DOMAIN)], "", id="a domain of one's own"),
        pytest.param([("failed", OWN_DOMAIN)], "failed", id="a domain of one's own, given up"),
        pytest.param([("active", "https://crm.contoso.example/hook")], "missing", id="something else's"),
        pytest.param([], "missing", id="none"),
    ],
)
def test_one_of_ours_that_is_active_is_enough(timer: Timer, webhooks: list[tuple[str, str]], status: str) -> None:
    for one, url in webhooks:
        add(timer.nylas, one, url)
    said = timer.fires()
    assert [line.split(" ")[1] for line in said] == ([f"status={status}"] if status else [])
    assert (timer.troubles != ()) is bool(status)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(Answer(500), "nylas_unavailable", id="an outage"),
        pytest.param(Answer(403), "nylas_key", id="a key that may not"),
        pytest.param(Answer(200, body=b"<html>"), "nylas_shape", id="no JSON"),
    ],
)
def test_a_nylas_that_does_not_say_costs_no_sweep_and_changes_nothing(
    timer: Timer, answer: Answer, reason: str
) -> None:
    add(timer.nylas, "failed")
    timer.fires()
    fault = Fault(answer, path="/v3/webhooks")
    timer.nylas.faults.add(fault)
    (said,) = timer.fires()
    assert said.startswith(f"event=webhook_not_looked_at reason={reason}")
    assert timer.nylas.faults.count(fault) == 1
    assert [one.reason for one in timer.troubles] == ["webhook_unwell"]


def test_a_nylas_that_is_silent_is_waited_for_but_a_moment(timer: Timer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailsync.wiring.services.LEAST_PATIENCE", 0.3)
    timer.nylas.faults.add(Fault(Delay(3), path="/v3/webhooks"))
    began = time.monotonic()
    (said,) = timer.fires()
    assert said.startswith("event=webhook_not_looked_at reason=nylas_timed_out")
    assert time.monotonic() - began < 3
    assert timer.troubles == ()


@pytest.mark.parametrize("host", ["", " ", "localhost:7071", "0.0.0.0:7071"])
def test_where_azure_gives_the_app_no_name_nothing_is_asked(
    nylas: NylasServed,
    azurite: Azurite,
    on_queue: dict[str, QueueClient],
    caplog: pytest.LogCaptureFixture,
    host: str,
) -> None:
    timer = Timer(nylas, azurite.connection_string, caplog, WEBSITE_HOSTNAME=host)
    assert timer.fires() == []
    assert timer.asked == 0
