"""One log line for each outcome, at the level it deserves, and on one line whatever stands in it."""

from __future__ import annotations

import logging

import pytest

from mailsync.errors import Evidence
from mailsync.telemetry import EVENTS, emit


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "mailsync")


@pytest.mark.parametrize(
    ("event", "level"),
    [
        ("email_written", logging.INFO),
        ("message_skipped", logging.INFO),
        ("item_deferred", logging.WARNING),
        ("notification_refused", logging.WARNING),
        ("item_put_aside", logging.ERROR),
        ("ingest_unavailable", logging.ERROR),
        ("sweep_dropped", logging.DEBUG),
    ],
)
def test_an_event_has_the_level_it_deserves(caplog: pytest.LogCaptureFixture, event: str, level: int) -> None:
    assert event in EVENTS
    emit(event, grant="g")  # type: ignore[arg-type]
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (level, f"event={event} grant=g")


def test_what_is_empty_is_left_out_and_what_is_nought_is_not(caplog: pytest.LogCaptureFixture) -> None:
    emit("email_written", grant="g", message=None, reason="", attempt=0, evidence=Evidence("nylas", 429, "", "r-1"))
    assert caplog.messages == ["event=email_written grant=g attempt=0 evidence=vendor=nylas status=429 request=r-1"]


@pytest.mark.parametrize(
    "text", ["a\nevent=email_written grant=x", "a\r\nb", "a\x85b", "a\u2028b", "a\x1b[2Jb"], ids=ascii
)
def test_no_value_begins_a_line_of_its_own(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Ids and types come from outside; whoever can write them must not write our log."""
    emit("notification_accepted", type=text, notification=text)
    (told,) = caplog.messages
    assert len(told.splitlines()) == 1
    assert "\x1b" not in told
