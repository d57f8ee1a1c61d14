"""Does something a while after it was first asked for, once for all who asked meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress


class Later:
    """Calls `work` on a daemon thread that lives no longer than the wait; `work` raises nothing."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def ask(self, seconds: float) -> None:
        """Have it done so many seconds from now, or sooner if it was asked for before."""
        with self._lock:
            if self._timer is None:
                timer = threading.Timer(seconds, self._do)
                timer.daemon = True
                with suppress(RuntimeError):  # a process that ends starts no thread any more
                    timer.start()
                    self._timer = timer

    def _do(self) -> None:
        with self._lock:
            self._timer = None
        self._work()
