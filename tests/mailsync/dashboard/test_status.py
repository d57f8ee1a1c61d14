"""The status is gathered from rows that stand ready, never from the journal; a part that can't be read costs no other."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import pytest

from mailsync.dashboard.answers import status_facts
from mailsync.dashboard.facts import DAY, HOUR, Facts, Level
from mailsync.dashboard.status import CURRENT, FRESH, LISTENING, StatusReader
from mailsync.errors import ConfigurationError, Evidence, TransientError
from mailsync.nylas.webhooks import TRIGGERS
from mailsync.settings import StorageSettings
from mailsync.storage.account import StorageAccount
from mailsync.storage.instances import Budget, Trouble
from mailsync.storage.proofs import Proofs, Proven
from mailsync.wiring import Wiring
from sandbox.webhooks import Webhook
from tests.browser.served import wiring_for
from tests.browser.states import MINUTE, Scene, laid_out
from tests.mailsync.dashboard.conftest import Lay
from tests.mailsync.parts import NOW, Clock, Line, NylasServed, new_address, silence


def facts(wiring: Wiring) -> Facts:
    return wiring.status.read().facts


def scene_on(storage: str, now: int = NOW) -> Scene:
    return Scene(StorageAccount(StorageSettings(storage), None), now, Random(3))


# a world in which all is well


@pytest.fixture(scope="module")
def flowing(lay: Lay) -> tuple[Scene, Wiring]:
    return lay("flowing")


def test_a_world_in_which_all_is_well_is_green(flowing: tuple[Scene, Wiring]) -> None:
    status = flowing[1].status.read()
    assert (status.verdict.level, status.verdict.tasks) == ("good", ())
    assert status.facts.unread == {}


def test_every_mailbox_is_there_with_what_its_row_and_its_proof_say(flowing: tuple[Scene, Wiring]) -> None:
    scene, wiring = flowing
    told = {one.grant: one for one in facts(wiring).mailboxes or ()}
    assert told.keys() == {box.grant for box in scene.boxes}
    for box in scene.boxes:
        one = told[box.grant]
        assert (one.provider, one.level) == (box.provider, "good")
        assert (one.proved_until, one.swept) == (NOW - (box.swept or 0), NOW - (box.swept or 0))
        assert (one.last_written, one.lag) == (NOW - (box.written or 0), 0)
        assert one.proof is not None
        assert (one.proof.made, one.proof.unexplained) == (NOW - 9 * HOUR, 0)


def test_hours_days_and_mailboxes_are_sums_of_the_same_counts(flowing: tuple[Scene, Wiring]) -> None:
    read = facts(flowing[1])
    assert read.mail is not None
    assert (len(read.mail.hours), len(read.mail.days)) == (24, 7)
    assert read.mail.hours[-1].start == NOW // HOUR * HOUR
    assert read.mail.days[-1].start == NOW // DAY * DAY
    assert sum(slot.tally.in_dataverse for slot in read.mail.hours) == read.mail.day.in_dataverse > 1000
    assert sum(slot.tally.kept_out for slot in read.mail.days) == read.mail.week.kept_out > 0
    assert sum(one.week.in_dataverse for one in read.mailboxes or ()) == read.mail.week.in_dataverse
    for one in read.mailboxes or ():
        assert one.today == one.days[-1].tally
        assert sum(slot.tally.ended for slot in one.days) == one.week.ended
    assert read.mail.seconds_median is not None
    assert 1 < read.mail.seconds_median < (read.mail.seconds_most or 0) < 5


def test_queues_are_looked_at_without_taking_anything(flowing: tuple[Scene, Wiring]) -> None:
    for _ in range(2):
        flowing[1].status.forget()
        depths = {queue.name: (queue.waiting, queue.oldest) for queue in facts(flowing[1]).queues or ()}
        assert depths == {
            "nylas-messages": (3, NOW - 3),
            "mailbox-sweeps": (0, None),
            "nylas-messages-poison": (0, None),
            "mailbox-sweeps-poison": (0, None),
        }


# a world with something of everything


@pytest.fixture(scope="module")
def attention(lay: Lay) -> tuple[Scene, Wiring]:
    return lay("attention")


def test_mailboxes_are_told_worst_first(attention: tuple[Scene, Wiring]) -> None:
    told = [(one.level, one.word) for one in facts(attention[1]).mailboxes or ()]
    assert told[:6] == [
        ("trouble", "Sign-in needed"),
        ("trouble", "Behind"),
        ("attention", "Unexplained"),
        ("attention", "Put aside"),
        ("attention", "Put aside"),
        ("new", "New"),
    ]
    assert told[-1] == ("gone", "Disconnected")
    assert {level for level, _ in told[6:-1]} == {Level.GOOD}


def test_an_expired_grant_says_since_when_who_acts_and_what_is_not_looked_through(
    attention: tuple[Scene, Wiring],
) -> None:
    expired, renewed = (facts(attention[1]).mailboxes or ())[:2]
    assert (expired.since, expired.who) == (NOW - 53 * HOUR, "the mailbox's owner")
    assert expired.gap is not None
    assert (expired.gap.begin, expired.gap.end, expired.gap.is_closing) == (NOW - 53 * HOUR, NOW, False)
    assert renewed.gap is not None
    assert (renewed.gap.begin, renewed.gap.is_closing) == (NOW - 29 * HOUR, True)


def test_what_was_put_aside_is_told_newest_first_and_counted_for_its_mailbox(attention: tuple[Scene, Wiring]) -> None:
    scene, wiring = attention
    read = facts(wiring)
    assert read.aside is not None
    assert (read.aside.waiting, read.aside.is_more, read.aside.oldest) == (3, False, NOW - 26 * HOUR)
    assert [(one.reason, one.noted) for one in read.aside.newest] == [
        ("dataverse_refused_row", NOW - 50 * MINUTE),
        ("dataverse_refused_row", NOW - 3 * HOUR),
        ("mapping_failed", NOW - 26 * HOUR),
    ]
    newest = read.aside.newest[0]
    assert newest.evidence == "dataverse 400 0x80044331 7f1c0f5e-6a3e-4f4e-9c55-1f0e9f0f7b11"
    assert newest.message
    assert newest.key.startswith("message:")
    waiting = {one.grant: one.put_aside for one in read.mailboxes or () if one.put_aside}
    assert waiting == {scene.boxes[0].grant: 2, scene.boxes[1].grant: 1}


def test_errors_are_classed_by_how_far_they_reach(attention: tuple[Scene, Wiring]) -> None:
    read = facts(attention[1])
    assert read.mail is not None
    assert [(one.scope, one.reason, one.day) for one in read.mail.errors] == [
        ("organisation", "dataverse_throttled", 31),
        ("mailbox", "mailbox_paced", 12),
        ("mailbox", "nylas_throttled", 4),
        ("message", "awaits_senders_copy", 9),
        ("message", "dataverse_refused_row", 2),
        ("message", "mapping_failed", 1),
    ]


def test_the_budget_is_the_lowest_that_any_instance_was_told(attention: tuple[Scene, Wiring]) -> None:
    read = facts(attention[1])
    assert read.instances is not None
    told = read.instances.dataverse
    assert told is not None
    assert (told.at, told.requests_left, told.seconds_left, told.hint) == (NOW - 30, 2_105, 341.0, 6)
    assert told.at_once == 12, "both together"


def test_nothing_of_the_status_holds_an_address_and_only_who_asks_for_them_gets_them(
    attention: tuple[Scene, Wiring],
) -> None:
    scene, wiring = attention
    assert "@" not in json.dumps(status_facts(wiring.status.read()))
    assert wiring.status.addresses() == {box.grant: box.address for box in scene.boxes}


# what stands in the way


def told_of(storages: Iterator[str], *about: dict[str, Any]) -> list[tuple[str, int]]:
    storage = next(storages)
    scene = scene_on(storage)
    for one in about:
        scene.instance(**one)
    read = facts(wiring_for(storage, lambda: NOW)).instances
    assert read is not None
    return [(one.reason, one.since) for one in read.troubles]


def test_trouble_stands_until_such_work_is_done_anywhere(storages: Iterator[str]) -> None:
    scene = scene_on("UseDevelopmentStorage=true")
    met = (scene.trouble("dataverse_unavailable", "a", "e", since=300),)
    earlier, later = {"message": NOW - 60}, {"message": NOW - 5}
    assert told_of(storages, {"troubles": met, "done": earlier}) == [("dataverse_unavailable", NOW - 300)]
    assert told_of(storages, {"troubles": met, "done": earlier}, {"done": later}) == []
    assert told_of(storages, {"troubles": met, "done": earlier}, {"done": {"sweep": NOW}}) != [], "other work"


def test_trouble_that_two_instances_meet_is_told_once_since_the_first(storages: Iterator[str]) -> None:
    scene = scene_on("UseDevelopmentStorage=true")
    met = [(scene.trouble("nylas_key", "a", "e", since=since, work="sweep"),) for since in (900, 100)]
    assert told_of(storages, *({"troubles": one, "done": {}} for one in met)) == [("nylas_key", NOW - 900)]


def test_trouble_not_met_again_and_instances_long_silent_count_no_more(storages: Iterator[str]) -> None:
    scene = scene_on("UseDevelopmentStorage=true")
    old = replace_at(scene, NOW - CURRENT - 1)
    assert told_of(storages, {"troubles": (old,), "done": {}}) == []
    assert told_of(storages, {"troubles": (replace_at(scene, NOW),), "done": {}, "noted": NOW - LISTENING - 1}) == []


def test_a_webhook_that_nylas_gave_up_is_told_until_it_is_active(storages: Iterator[str], nylas: NylasServed) -> None:
    """In a quiet organisation nothing else tells of it; a sweep that goes well does not mend it."""
    nylas.stand_in.connect(new_address(), "google", created_at=NOW - 60)
    wiring = wiring_for(
        next(storages), lambda: NOW, NYLAS_API_URI=nylas.server.url, WEBSITE_HOSTNAME="mail.azurewebsites.net"
    )
    webhook = Webhook(
        id="w", url=wiring.own_url, triggers=TRIGGERS, secret="s", compressed=True, description="", emails=(),
        status="failed", created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    nylas.stand_in.webhooks.registered["w"] = webhook

    def told() -> tuple[str, list[str]]:
        wiring.sweep_missed()
        wiring._pulse.flush()
        wiring.status.forget()
        verdict = wiring.status.read().verdict
        return verdict.word, [task.title for task in verdict.tasks]

    assert told() == ("Needs attention", ["No webhook to the app is active at Nylas"])
    assert told() == ("Needs attention", ["No webhook to the app is active at Nylas"])
    assert "webhook resume" in wiring.status.read().verdict.tasks[0].do
    webhook.status = "active"
    assert told() == ("Starting", [])


def replace_at(scene: Scene, at: int) -> Trouble:
    return msgspec.structs.replace(scene.trouble("nylas_key", "a", "e", since=9 * HOUR), at=at)


def test_a_budget_of_long_before_the_newest_says_nothing(storages: Iterator[str]) -> None:
    storage = next(storages)
    scene = scene_on(storage)
    scene.instance(budget=Budget(at=NOW - 400, requests_left=3, seconds_left=1.0, hint=1, at_once=1))
    scene.instance(budget=Budget(at=NOW - 30, requests_left=5000, seconds_left=1100.0, hint=20, at_once=20))
    scene.instance(budget=None)
    read = facts(wiring_for(storage, lambda: NOW)).instances
    assert read is not None
    assert read.dataverse is not None
    assert (read.dataverse.requests_left, read.dataverse.at_once) == (5000, 20)


@pytest.mark.parametrize(
    ("proven", "level", "word"),
    [
        pytest.param({"made": NOW - HOUR, "listing": "listed"}, "good", "Up to date", id="made"),
        pytest.param({"made": NOW - HOUR, "listing": "failed"}, "attention", "Not proved", id="it could not be listed"),
        pytest.param({"made": None, "listing": "failed"}, "attention", "Not proved", id="never made, tried in vain"),
        pytest.param({"made": None, "listing": ""}, "attention", "Not proved", id="begun and not ended"),
        pytest.param({"made": NOW - HOUR, "listing": "listed", "unexplained": 1}, "attention", "Unexplained", id="unexplained"),
    ],
)  # fmt: skip
def test_a_proof_counts_only_where_it_was_made(
    storages: Iterator[str], proven: dict[str, Any], level: str, word: str
) -> None:
    storage = next(storages)
    scene = scene_on(storage)
    box = scene.box(proved=None)
    scene.lay()
    Proofs(scene.account).put(Proven(grant=box.grant, tried=NOW - HOUR, **proven))
    (told,) = facts(wiring_for(storage, lambda: NOW)).mailboxes or ()
    assert (told.level, told.word) == (level, word)


# parts that can't be read

PARTS = {
    "mailboxes": "mailboxes",
    "counts": "the last day's counts",
    "proofs": "nightly proofs",
    "queues": "queues",
    "aside": "what was put aside",
    "instances": "running instances",
    "erased": "what was erased",
    "bound": "settings",
}


def reader_with(wiring: Wiring, clock: Any = lambda: NOW, patience: float = 8.0, **broken: Any) -> StatusReader:
    return StatusReader(replace(wiring.status._sources, **broken), clock=clock, patience=patience)


def refused() -> Any:
    raise ConfigurationError("the storage account refuses us", reason="storage_refused")


@pytest.mark.parametrize("source", PARTS)
def test_a_part_that_can_t_be_read_is_told_and_costs_no_other(attention: tuple[Scene, Wiring], source: str) -> None:
    whole = facts(attention[1])
    status = reader_with(attention[1], **{source: refused}).read()
    assert status.facts.unread.get(PARTS[source]) == "The storage account refuses us."
    assert len(status.facts.unread) == (2 if source == "counts" else 1)
    assert status.verdict.level is not Level.GOOD
    assert any(PARTS[source] in task.title for task in status.verdict.tasks)
    assert (status.facts.mailboxes is None) is (source == "mailboxes")
    assert (status.facts.mail is None) is (source == "counts")
    assert (status.facts.queues is None) is (source == "queues")
    assert (status.facts.aside is None) is (source == "aside")
    assert (status.facts.instances is None) is (source == "instances")
    if source not in {"queues", "bound"}:
        assert status.facts.queues == whole.queues


def test_a_part_that_does_not_come_in_time_is_left_out(flowing: tuple[Scene, Wiring]) -> None:
    for_ever = threading.Event()
    status = reader_with(flowing[1], patience=1.0, instances=for_ever.wait).read()
    assert not for_ever.is_set()
    for_ever.set()
    assert status.facts.unread == {"running instances": "It was not read within 1 s."}
    assert status.facts.mailboxes is not None


def test_a_fault_of_ours_in_one_part_is_told_by_its_type_alone(flowing: tuple[Scene, Wiring]) -> None:
    def broken() -> Any:
        raise KeyError("ann@contoso.example")

    status = reader_with(flowing[1], proofs=broken).read()
    assert status.facts.unread == {"nightly proofs": "An unforeseen KeyError; please report it."}


def test_settings_to_mend_are_told_on_the_page() -> None:
    status = Wiring({}).status.read()
    assert status.verdict.level is Level.TROUBLE
    assert all("AzureWebJobsStorage: is missing" in why for why in status.facts.unread.values())


def test_storage_that_never_answers_is_waited_for_a_few_seconds(storages: Iterator[str]) -> None:
    with silence() as port:
        dead = re.sub(r"((?:Queue|Table)Endpoint=http://127\.0\.0\.1:)\d+", rf"\g<1>{port}", next(storages))
        began = time.monotonic()
        status = wiring_for(dead, lambda: NOW).status.read()
        assert time.monotonic() - began < 8.5
    assert status.verdict.sentence.startswith("Nothing can be said of mail")
    assert len(status.facts.unread) == len(PARTS), "all but the settings"


# what it costs


@pytest.fixture(scope="module")
def crowd(storages: Iterator[str]) -> Iterator[tuple[Wiring, Line, Line]]:
    storage = next(storages)
    laid_out("crowd", storage, NOW)
    ports = {
        name: int(re.search(rf"{name}Endpoint=http://127\.0\.0\.1:(\d+)", storage)[1]) for name in ("Queue", "Table")
    }  # type: ignore[index]
    with Line(ports["Queue"]) as queues, Line(ports["Table"]) as tables:
        for name, line in (("Queue", queues), ("Table", tables)):
            storage = re.sub(rf"({name}Endpoint=http://127\.0\.0\.1:)\d+", rf"\g<1>{line.port}", storage)
        yield wiring_for(storage, lambda: NOW), queues, tables


def test_five_hundred_mailboxes_are_read_in_a_few_calls_and_never_by_the_journal(
    crowd: tuple[Wiring, Line, Line],
) -> None:
    wiring, queues, tables = crowd
    began = time.monotonic()
    read = facts(wiring)
    took = time.monotonic() - began
    assert len(read.mailboxes or ()) == 500
    asked = [*queues.requests, *tables.requests]
    assert len(asked) <= 20
    assert {line.split()[0] for line in asked} == {"GET"}, "nothing is changed by looking"
    assert not [line for line in asked if "journal" in line or "sightings" in line]
    assert took < 5


def test_one_reading_serves_all_who_ask_for_a_moment(crowd: tuple[Wiring, Line, Line]) -> None:
    wiring, _, tables = crowd
    clock = Clock()
    reader = reader_with(wiring, clock)
    first, before = reader.read(), len(tables.requests)
    clock.now += FRESH - 0.1
    assert reader.read() is first
    assert len(tables.requests) == before
    clock.now += 0.1
    assert reader.read() is not first
    reader.forget()
    assert len(tables.requests) > before


def test_more_than_can_be_looked_at_is_said_to_be_more(storages: Iterator[str]) -> None:
    storage = next(storages)
    scene = scene_on(storage)
    box = scene.box()
    for number in range(4):
        scene.put_aside(box, "poison", "a", Evidence(), ago=number)
    aside = wiring_for(storage, lambda: NOW).aside.waiting_newest(most=3)
    assert (aside.number, aside.is_more) == (3, True)


def test_transient_errors_are_told_as_they_are(flowing: tuple[Scene, Wiring]) -> None:
    def down() -> Any:
        raise TransientError("the storage account did not do as asked (X)", reason="storage_unavailable")

    unread = reader_with(flowing[1], aside=down).read().facts.unread
    assert unread == {"what was put aside": "The storage account did not do as asked (X)."}
