"""`webhook register|list|pause|resume|rotate|remove`: the destinations at Nylas, and where their secret is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailsync.admin.console import ending, say, say_facts, say_json, say_table, wiring_of
from mailsync.admin.options import AsJson, ShowAddresses, Yes
from mailsync.errors import MailSyncError
from mailsync.nylas.webhooks import ACTIVE, PAUSE, Webhook, chosen
from mailsync.rotation import Rotation, Secrets

if TYPE_CHECKING:
    from mailsync.wiring import Wiring

SECRET = "nylas-webhook-secret"  # noqa: S105  # its name
"""What the vault calls the setting NYLAS_WEBHOOK_SECRET."""
KEEP = "Keep this as NYLAS_WEBHOOK_SECRET; Nylas does not show it again:"
TELL_THE_APP = (
    "Tell the app that the vault holds something new, or it finds out within a day: docs/deploy.md, 'Tell the app'."
)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="The webhook by which Nylas tells of new mail: make it, look at it, rotate its secret.",
)
Which = Annotated[
    str | None, typer.Argument(help="Its id, the beginning of that, or its URL; left out where there is one of ours.")
]
InVault = Annotated[
    str | None,
    typer.Option("--key-vault", help="Keep the secret in this key vault, by name; without it the secret is printed."),
]


class NotDoneError(MailSyncError):
    """Nobody said yes."""


@app.command()
def register(
    context: typer.Context,
    *,
    url: Annotated[str, typer.Argument(help="The app's endpoint, https://<app>/api/webhooks/nylas: `WEBHOOK_URL`.")],
    notify: Annotated[
        list[str] | None, typer.Option(help="Whom Nylas writes to when deliveries fail; may be given several times.")
    ] = None,
    compressed: Annotated[bool, typer.Option(help="Whether notifications come zipped.")] = True,
    key_vault: InVault = None,
    as_json: AsJson = False,
) -> None:
    """Register the webhook, with every trigger that the app uses; one that is there already is mended.

    The app must be deployed: Nylas asks it at once. Needs NYLAS_API_KEY and NYLAS_API_URI only.

    `python -m mailsync webhook register "$(azd env get-value WEBHOOK_URL)" --notify operators@contoso.com
    --key-vault "$(azd env get-value AZURE_KEY_VAULT_NAME)"`
    """
    with ending(as_json=as_json):
        wiring = wiring_of(context)
        there = next((one for one in wiring.webhooks.all() if one.webhook_url == url), None)
        if there is not None:
            mended = _mended(wiring, there, notify, compressed=compressed)
            _say_one(mended, as_json=as_json, addresses=False, secret=None)
            return
        keep = _keeper(wiring, key_vault)
        made = wiring.webhooks.create(url, emails=notify or (), compressed=compressed)
        others = [one for one in wiring.webhooks.all() if one.is_ours and one.id != made.id]
        printed = keep((*(_known(wiring, key_vault) if others else ()), made.webhook_secret))
        wiring.webhooks.mark(made)
    _say_one(made, as_json=as_json, addresses=False, secret=printed)


@app.command("list")
def list_(context: typer.Context, *, addresses: ShowAddresses = False, as_json: AsJson = False) -> None:
    """List the webhooks of the Nylas application, their state, and whether they tell of everything the app uses.

    `python -m mailsync webhook list --addresses`
    """
    with ending(as_json=as_json):
        found = wiring_of(context).webhooks.all()
    if as_json:
        say_json({"webhooks": [_facts(one, addresses=addresses) for one in found]})
        return
    if not found:
        say("There is no webhook; `webhook register URL` makes one.")
        return
    say_table(
        ("id", "state", "url", "triggers", "zipped", "tells of trouble"),
        (
            (
                one.id,
                one.status,
                one.webhook_url,
                f"lacks {', '.join(one.missing_triggers)}" if one.missing_triggers else "all",
                "yes" if one.compressed_delivery else "no",
                _told(one, addresses=addresses),
            )
            for one in found
        ),
    )


@app.command()
def pause(context: typer.Context, *, which: Which = None, as_json: AsJson = False) -> None:
    """Let Nylas deliver nothing for a while. What comes meanwhile is never told; the sweep finds it.

    `python -m mailsync webhook pause`
    """
    _set_status(context, which, PAUSE, as_json=as_json)


@app.command()
def resume(context: typer.Context, *, which: Which = None, as_json: AsJson = False) -> None:
    """Let Nylas deliver again, after a pause or when it had given up (`failed`); it asks the endpoint first.

    What came meanwhile is not told any more: the sweep finds it within minutes, `sweep MAILBOX --since` at once.

    `python -m mailsync webhook resume`
    """
    _set_status(context, which, ACTIVE, as_json=as_json)


@app.command()
def rotate(
    context: typer.Context,
    *,
    which: Which = None,
    key_vault: InVault = None,
    wait: Annotated[int, typer.Option(min=0, help="Minutes to wait until the app knows both secrets.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Change the secret without a lost delivery.

    A second webhook is made at the same endpoint (`?v=2`); the setting gets both secrets, old first; deliveries of our
    own, signed with the new one, show when the app knows it; then the first webhook goes, and the old secret. A run
    that is broken off leaves both webhooks, which loses nothing: run it again and it goes on.

    `python -m mailsync webhook rotate --key-vault "$(azd env get-value AZURE_KEY_VAULT_NAME)"`
    """
    printed: list[str] = []
    with ending(as_json=as_json):
        wiring = wiring_of(context)
        keep = _keeper(wiring, key_vault)

        def keep_and_print(secrets: tuple[str, ...]) -> None:
            shown = keep(secrets)
            if shown is not None:
                printed[:] = [shown]
                if not as_json:
                    say("", KEEP, f"  {shown}", "")
            elif not as_json:
                say(TELL_THE_APP)

        rotation = Rotation(
            webhooks=wiring.webhooks,
            endpoint=wiring.endpoint,
            secrets=Secrets(known=lambda: _known(wiring, key_vault), keep=keep_and_print),
            clock=wiring.clock,
            pause=wiring.pause,
            tell=lambda what: None if as_json else say(what),
        )
        stays = rotation.rotate(which, patience=wait * 60)
    if as_json:
        say_json({**_facts(stays, addresses=False), "secret": printed[0] if printed else None})


