"""A message as one mailbox holds it, in its organisation: what the rules judge, whoever asks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mailsync.dataverse.resolver import Question, Resolved
from mapping.body import body_of
from mapping.direction import Copy, sender_of
from mapping.guard import guard_of
from mapping.identity import Identity, ancestors
from mapping.matches import Matches, Organisation
from mapping.message import Header, Message
from mapping.parties import parties_of, people_of
from mapping.policy import Policy
from mapping.regarding import Talk, case_numbers_in, talk_of, tokens_in
from mapping.tracking import Case


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a message before Dataverse is asked."""

    message: Message
    header: tuple[Header | None, ...] | None
    copy: Copy
    organisation: Organisation
    identity: Identity

    @property
    def people(self) -> tuple[str, ...]:
        """The addresses whose owners decide parties, direction, owner and regarding: aliases by their mailbox too."""
        named = tuple(dict.fromkeys((*people_of(self.message), self.copy.mailbox)))
        return tuple(dict.fromkeys((*named, *self.organisation.of_aliases(named).values())))

    @property
    def guard(self) -> str:
        """The guard that its email has, for whoever asks before it is mapped."""
        sender = sender_of(self.message, self.copy, {}, self.organisation)
        parties = parties_of(self.message, sender, {})
        return guard_of(parties, self.message.subject, body_of(self.message.body, self.message.snippet).html)

    def case(self, resolved: Resolved | None = None) -> Case:
        """What the rules judge, before and after Dataverse was asked."""
        case = Case(self.message, self.copy, self.organisation, self.header)
        if resolved is None:
            return case
        return replace(case, matches=resolved.matches, answers_tracked=resolved.parent is not None)

    def talk(self, matches: Matches) -> Talk:
        """What the rules of regarding see."""
        sender = sender_of(self.message, self.copy, matches, self.organisation)
        return talk_of(self.message, matches, self.organisation, sender)

    def question(self, policy: Policy) -> Question:
        """What to ask Dataverse, all of it at once."""
        message, rules = self.message, policy.regarding
        return Question(
            identity=self.identity,
            ancestors=ancestors(message),
            addresses=self.people,
            tokens=tokens_in(message.subject, rules),
            case_numbers=case_numbers_in(message.subject, rules),
            with_limits=bool(message.attachments) and policy.files,
        )

    def understood(self, resolved: Resolved) -> Resolved:
        """The answer, as it is meant: an alias is who its mailbox is, and a forward to others answers no mail."""
        choices = dict(resolved.choices)
        for alias, mailbox in self.organisation.of_aliases(self.people).items():
            if alias not in choices and mailbox in choices:
                choices[alias] = choices[mailbox]
        resolved = replace(resolved, choices=choices)
        parent = resolved.parent
        if parent is not None and not self.talk(resolved.matches).answers(parent, self.organisation):
            return replace(resolved, parent=None)
        return resolved
