"""The webhook's secret is rotated as docs/operate.md says, and no delivery is lost on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.host import HostProcess
from sandbox.mail import Mail
from sandbox.webhooks import Webhook
from sandbox.world import APP, TRIGGERS
from tests.journeys.office import POLL, Copy, Office


class Deployment:
    """An instance of the office's app that starts anew whenever the setting with its webhooks' secrets is changed."""

    def __init__(self, office: Office, file: Path) -> None:
        self.office = office
        self._file = file
        settings = {**office.world.settings(), "NYLAS_WEBHOOK_SECRET": None}
        self.host = HostProcess(APP, settings, max_poll=POLL, timers=False, settings=file)

    def deploy(self, *webhooks: Webhook) -> None:
        """Set these webhooks' secrets."""
        secrets = ",".join(webhook.secret for webhook in webhooks) or "none-yet"
        self._file.write_text(json.dumps({"Values": {"NYLAS_WEBHOOK_SECRET": secrets}}), encoding="utf-8")
        self.host.stop()
        self.host.start()

    def webhook(self, query: str = "") -> Webhook:
        """Register a webhook at this app, with the secret that Nylas makes for it."""
        return self.office.world.nylas.register(f"{self.host.url}/api/webhooks/nylas{query}", TRIGGERS)

    def lay(self) -> tuple[Mail, Copy, dict[str, int | None]]:
        """Lay a mail; with what was answered to the delivery by each webhook."""
        mail = self.office.mail(self.office.contact(), self.office.ida.owner)
        copy = self.office.lay(mail)
        self.office.world.nylas.wait_idle()
        told = self.office.world.nylas.notifications_of(copy.id)
        deliveries = [one for one in self.office.world.nylas.deliveries if one.notification in told]
        return mail, copy, {one.webhook: one.status for one in deliveries}


@pytest.fixture
def deployment(hurried: Office, tmp_path: Path) -> Iterator[Deployment]:
    """It alone is told of the office's mail."""
    webhooks, usual = hurried.world.nylas.webhooks, hurried.world.webhook
    deployment = Deployment(hurried, tmp_path / "local.settings.json")
    deployment.deploy()
    webhooks.change(usual.id, status="pause")
    yield deployment
    for webhook in set(webhooks.registered) - {usual.id}:
        webhooks.remove(webhook)
    webhooks.change(usual.id, status="active")
    deployment.host.stop()


def test_a_secret_is_rotated_without_a_lost_delivery(deployment: Deployment, hurried: Office) -> None:
    """A second webhook, both secrets in the setting, away with the first webhook, then with its secret."""
    first = deployment.webhook()
    deployment.deploy(first)
    second = deployment.webhook("?v=2")
    laid = [deployment.lay()]
    deployment.deploy(first, second)
    laid.append(deployment.lay())
    hurried.world.nylas.webhooks.remove(first.id)
    laid.append(deployment.lay())
    deployment.deploy(second)
    laid.append(deployment.lay())
    assert [answers for _, _, answers in laid] == [
        {first.id: 200, second.id: 401},
        {first.id: 200, second.id: 200},
        {second.id: 200},
        {second.id: 200},
    ]
    for mail, copy, _ in laid:
        record = hurried.outcome(copy)
        assert record["kind"] in {"written", "already_there"}  # the workers of two deliveries may meet
        assert record["source"] == "message.created"
        assert [row["statecode"] for row in hurried.emails(mail)] == [1]
