"""All commands under one name. What each does is in the module of its name; the steps come from the wiring."""

from __future__ import annotations

import typer

from mailsync.admin import (
    aside,
    backfill,
    dataverse,
    doctor,
    erase,
    explain,
    mailboxes,
    policy,
    simulate,
    sweep,
    verify,
    webhook,
)

app = typer.Typer(
    name="mailsync",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they show local variables, and with them secrets and mail
    rich_markup_mode="markdown",
    help=(
        "Looks after mail that goes from Nylas to Dataverse.\n\n"
        "The settings are those of the function app: from the environment, or from local.settings.json in the current "
        "folder (what the environment says goes first). Every command takes `--json`.\n\n"
        "Ends with 0, with 2 where a setting, a key or an argument is to be mended, else with 1."
    ),
)
app.command("doctor")(doctor.doctor)
app.command("mailboxes")(mailboxes.mailboxes)
app.command("verify")(verify.verify)
app.command("explain")(explain.explain)
app.command("sweep")(sweep.sweep)
app.command("simulate")(simulate.simulate)
app.command("erase")(erase.erase)
app.add_typer(aside.app, name="aside")
app.add_typer(backfill.app, name="backfill")
app.add_typer(policy.app, name="policy")
app.add_typer(dataverse.app, name="dataverse")
app.add_typer(webhook.app, name="webhook")
