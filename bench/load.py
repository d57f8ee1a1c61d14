"""`python -m bench.load`: what one instance takes in, what happens beyond that, and what many items do to its memory.

Exit code 1 when a notification is lost, a bar is missed or memory grows.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import http.client
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from statistics import median, quantiles
from urllib.parse import urlsplit

import psutil
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient, TextBase64DecodePolicy
from rich.console import Console

from bench.headline import publish
from bench.ingest import ingest, notifications
from bench.mail import deliver, furnish
from bench.measure import PATIENCE, cpu_of
from bench.report import machine
from bench.runs import fill, is_idle, item
from mailsync.storage.envelope import MESSAGES, MessageItem, decode
from sandbox.host import HostProcess
from sandbox.world import APP, World

MARK = "load"
RATES = (50, 100, 200, 400)
SECONDS = 5
FLOOD = 3000
CONNECTIONS = 64
NYLAS_TIMEOUT, NYLAS_ATTEMPTS = 10.0, 3
"""What Nylas grants an answer, and how often it tries (its page on notifications, read 2026-11)."""
BETWEEN_ATTEMPTS = 8.0
"""Seconds; Nylas takes minutes."""
STILL = 6.0
P99_AT_100 = 50.0
IMPORT_MS = 300.0
ITEMS, TIMES = 50_000, 10
"""Items of the long run, and how often each mail is told of: once as new, then as updated."""
DEEPEST = 800
"""Items on the queue at most: the emulator's own cost grows with their number."""
PORTION = 200
GROWTH = 24.0
"""Megabytes that the process may grow by after a fifth of the items."""
WRITING_OFF = {"AzureWebJobs.write_email.Disabled": "true"}

progress = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(slots=True)
class Taken:
    """What became of some notifications."""

    what: str
    sent: int
    answers: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    per_second: float = 0.0
    kept: int = 0
    """Different ones that lie on the queue."""

    def percentile(self, which: int) -> float:
        """Milliseconds until the answer."""
        return quantiles(self.milliseconds, n=100, method="inclusive")[which - 1]

    def row(self) -> str:
        """A line of the table."""
        answers = ", ".join(f"{number} × {code}" for code, number in sorted(self.answers.items()))  # noqa: RUF001
        times = f"{self.percentile(50):.1f} | {self.percentile(99):.1f}"
        return f"| {self.what} | {self.per_second:.0f} | {times} | {answers} | {self.sent - self.kept} |"


@dataclass(frozen=True, slots=True)
class Passed:
    """Many items that went through one process."""

    items: int
    mails: int
    landed: int
    seconds: float
    cpu: float
    memory: tuple[float, ...]
    """Megabytes at every tenth of the way."""

    @property
    def growth(self) -> float:
        """Megabytes, from a fifth of the way to the end."""
        return self.memory[-1] - self.memory[1]


def main() -> int:
    """Measure, print, and say whether all holds."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--write", action="store_true", help="write the README's block")
    options = parser.parse_args()
    importing = imported()
    with World(settings={"SWEEP_SCHEDULE": "0 0 0 1 1 *"}) as world:
        furnish(world)
        world.nylas.wait_idle()
        world.host.stop()
        with world.another_host(**WRITING_OFF) as host:
            ingest(host.url, world.webhook.secret, notifications(world, RATES[0]), rate=RATES[0])  # warm
            queued(world)
            taken = [steady(world, host, rate) for rate in RATES]
            taken += [flood(world, host), standstill(world, host)]
        world.host.start()
        passed = pass_through(world, options.items)
    text = markdown(importing, taken, passed)
    sys.stdout.write(text + "\n")
    if options.write:
        publish(text, MARK)
    problems = failures(importing, taken, passed)
    for problem in problems:
        progress.print(f"[red]missed:[/red] {problem}")
    return 1 if problems else 0


def imported() -> float:
    """Milliseconds that importing `function_app` takes, the median of five fresh processes, less an empty one's."""

    def timed(code: str) -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], cwd=APP, check=True)
        return (time.perf_counter() - begun) * 1000

    timed("import function_app")  # compiles
    return median(timed("import function_app") for _ in range(5)) - median(timed("") for _ in range(5))


