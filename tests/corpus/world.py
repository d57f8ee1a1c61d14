"""The organisation that the corpus' mail comes to, as values and as rows of the stand-in for Dataverse.

Responsible for finding in `world.toml` what a mail's rules ask for, as `mailsync.dataverse` finds it in Dataverse: who
owns an address, the mails before it, the open records of its people. `test_accepted` holds the two to one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from mailsync.kinship import SIBLINGS_LOOKED_FOR
from mapping.addresses import normalise, organisation_domains, without_tag
from mapping.attachments import Limits
from mapping.identity import LONGEST_MESSAGE_ID, activityid_of, canonical_message_id
from mapping.matches import Candidate, Choice, Organisation, choose
from mapping.policy import People, Policy, RelatedTable
from mapping.records import Record
from mapping.regarding import Parent, ParentParty, Related
from sandbox.dataverse import DataverseStandIn
from sandbox.mailboxes import Mailbox, new_grant_id
from tests.corpus.written import read

NOON = 1_790_000_000
"""When the corpus' mail arrives: 2026-09-21 14:13:20 UTC."""
SALES_TABLES = frozenset({"lead", "opportunity", "incident"})
"""What an organisation without the sales and service apps has not."""
PROJECTS: Mapping[str, Mapping[str, Any]] = {
    "contoso_project": {
        "set": "contoso_projectset",
        "name": "contoso_name",
        "columns": {"contoso_name": {"type": "text", "max": 100}},
        "lookups": {
            "contoso_contactid": {"bind": {"contoso_ContactId": "contact"}},
            "contoso_accountid": {"bind": {"contoso_AccountId": "account"}},
        },
        "regarding": "regardingobjectid_contoso_Project_email",
    }
}
"""The table this organisation made for itself, in the words of the stand-in."""
_ADDRESS_COLUMNS = {"systemuser": ("internalemailaddress",), "queue": ("emailaddress",)}
_CUSTOMER_COLUMNS = ("emailaddress1", "emailaddress2", "emailaddress3")
_NAME_COLUMNS = {
    **dict.fromkeys(("account", "queue", "team", "opportunity"), "name"),
    "incident": "title",
    "contoso_project": "contoso_name",
}
_PEOPLE_TABLES = ("systemuser", "queue", "contact", "account", "lead")
_RELATED_TABLES = ("opportunity", "incident", "contoso_project")


@dataclass(frozen=True)
class Row:
    """One row of Dataverse, by its table and key."""

    table: str
    key: str
    given: Mapping[str, Any]

    @property
    def name(self) -> str:
        """How the corpus calls it."""
        return f"{self.table} {self.key}"

    @cached_property
    def id(self) -> str:
        """Given, or made of the name; that of an email follows from its Message-ID."""
        if self.table == "email":
            return str(activityid_of(canonical_message_id(self.given["message_id"]) or ""))
        return str(self.given.get("id") or uuid5(NAMESPACE_URL, f"corpus/{self.name}"))

    @property
    def record(self) -> Record:
        """The row as an email points to it."""
        if self.table in PROJECTS:
            own = PROJECTS[self.table]
            return Record(self.table, self.id, navigation=own["regarding"], collection=own["set"])
        return Record(self.table, self.id)

    @property
    def addresses(self) -> Sequence[str]:
        return list(self.given.get("addresses", ()))

    @property
    def is_active(self) -> bool:
        return bool(self.given.get("active", True))


