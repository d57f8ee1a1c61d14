"""Mutations: one thing of the mapping broken while the corpus is asked whether a case of it notices.

A text of a module is changed as somebody might who breaks it, and the functions that come out differently take the
place of their own. What is decided when a module is imported, a table or an expression, is changed by its name.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Protocol

from mapping import addresses, tracking
from mapping.policy import SKIP, Screen
from mapping.tracking import Case as Judged
from mapping.tracking import Rule, Skip
from tests.corpus import cases as corpus
from tests.corpus import world
from tests.corpus.cases import Case
from tests.corpus.expected import now, told

LOOKED_AT_FIRST = {
    "addresses": ("people", "hostile"),
    "attachments": ("files", "pictures", "hostile"),
    "body": ("body", "charsets"),
    "direction": ("direction", "people"),
    "email_activity": ("threads", "files", "owner"),
    "groups": ("people",),
    "guard": ("threads",),
    "headers": ("headers", "reports", "rules"),
    "identity": ("threads", "hostile"),
    "mapper": ("body", "people", "hostile"),
    "matches": ("people", "rules"),
    "notes": ("pictures", "files"),
    "owner": ("owner",),
    "parties": ("people", "hostile"),
    "pictures": ("pictures", "body"),
    "plain_text": ("body",),
    "policy": ("rules", "folders"),
    "records": ("records", "threads"),
    "regarding": ("records", "threads", "hostile"),
    "sanitiser": ("body", "hostile"),
    "subject": ("threads",),
    "text": ("charsets", "hostile"),
    "tracking": ("rules", "folders", "threads", "headers", "reports"),
}
"""The themes in which a mutation of a module is most likely noticed."""


class Mutation(Protocol):
    """Something that can be broken for a while."""

    @property
    def name(self) -> str:
        """What is broken."""

    @property
    def module(self) -> str:
        """Where, without the package."""

    def broken(self) -> Any:
        """A context in which it is."""


@dataclass(frozen=True)
class Edit:
    """A text that stands so many times in a module, and what stands there instead."""

    module: str
    name: str
    old: str
    new: str
    times: int = 1

    @contextmanager
    def broken(self) -> Iterator[None]:
        module = importlib.import_module(f"mapping.{self.module}")
        source = _source(module)
        found = source.count(self.old)
        assert found == self.times, f"mapping/{self.module}.py holds {found} times: {self.old}"
        mutated = _codes(compile(source.replace(self.old, self.new), str(module.__file__), "exec"))
        own = {function: function.__code__ for function in _functions(module)}
        changed = {function: mutated[function.__qualname__] for function in own if function.__qualname__ in mutated}
        assert any(_differs(code, own[function]) for function, code in changed.items()), "no function is changed"
        try:
            for function, code in changed.items():
                function.__code__ = code
            yield
        finally:
            for function, code in own.items():
                function.__code__ = code


@dataclass(frozen=True)
class Constant:
    """A table or an expression of a module, and what it is instead."""

    module: str
    name: str
    constant: str
    change: Callable[[Any], Any]

    @contextmanager
    def broken(self) -> Iterator[None]:
        module = importlib.import_module(f"mapping.{self.module}")
        before = getattr(module, self.constant)
        after = self.change(before)
        assert after != before, f"mapping/{self.module}.py: {self.constant} is not changed"
        setattr(module, self.constant, after)
        try:
            yield
        finally:
            setattr(module, self.constant, before)


@dataclass(frozen=True)
class Chain:
    """The chain of rules, changed."""

    name: str
    change: Callable[[tuple[Rule, ...]], tuple[Rule, ...]]
    module: str = "tracking"

    @contextmanager
    def broken(self) -> Iterator[None]:
        before = tracking.CHAIN
        tracking.CHAIN = self.change(before)
        try:
            yield
        finally:
            tracking.CHAIN = before


IS_ON: dict[str, Callable[[Screen], bool]] = {
    "deny_sender": lambda screen: bool(screen.deny_senders.entries),
    "deny_participant": lambda screen: bool(screen.deny_participants.entries),
    "draft": lambda _: True,
    "junk": lambda _: True,
    "trash": lambda _: True,
    "no_crm": lambda screen: bool(screen.no_crm),
    "folder_excluded": lambda screen: bool(screen.exclude),
    "folder_not_included": lambda screen: bool(screen.include),
    "thread_first": lambda screen: screen.thread == "first",
    "internal_only": lambda screen: screen.internal_only == SKIP,
    "private": lambda screen: screen.private == SKIP,
    "confidential": lambda screen: screen.confidential == SKIP,
    "receipt": lambda screen: screen.receipts == SKIP,
    "bounce": lambda screen: screen.bounces == SKIP,
    "automatic": lambda screen: screen.automatic == SKIP,
    "bulk": lambda screen: screen.bulk == SKIP,
    "invite": lambda screen: screen.invites == SKIP,
    "unknown_people": lambda screen: screen.track == "known",
    "untracked_thread": lambda screen: screen.track == "replies",
}
"""Whether the policy asks a rule at all."""


def of_the_chain() -> Iterator[Mutation]:
    """Each rule taken out, skipping whatever it is asked about, and yielding to Track or not as it does not."""
    for rule in tracking.CHAIN:
        name = f"{rule.name} at {rule.step.value}"
        yield Chain(f"{name} is gone", _each(rule, lambda _: ()))
        yield Chain(f"{name} skips all mail where it is on", _each(rule, lambda one: (_always(one),)))
        yields = "does not yield" if rule.yields_to_track else "yields"
        yield Chain(f"{name} {yields} to Track", _each(rule, lambda one: (_turned(one),)))
    yield Chain("the rules stand the other way round", lambda rules: rules[::-1])


def caught_by(mutation: Mutation) -> str | None:
    """The case that comes to something else while a thing is broken, if one does."""
    first = LOOKED_AT_FIRST[mutation.module]
    ordered = sorted(corpus.cases(), key=lambda one: (one.is_long, *(theme != one.theme for theme in first)))
    for one in ordered:
        told(one)
    return next((one.name for one in _those_that_notice(mutation, ordered)), None)


def is_noticed_by(mutation: Mutation, case: Case) -> bool:
    """Whether a case comes to something else while a thing is broken."""
    told(case)
    return any(True for _ in _those_that_notice(mutation, (case,)))


def _those_that_notice(mutation: Mutation, cases: Iterable[Case]) -> Iterator[Case]:
    with mutation.broken():
        _forget(mutation)
        try:
            yield from (one for one in cases if now(one) != told(one))
        finally:
            _forget(mutation)


def _forget(mutation: Mutation) -> None:
    """Nothing is remembered that followed from the code as it was."""
    addresses._normalised.cache_clear()
    corpus._policy.cache_clear()
    if mutation.module == "addresses":
        world.world.cache_clear()


def _each(rule: Rule, change: Callable[[Rule], tuple[Rule, ...]]) -> Callable[[tuple[Rule, ...]], tuple[Rule, ...]]:
    return lambda rules: tuple(done for one in rules for done in (change(one) if one is rule else (one,)))


def _always(rule: Rule) -> Rule:
    def judge(_: Judged, screen: Screen) -> Skip | None:
        return Skip(rule.name, "It is on.") if IS_ON[rule.name](screen) else None

    return replace(rule, judge=judge)


def _turned(rule: Rule) -> Rule:
    return replace(rule, yields_to_track=not rule.yields_to_track)


@cache
def _source(module: ModuleType) -> str:
    return Path(str(module.__file__)).read_text(encoding="utf-8")


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """The functions written in a module, those of its classes included."""
    holders = [
        module,
        *(one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__),
    ]
    for holder in holders:
        for value in vars(holder).values():
            plain = getattr(value, "__wrapped__", None) or getattr(value, "fget", None) or getattr(value, "func", None)
            function = plain or value
            if inspect.isfunction(function) and function.__code__.co_filename == module.__file__:
                yield function


def _codes(code: CodeType) -> dict[str, CodeType]:
    """Every function of compiled code, by its qualified name."""
    found = {}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found[constant.co_qualname] = constant
            found |= _codes(constant)
    return found


def _differs(code: CodeType, other: CodeType) -> bool:
    """Whether two do different things, whatever line they stand on."""
    plain = [
        (one.co_code, one.co_names, [c for c in one.co_consts if not isinstance(c, CodeType)]) for one in (code, other)
    ]
    if plain[0] != plain[1]:
        return True
    inner = [[c for c in one.co_consts if isinstance(c, CodeType)] for one in (code, other)]
    return any(_differs(a, b) for a, b in zip(*inner, strict=True))
