"""The four ways of writing the same mail, each run against the same stand-ins, one at a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from azure.core.exceptions import ResourceExistsError
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from bench.mail import deliver
from bench.measure import Counts, Meter, cpu_of
from mailsync.storage.envelope import MESSAGES, MessageItem, encode
from sandbox.host import HostProcess
from sandbox.world import APP, World

RECIPE_APP = Path(__file__).parent / "recipe_app"
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run: so many emails, and what they took."""

    emails: int
    seconds: float
    """From the first request that reached a vendor to the last email that stood in Dataverse."""
    counts: Counts
    cpu: float
    """Seconds of CPU of the process that did the work."""
    cpu_azurite: float
    cpu_sandbox: float
    """Of the process that stands in for the vendors and drives."""

    @property
    def rate(self) -> float:
        """Emails per second."""
        return self.emails / self.seconds


def recipe_host(world: World, folder: Path) -> HostProcess:
    """The recipe in a host like ours, with our own host.json; to be started by the caller."""
    shutil.copytree(RECIPE_APP, folder, dirs_exist_ok=True)
    shutil.copy(APP / "host.json", folder)
    return HostProcess(folder, world.settings(), timers=False)


class Ways:
    """Runs each way of writing mail in one world."""

    def __init__(self, world: World, recipe: HostProcess, meters: dict[str, Meter]) -> None:
        self._world = world
        self._recipe = recipe
        self._meters = meters

    def sequential(self, number: int) -> Run:
        """(a) The plain recipe, one message after another, in a process of its own."""
        messages = deliver(self._world, number)
        env = {name: value for name, value in {**os.environ, **self._world.settings()}.items() if value is not None}
        process = subprocess.Popen(
            [sys.executable, str(RECIPE_APP / "recipe.py")],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process:
            process.stdout.readline()

            def start() -> None:
                lines = [json.dumps({"grant": grant, "message": message}) + "\n" for grant, message in messages]
                process.stdin.writelines(lines)
                process.stdin.flush()

            try:
                return self._measured(process.pid, number, self._meters["dataverse"].created, start, lambda: True)
            finally:
                process.stdin.close()

    def plain(self, number: int) -> Run:
        """(b) The same code in the host."""
        return self._hosted(self._recipe, "recipe-plain", number, self._meters["dataverse"].created)

    def checked(self, number: int) -> Run:
        """(b') With a lookup of the Message-ID, one of the contact, and the completion."""
        return self._hosted(self._recipe, "recipe-checked", number, self._meters["dataverse"].completed)

    def ours(self, number: int) -> Run:
        """(c) This product."""
        return self._hosted(self._world.host, MESSAGES, number, self._meters["dataverse"].completed)

    def _hosted(self, host: HostProcess, queue: str, number: int, landed: list[float]) -> Run:
        messages = deliver(self._world, number)
        texts = [_text(queue, grant, message) for grant, message in messages]
        process = psutil.Process(host.pid)
        process.suspend()
        try:
            fill(self._world, queue, texts)
        except BaseException:
            process.resume()
            raise
        return self._measured(host.pid, number, landed, process.resume, lambda: is_idle(host))

    def _measured(
        self, pid: int, number: int, landed: list[float], start: Callable[[], None], idle: Callable[[], bool]
    ) -> Run:
        world, azurite, me = self._world, self._world.azurite.pid, os.getpid()
        for meter in self._meters.values():
            meter.clear()
        before, cpu = Counts.of(world), [cpu_of(one) for one in (pid, azurite, me)]
        start()
        world.wait(f"{number} emails", lambda: len(landed) >= number, PATIENCE)
        world.wait("the work to end", idle, PATIENCE)
        spent = [cpu_of(one) - was for one, was in zip((pid, azurite, me), cpu, strict=True)]
        begun = self._meters["nylas"].first
        assert begun is not None
        return Run(number, landed[number - 1] - begun, Counts.of(world) - before, *spent)


def fill(world: World, queue: str, texts: list[str]) -> None:
    """Put texts on a queue, making it first."""
    client = QueueClient.from_connection_string(
        world.azurite.connection_string, queue, message_encode_policy=TextBase64EncodePolicy()
    )
    with client:
        with suppress(ResourceExistsError):
            client.create_queue()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(client.send_message, texts))


def is_idle(host: HostProcess) -> bool:
    """Whether no function of this host runs."""
    return not any(function["running"] for function in host.functions().values())


def _text(queue: str, grant: str, message: str) -> str:
    if queue == MESSAGES:
        now = int(time.time())
        return encode(MessageItem(grant=grant, message=message, source="message.created", first_seen=now))
    return json.dumps({"grant": grant, "message": message})