@dataclass(frozen=True)
class World:
    """Everything in `world.toml`; `without` are the tables that this organisation does not have."""

    mailboxes: Mapping[str, Mapping[str, Any]]
    rows: Mapping[str, Row]
    organization: Mapping[str, Any]
    without: frozenset[str] = field(default=frozenset())

    def of_table(self, *tables: str) -> Iterator[Row]:
        return (row for row in self.rows.values() if row.table in tables and row.table not in self.without)

    def organisation(self, policy: Policy) -> Organisation:
        """What makes an address ours, as `mailsync.connected` tells it."""
        own = {key: normalise(box["address"]) or "" for key, box in self.mailboxes.items()}
        aliases = {
            alias: own[key]
            for key, box in self.mailboxes.items()
            for written in box.get("aliases", ())
            if (alias := normalise(written)) and alias not in own.values()
        }
        addresses = frozenset((*own.values(), *aliases))
        domains = policy.own_domains if policy.own_domains is not None else organisation_domains(addresses)
        return Organisation(addresses, domains, aliases)

    def mailbox(self, key: str, *, times: int = 1) -> Mailbox:
        """An empty mailbox, with its folders; under another grant each time it is connected."""
        given = self.mailboxes[key]
        grant = new_grant_id(given["address"], times)
        box = Mailbox(grant, given["provider"], given["address"], key, tuple(given.get("aliases", ())), NOON, NOON)
        box.prepare("en", attributes=True)
        for name in (*given.get("folders", ()), *given.get("labels", ())):
            box.make_folder(name)
        return box

    # finding, as Dataverse would

    def choices(self, addresses: Sequence[str], people: People) -> dict[str, Choice]:
        """Whose each address is: of the rows with the whole of it, else of those with it less its tag."""
        found = {}
        for address in addresses:
            choice = choose(self._candidates.get(address) or self._candidates.get(without_tag(address), ()), people)
            if choice != Choice(None):
                found[address] = choice
        return found

    def parent(self, chain: Sequence[str]) -> tuple[Parent | None, int]:
        """The nearest of these mails that is there, and how many nearer ones are not."""
        for depth, ancestor in enumerate(chain):
            row = self._emails.get(ancestor)
            if row is not None:
                return self.as_parent(row), depth
        return None, len(chain)

    def sibling(self, activityid: str, chain: Sequence[str]) -> Parent | None:
        """A mail that answers one of these, none of which is there."""
        for ancestor in chain[:SIBLINGS_LOOKED_FOR]:
            for row in self.of_table("email"):
                if row.id != activityid and ancestor in map(canonical_message_id, row.given.get("answers", ())):
                    return self.as_parent(row)
        return None

    def by_token(self, tokens: Sequence[str]) -> tuple[Parent, ...]:
        wanted = {token.casefold() for token in tokens}
        found = [row for row in self.of_table("email") if str(row.given.get("token", "")).casefold() in wanted]
        return tuple(map(self.as_parent, sorted(found, key=lambda row: row.given["created"], reverse=True)))

    def by_number(self, numbers: Sequence[str]) -> tuple[Related, ...]:
        """Cases by their number, with whose they are."""
        wanted = {number.casefold() for number in numbers}
        found = (row for row in self.of_table("incident") if str(row.given["number"]).casefold() in wanted)
        return tuple(
            Related(row.record, frozenset({self.rows[row.given["people"]["customerid"]].record})) for row in found
        )

    def related(self, tables: Sequence[RelatedTable], people: Sequence[Record]) -> dict[str, tuple[Related, ...]]:
        """The open records of these people, the newest first."""
        found: dict[str, tuple[Related, ...]] = {}
        for table in tables:
            open_rows = [row for row in self.of_table(table.table) if not row.given.get("closed")]
            those = [
                (row.given["created"], Related(row.record, named))
                for row in open_rows
                if (named := self._named_by(row, table) & frozenset(people))
            ]
            if those:
                found[table.name] = tuple(one for _, one in sorted(those, key=lambda one: one[0], reverse=True))
        return found

    def queue_owner(self, queue: Record) -> Record | None:
        row = next(row for row in self.of_table("queue") if row.id == queue.id)
        return self.rows[row.given["owner"]].record

    @property
    def limits(self) -> Limits:
        """What the organisation lets pass."""
        return limits_of(self.organization)

    def as_parent(self, row: Row) -> Parent:
        """An email as others of its conversation see it."""
        about = row.given.get("regarding")
        regarding = self.rows[about].record if about and self.rows[about].table not in self.without else None
        parties = []
        for _, address in _parties(row):
            match = self._own(address)
            parties.append(ParentParty(address, match.table if match else None, match.id if match else None))
        return Parent(row.id, regarding, tuple(parties))

    def name_of(self, record_id: str) -> str | None:
        """How the corpus calls the row with this id."""
        row = self._by_id.get(record_id)
        return None if row is None else row.name

    def _named_by(self, row: Row, table: RelatedTable) -> frozenset[Record]:
        lookups = {"contact": table.contact, "account": table.account}
        people = ((lookup, self.rows[person]) for lookup, person in row.given["people"].items())
        return frozenset(person.record for lookup, person in people if lookup in lookups[person.table])

    def _own(self, address: str) -> Record | None:
        choice = self.choices([address], People()).get(address)
        return choice.match.record if choice is not None and choice.match is not None else None

    @cached_property
    def _candidates(self) -> Mapping[str, list[Candidate]]:
        found: dict[str, list[Candidate]] = {}
        for row in self.of_table(*_PEOPLE_TABLES):
            for column, written in enumerate(row.addresses):
                one = Candidate(row.table, row.id, row.given["name"], row.is_active, column)
                found.setdefault(normalise(written) or "", []).append(one)
        return found

    @cached_property
    def _emails(self) -> Mapping[str, Row]:
        return {canonical_message_id(row.given["message_id"]) or "": row for row in self.of_table("email")}

    @cached_property
    def _by_id(self) -> Mapping[str, Row]:
        return {row.id: row for row in self.rows.values()}

    # the same as rows

    def fill(self, stand_in: DataverseStandIn) -> None:
        """Put every row into an organisation of the stand-in."""
        stand_in.update("organization", stand_in.organization_id, **self.organization)
        for row in self.of_table("team", *_PEOPLE_TABLES):
            stand_in.add(row.table, **{f"{row.table}id": row.id}, **self._columns(row))
        for row in self.of_table(*_RELATED_TABLES):
            people = {lookup: (self.rows[one].table, self.rows[one].id) for lookup, one in row.given["people"].items()}
            state = {"statecode": row.given["closed"]} if row.given.get("closed") else {}
            named = {_NAME_COLUMNS[row.table]: row.given["name"]}
            number = {"ticketnumber": row.given["number"]} if "number" in row.given else {}
            key = {f"{row.table}id": row.id, "createdon": _told(row.given["created"])}
            stand_in.add(row.table, **key, **named, **number, **people, **state)
        for row in self.of_table("email"):
            self._fill_email(stand_in, row)

    def _columns(self, row: Row) -> dict[str, object]:
        columns = _ADDRESS_COLUMNS.get(row.table, _CUSTOMER_COLUMNS)
        told: dict[str, object] = {_NAME_COLUMNS.get(row.table, "fullname"): row.given["name"]}
        told.update(zip(columns, row.addresses, strict=False))
        if not row.is_active:
            told |= {"isdisabled": True} if row.table == "systemuser" else {"statecode": 1}
        if "owner" in row.given:
            owner = self.rows[row.given["owner"]]
            told["ownerid"] = (owner.table, owner.id)
        return told

    def _fill_email(self, stand_in: DataverseStandIn, row: Row) -> None:
        parent = self.as_parent(row)
        parties = [
            {
                "participationtypemask": mask,
                "addressused": party.address,
                **(
                    {f"partyid_{party.table}@odata.bind": Record(party.table, party.id).reference}
                    if party.table and party.id
                    else {}
                ),
            }
            for (mask, _), party in zip(_parties(row), parent.parties, strict=True)
        ]
        told: dict[str, object] = {
            "activityid": row.id,
            "subject": row.key,
            "directioncode": False,
            "createdon": _told(row.given["created"]),
            "email_activity_parties": parties,
            "statecode": 1,
            "statuscode": 4,
        }
        if len(row.given["message_id"]) <= LONGEST_MESSAGE_ID:
            told["messageid"] = row.given["message_id"]
        if parent.regarding is not None:
            told["regardingobjectid"] = (parent.regarding.table, parent.regarding.id)
        if "token" in row.given:
            told["trackingtoken"] = row.given["token"]
        stand_in.add("email", **told)


