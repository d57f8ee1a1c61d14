"""What holds mail up: messages that were put aside, and the errors of a day by how far they reach."""

from __future__ import annotations

from mailsync.dashboard.elements import code, empty, section, unread
from mailsync.dashboard.facts import AsideItem, AsideStatus, ErrorStatus, Facts, Trouble
from mailsync.dashboard.markup import Markup, tag
from mailsync.dashboard.said import age, count, when

SCOPES = (
    ("organisation", "The organisation", "all mail"),
    ("mailbox", "One mailbox", "that mailbox's mail alone"),
    ("message", "One message", "that message alone"),
)


def put_aside(aside: AsideStatus | None) -> Markup:
    """The newest of what waits for a person, each with its reason and a button to replay it."""
    if aside is None:
        return section("aside", "Put aside", unread("What was put aside"))
    if not aside.newest:
        return section("aside", "Put aside", empty("Nothing is put aside: every message could be written."))
    items = tag("ul", [_item(one) for one in aside.newest], class_="items")
    shown = f"the newest {len(aside.newest)} of {count(aside.waiting)}{' or more' if aside.is_more else ''}"
    note = f"{shown}; all with `python -m mailsync aside list`" if aside.waiting > len(aside.newest) else None
    return section("aside", "Put aside", items, note=note and code(note))


def _item(one: AsideItem) -> Markup:
    named = tag("span", f" {one.what} {one.key.partition(':')[2][:12]}", class_="unseen")
    replay = tag("button", "Replay", named, type="button", data_replay=one.key, data_of=one.grant)
    explain = tag(
        "button", "Explain", named, type="button", class_="quiet", data_explain=one.message, data_of=one.grant
    )
    return tag(
        "li",
        tag(
            "div",
            tag("p", tag("b", one.title), class_="what"),
            tag("p", one.do, " ", tag("span", f"({one.who})", class_="soft"), class_="do"),
            tag("p", tag("code", one.reason), tag("span", one.advice, class_="soft"), class_="advice"),
            tag("p", tag("code", one.evidence), class_="evidence") if one.evidence else None,
        ),
        tag(
            "div",
            tag("p", when(one.noted)),
            tag("p", one.what, " of ", tag("span", one.grant[:8], class_="grant"), class_="soft"),
            tag("p", replay, explain if one.message else None, class_="js-only acts"),
            class_="beside",
        ),
        id=f"aside-{one.grant}-{one.key}",
        class_="item",
    )


def errors(facts: Facts) -> Markup:
    """Why mail was tried again or put aside in a day, and what is in the way just now."""
    if facts.mail is None:
        return section("errors", "Errors", unread("The errors"))
    columns = [
        tag(
            "div",
            tag("h3", name, tag("span", f" holds up {reach}", class_="soft")),
            _errors_of([one for one in facts.mail.errors if one.scope == scope]),
        )
        for scope, name, reach in SCOPES
    ]
    now = _now_in_the_way(facts)
    return section("errors", "Errors of the last 24 hours", now, tag("div", columns, class_="three"))


def _now_in_the_way(facts: Facts) -> Markup | None:
    seen = facts.instances
    if seen is None:
        return unread("What is in the way just now")
    if not seen.troubles and not seen.closed:
        return None
    troubles = [_trouble(one, facts.made) for one in seen.troubles]
    gates = [
        tag("li", tag("b", f"{name.capitalize()} is left alone"), " until ", when(until))
        for name, until in seen.closed.items()
    ]
    return tag("div", tag("h3", "In the way just now"), tag("ul", troubles, gates), class_="now")


def _trouble(one: Trouble, now: int) -> Markup:
    evidence = tag("code", one.evidence) if one.evidence else None
    since = tag("span", "since ", when(one.since), ", last ", age(one.at, now), class_="soft")
    return tag("li", tag("b", one.title), ": ", one.advice, " ", evidence, " ", since)


def _errors_of(errors: list[ErrorStatus]) -> Markup:
    if not errors:
        return empty("none")
    return tag("ul", [_error(one) for one in errors], class_="errors")


def _error(one: ErrorStatus) -> Markup:
    return tag(
        "li",
        tag("p", tag("b", one.title), class_="what"),
        tag("p", one.do, " ", tag("span", f"({one.who})", class_="soft"), class_="do"),
        tag(
            "p",
            f"{count(one.day)} in 24 hours, {count(one.hour)} of late ",
            tag("code", one.reason),
            class_="soft",
        ),
    )
