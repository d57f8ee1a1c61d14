"""Which mail belongs in the CRM: the policy's rules as a chain of small filters, each with a name.

The chain runs in three steps, as facts become known: what the copy tells, what the header tells, what Dataverse knows
of the people. An administrator's deny comes first, then a person's own No-CRM, then all else; a person's Track
overrules `track`, `bulk` and `internal_only`. A mailbox's own rules are asked as well, so they can only narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from mapping.addresses import normalise
from mapping.direction import Copy, sender_of
from mapping.headers import Kind, Report, kind_of
from mapping.identity import is_reply
from mapping.matches import Match, Matches, Organisation, is_internal
from mapping.message import Header, Message
from mapping.policy import SKIP, Policy, Screen
from mapping.regarding import talk_of
from mapping.text import single_line


@dataclass(frozen=True, slots=True)
class Skip:
    """A mail that stays out of the CRM: the rule that says so, and the reason in words, without addresses."""

    rule: str
    reason: str


class Step(Enum):
    """When a rule can be asked: as soon as this is known."""

    COPY = "copy"
    HEADERS = "headers"
    PEOPLE = "people"


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of a mail when it is judged; later steps know more."""

    message: Message
    copy: Copy
    organisation: Organisation
    headers: tuple[Header | None, ...] | None = None
    """None where the whole header could not be had."""
    matches: Matches = field(default_factory=dict)
    answers_tracked: bool = False
    """Whether it answers a mail that is in Dataverse."""

    @property
    def kind(self) -> Kind:
        """What its header and parts tell of it."""
        return kind_of(self.headers, self.message.attachments or (), self.message.subject or "")


