"""What a strict Dataverse is asked before a write: all of it in one round trip, and what it lacks only once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailsync.dataverse import definitions as definitions_module
from mailsync.dataverse.address_book import LIFE_OF_NOBODY
from mailsync.dataverse.resolver import ANCESTORS_ASKED, LIFE, MISSING_LIFE, MOST_OPEN
from mailsync.errors import ThrottledError, TransientError
from mapping.attachments import Limits
from mapping.identity import LONGEST_MESSAGE_ID, canonical_message_id
from mapping.matches import Match
from mapping.parties import Party, Role
from mapping.policy import CASE, OPPORTUNITY, RelatedTable
from mapping.records import Record
from mapping.regarding import Parent, ParentParty, Regarding, Related
from sandbox.dataverse.answers import Answer as Part
from sandbox.dataverse.multipart import render
from sandbox.faults import Answer as Say
from sandbox.faults import Fault
from tests.mailsync.dataverse.room import ANN, CARL, COMPLETED, Room, activity, allow, identity, put_there, row, trips
from tests.mailsync.parts import Clock, DataverseServed, new_message_id

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)

# one round trip


def test_everything_is_asked_in_one_round_trip(dataverse: DataverseServed) -> None:
    contact = dataverse.contact(CARL)
    parent_id, message_id = new_message_id(), new_message_id()
    parent = put_there(dataverse, parent_id, **COMPLETED)
    mine = put_there(dataverse, message_id, **COMPLETED)
    told = put_there(dataverse, new_message_id(), trackingtoken="CRM:0001001", **COMPLETED)
    case = dataverse.stand_in.add(
        "incident", title="Rain", ticketnumber="CAS-01000-X1", customerid=("contact", contact)
    )
    room = Room(dataverse)
    question: dict[str, Any] = {
        "ancestors": [parent_id],
        "addresses": [CARL, ANN],
        "tokens": ["CRM:0001001"],
        "case_numbers": ["CAS-01000-X1"],
        "with_limits": True,
    }
    resolved = room.resolve(message_id, **question)
    assert resolved.existing == mine
    assert resolved.parent is not None
    assert resolved.parent.activityid == parent
    assert {address: match.id for address, match in resolved.matches.items()} == {CARL: contact}
    assert [mail.activityid for mail in resolved.by_token] == [told]
    assert [one.record for one in resolved.by_number] == [Record("incident", case)]
    assert "exe" in resolved.limits.extensions
    assert [len(asked) for asked in dataverse.operations()] == [10]


def test_nothing_is_asked_when_everything_is_known(dataverse: DataverseServed) -> None:
    dataverse.contact(CARL)
    room = Room(dataverse, adopt_existing=False)
    addresses = [CARL, "nobody@fabrikam.example"]
    first = room.resolve(addresses=addresses, with_limits=True)
    again = []
    assert trips(dataverse, lambda: again.append(room.resolve(addresses=addresses, with_limits=True))) == 0
    assert again == [first]


def test_who_was_nobody_is_asked_for_again_when_a_batch_goes_out_anyway(
    dataverse: DataverseServed, clock: Clock
) -> None:
    room = Room(dataverse, clock=clock)
    assert room.resolve(addresses=[CARL]).matches == {}
    contact = dataverse.contact(CARL)
    assert room.resolve(addresses=[CARL]).matches[CARL].id == contact


def test_and_after_moments_in_any_case(dataverse: DataverseServed, clock: Clock) -> None:
    room = Room(dataverse, adopt_existing=False, clock=clock)
    assert room.resolve(addresses=[CARL]).matches == {}
    contact = dataverse.contact(CARL)
    assert room.resolve(addresses=[CARL]).matches == {}
    clock.now += LIFE_OF_NOBODY
    assert room.resolve(addresses=[CARL]).matches[CARL].id == contact


def test_several_rows_of_one_address_are_told_with_the_choice(dataverse: DataverseServed) -> None:
    rows = sorted(dataverse.contact(CARL) for _ in range(2))
    resolved = Room(dataverse).resolve(addresses=[CARL, ANN])
    assert set(resolved.choices) == {CARL}
    assert resolved.choices[CARL].rivals == tuple(Record("contact", one) for one in rows)
    assert resolved.matches[CARL].id == rows[0]


NOT_ODATA = {
    "HTML": b"<html>",
    "no rows": b"{}",
    "rows null": b'{"value":null}',
    "not UTF-8": b'{"value":[{"activityid":"\xff"}]}',
}


@pytest.mark.parametrize("body", NOT_ODATA.values(), ids=NOT_ODATA)
def test_an_answer_inside_a_batch_that_is_not_odata_is_trouble(dataverse: DataverseServed, body: bytes) -> None:
    kind, whole = render([Part(200, (("Content-Type", "application/json"),), body)])
    dataverse.faults.add(Fault(Say(200, {"content-type": kind}, whole)))
    with pytest.raises(TransientError):
        Room(dataverse).resolve()


# the same mail


@pytest.mark.parametrize("bare", [False, True], ids=["with brackets", "without"])
def test_an_email_with_this_message_id_is_found(dataverse: DataverseServed, bare: bool) -> None:
    message_id = new_message_id()
    theirs = put_there(dataverse, message_id, bare=bare)
    assert Room(dataverse).resolve(message_id).existing == theirs


def test_an_email_whose_message_id_differs_by_case_alone_is_another(dataverse: DataverseServed) -> None:
    """Dataverse compares without case; taken for the same, the second mail would never be written."""
    message_id = new_message_id()
    put_there(dataverse, message_id.upper(), **COMPLETED)
    assert Room(dataverse).resolve(message_id).existing is None


def test_which_of_several_with_one_message_id_counts(dataverse: DataverseServed) -> None:
    """Ours, then a completed one, then the oldest."""
    message_id = new_message_id()
    room = Room(dataverse)

    def existing() -> str | None:
        return room.resolve(message_id).existing

    first = put_there(dataverse, message_id, createdon=NEW_YEAR)
    put_there(dataverse, message_id, createdon=NEW_YEAR + timedelta(days=1))
    assert existing() == first
    completed = put_there(dataverse, message_id, createdon=NEW_YEAR + timedelta(days=2), **COMPLETED)
    assert existing() == completed
    own = str(identity(message_id).activityid)
    put_there(dataverse, message_id, activityid=own)
    assert existing() == own


def test_nobody_is_looked_for_where_no_other_tracker_runs(dataverse: DataverseServed) -> None:
    message_id = new_message_id()
    put_there(dataverse, message_id)
    assert Room(dataverse, adopt_existing=False).resolve(message_id).existing is None
    assert dataverse.operations() == []


def test_a_message_id_too_long_for_its_column_is_not_looked_for(dataverse: DataverseServed) -> None:
    assert Room(dataverse).resolve("x" * 5000).existing is None
    assert dataverse.operations() == []


# parents


def test_the_nearest_mail_before_it_is_the_parent(dataverse: DataverseServed) -> None:
    chain = [new_message_id() for _ in range(4)]
    far, near = put_there(dataverse, chain[3], **COMPLETED), put_there(dataverse, chain[1], bare=True, **COMPLETED)
    room = Room(dataverse)
    resolved = room.resolve(ancestors=chain)
    assert resolved.parent is not None
    assert (resolved.parent.activityid, resolved.parent_depth) == (near, 1)
    dataverse.stand_in.delete("email", near)
    further = room.resolve(ancestors=chain)
    assert further.parent is not None
    assert (further.parent.activityid, further.parent_depth) == (far, 3)


def test_a_parent_is_found_in_long_references(dataverse: DataverseServed) -> None:
    chain = [new_message_id() for _ in range(ANCESTORS_ASKED + 10)]
    parent = put_there(dataverse, chain[ANCESTORS_ASKED - 1], **COMPLETED)
    put_there(dataverse, chain[ANCESTORS_ASKED], **COMPLETED)
    resolved = Room(dataverse).resolve(ancestors=chain)
    assert resolved.parent is not None
    assert (resolved.parent.activityid, resolved.parent_depth) == (parent, ANCESTORS_ASKED - 1)


def test_without_a_parent_all_that_were_asked_for_are_missing(dataverse: DataverseServed) -> None:
    chain = [new_message_id() for _ in range(ANCESTORS_ASKED + 10)]
    resolved = Room(dataverse).resolve(ancestors=chain)
    assert (resolved.parent, resolved.parent_depth) == (None, ANCESTORS_ASKED)


def test_a_parent_comes_with_its_record_and_those_who_took_part(dataverse: DataverseServed) -> None:
    contact, parent_id = dataverse.contact(CARL), new_message_id()
    match = Match("contact", contact, "Carl", active=True)
    parent = activity(
        parent_id,
        parties=(Party(Role.SENDER, CARL, None, match), Party(Role.BCC, "b@nowhere.example", "B", None)),
        regarding=Regarding(Record("contact", contact), "contact"),
    )
    room = Room(dataverse)
    room.put(parent)
    found = room.resolve(ancestors=[parent_id]).parent
    assert found is not None
    assert (found.activityid, found.regarding) == (str(parent.activityid), Record("contact", contact))
    assert set(found.parties) == {ParentParty(CARL, "contact", contact), ParentParty("b@nowhere.example", None, None)}
    assert room.resolver.parent([new_message_id(), parent_id]) == found


def test_a_parent_with_a_message_id_too_long_for_its_column_is_found_by_our_own_id(dataverse: DataverseServed) -> None:
    parent_id = "x" * LONGEST_MESSAGE_ID + new_message_id()
    parent = activity(parent_id)
    assert parent.messageid is None
    room = Room(dataverse)
    room.put(parent)
    found = room.resolve(ancestors=[new_message_id(), parent_id]).parent
    assert found is not None
    assert found.activityid == str(parent.activityid)


HOSTILE = [
    "it's@mail.example",
    "'@mail.example",
    "a') or (messageid ne 'b@mail.example",
    "a'])&$top=1@mail.example",
    "a&$filter=1@mail.example",
    "a#b@mail.example",
    "a%27b@mail.example",
    "a+b=c@mail.example",
    "a\\b@mail.example",
    'a"b@mail.example',
    "a,b;c@mail.example",
    "a[1]{2}(3)@mail.example",
    "日本語@mail.example",
    "\U0001f600@mail.example",
    "ünïcödé@mail.example",
    "null",
    "$it",
    "x" * 318,
]


@pytest.mark.parametrize("message_id", HOSTILE, ids=lambda text: text[:14])
def test_a_message_id_is_read_as_nothing_but_a_message_id(dataverse: DataverseServed, message_id: str) -> None:
    """Written, found as its own, as a parent and in a count, with a stranger beside it that stays out."""
    assert canonical_message_id(message_id) == message_id.replace(" ", "")
    message_id = message_id.replace(" ", "")
    stranger = put_there(dataverse, new_message_id(), **COMPLETED)
    room, email = Room(dataverse), activity(message_id)
    room.put(email)
    own = str(email.activityid)
    assert row(dataverse, own)["messageid"] == f"<{message_id}>"
    resolved = room.resolve(message_id, ancestors=[message_id])
    assert resolved.existing == own
    assert resolved.parent is not None
    assert resolved.parent.activityid == own != stranger
    assert [one.activityid for one in room.emails.find_by_message_id([message_id])] == [own]


@pytest.mark.parametrize(
    "letter", ["x", "'", "%", "日", "\U0001f600"], ids=["plain", "quotes", "percent", "CJK", "emoji"]
)
def test_references_full_of_long_ids_still_fit_a_batch(dataverse: DataverseServed, letter: str) -> None:
    """Dataverse takes 65,536 characters in a request line; a stranger's header must not put the mail aside."""
    size = (LONGEST_MESSAGE_ID - 8) // (2 if letter == "\U0001f600" else 1)
    chain = [f"{letter * size}{number:05}" for number in range(20)]
    parent = activity(chain[3])
    room = Room(dataverse)
    room.put(parent)
    found = room.resolve(ancestors=chain).parent
    assert found is not None
    assert found.activityid == str(parent.activityid)
    assert len(dataverse.operations()[-1][1]) < 65_536


