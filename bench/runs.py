"""The four ways of writing the same mail, each run against the same stand-ins, one at a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from azure.core.exceptions import ResourceExistsError
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from bench.mail import Delivered, deliver
from bench.measure import PATIENCE, Meter, Trips, cpu_of
from mailsync.storage.envelope import MESSAGES, MessageItem, encode
from sandbox.host import HostProcess
from sandbox.world import APP, World

RECIPE_APP = Path(__file__).parent / "recipe_app"


@dataclass(frozen=True, slots=True)
class Run:
    """One run: so many emails, and what they took."""

    emails: int
    seconds: float
    """From the first request that reached Nylas to the answer that the last email stands in Dataverse."""
    trips: Trips
    cpu: float
    """Seconds of CPU of the process that did the work, until it was idle again."""
    cpu_azurite: float
    cpu_sandbox: float
    """Of the process that stands in for the vendors and measures."""

    @property
    def rate(self) -> float:
        """Emails per second."""
        return self.emails / self.seconds


def recipe_host(world: World, folder: Path) -> HostProcess:
    """The plain recipe in a host like ours, with our own host.json; to be started by the caller."""
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
        settings = {**os.environ, **self._world.settings()}
        command = [sys.executable, str(RECIPE_APP / "recipe.py")]
        with subprocess.Popen(
            command,
            env={name: value for name, value in settings.items() if value is not None},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            orders, said = process.stdin, process.stdout
            said.readline()  # it has its token

            def start() -> None:
                orders.writelines(_order(message) + "\n" for message in messages)
                orders.flush()

            return self._measured(process.pid, number, self._meters["dataverse"].created, start, lambda: True)

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
        order = item if queue == MESSAGES else _order
        texts = [order(message) for message in deliver(self._world, number)]
        process = psutil.Process(host.pid)
        process.suspend()  # it begins when all is on the queue
        try:
            fill(self._world, queue, texts)
        except BaseException:
            process.resume()
            raise
        return self._measured(host.pid, number, landed, process.resume, lambda: is_idle(host))

    def _measured(
        self, pid: int, number: int, landed: list[float], start: Callable[[], None], idle: Callable[[], bool]
    ) -> Run:
        world, processes = self._world, (pid, self._world.azurite.pid, os.getpid())
        for meter in self._meters.values():
            meter.clear()
        before, used = Trips.of(world), [cpu_of(one) for one in processes]
        start()
        world.wait(f"{number} emails", lambda: len(landed) >= number, PATIENCE)
        world.wait("the work to end", idle, PATIENCE)
        cpu, cpu_azurite, cpu_sandbox = (cpu_of(one) - was for one, was in zip(processes, used, strict=True))
        begun = self._meters["nylas"].first
        assert begun is not None
        return Run(number, landed[number - 1] - begun, Trips.of(world).since(before), cpu, cpu_azurite, cpu_sandbox)


def item(delivered: Delivered) -> str:
    """What the webhook would put on our queue."""
    return encode(
        MessageItem(
            grant=delivered.grant, message=delivered.message, source="message.created", first_seen=int(time.time())
        )
    )


def fill(world: World, queue: str, texts: Sequence[str]) -> None:
    """Put texts on a queue, making it if it is not there."""
    with QueueClient.from_connection_string(
        world.storage, queue, message_encode_policy=TextBase64EncodePolicy()
    ) as client:
        with suppress(ResourceExistsError):
            client.create_queue()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(client.send_message, texts))


def is_idle(host: HostProcess) -> bool:
    """Whether no function of this host runs."""
    return not any(function["running"] for function in host.functions().values())


def _order(delivered: Delivered) -> str:
    return json.dumps({"grant": delivered.grant, "message": delivered.message})
