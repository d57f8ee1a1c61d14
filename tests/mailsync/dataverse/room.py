"""What the tests of this room share: the parts of one process that talk to Dataverse, emails to write, and their files.

The parts are put together as `wiring` does. A second Room on the same organisation is another process: it remembers
nothing.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mailsync.dataverse.address_book import AddressBook
from mailsync.dataverse.creation import Creation, Put, Written
from mailsync.dataverse.definitions import Definitions
from mailsync.dataverse.emails import Emails
from mailsync.dataverse.resolver import Question, Resolved, Resolver
from mapping.attachments import File, Files, Limits
from mapping.body import Body
from mapping.direction import Direction
from mapping.email_activity import EmailActivity
from mapping.guard import guard_of
from mapping.identity import Identity, activityid_of
from mapping.owner import NOBODY, Owner
from mapping.parties import Party, Role
from mapping.policy import People
from mapping.regarding import Regarding
from tests.mailsync.parts import DataverseServed, new_message_id

CARL = "carl@fabrikam.example"
ANN = "ann@contoso.example"
COMPLETED = {"statecode": 1, "statuscode": 4}
LARGEST = 131_072_000
"""The largest file in Base64 that an organisation can allow."""
PIECE = 64 * 1024


class Mailbox:
    """The files of a mail as a mailbox holds them: opened one at a time, read in pieces, each opening noted."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self._held: dict[str, bytes | Exception] = {}

    def file(self, name: str = "offer.pdf", held: bytes | Exception = b"An offer", **changes: Any) -> File:
        """One more file; an exception is what opening it comes to."""
        source = f"f{len(self._held)}"
        self._held[source] = held
        size = len(held) if isinstance(held, bytes) else 100
        return replace(File(source=source, name=name, type="application/pdf", size=size), **changes)

    def hold(self, file: File, held: bytes | Exception) -> None:
        """Let a file come to something else from now on."""
        self._held[file.source] = held

    @contextmanager
    def __call__(self, file: File) -> Iterator[Iterator[bytes]]:
        self.opened.append(file.name)
        held = self._held[file.source]
        if isinstance(held, Exception):
            raise held
        yield (held[start : start + PIECE] for start in range(0, len(held), PIECE))


class Room:
    """One process's parts for one organisation."""

    def __init__(
        self,
        dataverse: DataverseServed,
        *,
        adopt_existing: bool = True,
        people: People | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        api = dataverse.api
        self.book = AddressBook(people, clock=clock)
        self.definitions = Definitions(api, clock=clock)
        self.resolver = Resolver(
            api, address_book=self.book, definitions=self.definitions, adopt_existing=adopt_existing, clock=clock
        )
        self.creation = Creation(api, resolver=self.resolver, address_book=self.book, clock=clock)
        self.emails = Emails(api, definitions=self.definitions)

    def resolve(self, message_id: str | None = None, **question: Any) -> Resolved:
        """What Dataverse knows of a mail with this Message-ID."""
        return self.resolver.resolve(Question(identity=identity(message_id or new_message_id()), **question))

    def put(
        self,
        email: EmailActivity,
        *,
        people: Sequence[str] = (),
        content: Mailbox | None = None,
        limits: Limits | None = None,
        fallback: Owner = NOBODY,
        check_time: Callable[[], None] = lambda: None,
    ) -> Written:
        """One attempt as the writer makes it: what it finds under its id is this mail, and is brought to its end."""
        content = content or Mailbox()
        written = self.creation.put(
            email,
            people=people,
            content=content,
            limits=limits or Limits(),
            fallback=fallback,
            check_time=check_time,
        )
        standing = self.emails.read(written.activityid) if written.put is Put.ALREADY_THERE else None
        if standing is None:
            return written
        if standing.is_completed:
            return replace(written, notes=(*written.notes, *self.creation.enqueue(email)))
        return self.resume(email, content=content, limits=limits, check_time=check_time)

    def resume(
        self,
        email: EmailActivity,
        *,
        content: Mailbox | None = None,
        limits: Limits | None = None,
        check_time: Callable[[], None] = lambda: None,
    ) -> Written:
        return self.creation.resume(
            email, content=content or Mailbox(), limits=limits or Limits(), check_time=check_time
        )


def identity(message_id: str) -> Identity:
    return Identity(activityid_of(message_id), message_id, synthetic=False)


def activity(message_id: str | None = None, *, files: Sequence[File] = (), **changes: Any) -> EmailActivity:
    """A mail from Carl to Ann that came in."""
    message_id = message_id or new_message_id()
    parties = (Party(Role.SENDER, CARL, "Carl", None), Party(Role.TO, ANN, "Ann", None))
    whole = EmailActivity(
        activityid=activityid_of(message_id),
        direction=Direction.INCOMING,
        subject="Quote",
        body=Body("<p>Hello</p>", is_whole=True),
        files=Files(tuple(files)),
        notes=(),
        messageid=identity(message_id).messageid,
        sender=CARL,
        torecipients=ANN,
        sent=datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC),
        parties=parties,
        regarding=Regarding(None, "none"),
        owner=NOBODY,
        queue=None,
        parent=None,
        correlated=None,
        guard=guard_of(parties, "Quote", "<p>Hello</p>"),
        nylas_id="m1",
        nylas_id_column=None,
    )
    return replace(whole, **changes)


def row(dataverse: DataverseServed, activityid: object) -> dict[str, Any]:
    found = dataverse.stand_in.email(str(activityid))
    assert found is not None
    return found


def put_there(dataverse: DataverseServed, message_id: str, *, bare: bool = False, **columns: object) -> str:
    """An email that something else put into Dataverse."""
    written = message_id if bare else f"<{message_id}>"
    return dataverse.stand_in.add("email", subject="x", messageid=written, directioncode=False, **columns)


def attached(dataverse: DataverseServed, email: EmailActivity) -> list[tuple[str, bytes]]:
    """The files of an email by name, as they stand in Dataverse."""
    rows = dataverse.stand_in.rows("activitymimeattachment", _objectid_value=str(email.activityid))
    return sorted((str(one["filename"]), base64.b64decode(str(one["body"]))) for one in rows)


def trips(dataverse: DataverseServed, work: Callable[[], object]) -> int:
    """How many requests went out for it, answered or not."""
    before = dataverse.server.requests
    work()
    return dataverse.server.requests - before


def allow(dataverse: DataverseServed, **settings: object) -> None:
    """Change what the organisation lets pass."""
    dataverse.stand_in.update("organization", dataverse.stand_in.organization_id, **settings)
