"""What became of mail, hour by hour and day by day: as bars, and as a table for who can't see them."""

from __future__ import annotations

from collections.abc import Callable

from mailsync.dashboard.charts import SERIES, bars, told
from mailsync.dashboard.elements import section, unread
from mailsync.dashboard.facts import HOUR, MailStatus, Slot
from mailsync.dashboard.markup import Markup, tag
from mailsync.dashboard.said import count, spelled


def flow(mail: MailStatus | None) -> Markup:
    """A day by the hour and a week by the day."""
    if mail is None:
        return section("flow", "What became of mail", unread("The counts"))
    table = tag(
        "details",
        tag("summary", "The same as a table"),
        tag(
            "div",
            _table("By the hour", "hour (UTC)", mail.hours, lambda at: spelled(at)[:16]),
            _table("By the day", "day (UTC)", mail.days, lambda at: spelled(at)[:10]),
            class_="tables",
        ),
        id="flow-table",
    )
    charts = tag("div", _hours(mail), _days(mail), class_="charts")
    return section("flow", "What became of mail", charts, _legend(), table)


def _hours(mail: MailStatus) -> Markup:
    drawn = bars(
        mail.hours,
        width=480,
        height=96,
        gap=3,
        label=f"The last 24 hours: {told(mail.day)}",
        each=lambda place: f"{_clock(mail.hours[place].start)} to {_clock(mail.hours[place].start + HOUR)} UTC",
    )
    axis = [tag("span", said) for said in ("a day ago", "12 hours", "now")]
    caption = tag("figcaption", "24 hours, by the hour", tag("span", told(mail.day), class_="soft"))
    return tag("figure", caption, drawn, tag("p", axis, class_="axis", aria_hidden="true"))


def _days(mail: MailStatus) -> Markup:
    drawn = bars(
        mail.days,
        width=210,
        height=96,
        gap=8,
        label=f"The last seven days: {told(mail.week)}",
        each=lambda place: spelled(mail.days[place].start)[:10],
    )
    axis = [tag("span", spelled(slot.start)[8:10]) for slot in mail.days]
    caption = tag("figcaption", "Seven days", tag("span", told(mail.week), class_="soft"))
    return tag("figure", caption, drawn, tag("p", axis, class_="axis days", aria_hidden="true"))


def _clock(at: int) -> str:
    return spelled(at)[11:16]


def _legend() -> Markup:
    keys = [tag("li", _swatch(name), said) for name, said, _ in SERIES]
    return tag("ul", keys, class_="legend", aria_label="Colours")


def _swatch(name: str) -> Markup:
    return tag("svg", tag("rect", width=12, height=12, rx=2, class_=name), viewBox="0 0 12 12", aria_hidden="true")


def _table(caption: str, first: str, slots: tuple[Slot, ...], named: Callable[[int], str]) -> Markup:
    heads = (first, *(name for _, name, _ in SERIES), "tried again")
    rows = [
        tag(
            "tr",
            tag("th", named(slot.start), scope="row"),
            [tag("td", count(number(slot.tally))) for _, _, number in SERIES],
            tag("td", count(slot.tally.tried_again)),
        )
        for slot in reversed(slots)
    ]
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", [tag("th", head, scope="col") for head in heads])),
        tag("tbody", rows),
    )
