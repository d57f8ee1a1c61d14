"""`erase`: remove what the app holds about mails with a person, and list or delete them in Dataverse."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress, TextColumn

from mailsync.admin.console import as_text, ending, progress_console, say, say_facts, say_json, wiring_of
from mailsync.admin.options import AsJson, Yes
from mailsync.admin.verify import NotConfirmedError
from mailsync.windows import moment

if TYPE_CHECKING:
    from mailsync.erase import Erased, Findings
    from mailsync.wiring import Wiring

ROUNDS = 3
"""How often all is looked for at most; the second time finds nothing unless mail came meanwhile."""


class Dataverse(StrEnum):
    """What is done about the emails in Dataverse."""

    LIST = "list"
    DELETE = "delete"


def erase(
    context: typer.Context,
    *,
    address: Annotated[str, typer.Option(help="The person's email address.")],
    dataverse: Annotated[
        Dataverse, typer.Option(help="List the emails in Dataverse, for an administrator to decide, or delete them.")
    ] = Dataverse.LIST,
    report: Annotated[
        Path | None, typer.Option(help="Keep the report in this file, as JSON.", dir_okay=False, writable=True)
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Erase the mails with one person, and keep them from coming back.

    Finds them in Dataverse, by the address and by the contacts, leads and users that carry it, and in every connected
    mailbox, whatever their age. Removes what the app's tables hold of them, what waits and what was put aside included,
    and leaves tombstones: keyed hashes that say nothing to a reader, by which no update, second copy, sweep, backfill,
    replay, repair or new connection of a mailbox brings them back. Mail that the person writes later is judged by the
    policy like any other; to keep that out, use `deny.participants`.

    All is done twice, a minute apart, for an app that runs hears of new tombstones within a minute. Needs ERASURE_KEY.
    Rows of the person in the CRM, and mail in the mailboxes, stay. Ends with 0 when all is gone that could be found,
    with 1 where a mailbox could not be looked through or an email not be deleted: run it again then.

    `python -m mailsync erase --address dora@fabrikam.com --dataverse delete --report dora.json`
    """
    if as_json and not yes:
        raise typer.BadParameter("asks before it erases anything; with --json add --yes", param_hint="--json")
    if report is not None and not report.absolute().parent.is_dir():
        raise typer.BadParameter("is in a folder that is not there", param_hint="--report")
    with ending(as_json=as_json):
        wiring = wiring_of(context)
        eraser = wiring.eraser
        found = _found(wiring, address)
        if not as_json:
            _say_found(found, dataverse)
        if not yes and not typer.confirm("Erase all this?"):
            raise NotConfirmedError("nothing was erased", reason="not_confirmed")
        own = [mailbox.grant for mailbox in found.own]
        rounds: list[Erased] = []
        while True:
            rounds.append(eraser.erase(found, address=address, delete=dataverse is Dataverse.DELETE))
            if not rounds[-1].anything or len(rounds) == ROUNDS:
                break
            _settle(wiring)
            found = _found(wiring, address, found)
        eraser.forget_owner(found)
        told = _report(found, rounds, dataverse, own=own, now=int(wiring.clock()))
        if report is not None:
            report.write_text(as_text(told) + "\n", encoding="utf-8")
    if as_json:
        say_json(told)
    else:
        _say(told)
    if not told["complete"]:
        raise typer.Exit(1)


def _found(wiring: Wiring, address: str, before: Findings | None = None) -> Findings:
    columns = (TextColumn("{task.fields[where]}"), TextColumn("{task.completed} mails"))
    with Progress(*columns, console=progress_console(), transient=True) as progress:
        task = progress.add_task("", total=None, where="")
        return wiring.eraser.find(
            address,
            before=before,
            watch=lambda where, number: progress.update(task, where=where, advance=number),
        )


def _settle(wiring: Wiring) -> None:
    from mailsync.erase import SETTLE  # noqa: PLC0415  # the commands share one start; only this one needs it

    columns = (TextColumn("waiting until every instance of the app has heard of it"),)
    with Progress(*columns, console=progress_console(), transient=True) as progress:
        progress.add_task("", total=None)
        time.sleep(SETTLE / wiring.hurry)


def _say_found(found: Findings, dataverse: Dataverse) -> None:
    say(
        f"{len(found.identities)} mails, of which {len(found.emails)} stand in Dataverse ({dataverse.value}), and "
        f"{len(found.copies)} copies of them in {len({grant for grant, _ in found.copies})} mailboxes."
    )
    for looked in found.mailboxes:
        if looked.advice:
            say(f"Not looked through: {looked.grant}: {looked.advice}")
    if found.own:
        say("Mailboxes that were the person's: " + ", ".join(one.grant for one in found.own))


def _report(found: Findings, rounds: list[Erased], dataverse: Dataverse, *, own: list[str], now: int) -> dict[str, Any]:
    """What was done, by ids and numbers; whom it was about stands nowhere in it."""
    deleted = sorted({one for erased in rounds if erased.dataverse for one in erased.dataverse.deleted})
    refused = list(rounds[-1].dataverse.refused) if rounds[-1].dataverse else []
    left = [] if dataverse is Dataverse.DELETE else sorted(found.emails)
    settled = not rounds[-1].anything
    return {
        "made": moment(now),
        "complete": found.is_complete and settled and not refused,
        "rounds": len(rounds),
        "tombstones": sum(one.tombstones for one in rounds),
        "records": sum(one.records for one in rounds),
        "waiting": sum(one.waiting for one in rounds),
        "sightings": sum(one.sightings for one in rounds),
        "awaited": sum(one.awaited for one in rounds),
        "put_aside": sum(one.aside for one in rounds),
        "shortened": sum(one.shortened for one in rounds),
        "own_mailboxes": own,
        "mailboxes": [
            {"grant": one.grant, "mails": one.found, "looked_through": not one.advice, "advice": one.advice}
            for one in found.mailboxes
        ],
        "dataverse": {
            "wish": dataverse.value,
            "emails": left,
            "deleted": deleted,
            "refused": refused,
            "records_of_the_person": [f"{record.table} {record.id}" for record in found.records],
        },
    }


def _say(told: dict[str, Any]) -> None:
    said = told["dataverse"]
    say("")
    say_facts(
        (
            ("tombstones", str(told["tombstones"])),
            ("records", f"{told['records']}, of which {told['waiting']} were on their way"),
            ("put aside", str(told["put_aside"])),
            ("sightings", str(told["sightings"])),
            ("replies awaited", str(told["awaited"])),
            ("shortened", str(told["shortened"]) if told["own_mailboxes"] else ""),
            (
                "in Dataverse",
                f"{len(said['deleted'])} deleted, {len(said['refused'])} refused, {len(said['emails'])} left",
            ),
            ("person's rows", ", ".join(said["records_of_the_person"])),
        )
    )
    for activityid in said["emails"] + said["refused"]:
        say(f"  email {activityid}")
    for one in told["mailboxes"]:
        if not one["looked_through"]:
            say(f"Not looked through: {one['grant']}: {one['advice']}")
    say("", "All that could be found is erased." if told["complete"] else "Not complete: run it again.")
