"""`python -m bench.backfill`: old mail is imported while live mail arrives, and how long that waits meanwhile.

Exit code 1 when a mail is lost or doubled, or live mail waits for longer than the bar.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from bench.headline import publish
from bench.latency import Arrivals, percentile, said, watched
from bench.load import depth
from bench.mail import MAILBOXES, archive, furnish, receive
from bench.measure import DELAY, PATIENCE
from bench.report import machine
from mailsync.windows import moment
from sandbox.azurite import AzuriteError
from sandbox.host import HostError
from sandbox.world import APP, World

MARK = "backfill"
NUMBER = 20_000
RATE = 2.0
"""Live mails a second, before the import and all the while."""
ALONE = 60.0
"""Seconds for which live mail comes alone."""
LONGEST = 60.0
"""Seconds that live mail may wait at most."""
STANDSTILL = 300.0
"""Seconds without another email of the import after which it counts as never ending."""
SUBJECT = re.compile(rb'"subject":\s*"((?:Berth 7, order|Archive, letter) \d+)"')

progress = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(slots=True)
class Live:
    """Live mail of some time: when each was told of, and how long it took until its email stood there, completed."""

    what: str
    told: dict[str, float] = field(default_factory=dict)
    seconds: tuple[float, ...] = ()

    def row(self) -> str:
        """A line of the table."""
        cells = ["-"] * 3
        if len(self.seconds) > 1:
            cells = [f"{percentile(self.seconds, which):.2f}" for which in (50, 95)] + [f"{self.longest:.2f}"]
        return f"| {self.what} | {len(self.seconds):,} of {len(self.told):,} | {' | '.join(cells)} |"

    @property
    def longest(self) -> float:
        """What the slowest of those that came took."""
        return max(self.seconds, default=0.0)


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the old mail."""

    number: int
    seconds: float
    """From the command to the last email."""
    deepest: int
    """Items that the queue held at most, looked at twice a second."""
    counts: dict[str, int]
    """What `backfill show` tells at the end."""
    doubled: int
    """Emails in Dataverse beyond one for each mail, old or live."""


def main() -> int:
    """Measure, print, and say whether the bar is met."""
    parser = argparse.ArgumentParser(prog="python -m bench.backfill", description=__doc__)
    parser.add_argument("--number", type=int, default=NUMBER, help="how many old mails are imported")
    parser.add_argument("--write", action="store_true", help="write the README's block")
    options = parser.parse_args()
    try:
        with World(timers=True) as world:
            furnish(world)
            arrivals = watched(world, SUBJECT)
            world.wait(
                "each mailbox's first sweep", lambda: said(world, "sweep_window_done") >= len(MAILBOXES), PATIENCE
            )
            for vendor in (world.nylas, world.entra, world.dataverse):
                vendor.delay = DELAY
            alone, beside, imported = measure(world, arrivals, number=options.number, alone=ALONE)
    except (AzuriteError, HostError) as error:
        progress.print(f"[red]{error}[/red]")
        return 2
    text = markdown(alone, beside, imported)
    sys.stdout.write(text + "\n")
    if options.write:
        publish(text, MARK)
    missed = failures(alone, beside, imported)
    for failure in missed:
        progress.print(f"[red]missed:[/red] {failure}")
    return 1 if missed else 0


def measure(
    world: World, arrivals: Arrivals, *, number: int, alone: float, rate: float = RATE
) -> tuple[Live, Live, Imported]:
    """Live mail alone for some seconds, then so many old mails beside it."""
    grant, since = archive(world, number)
    before = world.dataverse.count("email")
    with _coming(world, arrivals, "alone", rate) as first:
        time.sleep(alone)
    with _coming(world, arrivals, "while the import runs", rate) as second:
        seconds, deepest, backfill = _import(world, arrivals, grant, since, number)
    world.wait("an empty queue", lambda: not depth(world), PATIENCE)
    told = _command(world, "backfill", "show", backfill)
    mails = before + number + len(first.told) + len(second.told)
    doubled = world.dataverse.count("email") - mails
    return first, second, Imported(number, seconds, deepest, told["counts"], doubled)