def limits_of(organization: Mapping[str, Any]) -> Limits:
    """The organisation's row as limits of files."""
    listed = {
        name: frozenset(filter(None, str(organization.get(name, "")).split(";")))
        for name in ("blockedattachments", "blockedmimetypes", "allowedmimetypes")
    }
    return Limits(
        largest=organization["maxuploadfilesize"],
        extensions=listed["blockedattachments"],
        blocked_types=listed["blockedmimetypes"],
        allowed_types=listed["allowedmimetypes"],
    )


@cache
def world(*, with_sales: bool = True) -> World:
    """The one organisation, or the same without the tables of the sales and service apps."""
    told = read(Path(__file__).with_name("world.toml"))
    mailboxes, organization = told.pop("mailboxes"), told.pop("organization")
    rows = {
        row.name: row for table, those in told.items() for row in (Row(table, key, one) for key, one in those.items())
    }
    return World(mailboxes, rows, organization, frozenset() if with_sales else SALES_TABLES)


def _parties(row: Row) -> Iterator[tuple[int, str]]:
    for mask, name in enumerate(("from", "to", "cc", "bcc"), start=1):
        written = row.given.get(name, ())
        yield from ((mask, address) for address in ([written] if isinstance(written, str) else written))


def _told(time: datetime) -> str:
    return time.isoformat()
