"""The files of a message as they are fetched from its mailbox, and when an email goes on without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from mailsync.connected import Connected
from mailsync.errors import (
    FileMissingError,
    FileTroubleError,
    MessageError,
    MessageGoneError,
    TransientError,
)
from mailsync.gates import TurnedAwayError
from mailsync.storage.envelope import MessageItem, is_backfills
from mapping.attachments import File, Why

GIVEN_UP_AFTER = 16
"""Times a file can't be had while its message can, over about an hour, before the email goes on without it."""


def content_of(item: MessageItem, connected: Connected) -> Callable[[File], AbstractContextManager[Iterator[bytes]]]:
    """Opens the files of a message, piece by piece.

    Raises FileMissingError for one that is gone, refused or given up, FileTroubleError for one to be tried later.
    """

    @contextmanager
    def opened(file: File) -> Iterator[Iterator[bytes]]:
        watched = _Watched()
        try:
            live = not is_backfills(item.source)
            with connected.file(item.grant, item.message, file.source, live=live) as pieces:
                watched.is_open = True
                yield watched.over(pieces)
        except TurnedAwayError:
            raise  # nothing was asked, so nothing is known of the file
        except (MessageGoneError, MessageError) as error:
            if watched.is_open:  # raised by whoever reads, about something else
                raise
            raise FileMissingError(Why.NOT_THERE if isinstance(error, MessageGoneError) else Why.UNREADABLE) from error
        except TransientError as error:
            if watched.is_open and watched.failure is not error:
                raise
            raise _trouble(item, error) from error

    return opened


class _Watched:
    """Whether a file was opened, and what went wrong while it was read."""

    def __init__(self) -> None:
        self.is_open = False
        self.failure: TransientError | None = None

    def over(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from pieces
        except TransientError as error:
            self.failure = error
            raise


def _trouble(item: MessageItem, error: TransientError) -> FileTroubleError | FileMissingError:
    if item.file_misses + 1 >= GIVEN_UP_AFTER:
        return FileMissingError(Why.UNREADABLE)
    return FileTroubleError(
        str(error), reason=error.reason, scope=error.scope, evidence=error.evidence, retry_after=error.retry_after
    )