Filter = Callable[[Case, Screen], Skip | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """One link of the chain."""

    name: str
    step: Step
    judge: Filter
    yields_to_track: bool = False
    """Whether a person's Track folder overrules it."""


FOLDER_RULES = frozenset({"draft", "junk", "trash", "no_crm", "folder_excluded", "folder_not_included"})
"""The rules that a move to another folder undoes."""


def judge(step: Step, case: Case, policy: Policy) -> Skip | None:
    """What the rules of a step say of a mail, the organisation's first; None: it may go on."""
    return _first(tuple(rule for rule in CHAIN if rule.step is step), case, policy)


def judge_folder(copy: Copy, policy: Policy) -> Skip | None:
    """What only the folders say of any message that lies in them."""
    anything = Case(Message(id=""), copy, Organisation(frozenset(), frozenset()))
    return _first(tuple(rule for rule in CHAIN if rule.name in FOLDER_RULES), anything, policy)


def asks_headers(copy: Copy, policy: Policy) -> bool:
    """Whether a rule for this mailbox needs the whole header."""
    return any(screen.asks_headers for screen in policy.screens(copy.mailbox))


def _first(rules: tuple[Rule, ...], case: Case, policy: Policy) -> Skip | None:
    is_wanted = case.copy.is_named(policy.wanted_folders)
    for rule in rules:
        if rule.yields_to_track and is_wanted:
            continue
        for screen in policy.screens(case.copy.mailbox):
            skip = rule.judge(case, screen)
            if skip is not None:
                return skip
    return None


# what each rule says


def _denied_sender(case: Case, screen: Screen) -> Skip | None:
    senders = {address for one in case.message.from_ or () if one and (address := normalise(one.email))}
    if screen.deny_senders.holds_any(senders):
        return Skip("deny_sender", "The sender is on the deny list.")
    return None


def _denied_participant(case: Case, screen: Screen) -> Skip | None:
    people = {address for one in case.message.participants() if (address := normalise(one.email))}
    if screen.deny_participants.holds_any(people):
        return Skip("deny_participant", "A participant is on the deny list.")
    return None


def _draft(case: Case, _: Screen) -> Skip | None:
    """The attributes of Nylas are those of RFC 6154; \\Draft and \\Spam are what some IMAP servers write."""
    return Skip("draft", "The message is a draft.") if case.copy.lies_in("drafts", "draft") else None


def _junk(case: Case, _: Screen) -> Skip | None:
    return Skip("junk", "The message lies in the junk folder.") if case.copy.lies_in("junk", "spam") else None


def _trash(case: Case, _: Screen) -> Skip | None:
    return Skip("trash", "The message lies in the trash.") if case.copy.lies_in("trash") else None


def _no_crm(case: Case, screen: Screen) -> Skip | None:
    if case.copy.is_named(screen.no_crm):
        return Skip("no_crm", "Its owner keeps it out by a folder or label.")
    return None


def _excluded_folder(case: Case, screen: Screen) -> Skip | None:
    if case.copy.is_named(screen.exclude):
        return Skip("folder_excluded", "It lies in a folder whose mail stays out.")
    return None


def _no_included_folder(case: Case, screen: Screen) -> Skip | None:
    if screen.include and not case.copy.is_named(screen.include):
        return Skip("folder_not_included", "It lies in none of the folders whose mail is tracked.")
    return None


def _not_first(case: Case, screen: Screen) -> Skip | None:
    if screen.thread == "first" and is_reply(case.message):
        return Skip("thread_first", "The mail answers or continues another, and only first mails are tracked.")
    return None


def _internal_only(case: Case, screen: Screen) -> Skip | None:
    if screen.internal_only == SKIP and is_only_internal(case.message, case.copy, case.organisation, case.matches):
        return Skip("internal_only", "Every participant belongs to the organisation.")
    return None


def _private(case: Case, screen: Screen) -> Skip | None:
    if screen.private == SKIP and case.headers is None:
        return Skip("private", "Its header can't be had, so it may be marked private.")
    if screen.private == SKIP and case.kind.is_private:
        return Skip("private", "Its sender marked it private.")
    return None


def _confidential(case: Case, screen: Screen) -> Skip | None:
    if screen.confidential == SKIP and case.headers is None:
        return Skip("confidential", "Its header can't be had, so it may be marked confidential.")
    if screen.confidential == SKIP and case.kind.is_confidential:
        return Skip("confidential", "Its sender marked it confidential.")
    return None


def _receipt(case: Case, screen: Screen) -> Skip | None:
    if screen.receipts == SKIP and case.kind.report is Report.RECEIPT:
        return Skip("receipt", "It only says that a mail was delivered or read.")
    return None


def _bounce(case: Case, screen: Screen) -> Skip | None:
    if screen.bounces == SKIP and case.kind.report is Report.BOUNCE:
        return Skip("bounce", "It only says that a mail was not delivered.")
    return None


def _automatic(case: Case, screen: Screen) -> Skip | None:
    if screen.automatic == SKIP and case.kind.is_automatic:
        return Skip("automatic", "It was sent by a machine in answer, or says that somebody is away.")
    return None


def _bulk(case: Case, screen: Screen) -> Skip | None:
    if screen.bulk == SKIP and case.kind.is_bulk:
        return Skip("bulk", "It was sent to many by a list or newsletter.")
    return None


def _invite(case: Case, screen: Screen) -> Skip | None:
    if screen.invites == SKIP and case.kind.is_invite:
        return Skip("invite", "It is an invitation to a meeting or an answer to one.")
    return None


def _unknown_people(case: Case, screen: Screen) -> Skip | None:
    if screen.track == "known" and not _is_internal_mail(case) and not _knows_somebody(case):
        return Skip("unknown_people", "No external participant is in Dataverse.")
    return None


def _no_tracked_parent(case: Case, screen: Screen) -> Skip | None:
    if screen.track == "replies" and not _is_internal_mail(case) and not case.answers_tracked:
        return Skip("untracked_thread", "It answers no mail that is in Dataverse.")
    return None


CHAIN = (
    Rule("deny_sender", Step.COPY, _denied_sender),
    Rule("deny_participant", Step.COPY, _denied_participant),
    Rule("draft", Step.COPY, _draft),
    Rule("junk", Step.COPY, _junk),
    Rule("trash", Step.COPY, _trash),
    Rule("no_crm", Step.COPY, _no_crm),
    Rule("folder_excluded", Step.COPY, _excluded_folder),
    Rule("folder_not_included", Step.COPY, _no_included_folder),
    Rule("thread_first", Step.COPY, _not_first),
    Rule("internal_only", Step.COPY, _internal_only, yields_to_track=True),
    Rule("private", Step.HEADERS, _private),
    Rule("confidential", Step.HEADERS, _confidential),
    Rule("receipt", Step.HEADERS, _receipt),
    Rule("bounce", Step.HEADERS, _bounce),
    Rule("automatic", Step.HEADERS, _automatic),
    Rule("bulk", Step.HEADERS, _bulk, yields_to_track=True),
    Rule("invite", Step.HEADERS, _invite),
    Rule("internal_only", Step.PEOPLE, _internal_only, yields_to_track=True),
    Rule("unknown_people", Step.PEOPLE, _unknown_people, yields_to_track=True),
    Rule("untracked_thread", Step.PEOPLE, _no_tracked_parent),
)
"""Every rule in its order."""


def is_only_internal(message: Message, copy: Copy, organisation: Organisation, matches: Matches) -> bool:
    """True where a known sender and everybody else belong to the organisation; in doubt the mail crossed its border."""
    sender = sender_of(message, copy, matches, organisation)
    if sender.address_used is None:
        return False
    for participant in message.participants():
        written = single_line(participant.email or "")
        address = normalise(written)
        is_sender = sender.is_ours and written == sender.address_used
        if written and not is_sender and not is_internal(address, _match(matches, address), organisation):
            return False
    return True


def _is_internal_mail(case: Case) -> bool:
    """What rules about external people leave alone, where internal mail is tracked at all."""
    return is_only_internal(case.message, case.copy, case.organisation, case.matches)


def _knows_somebody(case: Case) -> bool:
    sender = sender_of(case.message, case.copy, case.matches, case.organisation)
    return any(match for _, match in talk_of(case.message, case.matches, case.organisation, sender).external)


def _match(matches: Mapping[str, Match], address: str | None) -> Match | None:
    return matches.get(address) if address else None
