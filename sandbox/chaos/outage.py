"""A day without Dataverse, hurried: nothing that waits is lost or put aside, and it is hardly asked meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.chaos.books import PENDING, POISON, QUEUES, Books
from sandbox.chaos.clock import FastClock
from sandbox.chaos.instances import until
from sandbox.chaos.story import HURRIED
from sandbox.faults import Answer, DropBefore, Fault
from sandbox.mail import Character, Mail, Person
from sandbox.nylas import NylasStandIn
from sandbox.world import World

DAY = 86_400.0
PATIENCE = 60.0
"""Real seconds that the app has to make up for it afterwards."""
IDA = Character("Ida Sørensen", "ida@fjordlight.example", "systemuser", None, "google", ())


@dataclass(frozen=True, slots=True)
class Day:
    """What a day's outage came to."""

    messages: int
    hours: float
    reached: int
    """Requests that reached Dataverse's door while it was shut, of each instance (there is one)."""
    read: int
    """Requests to Nylas in that time."""
    tries: int
    """How often an item was taken up and went back."""
    landed: int
    doubled: int
    aside: int
    poisoned: int
    pending: int
    after: float
    """Real seconds from its end until everything stood in Dataverse."""

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, doubled or given up."""
        return self.landed == self.messages and not (self.doubled or self.aside or self.poisoned or self.pending)


def live_through(say: Callable[[str], None], *, hurry: float, messages: int) -> Day:
    """A world whose Dataverse is out for a day of the app's time."""
    clock = FastClock(hurry)
    nylas = NylasStandIn("nyk_outage", clock=clock)
    with (
        World(app=HURRIED, settings=clock.settings(), nylas=nylas, max_poll=0.3) as world,
        Books(world.storage) as books,
    ):
        world.know({"ida": IDA})
        grant = world.connect({"ida": IDA})["ida"]
        nylas.deliver(grant, _mail(0))
        world.wait_for_emails(1)
        outages = (Fault(DropBefore(), probability=0.5), Fault(Answer(503, {}, b"")))
        world.faults["dataverse"].add(*outages)
        asked = sum(nylas.calls.values())
        for number in range(1, messages):
            nylas.deliver(grant, _mail(number))
        say(f"Dataverse is out; {messages - 1} messages arrive; a day passes in {DAY / hurry:.0f} s")
        time.sleep(DAY / hurry)
        reached = sum(world.faults["dataverse"].count(outage) for outage in outages)
        read = sum(nylas.calls.values()) - asked
        tries = sum("event=item_deferred" in line for line in world.host.log)
        world.faults["dataverse"].clear()
        began = time.monotonic()
        say(f"Dataverse is back; {reached} requests had reached it")
        until(began + PATIENCE, lambda: _is_over(world, books, messages), pause=0.1)
        after = time.monotonic() - began
        rows = world.dataverse.rows("email", statecode=1)
        landed = {str(row["subject"]) for row in rows}
        return Day(
            messages=messages,
            hours=DAY / 3600,
            reached=reached,
            read=read,
            tries=tries,
            landed=len(landed),
            doubled=world.dataverse.count("email") - len(landed),
            aside=len(books.aside()),
            poisoned=books.depth(*POISON),
            pending=sum(number for kind, number in books.outcomes().items() if kind in PENDING),
            after=after,
        )


def _is_over(world: World, books: Books, messages: int) -> bool:
    return (
        world.dataverse.count("email", statecode=1) >= messages
        and books.depth(*QUEUES) == 0
        and not PENDING & books.outcomes().keys()
    )


def _mail(number: int) -> Mail:
    return Mail(
        subject=f"Outage {number}",
        sender=Person("Noor Haddad", f"noor{number % 7}@harbour.example"),
        to=(Person(IDA.name, IDA.email),),
        body=f"<p>Message {number}</p>",
        message_id=f"<outage.{number}@harbour.example>",
    )
