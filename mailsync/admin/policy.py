"""`policy`: look at a policy file before it is deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mailsync.admin.console import ending, say, say_json, wiring_of
from mailsync.admin.options import AsJson
from mapping.policy_schema import schema_of_policy

app = typer.Typer(name="policy", no_args_is_help=True, help="The policy that says which mail belongs in the CRM.")


@app.command("check")
def check(
    context: typer.Context,
    *,
    file: Annotated[Path, typer.Argument(help="The policy file.", dir_okay=False)] = Path("tracking.toml"),
    as_json: AsJson = False,
) -> None:
    """Read a policy file; everything that is wrong with it is named by line and key.

    Needs no settings and asks nobody. What it would do to real mail, `simulate` shows.

    `python -m mailsync policy check new.toml`
    """
    with ending(as_json=as_json):
        policy = wiring_of(context).read_policy(file)
    if as_json:
        say_json({"file": file.name, "version": policy.version, "mailboxes": len(policy.mailboxes)})
        return
    own = f", {len(policy.mailboxes)} mailboxes with rules of their own" if policy.mailboxes else ""
    say(f"{file.name} can be used (version {policy.version}{own}).")


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of the policy file, for editors that check while one writes.

    `python -m mailsync policy schema > tracking.schema.json`
    """
    say_json(schema_of_policy())
