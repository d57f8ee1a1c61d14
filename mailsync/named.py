"""What a person means: a mailbox by its grant id or an address, a folder by its id, its name or what it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mailsync.errors import ArgumentError
from mailsync.nylas.grants import Grant
from mailsync.nylas.reader import Folder
from mailsync.storage.mailboxes import VALID, Mailbox
from mapping.addresses import normalise

MOST_LISTED = 20
"""Mailboxes that an error names."""


class UnknownMailboxError(ArgumentError):
    """No mailbox is called so, or several are."""


class UnknownFolderError(ArgumentError):
    """No folder is called so, or several are."""


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


def folder_named(text: str, folders: Iterable[Folder]) -> str:
    """The id of the folder a person names, by its id, by its name or by what it is, such as `sent`, in this order."""
    there = list({folder.id: folder for folder in folders}.values())
    wanted = text.strip().casefold()
    ways: tuple[Callable[[Folder], bool], ...] = (
        lambda one: one.id == text,
        lambda one: (one.name or "").strip().casefold() == wanted,
        lambda one: wanted in {(mark or "").lstrip("\\").casefold() for mark in one.attributes or ()},
    )
    found = next((some for way in ways if (some := [one for one in there if way(one)])), [])
    if len(found) == 1:
        return found[0].id
    if found:
        raise UnknownFolderError(
            f"{len(found)} folders are called so; give the id: " + ", ".join(one.id for one in found),
            reason="ambiguous_folder",
        )
    names = sorted(one.name or one.id for one in there)
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    raise UnknownFolderError(
        "the mailbox has no folder of this id or name; there are " + ", ".join(names[:MOST_LISTED]) + more,
        reason="unknown_folder",
    )


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