@contextmanager
def _coming(world: World, arrivals: Arrivals, what: str, rate: float) -> Iterator[Live]:
    """Live mail comes at a steady rate; at the end each has come or never will."""
    live, over = Live(what), threading.Event()

    def come() -> None:
        begun, place = time.perf_counter(), 0
        while not over.wait(max(0.0, begun + place / rate - time.perf_counter())):
            due = begun + place / rate
            live.told[receive(world, place)] = due
            place += 1

    coming = threading.Thread(target=come)
    coming.start()
    try:
        yield live
    finally:
        over.set()
        coming.join()
    deadline = time.monotonic() + PATIENCE
    while not arrivals.completed.keys() >= live.told.keys() and time.monotonic() < deadline:
        time.sleep(0.05)
    live.seconds = tuple(arrivals.completed[one] - due for one, due in live.told.items() if one in arrivals.completed)
    progress.print(live.row())


def _import(world: World, arrivals: Arrivals, grant: str, since: int, number: int) -> tuple[float, int, str]:
    """Begin the import and see it to its end; how long it took, how deep the queue was, and its id."""
    old = {f"Archive, letter {place}" for place in range(number)}
    begun = time.perf_counter()
    words = ("--mailbox", grant, "--since", moment(since), "--automation", "bypass")
    backfill = str(_command(world, "backfill", *words)["id"])
    deepest = there = shown = 0
    moved = begun
    while there < number and time.perf_counter() - moved < STANDSTILL:
        time.sleep(0.5)
        deepest = max(deepest, depth(world))
        now = len(old & arrivals.completed.keys())
        moved = time.perf_counter() if now > there else moved
        there = now
        if there * 20 // number > shown:
            shown = there * 20 // number
            progress.print(f"{there:,} of {number:,} old mails after {moved - begun:.0f} s")
    last = max((arrivals.completed[one] for one in old & arrivals.completed.keys()), default=begun)
    return last - begun, deepest, backfill


def _command(world: World, *words: str) -> dict[str, Any]:
    """What a command tells at a terminal of its own."""
    given = world.settings()
    env = {name: value for name, value in os.environ.items() if name not in given}
    done = subprocess.run(
        [sys.executable, "-m", "mailsync", *words, "--json"],
        env={**env, **{name: value for name, value in given.items() if value is not None}},
        capture_output=True,
        text=True,
        check=True,
        cwd=APP,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def failures(alone: Live, beside: Live, imported: Imported) -> list[str]:
    """What does not hold."""
    found = [
        f"{one.what}: {len(one.told) - len(one.seconds)} live emails never came"
        for one in (alone, beside)
        if len(one.told) != len(one.seconds)
    ]
    if imported.counts != {"written": imported.number}:
        found.append(f"of {imported.number} old mails: {imported.counts}")
    if imported.doubled:
        found.append(f"{imported.doubled} emails too many or too few stand in Dataverse")
    if beside.longest > LONGEST:
        found.append(f"live mail waited for {beside.longest:.1f} s, and at most {LONGEST:.0f} is the bar")
    return found


def markdown(alone: Live, beside: Live, imported: Imported) -> str:
    """The report."""
    how = (
        f"One instance on {machine()}, beside the stand-ins for Nylas, Entra and Dataverse and the storage emulator; "
        f"{DELAY * 1000:.0f} ms added to each vendor's answer. {imported.number:,} old messages of one mailbox are "
        f"imported while {RATE:g} live ones a second arrive, in that mailbox and {len(MAILBOXES)} others. The clock of "
        "live mail runs from its arrival to Dataverse's answer that its email stands there, completed."
    )
    table = [
        "| live mail | emails | p50 s | p95 s | longest s |",
        "|---|---|---|---|---|",
        alone.row(),
        beside.row(),
    ]
    long = (
        f"The import took {imported.seconds:.0f} s, {imported.number / imported.seconds:.0f} a second; the queue held "
        f"{imported.deepest} items at most. By the journal: {_told(imported.counts)}."
    )
    return "\n".join([how, "", *table, "", long])


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {kind.replace('_', ' ')}" for kind, number in counts.items())


if __name__ == "__main__":
    sys.exit(main())
