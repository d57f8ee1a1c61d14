"""Who owns an address: asked of a strict Dataverse in one batch, remembered within bounds, asked anew when it counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from mailsync.dataverse.address_book import (
    LIFE,
    LIFE_OF_NOBODY,
    LONGEST_ADDRESS,
    MISSING_TABLE_LIFE,
    SOURCES,
    AddressBook,
)
from mailsync.errors import ConfigurationError, MessageError, ThrottledError, TransientError
from mailsync.transport import Answer
from mapping.addresses import normalise
from mapping.matches import Choice, Match
from mapping.policy import PEOPLE_TABLES, People
from mapping.records import Record
from sandbox.dataverse import Protection
from sandbox.faults import Answer as Say
from sandbox.faults import Fault
from tests.mailsync.parts import Clock, DataverseServed

CARL = "carl@fabrikam.example"
COLUMN = {
    "systemuser": "internalemailaddress",
    "queue": "emailaddress",
    "contact": "emailaddress1",
    "account": "emailaddress1",
    "lead": "emailaddress1",
}
INACTIVE: dict[str, dict[str, object]] = {
    "systemuser": {"isdisabled": True},
    "queue": {"statecode": 1},
    "contact": {"statecode": 1},
    "account": {"statecode": 1},
    "lead": {"statecode": 2},
}


@pytest.fixture
def book(clock: Clock) -> AddressBook:
    return AddressBook(clock=clock)


def choices(book: AddressBook, dataverse: DataverseServed, *addresses: str) -> dict[str, Choice]:
    """Whose these addresses are taken to be, by one batch."""
    question = book.question(addresses)
    return book.learn(question, [answer for (answer,) in dataverse.api.batch(question.requests)])


def owners(book: AddressBook, dataverse: DataverseServed, *addresses: str) -> dict[str, Match]:
    """Whose these addresses are, where they are somebody's."""
    found = choices(book, dataverse, *addresses)
    return {address: choice.match for address, choice in found.items() if choice.match is not None}


def add(dataverse: DataverseServed, table: str, address: str, **columns: object) -> str:
    return dataverse.stand_in.add(table, **{COLUMN[table]: address, **columns})


# who it is


@pytest.mark.parametrize("table", COLUMN)
def test_each_table_of_people_is_asked(book: AddressBook, dataverse: DataverseServed, table: str) -> None:
    name = {"name": "Somebody"} if table in {"queue", "account"} else {"fullname": "Somebody"}
    row = add(dataverse, table, CARL, **name)
    assert owners(book, dataverse, CARL) == {CARL: Match(table, row, "Somebody", active=True)}


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("table", ["contact", "account", "lead"])
def test_each_of_an_owners_addresses_is_asked(
    book: AddressBook, dataverse: DataverseServed, table: str, number: int
) -> None:
    row = dataverse.stand_in.add(table, **{f"emailaddress{number}": CARL})
    assert owners(book, dataverse, CARL)[CARL].id == row


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(("systemuser", {}), ("queue", {}), id="a user before a queue"),
        pytest.param(("queue", {}), ("contact", {}), id="a queue before a contact"),
        pytest.param(("contact", {}), ("account", {}), id="a contact before an account"),
        pytest.param(("account", {}), ("lead", {}), id="an account before a lead"),
        pytest.param(("lead", {}), ("contact", INACTIVE["contact"]), id="an open lead before a closed contact"),
        pytest.param(("queue", {}), ("systemuser", INACTIVE["systemuser"]), id="a queue before a user who left"),
        pytest.param(
            ("contact", INACTIVE["contact"]), ("lead", INACTIVE["lead"]), id="a closed contact before a closed lead"
        ),
        pytest.param(
            ("contact", {}),
            ("contact", {"emailaddress1": None, "emailaddress2": CARL}),
            id="the first address before the second",
        ),
    ],
)
@pytest.mark.parametrize("turned", [False, True], ids=["better first", "worse first"])
def test_which_of_several_owners_counts(
    book: AddressBook, dataverse: DataverseServed, better: tuple[str, Any], worse: tuple[str, Any], turned: bool
) -> None:
    made = {}
    for place in ("worse", "better") if turned else ("better", "worse"):
        table, columns = better if place == "better" else worse
        made[place] = dataverse.stand_in.add(table, **{COLUMN[table]: CARL, **columns})
    assert owners(book, dataverse, CARL)[CARL].id == made["better"]


