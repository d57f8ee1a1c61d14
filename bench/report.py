"""Says what was measured, as Markdown that the README can hold, and whether the bars are met."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.claims import Claim
from bench.files import MOST_MEMORY, Carried, Held, rows
from bench.ingest import BUSY_RATE, RATE, Ingested
from bench.measure import DELAY
from bench.runs import Run

WAYS = {
    "a": "the plain recipe, one message after another",
    "b": "the plain recipe in the host",
    "b'": "the same with both lookups and the completion",
    "c": "**this product** in the host",
}
BARS = {"a": 4.0, "b": 0.6, "b'": 1.0}
"""How many times as fast as each other way ours must be at least."""
MARK = "bench"


@dataclass(frozen=True, slots=True)
class Results:
    """Everything one run of the benchmark found."""

    rounds: Sequence[Mapping[str, Run]]
    claims: Sequence[Claim]
    carried: Sequence[Carried]
    held: Held
    alone: Ingested
    busy: Ingested

    def ratios(self, way: str) -> list[float]:
        """How many times as fast ours was, in each round."""
        return [one["c"].rate / one[way].rate for one in self.rounds]

    @property
    def failures(self) -> list[str]:
        """The bars and claims that do not hold."""
        slow = [
            f"{median(self.ratios(way)):.2f} times ({way}), and at least {bar} is the bar"
            for way, bar in BARS.items()
            if median(self.ratios(way)) < bar
        ]
        costly = [
            f"{one.what}: {told(one.counted)}; at most {told(one.at_most)}" for one in self.claims if not one.holds
        ]
        costly += [
            f"{one.files} files: {one.trips.dataverse} Dataverse, {one.trips.nylas} Nylas; at most {one.at_most}"
            for one in self.carried
            if one.trips.dataverse > one.at_most[0] or one.trips.nylas > one.at_most[1]
        ]
        if self.held.above > MOST_MEMORY:
            costly.append(
                f"a large file took {self.held.above:.0f} MB above idle, and at most {MOST_MEMORY} is the bar"
            )
        refused = [f"ingest answered {dict(one.codes)}" for one in (self.alone, self.busy) if set(one.codes) != {200}]
        return slow + costly + refused


def markdown(results: Results) -> str:
    """The whole report."""
    how = (
        f"{len(results.rounds)} interleaved runs on {machine()}, which also carried the stand-ins for Nylas, Entra and "
        f"Dataverse and the storage emulator; {DELAY * 1000:.0f} ms added to each vendor's answer. Medians, with the "
        "smallest and the largest in brackets. The clock runs from the first request that reaches Nylas to the "
        "last answer that an email stands in Dataverse, completed except in (a) and (b)."
    )
    parts = (
        [how],
        _speed(results),
        _ratios(results),
        _claims(results.claims),
        rows(results.carried, results.held),
        _ingest(results),
    )
    return "\n\n".join("\n".join(part) for part in parts)


def machine() -> str:
    """What this was measured on."""
    return f"{os.cpu_count()} cores ({_processor()}), Python {platform.python_version()}, {platform.system()}"


def told(counts: Mapping[str, int]) -> str:
    """Counts with their units."""
    return ", ".join(f"{count} {unit}" for unit, count in counts.items())


def into(document: Path, text: str, mark: str = MARK) -> bool:
    """Replace what stands between the comments `mark` and `/mark` in a document; False when it has none."""
    before = document.read_text(encoding="utf-8") if document.is_file() else ""
    after, found = re.subn(
        f"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)",
        lambda marks: marks[1] + text + "\n" + marks[2],
        before,
        flags=re.DOTALL,
    )
    if found:
        document.write_text(after, encoding="utf-8")
    return bool(found)


def _speed(results: Results) -> list[str]:
    lines = [
        "| per email | emails/s | Dataverse trips | Nylas trips | TCP connections | CPU ms | emulator's CPU ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, name in WAYS.items():
        runs = [one[way] for one in results.rounds]
        cells = [
            _spread(runs, lambda run: run.rate, ".1f"),
            _spread(runs, lambda run: run.trips.dataverse / run.emails, ".2f"),
            _spread(runs, lambda run: run.trips.nylas / run.emails, ".2f"),
            _spread(runs, lambda run: run.trips.connections / run.emails, ".2f"),
            _spread(runs, lambda run: run.cpu / run.emails * 1000, ".1f"),
            _spread(runs, lambda run: run.cpu_azurite / run.emails * 1000, ".1f"),
        ]
        lines.append(f"| ({way}) {name} | {' | '.join(cells)} |")
    return lines


def _ratios(results: Results) -> list[str]:
    lines = ["| this product is | times as fast | at least |", "|---|---|---|"]
    for way, bar in BARS.items():
        ratios = results.ratios(way)
        lines.append(f"| than ({way}) | {median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f}) | {bar} |")  # noqa: RUF001
    return lines


def _claims(claims: Sequence[Claim]) -> list[str]:
    return [
        "| what happens | counted | at most |",
        "|---|---|---|",
        *(f"| {one.what} | {told(one.counted)} | {told(one.at_most)} |" for one in claims),
    ]


def _ingest(results: Results) -> list[str]:
    lines = ["| ingest of signed notifications | p50 ms | p99 ms | answers |", "|---|---|---|---|"]
    phases = (
        (f"{RATE} a second", results.alone),
        (f"{BUSY_RATE} a second, while emails are written as fast as the cores allow", results.busy),
    )
    for name, found in phases:
        codes = ", ".join(f"{number} × {code}" for code, number in sorted(found.codes.items()))  # noqa: RUF001
        lines.append(f"| {name} | {found.percentile(50):.1f} | {found.percentile(99):.1f} | {codes} |")
    return lines


def _spread(runs: Sequence[Run], figure: Callable[[Run], float], form: str) -> str:
    figures = [figure(run) for run in runs]
    low, middle, high = (format(value, form) for value in (min(figures), median(figures), max(figures)))
    return middle if low == high else f"{middle} ({low}–{high})"  # noqa: RUF001


def _processor() -> str:
    try:
        models = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        models = []
    return models[0].strip() if models else platform.processor() or platform.machine()
