"""Gates: how many at once, at what pace, and nobody at all while what is behind them is down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync.alone import Alone
from mailsync.brake import LEAST, PAUSE, Brake
from mailsync.dataverse.web_api import limits_of
from mailsync.errors import MessageError, Scope, ThrottledError, TransientError
from mailsync.gates import FAILURES_TO_CLOSE, FIRST_CLOSED, GOOGLE_UNITS, LONGEST_CLOSED, Gate, MailboxGates, Pace
from mailsync.nylas.reader import LIVE_PATIENCE


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def down(gate: Gate, error: Exception | None = None) -> None:
    trouble = error or TransientError("down", reason="down", scope=Scope.ORGANISATION)
    with pytest.raises(type(trouble)), gate.passing():
        raise trouble


def up(gate: Gate) -> None:
    with gate.passing():
        pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Gate:
    return Gate("dataverse", clock=clock, scope=Scope.ORGANISATION)


def closed(gate: Gate) -> float | None:
    """Seconds that the gate asks to wait, or None when it lets somebody pass."""
    refused: list[float | None] = []
    with suppress(TransientError):
        try:
            up(gate)
        except TransientError as error:
            refused.append(error.retry_after if error.reason == "dataverse_closed" else -1)
            raise
    return refused[0] if refused else None


def test_a_gate_closes_after_some_failures_in_a_row_and_not_before(gate: Gate) -> None:
    for _ in range(FAILURES_TO_CLOSE - 1):
        down(gate)
    up(gate)
    for _ in range(FAILURES_TO_CLOSE - 1):
        down(gate)
    assert closed(gate) is None
    for _ in range(FAILURES_TO_CLOSE):
        down(gate)
    assert closed(gate) == pytest.approx(FIRST_CLOSED)


def test_a_throttling_answer_closes_it_at_once_for_as_long_as_the_vendor_says(gate: Gate, clock: Clock) -> None:
    down(gate, ThrottledError("slow", reason="slow", scope=Scope.ORGANISATION, retry_after=37))
    assert closed(gate) == pytest.approx(37)
    clock.now += 37.1
    assert closed(gate) is None


def test_one_probe_goes_first_and_opens_it_for_all(gate: Gate, clock: Clock) -> None:
    for _ in range(FAILURES_TO_CLOSE):
        down(gate)
    clock.now += FIRST_CLOSED + 0.1
    with gate.passing():
        assert closed(gate) is not None, "a second caller passed beside the probe"
    assert closed(gate) is None


def test_a_failed_probe_closes_it_for_longer_up_to_a_limit(gate: Gate, clock: Clock) -> None:
    for _ in range(FAILURES_TO_CLOSE):
        down(gate)
    waits = []
    for _ in range(10):
        waits.append(closed(gate))
        clock.now += (waits[-1] or 0) + 0.1
        down(gate)
    assert waits == sorted(waits, key=lambda wait: wait or 0)
    assert waits[-1] == pytest.approx(LONGEST_CLOSED)


def test_the_success_of_a_call_made_before_it_closed_does_not_open_it(gate: Gate) -> None:
    with gate.passing():
        down(gate, ThrottledError("slow", reason="slow", scope=Scope.ORGANISATION, retry_after=30))
    assert closed(gate) is not None


def test_a_fault_of_the_message_or_of_another_scope_says_nothing_about_the_dependency(gate: Gate) -> None:
    for _ in range(FAILURES_TO_CLOSE + 1):
        down(gate, MessageError("bad row", reason="bad"))
        down(gate, TransientError("one mailbox", reason="x", scope=Scope.MAILBOX))
    assert closed(gate) is None


def test_a_caller_that_another_gate_turned_away_proves_nothing(gate: Gate, clock: Clock) -> None:
    other = Gate("mailbox", clock=clock, scope=Scope.MAILBOX)
    down(other, ThrottledError("slow", reason="slow", scope=Scope.MAILBOX, retry_after=90))
    for _ in range(FAILURES_TO_CLOSE):
        down(gate)
    clock.now += FIRST_CLOSED + 0.1
    with pytest.raises(TransientError, match="mailbox is closed"), gate.passing(), other.passing():
        pass
    with gate.passing():
        assert closed(gate) is not None, "it was not the one probe"


def test_no_more_pass_at_once_than_the_limit(clock: Clock) -> None:
    gate = Gate("dataverse", clock=clock, scope=Scope.ORGANISATION, concurrency=3)
    inside, most, lock = 0, 0, threading.Lock()

    def pass_through() -> None:
        nonlocal inside, most
        for _ in range(50):
            with gate.passing():
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=pass_through) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most <= 3


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(1, 80)), max_size=80))
def test_no_minute_sees_more_than_its_units_whatever_is_asked_for(asked: list[tuple[float, float]]) -> None:
    """As long as nobody asks for more than an eighth of them at once, as a page of a listing does."""
    clock, taken = Clock(), list[tuple[float, float]]()
    pace = Pace(600, clock=clock)
    for wait, units in asked:
        clock.now += wait
        if pace.wait_for(units) == 0.0:
            taken.append((clock.now, units))
    for begin, _ in taken:
        assert sum(units for at, units in taken if begin <= at < begin + 60) <= 600


def test_a_page_of_a_listing_is_never_kept_out_by_messages_that_come_all_the_time() -> None:
    """It stands still for its turn where a message goes back to the queue."""

    def fast() -> float:
        return time.monotonic() * 200

    gate = Gate("mailbox", clock=fast, scope=Scope.MAILBOX, pace=Pace(3000, clock=fast))
    stop, turned_away = threading.Event(), []

    def read() -> None:
        while not stop.wait(0.001):
            try:
                with gate.passing(20):
                    pass
            except TransientError as error:
                turned_away.append(error.reason)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(5):
            with gate.passing(805, patience=10_000):
                pass
    finally:
        stop.set()
        reader.join()
    assert set(turned_away) == {"mailbox_paced"}


def test_a_live_message_waits_for_one_page_of_a_sweep_and_not_for_all_of_them() -> None:
    """Seven pages of forty: more than a minute's units for Gmail, one page right after the other."""

    def fast() -> float:
        return time.monotonic() * 20

    gate = Gate("mailbox", clock=fast, scope=Scope.MAILBOX, pace=Pace(GOOGLE_UNITS, clock=fast))
    over, waited = threading.Event(), []

    def read() -> None:
        while not over.wait(0.15):
            began = fast()
            with gate.passing(20, patience=LIVE_PATIENCE):
                waited.append(fast() - began)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(7):
        with gate.passing(805, patience=60, yields=True):
            pass
    over.set()
    reader.join()
    assert len(waited) >= 5, "one got in between each two pages"
    assert max(waited) < LIVE_PATIENCE


