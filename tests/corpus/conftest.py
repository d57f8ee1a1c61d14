"""What the tests of the corpus share: the organisation that its mail comes to, in the stand-in for Dataverse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.corpus.world import PROJECTS, world
from tests.mailsync.parts import DataverseServed


@pytest.fixture(scope="session")
def organisation() -> Iterator[Callable[..., DataverseServed]]:
    """The organisation, with the tables of the sales and service apps or without; each is made once."""
    with ExitStack() as stack:
        made: dict[bool, DataverseServed] = {}

        def served(*, with_sales: bool = True) -> DataverseServed:
            if with_sales not in made:
                made[with_sales] = stack.enter_context(DataverseServed(sales=with_sales, tables=PROJECTS))
                world(with_sales=with_sales).fill(made[with_sales].stand_in)
            return made[with_sales]

        yield served
