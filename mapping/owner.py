"""Who owns an email, and which queue it is an item of: facts of the mail, read off its people.

Who owns a queue is asked by the caller; that Dataverse refuses an owner shows only when the email is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mapping.addresses import normalise
from mapping.direction import Copy, Sender
from mapping.matches import OUR_TABLES, Match, Matches, Organisation
from mapping.message import Message, Participant
from mapping.policy import Policy
from mapping.records import Record


@dataclass(frozen=True, slots=True)
class Owner:
    """The user or team, and the rule that chose it: sender, recipient, mailbox, queue, policy, fallback or none.

    `queue` without a record: the owner of this queue is meant, and is yet to be asked for.
    """

    record: Record | None
    rule: str
    queue: Record | None = None


NOBODY = Owner(None, "none")


def owner_of(
    message: Message, sender: Sender, *, copy: Copy, matches: Matches, organisation: Organisation, policy: Policy
) -> Owner:
    """Of outgoing mail its sender; else the first connected user, then queue, of To and Cc; else the mailbox's own."""
    if sender.is_ours and sender.own_address is not None:
        own = _of(organisation.mailbox_of(sender.own_address), sender.match, "sender", policy)
        if own is not None or (sender.match is not None and sender.match.table in OUR_TABLES):
            return own or fallback(policy)
    named = tuple(_recipients(message, matches, organisation))
    here = (copy.mailbox, matches.get(copy.mailbox))
    for table in ("systemuser", "queue"):
        for address, match in named:
            if _is_set(address, policy) or (match is not None and match.table == table):
                found = _of(address, match, "recipient", policy)
                if found is not None:
                    return found
    return _of(*here, "mailbox", policy) or fallback(policy)


def fallback(policy: Policy) -> Owner:
    """Who owns what nobody else can."""
    return NOBODY if policy.fallback_owner is None else Owner(policy.fallback_owner, "fallback")


def queue_of(
    message: Message, sender: Sender, *, copy: Copy, matches: Matches, organisation: Organisation, policy: Policy
) -> Record | None:
    """The queue whose item an incoming mail becomes: the first connected among To and Cc, else the mailbox's own.

    An inactive one takes none.
    """
    if sender.is_ours or not policy.queue_items:
        return None
    people = (*_recipients(message, matches, organisation), (copy.mailbox, matches.get(copy.mailbox)))
    queues = (match for _, match in people if match is not None and match.table == "queue" and match.active)
    return next((match.record for match in queues), None)


def _of(address: str, match: Match | None, rule: str, policy: Policy) -> Owner | None:
    """Whom the policy names for this mailbox, else the user, else the queue's owner; an inactive row owns nothing."""
    own = policy.mailboxes.get(address)
    if own is not None and own.owner is not None:
        return Owner(own.owner, "policy")
    if match is None or not match.active:
        return None
    if match.table == "systemuser":
        return Owner(match.record, rule)
    return Owner(None, "queue", queue=match.record) if match.table == "queue" else None


def _is_set(address: str, policy: Policy) -> bool:
    own = policy.mailboxes.get(address)
    return own is not None and own.owner is not None


def _recipients(message: Message, matches: Matches, organisation: Organisation) -> Iterator[tuple[str, Match | None]]:
    """The connected mailboxes among To and Cc, whatever address of theirs is written, and whose that is."""
    group: tuple[Participant | None, ...] = (*(message.to or ()), *(message.cc or ()))
    for participant in group:
        address = normalise(participant.email) if participant else None
        if address is not None and organisation.is_mailbox(address):
            yield organisation.mailbox_of(address), matches.get(address)
