"""The few numbers at the top of the README, taken from the tables further down, so that they can't differ."""

from __future__ import annotations

import re
from pathlib import Path

from bench.report import into
from sandbox.world import APP

README = APP / "README.md"
MARK = "headline"


def publish(text: str, mark: str, readme: Path = README) -> None:
    """Put a table that was measured into the README, and what follows from it at the top."""
    into(readme, text, mark)
    into(readme, headline(readme.read_text(encoding="utf-8")), MARK)


def headline(page: str) -> str:
    """The table at the top; raises ValueError where a table further down lacks what it tells."""
    speed, ratio = _row(page, "bench", r"\(c\)"), _row(page, "bench", r"than \(a\)")
    taken = _rows(_block(page, "load"), r"\d+ a second$")[-1]
    latency = _rows(_block(page, "latency"), r"\d+ a second$")[-1]
    live = _row(page, "backfill", "while the import runs")
    number = _found(r"([\d,]+) old messages", _block(page, "backfill"))
    repeated = _row(page, "bench", "redelivery")
    rows = (
        (
            "From a notification to the completed email in Dataverse",
            f"{latency[2]} s for half of them, {latency[3]} s for 95 of 100, at {latency[0]}",
        ),
        (
            "Round trips for an email, to one or to two hundred recipients",
            f"{_row(page, 'bench', 'new email, unknown recipients: 200')[1]}; for a redelivery {repeated[1]}",
        ),
        (
            "Emails a second, one instance on two cores",
            f"{_median(speed[1])}, {_median(ratio[1])} times what the plain recipe does one after another",
        ),
        ("Notifications a second, signed, none lost", f"{taken[1]}, answered within {taken[3]} ms (p99)"),
        (
            f"Live mail while {number} old ones are imported",
            f"{live[2]} s for half of them, {live[3]} s for 95 of 100, {live[4]} s at the longest",
        ),
    )
    return "\n".join(("| measured | |", "|---|---|", *(f"| {what} | {told} |" for what, told in rows)))


def _block(page: str, mark: str) -> str:
    return _found(rf"<!-- {mark} -->\n(.*?)<!-- /{mark} -->", page)


def _row(page: str, mark: str, begins: str) -> list[str]:
    return _rows(_block(page, mark), begins)[0]


def _rows(block: str, begins: str) -> list[list[str]]:
    lines = (line.strip("|").split("|") for line in block.splitlines() if line.startswith("| "))
    found = [cells for line in lines if re.match(begins, (cells := [cell.strip() for cell in line])[0])]
    if not found:
        raise ValueError(f"no row of the tables begins with {begins}")
    return found


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.DOTALL)
    if found is None:
        raise ValueError(f"nothing in the tables is like {pattern}")
    return found[1]


def _median(cell: str) -> str:
    return cell.partition(" ")[0]
