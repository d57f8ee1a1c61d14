"""How long a timer may be silent follows from its schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from croniter import croniter

from mailsync.dashboard.schedule import ALWAYS, DAY, longest_pause


@pytest.mark.parametrize(
    ("schedule", "seconds"),
    [
        pytest.param("0 */5 * * * *", 300, id="every five minutes, as shipped"),
        pytest.param("0 * * * * *", 60, id="every minute"),
        pytest.param("*/5 * * * *", 300, id="five fields"),
        pytest.param("30 0 * * * *", 3600, id="hourly"),
        pytest.param("0 0,10,50 * * * *", 2400, id="a list"),
        pytest.param("0 0 */2 * * *", 7200, id="every second hour"),
        pytest.param("0 */10 8-18 * * *", 13 * 3600 + 600, id="office hours: the night counts"),
        pytest.param("0 0 3 * * *", DAY, id="daily"),
        pytest.param("0 0 3 * * 1-5", 3 * DAY, id="on weekdays: the weekend counts"),
        pytest.param("0 0 3 * * mon,thu", 4 * DAY, id="days by name"),
        pytest.param("0 40/5 * * * *", 45 * 60, id="from a minute on"),
        pytest.param("0 0 3 1 * *", ALWAYS, id="a day of the month"),
        pytest.param("0 0 3 * jan *", ALWAYS, id="a month"),
        pytest.param("00:05:00", ALWAYS, id="a time span"),
        pytest.param("0 0 99 * * *", ALWAYS, id="an hour that there is not"),
        pytest.param("0 x * * * *", ALWAYS, id="not a number"),
        pytest.param("", ALWAYS, id="nothing"),
    ],
)
def test_the_longest_pause_of_a_schedule(schedule: str, seconds: int) -> None:
    assert longest_pause(schedule) == seconds


@pytest.mark.parametrize("schedule", ["0 */7 * * * *", "0 5,17 6-20/3 * * 1-6", "0 1-4,30 */5 * * sun,wed"])
def test_it_is_what_a_week_of_runs_shows(schedule: str) -> None:
    begin = datetime(2026, 9, 20, tzinfo=UTC)
    runs = croniter(" ".join(schedule.split()), begin, second_at_beginning=True, day_or=False)
    times = [begin]
    while (times[-1] - begin).days < 15:
        times.append(runs.get_next(datetime))
    pauses = [(later - earlier).total_seconds() for earlier, later in pairwise(times[1:])]
    assert longest_pause(schedule) == max(pauses)
