"""Which mailboxes are connected, the addresses they answer to, and what their folders are.

Kept in a table and remembered here for minutes, so that an ordinary message costs no request for any of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from mailsync.nylas.reader import Reader
from mailsync.storage.mailboxes import Mailbox, Mailboxes
from mapping.addresses import normalise, organisation_domains
from mapping.matches import Organisation

SNAPSHOT_LIFE = 60.0
"""Seconds that the list of mailboxes is remembered."""
FOLDERS_LIFE = 3600.0
FOLDERS_PAUSE = 60.0
"""Seconds between two looks at a mailbox's folders, however many ids nobody knows turn up."""
ALIASES_LIFE = 24 * 3600
"""Seconds after which a mailbox's aliases are asked for again; Nylas doesn't say when they change."""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    mailboxes: Mapping[str, Mailbox]
    organisation: Organisation
    taken: float


@dataclass(frozen=True, slots=True)
class _Folders:
    attributes: Mapping[str, frozenset[str]]
    read: float


class Connected:
    """The mailboxes of this organisation, as one process knows them."""

    def __init__(
        self,
        *,
        mailboxes: Mailboxes,
        reader: Reader,
        own_domains: frozenset[str] | None,
        clock: Callable[[], float],
    ) -> None:
        self._mailboxes = mailboxes
        self._reader = reader
        self._own_domains = own_domains
        self._clock = clock
        self._lock = threading.Lock()
        self._snapshot: _Snapshot | None = None
        self._folders: dict[str, _Folders] = {}

    def mailbox(self, grant: str) -> Mailbox:
        """One mailbox with its aliases; asks Nylas only for one not heard of before."""
        known = self._current().mailboxes.get(grant)
        if known is not None and known.aliases_read is not None:
            return known
        return self.refreshed(grant)

    def organisation(self) -> Organisation:
        """What makes an address ours."""
        return self._current().organisation

    def attributes(self, grant: str, folders: Iterable[str]) -> frozenset[str]:
        """The attributes, such as `\\sent`, of the folders a message lies in."""
        wanted = tuple(folders)
        known = self._folders.get(grant)
        age = self._clock() - known.read if known is not None else FOLDERS_LIFE
        unknown = known is None or any(folder not in known.attributes for folder in wanted)
        if known is None or age >= FOLDERS_LIFE or (unknown and age >= FOLDERS_PAUSE):
            known = _Folders(self._reader.folders(grant), self._clock())
            self._folders[grant] = known
        return frozenset().union(*(known.attributes.get(folder, frozenset()) for folder in wanted))

    def refreshed(self, grant: str) -> Mailbox:
        """Ask Nylas for a mailbox's address and aliases, and keep them; one request."""
        details = self._reader.grant(grant)
        now = int(self._clock())
        mailbox = Mailbox(
            grant=grant,
            email=details.email or "",
            provider=details.provider or "",
            status=details.grant_status or "",
            connected=details.created_at,
        )
        aliases = tuple(sorted({alias for one in details.email_aliases or () if (alias := normalise(one))}))
        self._mailboxes.note_listed(mailbox)
        self._mailboxes.note_aliases(grant, aliases, now)
        with self._lock:
            self._snapshot = None
        return replace(mailbox, aliases=aliases, aliases_read=now)

    def _current(self) -> _Snapshot:
        snapshot = self._snapshot
        if snapshot is not None and self._clock() - snapshot.taken < SNAPSHOT_LIFE:
            return snapshot
        with self._lock:
            if self._snapshot is None or self._snapshot is snapshot:
                self._snapshot = self._taken()
            return self._snapshot

    def _taken(self) -> _Snapshot:
        mailboxes = {mailbox.grant: mailbox for mailbox in self._mailboxes.all()}
        addresses = frozenset(
            address
            for mailbox in mailboxes.values()
            for one in (mailbox.email, *mailbox.aliases)
            if (address := normalise(one)) is not None
        )
        domains = self._own_domains if self._own_domains is not None else organisation_domains(addresses)
        return _Snapshot(mailboxes, Organisation(mailboxes=addresses, domains=domains), self._clock())
