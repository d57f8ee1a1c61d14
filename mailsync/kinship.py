"""Hangs a reply from the mail before it, whichever of the two is written first.

A reply that finds no parent registers with the mails it names and then looks for them once more; a parent is written
first and then reads who registered: one of the two always sees the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mailsync.dataverse.emails import Emails, Link, Standing
from mailsync.dataverse.resolver import Resolver
from mailsync.storage.journal import Journal
from mailsync.storage.threads import Awaited, Child
from mailsync.telemetry import emit
from mapping.identity import activityid_of
from mapping.matches import Organisation
from mapping.regarding import Parent, external_parties, inherits_regarding
from mapping.subject import is_forward

SIBLINGS_LOOKED_FOR = 6
"""The nearest mails of a chain for which others that answer them are looked for."""
_TELLING = frozenset((Link.LINKED, Link.REFUSED))


class Kinship:
    """Links parents and children that were written in the wrong order."""

    def __init__(self, *, emails: Emails, resolver: Resolver, journal: Journal, awaited: Awaited) -> None:
        self._emails = emails
        self._resolver = resolver
        self._journal = journal
        self._awaited = awaited

    def hang(self, child: Child, missing: Sequence[str], farther: frozenset[str], organisation: Organisation) -> str:
        """Hang a reply from the nearest of the mails it misses, if that came meanwhile, instead of from a farther one.

        Returns what is to be told of it.
        """
        if not missing:
            return ""
        self._awaited.register(child, missing)
        nearer = self._resolver.parent(missing)
        if nearer is None:
            return ""
        link = self._linked(child, nearer, farther, organisation)
        return link.value if link in _TELLING else ""

    def sibling(self, activityid: str, chain: Sequence[str]) -> str | None:
        """An email that answers one of these mails, none of which was ever brought, as this one does."""
        for ancestor in chain[:SIBLINGS_LOOKED_FOR]:
            for child in self._awaited.children_of(ancestor):
                if child.activityid != activityid:
                    return child.activityid
        return None

    def gather(self, message_id: str, stands: str, ancestors: Sequence[str], organisation: Organisation) -> None:
        """Replies that were written before this mail become its children; the nearest ancestor is the parent."""
        children = [child for child in self._awaited.children_of(message_id) if child.activityid != stands]
        standing = self._emails.read(stands) if children else None
        if standing is None:
            return
        parent = self._emails.as_parent(standing)
        farther = frozenset(str(activityid_of(one)) for one in ancestors)
        if standing.parent is not None:
            farther |= {standing.parent}
        for child in children:
            link = self._linked(child, parent, farther, organisation)
            known = self._journal.get(child.grant, child.message) if link in _TELLING else None
            if known is not None:
                self._journal.put(replace(known, detail=link.value), known)
            if link is not Link.GONE:  # one that isn't written yet looks for its parent after its write
                self._awaited.done(message_id, child)

    def _linked(self, child: Child, parent: Parent, farther: frozenset[str], organisation: Organisation) -> Link:
        link = self._emails.link(
            child.activityid,
            parent,
            instead_of=farther,
            belongs=lambda standing: _belongs(standing, parent, organisation),
            with_regarding=lambda standing: inherits_regarding(standing.parties, parent, organisation),
        )
        if link in _TELLING:
            emit(
                "email_linked", grant=child.grant, message=child.message, activity=child.activityid, outcome=link.value
            )
        return link


def _belongs(child: Standing, parent: Parent, organisation: Organisation) -> bool:
    """A forward to others names the mail it carries, and is no answer to it."""
    talk = external_parties(child.parties, organisation)
    return not is_forward(child.subject) or not talk.isdisjoint(external_parties(parent.parties, organisation))
