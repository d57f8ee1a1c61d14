"""What a policy would do with the mail that is there: real messages judged again, nothing written.

Reads mailboxes through Nylas and people through Dataverse, as the app does; the journal is neither read nor changed, so
a policy can be tried before it is deployed, on mail of any age.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from mailsync.connected import Connected, Read
from mailsync.dataverse.resolver import Resolved, Resolver
from mailsync.errors import MessageError, MessageGoneError
from mailsync.judging import Facts
from mailsync.listings import Listings, Patience
from mailsync.nylas.reader import Listed
from mailsync.storage.mailboxes import Mailbox
from mapping.addresses import normalise
from mapping.direction import Copy, sender_of
from mapping.identity import Identity, identity_of
from mapping.matches import Organisation
from mapping.message import Header, folder_ids
from mapping.policy import People, Policy
from mapping.tracking import Skip, Step, asks_headers, judge

AT_ONCE = 4
"""Mailboxes looked at side by side."""
TRACKED, GONE, UNREADABLE = "tracked", "gone", "unreadable"

Watch = Callable[[int], None]
"""Told how many messages were judged since it was last told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One message, and what each policy says of it: `tracked`, or the rule that skips it."""

    grant: str
    message: str
    date: int | None
    subject: str
    person: str
    """The first external participant, else the sender; empty where there is none."""
    rules: tuple[str, ...]
    activityid: str = ""
    """That of its email; empty where it could not be read."""

    @property
    def differs(self) -> bool:
        """Whether the policies disagree."""
        return len(set(self.rules)) > 1


class Simulator:
    """Judges messages by policies that need not be deployed."""

    def __init__(
        self,
        *,
        connected: Connected,
        listings: Listings,
        resolver_of: Callable[[People], Resolver],
        patience: Patience,
    ) -> None:
        self._connected = connected
        self._listings = listings
        self._resolver_of = resolver_of
        self._patience = patience

    def simulate(
        self, mailboxes: Iterable[Mailbox], policies: Sequence[Policy], *, since: int, until: int, watch: Watch
    ) -> list[Judged]:
        """Every message these mailboxes received between two moments, judged by each policy, newest first."""

        def judged(mailbox: Mailbox) -> list[Judged]:
            listed = self._listings.between(mailbox.grant, since, until)
            return self.judge(mailbox, listed.values(), policies, watch=watch)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            everything = [one for some in pool.map(judged, mailboxes) for one in some]
        return newest_first(everything)

    def judge(
        self, mailbox: Mailbox, listed: Iterable[Listed], policies: Sequence[Policy], *, watch: Watch
    ) -> list[Judged]:
        """These messages of a mailbox, judged by each policy; one request for each, as the app makes."""
        found = []
        for one in listed:
            found.append(self._judged(mailbox, one, policies))
            watch(1)
        return found

    def _judged(self, mailbox: Mailbox, listed: Listed, policies: Sequence[Policy]) -> Judged:
        date = int(listed.date) if listed.date is not None else None
        empty = Judged(grant=mailbox.grant, message=listed.id, date=date, subject="", person="", rules=())
        address = normalise(mailbox.email) or ""
        wanted = any(asks_headers(Copy(address, frozenset()), policy) for policy in policies)
        try:
            read = self._patience(lambda: self._connected.read(mailbox, listed.id, with_header=wanted))
        except MessageGoneError:
            return replace(empty, rules=(GONE,) * len(policies))
        except MessageError:
            return replace(empty, rules=(UNREADABLE,) * len(policies))
        copy = self._patience(
            partial(self._connected.copy, mailbox.grant, address, folder_ids(read.message.folders) or ())
        )
        mail = _Mail(self, mailbox, read, copy)
        rules = tuple(mail.ruled(policy) for policy in policies)
        told = replace(empty, subject=read.message.subject or "", person=mail.person(), rules=rules)
        return replace(told, activityid=str(identity_of(read.message, address).activityid))

    def header(self, mailbox: Mailbox, message: str) -> tuple[Header | None, ...] | None:
        """The whole header of a message; None where it can't be had."""
        try:
            return self._patience(lambda: self._connected.header(mailbox.grant, message))
        except MessageGoneError:
            return None

    def organisation(self) -> Organisation:
        """What makes an address ours, by the deployed policy."""
        return self._connected.organisation()

    def resolved(self, facts: Facts, policy: Policy) -> Resolved:
        """The owners of a message's addresses, and the mail it answers."""
        resolver = self._resolver_of(policy.people)
        return self._patience(lambda: resolver.resolve(facts.question(policy)))


def newest_first(judged: Iterable[Judged]) -> list[Judged]:
    """These in the order in which they are shown."""
    return sorted(judged, key=lambda one: (one.date or 0, one.message), reverse=True)


class _Mail:
    """One message, and what was asked about it so far: each thing once, however many policies want it."""

    def __init__(self, simulator: Simulator, mailbox: Mailbox, read: Read, copy: Copy) -> None:
        self._simulator = simulator
        self._mailbox = mailbox
        nobody = Identity(identity_of(read.message, copy.mailbox).activityid, None, synthetic=True)
        self._facts = Facts(read.message, read.header, copy, simulator.organisation(), nobody)
        self._asked_header = read.header is not None
        self._answers: dict[People, Resolved] = {}

    def ruled(self, policy: Policy) -> str:
        """The rule of a policy that skips it, or `tracked`."""
        return next((skip.rule for skip in self._skips(policy) if skip is not None), TRACKED)

    def person(self) -> str:
        """With whom it is: the first external participant, else the sender."""
        matches = next(iter(self._answers.values()), Resolved()).matches
        facts = self._facts
        external = facts.talk(matches).external
        sender = sender_of(facts.message, facts.copy, matches, facts.organisation)
        return external[0][0] if external else normalise(sender.address_used) or ""

    def _skips(self, policy: Policy) -> Iterator[Skip | None]:
        yield judge(Step.COPY, self._seen_by(policy).case(), policy)
        if asks_headers(self._facts.copy, policy):
            self._ask_header()
        facts = self._seen_by(policy)
        yield judge(Step.HEADERS, facts.case(), policy)
        if policy.people not in self._answers:
            self._answers[policy.people] = self._simulator.resolved(facts, policy)
        yield judge(Step.PEOPLE, facts.case(facts.understood(self._answers[policy.people])), policy)

    def _seen_by(self, policy: Policy) -> Facts:
        """The message in the organisation as a policy has it."""
        if policy.own_domains is None:
            return self._facts
        return replace(self._facts, organisation=replace(self._facts.organisation, domains=policy.own_domains))

    def _ask_header(self) -> None:
        if not self._asked_header:
            header = self._simulator.header(self._mailbox, self._facts.message.id)
            self._facts = replace(self._facts, header=header)
            self._asked_header = True
