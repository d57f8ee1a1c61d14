"""The webhook's secret is rotated, step by step and by the command, and no delivery is lost on the way."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.types import Receive, Scope, Send
from typer.testing import CliRunner

from mailsync.admin.commands import app as commands
from mailsync.wiring import Wiring
from sandbox.host import HostProcess
from sandbox.mail import Mail
from sandbox.servers import Certificate, Server
from sandbox.vault import VaultStandIn
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


# by the command, under traffic


class Front:
    """What stands before the app in Azure: one address, behind which a new instance takes over from the one before.

    The app follows its vault: a new version of the secret starts an instance that knows it.
    """

    def __init__(self, office: Office) -> None:
        self._office = office
        self._host: HostProcess | None = None
        self._busy: dict[HostProcess, int] = {}
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._threads: list[threading.Thread] = []

    def follow(self, _name: str, secrets: str) -> None:
        """Deploy a new version in a while, as Azure does; who asked is not kept waiting."""
        thread = threading.Thread(target=self.deploy, args=(secrets,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def deploy(self, secrets: str) -> None:
        with self._turn:
            settings = {**self._office.world.settings(), "NYLAS_WEBHOOK_SECRET": secrets}
            new = HostProcess(APP, settings, max_poll=POLL, timers=False)
            new.start()
            with self._lock:
                old, self._host = self._host, new
                self._busy[new] = 0
            if old is not None:
                while self._busy[old]:
                    time.sleep(0.02)
                old.stop()

    def close(self) -> None:
        for thread in self._threads:
            thread.join()
        if self._host is not None:
            self._host.stop()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        answer = await asyncio.to_thread(self._passed_on, scope, body)
        headers = [(b"content-length", str(len(answer.content)).encode())]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})

    def _passed_on(self, scope: Scope, body: bytes) -> requests.Response:
        with self._lock:
            host = self._host
            assert host is not None
            self._busy[host] += 1
        try:
            query = scope["query_string"].decode()
            named = {name.decode(): value.decode() for name, value in scope["headers"] if name != b"host"}
            url = f"{host.url}{scope['path']}?{query}"
            return requests.request(scope["method"], url, data=body, headers=named, timeout=30)
        finally:
            with self._lock:
                self._busy[host] -= 1


def test_the_command_rotates_the_secret_under_traffic_without_a_lost_delivery(
    hurried: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, nylas = hurried.world, hurried.world.nylas
    certificate, front = Certificate(), Front(hurried)
    laid: list[tuple[Mail, Copy]] = []
    stop = threading.Event()

    def lay() -> None:
        while not stop.wait(0.2):
            mail = hurried.mail(hurried.contact(), hurried.ida.owner)
            laid.append((mail, hurried.lay(mail)))

    with ExitStack() as stack:
        vault = VaultStandIn(world.entra.authorise, then=front.follow)
        served = stack.enter_context(Server(vault.app, certificate=certificate))
        at = stack.enter_context(Server(front.app))
        stack.callback(front.close)
        settings = {name: value for name, value in world.settings().items() if value}
        bundle = tmp_path / "trusted.pem"
        bundle.write_bytes(Path(settings["REQUESTS_CA_BUNDLE"]).read_bytes() + certificate.authority)
        settings["REQUESTS_CA_BUNDLE"] = str(bundle)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)

        def run(*words: str) -> dict[str, Any]:
            result = CliRunner().invoke(
                commands, ["webhook", *words, "--json"], obj=Wiring(settings), catch_exceptions=False
            )
            assert result.exit_code == 0, result.output
            said: dict[str, Any] = json.loads(result.stdout)
            return said

        front.deploy("none-yet")
        nylas.webhooks.change(world.webhook.id, status="pause")
        stack.callback(lambda: nylas.webhooks.change(world.webhook.id, status="active"))
        nylas.webhooks.registered.pop(world.webhook.id)
        stack.callback(lambda: nylas.webhooks.registered.update({world.webhook.id: world.webhook}))
        first = run("register", f"{at.url}/api/webhooks/nylas", "--key-vault", served.url)
        front._threads.pop().join()
        traffic = threading.Thread(target=lay, daemon=True)
        traffic.start()
        world.wait("mail before the rotation", lambda: laid and nylas.notifications_of(laid[0][1].id))
        nylas.wait_idle()
        second = run("rotate", "--key-vault", served.url)
        before = len(laid) + 1  # one may have been on its way
        world.wait("mail after the rotation", lambda: len(laid) > before)
        stop.set()
        traffic.join()
        nylas.wait_idle()
        stack.callback(lambda: nylas.webhooks.remove(second["id"]))
        assert len(laid) > 10
        for mail, copy in laid:
            told = nylas.notifications_of(copy.id)
            answers = {one.webhook: one.status for one in nylas.deliveries if one.notification in told}
            assert 200 in answers.values(), "a delivery was lost"
            assert hurried.outcome(copy)["source"] == "message.created"
            assert [row["statecode"] for row in hurried.emails(mail)] == [1]
        by = [
            {one.webhook for one in nylas.deliveries if one.notification in nylas.notifications_of(copy.id)}
            for _, copy in laid
        ]
        assert by[0] == {first["id"]}
        assert {first["id"], second["id"]} in by
        assert by[-1] == {second["id"]}
        assert len(vault.versions["nylas-webhook-secret"]) == 3