@pytest.mark.parametrize("table", COLUMN)
def test_an_inactive_row_counts_when_there_is_no_other(
    book: AddressBook, dataverse: DataverseServed, table: str
) -> None:
    row = add(dataverse, table, CARL, **INACTIVE[table])
    match = owners(book, dataverse, CARL)[CARL]
    assert (match.id, match.active) == (row, False)


def test_an_address_nobody_owns_is_absent(book: AddressBook, dataverse: DataverseServed) -> None:
    add(dataverse, "contact", "somebody-else@fabrikam.example")
    assert owners(book, dataverse, CARL) == {}


@pytest.mark.parametrize(
    "precedence",
    [
        pytest.param(PEOPLE_TABLES[::-1], id="turned round"),
        pytest.param(("account", "contact"), id="an account before a contact, and nobody else"),
        pytest.param(("lead",), id="leads alone"),
    ],
)
def test_the_policys_precedence_says_which_table_counts_and_which_is_asked(
    dataverse: DataverseServed, precedence: tuple[str, ...]
) -> None:
    rows = {table: add(dataverse, table, CARL) for table in COLUMN}
    book = AddressBook(People(precedence=precedence))
    assert owners(book, dataverse, CARL)[CARL].id == rows[precedence[0]]
    assert {one.table for one in book.question([CARL]).sources} == set(precedence)
    assert len(dataverse.stand_in.log[-1].operations) == len(precedence)


def test_a_row_of_a_table_left_out_is_nobody(dataverse: DataverseServed) -> None:
    add(dataverse, "lead", CARL)
    book = AddressBook(People(precedence=("systemuser", "contact")))
    assert choices(book, dataverse, CARL) == {}


# several that are as good


def test_of_several_rows_the_first_counts_and_its_rivals_are_told(
    book: AddressBook, dataverse: DataverseServed
) -> None:
    """By the column that holds the address, then by id; the table's precedence has decided before."""
    second = dataverse.stand_in.add("contact", emailaddress2=CARL)
    first = sorted(dataverse.contact(CARL) for _ in range(2))
    add(dataverse, "account", CARL)
    add(dataverse, "contact", CARL, **INACTIVE["contact"])
    choice = choices(book, dataverse, CARL)[CARL]
    assert choice.match is not None
    assert choice.match.id == first[0]
    assert choice.rivals == tuple(Record("contact", one) for one in (*first, second))


def test_one_row_that_carries_an_address_twice_has_no_rival(book: AddressBook, dataverse: DataverseServed) -> None:
    row = dataverse.stand_in.add("contact", emailaddress1=CARL, emailaddress3=CARL.upper())
    assert choices(book, dataverse, CARL) == {CARL: Choice(Match("contact", row, None, active=True))}


def test_or_nobody_counts_where_the_policy_says_so(dataverse: DataverseServed, clock: Clock) -> None:
    book = AddressBook(People(tie="unresolved"), clock=clock)
    rows = sorted(dataverse.contact(CARL) for _ in range(2))
    only = dataverse.contact("dora@fabrikam.example")
    found = choices(book, dataverse, CARL, "dora@fabrikam.example")
    assert found[CARL] == Choice(None, tuple(Record("contact", row) for row in rows))
    assert found["dora@fabrikam.example"].match is not None
    assert found["dora@fabrikam.example"].match.id == only
    clock.now += LIFE - 1
    assert heard(book, CARL) == ({CARL}, set(), set()), "remembered as an owner is, and not as nobody"


def test_a_tie_ends_where_one_of_the_rows_is_closed(dataverse: DataverseServed, clock: Clock) -> None:
    book = AddressBook(People(tie="unresolved"), clock=clock)
    kept, closed = (dataverse.contact(CARL) for _ in range(2))
    assert owners(book, dataverse, CARL) == {}
    dataverse.stand_in.update("contact", closed, statecode=1)
    assert owners(book, dataverse, CARL)[CARL].id == kept


# how it is spelled


TAGGED = "carl+news@fabrikam.example"


