"""`aside list|show|replay`: what could not be written, why, and trying it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailsync.admin.console import ending, say, say_facts, say_json, say_table, wiring_of
from mailsync.admin.options import AsJson
from mailsync.errors import ArgumentError, MailSyncError
from mailsync.windows import moment

if TYPE_CHECKING:
    from mailsync.storage.aside import Kept
    from mailsync.wiring import Wiring

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help=(
        "What could not be written, and trying it again.\n\n"
        "A message that can't be written as it is goes to the table `aside`, with its reason and the vendor's evidence "
        "and without its content. It waits there until somebody mends the cause and replays it."
    ),
)
Reason = Annotated[str | None, typer.Option(help="Only those with this reason, as `aside list` shows it.")]
InMailbox = Annotated[str | None, typer.Option("--mailbox", help="Only those of this mailbox: a grant id or address.")]
Key = Annotated[
    str,
    typer.Argument(
        help="The key that `aside list` shows, or the message's Nylas id; `KIND:KEY` where two items have one."
    ),
]


class NotAsideError(ArgumentError):
    """Nothing that was put aside is called so."""


@app.command("list")
def list_(
    context: typer.Context,
    *,
    reason: Reason = None,
    mailbox: InMailbox = None,
    replayed: Annotated[bool, typer.Option(help="Also what was replayed since.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what was put aside and waits for somebody, oldest first.

    `python -m mailsync aside list --reason dataverse_refused_row`
    """
    with ending(as_json=as_json):
        kept = _kept(wiring_of(context), reason, mailbox)
        shown = [one for one in kept if replayed or one.replayed is None]
    if as_json:
        say_json({"aside": [_facts(one) for one in shown]})
        return
    if not shown:
        say("Nothing is put aside.")
        return
    say_table(
        ("key", "since", "what", "grant", "reason", "evidence", "state"),
        ((one.key, moment(one.noted), one.kind, one.grant, one.reason, _evidence(one), _state(one)) for one in shown),
    )
    say("", f"{len(shown)} in all. Next: aside show KEY, then aside replay KEY.")


@app.command()
def show(context: typer.Context, *, key: Key, mailbox: InMailbox = None, as_json: AsJson = False) -> None:
    """Show one item with the reason, what to do about it, and the vendor's evidence.

    `python -m mailsync aside show 3f9c2a41b07d`
    """
    with ending(as_json=as_json):
        one = _called(wiring_of(context), key, mailbox)
    if as_json:
        say_json(_facts(one))
        return
    say_facts(
        (
            ("key", one.key),
            ("what", one.kind),
            ("grant", one.grant),
            ("put aside", moment(one.noted)),
            ("state", _state(one)),
            ("reason", one.reason),
            ("what to do", one.advice),
            ("evidence", _evidence(one)),
            ("item", one.envelope),
        )
    )


@app.command()
def replay(
    context: typer.Context,
    *,
    key: Annotated[str | None, typer.Argument(help="One item, by its key or its message's Nylas id.")] = None,
    reason: Reason = None,
    mailbox: InMailbox = None,
    everything: Annotated[bool, typer.Option("--all", help="All that waits.")] = False,
    again: Annotated[bool, typer.Option(help="Also what was replayed before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put items back on their queue, to be tried again as if they had just come.

    Mend the cause first. An item that fails again is put aside again, with its new reason; one whose message has been
    written meanwhile ends at the journal. Replaying twice is safe, and asks for `--again`.

    `python -m mailsync aside replay --reason mailbox_disconnected --mailbox ann@contoso.com`
    """
    if not (key or reason or mailbox or everything):
        raise typer.BadParameter("name a KEY, or give --reason, --mailbox or --all")
    with ending(as_json=as_json):
        wiring = wiring_of(context)
        if key is not None:
            chosen = [_called(wiring, key, mailbox)]
            _check_not_replayed(chosen[0], again=again)
        else:
            chosen = [one for one in _kept(wiring, reason, mailbox) if again or one.replayed is None]
        failed = _replayed(wiring, chosen)
    if as_json:
        said = [{**_facts(one), "replayed": one not in failed, "why_not": failed.get(one, "")} for one in chosen]
        say_json({"replayed": len(chosen) - len(failed), "items": said})
    else:
        say(f"{len(chosen) - len(failed)} back on the queue.")
        for one, why in failed.items():
            say(f"{one.key}: {why}")
    if failed:
        raise typer.Exit(1)


def _replayed(wiring: Wiring, chosen: list[Kept]) -> dict[Kept, str]:
    """Replay these; returns those that are no items of ours, and why."""
    failed: dict[Kept, str] = {}
    for one in chosen:
        try:
            wiring.replayer.replay(one)
        except MailSyncError as error:
            if error.reason not in {"not_an_envelope", "unknown_envelope_version"}:
                raise
            failed[one] = str(error)
    return failed


def _kept(wiring: Wiring, reason: str | None, mailbox: str | None) -> tuple[Kept, ...]:
    grant = wiring.mailbox(mailbox).grant if mailbox is not None else None
    return wiring.aside.kept(grant=grant, reason=reason)


def _called(wiring: Wiring, key: str, mailbox: str | None) -> Kept:
    found = [one for one in _kept(wiring, None, mailbox) if one.is_called(key)]
    if not found:
        raise NotAsideError("nothing that was put aside has this key; `aside list` shows them", reason="not_aside")
    if len(found) > 1:
        raise NotAsideError(
            f"{len(found)} items are called so; give one of these, or its --mailbox: "
            + ", ".join(f"{one.kind}:{one.key} of {one.grant}" for one in found),
            reason="ambiguous_key",
        )
    return found[0]


def _check_not_replayed(kept: Kept, *, again: bool) -> None:
    if kept.replayed is not None and not again:
        raise NotAsideError(
            f"it was replayed at {moment(kept.replayed)} and was not put aside again; add --again to do it once more",
            reason="already_replayed",
        )


def _state(kept: Kept) -> str:
    return f"replayed {moment(kept.replayed)}" if kept.replayed is not None else "waits"


def _evidence(kept: Kept) -> str:
    return " ".join(part for part in (kept.vendor, kept.status, kept.code, kept.request) if part)


def _facts(kept: Kept) -> dict[str, Any]:
    return {
        "key": kept.key,
        "what": kept.kind,
        "grant": kept.grant,
        "put_aside": moment(kept.noted),
        "replayed_at": moment(kept.replayed) if kept.replayed is not None else None,
        "reason": kept.reason,
        "advice": kept.advice,
        "vendor": kept.vendor,
        "status": kept.status,
        "code": kept.code,
        "request": kept.request,
        "item": kept.envelope,
    }
