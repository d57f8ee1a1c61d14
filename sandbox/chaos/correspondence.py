"""Generates the mail of the chaos from a seed, and says of each mail what must become of it.

Responsible for who writes what to whom, where its copies lie and in which order they arrive. The promises follow from
what the generator meant, never from the product's own code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

from sandbox.chaos.people import DOMAIN, Cast, written
from sandbox.mail import Character, Mail, Person

TOPICS = (
    "Inverters for hall 7",
    "Site visit on Thursday",
    "Snow loads, second opinion",
    "Rechnung über das Gerüst",
    "見積書のお願い",
    "Meter reading",
    "Grid connection: which form?",
    "Roof of the old cannery",
)
HTML = (
    "<p>Good morning,</p><p>the crane is booked for <b>week {n}</b>; please confirm.</p><p>Kind regards<br>{who}</p>",
    "<div style='font-family:Arial'>Offer {n} is below.<table><tr><td>84 kWp</td><td>{n},00 €</td></tr></table></div>",
    "<p>いつもお世話になっております。</p><p>見積書 {n} をお送りください。</p>",
)
PLAIN = (
    "Hello,\n\nthe drawings of berth {n} are with the surveyor.\n\n{who}\n",
    "ご注文 {n} ありがとうございます。\r\n\r\n{who}",
    "> What about {n}?\n\nThat one is done & paid: 3 < 5.\n\n-- \n{who}",
)
KINDS = {
    "incoming": 34,
    "outgoing": 16,
    "reply": 30,
    "internal": 4,
    "draft": 3,
    "junk": 3,
    "trash": 1,
    "without id": 3,
    "from a colleague": 2,
    "tracked already": 1,
    "id used again": 1,
}
"""How often each kind of mail is, out of about a hundred."""
FOLDERS = {"draft": "drafts", "junk": "junk", "trash": "trash"}
LONGEST_THREAD = 6
REFUSED = ", refused"
"""How the subject of a letter ends that can't be written."""


