"""Lets one item run with no other beside it, in this process: one that crashed the process before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Alone:
    """Many may run together, or one alone."""

    def __init__(self) -> None:
        self._together = 0
        self._alone = False
        self._change = threading.Condition()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run beside others; waits while one runs alone."""
        with self._change:
            self._change.wait_for(lambda: not self._alone)
            self._together += 1
        try:
            yield
        finally:
            with self._change:
                self._together -= 1
                self._change.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run when nobody else does, and keep others waiting."""
        with self._change:
            self._change.wait_for(lambda: not self._alone)
            self._alone = True
            self._change.wait_for(lambda: self._together == 0)
        try:
            yield
        finally:
            with self._change:
                self._alone = False
                self._change.notify_all()
