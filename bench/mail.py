"""The mail of the benchmark: the same for every way of writing it, fresh Message-IDs each time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.mail import File, Mail, Person
from sandbox.world import World

MAILBOXES = tuple(
    (f"desk{number}@harbour.example", provider) for number, provider in enumerate(("google", "microsoft") * 3)
)
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
_QUOTED = f'<blockquote style="border-left:1px solid #cccccc">{_PARAGRAPH * 6}{_SIGNATURE}</blockquote>'
BODIES = tuple(
    f"<html><body>{_PARAGRAPH * paragraphs}{_SIGNATURE}{_QUOTED * quotes}</body></html>"
    for paragraphs, quotes in ((2, 0), (4, 1), (8, 3), (3, 6))
)
"""From 1 to 13 thousand characters, most of it quoted."""
IMAP = "quay@harbour.example"
"""A mailbox of which Nylas has no whole header, connected only where it is asked for."""
ARCHIVE = "records@harbour.example"
"""A mailbox with much old mail, connected only where it is asked for."""
OLD = 30 * 86_400
APART = 300
"""How old the newest of that mail is, and how far apart each two are, in seconds."""

_serial = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message that lies in a mailbox, and that nobody was told of."""

    grant: str
    message: str


def furnish(world: World) -> None:
    """Make the people in Dataverse and connect the mailboxes."""
    for contact in CONTACTS:
        first, _, last = (contact.name or "").partition(" ")
        world.dataverse.add("contact", firstname=first, lastname=last, emailaddress1=contact.email)
    for address, provider in MAILBOXES:
        world.dataverse.add("systemuser", fullname=address, internalemailaddress=address)
        world.nylas.connect(address, provider)


def connect_imap(world: World) -> None:
    """Connect the mailbox whose headers cost a read of their own."""
    world.dataverse.add("systemuser", fullname=IMAP, internalemailaddress=IMAP)
    world.nylas.connect(IMAP, "imap")


def archive(world: World, number: int) -> tuple[str, int]:
    """Connect the mailbox with so much old mail; returns its grant, and since when that mail is dated."""
    world.dataverse.add("systemuser", fullname=ARCHIVE, internalemailaddress=ARCHIVE)
    grant = world.nylas.connect(ARCHIVE, "microsoft")
    newest = int(time.time()) - OLD
    for place in range(number):
        subject, date = f"Archive, letter {place}", newest - place * APART
        _put(world, ARCHIVE, *_people(place), BODIES[place % len(BODIES)], subject=subject, date=date)
    return grant, newest - number * APART


def receive(world: World, place: int) -> str:
    """A new mail that Nylas tells of at once, in one mailbox after another, the archive too; returns its subject."""
    address = (*(address for address, _ in MAILBOXES), ARCHIVE)[place % (len(MAILBOXES) + 1)]
    subject = f"Berth 7, order {next(_serial)}"
    _put(world, address, *_people(place), BODIES[place % len(BODIES)], subject=subject, notify=True)
    return subject


def deliver(world: World, number: int) -> list[Delivered]:
    """Lay so many new mails into the mailboxes: to one to four people, every sixth from a stranger, none a reply."""
    return [_delivered(world, place) for place in range(number)]


def deliver_one(
    world: World,
    sender: Person,
    others: Sequence[Person] = (),
    *,
    mailbox: str = MAILBOXES[0][0],
    files: tuple[File, ...] = (),
) -> Delivered:
    """Lay a new mail from one person, with others in Cc, into a mailbox, the first unless told."""
    return _put(world, mailbox, sender, others, BODIES[0], files)


def _delivered(world: World, place: int) -> Delivered:
    address, _ = MAILBOXES[place % len(MAILBOXES)]
    return _put(world, address, *_people(place), BODIES[place % len(BODIES)])


def _people(place: int) -> tuple[Person, Sequence[Person]]:
    """Who wrote a mail, and who got it besides the mailbox."""
    sender = STRANGERS[place // 6 % len(STRANGERS)] if place % 6 == 5 else CONTACTS[place % len(CONTACTS)]
    return sender, [CONTACTS[(place + step) % len(CONTACTS)] for step in range(1, place % 4 + 1)]


def _put(
    world: World,
    address: str,
    sender: Person,
    others: Sequence[Person],
    body: str,
    files: tuple[File, ...] = (),
    *,
    subject: str | None = None,
    date: int | None = None,
    notify: bool = False,
) -> Delivered:
    serial, now = next(_serial), int(time.time()) if date is None else date
    mail = Mail(
        subject=subject or f"Berth 7, order {serial}",
        sender=sender,
        to=(Person(None, address),),
        cc=tuple(others),
        date=now,
        body=body,
        message_id=f"<order.{serial}.{now}@client.example>",
        files=files,
    )
    return Delivered(world.nylas.grant_id(address), world.nylas.deliver(address, mail, notify=notify))
