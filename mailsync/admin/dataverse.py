"""`dataverse setup`: the role, the application user and the column that the app needs in Dataverse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from mailsync.admin.console import ending, say, say_json, say_table, wiring_of
from mailsync.admin.options import AsJson, Yes
from mailsync.dataverse.setup import BY_HAND, ROLE, TO_DO, Found, Step, Wanted, plan
from mailsync.errors import MailSyncError
from mailsync.settings import column_name

if TYPE_CHECKING:
    from mailsync.wiring import Wiring

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="The Dataverse side of the deployment.")
STATES = {"done": "✓ so", TO_DO: "→ to do", BY_HAND: "! by hand"}


class NotDoneError(MailSyncError):
    """Nobody said yes."""


@app.callback()
def group() -> None:
    """The Dataverse side of the deployment."""


@app.command()
def setup(
    context: typer.Context,
    *,
    application: Annotated[
        str | None,
        typer.Option(help="The client id of the app's identity (`DATAVERSE_APPLICATION_ID`); else AZURE_CLIENT_ID."),
    ] = None,
    role: Annotated[str, typer.Option(help="What the security role is called.")] = ROLE,
    column: Annotated[
        str | None,
        typer.Option(help="A column of emails for Nylas' message id, such as contoso_nylasid; else the setting's."),
    ] = None,
    with_bypass: Annotated[
        bool, typer.Option("--with-bypass", help="Also the privilege by which an import of old mail spares flows.")
    ] = False,
    plan_only: Annotated[bool, typer.Option("--plan", help="Say what would be done, and do nothing.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make the security role, the application user and, if wanted, the column; as often as you like.

    Sign in as a System Administrator of the environment first (`az login`). It shows a plan and asks before it acts.
    The role gets exactly the privileges that the app needs, each for the whole organisation; what is too much is taken
    from it. Needs DATAVERSE_URL alone, so it can run before anything else is set up.

    `python -m mailsync dataverse setup --application "$(azd env get-value DATAVERSE_APPLICATION_ID)"`
    """
    if as_json and not (yes or plan_only):
        raise typer.BadParameter("asks before it acts; with --json add --yes or --plan", param_hint="--json")
    with ending(as_json=as_json):
        wiring = wiring_of(context)
        wanted = Wanted(
            application=_client_id(application or wiring.application),
            role=role,
            column=_column(column) if column else wiring.dataverse_settings.nylas_id_column,
            own_tables=tuple(table.table for table in wiring.policy.regarding.tables),
            with_bypass=with_bypass,
        )
        found = wiring.dataverse_setup.look(wanted)
        steps = plan(wanted, found)
        if not as_json:
            _say(wiring.dataverse_settings.dataverse_url, steps)
        told: list[str] = []
        if not plan_only and any(step.state == TO_DO for step in steps):
            told = _done(wiring, wanted, found, yes=yes, as_json=as_json)
    if as_json:
        said = [{"step": step.what, "state": step.state} for step in steps]
        say_json({"environment": wiring.dataverse_settings.dataverse_url, "plan": said, "done": told})
    if not plan_only and any(step.state == BY_HAND for step in steps):
        raise typer.Exit(1)


def _done(wiring: Wiring, wanted: Wanted, found: Found, *, yes: bool, as_json: bool) -> list[str]:
    if not yes and not typer.confirm("Do this?"):
        raise NotDoneError("nothing was changed", reason="not_confirmed")
    told: list[str] = []

    def tell(what: str) -> None:
        told.append(what)
        if not as_json:
            say(f"  {what}")

    wiring.dataverse_setup.do(wanted, found, tell=tell)
    if not as_json:
        say("Done; `doctor` looks at it from the app's side.")
    return told


def _say(environment: str, steps: tuple[Step, ...]) -> None:
    say(f"{environment}:", "")
    say_table(("", "step"), ((STATES[step.state], step.what) for step in steps))
    say("")


def _column(text: str) -> str:
    try:
        return column_name(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--column") from None


def _client_id(text: str) -> str:
    try:
        return str(UUID(text.strip()))
    except ValueError:
        raise typer.BadParameter(
            "is not a client id; azd tells it as DATAVERSE_APPLICATION_ID", param_hint="--application"
        ) from None
