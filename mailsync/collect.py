"""Takes what the Functions host put into a poison queue and keeps it where a person will find it.

A queue is no store. What lands there crashed the process as often as host.json's maxDequeueCount allows, or was
never an item of ours.
"""

from __future__ import annotations

from mailsync.errors import MessageError
from mailsync.storage.envelope import GrantItem, Item, MessageItem, SweepItem
from mailsync.trouble import Handling


def collect(text: str | bytes, *, handling: Handling) -> None:
    """Move one poisoned item into the table `aside`."""

    def keep(_: Item) -> None:
        raise MessageError(
            "the function did not survive this item (killed, timed out or out of memory) as often as host.json's "
            "maxDequeueCount allows; see the logs of that time, then replay it",
            reason="poison",
        )

    handling.handle(text, {MessageItem: keep, SweepItem: keep, GrantItem: keep})
