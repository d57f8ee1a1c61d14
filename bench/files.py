"""What files cost: round trips and CPU of an email by how many it has, and the memory that a large one takes."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.claims import write
from bench.mail import CONTACTS, MAILBOXES, Delivered, deliver_one
from bench.measure import Trips, cpu_of
from sandbox.host import HostProcess
from sandbox.mail import File
from sandbox.world import World

COUNTS = (0, 3, 20)
SIZE = 20_000
"""Bytes of each small file."""
LARGE = 25_000_000
MOST_MEMORY = 80
"""Megabytes above idle that a large file may take."""
WARM = 3
MEASURED = 12


@dataclass(frozen=True, slots=True)
class Carried:
    """Emails with so many files each."""

    files: int
    trips: Trips
    cpu: float
    """Seconds of the app's CPU for one of them."""

    @property
    def at_most(self) -> tuple[int, int]:
        """Round trips to Dataverse and Nylas that one of them may take."""
        return 2, 1 + self.files


@dataclass(frozen=True, slots=True)
class Held:
    """What a process held while it wrote one email with a large file, in megabytes."""

    idle: float
    peak: float

    @property
    def above(self) -> float:
        """How much more than when idle."""
        return self.peak - self.idle


def carried(world: World, files: int, *, emails: int = MEASURED) -> Carried:
    """The mean of several emails with so many small files; no two files are alike, so none is reused."""
    for _ in range(WARM):
        write(world, world.host, _mail(world, files, SIZE))
    delivered = [_mail(world, files, SIZE) for _ in range(emails)]
    before, used = Trips.of(world), cpu_of(world.host.pid)
    for one in delivered:
        write(world, world.host, one)
    trips = Trips.of(world).since(before)
    spent = cpu_of(world.host.pid) - used
    return Carried(files, Trips(-(-trips.dataverse // emails), -(-trips.nylas // emails), 0), spent / emails)


def held(world: World, size: int = LARGE) -> Held:
    """The memory of a process of its own that writes an email with one large file, in blocks."""
    organization = world.dataverse.organization_id
    world.dataverse.update("organization", organization, maxuploadfilesize=131_072_000)
    with world.another_host() as host:
        write(world, host, _mail(world, 1, SIZE))
        with _Watched(host) as watched:
            write(world, host, _mail(world, 1, size))
    return Held(watched.idle / 1e6, watched.peak / 1e6)


def _mail(world: World, number: int, size: int) -> Delivered:
    """In a Microsoft mailbox: Google counts each file against a user's quota, and would be waited for."""
    files = (File(f"drawing {place}.pdf", "application/pdf", random.randbytes(size)) for place in range(number))
    return deliver_one(world, CONTACTS[0], mailbox=MAILBOXES[1][0], files=tuple(files))


class _Watched:
    """The most memory that a process held, looked at all the time."""

    def __init__(self, host: HostProcess) -> None:
        self._status = Path(f"/proc/{host.pid}/statm")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.idle = self.peak = self._now()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _now(self) -> int:
        return int(self._status.read_text(encoding="ascii").split()[1]) * 4096

    def _look(self) -> None:
        while not self._over.wait(0.005):
            self.peak = max(self.peak, self._now())


def rows(carried: Sequence[Carried], held: Held) -> list[str]:
    """What was found, as Markdown."""
    return [
        "| an email with | Dataverse trips | Nylas trips | CPU ms |",
        "|---|---|---|---|",
        *map(_row, carried),
        "",
        (
            f"A file of {LARGE // 1_000_000} MB, in blocks, takes {held.above:.0f} MB above the {held.idle:.0f} MB "
            f"that the process held before; at most {MOST_MEMORY}."
        ),
    ]


def _row(one: Carried) -> str:
    what = f"{one.files} files of {SIZE // 1000} kB"
    return f"| {what} | {one.trips.dataverse} | {one.trips.nylas} | {one.cpu * 1000:.1f} |"