@dataclass(slots=True)
class Letter:
    """A mail, and what must become of it."""

    mail: Mail
    kind: str
    lies_in: tuple[tuple[str, str], ...]
    """Mailboxes and folders."""
    before: tuple[Letter, ...] = ()
    """The mails it answers, nearest first."""
    skipped: str | None = None
    """The rule that keeps it out."""
    is_refused: bool = False
    """Dataverse refuses its row, until somebody mends what is wrong there."""
    messages: list[tuple[str, str]] = field(default_factory=list)
    """Grant and message id of each copy, once they are delivered."""

    @property
    def subject(self) -> str:
        """Its subject, which no other mail has."""
        return self.mail.subject or ""

    @property
    def sender(self) -> str:
        return (self.mail.sender and self.mail.sender.email) or ""

    def people(self) -> Iterator[tuple[int, Person]]:
        """Everybody in its header, with the mask of their role."""
        if self.mail.sender is not None:
            yield 1, self.mail.sender
        for mask, group in ((2, self.mail.to), (3, self.mail.cc), (4, self.mail.bcc)):
            yield from ((mask, person) for person in group)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One copy of a mail, to be laid into a mailbox."""

    letter: Letter
    mailbox: str
    folder: str


class Correspondence:
    """All letters of one run."""

    def __init__(self, cast: Cast, random: Random, *, messages: int, refused: int) -> None:
        self.cast = cast
        self.letters: list[Letter] = []
        self._random = random
        self._threads: list[Letter] = []
        copies = 0
        while copies < messages:
            for letter in self._written(random.choices(list(KINDS), list(KINDS.values()))[0]):
                self.letters.append(letter)
                copies += len(letter.lies_in)
        self._refuse(refused)

    def arrivals(self) -> list[Arrival]:
        """Every copy in the order it arrives: mostly as it was written, and some far too early or late."""
        found: list[tuple[float, int, Arrival]] = []
        for place, letter in enumerate(self.letters):
            early = 25.0 if letter.before and self._random.random() < 0.25 else 0.0
            for mailbox, folder in letter.lies_in:
                when = place - early + self._random.uniform(-4, 4)
                found.append((when, len(found), Arrival(letter, mailbox, folder)))
        return [arrival for _, _, arrival in sorted(found, key=lambda one: one[:2])]

    def _refuse(self, number: int) -> None:
        """Choose mails that can't be written, evenly over the run."""
        fit = [letter for letter in self.letters if letter.kind in ("incoming", "outgoing", "reply")]
        for letter in fit[:: max(1, len(fit) // number)][:number] if number else ():
            letter.is_refused = True
            letter.mail = replace(letter.mail, subject=letter.subject + REFUSED)

    def _written(self, kind: str) -> tuple[Letter, ...]:
        match kind:
            case "outgoing":
                return (self._outgoing(self._random.choice(self.cast.ours)),)
            case "reply":
                return (self._reply(),)
            case "internal":
                return (self._internal(),)
            case "draft":
                return (self._draft(),)
            case "from a colleague":
                return (self._from_colleague(),)
            case "id used again":
                return self._reused()
        return (self._incoming(kind),)

    def _incoming(self, kind: str) -> Letter:
        choice = self._random
        sender = choice.choice(self.cast.outside)
        receivers = choice.sample(self.cast.ours, k=1 if kind != "incoming" else choice.choice((1, 1, 1, 1, 2, 3)))
        others = [one for one in choice.sample(self.cast.outside, k=choice.choice((0, 0, 0, 1, 3))) if one != sender]
        to, cc = receivers[:1], [*receivers[1:], *others]
        folder = FOLDERS.get(kind, "inbox")
        letter = self._letter(
            kind,
            written(sender),
            to=to,
            cc=cc,
            lies_in=tuple((one.email, folder) for one in receivers),
        )
        letter.skipped = kind if kind in FOLDERS else None
        if kind == "without id":
            letter.mail = replace(letter.mail, message_id=None)
        elif kind == "incoming":
            self._threads.append(letter)
        return letter

    def _outgoing(self, sender: Character) -> Letter:
        choice = self._random
        to, *cc = choice.sample(self.cast.outside, k=choice.choice((1, 1, 2, 3)))
        blind = choice.sample([one for one in self.cast.outside if one not in (to, *cc)], k=choice.choice((0, 0, 0, 1)))
        mates = [one for one in self.cast.ours if one != sender and choice.random() < 0.15]
        letter = self._letter(
            "outgoing",
            written(sender, alias=choice.random() < 0.1),
            to=[to],
            cc=[*cc, *mates],
            bcc=blind,
            lies_in=((sender.email, "sent"), *((mate.email, "inbox") for mate in mates)),
        )
        self._threads.append(letter)
        return letter

    def _reply(self) -> Letter:
        """One that answers the last mail of a thread: all who were in it, and now and then somebody new."""
        if not self._threads:
            return self._incoming("incoming")
        place = self._random.randrange(len(self._threads))
        parent = self._threads[place]
        addresses = {person.email for _, person in parent.people() if person.email != parent.sender}
        in_it = [one for one in (*self.cast.ours, *self.cast.outside) if one.email in addresses]
        blind = {person.email for person in parent.mail.bcc}
        sender = self._random.choice([one for one in in_it if one.email not in blind] or in_it)
        everybody = [one for one in self._in(parent) if one != sender and one.email not in blind]
        first = next((one for one in everybody if parent.sender in (one.email, *one.aliases)), everybody[0])
        rest = [one for one in everybody if one != first]
        if self._random.random() < 0.15:
            rest += [one for one in (self._random.choice(self.cast.outside),) if one not in (sender, first, *rest)]
        ours = [one for one in (first, *rest) if one in self.cast.ours]
        lies_in = tuple((one.email, "inbox") for one in ours)
        if sender in self.cast.ours:
            lies_in = ((sender.email, "sent"), *lies_in)
        letter = self._letter("reply", written(sender), to=[first], cc=rest, lies_in=lies_in, answers=parent)
        if len(letter.before) >= LONGEST_THREAD:
            del self._threads[place]
        else:
            self._threads[place] = letter
        return letter

    def _in(self, letter: Letter) -> list[Character]:
        """Everybody in a mail's header, its sender included."""
        addresses = {person.email for _, person in letter.people()}
        return [one for one in self.cast.everybody if not addresses.isdisjoint((one.email, *one.aliases))]

    def _internal(self) -> Letter:
        sender, to = self._random.sample(self.cast.ours, k=2)
        letter = self._letter(
            "internal",
            written(sender),
            to=[to],
            cc=self._random.sample(self.cast.colleagues, k=self._random.choice((0, 1))),
            lies_in=((sender.email, "sent"), (to.email, "inbox")),
        )
        letter.skipped = "internal_only"
        return letter

    def _draft(self) -> Letter:
        sender = self._random.choice(self.cast.ours)
        to = self._random.choice(self.cast.outside)
        letter = self._letter("draft", written(sender), to=[to], lies_in=((sender.email, "drafts"),))
        letter.skipped = "draft"
        return letter

    def _from_colleague(self) -> Letter:
        """From a user whose mailbox isn't connected, to somebody outside, with one of ours reading along."""
        sender, mate = self._random.choice(self.cast.colleagues), self._random.choice(self.cast.ours)
        to = self._random.choice(self.cast.outside)
        lies_in = ((mate.email, "inbox"),)
        return self._letter("from a colleague", written(sender), to=[to], cc=[mate], lies_in=lies_in)

    def _reused(self) -> tuple[Letter, ...]:
        """A scanner that knows one Message-ID only."""
        one, other = self._incoming("id used again"), self._incoming("id used again")
        other.mail = replace(other.mail, message_id=one.mail.message_id)
        return one, other

    def _letter(
        self,
        kind: str,
        sender: Person,
        *,
        to: list[Character],
        cc: list[Character] | None = None,
        bcc: list[Character] | None = None,
        lies_in: tuple[tuple[str, str], ...],
        answers: Letter | None = None,
    ) -> Letter:
        choice = self._random
        before = (answers, *answers.before) if answers is not None else ()
        ids = [one.mail.message_id for one in reversed(before)]
        topic = choice.choice(TOPICS) if answers is None else answers.subject.rpartition(" / ")[0].removeprefix("Re: ")
        plain = choice.random() < 0.35
        text = choice.choice(PLAIN if plain else HTML).format(n=len(self.letters), who=sender.name)
        unique = f"{choice.getrandbits(40):010x}"
        mail = Mail(
            subject=f"{'Re: ' if answers else ''}{topic} / {unique}",
            sender=sender,
            to=tuple(map(written, to)),
            cc=tuple(map(written, cc or ())),
            bcc=tuple(map(written, bcc or ())),
            body=f"{unique} {text}" if plain else f"<p>{unique}</p>{text}",
            plain=plain,
            message_id=f"<{unique}.{choice.randrange(1000)}@{(sender.email or DOMAIN).partition('@')[2]}>",
            in_reply_to=ids[-1] if ids else None,
            references=" ".join(one for one in ids if one) or None,
        )
        return Letter(mail=mail, kind=kind, lies_in=lies_in, before=before)
