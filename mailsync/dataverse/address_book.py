"""Who owns an address in Dataverse: the requests that ask, and a bounded memory of the answers.

Asking and remembering only; which of several owners counts is `mapping.matches.choose`. An address with a tag behind a
plus is asked for without it too, and that answer counts where nobody has the whole address.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
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
from mapping.addresses import normalise, without_tag
from mapping.matches import Candidate, Choice, choose
from mapping.policy import People

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


NOBODY = Choice(None)
"""An address that no row carries."""


class _Person(msgspec.Struct, frozen=True):
    id: UUID
    name: str | None
    addresses: tuple[str | None, ...]
    state: bool | int | None
    """True or not 0: inactive."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    choice: Choice
    until: float


@dataclass(frozen=True, slots=True)
class Question:
    """The requests that ask who owns some addresses, to go into a batch of the caller's."""

    addresses: tuple[str, ...]
    sources: tuple[_Source, ...]
    requests: tuple[batch.Request, ...]


class AddressBook:
    """Remembers who owns which address, for one process."""

    def __init__(
        self, people: People | None = None, *, clock: Callable[[], float] = time.monotonic, size: int = SIZE
    ) -> None:
        self._people = people or People()
        self._sources = tuple(source for source in SOURCES if source.table in self._people.precedence)
        self._clock = clock
        self._size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Remembered] = OrderedDict()
        self._missing: dict[str, float] = {}

    def known(self, addresses: Iterable[str]) -> tuple[dict[str, Choice], tuple[str, ...], tuple[str, ...]]:
        """The owners remembered; the addresses to ask about; those lately found without an owner.

        The last are worth asking again whenever a batch goes out anyway: a contact made a moment ago counts.
        """
        now = self._clock()
        found: dict[str, Choice] = {}
        unknown: list[str] = []
        nobody: list[str] = []
        with self._lock:
            for address in addresses:
                kept = self._known.get(address)
                if len(address.encode("utf-16-le", "surrogatepass")) // 2 > LONGEST_ADDRESS:
                    continue
                if kept is None or kept.until <= now:
                    unknown.append(address)
                elif kept.choice == NOBODY:
                    nobody.append(address)
                else:
                    self._known.move_to_end(address)
                    found[address] = kept.choice
        return found, tuple(unknown), tuple(nobody)

    def question(self, addresses: Sequence[str]) -> Question:
        """The requests that ask for the owners of these addresses in every table there is."""
        now = self._clock()
        spelled = sorted({spelling for address in addresses for spelling in _spellings(address)})
        asked = [
            (source, request("GET", _search(source, some)))
            for source in self._sources
            if self._missing.get(source.table, 0.0) <= now
            for some in odata.portions(spelled, most=MOST_ADDRESSES, longest=LONGEST_LIST)
        ]
        return Question(
            addresses=tuple(addresses),
            sources=tuple(source for source, _ in asked),
            requests=tuple(asking for _, asking in asked),
        )

    def learn(self, question: Question, answers: Sequence[Answer]) -> dict[str, Choice]:
        """The owners in the answers to a question, remembered; raises when a table could not be asked."""
        candidates: dict[str, list[Candidate]] = {}
        for source, answer in zip(question.sources, answers, strict=True):
            if answer.status == 404 and complaint_of(answer).code in SEGMENT_MISSING:
                self._missing[source.table] = self._clock() + MISSING_TABLE_LIFE
                continue
            for address, candidate in _candidates(source, answer):
                candidates.setdefault(address, []).append(candidate)
        owners = {address: self._chosen(address, candidates) for address in question.addresses}
        self._remember(owners)
        return {address: choice for address, choice in owners.items() if choice != NOBODY}

    def everybody(self, question: Question, answers: Sequence[Answer]) -> tuple[Candidate, ...]:
        """Every row that carries one of the addresses in a question, active or not; nothing is remembered of it."""
        asked = set(question.addresses)
        found: dict[tuple[str, str], Candidate] = {}
        for source, answer in zip(question.sources, answers, strict=True):
            if answer.status == 404 and complaint_of(answer).code in SEGMENT_MISSING:
                continue
            for address, candidate in _candidates(source, answer):
                if address in asked:
                    found.setdefault((candidate.table, candidate.id), candidate)
        return tuple(found.values())

    def forget(self, addresses: Iterable[str]) -> None:
        """Drop what a write proved wrong."""
        with self._lock:
            for address in addresses:
                self._known.pop(address, None)

    def _chosen(self, address: str, candidates: Mapping[str, Sequence[Candidate]]) -> Choice:
        whole = candidates.get(address)
        return choose(whole or candidates.get(without_tag(address), ()), self._people)

    def _remember(self, owners: Mapping[str, Choice]) -> None:
        now = self._clock()
        with self._lock:
            for address, choice in owners.items():
                life = LIFE if choice != NOBODY else LIFE_OF_NOBODY
                self._known[address] = _Remembered(choice, now + life)
                self._known.move_to_end(address)
            while len(self._known) > self._size:
                self._known.popitem(last=False)


def _search(source: _Source, spelled: Sequence[str]) -> str:
    columns = (source.key, source.name, source.state, *source.addresses)
    wanted = " or ".join(odata.any_of(column, spelled) for column in source.addresses)
    return odata.query(source.entity_set, select=",".join(columns), filter=wanted)


def spellings(address: str) -> Iterator[str]:
    """An address as we write it and, for an internationalised domain, as a person would have typed it."""
    yield address
    local, _, domain = address.rpartition("@")
    if "xn--" in domain:
        with suppress(idna.IDNAError):
            yield f"{local}@{idna.decode(domain)}"


def _spellings(address: str) -> Iterator[str]:
    for written in dict.fromkeys((address, without_tag(address))):
        yield from spellings(written)


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
