"""What one email, a redelivery or a quiet sweep costs in round trips: counted, not timed, so true on any machine."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from azure.storage.queue import QueueClient

from bench.mail import CONTACTS, IMAP, MAILBOXES, Delivered, connect_imap, deliver, deliver_one
from bench.measure import PATIENCE, Trips, settle
from bench.runs import fill, is_idle, item
from mailsync.storage.envelope import MESSAGES
from sandbox.host import HostProcess
from sandbox.mail import Person
from sandbox.world import APP, World

GRANTS_PAGE = 200
RECIPIENTS = (1, 5, 200)
CROWD = 150
"""Emails, far more than can be at work at once."""
_strangers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Claim:
    """What was counted, and the most that it may be, by what was counted."""

    what: str
    counted: Mapping[str, int]
    at_most: Mapping[str, int]

    @property
    def holds(self) -> bool:
        """Whether every count is kept."""
        return all(self.counted[unit] <= most for unit, most in self.at_most.items())


def claims(world: World, *, page_size: int) -> Iterator[Claim]:
    """Every claim in turn; `page_size` is the world's SWEEP_PAGE_SIZE."""
    write(world, world.host, deliver_one(world, CONTACTS[0]))  # the process knows its mailbox from here on
    for recipients in RECIPIENTS:
        yield _claim(f"new email, unknown recipients: {recipients}", cold(world, recipients), 2, 1)
    yield _claim("new email, known people", warm(world, world.host), 2, 1)
    with world.another_host(ADOPT_EXISTING="false") as host:
        yield _claim("new email, known people, ADOPT_EXISTING=false", warm(world, host), 1, 1)
    yield _claim("new email in an IMAP mailbox, whose header is read apart", imap(world), 2, 2)
    yield _claim("redelivery", redelivered(world), 0, 0)
    yield crowd(world, CROWD)
    yield quiet_sweep(world, page_size)


def cold(world: World, recipients: int) -> Trips:
    """A new email whose sender and recipients nobody has asked for before."""
    people = [Person(None, f"new{next(_strangers)}@everywhere.example") for _ in range(recipients)]
    return write(world, world.host, deliver_one(world, people[0], people))


def warm(world: World, host: HostProcess) -> Trips:
    """The second new email between the same people, who are contacts."""
    write(world, host, deliver_one(world, CONTACTS[0], CONTACTS[1:3]))
    return write(world, host, deliver_one(world, CONTACTS[0], CONTACTS[1:3]))


def imap(world: World) -> Trips:
    """The second new email of a mailbox of which Nylas has no whole header."""
    succeeded = _succeeded(world.host, "sweep_mailbox")
    connect_imap(world)
    settle(world, world.host, "sweep_mailbox", 1, succeeded)  # a new mailbox is swept at once
    write(world, world.host, deliver_one(world, CONTACTS[0], mailbox=IMAP))
    return write(world, world.host, deliver_one(world, CONTACTS[0], mailbox=IMAP))


def redelivered(world: World) -> Trips:
    """An email that is there, told of again."""
    delivered = deliver_one(world, CONTACTS[0])
    write(world, world.host, delivered)
    return write(world, world.host, delivered)


def crowd(world: World, number: int) -> Claim:
    """Connections of many emails: each thread keeps one to each vendor, so the emails' number does not matter."""
    before, succeeded = Trips.of(world), _succeeded(world.host, "write_email")
    fill(world, MESSAGES, [item(delivered) for delivered in deliver(world, number)])
    settle(world, world.host, "write_email", number, succeeded)
    opened = Trips.of(world).since(before).connections
    return Claim(f"{number} new emails", {"TCP connections": opened}, {"TCP connections": 2 * concurrency()})


def quiet_sweep(world: World, page_size: int) -> Claim:
    """A sweep of every mailbox when all of its mail is known."""
    sweep(world)  # finds what nobody was told of, and reads the mailboxes' aliases
    drain(world)
    sizes = [len(world.nylas.messages(address)) for address in connected(world)]
    pages = sum(max(1, math.ceil(size / page_size)) for size in sizes)
    before, listed = Trips.of(world), world.nylas.calls["GET grants"]
    sweep(world)
    trips, grants = Trips.of(world).since(before), world.nylas.calls["GET grants"] - listed
    return Claim(
        f"sweep that finds nothing: {len(sizes)} mailboxes, {pages} pages of messages",
        {"Dataverse": trips.dataverse, "Nylas": trips.nylas - grants, "Nylas, listing grants": grants},
        {"Dataverse": 0, "Nylas": pages, "Nylas, listing grants": math.ceil(len(sizes) / GRANTS_PAGE)},
    )


def write(world: World, host: HostProcess, delivered: Delivered) -> Trips:
    """What one run of write_email for this message adds."""
    before, succeeded = Trips.of(world), _succeeded(host, "write_email")
    host.run("write_email", item(delivered))
    settle(world, host, "write_email", 1, succeeded)
    return Trips.of(world).since(before)


def sweep(world: World) -> None:
    """Let the timer fire, and return when every mailbox is swept."""
    succeeded = _succeeded(world.host, "sweep_mailbox")
    world.sweep()
    settle(world, world.host, "sweep_mailbox", len(connected(world)), succeeded)


def connected(world: World) -> list[str]:
    """The addresses of all mailboxes."""
    return [address for address in (*(one for one, _ in MAILBOXES), IMAP) if world.nylas.has(address)]


def drain(world: World) -> None:
    """Return when the queue of messages is worked off."""
    with QueueClient.from_connection_string(world.storage, MESSAGES) as queue:
        world.wait(
            "the queue to be empty",
            lambda: not queue.get_queue_properties().approximate_message_count and is_idle(world.host),
            PATIENCE,
        )


def concurrency() -> int:
    """Messages in work at once, by our host.json."""
    queues = json.loads((APP / "host.json").read_text(encoding="utf-8"))["extensions"]["queues"]
    return int(queues["batchSize"]) + int(queues["newBatchThreshold"])


def _claim(what: str, trips: Trips, dataverse: int, nylas: int) -> Claim:
    return Claim(what, {"Dataverse": trips.dataverse, "Nylas": trips.nylas}, {"Dataverse": dataverse, "Nylas": nylas})


def _succeeded(host: HostProcess, function: str) -> int:
    return int(host.functions()[function]["succeeded"])