def steady(world: World, host: HostProcess, rate: int) -> Taken:
    """So many a second for some seconds, whether or not the earlier ones are answered."""
    bodies = notifications(world, rate * SECONDS)
    begun = time.perf_counter()
    found = ingest(host.url, world.webhook.secret, bodies, rate=rate)
    seconds = time.perf_counter() - begun
    return _counted(
        Taken(
            f"{rate} a second",
            sent=len(bodies),
            answers=Counter({str(code): number for code, number in found.codes.items()}),
            milliseconds=[second * 1000 for second in found.seconds],
            per_second=len(bodies) / seconds,
        ),
        world,
    )


def flood(world: World, host: HostProcess) -> Taken:
    """As many as it takes, over more connections than it has threads."""
    what = f"as fast as it answers, over {CONNECTIONS} connections"
    posting = _posting(world, host, what, notifications(world, FLOOD))
    with posting as (taken, post), ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(post, range(FLOOD)))
    return _counted(taken, world)


def standstill(world: World, host: HostProcess) -> Taken:
    """Storage stands still for a while in which notifications go on coming; Nylas tries again what was not taken."""
    rate, seconds = 30, 10
    bodies = notifications(world, rate * seconds)
    storage = psutil.Process(world.azurite.pid)
    posting = _posting(world, host, f"{rate} a second, storage stands still for {STILL:.0f} s", bodies)
    with posting as (taken, post), ThreadPoolExecutor(CONNECTIONS * 4) as pool:
        timers = threading.Timer(2.0, storage.suspend), threading.Timer(2.0 + STILL, storage.resume)
        for timer in timers:
            timer.start()
        for number in range(len(bodies)):
            pool.submit(post, number)
            time.sleep(1 / rate)
        for timer in timers:
            timer.join()
    return _counted(taken, world)


@contextmanager
def _posting(
    world: World, host: HostProcess, what: str, bodies: Sequence[bytes]
) -> Iterator[tuple[Taken, Callable[[int], None]]]:
    """Counts what is posted, each as often as Nylas would."""
    taken, lock, here = Taken(what, sent=len(bodies)), threading.Lock(), threading.local()
    where = urlsplit(host.url)

    def attempt(body: bytes) -> str:
        signature = hmac.new(world.webhook.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "x-nylas-signature": signature}
        line = getattr(here, "line", None)
        if line is None:
            line = here.line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=NYLAS_TIMEOUT)
        try:
            line.request("POST", "/api/webhooks/nylas", body, headers)
            answer = line.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            line.close()
            here.line = None
            return type(error).__name__
        return str(answer.status)

    def post(number: int) -> None:
        for left in reversed(range(NYLAS_ATTEMPTS)):
            begun = time.perf_counter()
            answer = attempt(bodies[number])
            with lock:
                taken.answers[answer] += 1
                taken.milliseconds.append((time.perf_counter() - begun) * 1000)
            if answer == "200" or not left:
                return
            time.sleep(BETWEEN_ATTEMPTS)

    begun = time.perf_counter()
    yield taken, post
    taken.per_second = len(bodies) / (time.perf_counter() - begun)


def _counted(taken: Taken, world: World) -> Taken:
    taken.kept = len(queued(world))
    progress.print(taken.row())
    return taken


def queued(world: World) -> set[str | None]:
    """The different notifications on the queue, all taken off it."""
    kept: set[str | None] = set()
    with (
        QueueClient.from_connection_string(
            world.storage, MESSAGES, message_decode_policy=TextBase64DecodePolicy()
        ) as queue,
        suppress(ResourceNotFoundError),
    ):
        while some := list(queue.receive_messages(messages_per_page=32, max_messages=32, visibility_timeout=600)):
            found = [decode(message.content) for message in some]
            kept |= {one.notification for one in found if isinstance(one, MessageItem)}
        queue.clear_messages()
    return kept


