"""Organisations of several minds: how they tell of a changeset that failed, and whether they take one at all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mailsync.parts import DataverseServed


@pytest.fixture(params=[True, False], ids=["error inside the changeset", "error in its place"])
def either(request: pytest.FixtureRequest) -> Iterator[DataverseServed]:
    """A Dataverse that tells of a failed changeset in one way or the other."""
    with DataverseServed(nested_changeset_errors=request.param) as served:
        yield served


@pytest.fixture(params=[True, False], ids=["error inside the changeset", "error in its place"])
def refusing(request: pytest.FixtureRequest) -> Iterator[DataverseServed]:
    """A Dataverse that completes no email in the changeset that creates it."""
    with DataverseServed(refuse_changesets=True, nested_changeset_errors=request.param) as served:
        yield served


@pytest.fixture(params=[False, True], ids=["at once", "step by step"])
def both_ways(request: pytest.FixtureRequest) -> Iterator[DataverseServed]:
    """A Dataverse where emails are created in a changeset, and one where they can't be."""
    with DataverseServed(refuse_changesets=request.param) as served:
        yield served
