"""`backfill`: bring old mail of a mailbox, see how far that is, and pause, resume or cancel it from any terminal."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.progress import Progress as Bar
from rich.progress import TextColumn
from rich.text import Text

from mailsync.admin.console import (
    ending,
    progress_console,
    say,
    say_facts,
    say_json,
    say_json_line,
    say_table,
    wiring_of,
)
from mailsync.admin.options import WHEN, AsJson, span_of
from mailsync.outcome import Kind
from mailsync.windows import moment

if TYPE_CHECKING:
    from mailsync.backfill import Progress
    from mailsync.rehearse import Rehearsed
    from mailsync.storage.backfills import Backfill
    from mailsync.storage.mailboxes import Mailbox
    from mailsync.wiring import Wiring

DAY = 86_400
MOST_SHOWN = 20
EVERY = 5.0
"""Seconds between two looks of `watch`; a look reads a record of each message that was brought."""
WITH_REASONS = (Kind.SKIPPED, Kind.DEFERRED, Kind.PUT_ASIDE)
UNTOLD = (
    "Whether the app's role has prvBypassCustomBusinessLogic can't be told by who is not the app: its admin function "
    "`manage/doctor` tells. Without it this mail waits, as `bypass_refused`."
)


class Automation(StrEnum):
    """Whether what the organisation automated in Dataverse answers the mail."""

    RUN = "run"
    BYPASS = "bypass"


app = typer.Typer(
    invoke_without_command=True,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help=(
        "Bring old mail of a mailbox into Dataverse.\n\n"
        "The function app does it, page by page and behind all other mail: a page is listed only while the queue is "
        "nearly empty. What the journal knows is left alone, so it can be begun again at any time; what was removed "
        "from Dataverse or erased stays gone. The rules of the policy hold as ever. Mail from before the mailbox was "
        "connected, or before SYNC_SINCE, is brought too; that of the last quarter of an hour is left to its "
        "webhooks.\n\n"
        "`python -m mailsync backfill --mailbox ann@contoso.com --since 2024-01-01 --automation bypass` begins one; "
        "with `--dry-run` it only says what would happen."
    ),
)
Id = Annotated[
    str, typer.Argument(metavar="ID", help="The id of the backfill, or its beginning, as `backfill list` shows it.")
]


@app.callback()
def start(
    context: typer.Context,
    *,
    mailbox: Annotated[str | None, typer.Option(help="A grant id, or an address of the mailbox.")] = None,
    since: Annotated[str | None, typer.Option(help=f"Mail received from: {WHEN}.")] = None,
    until: Annotated[str | None, typer.Option(help="Mail received until, likewise; now if it is left out.")] = None,
    folder: Annotated[
        str | None, typer.Option(help="Only this folder or label: its id, its name, or what it is, such as `sent`.")
    ] = None,
    automation: Annotated[
        Automation | None,
        typer.Option(
            help="Whether plug-ins, workflows and flows of your organisation answer this mail. `bypass` needs the "
            "privilege prvBypassCustomBusinessLogic. Must be chosen for mail older than a day."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Begin a backfill."""
    if context.invoked_subcommand is not None:
        return
    if mailbox is None or since is None:
        raise typer.BadParameter("are needed to begin a backfill", param_hint="--mailbox and --since")
    with ending(as_json=as_json):
        wiring = wiring_of(context)
        begin, end = span_of(since, until, now=wiring.clock())
        if automation is None and not dry_run and begin < wiring.clock() - DAY:
            raise typer.BadParameter(
                "for mail older than a day say whether your own plug-ins and flows shall answer it: run or bypass",
                param_hint="--automation",
            )
        found = wiring.mailbox(mailbox)
        folder_id = wiring.folder(found.grant, folder) if folder is not None else ""
        if dry_run:
            rehearsed = _rehearsed(wiring, found, begin, end, folder_id)
        else:
            bypass = automation is Automation.BYPASS
            begun = wiring.backfiller.start(found, since=begin, until=end, folder=folder_id, bypass=bypass)
            if bypass and wiring.may_bypass is None:
                typer.echo(UNTOLD, err=True)
    if dry_run:
        _say_rehearsed(rehearsed, begin, as_json=as_json)
    elif as_json:
        say_json(_facts(begun))
    else:
        say(
            f"Backfill {begun.id} has begun: {found.grant} from {moment(begun.since)} to {moment(begun.until)}.",
            f"Next: python -m mailsync backfill watch {begun.id}",
        )