# what a subject points to


def test_mails_with_a_token_come_newest_first_with_their_records_and_people(dataverse: DataverseServed) -> None:
    contact = dataverse.contact(CARL)
    older, newer = (
        put_there(
            dataverse,
            new_message_id(),
            trackingtoken="CRM:0001001",
            createdon=NEW_YEAR + timedelta(days=day),
            regardingobjectid=("contact", contact),
            email_activity_parties=[{"participationtypemask": 1, "addressused": CARL}],
            **COMPLETED,
        )
        for day in (0, 1)
    )
    put_there(dataverse, new_message_id(), trackingtoken="CRM:0001002", **COMPLETED)
    put_there(dataverse, new_message_id(), **COMPLETED)
    found = Room(dataverse).resolve(tokens=["crm:0001001", "CRM:9999999"]).by_token
    record, people = Record("contact", contact), (ParentParty(CARL, None, None),)
    assert found == (Parent(newer, record, people), Parent(older, record, people))


def test_a_token_that_thousands_share_brings_the_newest_only(dataverse: DataverseServed) -> None:
    """Counters wrap: a token repeats."""
    made = [
        put_there(dataverse, new_message_id(), trackingtoken="CRM:0001001", createdon=NEW_YEAR + timedelta(days=day))
        for day in range(MOST_OPEN + 5)
    ]
    found = Room(dataverse).resolve(tokens=["CRM:0001001"]).by_token
    assert [one.activityid for one in found] == made[: -MOST_OPEN - 1 : -1]