@app.command()
def remove(context: typer.Context, *, which: Which = None, yes: Yes = False, as_json: AsJson = False) -> None:
    """Remove a webhook. Without one, new mail is found by the sweep alone, minutes later.

    `python -m mailsync webhook remove 7b5ab8f4`
    """
    if as_json and not yes:
        raise typer.BadParameter("asks before it removes anything; with --json add --yes", param_hint="--json")
    with ending(as_json=as_json):
        webhooks = wiring_of(context).webhooks
        meant = chosen(webhooks.all(), which)
        if not yes and not typer.confirm(f"Remove {meant.id} ({meant.status}, {meant.webhook_url})?"):
            raise NotDoneError("nothing was removed", reason="not_confirmed")
        webhooks.remove(meant.id)
    if as_json:
        say_json({"removed": meant.id})
    else:
        say(f"Removed {meant.id}.")


def _set_status(context: typer.Context, which: str | None, status: str, *, as_json: bool) -> None:
    with ending(as_json=as_json):
        webhooks = wiring_of(context).webhooks
        changed = webhooks.change(chosen(webhooks.all(), which).id, status=status)
    if as_json:
        say_json(_facts(changed, addresses=False))
    else:
        say(f"{changed.id} is {changed.status}.")


def _mended(wiring: Wiring, there: Webhook, notify: list[str] | None, *, compressed: bool) -> Webhook:
    """A webhook that is there already, with what it lacks."""
    change: dict[str, Any] = {}
    if there.missing_triggers:
        change["trigger_types"] = [*there.trigger_types, *there.missing_triggers]
    if notify and set(notify) != set(there.notification_email_addresses or ()):
        change["notification_email_addresses"] = notify
    if bool(there.compressed_delivery) != compressed:
        change["compressed_delivery"] = compressed
    return wiring.webhooks.change(there.id, **change) if change else there


def _known(wiring: Wiring, key_vault: str | None) -> tuple[str, ...]:
    """The secrets of the deployment: the vault's word goes before this machine's."""
    if key_vault is None:
        return wiring.known_secrets()
    held = wiring.vault(key_vault).get(SECRET)
    return tuple(one.strip() for one in (held or "").split(",") if one.strip()) or wiring.known_secrets()


def _keeper(wiring: Wiring, key_vault: str | None) -> Callable[[tuple[str, ...]], str | None]:
    """How secrets are kept; returns what is to be printed instead. A vault that refuses says so before anything."""
    if key_vault is None:
        return ",".join
    vault = wiring.vault(key_vault)
    vault.get(SECRET)

    def keep(secrets: tuple[str, ...]) -> str | None:
        joined = ",".join(secrets)
        try:
            vault.set(SECRET, joined)
        except MailSyncError as error:
            # Nylas tells it once: better before a person's eyes than nowhere
            typer.echo(f"The vault did not take it ({error}). {KEEP}\n  {joined}", err=True)
            raise
        return None

    return keep


def _say_one(one: Webhook, *, as_json: bool, addresses: bool, secret: str | None) -> None:
    if as_json:
        say_json({**_facts(one, addresses=addresses), "secret": secret})
        return
    say_facts(
        (
            ("webhook", one.id),
            ("state", one.status),
            ("url", one.webhook_url),
            ("tells of trouble", _told(one, addresses=addresses)),
        )
    )
    if secret is not None:
        say("", KEEP, f"  {secret}")
    elif one.webhook_secret:
        say("", f"Its secret is in the vault as {SECRET}. {TELL_THE_APP}")
    else:
        say("", "It was there already and its secret stays; `webhook rotate` makes a new one.")


def _told(one: Webhook, *, addresses: bool) -> str:
    whom = one.notification_email_addresses or ()
    if not whom:
        return "nobody"
    return ", ".join(whom) if addresses else f"{len(whom)} addresses"


def _facts(one: Webhook, *, addresses: bool) -> dict[str, Any]:
    return {
        "id": one.id,
        "url": one.webhook_url,
        "status": one.status,
        "triggers": list(one.trigger_types),
        "missing_triggers": list(one.missing_triggers),
        "compressed": bool(one.compressed_delivery),
        "notified": list(one.notification_email_addresses or ()) if addresses else None,
        "notified_count": len(one.notification_email_addresses or ()),
    }