@app.command("list")
def list_(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List the backfills there were, the newest first.

    `python -m mailsync backfill list --json`
    """
    with ending(as_json=as_json):
        found = wiring_of(context).backfiller.all()
    if as_json:
        say_json({"backfills": [_facts(one) for one in found]})
        return
    if not found:
        say("There was none yet.")
        return
    say_table(
        ("id", "state", "grant", "from", "to", "found", "enqueued", "begun"),
        (
            (
                one.id,
                _state(one),
                one.grant,
                moment(one.since),
                moment(one.until),
                str(one.found),
                str(one.enqueued),
                moment(one.made),
            )
            for one in found
        ),
    )


@app.command()
def show(context: typer.Context, *, backfill: Id, as_json: AsJson = False) -> None:
    """Show how far a backfill is, counted from the journal.

    `python -m mailsync backfill show 3f2a`
    """
    with ending(as_json=as_json):
        backfiller = wiring_of(context).backfiller
        progress = backfiller.progress(backfiller.named(backfill))
    _say(progress, as_json=as_json)


@app.command()
def watch(
    context: typer.Context,
    *,
    backfill: Id,
    every: Annotated[float, typer.Option(min=1.0, help="Seconds between two looks.")] = EVERY,
    as_json: AsJson = False,
) -> None:
    """Show how far a backfill is until it is over and its mail written; with `--json` a line for each look.

    Ctrl-C ends the watching and not the backfill. Ends with 1 if the backfill failed or was cancelled.

    `python -m mailsync backfill watch 3f2a`
    """
    with ending(as_json=as_json):
        wiring = wiring_of(context)
        named = wiring.backfiller.named(backfill)
        with Live(console=progress_console(), transient=True, auto_refresh=False) as live:
            while True:
                progress = wiring.backfiller.progress(wiring.backfiller.named(named.id))
                if as_json:
                    say_json_line(_told(progress))
                else:
                    live.update(Text("\n".join(f"{name:<14}{fact}" for name, fact in _lines(progress))), refresh=True)
                if progress.is_over:
                    break
                time.sleep(every / wiring.hurry)
    if not as_json:
        _say(progress, as_json=False)
    if progress.backfill.state != "done":
        raise typer.Exit(1)


@app.command()
def pause(context: typer.Context, *, backfill: Id, as_json: AsJson = False) -> None:
    """Let a backfill rest; what is on the queue already is still written.

    `python -m mailsync backfill pause 3f2a`
    """
    with ending(as_json=as_json):
        backfiller = wiring_of(context).backfiller
        after = backfiller.pause(backfiller.named(backfill).id)
    _say_state(after, as_json=as_json)


@app.command()
def resume(context: typer.Context, *, backfill: Id, as_json: AsJson = False) -> None:
    """Let a backfill that was paused, or has failed, go on where it was.

    `python -m mailsync backfill resume 3f2a`
    """
    with ending(as_json=as_json):
        backfiller = wiring_of(context).backfiller
        after = backfiller.resume(backfiller.named(backfill).id)
    _say_state(after, as_json=as_json)


@app.command()
def cancel(context: typer.Context, *, backfill: Id, as_json: AsJson = False) -> None:
    """End a backfill for good; what is on the queue already is still written, and what was written stays.

    `python -m mailsync backfill cancel 3f2a`
    """
    with ending(as_json=as_json):
        backfiller = wiring_of(context).backfiller
        after = backfiller.cancel(backfiller.named(backfill).id)
    _say_state(after, as_json=as_json)


# a dry run


def _rehearsed(wiring: Wiring, mailbox: Mailbox, since: int, until: int, folder: str) -> Rehearsed:
    columns = (TextColumn("{task.completed} messages judged"),)
    with Bar(*columns, console=progress_console(), transient=True) as bar:
        task = bar.add_task("", total=None)
        return wiring.rehearsal.rehearse(
            mailbox,
            since=since,
            until=until,
            folder=folder,
            now=int(wiring.clock()),
            watch=lambda number: bar.advance(task, number),
        )


def _say_rehearsed(rehearsed: Rehearsed, since: int, *, as_json: bool) -> None:
    known = {kind.value: number for kind, number in sorted(rehearsed.known.items())}
    if as_json:
        messages = [
            {
                "message": one.message,
                "received": moment(one.date) if one.date is not None else None,
                "with": one.person,
                "subject": one.subject,
                "outcome": one.rules[0],
            }
            for one in rehearsed.judged
        ]
        span = {"since": moment(since), "until": moment(rehearsed.until)}
        say_json({**span, "known": known, "outcomes": rehearsed.outcomes, "messages": messages})
        return
    say(f"Mail received from {moment(since)} to {moment(rehearsed.until)}; nothing was written.", "")
    rows = [("known already: " + kind.replace("_", " "), str(number)) for kind, number in known.items()]
    rows += [
        (rule if rule in {"tracked", "erased"} else f"skipped: {rule}", str(number))
        for rule, number in rehearsed.outcomes.items()
    ]
    say_table(("what would become of it", "messages"), rows, numbers=True)
    if rehearsed.judged:
        say("", "The newest of those not known:")
        say_table(
            ("received", "with", "subject", "outcome"),
            (
                (moment(one.date) if one.date is not None else "", one.person, one.subject[:60], one.rules[0])
                for one in rehearsed.judged[:MOST_SHOWN]
            ),
        )


# how far it is


def _say(progress: Progress, *, as_json: bool) -> None:
    if as_json:
        say_json(_told(progress))
    else:
        say_facts(_lines(progress))


def _say_state(backfill: Backfill, *, as_json: bool) -> None:
    if as_json:
        say_json(_facts(backfill))
    else:
        say(f"Backfill {backfill.id} is {_state(backfill)}.")


def _facts(backfill: Backfill) -> dict[str, Any]:
    return {
        "id": backfill.id,
        "grant": backfill.grant,
        "since": moment(backfill.since),
        "until": moment(backfill.until),
        "folder": backfill.folder or None,
        "automation": (Automation.BYPASS if backfill.bypass else Automation.RUN).value,
        "state": backfill.state.value,
        "reason": backfill.reason or None,
        "found": backfill.found,
        "known_before": backfill.known,
        "enqueued": backfill.enqueued,
        "begun": moment(backfill.made),
        "listed_back_to": moment(_listed_back_to(backfill)),
        "ended": moment(backfill.ended) if backfill.ended is not None else None,
    }


def _listed_back_to(backfill: Backfill) -> int:
    return (
        backfill.since if backfill.state == "done" else max(backfill.since, min(backfill.left.before, backfill.until))
    )


def _told(progress: Progress) -> dict[str, Any]:
    counts = {kind.value: number for kind in Kind if (number := progress.count(kind))}
    reasons = {kind.value: progress.reasons(kind) for kind in WITH_REASONS if progress.count(kind)}
    return {
        **_facts(progress.backfill),
        "made": moment(progress.made),
        "counts": counts,
        "reasons": reasons,
        "per_minute": round(progress.per_second * 60, 1),
        "seconds_left": None if progress.seconds_left is None else round(progress.seconds_left),
        "queue": progress.behind,
        "over": progress.is_over,
    }


LABELS = {
    "written": "written",
    "already_there": "already there",
    "adopted": "adopted",
    "skipped": "skipped",
    "removed": "removed",
    "erased": "erased",
    "gone": "gone",
    "queued": "on the queue",
    "writing": "at work",
    "deferred": "deferred",
    "put_aside": "put aside",
}


def _lines(progress: Progress) -> list[tuple[str, str]]:
    told = _told(progress)
    lines = [
        ("backfill", f"{told['id']} of {told['grant']}"),
        ("span", f"{told['since']} to {told['until']}"),
        ("state", _state(progress.backfill)),
        ("found", str(told["found"])),
        ("known before", str(told["known_before"])),
    ]
    for kind, label in LABELS.items():
        if kind in told["counts"]:
            why = told["reasons"].get(kind, {})
            because = ", ".join(f"{reason} {number}" for reason, number in why.items())
            lines.append((label, f"{told['counts'][kind]}{f' ({because})' if because else ''}"))
    if not progress.is_over:
        left = told["seconds_left"]
        lines += [
            ("rate", f"{told['per_minute']:g} a minute"),
            ("time left", "not known yet" if left is None else f"about {_duration(left)}"),
            ("queue", f"{progress.behind} items, live mail's too"),
        ]
    return lines


def _state(backfill: Backfill) -> str:
    return f"{backfill.state.value} ({backfill.reason})" if backfill.reason else backfill.state.value


def _duration(seconds: int) -> str:
    hours, minutes = divmod(seconds // 60, 60)
    if hours >= 48:
        return f"{hours // 24} days"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else "a minute"