@pytest.mark.parametrize("kind", ["contact", "account"])
def test_a_case_by_its_number_comes_with_its_customer(dataverse: DataverseServed, kind: str) -> None:
    customer = dataverse.stand_in.add(kind)
    case = dataverse.stand_in.add("incident", ticketnumber="CAS-01000-X1Y2Z3", customerid=(kind, customer))
    dataverse.stand_in.add("incident", ticketnumber="CAS-01001-X1Y2Z3", customerid=(kind, customer))
    (found,) = Room(dataverse).resolve(case_numbers=["CAS-01000-X1Y2Z3"]).by_number
    assert found.record == Record("incident", case)
    assert Record(kind, customer) in found.people


def test_a_case_by_its_number_comes_with_the_contact_whom_it_names(dataverse: DataverseServed) -> None:
    account, contact = dataverse.stand_in.add("account"), dataverse.stand_in.add("contact")
    dataverse.stand_in.add(
        "incident",
        ticketnumber="CAS-01000-X1Y2Z3",
        customerid=("account", account),
        primarycontactid=("contact", contact),
    )
    (found,) = Room(dataverse).resolve(case_numbers=["CAS-01000-X1Y2Z3"]).by_number
    assert {Record("account", account), Record("contact", contact)} <= found.people


def test_a_case_without_customer_is_nobodys(dataverse: DataverseServed) -> None:
    case = dataverse.stand_in.add("incident", ticketnumber="CAS-01000-X1Y2Z3")
    found = Room(dataverse).resolve(case_numbers=["CAS-01000-X1Y2Z3"]).by_number
    assert found == (Related(Record("incident", case), frozenset()),)


