"""Which mail belongs in the CRM: the reviewed policy file, and its judgement on one message, by a named rule.

Reading the file from disk and remembering what was skipped is the caller's business.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from mapping.addresses import domain_of, normalise
from mapping.direction import Copy, sender_of
from mapping.identity import is_reply
from mapping.matches import Matches, Organisation, is_internal
from mapping.message import Message
from mapping.parties import people_of
from mapping.policy_file import PolicyFile
from mapping.text import single_line


@dataclass(frozen=True, slots=True)
class TrackingRules:
    """The policy; `own_domains` None means that the mailboxes' own domains are meant."""

    track: str
    internal_only: str
    own_domains: frozenset[str] | None
    deny_addresses: frozenset[str]
    deny_domains: frozenset[str]
    thread: str

    @property
    def version(self) -> str:
        """A short name of what the policy means: a comment or another order of entries does not change it."""
        own = None if self.own_domains is None else sorted(self.own_domains)
        deny = [sorted(self.deny_addresses), sorted(self.deny_domains)]
        meaning = json.dumps([self.track, self.internal_only, own, *deny, self.thread])
        return hashlib.sha256(meaning.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Skip:
    """A mail that stays out of the CRM: the rule that says so, and the reason in words, without addresses."""

    rule: str
    reason: str


class PolicyError(ValueError):
    """The policy file cannot be used; the message holds every problem with its line."""


_MOST_LABELS = 127
"""Of a domain name (RFC 1035, 255 octets)."""

_DRAFT = Skip("draft", "The message is a draft.")
_JUNK = Skip("junk", "The message lies in the junk folder.")
_TRASH = Skip("trash", "The message lies in the trash.")
_DENY_ADDRESS = Skip("deny_address", "A participant's address is on the deny list.")
_DENY_DOMAIN = Skip("deny_domain", "A participant's domain is on the deny list.")
_THREAD_FIRST = Skip("thread_first", "The mail answers or continues another, and only first mails are tracked.")
_INTERNAL_ONLY = Skip("internal_only", "Every participant belongs to the organisation.")
_UNKNOWN_PEOPLE = Skip("unknown_people", "No external participant is in Dataverse.")


def judge_copy(message: Message, copy: Copy, organisation: Organisation, rules: TrackingRules) -> Skip | None:
    """What can be said before any address is looked up; deny comes first."""
    return (
        _denied(message, rules)
        or _out_of_place(copy)
        or (_THREAD_FIRST if rules.thread == "first" and is_reply(message) else None)
        or _too_internal(message, copy, organisation, {}, rules)
    )


def judge_people(
    message: Message, copy: Copy, organisation: Organisation, matches: Matches, rules: TrackingRules
) -> Skip | None:
    """What can be said once it is known whose the addresses are."""
    if _only_internal(message, copy, organisation, matches):
        return _INTERNAL_ONLY if rules.internal_only == "skip" else None
    if rules.track == "known" and not _knows_somebody(message, organisation, matches):
        return _UNKNOWN_PEOPLE
    return None


def _denied(message: Message, rules: TrackingRules) -> Skip | None:
    if not (rules.deny_addresses or rules.deny_domains):
        return None
    people = {address for one in message.participants() if (address := normalise(one.email))}
    if not rules.deny_addresses.isdisjoint(people):
        return _DENY_ADDRESS
    if any(_in_domains(domain_of(address), rules.deny_domains) for address in people):
        return _DENY_DOMAIN
    return None


def _in_domains(domain: str, domains: frozenset[str]) -> bool:
    """True for a listed domain and everything below it."""
    labels = domain.split(".")[-_MOST_LABELS:]
    return any(".".join(labels[start:]) in domains for start in range(len(labels)))


def _out_of_place(copy: Copy) -> Skip | None:
    """The attributes of Nylas are those of RFC 6154; \\Draft and \\Spam are what some IMAP servers write."""
    if copy.lies_in("drafts", "draft"):
        return _DRAFT
    if copy.lies_in("junk", "spam"):
        return _JUNK
    return _TRASH if copy.lies_in("trash") else None


def _too_internal(
    message: Message, copy: Copy, organisation: Organisation, matches: Matches, rules: TrackingRules
) -> Skip | None:
    skips = rules.internal_only == "skip" and _only_internal(message, copy, organisation, matches)
    return _INTERNAL_ONLY if skips else None


def _only_internal(message: Message, copy: Copy, organisation: Organisation, matches: Matches) -> bool:
    """True where a known sender and everybody else belong to the organisation; in doubt the mail crossed its border."""
    sender = sender_of(message, copy, matches, organisation)
    if sender.address_used is None:
        return False
    for participant in message.participants():
        written = single_line(participant.email or "")
        address = normalise(written)
        is_sender = sender.is_ours and written == sender.address_used
        match = matches.get(address) if address else None
        if written and not is_sender and not is_internal(address, match, organisation):
            return False
    return True


def _knows_somebody(message: Message, organisation: Organisation, matches: Matches) -> bool:
    known = ((address, matches.get(address)) for address in people_of(message))
    return any(match is not None and not is_internal(address, match, organisation) for address, match in known)


_KEYS = ("track", "internal_only", "own_domains", "deny", "thread")
_DENY_KEYS = ("addresses", "domains")
_DOMAIN = re.compile(r"[^\s@.*/:]+(?:\.[^\s@.*/:]+)+")
_A_DOMAIN = 'a domain such as "example.com"'
_AN_ADDRESS = 'an address such as "ann@example.com"'


def parse_rules(text: str, source: str) -> TrackingRules:
    """The policy written in the text; everything that is wrong with it is one PolicyError."""
    file = PolicyFile(text, source)
    file.only(_KEYS)
    file.only(_DENY_KEYS, under="deny")
    rules = TrackingRules(
        track=file.choice("track", ("all", "known")),
        internal_only=file.choice("internal_only", ("skip", "track")),
        own_domains=file.entries(("own_domains",), _domain, _A_DOMAIN),
        deny_addresses=file.entries(("deny", "addresses"), normalise, _AN_ADDRESS) or frozenset(),
        deny_domains=file.entries(("deny", "domains"), _domain, _A_DOMAIN) or frozenset(),
        thread=file.choice("thread", ("all", "first")),
    )
    if file.problems:
        raise PolicyError("\n".join(file.problems))
    return rules


def _domain(written: str) -> str | None:
    """The domain in the spelling of normalised addresses, or None where the text is none."""
    text = written.strip().removeprefix("@")
    address = normalise(f"any@{text}") if _DOMAIN.fullmatch(text.rstrip(".")) else None
    return domain_of(address) if address else None
