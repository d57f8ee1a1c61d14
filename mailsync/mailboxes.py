"""Each connected mailbox in one line: what Nylas says, whose it is in Dataverse, how far it is, what became of mail.

Joins the listing of grants, the table `mailboxes`, the journal and Dataverse; each is told apart where it can't be had.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mailsync.dataverse.access import Access, MailOwner
from mailsync.errors import MailSyncError
from mailsync.nylas.grants import Grant
from mailsync.storage.journal import Journal
from mailsync.storage.mailboxes import DELETED, Mailbox, Mailboxes
from mapping.addresses import normalise

DAY = 24 * 3600
NOBODY, UNKNOWN = "nobody", "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxLine:
    """One mailbox. Moments are unix seconds, spans seconds."""

    grant: str
    address: str
    provider: str
    status: str
    owner: str = UNKNOWN
    """Table and id of the user or queue with its address; `nobody`, or `unknown` where Dataverse was not reached."""
    watermark: int | None = None
    swept: int | None = None
    behind: int | None = None
    """How far the proven part of its mail lies back; None before its first sweep."""
    lag: int | None = None
    """How long the message on its way that waits longest had waited when it was `swept`, else 0."""
    counts: Mapping[str, int] | None = None
    """What became of the messages dated in the last day, by kind."""


@dataclass(frozen=True, slots=True)
class Overview:
    """All mailboxes, and what could not be asked."""

    lines: tuple[MailboxLine, ...]
    untold: tuple[str, ...]


class MailboxOverview:
    """Asks everybody."""

    def __init__(
        self,
        *,
        grants: Callable[[], tuple[Grant, ...]],
        mailboxes: Mailboxes,
        journal: Journal,
        access: Callable[[], Access],
        clock: Callable[[], float],
    ) -> None:
        self._grants = grants
        self._mailboxes = mailboxes
        self._journal = journal
        self._access = access
        self._clock = clock

    def look(
        self, *, with_deleted: bool = False, watch: Callable[[int, int], None] = lambda _done, _of: None
    ) -> Overview:
        """Every mailbox, in the order of its address; raises where storage can't be read."""
        now = int(self._clock())
        untold: list[str] = []
        lines = self._known(now, untold, with_deleted=with_deleted)
        owners = self._owners(lines, untold)
        shown = []
        for number, line in enumerate(sorted(lines, key=lambda one: (one.address, one.grant))):
            watch(number, len(lines))
            found = self._journal.between(line.grant, now - DAY, now)
            counts = Counter(known.kind.value for known in found.values())
            shown.append(replace(line, counts=dict(sorted(counts.items())), owner=_owner_of(line, owners)))
        return Overview(tuple(shown), tuple(untold))

    def _known(self, now: int, untold: list[str], *, with_deleted: bool) -> list[MailboxLine]:
        """The mailboxes we remember, as Nylas tells them now where it does."""
        here = {one.grant: one for one in self._mailboxes.all()}
        try:
            there = {one.id: one for one in self._grants()}
        except MailSyncError as error:
            untold.append(f"Nylas: {error}")
            there = None
        lines = [_line(one, there, now) for one in here.values()]
        lines += [
            MailboxLine(grant=one.id, address=one.email, provider=one.provider, status=one.status)
            for one in (there or {}).values()
            if one.id not in here
        ]
        return [one for one in lines if with_deleted or one.status != DELETED]

    def _owners(self, lines: list[MailboxLine], untold: list[str]) -> Mapping[str, MailOwner] | None:
        addresses = {address for one in lines if (address := normalise(one.address)) is not None}
        try:
            found = self._access().owners(sorted(addresses))
        except MailSyncError as error:
            untold.append(f"Dataverse: {error}")
            return None
        return {address: one for one in found if (address := normalise(one.address)) is not None}


def _line(mailbox: Mailbox, there: Mapping[str, Grant] | None, now: int) -> MailboxLine:
    grant = there.get(mailbox.grant) if there is not None else None
    status = mailbox.status if there is None else (grant.status if grant is not None else DELETED)
    return MailboxLine(
        grant=mailbox.grant,
        address=mailbox.email,
        provider=mailbox.provider,
        status=status,
        watermark=mailbox.watermark,
        swept=mailbox.swept,
        behind=max(0, now - mailbox.watermark) if mailbox.watermark is not None else None,
        lag=mailbox.lag,
    )


def _owner_of(line: MailboxLine, owners: Mapping[str, MailOwner] | None) -> str:
    if owners is None:
        return UNKNOWN
    owner = owners.get(normalise(line.address) or "")
    if owner is None:
        return NOBODY
    return f"{owner.table} {owner.id}{' (inactive)' if owner.state else ''}"
