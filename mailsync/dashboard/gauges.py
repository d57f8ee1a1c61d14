"""How much waits on the queues, how much is left of Dataverse's budget, and what the last nightly proofs came to."""

from __future__ import annotations

from mailsync.dashboard.charts import meter
from mailsync.dashboard.elements import empty, fact, section, unread
from mailsync.dashboard.facts import Facts, Level
from mailsync.dashboard.markup import Markup, tag
from mailsync.dashboard.said import age, count, when


def queues(facts: Facts) -> Markup:
    """How much waits on each queue."""
    queues = facts.queues
    if queues is None:
        return section("queues", "Queues", unread("The queues"))
    rows = [
        tag(
            "tr",
            tag("th", queue.title, scope="row"),
            tag("td", tag("span", count(queue.waiting), class_="bad" if queue.is_poison and queue.waiting else None)),
            tag("td", age(queue.oldest, facts.made, never="-")),
        )
        for queue in queues
    ]
    heads = tag("tr", [tag("th", head, scope="col") for head in ("Queue", "waiting", "oldest came")])
    table = tag(
        "table",
        tag("caption", "How much waits on each queue", class_="unseen"),
        tag("thead", heads),
        tag("tbody", rows),
    )
    return section("queues", "Queues", table)


def dataverse(facts: Facts) -> Markup:
    """What Dataverse last said of our budget."""
    if facts.instances is None:
        return section("dataverse", "Dataverse's budget", unread("The budget"))
    budget = facts.instances.dataverse
    if budget is None:
        return section("dataverse", "Dataverse's budget", empty("Dataverse has not been asked of late."))
    seconds = None if budget.seconds_left is None else budget.seconds_left / budget.seconds
    requests = None if budget.requests_left is None else budget.requests_left / budget.requests
    return section(
        "dataverse",
        "Dataverse's budget",
        _left("Requests", requests, budget.requests_left, budget.requests, ""),
        _left("Execution time", seconds, budget.seconds_left, budget.seconds, " s"),
        tag(
            "p",
            f"It recommends {budget.hint} requests at once; " if budget.hint is not None else "",
            f"the app allows itself {budget.at_once}. Of five minutes, on one of its servers. Last answer ",
            age(budget.at, facts.made),
            ".",
            class_="soft",
        ),
    )


def _left(name: str, share: float | None, left: float | None, of: int, unit: str) -> Markup:
    said = "not told" if left is None else f"{left:,.0f} of {of:,}{unit} left"
    level = Level.GOOD if share is None or share > 0.5 else Level.ATTENTION if share > 0.1 else Level.TROUBLE
    return tag(
        "div", tag("p", name, tag("span", said), class_="left"), meter(share, label=f"{name}: {said}", level=level)
    )


def proof(facts: Facts) -> Markup:
    """What the last proofs of all mailboxes came to."""
    proof = facts.proof
    if proof is None:
        return section("proof", "Nightly proof", unread("The proofs"))
    if proof.made is None:
        return section("proof", "Nightly proof", empty("None yet. `python -m mailsync verify` makes one now."))
    rows = (
        ("Mailboxes proved", f"{count(proof.mailboxes)} of {count(proof.of)}", False),
        ("Messages seen", count(proof.seen), False),
        ("Unexplained", count(proof.unexplained), bool(proof.unexplained)),
        ("Doubled", count(proof.doubled), bool(proof.doubled)),
        ("Left open", count(proof.left_open), bool(proof.left_open)),
    )
    facts_told = [fact(name, tag("span", said, class_="bad" if bad else None)) for name, said, bad in rows]
    return section(
        "proof",
        "Nightly proof",
        tag("dl", facts_told, class_="rows"),
        tag("p", "The oldest of them was made ", when(proof.made), ".", class_="soft"),
    )
