"""Everybody who writes in the chaos: an organisation with three mailboxes, and those it writes with."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from sandbox.mail import Character, Person
from sandbox.world import World

DOMAIN = "fjordlight.example"
FIRST = ("Noor", "Greta", "Tomás", "Zoë", "Ngozi", "健司", "Jürgen", "Amélie", "Oluwaseun", "Ágnes", "Ravi", "Siobhán")
LAST = (
    "Haddad",
    "Lind",
    "Rivera",
    "van der Berg",
    "Okafor",
    "田中",
    "Müller",
    "Dubois",
    "Adeyemi",
    "Kovács",
    "O'Brien",
)
COMPANIES = ("harbour", "cannery", "bakery", "quarry", "sawmill", "brewery", "museum", "clinic", "foundry", "orchard")
KINDS = (*("contact",) * 24, *("account",) * 4, *("lead",) * 4, *(None,) * 14)
"""What Dataverse holds of each of those outside."""


@dataclass(frozen=True, slots=True)
class Cast:
    """All people, and the id of the Dataverse row of each address that has one."""

    ours: tuple[Character, ...]
    """Those whose mailboxes are connected."""
    colleagues: tuple[Character, ...]
    """Users of Dataverse in our own domain, whose mailboxes are not connected."""
    outside: tuple[Character, ...]
    records: dict[str, tuple[str, str]]
    """By address: table and id."""

    @property
    def everybody(self) -> tuple[Character, ...]:
        return (*self.ours, *self.colleagues, *self.outside)

    def is_ours(self, address: str) -> bool:
        """Whether an address belongs to the organisation."""
        return address.endswith("@" + DOMAIN)


def people(random: Random) -> Cast:
    """The same for the same seed; nobody has a row yet."""
    ours = (
        Character("Ida Sørensen", f"ida@{DOMAIN}", "systemuser", None, "google", (f"ida.sorensen@{DOMAIN}",)),
        Character("Marcus Bell", f"marcus@{DOMAIN}", "systemuser", None, "microsoft", (f"m.bell@{DOMAIN}",)),
        Character("Fjordlight Service", f"service@{DOMAIN}", "queue", None, "imap", ()),
    )
    colleagues = (Character("Rosa Vidal", f"rosa@{DOMAIN}", "systemuser", None, None, ()),)
    outside = []
    for number, table in enumerate(KINDS):
        first, last = random.choice(FIRST), random.choice(LAST)
        company = random.choice(COMPANIES)
        name = f"{company.title()} {number}" if table == "account" else f"{first} {last}"
        outside.append(Character(name, f"someone{number}@{company}.example", table, company, None, ()))
    return Cast(ours, colleagues, tuple(outside), {})


def settle(cast: Cast, world: World) -> dict[str, str]:
    """Make everybody's rows and connect the mailboxes; returns the grants by address."""
    known = {person.email: person for person in cast.everybody}
    tables = {address: person.record for address, person in known.items()}
    for address, record in world.know(known).items():
        cast.records.update((name, (tables[address] or "", record)) for name in (address, *known[address].aliases))
    return world.connect(known)


def written(person: Character, *, alias: bool = False) -> Person:
    """How the header of a mail names somebody."""
    return Person(person.name, person.aliases[0] if alias and person.aliases else person.email)
