"""What this organisation's tables are called: how an email points to a record of a table that Microsoft did not make.

Asked once an hour, and only where such a table turns up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import msgspec

from mailsync.dataverse import odata
from mailsync.dataverse.answers import failure_of
from mailsync.dataverse.rows import row_of, rows_of
from mailsync.dataverse.web_api import WebApi
from mailsync.errors import TransientError
from mailsync.telemetry import emit
from mailsync.transport import Answer
from mapping.records import Record, entity_set

LIFE = 3600.0
"""Seconds that an answer is remembered."""
USUAL = frozenset(
    {
        *("account", "contact", "lead", "opportunity", "incident", "quote", "salesorder", "invoice", "campaign"),
        *("campaignactivity", "contract", "entitlement", "entitlementtemplate", "bulkoperation", "knowledgearticle"),
        *("knowledgebaserecord", "bookableresourcebooking", "msdyn_workorder"),
    }
)
"""Tables that an email points to by `regardingobjectid_<table>_email` (Microsoft's email table reference, read
2026-11); they are called as the plural rule says."""


class _Relationship(msgspec.Struct, frozen=True, rename="pascal"):
    referenced_entity: str
    referencing_entity_navigation_property_name: str


class _Table(msgspec.Struct, frozen=True, rename="pascal"):
    entity_set_name: str
    primary_id_attribute: str


@dataclass(frozen=True, slots=True)
class TableName:
    """What a table is called in addresses, and its key."""

    collection: str
    key: str


class Definitions:
    """The names in one environment, remembered."""

    def __init__(self, api: WebApi, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._lock = threading.Lock()
        self._navigations: tuple[Mapping[str, str], float] | None = None
        self._tables: dict[str, tuple[TableName | None, float]] = {}

    def as_regarding(self, record: Record | None) -> Record | None:
        """The record as an email can point to it; None where emails can't be about its table."""
        if record is None or record.table in USUAL:
            return record
        navigation = self._navigation(record.table)
        table = self.table(record.table) if navigation is not None else None
        return None if table is None else replace(record, navigation=navigation, collection=table.collection)

    def can_be_regarded(self, table: str) -> bool:
        """Whether emails of this organisation can be about rows of a table."""
        return table in USUAL or self._navigation(table) is not None

    def table(self, table: str) -> TableName | None:
        """What a table is called; None where it is not installed."""
        if table in USUAL:
            return TableName(entity_set(table), f"{table}id")
        known = self._tables.get(table)
        if known is None or known[1] <= self._clock():
            known = (self._asked_table(table), self._clock() + LIFE)
            self._tables[table] = known
        return known[0]

    def _asked_table(self, table: str) -> TableName | None:
        path = odata.query(f"EntityDefinitions(LogicalName='{table}')", select="EntitySetName,PrimaryIdAttribute")
        answer = self._api.send("GET", path)
        if answer.status != 200:
            _leave_out(answer)
            return None
        found = row_of(answer, _Table)
        return TableName(found.entity_set_name, found.primary_id_attribute)

    def _navigation(self, table: str) -> str | None:
        with self._lock:
            known = self._navigations
            if known is None or known[1] <= self._clock():
                known = self._navigations = (self._asked_navigations(), self._clock() + LIFE)
        return known[0].get(table)

    def _asked_navigations(self) -> Mapping[str, str]:
        path = odata.query(
            "EntityDefinitions(LogicalName='email')/ManyToOneRelationships",
            select="ReferencedEntity,ReferencingEntityNavigationPropertyName",
            filter="ReferencingAttribute eq 'regardingobjectid'",
        )
        answer = self._api.send("GET", path)
        if answer.status != 200:
            _leave_out(answer)
            return {}
        found: dict[str, str] = {}
        for row in rows_of(answer, _Relationship):
            name = row.referencing_entity_navigation_property_name
            # an email has two names for some tables, its own and that of all activities
            if row.referenced_entity not in found or name.endswith("_email"):
                found[row.referenced_entity] = name
        return found


def _leave_out(answer: Answer) -> None:
    """Mail goes on without a table that isn't there or that we may not read of; raises what passes."""
    failure = failure_of(answer)
    if isinstance(failure, TransientError):
        raise failure
    emit("table_left_out", reason=failure.reason, evidence=failure.evidence, advice=failure)
