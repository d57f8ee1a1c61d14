"""How a record of Dataverse is written as a reference: the entity set of its table and its id.

Which record is meant, and under which navigation property it is bound, others decide.
"""

from __future__ import annotations

from dataclasses import dataclass

_PLURAL_ES = ("s", "x", "z", "ch", "sh")


@dataclass(frozen=True, slots=True)
class Record:
    """One row of one table.

    `navigation` is how email binds it as regarding and `collection` the table's name in addresses, each where it is
    not the usual one.
    """

    table: str
    id: str
    navigation: str | None = None
    collection: str | None = None

    @property
    def reference(self) -> str:
        """The record as the value of an `@odata.bind`."""
        return f"/{self.collection or entity_set(self.table)}({self.id})"


def entity_set(table: str) -> str:
    """The name of a table in addresses of the Web API: the plural Dataverse itself forms when a table is made."""
    if table.endswith("y") and table[-2:-1] not in set("aeiou"):
        return table[:-1] + "ies"
    return table + ("es" if table.endswith(_PLURAL_ES) else "s")


def reference(table: str, record_id: str) -> str:
    """A record as the value of an `@odata.bind`."""
    return Record(table, record_id).reference
