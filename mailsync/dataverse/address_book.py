"""Who owns an address in Dataverse: the requests that ask, and a bounded memory of the answers.

Asking and remembering only; which of several owners counts is `mapping.matches.choose`.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import idna
import msgspec

from mailsync.dataverse import batch, odata
from mailsync.dataverse.answers import complaint_of
from mailsync.dataverse.rows import as_asked, rows_of
from mailsync.dataverse.web_api import request
from mailsync.transport import Answer
from mapping.addresses import normalise
from mapping.matches import Candidate, Match, choose

LIFE = 600.0
"""Seconds that an owner is remembered."""
LIFE_OF_NOBODY = 30.0
"""Seconds that an address without an owner is not asked about again, when nothing else has to be asked either."""
SIZE = 50_000
"""Addresses remembered at most; the one longest unused goes first."""
MISSING_TABLE_LIFE = 3600.0
"""Seconds before a table this organisation didn't have is asked for again: an app may be installed meanwhile."""
LONGEST_ADDRESS = 100
"""UTF-16 units of the longest address a column can hold: a longer one belongs to nobody."""
LONGEST_LIST = 15_000
"""Characters of the percent-encoded addresses in one request, each column of a table naming all of them: keeps the
request line below the 65,536 characters that a batch allows."""
MOST_ADDRESSES = 100
"""Addresses in one request, each spelling for itself."""
SEGMENT_MISSING = frozenset({"0x80060888", "0x8006088a", ""})
"""Codes of "Resource not found for the segment", which Microsoft's pages and public reports give differently (read
2026-11): the table is not in this organisation."""


@dataclass(frozen=True, slots=True)
class _Source:
    """A table that holds people, the columns that hold their addresses, and how an inactive row shows."""

    table: str
    entity_set: str
    name: str
    addresses: tuple[str, ...]
    state: str

    @property
    def key(self) -> str:
        return f"{self.table}id"

    def told(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A row of this table under the names all tables share."""
        return {
            "id": row.get(self.key),
            "name": row.get(self.name),
            "addresses": [row.get(column) for column in self.addresses],
            "state": row.get(self.state),
        }


_CUSTOMER = ("emailaddress1", "emailaddress2", "emailaddress3")
SOURCES = (
    _Source("systemuser", "systemusers", "fullname", ("internalemailaddress",), "isdisabled"),
    _Source("queue", "queues", "name", ("emailaddress",), "statecode"),
    _Source("contact", "contacts", "fullname", _CUSTOMER, "statecode"),
    _Source("account", "accounts", "name", _CUSTOMER, "statecode"),
    _Source("lead", "leads", "fullname", _CUSTOMER, "statecode"),
)


class _Person(msgspec.Struct, frozen=True):
    id: UUID
    name: str | None
    addresses: tuple[str | None, ...]
    state: bool | int | None
    """True or not 0: inactive."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    match: Match | None
    until: float


@dataclass(frozen=True, slots=True)
class Question:
    """The requests that ask who owns some addresses, to go into a batch of the caller's."""

    addresses: tuple[str, ...]
    sources: tuple[_Source, ...]
    requests: tuple[batch.Request, ...]


class AddressBook:
    """Remembers who owns which address, for one process."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, size: int = SIZE) -> None:
        self._clock = clock
        self._size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Remembered] = OrderedDict()
        self._missing: dict[str, float] = {}

    def known(self, addresses: Iterable[str]) -> tuple[dict[str, Match], tuple[str, ...], tuple[str, ...]]:
        """The owners remembered; the addresses to ask about; those lately found without an owner.

        The last are worth asking again whenever a batch goes out anyway: a contact made a moment ago counts.
        """
        now = self._clock()
        found: dict[str, Match] = {}
        unknown: list[str] = []
        nobody: list[str] = []
        with self._lock:
            for address in addresses:
                kept = self._known.get(address)
                if len(address.encode("utf-16-le", "surrogatepass")) // 2 > LONGEST_ADDRESS:
                    continue
                if kept is None or kept.until <= now:
                    unknown.append(address)
                elif kept.match is None:
                    nobody.append(address)
                else:
                    self._known.move_to_end(address)
                    found[address] = kept.match
        return found, tuple(unknown), tuple(nobody)

    def question(self, addresses: Sequence[str]) -> Question:
        """The requests that ask for the owners of these addresses in every table there is."""
        now = self._clock()
        spelled = sorted({spelling for address in addresses for spelling in _spellings(address)})
        asked = [
            (source, request("GET", _search(source, some)))
            for source in SOURCES
            if self._missing.get(source.table, 0.0) <= now
            for some in odata.portions(spelled, most=MOST_ADDRESSES, longest=LONGEST_LIST)
        ]
        return Question(
            addresses=tuple(addresses),
            sources=tuple(source for source, _ in asked),
            requests=tuple(asking for _, asking in asked),
        )

    def learn(self, question: Question, answers: Sequence[Answer]) -> dict[str, Match]:
        """The owners in the answers to a question, remembered; raises when a table could not be asked."""
        candidates: dict[str, list[Candidate]] = {address: [] for address in question.addresses}
        for source, answer in zip(question.sources, answers, strict=True):
            if answer.status == 404 and complaint_of(answer).code in SEGMENT_MISSING:
                self._missing[source.table] = self._clock() + MISSING_TABLE_LIFE
                continue
            for address, candidate in _candidates(source, answer):
                if address in candidates:
                    candidates[address].append(candidate)
        owners = {address: choose(found) for address, found in candidates.items()}
        self._remember(owners)
        return {address: match for address, match in owners.items() if match is not None}

    def forget(self, addresses: Iterable[str]) -> None:
        """Drop what a write proved wrong."""
        with self._lock:
            for address in addresses:
                self._known.pop(address, None)

    def _remember(self, owners: Mapping[str, Match | None]) -> None:
        now = self._clock()
        with self._lock:
            for address, match in owners.items():
                life = LIFE if match is not None else LIFE_OF_NOBODY
                self._known[address] = _Remembered(match, now + life)
                self._known.move_to_end(address)
            while len(self._known) > self._size:
                self._known.popitem(last=False)


def _search(source: _Source, spelled: Sequence[str]) -> str:
    columns = (source.key, source.name, source.state, *source.addresses)
    wanted = " or ".join(odata.any_of(column, spelled) for column in source.addresses)
    return odata.query(source.entity_set, select=",".join(columns), filter=wanted)


def _spellings(address: str) -> Iterator[str]:
    """An address as we write it and, for an internationalised domain, as a person would have typed it."""
    yield address
    local, _, domain = address.rpartition("@")
    if "xn--" in domain:
        try:
            yield f"{local}@{idna.decode(domain)}"
        except idna.IDNAError:
            return


def _candidates(source: _Source, answer: Answer) -> Iterator[tuple[str, Candidate]]:
    rows = rows_of(answer, dict[str, Any])
    with as_asked(answer):
        people = [msgspec.convert(source.told(row), _Person) for row in rows]
    for person in people:
        for number, written in enumerate(person.addresses):
            address = normalise(written)
            if address is not None:
                yield (
                    address,
                    Candidate(
                        table=source.table,
                        id=str(person.id),
                        name=person.name,
                        active=not person.state,
                        column=number,
                    ),
                )
