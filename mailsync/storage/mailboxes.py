"""The connected mailboxes: who they are, how far each has been swept, and who is sweeping it now.

Table `mailboxes`, partition `mailbox`, row = grant; and one row that remembers when this installation first
started. Numbers are unix seconds.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mailsync.errors import TransientError
from mailsync.storage.account import StorageAccount
from mailsync.storage.tables import ConflictError, Row, Table, as_words, etag_of, number, words
from mailsync.windows import Window

PARTITION = "mailbox"
VALID, DELETED = "valid", "deleted"
"""What Nylas calls a grant that works, and what we call one that is gone."""
TRIES = 8
_Values = Callable[[Row], Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """One connected mailbox as it was last heard of."""

    grant: str
    email: str = ""
    provider: str = ""
    status: str = ""
    connected: int | None = None
    aliases: tuple[str, ...] = ()
    aliases_read: int | None = None
    watermark: int | None = None
    swept: int | None = None
    swept_wide: int | None = None
    expired: int | None = None
    since: int | None = None
    """Since when its status is what it is, where that is known."""
    left: Window | None = None
    """What a sweep that was not finished left of its window."""
    waiting: str = ""
    """Changes with each message that was left in the journal until the grant is renewed; empty when none was."""
    newest_listed: int | None = None
    """The date of the newest message that a sweep found listed."""
    newest_done: int | None = None
    """The date of the newest of those whose outcome stood in the journal then."""
    lag: int | None = None
    """How many seconds the message on its way that waits longest had waited when the mailbox was `swept`, else 0."""
    last_written: int | None = None
    """When an email of this mailbox was last written into Dataverse, or found there; some seconds behind."""

    @property
    def settled_until(self) -> int | None:
        """Up to when the mailbox's mail is accounted for, as of its last sweep; None before the first one."""
        if self.watermark is None or self.swept is None:
            return None
        return min(self.watermark, self.swept - (self.lag or 0))


