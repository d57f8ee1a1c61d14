"""One log line for each outcome, under names that never change meaning.

Ids always; addresses, subjects, bodies and secrets never.
"""

from __future__ import annotations

import logging
from typing import Literal, get_args

Event = Literal[
    "notification_accepted",  # a webhook's item is on the queue
    "notification_ignored",  # signed, but of a type we don't use
    "notification_refused",  # bad signature, not a notification, or too large
    "ingest_unavailable",  # could not be put on the queue: answered 503, Nylas tries again
    "email_written",  # a completed email stands in Dataverse
    "email_already_there",  # the same email stood there already, by our own id
    "email_adopted",  # something else had put it there; left as it is
    "email_removed",  # it stood in Dataverse once and somebody removed it; it stays gone
    "email_linked",  # a reply written before its parent was linked to it, or Dataverse refused the link
    "message_known",  # the journal knows the message as done; nothing was read
    "message_skipped",  # a rule of the policy, or a folder, keeps it out
    "messages_without_id",  # a listing holds messages that nobody can ask for; the others are looked after
    "table_left_out",  # a table or lookup of Dataverse's is not there or not ours to read; mail goes on without it
    "message_gone",  # deleted from the mailbox before it could be read
    "item_deferred",  # trouble elsewhere; the item is back on the queue with a delay
    "item_put_aside",  # can't be done as it is; kept in the table `aside`
    "item_revived",  # it crashed the process; one more life, alone and later
    "writing_stopped",  # too many were put aside: a wrong setting or deployment, not so many bad messages
    "sweep_started",  # the timer enqueued one sweep for each valid grant
    "sweep_window_done",  # one window of a mailbox was listed to its end
    "sweep_dropped",  # another sweep of the same mailbox is at work
    "grant_recorded",  # a mailbox was connected, expired, renewed or removed
    "message_erased",  # its mail was erased for a person; it stays out, whoever brings it
    "backfill_moved",  # a page of a backfill is on the queue, or it was paused, went on or ended
    "journal_shortened",  # records older than JOURNAL_RETENTION_DAYS lie under keyed hashes now
    "journal_not_shortened",  # ERASURE_KEY is missing or another one; nothing is shortened meanwhile
]

_QUIET: frozenset[Event] = frozenset({"notification_ignored", "sweep_dropped"})
_LOUD: frozenset[Event] = frozenset(
    {"item_put_aside", "ingest_unavailable", "writing_stopped", "journal_not_shortened"}
)
_WARNING: frozenset[Event] = frozenset({"item_deferred", "item_revived", "notification_refused", "messages_without_id"})

EVENTS: tuple[str, ...] = get_args(Event)
log = logging.getLogger("mailsync")


def emit(event: Event, **fields: object) -> None:
    """Write `event=<name> field=value ...` at the level the event deserves; empty fields are left out."""
    level = logging.INFO
    if event in _LOUD:
        level = logging.ERROR
    elif event in _WARNING:
        level = logging.WARNING
    elif event in _QUIET:
        level = logging.DEBUG
    if log.isEnabledFor(level):
        told = " ".join(f"{name}={_on_one_line(value)}" for name, value in fields.items() if value not in (None, ""))
        log.log(level, "event=%s %s", event, told)


def _on_one_line(value: object) -> str:
    """A value without line ends and control characters: ids come from outside, and a line is one event."""
    text = str(value)
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