def test_an_address_with_a_tag_is_its_owners(book: AddressBook, dataverse: DataverseServed) -> None:
    row = dataverse.contact(CARL)
    dataverse.stand_in.clear_log()
    found = owners(book, dataverse, TAGGED)
    assert {address: match.id for address, match in found.items()} == {TAGGED: row}
    assert len(dataverse.stand_in.log) == 1


@pytest.mark.parametrize("whole", ["contact", "lead"])
def test_whoever_has_the_whole_address_comes_first(book: AddressBook, dataverse: DataverseServed, whole: str) -> None:
    """Whatever its table: a tag can be a person of its own."""
    dataverse.contact(CARL)
    row = add(dataverse, whole, "Carl+News@fabrikam.example")
    assert owners(book, dataverse, TAGGED)[TAGGED].id == row


def test_an_address_without_a_tag_is_not_that_of_one_with_a_tag(book: AddressBook, dataverse: DataverseServed) -> None:
    add(dataverse, "contact", TAGGED)
    assert owners(book, dataverse, CARL, "carl+other@fabrikam.example") == {}


def test_addresses_with_and_without_their_tag_are_one_batch(book: AddressBook, dataverse: DataverseServed) -> None:
    plain, tagged = dataverse.contact(CARL), dataverse.contact(TAGGED)
    others = [f"carl+{number}@fabrikam.example" for number in range(3)]
    dataverse.stand_in.clear_log()
    found = owners(book, dataverse, CARL, TAGGED, *others)
    assert {address: match.id for address, match in found.items()} == {
        CARL: plain,
        TAGGED: tagged,
        **dict.fromkeys(others, plain),
    }
    assert len(dataverse.stand_in.log) == 1


def test_a_tag_and_an_internationalised_domain_go_together(book: AddressBook, dataverse: DataverseServed) -> None:
    row = add(dataverse, "account", "info@münchen.example")
    asked = normalise("Info+Angebot@München.example")
    assert asked == "info+angebot@xn--mnchen-3ya.example"
    assert owners(book, dataverse, asked)[asked].id == row


@pytest.mark.parametrize("address", ["+news@fabrikam.example", "+@fabrikam.example"])
def test_a_tag_of_nobody_is_asked_for_as_it_is(book: AddressBook, dataverse: DataverseServed, address: str) -> None:
    row = add(dataverse, "contact", address)
    add(dataverse, "contact", "@fabrikam.example")
    assert owners(book, dataverse, address)[address].id == row


def test_the_address_in_dataverse_may_be_typed_in_another_case(book: AddressBook, dataverse: DataverseServed) -> None:
    row = add(dataverse, "contact", "Carl@Fabrikam.Example")
    assert owners(book, dataverse, CARL)[CARL].id == row


@pytest.mark.parametrize("stored", ["info@münchen.example", "info@xn--mnchen-3ya.example"], ids=["typed", "encoded"])
def test_an_internationalised_domain_is_found_in_either_spelling(
    book: AddressBook, dataverse: DataverseServed, stored: str
) -> None:
    row = add(dataverse, "account", stored)
    asked = normalise("Info@München.example")
    assert asked == "info@xn--mnchen-3ya.example"
    assert owners(book, dataverse, asked) == {asked: Match("account", row, None, active=True)}


@pytest.mark.parametrize("address", ["x@xn--.example", "x@xn--a.example", "x@xn--\u00fc.example"])
def test_a_domain_that_only_looks_encoded_is_asked_for_as_it_is(
    book: AddressBook, dataverse: DataverseServed, address: str
) -> None:
    row = add(dataverse, "contact", address)
    assert owners(book, dataverse, address)[address].id == row


HOSTILE = [
    "o'hara@fabrikam.example",
    "''@fabrikam.example",
    "x' or emailaddress1 ne 'y@fabrikam.example",
    "x')]) or contains(emailaddress1,'a@fabrikam.example",
    "x,y@fabrikam.example",
    "x]y@fabrikam.example",
    "x&$top=1@fabrikam.example",
    "x#y@fabrikam.example",
    "x%27y@fabrikam.example",
    "x+y=z@fabrikam.example",
    "x y@fabrikam.example",
    'x"y@fabrikam.example',
    "x\\y@fabrikam.example",
    "ünïcode日本@fabrikam.example",
    "\U0001f600@fabrikam.example",
    "null@fabrikam.example",
    "$filter@fabrikam.example",
    "{x}@fabrikam.example",
]


