from __future__ import annotations

import itertools

import pytest

from mapping.matches import Candidate, Choice, Match, Organisation, choose, is_internal
from mapping.policy import PEOPLE_TABLES, People
from mapping.records import Record

ORDINARY = People()


def candidate(table: str, record_id: str = "1", *, active: bool = True, column: int = 0) -> Candidate:
    return Candidate(table, record_id, None, active, column)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(candidate("systemuser"), candidate("queue"), id="user before queue"),
        pytest.param(candidate("queue"), candidate("contact"), id="queue before contact"),
        pytest.param(candidate("contact"), candidate("account"), id="contact before account"),
        pytest.param(candidate("account"), candidate("lead"), id="account before lead"),
        pytest.param(candidate("lead"), candidate("equipment"), id="a table that is not named is not looked into"),
        pytest.param(candidate("lead"), candidate("systemuser", active=False), id="active before inactive"),
        pytest.param(candidate("contact", column=2), candidate("account"), id="table before column"),
    ],
)
def test_the_better_row_is_whose_an_address_is(better: Candidate, worse: Candidate) -> None:
    for order in itertools.permutations((better, worse)):
        assert choose(order, ORDINARY) == Choice(Match(better.table, better.id, better.name, better.active))


FIRST, SECOND = candidate("contact", "2"), candidate("contact", "1", column=1)


@pytest.mark.parametrize(
    ("tied", "winner"),
    [
        pytest.param([FIRST, SECOND], "2", id="the row with the address in its first column"),
        pytest.param([candidate("contact", "1"), candidate("contact", "2")], "1", id="the lowest id of equals"),
        pytest.param(
            [candidate("contact", "2", active=False), candidate("contact", "1", active=False, column=1)],
            "2",
            id="inactive rows among themselves",
        ),
    ],
)
def test_several_rows_of_one_table_are_a_tie_which_is_told_and_broken_in_one_way(
    tied: list[Candidate], winner: str
) -> None:
    for order in itertools.permutations([*tied, candidate("lead", "3", active=tied[0].active)]):
        choice = choose(order, ORDINARY)
        assert choice.match is not None
        assert choice.match.id == winner
        assert set(choice.rivals) == {Record("contact", "1"), Record("contact", "2")}
        assert choice.rivals[0].id == winner


def test_a_tie_is_left_unresolved_where_the_policy_says_so() -> None:
    choice = choose([FIRST, SECOND, candidate("account")], People(tie="unresolved"))
    assert choice == Choice(None, (Record("contact", "2"), Record("contact", "1")))


def test_a_row_that_carries_an_address_twice_is_no_tie() -> None:
    twice = [candidate("contact", column=0), candidate("contact", column=2)]
    assert choose(twice, People(tie="unresolved")) == Choice(Match("contact", "1", None, active=True))


def test_the_better_table_ends_a_tie_below_it() -> None:
    chosen = choose([FIRST, SECOND, candidate("queue", "9")], People(tie="unresolved"))
    assert chosen == Choice(Match("queue", "9", None, active=True))


@pytest.mark.parametrize(
    "tables", [pytest.param(order, id=" ".join(order)) for order in itertools.permutations(PEOPLE_TABLES, 2)]
)
def test_the_precedence_is_the_policy_s(tables: tuple[str, str]) -> None:
    chosen = choose([candidate(table) for table in PEOPLE_TABLES], People(precedence=tables))
    assert chosen == Choice(Match(tables[0], "1", None, active=True))


def test_an_inactive_row_matches_where_no_active_one_does() -> None:
    assert choose([candidate("contact", active=False)], ORDINARY) == Choice(Match("contact", "1", None, active=False))


@pytest.mark.parametrize(
    "candidates", [pytest.param([], id="nobody"), pytest.param([candidate("equipment")], id="only an unnamed table")]
)
def test_nobody_is_chosen_from_nobody(candidates: list[Candidate]) -> None:
    assert choose(candidates, ORDINARY) == Choice(None)


CONNECTED = Organisation(frozenset({"ann@a.org", "lee@a.org"}), frozenset({"a.org"}), {"lee@a.org": "ann@a.org"})


def test_the_mailboxes_behind_aliases_are_told() -> None:
    assert CONNECTED.of_aliases(["x@b.org", "lee@a.org", "ann@a.org"]) == {"lee@a.org": "ann@a.org"}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("ann@a.org", "ann@a.org", id="its own address"),
        pytest.param("lee@a.org", "ann@a.org", id="an alias"),
        pytest.param("ann+x@a.org", "ann@a.org", id="a tag"),
        pytest.param("lee+x@a.org", "ann@a.org", id="an alias with a tag"),
        pytest.param("ben+x@a.org", "ben+x@a.org", id="nobody's mailbox"),
    ],
)
def test_the_mailbox_that_answers_to_an_address(address: str, expected: str) -> None:
    assert CONNECTED.mailbox_of(address) == expected


@pytest.mark.parametrize(
    ("address", "table", "expected"),
    [
        pytest.param("x@nowhere.org", "systemuser", True, id="a user is internal wherever the address is"),
        pytest.param("x@nowhere.org", "queue", True, id="a queue is internal"),
        pytest.param("x@nowhere.org", "contact", False, id="a contact is not"),
        pytest.param("x@nowhere.org", None, False, id="a stranger is not"),
        pytest.param("box@gmail.com", None, True, id="a connected mailbox is internal"),
        pytest.param("box+news@gmail.com", None, True, id="a connected mailbox with a tag is internal"),
        pytest.param("boxes@gmail.com", None, False, id="an address that only begins alike is not"),
        pytest.param("x@contoso.com", "contact", True, id="an own domain is internal, even as a contact"),
        pytest.param("x@sub.contoso.com", None, False, id="a domain below an own one is not own"),
        pytest.param(None, "systemuser", True, id="a user without address"),
        pytest.param(None, None, False, id="nobody is not internal"),
    ],
)
def test_is_internal(address: str | None, table: str | None, expected: bool) -> None:
    organisation = Organisation(frozenset({"box@gmail.com"}), frozenset({"contoso.com"}))
    match = Match(table, "1", None, active=True) if table else None
    assert is_internal(address, match, organisation) is expected
