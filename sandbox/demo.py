"""The main job, shown: mail arrives by webhook and stands in Dataverse, a lost webhook is found, a second one changes
nothing.

Ends with a table of what stands in Dataverse, and says whether all that was promised is there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from azure.data.tables import TableClient
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from sandbox.mail import Character, Mail, characters, samples
from sandbox.world import NeverHappenedError, World

MISSED = "site visit"
"""The sample whose webhook is never sent."""
REDELIVERED = "enquiry"
"""The sample whose webhook is sent again at the end."""


@dataclass(frozen=True, slots=True)
class Lands:
    """A mail that must stand in Dataverse once, completed: which way it went and whose record it is about."""

    direction: str
    regarding: str | None
    files: tuple[str, ...] = ()
    """How the names of its files end."""


@dataclass(frozen=True, slots=True)
class StaysOut:
    """A mail that must not, and the rule that keeps it out."""

    rule: str


PROMISED: dict[str, Lands | StaysOut] = {
    "enquiry": Lands("incoming", "noor"),
    "enquiry answered": Lands("outgoing", "noor"),
    "enquiry thanked": Lands("incoming", "noor"),
    "offer": Lands("outgoing", "noor"),
    "site visit": Lands("incoming", "tomas"),
    "inverters ordered": Lands("outgoing", "kenji"),
    "inverters confirmed": Lands("incoming", "kenji"),
    "delivery forwarded": Lands("outgoing", "noor"),
    "grid question": Lands("incoming", "tomas"),
    "houseboat": Lands("incoming", None),
    "meter reading": Lands("incoming", "bakery"),
    "cannery drawing": Lands("incoming", "greta"),
    "survey invitation": Lands("incoming", "noor"),
    "newsletter": Lands("incoming", None),
    "newsletter 89": Lands("incoming", None),
    "cannery survey": Lands("incoming", "greta", files=("pdf", "png")),
    "out of office": Lands("incoming", "noor"),
    "acceptance test": Lands("incoming", "kenji"),
    "leaving the bakery": StaysOut("private"),
    "lunch": StaysOut("internal_only"),
    "houseboat draft": StaysOut("draft"),
    "prize": StaysOut("junk"),
}


def run(console: Console) -> bool:
    """Play the story; returns whether everything promised came true."""
    began = time.monotonic()
    console.print("[bold]Starting a small world on this machine[/bold]")
    with World(progress=lambda line: console.print(f"  [green]✓[/green] {line}")) as world:
        people = characters()
        story = _Story(world, people, world.know(people), console)
        world.connect(people)
        problems = [*story.arrive(), *story.find_missed(), *story.redeliver()]
        console.print(story.table())
        counts = story.journal()
        console.print(_line_of(counts))
        problems += story.broken_promises()
        problems += [
            f"the journal holds {kind} records" for kind in ("put_aside", "deferred", "queued") if counts[kind]
        ]
    for problem in problems:
        console.print(f"[red]✗[/red] {problem}")
    if not problems:
        took = time.monotonic() - began
        console.print(f"[bold green]All {len(PROMISED)} mails are where they belong[/bold green] ({took:.0f} s)")
    return not problems


class _Story:
    """What happens in the demo's world, step by step; each step returns what went wrong."""

    def __init__(self, world: World, people: dict[str, Character], records: dict[str, str], console: Console) -> None:
        self.world = world
        self.people = people
        self.records = records
        self.console = console
        self.mails = tuple(replace(mail, date=None) for mail in samples())  # dated when they are delivered
        self.ids: dict[str, list[str]] = {}

    def arrive(self) -> Iterator[str]:
        """Deliver every sample by webhook, but one."""
        self.console.print("[bold]Mail arrives[/bold] in two mailboxes, each message told by a signed webhook, but one")
        with Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=self.console
        ) as progress:
            task = progress.add_task("", total=len(self.mails))
            for mail in self.mails:
                progress.update(task, description=f"{mail.subject}"[:60].ljust(60))
                self._deliver(mail, notify=mail.key != MISSED)
                try:
                    self._wait_for(mail)
                except NeverHappenedError as error:
                    yield str(error)
                progress.advance(task)

    def find_missed(self) -> Iterator[str]:
        """Fire the timer: the sweep lists the mailboxes and finds what nobody told of."""
        self.console.print("[bold]The sweep[/bold] lists both mailboxes and finds the message whose webhook never came")
        missed = next(mail for mail in self.mails if mail.key == MISSED)
        if self._stands(missed):
            yield f"'{missed.subject}' was there before the sweep"
        self.world.sweep()
        try:
            self.world.wait(f"'{missed.subject}' to be found by the sweep", lambda: self._is_done(missed))
        except NeverHappenedError as error:
            yield str(error)

    def redeliver(self) -> Iterator[str]:
        """Send one webhook again: nothing changes, and Dataverse isn't even asked."""
        self.console.print("[bold]A webhook is sent again[/bold], as Nylas does when an answer was lost")
        message_id = self.ids[REDELIVERED][0]
        before, asked = self.world.emails(), self.world.dataverse.requests
        known = self.known(message_id)
        for notification in self.world.nylas.notifications_of(message_id):
            self.world.nylas.redeliver(notification)
        self.world.nylas.wait_idle()
        self.world.wait("the redelivered message to be recognised", lambda: self.known(message_id) > known)
        if self.world.emails() != before or self.world.dataverse.requests != asked:
            yield "a redelivery changed something in Dataverse"

    def known(self, message_id: str) -> int:
        """How often the app said that it knew this message already."""
        sign = f"event=message_known grant={self._grant_of(message_id)} message={message_id} "
        return sum(sign in line for line in self.world.host.log)

    def table(self) -> Table:
        """What stands in Dataverse now."""
        table = Table(title="Emails in Dataverse", title_justify="left", show_lines=False)
        for column in ("Subject", "Direction", "From", "To", "Regarding", "Files", "Status"):
            table.add_column(column, min_width=46 if column == "Subject" else None, no_wrap=column != "Subject")
        names = {record: self.people[key].name for key, record in self.records.items()}
        for email in self.world.emails():
            table.add_row(
                str(email["subject"]),
                "outgoing →" if email["directioncode"] else "← incoming",
                _people(email, 1, names),
                _people(email, 2, names),
                names.get(str(email["_regardingobjectid_value"]), "-"),
                str(email["attachmentcount"] or "-"),
                {3: "Sent", 4: "Received"}.get(int(str(email["statuscode"])), str(email["statuscode"])),
            )
        return table

    def journal(self) -> Counter[str]:
        """The app's own record of every message it saw: outcomes, and rules of those left out."""
        with TableClient.from_connection_string(self.world.storage, "journal") as client:
            rows = [row for row in client.list_entities() if str(row["RowKey"]).startswith("m:")]
        return Counter(word for row in rows for word in ("seen", row["kind"], f"{row['kind']} {row['reason']}"))

    def broken_promises(self) -> Iterator[str]:
        """Every promise that did not come true."""
        standing: dict[str, list[dict[str, object]]] = {}
        for email in self.world.emails():
            standing.setdefault(str(email["subject"]), []).append(email)
        for mail in self.mails:
            promised, found = PROMISED[mail.key], standing.get(mail.subject or "", [])
            ours = [email for email in found if email["messageid"] in {mail.message_id, None}]
            if isinstance(promised, StaysOut):
                yield from [f"'{mail.subject}' is in Dataverse, but {promised.rule} keeps it out"] if ours else []
            elif len(ours) != 1:
                yield f"'{mail.subject}' is in Dataverse {len(ours)} times"
            else:
                yield from self._differences(mail, promised, ours[0])

    def _differences(self, mail: Mail, promised: Lands, email: dict[str, object]) -> Iterator[str]:
        outgoing = promised.direction == "outgoing"
        wanted = {
            "directioncode": outgoing,
            "statecode": 1,
            "statuscode": 3 if outgoing else 4,
            "_regardingobjectid_value": self.records[promised.regarding] if promised.regarding else None,
        }
        for column, value in wanted.items():
            if email[column] != value:
                yield f"'{mail.subject}': {column} is {email[column]}, not {value}"
        ends = sorted(name.rpartition(".")[2] for name in self._files(email))
        if promised.files and ends != sorted(promised.files):
            yield f"'{mail.subject}': its files are {ends}, not {sorted(promised.files)}"

    def _files(self, email: dict[str, object]) -> list[str]:
        rows = self.world.dataverse.rows("activitymimeattachment", _objectid_value=email["activityid"])
        return [str(row["filename"]) for row in rows]

    def _deliver(self, mail: Mail, *, notify: bool) -> None:
        self.ids[mail.key] = [
            self.world.nylas.deliver(copy.mailbox, mail, copy.folder, notify=notify) for copy in mail.copies
        ]
        self.world.nylas.wait_idle()

    def _wait_for(self, mail: Mail) -> None:
        if mail.key != MISSED:
            self.world.wait(f"'{mail.subject}' to be dealt with", lambda: self._is_done(mail))

    def _is_done(self, mail: Mail) -> bool:
        """Whether the app has said what became of every copy."""
        said = [line for line in self.world.host.log if "event=email_" in line or "event=message_skipped" in line]
        return all(any(f"message={message_id} " in line for line in said) for message_id in self.ids[mail.key])

    def _stands(self, mail: Mail) -> bool:
        return self.world.dataverse.count("email", subject=mail.subject, messageid=mail.message_id, statecode=1) > 0

    def _grant_of(self, message_id: str) -> str:
        mail = next(mail for mail in self.mails if message_id in self.ids.get(mail.key, ()))
        return self.world.nylas.grant_id(mail.copies[self.ids[mail.key].index(message_id)].mailbox)


def _people(email: dict[str, object], mask: int, names: dict[str, str]) -> str:
    parties = email["parties"]
    assert isinstance(parties, list)
    return ", ".join(
        names.get(str(party.get("_partyid_value")), str(party.get("addressused")))
        for party in parties
        if party["participationtypemask"] == mask
    )


def _line_of(counts: Counter[str]) -> str:
    skipped = ", ".join(
        f"{name.removeprefix('skipped ')} {number}"
        for name, number in sorted(counts.items())
        if name.startswith("skipped ")
    )
    return (
        f"[bold]seen {counts['seen']}[/bold] = written {counts['written']} + already there {counts['already_there']} "
        f"+ adopted {counts['adopted']} + skipped {counts['skipped']} ({skipped})"
    )
