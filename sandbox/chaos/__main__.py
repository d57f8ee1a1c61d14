"""`python -m sandbox.chaos`: the proof, with a seed of its own or a given one; ends with 0 only if everything holds."""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sandbox.chaos.story import Plan, Result, Story

MOST_NAMED = 30
ROWS = (
    "mails",
    "messages",
    "notifications sent",
    "sent twice",
    "webhooks never sent",
    "webhooks without answer",
    "kills",
    "emails expected",
    "emails found",
    "doubled",
    "missing",
    "open",
    "unexpected",
    "put aside",
    "replies that hang from their parent",
    "Bcc not known in time",
    "emails expected after mending",
    "emails found after mending",
    "verify: unexplained",
)


def show(console: Console, result: Result) -> None:
    """Print what happened, and whether all is as promised."""
    table = Table(title="Chaos", title_justify="left")
    table.add_column("what")
    table.add_column("number", justify="right")
    for name in ROWS:
        table.add_row(name, str(result.counts[name]))
    for name in sorted(set(result.counts) - set(ROWS)):
        if result.counts[name]:
            table.add_row(name, str(result.counts[name]))
    table.add_section()
    for name, number in sorted(result.faults.items()):
        table.add_row(name, str(number))
    table.add_section()
    table.add_row("seconds", f"{result.seconds:.0f}")
    console.print(table)
    for problem in result.problems[:MOST_NAMED]:
        console.print(f"[red]✗[/red] {problem}", highlight=False, soft_wrap=True)
    if len(result.problems) > MOST_NAMED:
        console.print(f"[red]✗[/red] and {len(result.problems) - MOST_NAMED} more")


def main() -> int:
    """Run the proof."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="that of an earlier run, to make the same mail and troubles again")
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--minutes", type=float, default=8.0, help="after so many it has failed")
    parser.add_argument("--log", type=Path, help="a file for what the app's instances wrote")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else secrets.randbelow(1_000_000)
    console = Console()
    console.print(f"[bold]seed {seed}[/bold]")
    plan = Plan(seed=seed, messages=options.messages, minutes=options.minutes)
    result = Story(plan, lambda line: console.print(line, highlight=False)).run()
    if options.log is not None:
        options.log.write_text("\n".join(result.log), encoding="utf-8")
    show(console, result)
    console.print("[bold green]nothing lost, nothing doubled[/bold green]" if result.holds else f"seed {seed} failed")
    return 0 if result.holds else 1


if __name__ == "__main__":
    sys.exit(main())