def test_an_organisation_without_cases_is_asked_for_them_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with DataverseServed(service=False) as dataverse:
        room = Room(dataverse, adopt_existing=False, clock=clock)

        def asks() -> int:
            return trips(dataverse, lambda: room.resolve(case_numbers=["CAS-01000-X1Y2Z3"]))

        with caplog.at_level(logging.INFO):
            assert room.resolve(case_numbers=["CAS-01000-X1Y2Z3"]).by_number == ()
            assert "event=table_left_out" in caplog.text
        assert asks() == 0
        clock.now += MISSING_LIFE
        assert asks() == 1


@pytest.mark.parametrize("what", ["tokens", "case_numbers"])
def test_throttling_of_one_question_is_throttling(dataverse: DataverseServed, what: str) -> None:
    refused = Part(429, (("Retry-After", "9"),), b'{"error":{"code":"0x80072321","message":"m"}}')
    kind, body = render([refused])
    dataverse.faults.add(Fault(Say(200, {"content-type": kind}, body)))
    with pytest.raises(ThrottledError) as error:
        Room(dataverse, adopt_existing=False).resolve(**{what: ["CAS-1"]})
    assert error.value.retry_after == 9.0


# what the organisation lets pass


def test_limits_are_asked_for_once_and_only_where_there_are_files(dataverse: DataverseServed, clock: Clock) -> None:
    allow(dataverse, maxuploadfilesize=8_000_000, blockedattachments=" exe; .BAT ;;", blockedmimetypes="text/HTML")
    room = Room(dataverse, adopt_existing=False, clock=clock)
    assert trips(dataverse, room.resolve) == 0
    told = Limits(8_000_000, extensions=frozenset({"exe", "bat"}), blocked_types=frozenset({"text/html"}))
    assert room.resolve(with_limits=True).limits == told
    assert trips(dataverse, lambda: room.resolve(with_limits=True)) == 0
    allow(dataverse, maxuploadfilesize=None, allowedmimetypes="image/png")
    clock.now += LIFE - 1
    assert room.resolve(with_limits=True).limits == told
    clock.now += 1
    anew = room.resolve(with_limits=True).limits
    assert (anew.largest, anew.allowed_types) == (Limits().largest, {"image/png"})


