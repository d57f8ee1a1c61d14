"""Which mailbox a person means: by its grant id, or by one of its addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mailsync.errors import MailSyncError
from mailsync.nylas.grants import Grant
from mailsync.storage.mailboxes import VALID, Mailbox
from mapping.addresses import normalise


class UnknownMailboxError(MailSyncError):
    """No mailbox is called so, or several are."""


def mailbox_named(text: str, *, known: Iterable[Mailbox], grants: Callable[[], Iterable[Grant]]) -> Mailbox:
    """The mailbox a person names; Nylas is asked only where our own table knows none."""
    found = _called(text, list(known)) or _called(text, [as_mailbox(grant) for grant in grants()])
    if not found:
        raise UnknownMailboxError(
            "no mailbox has this grant id or address, neither here nor at Nylas; `verify` lists those there are",
            reason="unknown_mailbox",
        )
    if len(found) > 1:
        raise UnknownMailboxError(
            f"{len(found)} mailboxes have this address; give the grant id: "
            + ", ".join(f"{one.grant} ({one.status or 'unknown'})" for one in found),
            reason="ambiguous_mailbox",
        )
    return found[0]


def as_mailbox(grant: Grant) -> Mailbox:
    """A grant as a mailbox nothing else is known of."""
    return Mailbox(
        grant=grant.id, email=grant.email, provider=grant.provider, status=grant.status, connected=grant.connected
    )


def _called(text: str, mailboxes: list[Mailbox]) -> list[Mailbox]:
    """By its id, by its own address or by an alias, in this order; of several, those that work."""
    address = normalise(text)
    ways: tuple[Callable[[Mailbox], bool], ...] = (
        lambda one: one.grant == text,
        lambda one: address is not None and normalise(one.email) == address,
        lambda one: address is not None and address in one.aliases,
    )
    for way in ways:
        found = [one for one in mailboxes if way(one)]
        if found:
            return [one for one in found if one.status == VALID] or found
    return []
