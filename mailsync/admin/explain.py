"""`explain`: why a message is in Dataverse, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mailsync.admin.console import ending, say, say_facts, say_json, wiring_of
from mailsync.admin.options import AsJson, ShowAddresses
from mailsync.explained import as_facts, copy_facts, email_facts

if TYPE_CHECKING:
    from mailsync.explain import Explanation


def explain(
    context: typer.Context,
    *,
    mailbox: Annotated[str, typer.Argument(help="A grant id, or an address of the mailbox.")],
    message: Annotated[str, typer.Argument(help="The message: its Nylas id, or its Message-ID.")],
    addresses: ShowAddresses = False,
    as_json: AsJson = False,
) -> None:
    """Tell every step of one message: seen when and from where, decided by which rule, written as what, what is next.

    By a Message-ID it tells of every mailbox that brought this mail to Dataverse. Subjects and bodies are never shown.

    `python -m mailsync explain ann@contoso.com "<quote.17@fabrikam.example>"`
    """
    with ending(as_json=as_json):
        wiring = wiring_of(context)
        told = wiring.explainer.explain(wiring.mailbox(mailbox).grant, message)
    if as_json:
        say_json(as_facts(told, addresses=addresses))
    else:
        _say(told, addresses=addresses)
    if not told.copies:
        raise typer.Exit(1)


def _say(told: Explanation, *, addresses: bool) -> None:
    if told.unknown:
        say(told.unknown)
    for copy in told.copies:
        say_facts((name.replace("_", " "), _told(fact)) for name, fact in copy_facts(copy).items() if fact)
        say("")
    say(f"Dataverse: {told.dataverse}")
    if told.email is not None:
        facts = email_facts(told.email, addresses=addresses).items()
        say_facts((name, _told(fact)) for name, fact in facts if fact)


def _told(fact: object) -> str:
    return "; ".join(map(str, fact)) if isinstance(fact, list) else str(fact)