def test_no_address_is_read_as_anything_but_an_address(book: AddressBook, dataverse: DataverseServed) -> None:
    """All of them in one batch: each is its own row's, and none of a stranger's."""
    rows = {address: add(dataverse, "contact", address) for address in HOSTILE}
    add(dataverse, "contact", "stranger@fabrikam.example")
    found = owners(book, dataverse, *HOSTILE, "nobody@fabrikam.example")
    assert {address: match.id for address, match in found.items()} == rows


def test_two_hundred_addresses_go_into_one_batch(book: AddressBook, dataverse: DataverseServed) -> None:
    addresses = [f"{'recipient' * 8}-{number:03}@fabrikam.example" for number in range(200)]
    rows = {address: add(dataverse, "contact", address) for address in addresses[::10]}
    dataverse.stand_in.clear_log()
    found = owners(book, dataverse, *addresses)
    assert {address: match.id for address, match in found.items()} == rows
    assert dataverse.server.requests == 1
    assert len(dataverse.stand_in.log) == 1


LONG_IDN = normalise("x@" + "日本語" * 6 + "." + "国" * 18 + ".example")[2:]  # type: ignore[index]


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param("recipient-{}@fabrikam.example", id="ordinary"),
        pytest.param("'" * 70 + "{}@fabrikam.example", id="quotes"),
        pytest.param("日" * 70 + "{}@fabrikam.example", id="letters of nine characters when encoded"),
        pytest.param("{}@" + LONG_IDN, id="an internationalised domain, asked for in two spellings"),
        pytest.param("日" * 20 + "{}@" + LONG_IDN, id="both"),
        pytest.param("日" * 20 + "+{}@" + LONG_IDN, id="and a tag, asked for in four"),
    ],
)
def test_no_request_line_outgrows_a_batch(book: AddressBook, shape: str) -> None:
    """Dataverse takes 65,536 characters in a batch; one longer line would put the mail aside for good."""
    addresses = [shape.format(number) for number in range(200)]
    assert heard(book, *addresses)[1] == set(addresses)
    assert max(len(request.path) for request in book.question(addresses).requests) <= 65_536


# what is remembered


def heard(book: AddressBook, *addresses: str) -> tuple[set[str], set[str], set[str]]:
    found, unknown, nobody = book.known(addresses)
    return set(found), set(unknown), set(nobody)


def test_an_owner_is_remembered_for_a_while_and_nobody_for_moments(
    book: AddressBook, dataverse: DataverseServed, clock: Clock
) -> None:
    add(dataverse, "contact", CARL)
    owners(book, dataverse, CARL, "nobody@fabrikam.example")
    everybody = (CARL, "nobody@fabrikam.example", "new@fabrikam.example")
    assert heard(book, *everybody) == ({CARL}, {"new@fabrikam.example"}, {"nobody@fabrikam.example"})
    clock.now += LIFE_OF_NOBODY
    assert heard(book, *everybody) == ({CARL}, {"new@fabrikam.example", "nobody@fabrikam.example"}, set())
    clock.now += LIFE - LIFE_OF_NOBODY
    assert heard(book, *everybody) == (set(), set(everybody), set())


def test_nobody_is_not_remembered_for_more_than_a_minute() -> None:
    """A contact made now must count for the next mail."""
    assert LIFE_OF_NOBODY <= 60


def test_what_a_write_proved_wrong_is_forgotten(book: AddressBook, dataverse: DataverseServed) -> None:
    add(dataverse, "contact", CARL)
    owners(book, dataverse, CARL)
    book.forget([CARL, "never-heard-of@fabrikam.example"])
    assert heard(book, CARL) == (set(), {CARL}, set())


def test_memory_is_bounded_and_the_longest_unused_goes_first(dataverse: DataverseServed, clock: Clock) -> None:
    book = AddressBook(clock=clock, size=3)
    names = [f"{letter}@fabrikam.example" for letter in "abcd"]
    for name in names[:3]:
        add(dataverse, "contact", name)
        owners(book, dataverse, name)
    assert heard(book, names[0]) == ({names[0]}, set(), set())
    owners(book, dataverse, names[3])
    assert heard(book, *names) == ({names[0], names[2]}, {names[1]}, {names[3]})


