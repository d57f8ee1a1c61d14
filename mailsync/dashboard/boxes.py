"""The mailboxes: one line each, and behind it all that is known of one."""

from __future__ import annotations

from mailsync.dashboard.charts import gap_bar, spark, told
from mailsync.dashboard.elements import code, empty, fact, icon, section, unread
from mailsync.dashboard.facts import DAY, Facts, Level, MailboxStatus, Tally
from mailsync.dashboard.markup import Child, Markup, tag
from mailsync.dashboard.reasons import meaning_of
from mailsync.dashboard.said import age, count, many, span, spelled, when

PROVIDERS = {
    "google": "Google",
    "microsoft": "Microsoft",
    "imap": "IMAP",
    "icloud": "iCloud",
    "yahoo": "Yahoo",
    "ews": "Exchange",
}
HEADS = ("State", "Mailbox", "Looked through", "Last written", "Today", "Seven days", "Unexplained", "Put aside")
SORTS = (
    ("worst", "worst first"),
    ("swept", "looked through longest ago"),
    ("written", "written longest ago"),
    ("mail", "most mail"),
    ("name", "name"),
)
KINDS = {
    "written": "written",
    "adopted": "adopted",
    "already_there": "already there",
    "skipped": "kept out by a rule",
    "gone": "gone before it was read",
    "removed": "removed in Dataverse",
    "put_aside": "put aside",
    "deferred": "tried again",
}


def mailboxes(facts: Facts) -> Markup:
    """All mailboxes, the worst first; the script finds, sorts and pages them."""
    told_of = facts.mailboxes
    if told_of is None:
        return section("mailboxes", "Mailboxes", unread("The mailboxes"))
    if not told_of:
        return section("mailboxes", "Mailboxes", empty("No mailbox is connected."))
    levels = [(level, sum(one.level is level for one in told_of)) for level in Level]
    note = ", ".join(f"{count(number)} {_level_word(level)}" for level, number in levels if number)
    heads = tag("div", [tag("span", head) for head in HEADS], class_="heads", aria_hidden="true")
    listed = tag("ul", [_mailbox(one, facts) for one in told_of], id="boxes", class_="boxes")
    return section("mailboxes", "Mailboxes", _tools(), heads, listed, _pages(), note=note)


def _tools() -> Markup:
    find = tag("input", type="search", id="find", autocomplete="off", spellcheck="false", placeholder="grant, provider")
    levels = [tag("option", _level_word(level), value=level) for level in Level]
    return tag(
        "div",
        tag("label", "Find", for_="find"),
        find,
        tag("label", "Show", for_="show"),
        tag("select", tag("option", "all", value=""), levels, id="show"),
        tag("label", "Sort by", for_="sort"),
        tag("select", [tag("option", said, value=name) for name, said in SORTS], id="sort"),
        tag("p", role="status", id="found", class_="soft"),
        class_="tools js-only",
        data_keep=True,
    )


def _pages() -> Markup:
    return tag(
        "div",
        tag("button", "Before", type="button", id="page-before"),
        tag("span", id="page-at"),
        tag("button", "Next", type="button", id="page-next"),
        class_="pages js-only",
        data_keep=True,
        role="group",
        aria_label="Pages of mailboxes",
    )


def _level_word(level: Level) -> str:
    return {
        Level.TROUBLE: "stopped",
        Level.ATTENTION: "to look at",
        Level.NEW: "new",
        Level.GOOD: "up to date",
        Level.GONE: "disconnected",
    }[level]


def _mailbox(one: MailboxStatus, facts: Facts) -> Markup:
    now = facts.made
    unexplained = one.proof.unexplained if one.proof is not None else None
    provider = PROVIDERS.get(one.provider, one.provider or "unknown")
    summary = tag(
        "summary",
        tag("span", icon(one.level), one.word, class_=f"state {one.level}"),
        tag("span", tag("b", one.grant[:8], class_="grant"), tag("span", provider, class_="soft"), class_="who-is"),
        _cell("looked through", age(one.proved_until, now)),
        _cell("last written", age(one.last_written, now), often=False),
        _cell("today", count(one.today.in_dataverse)),
        tag("span", spark(one.days, label=f"Seven days: {told(one.week)}"), class_="cell"),
        _cell("unexplained", "?" if unexplained is None else count(unexplained), bad=bool(unexplained), often=False),
        _cell("put aside", count(one.put_aside), bad=bool(one.put_aside), often=False),
    )
    return tag(
        "li",
        tag("details", summary, _more(one, facts), id=f"box-{one.grant}"),
        id=f"row-{one.grant}",
        data_grant=one.grant,
        data_level=one.level,
        data_rank=one.rank,
        data_swept=one.proved_until or 0,
        data_written=one.last_written or 0,
        data_mail=one.week.in_dataverse,
        data_find=f"{one.grant} {provider} {one.word} {one.grant_status}".lower(),
    )