def test_limits_that_proved_wrong_are_asked_for_anew(dataverse: DataverseServed) -> None:
    room = Room(dataverse)
    before = room.resolve(with_limits=True).limits
    allow(dataverse, maxuploadfilesize=1_000_000)
    assert room.resolve(with_limits=True).limits == before
    room.resolver.forget_limits()
    assert room.resolve(with_limits=True).limits.largest == 1_000_000


# the open records of people


def related(room: Room, table: RelatedTable, *people: Record) -> list[str]:
    """The ids of what one rule finds."""
    return [one.record.id for one in room.resolver.related([table], people).get(table.name, ())]


LOOKUPS = [
    pytest.param(OPPORTUNITY, "customerid", "contact", id="an opportunity by its customer, a contact"),
    pytest.param(OPPORTUNITY, "customerid", "account", id="an opportunity by its customer, an account"),
    pytest.param(OPPORTUNITY, "parentcontactid", "contact", id="an opportunity by its contact"),
    pytest.param(OPPORTUNITY, "parentaccountid", "account", id="an opportunity by its account"),
    pytest.param(CASE, "customerid", "contact", id="a case by its customer, a contact"),
    pytest.param(CASE, "customerid", "account", id="a case by its customer, an account"),
    pytest.param(CASE, "primarycontactid", "contact", id="a case by its contact"),
]


@pytest.mark.parametrize(("table", "lookup", "kind"), LOOKUPS)
def test_the_open_records_of_a_person_are_found(
    dataverse: DataverseServed, table: RelatedTable, lookup: str, kind: str
) -> None:
    person, other = (Record(kind, dataverse.stand_in.add(kind)) for _ in range(2))
    theirs = {lookup: (kind, person.id)}
    found = dataverse.stand_in.add(table.table, **theirs)
    dataverse.stand_in.add(table.table, statecode=1, **theirs)
    dataverse.stand_in.add(table.table, **{lookup: (kind, other.id)})
    dataverse.stand_in.add(table.table)
    got: list[Any] = []
    room = Room(dataverse)
    assert trips(dataverse, lambda: got.append(room.resolver.related([table], [person]))) == 1
    assert got == [{table.name: (Related(Record(table.table, found), frozenset({person})),)}]


