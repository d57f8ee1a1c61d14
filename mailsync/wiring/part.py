"""What each part of a process is made by."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, overload

T = TypeVar("T")


class Maker(Protocol):
    """Has parts."""

    making: threading.RLock
    """Held while a part is made."""


class part(Generic[T]):  # noqa: N801  # used as `property` is
    """A property that is made when it is first asked for, once, however many threads ask; one that fails is tried anew.

    What functools.cached_property lost with Python 3.12: it may make a part twice there.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> part[T]: ...

    @overload
    def __get__(self, owner: Maker, kind: type | None = None) -> T: ...

    def __get__(self, owner: Maker | None, kind: type | None = None) -> T | part[T]:
        if owner is None:
            return self
        made: dict[str, T] = owner.__dict__
        with owner.making:
            if self._name not in made:
                made[self._name] = self._make(owner)
            return made[self._name]  # from now on the instance has it, and we are not asked