@dataclass(frozen=True, slots=True)
class Progress:
    """What a sweep that listed a window to its end learned of its mailbox."""

    newest_listed: int | None = None
    newest_done: int | None = None
    lag: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to sweep one mailbox until it runs out."""

    mailbox: Mailbox
    token: str
    after_unfinished: bool
    """The sweep before this one failed or died: what it noted as queued may be on no queue."""


class Mailboxes:
    """Reads and writes the table of mailboxes."""

    def __init__(self, account: StorageAccount, *, prompt: bool = False) -> None:
        self._rows = Table(account, "mailboxes", prompt=prompt)
        self._in_passing = Table(account, "mailboxes", prompt=True)

    def all(self) -> tuple[Mailbox, ...]:
        """Every mailbox ever connected."""
        return tuple(_mailbox(row) for row in self._rows.query("PartitionKey eq @p", {"p": PARTITION}))

    def get(self, grant: str) -> Mailbox | None:
        """One mailbox, if it was ever heard of."""
        row = self._rows.get(PARTITION, grant)
        return _mailbox(row) if row is not None else None

    def note_listed(self, mailbox: Mailbox, *, at: int | None = None) -> None:
        """Note what a listing of the grants says of a mailbox; its watermark and aliases stay.

        `at`: when its status was found to be another one than before.
        """
        changed = {"since": str(at)} if at is not None else {}
        self._rows.put({**_identity(mailbox), **changed}, merge=True)

    def note_aliases(self, grant: str, aliases: Iterable[str], now: int) -> None:
        """Note the other addresses of a mailbox."""
        self._merge(grant, aliases=as_words(sorted(aliases)), aliases_read=str(now))

    def note_status(self, grant: str, status: str, *, expired: int | None, at: int | None = None) -> None:
        """Note that a grant expired, was renewed or deleted, `at` some moment; told again, it is so since the first."""
        row = self._rows.get(PARTITION, grant)
        is_told_again = row is not None and row.get("status") == status and number(row, "since") is not None
        since = {} if is_told_again else {"since": _text(at if at is not None else expired)}
        self._merge(grant, status=status, expired=_text(expired), **since)

    def erase(self, grant: str) -> None:
        """Forget whose mailbox this was; that there was one, and how far it was swept, is kept."""
        self._merge(grant, email="", aliases="")

    def note_waiting(self, grant: str) -> None:
        """Note that messages of this mailbox wait in the journal for its grant to be renewed."""
        self._merge(grant, waiting=uuid.uuid4().hex)

    def note_returned(self, mailbox: Mailbox) -> None:
        """Note that those that waited are back on the queue; one that was left to wait meanwhile waits on."""
        self._change(mailbox.grant, lambda row: {"waiting": ""} if row.get("waiting", "") == mailbox.waiting else None)

    def note_written(self, moments: Mapping[str, int]) -> None:
        """Note when an email was last written for each of these mailboxes; one storage call for each hundred."""
        rows = [
            {"PartitionKey": PARTITION, "RowKey": grant, "last_written": str(moment)}
            for grant, moment in moments.items()
        ]
        self._in_passing.put_all(rows, merge=True)

    def first_start(self, now: int) -> int:
        """When this installation first started: recorded once, by whoever asks first."""
        row = self._rows.get("installation", "first_start")
        if row is None:
            try:
                self._rows.create({"PartitionKey": "installation", "RowKey": "first_start", "at": str(now)})
            except ConflictError:
                row = self._rows.get("installation", "first_start")
        return (number(row, "at") if row is not None else None) or now

    def lease(self, grant: str, *, now: int, seconds: int) -> Lease | None:
        """The right to sweep a mailbox, or None when another sweep holds it or the mailbox is unknown."""
        token = uuid.uuid4().hex
        leased = {"lease": token, "lease_until": str(now + seconds), "unfinished": "yes"}
        before: Row = {}

        def if_free(row: Row) -> Mapping[str, str] | None:
            nonlocal before
            before = row
            return leased if (number(row, "lease_until") or 0) <= now else None

        if not self._change(grant, if_free):
            return None
        return Lease(mailbox=_mailbox(before), token=token, after_unfinished=before.get("unfinished") == "yes")

    def advance(
        self, lease: Lease, *, watermark: int, now: int, wide: bool = False, progress: Progress | None = None
    ) -> bool:
        """Move the watermark forwards and end the lease; False when the lease was lost meanwhile."""
        learned = progress or Progress()
        return self._with_lease(
            lease,
            lambda row: {
                "watermark": str(max(watermark, number(row, "watermark") or 0)),
                "newest_listed": _later(row, "newest_listed", learned.newest_listed),
                "newest_done": _later(row, "newest_done", learned.newest_done),
                "lag": str(learned.lag),
                "swept": str(now),
                **({"swept_wide": str(now)} if wide else {}),
                "lease_until": "",
                "unfinished": "",
                "left": "",
            },
        )

    def release(self, lease: Lease, *, unfinished: bool, left: Window | None = None) -> bool:
        """End a lease, leave the watermark where it is, and keep what is left of the window."""
        ended = {
            "lease_until": "",
            "unfinished": "yes" if unfinished else "",
            "left": _as_text(left) if left is not None else "",
        }
        return self._with_lease(lease, lambda _: ended)

    def _with_lease(self, lease: Lease, values: _Values) -> bool:
        return self._change(lease.mailbox.grant, lambda row: values(row) if row.get("lease") == lease.token else None)

    def _change(self, grant: str, values: Callable[[Row], Mapping[str, str] | None]) -> bool:
        """Change a mailbox's row by what it holds; False when there is nothing to change."""
        for _ in range(TRIES):
            row = self._rows.get(PARTITION, grant)
            new = values(row) if row is not None else None
            if row is None or new is None:
                return False
            try:
                self._rows.replace({"PartitionKey": PARTITION, "RowKey": grant, **new}, etag_of(row))
            except ConflictError:
                continue
            return True
        raise TransientError("the mailbox's row is being changed by others without end", reason="mailbox_contended")

    def _merge(self, grant: str, **values: str) -> None:
        self._rows.put({"PartitionKey": PARTITION, "RowKey": grant, **values}, merge=True)


def _identity(mailbox: Mailbox) -> Row:
    return {
        "PartitionKey": PARTITION,
        "RowKey": mailbox.grant,
        "email": mailbox.email,
        "provider": mailbox.provider,
        "status": mailbox.status,
        "connected": _text(mailbox.connected),
        **({"expired": ""} if mailbox.status == VALID else {}),
    }


def _mailbox(row: Row) -> Mailbox:
    return Mailbox(
        grant=row["RowKey"],
        email=row.get("email", ""),
        provider=row.get("provider", ""),
        status=row.get("status", ""),
        connected=number(row, "connected"),
        aliases=words(row, "aliases"),
        aliases_read=number(row, "aliases_read"),
        watermark=number(row, "watermark"),
        swept=number(row, "swept"),
        swept_wide=number(row, "swept_wide"),
        expired=number(row, "expired"),
        since=number(row, "since"),
        left=_as_window(row.get("left", "")),
        waiting=row.get("waiting", ""),
        newest_listed=number(row, "newest_listed"),
        newest_done=number(row, "newest_done"),
        lag=number(row, "lag"),
        last_written=number(row, "last_written"),
    )


def _later(row: Row, column: str, moment: int | None) -> str:
    """The later of what a row holds and a moment."""
    moments = [one for one in (number(row, column), moment) if one is not None]
    return _text(max(moments, default=None))


def _as_text(window: Window) -> str:
    return f"{window.after} {window.before} {window.proves} {int(window.is_wide)}"


def _as_window(text: str) -> Window | None:
    if not text:
        return None
    after, before, proves, is_wide = map(int, text.split())
    return Window(after=after, before=before, proves=proves, is_wide=bool(is_wide))


def _text(moment: int | None) -> str:
    return "" if moment is None else str(moment)
