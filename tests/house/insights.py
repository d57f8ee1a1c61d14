"""Application Insights as far as our queries need it: Microsoft's own parser reads them, DuckDB answers them.

Tables hold what the app's own log lines and metrics would put there; a rule is one of infra/monitor/alerts.bicep.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb_kql

from tests.house.bicep import Bicep, items, literal, properties

ROOT = Path(__file__).parents[2]
MONITOR = ROOT / "infra/monitor"
ALERTS = Bicep.read(MONITOR / "alerts.bicep")
TABLES = """
create table traces (timestamp TIMESTAMP, message VARCHAR);
create table customMetrics (timestamp TIMESTAMP, name VARCHAR, value DOUBLE, valueCount INTEGER, valueSum DOUBLE,
    valueMax DOUBLE, customDimensions JSON);
create table requests (timestamp TIMESTAMP, name VARCHAR, operation_Name VARCHAR, duration DOUBLE);
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """When somebody is told: a column of a query's answer, compared with a number."""

    name: str
    query: str
    measure: str
    dimensions: tuple[str, ...]
    operator: str
    threshold: float
    window: timedelta


def rules() -> dict[str, Rule]:
    """The rules of alerts.bicep by their names; a threshold or window that is a parameter has main.bicep's default."""
    defaults = {
        name: literal(one.value)
        for name, one in Bicep.read(ROOT / "infra/main.bicep").all("parameter").items()
        if one.value is not None
    }
    listed = ALERTS.all("variable")["rules"].value
    assert listed is not None
    found = {}
    for node in items(listed):
        told = properties(node)
        given = {
            name: literal(value) if literal(value) is not None else defaults.get((value.text or b"").decode())
            for name, value in told.items()
        }
        file = re.fullmatch(r"loadTextContent\('(\w+\.kql)'\)", (told["query"].text or b"").decode())
        assert file is not None, f"{given['name']} asks for no file"
        found[str(given["name"])] = Rule(
            name=str(given["name"]),
            query=file.group(1),
            measure=str(given["measure"]),
            dimensions=tuple(str(literal(one)) for one in items(told["dimensions"])),
            operator=str(given["operator"]),
            threshold=float(given["threshold"] or 0),
            window=duration(str(given["window"])),
        )
    return found


def queries() -> dict[str, str]:
    """Every query there is: files by their names, those of the workbook by their items' names."""
    found = {path.name: path.read_text(encoding="utf-8") for path in sorted(MONITOR.glob("*.kql"))}
    for item in json.loads((MONITOR / "workbook.json").read_text(encoding="utf-8"))["items"]:
        if item["type"] == 3:
            found[f"workbook: {item['name']}"] = item["content"]["query"].replace("{TimeRange:grain}", "1h")
    return found


def read(asked: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What Microsoft's language service says of queries: `problems`, and the `columns` of the answer with their types."""
    done = subprocess.run(
        ["node", Path(__file__).with_name("kql.cjs")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def duration(text: str) -> timedelta:
    """A span such as PT15M, PT1H or P2D."""
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?", text)
    assert found is not None, text
    days, hours, minutes = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)


class Insights:
    """The three tables, filled with what was logged, and asked."""

    def __init__(self) -> None:
        self._tables = duckdb_kql.connect()
        self._tables.execute(TABLES)
        self._now = datetime.now(UTC).replace(tzinfo=None)

    def line(self, text: str, *, ago: float = 60) -> None:
        self._tables.execute("insert into traces values (?, ?)", [self._at(ago), text])

    def metric(self, name: str, value: float, *, ago: float = 60, **dimensions: str) -> None:
        row = [self._at(ago), name, value, value, value, json.dumps(dimensions)]
        self._tables.execute("insert into customMetrics values (?, ?, ?, 1, ?, ?, ?)", row)

    def request(self, name: str, duration: float, *, ago: float = 60) -> None:
        self._tables.execute("insert into requests values (?, ?, ?, ?)", [self._at(ago), name, name, duration])

    def ask(self, query: str) -> list[dict[str, Any]]:
        answer = duckdb_kql.query(self._tables, query)
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.fetchall()]

    def fired(self, rule: Rule) -> set[tuple[str, ...]]:
        """For which values of its dimensions a rule tells somebody; one without dimensions fires for ()."""
        for table in ("traces", "customMetrics", "requests"):
            self._tables.execute(f"delete from {table} where timestamp < ?", [self._now - rule.window])
        totals: dict[tuple[str, ...], float] = {}
        for row in self.ask((MONITOR / rule.query).read_text(encoding="utf-8")):
            key = tuple(row[name] for name in rule.dimensions)
            totals[key] = totals.get(key, 0) + (row[rule.measure] or 0)
        compared = {"GreaterThan": float.__gt__, "LessThan": float.__lt__}[rule.operator]
        return {key for key, total in totals.items() if compared(float(total), rule.threshold)}

    def _at(self, ago: float) -> datetime:
        return self._now - timedelta(seconds=ago)


def names_in(query: str, field: str) -> set[str]:
    """The values a query compares a field with: `event`, `reason`, `what` or a metric's `name`."""
    lists = re.findall(rf"\b{field} in \(([^)]*)\)", query)
    words = {word for found in lists for word in re.findall(r'"([^"]+)"', found)}
    words |= set(re.findall(rf'\b{field} [!=]= "([^"]+)"', query))
    return words | set(re.findall(rf'"{field}=([\w.]+)', query))


def all_names(asked: Iterable[str], field: str) -> set[str]:
    return {name for query in asked for name in names_in(query, field)}
