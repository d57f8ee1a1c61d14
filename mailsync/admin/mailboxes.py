"""`mailboxes`: each connected mailbox, whose it is, how far it is and what became of its mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from mailsync.admin.console import ending, progress_console, say, say_json, say_table, wiring_of
from mailsync.admin.options import AsJson, ShowAddresses
from mailsync.windows import moment

if TYPE_CHECKING:
    from mailsync.mailboxes import MailboxLine, Overview
    from mailsync.wiring import Wiring

KINDS = ("written", "already_there", "adopted", "skipped", "deferred", "put_aside")
"""The outcomes that have a column of their own; all others are `other`."""


def mailboxes(
    context: typer.Context,
    *,
    deleted: Annotated[bool, typer.Option("--deleted", help="Also mailboxes that were disconnected.")] = False,
    addresses: ShowAddresses = False,
    as_json: AsJson = False,
) -> None:
    """List the connected mailboxes: provider, state, owner in Dataverse, how far each is, and its last day.

    `behind` is how far back the proven part of a mailbox's mail ends; a sweep every five minutes keeps it small.
    `waits` is how long the message of the last seven days that waits longest had waited when the mailbox was swept; it
    is empty where none waits. The outcomes are those of messages dated in the last 24 hours, from the journal.

    `python -m mailsync mailboxes --addresses`
    """
    with ending(as_json=as_json):
        found = _looked(wiring_of(context), deleted=deleted)
    if as_json:
        said = [_facts(one, addresses=addresses) for one in found.lines]
        say_json({"mailboxes": said, "untold": list(found.untold)})
    else:
        _say(found, addresses=addresses)
    if found.untold:
        raise typer.Exit(1)


def _looked(wiring: Wiring, *, deleted: bool) -> Overview:
    columns = (TextColumn("mailboxes"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=progress_console(), transient=True) as progress:
        task = progress.add_task("", total=None)
        return wiring.mailbox_overview.look(
            with_deleted=deleted, watch=lambda done, of: progress.update(task, completed=done, total=of)
        )


def _say(found: Overview, *, addresses: bool) -> None:
    if not found.lines:
        say("No mailbox is connected.")
    else:
        say_table(
            (
                "mailbox",
                "provider",
                "state",
                "owner",
                "swept",
                "behind",
                "waits",
                *(kind.replace("_", " ") for kind in KINDS),
                "other",
            ),
            ((*_told(one, addresses=addresses), *map(str, _numbers(one))) for one in found.lines),
        )
    for why in found.untold:
        say("", why)


def _told(one: MailboxLine, *, addresses: bool) -> tuple[str, ...]:
    return (
        f"{one.grant} {one.address}" if addresses else one.grant,
        one.provider,
        one.status,
        one.owner,
        moment(one.swept) if one.swept is not None else "never",
        _span(one.behind),
        _span(one.lag or None),
    )


def _numbers(one: MailboxLine) -> list[int]:
    counts = dict(one.counts or {})
    return [*(counts.pop(kind, 0) for kind in KINDS), sum(counts.values())]


def _span(seconds: int | None) -> str:
    if seconds is None:
        return ""
    if seconds < 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 2 * 86_400 else f"{seconds // 86_400} d"


def _facts(one: MailboxLine, *, addresses: bool) -> dict[str, Any]:
    return {
        "grant": one.grant,
        **({"address": one.address} if addresses else {}),
        "provider": one.provider,
        "status": one.status,
        "owner": one.owner,
        "watermark": moment(one.watermark) if one.watermark is not None else None,
        "swept": moment(one.swept) if one.swept is not None else None,
        "behind_seconds": one.behind,
        "lag_seconds": one.lag,
        "last_day": dict(one.counts or {}),
    }