def _cell(name: str, value: Child, *, bad: bool = False, often: bool = True) -> Markup:
    """A cell of a mailbox's line. A small screen shows what is looked at often, and of the rest what is bad."""
    return tag(
        "span",
        tag("span", f"{name} ", class_="name-of"),
        tag("span", value, class_="bad" if bad else None),
        class_="cell" if often or bad else "cell seldom",
    )


def _more(one: MailboxStatus, facts: Facts) -> Markup:
    now = facts.made
    reasons = list(one.week.by_reason.items())[:6]
    return tag(
        "div",
        tag(
            "p",
            icon(one.level),
            tag("span", one.why, " ", code(one.do), f" ({one.who})" if one.who else ""),
            class_=f"why {one.level}",
        )
        if one.why
        else None,
        _gap(one, now),
        tag(
            "dl",
            fact("Grant", tag("code", one.grant), wide=True),
            fact("State at Nylas", one.grant_status or "unknown", *_since_when(one)),
            fact("Connected", when(one.connected)),
            fact("Looked through until", when(one.proved_until)),
            fact("Last look", when(one.swept)),
            fact("Last email written", when(one.last_written)),
            fact("Waits longest", f"{span(one.lag)}, as of the last look" if one.lag else "nothing waits"),
            fact("Last proof", *_proof_of(one), wide=True),
        ),
        _outcomes(one.today, one.week),
        tag(
            "p",
            "Why, in seven days: ",
            ", ".join(f"{_reason(what)} {count(number)}" for what, number in reasons),
            class_="soft",
        )
        if reasons
        else None,
        tag("button", "Look through the last day again", type="button", class_="js-only sweep", data_sweep=one.grant)
        if one.grant_status == "valid"
        else None,
        class_="more",
    )


def _since_when(one: MailboxStatus) -> list[Child]:
    return [" since ", when(one.since)] if one.since is not None and one.grant_status != "valid" else []


def _reason(what: str) -> str:
    kind, _, reason = what.partition(" ")
    return reason.replace("_", " ") if kind == "skipped" else meaning_of(reason).title


def _proof_of(one: MailboxStatus) -> list[Child]:
    proof = one.proof
    if proof is None:
        return ["none yet"]
    if proof.advice:
        return [proof.advice, ", ", when(proof.made)]
    found = "all accounted for"
    if proof.unexplained or proof.doubled or proof.left_open:
        found = f"{proof.unexplained} unexplained, {proof.doubled} doubled, {proof.left_open} left open"
    return [f"{many(proof.seen, 'message')} of {span(proof.until - proof.since)}, {found}, ", when(proof.made)]


def _gap(one: MailboxStatus, now: int) -> Markup | None:
    gap = one.gap
    if gap is None:
        return None
    state = "it is being worked through" if gap.is_closing else "it stays open until the owner signs in"
    long = span(gap.end - gap.begin)
    label = f"Not looked through yet: from {spelled(gap.begin)} until {spelled(gap.end)}, {long}; {state}"
    return tag(
        "div",
        tag("p", tag("b", "Not looked through yet"), " from ", when(gap.begin), f" until now, {long}: {state}."),
        gap_bar(gap, begin=min(now - 7 * DAY, gap.begin), end=now, label=label),
        class_="gap-told",
    )


def _outcomes(today: Tally, week: Tally) -> Markup:
    kinds = [kind for kind in KINDS if kind in week.by_kind or kind in {"written", "skipped"}]
    rows = [
        tag(
            "tr",
            tag("th", KINDS[kind], scope="row"),
            tag("td", count(today.by_kind.get(kind, 0))),
            tag("td", count(week.by_kind.get(kind, 0))),
        )
        for kind in kinds
    ]
    heads = tag("tr", [tag("th", head, scope="col") for head in ("outcome", "today", "7 days")])
    caption = tag("caption", "Outcomes", class_="unseen")
    return tag("table", caption, tag("thead", heads), tag("tbody", rows), class_="outcomes")
