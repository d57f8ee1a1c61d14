"""`doctor`: looks at everything the deployment hangs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mailsync.admin.console import ending, say, say_json, say_table, wiring_of
from mailsync.admin.options import AsJson
from mailsync.doctor import Result, told, worst

if TYPE_CHECKING:
    from mailsync.doctor import Finding

MARKS = {Result.GOOD: "✓", Result.WARNING: "!", Result.BAD: "✗", Result.UNKNOWN: "?"}


def doctor(
    context: typer.Context,
    *,
    url: Annotated[
        str | None, typer.Option(help="The app's webhook URL, to tell its webhook from others: `WEBHOOK_URL`.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Show also what is as it should be.")] = False,
    as_json: AsJson = False,
) -> None:
    """Examine settings, policy, storage, Nylas, the webhook, Entra and Dataverse, and say what to do.

    It delivers a signed notification of its own to the app, writes and deletes a row and a message in storage, and
    reads everywhere else. Ends with 2 where a setting is to be mended, with 1 where anything else is bad or could not
    be looked at, else with 0.
    The same examination is there inside the app, where no console is: the admin function `manage/doctor`.

    `python -m mailsync doctor --url "$(azd env get-value WEBHOOK_URL)"`
    """
    with ending(as_json=as_json):
        wiring = wiring_of(context)
        found = wiring.doctor(url).examine()
    if as_json:
        say_json(told(found, wiring.clock()))
    else:
        _say(found, everything=all_)
    if worst(found):
        raise typer.Exit(worst(found))


def _say(found: tuple[Finding, ...], *, everything: bool) -> None:
    shown = [one for one in found if everything or one.result is not Result.GOOD]
    if shown:
        say_table(
            ("", "", "checked", "found", "to do"),
            ((MARKS[one.result], one.topic, one.checked, one.says, one.todo) for one in shown),
        )
        say("")
    counts = ", ".join(f"{sum(one.result is result for one in found)} {result.value}" for result in Result)
    say(f"{len(found)} looked at: {counts}.{'' if everything else ' --all shows them all.'}")