def test_a_listing_that_yields_is_kept_out_by_no_flood_of_live_messages() -> None:
    def fast() -> float:
        return time.monotonic() * 100

    gate = Gate("mailbox", clock=fast, scope=Scope.MAILBOX, pace=Pace(600, clock=fast))
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            with suppress(TransientError), gate.passing(20, patience=LIVE_PATIENCE):
                pass

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        with gate.passing(100, patience=200, yields=True):
            pass
    finally:
        over.set()
        for reader in readers:
            reader.join()


def test_who_yields_stands_behind_those_who_do_not(clock: Clock) -> None:
    gate, passed = Gate("mailbox", clock=clock, scope=Scope.MAILBOX, pace=Pace(600, clock=clock)), list[str]()

    def stand(who: str, *, yields: bool) -> None:
        with gate.passing(20, patience=1000, yields=yields):
            passed.append(who)

    def until(done: Callable[[], bool]) -> None:
        end = time.monotonic() + 10
        while not done():
            assert time.monotonic() < end
            time.sleep(0.01)

    with gate.passing(100):
        pass  # 40 units of debt: six seconds' worth
    old = [threading.Thread(target=stand, args=("old",), kwargs={"yields": True}, daemon=True) for _ in range(4)]
    live = threading.Thread(target=stand, args=("live",), kwargs={"yields": False}, daemon=True)
    for thread in (*old, live):
        thread.start()
    until(lambda: gate.in_line == 1)
    with pytest.raises(TransientError, match="paced"), gate.passing(20):
        pass
    clock.now += 5.5
    until(lambda: bool(passed))
    assert passed == ["live"]
    for number in range(4):
        clock.now += 3
        until(lambda number=number: len(passed) > number + 1)
    assert passed == ["live", *["old"] * 4]
    for thread in (*old, live):
        thread.join()


