"""Alerts and workbook ask for what the app really says, and an alert comes when, and only when, it should."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from mailsync.errors import Evidence, TransientError
from mailsync.nylas.notification import ENDED_TYPES
from mailsync.telemetry import EVENTS, METRICS, Event, emit
from tests.house.bicep import properties
from tests.house.insights import ALERTS, MONITOR, ROOT, Insights, all_names, names_in, queries, read, rules

QUERIES = queries()
RULES = rules()
WORKBOOK = json.loads((MONITOR / "workbook.json").read_text(encoding="utf-8"))
NUMBERS = {"int", "long", "real"}
BROKEN = {
    "traces | wehre message == 'x'": "Query operator expected.",
    "traces | where mesage == 'x'": "The name 'mesage' does not refer",
    "logs | count": "The name 'logs' does not refer",
    "traces | summarize last = max(timestamp)": "needs to be bracketed",
    "traces | where message > 5 and": "Missing expression",
}


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    """What the parser says of every query, and of the broken ones."""
    return read(QUERIES | {query: query for query in BROKEN})


class Log:
    """Writes lines as the app does, by its own telemetry, and puts them where they would be found."""

    def __init__(self, insights: Insights, caplog: pytest.LogCaptureFixture) -> None:
        self.insights = insights
        self._caplog = caplog

    def say(self, event: Event, *, ago: float = 60, times: int = 1, **fields: object) -> None:
        self._caplog.clear()
        with self._caplog.at_level(logging.DEBUG, "mailsync"):
            emit(event, **fields)
        for _ in range(times):
            self.insights.line(self._caplog.messages[0], ago=ago)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(Insights(), caplog)


# what is asked


def test_every_query_is_one_that_microsofts_parser_accepts(answers: dict[str, dict[str, Any]]) -> None:
    assert len(QUERIES) > 25
    assert {name: answers[name]["problems"] for name in QUERIES if answers[name]["problems"]} == {}


@pytest.mark.parametrize(("query", "problem"), BROKEN.items(), ids=list(BROKEN))
def test_a_query_that_would_fail_is_refused(answers: dict[str, dict[str, Any]], query: str, problem: str) -> None:
    assert any(problem in told for told in answers[query]["problems"]), answers[query]


def test_every_event_that_is_asked_for_is_one_the_app_says() -> None:
    asked = all_names(QUERIES.values(), "event")
    assert len(asked) > 10
    assert asked - set(EVENTS) == set()


def test_every_metric_that_is_asked_for_exists_and_each_is_shown() -> None:
    assert all_names(QUERIES.values(), "name") - {"ingest_webhook"} == set(METRICS)


def test_every_reason_that_is_asked_for_can_be_looked_up() -> None:
    table = (ROOT / "docs/failures.md").read_text(encoding="utf-8").partition("## Reasons")[2]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    told = {name: row[2].strip() for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    assert all_names(QUERIES.values(), "reason") <= set(told)
    asked = names_in(QUERIES["needs_administrator.kql"], "reason")
    has_an_alert_of_its_own = {"webhook_unwell"}
    assert asked == {name for name, kind in told.items() if kind == "configuration"} - has_an_alert_of_its_own


def test_every_end_of_a_grant_that_is_asked_for_is_one_nylas_tells_of() -> None:
    assert all_names(QUERIES.values(), "what") == set(ENDED_TYPES)


@pytest.mark.parametrize(
    ("query", "field", "names"),
    [
        pytest.param('traces | where message startswith "event=mail_lost "', "event", {"mail_lost"}, id="a line's start"),
        pytest.param('| where event in ("one", "two")', "event", {"one", "two"}, id="a list"),
        pytest.param('| where event != "one" and event == "two"', "event", {"one", "two"}, id="comparisons"),
        pytest.param('| where name == "mailsync.what"', "name", {"mailsync.what"}, id="a metric"),
    ],
)  # fmt: skip
def test_names_are_found_wherever_a_query_has_them(query: str, field: str, names: set[str]) -> None:
    assert names_in(query, field) == names


# the rules


def test_each_file_is_the_query_of_one_rule() -> None:
    assert sorted(rule.query for rule in RULES.values()) == sorted(path.name for path in MONITOR.glob("*.kql"))


def test_each_rule_measures_a_number_that_its_query_gives(answers: dict[str, dict[str, Any]]) -> None:
    for rule in RULES.values():
        columns = answers[rule.query]["columns"]
        assert columns[rule.measure] in NUMBERS, rule.name
        assert {columns[name] for name in rule.dimensions} <= {"string"}, rule.name


def test_each_rule_can_be_looked_up() -> None:
    reference = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    metric_rules = re.findall(r"name: 'mailsync-([a-z-]+)'", ALERTS.path.read_text(encoding="utf-8"))
    assert len(metric_rules) == 3
    assert [name for name in [*RULES, *metric_rules] if f"`{name}`" not in reference] == []


def test_every_rule_tells_the_one_group() -> None:
    modules = ALERTS.all("module")
    assert set(modules) == {"actionGroup", "queryRules", "failedRequests", "storageAvailability", "vaultAvailability"}
    for name in set(modules) - {"actionGroup"}:
        actions = properties(properties(modules[name].body)["params"])["actions"]
        assert b"actionGroup.outputs.resourceId" in (actions.text or b""), name


def test_no_line_that_a_rule_counts_is_sampled_away() -> None:
    sampling = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))["logging"]["applicationInsights"]
    assert {"Trace", "Exception", "Request"} <= set(sampling["samplingSettings"]["excludedTypes"].split(";"))


# an alert comes

REFUSED = {"status": 401, "why": "bad signature; is NYLAS_WEBHOOK_SECRET that of this webhook?"}
SWEPT = {"after": 1, "before": 2, "seen": 9}
DEFERRED = {"grant": "g1", "message": "m1", "source": "message.created", "attempt": 2, "wait_s": 30}


def deferred(log: Log, reason: str, *, vendor: str = "dataverse", status: int = 429, ago: float = 60) -> None:
    evidence = Evidence(vendor=vendor, status=status, code="0x80072322", request_id="req-1")
    error = TransientError("as told, with blanks; reason=none", reason=reason, evidence=evidence)
    log.say("item_deferred", ago=ago, **DEFERRED, reason=reason, evidence=evidence, advice=error)


def accepted(log: Log, times: int = 1) -> None:
    log.say("notification_accepted", times=times, type="message.created", notification="n1", grant="g1")


def refused(log: Log, times: int) -> None:
    log.say("notification_refused", times=times, **REFUSED)


def swept(log: Log, *, missed: int = 0, grant: str = "g1", ago: float = 60) -> None:
    log.say("sweep_window_done", ago=ago, grant=grant, missed=missed, **SWEPT)


def vitals(log: Log, *, ago: float = 60, poison: int = 0, unexplained: int = 0) -> None:
    told = {"mailboxes": 2, "freshness_s": 200, "lag_s": 0, "waiting": 3, "oldest_s": 1}
    log.say("state_measured", ago=ago, **told, poison=poison, unexplained=unexplained)


def proved(log: Log, unexplained: int, *, ago: float = 60) -> None:
    log.say(
        "verify_done",
        ago=ago,
        proved=2,
        failed=0,
        left=0,
        unexplained=unexplained,
        doubled=0,
        left_open=0,
        not_looked_through=0,
        took_s=9,
    )


def both(*steps: Callable[[Log], None]) -> Callable[[Log], None]:
    def story(log: Log) -> None:
        for step in steps:
            step(log)

    return story


def depth(log: Log, *values: float, queue: str = "nylas-messages-poison") -> None:
    for minute, value in enumerate(values):
        log.insights.metric("mailsync.queue.depth", value, ago=60 * (minute + 1), queue=queue)


@pytest.mark.parametrize(
    ("rule", "story", "fired"),
    [
        pytest.param("webhook-failing", lambda log: refused(log, 12), {()}, id="every notification is refused"),
        pytest.param(
            "webhook-failing",
            both(lambda log: refused(log, 12), lambda log: accepted(log, 4)),
            set(),
            id="strangers knock while notifications come",
        ),
        pytest.param("webhook-failing", lambda log: swept(log, missed=6), {()}, id="only the sweep finds mail"),
        pytest.param(
            "webhook-failing",
            both(accepted, lambda log: swept(log, missed=6)),
            set(),
            id="the sweep finds mail beside notifications",
        ),
        pytest.param("webhook-failing", swept, set(), id="a quiet night is no failing webhook"),
        pytest.param(
            "webhook-failing",
            both(swept, lambda log: log.say("webhook_unwell", status="failed", reason="webhook_unwell", advice="x")),
            {()},
            id="in a quiet night Nylas calls it failed",
        ),
        pytest.param(
            "webhook-failing",
            both(swept, lambda log: log.say("webhook_unwell", ago=2000, status="pause", reason="webhook_unwell")),
            set(),
            id="it was paused half an hour ago",
        ),
        pytest.param(
            "webhook-failing",
            both(swept, lambda log: log.say("webhook_not_looked_at", reason="nylas_unavailable", evidence="status=500")),
            set(),
            id="Nylas did not say how it is",
        ),
        pytest.param(
            "ingest-unavailable",
            lambda log: log.say("ingest_unavailable", reason="storage_unavailable", evidence="vendor=storage", advice="x"),
            {("storage_unavailable",)},
            id="a webhook is answered 503",
        ),
        pytest.param("ingest-unavailable", accepted, set(), id="a webhook is answered 200"),
        pytest.param("sweep-silent", lambda log: None, {()}, id="nothing is logged at all"),
        pytest.param(
            "sweep-silent", lambda log: log.say("sweep_started", mailboxes=0, since=1), set(), id="a sweep is started"
        ),
        pytest.param(
            "sweep-silent",
            lambda log: log.say("sweep_started", ago=3600, mailboxes=3, since=1),
            {()},
            id="the last sweep was started an hour ago",
        ),
        pytest.param(
            "grant-expired",
            lambda log: log.say("grant_recorded", grant="g1", what="grant.expired"),
            {("g1",)},
            id="a grant expired",
        ),
        pytest.param(
            "grant-expired",
            both(
                lambda log: log.say("grant_recorded", ago=900, grant="g1", what="grant.expired"),
                lambda log: log.say("grant_recorded", ago=600, grant="g1", what="connected"),
            ),
            set(),
            id="a grant expired and its owner signed in",
        ),
        pytest.param(
            "grant-expired",
            lambda log: deferred(log, "grant_refused", vendor="nylas", status=401),
            {("g1",)},
            id="nobody told of it but Nylas refuses the grant",
        ),
        pytest.param(
            "grant-expired",
            both(
                lambda log: deferred(log, "grant_refused", vendor="nylas", status=401, ago=900),
                lambda log: swept(log, ago=600),
            ),
            set(),
            id="a mailbox was swept since its grant was refused",
        ),
        pytest.param(
            "grant-expired",
            lambda log: log.say("grant_recorded", grant="g1", what="grant.deleted"),
            set(),
            id="a grant that was deleted waits for nobody",
        ),
        pytest.param(
            "grant-expired", lambda log: deferred(log, "dataverse_throttled"), set(), id="other trouble of a mailbox"
        ),
        pytest.param(
            "freshness",
            both(lambda log: swept(log, ago=9000), lambda log: swept(log, grant="g2", ago=300)),
            {("g1",)},
            id="one mailbox of two was last swept hours ago",
        ),
        pytest.param(
            "freshness",
            both(
                lambda log: swept(log, ago=9000),
                lambda log: log.say("grant_recorded", ago=8000, grant="g1", what="grant.expired"),
            ),
            set(),
            id="a mailbox that is told of as expired",
        ),
        pytest.param(
            "freshness",
            both(swept, lambda log: log.insights.metric("mailsync.freshness", 9000, grant="g1")),
            {("g1",)},
            id="the app itself measured a mailbox that falls behind",
        ),
        pytest.param(
            "put-aside",
            lambda log: log.say("item_put_aside", **DEFERRED, reason="dataverse_refused_row", advice="reason=other"),
            {("dataverse_refused_row",)},
            id="a message is put aside",
        ),
        pytest.param(
            "put-aside",
            lambda log: log.say("writing_stopped", reason="mapping_failed", seconds=300),
            {("mapping_failed",)},
            id="writing is stopped",
        ),
        pytest.param("put-aside", lambda log: deferred(log, "nylas_throttled"), set(), id="what is deferred is not aside"),
        pytest.param(
            "poison",
            lambda log: log.insights.line(
                "Message has reached MaxDequeueCount of 5. Moving message to queue 'nylas-messages-poison'."
            ),
            {()},
            id="the host moves an item to a poison queue",
        ),
        pytest.param("poison", lambda log: log.say("item_revived", **DEFERRED), {()}, id="an item has its second life"),
        pytest.param("poison", lambda log: depth(log, 1, 1, 2), {()}, id="a poison queue stays filled"),
        pytest.param("poison", lambda log: depth(log, 0, 1, 0), set(), id="a poison queue that is emptied"),
        pytest.param("poison", lambda log: vitals(log, poison=2), {()}, id="a line says so, without metrics"),
        pytest.param(
            "poison",
            both(lambda log: vitals(log, ago=900, poison=2), vitals),
            set(),
            id="a line says that it was emptied",
        ),
        pytest.param("poison", lambda log: depth(log, 5, 5, queue="nylas-messages"), set(), id="work that waits"),
        pytest.param(
            "dataverse-throttled",
            lambda log: [deferred(log, "dataverse_throttled", ago=60 * minute) for minute in range(1, 15)],
            {()},
            id="Dataverse says slower in fourteen minutes",
        ),
        pytest.param(
            "dataverse-throttled",
            lambda log: [deferred(log, "dataverse_throttled") for _ in range(50)],
            set(),
            id="Dataverse says slower once, to fifty items",
        ),
        pytest.param(
            "needs-administrator",
            lambda log: deferred(log, "dataverse_refused_identity", status=403),
            {("dataverse_refused_identity",)},
            id="Dataverse knows no application user",
        ),
        pytest.param(
            "needs-administrator",
            lambda log: log.say("journal_not_shortened", reason="erasure_key", evidence="", advice="put it back"),
            {("erasure_key",)},
            id="records are not shortened for want of the key",
        ),
        pytest.param(
            "needs-administrator",
            lambda log: log.say("erased_not_recognised", reason="erasure_key", advice="put it back"),
            {("erasure_key",)},
            id="what was erased can come back for want of the key",
        ),
        pytest.param(
            "needs-administrator", lambda log: deferred(log, "dataverse_unavailable"), set(), id="an outage mends itself"
        ),
        pytest.param(
            "unexplained",
            lambda log: log.insights.metric("mailsync.unexplained", 1, grant="g1"),
            {()},
            id="one message is unexplained",
        ),
        pytest.param("unexplained", lambda log: vitals(log, unexplained=1), {()}, id="a line says so, without metrics"),
        pytest.param(
            "unexplained",
            both(lambda log: proved(log, 2, ago=900), lambda log: vitals(log, unexplained=2)),
            {()},
            id="the night found two and nobody brought them",
        ),
        pytest.param(
            "unexplained",
            both(lambda log: vitals(log, ago=900, unexplained=2), lambda log: proved(log, 0)),
            set(),
            id="another proof found none missing",
        ),
        pytest.param(
            "unexplained",
            both(
                lambda log: log.insights.metric("mailsync.unexplained", 3, ago=900, grant="g1"),
                lambda log: log.insights.metric("mailsync.unexplained", 0, grant="g1"),
            ),
            set(),
            id="another proof of that mailbox found none missing",
        ),
        pytest.param(
            "unexplained",
            lambda log: log.say("state_measured", reason="storage_unavailable"),
            set(),
            id="nothing could be told",
        ),
        pytest.param(
            "unexplained", lambda log: log.insights.metric("mailsync.unexplained", 0), set(), id="none is unexplained"
        ),
        pytest.param("unexplained", lambda log: None, set(), id="nothing was measured yet"),
    ],
)  # fmt: skip
def test_an_alert_comes_when_and_only_when_it_should(
    log: Log, rule: str, story: Callable[[Log], None], fired: set[tuple[str, ...]]
) -> None:
    story(log)
    assert log.insights.fired(RULES[rule]) == fired


def test_each_rule_is_seen_to_come_and_to_stay_away() -> None:
    (table,) = (
        mark
        for mark in test_an_alert_comes_when_and_only_when_it_should.pytestmark
        if mark.name == "parametrize"  # type: ignore[attr-defined]
    )
    seen = {(case.values[0], bool(case.values[2])) for case in table.args[1]}
    assert seen == {(name, fires) for name in RULES for fires in (True, False)}


# the workbook


def test_the_workbook_is_one_and_each_item_follows_its_time() -> None:
    names = [item["name"] for item in WORKBOOK["items"]]
    assert len(names) == len(set(names))
    assert WORKBOOK["version"] == "Notebook/1.0"
    (parameters,) = (item["content"]["parameters"] for item in WORKBOOK["items"] if item["type"] == 9)
    assert [parameter["name"] for parameter in parameters] == ["TimeRange"]
    for item in WORKBOOK["items"]:
        if item["type"] == 3:
            content = item["content"]
            assert content["timeContextFromParameter"] == "TimeRange"
            assert content["resourceType"] == "microsoft.insights/components"
            assert content["visualization"] in {"tiles", "table", "timechart", "barchart"}


def day(log: Log) -> None:
    """A day with a little of everything."""
    accepted(log, 3)
    refused(log, 1)
    swept(log, missed=2)
    deferred(log, "dataverse_throttled")
    log.say("sweep_started", mailboxes=1, since=1)
    log.say("email_written", grant="g1", message="m1", activity="a1", reason="contact", source="sweep", took_ms=345)
    log.say("email_written", grant="g1", message="m3", source="message.created", took_ms=345, end_to_end_ms=2100)
    log.say("message_skipped", grant="g1", message="m2", reason="junk", source="message.created", took_ms=20)
    log.say("item_put_aside", **DEFERRED, reason="mapping_failed", advice="read the reason")
    log.insights.request("ingest_webhook", 5.1)
    log.insights.metric("mailsync.outcomes", 4, kind="written", reason="contact")
    log.insights.metric("mailsync.end_to_end", 2.5)
    log.insights.metric("mailsync.from_date", 4.5)
    log.insights.metric("mailsync.journal.lag", 0, grant="g1")
    log.insights.metric("mailsync.vendor.duration", 0.2, vendor="nylas", status="200")
    log.insights.metric("mailsync.token.refreshes", 1, result="fetched")
    log.insights.metric("mailsync.gate.closings", 1, gate="dataverse")
    log.insights.metric("mailsync.freshness", 40, grant="g1")
    log.insights.metric("mailsync.unexplained", 0)
    depth(log, 3, queue="nylas-messages")
    log.insights.metric("mailsync.queue.age", 12, queue="nylas-messages")


@pytest.mark.parametrize("name", [name for name in QUERIES if name.startswith("workbook: ")])
def test_each_part_of_the_workbook_shows_something_of_a_day(log: Log, name: str) -> None:
    day(log)
    assert log.insights.ask(QUERIES[name]) != []


@pytest.mark.parametrize(
    ("item", "row"),
    [
        pytest.param("skips", {"rule": "junk", "messages": 1}, id="skips by rule"),
        pytest.param("outcomes-measured", {"outcome": "written", "reason": "contact", "messages": 4.0}, id="outcomes"),
        pytest.param("flow", {"what": "1 Notifications accepted", "items": 3}, id="is mail flowing"),
        pytest.param("vendors", {"vendor": "dataverse", "status": "429", "times": 1, "request": "req-1"}, id="vendors"),
        pytest.param("took", {"p50": 345.0, "p99": 345.0}, id="latency"),
        pytest.param("told-to-written", {"p50": 2100.0, "p95": 2100.0}, id="end to end"),
        pytest.param("vendor-latency", {"vendor": "nylas", "status": "200", "requests": 1}, id="a vendor's answers"),
        pytest.param("aside", {"reason": "mapping_failed", "grant": "g1", "advice": "read the reason"}, id="put aside"),
        pytest.param("mailboxes", {"grant": "g1", "missed": 2, "minutes_ago": 1}, id="freshness"),
    ],
)
def test_the_workbook_counts_right(log: Log, item: str, row: dict[str, object]) -> None:
    day(log)
    assert [found for found in log.insights.ask(QUERIES[f"workbook: {item}"]) if found.items() >= row.items()]
