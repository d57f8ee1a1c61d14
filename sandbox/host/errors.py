"""What goes wrong around a function, by whom it stops: the app, one invocation, or one request to storage."""

from __future__ import annotations


class HostError(RuntimeError):
    """The app, or one of its functions, cannot be run; the message says why."""


class FunctionError(RuntimeError):
    """One invocation failed for a reason that lies outside the function's own code."""


class StorageError(RuntimeError):
    """The queue service did not do what it was asked; the status is 0 when it did not answer."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}" if status else code)
        self.status = status
