from __future__ import annotations

import itertools

import pytest

from mapping.matches import Candidate, Match, Organisation, choose, is_internal


def candidate(table: str, record_id: str = "1", *, active: bool = True, column: int = 0) -> Candidate:
    return Candidate(table, record_id, None, active, column)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(candidate("systemuser"), candidate("queue"), id="user before queue"),
        pytest.param(candidate("queue"), candidate("contact"), id="queue before contact"),
        pytest.param(candidate("contact"), candidate("account"), id="contact before account"),
        pytest.param(candidate("account"), candidate("lead"), id="account before lead"),
        pytest.param(candidate("lead"), candidate("equipment"), id="an unknown table comes last"),
        pytest.param(candidate("lead"), candidate("systemuser", active=False), id="active before inactive"),
        pytest.param(candidate("contact", "9"), candidate("contact", "1", column=1), id="first address column first"),
        pytest.param(candidate("contact", column=2), candidate("account"), id="table before column"),
        pytest.param(candidate("contact", "1"), candidate("contact", "2"), id="the lowest id of equals"),
    ],
)
def test_choose(better: Candidate, worse: Candidate) -> None:
    for order in itertools.permutations((better, worse)):
        assert choose(order) == Match(better.table, better.id, better.name, better.active)


def test_an_inactive_row_matches_where_no_active_one_does() -> None:
    assert choose([candidate("contact", active=False)]) == Match("contact", "1", None, active=False)


def test_nobody_is_chosen_from_nobody() -> None:
    assert choose([]) is None


@pytest.mark.parametrize(
    ("address", "table", "expected"),
    [
        pytest.param("x@nowhere.org", "systemuser", True, id="a user is internal wherever the address is"),
        pytest.param("x@nowhere.org", "queue", True, id="a queue is internal"),
        pytest.param("x@nowhere.org", "contact", False, id="a contact is not"),
        pytest.param("x@nowhere.org", None, False, id="a stranger is not"),
        pytest.param("box@gmail.com", None, True, id="a connected mailbox is internal"),
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
