"""Which mailboxes are connected, the addresses they answer to, and what their folders are.

Kept in a table and remembered here for minutes, so that an ordinary message costs no request for any of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from mailsync.errors import (
    ConfigurationError,
    GrantError,
    MailSyncError,
    MessageError,
    MessageGoneError,
    Scope,
    TransientError,
)
from mailsync.nylas.reader import WHOLE_HEADER, Folder, GrantDetails, Page, Reader
from mailsync.storage.mailboxes import DELETED, VALID, Mailbox, Mailboxes
from mailsync.windows import Window, first_window_start
from mapping.addresses import normalise, organisation_domains
from mapping.direction import Copy
from mapping.groups import opened
from mapping.matches import Organisation
from mapping.message import Header, Message
from mapping.policy import folder_name

T = TypeVar("T")

SNAPSHOT_LIFE = 60.0
"""Seconds that the list of mailboxes is remembered."""
FOLDERS_LIFE = 3600.0
FOLDERS_PAUSE = 5.0
"""Seconds between two looks at a mailbox's folders, however many ids nobody knows turn up."""
REFUSED_LIFE = 60.0
"""Seconds that a grant found expired is not tried again."""
ALIASES_LIFE = 24 * 3600
"""Seconds after which a mailbox's aliases are asked for again; Nylas doesn't say when they change."""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    mailboxes: Mapping[str, Mailbox]
    organisation: Organisation
    taken: float


@dataclass(frozen=True, slots=True)
class _Folders:
    by_id: Mapping[str, Folder]
    read: float
    nameless: frozenset[str] = frozenset()
    """Ids that turned up and that no listing of the folders holds."""

    def unknown(self, wanted: Iterable[str]) -> frozenset[str]:
        """Those that may have been made since."""
        return frozenset(wanted) - self.by_id.keys() - self.nameless


@dataclass(frozen=True, slots=True)
class _Refused:
    error: GrantError
    until: float


@dataclass(frozen=True, slots=True)
class Read:
    """A message, and its whole header if that came along."""

    message: Message
    header: tuple[Header | None, ...] | None


