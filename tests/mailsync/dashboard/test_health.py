"""A probe's answer is cheap, bounded in time, and tells nothing more than whether mail could be taken in."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from mailsync.dashboard.answers import probed
from mailsync.dashboard.health import REMEMBERED, Health
from mailsync.errors import TransientError
from mailsync.wiring import Wiring
from tests.browser.served import wiring_for
from tests.mailsync.parts import NOW, Clock, Line, nobody, silence


def on_port(storage: str, port: int) -> str:
    return re.sub(r"(QueueEndpoint=http://127\.0\.0\.1:)\d+", rf"\g<1>{port}", storage)


def port_of(storage: str) -> int:
    found = re.search(r"QueueEndpoint=http://127\.0\.0\.1:(\d+)", storage)
    assert found
    return int(found[1])


def test_storage_that_answers_is_health_and_costs_one_call_however_many_ask(storages: Iterator[str]) -> None:
    storage = next(storages)
    with Line(port_of(storage)) as line:
        app = wiring_for(on_port(storage, line.port), lambda: NOW)
        assert [app.answers() for _ in range(50)] == [True] * 50
        assert len(line.requests) == 1
        assert line.requests[0].startswith("GET /")


def test_storage_that_is_silent_is_told_within_seconds(storages: Iterator[str]) -> None:
    with silence() as port:
        began = time.monotonic()
        assert not wiring_for(on_port(next(storages), port), lambda: NOW).answers()
        assert time.monotonic() - began < 4.5


def test_storage_that_refuses_connections_is_told(storages: Iterator[str]) -> None:
    with nobody() as port:
        assert not wiring_for(on_port(next(storages), port), lambda: NOW).answers()


def test_settings_that_keep_mail_out_are_told() -> None:
    assert not Wiring({}).answers()


def test_an_answer_serves_for_some_seconds_and_no_longer() -> None:
    clock, asked = Clock(), []

    def call() -> None:
        asked.append(clock())
        if len(asked) == 2:
            raise TransientError("down", reason="storage_unavailable")

    health = Health(call, clock=clock)
    assert health.answers()
    clock.now += REMEMBERED - 0.1
    assert health.answers()
    clock.now += 0.1
    assert not health.answers()
    assert len(asked) == 2


@pytest.mark.parametrize(("is_well", "status", "body"), [(True, 200, b"ok"), (False, 503, b"unavailable")])
def test_the_answer_says_nothing_more(is_well: bool, status: int, body: bytes) -> None:
    answer = probed(is_well=is_well)
    assert (answer.status, answer.body) == (status, body)
    assert answer.headers["Cache-Control"] == "no-store"
