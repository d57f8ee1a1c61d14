"""An organisation for the journeys to tell of: its mailboxes, the people it writes with, and what became of each mail.

Everybody and every mail is new: journeys in the same office share nothing but its two mailboxes. What is promised
of a mail is the journeys' own business.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import requests
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from sandbox.azurite import Azurite
from sandbox.mail import Mail, Person
from sandbox.world import APP, World

DOMAIN = "fjordlight.example"
"""The office's own domain."""
POLL = 0.5
"""Seconds between two looks into a queue; host.json's two seconds would be most of what these tests take."""
PATIENCE = 60.0
"""Seconds a message may take to end up somewhere, gates and delays included, on a machine that does much else."""
LASTING = ("written", "already_there", "adopted", "removed", "skipped", "put_aside", "gone")
"""What the journal says of a message that nobody works on any more."""
OF_THE_WRITE = {"createdon", "modifiedon", "senton", "versionnumber", "activitypartyid"}
"""Columns that tell of the moment of writing, not of the mail."""
_numbers = itertools.count(1)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Someone:
    """A person, and their row in Dataverse if they have one."""

    name: str
    address: str
    id: str | None = None

    @property
    def person(self) -> Person:
        """As the header of a mail names them."""
        return Person(self.name, self.address)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A connected mailbox and whose it is."""

    owner: Someone
    grant: str


@dataclass(frozen=True, slots=True)
class Copy:
    """A message: one mail as it lies in one mailbox."""

    grant: str
    id: str


@dataclass(frozen=True, slots=True)
class Party:
    """What Dataverse shows of a sender or recipient."""

    mask: int
    address: str | None
    record: str | None
    name: str | None


class Office:
    """The organisation in one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tables = TableServiceClient.from_connection_string(world.storage)
        self._journal = self.tables.get_table_client("journal")
        # not with Google, whose quota lets a mailbox be listed a few times a minute only
        self.ida = self._mailbox("Ida", "imap")
        self.marcus = self._mailbox("Marcus", "microsoft")
        self.settle(self.ida, self.marcus)

    # people

    def colleague(self, name: str) -> Someone:
        """Somebody who has a user in Dataverse."""
        address = f"{name.lower()}{next(_numbers)}@{DOMAIN}"
        return Someone(
            name, address, self.world.dataverse.add("systemuser", fullname=name, internalemailaddress=address)
        )

    def contact(self, name: str = "Noor Haddad", **columns: object) -> Someone:
        """Somebody outside whom Dataverse knows, with a domain of their own."""
        stranger = self.stranger(name)
        return Someone(name, stranger.address, self.know(stranger, **columns))

    def know(self, stranger: Someone, **columns: object) -> str:
        """Make a contact of somebody; returns its id."""
        first, _, last = stranger.name.partition(" ")
        return self.world.dataverse.add(
            "contact", firstname=first, lastname=last, emailaddress1=stranger.address, **columns
        )

    def stranger(self, name: str = "Sam Okafor") -> Someone:
        """Somebody outside of whom Dataverse knows nothing."""
        return Someone(name, f"{name.split(maxsplit=1)[0].lower()}@house{next(_numbers)}.example")

    @contextmanager
    def connected_for_now(
        self, owner: str | Someone, provider: str = "google", *, told: bool = True, **more: Any
    ) -> Iterator[Mailbox]:
        """One more mailbox, which is disconnected again, so that other journeys' sweeps don't find it.

        Unless the app is not told of it yet, its first sweep is over.
        """
        self.world.nylas.webhooks.mischief.lose = 0.0 if told else 1.0
        connected = self._mailbox(owner, provider, **more)
        self.world.nylas.webhooks.mischief.lose = 0.0
        try:
            if told:
                self.settle(connected)
            yield connected
        finally:
            self.world.nylas.disconnect(connected.grant)

    def mailbox(self, owner: str | Someone, provider: str) -> Mailbox:
        """One more mailbox that stays; sweeps are waited for in the first two only."""
        connected = self._mailbox(owner, provider)
        self.settle(connected)
        return connected

    def _mailbox(self, owner: str | Someone, provider: str, **more: Any) -> Mailbox:
        owner = self.colleague(owner) if isinstance(owner, str) else owner
        return Mailbox(owner, self.world.nylas.connect(owner.address, provider, name=owner.name, **more))

    # mail

    @staticmethod
    def mail(sender: Someone, to: Someone | Sequence[Someone], **more: Any) -> Mail:
        """A mail that nobody has sent before; `cc` and `bcc` take people too."""
        number = next(_numbers)
        for field in ("cc", "bcc"):
            more[field] = tuple(one.person for one in more.get(field, ()))
        ordinary = {
            "subject": f"Northern roof {number}",
            "body": f"<p>The ladder stands at gate {number}.</p>",
            "message_id": f"<roof.{number}@mail.example>",
        }
        people = (to,) if isinstance(to, Someone) else to
        return Mail(sender=sender.person, to=tuple(one.person for one in people), **{**ordinary, **more})

    @staticmethod
    def reply(parent: Mail, sender: Someone, to: Someone | Sequence[Someone], **more: Any) -> Mail:
        """A mail whose header says that it answers, or forwards, another."""
        before = " ".join(filter(None, (parent.references, parent.message_id)))
        return Office.mail(sender, to, in_reply_to=parent.message_id, references=before, **more)

    def lay(self, mail: Mail, mailbox: Mailbox | None = None, folder: str = "inbox", **how: Any) -> Copy:
        """Lay a mail into a mailbox, Ida's unless told; Nylas tells of it unless told otherwise."""
        grant = (mailbox or self.ida).grant
        return Copy(grant, self.world.nylas.deliver(grant, mail, folder, **how))

    def lay_long_ago(self, mail: Mail, mailbox: Mailbox, folder: str = "inbox") -> Copy:
        """Lay a mail into a mailbox that the app was told of some minutes ago, so that it need not wait any more."""
        copy = self.lay(mail, mailbox, folder, notify=False)
        first_seen = int(time.time()) - 600
        self.put("nylas-messages", envelope(kind="message", grant=copy.grant, message=copy.id, first_seen=first_seen))
        return copy

    def receive(self, mail: Mail, mailbox: Mailbox | None = None, folder: str = "inbox", **how: Any) -> Row:
        """Lay a mail into a mailbox and return the email that it became."""
        copy = self.lay(mail, mailbox, folder, **how)
        return self.email(self.outcome(copy)["activityid"])

    def refuse(self, mail: Mail) -> None:
        """Let a plug-in of the organisation refuse this mail from now on, besides those it refuses already."""
        behaviour = self.world.dataverse.behaviour
        before = behaviour.plug_in
        behaviour.plug_in = lambda table, values: (
            "this customer is on hold" if values.get("subject") == mail.subject else before(table, values)
        )

    # what became of it

    def record(self, copy: Copy) -> Row:
        """What the journal says of a message; empty when it never heard of it."""
        key = f"m:{hashlib.sha256(copy.id.encode()).hexdigest()}"
        with suppress(ResourceNotFoundError):
            return dict(self._journal.get_entity(copy.grant, key))
        return {}

    def outcome(self, copy: Copy, *kinds: str) -> Row:
        """The journal's record of a message, once it says one of these (or something lasting)."""
        wanted, found = kinds or LASTING, self.record(copy)
        lines, looked = -1, 0.0

        def is_there() -> bool:
            # the app says in its log when it has noted something; another instance of it has a log of its own
            nonlocal found, lines, looked
            if len(self.world.host.log) != lines or time.monotonic() > looked + 0.3:
                lines, looked = len(self.world.host.log), time.monotonic()
                found = self.record(copy)
            return found.get("kind") in wanted

        self.world.wait(f"message {copy.id} to be {' or '.join(wanted)}", is_there, PATIENCE)
        return found

    def sighted(self, activityid: str) -> set[str]:
        """The grants in whose mailboxes this email was seen."""
        return {row["RowKey"].partition(":")[0] for row in self.rows("sightings", "PartitionKey eq @id", id=activityid)}

    def forget(self, copy: Copy) -> None:
        """Let the journal lose all it knew of a message."""
        known = self.rows(
            "journal", "PartitionKey eq @grant and message eq @message", grant=copy.grant, message=copy.id
        )
        with self.tables.get_table_client("journal") as client:
            client.submit_transaction([("delete", row) for row in known])

    def forget_sightings(self, activityid: str) -> None:
        """Let nobody have seen an email: as it is while the attempt that writes it goes on."""
        seen = self.rows("sightings", "PartitionKey eq @id", id=activityid)
        with self.tables.get_table_client("sightings") as client:
            client.submit_transaction([("delete", row) for row in seen])

    def email(self, activityid: str) -> Row:
        """The email of that id, with its parties."""
        email = self.world.dataverse.email(activityid)
        assert email is not None, f"no email {activityid}"
        return email

    def emails(self, mail: Mail) -> list[Row]:
        """Every email in Dataverse that this mail became; there should be one."""
        return self.world.dataverse.rows("email", subject=mail.subject)

    def rows(self, table: str, text: str = "", **parameters: str) -> list[Row]:
        """Rows of one of the app's tables; none when it isn't there yet."""
        with self.tables.get_table_client(table) as client, suppress(ResourceNotFoundError):
            return [dict(row) for row in client.query_entities(text, parameters=parameters)]
        return []

    def aside(self, **columns: str) -> list[Row]:
        """What was put aside, as far as it has these values."""
        return [row for row in self.rows("aside") if columns.items() <= row.items()]

    def poisoned(self) -> int:
        """How many messages lie in the poison queues."""
        return self.queued("nylas-messages-poison") + self.queued("mailbox-sweeps-poison")

    def queued(self, name: str) -> int:
        """How many messages lie in one of the app's queues, hidden ones too."""
        with self._queue(name) as queue, suppress(ResourceNotFoundError):
            return queue.get_queue_properties().approximate_message_count or 0
        return 0

    def mailbox_row(self, mailbox: Mailbox) -> Row:
        """What the app noted of a mailbox."""
        (row,) = self.rows("mailboxes", "RowKey eq @grant", grant=mailbox.grant)
        return row

    def end_lease(self, mailbox: Mailbox) -> None:
        """Let the time be over for which a sweep that died holds its mailbox."""
        self.note(mailbox, lease_until="1")

    def put(self, queue: str, text: str) -> None:
        """Put a text on one of the app's queues, in base64 as the host expects it."""
        with self._queue(queue) as client, suppress(ResourceExistsError):
            client.create_queue()
        with self._queue(queue) as client:
            client.send_message(text)

    def _queue(self, name: str) -> QueueClient:
        policy = TextBase64EncodePolicy()
        return QueueClient.from_connection_string(self.world.storage, name, message_encode_policy=policy)

    # what happens

    def command(self, *words: str) -> Row:
        """What `python -m mailsync` says as JSON to a person who has this deployment's settings; it must succeed."""
        env = {name: value for name, value in {**os.environ, **self.world.settings()}.items() if value is not None}
        line = [sys.executable, "-m", "mailsync", *words, "--json"]
        done = subprocess.run(line, cwd=APP, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode in {0, 1}, done.stderr
        told: Row = json.loads(done.stdout)
        return told

    def note(self, mailbox: Mailbox, **columns: str) -> None:
        """Change what the app noted of a mailbox."""
        with self.tables.get_table_client("mailboxes") as client:
            client.update_entity({"PartitionKey": "mailbox", "RowKey": mailbox.grant, **columns})

    def settle(self, *mailboxes: Mailbox) -> None:
        """Return once each of these mailboxes was swept, so that nothing goes on in them."""
        for mailbox in mailboxes:
            self.world.wait(
                f"the first sweep of {mailbox.owner.name}'s mailbox",
                lambda grant=mailbox.grant: self.said("sweep_window_done", grant=grant),
            )

    def sweep(self, *mailboxes: Mailbox) -> None:
        """Let the timer fire, and return once each of these mailboxes (the first two unless told) was listed."""
        begin = len(self.world.host.log)
        self.world.sweep()
        for mailbox in mailboxes or (self.ida, self.marcus):
            self.world.wait(
                f"the sweep of {mailbox.owner.name}'s mailbox",
                lambda grant=mailbox.grant: self.said("sweep_window_done", since=begin, grant=grant),
            )

    def tell_again(self, kind: str, mailbox: Mailbox) -> None:
        """Send the last notification of this kind about a mailbox again."""
        told = self.world.nylas.webhooks.notifications()
        about = [one for one in told if one.type == kind and one.data["object"].get("grant_id") == mailbox.grant]
        self.world.nylas.redeliver(about[-1].id)

    def tell_by_hand(self, copy: Copy) -> None:
        """Tell of a message although Nylas itself would say nothing of it now."""
        about = {"object": {"id": copy.id, "grant_id": copy.grant}}
        body = json.dumps({"id": f"by hand {copy.id}", "type": "message.created", "data": about}).encode()
        assert self.post(body, {}).status_code == 200

    def said(self, event: str, *, since: int = 0, **fields: str) -> list[str]:
        """The lines of the app's log that tell of an event."""
        wanted = [f"event={event} ", *(f" {name}={value} " for name, value in fields.items())]
        return [line for line in self.world.host.log[since:] if all(word in f"{line} " for word in wanted)]

    def post(self, body: bytes, headers: Mapping[str, str | bytes]) -> requests.Response:
        """POST to the webhook as Nylas would, with these headers besides or in place of the right ones."""
        right = signed(body, self.world.webhook.secret)
        with requests.Session() as session:
            return session.post(self.world.webhook.url, data=body, headers={**right, **headers}, timeout=10)

    def close(self) -> None:
        """Close the connection to storage."""
        self.tables.close()


@contextmanager
def opened(
    azurite: Azurite,
    account: int,
    *,
    triggers: Sequence[str] = (),
    compressed: bool = False,
    secret: str | None = None,
    **more: Any,
) -> Iterator[Office]:
    """An office in a world of its own, on one of the emulator's storage accounts; the first three words are about how
    Nylas tells it of its mail."""
    storage = azurite.connection_strings[account]
    with World(azurite=azurite, storage=storage, max_poll=POLL, **more) as world:
        webhook = world.webhook
        webhook.secret = secret or webhook.secret
        world.nylas.webhooks.change(webhook.id, triggers=[*webhook.triggers, *triggers], compressed=compressed)
        office = Office(world)
        try:
            yield office
        finally:
            office.close()


def signed(body: bytes, secret: str) -> dict[str, str]:
    """The headers by which Nylas signs a notification."""
    return {"x-nylas-signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


@dataclass(frozen=True, slots=True)
class Cost:
    """What some work asked of others."""

    dataverse: int
    nylas: Counter[str]


@contextmanager
def cost_of(world: World) -> Iterator[list[Cost]]:
    """Gives the cost of what happens inside, once it is over."""
    dataverse, nylas = world.dataverse.requests, Counter(world.nylas.calls)
    spent: list[Cost] = []
    yield spent
    spent.append(Cost(world.dataverse.requests - dataverse, Counter(world.nylas.calls) - nylas))


def parties(email: Row) -> set[Party]:
    """Senders and recipients of an email; the rows for regarding and owner are Dataverse's own."""
    return {
        Party(row["participationtypemask"], row["addressused"], row["_partyid_value"], row["unresolvedpartyname"])
        for row in email["parties"]
        if row["participationtypemask"] in {1, 2, 3, 4}
    }


def comparable(email: Row, *but: str) -> Row:
    """An email without what tells of the moment of writing, nor those columns that are named."""
    parties_of_it = [
        {name: value for name, value in row.items() if name not in {*OF_THE_WRITE, "_activityid_value"}}
        for row in email["parties"]
    ]
    columns = {name: value for name, value in email.items() if name not in {*OF_THE_WRITE, "parties", *but}}
    return {**columns, "parties": sorted(parties_of_it, key=lambda row: json.dumps(row, sort_keys=True))}


def envelope(**data: object) -> str:
    """An item as it lies on a queue, come just now unless told otherwise."""
    return json.dumps({"v": 1, "data": {"source": "message.created", "first_seen": int(time.time()), **data}})
