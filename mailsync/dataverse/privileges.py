"""The privileges that the app needs in Dataverse, each with its reason: the one list for setup, doctor and documents.

Pure. What an environment calls them it tells itself (`EntityDefinitions`, property Privileges); the names here are
those of Microsoft's page "Privileges by message" (read 2026-11) and public reports of what was missing. Each must reach
the whole organisation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

CREATE, READ, WRITE, DELETE = "Create", "Read", "Write", "Delete"
APPEND, APPEND_TO, ASSIGN = "Append", "AppendTo", "Assign"
"""The access rights, as the Web API's PrivilegeType spells them."""
DEPTH = "Global"
"""How deep each must reach: mail is everybody's."""

Named = Mapping[str, Mapping[str, str]]
"""What an environment calls its privileges: by table, then by access right. A table not in it is not installed."""


@dataclass(frozen=True, slots=True)
class TableNeed:
    """What is done with the rows of one table, and why."""

    table: str
    called: str
    """What the privileges of the table are named after; empty for a table of the organisation's own."""
    access: tuple[str, ...]
    why: str
    optional: bool = False
    """An application brings the table; without it the app has nothing to do there."""

    @property
    def names(self) -> tuple[str, ...]:
        """The documented names of its privileges."""
        return tuple(f"prv{right}{self.called}" for right in self.access)


_LINKED = (READ, APPEND_TO)


def _regarded(table: str, called: str) -> TableNeed:
    return TableNeed(table, called, _LINKED, "mail is about it, where it answers a mail that is", optional=True)


TABLES = (
    TableNeed("email", "Activity", (CREATE,), "emails are made"),
    TableNeed("email", "Activity", (READ,), "what is there already, and the mail before a reply"),
    TableNeed("email", "Activity", (WRITE,), "emails are completed, and their files written"),
    TableNeed(
        "email", "Activity", (APPEND, APPEND_TO), "parties, what a mail is about, the mail it answers, queue items"
    ),
    TableNeed("email", "Activity", (ASSIGN,), "whoever sent or received a mail owns it"),
    TableNeed(
        "email", "Activity", (DELETE,), "an email that turns out to be refused is taken back; a person's are erased"
    ),
    TableNeed("contact", "Contact", _LINKED, "parties, and what mail is about"),
    TableNeed("account", "Account", _LINKED, "parties, and what mail is about"),
    TableNeed("lead", "Lead", _LINKED, "parties, and what mail is about", optional=True),
    TableNeed("systemuser", "User", _LINKED, "parties and owners"),
    TableNeed("team", "Team", (READ,), "owners"),
    TableNeed("queue", "Queue", _LINKED, "parties, owners, and items of the queue"),
    TableNeed("organization", "Organization", (READ,), "which files the organisation lets pass"),
    TableNeed("opportunity", "Opportunity", _LINKED, "what mail is about", optional=True),
    TableNeed("incident", "Incident", _LINKED, "what mail is about: cases", optional=True),
    _regarded("quote", "Quote"),
    _regarded("salesorder", "Order"),
    _regarded("invoice", "Invoice"),
    _regarded("campaign", "Campaign"),
    _regarded("contract", "Contract"),
    _regarded("entitlement", "Entitlement"),
    _regarded("knowledgearticle", "KnowledgeArticle"),
)
"""In the order in which they are told."""
ROLE_TABLES = frozenset(need.table for need in TABLES)
DEFINITIONS = (
    ("prvReadEntity", "what tables are called, and which are there"),
    ("prvReadRelationship", "what emails can be about"),
    ("prvReadAttribute", "whether the column for Nylas' id holds one"),
)
BYPASS = "prvBypassCustomBusinessLogic"
"""Optional: lets an import of old mail keep the organisation's flows and plug-ins from answering it (Microsoft's page
on bypassing custom business logic, read 2026-11)."""


@dataclass(frozen=True, slots=True)
class Need:
    """One privilege and what it is for."""

    name: str
    why: str


def needed(named: Named, *, own_tables: Iterable[str] = ()) -> tuple[Need, ...]:
    """Every privilege the app needs in an environment, each once; `own_tables` are those its policy names."""
    wanted = (*TABLES, *(_own(table) for table in own_tables if table not in ROLE_TABLES))
    found: dict[str, Need] = {}
    for need in (*_of_tables(wanted, named), *(Need(*one) for one in DEFINITIONS)):
        found.setdefault(need.name, need)
    return tuple(found.values())


def tables_asked(own_tables: Iterable[str] = ()) -> tuple[str, ...]:
    """The tables whose privileges an environment is asked for."""
    return tuple(dict.fromkeys((*(need.table for need in TABLES), *own_tables)))


def documented() -> Named:
    """The privileges by their documented names, of an environment with every application."""
    named: dict[str, dict[str, str]] = {}
    for need in TABLES:
        named.setdefault(need.table, {}).update(zip(need.access, need.names, strict=True))
    return named


def reference() -> str:
    """The list as a table in Markdown, for the documents."""
    rows = ["| privilege | table | for |", "|---|---|---|"]
    for need in TABLES:
        names = ", ".join(f"`{name}`" for name in need.names)
        rows.append(f"| {names} | `{need.table}`{' where installed' if need.optional else ''} | {need.why} |")
    rows += [f"| `{name}` | | {why} |" for name, why in DEFINITIONS]
    return "\n".join(rows)


def _own(table: str) -> TableNeed:
    return TableNeed(table, "", _LINKED, "what mail is about, says the policy", optional=True)


def _of_tables(wanted: Iterable[TableNeed], named: Named) -> Iterator[Need]:
    for need in wanted:
        rights = named.get(need.table)
        if rights is not None:
            yield from (Need(rights[right], f"{need.table}: {need.why}") for right in need.access if right in rights)