@pytest.mark.parametrize(
    "address",
    ["x" * 200 + "@fabrikam.example", "\U0001f600" * 50 + "@fabrikam.example"],
    ids=["letters", "emoji"],
)
def test_an_address_no_column_can_hold_is_nobodys_without_asking(book: AddressBook, address: str) -> None:
    assert len(address.encode("utf-16-le")) // 2 > LONGEST_ADDRESS
    assert heard(book, address) == (set(), set(), set())


# tables that are not there, and trouble


def asked(dataverse: DataverseServed) -> set[str]:
    """The entity sets asked for in the last batch."""
    return {line.rpartition("/")[2].partition("?")[0] for line in dataverse.stand_in.log[-1].operations}


def test_a_table_the_organisation_does_not_have_is_learnt_once(clock: Clock) -> None:
    with DataverseServed(sales=False) as dataverse:
        book = AddressBook(clock=clock)
        row = add(dataverse, "contact", CARL)
        assert owners(book, dataverse, CARL)[CARL].id == row
        assert asked(dataverse) == {"systemusers", "queues", "contacts", "accounts", "leads"}
        clock.now += MISSING_TABLE_LIFE - 1
        assert owners(book, dataverse, CARL)[CARL].id == row
        assert asked(dataverse) == {"systemusers", "queues", "contacts", "accounts"}
        clock.now += 1
        owners(book, dataverse, CARL)
        assert asked(dataverse) == {"systemusers", "queues", "contacts", "accounts", "leads"}


def answers(*, leads: Answer) -> Iterable[Answer]:
    """Nobody anywhere, and this of the leads."""
    nobody = Answer(200, CaseInsensitiveDict(), b'{"value":[]}')
    return [leads if source.table == "lead" else nobody for source in SOURCES]


def complaint(status: int, code: str) -> Answer:
    return Answer(status, CaseInsensitiveDict(), b'{"error":{"code":"%s","message":"m"}}' % code.encode())


@pytest.mark.parametrize("code", ["0x80060888", "0x8006088a", "0x8006088A", ""])
def test_each_code_for_a_missing_segment_is_known(book: AddressBook, code: str) -> None:
    assert book.learn(book.question([CARL]), list(answers(leads=complaint(404, code)))) == {}
    assert {source.table for source in book.question([CARL]).sources} == {"systemuser", "queue", "contact", "account"}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(complaint(403, "0x80040220"), ConfigurationError, id="no right to read leads"),
        pytest.param(complaint(429, "0x80072322"), ThrottledError, id="throttled"),
        pytest.param(complaint(500, "0x80040216"), TransientError, id="in trouble"),
        pytest.param(complaint(400, "0x80060888"), MessageError, id="refused"),
        pytest.param(Answer(200, CaseInsensitiveDict(), b"<html>"), TransientError, id="HTML"),
        pytest.param(
            Answer(200, CaseInsensitiveDict(), b'{"value":[{"leadid":"\xff"}]}'), TransientError, id="no UTF-8"
        ),
        pytest.param(Answer(200, CaseInsensitiveDict(), b'{"value":null}'), TransientError, id="no rows"),
    ],
)
def test_a_table_that_cannot_be_asked_is_no_table_without_owners(
    book: AddressBook, answer: Answer, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        book.learn(book.question([CARL]), list(answers(leads=answer)))
    assert heard(book, CARL) == (set(), {CARL}, set())
    assert len(book.question([CARL]).sources) == 5


def test_throttling_is_told_from_the_real_service_too(book: AddressBook, dataverse: DataverseServed) -> None:
    dataverse.stand_in.protection = Protection(requests=0)
    with pytest.raises(ThrottledError) as error:
        owners(book, dataverse, CARL)
    assert error.value.retry_after
    assert error.value.retry_after > 0


def test_a_sign_in_page_instead_of_a_batch_is_not_the_messages_fault(
    book: AddressBook, dataverse: DataverseServed
) -> None:
    dataverse.faults.add(Fault(Say(200, {"content-type": "text/html"}, b"<html>maintenance</html>")))
    with pytest.raises(TransientError):
        owners(book, dataverse, CARL)