def test_open_records_come_newest_first_whichever_lookup_finds_them(dataverse: DataverseServed) -> None:
    carl = Record("contact", dataverse.contact(CARL))

    def add(day: int, lookup: str) -> str:
        made = NEW_YEAR + timedelta(days=day)
        return dataverse.stand_in.add("opportunity", createdon=made, **{lookup: ("contact", carl.id)})

    middle, newest, oldest = add(1, "customerid"), add(2, "parentcontactid"), add(0, "parentcontactid")
    assert related(Room(dataverse), OPPORTUNITY, carl) == [newest, middle, oldest]


def test_a_record_that_names_several_of_the_people_is_one(dataverse: DataverseServed) -> None:
    carl, firm = Record("contact", dataverse.contact(CARL)), Record("account", dataverse.stand_in.add("account"))
    made = dataverse.stand_in.add(
        "opportunity",
        customerid=("account", firm.id),
        parentcontactid=("contact", carl.id),
        parentaccountid=("account", firm.id),
    )
    found = Room(dataverse).resolver.related([OPPORTUNITY], [carl, firm])
    assert found == {"opportunity": (Related(Record("opportunity", made), frozenset({carl, firm})),)}


def test_all_rules_ask_in_one_round_trip(dataverse: DataverseServed) -> None:
    carl = Record("contact", dataverse.contact(CARL))
    mine = {"customerid": ("contact", carl.id)}
    case, deal = dataverse.stand_in.add("incident", **mine), dataverse.stand_in.add("opportunity", **mine)
    got: list[Mapping[str, tuple[Related, ...]]] = []
    room = Room(dataverse)
    assert trips(dataverse, lambda: got.append(room.resolver.related([CASE, OPPORTUNITY], [carl]))) == 1
    assert {rule: [one.record.id for one in found] for rule, found in got[0].items()} == {
        "case": [case],
        "opportunity": [deal],
    }


def test_of_many_open_records_the_newest_are_read(dataverse: DataverseServed) -> None:
    carl = Record("contact", dataverse.contact(CARL))
    made = [
        dataverse.stand_in.add(
            "opportunity", customerid=("contact", carl.id), createdon=NEW_YEAR + timedelta(hours=hour)
        )
        for hour in range(MOST_OPEN + 3)
    ]
    assert related(Room(dataverse), OPPORTUNITY, carl) == made[: -MOST_OPEN - 1 : -1]


def test_nothing_is_asked_of_people_no_lookup_leads_to(dataverse: DataverseServed) -> None:
    lead = Record("lead", dataverse.stand_in.add("lead"))
    room = Room(dataverse)
    assert trips(dataverse, lambda: room.resolver.related([OPPORTUNITY, CASE], [lead])) == 0
    assert trips(dataverse, lambda: room.resolver.related([OPPORTUNITY, CASE], [])) == 0


