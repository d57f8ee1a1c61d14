"""The mail of the benchmark: one shape for every way of writing it, fresh Message-IDs for each run."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

from sandbox.mail import Mail, Person
from sandbox.world import World

MAILBOXES = tuple((f"desk{number}@harbour.example", provider) for number, provider in enumerate(("google", "microsoft") * 3))
CONTACTS = tuple(Person(f"Customer {number}", f"customer{number}@client{number % 12}.example") for number in range(60))
STRANGERS = tuple(Person(f"Stranger {number}", f"stranger{number}@elsewhere.example") for number in range(12))
_PARAGRAPH = (
    '<p style="margin:0 0 12px 0;font-family:Segoe UI,Arial,sans-serif;font-size:11pt">Good morning, the crane is '
    'booked for the week after next; <b>please confirm</b> by <a href="https://harbour.example/booking?week=42">this '
    "link</a> &mdash; the drawings of berth 7 are below, prices as agreed.</p>\n"
)
_SIGNATURE = (
    '<table border="0" cellpadding="4"><tr><td><img src="cid:logo" width="64" alt="logo"></td><td><span '
    'style="color:#555555;font-size:9pt">Harbour Works<br>Quay 3<br>+44 20 7946 0018</span></td></tr></table>\n'
)
_quoted = f'<blockquote style="border-left:1px solid #cccccc">{_PARAGRAPH * 6}{_SIGNATURE}</blockquote>'
BODIES = tuple(
    f"<html><body>{_PARAGRAPH * paragraphs}{_SIGNATURE}{_quoted * quotes}</body></html>"
    for paragraphs, quotes in ((2, 0), (4, 1), (8, 3), (3, 6))
)
"""From 1 to 18 thousand characters, half of it what was quoted."""

_serial = itertools.count(1)


def furnish(world: World) -> None:
    """Make the people in Dataverse and connect the mailboxes."""
    for contact in CONTACTS:
        first, _, last = (contact.name or "").partition(" ")
        world.dataverse.add("contact", firstname=first, lastname=last, emailaddress1=contact.email)
    for address, provider in MAILBOXES:
        world.dataverse.add("systemuser", fullname=address, internalemailaddress=address)
        world.nylas.connect(address, provider)


def mails(number: int) -> Iterator[tuple[str, Mail]]:
    """So many mails nobody has seen, each with the mailbox it came to: one in six from a stranger, none a reply."""
    now = int(time.time())
    for place in range(number):
        address, _ = MAILBOXES[place % len(MAILBOXES)]
        sender = STRANGERS[place % len(STRANGERS)] if place % 6 == 5 else CONTACTS[place % len(CONTACTS)]
        serial = next(_serial)
        yield address, Mail(
            subject=f"Berth 7, order {serial}",
            sender=sender,
            to=(Person(None, address),),
            cc=tuple(CONTACTS[(place + step) % len(CONTACTS)] for step in range(1, place % 4)),
            date=now,
            body=BODIES[place % len(BODIES)],
            message_id=f"<order.{serial}.{now}@client.example>",
        )


def deliver(world: World, number: int) -> list[tuple[str, str]]:
    """Lay so many fresh mails into the mailboxes without a word to anybody; grant and message of each."""
    return [(world.nylas.grant_id(box), world.nylas.deliver(box, mail, notify=False)) for box, mail in mails(number)]
