"""`sweep`: list a span of one mailbox again, and enqueue what the journal does not know."""

from __future__ import annotations

from typing import Annotated

import typer

from mailsync.admin.console import ending, say, say_json, wiring_of
from mailsync.admin.options import WHEN, AsJson, span_of
from mailsync.windows import moment


def sweep(
    context: typer.Context,
    *,
    mailbox: Annotated[str, typer.Argument(help="A grant id, or an address of the mailbox.")],
    since: Annotated[str, typer.Option(help=f"From when: {WHEN}.")],
    until: Annotated[str | None, typer.Option(help="Until when, likewise; now if it is left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look through a span of a mailbox once more.

    The function app does it: this enqueues one sweep for each day of the span. What the journal knows is left alone,
    the rest is enqueued like any other message. The mailbox's own sweep goes on from where it was, untouched; mail
    from before the mailbox was connected, or before `SYNC_SINCE`, is not swept. `verify` then proves the span.

    `python -m mailsync sweep ann@contoso.com --since 36h`
    """
    with ending(as_json=as_json):
        wiring = wiring_of(context)
        begin, end = span_of(since, until, now=wiring.clock())
        found = wiring.mailbox(mailbox)
        windows = wiring.replayer.sweep(found, since=begin, until=end)
    first, last = windows[0].after + 1, windows[-1].before - 1
    if as_json:
        said = {"grant": found.grant, "since": moment(first), "until": moment(last), "sweeps": len(windows)}
        say_json(said)
        return
    say(f"{len(windows)} sweeps of {found.grant} are on the queue, from {moment(first)} to {moment(last)}.")
    if first > begin:
        say(f"They begin at {moment(first)}: no earlier mail is swept (see SYNC_SINCE, and when it was connected).")