def test_a_table_the_organisation_does_not_have_is_learnt_once_and_left_out(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with DataverseServed(sales=False, service=True) as dataverse:
        carl = Record("contact", dataverse.contact(CARL))
        case = dataverse.stand_in.add("incident", customerid=("contact", carl.id))
        room = Room(dataverse, clock=clock)
        for _ in range(2):
            with caplog.at_level(logging.INFO):
                found = room.resolver.related([OPPORTUNITY, CASE], [carl])
            assert {rule: [one.record.id for one in rows] for rule, rows in found.items()} == {"case": [case]}
        assert [len(asked) for asked in dataverse.operations()] == [4, 2]
        assert "event=table_left_out" in caplog.text
        clock.now += MISSING_LIFE
        room.resolver.related([OPPORTUNITY, CASE], [carl])
        assert len(dataverse.operations()[-1]) == 4


PROJECT = RelatedTable(
    name="project", table="contoso_project", contact=("contoso_client",), account=("contoso_firm", "contoso_payer")
)
NAVIGATION = "regardingobjectid_Contoso_Project_email"


def projects(**entry: object) -> DataverseServed:
    """An organisation with projects: their set, key and navigation are spelled as no rule would have them, and they
    have no lookup `contoso_payer`."""
    table = {
        "set": "contoso_projectset",
        "key": "contoso_projectno",
        "name": "contoso_name",
        "columns": {"contoso_name": {"type": "text", "max": 100}},
        "lookups": {
            "contoso_client": {"bind": {"contoso_Client": "contact"}},
            "contoso_firm": {"bind": {"contoso_Firm": "account"}},
        },
        "regarding": NAVIGATION,
        **entry,
    }
    return DataverseServed(tables={"contoso_project": table})


def test_records_of_a_table_of_the_organisations_own_can_be_pointed_to(clock: Clock) -> None:
    with projects() as dataverse:
        carl = Record("contact", dataverse.contact(CARL))
        made = dataverse.stand_in.add("contoso_project", contoso_client=("contact", carl.id))
        room = Room(dataverse, clock=clock)
        (found,) = room.resolver.related([PROJECT], [carl])["project"]
        assert found == Related(Record("contoso_project", made, NAVIGATION, "contoso_projectset"), frozenset({carl}))
        email = activity(regarding=Regarding(found.record, "project"))
        room.put(email)
        stands = row(dataverse, email.activityid)
        assert (stands["_regardingobjectid_value"], stands["statecode"]) == (made, 1)
        parent = room.emails.read(str(email.activityid))
        assert parent is not None
        assert room.emails.as_parent(parent).regarding == found.record


def test_a_lookup_the_table_does_not_have_is_learnt_once_and_the_others_are_asked(clock: Clock) -> None:
    with projects() as dataverse:
        firm = Record("account", dataverse.stand_in.add("account"))
        made = dataverse.stand_in.add("contoso_project", contoso_firm=("account", firm.id))
        room = Room(dataverse, clock=clock)
        room.definitions.can_be_regarded("contoso_project")
        room.definitions.table("contoso_project")
        dataverse.stand_in.clear_log()
        assert [related(room, PROJECT, firm) for _ in range(2)] == [[made]] * 2
        assert [len(asked) for asked in dataverse.operations()] == [2, 1]


def test_what_a_table_is_called_is_asked_for_once_an_hour(clock: Clock) -> None:
    with projects() as dataverse:
        carl = Record("contact", dataverse.contact(CARL))
        room = Room(dataverse, clock=clock)

        def asks() -> int:
            return trips(dataverse, lambda: room.resolver.related([PROJECT], [carl]))

        assert [asks(), asks()] == [3, 1]
        clock.now += definitions_module.LIFE
        assert [asks(), asks()] == [3, 1]


def test_a_table_that_emails_cannot_be_about_is_left_out() -> None:
    with projects(regarding=None) as dataverse:
        carl = Record("contact", dataverse.contact(CARL))
        dataverse.stand_in.add("contoso_project", contoso_client=("contact", carl.id))
        room = Room(dataverse)
        assert related(room, PROJECT, carl) == []
        assert trips(dataverse, lambda: related(room, PROJECT, carl)) == 0


def test_a_table_whose_rows_are_never_closed_is_left_out(clock: Clock) -> None:
    """Open ones can't be asked for."""
    with projects(states={}) as dataverse:
        carl = Record("contact", dataverse.contact(CARL))
        dataverse.stand_in.add("contoso_project", contoso_client=("contact", carl.id))
        assert related(Room(dataverse), PROJECT, carl) == []


def test_a_table_that_we_may_not_read_is_left_out(dataverse: DataverseServed) -> None:
    carl = Record("contact", dataverse.contact(CARL))
    case = dataverse.stand_in.add("incident", customerid=("contact", carl.id))
    dataverse.stand_in.add("opportunity", customerid=("contact", carl.id))
    room = Room(dataverse)
    room.resolver.related([OPPORTUNITY, CASE], [carl])
    dataverse.stand_in.privileges = dataverse.stand_in.used_privileges - {"prvReadOpportunity"}
    found = room.resolver.related([OPPORTUNITY, CASE], [carl])
    assert {rule: [one.record.id for one in rows] for rule, rows in found.items()} == {"case": [case]}


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        pytest.param(Part(429, (), b'{"error":{"code":"0x80072321","message":"m"}}'), ThrottledError, id="throttled"),
        pytest.param(Part(500, (), b""), TransientError, id="in trouble"),
        pytest.param(Part(200, (), b"<html>"), TransientError, id="HTML"),
        pytest.param(Part(200, (), b'{"value":[{"opportunityid":"x"}]}'), TransientError, id="no id"),
        pytest.param(Part(200, (), b'{"value":[17]}'), TransientError, id="no row"),
    ],
)
def test_trouble_with_a_table_is_trouble_and_no_missing_table(
    dataverse: DataverseServed, part: Part, kind: type[Exception]
) -> None:
    carl = Record("contact", dataverse.contact(CARL))
    made = dataverse.stand_in.add("opportunity", customerid=("contact", carl.id))
    content_type, body = render([part, part])
    dataverse.faults.add(Fault(Say(200, {"content-type": content_type}, body), times=1))
    room = Room(dataverse)
    with pytest.raises(kind):
        room.resolver.related([OPPORTUNITY], [carl])
    assert related(room, OPPORTUNITY, carl) == [made]