def test_only_a_google_mailbox_is_paced_and_every_mailbox_has_four_requests_at_most(clock: Clock) -> None:
    gates = MailboxGates(provider_of={"g": "google", "m": "microsoft"}.__getitem__, clock=clock, instances=1)
    assert gates.of("g").limit == gates.of("m").limit == 4
    assert gates.of("m") is gates.of("m")
    for _ in range(6000 // 10 // 20):
        with gates.of("g").passing(20):
            pass
    with pytest.raises(TransientError, match="paced"), gates.of("g").passing(20):
        pass
    for _ in range(6000 // 20 + 1):
        with gates.of("m").passing(20):
            pass


def test_several_instances_divide_the_limits(clock: Clock) -> None:
    gates = MailboxGates(provider_of=lambda _: "microsoft", clock=clock, instances=4)
    assert gates.of("m").limit == 1


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        pytest.param({}, 24, id="no advice"),
        pytest.param({"x-ms-dop-hint": "4"}, 4, id="follows the hint"),
        pytest.param({"x-ms-dop-hint": "50"}, 24, id="never above the setting"),
        pytest.param({"x-ms-dop-hint": "0"}, 24, id="a hint of nothing is no hint"),
        pytest.param({"x-ms-ratelimit-time-remaining-xrm-requests": "1,199.50"}, 24, id="plenty of time left"),
        pytest.param(
            {"x-ms-ratelimit-time-remaining-xrm-requests": "150.0"}, 12, id="half the scarce time, half as many"
        ),
        pytest.param({"x-ms-ratelimit-time-remaining-xrm-requests": "0"}, 1, id="never none"),
        pytest.param({"x-ms-ratelimit-burst-remaining-xrm-requests": "1500"}, 24, id="plenty of requests left"),
        pytest.param({"x-ms-ratelimit-burst-remaining-xrm-requests": "500"}, 8, id="a third of the scarce requests"),
        pytest.param({"x-ms-ratelimit-burst-remaining-xrm-requests": "0"}, 1, id="never none, though none is left"),
        pytest.param(
            {
                "x-ms-ratelimit-time-remaining-xrm-requests": "150.0",
                "x-ms-ratelimit-burst-remaining-xrm-requests": "500",
                "x-ms-dop-hint": "12",
            },
            4,
            id="the scarcer of both",
        ),
        pytest.param({"x-ms-dop-hint": "soon"}, 24, id="not a number"),
    ],
)
def test_dataverse_says_how_many_at_once(headers: dict[str, str], limit: int) -> None:
    assert limits_of(headers, most=24).at_once == limit


def test_the_brake_stops_writing_when_half_of_the_outcomes_are_put_aside(clock: Clock) -> None:
    brake = Brake(clock=clock)
    for _ in range(LEAST - 1):
        assert not brake.note(refused=True)
        assert not brake.note(refused=False)
    assert brake.wait() == 0
    assert brake.note(refused=True)
    assert brake.wait() == pytest.approx(PAUSE)
    clock.now += PAUSE + 1
    assert brake.wait() == 0


def test_a_few_bad_messages_among_many_stop_nothing(clock: Clock) -> None:
    brake = Brake(clock=clock)
    assert not any(brake.note(refused=number % 3 == 0) for number in range(600))


def test_one_that_runs_alone_runs_beside_nobody() -> None:
    rooms, together, alone, clashes = Alone(), 0, 0, []
    lock = threading.Lock()

    def run(*, by_itself: bool) -> None:
        nonlocal together, alone
        for _ in range(40):
            with rooms.alone() if by_itself else rooms.together():
                with lock:
                    together, alone = together + (not by_itself), alone + by_itself
                    clashes.append(alone > 1 or (alone == 1 and together > 0))
                with lock:
                    together, alone = together - (not by_itself), alone - by_itself

    threads = [threading.Thread(target=run, kwargs={"by_itself": number < 2}) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(clashes)
