"""Where the writing of a row stops to ask what its table is particular in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sandbox.dataverse.parties import Target
from sandbox.dataverse.rules import Change


class Followings:
    """What the platform does with a row beyond its columns: nothing, where a table does not say otherwise."""

    def check_asked(self, change: Change) -> None:
        """Refuse a new row that a request asks for, though the platform itself may make it."""

    def check_new(self, change: Change) -> None:
        """Refuse a new row, or add what follows from it to what is written."""

    def complete(self, row: dict[str, object], lookups: dict[str, Target | None]) -> None:
        """Fill what is filled by itself when a row is made."""

    def created(self, row_id: str, change: Change, lookups: Mapping[str, Target | None]) -> None:
        """Do what follows once a row is there."""

    def prepare(self, row_id: str, change: Change) -> None:
        """Refuse a change of a row, or add what follows from it to what is written."""

    def changed(self, row_id: str, change: Change) -> None:
        """Do what follows once a row is changed."""

    def deleting(self, row_id: str) -> Callable[[], None]:  # noqa: ARG002 - it is asked of those that override this
        """Look at a row that is about to go; what follows once it is gone."""
        return lambda: None
