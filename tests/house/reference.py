"""What of the documents is made from the code: `python -m tests.house.reference`, or `make reference`, writes it anew."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import typer
from typer.cli import get_docs_for_click

from bench.report import into
from mailsync.admin.commands import app
from mailsync.dataverse.privileges import reference as reference_of_privileges
from mailsync.telemetry import EVENTS, METRICS
from mapping.policy_schema import reference_of_policy, schema_of_policy

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = DOCS / "tracking.schema.json"


def commands() -> str:
    """Each command with its arguments and options, as its own --help has them."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="python -m mailsync")
    _, _, each = text.partition("\n## ")
    lines = f"\n## {each}".replace("\n## ", "\n### ").splitlines()
    return "\n".join(line.rstrip() for line in lines).strip()


def events() -> str:
    """The log lines."""
    rows = [
        f"| `{event}` | {logging.getLevelName(line.level).lower()} | {line.says} |" for event, line in EVENTS.items()
    ]
    return "\n".join(("| event | level | says |", "|---|---|---|", *rows))


def metrics() -> str:
    """The metrics."""
    rows = [
        f"| `{name}` | {metric.kind} | {metric.unit} | {', '.join(f'`{one}`' for one in metric.by)} | {metric.says} |"
        for name, metric in METRICS.items()
    ]
    return "\n".join(("| metric | kind | unit | told apart by | measures |", "|---|---|---|---|---|", *rows))


def schema() -> str:
    """The JSON schema of the policy."""
    return json.dumps(schema_of_policy(), indent=2, ensure_ascii=False) + "\n"


BLOCKS: Mapping[tuple[Path, str], Callable[[], str]] = {
    (DOCS / "commands.md", "commands"): commands,
    (DOCS / "deploy.md", "privileges"): reference_of_privileges,
    (DOCS / "operate.md", "events"): events,
    (DOCS / "operate.md", "metrics"): metrics,
    (DOCS / "policy.md", "keys"): reference_of_policy,
}


def main() -> None:
    """Write all of it."""
    for (document, mark), made in BLOCKS.items():
        if not into(document, made(), mark):
            raise SystemExit(f"{document.name} has no place for {mark}")
    SCHEMA.write_text(schema(), encoding="utf-8")


if __name__ == "__main__":
    main()
