"""The strict Dataverse finds what the corpus says it holds, and takes every row that is expected, whole and unaltered."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailsync.dataverse.resolver import Question
from mapping.identity import ancestors, identity_of
from mapping.parties import people_of
from mapping.policy import CASE, OPPORTUNITY
from mapping.regarding import MOST_PEOPLE, case_numbers_in, tokens_in
from mapping.tracking import Step
from tests.corpus.cases import Case, cases
from tests.corpus.expected import settled
from tests.corpus.standing import assert_taken, resolver
from tests.mailsync.parts import DataverseServed

Organisations = Callable[..., DataverseServed]
ASKED = [pytest.param(one, id=one.name) for one in cases() if settled(one).step not in {Step.COPY, Step.HEADERS}]
WRITTEN = [pytest.param(one, id=one.name) for one in cases() if settled(one).email is not None]


# what is there


@pytest.mark.parametrize("one", ASKED)
def test_dataverse_tells_of_a_mail_what_the_corpus_says_it_holds(one: Case, organisation: Organisations) -> None:
    """So that an expected row follows from what the app would really find."""
    dataverse, place, rules = organisation(with_sales=not one.written.without_sales), one.world, one.policy.regarding
    message, _ = one.message(with_header=False)
    own = place.organisation(one.policy)
    people = (*people_of(message), one.copy.mailbox)
    addresses = tuple(dict.fromkeys((*people, *own.of_aliases(people).values())))
    chain = ancestors(message)
    asking = resolver(dataverse, one)
    found = asking.resolve(
        Question(
            identity=identity_of(message, one.copy.mailbox),
            ancestors=chain,
            addresses=addresses,
            tokens=tokens_in(message.subject, rules),
            case_numbers=case_numbers_in(message.subject, rules),
        )
    )
    assert found.choices == place.choices(addresses, one.policy.people)
    assert (found.parent, found.parent_depth) == place.parent(chain)
    assert found.by_token == place.by_token(tokens_in(message.subject, rules))
    by_number = place.by_number(case_numbers_in(message.subject, rules))
    assert [case.record for case in found.by_number] == [case.record for case in by_number]
    assert all(theirs.people >= ours.people for theirs, ours in zip(found.by_number, by_number, strict=True))
    tables = tuple(filter(None, (*map(rules.related, rules.rules), OPPORTUNITY, CASE)))
    customers = (match.record for match in found.matches.values() if match.table in {"contact", "account"})
    known = tuple(dict.fromkeys(customers))[:MOST_PEOPLE]
    if known:
        assert asking.related(tables, known) == place.related(tables, known)


def test_dataverse_tells_the_limits_that_the_corpus_says(organisation: Organisations) -> None:
    dataverse, one = organisation(), cases()[0]
    message, _ = one.message(with_header=False)
    question = Question(identity=identity_of(message, one.copy.mailbox), with_limits=True)
    assert resolver(dataverse, one).resolve(question).limits == one.limits


def test_dataverse_tells_who_owns_a_queue_as_the_corpus_says(organisation: Organisations) -> None:
    asking, place = resolver(organisation(), cases()[0]), cases()[0].world
    for row in place.of_table("queue"):
        assert asking.queue_owner(row.record) == place.queue_owner(row.record)


# what is written


@pytest.mark.parametrize("one", WRITTEN)
def test_dataverse_takes_a_mail_as_it_is_expected(one: Case, organisation: Organisations) -> None:
    """Written as the app writes it: the email with its people, its files, its completion and its place in a queue."""
    assert_taken(organisation(with_sales=not one.written.without_sales), one)
