"""How many of very many like cases are tried: some of them in the suite, all with THOROUGH=1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count

THOROUGH = bool(os.environ.get("THOROUGH"))


def one_in(number: int) -> int:
    """Of so many cases one is tried; with THOROUGH=1 each."""
    return 1 if THOROUGH else number


def moments() -> Iterator[int]:
    """The calls to the outside world before which a worker dies, or is met by another: each sixth, or each."""
    return count(1, one_in(6))
