"""`verify`: the proof that every message is in Dataverse exactly once, or accounted for by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from mailsync.admin.console import as_text, ending, progress_console, say, say_json, say_table, wiring_of
from mailsync.admin.options import WHEN, AsJson, ShowAddresses, Yes, span_of
from mailsync.errors import MailSyncError
from mailsync.windows import moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mailsync.proof import Bucket, Counted, Doubled, MailboxProof, Proof
    from mailsync.wiring import Wiring

BUCKETS = {
    "written": "written",
    "adopted": "adopted",
    "already_there": "already there",
    "removed": "removed",
    "skipped": "skipped",
    "on_the_way": "on the way",
    "put_aside": "put aside",
    "gone": "gone",
    "unexplained": "unexplained",
}
MOST_NAMED = 20
"""Messages of one kind that are named on a screen; the report names all."""


class NotConfirmedError(MailSyncError):
    """Nobody said yes."""


def verify(
    context: typer.Context,
    *,
    mailbox: Annotated[
        str | None, typer.Option(help="Only this mailbox: a grant id or an address. All of them if it is left out.")
    ] = None,
    since: Annotated[str, typer.Option(help=f"Mail received from: {WHEN}.")] = "7d",
    until: Annotated[str | None, typer.Option(help="Mail received until, likewise; now if it is left out.")] = None,
    grace: Annotated[
        int, typer.Option(min=0, help="Minutes that a message may take before it counts as unexplained.")
    ] = 15,
    repair: Annotated[bool, typer.Option("--repair", help="Enqueue what is unexplained or overdue.")] = False,
    recreate: Annotated[
        bool,
        typer.Option("--recreate", help="Bring back emails that were removed from Dataverse; asks first."),
    ] = False,
    yes: Yes = False,
    report: Annotated[
        Path | None, typer.Option(help="Keep the result in this file, as JSON.", dir_okay=False, writable=True)
    ] = None,
    addresses: ShowAddresses = False,
    as_json: AsJson = False,
) -> None:
    """Prove that every message a mailbox received is in Dataverse exactly once, or accounted for by name.

    Lists the mailboxes through Nylas, joins the journal and Dataverse, and counts each message in one bucket:

    seen = written + adopted + already there + removed in Dataverse + skipped + on the way + put aside + gone before it
    was read + **unexplained**

    and beside it the emails that are doubled (equal Message-ID and direction) or left open. Ends with 0 only where
    nothing is unexplained, doubled or left open. A mailbox that can't be looked through, for its owner must sign in or
    it was disconnected, is told with the moment up to which it is proven. `--repair` enqueues what is unexplained; what
    somebody removed from Dataverse stays removed, unless `--recreate` brings it back, as after an environment was
    restored.

    `python -m mailsync verify --since 2d --repair`
    """
    if recreate and as_json and not yes:
        raise typer.BadParameter("asks before it brings anything back; with --json add --yes", param_hint="--recreate")
    if report is not None and not report.absolute().parent.is_dir():
        raise typer.BadParameter("is in a folder that is not there", param_hint="--report")
    with ending(as_json=as_json):
        wiring = wiring_of(context)
        begin, end = span_of(since, until, now=wiring.clock())
        only = wiring.mailbox(mailbox).grant if mailbox is not None else None
        proof = _proved(wiring, begin, end, grace * 60, only)
        told = _as_json(proof, addresses=addresses)
        _keep(report, told)
        if not as_json:
            _say(proof, addresses=addresses)
        done = _mended(wiring, proof, repair=repair, recreate=recreate, yes=yes, as_json=as_json)
        _keep(report, {**told, **done})
    if as_json:
        say_json({**told, **done})
    if not proof.holds:
        raise typer.Exit(1)


def _proved(wiring: Wiring, since: int, until: int, grace: int, only: str | None) -> Proof:
    columns = (TextColumn("mailboxes"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[seen]} messages"))
    with Progress(*columns, console=progress_console(), transient=True) as progress:
        task = progress.add_task("", total=None, seen=0)
        return wiring.verifier.verify(
            since=since,
            until=until,
            grace=grace,
            only=only,
            watch=lambda done, of, seen: progress.update(task, completed=done, total=of, seen=seen),
        )


def _mended(wiring: Wiring, proof: Proof, *, repair: bool, recreate: bool, yes: bool, as_json: bool) -> dict[str, int]:
    """Do what was asked for about what was found; returns how many messages are on their way by that."""
    done: dict[str, int] = {}
    if repair:
        done["repaired"] = wiring.replayer.repair(proof.of("unexplained"))
        if not as_json:
            say("", f"{done['repaired']} enqueued; run verify again to see them arrive.")
    removed = proof.to_recreate
    if recreate and removed:
        if not yes:
            _ask(removed)
        done["recreated"], done["lost"] = wiring.replayer.recreate(removed)
        if not as_json:
            say("", f"{done['recreated']} on their way back; {done['lost']} can't be: their mailbox lost them too.")
    return done


def _ask(removed: tuple[Counted, ...]) -> None:
    _say_named("removed from Dataverse", [_line(one) for one in removed])
    say("")
    if not typer.confirm(f"Bring back these {len(removed)} emails?"):
        raise NotConfirmedError("nothing was brought back", reason="not_confirmed")


def _keep(report: Path | None, told: dict[str, Any]) -> None:
    if report is not None:
        report.write_text(as_text(told) + "\n", encoding="utf-8")


def _say(proof: Proof, *, addresses: bool) -> None:
    say(f"Mail received from {moment(proof.since)} to {moment(proof.until)}", "")
    rows = [_row(_name(one, addresses=addresses), one.counts, one) for one in proof.mailboxes]
    if len(rows) != 1:
        rows.append(_row("in all", proof.counts, proof))
    say_table(("mailbox", "seen", *BUCKETS.values(), "doubled", "left open"), rows, numbers=True)
    _say_reasons(proof)
    for one in proof.mailboxes:
        if one.advice:
            say(f"{_name(one, addresses=addresses)}: {one.advice}{_proven(one)}")
    _say_named("unexplained", [_line(one) for one in proof.of("unexplained")])
    _say_named("doubled", [" = ".join(one.activityids) for one in proof.doubled])
    _say_named("left open", list(proof.left_open))
    say("", _verdict(proof))


def _row(name: str, counts: Mapping[tuple[Bucket, str], int], beside: MailboxProof | Proof) -> list[str]:
    sums = _sums(counts)
    numbers = (sum(sums.values()), *(sums[bucket] for bucket in BUCKETS), len(beside.doubled), len(beside.left_open))
    return [name, *(str(number) for number in numbers)]


def _sums(counts: Mapping[tuple[Bucket, str], int]) -> dict[str, int]:
    sums = dict.fromkeys(BUCKETS, 0)
    for (bucket, _), number in counts.items():
        sums[bucket.value] += number
    return sums


def _say_reasons(proof: Proof) -> None:
    lines = []
    for bucket in ("removed", "skipped", "on_the_way", "put_aside", "gone", "unexplained"):
        reasons = _reasons(proof.counts, bucket)
        if reasons:
            lines.append(f"{BUCKETS[bucket]}: " + ", ".join(f"{reason} {number}" for reason, number in reasons.items()))
    if lines:
        say("", *lines)


def _reasons(counts: Mapping[tuple[Bucket, str], int], bucket: str) -> dict[str, int]:
    return {reason: number for (of, reason), number in sorted(counts.items()) if of.value == bucket and number}


def _say_named(what: str, names: list[str]) -> None:
    if names:
        say("", f"{what}:", *(f"  {name}" for name in names[:MOST_NAMED]))
        if len(names) > MOST_NAMED:
            say(f"  and {len(names) - MOST_NAMED} more; --report keeps them all")


def _verdict(proof: Proof) -> str:
    if proof.failed:
        return f"Not proved{_but(proof, ': ')}."
    if not proof.holds:
        numbers = f"{len(proof.of('unexplained'))}, doubled {len(proof.doubled)}, left open {len(proof.left_open)}"
        return f"Unexplained {numbers}{_but(proof, '; ')}."
    if proof.unseen:
        return f"Every message that was seen is accounted for{_but(proof, ', but ')}."
    return "Every message is accounted for."


def _but(proof: Proof, joint: str) -> str:
    """How many mailboxes nobody could look through, and up to when all of those are proven."""
    if not proof.unseen:
        return ""
    known = [one.proven_until for one in proof.unseen if one.proven_until is not None]
    until = f" and are proven up to {moment(min(known))}" if len(known) == len(proof.unseen) else ""
    return f"{joint}{len(proof.unseen)} mailboxes could not be looked through{until}"


def _proven(one: MailboxProof) -> str:
    return f"; proven up to {moment(one.proven_until)}" if one.proven_until is not None else ""


def _name(proof: MailboxProof, *, addresses: bool) -> str:
    return f"{proof.mailbox.grant} {proof.mailbox.email}" if addresses else proof.mailbox.grant


def _line(one: Counted) -> str:
    dated = moment(one.date) if one.date is not None else "undated"
    return f"{one.grant} {one.message} {dated} {one.reason}"


def _as_json(proof: Proof, *, addresses: bool) -> dict[str, Any]:
    return {
        "made": moment(proof.made),
        "since": moment(proof.since),
        "until": moment(proof.until),
        "grace_seconds": proof.grace,
        "holds": proof.holds,
        "not_looked_through": len(proof.unseen),
        "total": _told(proof.counts, proof),
        "mailboxes": [
            {
                "grant": one.mailbox.grant,
                **({"address": one.mailbox.email} if addresses else {}),
                "provider": one.mailbox.provider,
                "status": one.mailbox.status,
                "listing": one.listing.value,
                "advice": one.advice,
                "proven_until": moment(one.proven_until) if one.proven_until is not None else None,
                "since": moment(one.since),
                **_told(one.counts, one),
                "named": [_counted(named) for named in one.named],
            }
            for one in proof.mailboxes
        ],
    }


def _told(counts: Mapping[tuple[Bucket, str], int], beside: MailboxProof | Proof) -> dict[str, Any]:
    sums = _sums(counts)
    return {
        "seen": sum(sums.values()),
        **sums,
        "reasons": {bucket: reasons for bucket in BUCKETS if (reasons := _reasons(counts, bucket))},
        "doubled": [_doubled(one) for one in beside.doubled],
        "left_open": list(beside.left_open),
    }


def _doubled(one: Doubled) -> dict[str, Any]:
    return {"messageid": one.messageid, "outgoing": one.is_outgoing, "activityids": list(one.activityids)}


def _counted(one: Counted) -> dict[str, Any]:
    return {
        "message": one.message,
        "bucket": one.bucket.value,
        "reason": one.reason,
        "date": moment(one.date) if one.date is not None else None,
        "listed": one.is_listed,
        "activityid": one.activityid,
    }
