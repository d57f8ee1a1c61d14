"""Whatever of the mapping breaks, a named case of the corpus notices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from mapping.attachments import Why
from mapping.tracking import CHAIN
from tests.corpus.cases import case, cases
from tests.corpus.expected import noticed, now, told
from tests.corpus.mutation import IS_ON, Mutation, caught_by, is_noticed_by
from tests.corpus.mutations import FILES, all_of_them

MUTATIONS = tuple(all_of_them())


@pytest.mark.parametrize("mutation", [pytest.param(one, id=one.name) for one in MUTATIONS])
def test_a_case_notices(mutation: Mutation, record_property: Callable[[str, object], None]) -> None:
    """The one that `noticed.json` names, which `make corpus` writes."""
    name = noticed().get(mutation.name)
    record_property("noticed by", name)
    print(f"{mutation.name}: noticed by {name}")  # shown with -rP
    assert name is not None, f"noticed by {caught_by(mutation)}; make corpus notes that"
    assert is_noticed_by(mutation, case(name)), f"no longer noticed by {name}, but by {caught_by(mutation)}"


def test_what_was_broken_is_whole_again() -> None:
    for mutation in MUTATIONS[:: len(MUTATIONS) // 20]:
        with mutation.broken():
            pass
    assert [one.name for one in cases() if now(one) != told(one)] == []


def test_every_rule_of_the_chain_and_every_reason_to_withhold_a_file_is_broken() -> None:
    names = [one.name for one in MUTATIONS]
    assert [name for name, times in Counter(names).items() if times > 1] == []
    assert list(noticed()) == names
    for rule in CHAIN:
        assert f"{rule.name} at {rule.step.value} is gone" in names
        assert rule.name in IS_ON
    withheld = {one.name for one in FILES}
    assert {f"nobody is told of a file that is {why.name.lower()}" for why in Why} <= withheld
