"""The reviewed policy: which mail belongs in the CRM, to whom it is matched, who owns it, what it is about.

One table of keys says what may stand in the file; the parser, the JSON schema and the reference are made from it.
Judging a mail by it is `tracking`'s business, reading the file from disk the caller's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from uuid import UUID

from mapping.addresses import domain_of, normalise
from mapping.policy_file import Path, PolicyFile
from mapping.records import Record

TRACK, SKIP = "track", "skip"
PEOPLE_TABLES = ("systemuser", "queue", "contact", "account", "lead")
REGARDING_RULES = ("reply", "token", "opportunity", "case", "contact", "account", "lead")
NO_RULE = "none"
"""Ends the list: a mail that no rule before it knows is about nothing."""
CONTENT_LEVELS = ("full", "subject", "metadata")
"""How much of a mail is kept, the most first."""
_MOST_LABELS = 127
"""Of a domain name (RFC 1035, 255 octets)."""


class PolicyError(ValueError):
    """The policy file cannot be used; the message holds every problem with its line."""


@dataclass(frozen=True)
class AddressList:
    """Addresses, domains with those below them, and patterns with `*` in them."""

    entries: frozenset[str] = frozenset()

    def holds_any(self, addresses: Iterable[str]) -> bool:
        """Whether one of these normalised addresses is meant."""
        return bool(self.entries) and any(map(self._holds, addresses))

    def _holds(self, address: str) -> bool:
        if address in self.entries or any(domain in self.entries for domain in _domains_above(domain_of(address))):
            return True
        return self._patterns is not None and self._patterns.fullmatch(address) is not None

    @cached_property
    def _patterns(self) -> re.Pattern[str] | None:
        written = sorted(entry for entry in self.entries if "*" in entry)
        return re.compile("|".join(map(_as_expression, written))) if written else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """One set of rules that mail must pass; as it is made, everything passes."""

    track: str = "all"
    internal_only: str = TRACK
    private: str = TRACK
    confidential: str = TRACK
    receipts: str = TRACK
    bounces: str = TRACK
    automatic: str = TRACK
    bulk: str = TRACK
    invites: str = TRACK
    thread: str = "all"
    content: str = "full"
    deny_senders: AddressList = AddressList()
    deny_participants: AddressList = AddressList()
    no_crm: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    include: frozenset[str] = frozenset()

    @property
    def asks_headers(self) -> bool:
        """Whether a rule needs more than the three headers that every read brings."""
        asking = (self.private, self.confidential, self.receipts, self.bounces, self.automatic, self.bulk, self.invites)
        return SKIP in asking


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Whose an address is taken to be."""

    precedence: tuple[str, ...] = PEOPLE_TABLES
    tie: str = "first"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelatedTable:
    """A table whose open rows mail can be about, and its lookups to the people it is about."""

    name: str
    table: str
    contact: tuple[str, ...]
    account: tuple[str, ...]


OPPORTUNITY = RelatedTable(
    name="opportunity",
    table="opportunity",
    contact=("customerid", "parentcontactid"),
    account=("customerid", "parentaccountid"),
)
CASE = RelatedTable(name="case", table="incident", contact=("customerid", "primarycontactid"), account=("customerid",))


