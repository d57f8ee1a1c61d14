"""Values inside an OData query: quoting and percent-encoding, in one place so that nothing reaches a query raw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import quote

_SAFE = "(),'=$"
"""What OData's own grammar uses and a query string may hold as it is."""


def literal(text: str) -> str:
    """A string literal: single quotes doubled, wrapped in quotes."""
    return "'" + text.replace("'", "''") + "'"


def any_of(column: str, values: Iterable[str]) -> str:
    """The filter that a column equals one of these values, by the query function Dataverse offers for it."""
    listed = ",".join(literal(value) for value in values)
    return f"Microsoft.Dynamics.CRM.In(PropertyName={literal(column)},PropertyValues=[{listed}])"


def portions(values: Iterable[str], *, most: int, longest: int) -> Iterator[list[str]]:
    """The values in lists that one query can hold: so many of them, and so many characters once encoded."""
    portion: list[str] = []
    length = 0
    for value in values:
        takes = len(quote(literal(value), safe=_SAFE)) + 1
        if portion and (len(portion) >= most or length + takes > longest):
            yield portion
            portion, length = [], 0
        portion.append(value)
        length += takes
    if portion:
        yield portion


def query(entity_set: str, **options: str) -> str:
    """A relative URL with its system query options percent-encoded."""
    told = (f"${name}=" + quote(value, safe=_SAFE) for name, value in options.items())
    return f"{entity_set}?" + "&".join(told)