class Connected:
    """The mailboxes of this organisation, as one process knows them.

    `listed` are those that Nylas knows; they are asked for while no sweep has noted any.
    """

    def __init__(
        self,
        *,
        mailboxes: Mailboxes,
        reader: Reader,
        own_domains: frozenset[str] | None,
        clock: Callable[[], float],
        listed: Callable[[], Iterable[Mailbox]] = tuple,
    ) -> None:
        self._mailboxes = mailboxes
        self._listed = listed
        self._reader = reader
        self._own_domains = own_domains
        self._clock = clock
        self._lock = threading.Lock()
        self._snapshot: _Snapshot | None = None
        self._folders: dict[str, _Folders] = {}
        self._refused: dict[str, _Refused] = {}

    def mailbox(self, grant: str) -> Mailbox:
        """One mailbox with its aliases; asks Nylas only for one not heard of before.

        Raises MessageError when the mailbox is disconnected.
        """
        known = self._current().mailboxes.get(grant)
        if known is not None and known.aliases_read is not None:
            return known
        try:
            return self.refreshed(grant)
        except MessageGoneError as error:
            raise self._gone(grant) from error

    def provider_of(self, grant: str) -> str:
        """The provider of a mailbox as last heard, without asking anybody; empty for one not heard of."""
        known = self._snapshot.mailboxes.get(grant) if self._snapshot is not None else None
        return known.provider if known is not None else ""

    def is_anothers_mailbox(self, address: str, grant: str) -> bool:
        """Whether an address is that of a connected mailbox that works and is not this one."""
        mailboxes = self._current().mailboxes
        here = mailboxes.get(grant)
        if here is not None and address in _addresses(here):
            return False
        return any(
            address in _addresses(one) for one in mailboxes.values() if one.status == VALID and one.grant != grant
        )

    def swept_from(self, mailbox: Mailbox, *, since: int, overlap: int) -> int:
        """The moment before which nothing of a mailbox is swept: its connection, or where the next window of an earlier
        grant would have begun, and never before the start of this installation."""
        begin = mailbox.connected or 0
        swept = [one for one in self._namesakes(mailbox) if one.watermark is not None]
        if swept:
            earlier = max(swept, key=lambda one: one.watermark or 0)
            begin = min(begin, max((earlier.watermark or 0) - overlap, earlier.connected or 0))
        return first_window_start(connected=begin, since=since)

    def successor(self, grant: str) -> str | None:
        """The grant under which a mailbox is connected now, where this one was deleted."""
        mailbox = self._mailboxes.get(grant)
        if mailbox is None or mailbox.status != DELETED:
            return None
        return next((one.grant for one in self._namesakes(mailbox) if one.status == VALID), None)

    def _namesakes(self, mailbox: Mailbox) -> list[Mailbox]:
        """The same mailbox under other grants, as remembered: every sweep asks."""
        address, mailboxes = normalise(mailbox.email), self._current().mailboxes.values()
        return [one for one in mailboxes if one.grant != mailbox.grant and normalise(one.email) == address]

    def message(self, grant: str, message: str, *, live: bool = False) -> Message:
        """One message from Nylas with the three headers that tell its identity; raises as `read`."""
        return opened(self._asked(grant, lambda: self._reader.message(grant, message, live=live)))

    def read(self, mailbox: Mailbox, message: str, *, with_header: bool, live: bool = False) -> Read:
        """One message from Nylas, with its whole header where that is wanted and one request brings both.

        `live` mail goes first where a mailbox has a pace.
        Where the mailbox itself is the trouble, the error says so: GrantError when its owner must sign in again,
        MessageError when the mailbox is disconnected, ConfigurationError when it is our key that Nylas refuses.
        """
        grant = mailbox.grant
        if not with_header or mailbox.provider not in WHOLE_HEADER:
            return Read(self.message(grant, message, live=live), None)
        read = opened(self._asked(grant, lambda: self._reader.message(grant, message, with_header=True, live=live)))
        if read.header("Message-ID") is None:
            # mail that was never on the way, such as a Sent item of Microsoft's, may have no header of its own there
            return Read(self.message(grant, message, live=live), None)
        return Read(read, read.headers)

    def page(self, grant: str, window: Window, *, limit: int, cursor: str | None, folder: str | None = None) -> Page:
        """One page of a mailbox's messages, newest first; raises as `read` and as the reader does."""
        return self._asked(
            grant,
            lambda: self._reader.page(
                grant, after=window.after, before=window.before, limit=limit, cursor=cursor, folder=folder
            ),
        )

    def header(self, grant: str, message: str, *, live: bool = False) -> tuple[Header | None, ...] | None:
        """The whole header of a message, from its raw form; None where it is refused. Raises as `read`."""
        return self._asked(grant, lambda: self._reader.header(grant, message, live=live))

    def file(
        self, grant: str, message: str, attachment: str, *, live: bool = False
    ) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes of one file of a message; raises as the reader does."""
        return self._reader.file(grant, message, attachment, live=live)

    def _asked(self, grant: str, ask: Callable[[], T]) -> T:
        refused = self._refused.get(grant)
        if refused is not None and refused.until > self._clock():
            raise _disconnected() if self._status_of(grant) == DELETED else refused.error
        try:
            return ask()
        except GrantError as error:
            raise self._why_refused(grant, error) from error
        except MessageGoneError as error:
            if self._status_of(grant) == DELETED or self.is_gone(grant):
                raise _disconnected() from error
            raise

    def is_gone(self, grant: str) -> bool:
        """Whether Nylas knows this grant no more, which is noted then; one request."""
        try:
            with suppress(GrantError):
                self._reader.grant(grant)
        except MessageGoneError:
            self._mailboxes.note_status(grant, DELETED, expired=None, at=int(self._clock()))
            return True
        return False

    def _why_refused(self, grant: str, error: GrantError) -> MailSyncError:
        """A 401 tells neither an expired grant from a wrong key, nor a deleted one: ask for the grant, once."""
        try:
            details = self._details(grant)
        except ConfigurationError as our_key:
            return our_key
        except MessageGoneError:
            return self._gone(grant)
        if details.grant_status == VALID and error.reason == "grant_refused":
            return TransientError(
                "Nylas refused a grant that it calls valid", reason="grant_refused_once", scope=Scope.MAILBOX
            )
        now = self._clock()
        self._mailboxes.note_status(grant, details.grant_status or "invalid", expired=int(now))
        self._refused[grant] = _Refused(error, now + REFUSED_LIFE)
        return error

    def _details(self, grant: str) -> GrantDetails:
        """What Nylas knows of a grant, which it tells whoever has the application's key."""
        try:
            return self._reader.grant(grant)
        except GrantError as error:
            raise ConfigurationError(
                "Nylas refuses our key; check NYLAS_API_KEY and the region in NYLAS_API_URI",
                reason="nylas_key",
                scope=Scope.ORGANISATION,
                evidence=error.evidence,
            ) from error

    def _gone(self, grant: str) -> MessageError:
        self._mailboxes.note_status(grant, DELETED, expired=None, at=int(self._clock()))
        return _disconnected()

    def _status_of(self, grant: str) -> str:
        known = self._mailboxes.get(grant)
        return known.status if known is not None else ""

    def organisation(self) -> Organisation:
        """What makes an address ours."""
        return self._current().organisation

    def copy(self, grant: str, mailbox: str, folders: Iterable[str]) -> Copy:
        """Where a message of a mailbox lies, by the ids of its folders.

        A folder made just now may be one that keeps mail out: the folders are asked for anew, and TransientError is
        raised where that was done a moment ago.
        """
        wanted = tuple(folders)
        known = self._folders.get(grant)
        if known is None or self._clock() - known.read >= FOLDERS_LIFE:
            known = self._read_folders(grant, wanted)
        elif known.unknown(wanted):
            since = self._clock() - known.read
            if since < FOLDERS_PAUSE:
                raise TransientError(
                    "a message lies in a folder nobody has heard of; the mailbox's folders are asked for anew",
                    reason="folder_unknown",
                    retry_after=FOLDERS_PAUSE - since,
                )
            known = self._read_folders(grant, wanted)
        found = [known.by_id[folder] for folder in wanted if folder in known.by_id]
        return Copy(
            mailbox=mailbox,
            attributes=frozenset(one.lower() for folder in found for one in folder.attributes or () if one),
            names=frozenset(name for folder in found if (name := folder_name(folder.name or ""))),
        )

    def _read_folders(self, grant: str, wanted: Iterable[str]) -> _Folders:
        try:
            folders = self._asked(grant, lambda: self._reader.folders(grant))
        except MessageGoneError as error:
            raise TransientError(
                "Nylas finds no folders of this mailbox, or none yet", reason="folders_not_found", scope=Scope.MAILBOX
            ) from error
        known = _Folders(folders, self._clock())
        known = self._folders[grant] = replace(known, nameless=known.unknown(wanted))
        return known

    def refreshed(self, grant: str) -> Mailbox:
        """Ask Nylas for a mailbox's address and aliases, and keep them; one request."""
        details = self._details(grant)
        now = int(self._clock())
        mailbox = Mailbox(
            grant=grant,
            email=details.email or "",
            provider=details.provider or "",
            status=details.grant_status or "",
            connected=details.created_at,
        )
        aliases = tuple(sorted({alias for one in details.email_aliases or () if (alias := normalise(one))}))
        before = self._mailboxes.get(grant)
        is_new = before is None or before.status != mailbox.status
        self._mailboxes.note_listed(mailbox, at=now if is_new else None)
        self._mailboxes.note_aliases(grant, aliases, now)
        self._refused.pop(grant, None)
        with self._lock:
            self._snapshot = None
        since = now if before is None or is_new else before.since
        return replace(mailbox, aliases=aliases, aliases_read=now, since=since)

    def _current(self) -> _Snapshot:
        snapshot = self._snapshot
        if snapshot is not None and self._clock() - snapshot.taken < SNAPSHOT_LIFE:
            return snapshot
        with self._lock:
            if self._snapshot is None or self._snapshot is snapshot:
                self._snapshot = self._taken()
            return self._snapshot

    def _taken(self) -> _Snapshot:
        mailboxes = {mailbox.grant: mailbox for mailbox in self._mailboxes.all() or self._listed()}
        connected = [mailbox for mailbox in mailboxes.values() if mailbox.status != DELETED]
        addresses = frozenset().union(*map(_addresses, connected))
        domains = self._own_domains if self._own_domains is not None else organisation_domains(addresses)
        own = {normalise(mailbox.email) for mailbox in connected}
        aliases = {
            alias: home
            for mailbox in connected
            for alias in mailbox.aliases
            if (home := normalise(mailbox.email)) is not None and alias not in own
        }
        return _Snapshot(mailboxes, Organisation(addresses, domains, aliases), self._clock())


def _addresses(mailbox: Mailbox) -> frozenset[str]:
    written = (normalise(one) for one in (mailbox.email, *mailbox.aliases))
    return frozenset(address for address in written if address is not None)


def _disconnected() -> MessageError:
    return MessageError(
        "the mailbox was disconnected before this message was read; connect it again, then replay",
        reason="mailbox_disconnected",
        scope=Scope.MAILBOX,
    )
