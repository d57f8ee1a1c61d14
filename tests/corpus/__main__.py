"""Writes anew what every case of the corpus is expected to come to, for somebody to read the difference."""

from __future__ import annotations

import sys

from tests.corpus.expected import rewrite, rewrite_noticed
from tests.corpus.mutation import caught_by
from tests.corpus.mutations import all_of_them


def main() -> int:
    """Rewrite the files; 1 where something broken would go unnoticed."""
    for name in rewrite():
        sys.stdout.write(f"changed: {name}\n")
    unnoticed = rewrite_noticed({one.name: caught_by(one) for one in all_of_them()})
    for name in unnoticed:
        sys.stdout.write(f"nothing notices that {name}\n")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
