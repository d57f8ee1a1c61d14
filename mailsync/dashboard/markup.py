"""Makes HTML of values: whatever is not markup itself is escaped, by construction."""

from __future__ import annotations

from html import escape

Child = object
"""Text, markup, a number, None for nothing, or several of these."""
VOID = frozenset({"meta", "link", "input", "br", "hr", "path", "rect", "circle", "use", "line"})
"""Elements without an end tag, and those of SVG that have no content here."""


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: Child, **attributes: object) -> Markup:
    """An element. `class_` is `class`, `aria_label` is `aria-label`; True is a bare attribute, None and False none."""
    told = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{told}>" if name not in _SVG else f"<{name}{told}/>")
    return Markup(f"<{name}{told}>{several(*children)}</{name}>")


def several(*children: Child) -> Markup:
    """Children one after the other."""
    return Markup("".join(_child(one) for one in children))


def _child(child: Child) -> str:
    if isinstance(child, Markup):
        return child
    if child is None or child is False:
        return ""
    if isinstance(child, (list, tuple)):
        return several(*child)
    return escape(str(child), quote=False)


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


_SVG = frozenset({"path", "rect", "circle", "use", "line"})