def pass_through(world: World, number: int) -> Passed:
    """New mail and repeated notifications of it, mixed, through one process, and its memory on the way."""
    choose = random.Random(1)  # the same mix each time
    process = psutil.Process(world.host.pid)
    told: list[str] = []
    memory: list[float] = []
    done, before = 0, world.dataverse.count("email", statecode=1)
    begun, used = time.perf_counter(), cpu_of(process.pid)
    while done < number:
        fresh = [item(one) for one in deliver(world, PORTION // TIMES)]
        again = choose.choices(told or fresh, k=PORTION - len(fresh))
        told += fresh
        texts = fresh + again
        choose.shuffle(texts)
        fill(world, MESSAGES, texts)
        done += len(texts)
        world.wait("room on the queue", lambda: depth(world) < DEEPEST, PATIENCE)
        if done * 10 // number > len(memory):
            memory.append(process.memory_info().rss / 2**20)
            standing = world.dataverse.count("email", statecode=1)
            progress.print(f"{done} items, {standing} emails, {memory[-1]:.0f} MB")
    world.wait("the queue to be empty", lambda: not depth(world) and is_idle(world.host), PATIENCE)
    seconds = time.perf_counter() - begun
    memory[-1] = process.memory_info().rss / 2**20
    landed = world.dataverse.count("email", statecode=1) - before
    return Passed(done, len(told), landed, seconds, cpu_of(process.pid) - used, tuple(memory))


def depth(world: World) -> int:
    """How many items lie on the queue, hidden ones too."""
    with QueueClient.from_connection_string(world.storage, MESSAGES) as queue:
        return queue.get_queue_properties().approximate_message_count or 0


def failures(importing: float, taken: Sequence[Taken], passed: Passed) -> list[str]:
    """What does not hold."""
    lost = [f"{one.what}: {one.sent - one.kept} notifications lost" for one in taken if one.kept != one.sent]
    at_100 = next(one for one in taken if one.what.startswith("100 "))
    slow = [f"p99 at 100 a second is {at_100.percentile(99):.1f} ms"] if at_100.percentile(99) > P99_AT_100 else []
    heavy = [f"importing function_app takes {importing:.0f} ms"] if importing > IMPORT_MS else []
    gone = [f"of {passed.mails} mails {passed.landed} landed"] if passed.landed != passed.mails else []
    fat = [f"memory grew by {passed.growth:.0f} MB"] if passed.growth > GROWTH else []
    return lost + slow + heavy + gone + fat


def markdown(importing: float, taken: Sequence[Taken], passed: Passed) -> str:
    """The report."""
    tenths = [passed.memory[place] for place in (0, 1, 4, 9)]
    how = (
        f"One instance on {machine()}, beside the storage emulator and the stand-ins. Nylas waits 10 s for an answer "
        "and tries three times."
    )
    table = [
        "| notifications | taken a second | p50 ms | p99 ms | answers | lost |",
        "|---|---|---|---|---|---|",
        *(one.row() for one in taken),
    ]
    long = (
        f"{passed.items:,} items ({passed.mails:,} new mails, each told of {TIMES} times) passed in "
        f"{passed.seconds:.0f} s, {passed.items / passed.seconds:.0f} a second, with "
        f"{passed.cpu / passed.items * 1000:.1f} ms of CPU each. The process held "
        f"{', '.join(f'{one:.0f}' for one in tenths)} MB after a tenth, a fifth, half and all of them. "
        f"Importing `function_app` takes {importing:.0f} ms."
    )
    return "\n".join([how, "", *table, "", long])


if __name__ == "__main__":
    sys.exit(main())
