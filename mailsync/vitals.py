"""What waits, and how far behind the mailboxes are: told by the sweep's timer every few minutes, and kept nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mailsync.storage.mailboxes import VALID, Mailbox
from mailsync.storage.proofs import Proven
from mailsync.storage.queues import Waiting
from mailsync.telemetry import emit, measure


def freshness(mailbox: Mailbox, *, started: int, now: int) -> int:
    """Seconds since the moment up to which a mailbox's mail is accounted for.

    `started` is this installation's first start: a mailbox that was never swept is behind from there, or from its
    connection.
    """
    until = mailbox.settled_until
    if until is None:
        until = max(started, mailbox.connected or 0)
    return max(0, now - until)


def tell(
    *, waiting: Sequence[Waiting], mailboxes: Iterable[Mailbox], proofs: Iterable[Proven], started: int, now: int
) -> None:
    """Tell of the queues, of each mailbox that can be read, and of what the last proofs could not account for."""
    readable = [mailbox for mailbox in mailboxes if mailbox.status == VALID]
    behind = {mailbox.grant: freshness(mailbox, started=started, now=now) for mailbox in readable}
    unexplained = {proven.grant: proven.unexplained for proven in proofs if proven.made is not None}
    for queue in waiting:
        measure("mailsync.queue.depth", queue.depth, queue=queue.queue)
        measure("mailsync.queue.age", queue.age, queue=queue.queue)
    for mailbox in readable:
        measure("mailsync.freshness", behind[mailbox.grant], grant=mailbox.grant)
        measure("mailsync.journal.lag", mailbox.lag or 0, grant=mailbox.grant)
    for grant, messages in unexplained.items():
        measure("mailsync.unexplained", messages, grant=grant)
    emit(
        "state_measured",
        mailboxes=len(readable),
        freshness_s=max(behind.values(), default=0),
        lag_s=max((mailbox.lag or 0 for mailbox in readable), default=0),
        waiting=sum(queue.depth for queue in waiting if not queue.is_poison),
        oldest_s=round(max((queue.age for queue in waiting if not queue.is_poison), default=0)),
        poison=sum(queue.depth for queue in waiting if queue.is_poison),
        unexplained=sum(unexplained.values()),
    )
