"""The benchmark's pieces run, its recipe is the recipe, and what it counts is what the README claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import backfill, claims, headline, latency
from bench.files import LARGE, MOST_MEMORY, Carried, Held, carried, held
from bench.hotspots import hotspots
from bench.ingest import Ingested, ingest, notifications
from bench.mail import CONTACTS, deliver_one, furnish
from bench.measure import Trips, metered
from bench.report import MARK, Results, into, markdown
from bench.runs import Run, Ways, recipe_host
from mailsync.backfill import SHALLOW
from sandbox.azurite import Azurite
from sandbox.world import APP, World

PAGE_SIZE = 7


@pytest.fixture(scope="module")
def world(azurite: Azurite) -> Iterator[World]:
    with World(
        azurite=azurite,
        storage=azurite.connection_strings[-1],
        settings={"SWEEP_PAGE_SIZE": str(PAGE_SIZE)},
        max_poll=0.1,
    ) as running:
        furnish(running)
        running.nylas.wait_idle()
        claims.write(running, running.host, deliver_one(running, CONTACTS[0]))
        yield running


@pytest.mark.parametrize("recipients", claims.RECIPIENTS)
def test_a_new_email_costs_two_trips_to_dataverse_and_one_to_nylas(world: World, recipients: int) -> None:
    emails = world.dataverse.count("email", statecode=1)
    trips = claims.cold(world, recipients)
    assert (trips.dataverse, trips.nylas) == (2, 1)
    assert world.dataverse.count("email", statecode=1) == emails + 1


def test_without_another_tracker_an_email_between_known_people_costs_one_trip_to_dataverse(world: World) -> None:
    with world.another_host(ADOPT_EXISTING="false") as host:
        trips = claims.warm(world, host)
    assert (trips.dataverse, trips.nylas) == (1, 1)


def test_a_mailbox_whose_header_nylas_lacks_costs_one_read_more(world: World) -> None:
    trips = claims.imap(world)
    assert (trips.dataverse, trips.nylas) == (2, 2)


@pytest.mark.parametrize("files", [0, 3, 20])
def test_small_files_cost_their_reads_and_no_trip_to_dataverse(world: World, files: int) -> None:
    found = carried(world, files, emails=2)
    assert (found.trips.dataverse, found.trips.nylas) == found.at_most == (2, 1 + files)
    assert found.cpu > 0


def test_a_file_of_25_megabytes_takes_less_than_80_above_idle(world: World) -> None:
    files = world.dataverse.count("activitymimeattachment")
    found = held(world, LARGE)
    assert 1 < found.above < MOST_MEMORY
    assert world.dataverse.count("activitymimeattachment") == files + 2


def test_a_redelivery_costs_no_trip_at_all(world: World) -> None:
    trips = claims.redelivered(world)
    assert (trips.dataverse, trips.nylas) == (0, 0)


def test_connections_do_not_grow_with_the_number_of_emails(world: World) -> None:
    claim = claims.crowd(world, 60)
    assert claim.holds, claim


def test_a_sweep_that_finds_nothing_costs_its_pages_and_no_trip_to_dataverse(world: World) -> None:
    claim = claims.quiet_sweep(world, PAGE_SIZE)
    assert claim.counted == claim.at_most
    assert claim.counted["Nylas"] > len(claims.MAILBOXES), "some mailbox has more than one page"


def test_each_way_writes_all_of_its_mail_at_its_own_price(world: World, tmp_path: Path) -> None:
    with recipe_host(world, tmp_path / "recipe") as recipe:
        ways = Ways(world, recipe, metered(world))
        for way, dataverse, completed in (
            (ways.sequential, 1, 0),
            (ways.plain, 1, 0),
            (ways.checked, 4, 1),
            (ways.ours, 2, 1),
        ):
            before = world.dataverse.count("email"), world.dataverse.count("email", statecode=1)
            run = way(3)
            after = world.dataverse.count("email"), world.dataverse.count("email", statecode=1)
            assert after == (before[0] + 3, before[1] + 3 * completed), way.__name__
            if way != ways.ours:
                assert run.trips.connections == 3 * (dataverse + 1), f"{way.__name__}: one for each request"
            assert (run.trips.nylas, run.cpu > 0, run.rate > 0) == (3, True, True), way.__name__
            assert run.trips.dataverse <= 3 * dataverse, way.__name__
    assert (tmp_path / "recipe/host.json").read_bytes() == (APP / "host.json").read_bytes()


def test_notifications_are_accepted_and_lead_to_emails(world: World) -> None:
    emails = world.dataverse.count("email", statecode=1)
    found = ingest(world.host.url, world.webhook.secret, notifications(world, 10), rate=100)
    assert found.codes == {200: 10}
    assert len(found.seconds) == 10
    assert 0 < found.percentile(50) <= found.percentile(99)
    world.wait_for_emails(emails + 10)


def test_how_long_each_email_took_is_known_from_outside_and_told_by_the_app_alike(world: World) -> None:
    found = latency.measure(world, latency.watched(world), rate=10, number=8)
    assert (found.sent, len(found.seconds), len(found.told)) == (8, 8, 8)
    assert min(found.seconds) > 0
    assert latency.percentile(found.told, 50) == pytest.approx(latency.percentile(found.seconds, 50), abs=1.0)


def test_the_report_of_latency_names_what_is_late_or_never_came() -> None:
    prompt = latency.Measured(1, 3, (0.5, 0.6, 0.7), (0.5, 0.6, 0.7))
    late = latency.Measured(1, 3, (0.5, 9.0, 9.0), (0.5, 0.6, 0.7))
    lost = latency.Measured(5, 3, (0.5, 0.6), (0.5, 0.6))
    assert latency.failures([prompt]) == []
    assert latency.failures([late, lost]) == [
        "5 a second: 1 emails never came",
        "p95 at 1 a second is 9.00 s, and at most 5.0 is the bar",
    ]
    assert "| 1 a second | 3 of 3 | 0.60 | 0.69 | 0.70 | 0.60 | 0.69 |" in latency.markdown([prompt])


def test_a_hundred_old_mails_are_imported_while_live_mail_goes_on_arriving(world: World) -> None:
    watch = latency.watched(world, backfill.SUBJECT)
    alone, beside, imported = backfill.measure(world, watch, number=120, alone=2.0, rate=4.0)
    assert backfill.failures(alone, beside, imported) == []
    assert (len(alone.seconds) >= 8, len(beside.seconds) >= 8) == (True, True)
    assert imported.deepest < SHALLOW + PAGE_SIZE + 10, "a page, and live mail beside it"


def test_the_report_of_an_import_names_what_was_lost_doubled_or_kept_waiting() -> None:
    told = {f"Berth 7, order {number}": 0.0 for number in range(3)}
    prompt = backfill.Live("alone", told, (0.5, 0.6, 0.7))
    whole = backfill.Imported(100, 4.0, 60, {"written": 100}, 0)
    assert backfill.failures(prompt, prompt, whole) == []
    assert "| alone | 3 of 3 | 0.60 | 0.69 | 0.70 |" in backfill.markdown(prompt, prompt, whole)
    assert "took 4 s, 25 a second" in backfill.markdown(prompt, prompt, whole)
    late = backfill.Live("beside it", told, (0.5, 61.0))
    holed = backfill.Imported(100, 4.0, 60, {"written": 98, "put_aside": 1}, -1)
    assert backfill.failures(prompt, late, holed) == [
        "beside it: 1 live emails never came",
        "of 100 old mails: {'written': 98, 'put_aside': 1}",
        "-1 emails too many or too few stand in Dataverse",
        "live mail waited for 61.0 s, and at most 60 is the bar",
    ]
    lost = backfill.Live("beside it", told)
    assert backfill.failures(prompt, lost, whole) == ["beside it: 3 live emails never came"]
    assert "| beside it | 0 of 3 | - | - | - |" in backfill.markdown(prompt, lost, whole)


def run_of(rate: float) -> Run:
    return Run(10, 10 / rate, Trips(20, 10, 0), 0.2, 0.1, 0.1)


def results_of(ours: float) -> Results:
    rounds = [{"a": run_of(5), "b": run_of(40), "b'": run_of(10), "c": run_of(ours)}] * 5
    found = Ingested(Counter({200: 3}), (0.001, 0.002, 0.003))
    counted = claims.Claim("redelivery", {"Nylas": 0}, {"Nylas": 0})
    trips = [Carried(3, Trips(2, 4, 0), 0.04)]
    return Results(rounds=rounds, claims=[counted], carried=trips, held=Held(100, 130), alone=found, busy=found)


def test_the_report_names_every_bar_that_is_missed() -> None:
    assert results_of(30).failures == []
    (slow,) = results_of(22).failures
    assert "(b)" in slow
    assert "| than (a) | 6.00 (6.00–6.00) | 4.0 |" in markdown(results_of(30))  # noqa: RUF001


def test_the_report_replaces_the_block_of_a_document_and_nothing_else(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text(f"before\n<!-- {MARK} -->\nold\n<!-- /{MARK} -->\nafter\n")
    assert into(document, "new \\1")
    assert document.read_text() == f"before\n<!-- {MARK} -->\nnew \\1\n<!-- /{MARK} -->\nafter\n"
    assert not into(tmp_path / "none.md", "new")


def test_samples_are_grouped_by_whom_they_were_for_and_whose_code_ran() -> None:
    work = f"run (/usr/lib/python3.11/threading.py:1);get ({APP}/mailsync/storage/tables.py:47)"
    library = "send (/v/lib/python3.11/site-packages/requests/sessions.py:700)"
    found = hotspots([f"{work};{library} 3", f"{work} 1", "run (/usr/lib/python3.11/threading.py:1) 2"])
    assert found.rooms == {"get (mailsync/storage/tables.py)": 4, "run (threading.py)": 2}
    assert found.libraries == {"requests/sessions": 3, "mailsync": 1, "threading": 2}


def test_the_numbers_at_the_top_of_the_readme_are_those_of_its_tables() -> None:
    page = (APP / "README.md").read_text(encoding="utf-8")
    top = page.partition(f"<!-- {headline.MARK} -->\n")[2].partition(f"<!-- /{headline.MARK} -->")[0]
    assert top.rstrip("\n") == headline.headline(page)


def test_a_table_that_lacks_a_number_of_the_top_is_told() -> None:
    with pytest.raises(ValueError, match="bench"):
        headline.headline("# A page without tables")
