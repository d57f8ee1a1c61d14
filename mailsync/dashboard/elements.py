"""What every part of the page is made with: a section, an icon, a fact with its name."""

from __future__ import annotations

import base64

from mailsync.dashboard.facts import Level
from mailsync.dashboard.markup import Child, Markup, several, tag

ICONS = {
    Level.GOOD: '<circle cx="12" cy="12" r="9"/><path d="M8 12.5l2.7 2.7L16 9.5"/>',
    Level.ATTENTION: '<path d="M12 4L21 20H3z"/><path d="M12 10v4.5M12 17.4v.1"/>',
    Level.TROUBLE: '<path d="M8.3 3h7.4L21 8.3v7.4L15.7 21H8.3L3 15.7V8.3z"/><path d="M9 9l6 6M15 9l-6 6"/>',
    Level.NEW: '<circle cx="12" cy="12" r="9"/><path d="M12 7v5.3l3.4 2"/>',
    Level.GONE: '<circle cx="12" cy="12" r="9" stroke-dasharray="3 3"/><path d="M8 12h8"/>',
}
"""A shape for each level, so that nobody needs its colour."""
TINTS = {
    Level.GOOD: "#137a4b",
    Level.ATTENTION: "#b26a00",
    Level.TROUBLE: "#c0271d",
    Level.NEW: "#3a63ad",
    Level.GONE: "#66707c",
}
STROKE = 'fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"'


def favicon(level: Level) -> str:
    """The sign of a level, for the tab."""
    drawn = STROKE.replace("currentColor", TINTS[level])
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" {drawn}>{ICONS[level]}</svg>'
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def icon_symbols() -> Markup:
    """Each sign once, for all places where it is shown."""
    symbols = (
        Markup(f'<symbol id="i-{level}" viewBox="0 0 24 24" {STROKE}>{drawn}</symbol>')
        for level, drawn in ICONS.items()
    )
    return tag("svg", *symbols, class_="defs", aria_hidden="true")


def icon(level: Level | str) -> Markup:
    """The sign of a level."""
    return tag("svg", tag("use", href=f"#i-{level}"), class_="icon", aria_hidden="true")


def section(name: str, title: str, *children: Child, note: Child = None) -> Markup:
    """A part of the page under its heading."""
    return tag(
        "section",
        tag(
            "div", tag("h2", title, id=f"{name}-title"), tag("p", note, class_="note") if note else None, class_="title"
        ),
        *children,
        id=name,
        aria_labelledby=f"{name}-title",
    )


def empty(text: str) -> Markup:
    """What is said where there is nothing to show."""
    return tag("p", code(text), class_="empty")


def unread(what: str) -> Markup:
    """What is said where a part could not be read."""
    return tag(
        "p",
        icon(Level.ATTENTION),
        f"{what} could not be read just now. The top of the page says why.",
        class_="unread",
    )


def code(text: str) -> Markup:
    """A text in which `this` is something to type."""
    parts = text.split("`")
    return several(*(tag("code", part) if place % 2 else part for place, part in enumerate(parts)))


def fact(name: str, *value: Child, wide: bool = False) -> Markup:
    """A fact with its name."""
    return tag("div", tag("dt", name), tag("dd", *value), class_="wide" if wide else None)
