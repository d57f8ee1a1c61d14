"""`simulate`: what a policy would do with the mail that is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress, TextColumn

from mailsync.admin.console import ending, progress_console, say, say_json, say_table, wiring_of
from mailsync.admin.options import WHEN, AsJson, span_of
from mailsync.windows import moment

if TYPE_CHECKING:
    from mailsync.simulate import Judged
    from mailsync.wiring import Wiring

MOST_SHOWN = 40
"""Messages, people or domains that a screen names; `--json` names all."""
MOST_POLICIES = 2
TRACKED = "tracked"


def simulate(
    context: typer.Context,
    *,
    mailbox: Annotated[
        str | None, typer.Option(help="Only this mailbox: a grant id or an address. All of them if it is left out.")
    ] = None,
    since: Annotated[str, typer.Option(help=f"Mail received from: {WHEN}.")] = "7d",
    until: Annotated[str | None, typer.Option(help="Mail received until, likewise; now if it is left out.")] = None,
    policy: Annotated[
        list[Path] | None,
        typer.Option(help="A policy file to try; twice to compare two. The deployed one if it is left out."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge real mail by a policy, and write nothing.

    Shows what would be tracked and what which rule would skip, by person and domain. Given two policies it shows where
    they differ. Reads each message once from its mailbox, as the app does, and asks Dataverse whose the addresses are;
    the output names people and subjects, which no log of the app does.

    `python -m mailsync simulate --since 14d --policy tracking.toml --policy new.toml`
    """
    if policy is not None and len(policy) > MOST_POLICIES:
        raise typer.BadParameter("can be given twice at most", param_hint="--policy")
    with ending(as_json=as_json):
        wiring = wiring_of(context)
        begin, end = span_of(since, until, now=wiring.clock())
        names = [file.name for file in policy] if policy else ["the deployed policy"]
        judged = _judged(wiring, mailbox, policy, begin, end)
    if as_json:
        say_json(_as_json(judged, names, begin, end))
    else:
        _say(judged, names)


def _judged(wiring: Wiring, mailbox: str | None, files: Sequence[Path] | None, since: int, until: int) -> list[Judged]:
    policies = [wiring.read_policy(file) for file in files] if files else [wiring.policy]
    mailboxes = [wiring.mailbox(mailbox)] if mailbox is not None else wiring.valid_mailboxes()
    columns = (TextColumn("{task.completed} messages judged"),)
    with Progress(*columns, console=progress_console(), transient=True) as progress:
        task = progress.add_task("", total=None)
        return wiring.simulator.simulate(
            mailboxes, policies, since=since, until=until, watch=lambda number: progress.advance(task, number)
        )


def _say(judged: list[Judged], names: list[str]) -> None:
    counts = [Counter(one.rules[place] for one in judged) for place in range(len(names))]
    rules = sorted({rule for count in counts for rule in count}, key=lambda rule: (rule != TRACKED, rule))
    say_table(("", *names), [(rule, *(str(count[rule]) for count in counts)) for rule in rules], numbers=True)
    if len(names) > 1:
        _say_differences([one for one in judged if one.differs])
        return
    say("", "By domain:")
    groups = Counter((_domain(one), one.rules[0]) for one in judged)
    rows = [(name or "(nobody)", rule, str(number)) for (name, rule), number in groups.most_common(MOST_SHOWN)]
    say_table(("", "outcome", "messages"), rows)
    say("", "The newest:")
    say_table(
        ("received", "with", "subject", "outcome"),
        [(_dated(one), one.person, one.subject[:60], one.rules[0]) for one in judged[:MOST_SHOWN]],
    )


def _say_differences(differing: list[Judged]) -> None:
    say("", f"{len(differing)} messages are judged otherwise:")
    for title, by in (("person", _person), ("domain", _domain)):
        groups = Counter((by(one), one.rules) for one in differing)
        rows = [(name or "(nobody)", *rules, str(number)) for (name, rules), number in groups.most_common(MOST_SHOWN)]
        say("")
        say_table((title, "first", "second", "messages"), rows)


def _person(one: Judged) -> str:
    return one.person


def _domain(one: Judged) -> str:
    return one.person.rpartition("@")[2]


def _dated(one: Judged) -> str:
    return moment(one.date) if one.date is not None else "undated"


def _as_json(judged: list[Judged], names: list[str], since: int, until: int) -> dict[str, Any]:
    return {
        "since": moment(since),
        "until": moment(until),
        "policies": names,
        "counts": [dict(Counter(one.rules[place] for one in judged)) for place in range(len(names))],
        "differing": sum(one.differs for one in judged),
        "messages": [
            {
                "grant": one.grant,
                "message": one.message,
                "received": _dated(one),
                "with": one.person,
                "subject": one.subject,
                "outcomes": list(one.rules),
            }
            for one in judged
        ],
    }