@dataclass(frozen=True, slots=True, kw_only=True)
class RegardingRules:
    """What a mail is about: the rules in their order, and what they need to know."""

    rules: tuple[str, ...] = ("reply", "token", "contact", "account", "lead")
    several: str = "newest"
    tokens: tuple[str, ...] = ("CRM:",)
    case_numbers: tuple[str, ...] = ("CAS-",)
    tables: tuple[RelatedTable, ...] = ()

    def related(self, rule: str) -> RelatedTable | None:
        """The table a rule looks into, where it looks into one."""
        return next((table for table in (OPPORTUNITY, CASE, *self.tables) if table.name == rule), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxPolicy:
    """What holds for one mailbox besides: rules that mail must pass as well, and who owns its mail."""

    screen: Screen = Screen()
    owner: Record | None = None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The whole policy; `own_domains` None means that the mailboxes' own domains are meant."""

    screen: Screen = Screen()
    own_domains: frozenset[str] | None = None
    wanted_folders: frozenset[str] = frozenset()
    people: People = People()
    fallback_owner: Record | None = None
    queue_items: bool = True
    files: bool = True
    regarding: RegardingRules = RegardingRules()
    mailboxes: Mapping[str, MailboxPolicy] = field(default_factory=dict)

    @cached_property
    def version(self) -> str:
        """A short name of what the policy means: a comment or another order of entries does not change it."""
        meaning = json.dumps(asdict(self), sort_keys=True, default=_sorted)
        return hashlib.sha256(meaning.encode()).hexdigest()[:12]

    def screens(self, mailbox: str) -> tuple[Screen, ...]:
        """The rules that mail of a mailbox must pass, all of them: so a mailbox's own can only narrow."""
        own = self.mailboxes.get(mailbox)
        return (self.screen,) if own is None else (self.screen, own.screen)

    def content_for(self, mailboxes: Iterable[str]) -> str:
        """How much is kept of a mail that lies in these mailboxes: the least that one of them allows."""
        screens = [screen for mailbox in mailboxes for screen in self.screens(mailbox)]
        return max((screen.content for screen in (self.screen, *screens)), key=CONTENT_LEVELS.index)


# what may stand in the file


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words, the widest first where a mailbox may narrow it."""

    allowed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entries:
    """A list of texts."""

    read: Callable[[str], str | None]
    wanted: str


@dataclass(frozen=True, slots=True)
class Text:
    """One text."""

    read: Callable[[str], str | None]
    wanted: str


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key: where it stands, what it takes, what it is without being named, and what it says."""

    path: Path
    takes: Choice | Entries | Text | Flag
    default: object
    says: str

    @property
    def name(self) -> str:
        """The key as a person writes it."""
        return ".".join(self.path)


def _domain(written: str) -> str | None:
    """The domain in the spelling of normalised addresses, or None where the text is none."""
    text = written.strip().removeprefix("@")
    address = normalise(f"any@{text}") if _DOMAIN.fullmatch(text.rstrip(".")) else None
    return domain_of(address) if address else None


def _pattern(written: str) -> str | None:
    """An address, a domain, or either with `*` for any characters, in the spelling of normalised addresses."""
    text = written.strip().lower()
    if "*" not in text:
        return normalise(text) if "@" in text.lstrip("@") else _domain(text)
    local, _, domain = text.rpartition("@")
    labels = [label if label.isascii() else _ascii_label(label) for label in domain.split(".")]
    pattern = f"{local or '*'}@{'.'.join(label or '' for label in labels)}"
    return pattern if None not in labels and _PATTERN.fullmatch(pattern) else None


def _ascii_label(label: str) -> str | None:
    """One label of an international domain; one with `*` in it has no such spelling."""
    address = None if "*" in label else normalise(f"any@{label}")
    return domain_of(address) if address else None


def folder_name(written: str) -> str | None:
    """A folder's or label's name as names are compared."""
    return written.strip().casefold() or None


def _one_of(allowed: tuple[str, ...]) -> Callable[[str], str | None]:
    return lambda written: written if written in allowed else None


def _rule(written: str) -> str | None:
    return written if _RULE.fullmatch(written) else None


def _column(written: str) -> str | None:
    return written if _LOGICAL_NAME.fullmatch(written) else None


def _token_prefix(written: str) -> str | None:
    """The unchanging beginning of a token, of which Dataverse allows one to twenty characters."""
    return written if _PREFIX.fullmatch(written) else None


def _owner(written: str) -> str | None:
    table, _, row = written.strip().partition(":")
    try:
        return f"{table}:{UUID(row.strip())}" if table in {"systemuser", "team"} else None
    except ValueError:
        return None


_DOMAIN = re.compile(r"[^\s@.*/:]+(?:\.[^\s@.*/:]+)+")
_PATTERN = re.compile(r"[^\s@<>]{1,64}@[^\s@<>]{1,253}")
_RULE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LOGICAL_NAME = re.compile(r"[a-z][a-z0-9_]{0,127}")
_PREFIX = re.compile(r"\S{1,20}")
_A_DOMAIN = 'a domain such as "example.com"'
_A_PATTERN = 'an address, a domain, or one with * in it such as "noreply*@*"'
_A_FOLDER = "the name of a folder or label"
_AN_OWNER = 'a user or team such as "team:0f5c6f2e-0000-4000-8000-000000000000"'
_A_PREFIX = 'the beginning of a token, 1 to 20 characters such as "CRM:"'
_TRACKED = (TRACK, SKIP)

SCREEN_KEYS = (
    Key(("track",), Choice(("all", "known", "replies")), "all",
        "Mail that crosses the organisation's border: `all`; `known`: only with an external participant who is a "
        "contact, an account or a lead; `replies`: only mail that answers one in Dataverse."),
    Key(("internal_only",), Choice(_TRACKED), SKIP,
        "Mail whose every participant is a user, a queue, a connected mailbox or in an own domain; each message is "
        "judged for itself."),
    Key(("private",), Choice(_TRACKED), SKIP,
        "Mail its sender marked private or personal (Sensitivity). Where headers can't be had it counts as marked."),
    Key(("confidential",), Choice(_TRACKED), SKIP,
        "Mail its sender marked confidential (Sensitivity). Where headers can't be had it counts as marked."),
    Key(("receipts",), Choice(_TRACKED), SKIP,
        "Read and delivery receipts (multipart/report). Where headers can't be had, only those told by their parts."),
    Key(("bounces",), Choice(_TRACKED), TRACK,
        "Reports that a mail was not delivered (multipart/report, an empty Return-Path). Unknown headers: no bounce."),
    Key(("automatic",), Choice(_TRACKED), TRACK,
        "Automatic answers and out-of-office notes (Auto-Submitted and its like). Unknown headers: not automatic."),
    Key(("bulk",), Choice(_TRACKED), TRACK,
        "Newsletters and mailing lists (List-*, Precedence, Feedback-ID). Unknown headers: not bulk."),
    Key(("invites",), Choice(_TRACKED), TRACK,
        "Invitations to meetings and answers to them; a mail with a calendar file that is no invitation is none."),
    Key(("thread",), Choice(("all", "first")), "all",
        "`all` mail of a conversation, or only the `first`: mail that answers or forwards no other."),
    Key(("content",), Choice(CONTENT_LEVELS), "full",
        "What is kept: `full`; `subject`: people, times and subject; `metadata`: people and times only."),
    Key(("deny", "senders"), Entries(_pattern, _A_PATTERN), (),
        "Mail from one of these stays out whatever else is said."),
    Key(("deny", "participants"), Entries(_pattern, _A_PATTERN), (),
        "Mail with one of these as From, To, Cc or Bcc stays out whatever else is said."),
    Key(("folders", "no_crm"), Entries(folder_name, _A_FOLDER), ("No-CRM",),
        "Folders or labels by which a person keeps a mail out."),
    Key(("folders", "exclude"), Entries(folder_name, _A_FOLDER), (),
        "Folders or labels whose mail stays out."),
    Key(("folders", "include"), Entries(folder_name, _A_FOLDER), (),
        "If any is named: only mail in one of these folders or labels."),
)  # fmt: skip
"""The keys that may stand under a mailbox too, where they can only narrow."""
ORGANISATION_KEYS = (
    Key(("own_domains",), Entries(_domain, _A_DOMAIN), None,
        "The organisation's own domains. Left out: those of the connected mailboxes but for free-mail providers'. Each "
        "stands for itself: a domain below it is not meant."),
    Key(("folders", "track"), Entries(folder_name, _A_FOLDER), ("Track",),
        "Folders or labels by which a person wants a mail in: they overrule `track = \"known\"`, `bulk` and "
        "`internal_only`, nothing else."),
    Key(("people", "precedence"), Entries(_one_of(PEOPLE_TABLES), "one of " + ", ".join(PEOPLE_TABLES)), PEOPLE_TABLES,
        "Whose an address is where rows of several tables carry it. A table left out is not looked into."),
    Key(("people", "tie"), Choice(("first", "unresolved")), "first",
        "Several rows of one table carry an address: the `first`, by the address column that holds it and then by id; "
        "or `unresolved`: the address stays a text."),
    Key(("owner", "fallback"), Text(_owner, _AN_OWNER), None,
        "Who owns a mail whose owner Dataverse refuses or nobody is; left out, the app's own user."),
    Key(("owner", "queue_items"), Flag(), True,
        "Whether mail to a queue's mailbox also becomes an item of that queue."),
    Key(("files", "carry"), Flag(), True,
        "Whether files go along; pictures in the body go with them."),
    Key(("regarding", "rules"), Entries(_rule, "the name of a rule"), ("reply", "token", "contact", "account", "lead"),
        "The rules that say what a mail is about, the first that finds something wins: `reply`, `token`, "
        "`opportunity`, `case`, `contact`, `account`, `lead`, or the name of a table below; `none` ends the list. "
        "`opportunity`, `case` and tables cost one more round trip where the people are known and no earlier rule "
        "decided."),
    Key(("regarding", "several"), Choice(("newest", "none")), "newest",
        "Several open opportunities or cases: the `newest`, or `none` of them."),
    Key(("regarding", "tokens"), Entries(_token_prefix, _A_PREFIX), ("CRM:",),
        "How tracking tokens in subjects begin; digits follow."),
    Key(("regarding", "case_numbers"), Entries(_token_prefix, _A_PREFIX), ("CAS-",),
        "How case numbers in subjects begin; digits follow, and groups of letters and digits with a hyphen."),
)  # fmt: skip
MAILBOX_OWNER = Key(("owner",), Text(_owner, _AN_OWNER), None, "Who owns mail that this mailbox's user would own.")
TABLE_KEYS = (
    Key(("name",), Text(_rule, "a name of small letters, digits and _"), "", "The name of the rule."),
    Key(("table",), Text(_column, "the logical name of a table"), "", "The logical name of the table."),
    Key(("contact",), Text(_column, "the logical name of a lookup"), "", "Its lookup to the contact, if it has one."),
    Key(("account",), Text(_column, "the logical name of a lookup"), "", "Its lookup to the account, if it has one."),
)  # fmt: skip
"""The keys of one [[regarding.tables]]."""
FILE_KEYS = (*SCREEN_KEYS, *ORGANISATION_KEYS)


def parse_policy(text: str, source: str) -> Policy:
    """The policy written in the text; everything that is wrong with it is one PolicyError."""
    file = PolicyFile(text, source)
    file.only(dict.fromkeys((*(key.path[0] for key in FILE_KEYS), "mailboxes")))
    for table in ("deny", "folders", "people", "owner", "files", "regarding"):
        more = ("tables",) if table == "regarding" else ()
        if file.is_table((table,)):
            file.only((*(key.path[1] for key in FILE_KEYS if key.path[0] == table), *more), under=(table,))
    given = {key.path: _read(file, key) for key in FILE_KEYS}
    policy = Policy(
        screen=_screen(given),
        own_domains=None if given[("own_domains",)] is None else frozenset(_texts(given[("own_domains",)])),
        wanted_folders=_folders(given[("folders", "track")]),
        people=People(
            precedence=_texts(given[("people", "precedence")]) or PEOPLE_TABLES, tie=str(given[("people", "tie")])
        ),
        fallback_owner=_record(given[("owner", "fallback")]),
        queue_items=bool(given[("owner", "queue_items")]),
        files=bool(given[("files", "carry")]),
        regarding=_regarding(file, given),
        mailboxes=_mailboxes(file) if file.is_table(("mailboxes",)) else {},
    )
    if file.problems:
        raise PolicyError("\n".join(file.problems))
    return policy


def _read(file: PolicyFile, key: Key, under: Path = ()) -> object:
    path = (*under, *key.path)
    match key.takes:
        case Choice(allowed):
            return file.choice(path, allowed, str(key.default))
        case Entries(read, wanted):
            found = file.entries(path, read, wanted)
            return key.default if found is None else found
        case Text(read, wanted):
            return file.text(path, read, wanted) or key.default
        case Flag():
            return file.flag(path, default=bool(key.default))


def _screen(given: Mapping[Path, object], **more: object) -> Screen:
    names = {one.name for one in fields(Screen)}
    words: dict[str, object] = {path[0]: value for path, value in given.items() if len(path) == 1 and path[0] in names}
    return Screen(
        **words,  # type: ignore[arg-type]  # the keys of the table are the fields, and each was read as what it takes
        **more,  # type: ignore[arg-type]
        deny_senders=AddressList(frozenset(_texts(given[("deny", "senders")]))),
        deny_participants=AddressList(frozenset(_texts(given[("deny", "participants")]))),
        no_crm=_folders(given[("folders", "no_crm")]),
        exclude=_folders(given[("folders", "exclude")]),
        include=_folders(given[("folders", "include")]),
    )


def _mailboxes(file: PolicyFile) -> dict[str, MailboxPolicy]:
    found: dict[str, MailboxPolicy] = {}
    for written in file.names(("mailboxes",)):
        under, address = ("mailboxes", written), normalise(written)
        if address is None:
            file.problem(under, f'mailboxes."{written}" must be named by an address such as "ann@example.com"')
        elif address in found:
            file.problem(under, f'mailboxes."{written}" is named twice; everything of a mailbox stands in one table')
        elif file.is_table(under):
            found[address] = _mailbox(file, under)
    return found


def _mailbox(file: PolicyFile, under: Path) -> MailboxPolicy:
    file.only(dict.fromkeys((*(key.path[0] for key in SCREEN_KEYS), *MAILBOX_OWNER.path)), under=under)
    for table in ("deny", "folders"):
        if file.is_table((*under, table)):
            inner = (key.path[1] for key in SCREEN_KEYS if key.path[0] == table)
            file.only(inner, under=(*under, table))
    given = {key.path: _narrowed(file, key, under) for key in SCREEN_KEYS}
    return MailboxPolicy(screen=_screen(given), owner=_record(_read(file, MAILBOX_OWNER, under)))


def _narrowed(file: PolicyFile, key: Key, under: Path) -> object:
    """A key of a mailbox; without being named it lets everything pass, and it may not be wider than the file's own."""
    path = (*under, *key.path)
    if not isinstance(key.takes, Choice):
        return _read(file, key, under) if file.has(path) else ()
    widest, allowed = key.takes.allowed[0], key.takes.allowed
    given, base = file.choice(path, allowed, widest), file.choice(key.path, allowed, str(key.default))
    if file.has(path) and allowed.index(given) < allowed.index(base):
        file.problem(path, f"{key.name} of a mailbox can only narrow: {base} holds for all, {given} would be wider")
    return given


def _regarding(file: PolicyFile, given: Mapping[Path, object]) -> RegardingRules:
    tables = _tables(file)
    known = (*REGARDING_RULES, *(table.name for table in tables), NO_RULE)
    path = ("regarding", "rules")
    rules = _texts(given[path])
    for rule in rules:
        if rule not in known:
            file.problem(path, f'regarding.rules holds "{rule}"; there are {", ".join(known)}', entry=rule)
    return RegardingRules(
        rules=rules[: rules.index(NO_RULE)] if NO_RULE in rules else rules,
        several=str(given[("regarding", "several")]),
        tokens=_texts(given[("regarding", "tokens")]),
        case_numbers=_texts(given[("regarding", "case_numbers")]),
        tables=tables,
    )


def _tables(file: PolicyFile) -> tuple[RelatedTable, ...]:
    path = ("regarding", "tables")
    if not file.is_tables(path):
        return ()
    found: list[RelatedTable] = []
    for number in file.names(path):
        under = (*path, number)
        file.only((key.path[0] for key in TABLE_KEYS), under=under)
        given = {key.path[0]: str(_read(file, key, under)) for key in TABLE_KEYS}
        if not (given["name"] and given["table"] and (given["contact"] or given["account"])):
            file.problem(under, "each [[regarding.tables]] needs a name, a table, and a lookup to contact or account")
        elif given["name"] in {*REGARDING_RULES, NO_RULE}:
            file.problem(under, f'"{given["name"]}" is the name of a rule of ours; call the table\'s rule otherwise')
        elif any(one.name == given["name"] for one in found):
            file.problem(under, f'"{given["name"]}" is the name of two tables\' rules; call one otherwise')
        else:
            lookups = {name: (given[name],) if given[name] else () for name in ("contact", "account")}
            found.append(RelatedTable(name=given["name"], table=given["table"], **lookups))
    return tuple(found)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, tuple) else ()


def _folders(value: object) -> frozenset[str]:
    return frozenset(name for one in _texts(value) if (name := folder_name(one)))


def _record(value: object) -> Record | None:
    if not value:
        return None
    table, _, row = str(value).partition(":")
    return Record(table=table, id=row)


def _sorted(value: frozenset[str]) -> list[str]:
    return sorted(value)


def _domains_above(domain: str) -> list[str]:
    """A domain and every one it lies below."""
    labels = domain.split(".")[-_MOST_LABELS:]
    return [".".join(labels[start:]) for start in range(len(labels))]


def _as_expression(pattern: str) -> str:
    """A pattern as an expression in which nothing is tried twice; before the last @ of an address others may stand."""
    local, _, domain = pattern.rpartition("@")
    return f"(?:{_part(local, '.')}@{_part(domain, '[^@]')})"


def _part(pattern: str, anything: str) -> str:
    """Each part between stars is met where it first comes, the last one at the end."""
    first, *others = map(re.escape, re.split(r"\*+", pattern))
    if not others:
        return first
    middle = "".join(f"(?>{anything}*?{part})" for part in others[:-1])
    return f"{first}{middle}{anything}*{others[-1]}"
