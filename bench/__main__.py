"""`python -m bench`: runs the benchmark and prints what it found; exit code 1 when a bar or a claim is missed."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from bench.claims import claims
from bench.files import COUNTS, carried, held
from bench.headline import publish
from bench.hotspots import ProfilerError, hotspots, sampled
from bench.ingest import BUSY_RATE, RATE, Ingested, ingest, notifications
from bench.mail import furnish
from bench.measure import DELAY, metered
from bench.report import MARK, Results, markdown
from bench.runs import Run, Ways, recipe_host
from sandbox.azurite import AzuriteError
from sandbox.host import HostError
from sandbox.world import World

NUMBERS = {"a": 30, "b": 120, "b'": 60, "c": 240}
"""Emails of one run; each takes five to ten seconds."""
WARM_UP = {"b": 24, "b'": 24, "c": 96}
PROFILED = 600
INGEST_SECONDS = 5
PAGE_SIZE = 20
WRITING_OFF = {"AzureWebJobs.write_email.Disabled": "true"}

progress = Console(stderr=True, highlight=False, soft_wrap=True)


def main() -> int:
    """Measure, print, and say whether all bars are met."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that every process is ended
    try:
        with _world() as (world, ways):
            counted = list(claims(world, page_size=PAGE_SIZE))
            with_files, large = [carried(world, files) for files in COUNTS], held(world)
            _get_going(world, ways)
            if options.profile:
                return _profile(world, ways)
            rounds = [_round(ways, number, options) for number in range(options.rounds)]
            results = Results(
                rounds=rounds,
                claims=counted,
                carried=with_files,
                held=large,
                alone=_ingest_alone(world),
                busy=_ingest_busy(world),
            )
    except (AzuriteError, HostError, ProfilerError) as error:
        progress.print(f"[red]{error}[/red]")
        return 2
    text = markdown(results)
    sys.stdout.write(text + "\n")
    if options.write:
        (Path(__file__).parent / "results.md").write_text(text + "\n", encoding="utf-8")
        publish(text, MARK)
    for failure in results.failures:
        progress.print(f"[red]missed:[/red] {failure}")
    return 1 if results.failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer emails in each run")
    parser.add_argument("--write", action="store_true", help="write bench/results.md and the README's block")
    parser.add_argument("--profile", action="store_true", help="instead: where the CPU of an email goes (needs py-spy)")
    return parser.parse_args()


@contextmanager
def _world() -> Iterator[tuple[World, Ways]]:
    progress.print("starting the stand-ins, the storage emulator and both hosts")
    with World(settings={"SWEEP_PAGE_SIZE": str(PAGE_SIZE)}) as world, tempfile.TemporaryDirectory() as folder:
        meters = metered(world)
        furnish(world)
        world.nylas.wait_idle()
        with recipe_host(world, Path(folder)) as recipe:
            yield world, Ways(world, recipe, meters)


def _get_going(world: World, ways: Ways) -> None:
    """Every way has its modules, token and connections before the first run that counts."""
    for way, number in WARM_UP.items():
        _way(ways, way)(number)
    for vendor in (world.nylas, world.entra, world.dataverse):
        vendor.delay = DELAY


def _way(ways: Ways, way: str) -> Callable[[int], Run]:
    return {"a": ways.sequential, "b": ways.plain, "b'": ways.checked, "c": ways.ours}[way]


def _round(ways: Ways, number: int, options: argparse.Namespace) -> dict[str, Run]:
    """One run of each way; each round begins with another."""
    order = list(NUMBERS)[number % 4 :] + list(NUMBERS)[: number % 4]
    runs = {}
    for way in order:
        runs[way] = _way(ways, way)(max(1, round(NUMBERS[way] * options.scale)))
        progress.print(f"round {number + 1} of {options.rounds}: ({way}) {runs[way].rate:.1f} emails/s")
    return runs


def _ingest_alone(world: World) -> Ingested:
    """With write_email switched off, so that nothing but ingest uses the cores."""
    world.host.stop()
    with world.another_host(**WRITING_OFF) as host:
        return _ingested(world, host.url, RATE, INGEST_SECONDS)


def _ingest_busy(world: World) -> Ingested:
    """On an instance that works off what was put on the queue before."""
    world.host.start()
    return _ingested(world, world.host.url, BUSY_RATE, 2 * INGEST_SECONDS)


def _ingested(world: World, url: str, rate: int, seconds: int) -> Ingested:
    secret = world.webhook.secret
    ingest(url, secret, notifications(world, rate), rate=rate)  # warm
    found = ingest(url, secret, notifications(world, rate * seconds), rate=rate)
    progress.print(f"ingest at {rate}/s: p99 {found.percentile(99):.1f} ms")
    return found


def _profile(world: World, ways: Ways) -> int:
    with sampled(world.host.pid) as stacks:
        time.sleep(1)  # until the profiler has found its way in
        run = ways.ours(PROFILED)
    found = hotspots(stacks)
    cpu = run.cpu / run.emails * 1000
    sys.stdout.write(
        f"{run.emails} emails, {cpu:.1f} ms of the host's CPU each; samples hold the interpreter's lock.\n"
    )
    sys.stdout.write("\n".join(found.lines(cpu)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
