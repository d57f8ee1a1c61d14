"""The emails that a person took part in, found by address and by record, and deleted where that is asked.

Asks for ids only. Which records are the person's own: contacts, leads and users that carry the address. Of an account
or a queue, which others write from too, the address alone counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from mailsync.dataverse import odata
from mailsync.dataverse.address_book import AddressBook
from mailsync.dataverse.answers import evidence_of, failure_of, is_done
from mailsync.dataverse.rows import as_asked, rows_of
from mailsync.dataverse.web_api import VERSION_PATH, WebApi, request
from mailsync.errors import ConfigurationError, MessageError, Scope
from mailsync.transport import Answer
from mapping.records import Record

PERSONS = frozenset({"contact", "lead", "systemuser"})
TOGETHER = 50
"""Emails that one batch deletes."""
RECORDS_ASKED = 20
"""Records that one query asks for."""
TOOK_PART = f"({' or '.join(f'participationtypemask eq {mask}' for mask in (1, 2, 3, 4))})"
"""Sender and recipients; 8 and 9 repeat what an email is about and who owns it."""


class _Party(msgspec.Struct, frozen=True, rename={"activity": "_activityid_value"}):
    activity: UUID | None = None


class _Page(msgspec.Struct, frozen=True, rename={"further": "@odata.nextLink"}):
    further: str | None = None


@dataclass(frozen=True, slots=True)
class Deleted:
    """What became of emails that were to be deleted."""

    deleted: tuple[str, ...]
    refused: tuple[str, ...]


class Correspondence:
    """Asks one environment."""

    def __init__(self, api: WebApi) -> None:
        self._api = api

    def records(self, addresses: Sequence[str]) -> tuple[Record, ...]:
        """The rows of people that carry one of these addresses, active or not."""
        book = AddressBook()
        question = book.question(addresses)
        answers = [answer for (answer,) in self._api.batch(question.requests)]
        everybody = book.everybody(question, answers)
        return tuple(Record(one.table, one.id) for one in everybody if one.table in PERSONS)

    def activities(self, addresses: Sequence[str], records: Sequence[Record]) -> frozenset[str]:
        """The ids of the activities with one of these as sender or recipient."""
        wanted = [odata.any_of("addressused", addresses), *(tagged for one in addresses if (tagged := _tagged(one)))]
        for start in range(0, len(records), RECORDS_ASKED):
            some = records[start : start + RECORDS_ASKED]
            wanted.append(" or ".join(f"_partyid_value eq {record.id}" for record in some))
        return frozenset(
            str(row.activity)
            for one in wanted
            for row in self._all(
                odata.query("activityparties", select="_activityid_value", filter=f"({one}) and {TOOK_PART}")
            )
            if row.activity is not None
        )

    def delete(self, activityids: Iterable[str]) -> Deleted:
        """Delete these emails; one that is gone already counts as deleted.

        Raises ConfigurationError where this identity may not delete emails at all.
        """
        deleted: list[str] = []
        refused: list[str] = []
        ids = sorted(activityids)
        for start in range(0, len(ids), TOGETHER):
            some = ids[start : start + TOGETHER]
            answers = self._api.batch([request("DELETE", f"emails({one})") for one in some])
            for activityid, (answer,) in zip(some, answers, strict=True):
                (deleted if _is_gone(answer) else refused).append(activityid)
        return Deleted(tuple(deleted), tuple(refused))

    def _all(self, path: str) -> Iterator[_Party]:
        """The rows of a query, page by page."""
        further: str | None = path
        while further is not None:
            answer = self._api.send("GET", further)
            yield from rows_of(answer, _Party)
            with as_asked(answer):
                link = msgspec.json.decode(answer.body, type=_Page).further
            further = link.partition(VERSION_PATH)[2] if link else None


def _tagged(address: str) -> str | None:
    """The addresses of a person with a tag behind a plus; none of one that has a tag itself."""
    local, _, domain = address.rpartition("@")
    if "+" in local:
        return None
    begins, ends = odata.literal(f"{local}+"), odata.literal(f"@{domain}")
    return f"startswith(addressused,{begins}) and endswith(addressused,{ends})"


def _is_gone(answer: Answer) -> bool:
    if is_done(answer) or answer.status == 404:
        return True
    failure = failure_of(answer)
    if answer.status == 403:
        raise ConfigurationError(
            "Dataverse lets this identity delete no emails; `dataverse setup` gives it prvDeleteActivity, or use "
            "--dataverse list and have an administrator delete them",
            reason="delete_refused",
            scope=Scope.ORGANISATION,
            evidence=evidence_of(answer),
        )
    if isinstance(failure, MessageError):
        return False
    raise failure
