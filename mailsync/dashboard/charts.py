"""Small charts as SVG: bars of what became of mail, a meter, and the span that nobody has looked through yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mailsync.dashboard.facts import Gap, Slot, Tally
from mailsync.dashboard.markup import Markup, several, tag
from mailsync.dashboard.said import count

SERIES: tuple[tuple[str, str, Callable[[Tally], int]], ...] = (
    ("in", "in Dataverse", lambda tally: tally.in_dataverse),
    ("out", "kept out by a rule or gone", lambda tally: tally.kept_out),
    ("aside", "put aside", lambda tally: tally.put_aside),
)
"""The bars from the bottom up: class, name, and how many."""


def bars(slots: Sequence[Slot], *, width: int, height: int, gap: int, label: str, each: Callable[[int], str]) -> Markup:
    """A bar for each slot. `each` names a slot by its place."""
    top = max((slot.tally.ended for slot in slots), default=0)
    step = width / max(1, len(slots))
    drawn = [
        tag(
            "g",
            tag("title", f"{each(place)}: {told(slot.tally)}"),
            _stack(slot.tally, place * step, step - gap, height, top),
        )
        for place, slot in enumerate(slots)
        if slot.tally.ended
    ]
    ground = tag("path", d=f"M0 {height - 0.5}H{width}", class_="ground")
    return tag(
        "svg", ground, drawn, viewBox=f"0 0 {width} {height}", preserveAspectRatio="none", role="img", aria_label=label,
        class_="bars",
    )  # fmt: skip


def spark(slots: Sequence[Slot], *, label: str) -> Markup:
    """The same, small, as one path a series: there may be five hundred of them."""
    width, height, bar, step = 70, 20, 8, 10
    top = max((slot.tally.ended for slot in slots), default=0)
    paths: dict[str, list[str]] = {}
    for place, slot in enumerate(slots):
        y = float(height)
        for name, _, number in SERIES:
            tall = _tall(number(slot.tally), height, top)
            if tall:
                y -= tall
                paths.setdefault(name, []).append(f"M{place * step} {y:.1f}h{bar}v{tall:.1f}h-{bar}z")
    drawn = several(*(tag("path", d="".join(parts), class_=name) for name, parts in paths.items()))
    ground = tag("path", d=f"M0 {height - 0.5}H{width}", class_="ground")
    return tag("svg", ground, drawn, viewBox=f"0 0 {width} {height}", role="img", aria_label=label, class_="spark")


def meter(share: float | None, *, label: str, level: str) -> Markup:
    """How much is left of something."""
    filled = 0 if share is None else round(200 * min(1.0, max(0.0, share)), 1)
    return tag(
        "svg",
        tag("rect", width=200, height=8, rx=4, class_="track"),
        tag("rect", width=filled, height=8, rx=4, class_=f"fill {level}") if filled else None,
        viewBox="0 0 200 8",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
        class_="meter",
    )


def gap_bar(gap: Gap, *, begin: int, end: int, label: str) -> Markup:
    """Where in a span of time nobody has looked through the mail yet."""
    scale = 700 / max(1, end - begin)
    left = max(0.0, min((gap.begin - begin) * scale, 697.0))
    wide = max(3.0, min((gap.end - begin) * scale, 700.0) - left)
    return tag(
        "svg",
        tag("rect", width=700, height=10, rx=3, class_="track"),
        tag("rect", x=round(left, 1), width=round(wide, 1), height=10, rx=3, class_="open"),
        viewBox="0 0 700 10",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
        class_="gap",
    )


def told(tally: Tally) -> str:
    """What a bar shows, in words."""
    parts = [f"{count(number(tally))} {name}" for _, name, number in SERIES if number(tally)]
    return ", ".join(parts) if parts else "nothing"


def _stack(tally: Tally, x: float, width: float, height: int, top: int) -> list[Markup]:
    drawn, y = [], float(height)
    for name, _, number in SERIES:
        tall = _tall(number(tally), height, top)
        if tall:
            y -= tall
            drawn.append(
                tag("rect", x=round(x, 1), y=round(y, 1), width=round(width, 1), height=round(tall, 1), class_=name)
            )
    return drawn


def _tall(number: int, height: int, top: int) -> float:
    """How tall a part of a bar is: to scale, and never too small to be seen."""
    return max(1.5, number / top * (height - 2)) if number and top else 0.0
