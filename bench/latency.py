"""`python -m bench.latency`: how long it takes from a notification to the completed email, at an easy rate.

Exit code 1 when an email does not come or the bar is missed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import quantiles

from rich.console import Console
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bench.headline import publish
from bench.ingest import ingest, notifications
from bench.mail import MAILBOXES, furnish
from bench.measure import DELAY, PATIENCE
from bench.report import machine
from sandbox.azurite import AzuriteError
from sandbox.host import HostError
from sandbox.world import World

MARK = "latency"
RATES = (1, 5, 10)
"""Notifications a second."""
SECONDS = 40
WARM_UP = 40
P95_AT_1 = 5.0
"""Seconds at most, at one a second: "within seconds" is the promise."""
SUBJECT = re.compile(rb'"subject":\s*"(Berth 7, order \d+)"')

progress = Console(stderr=True, highlight=False, soft_wrap=True)


class Arrivals:
    """ASGI middleware that notes when Dataverse said that the email of each subject is completed."""

    def __init__(self, app: ASGIApp, subject: re.Pattern[bytes] = SUBJECT) -> None:
        self._app = app
        self._subject = subject
        self.completed: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        heard: list[bytes] = []

        async def hear() -> Message:
            message = await receive()
            heard.append(message.get("body", b""))
            return message

        async def say(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start" and message["status"] < 300:
                self._note(b"".join(heard))

        await self._app(scope, hear, say)

    def _note(self, body: bytes) -> None:
        subject = self._subject.search(body)
        if subject is not None and b"\r\nPATCH /api/data/v9.2/emails" in body:
            self.completed.setdefault(subject[1].decode(), time.perf_counter())


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of some notifications at one rate, in seconds."""

    rate: int
    sent: int
    seconds: tuple[float, ...]
    """From the moment a notification was due to the answer that its email stands in Dataverse, completed."""
    told: tuple[float, ...]
    """What the app's own log lines say of the same."""

    def row(self) -> str:
        """A line of the table."""
        cells = [f"{percentile(self.seconds, which):.2f}" for which in (50, 95, 99)]
        own = [f"{percentile(self.told, which):.2f}" for which in (50, 95)]
        return f"| {self.rate} a second | {len(self.seconds)} of {self.sent} | {' | '.join([*cells, *own])} |"


def percentile(seconds: Sequence[float], which: int) -> float:
    """Of at least two."""
    return quantiles(seconds, n=100, method="inclusive")[which - 1]


def main() -> int:
    """Measure, print, and say whether the bar is met."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="how long notifications come at each rate")
    parser.add_argument("--write", action="store_true", help="write the README's block")
    options = parser.parse_args()
    try:
        with World() as world:
            arrivals = watched(world)
            furnish(world)
            world.wait(
                "each mailbox's first sweep", lambda: said(world, "sweep_window_done") == len(MAILBOXES), PATIENCE
            )
            measure(world, arrivals, rate=20, number=WARM_UP)
            for vendor in (world.nylas, world.entra, world.dataverse):
                vendor.delay = DELAY
            found = [measure(world, arrivals, rate=rate, number=rate * options.seconds) for rate in RATES]
    except (AzuriteError, HostError) as error:
        progress.print(f"[red]{error}[/red]")
        return 2
    text = markdown(found)
    sys.stdout.write(text + "\n")
    if options.write:
        publish(text, MARK)
    missed = failures(found)
    for failure in missed:
        progress.print(f"[red]missed:[/red] {failure}")
    return 1 if missed else 0


def said(world: World, event: str) -> int:
    """How many lines of the app's log tell of an event."""
    return sum(f"event={event} " in line for line in world.host.log)


def watched(world: World, subject: re.Pattern[bytes] = SUBJECT) -> Arrivals:
    """Put the watch before the stand-in for Dataverse, for mails whose subjects are such."""
    arrivals = world.faults["dataverse"].app = Arrivals(world.faults["dataverse"].app, subject)
    return arrivals


def measure(world: World, arrivals: Arrivals, *, rate: int, number: int) -> Measured:
    """Send so many notifications of new mail, so many a second, and see each email come."""
    bodies = notifications(world, number)
    subjects = [found[1].decode() for body in bodies if (found := SUBJECT.search(body)) is not None]
    line, messages = len(world.host.log), [json.loads(body)["data"]["object"]["id"] for body in bodies]
    sent = ingest(world.host.url, world.webhook.secret, bodies, rate=rate)
    deadline = time.monotonic() + PATIENCE
    while not arrivals.completed.keys() >= set(subjects) and time.monotonic() < deadline:
        time.sleep(0.05)
    due = {subject: sent.begun + place / rate for place, subject in enumerate(subjects)}
    seconds = [arrivals.completed[one] - due[one] for one in subjects if one in arrivals.completed]
    told = waited(world, line, messages, len(seconds))
    found = Measured(rate=rate, sent=number, seconds=tuple(seconds), told=told)
    progress.print(found.row())
    return found


def waited(world: World, line: int, messages: Collection[str], number: int) -> tuple[float, ...]:
    """The seconds from the notification that the app's lines on these messages say, since a line of its log."""
    pattern = re.compile(r"event=email_written .*\bmessage=(\S+) .*\bend_to_end_ms=(\d+)")
    found: list[float] = []

    def all_said() -> bool:
        nonlocal found
        lines = (pattern.search(one) for one in world.host.log[line:])
        found = [int(one[2]) / 1000 for one in lines if one is not None and one[1] in messages]
        return len(found) >= number

    world.wait(f"{number} lines of written emails", all_said)
    return tuple(found)


def failures(found: Sequence[Measured]) -> list[str]:
    """What does not hold."""
    lost = [
        f"{one.rate} a second: {one.sent - len(one.seconds)} emails never came"
        for one in found
        if one.sent != len(one.seconds)
    ]
    easy = percentile(found[0].seconds, 95)
    slow = [f"p95 at {found[0].rate} a second is {easy:.2f} s, and at most {P95_AT_1} is the bar"]
    return lost + (slow if easy > P95_AT_1 else [])


def markdown(found: Sequence[Measured]) -> str:
    """The report."""
    how = (
        f"One instance on {machine()}, beside the stand-ins for Nylas, Entra and Dataverse and the storage emulator; "
        f"{DELAY * 1000:.0f} ms added to each vendor's answer, of which an email needs three. The clock runs from the "
        "moment a notification is due to Dataverse's answer that its email stands there, completed. An empty queue is "
        "looked at every two seconds at the longest, as `host.json` says, which is much of what one waits."
    )
    table = [
        "| notifications | emails | p50 s | p95 s | p99 s | p50 s by the app's own lines | p95 s |",
        "|---|---|---|---|---|---|---|",
        *(one.row() for one in found),
    ]
    return "\n".join([how, "", *table])


if __name__ == "__main__":
    sys.exit(main())
