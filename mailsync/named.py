"""Which mailbox a person means: by its grant id, or by one of its addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mailsync.errors import ArgumentError
from mailsync.nylas.grants import Grant
from mailsync.storage.mailboxes import VALID, Mailbox
from mapping.addresses import normalise

MOST_LISTED = 20
"""Mailboxes that an error names."""


class UnknownMailboxError(ArgumentError):
    """No mailbox is called so, or several are."""


def mailbox_named(text: str, *, known: Iterable[Mailbox], grants: Callable[[], Iterable[Grant]]) -> Mailbox:
    """The mailbox a person names; Nylas is asked only where our own table knows none."""
    here = list(known)
    found = _called(text, here)
    if not found:
        there = [as_mailbox(grant) for grant in grants()]
        found = _called(text, there)
        if not found:
            raise UnknownMailboxError(
                f"no mailbox has this grant id or address; there are {_listed([*here, *there])}",
                reason="unknown_mailbox",
            )
    if len(found) > 1:
        raise UnknownMailboxError(
            f"{len(found)} mailboxes have this address; give the grant id: " + _listed(found),
            reason="ambiguous_mailbox",
        )
    return found[0]


def as_mailbox(grant: Grant) -> Mailbox:
    """A grant as a mailbox nothing else is known of."""
    return Mailbox(
        grant=grant.id, email=grant.email, provider=grant.provider, status=grant.status, connected=grant.connected
    )


def _listed(mailboxes: Iterable[Mailbox]) -> str:
    told = list(dict.fromkeys(f"{one.grant} ({one.status or 'unknown'})" for one in mailboxes))
    more = f" and {len(told) - MOST_LISTED} more" if len(told) > MOST_LISTED else ""
    return ", ".join(told[:MOST_LISTED]) + more if told else "none"


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
