"""What this organisation's tables are called: asked once an hour, only where a table of its own turns up."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from mailsync.dataverse.definitions import LIFE, USUAL, Definitions, TableName
from mailsync.errors import TransientError
from mapping.records import Record
from sandbox.faults import Answer, Fault
from tests.mailsync.dataverse.room import trips
from tests.mailsync.parts import Clock, DataverseServed, new_id

PROJECT = "contoso_project"
NAVIGATION = "regardingobjectid_Contoso_Project_email"


@pytest.fixture
def organisation() -> Iterator[DataverseServed]:
    """One with projects that emails can be about, and parcels that they can't."""
    name = {"name": "contoso_name", "columns": {"contoso_name": {"type": "text", "max": 100}}}
    tables = {
        PROJECT: {"set": "contoso_projectset", "key": "contoso_projectno", "regarding": NAVIGATION, **name},
        "contoso_parcel": {"set": "contoso_parcels", **name},
    }
    with DataverseServed(tables=tables) as served:
        yield served


@pytest.fixture
def definitions(organisation: DataverseServed, clock: Clock) -> Definitions:
    return Definitions(organisation.api, clock=clock)


def test_tables_that_microsoft_made_are_known_without_asking(
    organisation: DataverseServed, definitions: Definitions
) -> None:
    def look() -> None:
        assert definitions.as_regarding(None) is None
        for table in USUAL:
            record = Record(table, new_id())
            assert definitions.as_regarding(record) is record
            assert definitions.can_be_regarded(table)
            assert definitions.table(table) is not None

    assert trips(organisation, look) == 0
    assert definitions.table("opportunity") == TableName("opportunities", "opportunityid")
    assert definitions.table("incident") == TableName("incidents", "incidentid")


def test_those_that_the_stand_in_has_are_called_so_there_too(dataverse: DataverseServed) -> None:
    """The plural rule and the keys, held against what Dataverse declares."""
    own = Definitions(dataverse.api)
    declared = dataverse.stand_in._rows.model.tables
    held = {table: own.table(table) for table in USUAL & set(declared)}
    assert len(held) > 5
    assert held == {table: TableName(declared[table].set, declared[table].key) for table in held}


def test_a_record_of_an_own_table_is_told_as_an_email_can_point_to_it(
    organisation: DataverseServed, definitions: Definitions
) -> None:
    record = Record(PROJECT, new_id())
    told = Record(PROJECT, record.id, NAVIGATION, "contoso_projectset")
    assert definitions.as_regarding(record) == told
    assert told.reference == f"/contoso_projectset({record.id})"
    assert definitions.table(PROJECT) == TableName("contoso_projectset", "contoso_projectno")


@pytest.mark.parametrize("table", ["contoso_parcel", "contoso_never_made", "task"])
def test_of_a_table_that_emails_cannot_be_about_there_is_no_record(
    organisation: DataverseServed, definitions: Definitions, table: str
) -> None:
    assert definitions.as_regarding(Record(table, new_id())) is None
    assert not definitions.can_be_regarded(table)


def test_names_are_asked_for_once_an_hour(
    organisation: DataverseServed, definitions: Definitions, clock: Clock
) -> None:
    def look() -> None:
        for table in (PROJECT, "contoso_parcel", "contoso_never_made"):
            definitions.as_regarding(Record(table, new_id()))
            definitions.table(table)

    assert trips(organisation, look) == 4
    clock.now += LIFE - 1
    assert trips(organisation, look) == 0
    clock.now += 1
    assert trips(organisation, look) == 4


def relationships(*navigations: str) -> Answer:
    rows = [{"ReferencedEntity": PROJECT, "ReferencingEntityNavigationPropertyName": one} for one in navigations]
    return Answer(200, {}, json.dumps({"value": rows}).encode())


@pytest.mark.parametrize("turned", [False, True], ids=["own name first", "own name last"])
def test_of_two_names_an_emails_own_is_taken(
    organisation: DataverseServed, definitions: Definitions, turned: bool
) -> None:
    names = [NAVIGATION, NAVIGATION.removesuffix("_email")]
    answer = relationships(*(reversed(names) if turned else names))
    organisation.faults.add(Fault(answer, path="ManyToOneRelationships"))
    told = definitions.as_regarding(Record(PROJECT, new_id()))
    assert told is not None
    assert told.navigation == NAVIGATION


def test_the_only_name_is_taken_whatever_it_is(organisation: DataverseServed, definitions: Definitions) -> None:
    organisation.faults.add(Fault(relationships("regardingobjectid_asyncoperation"), path="ManyToOneRelationships"))
    told = definitions.as_regarding(Record(PROJECT, new_id()))
    assert told is not None
    assert told.navigation == "regardingobjectid_asyncoperation"


@pytest.mark.parametrize("missing", ["prvReadEntity", "prvReadRelationship"])
def test_without_the_right_to_read_definitions_own_tables_are_left_out(
    organisation: DataverseServed, definitions: Definitions, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    organisation.stand_in.privileges = {"prvReadEntity", "prvReadRelationship"} - {missing}
    record = Record(PROJECT, new_id())
    with caplog.at_level(logging.INFO):
        assert trips(organisation, lambda: [definitions.as_regarding(record) for _ in range(3)]) == 1
    assert definitions.as_regarding(record) is None
    assert "event=table_left_out" in caplog.text
    assert "0x80040220" in caplog.text


@pytest.mark.parametrize("path", ["ManyToOneRelationships", "EntitySetName"])
@pytest.mark.parametrize(
    "answer", [Answer(503), Answer(200, {}, b"<html>"), Answer(200, {}, b"{}")], ids=["down", "a sign-in page", "empty"]
)
def test_trouble_is_trouble_and_not_remembered(
    organisation: DataverseServed, definitions: Definitions, path: str, answer: Answer
) -> None:
    organisation.faults.add(Fault(answer, path=path, times=1))
    record = Record(PROJECT, new_id())
    with pytest.raises(TransientError):
        definitions.as_regarding(record)
    told = definitions.as_regarding(record)
    assert told is not None
    assert told.navigation == NAVIGATION