# a queue's owner


@pytest.mark.parametrize("table", ["systemuser", "team"])
def test_the_owner_of_a_queue_is_asked_for_once(dataverse: DataverseServed, clock: Clock, table: str) -> None:
    first, second = (dataverse.stand_in.add(table) for _ in range(2))
    queue = Record("queue", dataverse.stand_in.add("queue", name="Service", ownerid=(table, first)))
    room = Room(dataverse, clock=clock)
    got: list[Record | None] = []
    assert trips(dataverse, lambda: got.append(room.resolver.queue_owner(queue))) == 1
    dataverse.stand_in.update("queue", queue.id, ownerid=(table, second))
    clock.now += LIFE - 1
    assert trips(dataverse, lambda: got.append(room.resolver.queue_owner(queue))) == 0
    clock.now += 1
    got.append(room.resolver.queue_owner(queue))
    assert got == [Record(table, first), Record(table, first), Record(table, second)]


def test_each_queue_has_an_owner_of_its_own(dataverse: DataverseServed) -> None:
    owners = [dataverse.stand_in.add("team") for _ in range(2)]
    queues = [Record("queue", dataverse.stand_in.add("queue", ownerid=("team", owner))) for owner in owners]
    room = Room(dataverse)
    assert [room.resolver.queue_owner(queue) for queue in queues] == [Record("team", owner) for owner in owners]


@pytest.mark.parametrize("why", ["gone", "not ours to read"])
def test_a_queue_that_cannot_be_read_has_no_owner(dataverse: DataverseServed, why: str) -> None:
    queue = Record("queue", dataverse.stand_in.add("queue"))
    if why == "gone":
        dataverse.stand_in.delete("queue", queue.id)
    else:
        dataverse.stand_in.privileges = {"prvReadActivity"}
    room = Room(dataverse)
    assert trips(dataverse, lambda: [room.resolver.queue_owner(queue) for _ in range(3)]) == 1
    assert room.resolver.queue_owner(queue) is None


@pytest.mark.parametrize("answer", [Say(503), Say(200, {}, b"<html>")], ids=["down", "a sign-in page"])
def test_trouble_with_a_queue_is_not_remembered(dataverse: DataverseServed, answer: Say) -> None:
    owner = dataverse.stand_in.add("team")
    queue = Record("queue", dataverse.stand_in.add("queue", ownerid=("team", owner)))
    dataverse.faults.add(Fault(answer, times=1))
    room = Room(dataverse)
    with pytest.raises(TransientError):
        room.resolver.queue_owner(queue)
    assert room.resolver.queue_owner(queue) == Record("team", owner)
